"""Plis et al. 2014 on voxels: from 4-D images to maps, beside CanICA and dictionaries, matched with the truth."""

from __future__ import annotations

import gzip
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import psutil
import pytest
from scipy.ndimage import gaussian_filter

from workbench import workflow
from workbench.classical import decomposition
from workbench.errors import CohortError, SettingsError, TooLarge
from workbench.imaging.atlases import atlas_of
from workbench.imaging.cohort import Cohort
from workbench.metrics.recovery import mean_matched
from workbench.phantoms.bold import make_bold
from workbench.runs.run import Run, create_run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems import component_methods
from workbench.systems.cadx import plis2014
from workbench.systems.component_methods import VOXEL_RIVALS
from workbench.systems.component_views import Comparison
from workbench.systems.regional_data import z_scored
from workbench.systems.split_half import chance, reproducibility

RNG = np.random.default_rng(0)
FIXED: dict[str, Any] = {"choose_l1": "fixed", "weight_l1": 0.01}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("voxels")
        patch.setenv("WORKBENCH_DATA", str(folder))
        yield folder


@pytest.fixture(scope="module")
def voxels(root: Path) -> Cohort:
    """Four subjects of 90 volumes in 12 mm cubes."""
    made = make_bold(root / "cohorts" / "images", n_subjects=4, n_volumes=90, images=True)
    return workflow.extract_regions(made.path, "gm", root / "cohorts" / "voxels", voxel_mm=12)


@pytest.fixture(scope="module")
def learnt(voxels: Cohort) -> Run:
    changes = {"n_hidden": 6, "n_epochs": 3, "choose_l1": "reproducibility", "l1_grid": [0.003, 0.01]}
    return workflow.train("plis2014", voxels.path, changes, preset="quick")


def test_the_machine_and_its_rivals_learn_from_the_same_voxels(learnt: Run, voxels: Cohort) -> None:
    assert learnt.status().state == "finished", learnt.tail()
    view = comparison(learnt)
    n = len(workflow.regional_networks(learnt.folder).regions)
    assert view.methods == ("RBM", *VOXEL_RIVALS) and "CanICA" in view.methods and n > 1000
    assert all(view.maps[m].shape[1] == n and np.abs(view.maps[m]).max(1).all() for m in view.methods)
    np.testing.assert_allclose(view.penalties.values, [0.03, 0.1])  # ten times those of regions
    assert workflow.regional_networks(learnt.folder).connectivity is None
    scores = workflow.evaluate(learnt.folder, str(voxels.path))["summary"]
    assert {"explained_variance", "explained_variance_CanICA"} <= set(scores)


def test_maps_go_out_as_images_on_the_lattice(learnt: Run, voxels: Cohort) -> None:
    found, atlas = workflow.regional_networks(learnt.folder), atlas_of(voxels)
    assert atlas is not None and atlas.labels is not None and found.voxel_mm == 12
    one, every, ica = (
        nib.Nifti1Image.from_bytes(gzip.decompress(b))
        for b in (workflow.network_map(learnt.folder, 2), workflow.network_map(learnt.folder),
                  workflow.component_maps(learnt.folder, "CanICA"))
    )  # fmt: skip
    at = np.rint(np.linalg.inv(one.affine)[:3, :3] @ found.coordinates_mm.T + np.linalg.inv(one.affine)[:3, 3:]).astype(
        int
    )
    np.testing.assert_allclose(np.asarray(one.dataobj)[tuple(at)], found.weights[2], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(every.dataobj)[tuple(at)].T, found.weights, rtol=1e-6)
    assert ica.shape[:3] == one.shape and np.count_nonzero(np.asarray(one.dataobj)) <= atlas.n_regions
    with pytest.raises(SettingsError, match="no method 'x' in this run; known ones are RBM, CanICA"):
        workflow.component_maps(learnt.folder, "x")


def test_a_unit_lies_on_the_template_where_its_voxels_are(learnt: Run) -> None:
    found = workflow.regional_networks(learnt.folder)
    template, painted = workflow.unit_on_template(learnt.folder, 1)
    at = np.rint(template.to_voxels(found.coordinates_mm)).astype(int)
    inside = ((at >= 0) & (at < template.shape)).all(1)
    np.testing.assert_allclose(painted[tuple(at[inside].T)], found.weights[1][inside], rtol=1e-5)
    assert np.isnan(painted[0, 0, 0])


def test_voxels_take_networks_of_another_reference(learnt: Run) -> None:
    own = workflow.network_overlap(learnt.folder, top=50)
    assert own is not None and "Visual" in own.names, "named by the atlas beside the images"
    dosenbach = workflow.networks_by(learnt.folder, "dosenbach")
    other = workflow.network_overlap(learnt.folder, top=50, networks=dosenbach)
    assert other is not None and "default" in other.names


def test_systems_on_connections_and_too_little_memory_are_said(voxels: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    n = len(voxels.subjects[0].regional_series().regions)
    with pytest.raises(CohortError, match=rf"{n:,} regions or voxels have {n * (n - 1) // 2:,}; extract at most 1,000"):
        workflow.train("kim2016", voxels.path, {}, preset="quick")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**6))
    with pytest.raises(TooLarge, match=r"To learn from 4 subjects .* MB of memory, and 1 MB are free"):
        workflow.train("plis2014", voxels.path, {}, preset="quick")


def test_large_signals_are_decomposed_as_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    courses, maps = RNG.laplace(size=(300, 5)), RNG.laplace(size=(5, 200))
    x = courses @ maps + 0.05 * RNG.normal(size=(300, 200))
    for method in ("fast_ica", "spatial_ica", "pca"):
        monkeypatch.setattr(decomposition, "LARGE", 500)
        exact = decomposition.decompose(x, method, 5)
        monkeypatch.setattr(decomposition, "LARGE", 50)
        short = decomposition.decompose(x, method, 5)
        assert mean_matched(short.maps, exact.maps) > 0.999, method
        np.testing.assert_allclose(short.reconstruct(), exact.reconstruct(), atol=0.05)
    assert decomposition.rank_up_to(x - x.mean(0), 5) == 5 and decomposition.rank_up_to(courses @ maps, 9) == 5


def test_maps_of_noise_come_back_no_better_than_shuffled_ones() -> None:
    noise = [RNG.normal(size=(8, 400)) for _ in range(2)]
    assert reproducibility(*noise).mean() <= 1.05 * chance(noise[0], noise[1], 0)
    shared = noise[0] + 0.5 * RNG.normal(size=(8, 400))
    assert reproducibility(noise[0], shared).mean() > 3 * chance(noise[0], shared, 0)


def test_a_method_whose_maps_do_not_come_back_is_named() -> None:
    found = {
        "RBM": {"reproducibility": np.array([0.03, 0.05]), "chance": np.array(0.04)},
        "PCA": {"reproducibility": np.array([0.03, 0.06]), "chance": np.array(0.04)},
    }
    (said,) = plis2014._nothing(found)
    assert said.startswith("RBM found nothing that comes back")


def test_smooth_noise_brings_maps_back_and_the_result_says_that_it_is_not_tested(learnt: Run) -> None:
    """Shuffled maps are no null for signals of neighbors: what a run says of its own limit is true."""
    inside = (np.stack(np.meshgrid(*[np.linspace(-1, 1, 12)] * 3)) ** 2).sum(0) < 1

    def maps(sd: float) -> np.ndarray:
        noise = gaussian_filter(RNG.normal(size=(300, 12, 12, 12)), (0, sd, sd, sd))[:, inside]
        return decomposition.decompose(z_scored(noise), "pca", 8).maps

    white, smooth = [(maps(sd), maps(sd)) for sd in (0.0, 1.0)]
    assert reproducibility(*white).mean() < 1.5 * chance(white[0], white[1], 0)
    assert reproducibility(*smooth).mean() > 3 * chance(smooth[0], smooth[1], 0)
    assert plis2014.SMOOTH in (learnt.result() or {})["notes"]


@pytest.mark.slow
def test_a_run_on_voxels_that_was_stopped_ends_as_an_undisturbed_one(
    voxels: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_rivals(monkeypatch, "temporal ICA", "PCA")
    changes = FIXED | {"n_hidden": 4, "n_epochs": 2}
    whole = workflow.train("plis2014", voxels.path, changes, preset="quick")
    usual = plis2014.Plis2014.learn_machine

    def interrupted(self: Any, x: Any, training: Any, stage: str, *more: Any) -> Any:
        if stage == "penalty 1 half 2":
            training.run.request_stop()
        return usual(self, x, training, stage, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plis2014.Plis2014, "learn_machine", interrupted)
        run = workflow.train("plis2014", voxels.path, changes, preset="quick")
    assert run.status().state == "stopped", run.tail()
    run.withdraw_stop()
    again = workflow.resume_here(run.folder)
    assert again.status().state == "finished", again.tail()
    for name in whole.list_arrays():
        for key, values in whole.load_arrays(name).items():
            np.testing.assert_array_equal(again.load_arrays(name)[key], values, err_msg=f"{name}: {key}")


def comparison(run: Run) -> Comparison:
    system: Any = workflow.system_of(run)
    shown: Comparison = system.comparison(run)
    return shown


def keep_rivals(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Compare with these only; canonical ICA and nilearn's dictionary take longest."""
    few = {name: VOXEL_RIVALS[name] for name in names}
    monkeypatch.setattr(plis2014, "rivals", lambda _: few)
    monkeypatch.setattr(component_methods, "rivals", lambda _: few)


@pytest.mark.slow
def test_planted_networks_come_back_from_images_better_than_by_principal_components(root: Path) -> None:
    images = make_bold(root / "cohorts" / "six", n_subjects=6, n_volumes=200, effect=0.0, images=True)
    cubes = workflow.extract_regions(images.path, "gm", root / "cohorts" / "six-voxels", voxel_mm=8)
    planted, atlas = np.load(images.path.parent / "truth.npz")["voxel_maps"], atlas_of(cubes)
    assert atlas is not None and atlas.labels is not None
    series = [s.regional_series() for s in cubes]
    known = series[0].regions
    at = {name: i for i, name in enumerate(atlas.regions)}
    truth = planted[atlas.labels.data[0] > 0].T[:, [at[name] for name in known]]
    x = [z_scored(one.only(known).values) for one in series]
    none = [RNG.permuted(one, axis=0).astype(np.float32) for one in x]  # nothing is left that goes together

    voxels = next(p.changes for p in plis2014.Plis2014.presets if p.name == "voxels")
    training = Training(create_run("plis2014", {}, seed=0, cohort=None, root=root), [StagePlan(n) for n in "abc"])
    system = plis2014.Plis2014(**{**voxels, "n_epochs": 30})
    found = mean_matched(system.learn_machine(np.concatenate(x), training, "a", 0.1).weight.numpy(), truth)
    linear = mean_matched(decomposition.decompose(np.concatenate(x), "pca", 32).maps, truth)
    assert found > 0.7 and found > linear + 0.15, (found, linear)

    short = plis2014.Plis2014(**{**voxels, "n_epochs": 4})
    parts = [np.concatenate(none[:3]), np.concatenate(none[3:])]
    maps = [short.learn_machine(v, training, "bc"[i], 0.03, i).weight.numpy() for i, v in enumerate(parts)]
    assert mean_matched(maps[0], truth) < 0.15
    kept = {"reproducibility": reproducibility(*maps), "chance": np.array(chance(maps[0], maps[1], 0))}
    assert kept["reproducibility"].mean() < 1.2 * kept["chance"]
