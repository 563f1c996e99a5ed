"""The Register page: what it says before and after, what it starts, and that every tab draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from test_pages import faults, open_page

from workbench import workflow
from workbench.runs.job import Job

TABS = ["Compare", "Energy", "Methods", "Figures", "All registrations"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a data root with two coarse brains, one brought onto the other in two ways."""
    folder = tmp_path_factory.mktemp("register")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(folder))
        workflow.make_phantom("brain", "brains", n_subjects=2, spacing_mm=8.0)
        fixed, moving = [s.name for s in workflow.open_cohort("brains")][:2]
        for method in ("affine", "demons"):
            settings = {"linear": "moments", "n_iterations": 5, "n_levels": 1}
            workflow.register(workflow.RegistrationPlan("brains", fixed, moving, method, "T1", settings=settings))
    return folder


@pytest.fixture
def full(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    st.cache_resource.clear()
    st.cache_data.clear()
    monkeypatch.setenv("WORKBENCH_DATA", str(root))
    return root


def show(tab: str = "", **query: str) -> AppTest:
    app = open_page("register", **({"tab": tab} if tab else {}), **query)
    assert not faults(app)
    return app


def test_the_latest_opens_with_its_numbers_and_every_tab(full: Path) -> None:
    app = show()
    assert [t.label for t in app.tabs][-len(TABS) :] == TABS
    told = {m.label: m for m in app.metric}
    row = workflow.list_registrations()[0]
    assert (
        told["Mean Dice"].value == f"{row.dice:.3f}" and f"{row.dice - row.dice_before:+.3f}" in told["Mean Dice"].delta
    )
    assert {"Folds", "Time"} <= set(told)
    assert any("is moving" in c.value for c in app.caption), "the correspondence beside"


@pytest.mark.parametrize("tab", ["Energy", "Methods", "Figures"])
def test_every_tab_draws(full: Path, tab: str) -> None:
    assert show(tab).get("plotly_chart")


@pytest.mark.slow
def test_every_figure_draws(full: Path) -> None:
    app = show("Figures")
    for index in range(1, len(app.selectbox(key="register-figure").options)):
        app.session_state["entered"] = True
        app.selectbox(key="register-figure").select_index(index).run()
        assert not faults(app) and app.get("plotly_chart"), app.selectbox(key="register-figure").value


def test_a_linear_map_alone_has_no_energy_and_says_so(full: Path) -> None:
    affine = next(r.id for r in workflow.list_registrations() if r.plan.method == "affine")
    app = show("Energy", registration=affine)
    assert not any("Change of volume" in m.label for m in app.metric)
    assert next(m for m in app.metric if m.label == "Mean Dice").delta == "", "it gains nothing over itself"
    assert "no energy" in app.get("plotly_chart")[0].proto.spec


def test_the_form_starts_what_was_chosen(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(workflow, "start_registration", lambda plan: asked.append(plan) or Job("1", "running"))
    monkeypatch.setattr(workflow, "read_job", lambda job_id: Job(job_id, "running", 0.3, "Level 2 of 3"))
    app = show()
    app.session_state["entered"] = True
    app.radio(key="register-method").set_value("demons").run()
    app.session_state["entered"] = True
    app.selectbox(key="register-demons-linear").select("rigid").run()
    app.session_state["entered"] = True
    app.button(key="register-go").click().run()
    assert not faults(app)
    plan = asked[0]
    assert (plan.cohort, plan.method, plan.settings) == ("brains", "demons", {"linear": "rigid"})
    assert plan.fixed != plan.moving and plan.modality == "T1"
    assert any(b.label == "Cancel" for b in app.button)


def test_the_energy_of_what_goes_on_is_drawn_and_the_form_is_closed(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demons = next(r.id for r in workflow.list_registrations() if r.plan.method == "demons")
    monkeypatch.setattr(workflow, "start_registration", lambda plan: Job("1", "running", result=demons))
    monkeypatch.setattr(workflow, "read_job", lambda job_id: Job(job_id, "running", 0.3, "Level 2 of 3"))
    app = show()
    assert not app.get("plotly_chart")
    app.session_state["entered"] = True
    app.button(key="register-go").click().run()
    assert not faults(app)
    (drawn,) = app.get("plotly_chart")
    assert "Energy over 5 iterations" in drawn.proto.alt and "level 1 of 1" in drawn.proto.spec
    form = next(e for e in app.expander if e.label == "Register a pair")
    assert not form.proto.expanded
    monkeypatch.setattr(workflow, "read_job", lambda job_id: Job(job_id, "cancelled", 0.0, "It was cancelled."))
    app.session_state["entered"] = True
    app.run()
    assert not faults(app) and not app.get("plotly_chart") and any("cancelled" in i.value for i in app.info)


def test_a_page_that_was_loaded_again_finds_the_registration_that_goes_on(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demons = next(r.id for r in workflow.list_registrations() if r.plan.method == "demons")
    job = Job("1", "running", 0.3, "Level 2 of 3", result=demons)
    monkeypatch.setattr(workflow, "running_jobs", lambda command: [job] if command == "register" else [])
    monkeypatch.setattr(workflow, "read_job", lambda job_id: job)
    app = show()
    assert app.get("plotly_chart") and any(b.label == "Cancel" for b in app.button)
    assert app.button(key="register-go").disabled


def test_a_learnt_method_without_a_run_leads_to_training(full: Path) -> None:
    app = show()
    app.session_state["entered"] = True
    app.radio(key="register-method").set_value("hammer-learnt").run()
    assert not faults(app)
    assert app.button(key="register-go").disabled and app.button(key="register-train")


def test_a_row_is_deleted_for_good(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.app import register_list

    gone: list[str] = []
    monkeypatch.setattr(workflow, "delete_registration", gone.append)
    register_list._delete(["one", "two"])
    assert gone == ["one", "two"]


def test_a_damaged_registration_is_a_sentence(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = workflow.list_registrations()[0].id
    file = full / "registrations" / name / "field.nii.gz"
    whole = file.read_bytes()
    try:
        file.write_bytes(b"nothing")
        app = open_page("register", registration=name)
        assert not app.exception and any("damaged" in e.value for e in app.error)
    finally:
        file.write_bytes(whole)
