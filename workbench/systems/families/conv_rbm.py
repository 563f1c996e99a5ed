"""Convolutional restricted Boltzmann machines.

Review: Sections 2.3.2, 3.4 and 3.5, References 35 and 47

Citation: Lee H, Grosse R, Ranganath R, Ng AY. Convolutional deep belief networks. ICML 2009. Training in the
frequency domain: Brosch T, Tam R. Efficient training of convolutional deep belief networks in the frequency domain
for application to high-resolution 2D and 3D images. Neural Computation 27:211–227, 2015.

Input: whole pictures or small volumes, or patches, in two or three dimensions; 0 to 1 for binary visible units,
z-scores for Gaussian ones.

Network: one layer of hidden maps with shared filters; probabilistic max pooling, or a stride in its place; one bias a
channel and a map; hidden units binary or noisy rectified.

Training: contrastive divergence; the filters' correlations in space or by Fourier transform, whichever a rule measured
on this kind of processor finds faster.

Output: filters, the maps' mean activations as a code, Gibbs chains.

Reported: frequency-domain training was up to 8 times faster in two and up to 200 times in three dimensions on a
graphics processor (abstract of Brosch and Tam 2015).

Departs from the paper in: the border is valid unless circular is chosen; no likelihood is estimated for this family;
under binary hidden units, Gaussian visible ones start with hidden biases of -4 and bounded updates, or they explode.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.models.conv_rbm import ConvRBM
from workbench.models.layers import DEAD_BELOW
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.alarms import check_finite
from workbench.systems.base import Cost, Preset, Reported, setting
from workbench.systems.belief_base import shown
from workbench.systems.energy_base import EnergyLearning
from workbench.systems.views import Chains, FilterBank

SPARSE_START = -4.0
"""First bias of binary maps above Gaussian visible units: with half of all units on, the many filters over a voxel add
up, and weights explode at rates that otherwise learn well."""
BOUNDED = 0.5  # of the rate: the base bounds the updates of whoever asks for less than the whole


class ConvRBMNet(nn.Module):
    """A convolutional RBM as an encoder: a map's code is its mean activation.

    Args:
        machine: trained or not.
    """

    def __init__(self, machine: ConvRBM) -> None:
        super().__init__()
        self.machine = machine

    def encode(self, x: Tensor) -> Tensor:
        """Give the mean activation of every map (B, K) of images (B, C, *spatial)."""
        return self.machine.hidden_mean(x).flatten(2).mean(2)

    def forward(self, x: Tensor) -> Tensor:
        """Give the mean reconstruction (B, C, *spatial)."""
        return self.machine.visible_mean(self.machine.hidden_mean(x))


class ConvRBMFamily(EnergyLearning):
    """Settings of the family on its own."""

    phantom: ClassVar[str] = "digits"
    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("full", "24 filters of 9 voxels a side, 100 epochs; 9³ and 24 are those of the authors' released code."),
        Preset("cpu", "16 filters of 5 voxels a side on 15³ patches, 20 epochs.",
               {"n_maps": 16, "kernel": 5, "patch_size": 15, "n_patches": 4000, "n_epochs": 20}),
        Preset("pictures", "24 filters of 5 × 5 on pictures, pooled in blocks of 2 × 2.",
               {"source": "whole", "kernel": 5, "pool": 2, "n_epochs": 30}),
        Preset("quick", "8 filters of 3 voxels a side, a few epochs: seconds.",
               {"n_maps": 8, "kernel": 3, "n_epochs": 5, "n_patches": 500, "patch_size": 7, "spacing_mm": 0.0,
                "batch_size": 25, "learning_rate": 0.1}),
    )  # fmt: skip
    reported: ClassVar[tuple[Reported, ...]] = (
        Reported("Speed-up of training in the frequency domain", "up to 8 × (2-D), up to 200 × (3-D)",
                 "natural images and brain MRI, on a graphics processor", "abstract of Brosch and Tam 2015"),
    )  # fmt: skip

    patch_size: int = setting(
        21, "Patch size (voxels)", "Edge of a patch; odd, so that it has a voxel in the middle.", "Data", ge=3, le=41
    )
    n_maps: int = setting(24, "Hidden maps", "Filters.", "Network", ge=1, le=1024)
    kernel: int = setting(9, "Filter size", "Edge in voxels.", "Network", ge=1, le=31)
    stride: int = setting(1, "Stride", "Voxels between neighbors of a map, in place of pooling.", "Network", ge=1, le=8)
    pool: int = setting(1, "Pooling block", "Edge of a block of probabilistic max pooling.", "Network", ge=1, le=8)
    hidden: Literal["bernoulli", "noisy_relu"] = setting(
        "bernoulli", "Hidden unit", "binary, or noisy rectified max(0, x + N(0, s(x))).", "Network"
    )
    boundary: Literal["valid", "circular"] = setting(
        "valid", "Boundary", "valid leaves a margin; circular lets what leaves on one side enter on the other.",
        "Network",
    )  # fmt: skip
    engine: Literal["auto", "spatial", "frequency"] = setting(
        "auto", "Correlations", "In space, by Fourier transform, or whichever a measured rule finds faster.", "Training"
    )
    persistent: bool = setting(False, "Persistent chains", "Chains go on from update to update.", "Training")

    def stages(self) -> list[StagePlan]:
        """Name the one stage."""
        return [StagePlan("train", self.n_epochs)]

    def network(self, shape: tuple[int, ...]) -> ConvRBMNet:
        """Give the untrained machine.

        Raises:
            SettingsError: a table, or sizes that do not fit.
        """
        if len(shape) < 3:
            raise SettingsError("A table has no neighbors to convolve; take the family rbm, or bring images.")
        visible: Literal["bernoulli", "gaussian"] = "bernoulli" if self.visible_kind == "bernoulli" else "gaussian"
        try:
            return ConvRBMNet(ConvRBM(
                shape, self.n_maps, self.kernel, stride=self.stride, pool=self.pool, visible=visible,
                hidden=self.hidden, boundary=self.boundary, engine=self.engine, seed=self.seed,
            ))  # fmt: skip
        except ValueError as error:
            raise SettingsError(
                f"Filters of {self.kernel}, stride {self.stride} and pooling {self.pool} do not fit on "
                f"{' × '.join(map(str, shape[1:]))} voxels: {error}."
            ) from None

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work."""
        super().check(cohort)
        self.network(self.example_source.resolved(cohort).image_shape(cohort.subjects[0]))

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Train on the training subjects' examples."""
        training = Training(run, self.stages())
        data = self.data(cohort, run)
        net = self.network(data.shape)
        axes = (0, *range(2, data.train.x.ndim))
        net.machine.set_base_rates(data.train.x.mean(axes))
        factor = start(net.machine)
        if factor > 1:
            quicker = self.model_copy(update={"learning_rate": self.learning_rate * factor / BOUNDED})
            quicker.divergence(net.machine, training, "train", data, stage=0, below=None, rate=BOUNDED)
        else:
            self.divergence(net.machine, training, "train", data, stage=0, below=None, rate=factor)
        check_finite(net.machine, data.train.x[:256])
        self.leave(run, net, data, lambda x: {"maps": net.encode(x).mean(0).detach().numpy()})

    def net(self, run: Run) -> Any:
        """Give the trained network of a run, in eval mode."""
        return self.trained(run, self.network(self.record(run).shape))

    def filter_bank(self, run: Run, depth: int) -> FilterBank:
        """Give the filters."""
        record, use = self.record(run), run.load_arrays("units")["maps"]
        weights = self.net(run).machine.weight.numpy()
        return FilterBank(
            weights=weights,
            mean_activation=use,
            dead=use < DEAD_BELOW,
            norms=np.sqrt((weights.reshape(len(weights), -1) ** 2).sum(1)),
            spacing_mm=record.source.spacing_mm if record.source.kind == "patches" else 0.0,
            layers=[f"h1 ({len(weights)} maps)"],
            depth=1,
            sparsity_target=self.sparsity_target or None,
            linear=True,
        )

    def generation_choices(self, run: Run) -> dict[str, list[str]]:
        """Give what a chain can hold fixed: nothing."""
        return {"clamp": [], "label": []}

    def generate(
        self, run: Run, *, n_chains: int, steps: tuple[int, ...], start: str, clamp: str, label: str, seed: int
    ) -> Chains:
        """Run Gibbs chains; see :func:`workbench.workflow.generate`."""
        if clamp or label:
            raise SettingsError("A convolutional RBM has no part or class that could be held fixed.")
        machine, record = self.net(run).machine, self.record(run)
        generator = torch.Generator().manual_seed(seed)
        held = torch.from_numpy(run.load_arrays("patches")["patches"])
        held = held[torch.arange(n_chains) % len(held)]
        v = held if start == "data" else _noise(machine, n_chains, generator)
        frames, free, done = [], [], 0
        for step in steps:
            v = machine.gibbs(v, step - done, generator) if step > done else v
            done = step
            with torch.no_grad():
                frames.append(v if step == 0 else machine.visible_mean(machine.sample_hidden(v, generator)))
                free.append(machine.free_energy(v))
        return Chains(
            states=shown(torch.stack(frames, 1), record),
            steps=list(steps),
            free_energy=torch.stack(free, 1).numpy(),
            start="held-out examples" if start == "data" else "noise",
        )

    def cost(self) -> Cost:
        """Count; the work is that of all places of a map, the numbers that are learnt are those of one filter each."""
        shape = self.likely_shape()
        n_weights = self.n_maps * shape[0] * self.kernel ** (len(shape) - 1)
        return replace(
            super().cost(),
            parameters=n_weights + self.n_maps + shape[0],
            memory_bytes=12.0 * n_weights + 4.0 * self.n_patches * float(np.prod(shape)),
        )

    def layer_sizes(self, n_visible: int) -> list[int]:
        """Give sizes whose product is the work of a pass."""
        shape = self.likely_shape()
        places = float(np.prod([max(1, n - self.kernel + 1) for n in shape[1:]])) / self.stride ** (len(shape) - 1)
        return [n_visible, max(1, round(places * self.n_maps * self.kernel ** (len(shape) - 1) / n_visible))]


def start(machine: ConvRBM) -> float:
    """Set the first hidden biases, and give the factor of the learning rate that suits these units.

    With their biases at -4 few units are on; gradients are then small, and a tenth of the rate would learn nothing.
    Noisy rectified units with such a bias would never wake, and those of a pooling block are few anyway.
    """
    if machine.visible == "bernoulli":
        return 1.0
    if machine.hidden != "bernoulli" or machine.pool > 1:
        return 0.1
    with torch.no_grad():
        machine.hidden_bias.fill_(SPARSE_START)
    return 2.0


def _noise(machine: ConvRBM, n: int, generator: torch.Generator) -> Tensor:
    coins = (torch.rand((n, *machine.hidden_shape), generator=generator) < 0.5).float()
    return machine.sample_visible(coins, generator)
