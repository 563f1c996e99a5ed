"""From a cohort to examples: patches of volumes, whole images, or rows of feature tables, with their targets.

What is drawn is fixed by the settings and the seed, so that statistics, likelihoods and the free-energy gap refer to
one set of examples. Nothing is learnt here: scaling comes later, from training alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import torch
from skimage.transform import resize

from workbench.errors import CohortError, SettingsError, TooLarge
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import require_3d
from workbench.imaging.geometry import resample_like
from workbench.imaging.limits import max_bytes
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.patches.examples import Examples
from workbench.patches.prepared import Prepared
from workbench.patches.store import PatchStore, SamplerName, store_key
from workbench.paths import cache_dir
from workbench.progress import Progress, silent
from workbench.systems.feature_images import ImagePreparation

SourceName = Literal["auto", "patches", "whole", "features"]
SAMPLERS: dict[str, SamplerName] = {
    "gradient": "weighted",
    "inside": "inside",
    "uniform": "uniform",
    "balanced": "balanced",
}


@dataclass(frozen=True)
class ExampleSource:
    """What an example is.

    Attributes:
        kind: patches of images, whole images, rows of feature tables; ``auto`` asks the cohort.
        modalities: of images, one a channel; empty takes a subject's first.
        tables: ``features:`` columns, laid end to end; empty takes all.
        dimensions: of patches, 2 or 3.
        patch_size: edge in voxels, odd.
        spacing_mm: voxels are resampled to this edge; 0 keeps them.
        sampler: where patches are centered.
        whole_size: edge to which whole images are resampled; 0 keeps them, and then all must agree.
    """

    kind: SourceName
    modalities: tuple[str, ...]
    tables: tuple[str, ...]
    dimensions: int
    patch_size: int
    spacing_mm: float
    sampler: str
    whole_size: int

    def resolved(self, cohort: Cohort) -> ExampleSource:
        """Fill in what ``auto`` and empty names stand for in a cohort.

        Raises:
            CohortError: it has neither images nor feature tables.
        """
        first = cohort.subjects[0]
        kind = self.kind
        if kind == "auto":
            kind = "features" if not first.images else "whole" if _is_small_picture(first) else "patches"
        if kind == "features":
            tables = self.tables or tuple(first.features)
            if not tables:
                raise CohortError(
                    f"Cohort {cohort.name} has no feature table (a column features:<name>); it has "
                    f"{', '.join(cohort.modalities) or 'no images either'}. Choose patches or whole images."
                )
            return replace(self, kind=kind, tables=tables)
        if not first.images:
            raise CohortError(f"Subject {first.name} has no image to take examples from; choose feature tables.")
        return replace(self, kind=kind, modalities=self.modalities or (next(iter(first.images)),))

    def check(self, cohort: Cohort) -> None:
        """Say what subjects lack.

        Raises:
            CohortError: a subject lacks an image or a table.
            GeometryError: cubes are wanted of a picture.
        """
        for subject in cohort:
            have = subject.features if self.kind == "features" else subject.images
            missing = [n for n in (self.tables if self.kind == "features" else self.modalities) if n not in have]
            if missing:
                raise CohortError(
                    f"Subject {subject.name} has no {' and no '.join(missing)}; it has {', '.join(have) or 'nothing'}. "
                    "Choose other names or leave the subject out."
                )
        if self.kind == "patches" and self.dimensions == 3:
            volume = cohort.subjects[0].volume(self.modalities[0])
            require_3d(volume, "Learning from cubes (the setting dimensions = 3)")

    @property
    def n_images(self) -> int:
        """Channels of a patch or whole image of one channel a modality."""
        return max(1, len(self.modalities))

    def examples(self, part: Cohort, n: int, seed: int, identity: str, progress: Progress = silent) -> Examples:
        """Give the examples of one part of a cohort, raw and without targets.

        Args:
            part: subjects.
            n: patches to draw; whole images and tables give one example a subject.
            seed: of the draws.
            identity: digest of the cohort, for the cache of prepared images.
            progress: told of each subject.

        Raises:
            CohortError: examples of different shapes or lengths.
            TooLarge: they would not fit into the limit on memory.
        """
        if self.kind == "patches":
            return self._patches(part, n, seed, identity, progress)
        rows = []
        for i, subject in enumerate(part):
            if i % 50 == 0:
                progress(i / len(part), f"Reading {subject.name}, {i + 1} of {len(part)}")
            rows.append(self._row(subject) if self.kind == "features" else self._whole(subject))
            _check_next(part, rows)
        x = torch.from_numpy(np.stack(rows).astype(np.float32))
        return Examples(x, None, torch.arange(len(rows)), [s.name for s in part])

    def columns(self, subject: Subject) -> list[str]:
        """Give the names of a feature row's elements, ``table: column`` when there are several tables."""
        found = []
        for table in self.tables:
            names, _ = subject.feature_vector(table)
            found += [f"{table}: {n}" if len(self.tables) > 1 else n for n in names]
        return found

    def blocks(self, subject: Subject) -> dict[str, tuple[int, int]]:
        """Give where each table or modality lies in a flattened example: name → (begin, end); for pathways."""
        if self.kind == "features":
            sizes = {t: len(subject.feature_vector(t)[1]) for t in self.tables}
        elif self.kind == "whole":  # a modality may have several channels
            sizes = {m: int(np.prod(replace(self, modalities=(m,)).image_shape(subject))) for m in self.modalities}
        else:
            sizes = dict.fromkeys(self.modalities, self.patch_size**self.dimensions)
        ends = np.cumsum(list(sizes.values())).tolist()
        return {name: (end - sizes[name], end) for name, end in zip(sizes, ends, strict=True)}

    def image_shape(self, subject: Subject) -> tuple[int, ...]:
        """Give the shape of one example of a subject."""
        if self.kind == "patches":
            return (self.n_images, *[self.patch_size] * self.dimensions)
        return (self._row(subject) if self.kind == "features" else self._whole(subject)).shape

    def prepared(self, subject: Subject) -> tuple[Volume, np.ndarray]:
        """Give a subject's images as patches are cut from them, one channel each, and the mask (X, Y, Z) bool."""
        first, mask = self._preparation(self.modalities[0]).image(subject)
        channels = [first.data[0]]
        for name in self.modalities[1:]:
            other, _ = self._preparation(name).image(subject)
            channels.append(np.where(mask, resample_like(other, first).data[0], 0))
        return first.with_data(np.stack(channels)), mask

    def _patches(self, part: Cohort, n: int, seed: int, identity: str, progress: Progress) -> Examples:
        x, y, z = (*[self.patch_size] * self.dimensions, 1)[:3]
        n_bytes = 4 * n * x * y * z * self.n_images
        if n_bytes > max_bytes():
            raise TooLarge(
                f"{n:,} patches of {x} × {y} × {z} voxels take {n_bytes / 2**30:.1f} GiB and the limit is "
                f"{max_bytes() / 2**30:.1f} GiB; draw fewer, or smaller ones."
            )
        key = store_key(identity, {**asdict(self), "part": [s.name for s in part]})
        store = PatchStore.build(
            part.subjects, self._prepare, cache_dir() / "patches" / key, key=key, margin=self.patch_size // 2 + 1,
            progress=progress,
        )  # fmt: skip
        if self.sampler == "balanced":
            store.check_sampler("balanced")
        drawn = store.draw(n, (x, y, z), np.random.default_rng([seed, 11]), SAMPLERS[self.sampler])
        patches = torch.from_numpy(drawn.patches).reshape(n, *self.image_shape(part.subjects[0]))
        target = None
        if store.has_labels:
            target = torch.from_numpy(store.labels_at(drawn.subject_index, drawn.centers))
        return Examples(patches, target, torch.from_numpy(drawn.subject_index).long(), store.names)

    def _prepare(self, subject: Subject) -> Prepared:
        volume, mask = self.prepared(subject)
        weights = self._preparation(self.modalities[0]).weights(volume, mask)
        return Prepared(volume.data, mask, self.labels_on(subject, volume), weights, volume.affine)

    def labels_on(self, subject: Subject, volume: Volume) -> np.ndarray | None:
        """Give a subject's label map on the lattice of its prepared image, or None."""
        if subject.label is None:
            return None
        like = subject.volume(self.modalities[0])
        labels = subject.label_map(like)
        on_image = Volume(labels[None].astype(np.float32), like.affine, "label", like.grid)  # type: ignore[index]
        return np.rint(resample_like(on_image, volume, order=0).data[0]).astype(np.int32)

    def _preparation(self, modality: str) -> ImagePreparation:
        return ImagePreparation(modality, self.spacing_mm, False, self.sampler == "gradient", self.dimensions)

    def _row(self, subject: Subject) -> np.ndarray:
        return np.concatenate([subject.feature_vector(table)[1] for table in self.tables]).astype(np.float32)

    def _whole(self, subject: Subject) -> np.ndarray:
        """Give a whole image as (C, X, Y) of a picture or (C, X, Y, Z), one block of channels a modality."""
        images = []
        for name in self.modalities:
            data = subject.volume(name).data
            data = data[..., 0] if data.shape[-1] == 1 else data
            if self.whole_size:
                shape = (len(data), *[self.whole_size] * (data.ndim - 1))
                data = resize(data, shape, order=1, anti_aliasing=True, preserve_range=True)
            images.append(data.astype(np.float32))
        if len({image.shape[1:] for image in images}) > 1:
            raise CohortError(
                f"The images of {subject.name} have {' and '.join(str(i.shape[1:]) for i in images)} voxels; give "
                "whole images a size, so that they can be laid together."
            )
        return np.concatenate(images)


def _is_small_picture(subject: Subject) -> bool:
    volume = subject.volume(next(iter(subject.images)))
    return volume.is_picture and max(volume.shape) <= 64


def _check_next(part: Cohort, rows: list[np.ndarray]) -> None:
    """Compare the row read last with the first, before more are read."""
    check_same_shape(part.subjects[0].name, rows[0].shape, part.subjects[len(rows) - 1].name, rows[-1].shape)
    if len(rows) == 1 and 2 * len(part) * rows[0].nbytes > max_bytes():  # read one by one, then laid together
        raise TooLarge("The examples do not fit into memory; give whole images a smaller size, or use patches.")


def check_same_shape(one: str, shape: tuple[int, ...], other: str, other_shape: tuple[int, ...]) -> None:
    """Say that the examples of two subjects must have one shape.

    Raises:
        CohortError: they have not.
    """
    if shape != other_shape:
        raise CohortError(
            f"The example of {other} has the shape {other_shape} and that of {one} {shape}; they must agree. Give "
            "whole images a size, or give every subject the same columns."
        )


def targets_of(part: Cohort, name: str) -> list[str]:
    """Give each subject's target as written.

    Raises:
        CohortError: a subject has none.
        SettingsError: the named covariate is not in the cohort.
    """
    values = [s.target if not name else s.covariates.get(name) for s in part]
    lacking = [s.name for s, v in zip(part, values, strict=True) if v in (None, "")]
    if len(lacking) == len(values):
        raise SettingsError(
            f"No subject has {f'the covariate {name}' if name else 'a target'}; add the column {name or 'target'} to "
            "cohort.csv, or name a covariate that it has."
        )
    if lacking:
        raise CohortError(
            f"Subject {lacking[0]} has no {name or 'target'} (and {len(lacking) - 1} more); fill it in or leave them "
            "out of the cohort."
        )
    return [str(v) for v in values]
