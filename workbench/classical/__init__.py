"""The hand-designed partners and rivals of learnt features: arrays in, arrays out.

In reading order:

    descriptors        dense SIFT-like descriptors in two and three dimensions
    hand_features      Haar-like box differences, gradient histograms and binary patterns of the patch about a voxel
    connectivity       correlations of regional signals, as matrices and as vectors, and their normalization
    graphs             thresholds, graph measures and GraphML
    baum_welch         the starts and steps that fit a hidden Markov model
    hmm                Gaussian hidden Markov models of several sequences
    model_order        how many hidden states, by held-out likelihood
    state_statistics   occupancy, dwell times and transitions of paths, with intervals
    decomposition      ICA, PCA, sparse dictionaries and NMF of signals and of voxels
    label_fusion       votes of several labelled images, by majority or weighted by local likeness
    boosted_trees      gradient boosted trees as plain arrays
    auto_context       classifiers one after the other, each seeing what the one before said around
    sparse_codes       a vector as few positive multiples of others, thousands of vectors at once
    patch_windows      feature rows by place, and the nearest of them in search windows
    patch_matching     labels by sparse patch matching of warped atlases
    surfaces           triangle meshes from masks, their normals and smoothing
    voxelization       the voxels whose centers a closed mesh encloses
    correspondence     one template mesh laid onto many masks
    shape_dictionary   sparse shape composition: a surface as mean, few training shapes and few gross errors
    deformable_model   a surface between the boundary of a likelihood and the shapes it learnt
"""
