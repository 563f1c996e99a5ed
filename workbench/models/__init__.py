"""Section 2 of the review as plain networks: modules that compute, and know nothing of trainers or files.

    layers                what networks are made of: activations, corruption, sparsity, patch normalization, ConvStage
    autoencoder           one auto-encoder (Section 2.3.1)
    stack                 what every stack of auto-encoders can do
    stacked_autoencoder   the stacked auto-encoder on whole patches, and its conversion to a classifier
    conv_autoencoder      the convolutional stack with max pooling (Wu et al. 2016)
"""
