"""status.json: where a run is, its heartbeat, and what may be concluded from both.

The process that trains writes the file; everybody else reads it. What the file says is then judged against the
rest of the folder (:func:`judge`): a result makes a run finished, a STOP file makes it stopping, and a run that
says "running" without a living process is lost.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from workbench.errors import RunError
from workbench.runs.folder import read_json, write_json
from workbench.runs.process import ProcessIdentity, is_alive, lock_holder, this_process

State = Literal["queued", "running", "stopping", "stopped", "finished", "failed", "lost"]
STATUS, STOP, RESULT = "status.json", "STOP", "result.json"
LIVE_STATES = ("queued", "running", "stopping")
HEARTBEAT_S = 1.0
MIN_WRITE_S = 0.5
NEVER_BEGAN_S = 60.0


@dataclass(frozen=True)
class Status:
    """Where a run is.

    Attributes:
        state: queued, running, stopping, stopped, finished, failed or lost.
        stage: number of the present stage, from 1; 0 before the first.
        n_stages: how many stages there are.
        stage_name: what the present stage is called.
        step: batches done in the present stage.
        n_steps: batches that the present stage has in all.
        epoch: the present epoch of the stage, from 1.
        n_epochs: epochs that the stage has in all, extensions included.
        fraction: how much of all stages is done, 0 to 1.
        eta_s: seconds until the end of all stages; None while unknown.
        position: runs ahead in the queue.
        message: a sentence for people: what is being prepared, or why it failed.
        heartbeat: last sign of life, in seconds since 1970.
        started: when training began, in seconds since 1970.
        queued: when the run entered the queue, in seconds since 1970.
        pid, process_started, host, boot_id: the process that trains.
    """

    state: State = "queued"
    stage: int = 0
    n_stages: int = 0
    stage_name: str = ""
    step: int = 0
    n_steps: int = 0
    epoch: int = 0
    n_epochs: int = 0
    fraction: float = 0.0
    eta_s: float | None = None
    position: int = 0
    message: str = ""
    heartbeat: float = 0.0
    started: float | None = None
    queued: float = 0.0
    pid: int | None = None
    process_started: float = 0.0
    host: str = ""
    boot_id: str = ""

    @property
    def is_live(self) -> bool:
        """Whether a process works on the run or waits for its turn."""
        return self.state in LIVE_STATES

    @property
    def process(self) -> ProcessIdentity | None:
        """The process that wrote the status; None before there was one."""
        return None if self.pid is None else ProcessIdentity(self.pid, self.process_started, self.host, self.boot_id)


def read_status(folder: Path) -> Status:
    """Read status.json as it stands.

    Raises:
        RunError: it is missing or damaged.
    """
    values = read_json(folder / STATUS)
    status = replace(Status(), **{field.name: values[field.name] for field in fields(Status) if field.name in values})
    numbers = (status.stage, status.step, status.n_steps, status.fraction, status.heartbeat, status.queued)
    if values.get("state") not in get_args(State) or not all(isinstance(number, int | float) for number in numbers):
        raise RunError(
            f"{STATUS} of run {folder.name} is damaged (state {str(values.get('state'))[:40]!r}); "
            "resume the run or delete it."
        )
    return status


def write_status(folder: Path, status: Status) -> None:
    """Replace status.json in one step."""
    write_json(folder / STATUS, asdict(status), durable=False)


def judge(folder: Path) -> Status:
    """Read status.json and conclude what is true of the run; never raises for a damaged file."""
    try:
        status = read_status(folder)
    except RunError as error:
        status = Status(state="failed", message=str(error))
    if (folder / RESULT).exists():
        return replace(status, state="finished", fraction=1.0, eta_s=0.0, position=0, message="")
    if status.state not in (*LIVE_STATES, "finished"):
        return status
    if not _has_process(folder, status):
        return replace(status, state="lost", eta_s=None, message=_loss(status))
    return replace(status, state="stopping") if status.state == "running" and (folder / STOP).exists() else status


def _has_process(folder: Path, status: Status) -> bool:
    process = lock_holder(folder) or status.process
    if process is None:
        return time.time() - status.heartbeat < NEVER_BEGAN_S
    return is_alive(process, status.heartbeat)


def _loss(status: Status) -> str:
    if status.pid is None:
        return "The process of this run never began; its log may say why. Resume it to try again."
    place = f" in stage {status.stage_name} after step {status.step}" if status.stage_name else ""
    return (
        f"The process of this run (number {status.pid} on {status.host}) ended without a word{place}; "
        "resume goes on from its last checkpoint."
    )


class Reporter:
    """Keeps status.json of the run that this process trains; safe to use from several threads.

    Changes reach the file at most twice a second; a heartbeat thread writes what was held back and shows that the
    process lives, also during long preparations.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_write = 0.0
        with suppress(RunError):
            self._status = read_status(folder)
        me = this_process()
        self._status = replace(
            getattr(self, "_status", Status()), pid=me.pid, process_started=me.started, host=me.host, boot_id=me.boot_id
        )

    @property
    def status(self) -> Status:
        """What this process knows of its run."""
        return self._status

    def update(self, *, now: bool = False, **changes: Any) -> None:
        """Change fields of the status.

        Args:
            now: write at once, not at most twice a second.
            changes: fields of :class:`Status`.
        """
        with self._lock:
            self._status = replace(self._status, **changes)
            if now or time.monotonic() - self._last_write >= MIN_WRITE_S:
                self._write()

    def start_heartbeat(self) -> None:
        """Begin to write the status every second until :meth:`close`."""
        if self._thread is None or not self._thread.is_alive():
            self._ended.clear()
            self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the heartbeat; what was held back is written."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None
        with self._lock:
            self._write()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            with self._lock, suppress(RunError):  # a full disk for a moment must not end the heartbeat
                self._write()

    def _write(self) -> None:
        self._status = replace(self._status, heartbeat=time.time())
        write_status(self._folder, self._status)
        self._last_write = time.monotonic()
