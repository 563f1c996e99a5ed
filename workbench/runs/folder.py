"""Files of a run that are written whole or not at all, and ids that cannot leave their folder."""

from __future__ import annotations

import json
import math
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.errors import RunError

RUN_ID = re.compile(r"(?P<system>[A-Za-z0-9_]+)-(?P<date>\d{8})-(?P<time>\d{6})-(?P<hex>[0-9a-f]{4})")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")


def write_file(path: Path, write: Callable[[Path], object], *, durable: bool = True) -> None:
    """Let ``write`` fill a file beside ``path`` and put it in place in one step.

    Args:
        path: the file that is to hold the new content.
        write: gets the path of the unfinished file, ``<name>.<process>-<thread>.partial``.
        durable: wait until the content is on the disk, so that a power cut leaves the old file or the new one.

    Raises:
        RunError: the disk refused, because it is full or read-only.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        if durable:
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(
            f"{path.name} could not be written in {path.parent} ({error.strerror or error}); "
            "make room there or check its permissions, then resume the run."
        ) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object, *, durable: bool = True) -> None:
    """Write plain values as JSON; numbers that JSON lacks (NaN, infinity) become null."""
    text = json.dumps(plain(value), indent=1, allow_nan=False, ensure_ascii=False)
    write_file(path, lambda partial: partial.write_text(text + "\n", encoding="utf-8"), durable=durable)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RunError: the file is missing, unreadable, or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"Run {path.parent.name} has no {path.name}; it is incomplete, so delete it or restore the file."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(
            f"{path.name} of run {path.parent.name} is damaged ({type(error).__name__}); restore it or delete the run."
        ) from error
    if not isinstance(value, dict):
        raise RunError(
            f"{path.name} of run {path.parent.name} should hold a JSON object but holds a "
            f"{type(value).__name__}; restore it or delete the run."
        )
    return value


def plain(value: object) -> Any:
    """Turn tuples, paths, numpy scalars and arrays into what JSON can hold.

    Raises:
        TypeError: the value is of a kind that has no plain form.
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    raise TypeError(f"A run's files hold plain values only, not {type(value).__name__}.")


def child_folder(root: Path, run_id: str) -> Path:
    """Give the folder of a run id under ``root``; an id cannot name anything outside.

    Raises:
        RunError: the text is not a run id, or there is no such run.
    """
    if not RUN_ID.fullmatch(run_id):
        raise RunError(
            f"{run_id[:80]!r} is not a run id; one looks like wu2016-20260131-093000-1a2b. "
            "Choose one from the list of runs."
        )
    folder = root / run_id
    if folder.is_symlink() or not folder.is_dir():
        raise RunError(
            f"There is no run {run_id} in {root}; it may have been deleted. Choose one from the list of runs."
        )
    return folder


def safe_name(name: str, suffix: str) -> str:
    """Give the file name of a named part of a run (weights, arrays, a stage), blanks turned into dashes.

    Raises:
        RunError: the name could lead outside its folder or is no file name.
    """
    if not NAME.fullmatch(name) or ".." in name:
        raise RunError(
            f"{name[:80]!r} cannot be a file name in a run; use letters, digits, blanks, dots, dashes and underscores."
        )
    return name.strip().replace(" ", "-") + suffix
