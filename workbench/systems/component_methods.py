"""What a machine is compared with on the same volumes and the same halves: ICA, PCA and sparse dictionaries.

Everything that a comparison shows is kept in the run as one file of arrays a method.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.classical.decomposition import Components, Method, decompose
from workbench.errors import CohortError, RunError
from workbench.runs.run import Run
from workbench.systems.component_views import Comparison, Penalties
from workbench.systems.regional_data import Regional, regions_of
from workbench.systems.split_half import Halves, Rebuild, crossed, reproducibility

OWN = "RBM"
RIVALS: dict[str, Method] = {
    "temporal ICA": "fast_ica", "spatial ICA": "spatial_ica", "PCA": "pca", "dictionary": "dictionary",
}  # fmt: skip


def file_of(method: str) -> str:
    """Give the name of a method's arrays in a run."""
    return f"maps_{method.replace(' ', '_')}"


def n_components(volumes: Sequence[np.ndarray], wanted: int) -> int:
    """Give how many components all of these volumes (n, R) have room for, at most ``wanted``.

    Raises:
        CohortError: they have no two independent directions.
    """
    rank = min(int(np.linalg.matrix_rank(v - v.mean(0))) for v in volumes)
    if rank < 2:
        raise CohortError("The signals of all regions are the same, so there is nothing to decompose.")
    return min(wanted, rank - 1)  # maps of mean 0, as spatial ICA seeks them, have one direction less


def rival(
    method: Method, volumes: Sequence[np.ndarray], n: int, seed: int, data: Regional, parts: Halves
) -> dict[str, np.ndarray]:
    """Fit a method to all volumes and to those of each half, and give what is kept of it.

    Args:
        method: which.
        volumes: (n, R) of all subjects, of the first half and of the second.
        n: components.
        seed: of the start.
        data: all subjects.
        parts: the halves.
    """
    whole, *both = (decompose(v, method, n, seed) for v in volumes)
    found = kept(whole.maps, [c.maps for c in both], data, parts, [_back(c) for c in both], whole.project)
    return found | {"mean": whole.mean, "notes": np.array(whole.notes, dtype=str)}


def kept(
    maps: np.ndarray, both: Sequence[np.ndarray], data: Regional, parts: Halves, rebuilds: Sequence[Rebuild],
    courses: Rebuild,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Give what is kept of a method: all that :class:`Comparison` shows.

    Args:
        maps: (K, R) from all subjects.
        both: the same from each half.
        data: all subjects.
        parts: the halves.
        rebuilds: what each half's model makes of a signal (T, R).
        courses: signal (T, R) → (T, K).
    """
    found = [courses(one) for one in data.series]
    with np.errstate(invalid="ignore", divide="ignore"):
        fnc = np.nan_to_num(np.corrcoef(np.concatenate(found), rowvar=False))  # a unit that never changes has none
    return {
        "maps": maps.astype(np.float32), "courses": found[0].astype(np.float32), "fnc": fnc.astype(np.float32),
        "reproducibility": reproducibility(both[0], both[1]), "explained": crossed(parts, rebuilds),
        "notes": np.array([], dtype=str),
    }  # fmt: skip


def method_of(run: Run, name: str) -> dict[str, np.ndarray]:
    """Read what is kept of a method.

    Raises:
        RunError: the run has not come that far.
    """
    if file_of(name) not in run.list_arrays():
        raise RunError(f"Run {run.id} has not compared its maps yet; wait until it is finished, or resume it.")
    return run.load_arrays(file_of(name))


def rebuild_of(run: Run, name: str) -> Rebuild:
    """Give least squares on the maps of a rival, as a finished run learnt them from all its subjects."""
    found = method_of(run, name)
    return _back(Components(found["maps"].astype(np.float64), found["courses"], found["mean"]))


def held_out(run: Run) -> dict[str, dict[str, float]]:
    """Give subject → method → share of variance that the other half's model explains; a cut subject's mean."""
    values = {name: method_of(run, name)["explained"] for name in (OWN, *RIVALS)}
    names = [str(n) for n in run.load_arrays("halves")["subjects"]]
    at = {name: [i for i, n in enumerate(names) if n == name] for name in dict.fromkeys(names)}
    return {name: {m: float(v[places].mean()) for m, v in values.items()} for name, places in at.items()}


def comparison_of(run: Run, chosen_by: str) -> Comparison:
    """Read the comparison of a finished run."""
    methods = (OWN, *RIVALS)
    found, regions = {name: method_of(run, name) for name in methods}, regions_of(run)
    own, tried = held_out(run), run.load_arrays("penalties")
    penalties = Penalties(
        tried["values"], tried["reproducibility"], tried["explained"], float(tried["chosen"]), chosen_by
    )
    return Comparison(
        methods=methods,
        maps={name: one["maps"] for name, one in found.items()},
        courses={name: one["courses"] for name, one in found.items()},
        subject=next(iter(own)),
        tr_s=regions.tr_s,
        fnc={name: one["fnc"] for name, one in found.items()},
        reproducibility={name: one["reproducibility"] for name, one in found.items()},
        explained={name: np.array([one[name] for one in own.values()]) for name in methods},
        regions=regions.regions,
        penalties=penalties,
        notes=tuple(f"{name}: {note}" for name, one in found.items() for note in map(str, one["notes"])),
    )


def _back(found: Components) -> Rebuild:
    return lambda series: found.mean + found.project(series) @ found.maps
