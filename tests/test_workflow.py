"""The one door: cohorts by name, runs that survive a kill, splits, comparisons."""

from __future__ import annotations

import io
import json
import os
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from workbench import workflow
from workbench.errors import CohortError, RunError, SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.splits import Split
from workbench.runs.run import Run

LONGER = {"n_patches": 16384, "n_epochs_pretraining": 4, "n_epochs_fine_tuning": 2}


@pytest.fixture
def brains(data_root: Path) -> Cohort:
    return workflow.make_phantom("brain", "brains", n_subjects=3, spacing_mm=8.0)


def wait(run: Run, until: Callable[[Run], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not until(run):
        assert time.monotonic() < end, f"{run.status()}\n" + "\n".join(run.tail())
        time.sleep(0.05)


def test_a_bare_name_lies_in_the_data_folder(brains: Cohort, data_root: Path) -> None:
    assert brains.path == data_root / "cohorts" / "brains" / "cohort.csv"
    assert workflow.open_cohort("brains").digest == workflow.open_cohort(brains.path.parent).digest
    assert [c.name for c in workflow.list_cohorts()] == ["brains"]
    with pytest.raises(CohortError, match="exists already"):
        workflow.make_phantom("brain", "brains")


@pytest.mark.parametrize("name", ["", " ", "..", ".hidden", "a:b", "a\0b"])
def test_a_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(CohortError, match="cannot name a cohort"):
        workflow.make_phantom("brain", name)


def test_a_broken_cohort_is_listed_with_its_reason(data_root: Path) -> None:
    folder = data_root / "cohorts" / "broken"
    folder.mkdir(parents=True)
    (folder / "cohort.csv").write_text("name\nx\n")
    assert workflow.list_cohorts() == [] and "subject" in workflow.list_broken_cohorts()["broken"]


def test_deleting_stays_inside_the_data_folder(brains: Cohort, tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="nothing was deleted"):
        workflow.delete_cohort("../runs")
    workflow.delete_cohort("brains")
    assert not brains.path.exists()


def test_a_saved_split_is_the_one_that_training_uses(brains: Cohort) -> None:
    chosen = Split(train=("brain-02", "template"), validation=("brain-01",), test=("brain-03",))
    workflow.save_split(brains, chosen)
    run = workflow.train(
        "wu2016", "brains", {"n_patches": 256, "n_epochs_pretraining": 1, "n_epochs_fine_tuning": 1}, preset="quick"
    )
    assert run.info.split_hash == chosen.hash and run.info.split is not None
    assert sorted(run.info.split["train"]) == ["brain-02", "template"]


def test_uploads_become_a_cohort_and_leave_nothing_else(brains: Cohort, data_root: Path) -> None:
    image = brains.subjects[0].images["T1"].read_bytes()
    cohort = workflow.import_uploads(
        [("../../a_T1.nii.gz", io.BytesIO(image)), ("b_T1.nii.gz", io.BytesIO(image))], "mine"
    )
    assert sorted(s.name for s in cohort) == ["a", "b"]
    assert not list((data_root / "uploads").iterdir()) and not (data_root.parent / "a_T1.nii.gz").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.nii.gz", b"\x1f\x8b\x08\x00broken"),
        ("x.nii", b"no image"),
        ("x.zip", b"PK\x03\x04"),
        ("x.png", b"\x89PNG\r\n"),
        ("x.pt", b"\x80\x02."),
    ],
)
def test_hostile_uploads_get_a_sentence_and_leave_nothing(name: str, content: bytes, data_root: Path) -> None:
    from workbench.errors import WorkbenchError

    with pytest.raises(WorkbenchError) as refused:
        workflow.import_uploads([(name, io.BytesIO(content))], "bad")
    assert len(str(refused.value)) > 30
    assert not (data_root / "cohorts" / "bad").exists() and not list((data_root / "uploads").iterdir())
    assert not list(data_root.glob("cohorts/*partial*"))


def test_ids_never_lead_out_of_the_folder_of_runs() -> None:
    for bad in ("../x", "/etc", "..", "wu2016-20200101-000000-abcd"):
        with pytest.raises(RunError):
            workflow.open_run(bad)


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(SettingsError, match="choose one of published, cpu, quick"):
        workflow.check_settings("wu2016", {}, "fast")


def test_estimate_grows_with_epochs() -> None:
    few = workflow.estimate("wu2016", workflow.check_settings("wu2016", {"n_epochs_pretraining": 1}, "cpu"))
    many = workflow.estimate("wu2016", workflow.check_settings("wu2016", {"n_epochs_pretraining": 50}, "cpu"))
    assert few.minutes < many.minutes and few.parameters == many.parameters > 1331 * 512


def test_compare_shows_only_what_differs(brains: Cohort) -> None:
    small = {"n_patches": 256, "n_epochs_pretraining": 1, "n_epochs_fine_tuning": 1}
    runs = [workflow.train("sae", "brains", {**small, "seed": seed}, preset="quick") for seed in (0, 1)]
    found = workflow.compare([r.id for r in runs])
    assert "seed" in found.settings.index and "patch_size" not in found.settings.index
    assert np.isfinite(found.scores.to_numpy()).all() and set(found.curves) == {r.id for r in runs}
    with pytest.raises(RunError, match="2 to 6"):
        workflow.compare([runs[0].id])
    (runs[0].folder / "lock.json").write_text("{}")  # left by a process that was killed
    names = zipfile.ZipFile(io.BytesIO(workflow.export_run(runs[0].id))).namelist()
    assert f"{runs[0].id}/lock.json" not in names
    assert f"{runs[0].id}/result.json" in names and not any("checkpoints" in n or n.endswith("lock") for n in names)


def test_a_cohort_without_the_modality_is_refused_before_a_run_is_made(brains: Cohort) -> None:
    with pytest.raises(CohortError, match=r"has no CT.*T1, T2, FA, PET"):
        workflow.train("wu2016", "brains", {"modality": "CT"}, preset="quick")
    assert workflow.list_runs() == []


@pytest.mark.slow
def test_kill_in_stage_two_then_resume_gives_the_weights_of_an_undisturbed_run(brains: Cohort) -> None:
    undisturbed = workflow.train("wu2016", "brains", LONGER, preset="quick")
    run = workflow.launch("wu2016", "brains", LONGER, preset="quick")
    wait(run, lambda r: r.status().stage == 2 and r.status().step >= 5)
    os.kill(run.status().pid or 0, signal.SIGKILL)
    wait(run, lambda r: r.status().state == "lost", 10)
    workflow.recover()
    workflow.resume(run.id)
    wait(run, lambda r: r.status().state in ("finished", "failed"))
    assert run.status().state == "finished", run.tail()
    first, second = undisturbed.load_weight_arrays(), run.load_weight_arrays()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    steps = run.metrics().query("name == 'loss_step' and stage == 'pretrain 2'")["step"]
    assert steps.is_monotonic_increasing


@pytest.mark.slow
def test_stop_ends_soon_with_the_step_saved(brains: Cohort) -> None:
    run = workflow.launch("wu2016", "brains", {**LONGER, "n_epochs_pretraining": 200}, preset="quick")
    wait(run, lambda r: r.status().step >= 5)
    workflow.stop(run.id)
    wait(run, lambda r: r.status().state == "stopped", 20)  # about two seconds on a quiet machine
    assert list((run.folder / "checkpoints").glob("*.ckpt"))
    assert run.result() is None and run.status().step >= 5


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "state"), [(False, "finished"), (True, "failed")])
def test_an_upload_is_a_job_that_leaves_no_staged_files(
    brains: Cohort, data_root: Path, damage: bool, state: str
) -> None:
    image = brains.subjects[0].images["T1"].read_bytes()
    job = workflow.start_upload([("../a_T1.nii.gz", io.BytesIO(image[:500] if damage else image))], "mine")
    end = time.monotonic() + 60
    while workflow.read_job(job.id).state == "running" and time.monotonic() < end:
        time.sleep(0.1)
    assert workflow.read_job(job.id).state == state, workflow.read_job(job.id)
    time.sleep(0.5)
    assert not list((data_root / "uploads").iterdir())
    assert (data_root / "cohorts" / "mine").exists() is not damage


@pytest.mark.slow
def test_an_import_can_be_followed_and_cancelled(brains: Cohort, data_root: Path) -> None:
    job = workflow.start_import(str(brains.path.parent), "copy")
    end = time.monotonic() + 60
    while workflow.read_job(job.id).state == "running" and time.monotonic() < end:
        time.sleep(0.1)
    assert workflow.read_job(job.id).state == "finished", workflow.read_job(job.id)
    assert len(workflow.open_cohort("copy")) == 4
    job = workflow.start_phantom("many", n_subjects=500, spacing_mm=8.0)
    time.sleep(4)
    assert [j.id for j in workflow.running_jobs("phantom")] == [job.id] and not workflow.running_jobs("import")
    workflow.cancel_job(job.id)
    while workflow.read_job(job.id).state == "running" and time.monotonic() < end + 60:
        time.sleep(0.1)
    assert workflow.read_job(job.id).state == "cancelled" and not workflow.running_jobs("phantom")
    assert not (data_root / "cohorts" / "many").exists() and json.dumps(str(job))
