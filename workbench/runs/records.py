"""run.json and notes.json: what a run is, which never changes, and what its owner says about it, which may."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import workbench
from workbench.errors import RunError
from workbench.runs.folder import read_json, write_json

INFO, NOTES = "run.json", "notes.json"


@dataclass(frozen=True)
class RunInfo:
    """What a run is: everything that is needed to train it again.

    Attributes:
        id: ``<system>-<date>-<time>-<4 hex>``, in local time.
        system: name of the system.
        settings: all its settings.
        seed: of every random draw.
        cohort: path of the cohort.csv; None for a system that makes its own data.
        cohort_digest: of the cohort's table and files.
        split: subject names by part; None when the system makes its own.
        split_hash: of the split.
        versions: of python, torch, lightning, numpy and the workbench.
        parent: id of the run that this one started from (its lineage).
        quick: trained with the settings for a try in seconds.
        preset: name of the preset the settings came from.
        created: in seconds since 1970.
    """

    id: str
    system: str
    settings: dict[str, Any]
    seed: int
    cohort: str | None
    cohort_digest: str
    split: dict[str, Any] | None
    split_hash: str
    versions: dict[str, str]
    parent: str | None
    quick: bool
    preset: str
    created: float


@dataclass(frozen=True)
class Notes:
    """What the owner says about a run: a title, a note, and a star."""

    title: str = ""
    note: str = ""
    star: bool = False


def new_id(system: str) -> str:
    """Make a run id of the present second."""
    return f"{system}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def versions() -> dict[str, str]:
    """Give the versions a result depends on, without importing the libraries."""
    import platform

    found = {"python": platform.python_version(), "workbench": workbench.__version__}
    for name in ("torch", "lightning", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def read_info(folder: Path) -> RunInfo:
    """Read run.json.

    Raises:
        RunError: it is missing, damaged, or lacks an entry.
    """
    values = read_json(folder / INFO)
    missing = [field.name for field in fields(RunInfo) if field.name not in values]
    if missing:
        raise RunError(f"{INFO} of run {folder.name} lacks {', '.join(missing)}; restore the file or delete the run.")
    kinds = {"system": str, "settings": dict, "seed": int, "versions": dict, "created": int | float}
    wrong = [name for name, kind in kinds.items() if not isinstance(values[name], kind)]
    if wrong:
        raise RunError(
            f"{INFO} of run {folder.name} is damaged in {', '.join(wrong)}; restore the file or delete the run."
        )
    return RunInfo(**{field.name: values[field.name] for field in fields(RunInfo)})


def read_notes(folder: Path) -> Notes:
    """Read notes.json; a missing or damaged one counts as empty, since nothing depends on it."""
    try:
        values = read_json(folder / NOTES)
    except RunError:
        return Notes()
    return Notes(str(values.get("title", "")), str(values.get("note", "")), bool(values.get("star", False)))


def write_notes(folder: Path, notes: Notes) -> None:
    """Replace notes.json."""
    write_json(folder / NOTES, asdict(notes))
