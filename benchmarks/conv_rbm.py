"""Where Fourier transforms overtake convolutions in training a convolutional RBM, on a CPU.

    python benchmarks/conv_rbm.py                 seconds and ratios, and how often the rule in frequency.py is right
    python benchmarks/conv_rbm.py --quick         every third case
    python benchmarks/conv_rbm.py --write docs    also docs/conv_rbm_crossover.csv and .md
    python benchmarks/conv_rbm.py --fit           also the constants for frequency.py that these times give
    python benchmarks/conv_rbm.py --read docs/conv_rbm_crossover.csv    the same from an earlier run's seconds

One training step is that of contrastive divergence with one Gibbs step: up, sampling, down, up again, and the
gradient of the filters from data and model; the filters change before every step, so their spectra are never found
ready. Three ways take turns and the best round of each counts: *torch* calls conv, conv_transpose and conv_weight of
torch as they are; *spatial* is our engine on the same functions, which turns strides into channels and computes
blocks of voxels where the image has one or two channels; *frequency* is our Fourier engine.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor
from torch.nn import functional as F

from workbench.models.correlation import ConvGeometry, SpatialEngine, n_multiplications
from workbench.models.frequency import FrequencyEngine, faster_engine, frequency_work, spatial_work

LONGEST = 4e10
"""Multiplications of one `up` of a batch beyond which a layer is left out: space has long lost there."""


@dataclass(frozen=True)
class Case:
    """One size of layer and the seconds of a step, three ways."""

    axes: int
    side: int
    kernel: int
    stride: int
    channels: int
    maps: int
    batch: int
    boundary: str
    torch: float = 0.0
    spatial: float = 0.0
    frequency: float = 0.0
    rule: str = ""

    @property
    def geometry(self) -> ConvGeometry:
        return ConvGeometry(
            self.channels, (self.side,) * self.axes, self.maps, (self.kernel,) * self.axes, self.stride,
            "circular" if self.boundary == "circular" else "valid",
        )  # fmt: skip

    @property
    def faster(self) -> str:
        return "spatial" if self.spatial <= self.frequency else "frequency"


class PlainEngine(SpatialEngine):
    """What a first implementation does: torch's own functions, strides and transposes."""

    def prepare(self, v: Tensor) -> Tensor:
        pad = [p for f in reversed(self.geometry.kernel) for p in (0, f - 1)]
        return F.pad(v, pad, mode="circular") if self.geometry.boundary == "circular" else v

    def up(self, prepared: Tensor, weight: Tensor) -> Tensor:
        conv = F.conv2d if self.geometry.n_axes == 2 else F.conv3d
        return conv(prepared, weight, stride=self.geometry.stride)

    def down(self, h: Tensor, weight: Tensor) -> Tensor:
        layer, s = self.geometry, self.geometry.stride
        conv = F.conv_transpose2d if layer.n_axes == 2 else F.conv_transpose3d
        v = conv(h, weight, stride=s)
        if layer.boundary == "circular":
            for axis, n in enumerate(layer.shape, start=2):  # what stands over is added at the opposite side
                over = v.shape[axis] - n
                if over > 0:
                    body = v.narrow(axis, 0, n).contiguous()
                    body.narrow(axis, 0, over).add_(v.narrow(axis, n, over))
                    v = body
        return v

    def correlate(self, prepared: Tensor, h: Tensor) -> Tensor:
        layer = self.geometry
        shape = (layer.n_maps, layer.n_channels, *layer.kernel)
        gradient = torch.nn.grad.conv2d_weight if layer.n_axes == 2 else torch.nn.grad.conv3d_weight
        return gradient(prepared, shape, h, stride=layer.stride)


def step(engine: SpatialEngine | FrequencyEngine, v: Tensor, weight: Tensor) -> Tensor:
    """Take one step of contrastive divergence, without momentum and biases."""
    data = engine.prepare(v)
    h = torch.sigmoid(engine.up(data, weight))
    model = engine.prepare(engine.down((torch.rand_like(h) < h).to(h.dtype), weight))
    h_model = torch.sigmoid(engine.up(model, weight))
    gradient = engine.correlate(torch.cat([data, model]), torch.cat([h, h_model.neg_()]))
    return weight.add_(gradient, alpha=1e-6 / h[0].numel())


def best_seconds(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Let the ways take turns; the fastest round of each counts: other programs only ever add time."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - started)
    return {name: min(seconds[1:]) for name, seconds in times.items()}


def measure(case: Case, rounds: int) -> Case:
    geometry = case.geometry
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(case.batch, case.channels, *geometry.shape, generator=generator)
    weight = 0.01 * torch.randn(case.maps, case.channels, *geometry.kernel, generator=generator)
    engines: dict[str, SpatialEngine | FrequencyEngine] = {
        "torch": PlainEngine(geometry), "spatial": SpatialEngine(geometry), "frequency": FrequencyEngine(geometry)
    }  # fmt: skip
    weights = {name: weight.clone() for name in engines}
    with torch.no_grad():
        seconds = best_seconds({n: lambda n=n: step(engines[n], v, weights[n]) for n in engines}, rounds)  # type: ignore[misc]
    return with_rule(replace(case, torch=seconds["torch"], spatial=seconds["spatial"], frequency=seconds["frequency"]))


def with_rule(case: Case) -> Case:
    g = case.geometry
    rule = faster_engine(
        g.kernel, g.shape, g.n_channels, g.n_maps, stride=g.stride, boundary=g.boundary, n_images=case.batch
    )
    return replace(case, rule=rule)


def read(path: Path) -> list[Case]:
    kinds = {f.name: {"int": int, "float": float, "str": str}[str(f.type)] for f in fields(Case)}
    with path.open(newline="", encoding="utf-8") as file:
        return [Case(**{k: kinds[k](x) for k, x in row.items()}) for row in csv.DictReader(file)]


def cases() -> list[Case]:
    """Give the layers that are measured: those of Brosch's and van Tulder's systems among others."""
    found = [Case(3, n, f, 1, 1, 16, 4, "circular") for n in (16, 24, 32, 48, 64) for f in (3, 5, 7, 9, 11)]
    found += [Case(3, n, f, 1, c, 16, 4, "circular") for c in (4, 16) for n in (12, 16, 24, 32) for f in (3, 5, 7, 9)]
    found += [Case(3, 32, f, 1, c, 16, b, "circular") for f in (5, 9) for c, b in ((1, 1), (1, 16), (16, 1))]
    found += [
        Case(3, n, f, s, c, k, 4, "valid")
        for n, f, s, c, k in (
            (32, 6, 2, 1, 16), (64, 10, 2, 1, 16), (64, 6, 2, 1, 16), (28, 6, 2, 16, 32), (28, 4, 2, 16, 32),
            (12, 4, 2, 32, 32), (14, 4, 2, 16, 16), (32, 10, 2, 1, 16), (48, 9, 3, 1, 24), (32, 5, 1, 1, 32),
            (32, 9, 1, 1, 32), (20, 5, 1, 32, 32), (32, 9, 1, 2, 16), (32, 5, 1, 2, 16), (40, 7, 1, 1, 8),
        )
    ]  # fmt: skip
    found += [
        Case(2, n, f, 1, c, k, 8, "circular")
        for c, k in ((1, 24), (16, 16))
        for n in (32, 64, 128)
        for f in (5, 9, 13, 17, 25)
    ]
    found += [Case(2, 256, f, 1, 1, 24, 4, "circular") for f in (5, 9, 13, 17, 25)]
    sizes = ((32, 10, 1, 1, 24), (64, 10, 2, 1, 24), (128, 16, 4, 1, 32), (64, 12, 1, 24, 40), (60, 9, 1, 2, 16),
             (64, 20, 2, 1, 24))  # fmt: skip
    found += [Case(2, n, f, s, c, k, 8, "valid") for n, f, s, c, k in sizes]
    return [c for c in found if c.batch * n_multiplications(c.geometry) < LONGEST]


def fit(results: Sequence[Case]) -> dict[str, list[float]]:
    """Give the prices of the items of work, by non-negative least squares of the relative error."""
    prices = {}
    for name, work in (("spatial", spatial_work), ("frequency", frequency_work)):
        seconds = np.array([getattr(r, name) for r in results])
        amounts = np.array([work(r.geometry, r.batch) for r in results])
        prices[name] = [float(f"{p:.2g}") for p in nnls(amounts / seconds[:, None], np.ones(len(results)))[0]]
    return prices


def right_when_held_out(results: Sequence[Case], n_folds: int = 5) -> int:
    """Count the layers for which prices fitted without them, and a fifth of the others, choose the faster engine."""
    n_right = 0
    for fold in range(n_folds):
        prices = fit([r for i, r in enumerate(results) if i % n_folds != fold])
        for r in results[fold::n_folds]:
            space = np.dot(prices["spatial"], spatial_work(r.geometry, r.batch))
            frequency = np.dot(prices["frequency"], frequency_work(r.geometry, r.batch))
            n_right += (space <= frequency) == (r.faster == "spatial")
    return n_right


def summary(results: Sequence[Case]) -> str:
    """Say how often the rule chose the faster engine and what its errors cost."""
    right = sum(r.rule == r.faster for r in results)
    cost = np.array([getattr(r, r.rule) / min(r.spatial, r.frequency) for r in results])
    worst = results[int(cost.argmax())]
    gain = np.array([r.torch / getattr(r, r.rule) for r in results])
    return (
        f"The rule chose the faster of our two engines for {right} of {len(results)} layers; with prices fitted anew "
        f"without each fifth of them, {right_when_held_out(results)} of those held out. Steps as chosen take "
        f"{100 * (np.exp(np.log(cost).mean()) - 1):.1f} % longer than with the better engine each time (geometric "
        f"mean), {cost.max():.2f} times as long at worst ({size_of(worst)}). Against torch's functions as they are, "
        f"the chosen engine is {np.exp(np.log(gain).mean()):.1f} times as fast in the geometric mean, from "
        f"{gain.min():.2f} to {gain.max():.1f} times."
    )


def size_of(r: Case) -> str:
    stride = f" stride {r.stride}" if r.stride > 1 else ""
    side, kernel = (f"{n}{'²' if r.axes == 2 else '³'}" for n in (r.side, r.kernel))
    return f"{r.channels}×{side}, {r.maps} filters {kernel}{stride}, {r.boundary}, batch {r.batch}"


def table(results: Sequence[Case]) -> Iterator[str]:
    yield "| layer | torch (ms) | spatial (ms) | frequency (ms) | torch / frequency | spatial / frequency | rule |"
    yield "|---|---|---|---|---|---|---|"
    for r in results:
        mark = "" if r.rule == r.faster else " (wrong)"
        yield (
            f"| {size_of(r)} | {1e3 * r.torch:.1f} | {1e3 * r.spatial:.1f} | {1e3 * r.frequency:.1f} "
            f"| {r.torch / r.frequency:.2f} | {r.spatial / r.frequency:.2f} | {r.rule}{mark} |"
        )


def write(results: Sequence[Case], folder: Path, threads: int) -> None:
    with (folder / "conv_rbm_crossover.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(results[0])))
        writer.writeheader()
        writer.writerows({k: f"{x:.6f}" if isinstance(x, float) else x for k, x in asdict(r).items()} for r in results)
    text = [
        "# Training steps of convolutional RBMs, in space and in the frequency domain",
        "",
        f"{__doc__.split(chr(10) * 2)[2]}\n",
        f"Measured on {threads} threads of a CPU, torch {torch.__version__}, float32. Ratios above 1 are in favor of "
        "the frequency domain. Made by `benchmarks/conv_rbm.py`.",
        "",
        summary(results),
        "",
        *table(results),
    ]
    (folder / "conv_rbm_crossover.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="every third layer")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write the table there, as CSV and Markdown")
    parser.add_argument("--read", type=Path, metavar="CSV", help="take the seconds of an earlier table")
    parser.add_argument("--fit", action="store_true", help="print the prices for frequency.py")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    results = []
    for case in read(chosen.read) if chosen.read else cases()[:: 3 if chosen.quick else 1]:
        results.append(with_rule(case) if chosen.read else measure(case, chosen.rounds))
        print(list(table(results[-1:]))[-1], flush=True)
    print(summary(results))
    if chosen.fit:
        print(fit(results))
    if chosen.write:
        write(results, chosen.write, chosen.threads)


if __name__ == "__main__":
    main()
