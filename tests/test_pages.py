"""Every page runs, empty and full, and never shows a fault of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

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
    """Make a data root with three small brains, sixty digits, networks trained on them and a comparison, once."""
    from workbench import workflow

    root = tmp_path_factory.mktemp("trained")
    before = os.environ.get("WORKBENCH_DATA")
    os.environ["WORKBENCH_DATA"] = str(root)
    try:
        workflow.make_phantom("brain", "brains", n_subjects=3, spacing_mm=4.0)
        workflow.make_phantom("digits", "digits", n_subjects=60)
        short = {"n_epochs": 2}
        for name in ("dbn", "mlp", "cnn"):
            workflow.train(name, "digits", short, preset="quick", title=f"Digits {name}")
        variants: dict[str, dict[str, float]] = {"none": {}, "dropout": {"dropout": 0.5}}
        made = workflow.new_experiment(
            "mlp", "digits", variants, base=short, seeds=2, n_labels=(20, 0), preset="quick", title="Dropout"
        )
        workflow.run_experiment(made.id)
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


def click(app: AppTest, key: str) -> AppTest:
    """Click a button; a page that is opened by itself would run twice, and the second time forget the click."""
    app.session_state["entered"] = True
    return app.button(key=key).click().run()


def run_titled(title: str) -> str:
    """Give the id of a run."""
    from workbench import workflow

    return next(r.id for r in workflow.list_runs() if r.title == title)


@pytest.mark.slow
@pytest.mark.parametrize(("title", "words"), [
    ("Digits dbn", "Figure 2b"), ("Digits mlp", "Figure 1"), ("Digits cnn", "Figure 3"), ("First", "Figure 4"),
])  # fmt: skip
def test_the_network_of_every_family_is_drawn(title: str, words: str, full: Path) -> None:
    app = open_page("families", run=run_titled(title))
    assert not faults(app)
    assert any(words in m.value for m in app.markdown) and app.get("plotly_chart")


@pytest.mark.slow
def test_a_kept_unit_comes_with_the_link(full: Path) -> None:
    from workbench import workflow

    run = run_titled("Digits dbn")
    unit = int(workflow.network_parts(run).layers[1].shown[0])
    app = open_page("families", run=run, unit=f"h1:{unit}")
    assert not faults(app)
    assert any(f"unit {unit}**" in m.value for m in app.markdown)


@pytest.mark.slow
def test_a_likelihood_is_estimated_when_asked_for(full: Path) -> None:
    app = open_page("families", measured=run_titled("Digits dbn"))
    app.session_state["families-tab"] = "Likelihood"
    app.run()
    assert not faults(app) and not app.metric
    app.select_slider(key="families-betas").set_value(500)
    click(app, "families-estimate")
    assert not faults(app)
    assert any(m.label == "bound on log p, held-out" for m in app.metric)
    assert not any("reconstruction" in m.label for m in app.metric)


@pytest.mark.slow
def test_noise_is_drawn_for_the_chosen_runs(full: Path) -> None:
    app = open_page("families")
    app.session_state["families-tab"] = "Noise"
    app.run()
    assert not faults(app) and app.get("plotly_chart")


@pytest.mark.slow
def test_a_comparison_is_shown_and_two_seeds_bear_no_verdict(full: Path) -> None:
    app = open_page("families")
    app.session_state["families-tab"] = "Compare"
    app.run()
    assert not faults(app) and app.get("plotly_chart")
    said = app.dataframe[0].value
    assert list(said["Labels"]) == ["20", "all"] and set(said["Verdict"]) == {"too few seeds to say"}


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True])
def test_a_comparison_is_started_from_the_form(own: bool, full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench import workflow

    asked: list[tuple[Any, ...]] = []

    def note(*given: Any, **named: Any) -> Any:
        asked.append((*given, named))
        return workflow.list_experiments()[0]

    monkeypatch.setattr(workflow, "start_experiment", note)
    app = open_page("families", cohort="digits")
    app.session_state["families-tab"] = "Compare"
    app.session_state["experiment-part"] = "New comparison"
    app.run()
    if own:
        app.selectbox(key="experiment-recipe").select("A comparison of your own").run()
        app.selectbox(key="experiment-system").select("mlp").run()
        app.multiselect(key="experiment-fields-mlp").select("dropout").run()
        app.text_input(key="experiment-values-mlp-dropout").input("0, 0.5").run()
    app.number_input(key="experiment-seeds").set_value(3).run()
    assert not faults(app)
    click(app, "experiment-start")
    assert not faults(app)
    (name, cohort, _, variants, n_seeds, labels, _, more) = asked[0]
    assert (name, cohort, n_seeds, labels) == ("mlp" if own else "fine_tuning", "digits", 3, (100, 0))
    expected = ["dropout=0", "dropout=0.5"] if own else ["from scratch", "greedy pretraining", "joint pretraining"]
    assert list(variants) == expected and more == {"preset": "cpu"}


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
