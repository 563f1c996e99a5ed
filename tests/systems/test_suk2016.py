"""Suk 2016: the coder, its scale, the models of the classes, and the control that must come out at chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench import workflow
from workbench.classical.hmm import decode, log_likelihood
from workbench.errors import CohortError, RunError
from workbench.imaging.cohort import Cohort
from workbench.imaging.regional_series import read_regional_series, write_regional_series
from workbench.metrics.recovery import match_states
from workbench.runs.run import Run
from workbench.systems.cadx.suk2016 import LINEAR, OWN, Suk2016
from workbench.systems.coded_states import Whitening
from workbench.systems.regional_base import BASELINE
from workbench.systems.regional_data import RegionScale, z_scored

SMALL: dict[str, Any] = {"n_frames": 1000, "n_epochs": 6, "n_epochs_pretraining": 2, "n_restarts": 1}


def test_whitened_codes_have_the_identity_as_covariance_and_come_back() -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3)) + 4
    whitening = Whitening.learn(codes)
    white = whitening.apply(codes)
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(3), atol=1e-9)
    np.testing.assert_allclose(whitening.undo(white), codes)


def test_a_collapsed_code_is_refused() -> None:
    codes = np.random.default_rng(0).normal(size=(100, 1)) * np.array([1.0, 2.0])
    with pytest.raises(RunError, match="collapsed"):
        Whitening.learn(codes)


def test_the_training_scale_is_that_of_all_their_volumes() -> None:
    rng = np.random.default_rng(0)
    series = [rng.normal(i, 1 + i, (40 + i, 5)).astype(np.float32) for i in range(3)]
    scale, stacked = RegionScale.learn(series, "training"), np.concatenate(series)
    np.testing.assert_allclose(scale.mean, stacked.mean(0), rtol=1e-5)
    np.testing.assert_allclose(scale.sd, stacked.std(0), rtol=1e-5)
    alone = RegionScale.learn(series, "subject")
    np.testing.assert_array_equal(alone.apply(series[0]), series[0])


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return workflow.make_phantom("bold-states", tmp_path_factory.mktemp("suk") / "states", n_subjects=16)


@pytest.fixture(scope="module")
def trained(phantom: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("data")))
        return workflow.train("suk2016", phantom.path, preset="quick")


def test_scores_of_all_subjects_and_methods_are_held_out_and_kept(trained: Run) -> None:
    found = workflow.diagnosis(trained.folder)
    assert list(found.scores) == [OWN, LINEAR, BASELINE]
    assert all(np.isfinite(v).all() for v in found.scores.values()) and len(set(found.fold)) == 2
    summary = (trained.result() or {})["summary"]
    assert summary[f"{OWN}: auc"][0] > 0.8, "persistence alone tells the classes"


def test_paths_and_patterns_belong_to_the_models_of_the_classes(trained: Run, phantom: Cohort) -> None:
    views = workflow.states(trained.folder)
    assert [v.model for v in views] == ["model of control", "model of patient"]
    stay = [np.diag(v.transitions).mean() for v in views]
    assert stay[0] > stay[1], "controls keep their state longer"
    truth = [np.load(phantom.path.parent / s / "truth.npz")["path"] for s in views[0].subjects]
    accuracy = [
        match_states(p, t).accuracy
        for p, t, c in zip(views[0].paths, truth, views[0].classes, strict=True)
        if c == "control"
    ]
    assert np.mean(accuracy) > 0.6  # one third is chance; of subjects that the model was learnt from
    assert views[0].patterns.shape == (3, len(workflow.regional_networks(trained.folder).regions))


def test_a_ratio_is_the_difference_of_the_models_a_volume(trained: Run, phantom: Cohort) -> None:
    system = Suk2016.make(trained.info.settings)
    learnt, subject = system.learnt(trained), phantom[workflow.diagnosis(trained.folder).subjects[3]]
    codes = learnt.codes(z_scored(subject.regional_series().values))
    by_hand = (log_likelihood(learnt.models[1], codes) - log_likelihood(learnt.models[0], codes)) / len(codes)
    row = system.predict(subject, trained)
    assert isinstance(row, dict) and row[OWN] == pytest.approx(by_hand)
    assert row["predicted"] == ("patient" if by_hand > 0 else "control")
    view = workflow.states(trained.folder)[0]
    place = view.subjects.index(subject.name)
    assert (decode(learnt.models[0], codes) == view.paths[place]).mean() > 0.99


def test_evaluation_uses_the_fold_that_held_a_subject_out_and_the_last_model_for_new_ones(
    trained: Run, phantom: Cohort, tmp_path: Path
) -> None:
    known = workflow.evaluate(trained.folder, phantom.path)
    kept = workflow.diagnosis(trained.folder)
    n = len(kept.subjects)
    assert n == 14, "two of 16 are the split's test subjects"
    assert known["scored_by"] == {"held-out fold": n, "model of all": 16 - n}
    name = kept.subjects[5]
    assert known["subjects"][name][OWN] == pytest.approx(kept.scores[OWN][5])
    new = workflow.make_phantom("bold-states", tmp_path / "new", n_subjects=4, seed=5)
    renamed = Cohort(new.path, tuple(s.__class__(**{**s.__dict__, "name": f"new-{s.name}"}) for s in new))
    found = Suk2016.make(trained.info.settings).evaluate(renamed, trained)
    assert found["scored_by"] == {"held-out fold": 0, "model of all": 4}


def test_other_regions_are_named(trained: Run, phantom: Cohort, tmp_path: Path) -> None:
    subject = phantom.subjects[0]
    series = subject.regional_series()
    write_regional_series(tmp_path / "few.csv", series.only(series.regions[:-1]))
    other = subject.__class__(**{**subject.__dict__, "series": tmp_path / "few.csv"})
    with pytest.raises(CohortError, match="regions"):
        Suk2016.make(trained.info.settings).predict(other, trained)
    assert read_regional_series(tmp_path / "few.csv").n_regions == len(series.regions) - 1


def test_a_stopped_cross_validation_goes_on_with_the_next_fold(
    phantom: Cohort, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = SMALL | {"n_hidden": (8, 2), "n_states": 2, "n_folds": 2}
    whole = workflow.train("suk2016", phantom.path, changes)
    original, calls = Suk2016.scores_of, []

    def once(self: Suk2016, learnt: Any, data: Any) -> Any:
        calls.append(len(data))
        if len(calls) == 1:
            workflow.list_runs()[0].request_stop()
        return original(self, learnt, data)

    monkeypatch.setattr(Suk2016, "scores_of", once)
    stopped = workflow.train("suk2016", phantom.path, changes)
    assert stopped.status().state == "stopped" and len(calls) == 1
    resumed = workflow.resume_here(stopped.folder)
    assert resumed.status().state == "finished" and len(calls) == 2, "the first fold was not learnt again"
    for one, other in zip(whole.load_arrays("scores").values(), resumed.load_arrays("scores").values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_classes_one_model_of_everybody_shows_states_and_no_diagnosis(phantom: Cohort, data_root: Path) -> None:
    bare = Cohort(phantom.path, tuple(s.__class__(**{**s.__dict__, "target": None}) for s in phantom))
    with pytest.raises(CohortError, match="no target"):
        Suk2016.make({}).check(bare)
    changes = SMALL | {"n_hidden": (8, 2), "n_states": 3, "purpose": "dynamics"}
    Suk2016.make(changes).check(bare)
    run = workflow.train("suk2016", phantom.path, changes)
    assert run.status().state == "finished" and not workflow.run_shows(run.folder, "diagnosis")
    (view,) = workflow.states(run.folder)
    assert view.model == "model of all subjects" and len(view.transitions) == 3
    row = Suk2016.make(run.info.settings).predict(phantom.subjects[0], run)
    assert isinstance(row, dict)
    assert sum(float(v) for k, v in row.items() if k.startswith("share")) == pytest.approx(1)
    assert "roc" not in workflow.figure_names(run.folder) and "states" in workflow.figure_names(run.folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_classes_that_differ_in_nothing_come_out_at_chance(tmp_path: Path, data_root: Path) -> None:
    """Over five null cohorts the mean area lies within three standard errors of one half, whatever the method."""
    areas: dict[str, list[float]] = {}
    for seed in range(5):
        null = workflow.make_phantom("bold-null", tmp_path / str(seed), n_subjects=20, seed=seed)
        changes = SMALL | {"n_hidden": (8, 2), "n_states": 2, "hold_out": "subjects", "seed": seed, "n_folds": 3}
        run = workflow.train("suk2016", null.path, changes)
        for name, values in (run.result() or {})["summary"].items():
            if name.endswith(": auc"):
                areas.setdefault(name, []).append(values[0])
    for name, found in areas.items():
        error = np.std(found, ddof=1) / np.sqrt(len(found))
        assert abs(np.mean(found) - 0.5) < 3 * error + 0.05, (name, found)
