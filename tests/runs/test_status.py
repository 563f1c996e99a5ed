from __future__ import annotations

import os
import platform
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from workbench.errors import RunError
from workbench.runs.folder import write_json
from workbench.runs.process import LOCK, boot_id, is_alive, lock_holder, release_lock, take_lock, this_process
from workbench.runs.status import Reporter, Status, judge, write_status


def of_process(state: str = "running", **changes: object) -> Status:
    me = this_process()
    known = {"pid": me.pid, "process_started": me.started, "host": me.host, "boot_id": me.boot_id}
    return Status(**{"state": state, "heartbeat": time.time(), **known, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "running"),
        ({"pid": 2**22 + 1}, "lost"),
        ({"process_started": 1.0}, "lost"),
        ({"boot_id": "before the restart"}, "lost"),
        ({"host": "elsewhere"}, "running"),
        ({"host": "elsewhere", "heartbeat": time.time() - 121}, "lost"),
    ],
)
def test_running_needs_a_living_process(tmp_path: Path, change: dict[str, object], state: str) -> None:
    write_status(tmp_path, of_process(**change))
    assert judge(tmp_path).state == state


def test_a_stop_file_makes_a_running_run_stopping(tmp_path: Path) -> None:
    write_status(tmp_path, of_process())
    (tmp_path / "STOP").touch()
    assert judge(tmp_path).state == "stopping"


def test_a_run_never_begun_is_lost_after_a_minute(tmp_path: Path) -> None:
    write_status(tmp_path, Status(heartbeat=time.time()))
    assert judge(tmp_path).state == "queued"
    write_status(tmp_path, Status(heartbeat=time.time() - 61))
    assert judge(tmp_path).state == "lost" and "never began" in judge(tmp_path).message


@pytest.mark.parametrize("value", [{"state": "odd"}, {"step": "many"}, {"heartbeat": None}])
def test_a_damaged_status_is_a_failure_with_a_sentence(tmp_path: Path, value: dict[str, object]) -> None:
    write_json(tmp_path / "status.json", value)
    assert judge(tmp_path).state == "failed" and "is damaged" in judge(tmp_path).message


def test_the_heartbeat_goes_on_without_updates(tmp_path: Path) -> None:
    reporter = Reporter(tmp_path)
    reporter.update(now=True, state="running")
    reporter.start_heartbeat()
    reporter.update(step=7)  # held back, then written by the heartbeat
    first = judge(tmp_path).heartbeat
    time.sleep(1.6)
    status = judge(tmp_path)
    reporter.close()
    assert status.heartbeat > first and status.step == 7


def test_many_updates_write_at_most_twice_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_writes = []
    monkeypatch.setattr("workbench.runs.status.write_status", lambda folder, status: n_writes.append(1))
    reporter = Reporter(tmp_path)
    for step in range(1000):
        reporter.update(step=step)
    assert len(n_writes) <= 2


def test_a_lock_is_taken_once_and_given_back(tmp_path: Path) -> None:
    take_lock(tmp_path)
    take_lock(tmp_path)  # one's own lock
    release_lock(tmp_path)
    assert lock_holder(tmp_path) is None


def test_the_lock_of_a_living_process_is_refused(tmp_path: Path) -> None:
    write_json(
        tmp_path / LOCK, asdict(replace(this_process(), pid=1, started=__import__("psutil").Process(1).create_time()))
    )
    if os.getppid() == 1:
        pytest.skip("the parent of this test is process 1, from whom a lock may be handed over")
    with pytest.raises(RunError, match=f"in use by process 1 on {platform.node()}"):
        take_lock(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", '{"pid": 1, "started": 1.0, "host": "%s", "boot_id": "%s"}'])
def test_stale_and_damaged_locks_are_taken_over(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK).write_text(text % (platform.node(), boot_id()) if "%s" in text else text)
    take_lock(tmp_path)
    assert lock_holder(tmp_path) == this_process()
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_this_process_is_alive() -> None:
    assert is_alive(this_process(), heartbeat=0.0)
