"""Figures: arrays, Volumes and tables in, a plotly ``Figure`` out.

Nothing is computed here but how to show it. Every figure carries units on its axes, anatomical letters where there is
anatomy, a sentence for those who cannot see it (``fig.layout.meta["alt"]``), and is drawn for a light or a dark page.
Show them with their own theme (``st.plotly_chart(fig, theme=None)``).

    theme         colours, fonts, the two templates, how a figure is finished
    planes        one slice of a volume in a panel: millimetres, sides, scale bar, markers
    slices        three linked planes with an overlay
    label_maps  truth and prediction over the image, outlined or filled; where they differ
    surfaces      label maps as surfaces in mm
    surface_pairs  Figure 7: surfaces of truth and predictions beside each other, distances in mm
    mosaic        many small images composed into one
    filters       learned weights as tiles or columns of slices; mean activations
    patches       patches of a batch; inputs beside their reconstructions
    curves        training curves with a band for each stage; runs over each other
    units         circles and links, of which drawings of networks are made
    diagrams      Figure 2a (the stack) and Figure 4 (encoder and decoder) from a live model
    network_parts  what a drawing of a network is made of; where its units stand
    networks      Figures 1 and 2: layers, units and signed links of a live network
    convolution_parts  maps of a convolutional network, and what one of its units sees
    convolution   Figure 3: the receptive field of one unit on every map below it
    architecture_parts  what a drawing of a segmentation network is made of; where its maps stand
    svg  elements of an SVG drawing as text
    architecture  Figure 8: the architecture of a segmentation network as an SVG
    blocks        Figure 9: a Gaussian RBM's weights beneath those of the layer above, slices in columns
    chains        Gibbs chains step by step, grids of samples
    strips        rows of numbers as strips of colour: examples of tables, weights onto their columns
    sampling      free energy along chains; a sampled part beside what it really was
    feature_tables  how many of each class, how a column is spread over the classes
    edges         regions, which connections are shown, colours of networks and signs
    connectivity_matrix  connectivity ordered by network
    connectome    a network in 3-D inside a see-through brain
    glass_brain   regions and connections on flat views of the brain
    functional_networks  Figure 10: units of a hidden layer as networks, pure and mixed
    states        hidden states: raster, transitions, dwell times, number, share of time by class
    state_patterns  the mean pattern of every state on glass brains
    diagnosis     likelihood ratios, a ROC beside chance, errors over two settings
    sparsity      how sparsity is steered while a network trains
    recovery      what methods find of planted networks: table, maps beside the truth
    marks         crosses, rings and titles over a slice
    ranks         the colours of a similarity map
    similarity    Figure 5: where each feature finds the correspondence; its table as dots
    correspondence  how well each feature finds correspondences, means with intervals
    registration_panels  sheets of slice panels at one scale, contours over them
    votes         atlases that vote for the label of a voxel, each with its share
    context_strip  auto-context iteration by iteration: probabilities over the image, Dice beneath
    registration_slices  two images on one lattice: side by side, blend, checkerboard, wipe, flicker, difference
    registration_fields  the deformed grid, the Jacobian map, the length of the displacement
    registration_energy  how the energy of a registration fell, stage by stage
    registration_methods  Figure 6: slices of a subject as each method registers it
    registration_surfaces  Figure 7: several features, slices with contours and surfaces beneath
    cohort        what a cohort holds: histograms, grids, what is missing, the split
    likelihood    estimates of log Z from both sides, the gap in free energy, published beside obtained
    experiments   variants against each other, seed by seed; curves by labels and by noise
    dynamics      how a schedule runs and whether layers live
    predictions   how sure a classifier is and what it confuses
    decision      decision regions and energies over two inputs
    saliency      where a classifier looks
    scores        cases and means of several runs
    segmentation_scores  scores of segmentations: strips by structure, runs paired, lesions by size
    thresholds  scores over thresholds; how sure a network is
    depth         F-scores by depth; subjects in the plane at each depth
    export        a figure as an offline page or as a PNG
"""
