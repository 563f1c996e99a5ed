"""The settings of one BOLD phantom, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from workbench.errors import SettingsError

Kind = Literal["networks", "edges", "states", "null"]
Sources = Literal["events", "binary", "laplace", "gaussian"]
Differ = Literal["persistence", "pattern"]
Manifold = Literal["tanh", "ring", "linear"]
Format = Literal["csv", "npz"]

EFFECTS: dict[str, float] = {"networks": 0.3, "edges": 0.175, "states": 1.0, "null": 0.0}
"""Kind → effect where none is given."""
NOISES: dict[str, float] = {"networks": 1.0, "edges": 0.0, "states": 1.0, "null": 1.0}
"""Kind → standard deviation of the white noise where none is given."""


@dataclass(frozen=True)
class BoldPlan:
    """What a BOLD cohort is made of; every field but the number of subjects shapes every subject.

    Attributes:
        n_subjects: 4 to 5,000.
        seed: equal plans give equal bytes.
        n_volumes: T, 40 to 5,000.
        n_regions: R, 16 to 500.
        kind: what is planted: networks, discriminating edges, hidden states, or classes without any difference.
        sources: time courses of networks (kinds ``networks`` and ``null``).
        noise: standard deviation of white noise, in units of the planted weights (networks) or of the signal's
            standard deviation (edges, states); None for 1, and for 0 with edges.
        effect: how far patients differ. Networks: the share by which the default mode network is weaker, 0 to 1.
            Edges: shift of Fisher's z. States: 1 is persistence 0.95 against 0.80, or a mean that moves by 1.
            0 makes every kind a null phantom; None for the kind's own.
        spread: standard deviation of the severity of an edge effect among subjects, in units of the effect.
        differ: what tells the classes of hidden states apart.
        manifold: how two latent numbers become R regions.
        haemodynamic: convolve with the double-gamma response; None for yes with events of networks, else no.
        n_sites: scanners, 1 to 100; each has its offset in connectivity and its gains.
        site_effect: size of those offsets, 0 to 2.
        confounding: 0, diagnosis is balanced in every site, to 1, the site alone decides it.
        motion: expected head movements in 100 volumes, 0 to 20; above 0 there are files of confounds.
        tr_s: time between volumes in s, 0.2 to 5.
        format: of the tables.
        images: write 4-D images with an atlas instead of tables.
    """

    n_subjects: int = 40
    seed: int = 0
    n_volumes: int = 200
    n_regions: int = 116
    kind: Kind = "networks"
    sources: Sources = "events"
    noise: float | None = None
    effect: float | None = None
    spread: float = 0.3
    differ: Differ = "persistence"
    manifold: Manifold = "tanh"
    haemodynamic: bool | None = None
    n_sites: int = 4
    site_effect: float = 0.0
    confounding: float = 0.0
    motion: float = 0.0
    tr_s: float = 2.0
    format: Format = "csv"
    images: bool = False

    def __post_init__(self) -> None:
        for name, (value, known) in {
            "kind": (self.kind, Kind),
            "sources": (self.sources, Sources),
            "difference": (self.differ, Differ),
            "manifold": (self.manifold, Manifold),
            "format": (self.format, Format),
        }.items():
            if value not in get_args(known):
                raise SettingsError(f"The {name} of a BOLD phantom is {' or '.join(get_args(known))}; got {value!r}.")
        for name, (number, low, high) in self._bounds().items():
            if not low <= number <= high:
                raise SettingsError(f"The {name} lies between {low:g} and {high:g}; got {number:g}.")

    @property
    def noise_sd(self) -> float:
        """The standard deviation of the noise, the kind's own where none was given."""
        return NOISES[self.kind] if self.noise is None else self.noise

    @property
    def strength(self) -> float:
        """The effect, the kind's own where none was given; always 0 with ``null``."""
        return EFFECTS[self.kind] if self.effect is None or self.kind == "null" else self.effect

    @property
    def responds(self) -> bool:
        """Whether the signal is convolved with the haemodynamic response."""
        if self.haemodynamic is None:
            return self.kind in ("networks", "null") and self.sources == "events"
        return self.haemodynamic

    def _bounds(self) -> dict[str, tuple[float, float, float]]:
        return {
            "number of subjects": (self.n_subjects, 4, 5000),
            "seed": (self.seed, 0, 2**63),
            "number of volumes": (self.n_volumes, 40, 5000),
            "number of regions": (self.n_regions, 16, 500),
            "noise": (self.noise_sd, 0, 20),
            "effect": (self.strength, 0, {"networks": 1.0, "states": 3.0}.get(self.kind, 1.0)),
            "spread of the effect": (self.spread, 0, 2),
            "number of sites": (self.n_sites, 1, 100),
            "site effect": (self.site_effect, 0, 2),
            "confounding": (self.confounding, 0, 1),
            "number of movements": (self.motion, 0, 20),
            "time between volumes": (self.tr_s, 0.2, 5),
        }
