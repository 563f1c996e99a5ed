"""The Segment page: what it says before, while and after a subject is segmented; every tab draws."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from scipy.ndimage import gaussian_filter
from streamlit.testing.v1 import AppTest
from test_pages import faults, open_page

from workbench import workflow
from workbench.app import state
from workbench.errors import RunError
from workbench.figures.architecture_parts import ArchitectureParts, Arrow, Maps
from workbench.runs.job import Job
from workbench.runs.status import Status
from workbench.systems.atlas_spaces import ContextStrip
from workbench.systems.label_classes import LabelClasses
from workbench.systems.patch_votes import PatchVotes
from workbench.systems.segmented import Segmented

TISSUES = LabelClasses(("CSF", "GM", "WM"), ((1,), (2,), (3,)))
LESIONS = LabelClasses(("lesion",), ((3,),))
RUNS = {"one": "First", "two": "Second"}
TABS = ["Slices", "Surfaces", "Threshold", "Reference", "Cohort", "Compare runs", "Network"]


class FakeRuns:
    """Two trained runs and what they have segmented; stands for the doors."""

    def __init__(self, meaning: LabelClasses) -> None:
        self.meaning = meaning
        self.done = {(run, f"brain-0{i}") for run in RUNS for i in (1, 2)}
        self.job = Job("1", "finished")
        self.asked: list[Any] = []

    def segmented(self, run: str, cohort: Any, subject: str) -> Segmented | None:
        if (run, subject) not in self.done:
            return None
        found = workflow.open_cohort(cohort)[subject]
        image = found.volume("T1")
        labels = found.label_map(image)
        assert labels is not None
        truth = self.meaning.encode(labels)
        blur = 0.6 if run == "one" else 1.2
        p = np.stack([gaussian_filter((truth == k).astype(np.float32), blur) for k in range(self.meaning.n_classes)])
        p = (p + 1e-6) / (p + 1e-6).sum(0)
        lesions = self.meaning is LESIONS
        return Segmented(image, p.argmax(0).astype(np.int32), p, labels >= 0, self.meaning, truth, 1.0, {}, lesions)

    def scores(self, run: str, cohort: Any) -> dict[str, Any] | None:
        found = {s: self.segmented(run, cohort, s).scores() for r, s in sorted(self.done) if r == run}  # type: ignore[union-attr]
        if not found:
            return None
        return {"subjects": found, "summary": workflow.score_summary(found), "parts": dict.fromkeys(found, "test")}

    def thresholds(self, run: str, cohort: Any, subject: str, name: str) -> list[dict[str, float]]:
        return [{"threshold": t, "dice": 1 - abs(t - 0.4), "sensitivity": 1 - t, "specificity": t, "ppv": t}
                for t in np.linspace(0, 1, 11)]  # fmt: skip

    def start(self, run: str, cohort: str, subjects: list[str] | None) -> Job:
        self.asked.append((run, cohort, subjects))
        return self.job

    def read_job(self, job_id: str) -> Job:
        return self.job

    def run(self, run: str) -> Any:
        if run not in RUNS:
            raise RunError(f"There is no run {run}.")
        info = SimpleNamespace(system="nie2016", preset="cpu", cohort="/x/brains/cohort.csv")
        return SimpleNamespace(id=run, title=RUNS[run], info=info, folder=Path(), result=lambda: {"finished": "1"},
                               status=lambda: Status("finished", fraction=1.0))  # fmt: skip

    def parts(self, run: str) -> ArchitectureParts:
        return ArchitectureParts(
            "small", ((Maps("", 1, (9, 9)), Maps("", 4, (7, 7))),), (Arrow("convolution", (3, 3)),)
        )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("segment")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(folder))
        workflow.make_phantom("brain", "brains", n_subjects=3, spacing_mm=8.0)
    return folder


@pytest.fixture
def fake(root: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> FakeRuns:
    st.cache_resource.clear()
    st.cache_data.clear()
    made = FakeRuns(getattr(request, "param", TISSUES))
    monkeypatch.setenv("WORKBENCH_DATA", str(root))
    stands_for: dict[str, Any] = {
        "open_run": made.run, "list_runs": lambda: [made.run(r) for r in RUNS], "alarms": lambda run: [],
        "run_shows": lambda run, what: what in ("segment", "architecture_parts"), "segmented": made.segmented,
        "segmented_subjects": lambda run, cohort: [s for r, s in sorted(made.done) if r == run],
        "segmentation_scores": made.scores, "threshold_rows": made.thresholds, "start_segmenting": made.start,
        "read_job": made.read_job, "architecture_parts": made.parts,
        "score_against": lambda run, cohort, subject, file: made.segmented(run, cohort, subject).scores(),  # type: ignore[union-attr]
        "compare": lambda runs: SimpleNamespace(settings=pd.DataFrame({r: [1] for r in runs}, index=["x"])),
    }  # fmt: skip
    for name, stand_in in stands_for.items():
        monkeypatch.setattr(workflow, name, stand_in)
    return made


def show(**query: str) -> AppTest:
    app = open_page("segment", **({"cohort": "brains", "run": "one", "subject": "brain-01"} | query))
    assert not faults(app)
    return app


def test_every_tab_draws_and_the_link_opens_it_again(fake: FakeRuns) -> None:
    assert [t.label for t in show().tabs][:7] == TABS
    for tab in TABS[1:]:
        app = show(tab=tab)
        assert app.query_params["tab"] in (tab, [tab])
        drawn = len(app.get("plotly_chart")) + len(app.get("image"))
        assert drawn >= (0 if tab == "Reference" else 1), tab


def test_auto_context_has_a_tab_where_a_run_has_it_and_is_computed_by_a_click(
    fake: FakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Auto-context" not in [t.label for t in show().tabs]
    asked: list[str] = []

    def strip(run: str, cohort: str, subject: str, progress: Any) -> ContextStrip:
        progress(0.5, "Atlas 1 of 2")
        asked.append(subject)
        found = fake.segmented("one", cohort, "brain-01")
        assert found is not None and found.truth is not None
        maps = np.stack([found.probabilities[::-1], found.probabilities])
        return ContextStrip(
            found.image, maps, ("registered labels", "iteration 0"), found.meaning.all_names, None, found.truth
        )  # fmt: skip

    monkeypatch.setattr(state, "run_shows", lambda run, what: what in ("segment", "context_strip"))
    monkeypatch.setattr(workflow, "context_strip", strip)
    app = show(tab="Auto-context", subject="brain-03")  # who is not segmented by this run
    assert not asked and not app.get("plotly_chart")
    app.session_state["entered"] = True
    app.button(key="context-compute").click().run()
    assert not faults(app) and asked == ["brain-03"] and len(app.get("plotly_chart")) == 1
    app.segmented_control(key="context-plane").set_value("axial").run()
    assert not faults(app) and asked == ["brain-03"], "computed once"


def test_a_voxel_shows_who_votes_for_it_where_a_run_votes(fake: FakeRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Votes" not in [t.label for t in show().tabs]
    asked: list[tuple[float, ...]] = []

    def votes(point_mm: np.ndarray) -> PatchVotes:
        asked.append(tuple(np.round(point_mm, 3)))
        n, weights = 30, np.linspace(2, 0, 30) / 30
        labels = np.arange(n) % 2
        names = ("background", *fake.meaning.names)
        return PatchVotes(
            np.zeros(3, int), point_mm, weights, labels, names, tuple(f"a{i % 4}" for i in range(n)),
            np.zeros((n, 3), int), np.zeros(n), np.random.default_rng(0).random((n, 5, 5, 3)), np.zeros((5, 5, 3)),
            np.bincount(labels, weights),
        )  # fmt: skip

    def prepared(run: str, cohort: str, subject: str, progress: Any) -> Any:
        progress(0.5, "Atlas 1 of 2")
        return votes

    monkeypatch.setattr(state, "run_shows", lambda run, what: what in ("segment", "votes"))
    monkeypatch.setattr(workflow, "patch_votes", prepared)
    app = show(tab="Votes")
    assert not asked and not app.get("plotly_chart")
    app.session_state["entered"] = True
    app.button(key="votes-prepare").click().run()
    assert not faults(app) and len(app.get("plotly_chart")) == 2 and not [b for b in app.button if "Bring" in b.label]
    assert any("23 heaviest are drawn" in m.value for m in app.markdown)
    image = workflow.open_cohort("brains")["brain-01"].volume("T1")
    app.query_params["voxel"] = "2,3,4"
    app.session_state["entered"] = True
    app.run()
    assert not faults(app) and asked[-1] == tuple(np.round(image.to_mm(np.array([2, 3, 4])), 3)) != asked[0]


def test_the_table_of_a_subject_has_its_scores_and_the_viewer_its_layers(fake: FakeRuns) -> None:
    app = show()
    table = app.dataframe[0].value
    truth = fake.segmented("one", "brains", "brain-01")
    assert truth is not None
    assert table["Dice"].tolist() == pytest.approx([s["dice"] for s in truth.scores().values()])
    assert table["Structure"].tolist() == ["CSF", "GM", "WM"]


@pytest.mark.parametrize("fake", [LESIONS], indirect=True)
def test_lesions_have_a_tab_of_their_own(fake: FakeRuns) -> None:
    app = show(tab="Lesions")
    assert app.get("plotly_chart") and any("one voxel" in c.value for c in app.caption)


def test_a_subject_that_is_not_segmented_offers_to_and_the_click_starts_it(fake: FakeRuns) -> None:
    app = show(subject="brain-03")
    assert any("not segmented" in i.value for i in app.info)
    fake.job = Job("1", "running", 0.4, "Preparing brain-03")
    app.session_state["entered"] = True
    app.button(key="segment-one").click().run()
    assert fake.asked == [("one", "brains", ["brain-03"])]
    assert not faults(app) and app.button(key="segment-one").disabled
    assert any("Cancel" in b.label for b in app.button)
    fake.job = Job("1", "finished", 1.0)
    fake.done.add(("one", "brain-03"))
    app.session_state["entered"] = True
    app.run()
    assert any("Segmented" in s.value for s in app.success) and app.dataframe[0].value["Dice"].notna().all()


def test_a_page_that_was_loaded_again_finds_the_segmentation_that_goes_on(
    fake: FakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.job = Job("1", "running", 0.4, "Preparing brain-03")
    monkeypatch.setattr(workflow, "running_jobs", lambda command: [fake.job] if command == "segment" else [])
    app = show(subject="brain-03")
    assert not faults(app) and app.button(key="segment-one").disabled
    assert any("Cancel" in b.label for b in app.button)


def test_why_a_segmentation_failed_stays_until_the_next_start(fake: FakeRuns) -> None:
    app = show(subject="brain-03")
    fake.job = Job("1", "failed", 0.0, "Subject brain-03 has no T2 image; it has T1.")
    for _ in range(2):
        app.session_state["entered"] = True
        (app.button(key="segment-one").click() if not fake.asked else app).run()
        assert any("no T2 image" in e.value for e in app.error)
    assert not app.button(key="segment-one").disabled


def test_all_are_segmented_by_one_click(fake: FakeRuns) -> None:
    app = show()
    app.session_state["entered"] = True
    app.button(key="segment-all").click().run()
    assert fake.asked == [("one", "brains", None)]


def test_the_threshold_moves_the_scores(fake: FakeRuns) -> None:
    app = show(tab="Threshold")
    before = {m.label: m.value for m in app.metric}
    app.session_state["entered"] = True
    app.slider(key="segment-threshold").set_value(0.4).run()
    after = {m.label: m.value for m in app.metric}
    assert before["Dice"] == "0.900" and after["Dice"] == "1.000" and before["Volume"] != after["Volume"]


def test_runs_are_compared_on_the_subjects_they_share(fake: FakeRuns) -> None:
    fake.done.discard(("two", "brain-02"))
    app = show(tab="Compare runs")
    assert any("1 subjects are left out" in c.value for c in app.caption)
    fake.done -= {("two", "brain-01")}
    assert any("Two runs with scores" in i.value for i in show(tab="Compare runs").info)


def test_runs_stand_beside_each_other_as_in_figure_7(fake: FakeRuns) -> None:
    app = show(tab="Compare runs")
    app.session_state["segment-figure-7"] = True
    app.session_state["entered"] = True
    app.run()
    assert not faults(app)
    drawn = [c.proto.spec for c in app.get("plotly_chart") if "mesh3d" in c.proto.spec]
    assert len(drawn) == 1 and "First" in drawn[0] and "Second" in drawn[0] and "Dice 0." in drawn[0]
    fake.done.discard(("two", "brain-01"))
    st.cache_resource.clear()
    app = show(tab="Compare runs")
    app.session_state["segment-figure-7"] = True
    app.session_state["entered"] = True
    app.run()
    assert not faults(app) and any("is not segmented by two of these runs" in i.value for i in app.info)


def test_a_path_that_is_no_file_is_a_sentence(fake: FakeRuns, root: Path) -> None:
    app = show(tab="Reference")
    app.session_state["reference-way"] = "A file on this machine"
    app.session_state["entered"] = True
    app.run()
    app.session_state["entered"] = True
    app.text_input(key="reference-path").set_value("/nowhere.nii").run()
    assert [e.value for e in app.error if "no file" in e.value]
    mask = workflow.open_cohort("brains")["brain-01"].label
    app.session_state["entered"] = True
    app.text_input(key="reference-path").set_value(str(mask)).run()
    assert not faults(app) and app.dataframe[0].value["Dice"].notna().all()
