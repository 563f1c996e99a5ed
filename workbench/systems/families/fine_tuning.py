"""Fine-tuning: greedy pretraining, joint training, or from scratch.

Review: Section 2.4, References 10, 55 and 69 to 71; the comparison of Section 2.3.1

Citation: Hinton GE, Salakhutdinov RR. Reducing the dimensionality of data with neural networks. Science 313:504–507,
2006. Bengio Y, Lamblin P, Popovici D, Larochelle H. Greedy layer-wise training of deep networks. Advances in Neural
Information Processing Systems 19, 2007. Deep Boltzmann machine: Salakhutdinov R, Hinton GE. Deep Boltzmann machines.
AISTATS 2009.

Input: rows of feature tables, whole pictures or small volumes, or patches with a label at their center. All training
examples are learnt from without labels, as many as may be seen with labels.

Network: fully connected sigmoid layers and an output layer drawn at random. From a deep Boltzmann machine the input is
augmented with the marginals of the approximate posterior of its second layer.

Training: without labels, as one of: not at all; stacked, sparse or denoising auto-encoders layer by layer; the whole
auto-encoder jointly; a deep belief network; a deep Boltzmann machine with doubled inputs. Then everything is trained
by back-propagation on the labels. At the first step of fine-tuning the hidden layers compute what the pretrained
model did.

Output: a class with its probabilities, or a number, for every subject; a label map where it learnt patches.

Reported: the review prints no result for the family on its own.

Departs from the paper in: nothing known; sizes and rates are the user's choice and have no published value.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self, cast

import torch
from pydantic import model_validator
from torch import nn

from workbench.imaging.cohort import Cohort
from workbench.models.augmented import AugmentedNetwork
from workbench.models.dbm import DBM
from workbench.models.dbn import DBN, Below
from workbench.models.finetuning import dbm_to_network, dbn_to_network, stack_to_network
from workbench.models.layers import Corruption
from workbench.models.mlp import MLP
from workbench.models.rbm import RBM
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.base import Cost, Preset, setting
from workbench.systems.energy_base import GAUSSIAN_UPDATE
from workbench.systems.example_targets import Targets
from workbench.systems.examples_base import Data
from workbench.systems.layered import LayerViews, unit_use
from workbench.systems.layered_mlp import MLPLayers
from workbench.systems.supervised_base import SupervisedLearning
from workbench.tasks.autoencoding import FineTuning as Unrolled
from workbench.tasks.autoencoding import LayerPretraining
from workbench.tasks.boltzmann import ContrastiveDivergence, parts_at_once

Start = Literal["scratch", "auto-encoders", "denoising", "joint", "belief network", "Boltzmann machine"]
STAGE = 20


class FineTuningFamily(SupervisedLearning, LayerViews):
    """Settings of the comparison; the same network and labels under each way to begin."""

    phantom: ClassVar[str] = "digits"
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("full", "Three layers of 500 units; the review gives no size, so this one is ours."),
        Preset("cpu", "Two layers of 128 units, short stages.",
               {"n_hidden": (128, 128), "n_epochs_pretraining": 20, "n_epochs": 40}),
        Preset("scratch", "The same network from a random start.", {"start": "scratch"}),
        Preset("joint", "The whole auto-encoder trained at once before the labels come.", {"start": "joint"}),
        Preset("quick", "Two layers of 24 and 12 units: seconds.",
               {"n_hidden": (24, 12), "n_epochs_pretraining": 4, "n_epochs": 10, "learning_rate": 1e-2,
                "batch_size": 50, "n_patches": 1000, "patch_size": 5, "spacing_mm": 0.0}),
    )  # fmt: skip

    start: Start = setting(
        "auto-encoders", "Start from", "How the hidden layers learn before they see a label.", "Pretraining"
    )
    n_hidden: tuple[int, ...] = setting(
        (500, 500, 500), "Hidden units", "Of each layer, from the input up.", "Network", min_length=1, max_length=8
    )
    activation: Literal["sigmoid"] = setting("sigmoid", "Activation", "As of the pretrained units.", "Network")
    n_epochs_pretraining: int = setting(
        50, "Epochs of pretraining", "For each layer, or for all together when joint.", "Pretraining", ge=1, le=10_000
    )
    pretraining_rate: float = setting(
        0.0, "Pretraining rate", "Learning rate; 0 takes 0.003 for auto-encoders (Adam) and 0.05 for energy models.",
        "Pretraining", ge=0, le=1,
    )  # fmt: skip
    pretraining_noise: float = setting(
        0.25, "Masked share", "Of a layer's input, for denoising auto-encoders.", "Pretraining", ge=0, le=1
    )
    hidden_rate: float = setting(
        1.0, "Rate of pretrained layers", "Multiplies the learning rate of the hidden layers; 0 freezes them.",
        "Training", ge=0, le=1,
    )  # fmt: skip

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        if any(not 1 <= n <= 16_384 for n in self.n_hidden):
            raise ValueError(f"every layer needs 1 to 16384 hidden units; got {list(self.n_hidden)}")
        if self.start != "scratch" and self.batch_norm:
            raise ValueError("batch normalization would undo what pretraining found; use it from scratch only")
        if self.start == "Boltzmann machine" and (self.dropout or self.input_dropout or self.dropconnect):
            raise ValueError("the network of a Boltzmann machine has no dropout or DropConnect; set them to 0")
        if self.start == "Boltzmann machine" and len(self.n_hidden) < 2:
            raise ValueError("a deep Boltzmann machine needs at least two hidden layers")
        return self

    @property
    def is_energy(self) -> bool:
        """Whether pretraining is of an energy model, whose visible units follow the scaling."""
        return self.start in ("belief network", "Boltzmann machine")

    @property
    def visible_kind(self) -> Literal["bernoulli", "gaussian"]:
        """Binary units for values in 0..1, Gaussian ones for z-scores."""
        return "bernoulli" if self.scaling in ("unit", "binary") else "gaussian"

    def stages(self) -> list[StagePlan]:
        """Name the stages of pretraining, and fine-tuning."""
        n = 0 if self.start == "scratch" else 1 if self.start == "joint" else len(self.n_hidden)
        name = "joint pretraining" if self.start == "joint" else "pretrain {}"
        plans = [StagePlan(name.format(i + 1), self.n_epochs_pretraining) for i in range(n)]
        return [*plans, StagePlan("fine-tune", self.n_epochs)]

    def network(self, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Give the network with an output layer, before any pretraining."""
        if self.start == "Boltzmann machine":
            return dbm_to_network(self._machine(math.prod(shape)), n_outputs, seed=self.seed)
        if self.start == "belief network":
            return dbn_to_network(self._belief_net(shape), n_outputs, **self._devices())
        if self.start == "scratch":
            return MLP(
                shape, self.n_hidden, n_outputs, activation="sigmoid", batch_norm=self.batch_norm,
                initialization=self.initialization, **self._devices(),
            )  # fmt: skip
        return stack_to_network(self._stack(shape), n_outputs, **self._devices())

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Pretrain on all training examples without their labels, then fine-tune on the labelled ones."""
        training = Training(run, self.stages())
        data = self.data(cohort, run, task=self.task, target=self.target)
        network = self._pretrained(training, data, (data.targets or Targets()).n_outputs)
        self.supervise(training, "fine-tune", network, data, stage=STAGE, layer_rates=self._rates())
        self.leave(run, network, data)

    def look(self, run: Run, network: nn.Module, data: Data) -> None:
        """Keep how much each unit is used."""
        assert data.targets is not None
        plain = _plain(network, data.shape)
        run.save_arrays("units", **unit_use(MLPLayers(plain, data.blocks, data.targets.classes), data.held_out[0].x))

    def layers(self, run: Run) -> MLPLayers:
        """Give the trained network as layers of units."""
        record = self.record(run)
        network = _plain(self.trained_network(run), record.shape)
        return MLPLayers(network, record.blocks, record.targets.classes if record.targets else ())

    def _pretrained(self, training: Training, data: Data, n_outputs: int) -> nn.Module:
        if self.start == "scratch":
            return self.network(data.shape, n_outputs)
        if self.is_energy:
            return self._by_energy(training, data, n_outputs)
        stack, rate = self._stack(data.shape), self.pretraining_rate or 3e-3
        if self.start == "joint":
            batches = self.batches(data.train, data.validation, 0)
            task = Unrolled(stack, learning_rate=rate, seed=self.seed)
            training.stage("joint pretraining", task, batches, n_epochs=self.n_epochs_pretraining)
            return stack_to_network(stack, n_outputs, **self._devices())
        noise = Corruption("masking", self.pretraining_noise) if self.start == "denoising" else Corruption()
        for index in range(stack.n_layers):
            layer = LayerPretraining(stack, index, corruption=noise, beta=0.0, learning_rate=rate, seed=self.seed)
            batches = self.batches(data.train, data.validation, index)
            training.stage(f"pretrain {index + 1}", layer, batches, n_epochs=self.n_epochs_pretraining)
        return stack_to_network(stack, n_outputs, **self._devices())

    def _by_energy(self, training: Training, data: Data, n_outputs: int) -> nn.Module:
        net = self._belief_net(data.shape)
        for index, rbm in enumerate(net.layers):
            net.set_base_rates(index, data.train.x)
            batches = self.batches(data.train, data.validation, index, parts_at_once(rbm, self.batch_size))
            is_gaussian = index == 0 and self.visible_kind == "gaussian"
            rate = (self.pretraining_rate or 0.05) * (0.1 if is_gaussian else 1)
            task = ContrastiveDivergence(
                rbm, learning_rate=rate, learning_rate_end=0.0,
                n_steps_total=batches.n_updates * self.n_epochs_pretraining, mini_batch=self.batch_size,
                weight_decay=1e-4, max_update_norm=GAUSSIAN_UPDATE if is_gaussian else 0.0,
                below=Below(net, index), seed=self.seed, stage=index,
            )  # fmt: skip
            training.stage(f"pretrain {index + 1}", task, batches, n_epochs=self.n_epochs_pretraining)
        if self.start == "belief network":
            return dbn_to_network(net, n_outputs, **self._devices())
        machine = self._machine(math.prod(data.shape))
        names = ["v", *machine.graph.hidden]
        machine.load_pretrained({pair: net.layer(i) for i, pair in enumerate(pairwise(names))})
        return dbm_to_network(machine, n_outputs, seed=self.seed)

    def cost(self) -> Cost:
        """Count fine-tuning, and pretraining of each pair of layers, or of all together, on all examples."""
        tuned = super().cost()
        if self.start == "scratch":
            return tuned
        weights = sum(a * b for a, b in pairwise([math.prod(self.likely_shape()), *self.n_hidden]))
        n_stages = len(self.stages()) - 1
        n_steps = -(-self.n_patches // self.batch_size) * self.n_epochs_pretraining * n_stages
        flops = 12.0 * weights * self.n_patches * self.n_epochs_pretraining  # up and down, and back again
        return replace(tuned, flops=tuned.flops + flops, n_steps=tuned.n_steps + n_steps)

    def _rates(self) -> dict[str, float]:
        """Give the rates of pretrained layers; a Boltzmann machine's posterior stays as it was."""
        if self.start == "scratch":
            return {}
        if self.start == "Boltzmann machine":
            return {"posterior": 0.0, "trained.hidden": self.hidden_rate}
        return {"hidden": self.hidden_rate}

    def _stack(self, shape: tuple[int, ...]) -> StackedAutoEncoder:
        return StackedAutoEncoder(shape, self.n_hidden, seed=self.seed)

    def _belief_net(self, shape: tuple[int, ...]) -> DBN:
        sizes = [math.prod(shape), *self.n_hidden]
        rbms = [
            RBM(a, b, visible="bernoulli" if i else self.visible_kind, seed=self.seed * 100 + i)
            for i, (a, b) in enumerate(pairwise(sizes))
        ]
        if self.start == "Boltzmann machine":  # each layer but the outermost will hear from two sides
            for i, rbm in enumerate(rbms):
                rbm.up_factor = 1.0 if i == len(rbms) - 1 else 2.0
                rbm.down_factor = 1.0 if i == 0 else 2.0
        return DBN(rbms, shape)

    def _machine(self, n_visible: int) -> DBM:
        return DBM.chain(n_visible, self.n_hidden, visible=self.visible_kind, seed=self.seed)

    def _devices(self) -> dict[str, Any]:
        return {
            "dropout": self.dropout, "input_dropout": self.input_dropout, "dropconnect": self.dropconnect,
            "seed": self.seed,
        }  # fmt: skip


def _plain(network: nn.Module, shape: tuple[int, ...]) -> MLP:
    """Give the layers from the input upwards as a perceptron; an augmented network's inputs from above are left out."""
    if isinstance(network, MLP):
        return network
    assert isinstance(network, AugmentedNetwork)
    layers = [cast(nn.Linear, network.trained.hidden[name]) for name in network.trained.order]
    plain = MLP(shape, [len(layer.bias) for layer in layers], network.n_outputs, activation="sigmoid")
    with torch.no_grad():
        for mine, layer in zip([*plain.hidden, plain.output], [*layers, network.trained.output], strict=True):
            assert isinstance(mine, nn.Linear)
            mine.weight.copy_(layer.weight[:, : mine.weight.shape[1]])
            mine.bias.copy_(layer.bias)
    return plain.eval()
