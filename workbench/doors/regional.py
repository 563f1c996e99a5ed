"""Regional signals: from 4-D images to regions, and what runs on them show: networks, states, diagnosis."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench.doors.cohorts import new_cohort, nifti_bytes, open_cohort
from workbench.doors.runs import RunId, open_run
from workbench.doors.views import shown
from workbench.errors import SettingsError, WorkbenchError
from workbench.progress import Progress, silent
from workbench.runs import job

if TYPE_CHECKING:
    import numpy as np

    from workbench.classical.state_statistics import StateIntervals
    from workbench.imaging.atlases import Atlas
    from workbench.imaging.cohort import Cohort
    from workbench.imaging.volume import Volume
    from workbench.metrics.permutation import PermutationTest
    from workbench.metrics.recovery import NetworkOverlap
    from workbench.metrics.roc import RocBand
    from workbench.systems.regional_views import ControlTrace, Diagnosis, RegionalNetworks, StatesView

COORDINATE_ATLASES = ("power", "dosenbach", "seitzman")
"""Coordinates that nilearn installs; any other atlas is the user's own label image."""
OnError = Literal["stop", "leave out"]
N_SHUFFLES = 2000


def open_atlas(atlas: Path | str, names: Path | str | None = None, radius_mm: float = 5.0) -> Atlas:
    """Read a label image with its list of names, or give coordinates that nilearn installs.

    Args:
        atlas: one of :data:`COORDINATE_ATLASES`, or the file of a label image.
        names: CSV, TSV or TXT of value, name and, if it likes, network; None numbers the regions.
        radius_mm: of the spheres around coordinates.

    Raises:
        SettingsError: no file and no known name.
        FileError: a file cannot be read.
    """
    from workbench.imaging.atlases import coordinate_atlas, read_label_atlas

    if str(atlas).lower() in COORDINATE_ATLASES:
        return coordinate_atlas(str(atlas).lower(), radius_mm)  # type: ignore[arg-type]
    path = Path(atlas).expanduser()
    if not path.is_file():
        raise SettingsError(
            f"There is no label image at {atlas}; give a NIfTI file of labels, or one of "
            f"{', '.join(COORDINATE_ATLASES)}."
        )
    return read_label_atlas(path, None if names is None else Path(names).expanduser())


def open_lattice(
    cohort: Cohort, mask: Path | str, spacing_mm: float, reference: Atlas | None = None, progress: Progress = silent
) -> Atlas:
    """Lay cubes inside a mask for all subjects of a cohort, and name them by the networks of a reference.

    Args:
        cohort: whose ``series`` are 4-D images.
        mask: ``gm`` or ``brain`` of the MNI152 template, ``epi`` for the brain found in the images, or a mask's file.
        spacing_mm: edge of a cube.
        reference: None takes the label atlas beside the cohort, if it has networks.
        progress: told of each image that is looked at.
    """
    from workbench.imaging.atlases import atlas_of
    from workbench.imaging.regional_extraction import series_images
    from workbench.imaging.voxels import named_by, voxel_atlas

    if reference is None:
        own = atlas_of(cohort)
        reference = own if own is not None and any(own.networks) else None
    found = voxel_atlas(mask, spacing_mm, series_images(cohort), progress=progress)
    return found if reference is None else named_by(found, reference)


def mask_size(mask: str, spacing_mm: float) -> int:
    """Give how many cubes lie inside a mask of the MNI152 template, ``gm`` or ``brain``."""
    from workbench.imaging.voxels import voxel_atlas

    return voxel_atlas(mask, spacing_mm).n_regions


def extract_regions(
    cohort: str | Path, atlas: Path | str, out: Path | str, *, names: Path | str | None = None, radius_mm: float = 5.0,
    voxel_mm: float | None = None, reference: Path | str | None = None, cleaning: dict[str, Any] | None = None,
    tr_s: float | None = None, on_error: OnError = "stop", progress: Progress = silent,
) -> Cohort:  # fmt: skip
    """Turn 4-D images into time series of regions, or of voxels: a new cohort with tables, regions.csv and the atlas.

    Args:
        cohort: whose ``series`` are 4-D images.
        atlas: see :func:`open_atlas`; of voxels a mask, see :func:`open_lattice`.
        out: name or folder of the new cohort.
        names: of the regions; see :func:`open_atlas`. Of voxels those of the reference.
        radius_mm: of spheres.
        voxel_mm: edge of the voxels; None extracts regions.
        reference: atlas whose networks name the voxels, as :func:`open_atlas` takes it.
        cleaning: what differs from the usual :class:`workbench.imaging.bold.Cleaning`.
        tr_s: repetition time in s where the headers do not know it.
        on_error: stop at a subject that fails, or leave it out.
        progress: told before each block of volumes; may cancel, which removes everything.
    """
    from workbench.imaging.bold import Cleaning
    from workbench.imaging.regional_extraction import extract_cohort

    changes, source = cleaning or {}, open_cohort(cohort)
    unknown = sorted(set(changes) - set(Cleaning.__dataclass_fields__))
    if unknown:
        known = ", ".join(Cleaning.__dataclass_fields__)
        raise SettingsError(f"{unknown[0]} is no setting of cleaning; known ones are {known}.")
    if voxel_mm is None:
        found = open_atlas(atlas, names, radius_mm)
    else:
        named = None if reference is None else open_atlas(reference, names, radius_mm)
        found = open_lattice(source, atlas, voxel_mm, named, progress)
    return extract_cohort(
        source, found, new_cohort(out), Cleaning(**changes), tr_s=tr_s, on_error=on_error, progress=progress
    )


def start_extraction(
    cohort: str, atlas: Path | str, name: str, *, names: Path | str | None = None, radius_mm: float = 5.0,
    voxel_mm: float | None = None, reference: Path | str | None = None, cleaning: dict[str, Any] | None = None,
    tr_s: float | None = None, on_error: OnError = "stop",
) -> job.Job:  # fmt: skip
    """Begin :func:`extract_regions` in a process of its own, which a closed page does not end."""
    from workbench.imaging.bold import Cleaning

    Cleaning(**(cleaning or {}))
    options: list[str] = ["--on-error", on_error, "--radius", str(radius_mm)]
    if voxel_mm is None:
        open_atlas(atlas, names, radius_mm)
    else:
        if str(atlas) != "epi":  # looked for in every image, by the job
            open_lattice(open_cohort(cohort), atlas, voxel_mm)
        options += ["--voxels", str(voxel_mm)]
    if reference is not None:
        open_atlas(reference, names, radius_mm)
        options += ["--reference", str(reference)]
    options += [] if names is None else ["--names", str(names)]
    options += [] if tr_s is None else ["--tr", str(tr_s)]
    options += [text for key, value in (cleaning or {}).items() for text in ("--set", f"{key}={json.dumps(value)}")]
    return job.start_job(["regions", str(open_cohort(cohort).path.parent), str(atlas), str(new_cohort(name)), *options])


def regional_networks(run_id: RunId) -> RegionalNetworks:
    """Give what the units of a run look at among the regions (Figure 10)."""
    return shown(run_id, "regional_networks")


def network_overlap(run_id: RunId, top: int = 10, networks: tuple[str, ...] | None = None) -> NetworkOverlap | None:
    """Name a run's units by the reference network that they overlap with most; None where no network is known.

    Args:
        run_id: of the run.
        top: regions that stand for a unit.
        networks: (R,) of the user's own reference; None takes the cohort's regions.csv.
    """
    from workbench.metrics.recovery import dice_networks

    found = regional_networks(run_id)
    named = found.networks if networks is None else networks
    if not any(named):
        return None
    return dice_networks(found.weights, named, min(top, len(named)))


def states(run_id: RunId) -> list[StatesView]:
    """Give the hidden states of each class's model, with every subject's path."""
    return shown(run_id, "states")


def state_intervals(view: StatesView) -> dict[str, StateIntervals]:
    """Give occupancy (K,), visits in volumes (K,) and transitions (K, K) of paths, with 95 % intervals over subjects.

    They are of the subjects of the model's own class, of all where it has none. The decoding is taken as it is, so the
    intervals hold what differs among subjects and chance alone, and a model's own transitions need not lie in them.

    Args:
        view: one of :func:`states`.
    """
    from workbench.classical.state_statistics import dwell_intervals, occupancy_intervals, transition_intervals

    own = [p for p, c in zip(view.paths, view.classes, strict=True) if view.model == f"model of {c}"] or view.paths
    k = len(view.transitions)
    return {
        "occupancy": occupancy_intervals(own, k), "visits": dwell_intervals(own, k),
        "transitions": transition_intervals(own, k),
    }  # fmt: skip


def diagnosis(run_id: RunId) -> Diagnosis:
    """Give the cross-validated scores of all subjects, by method."""
    return shown(run_id, "diagnosis")


def control_traces(run_id: RunId) -> list[ControlTrace]:
    """Give how a sparsity controller drove the weights."""
    return shown(run_id, "control_traces")


def roc(run_id: RunId, method: str, *, within_site: bool = False) -> tuple[RocBand, PermutationTest]:
    """Give the cross-validated ROC curve of a method with its band, and the areas that shuffled classes give.

    Band and interval draw subjects and are widened for those that folds share in learning.

    Args:
        run_id: of a run with a diagnosis.
        method: one of its scores.
        within_site: shuffle within sites alone, so that what differs between sites is not taken for diagnosis.
    """
    from workbench.metrics.permutation import permutation_test
    from workbench.systems.regional_cv import widened_roc

    found = diagnosis(run_id)
    if method not in found.scores:
        raise SettingsError(f"There is no method {method!r} in this run; known ones are {', '.join(found.scores)}.")
    values = found.scores[method]
    band = widened_roc(found.target, values, found.subjects, len(set(found.fold.tolist())))
    strata = found.site if within_site and len(set(found.site)) > 1 else None
    return band, permutation_test(found.target, values, "auc", within=strata, n=N_SHUFFLES)


def graph_exports(
    matrix: np.ndarray, regions: tuple[str, ...], coordinates_mm: np.ndarray, networks: tuple[str, ...], *,
    density: float | None = None, value: float | None = None,
) -> dict[str, str]:  # fmt: skip
    """Give a network as files: ``edges.csv``, ``matrix.csv``, ``network.graphml``, ``regions.csv``.

    Args:
        matrix: (R, R) symmetric.
        regions: (R,) names.
        coordinates_mm: (R, 3), NaN where unknown.
        networks: (R,), "" where unknown.
        density: share of the strongest edges that are kept; the matrix is written whole.
        value: or the least absolute weight that is kept.
    """
    from workbench.classical.graphs import edge_list, graph_measures, threshold_matrix, to_graphml

    kept = threshold_matrix(matrix, density=density, value=value)
    measures = graph_measures(matrix, density=density, value=value, networks=networks if any(networks) else None)
    per_region = {name: v for name, v in measures.items() if not isinstance(v, float)}
    places = [["" if not abs(c) < 1e9 else f"{c:.2f}" for c in row] for row in coordinates_mm.tolist()]
    rows = [
        [region, *place, network, *(f"{v[i]:.6g}" for v in per_region.values())]
        for i, (region, place, network) in enumerate(zip(regions, places, networks, strict=True))
    ]
    edges = [[a, b, f"{w:.6g}"] for a, b, w in edge_list(kept, regions)]
    whole = [[r, *(f"{v:.6g}" for v in row)] for r, row in zip(regions, matrix, strict=True)]
    return {
        "edges.csv": _csv(["region", "region_2", "weight"], edges),
        "matrix.csv": _csv(["", *regions], whole),
        "network.graphml": to_graphml(kept, regions, coordinates_mm, networks),
        "regions.csv": _csv(["region", "x", "y", "z", "network", *per_region], rows),
    }  # fmt: skip


def networks_by(run_id: RunId, atlas: Path | str, names: Path | str | None = None) -> tuple[str, ...]:
    """Give the network of each of a run's regions or voxels in another atlas, "" where it has none.

    Args:
        run_id: of the run.
        atlas: see :func:`open_atlas`; its own networks, or its regions where it has none, at the places of the run's.
        names: see :func:`open_atlas`.
    """
    import numpy as np

    from workbench.imaging.voxels import networks_at

    places = regional_networks(run_id).coordinates_mm
    return networks_at(open_atlas(atlas, names), np.nan_to_num(places, nan=1e6))


def network_map(run_id: RunId, unit: int | None = None) -> bytes:
    """Give a unit's weights as a NIfTI map on the atlas of the run's cohort, as the bytes of a .nii.gz file.

    Args:
        run_id: of the run.
        unit: which; None gives all, one volume a unit.

    Raises:
        SettingsError: the cohort has no label atlas.
    """
    found = regional_networks(run_id)
    weights = found.weights if unit is None else found.weights[[unit]]
    return nifti_bytes(_painted(run_id, found.regions, weights))


def component_maps(run_id: RunId, method: str) -> bytes:
    """Give the maps of a method that a run compares, such as ``CanICA``, as one 4-D NIfTI image, a volume a map.

    Raises:
        SettingsError: no such method, or the cohort has no label atlas.
    """
    found = shown(run_id, "comparison")
    if method not in found.maps:
        raise SettingsError(f"There is no method {method!r} in this run; known ones are {', '.join(found.methods)}.")
    return nifti_bytes(_painted(run_id, found.regions, found.maps[method]))


def unit_on_template(run_id: RunId, unit: int) -> tuple[Volume, np.ndarray]:
    """Give the MNI152 brain, 2 mm, and a unit's weights on its lattice (X, Y, Z), NaN where the run has no region."""
    import numpy as np

    from workbench.imaging.brain_surface import template_brain

    found = regional_networks(run_id)
    # the sign of a painted 1 tells where there is a region from where there is none
    painted = _painted(run_id, found.regions, np.stack([found.weights[unit], np.ones(len(found.regions))]))
    template = template_brain()
    places = template.to_mm(np.moveaxis(np.indices(template.shape), 0, -1))
    at = np.rint(painted.to_voxels(places)).astype(int)
    inside = ((at >= 0) & (at < painted.shape)).all(-1)
    at = np.where(inside[..., None], at, 0)
    value, known = painted.data[(slice(None), *np.moveaxis(at, -1, 0))]
    return template, np.where(inside & (known > 0), value, np.nan).astype(np.float32)


def _painted(run_id: RunId, regions: tuple[str, ...], weights: np.ndarray) -> Volume:
    """Paint values (n, R) of a run's regions onto the label atlas of its cohort, 0 elsewhere."""
    import numpy as np

    from workbench.imaging.atlases import atlas_of

    try:
        atlas = atlas_of(open_cohort(open_run(run_id).info.cohort or ""))
    except WorkbenchError as error:
        raise SettingsError(f"The atlas of this run's cohort cannot be read: {error}") from error
    if atlas is None or atlas.labels is None:
        raise SettingsError("The cohort of this run has no label atlas, so a unit has no map; its regions are a table.")
    place = {region: i for i, region in enumerate(regions)}
    column = np.array([place.get(region, -1) for region in atlas.regions] + [-1])
    labels = np.rint(atlas.labels.data[0]).astype(np.int64)
    row = np.searchsorted(atlas.label_values, labels).clip(max=atlas.n_regions - 1)
    at = column[np.where(atlas.label_values[row] == labels, row, -1)]  # (X, Y, Z), -1 outside
    painted = np.where(at < 0, 0, np.asarray(weights, np.float32)[:, at])
    return atlas.labels.with_data(painted, "network")


def _csv(header: list[str], rows: list[list[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return stream.getvalue()
