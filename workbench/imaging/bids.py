"""BIDS trees: ``sub-<label>/[ses-<label>/]<datatype>/<entities>_<suffix>.nii.gz``.

The Brain Imaging Data Structure (Gorgolewski et al. 2016, Scientific Data 3:160044). A session becomes a subject of
its own in the group of its person, so that no split separates the two.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from workbench.imaging.bids_functional import complete_series, functional_of
from workbench.imaging.cohort import PATH_COLUMNS, TEXT_COLUMNS
from workbench.imaging.drafts import Draft, Plan, Source
from workbench.imaging.tree import LeftOut, is_inside, list_files, natural, stem, suffix

DATATYPES = ("anat", "func", "pet", "dwi", "perf", "micr")
# Entities that change what an image measures; the others (run, acq, rec …) tell repetitions apart.
MEANINGFUL = ("ce", "trc", "part", "inv", "echo", "flip", "mt", "stain")
PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
NATIVE_SPACES = (None, "T1w", "T2w", "orig", "individual", "scanner")
MAX_TABLE_BYTES = 16_000_000
RESERVED = {"subject", *PATH_COLUMNS, *TEXT_COLUMNS}


def is_bids(root: Path) -> bool:
    """Say whether a folder holds ``sub-*`` folders with a BIDS data type inside, at most a session deep."""
    for subject in sorted(root.glob("sub-*")):
        for pattern in ("{}", "ses-*/{}"):
            if any(p.is_dir() for kind in DATATYPES for p in subject.glob(pattern.format(kind))):
                return True
    return False


def read_bids(root: Path) -> Plan:
    """Plan a cohort from a BIDS tree.

    anat, pet, dwi and perf images become ``image:<suffix>`` (with the contrast agent, tracer, part or inversion where
    named), the first bold run ``series`` (preprocessed in MNI space under ``derivatives`` before raw; with the table of
    ``confounds`` and ``tr_s``), masks and ``dseg`` files under ``derivatives`` on the subject's own grid ``mask`` and
    ``label``. participants.tsv and sessions.tsv become covariates.
    """
    plan = Plan("bids")
    files, plan.left_out = list_files(root)
    people = _table(root / "participants.tsv", root, "participant_id", plan)
    drafts: dict[tuple[str, str], Draft] = {}
    derived: list[Path] = []
    for file in files:
        parts = file.relative_to(root).parts
        if parts[0] == "derivatives":
            derived.append(file)
        elif len(parts) >= 3 and parts[0].startswith("sub-") and parts[-2] in DATATYPES and _is_image(file):
            _add(drafts, file, parts, root, plan)
    functional = functional_of(files, root)
    n_preprocessed = sum(complete_series(draft, functional, root) for draft in drafts.values())
    if n_preprocessed:
        plan.notes.append(
            f"The series of {n_preprocessed} subjects is preprocessed in MNI space; the raw one is series:raw."
        )
    used = {s.path for d in drafts.values() for _, s in d.sources()}
    derived = [file for file in derived if _is_image(file) and file not in used]
    ignored = sum(not _add_derived(drafts, file, root, plan) for file in derived)
    if ignored:
        plan.notes.append(f"{ignored} images under derivatives are neither a mask nor a dseg and were not imported.")
    for (person, session), draft in drafts.items():
        draft.covariates = people.get(person, {}) | draft.covariates
        if session:
            visits = _table(root / person / f"{person}_sessions.tsv", root, "session_id", plan)
            draft.covariates |= {"session": session} | visits.get(session, {})
        draft.target = draft.covariates.pop("target", None)
    plan.drafts = [drafts[key] for key in sorted(drafts, key=lambda k: natural("_".join(k)))]
    return plan


def entities(name: str) -> tuple[dict[str, str], str]:
    """Split a BIDS file name into its entities and its suffix: ``sub-1_run-2_T1w`` → ({sub: 1, run: 2}, T1w)."""
    *pairs, last = stem(name).split("_")
    return {k: v for k, dash, v in (p.partition("-") for p in pairs) if dash}, last


def _is_image(file: Path) -> bool:
    return suffix(file).lower() in (".nii", ".nii.gz", *PICTURES)


def _draft(drafts: dict[tuple[str, str], Draft], parts: tuple[str, ...]) -> Draft:
    person = parts[0]
    session = parts[1] if parts[1].startswith("ses-") else ""
    name = f"{person}_{session}" if session else person
    return drafts.setdefault((person, session), Draft(name, group=person))


def _add(drafts: dict[tuple[str, str], Draft], file: Path, parts: tuple[str, ...], root: Path, plan: Plan) -> None:
    """Put one raw image into its subject; files come in natural order, so the first run is met first."""
    tags, kind = entities(file.name)
    source = Source(file, shown=file.relative_to(root).as_posix())
    if kind in ("defacemask", "sbref", "m0scan", "events"):
        plan.left_out.append(LeftOut(source.shown, f"{kind} images are not used."))
        return
    draft = _draft(drafts, parts)
    repeat = "_".join(f"{k}-{v}" for k, v in tags.items() if k not in ("sub", "ses", *MEANINGFUL))
    if parts[-2] == "func":
        if kind == "bold":
            draft.files["series" if "series" not in draft.files else f"series:{repeat}"] = source
        else:
            plan.left_out.append(LeftOut(source.shown, "Of func only bold images are used."))
        return
    column = "_".join([kind, *(f"{k}-{tags[k]}" for k in MEANINGFUL if k in tags)])
    if kind in ("mask", "dseg"):
        draft.files.setdefault("mask" if kind == "mask" else "label", source)
    else:
        draft.images[column if column not in draft.images else f"{column}_{repeat}"] = source


def _add_derived(drafts: dict[tuple[str, str], Draft], file: Path, root: Path, plan: Plan) -> bool:
    """Put a mask or segmentation under derivatives into its subject; say whether the file was one."""
    parts = file.relative_to(root).parts
    tags, kind = entities(file.name)
    start = next((i for i, part in enumerate(parts) if part.startswith("sub-")), None)
    lesion = kind in ("mask", "roi") and ("lesion" in tags.get("label", "").lower() or kind == "roi")
    column = "label" if kind == "dseg" or lesion else "mask" if kind == "mask" else None
    if column is None or start is None or start == len(parts) - 1 or parts[-2] == "func":
        return False
    session = next((p for p in parts[start:-1] if p.startswith("ses-")), "")
    draft = drafts.get((parts[start], session))
    shown = "/".join(parts)
    if draft is None:
        plan.left_out.append(LeftOut(shown, "Its subject has no image."))
    elif tags.get("space") not in NATIVE_SPACES:
        plan.left_out.append(LeftOut(shown, f"It lies in space {tags['space']}, not on the subject's own images."))
    elif column in draft.files:
        plan.left_out.append(LeftOut(shown, f"The subject already has a {column}: {draft.files[column].shown}."))
    else:
        draft.files[column] = Source(file, shown=shown)
    return True


def _table(file: Path, root: Path, key: str, plan: Plan) -> dict[str, dict[str, str]]:
    """Read a BIDS table as key → cells; ``n/a`` is empty, columns with a meaning of ours are renamed."""
    if not file.exists():
        return {}
    if not is_inside(file, root) or file.stat().st_size > MAX_TABLE_BYTES:
        plan.left_out.append(
            LeftOut(file.name, f"It is a link out of the source or larger than {MAX_TABLE_BYTES:,} bytes.")
        )
        return {}
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
    except (csv.Error, OSError) as error:
        plan.left_out.append(LeftOut(file.name, f"It is not a table of tab-separated values ({error})."))
        return {}
    if rows and key not in rows[0]:
        plan.left_out.append(LeftOut(file.name, f"It has no column {key}."))
        return {}
    renamed = [c for c in (rows[0] if rows else {}) if c in RESERVED and c != "target"]
    if renamed:
        plan.notes.append(
            f"{file.name}: {', '.join(renamed)} is now called participants_{renamed[0]}, because a column of "
            "that name has a meaning here. To predict it, copy it to a column named target."
        )
    return {(row[key] or "").strip(): _cells(row, key) for row in rows}


def _cells(row: dict[str, str], key: str) -> dict[str, str]:
    cells = {}
    for column, value in row.items():
        if not column or column == key or not isinstance(value, str) or value.strip() in ("", "n/a"):
            continue
        reserved = (column in RESERVED and column != "target") or re.match(r"(image|features):", column)
        cells[f"participants_{column}" if reserved else column] = value.strip()
    return cells
