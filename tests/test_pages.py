"""Every page runs, empty and full, and never shows a fault of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(p.stem for p in (ROOT / "pages").glob("*.py"))
TIMEOUT_S = 120


@pytest.fixture(autouse=True)
def _own_caches() -> None:
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture(scope="session")
def trained_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a data root with three small brains and a trained network, once."""
    from workbench import workflow

    root = tmp_path_factory.mktemp("trained")
    before = os.environ.get("WORKBENCH_DATA")
    os.environ["WORKBENCH_DATA"] = str(root)
    try:
        workflow.make_phantom("brain", "brains", n_subjects=3, spacing_mm=4.0)
        changes = {"n_patches": 512, "n_epochs_pretraining": 1, "n_epochs_fine_tuning": 1}
        for title in ("First", ""):
            workflow.train("sae", "brains", changes, preset="quick", title=title)
    finally:
        os.environ.pop("WORKBENCH_DATA") if before is None else os.environ.update(WORKBENCH_DATA=before)
    return root


@pytest.fixture
def full(trained_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the app see the trained data root."""
    monkeypatch.setenv("WORKBENCH_DATA", str(trained_root))
    return trained_root


def open_page(page: str, **query: str) -> AppTest:
    """Run one page of the app."""
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=TIMEOUT_S)
    app.run()
    for name, value in query.items():
        app.query_params[name] = value
    if page != "home":
        app.switch_page(f"pages/{page}.py").run()
    return app


def faults(app: AppTest) -> list[str]:
    """Give what went wrong on a page."""
    return [e.value for e in app.exception] + [e.value for e in app.error]


@pytest.mark.parametrize("page", PAGES)
def test_empty_page_says_what_to_do_next(page: str) -> None:
    app = open_page(page)
    assert not faults(app)
    assert app.title
    assert app.button, "an empty page offers a next step"
    assert sum("research use only" in c.value.lower() for c in app.caption) == 2, "in the side bar and under the page"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_full_page_shows_no_fault(page: str, full: Path) -> None:
    app = open_page(page)
    assert not faults(app)
    assert sum("research use only" in c.value.lower() for c in app.caption) == 2, "in the side bar and under the page"


@pytest.mark.slow
@pytest.mark.parametrize("tab", ["The stack", "Reconstructions"])
def test_every_tab_of_filters_draws(tab: str, full: Path) -> None:
    app = open_page("filters")
    app.session_state["filters-tab"] = tab
    app.run()
    assert not faults(app)
    assert app.get("plotly_chart")


@pytest.mark.slow
def test_the_second_layer_is_drawn_by_back_projection(full: Path) -> None:
    app = open_page("filters")
    app.selectbox(key="choose_layer").select("2").run()
    assert not faults(app)
    assert any("linear product" in c.value for c in app.caption)


@pytest.mark.slow
@pytest.mark.parametrize("tab", ["Split", "Bring images"])
def test_every_tab_of_data_works(tab: str, full: Path) -> None:
    app = open_page("data")
    app.session_state["data-tab"] = tab
    app.run()
    assert not faults(app)


@pytest.mark.slow
def test_the_similarity_page_measures_all_four_kinds(full: Path) -> None:
    app = open_page("similarity")
    assert not faults(app)
    table = app.dataframe[0].value
    assert len(table) == 4 and {"Rank of the truth", "Distance (mm)"} <= set(table.columns)


@pytest.mark.slow
def test_a_wrong_setting_is_a_sentence_and_nothing_can_be_started(full: Path) -> None:
    app = open_page("train", system="sae")
    app.text_input(key="set-sae-cpu-learning_rate").input("fast").run()
    assert "Learning rate must be a number" in app.error[0].value
    assert next(b for b in app.button if b.label == "Start training").disabled


@pytest.mark.slow
def test_a_changed_setting_is_listed_beside_the_presets(full: Path) -> None:
    app = open_page("train", system="sae")
    app.number_input(key="set-sae-cpu-n_patches").set_value(640).run()
    assert not faults(app)
    changed = app.dataframe[0].value
    assert changed["Setting"].tolist() == ["Patches per epoch"] and changed["Here"].tolist() == ["640"]


def test_a_page_is_short() -> None:
    for page in (ROOT / "pages").glob("*.py"):
        assert len(page.read_text().splitlines()) <= 80, page.name


def test_a_damaged_cohort_is_named_with_its_fix(data_root: Path) -> None:
    folder = data_root / "cohorts" / "broken"
    folder.mkdir(parents=True)
    (folder / "cohort.csv").write_text("name\nx\n")
    app = open_page("data")
    assert not faults(app)
    assert any("must have a column named subject" in w.value for w in app.warning)
