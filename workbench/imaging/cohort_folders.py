"""A cohort that exists already, and a single file: the two simplest sources."""

from __future__ import annotations

from pathlib import Path

from workbench.errors import UnreadableFile
from workbench.imaging.cohort import read_cohort
from workbench.imaging.dicom_folders import is_dicom, read_dicom_folder
from workbench.imaging.drafts import Draft, Plan, Source
from workbench.imaging.feature_tables import read_feature_table
from workbench.imaging.files import DICOM_SUFFIXES, IMAGE_SUFFIXES, is_image, suffix_of
from workbench.imaging.region_table import ATLAS_FILE, REGIONS_FILE
from workbench.imaging.regional_series import SERIES_SUFFIXES
from workbench.imaging.repetition_time import is_bold
from workbench.imaging.series_tables import is_series_table, series_name, tells_of_subjects
from workbench.imaging.tree import LeftOut, is_inside, stem, suffix
from workbench.imaging.words import MUTE, split_role


def read_cohort_folder(root: Path) -> Plan:
    """Plan a copy of the cohort in ``root``; covariates that name files of the cohort take them along.

    Raises:
        CohortError: its cohort.csv cannot be used.
    """
    cohort = read_cohort(root)
    plan = Plan("cohort", label_names=cohort.label_names)
    plan.beside = {name: root / name for name in (REGIONS_FILE, ATLAS_FILE) if is_inside(root / name, root)}
    for subject in cohort:
        draft = Draft(subject.name, target=subject.target, group=subject.group, split=subject.split)
        cells = {f"image:{m}": p for m, p in subject.images.items()}
        cells |= {c: p for c in ("label", "mask", "points", "series") if (p := getattr(subject, c)) is not None}
        cells |= {f"features:{n}": p for n, p in subject.features.items()}
        for column, value in subject.covariates.items():
            path = root / value
            if is_inside(path, root) and ".." not in Path(value).parts and Path(value).suffix:
                cells[column] = path
            else:
                draft.covariates[column] = value
        for column, path in cells.items():
            shown = f"{subject.name}, {column}"
            if not is_inside(path, root):
                reason = "It is a folder, or a link that leads out of the cohort; import what it leads to."
                plan.left_out.append(LeftOut(shown, reason))
            elif column.startswith("image:"):
                draft.images[column.partition(":")[2]] = Source(path, shown=shown)
            else:
                draft.files[column] = Source(path, shown=shown)
        had = {c for c in cells if c.startswith(("image:", "series", "features:"))}
        if not had or had & {c for c, _ in draft.sources()}:
            plan.drafts.append(draft)
    return plan


def _is_series(path: Path, ending: str) -> bool:
    if ending in (".csv", ".tsv"):
        return is_series_table(path)
    return not ending.startswith(".txt") or not tells_of_subjects(path)


def read_file(path: Path) -> Plan:
    """Plan a cohort of one subject from one image or one table of time series, or of one a row of a feature table.

    An image with time as its fourth axis is a ``series``. A table of numbers without names of subjects is one where
    its name says so, or its rows change slowly from one to the next.

    Raises:
        UnreadableFile: the file is neither.
    """
    ending = suffix(path).lower()
    if ending in SERIES_SUFFIXES and _is_series(path, ending):
        return Plan("file", [Draft(series_name(path), files={"series": Source(path, shown=path.name)})])
    if ending in (".csv", ".tsv"):
        return read_feature_table(path)
    if is_dicom(path):
        plan = read_dicom_folder(path)
        plan.layout = "file"
        return plan
    if not is_image(path) or suffix_of(path) in DICOM_SUFFIXES:
        known = ", ".join(s for s in IMAGE_SUFFIXES)
        raise UnreadableFile(
            f"{path.name} is neither an image nor a table; expected a name that ends in one of {known}, .csv or .tsv, "
            "or a folder of such files."
        )
    found = split_role(stem(path))
    if (found is None or found[1].kind == "series" or found[1].name in MUTE) and is_bold(path):
        series = Draft(series_name(path), files={"series": Source(path, shown=path.name)})
        return Plan("file", [series], notes=[f"{path.name} has time as its fourth axis and became a series."])
    is_named = found is not None and found[1].kind == "image"
    modality = found[1].name if found and is_named else "image"
    name = found[0] if found and is_named and found[0] else stem(path)
    return Plan("file", [Draft(name, {modality: Source(path, shown=path.name)})])
