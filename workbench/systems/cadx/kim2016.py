"""Diagnosis from whole-brain connectivity by a deep network with weight sparsity control.

Review: Section 3.5, Reference 121

Citation: Kim J, Calhoun VD, Shim E, Lee JH. Deep neural network with weight sparsity control and pre-training extracts
hierarchical features and enhances classification performance: evidence from whole-brain resting-state functional
connectivity patterns of schizophrenia. NeuroImage 124:127–146, 2016.

Input: a regional signal of each subject, 116 regions in the paper. Pearson's correlation of every pair of regions
(6,670 at 116), Fisher's z, then a z-score of each pair over the training subjects.

Network: three hidden layers of 50 tanh units, softmax.

Training: auto-encoders layer by layer, then back-propagation on the classes. In both an L1 penalty acts on the hidden
weights whose strength, of each layer or each unit, moves after every batch so that the share of weights that are not 0,
or Hoyer's sparseness, comes to a target. Targets, layers and units are chosen by cross-validation within the training
subjects.

Output: the class of a subject with a score (log-odds); every unit's weights projected back onto pairs of regions.

Reported: 14.2 % error with three layers of 50 units, L1 control and pretraining (abstract); not reproduced here, where
its data are not at hand.

Departs from the paper in: targets of the nonzero share, inner folds, pretraining's epochs and rate, and the rate's fall
are ours, since neither the review nor the abstract prints them; batch size, rate, epochs, weight decay, strengths and
their step are those of a later script of the same authors, not the paper's own; classes are weighted alike; errors of
the auto-encoders are summed, with the penalty scaled to match. The presets cpu and quick use the proximal step, which
makes exact zeros, and full batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from workbench.classical.connectivity import EdgeScaling, connectivity_vectors, to_matrix
from workbench.imaging.cohort import Cohort
from workbench.models.mlp import MLP
from workbench.runs.run import Run
from workbench.runs.training import Training
from workbench.systems.base import Preset, Reported
from workbench.systems.controlled_base import ControlledLearning, logits_of, parts
from workbench.systems.regional_data import Regional, regions_of
from workbench.systems.regional_views import ControlTrace, RegionalNetworks

OWN, LOGISTIC = "sparse network", "logistic machine with L1"
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0)
PROXIMAL = {"method": "proximal", "optimizer": "sgd", "learning_rate": 0.02, "batch_size": 1000, "anneal_after": 0,
            "weight_decay": 5e-3, "beta_step": 1e-5, "beta_max": (1.0,), "pretraining_beta_step": 0.02}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Learnt:
    """What is learnt from some subjects.

    Attributes:
        network: normalized edges (B, E) → (B, 2).
        scaling: normalizes edges.
        logistic: (E + 1,) weights and intercept of a logistic machine with an L1 penalty, a second comparison.
    """

    network: MLP
    scaling: EdgeScaling
    logistic: np.ndarray


class Kim2016(ControlledLearning):
    """Settings of the paper where they are known; see the card for those that are not."""

    phantom: ClassVar[str] = "bold-edges"
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("published", "Three layers of 50 units (the paper's) under the authors' scripts' rates; targets ours."),
        Preset("later script", "Hoyer's measure, each layer's target chosen from 0.2 and 0.8, as their later script.",
               {"measure": "hoyer", "grid_targets": (0.2, 0.8), "grid_each": True}),
        Preset("cpu", "The same network with the proximal step and rates that reach their targets; 5 folds.",
               PROXIMAL | {"targets": (0.1, 0.3, 0.3), "grid_targets": (), "n_folds": 5,
                           "n_epochs": 1500, "n_epochs_pretraining": 300, "beta_step": 2e-5}),
        Preset("quick", "Two layers of 8 and 4 units, 2 folds: seconds.",
               PROXIMAL | {"n_hidden": (8, 4), "targets": (0.2, 0.5), "grid_targets": (), "n_folds": 2, "n_epochs": 60,
                           "beta_step": 1e-3, "n_epochs_pretraining": 20}),
    )  # fmt: skip
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported("error", "14.2 %", "schizophrenia patients and controls at rest", "abstract of the paper"),
    )

    @property
    def score_words(self) -> str:
        """What the score is."""
        return "log-odds of the second class (nats)"

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Cross-validate, learn from all subjects, and keep what the run is looked at by."""
        data, held_out = self.prepare(cohort, run)
        assert held_out is not None
        training = Training(run, [plan for part in parts(held_out.n_folds) for plan in self.plans(part)])
        scores, learnt = self.cross_validate(data, held_out, run, training)
        run.save_weights("weights", {n: t.contiguous() for n, t in learnt.network.state_dict().items()})
        run.save_arrays("scaling", logistic=learnt.logistic, **learnt.scaling.to_arrays())
        run.finish(self.conclude(run, held_out, scores, data))

    def learn(self, data: Regional, target: np.ndarray, training: Training, part: str) -> Learnt:
        """Choose a candidate, then learn scaling, network and logistic machine from all subjects of the part."""
        edges = connectivity_vectors(data.series)
        candidate = self.choose(edges, target, training, part)

        def stage(name: str, task: Any, batches: Any, n_epochs: int) -> None:
            training.stage(name, task, batches, n_epochs=n_epochs)

        scaling = EdgeScaling.learn(edges)
        x = scaling.apply(edges)
        network = self.train_network(x, target, candidate, stage, part)
        if part == "all":
            training.run.save_arrays("targets", targets=np.array(candidate.targets))
        return Learnt(network, scaling, logistic_l1(x, target, self.seed))

    def scores_of(self, learnt: Learnt, data: Regional) -> dict[str, np.ndarray]:
        """Give the log-odds of the second class by the network, and by the logistic machine."""
        x = learnt.scaling.apply(connectivity_vectors(data.series))
        logits = logits_of(learnt.network, x)
        return {OWN: logits[:, 1] - logits[:, 0], LOGISTIC: x @ learnt.logistic[:-1] + learnt.logistic[-1]}

    def learnt(self, run: Run) -> Learnt:
        """Give what was learnt from all subjects."""
        weights, kept = run.trained_weights(), run.load_arrays("scaling")
        shapes = [weights[f"hidden.{i}.weight"].shape for i in range(len(weights) // 2 - 1)]
        network = self.empty_network(shapes[0][1], [n for n, _ in shapes])
        network.load_state_dict(weights)
        return Learnt(network.eval().requires_grad_(False), EdgeScaling.from_arrays(kept), kept["logistic"])

    def regional_networks(self, run: Run) -> RegionalNetworks:
        """Give every unit's weights projected back onto pairs of regions, and last what tells the classes apart.

        A unit of layer l has W_l … W_2 W_1; the weights of its regions are the sums of their pairs' sizes.
        """
        regions, network = regions_of(run), self.learnt(run).network
        titles, projected = [], []
        product = torch.eye(network.shape[0])
        for i, layer in enumerate(network.hidden):
            product = layer.weight @ product  # type: ignore[operator]
            titles += [f"layer {i + 1} unit {j + 1}" for j in range(len(product))]
            projected.append(product)
        classes = run.load_arrays("deal")["classes"]
        titles.append(f"{classes[1]} against {classes[0]}")
        projected.append((network.output.weight[1:] - network.output.weight[:1]) @ product)
        matrices = np.stack([to_matrix(row) for row in torch.cat(projected).numpy()])
        return RegionalNetworks(
            np.abs(matrices).sum(1), tuple(titles), regions.regions, regions.coordinates_mm, regions.networks, matrices,
            regions.connectivity, "strength: sum of the sizes of a region's back-projected weights (per SD of z)",
        )  # fmt: skip

    def control_traces(self, run: Run) -> list[ControlTrace]:
        """Give how the controller drove each layer of the network that learnt from all subjects, epoch by epoch."""
        table, traces, before = run.metrics(), [], 0
        targets = run.load_arrays("targets")["targets"]
        for plan in self.plans("all"):
            own = table[table["stage"] == plan.name]
            for i, target in enumerate(targets):
                values = own[own["name"] == f"{self.measure} layer {i + 1}"].sort_values("step")
                betas = own[own["name"] == f"beta layer {i + 1}"].sort_values("step")
                if len(values):
                    name = f"layer {i + 1}" + (", pretraining" if "pretrain" in plan.name else "")
                    traces.append(ControlTrace(
                        name, self.measure, float(target), values["step"].to_numpy() + before,
                        values["value"].to_numpy(float), betas["value"].to_numpy(float),
                    ))  # fmt: skip
            before += int(own["step"].max()) if len(own) else 0
        return traces

    def cannot_show(self, run: Run) -> frozenset[str]:
        """Say that a run without a controller has no traces."""
        return frozenset({"control_traces"}) if self.control == "none" else frozenset()


def logistic_l1(x: np.ndarray, target: np.ndarray, seed: int = 0) -> np.ndarray:
    """Fit a logistic machine with an L1 penalty, chosen by up to three inner folds, to normalized edges (N, E).

    Returns:
        (E + 1,) weights and the intercept.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    machine = LogisticRegression(l1_ratio=1, solver="liblinear", class_weight="balanced", random_state=seed)
    n_inner = min(3, int(np.bincount(target).min()))
    if n_inner < 2:
        best = machine.set_params(C=PENALTIES[2]).fit(x, target)
    else:
        inner = StratifiedKFold(n_inner, shuffle=True, random_state=seed)
        search = GridSearchCV(machine, {"C": PENALTIES}, scoring="balanced_accuracy", cv=inner)
        best = search.fit(x, target).best_estimator_
    return np.append(best.coef_[0], best.intercept_[0]).astype(np.float64)
