"""Networks in training, as Lightning modules: a loss, an optimizer, and what is logged.

    autoencoding   greedy layer-wise pretraining and unrolled fine-tuning of a stack of auto-encoders
    subspaces      independent subspaces by projected gradient (Section 3.1)
    contrast       what contrastive divergence asks of an energy model, and its gradients
    boltzmann      contrastive divergence and persistent chains for one energy model (Section 2.3.2)
    optimizers     Nesterov's accelerated gradient, the momentum schedule, rates of each layer, max-norm
    schedules      how the learning rate falls: in a line, in steps, or when the loss stalls (Section 3.3)
    early_stopping   the best weights and the patience, as part of the checkpoint
    supervised     any network on classes or numbers, with the training devices of Section 2.6
    segmentation_losses   cross-entropy, sensitivity against specificity, Dice; labels that are left out (Section 3.3)
    segmenting     any network that labels voxels, by patches or whole images
    deep_boltzmann   joint training of a deep Boltzmann machine by mean field and Markov chains
    wake_sleep     all layers of a deep belief network together, by the contrastive wake-sleep rule
    sparsity_control   weights as sparse as one wants, by an L1 penalty that is steered (Section 3.5)
    aside              train a task beside a run's stages, for nested choices
"""
