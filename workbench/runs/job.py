"""A job: a long operation that is no training, such as an import, in a process of its own.

The page starts it, reads its ``status.json`` and cancels it by a file, so that a rerun or a closed tab cannot leave it
half done. What ends it is always written last.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import psutil

from workbench.errors import Cancelled, RunError
from workbench.paths import jobs_dir
from workbench.progress import Progress
from workbench.runs.launch import start_detached

WRITE_SECONDS = 0.2
START_SECONDS = 30
ASKED = "asked.json"


@dataclass(frozen=True)
class Job:
    """How far a job is.

    Attributes:
        id: its folder's name.
        state: ``"running"``, ``"finished"``, ``"cancelled"``, ``"failed"`` or ``"lost"`` (its process is gone).
        fraction: 0 to 1.
        message: what it does now, or why it failed.
        result: what it made, as text; known from the start where whoever started it could say.
        changed: when the status was written, in seconds since the epoch.
    """

    id: str
    state: Literal["running", "finished", "cancelled", "failed", "lost"] = "running"
    fraction: float = 0.0
    message: str = "Starting"
    result: str = ""
    changed: float = 0.0


def start_job(arguments: list[str], result: str = "") -> Job:
    """Start ``python -m workbench <arguments> --job <id>`` detached and give its first status."""
    job = Job(f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}")
    folder = jobs_dir() / job.id
    folder.mkdir(parents=True)
    asked = json.dumps({"command": arguments[0], "result": result})
    (folder / ASKED).write_text(asked, encoding="utf-8")  # the child writes the status, so it has a file of its own
    _write(job)
    child = start_detached([sys.executable, "-m", "workbench", *arguments, "--job", job.id], folder / "log.txt")
    (folder / "pid").write_text(str(child.pid), encoding="utf-8")
    return read_job(job.id)


def read_job(job_id: str) -> Job:
    """Read a job's status.

    Raises:
        RunError: there is no such job.
    """
    try:
        job = Job(**json.loads((_folder(job_id) / "status.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise RunError(f"There is no job {job_id!r} any more; start it again.") from None
    job = replace(job, result=job.result or _asked(job_id).get("result", ""))
    if job.state == "running" and not _alive(job):
        return replace(job, state="lost", message="Its process ended before it was done; start it again.")
    return job


def running_jobs(command: str) -> list[Job]:
    """Give the jobs of a command that go on, the newest first, whoever has started them."""
    found = []
    for folder in sorted(jobs_dir().glob("*"), reverse=True):
        if _asked(folder.name).get("command") == command:
            with contextlib.suppress(RunError):
                found.append(read_job(folder.name))
    return [job for job in found if job.state == "running"]


def cancel_job(job_id: str) -> None:
    """Ask a job to stop; it removes what it had written."""
    (_folder(job_id) / "CANCEL").touch()


def job_progress(job_id: str) -> Progress:
    """Give a progress callable that writes the job's status and raises when it is to stop."""
    folder, last = _folder(job_id), [0.0]

    def report(fraction: float, message: str) -> None:
        if (folder / "CANCEL").exists():
            raise Cancelled("It was cancelled; nothing half done was kept.")
        if time.monotonic() - last[0] > WRITE_SECONDS:
            last[0] = time.monotonic()
            _write(Job(job_id, fraction=fraction, message=message))

    return report


def end_job(job_id: str, *, result: str = "", error: str = "") -> None:
    """Write how a job ended: with a result, or with the sentence that says why not."""
    cancelled = (_folder(job_id) / "CANCEL").exists() and bool(error)
    state: Literal["cancelled", "failed", "finished"] = "cancelled" if cancelled else "failed" if error else "finished"
    _write(Job(job_id, state, 0.0 if error else 1.0, error or "Done", result))


def _folder(job_id: str) -> Path:
    if not re.fullmatch(r"[0-9a-f-]{1,40}", job_id):
        raise RunError(f"{job_id!r} is not the name of a job.")
    return jobs_dir() / job_id


def _asked(job_id: str) -> dict[str, str]:
    """Give the command of a job and the result that it was to have; nothing where that cannot be read."""
    with contextlib.suppress(OSError, ValueError, RunError):
        return {key: str(value) for key, value in json.loads((_folder(job_id) / ASKED).read_text("utf-8")).items()}
    return {}


def _write(job: Job) -> None:
    file = _folder(job.id) / "status.json"
    partial = file.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(asdict(replace(job, changed=time.time()))), encoding="utf-8")
    partial.replace(file)


def _alive(job: Job) -> bool:
    pid = _folder(job.id) / "pid"
    if not pid.is_file():
        return time.time() - job.changed < START_SECONDS
    with contextlib.suppress(psutil.Error, ValueError):
        return psutil.Process(int(pid.read_text(encoding="utf-8"))).status() != psutil.STATUS_ZOMBIE
    return False
