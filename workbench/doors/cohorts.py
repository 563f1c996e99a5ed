"""Cohorts: bring, make, inspect, split and read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from workbench.errors import CohortError, SettingsError
from workbench.paths import cohorts_dir
from workbench.progress import Progress, silent
from workbench.runs import job

if TYPE_CHECKING:
    import numpy as np

    from workbench.imaging.cohort import Cohort
    from workbench.imaging.fingerprint import Fingerprint
    from workbench.imaging.splits import Split
    from workbench.imaging.table_facts import TableFacts
    from workbench.imaging.volume import Volume
    from workbench.phantoms.appearance import Difficulty

MOST_CLASSES = 12
PHANTOM_KINDS = {
    "brain": "Brains made from the MNI152 template: the deformation, the tissues and the contrasts are known.",
    "digits": "The 1,797 handwritten digits that scikit-learn installs: real pictures of 8 × 8 pixels in ten classes.",
    "paired": "Regional MRI and PET of patients and controls as tables: what one tells of the other is known.",
    "levels": "Tables of grey matter whose class depends on two factors together, on neither alone: what depth is for.",
    "bold": "Regional BOLD signals at rest: eight overlapping networks are known, one of them weaker in patients.",
    "bold-edges": "Regional BOLD signals of patients and controls who differ in some connections, which are known.",
    "bold-states": "Regional BOLD signals from hidden states, which patients leave sooner: their paths are known.",
    "bold-null": "Regional BOLD signals of two classes that differ in nothing: every score has to come out at chance.",
    "bold-images": "4-D BOLD images with an atlas of regions: what each region's signal should be is known.",
    "head": "Whole heads with skull, scalp, eyes and neck: the brain is known, surgery and odd contrasts included.",
    "infant": "Brains of six months in T1, T2 and FA, grey and white matter alike in T1 and T2: tissues are known.",
    "infant-regions": "The same with eight structures, some told apart by their place alone: for several scales.",
    "tumor": "Brains with a tumor in T1, T1c, T2 and FLAIR from two scanners: necrosis, edema and core are known.",
    "lesion": "White matter lesions, and what looks like them, in T1, T2, PD and FLAIR: each lesion is known.",
    "brain7t": "7 T-like brains in four contrasts: deformation, tissues, hippocampus and deep nuclei are known.",
    "prostate": "Prostates in T2 with thick slices: the gland's shape, and where its border can be seen, are known.",
}
PHANTOM_SIZES = {
    "brain": 8, "digits": 1797, "paired": 200, "levels": 400, "bold": 40, "bold-edges": 60, "bold-states": 40,
    "bold-null": 40, "bold-images": 6, "head": 8, "infant": 8, "infant-regions": 8, "tumor": 8, "lesion": 8,
    "brain7t": 8, "prostate": 12,
}  # fmt: skip
"""Kind → how many subjects it has when nothing else is said."""
BOLD_PLANS: dict[str, dict[str, object]] = {
    "bold": {"kind": "networks"},
    "bold-edges": {"kind": "edges", "n_regions": 60},
    "bold-states": {"kind": "states", "n_volumes": 300, "n_sites": 1},
    "bold-null": {"kind": "null"},
    "bold-images": {"kind": "networks", "images": True},
}
"""Kind → how its phantom differs from the usual one."""
SPACED_PHANTOMS = ("brain", "head", "infant", "infant-regions", "tumor", "lesion", "brain7t", "prostate")
"""Kinds whose voxel size can be chosen."""


def list_cohorts() -> list[Cohort]:
    """Give every readable cohort of the data folder, by name."""
    return _all_cohorts()[0]


def list_broken_cohorts() -> dict[str, str]:
    """Give folders of the data folder whose cohort cannot be read: name → why."""
    return _all_cohorts()[1]


@lru_cache(maxsize=64)
def _read(file: str, state: tuple[int, ...]) -> Cohort:
    from workbench.imaging.cohort import read_cohort

    return read_cohort(file)


def _kept(path: Path) -> Cohort:
    """Read a cohort once for each state of its cohort.csv: pages ask for all of them many times whenever they run."""
    from workbench.imaging.cohort import read_cohort

    file = path.expanduser()
    file = (file / "cohort.csv" if file.is_dir() else file).absolute()
    try:
        found = file.stat()
    except (OSError, ValueError):
        return read_cohort(path)  # which says what is wrong
    return _read(str(file), (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino))


def _all_cohorts() -> tuple[list[Cohort], dict[str, str]]:
    found, broken = [], {}
    for file in sorted(cohorts_dir().glob("*/cohort.csv")):
        try:
            found.append(_kept(file))
        except CohortError as error:
            broken[file.parent.name] = str(error)
    return found, broken


def open_cohort(name_or_path: str | Path) -> Cohort:
    """Open a cohort by its name in the data folder, its folder, or its cohort.csv.

    Raises:
        CohortError: there is none.
    """
    text = str(name_or_path)
    named = cohorts_dir() / text
    is_name = text and not any(c in text for c in "/\\") and (named / "cohort.csv").is_file()
    return _kept(named if is_name else Path(text))


def make_phantom(
    kind: str, out: Path | str, *, n_subjects: int | None = None, seed: int = 0, spacing_mm: float | None = None,
    difficulty: Difficulty | None = None, progress: Progress = silent,
) -> Cohort:  # fmt: skip
    """Make a cohort whose truth is known; a bare name goes to the data folder.

    Args:
        kind: one of :data:`PHANTOM_KINDS`.
        out: the new folder.
        n_subjects: None for the usual number of the kind.
        seed: equal seeds give equal bytes.
        spacing_mm: voxel size of :data:`SPACED_PHANTOMS`; None for 2 mm, of prostates 1 mm in the plane.
        difficulty: contrast and noise of the brain phantom; None for ``"easy"``.
        progress: told of each subject.

    Raises:
        SettingsError: no phantom of that kind or difficulty, or a setting that the kind does not have.
        CohortError: the folder exists already.
    """
    if kind not in PHANTOM_KINDS:
        raise SettingsError(f"There is no phantom {kind!r}; known ones are {', '.join(PHANTOM_KINDS)}.")
    if spacing_mm is not None and kind not in SPACED_PHANTOMS:
        raise SettingsError(f"A voxel size belongs to phantoms of volumes; {kind} has none, so leave it out.")
    if difficulty is not None and kind != "brain":
        raise SettingsError(f"The difficulty belongs to the brain phantom; {kind} has none, so leave it out.")
    number = PHANTOM_SIZES[kind] if n_subjects is None else n_subjects
    if kind == "digits":
        from workbench.phantoms.digits import make_digits

        return make_digits(new_cohort(out), n_subjects=number, seed=seed, progress=progress)
    if kind == "paired":
        from workbench.phantoms.modalities import make_paired

        return make_paired(new_cohort(out), n_subjects=number, seed=seed, progress=progress)
    if kind == "levels":
        from workbench.phantoms.two_level import make_two_level

        return make_two_level(new_cohort(out), n_subjects=number, seed=seed)
    if kind in BOLD_PLANS:
        from workbench.phantoms.bold import make_bold

        plan: dict[str, Any] = BOLD_PLANS[kind]
        return make_bold(new_cohort(out), n_subjects=number, seed=seed, progress=progress, **plan)
    if kind in SPACED_PHANTOMS and kind != "brain":
        return _make_spaced(kind, new_cohort(out), number, seed, spacing_mm, progress)
    from workbench.phantoms.brain import make_brain

    return make_brain(
        new_cohort(out), n_subjects=number, seed=seed, spacing_mm=2.0 if spacing_mm is None else spacing_mm,
        difficulty=difficulty or "easy", progress=progress,
    )  # fmt: skip


def _make_spaced(kind: str, out: Path, number: int, seed: int, spacing_mm: float | None, progress: Progress) -> Cohort:
    """Make a phantom to be segmented or registered."""
    from workbench.phantoms.brain_7t import make_brain_7t
    from workbench.phantoms.head import make_head
    from workbench.phantoms.infant import make_infant
    from workbench.phantoms.lesion import make_lesion
    from workbench.phantoms.prostate import make_prostate
    from workbench.phantoms.tumor import make_tumor

    given: dict[str, Any] = {"n_subjects": number, "seed": seed, "progress": progress}
    if spacing_mm is not None:
        given["spacing_mm"] = spacing_mm
    if kind.startswith("infant"):
        return make_infant(out, structures="regions" if kind.endswith("regions") else "tissues", **given)
    makers: dict[str, Any] = {
        "head": make_head, "tumor": make_tumor, "lesion": make_lesion, "brain7t": make_brain_7t,
        "prostate": make_prostate,
    }  # fmt: skip
    return makers[kind](out, **given)


def import_cohort(source: Path | str, out: Path | str, *, link: bool = False, progress: Progress = silent) -> Cohort:
    """Import BIDS, dataset.json, DICOM, a zip, a folder of files or one file; a bare name goes to the data folder.

    Raises:
        FileError, CohortError: nothing in the source can be used, or ``out`` exists.
        Cancelled: ``progress`` said so; nothing is left behind.
    """
    from workbench.imaging.importers import import_cohort as _import

    return _import(Path(source).expanduser(), new_cohort(out), link=link, progress=progress)


def import_uploads(files: Iterable[tuple[str, BinaryIO]], out: str, progress: Progress = silent) -> Cohort:
    """Import files that came through the browser."""
    from workbench.imaging.uploads import staged

    with staged(files) as folder:
        return import_cohort(folder, out, progress=progress)


def start_upload(files: Iterable[tuple[str, BinaryIO]], name: str) -> job.Job:
    """Import files that came through the browser in a process of its own; follow it with :func:`read_job`."""
    from workbench.imaging.uploads import discard, stage

    out = new_cohort(name)
    source = stage(files)
    try:
        return job.start_job(["import", str(source), str(out), "--discard"])
    except BaseException:
        discard(source)
        raise


def discard_upload(source: Path) -> None:
    """Remove a staged upload; any other folder is left alone."""
    from workbench.imaging.uploads import discard

    discard(source)


def start_import(source: str, name: str, *, link: bool = False) -> job.Job:
    """Import a folder of this machine in a process of its own; follow it with :func:`read_job`."""
    return job.start_job(["import", source, str(new_cohort(name)), *(["--link"] if link else [])])


def start_phantom(
    name: str, *, kind: str = "brain", n_subjects: int | None = None, seed: int = 0, spacing_mm: float | None = None,
    difficulty: Difficulty | None = None,
) -> job.Job:  # fmt: skip
    """Make a phantom cohort in a process of its own, as :func:`make_phantom`; follow it with :func:`read_job`.

    Raises:
        SettingsError: no phantom of that kind.
        CohortError: the name is taken.
    """
    if kind not in PHANTOM_KINDS:
        raise SettingsError(f"There is no phantom {kind!r}; known ones are {', '.join(PHANTOM_KINDS)}.")
    given = {"--subjects": n_subjects, "--seed": seed, "--spacing": spacing_mm, "--difficulty": difficulty}
    options = [text for option, value in given.items() if value is not None for text in (option, str(value))]
    return job.start_job(["phantom", kind, str(new_cohort(name)), *options])


def delete_cohort(name: str) -> None:
    """Delete a cohort of the data folder; runs trained on it stay.

    Raises:
        CohortError: there is no such cohort in the data folder.
    """
    from workbench.imaging.cohort import delete_cohort as _delete

    _delete(cohorts_dir(), name)


def inspect(cohort: Cohort, progress: Progress = silent) -> Fingerprint:
    """Give a cohort's fingerprint; it is kept beside the cohort until the data changes."""
    from workbench.imaging.stored_fingerprint import stored_fingerprint

    return stored_fingerprint(cohort, progress)


def describe_fingerprint(found: Fingerprint) -> str:
    """Give a fingerprint as lines of text."""
    from workbench.imaging.stored_fingerprint import describe

    return describe(found)


def feature_tables(cohort: Cohort, progress: Progress = silent) -> list[TableFacts]:
    """Give what each feature table of a cohort holds, read subject by subject."""
    from workbench.imaging.table_facts import table_facts

    return table_facts(cohort, progress)


def describe_tables(cohort: Cohort, facts: list[TableFacts] | None = None) -> list[str]:
    """Give what the feature tables of a cohort hold as sentences: one a table, then classes and groups.

    Args:
        cohort: whose.
        facts: of :func:`feature_tables`, where they are at hand.
    """
    from workbench.imaging.splits import group_of

    found = []
    for one in feature_tables(cohort) if facts is None else facts:
        n_rows, n_columns = one.values.shape
        missing = f"{one.n_missing:,} of {one.values.size:,} cells missing" if one.n_missing else "no cell missing"
        out = f", {len(one.problems):,} rows left out" if one.problems else ""
        found.append(f"{one.name}: {n_rows:,} rows × {n_columns:,} columns, {missing}{out}.")
    counts = Counter(s.target for s in cohort if s.target)
    without = len(cohort) - sum(counts.values())
    lacking = f"; {without:,} without a target" if without and counts else ""
    if not counts:
        classes = "No targets"
    elif len(counts) <= MOST_CLASSES:
        classes = f"{len(counts)} classes: {', '.join(f'{n} {k:,}' for n, k in sorted(counts.items()))}{lacking}"
    else:
        classes = f"{len(counts):,} different targets{lacking}"
    n_groups = len({group_of(s) for s in cohort})
    groups = "every subject a group of its own" if n_groups == len(cohort) else f"{n_groups:,} groups"
    return [*found, f"{classes}; {groups}."]


def make_split(cohort: Cohort, fractions: tuple[float, float, float] = (0.7, 0.15, 0.15), seed: int = 0) -> Split:
    """Split a cohort by group into training, validation and test."""
    from workbench.imaging.splits import split_by_group

    return split_by_group(cohort, fractions, seed)


def save_split(cohort: Cohort, split: Split | None) -> Cohort:
    """Write the split into cohort.csv; None takes it out again.

    Raises:
        CohortError: a group would be in two parts.
    """
    from dataclasses import replace

    from workbench.imaging.cohort import write_cohort
    from workbench.imaging.splits import check_split

    if split is not None:
        check_split(cohort, split)
    parts = (
        {} if split is None else {name: part for part in ("train", "validation", "test") for name in split.part(part)}
    )
    return write_cohort(cohort.path.parent, [replace(s, split=parts.get(s.name)) for s in cohort])


def load_volume(cohort: str, subject: str, modality: str) -> Volume:
    """Read one image of one subject."""
    return open_cohort(cohort)[subject].volume(modality)


def load_overlay(cohort: str, subject: str, kind: str, modality: str) -> np.ndarray | None:
    """Read the ``"label"`` map or ``"mask"`` of a subject on the lattice of one of its images, (X, Y, Z) or None."""
    found = open_cohort(cohort)[subject]
    like = found.volume(modality)
    return found.label_map(like) if kind == "label" else found.mask_array(like)


def nifti_bytes(volume: Volume) -> bytes:
    """Give a Volume as the bytes of a .nii.gz file, for a download."""
    from workbench.imaging.nifti import nifti_bytes as _bytes

    return _bytes(volume)


def label_names(cohort: str) -> dict[int, str]:
    """Give what the values of a cohort's label maps mean: its labels.json; empty without one."""
    return open_cohort(cohort).label_names


def default_split(cohort: Cohort, seed: int) -> Split | None:
    """Split by group as far as there are groups: three parts, two, or everything for training."""
    from workbench.imaging.splits import group_of

    n_groups = len({group_of(subject) for subject in cohort})
    if n_groups == 1:
        return None
    return make_split(cohort, (0.7, 0.15, 0.15) if n_groups > 2 else (0.5, 0.5, 0.0), seed)


def new_cohort(out: Path | str) -> Path:
    """Turn a bare name into a folder of the data folder, and refuse one that exists.

    Raises:
        CohortError: the folder exists, or the name cannot be a folder's.
    """
    path = Path(out).expanduser()
    if isinstance(out, str) and not any(c in out for c in "/\\"):
        if not out.strip() or out.startswith(".") or any(c in out for c in '<>:"|?*\0'):
            raise CohortError(f"{out!r} cannot name a cohort; use letters, digits, spaces, - and _.")
        path = cohorts_dir() / out.strip()
    if path.exists():
        raise CohortError(f"{path} exists already; choose another name or delete it first.")
    return path
