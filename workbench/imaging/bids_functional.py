"""Functional runs of a BIDS tree: the preprocessed image before the raw one, its confounds, its repetition time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from workbench.imaging.drafts import Draft, Source
from workbench.imaging.repetition_time import LEAST_S, MOST_S
from workbench.imaging.subject import TR_COLUMN
from workbench.imaging.tree import is_inside, stem, suffix

MAX_JSON_BYTES = 1_000_000
SAME = ("task", "acq", "ce", "rec", "dir", "run")  # entities by which files of one run are known
CONFOUNDS = ("confounds", "timeseries", "regressors")


@dataclass(frozen=True)
class Functional:
    """One file of a functional run.

    Attributes:
        path: of the file.
        person, session: ``sub-1``, and ``ses-1`` or "".
        tags: entities, by their key.
        kind: the last word of the name.
    """

    path: Path
    person: str
    session: str
    tags: dict[str, str]
    kind: str

    @property
    def run(self) -> tuple[str, str, tuple[str | None, ...]]:
        """What files of one run have in common."""
        return self.person, self.session, tuple(self.tags.get(key) for key in SAME)


def functional_of(files: list[Path], root: Path) -> list[Functional]:
    """Read the names of everything that lies in a folder ``func``."""
    found = []
    for path in files:
        parts = path.relative_to(root).parts
        person = next((p for p in parts[:-1] if p.startswith("sub-")), "")
        if person and parts[-2] == "func":
            *pairs, kind = stem(path).split("_")
            tags = {k: v for k, dash, v in (p.partition("-") for p in pairs) if dash}
            found.append(
                Functional(path, person, next((p for p in parts[:-1] if p.startswith("ses-")), ""), tags, kind)
            )
    return found


def complete_series(draft: Draft, functional: list[Functional], root: Path) -> bool:
    """Give a subject's ``series`` the preprocessed image, confounds and repetition time that the tree has.

    Returns:
        Whether a preprocessed image took the place of the raw one, which is then ``series:raw``.
    """
    series = draft.files.get("series")
    raw = next((f for f in functional if series is not None and f.path == series.path), None)
    if raw is None:
        return False
    same = [f for f in functional if f.run == raw.run]
    better = next((f for f in same if f.path != raw.path and _is_preprocessed(f)), None)
    is_raw = not _is_preprocessed(raw)
    if better is not None and is_raw:
        assert series is not None
        draft.files["series"] = _source(better.path, root)
        draft.files["series:raw"] = series
    confounds = next((f for f in same if f.kind in CONFOUNDS and suffix(f.path).lower() == ".tsv" and _names(f)), None)
    if confounds is not None:
        draft.files["confounds"] = _source(confounds.path, root)
    sidecars = [f.path for f in (better, raw) if f is not None]
    seconds = next((tr for p in sidecars if (tr := _repetition_time(p.with_name(stem(p) + ".json"), root))), None)
    seconds = seconds or _repetition_time(root / f"task-{raw.tags.get('task')}_bold.json", root)
    if seconds is not None:
        draft.covariates[TR_COLUMN] = f"{seconds:g}"
    return better is not None and is_raw


def _source(path: Path, root: Path) -> Source:
    return Source(path, shown=path.relative_to(root).as_posix())


def _is_preprocessed(one: Functional) -> bool:
    is_image = one.kind == "bold" and suffix(one.path).lower() in (".nii", ".nii.gz")
    return is_image and one.tags.get("desc") == "preproc" and one.tags.get("space", "").startswith("MNI")


def _names(one: Functional) -> bool:
    return one.kind == "confounds" or one.tags.get("desc") == "confounds"


def _repetition_time(path: Path, root: Path) -> float | None:
    """Read the repetition time in s from a JSON file; None where there is none that can be."""
    if not is_inside(path, root) or path.stat().st_size > MAX_JSON_BYTES:
        return None
    try:
        seconds = float(json.loads(path.read_text(encoding="utf-8"))["RepetitionTime"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return seconds if LEAST_S <= seconds <= MOST_S else None
