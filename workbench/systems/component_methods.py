"""What a machine is compared with on the same volumes and the same halves: ICA, PCA and sparse dictionaries.

Everything that a comparison shows is kept in the run as one file of arrays a method.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.classical.decomposition import Components, decompose, decompose_images, rank_up_to
from workbench.errors import CohortError, RunError
from workbench.imaging.voxels import as_images
from workbench.runs.run import Run
from workbench.systems.component_views import Comparison, Penalties
from workbench.systems.regional_data import Regional, regions_of
from workbench.systems.split_half import OTHER_START, Halves, Rebuild, chance, crossed, reproducibility

OWN = "RBM"
RIVALS = {
    "temporal ICA": "fast_ica", "spatial ICA": "spatial_ica", "PCA": "pca", "dictionary": "dictionary",
}  # fmt: skip
VOXEL_RIVALS = {
    "CanICA": "nilearn can_ica", "spatial ICA": "spatial_ica", "dictionary": "nilearn dictionary",
    "temporal ICA": "fast_ica", "PCA": "pca",
}  # fmt: skip
NILEARN = "nilearn "
"""Before the name of a method that takes subjects apart, as images of their voxels."""


def rivals(voxel_mm: float | None) -> dict[str, str]:
    """Give name → method of what a machine is compared with, on regions or on voxels."""
    return RIVALS if voxel_mm is None else VOXEL_RIVALS


def rivals_of(run: Run) -> tuple[str, ...]:
    """Name what the machine of a run was compared with."""
    return tuple(rivals(regions_of(run).voxel_mm))


def file_of(method: str) -> str:
    """Give the name of a method's arrays in a run."""
    return f"maps_{method.replace(' ', '_')}"


def n_components(volumes: Sequence[np.ndarray], wanted: int) -> int:
    """Give how many components all of these volumes (n, R) have room for, at most ``wanted``.

    Raises:
        CohortError: they have no two independent directions.
    """
    rank = min(rank_up_to(v - v.mean(0), wanted + 1) for v in volumes)
    if rank < 2:
        raise CohortError("The signals of all regions are the same, so there is nothing to decompose.")
    return min(wanted, rank - 1)  # maps of mean 0, as spatial ICA seeks them, have one direction less


def rival(
    method: str, volumes: Sequence[Sequence[np.ndarray]], n: int, seed: int, data: Regional, parts: Halves
) -> dict[str, np.ndarray]:
    """Fit a method to all volumes and to those of each half, and give what is kept of it.

    Args:
        method: which, of :func:`rivals`.
        volumes: (n, R) of each subject, of all subjects, of the first half and of the second.
        n: components.
        seed: of the start; the second half begins from another, as machines do.
        data: all subjects.
        parts: the halves.
    """
    notes: tuple[str, ...] = ()
    if method.startswith(NILEARN):
        shortest = min(len(one) for part in volumes for one in part)
        if shortest < n:
            n, notes = shortest, (f"{shortest} components, as the shortest subject has no more volumes",)
    try:
        whole, *both = (
            _fitted(v, method, n, s) for v, s in zip(volumes, (seed, seed, seed + OTHER_START), strict=True)
        )
    except CohortError as error:
        if not method.startswith(NILEARN):
            raise
        return _nothing(n, data, str(error))  # noise leaves these methods without any map, which is no fault
    found = kept(whole.maps, [c.maps for c in both], data, parts, [_back(c) for c in both], whole.project, seed)
    return found | {"mean": whole.mean, "notes": np.array([*notes, *whole.notes], dtype=str)}


def _nothing(n: int, data: Regional, why: str) -> dict[str, np.ndarray]:
    """Give what is kept of a method that found nothing: maps of zeros, which agree with nothing."""
    n_regions = len(data.regions)
    return {
        "maps": np.zeros((n, n_regions), np.float32), "courses": np.zeros((len(data.series[0]), n), np.float32),
        "fnc": np.zeros((n, n), np.float32), "reproducibility": np.zeros(n), "explained": np.zeros(len(data)),
        "chance": np.array(0.0), "mean": np.zeros(n_regions), "notes": np.array([f"found nothing: {why}"], dtype=str),
    }  # fmt: skip


def _fitted(volumes: Sequence[np.ndarray], method: str, n: int, seed: int) -> Components:
    if not method.startswith(NILEARN):
        return decompose(np.concatenate(volumes), method, n, seed)  # type: ignore[arg-type]
    images, mask = as_images(volumes)
    return decompose_images(images, mask, n, method=method.removeprefix(NILEARN), seed=seed)  # type: ignore[arg-type]


def kept(
    maps: np.ndarray, both: Sequence[np.ndarray], data: Regional, parts: Halves, rebuilds: Sequence[Rebuild],
    courses: Rebuild, seed: int = 0,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Give what is kept of a method: all that :class:`Comparison` shows.

    Args:
        maps: (K, R) from all subjects.
        both: the same from each half.
        data: all subjects.
        parts: the halves.
        rebuilds: what each half's model makes of a signal (T, R).
        courses: signal (T, R) → (T, K).
        seed: of the shuffles that say what chance gives.
    """
    found = [courses(one) for one in data.series]
    with np.errstate(invalid="ignore", divide="ignore"):
        fnc = np.nan_to_num(np.corrcoef(np.concatenate(found), rowvar=False))  # a unit that never changes has none
    return {
        "maps": maps.astype(np.float32), "courses": found[0].astype(np.float32), "fnc": fnc.astype(np.float32),
        "reproducibility": reproducibility(both[0], both[1]), "explained": crossed(parts, rebuilds),
        "chance": np.array(chance(both[0], both[1], seed)), "notes": np.array([], dtype=str),
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
    values = {name: method_of(run, name)["explained"] for name in (OWN, *rivals_of(run))}
    names = [str(n) for n in run.load_arrays("halves")["subjects"]]
    at = {name: [i for i, n in enumerate(names) if n == name] for name in dict.fromkeys(names)}
    return {name: {m: float(v[places].mean()) for m, v in values.items()} for name, places in at.items()}


def comparison_of(run: Run, chosen_by: str) -> Comparison:
    """Read the comparison of a finished run."""
    methods = (OWN, *rivals_of(run))
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
