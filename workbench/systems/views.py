"""What a trained run shows of itself, as plain arrays: made by systems, drawn by figures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class FilterBank:
    """The weights of one layer, as patterns of the input.

    Attributes:
        weights: (n_units, C, *spatial); a deeper layer's are its linear back-projection W_l … W_2 W_1.
        mean_activation: (n_units,) over held-out examples; 0 to 1 for sigmoid units.
        dead: (n_units,) bool, mean activation below 0.001.
        norms: (n_units,) Euclidean norm of each pattern.
        spacing_mm: edge of a voxel of the patterns; 0 when images kept their own.
        layers: ``"layer 1 (512 units)"``, ….
        depth: which layer this is, from 1.
        sparsity_target: the wanted mean activation, or None.
        linear: whether the patterns are the layer's own weights, not a product of several layers'.
        drawn: words for what the patterns are, where "weights" or "product of weights" does not say it.
    """

    weights: np.ndarray
    mean_activation: np.ndarray
    dead: np.ndarray
    norms: np.ndarray
    spacing_mm: float
    layers: list[str]
    depth: int
    sparsity_target: float | None
    linear: bool
    drawn: str = ""

    @property
    def is_back_projection(self) -> bool:
        """Whether the patterns are products of several layers' weights."""
        return not self.linear


@dataclass(frozen=True)
class Reconstructions:
    """Held-out examples and what the network makes of them, in the network's units.

    Attributes:
        patches, rebuilt: (n, C, *spatial).
        scores: mean squared error and explained variance over these examples.
    """

    patches: np.ndarray
    rebuilt: np.ndarray
    scores: dict[str, float]


@dataclass(frozen=True)
class TwoBlocks:
    """Figure 9's view of one modality: first-layer weights below, the next layer above, one column a unit.

    Attributes:
        name: of the modality.
        lower, upper: (n, C, *spatial) patterns, most used units first.
        lower_units, upper_units: their numbers.
    """

    name: str
    lower: np.ndarray
    upper: np.ndarray
    lower_units: list[int]
    upper_units: list[int]


@dataclass(frozen=True)
class Chains:
    """Gibbs chains, step by step.

    Attributes:
        states: (n_chains, n_shown, C, *spatial), means of the visible units, in the image's own units where possible.
        steps: (n_shown,) how many Gibbs steps each column is away from the start; 0 is the start itself.
        free_energy: (n_chains, n_shown) nats, or empty where the model has none.
        start: words for where the chains began.
        labels: of the rows, or empty.
        clamped: the names of what was held fixed.
        truth: (n_chains, C, *spatial) what the sampled part really was, where one part was held fixed; else None.
    """

    states: np.ndarray
    steps: list[int]
    free_energy: np.ndarray
    start: str
    labels: list[str] = field(default_factory=list)
    clamped: tuple[str, ...] = ()
    truth: np.ndarray | None = None


@dataclass(frozen=True)
class LikelihoodView:
    """How likely a model holds the data, in nats an example.

    Attributes:
        rows: one a number: ``quantity``, ``part`` (training or held-out), ``value``, ``low``, ``high``, ``kind``
            (exact, forward, reverse, bound).
        log_z: ``exact``, ``forward``, ``reverse`` and their ``gap``, those that could be computed.
        note: what to mind when reading them.
    """

    rows: list[dict[str, float | str]]
    log_z: dict[str, float]
    note: str


@dataclass(frozen=True)
class NoiseCurve:
    """How a code changes as noise grows over the input.

    Attributes:
        name: of the run.
        levels: (n_levels,) standard deviation of the noise, or share of flipped elements.
        change: (n_levels, n_examples) mean absolute change of the code's posterior means from that of clean input.
        unit: of the levels.
    """

    name: str
    levels: np.ndarray
    change: np.ndarray
    unit: str
