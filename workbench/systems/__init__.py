"""Section 3 of the review: one published system, one file; and each family of Section 2 on its own.

base                what a system is: settings, presets, what was reported
catalog             finds the files below by walking the folders; reads their cards without importing them
form                from a system's fields to a form, and from its cost to minutes on this machine
views               what a trained run shows of itself, as plain arrays
feature_images      from a file to the image that a patch encoder sees
learnt_features     what a trained patch encoder brings to a registration
registration_settings  methods of registration, and what each can be told
registering         one subject brought onto another: preparation, linear start, engine and what drives it
feature_scores      errors, the use of units, the work of a pass
alarms              what is wrong with a finished training, in sentences
feature_views       filters, reconstructions and the drawings of Figures 2a and 4 of a stack of auto-encoders
encoder_base        systems that learn a patch encoder without labels: images, patches, codes of all voxels
stacked_training    stacked sparse auto-encoders as a system's first stages, refined on labels
features_base       those that learn a stack of auto-encoders: greedy training, record
feature_search      Figure 5 as an instrument: where is a point of one image in another
feature_study       Figure 5 as a table, over many points whose match is known
subspace_views      filters by subspace, what excites the second layer, what whitening keeps
example_source      from a cohort to examples: patches, whole images, rows of feature tables
example_targets     what a supervised network is to say of an example
examples_base       families that learn from examples: data, scaling, record
layered             a trained network as layers of units: filters and diagrams
layered_mlp         the multilayer perceptron so
layered_stack       stacks of auto-encoders so
layered_belief      RBMs and deep belief networks so
layered_machine     deep Boltzmann machines so
convolution_views   kernels and Figure 3 of a convolutional network
supervised_scores   what outputs are worth
supervised_volumes  classes of every voxel
supervised_base     families that learn from targets, with the devices of Section 2.6
belief_chains       Gibbs chains, step by step
energy_base         energy models: contrastive divergence, reconstructions, codes
measured_base       those whose likelihood can be estimated
belief_base         RBMs and deep belief networks: likelihood or bound, chains, classes
machine_views       chains, Figure 9 and the use of layers of deep Boltzmann machines
cross_modal         one modality held fixed, the other sampled, beside the truth
regional_views      what a run on regional signals shows of itself, as plain arrays
component_views     units and the components of other methods beside each other, as plain arrays
depth_views         scores by depth and the subjects in the plane, as plain arrays
regional_data       signals of several subjects, scaled; the regions of a run
regional_cv         cross-validation of two classes, with a linear machine beside it
depth_classifiers   simple classifiers on a layer's features; t-SNE from depth to depth
depth_base          studies of depth: maps inside a mask, folds, record
regional_base       systems on regional time series: data, folds, record, scores
split_half          two halves of the subjects: what comes back, what one explains of the other
component_methods   ICA, PCA and dictionaries on the same volumes and halves
controlled_base     networks on connectivity whose weights' sparsity is steered
coded_states        codes of signals and the hidden Markov models fitted to them
regional_figures    Figure 10, states, diagnosis as figures
corrected_images    bias corrected images, kept on the disk
label_classes       which values of a label map make which class
segmentation_images  from a subject's files to the channels that a segmenting network sees
segmented           a segmented subject: label map, probabilities, uncertainty, scores
segmentation_record  what a trained segmenting run must know, its prepared subjects, its tables of scores
labelling           what every system that labels voxels does alike: predict, score, hand on
segmentation_settings  the settings of systems that label every voxel
segmentation_views  kernels, held-out scores and the work of a segmenting network
layer_trace         which maps a network makes of which
architecture_views  the parts of Figure 8 from a live network
atlases             labelled training images that vote on new ones, kept in the run
atlas_location      where a structure lies: crops about it, and its box in an image without labels
atlas_settings      the settings of systems in which atlases vote
atlas_base          systems in which atlases vote: preparation, crops, the road to a label map
atlas_spaces        the space of one atlas: registered labels, classifiers, what comes back
patch_features      what is said of the patch about a voxel, for matching: intensities, by hand, a code
auto_context_base   systems whose atlases each have a sequence of classifiers in their own space
patch_votes         label propagation by sparse patch matching: where it is asked, which patches vote
atlas_patches       patches of a run's atlases to learn features from
patch_learning      features by which patches are compared, as settings, learnt from atlases
shape_priors        shapes of training subjects, and surfaces like them on a likelihood
segmentation_base   systems that label every voxel: data, training, whole volumes, scores
whole_images        whole images for networks that see them at once, and the threshold of what they say
run_figures         the figures of a run, by name
features/           Section 3.1
segmentation/       Sections 3.3 and 3.4
cadx/               Section 3.5
families/           Section 2
"""
