"""Is the posterior of a deep Boltzmann machine more robust to noise than that of a deep belief network?

    python benchmarks/robustness.py [--seeds 5] [--workers 2] [--quick] [--write]

The review says so (Section 2.3.3): a layer that hears from above as well as from below makes the DBM "more robust to
noisy observations". Measured on scikit-learn's 1,797 digits of 8 × 8 pixels, black and white (on from 8 of 16), 360 of
them held out. RBM, DBN and DBM have as many weights as each other (64·96 = 64·64 + 64·32), and every weight is learnt
for as many epochs with the same batches, persistent chains and Gibbs steps. Rate, decay and centering of each are
chosen among the same twelve on a fifth of the training digits, without any noise: once by their likelihood (or the
bound on it), and once by how well a linear classifier reads the code of the top layer.

Posterior means of held-out digits are compared with those of the same digits under flipped pixels or a blank square:
how far they move, as a share of how far two digits lie apart, and how well one linear classifier trained on clean codes
reads noisy ones. A DBM whose mean field stops after the pass upwards shows what the feedback from above adds; raw
pixels show what any model adds. ``--write`` replaces docs/robustness.csv and docs/robustness.md.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from robustness_report import CRITERIA, LEVELS, ONE_PASS, chosen_by, report
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from torch import Tensor, nn

from workbench.metrics.likelihood import ais, default_betas
from workbench.models.dbm import DBM
from workbench.models.dbn import DBN, Below
from workbench.models.layers import step_generator
from workbench.models.rbm import RBM
from workbench.models.up_down import UpDown
from workbench.tasks.deep_boltzmann import JointDBM

N_VISIBLE, WIDE, SIZES = 64, 96, (64, 32)
BATCH, K, N_CHAINS, CENTERING_RATE = 20, 5, 100, 0.01
N_BETAS, N_AIS, N_BOUND = 1000, 50, 20
DOCS = Path(__file__).resolve().parents[1] / "docs"
Codes = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Choice:
    """What is tuned, for every model among the same."""

    rate: float
    decay: float
    centered: bool

    def __str__(self) -> str:
        return f"rate {self.rate:g}, decay {self.decay:g}, {'' if self.centered else 'not '}centered"


CHOICES = [Choice(*c) for c in product((0.1, 0.2, 0.4), (1e-4, 1e-3), (False, True))]


def digits() -> list[Any]:
    """Give training digits (1437, 64), held-out ones (360, 64) and the classes of both."""
    x, y = load_digits(return_X_y=True)
    a, b, y_a, y_b = train_test_split((x >= 8).astype(np.float32), y, test_size=360, random_state=0, stratify=y)
    return [torch.from_numpy(a), torch.from_numpy(b), y_a, y_b]


def order(n: int, n_epochs: int, seed: int) -> list[Tensor]:
    """Give the rows of each batch, a new order each epoch; all models of a seed share it."""
    generator = torch.Generator().manual_seed(seed)
    return [rows for _ in range(n_epochs) for rows in torch.randperm(n, generator=generator).split(BATCH)]


@torch.no_grad()
def learn(
    rbm: RBM, x: Tensor, choice: Choice, n_epochs: int, position: tuple[int, int], k: int = K,
    below: Callable[[Tensor, torch.Generator], Tensor] = lambda x, _: x,
) -> None:  # fmt: skip
    """Train an RBM in place by persistent chains, or by contrastive divergence where ``k`` is 0; the rate falls to 0.

    Args:
        rbm: starts at the base rates of what it sees.
        x: (N, V) digits.
        choice: rate and decay.
        n_epochs: passes.
        position: seed and stage.
        k: Gibbs steps.
        below: gives what the RBM sees of digits.
    """
    rbm.set_base_rates(below(x, step_generator(*position)).mean(0))
    batches, chains = order(len(x), n_epochs, position[0]), None
    for step, rows in enumerate(batches):
        generator = step_generator(*position, step)
        v = below(x[rows], generator)
        if chains is None:
            chains = v[torch.arange(N_CHAINS) % len(v)]
        chains = rbm.gibbs(chains if k else v, k or 1, generator)
        descend(rbm, rbm.gradient(v, chains), choice.rate * (1 - step / len(batches)), choice.decay)
        if rbm.centered:
            rbm.move_offsets(v.mean(0), rbm.hidden_mean(v).mean(0), CENTERING_RATE)


def descend(model: nn.Module, gradient: dict[str, Tensor], rate: float, decay: float) -> None:
    """Take a step against the gradient; weights decay, biases do not."""
    for name, value in model.named_parameters():
        value.data.add_(gradient[name] + (decay * value.data if value.ndim == 2 else 0), alpha=-rate)


def rbm_net(x: Tensor, choice: Choice, n_epochs: int, seed: int) -> RBM:
    """Train one RBM as large as the deep models."""
    rbm = RBM(N_VISIBLE, WIDE, centered=choice.centered, seed=seed)
    learn(rbm, x, choice, n_epochs, (seed, 0))
    return rbm


def dbn_net(x: Tensor, choice: Choice, n_epochs: int, seed: int, *, drawn: bool) -> DBN:
    """Train a DBN greedily on mean or drawn activations (Section 2.3.2, steps 1 to 4)."""
    sizes = (N_VISIBLE, *SIZES)
    rbms = [RBM(a, b, centered=choice.centered, seed=seed * 10 + i) for i, (a, b) in enumerate(pairwise(sizes))]
    dbn = DBN(rbms, (N_VISIBLE,))
    for i, rbm in enumerate(rbms):
        learn(rbm, x, choice, n_epochs, (seed, i), below=Below(dbn, i, "sample" if drawn else "mean"))
    return dbn


@torch.no_grad()
def awake_net(x: Tensor, choice: Choice, n_epochs: int, seed: int) -> UpDown:
    """Train a DBN greedily for three quarters of the epochs, then all layers together by wake–sleep."""
    net = UpDown(dbn_net(x, choice, n_epochs - n_epochs // 4, seed, drawn=True))
    chains = net.first_chains(N_CHAINS, x, step_generator(seed, 2))
    batches = order(len(x), n_epochs // 4, seed + 1)
    for step, rows in enumerate(batches):
        found = net.wake_sleep(x[rows], K, step_generator(seed, 2, step), chains=chains)
        chains = found.end
        descend(net, found.gradient, 0.1 * choice.rate * (1 - step / len(batches)), choice.decay)
    return net


def dbm_net(x: Tensor, choice: Choice, n_epochs: int, seed: int) -> DBM:
    """Train a DBM: pairs with doubled inputs for a quarter of the epochs, all together for the rest."""
    machine, first = DBM.chain(N_VISIBLE, SIZES, centered=choice.centered, seed=seed), n_epochs // 4
    one, two = RBM(N_VISIBLE, SIZES[0], seed=seed * 10), RBM(*SIZES, seed=seed * 10 + 1)
    one.up_factor = two.down_factor = 2.0
    start = Choice(0.05, 1e-4, centered=False)
    learn(one, x, start, first, (seed, 0), k=0)
    learn(two, x, start, first, (seed, 1), k=0, below=lambda v, _: one.hidden_mean(v).detach())
    machine.load_pretrained({("v", "h1"): one, ("h1", "h2"): two})
    if choice.centered:
        machine.move_offsets({name: mu.mean(0) for name, mu in machine.mean_field(x).state.items()}, 1.0)
    batches = order(len(x), n_epochs - first, seed + 1)
    task = JointDBM(
        machine, n_chains=N_CHAINS, k=K, learning_rate=choice.rate, learning_rate_end=0.0, momentum=0.0,
        final_momentum=0.0, n_steps_total=len(batches), weight_decay=choice.decay, centering_rate=CENTERING_RATE,
        seed=seed, stage=2,
    )  # fmt: skip
    optimizer: Any = task.configure_optimizers()
    for rows in batches:
        task.learn({"image": x[rows]}, optimizer, 0)
    return machine


NETS: dict[str, Callable[[Tensor, Choice, int, int], Any]] = {
    "RBM 96": rbm_net,
    "DBN, means": partial(dbn_net, drawn=False),
    "DBN, samples": partial(dbn_net, drawn=True),
    "DBN, wake–sleep": awake_net,
    "DBM": dbm_net,
}


@torch.no_grad()
def log_p(net: Any, x: Tensor, train: Tensor, seed: int) -> float:
    """Give the mean log p of digits (N, 64), or its lower bound for deep models, by forward annealing: nats."""
    options: dict[str, Any] = {"betas": default_betas(N_BETAS), "n_chains": N_AIS, "seed": seed}
    if isinstance(net, RBM):
        return float(-net.free_energy(x).mean()) - ais(net.annealed(train.mean(0)), **options).value
    if isinstance(net, DBM):
        return float(net.bound(x, ais(net.annealed(train.mean(0)), **options).value).mean())
    log_z = ais(net.top.annealed(net.layer_input(train, 1).mean(0)), **options).value
    return float(net.bound(x, log_z, torch.Generator().manual_seed(seed), N_BOUND).mean())


def codes_of(name: str, net: Any) -> dict[tuple[str, str], Codes]:
    """Give the posterior means of a net's layers, by model and layer."""
    if isinstance(net, RBM):
        return {(name, "top"): net.hidden_mean}
    if isinstance(net, DBM):
        ways = {name: 30, name + ONE_PASS: 0}
        layers = (("first", "h1"), ("top", "h2"))
        return {(way, at): partial(mean_field, net, key, n) for way, n in ways.items() for at, key in layers}
    return {(name, layer): partial(net.encode, depth=depth) for depth, layer in ((1, "first"), (2, "top"))}


def mean_field(machine: DBM, layer: str, n_sweeps: int, x: Tensor) -> Tensor:
    """Give the means of a layer after sweeps of mean field; after none, those of the pass upwards."""
    return machine.mean_field(x, n_iterations=n_sweeps).state[layer]


def noisy(x: Tensor, kind: str, level: float, generator: torch.Generator) -> Tensor:
    """Flip a share of the pixels of digits (N, 64), or blank a square of each at a place of its own."""
    if kind == "flipped pixels":
        return torch.where(torch.rand(x.shape, generator=generator) < level, 1 - x, x)
    edge, side = int(level), 8
    corner = torch.randint(0, side - edge + 1, (len(x), 2, 1), generator=generator)
    along = torch.arange(side)
    inside = (along >= corner) & (along < corner + edge)  # (N, 2, side)
    return x * ~(inside[:, 0, :, None] & inside[:, 1, None, :]).reshape(len(x), -1)  # (N, 64)


@torch.no_grad()
def robustness(codes: Codes, data: list[Any], seed: int) -> list[dict[str, Any]]:
    """Give change and accuracy of codes under every noise, which is the same for every model of a seed."""
    train, test, y_train, y_test = data
    search = GridSearchCV(LogisticRegression(max_iter=2000), {"C": (0.1, 1.0, 10.0)}, cv=3)
    reader = search.fit(codes(train).numpy(), y_train)
    clean = codes(test)
    apart = (clean[:, None] - clean[None]).abs().mean(2)
    between = float(apart.sum() / (len(test) * (len(test) - 1)))
    accuracy = lambda code: float((reader.predict(code.numpy()) == y_test).mean())  # noqa: E731
    rows: list[dict[str, Any]] = [{"noise": "none", "level": 0.0, "change": 0.0, "accuracy": accuracy(clean)}]
    for kind, levels in LEVELS.items():
        for i, level in enumerate(levels):
            code = codes(noisy(test, kind, level, step_generator(seed, 7, i, len(kind))))
            change = float((code - clean).abs().mean()) / between
            rows.append({"noise": kind, "level": level, "change": change, "accuracy": accuracy(code)})
    return rows


def tuning(job: tuple[str, int], n_epochs: int) -> dict[str, Any]:
    """Train one model with one choice on four fifths of the training digits, and score it on the fifth."""
    torch.set_num_threads(1)
    name, index = job
    train, _, y, _ = digits()
    at = np.random.default_rng(0).permutation(len(train))
    inner, chosen = at[287:], at[:287]
    net = NETS[name](train[inner], CHOICES[index], n_epochs, 0)
    value = log_p(net, train[chosen], train[inner], 0)
    codes = codes_of(name, net)[name, "top"]
    rows = pd.DataFrame(robustness(codes, [train[inner], train[chosen], y[inner], y[chosen]], 0))
    means = rows[rows["noise"] != "none"][["change", "accuracy"]].mean()
    return {"model": name, "index": index, "log p": value, "clean": rows["accuracy"][0], **means}


def measure(job: tuple[str, int, int], n_epochs: int) -> list[dict[str, Any]]:
    """Train one model of one seed on all training digits with its choice, and give a row for each measurement."""
    torch.set_num_threads(1)
    name, index, seed = job
    data = digits()
    net = NETS[name](data[0], CHOICES[index], n_epochs, seed)
    shared: dict[str, Any] = {"index": index, "seed": seed, "log_p": log_p(net, data[1], data[0], seed), "dead": 0}
    if isinstance(net, DBM):
        shared["dead"] = sum(life.dead for life in net.dead_layers(data[0]).values())
    found = codes_of(name, net) | ({("pixels", "top"): lambda v: v} if name == "RBM 96" else {})
    return [
        {"model": model, "layer": layer, **shared, **row}
        for (model, layer), codes in found.items()
        for row in robustness(codes, data, seed)
    ]


def main() -> None:
    """Tune, measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--quick", action="store_true", help="8 epochs instead of 120: numbers mean nothing")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    n_epochs, began = 8 if options.quick else 120, time.perf_counter()
    with ProcessPoolExecutor(options.workers) as pool:
        jobs = list(product(NETS, range(len(CHOICES))))
        tried = pd.DataFrame(pool.map(partial(tuning, n_epochs=n_epochs), jobs))
        print(tried.round(3).to_string(), f"{(time.perf_counter() - began) / 60:.1f} minutes", sep="\n", flush=True)
        picked = sorted({pair for criterion in CRITERIA for pair in chosen_by(tried, criterion).items()})
        final = [(name, index, seed) for seed in range(options.seeds) for name, index in picked]
        table = pd.DataFrame([row for rows in pool.map(partial(measure, n_epochs=n_epochs), final) for row in rows])
    text = report(table, tried, [str(choice) for choice in CHOICES], n_epochs)
    print(text, f"{(time.perf_counter() - began) / 60:.1f} minutes", sep="\n")
    if options.write:
        table.round(4).to_csv(DOCS / "robustness.csv", index=False)
        (DOCS / "robustness.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
