"""The Cohort: subjects on disk, one row each in ``cohort.csv``.

Columns, all optional but ``subject``: ``image:<modality>``, ``label``, ``mask``, ``points``, ``series``,
``features:<name>``, ``target``, ``group``, ``split``, and any covariate. Paths are relative to the file.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from workbench.errors import CohortError
from workbench.imaging.subject import Subject

PATH_COLUMNS = ("label", "mask", "points", "series")
TEXT_COLUMNS = ("target", "group", "split")
# Names become file names of predictions and features, so they may not lead out of a folder.
NAME = re.compile(r"[^\s./\\\x00-\x1f][^/\\\x00-\x1f]{0,119}")


@dataclass(frozen=True)
class Cohort:
    """Subjects of one cohort.csv.

    Attributes:
        path: the cohort.csv.
        subjects: in the file's order.
    """

    path: Path
    subjects: tuple[Subject, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.parent.name

    @property
    def modalities(self) -> list[str]:
        """Every modality that at least one subject has, in order of first appearance."""
        return list(dict.fromkeys(m for s in self.subjects for m in s.images))

    @property
    def digest(self) -> str:
        """A short hash of the table and of each file's size and time; it changes when the data does."""
        state = hashlib.sha256(self.path.read_bytes())
        for subject in self.subjects:
            files = [subject.label, subject.mask, subject.points, subject.series]
            for file in [*subject.images.values(), *files, *subject.features.values()]:
                if file is not None and file.exists():
                    stat = file.stat()
                    state.update(f"{file.name}:{stat.st_size}:{stat.st_mtime_ns}".encode())
        return state.hexdigest()[:12]

    @property
    def label_names(self) -> dict[int, str]:
        """Label value → name from labels.json beside cohort.csv; empty where there is none that can be read."""
        try:
            content = json.loads((self.path.parent / "labels.json").read_text(encoding="utf-8"))
            return {int(value): str(name) for value, name in content.items()}
        except (OSError, ValueError, AttributeError):
            return {}

    @cached_property
    def _by_name(self) -> dict[str, Subject]:
        return {subject.name: subject for subject in self.subjects}

    def __len__(self) -> int:
        return len(self.subjects)

    def __iter__(self) -> Iterator[Subject]:
        return iter(self.subjects)

    def __getitem__(self, name: str) -> Subject:
        """Give a subject by name.

        Raises:
            CohortError: there is none of that name.
        """
        if name in self._by_name:
            return self._by_name[name]
        raise CohortError(
            f"Cohort {self.name} has no subject {name!r}; it has {_some([s.name for s in self.subjects])}."
        )

    def only(self, names: list[str] | tuple[str, ...]) -> Cohort:
        """Give the same cohort with these subjects alone, in this order."""
        return Cohort(self.path, tuple(self[name] for name in names))


def read_cohort(path: Path | str) -> Cohort:
    """Read a cohort from its folder or its cohort.csv.

    Raises:
        CohortError: no such file, no ``subject`` column, no rows, a name given twice, or a path that is absent or
            leads out of the cohort's folder.
    """
    file = Path(path).expanduser()
    file = (file / "cohort.csv" if file.is_dir() else file).absolute()
    if not file.is_file():
        raise CohortError(
            f"There is no cohort at {path}: expected a folder with a cohort.csv; make one with `workbench import`."
        )
    columns, rows = _table(file)
    if "subject" not in columns:
        raise CohortError(f"{file.name} must have a column named subject; it has {', '.join(columns) or 'nothing'}.")
    rows = [row for row in rows if row.get("subject")]
    if not rows:
        raise CohortError(f"{file} lists no subjects; add one row for each subject.")
    names = [row["subject"] for row in rows]
    for name in [*names, *(c.partition(":")[2] for c in columns if c.startswith(("image:", "features:")))]:
        if not NAME.fullmatch(name):
            raise CohortError(
                f"{file.name} has the name {name[:60]!r}; names begin with a letter or digit and hold no slash."
            )
    twice = sorted(n for n, count in Counter(names).items() if count > 1)
    if twice:
        raise CohortError(f"{file.name} lists {_some(twice)} more than once; give every subject a name of its own.")
    return Cohort(file, tuple(_subject(row, file.parent) for row in rows))


def write_cohort(folder: Path, subjects: list[Subject] | tuple[Subject, ...]) -> Cohort:
    """Write ``cohort.csv`` for these subjects into ``folder``, replacing it at once, and read it back."""
    rows = [_row(subject, folder) for subject in subjects]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    partial = folder / "cohort.csv.partial"
    with partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(folder / "cohort.csv")
    return read_cohort(folder)


def write_label_names(folder: Path, names: dict[int, str]) -> None:
    """Write what the values of the label maps mean to ``labels.json`` beside cohort.csv."""
    text = json.dumps({str(value): name for value, name in names.items()}, indent=1, ensure_ascii=False)
    (folder / "labels.json").write_text(text + "\n", encoding="utf-8")


def _table(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read the column names, and each row's cells that are not empty; spaces around both are dropped."""
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            reader = csv.DictReader(stream)
            columns = [str(name).strip() for name in reader.fieldnames or []]
            rows = [
                {k.strip(): v.strip() for k, v in row.items() if k and isinstance(v, str) and v.strip()}
                for row in reader
            ]
    except (csv.Error, OSError) as error:
        raise CohortError(f"{file} cannot be read as a table with commas ({error}); save it as CSV again.") from error
    return columns, rows


def delete_cohort(root: Path, name: str) -> None:
    """Delete a cohort's folder; files that were linked in stay where they are.

    Args:
        root: the folder of all cohorts.
        name: one folder in it.

    Raises:
        CohortError: there is no cohort of that name, or its files cannot be removed.
    """
    folder = root / name
    if Path(name).name != name or folder.is_symlink() or not (folder / "cohort.csv").is_file():
        raise CohortError(f"There is no cohort {name!r} in {root}; nothing was deleted.")
    doomed = root / f".deleted-{name}"
    try:
        folder.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        raise CohortError(
            f"Cohort {name} could not be deleted ({error.strerror}); check the folder's permissions."
        ) from error


def _subject(row: dict[str, str], folder: Path) -> Subject:
    cells = dict(row)
    name = cells.pop("subject")
    images: dict[str, Path] = {}
    features: dict[str, Path] = {}
    paths: dict[str, Path] = {}
    for column in list(cells):
        kind, _, label = column.partition(":")
        if column in PATH_COLUMNS:
            paths[column] = _inside(cells.pop(column), folder, name, column)
        elif kind == "image" and label:
            images[label] = _inside(cells.pop(column), folder, name, column)
        elif kind == "features" and label:
            features[label] = _inside(cells.pop(column), folder, name, column)
    texts = {column: cells.pop(column, None) for column in TEXT_COLUMNS}
    return Subject(name, images, features=features, covariates=cells, folder=folder, **paths, **texts)  # type: ignore[arg-type]


def _inside(value: str, folder: Path, subject: str, column: str) -> Path:
    """Resolve a cell to a file; links are followed because large cohorts are linked in, ``..`` is not."""
    if Path(value).is_absolute() or ".." in Path(value).parts:
        raise CohortError(
            f"Row {subject}, column {column}: {value!r} must be a path inside the cohort's folder, without '..'."
        )
    path = folder / value
    try:
        exists = path.exists()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        exists = False
    if not exists:
        raise CohortError(f"Row {subject}, column {column}: the file {value!r} does not exist in {folder.name}.")
    return path


def _row(subject: Subject, folder: Path) -> dict[str, str]:
    row = {"subject": subject.name}
    row |= {f"image:{m}": _relative(p, folder) for m, p in subject.images.items()}
    row |= {c: _relative(p, folder) for c in PATH_COLUMNS if (p := getattr(subject, c)) is not None}
    row |= {f"features:{n}": _relative(p, folder) for n, p in subject.features.items()}
    row |= {c: t for c in TEXT_COLUMNS if (t := getattr(subject, c)) is not None}
    return row | subject.covariates


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _some(names: list[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
