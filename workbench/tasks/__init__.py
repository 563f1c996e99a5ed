"""Networks in training, as Lightning modules: a loss, an optimizer, and what is logged.

    autoencoding   greedy layer-wise pretraining and unrolled fine-tuning of a stack of auto-encoders
"""
