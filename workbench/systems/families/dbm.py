"""Deep Boltzmann machines.

Review: Section 2.3.3, Equations 5 to 8, References 29 and 55, Figures 2c and 9

Citation: Salakhutdinov R, Hinton G. Deep Boltzmann machines. AISTATS 2009. Two pathways: Suk HI, Lee SW, Shen D.
Hierarchical feature representation and multimodal fusion with deep learning for AD/MCI diagnosis. NeuroImage
101:569–582, 2014.

Input: as of the restricted Boltzmann machine; several modalities or feature tables become pathways of their own.

Network: binary hidden layers, all connections undirected; real values are turned into binary codes by Gaussian RBMs
that are trained first and then kept; pathways join in a shared layer; optionally a layer of label units on the top.

Training: each pair of layers with doubled inputs, then all together: mean field for the data, persistent chains for the
model, a falling learning rate. Centering is a switch. An alarm says when a layer stays unused.

Output: the top layer's means as a code, samples, one modality sampled while another is held fixed, class probabilities,
and a lower bound on the likelihood in nats (of the codes, where Gaussian RBMs stand below).

Reported: the review prints no result for the family on its own; those of the multimodal system are of its own entry.

Departs from the paper in: the label layer is not pretrained; its weights begin small in joint training.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.metrics.likelihood import PartitionEstimate, estimate_partition
from workbench.models.dbm import DBM
from workbench.models.layer_graph import LABEL, SHARED
from workbench.models.pathway_machine import PathwayMachine
from workbench.models.rbm import RBM
from workbench.patches.examples import Examples
from workbench.progress import Progress
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.base import Cost, Preset, setting
from workbench.systems.example_targets import Targets
from workbench.systems.examples_base import Data, check_targets
from workbench.systems.layered import unit_use
from workbench.systems.layered_machine import MachineLayers
from workbench.systems.machine_views import accuracy, dead_layers, machine_chains, two_blocks
from workbench.systems.measured_base import MeasuredLearning, betas
from workbench.systems.views import Chains, TwoBlocks
from workbench.tasks.boltzmann import ContrastiveDivergence, parts_at_once
from workbench.tasks.deep_boltzmann import JointDBM

TOO_FEW_PATHS = (
    "Pathways need two modalities or feature tables; name them in the settings, separated by commas, or switch "
    "pathways off."
)
JOINT = 90
MEAN_FIELD_WORK = 46  # operations a weight and example: ten sweeps over both sides, and the gradient
N_BURN_IN = 500


class DBMFamily(MeasuredLearning):
    """Settings of the family on its own."""

    phantom: ClassVar[str] = "digits"
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("full", "500-1000 units as in the paper's network on digits, 100 epochs a layer and 300 together."),
        Preset("cpu", "128-64 units, 40 epochs a layer and 60 together.",
               {"n_hidden": (128, 64), "n_epochs_pretraining": 40, "n_epochs": 60}),
        Preset("digits", "64-32 units on black and white pictures, 50 epochs a layer and 200 together.",
               {"n_hidden": (64, 32), "scaling": "binary", "batch_size": 20, "n_chains": 100, "momentum": 0.0,
                "final_momentum": 0.0, "weight_decay": 1e-3, "n_epochs_pretraining": 50, "n_epochs": 200,
                "learning_rate": 0.2}),
        Preset("two pathways", "A pathway for each modality or table over Gaussian RBMs, joined at the top (Figure 9); "
               "for some hundred examples.",
               {"pathways": True, "scaling": "standardize", "n_code": 60, "n_hidden": (64, 32), "batch_size": 20,
                "n_epochs": 200, "n_epochs_pretraining": 300, "learning_rate": 0.02, "code_rate": 0.02}),
        Preset("quick", "16-8 units, a few epochs: seconds.",
               {"n_hidden": (16, 8), "n_epochs_pretraining": 10, "n_epochs": 6, "batch_size": 25, "learning_rate": 0.05,
                "n_patches": 1000, "patch_size": 5,
                "spacing_mm": 0.0}),
    )  # fmt: skip

    n_hidden: tuple[int, ...] = setting(
        (500, 1000), "Hidden units", "Of each layer, from the input up; with pathways the last is shared.", "Network",
        min_length=2, max_length=5,
    )  # fmt: skip
    pathways: bool = setting(
        False, "Pathways", "One pathway of layers for each modality or table, joined at the top.", "Network"
    )
    n_code: int = setting(
        500, "Gaussian RBM units", "Binary units that code real values below the machine; used with z-scores only.",
        "Network", ge=1, le=8192,
    )  # fmt: skip
    code_rate: float = setting(0.005, "Rate of Gaussian RBMs", "At the start; falls to 0.", "Training", gt=0, le=1)
    labels: Literal["none", "joint"] = setting(
        "none", "Labels", "joint: a layer of label units on the top, learnt together.", "Network"
    )
    target: str = setting(
        "", "Target", "A covariate for the label units; empty takes the label at a patch's center, else the target.",
        "Data",
    )  # fmt: skip
    n_epochs_pretraining: int = setting(
        100, "Epochs of pretraining", "For each pair of layers; 0 trains jointly from small weights.", "Training",
        ge=0, le=100_000,
    )  # fmt: skip
    n_epochs: int = setting(300, "Epochs together", "Of joint training.", "Training", ge=1, le=100_000)
    learning_rate: float = setting(
        0.005, "Joint learning rate", "At the start; falls to 0. Pretraining takes 0.05.", "Training", gt=0, le=1
    )
    n_gibbs: int = setting(5, "Gibbs steps k", "Of each update.", "Training", ge=1, le=1000)
    centered: bool = setting(True, "Centering", "Subtract running means from the units in joint training.", "Network")

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        if any(not 1 <= n <= 16_384 for n in self.n_hidden):
            raise ValueError(f"every layer needs 1 to 16384 hidden units; got {list(self.n_hidden)}")
        return self

    @property
    def is_coded(self) -> bool:
        """Whether Gaussian RBMs stand below."""
        return self.visible_kind == "gaussian"

    @property
    def of_what(self) -> str:
        """The likelihood is of the binary codes where Gaussian RBMs stand below."""
        return " of the codes" if self.is_coded else ""

    def stages(self) -> list[StagePlan]:
        """Name the stages; how many pathways there are is known when the data are."""
        return self._plans(max(1, len([m for m in self.modality.split(",") if m.strip()])) if self.pathways else 1)

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Train Gaussian RBMs where there are any, each pair of layers, then everything together."""
        labelled = self.labels != "none"
        data = self.data(cohort, run, task="classification" if labelled else None, target=self.target)
        net = self._network(data.shape, data.blocks, data.targets)
        training = Training(run, self._plans(len(net.blocks)))
        for i, name in enumerate(net.coders):
            self._code(net, name, training, data, i)
        coded = _coded(net, data.train), None if data.validation is None else _coded(net, data.validation)
        if self.n_epochs_pretraining:
            self._pretrain(net, training, *coded)
        else:
            ends = _bounds(net)
            net.machine.set_base_rates({n: coded[0].x[:, a:b].mean(0) for n, (a, b) in ends.items()})
        self._join(net, training, *coded)
        for name, life in dead_layers(net, data.train.x[:1000]).items():
            if life.dead:
                run.log(
                    f"ALARM: layer {name} is dead: mean |W| {life.mean_abs_weight:.3f}, standard deviation of its "
                    f"means {life.sd_of_mu:.3f}; the machine makes no use of it"
                )
        layered = MachineLayers(net, data.targets.classes if data.targets else ())
        self.leave(run, net, data, lambda x: unit_use(layered, x))

    def net(self, run: Run) -> Any:
        """Give the trained network of a run, in eval mode."""
        record = self.record(run)
        return self.trained(run, self._network(record.shape, record.blocks, record.targets))

    def layers(self, run: Run) -> MachineLayers:
        """Give the trained network as layers of units."""
        record = self.record(run)
        return MachineLayers(self.net(run), record.targets.classes if record.targets else ())

    def partition(self, net: Any, kept: Tensor, n_betas: int, n_chains: int, progress: Progress) -> PartitionEstimate:
        """Estimate log Z of the machine from base rates of its inputs, forward and in reverse; exactly where small."""
        machine = net.machine
        codes = net.codes(kept)
        generator = torch.Generator().manual_seed(self.seed)
        state = machine.initial_state(n_chains, generator) | {
            n: _drawn(c, n_chains, generator) for n, c in codes.items()
        }
        state = machine.gibbs(state, N_BURN_IN, generator)
        path = machine.annealed({name: code.mean(0) for name, code in codes.items()})
        try:
            exact = float(machine.exact_log_z())
        except SettingsError:
            exact = None
        return estimate_partition(
            path, samples=path.pack(state), exact=exact, betas=betas(n_betas), n_chains=n_chains, seed=self.seed,
            progress=progress,
        )  # fmt: skip

    def log_p(self, net: Any, x: Tensor, log_z: float) -> tuple[Tensor, str]:
        """Give the variational bound on log p of the inputs, or of their codes."""
        with torch.no_grad():
            return net.machine.bound(net.codes(x), log_z), "bound"

    def class_probabilities(self, net: Any, x: Tensor) -> Tensor:
        """Give p(class | x) (N, K) by comparing the bounds of the classes."""
        return torch.cat([net.machine.class_probabilities(net.codes(part)) for part in x.split(1024)])

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work."""
        super().check(cohort)
        source = self.example_source.resolved(cohort)
        if self.pathways and len(source.blocks(cohort.subjects[0])) < 2:
            raise SettingsError(TOO_FEW_PATHS)
        if self.labels != "none":
            check_targets(cohort, source, "classification", self.target)

    def two_blocks(self, run: Run, n: int) -> list[TwoBlocks]:
        """Give Figure 9: first weights below, the machine's first hidden layer above, for each modality."""
        return two_blocks(self.net(run), self.record(run), run, n)

    def generation_choices(self, run: Run) -> dict[str, list[str]]:
        """Give what a chain can hold fixed."""
        record, net = self.record(run), self.net(run)
        blocks = list(net.blocks) if len(net.blocks) > 1 else []
        return {"clamp": blocks, "label": list(record.targets.classes) if record.targets else []}

    def generate(
        self, run: Run, *, n_chains: int, steps: tuple[int, ...], start: str, clamp: str, label: str, seed: int
    ) -> Chains:
        """Run Gibbs chains; see :func:`workbench.workflow.generate`."""
        choices = self.generation_choices(run)
        for value, known, what in ((clamp, choices["clamp"], "clamp"), (label, choices["label"], "class")):
            if value and value not in known:
                raise SettingsError(f"There is no {what} {value!r} here; known are {', '.join(known) or 'none'}.")
        held = torch.from_numpy(run.load_arrays("patches")["patches"])
        held = held[torch.arange(n_chains) % len(held)]
        place = choices["label"].index(label) if label else None
        return machine_chains(
            self.net(run), self.record(run), held, steps, seed, start=start, clamp=clamp, label=label, place=place
        )

    def more_scores(self, net: nn.Module, data: Data) -> dict[str, float]:
        """Give the accuracy of the label layer on held-out examples."""
        assert isinstance(net, PathwayMachine)
        scores = {"dead_layers": float(sum(life.dead for life in dead_layers(net, data.train.x[:1000]).values()))}
        return scores | accuracy(net, data.held_out[0])

    def cost(self) -> Cost:
        """Count the pairs of layers, and joint training with ten sweeps of mean field and k Gibbs steps an example."""
        sizes = self.layer_sizes(math.prod(self.likely_shape()))
        weights = sum(a * b for a, b in pairwise(sizes))
        n_batches, n_pairs = -(-self.n_patches // self.batch_size), len(sizes) - 1
        work = 10 * self.n_epochs_pretraining + (MEAN_FIELD_WORK + 4 * self.n_gibbs) * self.n_epochs
        return replace(
            super().cost(),
            flops=float(weights) * work * self.n_patches,
            n_steps=n_batches * (n_pairs * self.n_epochs_pretraining + self.n_epochs),
        )

    def layer_sizes(self, n_visible: int) -> list[int]:
        """Give the units of each layer from the data upwards."""
        return [n_visible, *([self.n_code] if self.is_coded else []), *self.n_hidden]

    def _plans(self, n_paths: int) -> list[StagePlan]:
        codes = [StagePlan(f"code {i + 1}", self.n_epochs_pretraining or self.n_epochs) for i in range(n_paths)]
        n_pairs = (len(self.n_hidden) - 1) * n_paths + 1
        pairs = [StagePlan(f"pretrain {i + 1}", self.n_epochs_pretraining) for i in range(n_pairs)]
        return [
            *(codes if self.is_coded else []),
            *(pairs if self.n_epochs_pretraining else []),
            StagePlan("joint", self.n_epochs),
        ]

    def _network(
        self, shape: tuple[int, ...], blocks: dict[str, tuple[int, int]], targets: Targets | None
    ) -> PathwayMachine:
        """Give the untrained network."""
        n_classes = len(targets.classes) if targets else 0
        whole = math.prod(shape)
        if self.pathways and len(blocks) < 2:
            raise SettingsError(TOO_FEW_PATHS)
        parts = dict(zip(_safe(blocks), blocks.values(), strict=True)) if self.pathways else {"v": (0, whole)}
        sizes = {name: self.n_code if self.is_coded else b - a for name, (a, b) in parts.items()}
        if self.pathways:
            paths = {name: (n, self.n_hidden[:-1]) for name, n in sizes.items()}
            machine = DBM.multimodal(
                paths, self.n_hidden[-1], n_classes=n_classes, centered=self.centered, seed=self.seed
            )
        else:
            machine = DBM.chain(sizes["v"], self.n_hidden, n_classes=n_classes, centered=self.centered, seed=self.seed)
        coders = {
            name: RBM(b - a, self.n_code, visible="gaussian", seed=self.seed * 100 + i)
            for i, (name, (a, b)) in enumerate(parts.items())
        }
        return PathwayMachine(shape, parts, machine, coders if self.is_coded else None)

    def _code(self, net: PathwayMachine, name: str, training: Training, data: Data, index: int) -> None:
        coder, (begin, end) = net.coder(name), net.blocks[name]
        assert coder is not None
        coder.set_base_rates(data.train.x.flatten(1)[:, begin:end].mean(0))
        batches = self.batches(data.train, data.validation, index, parts_at_once(coder, self.batch_size))
        n_epochs = self.n_epochs_pretraining or self.n_epochs
        task = ContrastiveDivergence(
            coder, learning_rate=self.code_rate, learning_rate_end=0.0, n_steps_total=batches.n_updates * n_epochs,
            mini_batch=self.batch_size, weight_decay=self.weight_decay, max_update_norm=0.1, seed=self.seed,
            stage=index, below=lambda x, generator: x.flatten(1)[:, begin:end],
        )  # fmt: skip
        training.stage(f"code {index + 1}", task, batches, n_epochs=n_epochs)

    def _pretrain(self, net: PathwayMachine, training: Training, train: Examples, validation: Examples | None) -> None:
        """Train each pair of layers with doubled inputs, on what the pairs below make of the codes."""
        ends, stage = _bounds(net), 0
        found: dict[tuple[str | tuple[str, ...], str], RBM] = {}
        tops: dict[str, tuple[str, Examples, Examples | None]] = {}
        for name, (begin, end) in ends.items():
            here = _cut(train, begin, end), None if validation is None else _cut(validation, begin, end)
            layers = [name, *self._path(net, name)]
            for a, b in pairwise(layers):
                rbm = self._pair(net, (a,), b, first=a == name, last=False, stage=stage)
                self._divide(rbm, training, stage, *here)
                found[a, b], stage = rbm, stage + 1
                here = here[0].map(rbm.hidden_mean), None if here[1] is None else here[1].map(rbm.hidden_mean)
            tops[name] = (layers[-1], *here)
        top = net.machine.graph.top
        below = tuple(layer for layer, _, _ in tops.values())
        rbm = self._pair(net, below, top, first=False, last=True, stage=stage)
        joined = [_beside([t[i + 1] for t in tops.values()]) for i in range(2)]  # type: ignore[misc]
        assert joined[0] is not None
        self._divide(rbm, training, stage, joined[0], joined[1])
        found[below if len(below) > 1 else below[0], top] = rbm
        net.machine.load_pretrained(found)
        if self.centered:  # offsets begin where the units are, not where the biases alone would put them
            codes = {name: train.x[:, a:b] for name, (a, b) in ends.items()}
            state = net.machine.mean_field(codes).state
            net.machine.move_offsets({name: mu.mean(0) for name, mu in state.items()}, 1.0)

    def _path(self, net: PathwayMachine, name: str) -> list[str]:
        """Give the hidden layers between an input and the top."""
        return list(net.machine.graph.route(name, net.machine.graph.top)[1:-1])

    def _pair(
        self, net: PathwayMachine, below: tuple[str, ...], above: str, *, first: bool, last: bool, stage: int
    ) -> RBM:
        sizes = net.machine.graph.sizes
        rbm = RBM(sum(sizes[n] for n in below), sizes[above], seed=self.seed * 100 + 50 + stage)
        rbm.up_factor, rbm.down_factor = 1.0 if last else 2.0, 1.0 if first else 2.0
        return rbm

    def _divide(self, rbm: RBM, training: Training, stage: int, train: Examples, validation: Examples | None) -> None:
        rbm.set_base_rates(train.x.mean(0))
        batches = self.batches(train, validation, 30 + stage, parts_at_once(rbm, self.batch_size))
        task = ContrastiveDivergence(
            rbm, k=1, learning_rate=0.05, learning_rate_end=0.0,
            n_steps_total=batches.n_updates * self.n_epochs_pretraining, mini_batch=self.batch_size, weight_decay=1e-4,
            momentum=0.0, final_momentum=0.0, seed=self.seed, stage=30 + stage,
        )  # fmt: skip
        training.stage(f"pretrain {stage + 1}", task, batches, n_epochs=self.n_epochs_pretraining)

    def _join(self, net: PathwayMachine, training: Training, train: Examples, validation: Examples | None) -> None:
        batches = self.batches(train, validation, JOINT)
        task = JointDBM(
            net.machine, n_chains=self.n_chains, k=self.n_gibbs, learning_rate=self.learning_rate,
            learning_rate_end=0.0, n_steps_total=batches.n_batches * self.n_epochs, momentum=self.momentum,
            final_momentum=self.final_momentum, weight_decay=self.weight_decay,
            sparsity_target=self.sparsity_target or 0.05,
            sparsity_weight=self.sparsity_weight if self.sparsity_target else 0.0, blocks=_bounds(net),
            reference=None if validation is None else train.x[: len(validation)], seed=self.seed, stage=JOINT,
        )  # fmt: skip
        training.stage("joint", task, batches, n_epochs=self.n_epochs)


def _bounds(net: PathwayMachine) -> dict[str, tuple[int, int]]:
    """Give where each input layer lies in codes laid side by side."""
    found, begin = {}, 0
    for name in net.blocks:
        size = net.machine.graph.sizes[name]
        found[name], begin = (begin, begin + size), begin + size
    return found


def _coded(net: PathwayMachine, examples: Examples) -> Examples:
    return examples.map(lambda x: torch.cat(list(net.codes(x).values()), 1), 4096)


def _cut(examples: Examples, begin: int, end: int) -> Examples:
    return examples.map(lambda x: x[:, begin:end])


def _beside(parts: list[Examples | None]) -> Examples | None:
    if parts[0] is None:
        return None
    return parts[0].map(lambda _: torch.cat([p.x for p in parts if p is not None], 1))


def _drawn(code: Tensor, n: int, generator: torch.Generator) -> Tensor:
    means = code[torch.arange(n) % len(code)]
    return (torch.rand(means.shape, generator=generator) < means).to(means.dtype)


def _safe(names: Iterable[str]) -> list[str]:
    """Turn modalities' names into those of layers, each its own."""
    found: list[str] = []
    for name in names:
        text = re.sub(r"[^A-Za-z0-9_-]", "_", name)
        text = text if re.match("[A-Za-z0-9]", text) else f"m{text}"
        text = f"{text}_input" if text in (SHARED, LABEL) or re.search(r"_h\d+$", text) else text
        while text in found:
            text += "_"
        found.append(text)
    return found
