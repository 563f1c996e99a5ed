"""What one subject gives to training: checked once, with tables of where patches may be centered."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from workbench.errors import CohortError
from workbench.patches import samplers


@dataclass(frozen=True, eq=False)
class Prepared:
    """What one subject gives to training.

    Attributes:
        image: (C, X, Y, Z) float32, as the network is to see it.
        mask: (X, Y, Z) bool, where patches may be centered; None for everywhere.
        labels: (X, Y, Z) integers, or None.
        weights: (X, Y, Z), probability of a center up to a factor, or None.
        affine: (4, 4), voxel index → mm.
    """

    image: np.ndarray
    mask: np.ndarray | None = None
    labels: np.ndarray | None = None
    weights: np.ndarray | None = None
    affine: np.ndarray = field(default_factory=lambda: np.eye(4))


def tables(name: str, prepared: Prepared) -> dict[str, np.ndarray]:
    """Check one subject and give what samplers draw from: see :mod:`workbench.patches.samplers`.

    Returns:
        ``inside``; ``by_label`` and ``label_begins``; ``weighted`` and ``total``: those that the subject allows.

    Raises:
        CohortError: the image is constant or not finite, or the mask or the weights are empty.
    """
    _check(name, prepared)
    made: dict[str, np.ndarray] = {}
    if prepared.mask is not None:
        made["inside"] = samplers.candidates(prepared.mask)
    if prepared.labels is not None:
        made["by_label"], made["label_begins"] = samplers.candidates_by_label(prepared.labels, prepared.mask)
    if prepared.weights is not None:
        made["weighted"], made["total"] = samplers.cumulative_weights(prepared.weights, prepared.mask)
    return made


def _check(name: str, prepared: Prepared) -> None:
    image, mask, weights = prepared.image, prepared.mask, prepared.weights
    for array, what in ((mask, "mask"), (prepared.labels, "labels"), (weights, "weights")):
        if array is not None and array.shape != image.shape[1:]:
            raise ValueError(f"{name}: {what} {array.shape} and image {image.shape[1:]} must have the same voxels")
    if (n_bad := int(image.size - np.isfinite(image).sum())) > 0:
        raise CohortError(
            f"The image of subject {name} has {n_bad} voxels that are not finite numbers; "
            "repair the file or leave the subject out."
        )
    if mask is not None and not mask.any():
        raise CohortError(f"The mask of subject {name} is empty; draw it again or leave the subject out.")
    inside = image if mask is None else image[:, mask != 0]
    if any(channel.min() == channel.max() for channel in inside):
        where = "" if mask is None else " inside its mask"
        raise CohortError(
            f"The image of subject {name} has the same value everywhere{where}, so nothing can be learned from it; "
            "leave the subject out."
        )
    if weights is not None and not (weights if mask is None else weights * (mask != 0)).any():
        raise CohortError(f"The sampling weights of subject {name} are zero everywhere; choose another sampler.")
