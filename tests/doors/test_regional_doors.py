"""The doors to regional signals: extraction at the command line, names, exports, curves."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from workbench import cli, workflow
from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort, read_cohort
from workbench.imaging.region_table import region_table_of
from workbench.runs.run import Run


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return workflow.make_phantom("bold-images", tmp_path_factory.mktemp("bold") / "images", n_subjects=4)


def test_the_command_line_extracts_what_the_door_does(
    images: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    atlas = images.path.parent / "atlas.nii.gz"
    with pytest.raises(SystemExit) as end:
        cli.main([
            "regions", str(images.path), str(atlas), str(tmp_path / "a"), "--set", "low_pass_hz=0.08", "--set",
            "detrend=false", "--json",
        ])  # fmt: skip
    assert not end.value.code and json.loads(capsys.readouterr().out)["subjects"] == 4
    here = workflow.extract_regions(
        images.path, atlas, tmp_path / "b", cleaning={"low_pass_hz": 0.08, "detrend": False}
    )  # fmt: skip
    for one, other in zip(read_cohort(tmp_path / "a"), here, strict=True):
        np.testing.assert_array_equal(one.regional_series().values, other.regional_series().values)


def test_the_command_line_extracts_voxels_as_the_door_and_the_job_do(
    images: Cohort, tmp_path: Path, data_root: Path
) -> None:
    cleaning = {"low_pass_hz": 0.08, "smoothing_fwhm_mm": 10.0}
    with pytest.raises(SystemExit) as end:
        cli.main([
            "regions", str(images.path), "brain", str(tmp_path / "a"), "--voxels", "14", "--reference", "dosenbach",
            "--set", "low_pass_hz=0.08", "--set", "smoothing_fwhm_mm=10.0",
        ])  # fmt: skip
    assert not end.value.code
    more: dict[str, Any] = {"voxel_mm": 14, "reference": "dosenbach", "cleaning": cleaning}
    here = workflow.extract_regions(images.path, "brain", tmp_path / "b", **more)
    assert _ended(workflow.start_extraction(str(images.path), "brain", "voxels", **more).id)
    for name in (tmp_path / "a", data_root / "cohorts" / "voxels"):
        made = read_cohort(name)
        for one, other in zip(made, here, strict=True):
            np.testing.assert_array_equal(one.regional_series().values, other.regional_series().values)
        table = region_table_of(made)
        assert table is not None and "default" in table.networks and table.has_coordinates
    rough = workflow.extract_regions(images.path, "brain", tmp_path / "c", voxel_mm=14, cleaning={"low_pass_hz": 0.08})
    smooth, plain = (c.subjects[0].regional_series().values for c in (here, rough))
    known = np.isfinite(smooth).all(0) & np.isfinite(plain).all(0)
    neighbors = [np.corrcoef(v[:, known][:, :40], rowvar=False)[np.eye(40, k=1) > 0].mean() for v in (smooth, plain)]
    assert neighbors[0] > neighbors[1] + 0.1


def test_the_size_of_a_mask_is_that_of_its_lattice(images: Cohort) -> None:
    assert workflow.mask_size("gm", 12) == len(workflow.open_lattice(images, "gm", 12).regions)
    assert "Visual" in workflow.open_lattice(images, "gm", 12).networks, "named by the atlas beside the images"


def test_spheres_around_coordinates_need_no_file(images: Cohort, tmp_path: Path) -> None:
    assert len(workflow.open_atlas("Dosenbach").regions) == 160
    made = workflow.extract_regions(
        images.path, "dosenbach", tmp_path / "d", radius_mm=8, cleaning={"low_pass_hz": 0, "high_pass_hz": 0}
    )
    assert made.subjects[0].regional_series().n_regions == 160


@pytest.mark.parametrize(
    ("atlas", "cleaning", "said"),
    [("aal", None, "no label image at aal"), ("power", {"highpass": 1}, "highpass is no setting of cleaning"),
     ("power", {"low_pass_hz": 0.001}, "must lie above the high pass")],
)  # fmt: skip
def test_what_is_wrong_is_said_and_leaves_nothing(
    images: Cohort, tmp_path: Path, atlas: str, cleaning: dict[str, float] | None, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        workflow.extract_regions(images.path, atlas, tmp_path / "x", cleaning=cleaning)
    assert not list(tmp_path.iterdir())


def test_an_extraction_runs_in_a_process_of_its_own(images: Cohort, data_root: Path) -> None:
    job = workflow.start_extraction(
        str(images.path), images.path.parent / "atlas.nii.gz", "mine", cleaning={"standardize": "none", "detrend": True}
    )
    assert _ended(job.id)
    assert len(read_cohort(data_root / "cohorts" / "mine")) == 4


def _ended(job_id: str) -> bool:
    for _ in range(600):
        if workflow.read_job(job_id).state not in ("running", "queued"):
            return True
        time.sleep(0.2)
    return False


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("data")))
        cohort = workflow.make_phantom("bold-states", "states", n_subjects=12)
        return workflow.train("suk2016", str(cohort.path), {"n_epochs": 2, "n_frames": 500}, preset="quick")


def test_a_network_goes_out_as_files_that_others_read(trained: Run) -> None:
    found = workflow.regional_networks(trained.folder)
    files = workflow.graph_exports(
        found.connectivity, found.regions, found.coordinates_mm, found.networks, density=0.05
    )  # fmt: skip
    graph = nx.read_graphml(io.BytesIO(files["network.graphml"].encode()))
    edges = list(csv.DictReader(io.StringIO(files["edges.csv"])))
    n = len(found.regions)
    assert graph.number_of_nodes() == n and graph.number_of_edges() == len(edges) == round(0.05 * n * (n - 1) / 2)
    matrix = list(csv.reader(io.StringIO(files["matrix.csv"])))
    np.testing.assert_allclose(np.array([row[1:] for row in matrix[1:]], float), found.connectivity, atol=1e-5)
    table = list(csv.DictReader(io.StringIO(files["regions.csv"])))
    assert [row["region"] for row in table] == list(found.regions) and float(table[0]["degree"]) >= 0


def test_units_are_named_by_the_reference_or_by_ones_own(trained: Run) -> None:
    found = workflow.regional_networks(trained.folder)
    named = workflow.network_overlap(trained.folder)
    assert named is not None and set(named.names) <= set(found.networks)
    own = workflow.network_overlap(trained.folder, networks=("left", "right") * (len(found.regions) // 2))
    assert own is not None and own.names == ("left", "right")
    assert workflow.network_overlap(trained.folder, networks=("",) * len(found.regions)) is None


def test_the_curve_and_its_null_are_of_the_held_out_scores(trained: Run) -> None:
    found = workflow.diagnosis(trained.folder)
    method = next(iter(found.scores))
    band, test = workflow.roc(trained.folder, method)
    assert band.true_positive_rate[-1] == 1 and 0 < test.p <= 1 and len(test.null) == 2000
    with pytest.raises(SettingsError, match="no method 'x'"):
        workflow.roc(trained.folder, "x")


def test_a_cohort_without_a_label_atlas_has_no_map(trained: Run) -> None:
    with pytest.raises(SettingsError, match="no label atlas"):
        workflow.network_map(trained.folder, 0)


def test_intervals_of_states_are_of_the_subjects_of_the_models_class(trained: Run) -> None:
    view = workflow.states(trained.folder)[1]
    found = workflow.state_intervals(view)
    own = [p for p, c in zip(view.paths, view.classes, strict=True) if c == "patient"]
    k = len(view.transitions)
    counts = sum(np.bincount(p[:-1] * k + p[1:], minlength=k * k).reshape(k, k) for p in own)
    np.testing.assert_allclose(found["transitions"].estimate, counts / counts.sum(1, keepdims=True))
    assert found["occupancy"].estimate.sum() == pytest.approx(1)
    assert (found["visits"].low <= found["visits"].estimate).all()
