"""Which process trains a run, whether it lives, and the lock that keeps it alone.

A process number alone says little: numbers are used again after a while and after a restart of the machine. So a
process is known by its number, the time it started, its host and the host's boot. Only on another host, where
processes cannot be looked up, does the age of the heartbeat decide.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import psutil

from workbench.errors import RunError
from workbench.runs.folder import read_json, write_json

LOCK = "lock.json"
START_TOLERANCE_S = 2.0
FAR_HEARTBEAT_S = 120.0
HAND_OVER_S = 20.0


@dataclass(frozen=True)
class ProcessIdentity:
    """One process of one boot of one host.

    Attributes:
        pid: its number.
        started: when it started, in seconds since 1970.
        host: the host's name.
        boot_id: changes whenever the host restarts.
    """

    pid: int
    started: float
    host: str
    boot_id: str


@cache
def boot_id() -> str:
    """Give what changes when this machine restarts."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(round(psutil.boot_time() / 10))


def identify(pid: int) -> ProcessIdentity:
    """Identify a process of this host; one that is gone already gets the start time 0."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:
        started = 0.0
    return ProcessIdentity(pid, started, platform.node(), boot_id())


def this_process() -> ProcessIdentity:
    """Identify the process that calls."""
    return identify(os.getpid())


def is_alive(process: ProcessIdentity, heartbeat: float) -> bool:
    """Say whether a process still runs.

    Args:
        process: whom to look for.
        heartbeat: its last sign of life, in seconds since 1970; decides when it runs on another host.
    """
    if process.host != platform.node():
        return time.time() - heartbeat < FAR_HEARTBEAT_S
    if process.boot_id != boot_id():
        return False
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started) < START_TOLERANCE_S
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def lock_holder(folder: Path) -> ProcessIdentity | None:
    """Give who holds the lock of a run, alive or not; None when nobody does or the lock cannot be read."""
    try:
        return ProcessIdentity(**read_json(folder / LOCK))
    except (RunError, TypeError):
        return None


def lock_is_held(folder: Path) -> bool:
    """Say whether a living process holds the lock of a run."""
    holder = lock_holder(folder)
    return holder is not None and is_alive(holder, _sign_of_life(folder))


def take_lock(folder: Path) -> None:
    """Become the only process that works on a run; a lock whose holder is gone is taken over.

    A child whose parent took the lock for it waits until the parent has handed it over.

    Raises:
        RunError: another living process has the run.
    """
    deadline = time.monotonic() + HAND_OVER_S
    while True:
        if _create_lock(folder):
            return
        holder, me = lock_holder(folder), this_process()
        if holder is not None and _is_same(holder, me):
            return
        if holder is not None and is_alive(holder, _sign_of_life(folder)):
            if holder.pid != os.getppid() or holder.host != me.host or time.monotonic() > deadline:
                raise RunError(
                    f"Run {folder.name} is in use by process {holder.pid} on {holder.host}; stop it there first."
                )
            time.sleep(0.05)
        else:
            _set_aside(folder, holder)


def hand_lock(folder: Path, pid: int) -> None:
    """Give the lock that this process holds to its child ``pid``."""
    write_json(folder / LOCK, asdict(identify(pid)))


def release_lock(folder: Path) -> None:
    """Give the lock back, if it is this process's own."""
    holder = lock_holder(folder)
    if holder is not None and _is_same(holder, this_process()):
        (folder / LOCK).unlink(missing_ok=True)


def remove_folder(folder: Path, what: str) -> None:
    """Remove the folder of a run, out of sight in one step, so that nobody meets half of one.

    Args:
        folder: no living process may work on it.
        what: names it at the beginning of the message.

    Raises:
        RunError: another process has just taken it, or the disk refused.
    """
    take_lock(folder)
    doomed = folder.with_name(f".deleted-{folder.name}")
    try:
        folder.rename(doomed)
    except OSError as error:
        release_lock(folder)
        raise RunError(f"{what} could not be deleted ({error.strerror}); check the folder's permissions.") from error
    shutil.rmtree(doomed, ignore_errors=True)


def clear_stale_lock(folder: Path) -> None:
    """Remove a lock whose holder is gone."""
    holder = lock_holder(folder)
    if not lock_is_held(folder):
        _set_aside(folder, holder)


def _is_same(one: ProcessIdentity, other: ProcessIdentity) -> bool:
    near = abs(one.started - other.started) < START_TOLERANCE_S  # a corrected clock moves it a little
    return near and (one.pid, one.host, one.boot_id) == (other.pid, other.host, other.boot_id)


def _create_lock(folder: Path) -> bool:
    """Create the lock in one step with its content, so that no reader sees it empty; False when there is one."""
    mine = folder / f"{LOCK}.{os.getpid()}.partial"
    mine.write_text(json.dumps(asdict(this_process())), encoding="utf-8")
    try:
        os.link(mine, folder / LOCK)  # fails when the lock exists, like O_EXCL, but never shows an empty file
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        return _create_exclusively(folder / LOCK)
    finally:
        mine.unlink(missing_ok=True)
    return True


def _create_exclusively(path: Path) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(asdict(this_process()), file)
    except FileExistsError:
        return False
    return True


def _set_aside(folder: Path, stale: ProcessIdentity | None) -> None:
    """Remove the stale lock; put it back if meanwhile another process had taken it over."""
    aside = folder / f"{LOCK}.{os.getpid()}.stale"
    try:
        (folder / LOCK).rename(aside)
    except FileNotFoundError:
        return
    try:
        found = ProcessIdentity(**json.loads(aside.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        found = None
    if found is not None and found != stale and not (folder / LOCK).exists():
        aside.rename(folder / LOCK)
    aside.unlink(missing_ok=True)


def _sign_of_life(folder: Path) -> float:
    """Give the time of the newest heartbeat, in seconds since 1970: when status.json or the lock was last written."""
    times = [0.0]
    for name in ("status.json", LOCK):
        try:
            times.append((folder / name).stat().st_mtime)
        except OSError:
            continue
    return max(times)
