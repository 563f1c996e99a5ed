"""A cohort of 4-D images becomes a cohort of regional time series: the same subjects, a table each."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from workbench.errors import Cancelled, CohortError, WorkbenchError
from workbench.imaging.atlases import Atlas, write_atlas
from workbench.imaging.bold import extract_regions
from workbench.imaging.cleaning import Cleaning
from workbench.imaging.cohort import Cohort, read_cohort, write_cohort, write_label_names
from workbench.imaging.files import NIFTI_SUFFIXES, suffix_of
from workbench.imaging.guard import appearing
from workbench.imaging.regional_series import RegionalSeries, write_regional_series
from workbench.imaging.subject import TR_COLUMN, Subject
from workbench.imaging.tree import suffix
from workbench.imaging.voxels import check_image
from workbench.progress import Progress, silent

REPORT_FILE = "extraction.json"
CONFOUNDS_COLUMN = "confounds"


def extract_cohort(
    cohort: Cohort,
    atlas: Atlas,
    out: Path | str,
    cleaning: Cleaning,
    *,
    tr_s: float | None = None,
    on_error: Literal["stop", "leave out"] = "stop",
    progress: Progress = silent,
) -> Cohort:
    """Extract the regions of every subject's 4-D image into a new cohort.

    The new cohort has the table of each subject as ``series``, the repetition time as ``tr_s``, regions.csv and, of a
    label atlas, atlas.nii.gz; tables of voxels are NPZ, as CSV would be three times as large. Every other column is
    kept, its files hard-linked or copied. What was done to whom is in extraction.json. A column ``confounds`` that
    leads to a table is used.

    Args:
        cohort: whose ``series`` are 4-D images.
        atlas: the regions.
        out: the new cohort's folder, which must not exist; it appears at once, complete.
        cleaning: how the signals are cleaned.
        tr_s: repetition time of all subjects in s; without it the column ``tr_s``, else the header.
        on_error: stop at the first subject that fails, or leave such subjects out by name.
        progress: told before each block of volumes.

    Raises:
        CohortError: ``out`` exists, a subject failed, or none is left.
        Cancelled: as ``progress`` asked; nothing is left behind.
    """
    target = Path(out).expanduser().absolute()
    if os.path.lexists(target):
        raise CohortError(f"There is already something at {target}; choose another name, or delete it first.")
    if on_error not in ("stop", "leave out"):
        raise ValueError(f"on_error is 'stop' or 'leave out'; got {on_error!r}")
    done: list[Subject] = []
    notes: dict[str, list[str]] = {}
    failed: dict[str, str] = {}
    with appearing(target) as folder:
        for index, subject in enumerate(cohort):
            told = _share(progress, index, len(cohort), subject.name)
            try:
                series = _extract(subject, atlas, cleaning, tr_s, told)
            except Cancelled:
                raise
            except WorkbenchError as error:
                if on_error == "stop":
                    raise CohortError(f"The regions of {subject.name} could not be extracted: {error}") from error
                failed[subject.name] = str(error)
                continue
            notes[subject.name] = list(series.notes)
            done.append(_keep(subject, series, folder, ".csv" if atlas.voxel_mm is None else ".npz"))
        if not done:
            first = next(iter(failed.items()), ("nobody", "the cohort is empty"))
            raise CohortError(f"No subject of {cohort.name} could be extracted; {first[0]}: {first[1]}")
        write_atlas(folder, atlas)
        if cohort.label_names:
            write_label_names(folder, cohort.label_names)
        _report(folder, cohort, atlas, cleaning, notes, failed)
        write_cohort(folder, done)
    progress(1.0, f"{len(done)} of {len(cohort)} subjects extracted")
    return read_cohort(target)


def read_extraction(cohort: Cohort) -> dict[str, object]:
    """Read how a cohort was extracted; empty where it was not.

    Keys: ``source`` (the cohort's name), ``atlas``, ``n_regions``, ``cleaning`` (a dict), ``notes`` (subject →
    sentences), ``left_out`` (subject → why).
    """
    try:
        content = json.loads((cohort.path.parent / REPORT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def series_images(cohort: Cohort) -> list[Path]:
    """Give the 4-D images of a cohort."""
    return [s.series for s in cohort if s.series is not None and suffix_of(s.series) in NIFTI_SUFFIXES]


def _extract(
    subject: Subject, atlas: Atlas, cleaning: Cleaning, tr_s: float | None, progress: Progress
) -> RegionalSeries:
    if subject.series is None:
        known = ", ".join([*subject.images, *(f"features:{n}" for n in subject.features)]) or "nothing"
        raise CohortError(f"it has no series, only {known}; put the 4-D image into the column series of cohort.csv.")
    if suffix_of(subject.series) not in NIFTI_SUFFIXES:
        raise CohortError(f"{subject.series.name} is a table of regions already, not a 4-D image.")
    if atlas.voxel_mm is not None:
        check_image(atlas, subject.series)
    return extract_regions(
        subject.series,
        atlas,
        cleaning,
        tr_s=subject.tr_s if tr_s is None else tr_s,
        confounds=_file(subject, subject.covariates.get(CONFOUNDS_COLUMN, "")),
        progress=progress,
    )


def _keep(subject: Subject, series: RegionalSeries, folder: Path, ending: str) -> Subject:
    """Write one subject's series and bring its other files; give the subject with paths in ``folder``."""
    home = folder / subject.name
    home.mkdir()
    write_regional_series(home / f"series{ending}", series)

    def brought(path: Path, name: str) -> Path:
        place = home / f"{name}{suffix(path)}"
        source = path.resolve()
        try:
            os.link(source, place)
        except OSError:  # another disk, or a file system without hard links
            shutil.copyfile(source, place)
        return place

    covariates = {}
    for column, value in subject.covariates.items():
        path = _file(subject, value)
        name = "".join(c if c.isalnum() or c in "-_" else "-" for c in column)
        covariates[column] = value if path is None else brought(path, f"column-{name}").relative_to(folder).as_posix()
    if series.tr_s is not None:
        covariates[TR_COLUMN] = f"{series.tr_s:.9g}"
    return replace(
        subject,
        images={m: brought(p, f"image-{m}") for m, p in subject.images.items()},
        features={n: brought(p, f"features-{n}") for n, p in subject.features.items()},
        label=None if subject.label is None else brought(subject.label, "label"),
        mask=None if subject.mask is None else brought(subject.mask, "mask"),
        points=None if subject.points is None else brought(subject.points, "points"),
        series=home / f"series{ending}",
        covariates=covariates,
        folder=folder,
    )


def _file(subject: Subject, value: str) -> Path | None:
    """Give the file of the cohort that a covariate names, or None where it is a word or a number."""
    path = subject.folder / value
    if not value or ".." in Path(value).parts or Path(value).is_absolute() or not Path(value).suffix:
        return None
    try:
        return path if path.is_file() else None  # links are followed, as everywhere in a cohort
    except (OSError, ValueError):
        return None


def _share(progress: Progress, index: int, n: int, name: str) -> Progress:
    return lambda fraction, message: progress((index + fraction) / n, f"{name} ({index + 1} of {n}): {message}")


def _report(
    folder: Path,
    cohort: Cohort,
    atlas: Atlas,
    cleaning: Cleaning,
    notes: dict[str, list[str]],
    failed: dict[str, str],
) -> None:
    report = {
        "source": cohort.name,
        "atlas": atlas.name,
        "n_regions": atlas.n_regions,
        "cleaning": asdict(cleaning),
        "notes": notes,
        "left_out": failed,
    }
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    (folder / REPORT_FILE).write_text(text, encoding="utf-8")
