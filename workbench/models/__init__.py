"""Section 2 of the review as plain networks: modules that compute, and know nothing of trainers or files.

    layers                what networks are made of: activations, corruption, sparsity, patch normalization, ConvStage
    units                 kinds of units: Bernoulli, Gaussian, noisy ReLU, softmax
    rbm_path              the annealing path of a restricted Boltzmann machine
    rbm                   the restricted Boltzmann machine (Section 2.3.2)
    label_group           classes beside the visible units: parameters, exact posterior, discriminative gradient
    class_rbm             the restricted Boltzmann machine with a label group
    belief_layers         what makes up a belief network: directed layers under an RBM (Section 2.3.2, Figure 2b)
    belief_likelihood     how probable it finds data: a bound, a tighter one, the exact value of tiny networks
    belief_net            encode, generate, sample, slide over images: with tied or untied weights
    dbn                   the deep belief network (Section 2.3.2, Equation 4)
    up_down               the same with untied weights, and its wake-sleep step
    initialization        how weights begin (Section 2.6): glorot, he, lecun, sparse, normal
    dropconnect           layers that drop connections, and their moment-matched inference (Section 2.6)
    perceptron            the perceptron and its rule (Section 2.1, Figure 1a)
    mlp                   the multilayer perceptron (Section 2.1, Equations 1-3), Section 2.6 as switches
    autoencoder           one auto-encoder (Section 2.3.1)
    stack                 what every stack of auto-encoders can do
    stacked_autoencoder   the stacked auto-encoder on whole patches, and its conversion to a classifier
    principal_axes        principal axes of patches, and the linear code on them
    isa                   independent subspace analysis by projected gradient (Section 3.1)
    stacked_isa           its stacked convolutional form (Section 3.1)
    correlation           the linear maps of a convolutional layer in space, and strides as channels
    frequency             the same by Fourier transform, and when that is faster (Section 3.5)
    pooling_units         probabilistic max pooling
    conv_rbm              the convolutional restricted Boltzmann machine (Sections 2.3.2, 3.5)
    conv_class_rbm        the same with a label group (Section 3.4)
    frequency_training    its training with the spectra of the data kept
    conv_autoencoder      the convolutional stack with max pooling (Wu et al. 2016)
    cnn                   the convolutional neural network (Section 2.5, Equation 9, Figure 3)
    multiscale_cnn        branches on concentric patches, one softmax (Section 3.3)
    small_kernel_cnn      deep networks of 3 × 3 kernels on patches (Section 3.4)
    fusion_fcn            fully convolutional networks that fuse modalities late or early (Section 3.3, Figure 8)
    receptive_field       which input a unit of a chain of layers sees
    exactness             which layers keep dense evaluation from equaling evaluation patch by patch
    fcn                   patch networks on whole images: fully convolutional, dilated, or stitched from shifts
    transfer              weights from another network, layers' learning rates, off-the-shelf features (Section 1, c-d)
    feature_inspection    which part of an input an output rests on: saliency and occlusion
    encoder_network       the convolutional encoder network with a shortcut (Section 3.4)
    layer_graph           the layers of a Boltzmann machine and which are joined (Section 2.3.3, Figure 2c)
    boltzmann_machine     energy, conditionals and Gibbs sampling on any such graph
    machine_path          its exact sums, and its path for annealed importance sampling
    machine_pretraining   how RBMs with doubled inputs become one machine
    dbm                   the deep Boltzmann machine: mean field, bound, gradient (Section 2.3.3, Equations 5-8)
    pathway_machine       a deep Boltzmann machine on the parts of an example, over Gaussian RBMs
    augmented             a deep Boltzmann machine as a network on an augmented input (Section 2.4)
    finetuning            from pretrained models to networks that are fine-tuned (Section 2.4)
"""
