"""The base of systems that tell subjects apart by a network on connectivity whose weights' sparsity is steered."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import model_validator

from workbench.classical.connectivity import EdgeScaling
from workbench.models.finetuning import stack_to_network
from workbench.models.layers import Corruption
from workbench.models.mlp import MLP
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.patches.examples import ExampleDataModule, Examples
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.base import Cost, setting
from workbench.systems.regional_base import RegionalLearning
from workbench.tasks.aside import train_aside
from workbench.tasks.sparsity_control import (
    ControlledPretraining,
    ControlledSupervised,
    Measure,
    Method,
    SparsityController,
)

N_REGIONS, N_SUBJECTS = 116, 100  # what costs are counted for
TUNING = 20  # its number among the stages, from which draws are seeded
Train = Callable[[str, Any, ExampleDataModule, int], object]


@dataclass(frozen=True)
class Candidate:
    """What a nested choice is made of.

    Attributes:
        n_hidden: units of each hidden layer.
        targets: wanted sparsity of each.
    """

    n_hidden: tuple[int, ...]
    targets: tuple[float, ...]


class ControlledLearning(RegionalLearning, ABC):
    """Settings of the network, of its controller and of the choice among candidates; and its training."""

    n_hidden: tuple[int, ...] = setting(
        (50, 50, 50), "Hidden units", "Of each layer, from the edges up (published: three layers of 50 did best).",
        "Network", min_length=1, max_length=5,
    )  # fmt: skip
    pretraining: Literal["auto-encoders", "denoising", "none"] = setting(
        "auto-encoders", "Pretraining", "Layer by layer, without the classes (published: auto-encoders).", "Pretraining"
    )
    noise: float = setting(
        0.2, "Masked share", "Of a layer's input, for denoising (ours).", "Pretraining", ge=0, le=1
    )  # fmt: skip
    n_epochs_pretraining: int = setting(100, "Epochs a layer", "Of pretraining (ours).", "Pretraining", ge=1, le=10_000)
    pretraining_rate: float = setting(1e-3, "Pretraining rate", "Of Adam (ours).", "Pretraining", gt=0, le=1)
    control: Literal["layer", "node", "none"] = setting(
        "layer", "Sparsity control", "One strength for a layer, or for each unit (both published), or no control.",
        "Sparsity",
    )  # fmt: skip
    measure: Measure = setting(
        "nonzero", "Measure",
        "The share of weights that are not 0 (the paper's), or Hoyer's sparseness (the authors' later one).",
        "Sparsity",
    )  # fmt: skip
    method: Method = setting(
        "subgradient", "Method",
        "The penalty in the loss (as published; weights below 0.001 count as 0), or exact zeros by a proximal step.",
        "Sparsity",
    )  # fmt: skip
    targets: tuple[float, ...] = setting(
        (0.3,), "Targets", "Of all hidden layers, or one for each; without a grid. Ours: the review prints none.",
        "Sparsity", min_length=1, max_length=5,
    )  # fmt: skip
    beta_step: float = setting(
        1e-2, "Step of the strength", "By which it moves after every batch (from the authors' scripts).", "Sparsity",
        gt=0, le=1,
    )  # fmt: skip
    beta_max: tuple[float, ...] = setting(
        (1e-4, 0.1, 0.15), "Largest strength", "Of all hidden layers, or one for each (from the authors' scripts).",
        "Sparsity", min_length=1, max_length=5,
    )  # fmt: skip
    control_pretraining: bool = setting(
        True, "Control in pretraining", "Steers the layer that is pretrained to the same target (as published).",
        "Sparsity",
    )  # fmt: skip
    pretraining_beta_step: float = setting(
        1e-2, "Step in pretraining", "Of the strength (from the authors' scripts).", "Sparsity", gt=0, le=1
    )
    grid_targets: tuple[float, ...] = setting(
        (0.1, 0.5), "Targets to choose from",
        "By cross-validation within the training subjects of each fold; empty takes the targets above. Ours: the "
        "authors' later script has 0.2 and 0.8 of Hoyer's measure for each layer.", "Choice", max_length=6,
    )  # fmt: skip
    grid_each: bool = setting(
        False, "Each layer its own target", "All combinations of the targets over the layers, else one for all.",
        "Choice",
    )  # fmt: skip
    grid_layers: tuple[int, ...] = setting(
        (), "Numbers of layers to choose from", "Empty takes the hidden units above (published: 1 to 5 is ours).",
        "Choice", max_length=5,
    )  # fmt: skip
    grid_units: tuple[int, ...] = setting(
        (), "Units to choose from", "Of every layer; empty takes those above (values are ours).", "Choice", max_length=5
    )  # fmt: skip
    n_inner: int = setting(3, "Inner folds", "Of the choice (ours).", "Choice", ge=2, le=20)
    optimizer: Literal["adam", "sgd"] = setting(
        "adam", "Optimizer", "Of the training on classes (adam: from the authors' scripts); sgd has no momentum.",
        "Training",
    )  # fmt: skip
    learning_rate: float = setting(
        5e-5, "Learning rate", "Of the training on classes (from the authors' scripts).", "Training", gt=0, le=1
    )
    anneal_after: int = setting(
        30, "Steady epochs", "Then the rate falls (from the authors' scripts), evenly to a tenth (ours); 0: never.",
        "Training", ge=0, le=100_000,
    )  # fmt: skip
    weight_decay: float = setting(
        2e-4, "Weight decay", "λ of λ‖W‖² (from the authors' scripts).", "Training", ge=0, le=1
    )
    n_epochs: int = setting(100, "Epochs", "On the classes (from the authors' scripts).", "Training", ge=1, le=100_000)
    batch_size: int = setting(36, "Batch size", "Subjects (from the authors' scripts).", "Training", ge=2, le=10_000)

    @model_validator(mode="after")
    def _sparsity_fits(self) -> Self:
        units = (*self.n_hidden, *self.grid_units)
        if any(not 1 <= n <= 4096 for n in units) or any(not 1 <= n <= 5 for n in self.grid_layers):
            raise ValueError(f"there are 1 to 5 layers of 1 to 4096 units; got {list(units)}, {list(self.grid_layers)}")
        if any(not 0 <= t <= 1 for t in (*self.targets, *self.grid_targets)):
            raise ValueError(f"targets lie in 0 to 1; got {[*self.targets, *self.grid_targets]}")
        if any(b < 0 for b in self.beta_max):
            raise ValueError(f"strengths are never negative; got {list(self.beta_max)}")
        depths = {len(c.n_hidden) for c in self.candidates()}
        for what, values in (("target", self.targets), ("largest strength", self.beta_max)):
            is_used = self.control != "none" and not (what == "target" and self.grid_targets)
            if is_used and len(values) > 1 and any(len(values) < n for n in depths):
                raise ValueError(f"give one {what}, or one for each of {max(depths)} hidden layers; got {len(values)}")
        return self

    def candidates(self) -> list[Candidate]:
        """Give what is chosen from; one where there is no grid."""
        found = []
        shapes = [
            (n,) * depth if self.grid_units else (*self.n_hidden, *(self.n_hidden[-1],) * 5)[:depth]
            for depth in self.grid_layers or (len(self.n_hidden),)
            for n in self.grid_units or (0,)
        ]
        for shape in shapes:
            if self.control == "none" or not self.grid_targets:
                found.append(Candidate(shape, _each(self.targets, len(shape))))
            elif self.grid_each:
                found += [Candidate(shape, targets) for targets in product(self.grid_targets, repeat=len(shape))]
            else:
                found += [Candidate(shape, (t,) * len(shape)) for t in self.grid_targets]
        return found

    def plans(self, part: str) -> list[StagePlan]:
        """Name the stages of one training."""
        n = 0 if self.pretraining == "none" else max(len(c.n_hidden) for c in self.candidates())
        layers = [StagePlan(f"{part} pretrain {i + 1}", self.n_epochs_pretraining) for i in range(n)]
        return [*layers, StagePlan(f"{part} fine-tune", self.n_epochs)]

    def stages(self) -> list[StagePlan]:
        """Name the stages of every fold and of all subjects."""
        return [plan for part in parts(self.n_folds) for plan in self.plans(part)]

    def choose(self, edges: np.ndarray, target: np.ndarray, training: Training, part: str) -> Candidate:
        """Choose a candidate by cross-validation within training subjects; ties go to the lower cross-entropy.

        Args:
            edges: (N, E) Fisher z, not yet normalized.
            target: (N,) 0 or 1.
            training: its run keeps the errors of all candidates.
            part: whose training subjects these are.
        """
        candidates = self.candidates()
        if len(candidates) == 1:
            return candidates[0]
        key = f"choice {part}"
        if key.replace(" ", "-") not in training.run.list_arrays():
            found = [self._inner_error(c, edges, target, training) for c in candidates]
            width = max(len(c.targets) for c in candidates)
            table = [(*c.targets, *(np.nan,) * (width - len(c.targets))) for c in candidates]
            training.run.save_arrays(
                key, error=np.array([f[0] for f in found]), cross_entropy=np.array([f[1] for f in found]),
                targets=np.array(table), n_layers=np.array([len(c.n_hidden) for c in candidates]),
                n_units=np.array([c.n_hidden[0] for c in candidates]),
            )  # fmt: skip
        kept = training.run.load_arrays(key)
        return candidates[int(np.lexsort((kept["cross_entropy"], kept["error"]))[0])]

    def train_network(self, x: np.ndarray, target: np.ndarray, candidate: Candidate, train: Train, part: str) -> MLP:
        """Pretrain layer by layer, put an output layer on top, and train on the classes.

        Args:
            x: (N, E) normalized edges.
            target: (N,) 0 or 1.
            candidate: sizes and targets.
            train: trains a task; gets the stage's name, the task, its batches and the epochs.
            part: begins the names of stages.
        """
        examples = Examples(
            torch.from_numpy(np.ascontiguousarray(x, np.float32)), torch.from_numpy(target.astype(np.int64)),
            torch.arange(len(x)), [str(i) for i in range(len(x))],
        )  # fmt: skip
        network = self._pretrained(examples, candidate, train, part)
        counts = np.bincount(target, minlength=2)
        task = ControlledSupervised(
            network, optimizer=self.optimizer, learning_rate=self.learning_rate, momentum_max=0.0,
            weight_decay=2 * self.weight_decay, class_weights=tuple(len(target) / (2.0 * counts)), seed=self.seed,
            stage=TUNING,
        )  # fmt: skip
        if self.anneal_after:
            task.anneal = (self.anneal_after, self.n_epochs)
        if self.control != "none":
            paths = {f"layer {i + 1}": f"hidden.{i}.weight" for i in range(len(candidate.n_hidden))}
            task.controlled_by(SparsityController(
                network, paths, candidate.targets, measure=self.measure, scope=self.control, method=self.method,
                step=self.beta_step, beta_max=_each(self.beta_max, len(paths)),
            ))  # fmt: skip
        train(f"{part} fine-tune", task, self._batches(examples, TUNING), self.n_epochs)
        return network.cpu().eval().requires_grad_(False)

    def empty_network(self, n_edges: int, n_hidden: Sequence[int]) -> MLP:
        """Give the untrained network on so many edges."""
        return MLP((n_edges,), n_hidden, 2, activation="tanh", seed=self.seed)

    def cost(self) -> Cost:
        """Count every fold with its choice, for 116 regions and 100 subjects."""
        n_edges = N_REGIONS * (N_REGIONS - 1) // 2
        found = self.candidates()
        weights = [sum(a * b for a, b in pairwise([n_edges, *c.n_hidden, 2])) for c in found]
        trained = float(max(weights)) + (self.n_inner * sum(weights) if len(found) > 1 else 0.0)
        n_trained = 1 + (self.n_inner * len(found) if len(found) > 1 else 0)
        n_layers = 0 if self.pretraining == "none" else max(len(c.n_hidden) for c in found)
        epochs = 12 * self.n_epochs_pretraining * (n_layers > 0) + 6 * self.n_epochs
        steps = -(-N_SUBJECTS // self.batch_size) * (n_layers * self.n_epochs_pretraining + self.n_epochs)
        return Cost(
            parameters=max(weights) + sum(max(found, key=lambda c: sum(c.n_hidden)).n_hidden) + 2,
            flops=trained * epochs * N_SUBJECTS * (self.n_folds + 1), memory_bytes=24.0 * max(weights),
            n_steps=steps * n_trained * (self.n_folds + 1), efficiency=0.1,
        )  # fmt: skip

    def _pretrained(self, examples: Examples, candidate: Candidate, train: Train, part: str) -> MLP:
        if self.pretraining == "none":
            return self.empty_network(examples.shape[0], candidate.n_hidden)
        stack = StackedAutoEncoder(examples.shape, candidate.n_hidden, hidden="tanh", seed=self.seed)
        noise = Corruption("masking", self.noise) if self.pretraining == "denoising" else Corruption()
        for index in range(stack.n_layers):
            task = ControlledPretraining(
                stack, index, corruption=noise, beta=0.0, learning_rate=self.pretraining_rate, seed=self.seed
            )
            if self.control != "none" and self.control_pretraining:
                task.controlled_by(self._pretraining_control(stack, index, candidate))
            train(f"{part} pretrain {index + 1}", task, self._batches(examples, index), self.n_epochs_pretraining)
        return stack_to_network(stack, 2, seed=self.seed)

    def _pretraining_control(self, stack: StackedAutoEncoder, index: int, candidate: Candidate) -> SparsityController:
        """Give the controller of one layer; its loss is summed over the layer's input, where the strength is a mean's.

        With the proximal step beside Adam a strength of 1 is Adam's own largest step.
        """
        most = 10.0 if self.method == "proximal" else _each(self.beta_max, len(candidate.n_hidden))[index]
        assert self.control != "none"
        return SparsityController(
            stack, {f"layer {index + 1}": f"layers.{index}.weight"}, (candidate.targets[index],), measure=self.measure,
            scope=self.control, method=self.method, step=self.pretraining_beta_step, beta_max=(most,),
            scale=float(stack.layer(index).n_visible),
        )  # fmt: skip

    def _batches(self, examples: Examples, stage: int) -> ExampleDataModule:
        return ExampleDataModule(examples, None, batch_size=self.batch_size, seed=self.seed * 1000 + stage)

    def _inner_error(
        self, candidate: Candidate, edges: np.ndarray, target: np.ndarray, training: Training
    ) -> tuple[float, float]:
        """Give the share of wrong classes and the cross-entropy (nats) over the inner folds."""
        from sklearn.model_selection import StratifiedKFold

        n_inner = min(self.n_inner, int(np.bincount(target).min()))
        if n_inner < 2:
            return 0.0, 0.0
        folds = StratifiedKFold(n_inner, shuffle=True, random_state=self.seed)
        logits = np.empty((len(target), 2))

        def aside(_: str, task: Any, batches: ExampleDataModule, n_epochs: int) -> None:
            train_aside(task, batches, n_epochs, seed=self.seed, check_stop=training.check_stop)

        for learn, held in folds.split(edges, target):
            scaling = EdgeScaling.learn(edges[learn])
            network = self.train_network(scaling.apply(edges[learn]), target[learn], candidate, aside, "inner")
            logits[held] = logits_of(network, scaling.apply(edges[held]))
        own = logits[np.arange(len(target)), target]
        cross_entropy = np.logaddexp(logits[:, 0], logits[:, 1]) - own
        return float((logits.argmax(1) != target).mean()), float(cross_entropy.mean())


def parts(n_folds: int) -> list[str]:
    """Name what is trained: each fold, and all subjects."""
    return [*(f"fold {i + 1}" for i in range(n_folds)), "all"]


def logits_of(network: MLP, x: np.ndarray) -> np.ndarray:
    """Give the outputs (n, 2) for normalized edges (n, E)."""
    with torch.no_grad():
        return network(torch.from_numpy(np.ascontiguousarray(x, np.float32))).double().numpy()


def _each(values: Sequence[float], n: int) -> tuple[float, ...]:
    """Give a value for each of n layers: one for all, or the first n."""
    return tuple(values) * n if len(values) == 1 else tuple(values[:n])
