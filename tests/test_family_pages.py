"""The pages on tables, pictures and patches: every family can be looked at, and what cannot work is a sentence."""

from __future__ import annotations

import os
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from test_pages import faults, open_page

from workbench.errors import WorkbenchError

pytestmark = pytest.mark.slow
SMALL = {"n_epochs": 2, "n_patches": 100}
MACHINE = {"n_epochs": 2, "n_epochs_pretraining": 2, "n_code": 8, "n_hidden": (6, 4)}
FILTER_TABS = ("Learned weights", "Two blocks", "Reconstructions")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make cohorts of tables, pictures and volumes and train a little on each, once; title → run."""
    from workbench import workflow

    root = tmp_path_factory.mktemp("families")
    before = os.environ.get("WORKBENCH_DATA")
    os.environ["WORKBENCH_DATA"] = str(root)
    try:
        workflow.make_phantom("paired", "tables", n_subjects=60)
        workflow.make_phantom("digits", "pictures", n_subjects=120)
        workflow.make_phantom("brain", "brains", n_subjects=3, spacing_mm=4.0)
        two = MACHINE | {"modality": "T1,T2", "n_patches": 200, "patch_size": 5, "spacing_mm": 0.0}
        wanted: list[tuple[str, str, str, dict[str, Any], str]] = [
            ("two tables", "dbm", "tables", MACHINE, "two pathways"),
            ("two images", "dbm", "brains", two, "two pathways"),
            ("labels", "rbm", "pictures", {"n_epochs": 2, "n_hidden": 16}, "labels"),
            ("belief", "dbn", "tables", {"n_epochs": 1, "n_epochs_wake_sleep": 1}, "quick"),
            ("machine", "dbm", "pictures", SMALL, "quick"),
            ("maps", "conv_rbm", "pictures", SMALL, "quick"),
            ("convolutions", "cnn", "pictures", SMALL, "quick"),
            ("layers", "mlp", "tables", SMALL, "quick"),
            ("stack of rows", "sae", "tables", {"n_epochs_pretraining": 2, "n_epochs_fine_tuning": 2}, "tables"),
            ("stack of pictures", "sae", "pictures", {"n_epochs_pretraining": 2, "n_epochs_fine_tuning": 2}, "quick"),
        ]
        made = {}
        for title, name, cohort, changes, preset in wanted:
            run = workflow.train(name, cohort, changes, preset=preset, title=title)
            assert run.status().state == "finished", f"{title}: {run.status().message}"
            made[title] = run.id
    finally:
        os.environ.pop("WORKBENCH_DATA") if before is None else os.environ.update(WORKBENCH_DATA=before)
    return made | {"root": str(root)}


@pytest.fixture(autouse=True)
def _sees_them(trained: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    st.cache_resource.clear()
    st.cache_data.clear()
    monkeypatch.setenv("WORKBENCH_DATA", trained["root"])


@pytest.mark.parametrize("title", ["two tables", "two images", "labels", "belief", "machine", "maps"])
def test_every_energy_model_dreams_step_by_step(title: str, trained: dict[str, str]) -> None:
    app = open_page("generate", run=trained[title])
    assert not faults(app)
    assert app.get("plotly_chart")


@pytest.mark.parametrize("title", ["two tables", "two images"])
def test_one_modality_is_sampled_from_the_other(title: str, trained: dict[str, str]) -> None:
    app = open_page("generate", run=trained[title])
    app.session_state["generate-tab"] = "One modality from the other"
    app.run()
    assert not faults(app)
    assert [m.label for m in app.metric] == ["Correlation with the truth", "Error, share of the mean's",
                                             "Held-out examples"]  # fmt: skip
    assert app.get("plotly_chart")


def test_a_run_with_labels_samples_each_class_and_others_say_how(trained: dict[str, str]) -> None:
    app = open_page("generate", run=trained["labels"])
    app.session_state["generate-tab"] = "Samples of a class"
    app.run()
    assert not faults(app) and app.get("plotly_chart")
    app.selectbox(key="choose_run").select(trained["maps"]).run()
    assert not faults(app) and not app.get("plotly_chart")
    assert any("learnt no labels" in m.value for m in app.markdown)


def test_supervised_networks_are_not_offered_for_dreaming(trained: dict[str, str]) -> None:
    offered = open_page("generate").selectbox(key="choose_run").options
    assert len(offered) == 6 and not any(o.startswith(("layers", "convolutions")) for o in offered)


@pytest.mark.parametrize("title", ["two tables", "two images", "labels", "belief", "machine", "maps", "convolutions",
                                   "layers", "stack of rows", "stack of pictures"])  # fmt: skip
def test_every_tab_of_filters_draws_for_every_family(title: str, trained: dict[str, str]) -> None:
    app = open_page("filters", run=trained[title])
    shown = [tab.label for tab in app.tabs]
    assert set(shown) <= {*FILTER_TABS, "The stack"} and ("The stack" in shown) == (title == "stack of pictures")
    assert ("Two blocks" in shown) == (title in ("two tables", "two images", "machine"))
    for tab in shown:
        app.session_state["filters-tab"] = tab
        app.run()
        assert not faults(app), tab
        assert app.get("plotly_chart"), tab


@pytest.mark.parametrize("cohort", ["tables", "pictures", "brains"])
def test_what_a_cohort_holds_is_drawn(cohort: str) -> None:
    app = open_page("data", cohort=cohort)
    assert not faults(app)
    assert app.get("plotly_chart")


@pytest.mark.parametrize("cohort", ["tables", "pictures", "brains"])
@pytest.mark.parametrize("system", ["mlp", "rbm", "dbn", "dbm", "conv_rbm", "cnn", "fine_tuning", "sae"])
def test_the_form_and_the_preview_of_every_family(system: str, cohort: str) -> None:
    app = open_page("train", system=system, cohort=cohort)
    assert not faults(app)
    app.session_state["train-preview"] = True
    app.run()
    assert not faults(app) and app.get("plotly_chart")


@pytest.mark.parametrize(
    ("system", "preset", "cohort", "words"),
    [
        ("cnn", "quick", "tables", "no neighbors"),
        ("conv_rbm", "quick", "tables", "no neighbors"),
        ("dbm", "two pathways", "pictures", "Pathways need two"),
        ("wu2016", "quick", "tables", "no image"),
        ("sae", "pictures", "tables", "no image"),
    ],
)
def test_what_cannot_be_trained_is_said_before_a_run_is_made(system: str, preset: str, cohort: str, words: str) -> None:
    from workbench import workflow

    before = len(workflow.list_runs())
    with pytest.raises(WorkbenchError, match=words):
        workflow.launch(system, cohort, preset=preset)
    assert len(workflow.list_runs()) == before


@pytest.mark.parametrize("title", ["stack of rows", "stack of pictures"])
def test_the_stack_is_drawn_live_whatever_it_learnt_from(title: str, trained: dict[str, str]) -> None:
    app = open_page("families", run=trained[title])
    assert not faults(app) and any("Figure 2a" in m.value for m in app.markdown)
    assert any("Figure 4" in m.value for m in app.markdown) == (title == "stack of pictures")


def test_an_alarm_is_shown_on_families_and_on_the_card_of_the_run(trained: dict[str, str]) -> None:
    from workbench import workflow
    from workbench.app import state

    run = workflow.open_run(trained["machine"])
    run.log("ALARM: layer h2 is dead; the machine makes no use of it")
    state._alarms.cache_clear()
    try:
        app = open_page("families", run=run.id)
        assert not faults(app) and "Layer h2 is dead; the machine makes no use of it." in [w.value for w in app.warning]
        card = AppTest.from_function(_card, args=(run.id,), default_timeout=60).run()
        assert not faults(card) and any("Layer h2 is dead" in w.value for w in card.warning)
    finally:
        run.log("stage joint: begins with step 0")
        state._alarms.cache_clear()


def _card(run_id: str) -> None:
    from workbench.app.jobs import run_card

    run_card(run_id)


def test_similarity_is_not_offered_to_families_that_have_none() -> None:
    app = open_page("similarity")
    assert not faults(app)
    assert any("Similarity maps need" in m.value for m in app.markdown)


def test_runs_of_different_families_are_compared(trained: dict[str, str]) -> None:
    from workbench import workflow

    found = workflow.compare([trained["layers"], trained["labels"], trained["two tables"]])
    assert found.scores.loc["accuracy"].notna().sum() == 2, "a machine without labels has no accuracy"
