"""The hand-designed partners and rivals of learnt features: arrays in, arrays out.

In reading order:

    descriptors        dense SIFT-like descriptors in two and three dimensions
    connectivity       correlations of regional signals, as matrices and as vectors, and their normalization
    graphs             thresholds, graph measures and GraphML
    baum_welch         the starts and steps that fit a hidden Markov model
    hmm                Gaussian hidden Markov models of several sequences
    model_order        how many hidden states, by held-out likelihood
    state_statistics   occupancy, dwell times and transitions of paths, with intervals
    decomposition      ICA, PCA, sparse dictionaries and NMF of signals and of voxels
"""
