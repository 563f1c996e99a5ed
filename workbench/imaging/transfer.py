"""From drafts to files of a cohort: copied without their text, linked, or converted; what fails is left out by name."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from workbench.errors import FileError, GeometryError, UnreadableFile
from workbench.imaging.cohort import PATH_COLUMNS
from workbench.imaging.dicom import read_dicom
from workbench.imaging.drafts import Draft, Plan, Source
from workbench.imaging.files import NIFTI_SUFFIXES, suffix_of
from workbench.imaging.guard import check_file, check_size, reading
from workbench.imaging.limits import open_stream
from workbench.imaging.nifti import write_nifti
from workbench.imaging.nrrd import NRRD_SUFFIXES, read_nrrd
from workbench.imaging.pictures import PICTURE_SUFFIXES, read_picture, write_picture
from workbench.imaging.regional_series import read_regional_series
from workbench.imaging.scrub import check_nifti, copy_nifti, copy_picture
from workbench.imaging.subject import Subject
from workbench.imaging.tree import LeftOut, suffix, unique_names
from workbench.imaging.volume import Volume
from workbench.progress import Progress, silent

TABLE_SUFFIXES = (".csv", ".tsv", ".npz", ".json", ".txt", ".npy", ".csv.gz", ".tsv.gz", ".txt.gz")
IMAGE_TYPES = (np.uint8, np.int16, np.int32)


@dataclass
class Transfer:
    """What came of it.

    Attributes:
        subjects: with paths inside the cohort's folder.
        left_out: files that could not be taken.
        notes: what was changed on the way.
        n_files: how many files were taken.
        n_linked: how many of them are links.
        series_notes: what was said of a time series → of which.
    """

    subjects: list[Subject] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_files: int = 0
    n_linked: int = 0
    series_notes: dict[str, list[str]] = field(default_factory=dict)


def transfer(plan: Plan, folder: Path, *, link: bool = False, progress: Progress = silent) -> Transfer:
    """Bring every file of a plan into ``folder``, one folder a subject.

    A file that cannot be read is left out with its reason; a subject that so loses all its images is left out too.

    Args:
        plan: what to bring.
        folder: exists and is empty; the caller removes it when this fails.
        link: make symbolic links where a file can stay as it is; what must be converted is copied all the same.
        progress: told before each file.

    Raises:
        Cancelled: as ``progress`` asked.
        FileError: ``folder`` cannot be written to.
    """
    done = Transfer(left_out=list(plan.left_out), notes=list(plan.notes))
    total = sum(len(list(draft.sources())) for draft in plan.drafts)
    names = unique_names(draft.name for draft in plan.drafts)
    seen = 0
    for draft, name in zip(plan.drafts, names, strict=True):
        cells: dict[str, Path] = {}
        stems = unique_names(column.removeprefix("image:") for column, _ in draft.sources())
        for (column, source), file_stem in zip(draft.sources(), stems, strict=True):
            progress(seen / max(total, 1), f"{name}: {column.removeprefix('image:')} ({seen + 1} of {total} files)")
            seen += 1
            path = _bring(source, column, folder / name / file_stem, link, done)
            if path is not None:
                cells[column] = path
        _keep(draft, name, cells, folder, done)
    for note, shown in done.series_notes.items():
        done.notes.append(f"{shown[0]}{f' and {len(shown) - 1} more series' if len(shown) > 1 else ''}: {note}")
    progress(1.0, f"{len(done.subjects)} subjects, {done.n_files} files")
    return done


def _keep(draft: Draft, name: str, cells: dict[str, Path], folder: Path, done: Transfer) -> None:
    had_images = any(column.startswith(("image:", "series", "features:")) for column, _ in draft.sources())
    if had_images and not any(c.startswith(("image:", "series", "features:")) for c in cells):
        done.left_out.append(LeftOut(name, "None of its images could be read, so the subject was left out."))
        shutil.rmtree(folder / name, ignore_errors=True)
        done.n_files -= len(cells)
        done.n_linked -= sum(p.is_symlink() for p in cells.values())
        return
    done.subjects.append(_subject(draft, name, cells, folder))


def _bring(source: Source, column: str, target: Path, link: bool, done: Transfer) -> Path | None:
    """Bring one file; give its path in the cohort, or None after noting why it was left out."""
    target.parent.mkdir(parents=True, exist_ok=True)
    kind = suffix_of(source.path)
    is_file = source.channel is None and not source.series and source.text is None and source.volume is None
    plain = is_file and kind not in (".nhdr", ".mhd")
    path = target.with_name(target.name + _new_suffix(source, kind, linked=link and plain))
    try:
        if column == "series" and is_file and kind not in NIFTI_SUFFIXES:
            for text in read_regional_series(source.path).notes:
                done.series_notes.setdefault(text, []).append(source.shown or source.path.name)
        if link and plain:
            _check(source.path, kind, column)
            path.symlink_to(source.path.resolve())
            done.n_linked += 1
        else:
            note = _copy(source, kind, column, path)
            done.notes += [f"{source.shown or source.path.name}: {note}"] if note else []
    except (FileError, GeometryError) as error:
        path.unlink(missing_ok=True)
        done.left_out.append(LeftOut(source.shown or source.path.name, str(error)))
        return None
    done.n_files += 1
    return path


def _new_suffix(source: Source, kind: str, linked: bool) -> str:
    """Give the ending in the cohort: volumes become .nii.gz, unless they are linked."""
    if linked:
        return kind or suffix(source.path).lower()
    if source.text is not None:
        return ".csv"
    if source.volume is not None:
        return source.ending
    if source.series or kind in (*NIFTI_SUFFIXES, *NRRD_SUFFIXES):
        return ".nii.gz"
    return kind or suffix(source.path).lower()


def _check(path: Path, kind: str, column: str) -> None:
    """Look at what tells that a file can be read, without reading all of it."""
    if kind in NIFTI_SUFFIXES:
        check_nifti(path)
    elif kind in NRRD_SUFFIXES:
        read_nrrd(path)
    elif kind in PICTURE_SUFFIXES:
        read_picture(path)
    else:
        _check_table(path, column)


def _copy(source: Source, kind: str, column: str, path: Path) -> str:
    """Copy or convert one file; give a note of what was changed, or nothing."""
    if source.text is not None:
        path.write_text(source.text, encoding="utf-8")
    elif source.volume is not None:
        (write_picture if source.ending in PICTURE_SUFFIXES else _write_lossless)(source.volume(), path)
    elif source.series:
        _write_lossless(read_dicom(source.series, non_finite="zero"), path)
    elif kind in NIFTI_SUFFIXES:
        n_bad = copy_nifti(source.path, path, source.channel)
        return f"{n_bad} voxels that were no numbers (NaN or infinite) were set to 0." if n_bad else ""
    elif kind in NRRD_SUFFIXES:
        _write_lossless(read_nrrd(source.path, non_finite="zero"), path)
    elif kind in PICTURE_SUFFIXES:
        read_picture(source.path)
        copy_picture(source.path, path)
    else:
        _check_table(source.path, column)
        shutil.copyfile(source.path, path)
    return ""


def _write_lossless(volume: Volume, path: Path) -> None:
    """Write the smallest stored type that holds every voxel exactly."""
    low, high = float(volume.data.min()), float(volume.data.max())
    whole = np.array_equal(volume.data, np.rint(volume.data))
    fitting = [t for t in IMAGE_TYPES if whole and np.iinfo(t).min <= low and high <= np.iinfo(t).max]
    write_nifti(volume, path, dtype=fitting[0] if fitting else np.float32)


def _check_table(path: Path, column: str) -> None:
    """Check that a file which is no image is a table that a cohort may hold.

    Raises:
        UnreadableFile: another ending, empty, a pickle in an NPZ, or bytes that are no text.
    """
    check_file(path, "a table")
    check_size(path)
    ending = suffix(path).lower()
    if ending not in TABLE_SUFFIXES:
        raise UnreadableFile(
            f"{path.name} was expected to be an image or a table for the column {column}, but ends in "
            f"{ending or 'nothing'}."
        )
    if ending == ".npz":
        try:
            with np.load(path, allow_pickle=False) as arrays:
                for name in arrays.files:
                    _ = arrays[name].shape
        except (ValueError, OSError, EOFError, KeyError) as error:
            raise UnreadableFile(
                f"{path.name} is not an NPZ file of plain arrays; save it without pickled objects."
            ) from error
    elif ending != ".npy" and b"\0" in _beginning(path):
        raise UnreadableFile(f"{path.name} was expected to be text in columns, but holds binary data.")


def _beginning(path: Path) -> bytes:
    with reading(path, "text in columns"), open_stream(path) as stream:
        return stream.read(4096)


def _subject(draft: Draft, name: str, cells: dict[str, Path], folder: Path) -> Subject:
    known = {c: p for c, p in cells.items() if c in PATH_COLUMNS}
    images = {c.partition(":")[2]: p for c, p in cells.items() if c.startswith("image:")}
    features = {c.partition(":")[2]: p for c, p in cells.items() if c.startswith("features:")}
    further = {
        c: p.relative_to(folder).as_posix()
        for c, p in cells.items()
        if c not in known and not c.startswith(("image:", "features:"))
    }
    return Subject(
        name,
        images,
        label=known.get("label"),
        mask=known.get("mask"),
        points=known.get("points"),
        series=known.get("series"),
        features=features,
        target=draft.target,
        group=draft.group,
        split=draft.split,
        covariates={**draft.covariates, **further},
        folder=folder,
    )
