"""Features by which patches are compared, as settings, and how they are learnt from the atlases of a run.

Whichever is chosen, everything after it is the same (Figure 7). Learning looks at the atlases alone, which are training
subjects.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from workbench.classical.hand_features import Size
from workbench.errors import RunError
from workbench.figures.diagrams import EncoderDecoder
from workbench.imaging.cohort import Cohort
from workbench.models.layers import Corruption, NormalizationName
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.models.stacked_isa import StackedISA, learn_stack
from workbench.patches.store import PatchStore
from workbench.runs.run import Run, run_progress
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems import feature_views
from workbench.systems.atlas_base import AtlasData
from workbench.systems.atlas_patches import atlas_store, some_voxels
from workbench.systems.base import Cost, System, setting
from workbench.systems.feature_scores import unit_use
from workbench.systems.patch_features import Codes, HandDesigned, IntensityPatches, PatchFeatures, Subspaces
from workbench.systems.stacked_training import ClassedPatches, StackRecipe
from workbench.systems.views import FilterBank, Reconstructions

FeatureName = Literal["intensity", "hand-designed", "SSAE unsupervised", "SSAE supervised", "ISA"]
StackName = Literal["unsupervised", "supervised"]
HAND = "hand_features"
EFFICIENCY = 0.3
N_SHOWN, N_USE, N_SCALED = 64, 1000, 2000
SUB_PATCH = 0.6  # of the patch's edge, what the first layer of subspaces sees


class PatchFeatureLearning(System):
    """Settings of the features and of their learning."""

    features: FeatureName = setting(
        "SSAE supervised", "Features", "What patches are compared by; everything after it stays the same.", "Features"
    )
    patch: tuple[int, ...] = setting(
        (15, 15, 9), "Patch (voxels)", "Along X, Y and Z; odd, so that it has a voxel in the middle.", "Features",
        min_length=3, max_length=3,
    )  # fmt: skip
    normalization: NormalizationName = setting(
        "none",
        "Patch normalization",
        "Of intensities and of what an encoder sees: none, take the mean out, or also divide by the deviation.",
        "Features",
    )
    n_hidden: tuple[int, ...] = setting(
        (800, 400, 200, 100), "Hidden units", "Of each layer, from the input up; the last is the code.", "Network",
        min_length=1, max_length=8,
    )  # fmt: skip
    sparsity_target: float = setting(
        0.15, "Sparsity target ρ", "Wanted mean activation of every hidden unit.", "Network", gt=0, lt=1
    )
    sparsity_weight: float = setting(
        0.1, "Sparsity weight β", "Beside an error summed over a layer's input; 0 switches it off.", "Network",
        ge=0, le=100,
    )  # fmt: skip
    reach_mm: float = setting(
        10.0, "Reach (mm)", "Training patches are centered so near a border, most of them at it.", "Training",
        gt=0, le=200,
    )  # fmt: skip
    n_patches: int = setting(
        50_000, "Patches per epoch", "Drawn afresh in every epoch.", "Training", ge=64, le=10_000_000
    )
    n_epochs_pretraining: int = setting(30, "Epochs a layer", "Of the greedy pretraining.", "Training", ge=0, le=10_000)
    n_epochs_fine_tuning: int = setting(
        20, "Epochs of fine-tuning", "Of the unrolled stack.", "Training", ge=0, le=10_000
    )
    n_epochs_refinement: int = setting(20, "Epochs of refinement", "With labels.", "Training", ge=1, le=10_000)
    batch_size: int = setting(128, "Batch size", "Patches in a step.", "Training", ge=2, le=65_536)
    learning_rate: float = setting(
        1e-3, "Learning rate", "Of Adam; a third of it after pretraining.", "Training", gt=0, le=1
    )
    weight_decay: float = setting(0.0, "Weight decay λ", "Of weights, not biases.", "Training", ge=0, le=1)

    @model_validator(mode="after")
    def _patches_fit(self) -> Self:
        if any(n % 2 == 0 or not 1 <= n <= 41 for n in self.patch):
            raise ValueError(f"a patch has odd edges of 1 to 41 voxels; got {list(self.patch)}")
        if self.features == "ISA" and self.patch[0] < 5:
            raise ValueError(f"subspaces see cubes of at least 5 voxels; got {self.patch[0]}")
        if any(not 1 <= n <= 8192 for n in self.n_hidden):
            raise ValueError(f"every layer needs 1 to 8192 hidden units; got {list(self.n_hidden)}")
        if self.learns and not self.n_epochs_pretraining + self.n_epochs_fine_tuning:
            raise ValueError("the encoder is never trained without labels; give it epochs of one kind or the other")
        return self

    @property
    def learns(self) -> bool:
        """Whether the features come from a stack of auto-encoders."""
        return self.features.startswith("SSAE")

    @property
    def patch_size(self) -> Size:
        """Voxels of a patch along X, Y, Z."""
        x, y, z = self.patch
        return x, y, z

    @property
    def recipe(self) -> StackRecipe:
        """How the stack is trained."""
        refinement = self.n_epochs_refinement if self.features == "SSAE supervised" else 0
        return StackRecipe(
            self.sparsity_target, self.sparsity_weight, self.weight_decay, Corruption(), self.learning_rate,
            self.n_epochs_pretraining, self.n_epochs_fine_tuning, refinement, self.seed,
        )  # fmt: skip

    def network(self) -> StackedAutoEncoder:
        """Give the untrained stack, the same for the same seed."""
        shape = (1, *self.patch_size)
        return StackedAutoEncoder(shape, self.n_hidden, normalization=self.normalization, seed=self.seed)

    def subspaces(self) -> StackedISA:
        """Give untrained subspaces with as many units in both layers as the stack has in its last two."""
        edge = self.patch[0]
        sub = edge - 2 * max(1, round((1 - SUB_PATCH) * edge / 2))
        wide = min(2 * (self.n_hidden[-2] if len(self.n_hidden) > 1 else self.n_hidden[-1]), sub**3 - 1)
        first = wide - wide % 2
        second = min(2 * self.n_hidden[-1], 4 * first)  # eight sub-patches of half as many units
        normalization = "center" if self.normalization == "none" else self.normalization
        return StackedISA(
            (1, edge, edge, edge), sub, edge - sub, (first, second), normalization=normalization, seed=self.seed
        )

    def stages(self) -> list[StagePlan]:
        """Name the stages of the stack; none where there is none."""
        return self.recipe.plans(len(self.n_hidden), -(-self.n_patches // self.batch_size)) if self.learns else []

    def learn_features(self, training: Training | None, data: AtlasData, cohort: Cohort, run: Run) -> dict[str, Tensor]:
        """Learn what the features need from a run's atlases; give the weights, and leave the rest in the run."""
        if self.features == "hand-designed":
            self._learn_scale(data, run)
        if training is not None:
            return self._learn_codes(training, self._store(data, cohort, run), data.record.n_outputs, run)
        if self.features == "ISA":
            return self._learn_subspaces(self._store(data, cohort, run), run)
        return {}

    def features_of(self, run: Run, spacing_mm: tuple[float, float, float]) -> PatchFeatures:
        """Give the features of a trained run for images with voxels of that size along X, Y, Z.

        Raises:
            RunError: the run has not come that far.
        """
        if self.features == "intensity":
            return IntensityPatches(self.patch_size, self.normalization)
        if self.features == "hand-designed":
            kept = run.load_arrays(HAND)
            return HandDesigned(self.patch_size, spacing_mm, kept["mean"], kept["deviation"], self.seed)
        if self.features == "ISA":
            subspaces = self.subspaces()
            subspaces.load_state_dict(run.load_weights())
            return Subspaces(subspaces.eval())
        return Codes(self.stack(run).as_convolutions(), self.patch_size)

    def stack(self, run: Run, kind: StackName | None = None) -> StackedAutoEncoder:
        """Give a trained stack of a run, in eval mode; by default the one whose codes are compared.

        Raises:
            RunError: the run has none.
        """
        kind = kind or ("supervised" if self.features == "SSAE supervised" else "unsupervised")
        own = f"{kind}."
        tensors = {n.removeprefix(own): t for n, t in run.load_weights().items() if n.startswith(own)}
        if not tensors:
            raise RunError(f"Run {run.id} compares {self.features} features and trained no {kind} encoder.")
        stack = self.network()
        stack.load_state_dict(tensors)
        return stack.eval().requires_grad_(False)

    def cannot_show(self, run: Run) -> frozenset[str]:
        """Name what only a stack can show, where none was trained."""
        return frozenset() if self.learns else frozenset({"filter_bank", "reconstructions", "encoder_decoder"})

    def filter_bank(self, run: Run, depth: int) -> FilterBank:
        """Give the filters of a layer of the stack whose codes are compared, counted from 1."""
        spacing = float(run.load_arrays("units")["spacing_mm"][0])
        return feature_views.filter_bank(self.stack(run), run, depth, spacing, self.sparsity_target)

    def reconstructions(self, run: Run, n: int) -> Reconstructions:
        """Give n training patches as the stack rebuilt them before labels were seen."""
        return feature_views.reconstructions(self.stack(run, "unsupervised"), run, n)

    def encoder_decoder(self, run: Run) -> EncoderDecoder:
        """Give what Figures 2a and 4 draw, from the stack before labels were seen."""
        return feature_views.encoder_decoder_parts(self.stack(run, "unsupervised"), run)

    def cost(self) -> Cost:
        """Count the training of the stack; whatever is done with its codes is not training."""
        sizes = [layer.weight.numel() for layer in map(self.network().layer, range(len(self.n_hidden)))]
        recipe = self.recipe
        greedy = sum(12 * w + 2 * sum(sizes[:i]) for i, w in enumerate(sizes)) * recipe.n_epochs_pretraining
        whole = sum(sizes) * (12 * recipe.n_epochs_fine_tuning + 6 * recipe.n_epochs_refinement)
        return Cost(
            parameters=sum(sizes) if self.learns else 0,
            flops=float(self.n_patches * (greedy + whole)) if self.learns else 0.0,
            memory_bytes=16.0 * sum(sizes) + 24.0 * self.batch_size * (sum(self.n_hidden) + float(np.prod(self.patch))),
            n_steps=sum(p.n_epochs * (p.n_batches or 0) for p in self.stages()),
            efficiency=EFFICIENCY,
        )

    def _store(self, data: AtlasData, cohort: Cohort, run: Run) -> PatchStore:
        size = (self.patch[0],) * 3 if self.features == "ISA" else self.patch
        return atlas_store(data.atlases, cohort, size, self.reach_mm, run_progress(run, "preparing"))

    def _learn_scale(self, data: AtlasData, run: Run) -> None:
        """Learn the scale of hand-designed features."""
        examples = [
            (atlas.image.data[0], some_voxels(atlas, N_SCALED, self.reach_mm, self.seed * 1000 + i))
            for i, atlas in enumerate(data.atlases)
        ]
        learnt = HandDesigned.learn(self.patch_size, data.atlases[0].image.spacing, examples, self.seed)
        run.save_arrays(HAND, mean=learnt.mean, deviation=learnt.deviation)

    def _learn_subspaces(self, store: PatchStore, run: Run) -> dict[str, Tensor]:
        edge = self.patch[0]
        drawn = store.draw(
            min(self.n_patches, 20_000), (edge, edge, edge), np.random.default_rng([self.seed, 5]), "weighted"
        )
        subspaces = self.subspaces()
        learn_stack(subspaces, drawn.patches, seed=self.seed, progress=run_progress(run, "subspaces"))
        return dict(subspaces.state_dict())

    def _learn_codes(self, training: Training, store: PatchStore, n_classes: int, run: Run) -> dict[str, Tensor]:
        """Train the stack, without labels and then with them, and leave what it is looked at by."""
        stack = self.network()
        self.recipe.pretrain(training, stack, lambda stage: self._patches(store, stage))
        used, tensors = stack, _named("unsupervised", stack)
        if self.recipe.n_epochs_refinement:
            batches = lambda stage: self._patches(store, stage, labelled=True)  # noqa: E731
            used = self.recipe.refine(training, stack, n_classes, batches)
            tensors |= _named("supervised", used)
        drawn = store.draw(N_USE, self.patch_size, np.random.default_rng([self.seed, 7]), "weighted")
        examples = torch.from_numpy(drawn.patches)
        with torch.no_grad():
            use = {f"layer_{d}": unit_use(used, examples, d) for d in range(1, used.n_layers + 1)}
        run.save_arrays("units", spacing_mm=np.linalg.norm(store.affines[0][:3, :3], axis=0), **use)
        run.save_arrays("patches", patches=drawn.patches[:N_SHOWN])
        return tensors

    def _patches(self, store: PatchStore, stage: int, *, labelled: bool = False) -> ClassedPatches:
        """Give the batches of a stage: near the border, or every class equally often."""
        return ClassedPatches(
            store, patch_size=self.patch, batch_size=self.batch_size, n_patches=self.n_patches,
            sampler="balanced" if labelled else "weighted", seed=self.seed * 1000 + stage,
        )  # fmt: skip


def _named(kind: StackName, stack: StackedAutoEncoder) -> dict[str, Tensor]:
    return {f"{kind}.{name}": tensor for name, tensor in stack.state_dict().items()}
