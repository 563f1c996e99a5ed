"""What a trained patch encoder brings to a registration, light enough for every encoder to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workbench.systems.feature_images import ImagePreparation

Encoder = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(image (X, Y, Z) in 0..1, mask (X, Y, Z)) → codes (N, K) of the mask's voxels in C order."""


@dataclass(frozen=True)
class LearntFeatures:
    """What a trained run brings to a registration.

    Attributes:
        preparation: what is done to images before the network sees them.
        quantiles: intensities that images are matched to, of the run's reference subject; None where it matched none.
        encode: the network.
        name: how the features are called, for example ``"SAE"``.
    """

    preparation: ImagePreparation
    quantiles: np.ndarray | None
    encode: Encoder
    name: str
