"""The base of systems that learn to encode patches without labels: the images, the patches, the codes of all voxels.

What learns is left to the systems: a stack of auto-encoders (``features_base.py``), independent subspaces. Everything
learnt, the intensity reference of the histogram matching included, comes from the training subjects of the run's
split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from workbench.errors import CohortError, SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import require_3d
from workbench.imaging.geometry import resample_like
from workbench.imaging.limits import check_header
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.inference.features import FeatureVolume, cached_features, digest_of
from workbench.metrics.intervals import mean_interval
from workbench.models.layers import NormalizationName
from workbench.patches.gather import gather
from workbench.patches.samplers import inside
from workbench.patches.store import PatchStore, SamplerName, store_key
from workbench.paths import cache_dir
from workbench.progress import Progress, silent
from workbench.runs.run import Run, run_progress
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.base import Prediction, System, setting
from workbench.systems.feature_images import ImagePreparation, PatchPreview, preview_patches
from workbench.systems.feature_scores import finite
from workbench.systems.learnt_features import LearntFeatures

N_SCORED = 2000
SAMPLERS: dict[str, SamplerName] = {"gradient": "weighted", "inside": "inside", "uniform": "uniform"}


@dataclass(frozen=True, eq=False)
class VoxelEncoder:
    """A trained encoder of the patches about voxels.

    Attributes:
        code_size: M.
        key: differs where codes may: what is learnt, and the patch.
        encode: (image (C, X, Y, Z), mask or indices of N voxels, array (N, M) to fill or None, progress) → (N, M).
    """

    code_size: int
    key: str
    encode: Callable[[np.ndarray, np.ndarray, np.ndarray | None, Progress], np.ndarray]


class EncoderLearning(System):
    """A patch encoder that is learnt without labels, and the codes of a subject's voxels."""

    modality: str = setting(
        "", "Modality", "Which image of each subject to learn from; empty takes the first it has.", "Data"
    )
    spacing_mm: float = setting(
        1.0,
        "Voxel size (mm)",
        "Images are resampled to cubes of this size; 0 keeps their own. Pictures keep theirs.",
        "Data",
        ge=0,
        le=10,
    )
    bias_correction: bool = setting(
        False, "Bias correction", "N4 before anything else; slow, and needless when it was done before.", "Data"
    )
    histogram_matching: bool = setting(
        True, "Histogram matching", "Match every image to the first training subject's intensities.", "Data"
    )
    dimensions: Literal[2, 3] = setting(
        3, "Dimensions", "3 for cubes; 2 for pictures, or axial patches of volumes.", "Patches"
    )
    patch_size: int = setting(
        21, "Patch size (voxels)", "Edge of a patch; odd, so that it has a voxel in the middle.", "Patches", ge=3, le=41
    )
    normalization: NormalizationName = setting(
        "none", "Patch normalization", "none, take the mean out, or also divide by the standard deviation.", "Patches"
    )
    sampler: Literal["gradient", "inside", "uniform"] = setting(
        "gradient",
        "Sampling",
        "Where patches are centered: likelier at edges, evenly inside the mask, or anywhere.",
        "Patches",
    )
    n_patches: int = setting(
        100_000, "Patches per epoch", "Drawn afresh in every epoch.", "Patches", ge=64, le=10_000_000
    )
    batch_size: int = setting(128, "Batch size", "Patches in a step.", "Training", ge=2, le=65_536)

    @property
    def learnt(self) -> str:
        """What its features are called in maps and tables."""
        raise NotImplementedError  # abstract

    def encoder(self, run: Run) -> VoxelEncoder:
        """Give what encodes the voxels of an image.

        Raises:
            RunError: the run has no weights yet.
        """
        raise NotImplementedError  # abstract

    def scorer(self, run: Run) -> Callable[[torch.Tensor], dict[str, float]]:
        """Give what scores patches (N, C, *spatial) of one subject."""
        raise NotImplementedError  # abstract

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """(C, *spatial) of what the network sees."""
        return (1, *[self.patch_size] * self.dimensions)

    @property
    def patch_voxels(self) -> tuple[int, int, int]:
        """Voxels of a patch along X, Y, Z; one along Z in two dimensions."""
        x, y, z = (*self.patch_shape[1:], 1)[:3]
        return x, y, z

    @property
    def preparation(self) -> ImagePreparation:
        """What is done to every image before patches are taken."""
        return ImagePreparation(
            self.modality, self.spacing_mm, self.bias_correction, self.sampler == "gradient", self.dimensions
        )

    def prepared(self, subject: Subject, run: Run) -> tuple[Volume, np.ndarray]:
        """Give a subject's image as the network sees it, and the mask of its anatomy (X, Y, Z) bool."""
        quantiles = run.load_arrays("reference")["quantiles"] if self.histogram_matching else None
        return self.preparation.image(subject, quantiles)

    def learnt_features(self, run: Run) -> LearntFeatures:
        """Give what this run brings to a registration: how images are prepared, and the code of every voxel."""
        encoder = self.encoder(run)
        quantiles = run.load_arrays("reference")["quantiles"] if self.histogram_matching else None

        def encode(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
            return encoder.encode(image[None], mask, None, silent)

        return LearntFeatures(self.preparation, quantiles, encode, self.learnt)

    def features(self, volume: Volume, mask: np.ndarray, run: Run, progress: Progress = silent) -> FeatureVolume:
        """Give the codes of the voxels of a mask, computed once and then kept in the cache folder.

        Args:
            volume: from :meth:`prepared`.
            mask: (X, Y, Z) bool.
            run: trained.
            progress: told as the work goes on.
        """
        encoder = self.encoder(run)
        key = digest_of(encoder.key, volume.data, mask, np.asarray(volume.affine, np.float64))
        return cached_features(
            key, mask, volume.affine, encoder.code_size,
            lambda out, report: encoder.encode(volume.data, mask, out, report), progress=progress,
        )  # fmt: skip

    def training_of(self, run: Run, plans: list[StagePlan]) -> Training:
        """Begin the training of a run.

        Raises:
            SettingsError: it has no stage.
        """
        if not plans:
            raise SettingsError(
                "Both stages have 0 epochs, so nothing would be trained; set one of them to at least 1."
            )
        return Training(run, plans)

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work.

        Raises:
            CohortError: a subject lacks the image to learn from.
            GeometryError: the first subject's image is a picture, and patches of three dimensions are wanted.
        """
        modalities = [self.preparation.modality_of(subject) for subject in cohort]
        if self.dimensions == 3:
            first = cohort.subjects[0]
            require_3d(first.volume(modalities[0]), "Learning from cubes (the setting dimensions = 3)")

    def preview(self, cohort: Cohort, n: int) -> PatchPreview:
        """Draw patches of the first subjects as training would see them, before any run is made."""
        self.check(cohort)
        found = preview_patches(self.preparation, cohort, n, self.patch_voxels, self.histogram_matching, self.seed)
        return replace(found, patches=found.patches.reshape(-1, *self.patch_shape))

    def predict(self, subject: Subject, run: Run) -> Prediction:
        """Give the code of every voxel inside the mask, 0 elsewhere, on the lattice of the subject's image.

        Raises:
            TooLarge: the feature image would be larger than the limit on files.
        """
        encoder = self.encoder(run)
        original = subject.volume(self.preparation.modality_of(subject))
        check_header((*original.shape, encoder.code_size), 4, f"the feature image of {subject.name}")
        volume, mask = self.prepared(subject, run)
        codes = encoder.encode(volume.data, mask, None, silent)
        dense = np.zeros((encoder.code_size, *volume.shape), np.float32)
        dense[:, mask] = codes.T
        return resample_like(volume.with_data(dense, "features"), original, order=0)

    def evaluate(self, cohort: Cohort, run: Run, progress: Progress = silent) -> dict[str, Any]:
        """Score patches from inside each subject by :meth:`scorer`."""
        score = self.scorer(run)
        subjects = {}
        for i, subject in enumerate(cohort):
            progress(i / len(cohort), f"Scoring {subject.name}")
            volume, mask = self.prepared(subject, run)
            centers = inside(mask, N_SCORED, np.random.default_rng([self.seed, 7]))
            patches = gather(volume.data, centers, self.patch_voxels).reshape(N_SCORED, *self.patch_shape)
            subjects[subject.name] = score(torch.from_numpy(patches))
        names = list(next(iter(subjects.values())))
        summary = {n: finite(mean_interval(np.array([s[n] for s in subjects.values()]))) for n in names}
        return {"subjects": subjects, "summary": summary}

    def stores(self, cohort: Cohort, run: Run) -> tuple[PatchStore, PatchStore | None]:
        """Prepare the training subjects and, where there are any, the validation subjects of the run's split."""
        split = run.info.split or {"train": [s.name for s in cohort], "validation": []}
        train, validation = cohort.only(split["train"]), cohort.only(split["validation"])
        if not len(train):
            raise CohortError("The split leaves no subject for training; give more subjects to it.")
        quantiles = self.preparation.quantiles(train.subjects[0]) if self.histogram_matching else None
        run.save_arrays("reference", quantiles=np.zeros(0) if quantiles is None else quantiles)
        reference = f"{cohort.digest}-{train.subjects[0].name}"
        return self._store(train, quantiles, reference, run), (
            self._store(validation, quantiles, reference, run) if len(validation) else None
        )

    def _store(self, part: Cohort, quantiles: np.ndarray | None, reference: str, run: Run) -> PatchStore:
        key = store_key(
            reference, {**vars(self.preparation), "matched": self.histogram_matching, "part": [s.name for s in part]}
        )
        return PatchStore.build(
            part.subjects,
            lambda subject: self.preparation.prepared(subject, quantiles),
            cache_dir() / "patches" / key,
            key=key,
            margin=self.patch_size // 2 + 1,
            progress=run_progress(run, "preparing"),
        )

    def drawn(self, store: PatchStore, n: int) -> torch.Tensor:
        """Draw n patches for looking at or scoring, (n, *patch_shape), the same for the same seed."""
        drawn = store.draw(n, self.patch_voxels, np.random.default_rng([self.seed, 7]), "inside")
        return torch.from_numpy(drawn.patches).reshape(n, *self.patch_shape)
