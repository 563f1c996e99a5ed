"""Convolutional neural networks.

Review: Section 2.5, Equation 9, Reference 76, Figure 3; strategies of Section 1, References 36, 43 and 45 to 48

Citation: LeCun Y, Bottou L, Bengio Y, Haffner P. Gradient-based learning applied to document recognition. Proceedings
of the IEEE 86:2278–2324, 1998.

Input: whole pictures or small volumes, or patches with a label at their center, in two or three dimensions.

Network: convolutions with shared weights, each with an activation and subsampling, then fully connected layers. Without
padding, so that the fully convolutional form gives exactly what patches give.

Training: as of the multilayer perceptron, with augmentation; from a random start or from the weights of another run,
whose layers then learn at a rate of their own.

Output: a class with its probabilities, or a number, for every subject; a label map where it learnt patches.

Reported: the review prints no result for the family on its own.

Departs from the paper in: rectified units and max pooling in place of LeNet's scaled tanh, trainable subsampling and
partial connections.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import nn

from workbench.errors import RunError, SettingsError
from workbench.figures.convolution_parts import ConvolutionParts
from workbench.imaging.cohort import Cohort
from workbench.models.cnn import CNN, ConvBlock, map_shapes
from workbench.models.initialization import InitializationName
from workbench.models.transfer import load_matching
from workbench.patches.examples import ExampleDataModule, Examples
from workbench.runs.run import Run, open_run
from workbench.runs.training import Training
from workbench.systems.base import Preset, setting
from workbench.systems.convolution_views import convolution_parts, kernel_bank, leave_map_use
from workbench.systems.example_targets import Targets
from workbench.systems.examples_base import Data
from workbench.systems.supervised_base import SupervisedLearning
from workbench.systems.views import FilterBank

NO_NEIGHBORS = "A table has no neighbors to convolve; take the family mlp, or bring images."


class CNNFamily(SupervisedLearning):
    """Settings of the family on its own."""

    phantom: ClassVar[str] = "digits"
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("full", "Blocks of 32, 64 and 64 maps and 256 units; the review gives no size, so this one is ours."),
        Preset("cpu", "Two blocks of 16 and 32 maps, 64 units, 20 epochs.",
               {"n_maps": (16, 32), "n_fully": (64,), "n_epochs": 20}),
        Preset("digits", "For whole pictures of 8 to 28 pixels.",
               {"source": "whole", "n_maps": (32, 64), "n_fully": (128,), "pool": 1, "dropout": 0.3, "n_epochs": 30}),
        Preset("patches", "15 × 15 patches of axial slices, every label equally often.",
               {"source": "patches", "dimensions": 2, "patch_size": 15, "sampler": "balanced", "n_maps": (24, 48),
                "n_fully": (128,), "n_epochs": 15}),
        Preset("quick", "One block of 8 maps, a few epochs: seconds.",
               {"n_maps": (8,), "n_fully": (16,), "n_epochs": 6, "learning_rate": 5e-3, "batch_size": 50,
                "n_patches": 1000, "spacing_mm": 0.0}),
    )  # fmt: skip

    dimensions: Literal[2, 3] = setting(
        2, "Dimensions", "Of patches: 3 for cubes; 2 for pictures, or axial patches of volumes.", "Data"
    )
    patch_size: int = setting(
        25, "Patch size (voxels)", "Edge of a patch; odd, so that it has a voxel in the middle.", "Data", ge=3, le=41
    )
    n_maps: tuple[int, ...] = setting(
        (32, 64, 64), "Feature maps", "Of each convolution, from the input up.", "Network", min_length=1, max_length=8
    )
    kernel: int = setting(
        3, "Kernel", "Edge of each local receptive field, in units of the map below.", "Network", ge=1, le=15
    )
    pool: int = setting(2, "Pooling", "Window and stride of the subsampling; 1 is none.", "Network", ge=1, le=4)
    pooling: Literal["max", "average"] = setting("max", "Pooling by", "What represents a window.", "Network")
    n_fully: tuple[int, ...] = setting(
        (256,), "Fully connected units", "Of each layer above the maps; none for an output right on them.", "Network",
        max_length=4,
    )  # fmt: skip
    initialization: InitializationName = setting(
        "he", "Initialization", "How the weights begin (2.6, device 1).", "Devices"
    )
    augment: bool = setting(
        False, "Augmentation", "Random affine maps and intensity changes of each example.", "Training"
    )
    start_from: str = setting(
        "",
        "Start from run",
        "Id of a run of this family whose weights are taken where name and shape agree.",
        "Training",
    )
    body_rate: float = setting(
        1.0, "Rate of taken layers", "Multiplies the learning rate of layers taken from another run; 0 freezes them.",
        "Training", ge=0, le=1,
    )  # fmt: skip
    n_epochs: int = setting(60, "Epochs", "Passes over the labelled examples.", "Training", ge=1, le=100_000)

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        if any(not 1 <= n <= 4096 for n in (*self.n_maps, *self.n_fully)):
            raise ValueError(f"every layer needs 1 to 4096 maps or units; got {[*self.n_maps, *self.n_fully]}")
        if self.dropconnect or self.input_dropout:
            raise ValueError("DropConnect and dropout of the input belong to fully connected networks; use dropout")
        if self.source == "features":
            raise ValueError("a table has no neighbors to convolve; take the family mlp, or images")
        if self.source == "patches":
            try:
                map_shapes(self.likely_shape(), self.blocks())
            except SettingsError as error:
                raise ValueError(str(error)) from None
        return self

    def blocks(self) -> list[ConvBlock]:
        """Give the convolution blocks."""
        return [ConvBlock(n, self.kernel, self.pool) for n in self.n_maps]

    def network(self, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Give the untrained network."""
        if len(shape) < 3:
            raise SettingsError(NO_NEIGHBORS)
        return CNN(
            shape, self.blocks(), self.n_fully, n_outputs, activation=self.activation, batch_norm=self.batch_norm,
            dropout=self.dropout, pooling=self.pooling, initialization=self.initialization, seed=self.seed,
        )  # fmt: skip

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work."""
        super().check(cohort)
        source = self.example_source.resolved(cohort)
        if source.kind == "features":
            raise SettingsError(NO_NEIGHBORS)
        map_shapes(source.image_shape(cohort.subjects[0]), self.blocks())
        if self.start_from:
            open_run(self.start_from)

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Train, from a random start or from another run's weights."""
        training = Training(run, self.stages())
        data = self.data(cohort, run, task=self.task, target=self.target)
        network = self.network(data.shape, (data.targets or Targets()).n_outputs)
        rates = self._taken(network, run) if self.start_from else None
        self.supervise(training, "train", network, data, stage=0, layer_rates=rates)
        self.leave(run, network, data)

    def batches(self, train: Examples, validation: Examples | None, stage: int, n_parts: int = 1) -> ExampleDataModule:
        """Give the batches of one stage, augmented where that was chosen."""
        seed = self.seed * 1000 + stage
        return ExampleDataModule(
            train, validation, batch_size=self.batch_size, seed=seed, n_parts=n_parts, augment=self.augment
        )

    def look(self, run: Run, network: nn.Module, data: Data) -> None:
        """Keep how much each map and unit is used."""
        assert isinstance(network, CNN)
        leave_map_use(run, network, data.held_out[0].x)

    def filter_bank(self, run: Run, depth: int) -> FilterBank:
        """Give kernels of the first convolution, or what units of deeper layers answer to."""
        network, record = self.trained_network(run), self.record(run)
        assert isinstance(network, CNN)
        return kernel_bank(network, record, run, depth)

    def convolution_parts(self, run: Run, example: int = 0) -> ConvolutionParts:
        """Give what Figure 3 draws, from the live network and one held-out example."""
        network, held = self.trained_network(run), run.load_arrays("patches")["patches"]
        assert isinstance(network, CNN)
        return convolution_parts(network, torch.from_numpy(held[example % len(held)]))

    def operations(self, network: nn.Module, shape: tuple[int, ...]) -> float:
        """Give multiplications of one forward pass of one example."""
        assert isinstance(network, CNN)
        total, channels = 0.0, shape[0]
        spatial = shape[1:]
        for block in network.blocks:
            before, after = block.map_shapes(spatial)
            total += float(np.prod(before)) * block.n_maps * channels * self.kernel ** len(spatial)
            channels, spatial = block.n_maps, after
        full = sum(p.numel() for name, p in network.named_parameters() if "conv" not in name)
        return total + full

    def _taken(self, network: nn.Module, run: Run) -> dict[str, float]:
        """Take weights from another run; give the rates of the layers that were taken."""
        source = open_run(self.start_from)
        if not (source.folder / "weights.safetensors").is_file():
            raise RunError(f"Run {source.id} has no weights yet, so nothing can be taken from it.")
        body = {name: t for name, t in source.load_weights().items() if not name.startswith("output.")}
        report = load_matching(network, body)
        run.log(f"weights from run {source.id}: {', '.join([*report.loaded, *report.adapted])}")
        layers = {name.rpartition(".")[0] for name in (*report.loaded, *report.adapted)}
        known = {name.rpartition(".")[0] for name, _ in network.named_parameters()}
        return dict.fromkeys(sorted(layers & known), self.body_rate)
