"""Section 2.6 and pretraining as a measured table: each device on and off, paired on the seed.

    python benchmarks/devices.py --out docs/devices.csv [--seeds 10] [--workers 2] [--share 1.0]

scikit-learn's digits, 8 x 8, as black and white (x >= 8), 360 of them held out by a fixed split. A seed draws which
of the others are labelled, the weights, the order of the batches, and what is dropped; a pair shares all it can, takes
as many steps with and without the device, and never stops early, so that overfitting shows; rates are not tuned.
Pretraining sees all 1437 images without their labels. The intervals are over seeds, not over held-out sets.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn import functional as F

from workbench.metrics.intervals import paired_difference_interval
from workbench.models.dbn import DBN
from workbench.models.finetuning import dbn_to_network, stack_to_network
from workbench.models.layers import Corruption, step_generator
from workbench.models.mlp import MLP
from workbench.models.rbm import RBM
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.tasks.autoencoding import FineTuning, LayerPretraining
from workbench.tasks.optimizers import OptimizerName, make_optimizer, momentum_schedule, parameter_groups

N_LABELS, BATCH = (100, 300, 1437), 50
N_STEPS, N_PRETRAINING_STEPS = 600, 1000
HIDDEN, DEEP = (128, 128), (100, 100, 100, 100)
NOISE = Corruption("masking", 0.25)

Pretraining = Literal["", "greedy SAE", "greedy denoising SAE", "joint SAE", "greedy DBN"]


@dataclass(frozen=True)
class Condition:
    """One way to train a network; ``pretraining`` says where its weights come from, "" draws them."""

    network: dict[str, Any] = field(default_factory=dict)
    n_hidden: tuple[int, ...] = HIDDEN
    optimizer: OptimizerName = "adam"
    rate: float = 2e-3
    momentum_max: float = 0.0
    corruption: Corruption = field(default_factory=Corruption)
    pretraining: Pretraining = ""
    n_steps: int = N_STEPS


RELU = Condition({"activation": "relu", "initialization": "he"})
SIGMOID = Condition({"activation": "sigmoid"})
NAIVE, GLOROT, SPARSE = (
    Condition({"activation": "sigmoid", "initialization": name}, DEEP, "sgd", rate=0.05, n_steps=2 * N_STEPS)
    for name in ("normal", "glorot", "sparse")
)
SAE, DENOISING, JOINT, DBN_START = (
    replace(SIGMOID, pretraining=name) for name in ("greedy SAE", "greedy denoising SAE", "joint SAE", "greedy DBN")
)
SCHEDULED: dict[str, Any] = {"optimizer": "nesterov", "momentum_max": 0.99}
STEEP = Condition({"activation": "relu", "initialization": "he"}, DEEP, "sgd", rate=0.1)
NORMALIZED = replace(STEEP, network=STEEP.network | {"batch_norm": True})

COMPARISONS: dict[str, tuple[Condition, Condition]] = {  # device: on, off
    "Glorot start, instead of N(0, 1)": (GLOROT, NAIVE),
    "sparse start, instead of N(0, 1)": (SPARSE, NAIVE),
    "scheduled NAG, from N(0, 1)": (replace(NAIVE, **SCHEDULED), NAIVE),
    "scheduled NAG, from Glorot": (replace(GLOROT, **SCHEDULED), GLOROT),
    "Glorot start and scheduled NAG": (replace(GLOROT, **SCHEDULED), NAIVE),
    "sparse start and scheduled NAG": (replace(SPARSE, **SCHEDULED), NAIVE),
    "ReLU, instead of sigmoid": (RELU, SIGMOID),
    "leaky ReLU, instead of sigmoid": (replace(RELU, network=RELU.network | {"activation": "leaky_relu"}), SIGMOID),
    "input noise (masking 0.25)": (replace(RELU, corruption=NOISE), RELU),
    "dropout 0.5, input 0.2": (replace(RELU, network=RELU.network | {"dropout": 0.5, "input_dropout": 0.2}), RELU),
    "DropConnect 0.5": (replace(RELU, network=RELU.network | {"dropconnect": 0.5, "n_draws": 20}), RELU),
    "batch normalization, same rate": (NORMALIZED, STEEP),
    "batch normalization, 10 times the rate": (replace(NORMALIZED, rate=1.0), STEEP),
    "10 times the rate alone": (replace(STEEP, rate=1.0), STEEP),
    "pretraining: greedy SAE": (SAE, SIGMOID),
    "pretraining: greedy denoising SAE": (DENOISING, SIGMOID),
    "pretraining: SAE trained jointly": (JOINT, SIGMOID),
    "pretraining: greedy DBN": (DBN_START, SIGMOID),
    "greedy SAE, instead of jointly trained": (SAE, JOINT),
    "denoising SAE, instead of plain": (DENOISING, SAE),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="CSV of the summary; the same as Markdown beside it")
    parser.add_argument("--again", action="store_true", help="only write the Markdown of a CSV that is there")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--share", type=float, default=1.0, help="of the steps; below 1 for a try, above 1 for longer")
    arguments = parser.parse_args()
    if not arguments.again:
        begin = time.perf_counter()
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        found: list[dict[str, Any]] = []
        with ProcessPoolExecutor(arguments.workers) as pool:
            for rows in pool.map(partial(measure, share=arguments.share), range(arguments.seeds)):
                found += rows
                summarize(found).round(3).to_csv(arguments.out, index=False)  # a run that is cut off leaves its seeds
                print(f"seed {rows[0]['seed']} after {time.perf_counter() - begin:.0f} s", flush=True)
    arguments.out.with_suffix(".md").write_text(as_markdown(pd.read_csv(arguments.out)), encoding="utf-8")


def measure(seed: int, share: float = 1.0) -> list[dict[str, Any]]:
    """Train every condition of one seed once and give an error (%) a row."""
    torch.set_num_threads(1)
    image, target, *held_out = digits()
    conditions = {repr(condition): condition for pair in COMPARISONS.values() for condition in pair}
    starts: dict[str, MLP] = {}
    rows = []
    for n_labels in N_LABELS:
        chosen = labelled(target, n_labels, seed)
        for name, condition in conditions.items():
            if condition.pretraining and condition.pretraining not in starts:
                starts[condition.pretraining] = pretrain(condition, image, seed, share)
            network = start(condition, seed, starts)
            train(network, condition, image[chosen], target[chosen], seed, share)
            errors = {"train": error(network, image[chosen], target[chosen]), "test": error(network, *held_out)}
            rows.append({"seed": seed, "labels": n_labels, "condition": name, **errors})
    return rows


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give training images (1437, 64) of 0 and 1 with their classes, and 360 held-out ones with theirs."""
    x, y = load_digits(return_X_y=True)
    parts = train_test_split((x >= 8).astype(np.float32), y, test_size=360, random_state=0, stratify=y)
    image, test_image, target, test_target = map(torch.as_tensor, parts)
    return image, target, test_image, test_target


def labelled(target: Tensor, n: int, seed: int) -> Tensor:
    """Give the indices of ``n`` examples, as many of each class as there are on the whole."""
    every = np.arange(len(target))
    options: dict[str, Any] = {"train_size": n, "random_state": seed, "stratify": target.numpy()}
    return torch.as_tensor(every if n == len(every) else train_test_split(every, **options)[0])


def start(condition: Condition, seed: int, starts: dict[str, MLP]) -> MLP:
    """Give the network before it sees a label."""
    network = MLP((64,), condition.n_hidden, 10, seed=seed, **condition.network)
    drawn = network if not condition.pretraining else starts[condition.pretraining]
    network.hidden.load_state_dict(drawn.hidden.state_dict())
    return network


def train(network: MLP, condition: Condition, x: Tensor, y: Tensor, seed: int, share: float) -> None:
    """Train on labelled images (N, 64); the batches of a seed are the same in every condition."""
    optimizer = make_optimizer(condition.optimizer, parameter_groups(network, condition.rate))
    n_steps = round(share * condition.n_steps)
    torch.manual_seed(seed)
    network.train()
    for step, rows in enumerate(order(len(x), n_steps, seed)):
        for group in optimizer.param_groups:
            if "momentum" in group:
                group["momentum"] = momentum_schedule(step, condition.momentum_max, n_steps, n_steps // 5)
        image = condition.corruption(x[rows], step_generator(seed, step))
        closure: Any = partial(_loss, network, image, y[rows])
        optimizer.step(closure)


def order(n: int, n_steps: int, seed: int) -> list[Tensor]:
    """Give the rows of each batch: every epoch a new order, what does not fill a batch left out."""
    generator = torch.Generator().manual_seed(seed)
    batches: list[Tensor] = []
    while len(batches) < n_steps:
        shuffled = torch.randperm(n, generator=generator)
        batches += [rows for rows in shuffled.split(BATCH) if len(rows) == BATCH]
    return batches[:n_steps]


def pretrain(condition: Condition, image: Tensor, seed: int, share: float) -> MLP:
    """Give a network whose hidden layers learnt from images without labels."""
    n_steps = round(share * N_PRETRAINING_STEPS)
    if condition.pretraining == "greedy DBN":
        return dbn_to_network(deep_belief_net(condition.n_hidden, image, seed, n_steps), 10)
    stack = StackedAutoEncoder((64,), condition.n_hidden, visible="sigmoid", seed=seed)
    noise = NOISE if "denoising" in condition.pretraining else Corruption()
    if condition.pretraining == "joint SAE":  # as many steps as its greedy peer takes in all
        fit_stack(FineTuning(stack, seed=seed), image, seed, n_steps * stack.n_layers)
    else:
        for index in range(stack.n_layers):
            fit_stack(LayerPretraining(stack, index, corruption=noise, beta=0, seed=seed), image, seed, n_steps)
    return stack_to_network(stack, 10)


def fit_stack(task: LayerPretraining | FineTuning, image: Tensor, seed: int, n_steps: int) -> None:
    """Take the steps of an auto-encoding task."""
    task.setup("fit")
    optimizer, index = task.configure_optimizers(), int(task.settings["index"])
    for step, rows in enumerate(order(len(image), n_steps, seed)):
        optimizer.zero_grad()
        task.losses(image[rows], step_generator(seed, index, step), task.corruption)["loss"].backward()
        optimizer.step()


def deep_belief_net(n_hidden: tuple[int, ...], image: Tensor, seed: int, n_steps: int) -> DBN:
    """Train RBMs by contrastive divergence, each on the mean activations below it."""
    sizes = (image.shape[1], *n_hidden)
    dbn = DBN([RBM(v, h, seed=seed + i) for i, (v, h) in enumerate(pairwise(sizes))], (sizes[0],))
    for index in range(len(n_hidden)):
        dbn.set_base_rates(index, image)
        below, rbm = dbn.layer_input(image, index), dbn.layer(index)
        velocity = {name: torch.zeros_like(value) for name, value in rbm.named_parameters()}
        for step, rows in enumerate(order(len(image), n_steps, seed)):
            chain = rbm.gibbs(below[rows], 1, step_generator(seed, index, step))
            for name, gradient in rbm.gradient(below[rows], chain).items():
                velocity[name] = (0.5 if step < n_steps // 10 else 0.9) * velocity[name] - 0.05 * gradient
                rbm.get_parameter(name).data += velocity[name]
    return dbn


def error(network: MLP, x: Tensor, y: Tensor) -> float:
    """Give the share of wrong classes in percent."""
    with torch.no_grad():
        return 100 * float((network.eval()(x).argmax(1) != y).float().mean())


def summarize(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Give a row for each device and number of labels, in percent."""
    frame: Any = pd.DataFrame(rows).set_index(["condition", "labels", "seed"]).sort_index().eval("gap = test - train")
    table = []
    for device, pair in COMPARISONS.items():
        for n_labels in N_LABELS:
            on, off = (frame.loc[(repr(condition), n_labels)] for condition in pair)
            row: dict[str, Any] = {"device": device, "labels": n_labels, "seeds": len(on)}
            for name in ("test", "train", "gap"):
                change, low, high = paired_difference_interval(on[name], off[name])
                row |= {f"{name}_off": off[name].mean(), f"{name}_on": on[name].mean()}
                row |= {f"{name}_change": change, f"{name}_low": low, f"{name}_high": high}
            table.append(row)
    return pd.DataFrame(table)


def as_markdown(table: pd.DataFrame) -> str:
    """Write the table of test errors and gaps, and a sentence for each device."""
    lines = [
        "# What each device of Section 2.6, and pretraining, changes",
        "",
        f"Error on 360 held-out digits in percent, without → with the device, and the paired change in percentage "
        f"points with its 95 % interval over {int(table.seeds.min())} seeds, bold where it leaves out 0; of so many "
        "comparisons a few do by chance, and a bootstrap of few seeds is somewhat narrow. The gap is test minus "
        "training error; one that falls as the training error rises is no gain. Made by `benchmarks/devices.py`.",
    ]
    for n_labels, part in table.groupby("labels"):
        lines += ["", f"## {n_labels} labels", "", "| device | error | change | training error | gap | change |"]
        lines += ["|---|---|---|---|---|---|"]
        for row in part.to_dict("records"):
            test, train, gap = (f"{row[f'{n}_off']:.1f} → {row[f'{n}_on']:.1f}" for n in ("test", "train", "gap"))
            cells = [row["device"], test, _change(row, "test"), train, gap, _change(row, "gap")]
            lines.append(f"| {' | '.join(cells)} |")
    verdicts = [f"- {_verdict(str(device), part)}" for device, part in table.groupby("device", sort=False)]
    return "\n".join([*lines, "", "## What helps, and what does not", "", *verdicts, ""])


def _loss(network: MLP, x: Tensor, y: Tensor) -> Tensor:
    network.zero_grad()
    loss = F.cross_entropy(network(x), y)
    loss.backward()
    return loss


def _change(row: dict[Any, Any], name: str) -> str:
    change, low, high = (row[f"{name}_{part}"] for part in ("change", "low", "high"))
    text = f"{change:+.1f} ({low:+.1f} to {high:+.1f})"
    return f"**{text}**" if low > 0 or high < 0 else text


def _verdict(device: str, part: pd.DataFrame) -> str:
    """Say with how many labels error and gap fell, rose, or were not shown to change."""
    said = []
    for name, what in (("test", "error"), ("gap", "gap")):
        low, high = part[f"{name}_low"], part[f"{name}_high"]
        groups = {"falls": high < 0, "rises": low > 0, "is not shown to change": (high >= 0) & (low <= 0)}
        words = [f"{verb} with {' and '.join(map(str, part.labels[at]))}" for verb, at in groups.items() if at.any()]
        said.append(f"the {what} {', '.join(words)} labels")
    left = part[["train_off", "train_on"]].max(axis=1)
    notes = {"training fails": left > 50, "training has not ended, so more steps may differ,": left.between(1, 50)}
    said += [f"{note} with {' and '.join(map(str, part.labels[at]))} labels" for note, at in notes.items() if at.any()]
    return f"**{device}**: {'; '.join(said)}."


if __name__ == "__main__":
    main()
