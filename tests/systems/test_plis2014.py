"""Plis et al. 2014: one machine against ICA on regional signals, and what depth adds on maps of subjects."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench import workflow
from workbench.classical.decomposition import decompose
from workbench.errors import CohortError, SettingsError
from workbench.imaging.cohort import Cohort, write_cohort
from workbench.imaging.feature_vectors import read_feature_vector, write_feature_vector
from workbench.imaging.nifti import write_nifti
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.metrics.recovery import mean_matched
from workbench.phantoms.bold import make_bold
from workbench.phantoms.bold_networks import planted_networks
from workbench.phantoms.two_level import make_two_level, planted_two_level
from workbench.runs.run import Run, create_run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.cadx.plis2014 import Plis2014
from workbench.systems.cadx.plis2014_depth import Plis2014Depth
from workbench.systems.component_methods import OWN, n_components
from workbench.systems.depth_classifiers import CLASSIFIERS, layouts, macro_f, predictions
from workbench.systems.regional_cv import linear_machine
from workbench.systems.regional_data import Regional, z_scored
from workbench.systems.split_half import crossed, explained, frames, halves, preferred, reproducibility

RNG = np.random.default_rng(0)
RECIPE: dict[str, Any] = {"centered": False, "hidden_bias": -2.0, "batch_size": 20}


def regional(*lengths: int, n_regions: int = 5) -> Regional:
    series = tuple(RNG.normal(size=(n, n_regions)).astype(np.float32) for n in lengths)
    return Regional(tuple(f"s{i}" for i in range(len(lengths))), series, tuple("abcde"[:n_regions]), 2.0)


def machine_of(x: np.ndarray, root: Path, seed: int, l1: float, n_epochs: int) -> np.ndarray:
    system = Plis2014(n_hidden=32, n_epochs=n_epochs, seed=seed, **RECIPE)
    run = create_run("plis2014", {}, seed=seed, cohort=None, root=root)
    return system.learn_machine(x, Training(run, [StagePlan("all")]), "all", l1).weight.numpy()


def test_halves_divide_no_group_and_leave_nobody_out() -> None:
    groups = list("aabbbcddee")
    parts = halves(regional(*[30] * 10), groups, seed=1)
    sides = {g: {int(h) for h, o in zip(parts.half, groups, strict=True) if o == g} for g in groups}
    assert all(len(s) == 1 for s in sides.values()) and abs(int(parts.half.sum()) - 5) <= 1
    assert len(parts.part(0)) + len(parts.part(1)) == 10


def test_one_group_is_halved_by_subject_and_one_subject_in_time() -> None:
    assert set(halves(regional(30, 30), ["site", "site"], 0).half) == {0, 1}
    alone = regional(41)
    parts = halves(alone, ["site"], 0)
    np.testing.assert_array_equal(np.concatenate(parts.data.series), alone.series[0])
    assert parts.half.tolist() == [0, 1]


def test_maps_reproduce_themselves_in_any_order_and_sign() -> None:
    maps = RNG.normal(size=(6, 40))
    np.testing.assert_allclose(reproducibility(maps, -maps[RNG.permutation(6)]), 1)
    assert reproducibility(maps, RNG.normal(size=(6, 40))).max() < 0.7


def test_the_signal_itself_explains_all_and_its_mean_nothing() -> None:
    data = regional(30, 50)
    np.testing.assert_allclose(explained(data.series, lambda v: v), 1)
    np.testing.assert_allclose(explained(data.series, lambda v: np.broadcast_to(v.mean(0), v.shape)), 0, atol=1e-6)


def test_each_half_is_scored_by_the_other_halfs_model() -> None:
    parts = halves(regional(30, 30, 30, 30), list("abcd"), 0)
    found = crossed(parts, [lambda v: v, np.zeros_like])  # the first half's model is perfect, the second's is not
    assert np.allclose(found[parts.half == 1], 1) and (found[parts.half == 0] <= 0).all()


def test_no_more_volumes_are_drawn_than_wanted_and_each_subject_has_its_share() -> None:
    data = regional(100, 300)
    drawn = frames(data, 40, 0)
    assert drawn.shape == (40, 5) and sum(bool((row == data.series[0]).all(1).any()) for row in drawn) == 10


def test_components_are_no_more_than_the_signals_have_room_for() -> None:
    flat = RNG.normal(size=(50, 3)) @ RNG.normal(size=(3, 9))
    assert n_components([flat, RNG.normal(size=(50, 9))], 64) == 2
    with pytest.raises(CohortError, match="nothing to decompose"):
        n_components([np.ones((9, 3))], 4)


@pytest.fixture(scope="module")
def bold(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Six subjects of three sites, without any class."""
    cohort = make_bold(tmp_path_factory.mktemp("bold") / "c", n_subjects=7, n_volumes=80, n_regions=30, n_sites=3)
    split = dict(zip((s.name for s in cohort), ["train"] * 6 + ["test"], strict=True))
    return write_cohort(
        cohort.path.parent, [replace(s, target=None, group=None, split=split[s.name]) for s in cohort]
    )  # fmt: skip


@pytest.fixture(scope="module")
def learnt(bold: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("runs")))
        changes = {"n_hidden": 8, "n_epochs": 6, "l1_grid": [0.003, 2.0], **RECIPE}
        return workflow.train("plis2014", bold.path, changes)


def system_of(run: Run) -> Any:
    kind = Plis2014 if run.info.system == "plis2014" else Plis2014Depth
    return kind.make(run.info.settings)


def by_hand(run: Run, series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give activations and reconstructions by the equations."""
    w = {n: t.double().numpy() for n, t in run.load_weights().items()}
    h = 1 / (1 + np.exp(-(series @ w["weight"].T + w["hidden_bias"])))
    return h, h @ w["weight"] + w["visible_bias"]


def test_a_penalty_that_kills_every_map_is_not_chosen(learnt: Run) -> None:
    found = system_of(learnt).comparison(learnt).penalties
    assert found.chosen == 0.003 and found.by == "reproducibility"
    assert found.explained[0] > 0 and found.explained[1] < 0.1 * found.explained[0], "2.0 leaves dust"


@pytest.mark.parametrize(
    ("same", "told", "by", "place"),
    [
        ([0.3, 0.4, 0.9], [0.2, 0.1, -0.001], "reproducibility", 1),  # what agrees best explains nothing
        ([0.3, 0.4, 0.9], [0.2, 0.1, 0.019], "reproducibility", 1),  # or next to nothing
        ([0.3, 0.4, 0.9], [0.2, 0.1, 0.021], "reproducibility", 2),
        ([0.3, 0.4, 0.9], [-0.2, -0.1, -0.001], "reproducibility", 2),  # none explains anything
        ([0.3, 0.4, 0.9], [0.2, 0.1, -0.001], "held-out error", 0),
    ],
)
def test_agreement_counts_among_penalties_that_explain_something(
    same: list[float], told: list[float], by: str, place: int
) -> None:
    assert preferred(same, told, by) == place


def test_two_halves_of_noise_share_nothing_but_their_seed(tmp_path: Path) -> None:
    """First weights, order and draws of the chain are each half's own: maps of noise agree as unlearnt ones do."""
    system = Plis2014(n_hidden=8, n_epochs=1, batch_size=20, learning_rate=1e-4)
    run = create_run("plis2014", {}, seed=0, cohort=None, root=tmp_path)
    training = Training(run, [StagePlan("one"), StagePlan("other"), StagePlan("alike")])
    first, second = (RNG.normal(size=(60, 400)).astype(np.float32) for _ in range(2))
    one = system.learn_machine(first, training, "one", 0.0).weight.numpy()
    other = system.learn_machine(second, training, "other", 0.0, 1).weight.numpy()
    alike = system.learn_machine(second, training, "alike", 0.0).weight.numpy()
    assert reproducibility(one, alike).mean() > 0.9, "one start: agreement that nothing was learnt for"
    assert reproducibility(one, other).mean() < 0.15


def test_every_method_is_compared_on_the_same_regions_and_subjects(learnt: Run) -> None:
    view = system_of(learnt).comparison(learnt)
    assert view.methods == ("RBM", "temporal ICA", "spatial ICA", "PCA", "dictionary")
    for name in view.methods:
        assert view.maps[name].shape == (8, 30) and view.courses[name].shape == (80, 8)
        assert view.fnc[name].shape == (8, 8) and len(view.explained[name]) == 6
        np.testing.assert_allclose(view.fnc[name], view.fnc[name].T, atol=1e-6)
    agreement = view.agreement()
    np.testing.assert_allclose(agreement, agreement.T)
    place, r = view.partners(OWN)
    assert place.tolist() == list(range(8)) and np.allclose(r, 1)
    place, r = view.partners("PCA")
    assert sorted(place) == list(range(8)) and np.isclose(np.abs(r).mean(), agreement[3, 0])
    own = np.array([np.corrcoef(view.maps["RBM"][i], view.maps["PCA"][p])[0, 1] for i, p in enumerate(place)])
    np.testing.assert_allclose(r, own, atol=1e-5)


def test_principal_components_explain_most_of_a_linear_kind(learnt: Run) -> None:
    view = system_of(learnt).comparison(learnt)
    assert view.explained["PCA"].mean() >= view.explained["spatial ICA"].mean()
    assert view.explained["PCA"].mean() > view.explained["RBM"].mean() > 0


def test_networks_are_the_weights_and_nobody_is_diagnosed(learnt: Run) -> None:
    system = system_of(learnt)
    view = system.regional_networks(learnt)
    np.testing.assert_array_equal(view.weights, learnt.load_weights()["weight"].numpy())
    assert len(view.regions) == 30 and "diagnosis" in system.cannot_show(learnt)


def test_a_new_subject_is_seen_by_the_machine_of_all(learnt: Run, bold: Cohort) -> None:
    subject, system = bold.subjects[-1], system_of(learnt)
    series = z_scored(subject.regional_series().values).astype(float)
    h, rebuilt = by_hand(learnt, series)
    row = system.predict(subject, learnt)
    np.testing.assert_allclose([row[f"unit {i + 1}"] for i in range(8)], h.mean(0), atol=1e-5)
    share = 1 - ((series - rebuilt) ** 2).sum() / (series**2).sum()
    assert row["explained_variance"] == pytest.approx(share, abs=1e-4)
    scores = system.evaluate(bold, learnt)
    assert scores["scored_by"] == {"other half": 6, "all subjects": 1}
    assert scores["subjects"][subject.name]["explained_variance"] == pytest.approx(share, abs=1e-4)


def test_a_subject_learnt_from_is_scored_by_the_other_half(learnt: Run, bold: Cohort) -> None:
    system, first = system_of(learnt), bold.subjects[0]
    said = system.evaluate(bold.only([first.name]), learnt)["subjects"][first.name]
    assert said["explained_variance_PCA"] == pytest.approx(system.comparison(learnt).explained["PCA"][0])
    assert said["explained_variance"] != pytest.approx(system.predict(first, learnt)["explained_variance"], abs=1e-6)


def test_one_subject_is_enough(bold: Cohort, tmp_path: Path) -> None:
    series = bold.subjects[0].series
    assert series is not None
    shutil.copy(series, tmp_path / "only.csv")
    alone = write_cohort(tmp_path, [Subject("only", series=tmp_path / "only.csv", folder=tmp_path)])
    run = workflow.train("plis2014", alone.path, {"n_hidden": 4, "n_epochs": 2, "choose_l1": "fixed", **RECIPE})
    view = system_of(run).comparison(run)
    assert view.courses["RBM"].shape == (80, 4) and len(view.explained["PCA"]) == 1
    assert workflow.evaluate(run.folder, str(alone.path))["summary"]["explained_variance"][1:] == [None, None]


def test_settings_that_mean_nothing_without_classes_are_not_there() -> None:
    assert not {"target", "permute", "n_folds"} & set(Plis2014.model_fields)
    with pytest.raises(SettingsError, match="different numbers from 0 to 10"):
        Plis2014.make({"l1_grid": [0.1, 0.1]})


def stopped_before(kind: Any, method: str, place: int, part: str, cohort: Cohort, changes: dict[str, Any]) -> Run:
    """Train, stop where a method is called for a part, and go on."""
    usual = getattr(kind, method)

    def interrupted(self: Any, *args: Any) -> Any:
        if args[place] == part:
            args[place - 1].run.request_stop()
        return usual(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, method, interrupted)
        run = workflow.train(kind.__module__.rpartition(".")[2], cohort.path, changes)
    assert run.status().state == "stopped", run.tail()
    run.withdraw_stop()
    return workflow.resume_here(run.folder)


def test_a_stopped_comparison_ends_as_an_undisturbed_one(learnt: Run, bold: Cohort) -> None:
    again = stopped_before(Plis2014, "learn_machine", 2, "penalty 1 half 2", bold, learnt.info.settings)
    for name in learnt.list_arrays():
        for key, values in learnt.load_arrays(name).items():
            np.testing.assert_array_equal(again.load_arrays(name)[key], values, err_msg=f"{name}: {key}")
    assert (again.result() or {})["scores"] == (learnt.result() or {})["scores"]


@pytest.mark.slow
def test_the_machine_finds_event_driven_networks_and_loses_on_laplace_ones(tmp_path: Path) -> None:
    for seed in (0, 1):
        events = planted_networks(1000, seed=seed)
        found = mean_matched(machine_of(events.values, tmp_path, seed, 0.003, 80), events.maps)
        assert found >= 0.95
        assert found > mean_matched(decompose(events.values, "fast_ica", 8, seed).maps, events.maps) + 0.1
    heavy = planted_networks(4000, sources="laplace", noise=None)
    found = mean_matched(machine_of(heavy.values, tmp_path, 0, 0.003, 20), heavy.maps)
    assert found < mean_matched(decompose(heavy.values, "fast_ica", 8).maps, heavy.maps) - 0.1


def test_two_level_classes_are_the_sign_of_a_product_and_alike_in_every_voxel() -> None:
    drawn = planted_two_level(4000, n_voxels=50)
    np.testing.assert_array_equal(drawn.target, drawn.factors[:, 0] * drawn.factors[:, 1] > 0)
    gap = drawn.values[drawn.target == 1].mean(0) - drawn.values[drawn.target == 0].mean(0)
    apart = [drawn.values[drawn.factors[:, 0] > 0].mean(0) - drawn.values[drawn.factors[:, 0] < 0].mean(0)]
    assert np.abs(gap).max() < 0.1 < 0.5 < np.abs(apart).max()


def test_two_level_cohort_holds_what_was_drawn(tmp_path: Path) -> None:
    cohort = make_two_level(tmp_path / "c", n_subjects=45, seed=3, n_voxels=20)
    drawn = planted_two_level(45, seed=3, n_voxels=20)
    np.testing.assert_array_equal(cohort.subjects[7].feature_vector("GM")[1], drawn.values[7])
    assert [s.target for s in cohort] == [("control", "patient")[t] for t in drawn.target]
    assert len({s.group for s in cohort}) == 3
    with pytest.raises(CohortError, match="already holds something"):
        make_two_level(tmp_path / "c")


def test_macro_f_by_hand() -> None:
    target = np.array([0, 0, 1, 1])
    assert macro_f(target, np.array([0, 0, 1, 1])) == 1
    assert macro_f(target, np.zeros(4, int)) == pytest.approx((2 * 2 / 6 + 0) / 2)
    assert macro_f(target, np.array([0, 1, 1, 1])) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_classifiers_tell_what_is_apart_whatever_its_scale() -> None:
    target = np.arange(40) % 2
    x = np.stack([1000 * target + RNG.normal(size=40), RNG.normal(size=40), np.full(40, 7.0)], 1)
    said = predictions(x, target, x[:10], 0)
    assert said.shape == (len(CLASSIFIERS), 10) and (said == target[:10]).all()


def test_wide_features_are_classified_as_in_all_their_axes() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    target = np.arange(30) % 2
    x = RNG.normal(size=(60, 200)) + 0.2 * np.tile(target, 2)[:, None]
    mean, sd = x[:30].mean(0), x[:30].std(0)
    near = KNeighborsClassifier(5).fit((x[:30] - mean) / sd, target).predict((x[30:] - mean) / sd)
    linear = linear_machine((x[:30] - mean) / sd, target).predict((x[30:] - mean) / sd)
    said = predictions(x[:30], target, x[30:], 0)
    np.testing.assert_array_equal(said[2], near)
    np.testing.assert_array_equal(said[0], linear)


def test_layouts_keep_clusters_that_every_depth_has() -> None:
    group = np.arange(40) % 2
    x = RNG.normal(size=(40, 6)) + 20 * group[:, None]
    places, trusted = layouts([x, np.tanh(x / 10)], 0)
    assert places.shape == (2, 40, 2) and trusted.min() > 0.8
    for layout in places:
        near = np.linalg.norm(layout[:, None] - layout, axis=2) + 1e9 * np.eye(40)
        assert (group[near.argmin(1)] == group).mean() > 0.95


SHORT: dict[str, Any] = {"n_epochs_pretraining": 2, "n_epochs": 4, "n_folds": 3}


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")  # on the subject made wild below
def test_what_is_held_out_teaches_nothing(tmp_path: Path) -> None:
    """With as many folds as sites the folds do not depend on what is changed in one subject of the first fold."""
    cohort = make_two_level(tmp_path / "c", n_subjects=40, n_voxels=24)
    split = [replace(s, split="train") for s in cohort]
    cohort = write_cohort(cohort.path.parent, split)
    first = workflow.train("plis2014_depth", cohort.path, {**SHORT, "n_hidden": [10], "n_folds": 2})
    deal = first.load_arrays("deal")
    assert len({(g, f) for g, f in zip(deal["groups"], deal["fold"], strict=True)}) == 2
    at = int(np.flatnonzero(deal["fold"] == 0)[0])
    file = cohort.subjects[at].features["GM"]
    names, values = read_feature_vector(file)
    write_feature_vector(file, names, (50 * values + 3).astype(np.float32))
    second = workflow.train("plis2014_depth", cohort.path, {**SHORT, "n_hidden": [10], "n_folds": 2})
    one, other = (r.load_arrays("fold_1") for r in (first, second))
    for name in one:
        np.testing.assert_array_equal(one[name][1:], other[name][1:], err_msg=name)
    assert any((first.load_arrays("fold_2")[n] != second.load_arrays("fold_2")[n]).any() for n in one)


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Sixteen small maps with a mask of 4³ of their 6 × 5 × 4 voxels, brighter in patients."""
    folder, mask = tmp_path_factory.mktemp("maps"), np.zeros((6, 5, 4), np.float32)
    mask[1:5, 1:5] = 1
    subjects = []
    for i in range(16):
        data = RNG.normal(size=mask.shape) + 2 * (i % 2) * mask + 100
        files = {what: folder / f"{what}-{i}.nii.gz" for what in ("GM", "mask")}
        for what, values in (("GM", data), ("mask", mask)):
            write_nifti(Volume(values[None].astype(np.float32), np.eye(4), what), files[what])
        subjects.append(Subject(f"s{i:02d}", images={"GM": files["GM"]}, mask=files["mask"],
                                target=("control", "patient")[i % 2], split="train", folder=folder))  # fmt: skip
    return write_cohort(folder, subjects)


def test_whole_maps_are_learnt_inside_their_mask(masked: Cohort) -> None:
    run = workflow.train("plis2014_depth", masked.path, {**SHORT, "n_hidden": [10, 8], "n_epochs": 20, "n_folds": 2})
    system = system_of(run)
    assert system.trained_network(run).shape == (64,)
    weights = system.filter_bank(run, 2).weights
    assert weights.shape == (8, 1, 6, 5, 4)
    assert not weights[:, :, [0, 5]].any() and not weights[:, :, :, 0].any() and weights[:, :, 1:5, 1:5].all()
    row = system.predict(masked.subjects[1], run)
    assert row["predicted"] == "patient" and row["p(patient)"] + row["p(control)"] == pytest.approx(1)
    view = system.embedding(run)
    assert view.places.shape == (3, 16, 2) and view.held_out.sum() == 8
    assert system.depth_scores(run).f.shape == (2, 3, 3) and system.depth_scores(run).f[:, 0, 0].min() > 0.8


def test_a_stopped_study_of_depth_ends_as_an_undisturbed_one(masked: Cohort) -> None:
    changes = {**SHORT, "n_hidden": [4], "n_folds": 2}
    whole = workflow.train("plis2014_depth", masked.path, changes)
    again = stopped_before(Plis2014Depth, "_learn", 3, "fold 2", masked, changes)
    for name in ("fold_1", "fold_2", "features"):
        for key, values in whole.load_arrays(name).items():
            np.testing.assert_array_equal(again.load_arrays(name)[key], values, err_msg=f"{name}: {key}")


def test_settings_of_patches_are_not_there() -> None:
    assert not {"patch_size", "sampler", "dimensions", "n_patches", "scaling"} & set(Plis2014Depth.model_fields)
    with pytest.raises(SettingsError, match="every layer needs"):
        Plis2014Depth.make({"n_hidden": [0]})


@pytest.mark.slow
def test_depth_tells_a_class_of_two_factors_and_nothing_of_shuffled_ones(tmp_path: Path) -> None:
    cohort = make_two_level(tmp_path / "c", noise=1.0)
    gains = {}
    for permute in (False, True):
        changes = {"n_epochs_pretraining": 25, "n_epochs": 30, "n_folds": 3, "permute": permute}
        run = workflow.train("plis2014_depth", cohort.path, changes)
        f = system_of(run).depth_scores(run).f.mean(0)  # (C, D)
        gains[permute] = f[:, -1] - f[:, 0]
        if permute:
            assert np.abs(f - 0.5).max() < 0.12
    assert gains[False][:2].min() >= 0.1  # SVM and logistic regression; neighbours tell it from voxels already
    assert gains[True].max() < 0.12
