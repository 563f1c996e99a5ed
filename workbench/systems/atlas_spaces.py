"""The space of one atlas: the others brought into it, what they agree on there, and its sequence of classifiers.

Kim et al. (NeuroImage 2013), the host of the review's Reference 92: in every atlas's space classifiers learn from that
atlas and from all others warped to it; a target is warped there, classified, and what is found is warped back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, label
from torch import Tensor

from workbench.classical.auto_context import ContextImage
from workbench.classical.boosted_trees import ARRAYS, BoostedTrees
from workbench.imaging.geometry import warp
from workbench.imaging.volume import Volume
from workbench.metrics.overlap import overlap
from workbench.registration.registered import Registered
from workbench.runs.run import Run

STEM, STRIP = "space-", "auto-context"
LEAST_PIECE = 0.5
"""Of the largest piece of a class: one side's structure may be somewhat smaller than the other's."""


@dataclass(frozen=True, eq=False)
class AtlasSpace:
    """The lattice of one atlas with what lies in it.

    Attributes:
        labels: (N, X, Y, Z) int16 classes of all atlases of the run, warped here; its own as they are.
        mask: (X, Y, Z) bool, the voxels that are classified.
        n_classes: K.
    """

    labels: np.ndarray
    mask: np.ndarray
    n_classes: int

    def prior(self, left_out: int | None = None) -> np.ndarray:
        """Give the share of atlases for each class, (K, X, Y, Z) float32.

        Args:
            left_out: an atlas that has no say, since it is the image itself; ignored where there is no other.
        """
        kept = [i for i in range(len(self.labels)) if i != left_out] or list(range(len(self.labels)))
        return np.stack([(self.labels[kept] == k).mean(0, dtype=np.float32) for k in range(self.n_classes)])


def space_of(labels: np.ndarray, band_mm: float, spacing: Sequence[float], n_classes: int) -> AtlasSpace:
    """Make the space of warped label maps (N, X, Y, Z): what any of them labels, and a band around."""
    labelled = (labels > 0).any(0)
    near = distance_transform_edt(~labelled, sampling=tuple(spacing)) <= band_mm
    return AtlasSpace(labels.astype(np.int16), near, n_classes)


def leave_space(run: Run, number: int, space: AtlasSpace) -> None:
    """Keep a space in a run."""
    run.save_arrays(
        f"{STEM}{number:03d}", labels=space.labels, mask=space.mask, n_classes=np.array(space.n_classes)
    )  # fmt: skip


def read_space(run: Run, number: int) -> AtlasSpace:
    """Read what :func:`leave_space` kept.

    Raises:
        RunError: the run has not come that far.
    """
    kept = run.load_arrays(f"{STEM}{number:03d}")
    return AtlasSpace(kept["labels"], kept["mask"], int(kept["n_classes"]))


def as_tensors(classifiers: Sequence[BoostedTrees], stem: str) -> dict[str, Tensor]:
    """Give a sequence as named tensors, to be kept with a run's weights."""
    return {
        f"{stem}.{t}.{name}": torch.from_numpy(np.array(array))
        for t, trees in enumerate(classifiers)
        for name, array in trees.to_arrays().items()
    }


def from_tensors(tensors: Mapping[str, Tensor], stem: str) -> list[BoostedTrees]:
    """Read the sequence that :func:`as_tensors` gave."""
    found: list[BoostedTrees] = []
    while f"{stem}.{len(found)}.{ARRAYS[0]}" in tensors:
        own = f"{stem}.{len(found)}."
        found.append(
            BoostedTrees.from_arrays({n.removeprefix(own): t.numpy() for n, t in tensors.items() if n.startswith(own)})
        )
    return found


def context_image(features: np.ndarray, space: AtlasSpace, number: int) -> ContextImage:
    """Give an atlas in a space as an image to learn from: its own labels have no say in its prior."""
    return ContextImage(features, space.prior(number), space.labels[number].astype(np.int32))


@dataclass(frozen=True, eq=False)
class ContextStrip:
    """What is believed of an image from iteration to iteration.

    Attributes:
        image: (1, X, Y, Z), prepared and cropped.
        maps: (T + 2, K, X, Y, Z) float32, sum 1 over K; the registered labels first, then one a classifier.
        names: of these steps.
        classes: K names, background first.
        dice: (T + 2,) mean over the classes against the truth; None without truth.
        truth: (X, Y, Z) classes, below 0 where it is not known; None without.
    """

    image: Volume
    maps: np.ndarray
    names: tuple[str, ...]
    classes: tuple[str, ...]
    dice: np.ndarray | None = None
    truth: np.ndarray | None = None

    def dice_of(self, number: int) -> np.ndarray | None:
        """Give the Dice coefficient of one class at each step, (T + 2,); None without truth."""
        if self.truth is None:
            return None
        known, said = self.truth >= 0, self.maps.argmax(1)
        return np.array([overlap(s == number, self.truth == number, known).dice for s in said])


def leave_strip(run: Run, strip: ContextStrip, source: str) -> None:
    """Keep a strip in a run, with the digest of the subject's image as it came."""
    known = {} if strip.truth is None else {"truth": strip.truth.astype(np.int16)}
    run.save_arrays(
        STRIP, maps=strip.maps.astype(np.float16), image=strip.image.data, affine=strip.image.affine,
        modality=np.array(strip.image.modality), source=np.array(source), classes=np.array(strip.classes), **known,
    )  # fmt: skip


def read_strip(run: Run) -> tuple[ContextStrip, str]:
    """Read what :func:`leave_strip` kept, and the digest.

    Raises:
        RunError: the run has not come that far.
    """
    kept = run.load_arrays(STRIP)
    image = Volume(kept["image"], kept["affine"], str(kept["modality"]))
    maps = kept["maps"].astype(np.float32)
    truth = kept["truth"].astype(np.int32) if "truth" in kept else None
    dice = None if truth is None else mean_dice(maps, truth)
    names = tuple(str(c) for c in kept["classes"])
    return ContextStrip(image, maps, step_names(len(maps)), names, dice, truth), str(kept["source"])


def brought_back(maps: Sequence[np.ndarray], map_: Registered) -> np.ndarray:
    """Bring maps (K, X, Y, Z) in the space of an atlas to the target that was warped there.

    Args:
        maps: S of them.
        map_: the atlas's image is the fixed one, the target's the moving one.

    Returns:
        (S, K, X', Y', Z') float32, sum 1; where the atlas does not reach is background.
    """
    named = np.concatenate([m[1:] for m in maps])  # (S · (K - 1), X, Y, Z)
    moved = warp(map_.fixed.with_data(named), map_.inverse, like=map_.moving).data
    moved = moved.reshape(len(maps), -1, *map_.moving.shape)
    return np.concatenate([np.maximum(1 - moved.sum(1, keepdims=True), 0), moved], axis=1)


def step_names(n_maps: int) -> tuple[str, ...]:
    """Name the registered labels and so many iterations after them."""
    return ("registered labels", *(f"iteration {t}" for t in range(n_maps - 1)))


def mean_dice(maps: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Give the Dice coefficient of each step of maps (S, K, X, Y, Z), the mean over the classes of the truth: (S,)."""
    known = truth >= 0
    present = [k for k in range(1, maps.shape[1]) if (truth == k).any()]
    said = maps.argmax(1)
    return np.array([np.mean([overlap(s == k, truth == k, known).dice for k in present] or [np.nan]) for s in said])


def largest_pieces(classes: np.ndarray) -> np.ndarray:
    """Keep of each class its largest piece and those at least half as large: (X, Y, Z) int32, the rest is background.

    A class on both sides of the body keeps both.
    """
    kept = np.zeros_like(classes)
    for k in np.unique(classes[classes > 0]).tolist():
        pieces, n_pieces = label(classes == k)
        sizes = np.bincount(pieces.ravel(), minlength=n_pieces + 1)[1:]
        large = 1 + np.flatnonzero(sizes >= LEAST_PIECE * sizes.max())
        kept[np.isin(pieces, large)] = k
    return kept
