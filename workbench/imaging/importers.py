"""The door for images from outside: any source to a cohort, complete or not at all.

What was found, left out and chosen is written to import.json beside cohort.csv; the names of label values, where the
source has them, to labels.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from workbench.errors import CohortError, FileError, GeometryError
from workbench.imaging.bids import read_bids
from workbench.imaging.cohort import Cohort, read_cohort, write_cohort
from workbench.imaging.cohort_folders import read_cohort_folder, read_file
from workbench.imaging.dataset_json import read_dataset_json
from workbench.imaging.dicom_folders import read_dicom_folder
from workbench.imaging.drafts import Plan
from workbench.imaging.folders import read_folder
from workbench.imaging.guard import appearing
from workbench.imaging.layouts import LAYOUTS, Layout, layout_of, opened
from workbench.imaging.picture_arrays import read_picture_arrays
from workbench.imaging.region_table import REGIONS_FILE, read_region_table, write_region_table
from workbench.imaging.scrub import copy_nifti
from workbench.imaging.transfer import Transfer, transfer
from workbench.imaging.tree import LeftOut
from workbench.progress import Progress, silent

MAX_LISTED = 500  # of what was left out; the rest is counted
READERS: dict[Layout, Callable[[Path], Plan]] = {
    "bids": read_bids,
    "dataset.json": read_dataset_json,
    "folder": read_folder,
    "cohort": read_cohort_folder,
    "npz": read_picture_arrays,
    "file": read_file,
}


def import_cohort(source: Path | str, out: Path | str, *, link: bool = False, progress: Progress = silent) -> Cohort:
    """Make a cohort of a BIDS tree, a dataset.json, DICOM, a folder, a file, an .npz of pictures, a cohort, or a zip.

    Copies of NIfTI, PNG and JPEG files lose the text in their headers; DICOM, NRRD and MetaImage become NIfTI. Files
    that cannot be read are left out and named in import.json.

    Args:
        source: where the images are; it is only read.
        out: the cohort's folder, which must not exist; it appears at once, complete.
        link: make symbolic links to the images instead of copies, where that is possible.
        progress: told before each file.

    Raises:
        CohortError: ``out`` exists, or no subject is left.
        FileError: the source is not there, not safe, or too large.
        Cancelled: as ``progress`` asked; nothing is left behind.
    """
    target = Path(out).expanduser().absolute()
    if os.path.lexists(target):
        raise CohortError(f"There is already something at {target}; choose another name, or delete it first.")
    is_archive = Path(source).suffix.lower() == ".zip" and Path(source).is_file()
    with opened(Path(source), lambda f, m: progress(0.2 * f, m)) as root:
        plan = _plan(root, lambda f, m: progress(0.2 + 0.1 * f, m))
        with appearing(target) as partial:
            told = lambda f, m: progress(0.3 + 0.69 * f, m)  # noqa: E731
            done = transfer(plan, partial, link=link and not is_archive, progress=told)
            if link and is_archive:
                done.notes.append("Files of an archive cannot be linked, so they were copied.")
            _bring_beside(plan, partial, done)
            _check_not_empty(done, plan, Path(source).name)
            _write(done, plan, partial, Path(source).name)
    progress(1.0, f"{len(done.subjects)} subjects imported")
    return read_cohort(target)


def read_import(cohort: Cohort) -> dict[str, object]:
    """Read what import.json tells of how the cohort was made; empty where it was not imported.

    Keys: ``source``, ``layout``, ``layout_words``, ``linked``, ``n_subjects``, ``n_files``, ``n_left_out``,
    ``left_out`` (a list of ``file`` and ``reason``) and ``notes`` (sentences).
    """
    try:
        content = json.loads((cohort.path.parent / "import.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _plan(root: Path, progress: Progress) -> Plan:
    layout = layout_of(root)
    progress(0.0, f"reading {LAYOUTS[layout]}")
    if layout == "dicom":
        return read_dicom_folder(root, progress)
    return READERS[layout](root)


def _bring_beside(plan: Plan, folder: Path, done: Transfer) -> None:
    """Bring the table of regions and the atlas, where they can be read; links are not made, as both are small."""
    for name, path in plan.beside.items():
        try:
            if name == REGIONS_FILE:
                write_region_table(folder / name, read_region_table(path))
            else:
                copy_nifti(path, folder / name)
        except (FileError, CohortError, GeometryError) as error:
            (folder / name).unlink(missing_ok=True)
            done.left_out.append(LeftOut(path.name, str(error)))


def _check_not_empty(done: Transfer, plan: Plan, name: str) -> None:
    if done.subjects:
        return
    reasons = "; ".join(f"{left.file}: {left.reason}" for left in done.left_out[:3]) or "no image was found"
    raise CohortError(f"Nothing of {name} could be imported as {LAYOUTS[plan.layout]} ({reasons})")  # type: ignore[index]


def _write(done: Transfer, plan: Plan, folder: Path, source: str) -> None:
    notes = list(done.notes)
    if done.n_linked:
        notes.append(
            f"{done.n_linked} files are links to the source: keep it, and mind that text in their headers was not "
            "removed."
        )
    report = {
        "source": source if plan.layout != "dicom" else "DICOM files",
        "layout": plan.layout,
        "layout_words": LAYOUTS[plan.layout],  # type: ignore[index]
        "linked": done.n_linked > 0,
        "n_subjects": len(done.subjects),
        "n_files": done.n_files,
        "n_left_out": len(done.left_out),
        "left_out": [{"file": left.file, "reason": left.reason} for left in done.left_out[:MAX_LISTED]],
        "notes": notes[:MAX_LISTED],
    }
    (folder / "import.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if plan.label_names:
        names = {str(value): name for value, name in plan.label_names.items()}
        (folder / "labels.json").write_text(json.dumps(names, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_cohort(folder, done.subjects)
