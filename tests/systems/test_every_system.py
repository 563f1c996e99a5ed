"""What every system must hold; the catalogue says which there are, so a new file is tested by being there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench import workflow
from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.runs.run import Run
from workbench.systems import catalog
from workbench.systems.base import System

NAMES = [card.name for card in catalog.cards()]
FORMS = ("integer", "number", "boolean", "choice", "numbers", "text")


SMALL: dict[str, dict[str, Any]] = {
    "brain": {"n_subjects": 3, "spacing_mm": 8.0},
    "digits": {"n_subjects": 150},
    "paired": {"n_subjects": 60},
    "bold": {"n_subjects": 8},
    "bold-edges": {"n_subjects": 16},
    "bold-states": {"n_subjects": 16},
    "head": {"n_subjects": 4, "spacing_mm": 6.0},
    "infant": {"n_subjects": 4, "spacing_mm": 4.0},
    "infant-regions": {"n_subjects": 4, "spacing_mm": 4.0},
    "tumor": {"n_subjects": 4, "spacing_mm": 4.0},
    "lesion": {"n_subjects": 4, "spacing_mm": 4.0},
    "brain7t": {"n_subjects": 3, "spacing_mm": 8.0},
    "prostate": {"n_subjects": 4, "spacing_mm": 2.0},
}


class Phantoms(dict[str, Cohort]):
    """Small cohorts by kind, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, kind: str) -> Cohort:
        self[kind] = workflow.make_phantom(kind, self.folder / kind, **SMALL[kind])
        return self[kind]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Phantoms:
    return Phantoms(tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    return {}


@pytest.fixture
def trained(
    request: pytest.FixtureRequest,
    runs: dict[str, Run],
    phantoms: dict[str, Cohort],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Train a system once with its quick settings, and keep the run for the tests of that system."""
    name = request.param
    if name not in runs:
        monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("runs")))
        runs[name] = workflow.train(name, cohort_of(name, phantoms).path, preset="quick")
    monkeypatch.setenv("WORKBENCH_DATA", str(runs[name].folder.parents[1]))
    return runs[name]


def cohort_of(name: str, phantoms: dict[str, Cohort]) -> Cohort:
    return phantoms[catalog.load(name).phantom]


def system_of(run: Run) -> System:
    return catalog.load(run.info.system).make(run.info.settings)


@pytest.mark.parametrize("name", NAMES)
def test_card_is_complete_and_names_its_place_in_the_review(name: str) -> None:
    card = catalog.card(name)
    assert card.section and card.reference and len(card.departs) > 10 and len(card.reported) > 10


@pytest.mark.parametrize("name", NAMES)
def test_settings_survive_json(name: str) -> None:
    kind = catalog.load(name)
    for preset in kind.presets:
        system = kind.make(preset.changes)
        assert kind.make(json.loads(system.model_dump_json())) == system


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_a_title_help_and_group(name: str) -> None:
    fields = workflow.system_fields(name)
    assert {f.name for f in fields} == set(catalog.load(name).model_fields)
    for field in fields:
        assert field.title != field.name and field.help and field.group != "Settings" and field.kind in FORMS, field


@pytest.mark.parametrize("name", NAMES)
def test_presets_differ_and_quick_is_cheapest(name: str) -> None:
    kind = catalog.load(name)
    flops = {p.name: kind.make(p.changes).cost().flops for p in kind.presets}
    assert kind.presets[0].changes == {} and min(flops, key=flops.__getitem__) == "quick"


@pytest.mark.parametrize("name", NAMES)
def test_unknown_and_impossible_settings_are_named(name: str) -> None:
    with pytest.raises(SettingsError, match="colour is not a setting"):
        catalog.load(name).make({"colour": 1})
    with pytest.raises(SettingsError, match="seed = -1"):
        catalog.load(name).make({"seed": -1})


@pytest.mark.parametrize("trained", NAMES, indirect=True)
def test_fit_finishes_and_leaves_a_whole_run(trained: Run) -> None:
    assert trained.status().state == "finished"
    assert all(np.isfinite(v) for v in (trained.result() or {})["scores"].values())
    assert trained.load_weights() and len(trained.metrics()) and trained.info.split_hash


@pytest.mark.parametrize("trained", NAMES, indirect=True)
def test_prediction_keeps_shape_and_affine_or_is_a_row(trained: Run, phantoms: dict[str, Cohort]) -> None:
    phantom = cohort_of(trained.info.system, phantoms)
    subject = phantom.subjects[1]
    prediction = system_of(trained).predict(subject, trained)
    if isinstance(prediction, dict):
        numbers = [v for v in prediction.values() if not isinstance(v, str)]
        assert numbers and np.isfinite(numbers).all()
        return
    image = subject.volume(phantom.modalities[0])
    assert prediction.shape == image.shape and np.isfinite(prediction.data).all()
    np.testing.assert_allclose(prediction.affine, image.affine)


@pytest.mark.parametrize("trained", NAMES, indirect=True)
def test_scores_are_in_range_and_inside_their_interval(trained: Run, phantoms: dict[str, Cohort]) -> None:
    phantom = cohort_of(trained.info.system, phantoms)
    scores = workflow.evaluate(trained.folder, phantom.path)
    assert set(scores["subjects"]) == {s.name for s in phantom} and scores["summary"]
    for mean, low, high in scores["summary"].values():
        assert low <= mean <= high
    for one in scores["subjects"].values():
        assert one.get("mse", 0) >= 0 and one.get("explained_variance", 1) <= 1
        assert 0 <= one.get("accuracy", 0) <= 1


@pytest.mark.parametrize("trained", NAMES, indirect=True)
def test_every_figure_draws_in_both_themes(trained: Run) -> None:
    names = workflow.figure_names(trained.folder)
    assert "curves" in names
    for name in names:
        for theme in ("light", "dark"):
            drawn = workflow.figure(trained.folder, name, theme)
            assert drawn.layout.meta["alt"], f"{name} has no description"


@pytest.mark.parametrize("trained", NAMES, indirect=True)
def test_same_seed_gives_same_weights(trained: Run, phantoms: dict[str, Cohort]) -> None:
    name = trained.info.system
    again = workflow.train(name, cohort_of(name, phantoms).path, preset="quick")
    first, second = trained.load_weights(), again.load_weights()
    assert all(bool((first[k] == second[k]).all()) for k in first)


@pytest.mark.parametrize("trained", [n for n in NAMES if workflow.shows(n, "prepared")], indirect=True)
def test_similarity_finds_a_point_in_its_own_image(trained: Run, phantoms: dict[str, Cohort]) -> None:
    name, point = "brain-01", (0.0, -20.0, 10.0)
    view = workflow.similarity(trained.folder, str(phantoms["brain"].path), name, name, point)
    for label, found in view.best_mm.items():
        np.testing.assert_allclose(found, view.template_mm, atol=1e-6, err_msg=label)
    for score in view.scores.values():
        assert score is not None and score.distance_mm < 8.0


@pytest.mark.parametrize("trained", NAMES, indirect=True)
def test_run_is_one_folder(trained: Run, tmp_path: Path) -> None:
    moved = tmp_path / trained.id
    trained.folder.rename(moved)
    try:
        shown = workflow.filters if workflow.run_shows(moved, "filter_bank") else workflow.regional_networks
        assert shown(moved).weights.shape[0] > 0
    finally:
        moved.rename(trained.folder)
