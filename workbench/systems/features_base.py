"""The base of systems that learn a patch encoder without labels: settings, data, the greedy training and its record.

Everything learnt, the intensity reference of the histogram matching included, comes from the training subjects of
the run's split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from workbench.errors import CohortError, RunError, SettingsError
from workbench.figures.diagrams import EncoderDecoder
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import require_3d
from workbench.imaging.geometry import resample_like
from workbench.imaging.limits import check_header
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.inference.dense import encode_voxels
from workbench.metrics.intervals import mean_interval
from workbench.models.conv_autoencoder import SUBPATCHES
from workbench.models.layers import Corruption, CorruptionKind, NormalizationName
from workbench.models.stack import Stack
from workbench.patches.datamodule import PatchDataModule
from workbench.patches.examples import ExampleDataModule
from workbench.patches.gather import gather
from workbench.patches.samplers import inside
from workbench.patches.store import PatchStore, SamplerName, store_key
from workbench.paths import cache_dir
from workbench.progress import Progress, silent
from workbench.runs.run import Run, run_progress
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems import feature_views
from workbench.systems.base import Cost, Prediction, System, setting
from workbench.systems.feature_images import ImagePreparation, PatchPreview, preview_patches
from workbench.systems.feature_scores import finite, reconstruction_scores, unit_use, weights_and_places
from workbench.systems.views import FilterBank, Reconstructions
from workbench.tasks.autoencoding import FineTuning, LayerPretraining

DENSE_EFFICIENCY, SLIDING_EFFICIENCY = 0.35, 0.17
"""Shares of the speed of matrix products that trainings of both forms reached on a CPU."""
N_SHOWN = 64
N_SCORED = 2000
Batches = PatchDataModule | ExampleDataModule

# weight decay lets the noise of the initial weights fade, so that filters show a shape after seconds
QUICK = {
    "spacing_mm": 0.0,
    "normalization": "center",
    "patch_size": 7,
    "n_hidden": (64, 32),
    "sparsity_target": 0.1,
    "sparsity_weight": 0.3,
    "weight_decay": 2e-3,
    "n_patches": 8192,
    "n_epochs_pretraining": 8,
    "n_epochs_fine_tuning": 8,
    "learning_rate": 5e-3,
}


class FeatureLearning(System):
    """A patch encoder, trained greedily layer by layer, then unrolled and fine-tuned (Sections 2.3.1 and 2.4)."""

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
    tied: bool = setting(True, "Tied weights", "Each decoder is its encoder transposed.", "Network")
    sparsity_target: float = setting(
        0.1, "Sparsity target ρ", "Wanted mean activation of every hidden unit.", "Sparsity and noise", gt=0, lt=1
    )
    sparsity_weight: float = setting(
        0.02,
        "Sparsity weight β",
        "Of the Kullback–Leibler term, beside an error summed over the patch; 0 switches it off.",
        "Sparsity and noise",
        ge=0,
        le=100,
    )
    corruption: CorruptionKind = setting(
        "none",
        "Corruption",
        "What destroys part of a layer's input, for a denoising auto-encoder.",
        "Sparsity and noise",
    )
    corruption_amount: float = setting(
        0.25,
        "Corruption amount",
        "Share of elements that are hit, or the noise's standard deviation.",
        "Sparsity and noise",
        ge=0,
        le=1,
    )
    n_epochs_pretraining: int = setting(
        20,
        "Epochs a layer",
        "Of the greedy pretraining; 0 trains all layers jointly from a random start.",
        "Training",
        ge=0,
        le=10_000,
    )
    n_epochs_fine_tuning: int = setting(
        20, "Epochs of fine-tuning", "Of the whole unrolled encoder and decoder.", "Training", ge=0, le=10_000
    )
    batch_size: int = setting(128, "Batch size", "Patches in a step.", "Training", ge=2, le=65_536)
    learning_rate: float = setting(
        3e-3, "Learning rate", "Of Adam; fine-tuning after pretraining uses a third.", "Training", gt=0, le=1
    )
    weight_decay: float = setting(0.0, "Weight decay λ", "Of λ‖W‖².", "Training", ge=0, le=1)

    def network(self) -> Stack:
        """Give the untrained stack, the same for the same seed."""
        raise NotImplementedError  # abstract

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """(C, *spatial) of what the network sees."""
        return (1, *[self.patch_size] * self.dimensions)

    def stages(self) -> list[StagePlan]:
        """Name the greedy stages and the fine-tuning."""
        n_batches = -(-self.n_patches // self.batch_size)
        n_layers = self.network().n_layers
        plans = [StagePlan(f"pretrain {i + 1}", self.n_epochs_pretraining, n_batches) for i in range(n_layers)]
        plans = plans if self.n_epochs_pretraining else []
        return (
            [*plans, StagePlan("fine-tune", self.n_epochs_fine_tuning, n_batches)]
            if self.n_epochs_fine_tuning
            else plans
        )

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Pretrain each layer on what the layers below make of the patches, then fine-tune the unrolled stack."""
        training = self.training_of(run, self.stages())
        train, validation = self._stores(cohort, run)
        stack = self.network()
        self.learn(training, stack, lambda index: self._patches(train, validation, index))
        held_out = self._drawn(validation or train, N_SCORED)
        self.leave(run, stack, held_out, "validation subjects" if validation else "training subjects")

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

    def learn(self, training: Training, stack: Stack, batches: Callable[[int], Batches]) -> None:
        """Train a stack in place, layer by layer and then unrolled; ``batches`` gives those of a stage."""
        corruption = Corruption(self.corruption, self.corruption_amount)
        for index in range(stack.n_layers if self.n_epochs_pretraining else 0):
            task = LayerPretraining(
                stack, index, corruption=corruption, rho=self.sparsity_target, beta=self.sparsity_weight,
                weight_decay=self.weight_decay, learning_rate=self.learning_rate, seed=self.seed,
            )  # fmt: skip
            training.stage(f"pretrain {index + 1}", task, batches(index), n_epochs=self.n_epochs_pretraining)
        if self.n_epochs_fine_tuning:
            rate = self.learning_rate / 3 if self.n_epochs_pretraining else self.learning_rate
            tuning = FineTuning(
                stack, learning_rate=rate, weight_decay=self.weight_decay, seed=self.seed, rho=self.sparsity_target
            )
            training.stage("fine-tune", tuning, batches(stack.n_layers), n_epochs=self.n_epochs_fine_tuning)

    def untrained(self, run: Run) -> Stack:
        """Give the stack of a run before its weights are read."""
        return self.network()

    def stack(self, run: Run) -> Stack:
        """Give the trained stack of a run, in eval mode.

        Raises:
            RunError: the run has no weights yet.
        """
        if not (run.folder / "weights.safetensors").is_file():
            raise RunError(f"Run {run.id} has no weights yet; wait until it is finished, or resume it.")
        stack = self.untrained(run)
        stack.load_state_dict(run.load_weights())
        return stack.eval().requires_grad_(False)

    def filter_bank(self, run: Run, depth: int) -> FilterBank:
        """Give the filters of a layer, counted from 1; a depth beyond the last gives the last."""
        return feature_views.filter_bank(self.stack(run), run, depth, self.spacing_mm, self.sparsity_target)

    def reconstructions(self, run: Run, n: int) -> Reconstructions:
        """Give n held-out patches with their reconstructions."""
        return feature_views.reconstructions(self.stack(run), run, n)

    def encoder_decoder(self, run: Run) -> EncoderDecoder:
        """Give what Figures 2a and 4 draw, from the live model."""
        return feature_views.encoder_decoder_parts(self.stack(run), run)

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

    def cost(self) -> Cost:
        """Count from the network: a step of a layer takes twelve operations a weight and place, passing it two."""
        stack = self.network()
        layers = weights_and_places(stack)
        whole = [weights * places for weights, places in layers]
        greedy = sum(12 * w * min(p, SUBPATCHES) + 2 * sum(whole[:i]) for i, (w, p) in enumerate(layers))
        flops = self.n_patches * (greedy * self.n_epochs_pretraining + 12 * sum(whole) * self.n_epochs_fine_tuning)
        n_parameters = sum(p.numel() for p in stack.parameters())
        maps = sum(stack.layer(i).n_hidden * places for i, (_, places) in enumerate(layers))
        slides = any(places > 1 for _, places in layers)
        return Cost(
            parameters=n_parameters,
            flops=float(flops),
            memory_bytes=16.0 * n_parameters + 24.0 * self.batch_size * (maps + np.prod(self.patch_shape)),
            n_steps=sum(plan.n_epochs * (plan.n_batches or 0) for plan in self.stages()),
            efficiency=SLIDING_EFFICIENCY if slides else DENSE_EFFICIENCY,
        )

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
        stack = self.stack(run)
        original = subject.volume(self.preparation.modality_of(subject))
        check_header((*original.shape, stack.code_size), 4, f"the feature image of {subject.name}")
        volume, mask = self.prepared(subject, run)
        codes = encode_voxels(stack.as_convolutions(), volume.data, stack.patch_shape[1:], mask)
        dense = np.zeros((stack.code_size, *volume.shape), np.float32)
        dense[:, mask] = codes.T
        return resample_like(volume.with_data(dense, "features"), original, order=0)

    def evaluate(self, cohort: Cohort, run: Run, progress: Progress = silent) -> dict[str, Any]:
        """Score how well patches of each subject are rebuilt: mean squared error and explained variance."""
        stack = self.stack(run)
        subjects = {}
        for i, subject in enumerate(cohort):
            progress(i / len(cohort), f"Scoring {subject.name}")
            volume, mask = self.prepared(subject, run)
            centers = inside(mask, N_SCORED, np.random.default_rng([self.seed, 7]))
            patches = gather(volume.data, centers, self.patch_voxels).reshape(N_SCORED, *self.patch_shape)
            subjects[subject.name] = reconstruction_scores(stack, torch.from_numpy(patches))
        names = list(next(iter(subjects.values())))
        summary = {n: finite(mean_interval(np.array([s[n] for s in subjects.values()]))) for n in names}
        return {"subjects": subjects, "summary": summary}

    @property
    def patch_voxels(self) -> tuple[int, int, int]:
        """Voxels of a patch along X, Y, Z; one along Z in two dimensions."""
        x, y, z = (*self.patch_shape[1:], 1)[:3]
        return x, y, z

    def _stores(self, cohort: Cohort, run: Run) -> tuple[PatchStore, PatchStore | None]:
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

    def _patches(self, train: PatchStore, validation: PatchStore | None, index: int) -> PatchDataModule:
        sampler: dict[str, SamplerName] = {"gradient": "weighted", "inside": "inside", "uniform": "uniform"}
        return PatchDataModule(
            train, validation, patch_size=self.patch_shape[1:], batch_size=self.batch_size, n_patches=self.n_patches,
            sampler=sampler[self.sampler], seed=self.seed * 1000 + index,
        )  # fmt: skip

    def _drawn(self, store: PatchStore, n: int) -> torch.Tensor:
        """Draw n patches for looking at or scoring, (n, *patch_shape), the same for the same seed."""
        drawn = store.draw(n, self.patch_voxels, np.random.default_rng([self.seed, 7]), "inside")
        return torch.from_numpy(drawn.patches).reshape(n, *self.patch_shape)

    def leave(self, run: Run, stack: Stack, held_out: torch.Tensor, where: str) -> None:
        """Write what a finished run is looked at by: weights, use of every unit, a few examples, scores.

        Args:
            run: its folder gets it.
            stack: trained.
            held_out: (N, *shape) examples to score.
            where: whose they are.
        """
        stack = stack.cpu().eval()
        run.save_weights("weights", {name: t.contiguous() for name, t in stack.state_dict().items()})
        with torch.no_grad():
            use = {f"layer_{d}": unit_use(stack, held_out, d) for d in range(1, stack.n_layers + 1)}
        run.save_arrays("units", **use)
        run.save_arrays("patches", patches=held_out[:N_SHOWN].numpy())
        run.finish({"scores": reconstruction_scores(stack, held_out), "scored_on": where})
