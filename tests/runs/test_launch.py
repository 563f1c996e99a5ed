from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from toy import N_BATCHES, N_EPOCHS, STAGES, train_three

from workbench.errors import RunError
from workbench.runs import launch as launch_module
from workbench.runs.launch import attend, launch, prepare_to_resume, recover, stop
from workbench.runs.run import Run, create_run, list_runs

CHILD = Path(__file__).with_name("child.py")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


def make_run(seconds_per_step: float = 0.0) -> Run:
    return create_run("toy", {"seconds_per_step": seconds_per_step}, seed=4, cohort=None)


@pytest.fixture
def as_task(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Let ``launch`` start the toy child with a task, and leave no child behind."""

    def choose(task: str) -> None:
        monkeypatch.setattr(launch_module, "_command", lambda run: [sys.executable, str(CHILD), str(run.folder), task])

    yield choose
    for child in launch_module._children:
        if child.poll() is None:
            child.kill()
        child.wait()


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def state(run: Run) -> str:
    return run.status().state


def test_a_child_outlives_nothing_but_is_its_own_session(as_task: Callable[[str], None]) -> None:
    as_task("sleep")
    run = make_run()
    pid = launch(run)
    wait_until(lambda: state(run) == "running" and "Preparing" in run.status().message)
    process = psutil.Process(pid)
    assert os.getsid(pid) == pid and process.nice() >= 5
    assert process.environ()["OMP_NUM_THREADS"] and process.environ()["WORKBENCH_DATA"]
    first = run.status().heartbeat
    wait_until(lambda: run.status().heartbeat > first)
    stop(run)
    assert state(run) in ("stopping", "stopped")
    wait_until(lambda: state(run) == "stopped")
    with pytest.raises(RunError, match="nothing to stop"):
        stop(run)


def test_a_living_run_is_neither_deleted_nor_resumed_nor_extended(as_task: Callable[[str], None]) -> None:
    as_task("sleep")
    run = make_run()
    launch(run)
    for refused in (run.delete, lambda: prepare_to_resume(run), lambda: run.extend(1), lambda: launch(run)):
        with pytest.raises(RunError, match=r"stop it"):
            refused()
    wait_until(lambda: state(run) == "running")
    stop(run)
    wait_until(lambda: state(run) == "stopped")
    wait_until(lambda: not run.is_in_use)
    run.delete()
    assert list_runs() == []


def test_one_trains_and_the_others_wait_in_order(as_task: Callable[[str], None]) -> None:
    as_task("sleep")
    runs = [make_run() for _ in range(3)]
    pids = [launch(run) for run in runs]
    wait_until(lambda: [state(r) for r in runs] == ["running", "queued", "queued"])
    wait_until(lambda: [r.status().position for r in runs] == [0, 1, 2])
    os.kill(pids[0], signal.SIGKILL)  # a killed one does not block the queue
    wait_until(lambda: [state(r) for r in runs] == ["lost", "running", "queued"])
    stop(runs[2])  # a waiting one leaves the queue
    wait_until(lambda: state(runs[2]) == "stopped")
    stop(runs[1])
    wait_until(lambda: state(runs[1]) == "stopped")


def test_more_jobs_when_asked(as_task: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_JOBS", "2")
    as_task("sleep")
    runs = [make_run() for _ in range(3)]
    for run in runs:
        launch(run)
    wait_until(lambda: sorted(state(r) for r in runs) == ["queued", "running", "running"])
    for run in runs[::-1]:
        stop(run)
    wait_until(lambda: all(state(r) == "stopped" for r in runs))


@pytest.mark.slow
def test_kill_nine_is_lost_and_resume_changes_no_bit(as_task: Callable[[str], None]) -> None:
    undisturbed = make_run()
    expected = train_three(undisturbed)
    as_task("train")
    run = make_run(seconds_per_step=0.15)
    pid = launch(run)
    ckpt = run.folder / "checkpoints" / "pretrain-2.ckpt"
    wait_until(lambda: run.status().stage_name == STAGES[1] and run.status().step >= 9 and ckpt.exists(), 120)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: state(run) == "lost", seconds=5)
    assert 0 < torch.load(ckpt, weights_only=True)["global_step"] < N_BATCHES * N_EPOCHS
    assert [r.id for r in recover()] == [run.id] and state(run) == "lost"
    assert "resume goes on from its last checkpoint" in run.status().message
    prepare_to_resume(run)
    launch(run)
    wait_until(lambda: state(run) == "finished", 120)
    weights = run.load_weights()
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    ours, theirs = run.metrics(), undisturbed.metrics()
    assert not ours.duplicated(["stage", "step", "name"]).any()
    exact = ["val_reconstruction"]
    assert ours[ours.name.isin(exact)].value.tolist() == theirs[theirs.name.isin(exact)].value.tolist()


def test_recover_marks_lost_runs_once(as_task: Callable[[str], None]) -> None:
    as_task("sleep")
    run = make_run()
    pid = launch(run)
    wait_until(lambda: state(run) == "running")
    assert recover() == []
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: state(run) == "lost")
    assert [r.id for r in recover()] == [run.id]
    assert recover() == [] and state(run) == "lost" and not (run.folder / "lock.json").exists()


def test_a_crash_keeps_its_traceback_in_the_log(as_task: Callable[[str], None]) -> None:
    as_task("crash")
    run = make_run()
    launch(run)
    wait_until(lambda: state(run) == "failed")
    message = run.status().message
    assert "unexpected ZeroDivisionError (a bug of ours); log.txt" in message and "Traceback" not in message
    assert any("Traceback" in line for line in run.tail(60))


def test_a_child_that_cannot_even_start_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_module, "_command", lambda run: [sys.executable, "-c", "raise SystemExit(3)"])
    run = make_run()
    launch(run)
    wait_until(lambda: state(run) == "lost", seconds=10)
    assert "never began" in run.status().message


def test_a_finished_run_is_not_trained_again() -> None:
    run = make_run()
    with attend(run):
        run.finish({})
    for again in (lambda: launch(run), lambda: prepare_to_resume(run), lambda: attend(run).__enter__()):
        with pytest.raises(RunError, match="is finished; extend it"):
            again()
    assert state(run) == "finished" and not run.is_in_use


def test_training_without_a_result_is_a_failure() -> None:
    run = make_run()
    with pytest.raises(RunError, match="ended without a result"), attend(run):
        pass
    assert state(run) == "failed"


def test_memory_errors_say_what_to_try() -> None:
    run = make_run()
    with pytest.raises(RunError, match="choose a smaller batch"), attend(run):
        raise RuntimeError("CUDA out of memory. Tried to allocate")


def test_the_number_of_jobs_must_be_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_JOBS", "many")
    with pytest.raises(RunError, match="whole number from 1 on"):
        launch_module.max_jobs()
