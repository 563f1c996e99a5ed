"""The Networks page, and the regions of the Data page: every tab draws for every system, and links open."""

from __future__ import annotations

import os
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from test_pages import click, faults, open_page

from workbench.errors import WorkbenchError
from workbench.phantoms.bold import make_bold

TABS = {
    "suk2016": ["Networks", "States", "Diagnosis"],
    "kim2016": ["Networks", "Diagnosis", "Sparsity"],
    "plis2014": ["Networks", "Methods"],
}
COHORT = {"suk2016": "states", "kim2016": "edges", "plis2014": "states"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make small phantoms and train every system of this page that is here, once; system → run."""
    from workbench import workflow

    root = tmp_path_factory.mktemp("networks")
    before = os.environ.get("WORKBENCH_DATA")
    os.environ["WORKBENCH_DATA"] = str(root)
    try:
        make_bold(root / "cohorts" / "states", kind="states", n_subjects=24, n_volumes=130, n_sites=3)
        workflow.make_phantom("bold-edges", "edges", n_subjects=24)
        workflow.make_phantom("bold-images", "images", n_subjects=4)
        known = {card.name for card in workflow.list_systems()}
        made = {}
        for name in [n for n in TABS if n in known]:
            run = workflow.train(name, COHORT[name], preset="quick", title=name)
            assert run.status().state == "finished", f"{name}: {run.status().message}"
            made[name] = run.id
    finally:
        os.environ.pop("WORKBENCH_DATA") if before is None else os.environ.update(WORKBENCH_DATA=before)
    return made | {"root": str(root)}


@pytest.fixture
def full(trained: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    st.cache_resource.clear()
    st.cache_data.clear()
    monkeypatch.setenv("WORKBENCH_DATA", trained["root"])
    return trained


def show(run: str, **query: str) -> AppTest:
    """Open the Networks page at a run."""
    app = open_page("networks", run=run, **query)
    assert not faults(app)
    return app


def test_every_start_trains_a_system_that_is_here_on_a_phantom_that_is_here() -> None:
    from workbench import workflow
    from workbench.app.regional_start import offered
    from workbench.app.starter import STARTS

    assert "regions-suk2016" in offered()
    for start in (STARTS[name] for name in offered()):
        assert start.kind in workflow.PHANTOM_KINDS
        assert start.preset in [p.name for p in workflow.system_presets(start.system)]
        assert workflow.shows(start.system, "regional_networks")


@pytest.mark.slow
@pytest.mark.parametrize("system", TABS)
def test_every_tab_of_every_system_draws(system: str, full: dict[str, str]) -> None:
    if system not in full:
        pytest.skip(f"there is no {system}")
    assert [tab.label for tab in show(full[system]).tabs] == TABS[system]
    for tab in TABS[system]:
        app = show(full[system], tab=tab)
        assert app.get("plotly_chart"), tab
        assert app.query_params["tab"] in (tab, [tab]), "the link opens the tab again"


@pytest.mark.slow
def test_a_state_is_highlighted_everywhere_from_the_link(full: dict[str, str]) -> None:
    app = show(full["suk2016"], tab="States", state="2", model="model of patient")
    assert app.selectbox(key="choose_model").value == "model of patient"
    assert any("of state 2" in m.value for m in app.markdown) and any("out of state 2" in m.value for m in app.markdown)
    assert any("learnt from all subjects" in c.value for c in app.caption)
    assert not faults(app.selectbox(key="choose_model").select("model of control").run())


@pytest.mark.slow
@pytest.mark.parametrize("state", ["0", "99", "x"])
def test_a_link_to_a_state_that_is_not_there_highlights_none(state: str, full: dict[str, str]) -> None:
    app = show(full["suk2016"], tab="States", state=state)
    assert any("of every state" in m.value for m in app.markdown)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "drawn"), [("unit", "3d"), ("mean", "flat"), ("subject", "matrix")])
def test_each_network_is_drawn_as_each_figure(kind: str, drawn: str, full: dict[str, str]) -> None:
    app = show(full["suk2016"], of=kind)
    app.session_state["network-drawn"] = drawn
    before = len(app.get("plotly_chart"))
    app.run()
    assert not faults(app) and len(app.get("plotly_chart")) == before + 1


@pytest.mark.slow
def test_scores_are_told_with_their_interval_and_shuffled_within_sites(full: dict[str, str]) -> None:
    app = show(full["suk2016"], tab="Diagnosis")
    assert "linear machine on connectivity" in app.dataframe[0].value["Method"].tolist()
    assert any("95 % interval" in m.value for m in app.markdown)
    app.toggle(key="diagnosis-within").set_value(True).run()
    assert not faults(app) and any("within sites" in m.value for m in app.markdown)


@pytest.mark.slow
def test_files_of_a_network_hold_what_the_threshold_keeps(full: dict[str, str]) -> None:
    import numpy as np

    from workbench import workflow
    from workbench.app import networks_view, regional_reads
    from workbench.app.reference import of_cohort

    found = workflow.regional_networks(full["suk2016"])
    matrix = networks_view.relative(found.matrix(0))
    files: dict[str, Any] = networks_view._files(
        full["suk2016"], found, of_cohort(found), (matrix, "unit 1", 0), 0.1, None
    )
    assert sorted(files) == [f"unit-1-{n}" for n in ("edges.csv", "matrix.csv", "network.graphml", "regions.csv")]
    edges = files["unit-1-edges.csv"]().decode().splitlines()
    n = len(found.regions)
    assert len(edges) == 1 + round(0.1 * n * (n - 1) / 2) and b"graphml" in files["unit-1-network.graphml"]()
    assert not regional_reads.has_atlas(full["suk2016"]), "tables have no map"
    subject = regional_reads.subject_matrix(full["suk2016"], "subject-0001", found.regions)
    assert np.allclose(subject, subject.T) and not subject.diagonal().any()


@pytest.mark.slow
def test_images_are_sent_to_the_regions_and_their_form_starts_a_job(
    full: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench import workflow

    asked: list[tuple[Any, dict[str, Any]]] = []

    def note(*given: Any, **named: Any) -> Any:
        asked.append((given, named))
        raise WorkbenchError("enough")

    monkeypatch.setattr(workflow, "start_extraction", note)
    app = open_page("data", cohort="images")
    assert not faults(app) and any("4 of 4 series are 4-D images" in i.value for i in app.info)
    app.session_state["data-tab"] = "Regions"
    app.run()
    assert not faults(app)
    app.number_input(key="regions-tr").set_value(1.5)
    app.number_input(key="regions-first").set_value(3)
    app.selectbox(key="regions-atlas").select("power").run()
    click(app, "regions-go")
    assert [e.value for e in app.error] == ["enough"]
    (cohort, atlas, name), more = asked[0]
    assert (cohort, atlas, name, more["tr_s"], more["cleaning"]["drop_first"]) == (
        "images", "power", "images-regions", 1.5, 3,
    )  # fmt: skip
    assert more["cleaning"]["regressors"] == "none", "nobody has confounds"
    app.selectbox(key="regions-atlas").select("own").run()
    click(app, "regions-go")
    image, names = asked[1][0][1], asked[1][1]["names"]
    assert not image.exists(), "an atlas whose extraction does not start is not kept"
    assert names is not None and names.name == "names.csv"


@pytest.mark.slow
def test_voxels_are_asked_for_with_their_mask(full: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench import workflow

    asked: list[tuple[Any, dict[str, Any]]] = []

    def note(*given: Any, **named: Any) -> Any:
        asked.append((given, named))
        raise WorkbenchError("enough")

    monkeypatch.setattr(workflow, "start_extraction", note)
    app = open_page("data", cohort="images")
    app.session_state["data-tab"] = "Regions"
    app.session_state["regions-kind"] = "voxels"
    app.run()
    assert not faults(app) and any("voxels in MNI space" in c.value for c in app.caption)
    app.number_input(key="voxels-mm").set_value(12.0)
    app.number_input(key="regions-fwhm").set_value(8.0)
    app.selectbox(key="voxels-mask").select("epi").run()
    click(app, "regions-go")
    assert [e.value for e in app.error] == ["enough"]
    (cohort, mask, name), more = asked[0]
    assert (cohort, mask, name) == ("images", "epi", "images-voxels")
    assert more["voxel_mm"] == 12 and more["cleaning"]["smoothing_fwhm_mm"] == 8 and more["reference"] is None


@pytest.mark.slow
def test_a_run_on_voxels_shows_maps_and_says_why_there_is_no_matrix(full: dict[str, str]) -> None:
    from workbench import workflow

    cohort = workflow.extract_regions("images", "gm", "voxels", voxel_mm=12)
    run = workflow.train("plis2014", cohort.name, {"n_epochs": 2, "n_hidden": 6}, preset="quick")
    assert run.status().state == "finished", run.status().message
    app = show(run.id)
    assert any("voxels of 12 mm" in m.value for m in app.markdown) and app.get("plotly_chart")
    assert any("no matrix and no connectome" in i.value for i in app.info)
    app.selectbox(key=f"reference-{run.id}-kind").select("seitzman").run()
    assert not faults(app) and any("Seitzman" in s.value for s in app.success)
    assert any("lie in one of" in c.value for c in app.caption)
    app = show(run.id, tab="Methods")
    assert "CanICA" in app.dataframe[0].value["Method"].tolist()


@pytest.mark.slow
def test_tables_are_described_and_need_no_regions(full: dict[str, str]) -> None:
    app = open_page("data", cohort="states")
    assert not faults(app)
    assert [m.value for m in app.metric if m.label == "Regions"] == ["116"]
    assert "Regions" not in [tab.label for tab in app.tabs]


@pytest.mark.slow
def test_a_reference_of_the_user_names_the_units_on_every_tab_until_it_is_forgotten(full: dict[str, str]) -> None:
    from workbench import workflow
    from workbench.app.reference import read_reference

    run = full["suk2016"]
    found = workflow.regional_networks(run)
    table = "region,network\n" + "\n".join(f"{r},{'odd' if i % 2 else 'even'}" for i, r in enumerate(found.regions))
    app = show(run)
    app.session_state[f"reference-{run}"] = read_reference(table.encode(), "mine.csv", found)
    app.run()
    assert not faults(app) and any("mine.csv" in c.value for c in app.caption)
    assert all(any(name in o for name in ("odd", "even")) for o in app.selectbox(key="choose_unit").options)
    click(app, f"forget-{run}").run()
    assert not faults(app) and not any("mine.csv" in c.value for c in app.caption)


@pytest.mark.slow
@pytest.mark.parametrize("drawn", ["3d", "flat", "matrix"])
def test_a_threshold_that_keeps_nothing_draws_and_saves_nothing(drawn: str, full: dict[str, str]) -> None:
    from workbench import workflow

    app = show(full["suk2016"], of="mean")
    app.session_state["network-by"], app.session_state["network-drawn"] = "Least |value|", drawn
    app.run()
    app.number_input(key="network-value").set_value(1.0).run()
    assert not faults(app)
    found = workflow.regional_networks(full["suk2016"])
    files = workflow.graph_exports(
        found.connectivity, found.regions, found.coordinates_mm, found.networks, value=1.0
    )  # fmt: skip
    assert files["edges.csv"].splitlines() == ["region,region_2,weight"]


@pytest.mark.slow
@pytest.mark.parametrize("system", TABS)
def test_the_train_page_shows_signals_where_there_are_no_patches(system: str, full: dict[str, str]) -> None:
    app = open_page("train", system=system, cohort="states")
    assert not faults(app) and "train-preview" not in [t.key for t in app.toggle]
    assert any("regional time series" in c.value for c in app.caption)
    app.toggle(key="train-signals").set_value(True).run()
    assert not faults(app) and app.get("plotly_chart")
    app = open_page("train", system=system, cohort="images")
    app.toggle(key="train-signals").set_value(True).run()
    assert "extract its regions" in app.error[0].value, "images are no signals yet"
