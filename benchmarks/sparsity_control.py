"""Does the sparsity controller reach its targets, find planted edges, and diagnose better than without it?

Three cohorts of two classes: edges drawn one by one (Fisher z with standard deviation 0.115, where a linear machine
errs on about 1 %), and two of time series with networks, autocorrelation and a severity of each patient. 40 of 1,770
edges differ by ±0.175, or 40/1,770 of 6,670 (at most two for three regions) by half of that. One hidden layer of
20 tanh units, full batches, proximal step.

    python benchmarks/sparsity_control.py [--seeds 5] [--out docs/sparsity_control.csv]
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student

from workbench.classical.connectivity import EdgeScaling, connectivity_vectors, edge_pairs
from workbench.metrics.recovery import edge_hits
from workbench.models.mlp import MLP
from workbench.patches.examples import ExampleDataModule, Examples
from workbench.phantoms.bold_edges import best_from_edges, planted_edges
from workbench.systems.cadx.kim2016 import logistic_l1
from workbench.systems.regional_cv import linear_machine
from workbench.tasks.aside import train_aside
from workbench.tasks.sparsity_control import ControlledSupervised, Measure, Scope, SparsityController, hoyer, nonzero

N_TEST, N_STEPS, N_UNITS, RATE = 200, 1600, 20, 0.02
STEP = {"nonzero": 1e-5, "hoyer": 5e-4}  # a slow one winds up past a low Hoyer target, from where nothing leads back
BETA_MAX = {"nonzero": 1.0, "hoyer": 0.01}
Method = tuple[str, Measure | None, float, Scope]
METHODS: tuple[Method, ...] = (
    ("network, no control", None, 0.0, "layer"),
    ("nonzero share 0.3", "nonzero", 0.3, "layer"),
    ("nonzero share 0.1", "nonzero", 0.1, "layer"),
    ("nonzero share 0.03", "nonzero", 0.03, "layer"),
    ("nonzero share 0.1 of each unit", "nonzero", 0.1, "node"),
    ("Hoyer 0.6", "hoyer", 0.6, "layer"),
    ("Hoyer 0.8", "hoyer", 0.8, "layer"),
)


@dataclass(frozen=True, eq=False)
class Cohort:
    """Normalized edges (N, E), classes (N,), which edges are planted (E,), and the smallest error, where known."""

    x: np.ndarray
    target: np.ndarray
    planted: np.ndarray
    n_train: int
    best: float


def drawn_edges(seed: int) -> Cohort:
    """Draw every edge's Fisher z independently."""
    rng, target = np.random.default_rng(seed), np.arange(100 + N_TEST) % 2
    planted = np.zeros(1770, bool)
    planted[rng.permutation(1770)[:40]] = True
    shift = 0.175 * np.where(rng.random(1770) < 0.5, -1, 1) * planted
    z = rng.normal(0, 0.115, (len(target), 1770)) + target[:, None] * shift
    return Cohort(EdgeScaling.learn(z[:100]).apply(z).astype(np.float32), target, planted, 100, float("nan"))


def from_series(seed: int, n_train: int, n_regions: int, effect: float) -> Cohort:
    """Draw time series and correlate them."""
    drawn = planted_edges(n_train + N_TEST, seed=seed, n_regions=n_regions, effect=effect)
    edges = connectivity_vectors(list(drawn.values))
    pairs = {tuple(sorted(p)) for p in drawn.edges.pairs.tolist()}
    planted = np.array([tuple(sorted(p)) in pairs for p in edge_pairs(n_regions).tolist()])
    best = 1 - best_from_edges(drawn.edges, drawn.values.shape[1])["accuracy"]
    return Cohort(EdgeScaling.learn(edges[:n_train]).apply(edges), drawn.target, planted, n_train, best)


SETTINGS = {
    "edges drawn one by one": lambda seed: drawn_edges(seed),
    "series, 60 regions": lambda seed: from_series(seed, 100, 60, 0.175),
    "harder: 116 regions, half the effect, 60 subjects": lambda seed: from_series(seed, 60, 116, 0.0875),
}


def measure_network(cohort: Cohort, method: Method, seed: int) -> dict[str, float]:
    """Train one network and measure it."""
    _, measure, target, scope = method
    x, y = torch.from_numpy(cohort.x), torch.from_numpy(cohort.target)
    train = Examples(x[: cohort.n_train], y[: cohort.n_train], torch.arange(cohort.n_train), [""] * cohort.n_train)
    network = MLP((x.shape[1],), (N_UNITS,), 2, activation="tanh", seed=seed)
    task = ControlledSupervised(network, optimizer="sgd", learning_rate=RATE, momentum_max=0.0)
    if measure:
        task.controlled_by(SparsityController(
            network, {"layer 1": "hidden.0.weight"}, (target,), measure=measure, scope=scope, step=STEP[measure],
            beta_max=(BETA_MAX[measure],),
        ))  # fmt: skip
    train_aside(task, ExampleDataModule(train, None, batch_size=len(train), seed=seed), N_STEPS)
    weight = network.state_dict()["hidden.0.weight"]
    with torch.no_grad():
        wrong = network(x[cohort.n_train :]).argmax(1) != y[cohort.n_train :]
    off = 0.0 if task.control is None else float((task.control.measured()[0] - target).abs().max())
    return {
        "error": float(wrong.float().mean()), "hit": edge_hits(weight.norm(dim=0).numpy(), cohort.planted),
        "nonzero": float(nonzero(weight.reshape(1, -1))), "hoyer": float(hoyer(weight.reshape(1, -1))),
        "off target": off,
    }  # fmt: skip


def measure_linear(cohort: Cohort) -> dict[str, dict[str, float]]:
    """Fit both linear machines and measure them."""
    n, nan = cohort.n_train, float("nan")
    svm = linear_machine(cohort.x[:n], cohort.target[:n])
    weights = (svm.dual_coef_ @ svm.support_vectors_)[0]
    lasso = logistic_l1(cohort.x[:n], cohort.target[:n])
    score = cohort.x[n:] @ lasso[:-1] + lasso[-1]
    found = {
        "linear machine": (svm.predict(cohort.x[n:]), weights),
        "logistic machine with L1": ((score > 0).astype(int), lasso[:-1]),
    }
    return {
        name: {
            "error": float((said != cohort.target[n:]).mean()), "hit": edge_hits(w, cohort.planted),
            "nonzero": float((w != 0).mean()), "hoyer": nan, "off target": nan,
        }
        for name, (said, w) in found.items()
    }  # fmt: skip


def interval(values: list[float]) -> tuple[float, float, float]:
    """Give mean and 95 % interval over seeds (Student's t)."""
    mean = statistics.fmean(values)
    if len(values) < 2 or np.isnan(mean):
        return mean, float("nan"), float("nan")
    half = float(student.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return mean, mean - half, mean + half


def main() -> None:
    """Measure all methods on all cohorts and write one row a method, cohort and quantity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", type=int, default=0, help="one cohort by its number, for trying out")
    parser.add_argument("--methods", default="", help="only methods whose names hold this")
    parser.add_argument("--out", type=Path, default=Path("docs/sparsity_control.csv"))
    arguments = parser.parse_args()
    rows = []
    for number, (name, draw) in enumerate(SETTINGS.items(), 1):
        if arguments.only not in (0, number):
            continue
        found: dict[str, list[dict[str, float]]] = {}
        for seed in range(arguments.seeds):
            begin, cohort = time.time(), draw(seed)
            found.setdefault("best there is", []).append({"error": cohort.best})
            for linear, values in measure_linear(cohort).items():
                found.setdefault(linear, []).append(values)
            for method in (m for m in METHODS if arguments.methods in m[0]):
                found.setdefault(method[0], []).append(measure_network(cohort, method, seed))
            print(f"{name}, seed {seed}: {time.time() - begin:.0f} s", flush=True)
        for method_name, runs in found.items():
            for quantity in runs[0]:
                mean, low, high = interval([run[quantity] for run in runs])
                worst = max(run[quantity] for run in runs)
                rows.append([name, method_name, quantity, *(f"{v:.4f}" for v in (mean, low, high, worst)), len(runs)])
            print(
                f"  {method_name:32}", {q: round(statistics.fmean(r[q] for r in runs), 4) for q in runs[0]}, flush=True
            )
    with arguments.out.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["cohort", "method", "quantity", "mean", "low", "high", "largest", "n_seeds"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
