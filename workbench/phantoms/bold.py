"""A cohort of regional BOLD series, or of 4-D images, whose networks, edges or hidden states are known.

In the folder: ``cohort.csv`` (targets patient and control, several sites as groups), ``regions.csv`` (real coordinates
and networks), ``truth.json`` (settings, names, and the best diagnosis there is), ``truth.npz`` (its arrays), and of
each subject the series, its own ``truth.npz`` and, where heads move, ``confounds.tsv``. With images also
``mask.nii.gz``, ``atlas.nii.gz`` and ``labels.json``.

The phantom does not contain: anatomy beyond places, physiological noise, drifts, or slices taken at different times.
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from workbench.imaging.cohort import Cohort, read_cohort, write_cohort, write_label_names
from workbench.imaging.nifti import write_array
from workbench.imaging.region_table import REGIONS_FILE, RegionTable, write_region_table
from workbench.imaging.regional_series import RegionalSeries, write_regional_series
from workbench.imaging.subject import Subject
from workbench.phantoms.bold_edges import Edges, best_from_edges
from workbench.phantoms.bold_networks import Networks
from workbench.phantoms.bold_nuisance import MOTION_COLUMNS, Motion
from workbench.phantoms.bold_plan import BoldPlan, Differ, Format, Kind, Manifold, Sources
from workbench.phantoms.bold_regions import PLANTED, planted_members, real_regions
from workbench.phantoms.bold_states import STATE_SD, States, best_from_states, stationary_law, wandering_share
from workbench.phantoms.bold_subjects import (
    WEAKENED,
    BoldSubject,
    World,
    draw_subject,
    draw_world,
    network_amplitudes,
)
from workbench.phantoms.bold_voxels import VoxelSpace, paint, voxel_space
from workbench.phantoms.new_folder import new_folder, refuse_taken
from workbench.progress import Progress, silent

CONTROL, PATIENT = "control", "patient"


def make_bold(
    out: Path,
    *,
    n_subjects: int = 40,
    seed: int = 0,
    n_volumes: int = 200,
    n_regions: int = 116,
    kind: Kind = "networks",
    sources: Sources = "events",
    noise: float | None = None,
    effect: float | None = None,
    spread: float = 0.3,
    differ: Differ = "persistence",
    manifold: Manifold = "tanh",
    haemodynamic: bool | None = None,
    n_sites: int = 4,
    site_effect: float = 0.0,
    confounding: float = 0.0,
    motion: float = 0.0,
    tr_s: float = 2.0,
    format: Format = "csv",
    images: bool = False,
    progress: Progress = silent,
) -> Cohort:
    """Write a BOLD cohort; the settings are those of :class:`BoldPlan`, and ``write_bold`` takes them as one.

    Raises:
        SettingsError: a setting out of its bounds.
        CohortError: the folder is in use.
    """
    plan = BoldPlan(
        n_subjects, seed, n_volumes, n_regions, kind, sources, noise, effect, spread, differ, manifold, haemodynamic,
        n_sites, site_effect, confounding, motion, tr_s, format, images,
    )  # fmt: skip
    return write_bold(out, plan, progress)


def write_bold(out: Path, plan: BoldPlan, progress: Progress = silent) -> Cohort:
    """Write a BOLD cohort, one subject in memory at a time.

    Args:
        out: the cohort's folder; must not exist, or be empty.
        plan: the settings.
        progress: told of the subjects; may cancel, which removes everything.

    Raises:
        SettingsError: no valid correlations with an effect as large as this.
        CohortError: the folder is in use.
    """
    refuse_taken(out)
    table = real_regions(plan.n_regions)
    world = draw_world(plan, planted_members(table))
    with new_folder(out) as partial:
        space = _write_lattice(partial, table) if plan.images else None
        subjects = []
        for i in range(plan.n_subjects):
            progress(i / plan.n_subjects, f"Making subject {i + 1} of {plan.n_subjects}")
            subjects.append(_write_subject(partial, plan, i, draw_subject(plan, world, i), table, space))
        write_cohort(partial, subjects)
        write_region_table(partial / REGIONS_FILE, table if space is None else _at_centroids(table, space))
        _write_truth(partial, plan, world, table, space)
        progress(1.0, f"Made {plan.n_subjects} subjects")
    return read_cohort(Path(out).absolute())


def _write_subject(
    folder: Path, plan: BoldPlan, index: int, drawn: BoldSubject, table: RegionTable, space: VoxelSpace | None
) -> Subject:
    home = folder / f"subject-{index + 1:04d}"
    home.mkdir()
    np.savez_compressed(home / "truth.npz", allow_pickle=False, **drawn.truth)
    covariates = {"site": f"site-{drawn.site + 1:02d}", "tr_s": f"{plan.tr_s:g}"}
    if drawn.motion is not None:
        _write_confounds(home / "confounds.tsv", drawn.motion)
        covariates["confounds"] = f"{home.name}/confounds.tsv"
    if space is not None:
        series = home / "bold.nii.gz"
        rng = np.random.default_rng([plan.seed, 4, index])
        grey = paint(drawn.series, space, plan.noise_sd, rng)
        write_array(grey, space.affine, series, dtype=np.int16, time_step_s=plan.tr_s)
    else:
        series = home / f"series.{plan.format}"
        write_regional_series(series, RegionalSeries(drawn.series, table.regions, plan.tr_s))
    return Subject(
        home.name,
        mask=None if space is None else folder / "mask.nii.gz",
        series=series,
        target=PATIENT if drawn.is_patient else CONTROL,
        group=covariates["site"] if plan.n_sites > 1 else None,
        covariates=covariates,
        folder=folder,
    )


def _write_confounds(path: Path, motion: Motion) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow([*MOTION_COLUMNS, "framewise_displacement"])
        for t, row in enumerate(motion.parameters.tolist()):
            first = f"{motion.displacement_mm[t]:.6f}" if t else "n/a"  # as fMRIPrep leaves the first volume
            writer.writerow([*(f"{value:.8f}" for value in row), first])


def _write_lattice(folder: Path, table: RegionTable) -> VoxelSpace:
    space = voxel_space(table)
    write_array(space.mask.astype(np.uint8), space.affine, folder / "mask.nii.gz", dtype=np.uint8)
    labels = space.unmask(space.labels.astype(np.int16))
    write_array(labels, space.affine, folder / "atlas.nii.gz", dtype=np.int16, intent="label")
    write_label_names(folder, dict(enumerate(table.regions, start=1)))
    return space


def _at_centroids(table: RegionTable, space: VoxelSpace) -> RegionTable:
    return replace(table, coordinates_mm=space.centroids_mm.astype(np.float32))


def _write_truth(folder: Path, plan: BoldPlan, world: World, table: RegionTable, space: VoxelSpace | None) -> None:
    words, arrays = _truth(plan, world, table)
    if space is not None and isinstance(world, Networks):
        arrays["voxel_maps"] = space.unmask(world.maps @ space.blobs).astype(np.float32)
    settings = asdict(plan) | {"noise": plan.noise_sd, "effect": plan.strength, "haemodynamic": plan.responds}
    common = {"settings": settings, "regions": table.regions, "networks": table.networks, "planted": PLANTED}
    text = json.dumps(common | words, indent=1)
    (folder / "truth.json").write_text(text + "\n", encoding="utf-8")
    np.savez_compressed(folder / "truth.npz", allow_pickle=False, **arrays)


def _truth(plan: BoldPlan, world: World, table: RegionTable) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    if isinstance(world, Networks):
        words: dict[str, object] = {
            "weakened": PLANTED[WEAKENED] if plan.strength else None,
            "amplitudes": dict(zip((CONTROL, PATIENT), network_amplitudes(plan, len(PLANTED)).tolist(), strict=True)),
        }
        return words, {"maps": world.maps, "members": world.members}
    if isinstance(world, Edges):
        return _truth_of_edges(plan, world, table)
    return _truth_of_states(plan, world)


def _truth_of_edges(
    plan: BoldPlan, edges: Edges, table: RegionTable
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    noisy = 1 + plan.noise_sd**2  # white noise attenuates every correlation by this
    matrices = [edges.correlation(s) for s in (0.0, 1.0)]
    for matrix in matrices:
        matrix[~np.eye(len(matrix), dtype=bool)] /= noisy
    rows = []
    for (a, b), sign in zip(edges.pairs.tolist(), edges.signs.tolist(), strict=True):
        z = [float(np.arctanh(m[a, b])) for m in matrices]
        names = {"a": table.regions[a], "b": table.regions[b]}
        rows.append(names | {"sign": sign, "z_control": z[0], "z_patient": z[1]})
    words: dict[str, object] = {
        "edges": rows,
        "best": best_from_edges(edges, plan.n_volumes),
        "best_of": "the series before noise, response, site and motion, when their law is known",
    }
    arrays = {"pairs": edges.pairs, "signs": edges.signs, "control": matrices[0], "patient": matrices[1]}
    return words, arrays


def _truth_of_states(plan: BoldPlan, states: States) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    stays = np.diagonal(states.transitions, axis1=1, axis2=2)
    words: dict[str, object] = {
        "transitions": states.transitions.tolist(),
        "stationary": [stationary_law(chain).tolist() for chain in states.transitions],
        "dwell_volumes": (1 / (1 - stays)).tolist(),
        "means": states.means.tolist(),
        "state_sd": STATE_SD,
        "wandering_share": [wandering_share(stay, plan.n_volumes) for stay in stays[:, 0]],
        "best": best_from_states(states, plan.n_volumes),
        "best_of": "the latent points, when their law is known",
        "volumes_have_one_law": plan.strength == 0 or (plan.differ == "persistence" and not plan.responds),
    }
    patterns = states.mix(states.means.reshape(-1, 2)).reshape(*states.means.shape[:2], -1)
    arrays = {"directions": states.directions, "patterns": patterns}  # (2, K, R): mixing of each state's mean
    return words, arrays
