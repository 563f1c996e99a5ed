"""Folders of DICOM files: each series becomes a modality of a subject whose name tells nothing.

A subject is one study of one patient, named by a random number; the patient's studies share a group. File and folder
names, which often hold a patient's name, go nowhere: messages number the series instead.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.imaging.dicom import SUFFIXES
from workbench.imaging.dicom_header import SALT, DicomFacts, Header, read_header
from workbench.imaging.drafts import Draft, Plan, Source
from workbench.imaging.tree import LeftOut, list_files, safe_name
from workbench.progress import Progress, silent

NOT_IMAGES = {"SEG": "segmentation", "RTDOSE": "dose", "PR": "presentation", "KO": "selection", "SR": "report"}
NAMES = {"PT": "PET", "NM": "SPECT"}
FACTS = (
    "body_part",
    "manufacturer",
    "model",
    "kernel",
    "units",
    "slice_thickness_mm",
    "kvp",
    "field_strength_t",
    "repetition_time_ms",
    "echo_time_ms",
    "inversion_time_ms",
    "flip_angle_deg",
)


@dataclass
class Series:
    """The files of one series, and what may be known of it."""

    files: list[Path]
    first: Header
    shown: str


def is_dicom(path: Path) -> bool:
    """Say whether a file is DICOM by its ending or by the four letters at byte 128."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_dicom_folder(root: Path, progress: Progress = silent) -> Plan:
    """Plan a cohort from every DICOM image under ``root``, or from one file.

    Damaged files are left out; of the header only the allow-list of :mod:`dicom_header` becomes covariates.
    """
    plan = Plan("dicom")
    # The names of what is left out are not repeated: only how many.
    files, left = list_files(root) if root.is_dir() else ([root], [])
    candidates = [p for p in files if p.name.upper() != "DICOMDIR" and is_dicom(p)]
    n_others = len(files) - len(candidates) + len(left)
    if n_others:
        plan.notes.append(f"{n_others} files are not DICOM images, or links, and were not looked at.")
    series = _by_series(candidates, plan, progress)
    name_of = _modality_names(series)
    subject_of = _subject_names(series)
    for one in series:
        facts = one.first.facts
        if facts.modality in NOT_IMAGES:
            kind = NOT_IMAGES[facts.modality]
            plan.left_out.append(
                LeftOut(one.shown, f"It is a DICOM {kind}, not an image; convert it to NIfTI to use it as a label.")
            )
            continue
        name, group = subject_of(one.first)
        draft = next((d for d in plan.drafts if d.name == name), None)
        if draft is None:
            draft = Draft(name, group=group)
            plan.drafts.append(draft)
        _add(draft, name_of(one.first), one)
        plan.notes += [f"{one.shown}: {w}" for w in facts.warnings]
    return plan


def _by_series(files: list[Path], plan: Plan, progress: Progress) -> list[Series]:
    found: dict[str, Series] = {}
    n_damaged = n_other = 0
    for index, file in enumerate(files):
        if index % 50 == 0:
            progress(index / len(files), f"reading headers: {index} of {len(files)} files")
        try:
            header = read_header(file)
        except WorkbenchError:
            n_damaged += 1
            continue
        if header is None:
            n_other += 1
        elif header.series in found:
            found[header.series].files.append(file)
        else:
            found[header.series] = Series([file], header, "")
    for number, one in enumerate(found.values(), start=1):
        one.shown = f"series {number} ({one.first.facts.modality or 'unknown'}, {len(one.files)} files)"
    if n_damaged:
        plan.left_out.append(
            LeftOut(f"{n_damaged} DICOM files", "They are damaged, empty or too large; export them again.")
        )
    if n_other:
        plan.notes.append(f"{n_other} DICOM files hold no image (reports, contours) and were not imported.")
    return list(found.values())


def _subject_names(series: list[Series]) -> Callable[[Header], tuple[str, str]]:
    """Give a function from a header to its subject's name and group, made with a salt that is forgotten afterwards."""
    salt = secrets.token_bytes(16)
    nobody = hashlib.sha256(SALT).hexdigest()[:12]  # the token of a header without PatientID

    def person(header: Header) -> str:
        token = header.study if header.patient == nobody else header.patient
        return "subject-" + hashlib.sha256(salt + token.encode()).hexdigest()[:8]

    studies: dict[str, list[str]] = defaultdict(list)
    for one in series:
        if one.first.study not in studies[person(one.first)]:
            studies[person(one.first)].append(one.first.study)

    def name(header: Header) -> tuple[str, str]:
        group = person(header)
        known = studies[group]
        return (group if len(known) == 1 else f"{group}_study-{known.index(header.study) + 1}"), group

    return name


def _modality_names(series: list[Series]) -> Callable[[Header], str]:
    """Give a function from a header to its modality; told apart by physics where a study has several of one kind."""
    n_of = Counter((one.first.study, one.first.facts.modality) for one in series)
    several = {modality for (_, modality), n in n_of.items() if n > 1}

    def name(header: Header) -> str:
        facts = header.facts
        plain = NAMES.get(facts.modality or "", safe_name(facts.modality or "image", "image"))
        return "_".join([plain, *_physics(facts)]) if facts.modality in several else plain

    return name


def _physics(facts: DicomFacts) -> list[str]:
    numbers = {"TR": facts.repetition_time_ms, "TE": facts.echo_time_ms, "TI": facts.inversion_time_ms}
    words = [f"{k}{v:.0f}" for k, v in numbers.items() if v]
    return words or ([safe_name(facts.kernel)] if facts.kernel else [])


def _add(draft: Draft, modality: str, one: Series) -> None:
    column = modality
    number = 2
    while column in draft.images:
        column, number = f"{modality}_{number}", number + 1
    draft.images[column] = Source(one.files[0], series=tuple(one.files), shown=one.shown)
    for fact in FACTS:
        value = getattr(one.first.facts, fact)
        if value is not None:
            draft.covariates[f"{column}_{fact}"] = f"{value:g}" if isinstance(value, float) else str(value)
