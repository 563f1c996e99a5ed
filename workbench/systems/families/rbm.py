"""Restricted Boltzmann machines.

Review: Section 2.3.2, References 73, 74 and 119

Citation: Smolensky P. Information processing in dynamical systems. In: Parallel Distributed Processing 1, 1986.
Hinton GE. Training products of experts by minimizing contrastive divergence. Neural Computation 14:1771–1800, 2002.
Tieleman T. Training restricted Boltzmann machines using approximations to the likelihood gradient. ICML 2008. Label
group: Larochelle H, Mandel M, Pascanu R, Bengio Y. Journal of Machine Learning Research 13:643–669, 2012.

Input: rows of feature tables, whole pictures or small volumes, or patches; black and white or 0 to 1 for binary visible
units, z-scores or whitened z-scores for Gaussian ones.

Network: one layer of visible and one of hidden units; hidden units binary or noisy rectified; optionally a group of
label units, whose posterior is exact.

Training: contrastive divergence or persistent contrastive divergence with k Gibbs steps, visible biases at the data's
base rates, a learning rate that falls to 0; centering and sparsity are switches. With label units generative (p(v, y)),
discriminative (p(y | v) alone), or a mixture of both gradients.

Output: the hidden units' means as a code, Gibbs chains, samples of a class, free energy, and the likelihood in nats:
exact where one side has at most 18 units, else by annealed importance sampling in both directions with their gap.

Reported: the review prints no result for the family on its own.

Departs from the paper in: nothing known; sizes and rates are the user's choice and have no published value.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from workbench.imaging.cohort import Cohort
from workbench.models.belief_net import BeliefNet
from workbench.models.dbn import DBN, Below
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.base import Preset, setting
from workbench.systems.belief_base import BeliefLearning
from workbench.systems.layered import unit_use
from workbench.systems.layered_belief import BeliefLayers

GAUSSIAN_RATE = 0.1


class RBMFamily(BeliefLearning):
    """Settings of the family on its own."""

    phantom: ClassVar[str] = "digits"
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("full", "500 hidden units, PCD, 200 epochs; the review gives no size, so this one is ours.", {}),
        Preset("cpu", "128 hidden units, 50 epochs.", {"n_hidden": 128, "n_epochs": 50}),
        Preset("digits", "64 binary units on black and white pictures, 200 epochs.",
               {"n_hidden": 64, "scaling": "binary", "batch_size": 20, "n_chains": 20, "n_epochs": 200}),
        Preset("patches", "Gaussian visible units on whitened patches, sparse hidden units.",
               {"source": "patches", "scaling": "whiten", "n_hidden": 100, "n_epochs": 60, "sparsity_target": 0.1,
                "persistent": False, "learning_rate": 0.02}),
        Preset("labels", "Label units beside the visible ones: samples of a class, and an exact class posterior.",
               {"labels": "joint", "n_hidden": 200, "scaling": "binary", "n_epochs": 100, "batch_size": 20}),
        Preset("quick", "16 hidden units, a few epochs: seconds.",
               {"n_hidden": 16, "n_epochs": 15, "batch_size": 25, "learning_rate": 0.2,
                "n_patches": 1000, "patch_size": 5, "spacing_mm": 0.0}),
    )  # fmt: skip

    n_hidden: int = setting(500, "Hidden units", "Of the one layer.", "Network", ge=1, le=16_384)
    hidden: Literal["bernoulli", "noisy_relu"] = setting(
        "bernoulli",
        "Hidden unit",
        "binary, or noisy rectified max(0, x + N(0, s(x))); the latter has no likelihood.",
        "Network",
    )
    n_epochs: int = setting(200, "Epochs", "Passes over the examples.", "Training", ge=1, le=100_000)

    @property
    def hidden_kind(self) -> str:
        """The kind of the hidden units."""
        return self.hidden

    def stages(self) -> list[StagePlan]:
        """Name the one stage."""
        return [StagePlan("train", self.n_epochs)]

    def network(self, shape: tuple[int, ...], n_classes: int) -> BeliefNet:
        """Give the untrained machine, as a belief network of one layer."""
        return DBN([self.machine(0, math.prod(shape), self.n_hidden, n_classes, self.visible_kind)], shape)

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Train on the training subjects' examples."""
        training = Training(run, self.stages())
        data = self.learnt_from(cohort, run)
        net = self.network(data.shape, data.targets.n_outputs if data.targets else 0)
        assert isinstance(net, DBN)
        net.set_base_rates(0, data.train.x)
        rate = 1.0 if self.visible_kind == "bernoulli" else GAUSSIAN_RATE
        self.divergence(net.top, training, "train", data, stage=0, below=Below(net, 0), rate=rate)
        layered = BeliefLayers(net, data.blocks, data.targets.classes if data.targets else ())
        self.leave(run, net, data, lambda x: unit_use(layered, x))

    def layer_sizes(self, n_visible: int) -> list[int]:
        """Give the units of each layer from the data upwards."""
        return [n_visible, self.n_hidden]
