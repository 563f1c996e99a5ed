"""One epoch of a restricted Boltzmann machine: ours beside learnergy and scikit-learn, on the same digits.

    python benchmarks/rbm_speed.py [--rounds 7] [--threads 2] [--data FOLDER]

784 visible and 500 hidden binary units, 8,000 examples, batches of 100, one Gibbs sweep a step. Visible values are
drawn, as the peers do; in the rows with "means" the last ones are their means, which CD-1 allows and the task offers.

    products        the five matrix products of a step and nothing else: no road can be faster
    bare step       our model's methods and torch's SGD kernel in a plain loop
    trainer         the road of a run: our data module, task and Training with its Lightning Trainer, its log and its
                    checkpoints, from the end of one epoch to the end of the next
    trainer, parts  the same with 2,000 examples a batch of Lightning's, in mini-batches of 100 an update as before
    scikit-learn    BernoulliRBM.fit, n_iter=1 (its chains are persistent, which costs the same)
    learnergy       RBM.fit, epochs=1, with its data loader and pseudo-likelihood

The rounds of all alternate and the best of each counts, so that a busy machine harms none in particular. The digits
are FOLDER/mnist_t10k/mnist.npz, FOLDER being --data or WORKBENCH_REAL_DATA; without them random binary values of the
same shape. A peer that is not installed is named as missing and left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

N, V, M, BATCH, RATE = 8000, 784, 500, 100, 0.05
EPOCHS = 3  # of one round through the trainer; the first is not counted
PEERS = {"scikit-learn": "sklearn", "learnergy": "learnergy"}
ROADS = ("bare step", "bare, means", "trainer", "trainer, parts", "parts, means")
LIMITS = {"learnergy": 0.5, "scikit-learn": 0.7}


def digits(folder: Path | None) -> tuple[Tensor, str]:
    import numpy as np
    import torch

    file = folder / "mnist_t10k" / "mnist.npz" if folder else None
    if file is None or not file.exists():
        return (torch.rand(N, V, generator=torch.Generator().manual_seed(0)) < 0.13).float(), "random binary values"
    with np.load(file) as data:
        images = next(data[name] for name in data if data[name].ndim == 3)
    return torch.from_numpy(images[:N].reshape(N, V).astype(np.float32) / 255), f"digits of {file.name}"


def products(x: Tensor) -> Callable[[], float]:
    import torch

    weight, h = torch.randn(M, V) * 0.01, torch.rand(BATCH, M)

    def epoch() -> float:
        began = time.perf_counter()
        for v in x.split(BATCH):
            v @ weight.T
            model = h @ weight
            model @ weight.T
            h.T @ v
            h.T @ model
        return time.perf_counter() - began

    return epoch


def bare_step(x: Tensor, *, drawn: bool = True) -> Callable[[], float]:
    import torch
    from torch.optim.sgd import sgd

    from workbench.models.rbm import RBM

    rbm = RBM(V, M)
    rbm.set_base_rates(x.mean(0))
    parameters = dict(rbm.named_parameters())
    velocities: list[Tensor | None] = [torch.zeros_like(p) for p in parameters.values()]
    generator = torch.Generator().manual_seed(0)

    def epoch() -> float:
        began = time.perf_counter()
        for places in torch.randperm(N, generator=generator).split(BATCH):
            v = x.index_select(0, places)
            with torch.no_grad():
                inputs = rbm.hidden_input(v)
            model = rbm.gibbs(v, 1, generator, sample_visible=drawn, hidden_input=inputs)
            gradient = rbm.gradient(v, model, hidden_input=inputs)
            with torch.no_grad():
                sgd(
                    list(parameters.values()), [gradient[name] for name in parameters], velocities, lr=RATE,
                    momentum=0.5, weight_decay=0.0, dampening=0.0, nesterov=False, maximize=False, fused=True,
                    foreach=False,
                )  # fmt: skip
        return time.perf_counter() - began

    return epoch


def trainer(x: Tensor, batch_size: int = BATCH, *, drawn: bool = True) -> Callable[[], float]:
    import torch

    from workbench.models.rbm import RBM
    from workbench.patches.examples import ExampleDataModule, Examples
    from workbench.runs.run import create_run
    from workbench.runs.training import StagePlan, Training
    from workbench.tasks.boltzmann import ContrastiveDivergence

    examples = Examples(x, None, torch.arange(N), [str(i) for i in range(N)])

    def epoch() -> float:
        rbm = RBM(V, M)
        rbm.set_base_rates(x.mean(0))
        task = ContrastiveDivergence(rbm, learning_rate=RATE, mini_batch=BATCH, sample_visible=drawn)
        data = ExampleDataModule(examples, None, batch_size=batch_size, seed=0)
        training = Training(create_run("benchmark", {}, seed=0, cohort=None), [StagePlan("rbm", EPOCHS)], "cpu")
        ends: list[float] = []
        training.stage("rbm", task, data, n_epochs=EPOCHS, on_epoch=lambda _: ends.append(time.perf_counter()))
        return min(b - a for a, b in itertools.pairwise(ends))

    return epoch


def scikit_learn(x: Tensor) -> Callable[[], float]:
    from sklearn.neural_network import BernoulliRBM

    values = x.numpy()

    def epoch() -> float:
        began = time.perf_counter()
        BernoulliRBM(M, learning_rate=RATE, batch_size=BATCH, n_iter=1, random_state=0).fit(values)
        return time.perf_counter() - began

    return epoch


def learnergy(x: Tensor) -> Callable[[], float]:
    import torch
    from learnergy.models.bernoulli import RBM

    data = torch.utils.data.TensorDataset(x, torch.zeros(N))
    rbm = RBM(n_visible=V, n_hidden=M, steps=1, learning_rate=RATE)
    logging.disable(logging.INFO)

    def epoch() -> float:
        began = time.perf_counter()
        rbm.fit(data, batch_size=BATCH, epochs=1)
        return time.perf_counter() - began

    return epoch


def report(seconds: dict[str, float], missing: list[str]) -> None:
    least = seconds["products"]
    print(f"{'':16}{'s an epoch':>12}{'speed of products':>20}")
    for name, value in seconds.items():
        print(f"{name:16}{value:12.3f}{least / value:20.0%}")
    for name in missing:
        print(f"{name:16}{'MISSING':>12}  not installed, so not compared: pip install --no-deps {name}")
    for road in ROADS:
        verdicts = [f"{least / seconds[road]:.0%} of the products' speed (wanted 70 % or more)"]
        for name, limit in LIMITS.items():
            if name in seconds:
                verdicts.append(f"{seconds[road] / seconds[name]:.2f} of {name}'s time (wanted {limit} or less)")
        print(f"{road}: {'; '.join(verdicts)}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--data", type=Path, default=os.environ.get("WORKBENCH_REAL_DATA"))
    chosen = options.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(chosen.threads)  # before numpy and torch are imported
    warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(chosen.threads)
    x, what = digits(Path(chosen.data) if chosen.data else None)
    print(f"{N} x {V} {what}, {M} hidden units, {chosen.threads} threads, torch {torch.__version__}")
    missing = [name for name, module in PEERS.items() if importlib.util.find_spec(module) is None]
    makers: dict[str, Callable[[Tensor], Callable[[], float]]] = {
        "products": products,
        "bare step": bare_step,
        "bare, means": partial(bare_step, drawn=False),
        "trainer": trainer,
        "trainer, parts": partial(trainer, batch_size=20 * BATCH),
        "parts, means": partial(trainer, batch_size=20 * BATCH, drawn=False),
        "scikit-learn": scikit_learn,
        "learnergy": learnergy,
    }
    makers = {name: make for name, make in makers.items() if name not in missing}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WORKBENCH_DATA"] = folder
        epochs = {name: make(x) for name, make in makers.items()}
        for epoch in epochs.values():
            epoch()
        best = {name: min(values) for name, values in _alternate(epochs, chosen.rounds).items()}
    report(best, missing)


def _alternate(epochs: dict[str, Callable[[], float]], n_rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(n_rounds):
        for name, epoch in epochs.items():
            times[name].append(epoch())
    return times


if __name__ == "__main__":
    main()
