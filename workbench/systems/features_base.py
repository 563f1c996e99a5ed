"""The base of systems that learn a stack of auto-encoders on patches: settings, the greedy training and its record.

Everything learnt, the intensity reference of the histogram matching included, comes from the training subjects of
the run's split.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from workbench.figures.diagrams import EncoderDecoder
from workbench.imaging.cohort import Cohort
from workbench.inference.dense import encode_voxels
from workbench.inference.features import digest_of
from workbench.models.conv_autoencoder import SUBPATCHES
from workbench.models.layers import Corruption, CorruptionKind
from workbench.models.stack import Stack
from workbench.patches.datamodule import PatchDataModule
from workbench.patches.store import PatchStore
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems import feature_views
from workbench.systems.base import Cost, setting
from workbench.systems.encoder_base import N_SCORED, SAMPLERS, EncoderLearning, VoxelEncoder
from workbench.systems.feature_scores import reconstruction_scores, unit_use, weights_and_places
from workbench.systems.stacked_training import Batches, StackRecipe
from workbench.systems.views import FilterBank, Reconstructions

DENSE_EFFICIENCY, SLIDING_EFFICIENCY = 0.35, 0.17
"""Shares of the speed of matrix products that trainings of both forms reached on a CPU."""
N_SHOWN = 64

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


class FeatureLearning(EncoderLearning):
    """A patch encoder, trained greedily layer by layer, then unrolled and fine-tuned (Sections 2.3.1 and 2.4)."""

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
    learning_rate: float = setting(
        3e-3, "Learning rate", "Of Adam; fine-tuning after pretraining uses a third.", "Training", gt=0, le=1
    )
    weight_decay: float = setting(0.0, "Weight decay λ", "Of λ‖W‖².", "Training", ge=0, le=1)

    def network(self) -> Stack:
        """Give the untrained stack, the same for the same seed."""
        raise NotImplementedError  # abstract

    def stages(self) -> list[StagePlan]:
        """Name the greedy stages and the fine-tuning."""
        return self.recipe.plans(self.network().n_layers, -(-self.n_patches // self.batch_size))

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Pretrain each layer on what the layers below make of the patches, then fine-tune the unrolled stack."""
        training = self.training_of(run, self.stages())
        train, validation = self.stores(cohort, run)
        stack = self.network()
        self.learn(training, stack, lambda index: self._patches(train, validation, index))
        held_out = self.drawn(validation or train, N_SCORED)
        self.leave(run, stack, held_out, "validation subjects" if validation else "training subjects")

    def learn(self, training: Training, stack: Stack, batches: Batches) -> None:
        """Train a stack in place, layer by layer and then unrolled; ``batches`` gives those of a stage."""
        self.recipe.pretrain(training, stack, batches)

    @property
    def recipe(self) -> StackRecipe:
        """How a stack is trained; nothing is refined on labels."""
        return StackRecipe(
            self.sparsity_target, self.sparsity_weight, self.weight_decay,
            Corruption(self.corruption, self.corruption_amount), self.learning_rate, self.n_epochs_pretraining,
            self.n_epochs_fine_tuning, 0, self.seed,
        )  # fmt: skip

    def untrained(self, run: Run) -> Stack:
        """Give the stack of a run before its weights are read."""
        return self.network()

    def stack(self, run: Run) -> Stack:
        """Give the trained stack of a run, in eval mode.

        Raises:
            RunError: the run has no weights yet.
        """
        weights, stack = run.trained_weights(), self.untrained(run)
        stack.load_state_dict(weights)
        return stack.eval().requires_grad_(False)

    @property
    def learnt(self) -> str:
        """What its features are called in maps and tables."""
        return "SAE"

    def encoder(self, run: Run) -> VoxelEncoder:
        """Give what encodes the voxels of an image."""
        stack = self.stack(run)
        stages, size = stack.as_convolutions(), stack.patch_shape[1:]
        return VoxelEncoder(
            stack.code_size,
            digest_of(stages, str(tuple(size))),
            lambda image, voxels, out, progress: encode_voxels(stages, image, size, voxels, out=out, progress=progress),
        )

    def scorer(self, run: Run) -> Callable[[torch.Tensor], dict[str, float]]:
        """Give what scores how well patches are rebuilt: mean squared error and explained variance."""
        return partial(reconstruction_scores, self.stack(run))

    def filter_bank(self, run: Run, depth: int) -> FilterBank:
        """Give the filters of a layer, counted from 1; a depth beyond the last gives the last."""
        return feature_views.filter_bank(self.stack(run), run, depth, self.spacing_mm, self.sparsity_target)

    def reconstructions(self, run: Run, n: int) -> Reconstructions:
        """Give n held-out patches with their reconstructions."""
        return feature_views.reconstructions(self.stack(run), run, n)

    def encoder_decoder(self, run: Run) -> EncoderDecoder:
        """Give what Figures 2a and 4 draw, from the live model."""
        return feature_views.encoder_decoder_parts(self.stack(run), run)

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

    def _patches(self, train: PatchStore, validation: PatchStore | None, index: int) -> PatchDataModule:
        return PatchDataModule(
            train, validation, patch_size=self.patch_shape[1:], batch_size=self.batch_size, n_patches=self.n_patches,
            sampler=SAMPLERS[self.sampler], seed=self.seed * 1000 + index,
        )  # fmt: skip

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
