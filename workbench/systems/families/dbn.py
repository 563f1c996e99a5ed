"""Deep belief networks.

Review: Section 2.3.2, Equation 4, References 10, 72 and 75, Figure 2b

Citation: Hinton GE, Osindero S, Teh YW. A fast learning algorithm for deep belief nets. Neural Computation
18:1527–1554, 2006. Wake–sleep: Hinton GE, Dayan P, Frey BJ, Neal RM. Science 268:1158–1161, 1995.

Input: as of the restricted Boltzmann machine.

Network: a restricted Boltzmann machine at the top, directed layers of binary units below it; optionally a group of
label units at the top.

Training: greedy, layer by layer, on the mean or sampled activations of the layer below; then, as an option, all layers
together by contrastive wake–sleep with untied recognition weights and a rising number of Gibbs steps.

Output: the top layer's means as a code, ancestral samples, samples of a class, and a lower bound on the likelihood in
nats.

Reported: the review prints no result for the family on its own.

Departs from the paper in: nothing known; sizes and rates are the user's choice and have no published value.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from workbench.imaging.cohort import Cohort
from workbench.models.belief_net import BeliefNet
from workbench.models.dbn import DBN, Below
from workbench.models.up_down import UpDown
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.base import Cost, Preset, setting
from workbench.systems.belief_base import BeliefLearning
from workbench.systems.layered import unit_use
from workbench.systems.layered_belief import BeliefLayers
from workbench.tasks.wake_sleep import WakeSleep

GAUSSIAN_RATE = 0.1
K_WAKE_SLEEP = (3, 6, 10)


class DBNFamily(BeliefLearning):
    """Settings of the family on its own."""

    phantom: ClassVar[str] = "digits"
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("full", "500-500-2000 units as in the paper's network on digits, 100 epochs a layer, wake–sleep after."),
        Preset("cpu", "200-100-50 units, 50 epochs a layer.",
               {"n_hidden": (200, 100, 50), "n_epochs": 50, "n_epochs_wake_sleep": 20}),
        Preset("digits", "Two layers on black and white pictures.",
               {"n_hidden": (200, 200), "scaling": "binary", "batch_size": 20, "n_chains": 20, "n_epochs": 100}),
        Preset("labels", "Label units at the top: samples of a class.",
               {"n_hidden": (200, 200, 500), "labels": "joint", "scaling": "binary", "n_epochs": 50}),
        Preset("quick", "24-12 units, a few epochs: seconds.",
               {"n_hidden": (24, 12), "n_epochs": 12, "n_epochs_wake_sleep": 3, "batch_size": 25, "learning_rate": 0.2,
                "n_patches": 1000, "patch_size": 5,
                "spacing_mm": 0.0}),
    )  # fmt: skip

    n_hidden: tuple[int, ...] = setting(
        (500, 500, 2000), "Hidden units", "Of each layer, from the input up; the last pair is undirected.", "Network",
        min_length=2, max_length=6,
    )  # fmt: skip
    propagate: Literal["mean", "sample"] = setting(
        "mean", "Propagate", "What a layer learns from: means of the layer below, or draws made anew.", "Training"
    )
    transposed_start: bool = setting(
        False,
        "Start from the layer below",
        "Begin a layer as the transpose of the one below where sizes allow, so that the bound cannot fall.",
        "Training",
    )
    n_epochs_wake_sleep: int = setting(
        50, "Epochs of wake–sleep", "Of all layers together; 0 leaves it out.", "Training", ge=0, le=100_000
    )

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        if any(not 1 <= n <= 16_384 for n in self.n_hidden):
            raise ValueError(f"every layer needs 1 to 16384 hidden units; got {list(self.n_hidden)}")
        return self

    def stages(self) -> list[StagePlan]:
        """Name the greedy stages, and wake–sleep."""
        plans = [StagePlan(f"pretrain {i + 1}", self.n_epochs) for i in range(len(self.n_hidden))]
        return [*plans, StagePlan("wake-sleep", self.n_epochs_wake_sleep)] if self.n_epochs_wake_sleep else plans

    def belief_net(self, shape: tuple[int, ...], n_classes: int) -> DBN:
        """Give the untrained network with tied weights."""
        sizes = [math.prod(shape), *self.n_hidden]
        last = len(self.n_hidden) - 1
        rbms = [
            self.machine(i, a, b, n_classes if i == last else 0, self.visible_kind if i == 0 else "bernoulli")
            for i, (a, b) in enumerate(pairwise(sizes))
        ]
        return DBN(rbms, shape)

    def network(self, shape: tuple[int, ...], n_classes: int) -> BeliefNet:
        """Give the untrained network, its weights untied where wake–sleep is to follow."""
        net = self.belief_net(shape, n_classes)
        return UpDown(net) if self.n_epochs_wake_sleep else net

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Train greedily, then all layers together."""
        training = Training(run, self.stages())
        data = self.learnt_from(cohort, run)
        net: BeliefNet = self.belief_net(data.shape, data.targets.n_outputs if data.targets else 0)
        assert isinstance(net, DBN)
        for index in range(net.n_layers):
            if index and self.transposed_start and self._mirrors(net, index):
                net.initialize_from_below(index)
            else:
                net.set_base_rates(index, data.train.x)
            rate = GAUSSIAN_RATE if index == 0 and self.visible_kind == "gaussian" else 1.0
            self.divergence(
                net.layer(index), training, f"pretrain {index + 1}", data, stage=index,
                below=Below(net, index, self.propagate), rate=rate,
            )  # fmt: skip
        if self.n_epochs_wake_sleep:
            net = UpDown(net)
            batches = self.batches(data.train, data.validation, 50)
            task = WakeSleep(
                net, k=K_WAKE_SLEEP, learning_rate=self.learning_rate / 10, weight_decay=self.weight_decay,
                n_steps_total=batches.n_batches * self.n_epochs_wake_sleep, seed=self.seed, stage=50,
            )  # fmt: skip
            training.stage("wake-sleep", task, batches, n_epochs=self.n_epochs_wake_sleep)
        layered = BeliefLayers(net, data.blocks, data.targets.classes if data.targets else ())
        self.leave(run, net, data, lambda x: unit_use(layered, x))

    def cost(self) -> Cost:
        """Count the greedy stages, and wake–sleep over all layers with at most ten Gibbs steps at the top."""
        greedy = super().cost()
        weights = [a * b for a, b in pairwise(self.layer_sizes(math.prod(self.likely_shape())))]
        n_examples = self.n_patches * self.n_epochs_wake_sleep
        flops = float(12 * sum(weights) + 4 * K_WAKE_SLEEP[-1] * weights[-1]) * n_examples
        n_steps = -(-self.n_patches // self.batch_size) * self.n_epochs_wake_sleep
        return replace(greedy, flops=greedy.flops + flops, n_steps=greedy.n_steps + n_steps)

    def layer_sizes(self, n_visible: int) -> list[int]:
        """Give the units of each layer from the data upwards."""
        return [n_visible, *self.n_hidden]

    @staticmethod
    def _mirrors(net: DBN, index: int) -> bool:
        below, layer = net.layer(index - 1), net.layer(index)
        return layer.n_hidden == below.n_visible and below.visible == "bernoulli" and not hasattr(layer, "label_weight")
