from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.errors import RunError
from workbench.paths import runs_dir
from workbench.runs.run import Run, create_run, list_runs, open_run


@pytest.fixture
def run() -> Run:
    return create_run("toy", {"n_hidden": (3, 2)}, seed=4, cohort=None, title="First try")


def test_run_json_holds_everything_and_never_changes(run: Run) -> None:
    before = (run.folder / "run.json").read_bytes()
    run.rename("Another title")
    run.note, run.star = "worth a look", True
    info = open_run(run.id).info
    assert (info.system, info.seed, info.settings) == ("toy", 4, {"n_hidden": [3, 2]})
    assert set(info.versions) == {"python", "torch", "lightning", "numpy", "workbench"}
    assert (run.title, run.note, run.star) == ("Another title", "worth a look", True)
    assert (run.folder / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "..", "", "toy-20260101-000000-zzzz", "/etc", "toy-20260101-000000-00aa"]
)
def test_an_id_cannot_leave_the_folder_of_runs(name: str) -> None:
    with pytest.raises(RunError, match="Choose one from the list of runs"):
        open_run(name)


def test_a_linked_folder_is_no_run(run: Run, tmp_path: Path) -> None:
    (runs_dir() / "toy-20260101-000000-00aa").symlink_to(run.folder)
    with pytest.raises(RunError, match="There is no run"):
        open_run("toy-20260101-000000-00aa")
    assert [r.id for r in list_runs()] == [run.id]


@pytest.mark.parametrize("name", ["../weights", "a/b", ".hidden", ""])
def test_names_of_parts_cannot_leave_the_run(run: Run, name: str) -> None:
    with pytest.raises(RunError, match="cannot be a file name"):
        run.save_arrays(name, x=np.zeros(2))
    with pytest.raises(RunError, match="cannot be a file name"):
        run.load_weights(name)


@pytest.mark.parametrize("text", ["{", "[1]", "", '{"system": 3}', "\x00\xff"])
def test_damaged_records_give_sentences(run: Run, text: str) -> None:
    (run.folder / "run.json").write_text(text, encoding="latin-1")
    (run.folder / "status.json").write_text(text, encoding="latin-1")
    with pytest.raises(RunError, match="delete the run"):
        _ = open_run(run.id).info
    status = run.status()
    assert status.state == "failed" and "delete" in status.message
    assert [r.id for r in list_runs()] == [run.id]
    run.delete()
    assert list_runs() == []


def test_runs_are_listed_newest_first_without_foreign_folders() -> None:
    made = [create_run("toy", {}, seed=s, cohort=None).id for s in range(3)]
    (runs_dir() / "holiday").mkdir()
    (runs_dir() / "toy-20260101-000000-00aa").mkdir()
    assert [r.id for r in list_runs()] == made[::-1]


def test_weights_and_arrays_come_back(run: Run) -> None:
    with pytest.raises(RunError, match=f"Run {run.id} has no weights yet; wait until it is finished, or resume it"):
        run.trained_weights()
    tied = torch.arange(6.0).reshape(2, 3)
    run.save_weights("weights", {"a": tied, "b": tied.T})
    assert torch.equal(run.load_weights()["b"], tied.T) and torch.equal(run.trained_weights()["a"], tied)
    assert np.array_equal(run.load_weight_arrays()["a"], tied.numpy())
    run.save_arrays("filters epoch 1", w=np.eye(2))
    assert run.list_arrays() == ["filters-epoch-1"]
    assert np.array_equal(run.load_arrays("filters epoch 1")["w"], np.eye(2))


def test_damaged_weights_and_arrays_give_sentences(run: Run) -> None:
    (run.folder / "weights.safetensors").write_bytes(b"nonsense")
    run.save_arrays("x", x=np.zeros(100))
    path = run.folder / "samples" / "x.npz"
    path.write_bytes(path.read_bytes()[:50])
    for read in (run.load_weights, run.load_weight_arrays, lambda: run.load_arrays("x")):
        with pytest.raises(RunError, match="is damaged"):
            read()
    with pytest.raises(RunError, match="has no arrays named y"):
        run.load_arrays("y")


def test_pickled_arrays_are_refused(run: Run) -> None:
    (run.folder / "samples").mkdir()
    np.savez(run.folder / "samples" / "bad.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RunError, match="is damaged"):
        run.load_arrays("bad")


def test_a_failed_write_leaves_the_old_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.save_arrays("x", x=np.ones(2))
    with pytest.raises(ValueError, match="Object arrays"):
        run.save_arrays("x", x=np.array([object()], dtype=object))
    assert run.load_arrays("x")["x"].tolist() == [1, 1]
    assert not list(run.folder.rglob("*.partial"))


def test_a_result_makes_success_whatever_the_status_says(run: Run) -> None:
    assert run.result() is None
    run.finish({"dice": np.float32(0.5), "nothing": float("nan")})
    result = run.result()
    assert result is not None and (result["dice"], result["nothing"], result["parent"]) == (0.5, None, None)
    (run.folder / "status.json").write_text("{")
    assert run.status().state == "finished"


def test_a_status_of_success_without_a_result_is_none(run: Run) -> None:
    run.finish({})
    (run.folder / "result.json").unlink()
    values = json.loads((run.folder / "status.json").read_text())
    (run.folder / "status.json").write_text(json.dumps({**values, "pid": 2**22 + 1}))
    assert run.status().state == "lost"


def test_a_failure_keeps_its_sentence_and_the_log_its_end(run: Run) -> None:
    for i in range(100):
        run.log(f"line {i}")
    run.fail("The disk is full; make room.")
    assert (run.status().state, run.status().message) == ("failed", "The disk is full; make room.")
    assert [line.split("  ")[1] for line in run.tail(2)] == ["line 99", "failed: The disk is full; make room."]


def test_listing_runs_imports_no_heavy_library() -> None:
    code = "import sys, workbench.runs.launch; print([m for m in ('torch', 'lightning', 'pandas') if m in sys.modules])"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"
