"""Detached children, the queue, stop, resume, and runs whose process is gone.

A page makes the folder of a run and calls :func:`launch`; the child that starts is on its own, so that a rerun, a
closed tab or a restarted server cannot end it. In the child, and in a command or notebook that trains by itself::

    with attend(run, in_queue=True):
        wait_for_turn(run)  # a detached child only, before torch is imported
        system.fit(cohort, run)
        run.finish(result)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil

import workbench
from workbench.errors import RunError, WorkbenchError
from workbench.paths import data_root
from workbench.runs.process import clear_stale_lock, hand_lock, lock_is_held, release_lock, take_lock
from workbench.runs.run import Run, Stopped, list_runs
from workbench.runs.status import RESULT, Status, read_status, write_status

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
NICENESS = 5
QUEUE_POLL_S = 0.5
_children: list[subprocess.Popen[bytes]] = []


def launch(run: Run) -> int:
    """Start a detached child that trains the run, or queues for its turn.

    Returns:
        The child's process number.

    Raises:
        RunError: a living process has the run already, or the run is finished.
    """
    if (run.folder / RESULT).exists():
        raise RunError(f"Run {run.id} is finished; extend it by some epochs to train it further.")
    _reap()
    take_lock(run.folder)
    try:
        now = time.time()
        write_status(run.folder, Status(state="queued", heartbeat=now, queued=now, message="Starting."))
        child = start_detached(_command(run), run.folder / "log.txt")
        _children.append(child)
        hand_lock(run.folder, child.pid)
    except BaseException:
        release_lock(run.folder)
        raise
    return child.pid


def prepare_to_resume(run: Run, extend: int = 0, stage: str | None = None) -> None:
    """Make a run ready to be launched or attended again: no STOP file, and ``extend`` epochs more.

    Args:
        run: stopped, failed, lost, or, with ``extend``, finished.
        extend: epochs that are added to the last stage, or to the given one.
        stage: which stage to lengthen; later ones are trained anew.

    Raises:
        RunError: the run is in use, or finished and not extended, or there is no such stage.
    """
    if run.is_in_use:
        raise RunError(f"Run {run.id} is {run.status().state}; stop it before it is resumed.")
    if (run.folder / RESULT).exists() and extend == 0:
        raise RunError(f"Run {run.id} is finished; extend it by some epochs to train it further.")
    if extend:
        run.extend(extend, stage)
    run.withdraw_stop()


def stop(run: Run) -> None:
    """Ask a run to save its present step and end; a waiting one leaves the queue.

    Raises:
        RunError: no process works on the run.
    """
    status = run.status()
    if not status.is_live:
        raise RunError(f"Run {run.id} is {status.state}, so there is nothing to stop.")
    run.request_stop()


def recover(root: Path | None = None) -> list[Run]:
    """Mark every run whose process is gone as lost, so that it can be resumed.

    Returns:
        The runs that were found lost just now.
    """
    _reap()
    lost = []
    for run in list_runs(root):
        status = run.status()
        if status.state == "lost" and not lock_is_held(run.folder):
            clear_stale_lock(run.folder)
            with suppress(RunError):
                if read_status(run.folder).state != "lost":
                    write_status(run.folder, status)
                    lost.append(run)
    return lost


def max_jobs() -> int:
    """Give how many children may train at a time: ``$WORKBENCH_JOBS``, or 1.

    Raises:
        RunError: the variable is not a positive number.
    """
    text = os.environ.get("WORKBENCH_JOBS", "1")
    if not text.isdecimal() or int(text) < 1:
        raise RunError(
            f"WORKBENCH_JOBS should be a whole number from 1 on but is {text!r}; correct it and start again."
        )
    return int(text)


def wait_for_turn(run: Run) -> None:
    """Wait in the queue until fewer than :func:`max_jobs` runs train and none waits longer than this one.

    A run counts only while a living process holds it, so one that was killed does not block the queue. Two looks in
    a row must agree, since a run that has just arrived may not be visible yet.

    Raises:
        Stopped: the run is to stop.
    """
    n_jobs, agreed = max_jobs(), 0
    while agreed < 2:
        run.check_stop()
        ahead, training = _others(run)
        agreed = agreed + 1 if ahead + training < n_jobs else 0
        message = "" if agreed else f"Waiting for {ahead + training} run{'s' if ahead + training > 1 else ''}."
        run.reporter.update(
            state="queued", position=0 if agreed else max(1, ahead + training - n_jobs + 1), message=message
        )
        time.sleep(QUEUE_POLL_S / 2 if agreed else QUEUE_POLL_S)
    run.reporter.update(now=True, state="running", position=0, message="", started=time.time())


@contextmanager
def attend(run: Run, *, in_queue: bool = False) -> Iterator[Run]:
    """Be the one process that trains a run, and leave the right state whatever happens.

    Holds the lock, keeps the heartbeat, turns SIGTERM and the first Ctrl-C into a request to stop. :class:`Stopped`
    ends the block quietly with the state stopped, so ask ``run.status()`` afterwards.

    Args:
        run: not in use by another process, and not finished.
        in_queue: begin as queued, since the block begins with :func:`wait_for_turn`.

    Raises:
        RunError: another process has the run; or something unexpected happened, whose traceback is in log.txt only.
        WorkbenchError: what went wrong, after it was noted as the failure.
    """
    take_lock(run.folder)
    try:
        if (run.folder / RESULT).exists():
            raise RunError(f"Run {run.id} is finished; extend it by some epochs to train it further.")
        queued = run.reporter.status.queued or time.time()
        run.reporter.update(now=True, state="queued" if in_queue else "running", started=time.time(), queued=queued)
        run.reporter.update(now=True, eta_s=None, message="", position=0)
        run.reporter.start_heartbeat()
        with _stopping_signals(run):
            yield from _guarded(run)
    finally:
        with suppress(RunError):
            run.reporter.close()
        release_lock(run.folder)


def _guarded(run: Run) -> Iterator[Run]:
    try:
        yield run
        if not (run.folder / RESULT).exists():
            raise RunError(f"The training of run {run.id} ended without a result; its log may say why.")
    except (Stopped, KeyboardInterrupt, SystemExit) as stop:
        run.log("stopped")
        run.reporter.update(now=True, state="stopped", eta_s=None, message="Stopped; resume to go on.")
        if not isinstance(stop, Stopped):
            raise
    except WorkbenchError as error:
        run.fail(str(error))
        raise
    except Exception as error:
        run.log(traceback.format_exc())
        sentence = _explain(error)
        run.fail(sentence)
        raise RunError(sentence) from error


def _explain(error: Exception) -> str:
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "The training ran out of memory; choose a smaller batch, fewer units or smaller patches and start again."
    text = str(error).strip().split("\n")[0][:300]
    return f"The training ended by an unexpected {type(error).__name__} ({text}); log.txt holds the full report."


@contextmanager
def _stopping_signals(run: Run) -> Iterator[None]:
    """Let SIGTERM and the first SIGINT request a stop; a second SIGINT interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        run.request_stop()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _command(run: Run) -> list[str]:
    return [sys.executable, "-m", "workbench", "train", "--run", str(run.folder)]


def start_detached(command: list[str], log_path: Path) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one, nicer to others than this one."""
    with log_path.open("ab") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(), start_new_session=True
        )
    with suppress(psutil.Error):
        process = psutil.Process(child.pid)
        process.nice(min(19, process.nice() + NICENESS) if os.name == "posix" else process.nice())
    return child


def _environment() -> dict[str, str]:
    env = dict(os.environ)
    for name in THREAD_VARIABLES:
        env.setdefault(name, str(max(1, (os.cpu_count() or 2) // 2)))
    package_root = str(Path(workbench.__file__).resolve().parents[1])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, env.get("PYTHONPATH", "")]))
    env["WORKBENCH_DATA"] = str(data_root())
    env["PYTHONUNBUFFERED"] = "1"
    return env


def _others(run: Run) -> tuple[int, int]:
    """Count the other living runs of the same root: (waiting longer than this one, training)."""
    mine = (run.reporter.status.queued, run.id)
    ahead = training = 0
    for other in list_runs(run.folder.parent):
        if other.id == run.id or not lock_is_held(other.folder):
            continue
        status = other.status()
        ahead += status.state == "queued" and (status.queued, other.id) < mine
        training += status.state in ("running", "stopping")
    return ahead, training


def _reap() -> None:
    """Take leave of children that ended, so that they do not stay as zombies."""
    _children[:] = [child for child in _children if child.poll() is None]
