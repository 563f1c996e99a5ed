"""Multilayer perceptrons.

Review: Section 2.1, Equations 1 to 3, References 64 and 65, Figure 1; the devices of Section 2.6, References 11 to 14
and 77 to 81

Citation: Rumelhart DE, Hinton GE, Williams RJ. Learning representations by back-propagating errors. Nature
323:533–536, 1986.

Input: rows of feature tables, whole pictures or small volumes, or patches with a label at their center.

Network: fully connected layers; without hidden layers it is the single-layer network of Figure 1a with a logistic
output, which is the perceptron with a loss that back-propagation can follow.

Training: gradient descent on cross-entropy or squared error (Equation 3), by Adam, or by Nesterov's accelerated
gradient with a momentum schedule; initialization, rectified units, input noise, dropout, DropConnect and batch
normalization are switches.

Output: a class with its probabilities, or a number, for every subject; a label map where it learnt patches.

Reported: the review prints no result for the family on its own.

Departs from the paper in: the perceptron's own rule (add a misclassified example to the weights) is in the notebook of
Section 2.1 and in the library, not here; a logistic output takes its place.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator
from torch import nn

from workbench.models.mlp import MLP
from workbench.runs.run import Run
from workbench.systems.base import Preset, setting
from workbench.systems.examples_base import Data
from workbench.systems.layered import LayerViews, unit_use
from workbench.systems.layered_mlp import MLPLayers
from workbench.systems.supervised_base import SupervisedLearning


class MLPFamily(SupervisedLearning, LayerViews):
    """Settings of the family on its own."""

    phantom: ClassVar[str] = "digits"
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("full", "Two layers of 512 rectified units, 100 epochs; the review gives no size, so this one is ours."),
        Preset("cpu", "Two layers of 128 units, 30 epochs.", {"n_hidden": (128, 128), "n_epochs": 30}),
        Preset("perceptron", "No hidden layer: the single-layer network of Figure 1a.", {"n_hidden": ()}),
        Preset("devices", "Devices of Section 2.6 that go together: scheduled Nesterov momentum, input noise, dropout.",
               {"optimizer": "nesterov", "learning_rate": 0.05, "corruption": "masking", "dropout": 0.5,
                "initialization": "he", "momentum_max": 0.95, "n_hidden": (256, 256)}),
        Preset("quick", "One layer of 32 units, a few epochs: seconds.",
               {"n_hidden": (32,), "n_epochs": 12, "learning_rate": 5e-3, "batch_size": 50, "n_patches": 1000,
                "patch_size": 5, "spacing_mm": 0.0}),
    )  # fmt: skip

    n_hidden: tuple[int, ...] = setting(
        (512, 512), "Hidden units", "Of each layer, from the input up; none for a single-layer network.", "Network",
        max_length=8,
    )  # fmt: skip
    n_epochs: int = setting(100, "Epochs", "Passes over the labelled examples.", "Training", ge=1, le=100_000)

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        if any(not 1 <= n <= 16_384 for n in self.n_hidden):
            raise ValueError(f"every layer needs 1 to 16384 hidden units; got {list(self.n_hidden)}")
        return self

    def network(self, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Give the untrained network."""
        return MLP(
            shape, self.n_hidden, n_outputs, activation=self.activation, dropout=self.dropout,
            input_dropout=self.input_dropout, dropconnect=self.dropconnect, batch_norm=self.batch_norm,
            initialization=self.initialization, seed=self.seed,
        )  # fmt: skip

    def look(self, run: Run, network: nn.Module, data: Data) -> None:
        """Keep how much each unit is used."""
        assert isinstance(network, MLP) and data.targets is not None
        run.save_arrays("units", **unit_use(MLPLayers(network, data.blocks, data.targets.classes), data.held_out[0].x))

    def layers(self, run: Run) -> MLPLayers:
        """Give the trained network as layers of units."""
        network, record = self.trained_network(run), self.record(run)
        assert isinstance(network, MLP)
        return MLPLayers(network, record.blocks, record.targets.classes if record.targets else ())
