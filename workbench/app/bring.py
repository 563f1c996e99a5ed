"""Ways to get a cohort: upload files, name a folder of this machine, make a phantom."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any, Literal

import streamlit as st

from workbench import workflow
from workbench.app.jobs import job_card
from workbench.app.messages import guard, plain
from workbench.app.state import cohort_names, prefer

KINDS = {
    "brain": "Brains",
    "digits": "Digits",
    "paired": "MRI and PET tables",
    "levels": "Two-level tables",
    "bold": "BOLD: networks",
    "bold-edges": "BOLD: connections",
    "bold-states": "BOLD: states",
    "bold-null": "BOLD: no difference",
    "bold-images": "BOLD: 4-D images",
    "head": "Heads",
    "infant": "Infants",
    "infant-regions": "Infants: regions",
    "tumor": "Tumors",
    "lesion": "Lesions",
    "brain7t": "Brains at 7 T",
    "prostate": "Prostates",
}
MOST_SUBJECTS = {"digits": 1797, "bold-images": 200} | dict.fromkeys(
    ("bold", "bold-edges", "bold-states", "bold-null"), 5000
)  # fmt: skip
MOST_SUBJECTS |= dict.fromkeys(workflow.SPACED_PHANTOMS, 100)
FEWEST_SUBJECTS = dict.fromkeys(("bold", "bold-edges", "bold-states", "bold-null", "bold-images"), 4)
DIFFICULTIES: list[Literal["easy", "7T-like"]] = ["easy", "7T-like"]
FORMATS = (
    "NIfTI, DICOM, NRRD, MetaImage, PNG, JPEG or TIFF, or one .npz of pictures and labels (MedMNIST, Keras); also a "
    "zip of a DICOM, BIDS or dataset.json folder."
)


def bring_forms() -> None:
    """Show the three ways side by side, and how far a running import is."""
    watch_job()
    upload, folder, phantom = st.tabs(["Upload files", "Name a folder", "Make a phantom"])
    with upload, guard("import these files"):
        _upload()
    with folder, guard("import this folder"):
        _folder()
    with phantom, guard("make this phantom"):
        _phantom()


def watch_job() -> bool:
    """Follow the import that this session started; when it has ended well its cohort is the current one.

    Returns:
        Whether it has ended well just now.
    """
    job_id = st.session_state.get("import_job")
    if job_id is None:
        return False
    is_made = False
    with guard("follow the import"):
        state = job_card(job_id)
        name = st.session_state.get("import_name", "")
        if state == "finished" and name in cohort_names():
            prefer("cohort", name)
            is_made = True
        if state != "running":
            st.session_state.pop("import_job")
    return is_made


def _upload() -> None:
    files = st.file_uploader(
        "Images",
        accept_multiple_files=True,
        key="upload-files",
        help=f"{FORMATS} Up to 2 GB a file; they stay on this machine.",
    )
    name = new_name("upload", _suggest(files[0].name) if files else "")
    if st.button("Import the files", type="primary", icon=":material/upload:", disabled=not files, key="upload-go"):
        follow(workflow.start_upload(((f.name, f) for f in files), name).id, name)
    st.caption(FORMATS)


def _folder() -> None:
    source = st.text_input(
        "Folder or file on the machine that runs this app", key="folder-source", placeholder="/data/my-study"
    )
    name = new_name("folder", _suggest(source))
    link = st.toggle(
        "Link instead of copy",
        key="folder-link",
        help="For large cohorts: images stay where they are. Moving them breaks the cohort.",
    )
    if st.button(
        "Import the folder",
        type="primary",
        icon=":material/drive_folder_upload:",
        disabled=not source.strip(),
        key="folder-go",
    ):
        follow(workflow.start_import(source.strip(), name, link=link).id, name)
    st.caption(
        "BIDS, MSD and nnU-Net (dataset.json), DICOM series, a table with one row a subject, or any folder of images: "
        "the layout is found by looking."
    )


def _phantom() -> None:
    kinds = workflow.PHANTOM_KINDS
    kind = st.pills(
        "What", list(kinds), default="brain", required=True, key="phantom-kind", format_func=lambda k: KINDS.get(k, k)
    )
    kind = str(kind or "brain")
    st.markdown(plain(kinds[kind]))
    more: dict[str, Any] = {}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        usual = workflow.PHANTOM_SIZES[kind]
        n_subjects = st.number_input(
            "Subjects",
            FEWEST_SUBJECTS.get(kind, 1),
            MOST_SUBJECTS.get(kind, 10_000),
            usual,
            key=f"phantom-n-{kind}",
            width=130,
        )
        if kind in workflow.SPACED_PHANTOMS:
            spacing = st.segmented_control(
                "Voxel size (mm)", [1.0, 2.0, 3.0, 4.0], default=2.0, required=True, key="phantom-mm",
                format_func=lambda v: f"{v:g}",
            )  # fmt: skip
            more = {"spacing_mm": float(spacing or 2.0)}
        if kind == "brain":
            difficulty = st.segmented_control(
                "Contrast and noise", DIFFICULTIES, default="easy", required=True, key="phantom-difficulty"
            )
            more["difficulty"] = difficulty or "easy"
        seed = st.number_input(
            "Seed", 0, 2**31 - 1, 0, key="phantom-seed", width=140, help="The same seed gives the same bytes."
        )
    name = new_name("phantom", f"{kind}-phantom")
    if st.button("Make it", type="primary", icon=":material/auto_awesome:", key="phantom-go"):
        job = workflow.start_phantom(name, kind=kind, n_subjects=int(n_subjects), seed=int(seed), **more)
        follow(job.id, name)


def follow(job_id: str, name: str) -> None:
    """Watch a job that makes a cohort of this name."""
    st.session_state["import_job"], st.session_state["import_name"] = job_id, name
    st.rerun()


def new_name(kind: str, suggestion: str) -> str:
    """Ask for the cohort's name; the suggestion is one that is still free."""
    taken, free, number = set(cohort_names()), suggestion, 2
    while free and free in taken:
        free, number = f"{suggestion}-{number}", number + 1
    return st.text_input("Name of the new cohort", free, key=f"{kind}-name-{free}", max_chars=60)


def _suggest(source: str) -> str:
    stem = PurePath(source.strip().replace("\\", "/")).name.split(".")[0]
    return re.sub(r"[^\w-]+", "-", stem).strip("-").lower()[:40]
