"""The base of families that learn from targets: the devices of Section 2.6 as switches, training, predictions."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from workbench.errors import RunError
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.models.initialization import InitializationName
from workbench.models.layers import Corruption, CorruptionKind
from workbench.models.mlp import NetworkActivation
from workbench.patches.examples import Examples
from workbench.progress import Progress, silent
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.base import Cost, Prediction, setting
from workbench.systems.example_targets import Targets, TaskName
from workbench.systems.examples_base import Data, ExampleLearning, check_targets
from workbench.systems.supervised_scores import output_of, score_examples, score_subjects
from workbench.systems.supervised_volumes import label_map
from workbench.tasks.supervised import Supervised

OptimizerName = Literal["adam", "sgd", "nesterov"]
EFFICIENCY = 0.2


class SupervisedLearning(ExampleLearning):
    """A network that gives a class or a number for an example (Section 2.1), with the devices of Section 2.6."""

    target: str = setting(
        "",
        "Target",
        "A covariate to predict; empty takes the label at a patch's center where there are label maps, else the "
        "subject's target.",
        "Data",
    )
    task: TaskName = setting(
        "auto", "Task", "auto: numbers of many values are regressed, everything else is classified.", "Data"
    )
    n_labels: int = setting(
        0, "Labelled examples", "How many training examples may show their target; 0 for all.", "Data", ge=0
    )
    activation: NetworkActivation = setting("relu", "Activation", "Of the hidden units (2.6, device 2).", "Network")
    initialization: InitializationName = setting(
        "glorot", "Initialization", "How the weights begin (2.6, device 1).", "Devices"
    )
    optimizer: OptimizerName = setting(
        "adam", "Optimizer", "nesterov takes its gradient at the point looked ahead to (2.6, device 1).", "Devices"
    )
    momentum_max: float = setting(
        0.9,
        "Largest momentum",
        "Of the schedule that raises the momentum during training; for nesterov and sgd.",
        "Devices",
        ge=0,
        lt=1,
    )
    corruption: CorruptionKind = setting(
        "none", "Input noise", "What destroys part of each training input (2.6, device 3, denoising).", "Devices"
    )
    corruption_amount: float = setting(
        0.2, "Amount of input noise", "Share of elements, or the noise's standard deviation.", "Devices", ge=0, le=1
    )
    dropout: float = setting(
        0.0, "Dropout", "Share of hidden units dropped in training (2.6, device 4).", "Devices", ge=0, lt=1
    )
    input_dropout: float = setting(0.0, "Dropout of the input", "Share of elements.", "Devices", ge=0, lt=1)
    dropconnect: float = setting(
        0.0,
        "DropConnect",
        "Share of hidden weights dropped, anew for each example (2.6, device 4).",
        "Devices",
        ge=0,
        lt=1,
    )
    batch_norm: bool = setting(
        False, "Batch normalization", "Of every hidden layer before its activation (2.6, device 5).", "Devices"
    )
    n_epochs: int = setting(50, "Epochs", "Passes over the labelled examples.", "Training", ge=1, le=100_000)
    learning_rate: float = setting(1e-3, "Learning rate", "Of the optimizer.", "Training", gt=0, le=10)
    weight_decay: float = setting(1e-4, "Weight decay λ", "Of weights, not biases.", "Training", ge=0, le=1)
    patience: int = setting(
        0,
        "Patience (epochs)",
        "Stop when the loss on validation subjects has not fallen for so long, and keep the best; 0 never stops.",
        "Training",
        ge=0,
        le=10_000,
    )

    @abstractmethod
    def network(self, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Give the untrained network for examples of a shape."""

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work."""
        super().check(cohort)
        check_targets(cohort, self.example_source.resolved(cohort), self.task, self.target)

    def stages(self) -> list[StagePlan]:
        """Name the one stage."""
        return [StagePlan("train", self.n_epochs)]

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Train on the labelled examples of the training subjects, and score on held-out ones."""
        training = Training(run, self.stages())
        data = self.data(cohort, run, task=self.task, target=self.target)
        network = self.network(data.shape, (data.targets or Targets()).n_outputs)
        self.supervise(training, "train", network, data, stage=0)
        self.leave(run, network, data)

    def supervise(
        self, training: Training, name: str, network: nn.Module, data: Data, *, stage: int,
        layer_rates: dict[str, float] | None = None,
    ) -> None:  # fmt: skip
        """Train a network on labelled examples, in place, as one stage."""
        assert data.targets is not None
        train = self.labelled(data.train)
        batches = self.batches(train, data.validation, stage)
        task = Supervised(
            network, task=data.targets.task, optimizer=self.optimizer, learning_rate=self.learning_rate,
            momentum_max=self.momentum_max, weight_decay=self.weight_decay,
            corruption=Corruption(self.corruption, self.corruption_amount), layer_rates=layer_rates or {},
            patience=self.patience if data.validation is not None else 0,
            n_steps_total=batches.n_batches * self.n_epochs, seed=self.seed, stage=stage,
        )  # fmt: skip
        training.stage(name, task, batches, n_epochs=self.n_epochs)
        task.keep_best()

    def labelled(self, train: Examples) -> Examples:
        """Give the training examples whose target may be seen, classes in proportion."""
        known = train.take(train.labelled.nonzero().ravel())
        if not self.n_labels or self.n_labels >= len(known):
            return known
        return known.stratified(self.n_labels, np.random.default_rng([self.seed, 13]))

    def leave(self, run: Run, network: nn.Module, data: Data) -> None:
        """Write what a finished run is looked at by: weights, outputs on held-out examples, scores."""
        assert data.targets is not None
        network = network.cpu().eval()
        run.save_weights("weights", {name: t.contiguous() for name, t in network.state_dict().items()})
        held_out, where = data.held_out
        outputs = output_of(network, held_out.x)
        assert held_out.target is not None
        run.save_arrays("outputs", outputs=outputs.numpy(), target=held_out.target.numpy())
        scores = score_examples(outputs, held_out.target, data.targets)
        train = self.labelled(data.train)
        assert train.target is not None
        fitted = score_examples(output_of(network, train.x), train.target, data.targets)
        first = next(iter(scores))
        scores[f"training {first}"] = fitted[first]
        self.look(run, network, data)
        run.finish({"scores": scores, "scored_on": where, "n_labelled": len(train)})

    def look(self, run: Run, network: nn.Module, data: Data) -> None:
        """Keep what the run's pictures need."""

    def trained_network(self, run: Run) -> nn.Module:
        """Give the trained network of a run, in eval mode."""
        record = self.record(run)
        return self.trained(run, self.network(record.shape, (record.targets or Targets()).n_outputs))

    def predict(self, subject: Subject, run: Run) -> Prediction:
        """Give the class or number of a subject's row or image, or the class of every voxel inside its mask."""
        record, network = self.record(run), self.trained_network(run)
        if record.targets is None:
            raise RunError(f"Run {run.id} has learnt no targets.")
        if record.source.kind == "patches":
            return label_map(network, record, subject)
        outputs = output_of(network, self.seen(subject, run))
        return _row(outputs, record.targets)

    def evaluate(self, cohort: Cohort, run: Run, progress: Progress = silent) -> dict[str, Any]:
        """Score each subject and all of them, with 95 % intervals over subjects."""
        record, network = self.record(run), self.trained_network(run)
        assert record.targets is not None
        found = self.examples_of(cohort, run, self.target)
        progress(0.5, f"Scoring {len(found)} examples")
        return score_subjects(output_of(network, found.x), found, record.targets)

    def cost(self) -> Cost:
        """Count from the network on an example of the size that the settings say; tables count as 100 columns."""
        shape = self.likely_shape()
        network = self.network(shape, 10)
        n_parameters = sum(p.numel() for p in network.parameters())
        n_examples = self.n_labels or self.n_patches
        n_steps = -(-n_examples // self.batch_size) * self.n_epochs
        return Cost(
            parameters=n_parameters,
            flops=6.0 * self.operations(network, shape) * n_examples * self.n_epochs,
            memory_bytes=16.0 * n_parameters + 4.0 * self.n_patches * float(np.prod(shape)),
            n_steps=n_steps,
            efficiency=EFFICIENCY,
        )

    def operations(self, network: nn.Module, shape: tuple[int, ...]) -> float:
        """Give multiplications of one forward pass of one example."""
        return float(sum(p.numel() for p in network.parameters()))


def _row(outputs: Tensor, targets: Targets) -> dict[str, float | str]:
    if not targets.classes:
        return {"predicted": float(targets.decode(outputs.numpy())[0])}
    p = torch.softmax(outputs[0].double(), 0)
    best = int(p.argmax())
    return {"predicted": targets.classes[best]} | {f"p({c})": float(v) for c, v in zip(targets.classes, p, strict=True)}
