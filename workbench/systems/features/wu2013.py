"""Image registration by stacked convolutional independent subspaces, learnt without labels.

Review: Section 3.1, Reference 52

Citation: Wu G, Kim M, Wang Q, Gao Y, Liao S, Shen D. Unsupervised deep feature learning for deformable registration of
MR brain images. MICCAI 2013. The architecture is that of Le QV, Zou WY, Yeung SY, Ng AY. Learning hierarchical
invariant spatio-temporal features for action recognition with independent subspace analysis. CVPR 2011.

Input: skull-stripped, affinely aligned 3-D images of one modality, their intensities matched to one of them and scaled
to 0..1; cubes of 21 × 21 × 21 voxels at 1 mm, sampled where the gradient is large.

Network: two layers of independent subspace analysis. The first sees cubes of 13 voxels: whitening to its principal
axes, filters, and the root of the summed squares of every two of them. The second does the same to what the first
says of the eight such cubes, 8 voxels apart, that make up the larger one. A voxel's feature is the first layer's
response to its middle and the second layer's.

Training: unsupervised. Each layer whitens what it sees of patches of the training subjects, then lowers the mean
response under orthonormal filters by projected gradient: W ← W - μ grad, W ← (W Wᵀ)^(-1/2) W.

Output: a feature vector for every voxel; for a point of a template, a map of its similarity to every voxel of a subject
beside raw intensity patches and a SIFT-like descriptor, as in Figure 5; features that can drive a registration.

Reported: the review names this system before the stacked auto-encoder of Reference 28 and prints no number of it. The
principal axes of the same number that it was compared with are the setting kind = PCA.

Departs from the paper in: the sizes of the whitening and of the subspaces, the numbers of patches and of steps, which
the review does not give and which are settings here; each gradient step is halved until the mean response falls, and
every 25th step filters are put together anew where that lowers it, because plain descent leaves halves of subspaces
together (measured on synthetic subspaces: it found none of 24, and with this step all of them); the presets for a CPU
use smaller cubes at 2 mm. Measured here on two pairs of phantoms of 4 mm (the notebook of the system): on clean images
the code confuses more voxels than the principal axes do, since the size of a response does not say whether an edge is
bright or dark; under a strong bias field it confuses fewer. Driving HAMMER on real images (docs/registration_real.md)
it is above the principal axes on 12 pairs of infants (mean Dice 0.743 and 0.732) and below them on 40 pairs of
hippocampi (0.808 and 0.822), and below a sparse auto-encoder of as many numbers on both (0.769, 0.831).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import model_validator

from workbench.imaging.cohort import Cohort
from workbench.inference.dense import encode_voxels
from workbench.inference.features import digest_of
from workbench.inference.subspaces import encode_subspaces
from workbench.models.principal_axes import PrincipalCode, principal_axes
from workbench.models.stacked_isa import CHUNK, StackedISA, check_components, whitened_rows
from workbench.patches.examples import ExampleDataModule, Examples
from workbench.patches.store import PatchStore
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems import subspace_views
from workbench.systems.base import Cost, Preset, setting
from workbench.systems.encoder_base import N_SCORED, SAMPLERS, EncoderLearning, VoxelEncoder
from workbench.systems.views import FilterBank, Reconstructions
from workbench.tasks.subspaces import AxesLearning, SubspaceLearning

EFFICIENCY = 0.2
N_SHOWN = 64
AXES_STAGE = "principal axes"


class Wu2013(EncoderLearning):
    """Settings of the system; the defaults are the paper's where it is known to us, the card says where not."""

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("published", "Cubes of 13 in cubes of 21 voxels at 1 mm: half an hour on a laptop."),
        Preset(
            "cpu",
            "Cubes of 7 in cubes of 11 voxels at 2 mm: the same recipe on a laptop.",
            {
                "spacing_mm": 2.0, "patch_size": 11, "sub_patch_size": 7, "stride": 4, "n_components": (128, 64),
                "n_patches": 10_000, "n_epochs": 100,
            },
        ),
        Preset(
            "quick",
            "Cubes of 5 in cubes of 7 voxels: seconds, to see the road from a file to a picture.",
            {
                "spacing_mm": 0.0, "patch_size": 7, "sub_patch_size": 5, "stride": 2, "n_components": (40, 24),
                "n_patches": 4096, "n_epochs": 50,
            },
        ),
    )  # fmt: skip

    n_patches: int = setting(
        50_000, "Patches", "Drawn once from the training subjects.", "Patches", ge=256, le=1_000_000
    )
    kind: Literal["ISA", "PCA"] = setting(
        "ISA",
        "Features",
        "Independent subspaces, or as a control the same number of principal axes of the whole patch.",
        "Network",
    )
    sub_patch_size: int = setting(
        13, "First layer (voxels)", "Edge of the cubes that the first layer sees; odd.", "Network", ge=3, le=31
    )
    stride: int = setting(
        8, "Stride (voxels)", "Between the cubes that the second layer puts together.", "Network", ge=1, le=31
    )
    n_components: tuple[int, int] = setting(
        (200, 100),
        "Components",
        "Kept by the whitening of either layer; also its filters.",
        "Network",
    )
    subspace_size: int = setting(
        2, "Subspace size", "Filters whose squares are added up to one response.", "Network", ge=1, le=16
    )
    n_epochs: int = setting(
        200, "Steps a layer", "Passes over all patches; each batch is one step.", "Training", ge=1, le=10_000
    )
    batch_size: int = setting(
        65_536, "Batch size", "Patches in a step; as many as there are make the descent exact.", "Training", ge=64,
        le=1_000_000,
    )  # fmt: skip

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        check_components(self.n_components, self.subspace_size, self.n_patches)
        self.subspaces()
        return self

    def subspaces(self) -> StackedISA:
        """Give the untrained stack; its code has the size that principal axes are given too."""
        return StackedISA(
            self.patch_shape, self.sub_patch_size, self.stride, self.n_components, subspace_size=self.subspace_size,
            normalization=self.normalization, seed=self.seed,
        )  # fmt: skip

    def network(self) -> StackedISA | PrincipalCode:
        """Give the untrained encoder, the same for the same seed."""
        stack = self.subspaces()
        if self.kind == "ISA":
            return stack
        return PrincipalCode(self.patch_shape, stack.code_size, normalization=self.normalization)

    @property
    def learnt(self) -> str:
        """What its features are called in maps and tables."""
        return self.kind

    def stages(self) -> list[StagePlan]:
        """Name the two layers, or the one stage of the control."""
        if self.kind == "PCA":
            return [StagePlan(AXES_STAGE, 1, 1)]
        n_batches = -(-self.n_patches // self.batch_size)
        return [StagePlan(f"layer {i}", self.n_epochs, n_batches) for i in (1, 2)]

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Whiten and descend, layer by layer, on patches of the training subjects."""
        training = self.training_of(run, self.stages())
        train, validation = self.stores(cohort, run)
        model = self.network()
        if isinstance(model, PrincipalCode):
            self._find_axes(training, model, train)
        else:
            for index in range(model.n_layers):
                self._learn_layer(training, model, index, train, validation)
        held_out = self.drawn(validation or train, N_SCORED)
        run.save_weights("weights", {name: t.contiguous() for name, t in model.state_dict().items()})
        run.save_arrays("units", **subspace_views.unit_arrays(model, held_out))
        run.save_arrays("patches", patches=held_out[:N_SHOWN].numpy())
        if isinstance(model, StackedISA):
            run.save_arrays("patterns", layer_2=subspace_views.exciting_patterns(model, held_out))
        where = "validation subjects" if validation else "training subjects"
        run.finish({"scores": subspace_views.component_scores(model, held_out), "scored_on": where})

    def model(self, run: Run) -> StackedISA | PrincipalCode:
        """Give the trained encoder of a run.

        Raises:
            RunError: the run has no weights yet.
        """
        weights, model = run.trained_weights(), self.network()
        model.load_state_dict(weights)
        return model.eval()

    def encoder(self, run: Run) -> VoxelEncoder:
        """Give what encodes the voxels of an image."""
        model = self.model(run)
        key = digest_of(
            repr((model.patch_shape, self.sub_patch_size, self.stride, model.normalization)), *model.buffers()
        )
        if isinstance(model, StackedISA):
            return VoxelEncoder(
                model.code_size,
                key,
                lambda image, voxels, out, progress: encode_subspaces(model, image, voxels, out=out, progress=progress),
            )
        stages, size = model.as_convolutions(), model.patch_shape[1:]
        return VoxelEncoder(
            model.code_size,
            key,
            lambda image, voxels, out, progress: encode_voxels(stages, image, size, voxels, out=out, progress=progress),
        )

    def scorer(self, run: Run) -> Callable[[torch.Tensor], dict[str, float]]:
        """Give what scores the variance that components keep, and the sparseness of responses."""
        return partial(subspace_views.component_scores, self.model(run))

    def filter_bank(self, run: Run, depth: int) -> FilterBank:
        """Give the filters of a layer, by subspace; a depth beyond the last gives the last."""
        return subspace_views.filter_bank(self.model(run), run, depth, self.spacing_mm)

    def reconstructions(self, run: Run, n: int) -> Reconstructions:
        """Give n held-out patches and what the components that are kept say of them."""
        return subspace_views.reconstructions(self.model(run), run, n)

    def cost(self) -> Cost:
        """Count covariances, whitening and steps: a step filters about four times, twice for trials."""
        n, stack = self.n_patches, self.subspaces()
        if self.kind == "PCA":
            width = int(np.prod(self.patch_shape))
            flops, memory = 2.0 * n * width**2 + 4.0 * width**3 / 3, 24.0 * width**2
            return Cost(stack.code_size * width, flops, memory, 1, EFFICIENCY)
        flops, memory = 0.0, 0.0
        for i in range(stack.n_layers):
            width, kept = len(stack.layer(i).mean), len(stack.layer(i).weight)
            flops += 2.0 * n * width * (width + kept) + 4.0 * width**3 / 3 + self.n_epochs * 8.0 * n * kept**2
            memory = max(memory, 24.0 * width**2 + 4.0 * n * kept * 4)
        flops += n * len(stack.offsets) * 2.0 * stack.layer(0).whitening.numel() * 3
        n_steps = sum(plan.n_epochs * (plan.n_batches or 1) for plan in self.stages())
        return Cost(sum(b.numel() for b in stack.buffers()), flops, memory, n_steps, EFFICIENCY)

    def _learn_layer(
        self, training: Training, stack: StackedISA, index: int, train: PatchStore, validation: PatchStore | None
    ) -> None:
        """Whiten what a layer sees of training patches and train its filters."""
        training.check_stop()
        z = whitened_rows(stack, index, lambda: self._chunks(train, self.n_patches), self.seed)
        layer = stack.layer(index)
        unseen = None
        if validation:
            pieces = self._chunks(validation, N_SCORED)
            unseen = _rows(torch.cat([layer.whiten(stack.layer_input(x, index)) for x in pieces]))
        data = ExampleDataModule(_rows(z), unseen, batch_size=self.batch_size, seed=self.seed)
        training.stage(f"layer {index + 1}", SubspaceLearning(layer), data, n_epochs=self.n_epochs)

    def _find_axes(self, training: Training, code: PrincipalCode, train: PatchStore) -> None:
        """Find the principal axes of training patches, as one stage of one step."""

        def learn() -> float:
            found = principal_axes((code.rows(x) for x in self._chunks(train, self.n_patches)), code.code_size)
            code.take(found)
            return float(found.variances.sum()) / found.total if found.total else 1.0

        one = ExampleDataModule(_rows(torch.zeros(1, 1)), None, batch_size=1, seed=self.seed)
        training.stage(AXES_STAGE, AxesLearning(learn, code), one, n_epochs=1)

    def _chunks(self, store: PatchStore, n: int) -> Iterator[torch.Tensor]:
        """Give n patches (B, *patch_shape) of a store in pieces, the same each time."""
        for number, start in enumerate(range(0, n, CHUNK)):
            some = min(CHUNK, n - start)
            rng = np.random.default_rng([self.seed, 3, number])
            drawn = store.draw(some, self.patch_voxels, rng, SAMPLERS[self.sampler])
            yield torch.from_numpy(drawn.patches).reshape(some, *self.patch_shape)


def _rows(z: torch.Tensor) -> Examples:
    return Examples(z, None, torch.zeros(len(z), dtype=torch.int64), ["training"])
