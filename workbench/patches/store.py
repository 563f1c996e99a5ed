"""Prepared subjects as memory-mapped arrays with a margin of zeros, and draws from them.

Preparation (reading, bias correction, scaling …) is done once for a key and kept in a folder:

    store.json     key, margin, and for each subject its name, shape and affine
    image.npy      (S, C, X, Y, Z) float32: all subjects in one array of the largest shape, zeros around each
    labels.npy     (S, 1, X, Y, Z) int32, when every subject has a label map
    inside.npy     flat indices of the masks' voxels, subject after subject; inside_begins.npy says where each begins
    by_label.npy   the same, ordered by label; label_bounds.npy and label_firsts.npy say where each label begins
    weighted.npy   flat indices of voxels with a weight; total.npy holds their cumulative weight

The operating system keeps what is used in memory, so cohorts larger than the memory train too, and a second training
on the same settings starts at once. One array for all subjects makes a batch one fancy index.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from workbench.errors import CohortError, SettingsError
from workbench.imaging.subject import Subject
from workbench.patches import samplers
from workbench.patches.building import FORMAT, put_in_place, sweep, write_store
from workbench.patches.gather import gather, gather_stacked
from workbench.patches.prepared import Prepared
from workbench.patches.stored_labels import StoredLabels
from workbench.patches.views import three_planes
from workbench.progress import Progress, silent

SamplerName = Literal["uniform", "inside", "balanced", "weighted"]
View = Literal["block", "three_planes"]
NEEDS = {"uniform": ("", ""), "inside": ("inside", "a mask"), "balanced": ("by_label", "a label map"),
         "weighted": ("weighted", "weights")}  # fmt: skip
TABLES = ("inside", "inside_begins", "by_label", "label_bounds", "label_firsts", "weighted", "weighted_begins", "total")


class Drawn(NamedTuple):
    """Patches, and where they come from.

    Attributes:
        patches: (n, C, *size) float32; (n, 3 C, size, size) for three planes.
        subject_index: (n,) int64.
        centers: (n, 3) int64 voxel indices.
    """

    patches: np.ndarray
    subject_index: np.ndarray
    centers: np.ndarray


def store_key(cohort_digest: str, settings: Mapping[str, Any]) -> str:
    """Give a short name for prepared data: it changes with the cohort and with every setting of the preparation."""
    text = json.dumps([FORMAT, cohort_digest, dict(settings)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class PatchStore:
    """Prepared subjects on disk.

    Args:
        folder: what :meth:`build` made.

    Attributes:
        names: of the subjects.
        margin: voxels of zeros around each image.
        shapes: (S, 3) voxels of each subject, without the margin.
        affines: (S, 4, 4), voxel index → mm.
    """

    def __init__(self, folder: Path) -> None:
        content = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        rows = content["subjects"]
        self.folder = folder
        self.key: str = content["key"]
        self.margin: int = content["margin"]
        self.names: list[str] = [row["name"] for row in rows]
        self.shapes = np.array([row["shape"] for row in rows])
        self.affines = np.array([row["affine"] for row in rows])
        self._lacking: dict[str, list[str]] = content["lacking"]
        self._images = _map(folder / "image.npy")
        self._labels = _map(folder / "labels.npy") if self.has_labels else None
        self._tables = {n: _map(folder / f"{n}.npy") for n in TABLES if (folder / f"{n}.npy").exists()}

    @classmethod
    def build(
        cls,
        subjects: Sequence[Subject],
        prepare: Callable[[Subject], Prepared],
        folder: Path,
        *,
        key: str,
        margin: int,
        progress: Progress = silent,
    ) -> PatchStore:
        """Prepare every subject once, or open what an earlier call with the same key, subjects and margin left.

        Args:
            subjects: in the order of ``subject_index``.
            prepare: reads a subject; called once for each.
            folder: of this store; replaced when its key differs.
            key: see :func:`store_key`.
            margin: voxels of zeros around each image; half the largest patch makes draws fastest.
            progress: told of each subject; may cancel, which leaves nothing behind.

        Raises:
            CohortError: no subjects, or one whose image is constant or not finite, or whose mask or weights are empty.
        """
        names = [s.name for s in subjects]
        if not names:
            raise CohortError("There is no subject to take patches from; choose a split that leaves some for training.")
        complete_key = store_key(key, {"names": names, "margin": margin})
        if (found := _open(folder, complete_key)) is not None:
            return found
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
        try:
            write_store(partial, _prepared(subjects, prepare, progress), complete_key, margin)
            progress(1.0, f"Prepared {len(names)} subjects")
            if _open(folder, complete_key) is None:  # else another process has built the same meanwhile
                put_in_place(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return cls(folder)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_channels(self) -> int:
        """Channels of every image."""
        return int(self._images.shape[1])

    @property
    def has_labels(self) -> bool:
        """Whether every subject has a label map."""
        return not self._lacking["by_label"]

    def image(self, index: int) -> np.ndarray:
        """Give one subject's image with its margin, (C, X + 2m, Y + 2m, Z + 2m) float32, read-only."""
        x, y, z = self.shapes[index] + 2 * self.margin
        return self._images[index, :, :x, :y, :z]

    def draw(
        self,
        n: int,
        size: Sequence[int],
        rng: np.random.Generator,
        sampler: SamplerName = "uniform",
        view: View = "block",
        shares: np.ndarray | None = None,
    ) -> Drawn:
        """Draw n patches; every subject is equally likely.

        Args:
            n: patches.
            size: voxels along X, Y, Z; for three planes all the same.
            rng: the only source of chance.
            sampler: where centers are drawn.
            view: ``"block"`` (3-D, or 2-D when an axis has size 1) or ``"three_planes"`` (2.5-D).
            shares: of the labels at the centers, from :meth:`StoredLabels.shares`, for the balanced sampler; None for
                equal ones.
        """
        return self.take(*self.draw_centers(n, rng, sampler, shares), size, view)

    def draw_centers(
        self, n: int, rng: np.random.Generator, sampler: SamplerName, shares: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw subjects (n,) and centers (n, 3), for :meth:`take`; see :meth:`draw`."""
        which = rng.integers(0, len(self), size=n)
        return which, self._centers(which, rng, sampler, shares)

    def take(self, which: np.ndarray, centers: np.ndarray, size: Sequence[int], view: View = "block") -> Drawn:
        """Give the patches about centers (n, 3), which may lie outside, of subjects (n,); see :meth:`draw`."""
        n = len(which)
        if view == "block" and self._are_in_stack(centers, size):
            return Drawn(gather_stacked(self._images, which, centers, size, self.margin), which, centers)
        shape = (n, self.n_channels, *size) if view == "block" else (n, 3 * self.n_channels, size[0], size[0])
        patches = np.empty(shape, np.float32)
        for i in np.unique(which):
            here = which == i
            if view == "block":
                patches[here] = gather(self.image(i), centers[here], size, self.margin)
            else:
                patches[here] = three_planes(self.image(i), centers[here], size[0], self.margin)
        return Drawn(patches, which, centers)

    @cached_property
    def label_maps(self) -> StoredLabels:
        """The label maps of all subjects.

        Raises:
            SettingsError: a subject has none.
        """
        if self._labels is None:
            raise SettingsError(
                f"Segmentation learns from label maps and {self._lacking['by_label'][0]} has none; add it, or leave "
                "the subject out."
            )
        return StoredLabels(self._labels[:, 0], self._tables, self.shapes, self.names)

    def labels(self, index: int) -> np.ndarray:
        """Give one subject's label map without a margin, (X, Y, Z) int32, read-only."""
        if self._labels is None:
            raise ValueError(f"{', '.join(self._lacking['by_label'])} have no label map")
        x, y, z = self.shapes[index]
        return self._labels[index, 0, :x, :y, :z]

    def inside(self, index: int) -> np.ndarray:
        """Give where one subject's patches may be centered, (X, Y, Z) bool; everywhere if it has no mask."""
        where = np.zeros(self.shapes[index], bool)
        if "inside" not in self._tables:
            return ~where
        begins = self._tables["inside_begins"]
        where.ravel()[self._tables["inside"][begins[index] : begins[index + 1]]] = True
        return where

    def labels_at(self, subject_index: np.ndarray, centers: np.ndarray) -> np.ndarray:
        """Give the label at each center: (n,) int64."""
        if self._labels is None:
            raise ValueError(f"{', '.join(self._lacking['by_label'])} have no label map")
        x, y, z = np.asarray(centers).T
        return self._labels[subject_index, 0, x, y, z].astype(np.int64)

    def centers_mm(self, subject_index: np.ndarray, centers: np.ndarray) -> np.ndarray:
        """Give centers in mm: (n, 3)."""
        affines = self.affines[subject_index]
        return np.einsum("nij,nj->ni", affines[:, :3, :3], np.asarray(centers, float)) + affines[:, :3, 3]

    def check_sampler(self, sampler: SamplerName) -> None:
        """Say what a sampler lacks.

        Raises:
            SettingsError: no sampler of that name, or a subject without the mask, labels or weights it needs.
        """
        if sampler not in NEEDS:
            raise SettingsError(f"The sampler must be one of {', '.join(NEEDS)}; got {sampler!r}.")
        table, needs = NEEDS[sampler]
        if lacking := self._lacking.get(table):
            raise SettingsError(
                f"The {sampler} sampler needs {needs} for every subject and {lacking[0]} has none; "
                "choose another sampler or add it."
            )

    def _are_in_stack(self, centers: np.ndarray, size: Sequence[int]) -> bool:
        """Say whether no patch reaches beyond the array of all subjects, whose rest is zeros too."""
        starts = centers + (self.margin - np.asarray(size) // 2)
        within = (starts >= 0) & (starts + np.asarray(size) <= self._images.shape[2:])
        return max(size) // 2 <= self.margin and bool(within.all())

    def _centers(
        self, which: np.ndarray, rng: np.random.Generator, sampler: SamplerName, shares: np.ndarray | None
    ) -> np.ndarray:
        t, shapes = self._tables, self.shapes
        if sampler == "balanced" and shares is not None:
            return self.label_maps.centers(which, shares, rng)
        if sampler == "uniform":
            return samplers.uniform(shapes[which], len(which), rng)
        if sampler == "inside":
            return samplers.among(t["inside"], t["inside_begins"], shapes, which, rng)
        if sampler == "balanced":
            return samplers.among_labels(t["by_label"], t["label_bounds"], t["label_firsts"], shapes, which, rng)
        return samplers.among_weighted(t["weighted"], t["total"], t["weighted_begins"], shapes, which, rng)


def _prepared(
    subjects: Sequence[Subject], prepare: Callable[[Subject], Prepared], progress: Progress
) -> Iterator[tuple[str, Prepared]]:
    for i, subject in enumerate(subjects):
        progress(i / len(subjects), f"Preparing {subject.name}, {i + 1} of {len(subjects)}")
        yield subject.name, prepare(subject)


def _map(file: Path) -> np.ndarray:
    # a plain view of the map: indexing np.memmap itself costs several microseconds a call
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))


def _open(folder: Path, key: str) -> PatchStore | None:
    """Open a store if it is there, whole, and of this key."""
    try:
        store = PatchStore(folder)
    except (OSError, ValueError, KeyError):
        return None
    return store if store.key == key else None
