"""Diagnosis from connectivity by a network whose sparsity is steered: what must hold beyond what every system holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workbench import workflow
from workbench.classical.connectivity import EdgeScaling, connectivity_vectors, vectorize
from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.metrics.classification import auc
from workbench.phantoms.bold import make_bold
from workbench.runs.run import Run
from workbench.systems.cadx.kim2016 import LOGISTIC, OWN, Kim2016
from workbench.systems.controlled_base import Candidate
from workbench.systems.regional_base import BASELINE

FEW: dict[str, Any] = {"n_regions": 20, "n_volumes": 60, "n_sites": 1}
TINY: dict[str, Any] = {"hold_out": "subjects", "n_hidden": (6, 4), "n_epochs": 25, "n_epochs_pretraining": 8}


@pytest.fixture(scope="module", autouse=True)
def fewer_shuffles() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.systems.regional_cv.N_SHUFFLES", 100)
        yield


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_bold(tmp_path_factory.mktemp("bold") / "c", n_subjects=30, kind="edges", effect=0.3, spread=0.1, **FEW)


@pytest.fixture(scope="module")
def trained(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("runs")))
        return workflow.train("kim2016", cohort.path, TINY | {"n_epochs": 80}, preset="quick")


def system_of(run: Run) -> Kim2016:
    found = Kim2016.make(run.info.settings)
    assert isinstance(found, Kim2016)
    return found


def test_the_published_settings_are_the_sheets() -> None:
    published = Kim2016()
    assert published.n_hidden == (50, 50, 50) and published.batch_size == 36 and published.n_epochs == 100
    assert published.learning_rate == 5e-5 and published.optimizer == "adam" and published.anneal_after == 30
    assert published.beta_max == (1e-4, 0.1, 0.15) and published.weight_decay == 2e-4
    later = Kim2016.make(Kim2016.preset("later script").changes)
    assert isinstance(later, Kim2016) and len(later.candidates()) == 2**3 and later.measure == "hoyer"


def test_candidates_are_the_combinations_asked_for() -> None:
    made = Kim2016(grid_layers=(1, 2), grid_units=(3, 5), grid_targets=(0.1, 0.4), beta_max=(1.0,)).candidates()
    assert {c.n_hidden for c in made} == {(3,), (5,), (3, 3), (5, 5)} and len(made) == 8
    assert all(len(c.targets) == len(c.n_hidden) and len(set(c.targets)) == 1 for c in made)
    assert Kim2016(control="none").candidates() == [Candidate((50, 50, 50), (0.3, 0.3, 0.3))]


@pytest.mark.parametrize(
    "changes,sentence",
    [
        ({"targets": (1.2,), "grid_targets": ()}, "targets lie in 0 to 1"),
        ({"targets": (0.1, 0.2), "grid_targets": ()}, "one target, or one for each of 3 hidden layers; got 2"),
        ({"beta_max": (0.1, -1.0, 0.1)}, "strengths are never negative"),
        ({"beta_max": (0.1, 0.1)}, "one largest strength, or one for each of 3"),
        ({"n_hidden": (50, 0)}, "1 to 4096 units"),
    ],
)
def test_impossible_settings_are_told_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        Kim2016.make(changes)


def test_every_method_is_scored_with_intervals_and_the_classes_are_found(trained: Run) -> None:
    result = trained.result() or {}
    for method in (OWN, LOGISTIC, BASELINE):
        value, low, high = result["summary"][f"{method}: auc"]
        assert low <= value <= high
    assert result["summary"][f"{OWN}: auc"][0] > 0.7
    found = system_of(trained).diagnosis(trained)
    assert list(found.scores) == [OWN, LOGISTIC, BASELINE] and found.of_what.startswith("log-odds")


def test_scores_follow_from_what_was_kept(trained: Run, cohort: Cohort) -> None:
    """Networks and scaling are read back; the prediction of a subject is that of all-subjects' model."""
    system, learnt = system_of(trained), system_of(trained).learnt(trained)
    names = [str(n) for n in trained.load_arrays("deal")["subjects"]]
    data, _ = system.read(cohort.only(names))
    edges = connectivity_vectors(data.series)
    again = EdgeScaling.learn(edges)
    np.testing.assert_allclose(learnt.scaling.mean, again.mean)
    with torch.no_grad():
        logits = learnt.network(torch.from_numpy(again.apply(edges))).numpy()
    scores = system.scores_of(learnt, data)
    np.testing.assert_allclose(scores[OWN], logits[:, 1] - logits[:, 0], atol=1e-4)
    subject = next(s for s in cohort if s.name == names[3])
    row = system.predict(subject, trained)
    assert isinstance(row, dict)
    assert row[OWN] == pytest.approx(scores[OWN][3], abs=1e-4)
    assert row["predicted"] == ("patient" if scores[OWN][3] > 0 else "control")


def test_networks_of_units_are_products_of_weights(trained: Run) -> None:
    system, found = system_of(trained), system_of(trained).regional_networks(trained)
    state = system.learnt(trained).network.state_dict()
    w = [state[f"hidden.{i}.weight"].numpy() for i in range(2)]
    assert found.matrices is not None and found.matrices.shape == (6 + 4 + 1, 20, 20)
    np.testing.assert_allclose(vectorize(found.matrix(2)), w[0][2], atol=1e-6)
    np.testing.assert_allclose(vectorize(found.matrix(7)), (w[1] @ w[0])[1], atol=1e-5)
    np.testing.assert_allclose(found.weights[2], np.abs(found.matrix(2)).sum(1), atol=1e-6)
    assert found.titles[7] == "layer 2 unit 2" and found.titles[-1] == "patient against control"


def test_traces_lead_to_the_weights_that_were_kept(trained: Run) -> None:
    system = system_of(trained)
    traces = system.control_traces(trained)
    assert [t.layer for t in traces] == ["layer 1, pretraining", "layer 2, pretraining", "layer 1", "layer 2"]
    for trace, layer in zip(traces[2:], system.learnt(trained).network.hidden, strict=True):
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        assert trace.values[-1] == pytest.approx(float((weight != 0).float().mean()), abs=1e-5)
        assert (trace.betas >= 0).all() and len(trace.steps) == 80 and (np.diff(trace.steps) > 0).all()
    assert traces[2].steps[0] > traces[1].steps[-1] > traces[0].steps[-1]


def test_folds_learn_from_their_training_subjects_alone_and_keep_their_choice(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Normalization, choice, network and logistic machine all come from ``learn``, which sees no held-out subject."""
    seen: dict[str, set[str]] = {}
    learn, scale, n_scaled = Kim2016.learn, EdgeScaling.learn, []

    def spied(self: Kim2016, data: Any, target: Any, training: Any, part: str) -> Any:
        seen[part] = set(data.names)
        return learn(self, data, target, training, part)

    def counted(x: np.ndarray) -> EdgeScaling:
        n_scaled.append(len(x))
        return scale(x)

    monkeypatch.setattr(Kim2016, "learn", spied)
    monkeypatch.setattr("workbench.systems.controlled_base.EdgeScaling.learn", counted)
    settings = TINY | {"grid_targets": (0.1, 0.6), "n_inner": 2, "pretraining": "none", "n_epochs": 6}
    run = workflow.train("kim2016", cohort.path, settings, preset="quick")
    assert run.status().state == "finished", run.tail()
    deal = run.load_arrays("deal")
    for fold in (0, 1):
        assert seen[f"fold {fold + 1}"] == {str(n) for n in deal["subjects"][deal["fold"] != fold]}
    assert max(n_scaled) <= len(deal["subjects"]) and min(n_scaled) < min((deal["fold"] != f).sum() for f in (0, 1))
    assert [n for n in run.list_arrays() if n.startswith("choice")] == ["choice-all", "choice-fold-1", "choice-fold-2"]
    kept = run.load_arrays("choice all")
    assert kept["targets"].tolist() == [[0.1, 0.1], [0.6, 0.6]] and ((kept["error"] >= 0) & (kept["error"] <= 1)).all()
    best = np.lexsort((kept["cross_entropy"], kept["error"]))[0]
    np.testing.assert_array_equal(run.load_arrays("targets")["targets"], kept["targets"][best])


def test_without_control_there_are_no_traces(cohort: Cohort) -> None:
    settings = TINY | {"control": "none", "pretraining": "denoising", "n_hidden": (4,), "n_epochs": 6}
    run = workflow.train("kim2016", cohort.path, settings, preset="quick")
    assert run.status().state == "finished", run.tail()
    assert "control_traces" in system_of(run).cannot_show(run) and "sparsity" not in workflow.figure_names(run.folder)


def test_a_stopped_run_ends_as_an_undisturbed_one(cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)
    settings = TINY | {"control": "node", "n_epochs": 6, "n_epochs_pretraining": 2, "n_hidden": (4,), "targets": (0.2,)}
    whole = workflow.train("kim2016", cohort.path, settings, preset="quick")
    learn = Kim2016.learn

    def interrupted(self: Kim2016, data: Any, target: Any, training: Any, part: str) -> Any:
        if part == "fold 2":
            training.run.request_stop()
        return learn(self, data, target, training, part)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kim2016, "learn", interrupted)
        run = workflow.train("kim2016", cohort.path, settings, preset="quick")
    assert run.status().state == "stopped"
    run.withdraw_stop()
    run = workflow.resume_here(run.folder)
    first, second = whole.load_weights(), run.load_weights()
    assert all(torch.equal(first[k], second[k]) for k in first)
    for name, values in whole.load_arrays("scores").items():
        np.testing.assert_array_equal(values, run.load_arrays("scores")[name])


@pytest.mark.slow
@pytest.mark.parametrize("shuffled", [False, True])
def test_without_a_difference_scores_come_out_at_chance(shuffled: bool, tmp_path: Path) -> None:
    """Classes that mean nothing, or shuffled ones: areas over seeds scatter about one half, nested choice and all."""
    areas: dict[str, list[float]] = {}
    intervals = []
    for seed in range(6):
        kind = {"kind": "edges", "effect": 0.3, "spread": 0.1} if shuffled else {"kind": "null"}
        found = make_bold(tmp_path / str(seed), n_subjects=32, seed=seed, **FEW, **kind)
        settings = TINY | {"permute": shuffled, "seed": seed, "grid_targets": (0.1, 0.6), "pretraining": "none",
                           "n_epochs": 15, "n_inner": 2}  # fmt: skip
        run = workflow.train("kim2016", found.path, settings, preset="quick")
        intervals.append((run.result() or {})["summary"][f"{OWN}: auc"][1:])
        for name, values in run.load_arrays("scores").items():
            areas.setdefault(name, []).append(auc(run.load_arrays("deal")["target"], values))
    for name, found_areas in areas.items():
        half = 2.571 * float(np.std(found_areas, ddof=1)) / 6**0.5  # Student's t for 6 seeds
        assert abs(float(np.mean(found_areas)) - 0.5) <= max(half, 0.05), (name, found_areas)
    assert sum(low <= 0.5 <= high for low, high in intervals) >= 5
