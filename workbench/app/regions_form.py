"""From 4-D images to time series of regions or voxels: atlas or mask, cleaning, and the job that does it (3.5)."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app.bring import follow, new_name, watch_job
from workbench.app.messages import guard
from workbench.app.series_view import IMAGE_SUFFIXES, is_4d
from workbench.errors import SettingsError, WorkbenchError
from workbench.paths import atlases_dir

OWN, MINE = "own", "upload"
COORDINATES = {
    "power": "Power, 264 spheres",
    "dosenbach": "Dosenbach, 160 spheres in six networks",
    "seitzman": "Seitzman, 300 spheres with networks",
}
KINDS = {"regions": "Regions of an atlas", "voxels": "Voxels of a mask"}
MASKS = {
    "gm": "MNI gray matter", "brain": "MNI brain", "epi": "The brain found in the images", MINE: "A mask of mine",
}  # fmt: skip
NAMED_BY = {"": "nothing yet", OWN: "the cohort's own atlas", "dosenbach": "Dosenbach", "seitzman": "Seitzman"}
SCALES = {"zscore_sample": "z-score", "psc": "percent of the mean", "none": "as it is"}
SCRUBS = {"drop": "leave them out", "interpolate": "draw a line over them"}
REGRESSORS = {
    "motion and tissue": "motion and tissue", "motion": "motion alone", "all": "every column", "none": "none",
}  # fmt: skip


def has_4d(cohort: Any) -> bool:
    """Say whether anybody's series is an image, whose regions have still to be extracted."""
    return any(s.series is not None and is_4d(s.series) for s in cohort)


def regions_form(cohort: Any) -> None:
    """Ask for atlas and cleaning, start the extraction, and open the cohort that it makes."""
    if watch_job():
        st.toast("The regions are extracted; this is the new cohort.", icon=":material/check_circle:")
        st.rerun()
    st.markdown(
        "The images of every subject are averaged over the regions of an atlas, or over the cubes of a mask, and "
        "cleaned; the result is a new cohort of time series. Atlas or mask must lie in the space of the images."
    )
    kind = st.segmented_control(
        "Columns of the new series", list(KINDS), default="regions", required=True, key="regions-kind",
        format_func=KINDS.__getitem__, help="Plis 2014 learns from voxels; Kim and Suk 2016 need regions.",
    )  # fmt: skip
    of: dict[str, Any] = {}
    if kind == "voxels":
        atlas, of = _ask_mask(cohort)
    else:
        atlas, of["radius_mm"] = _ask_atlas(cohort)
    cleaning, tr_s = _ask_cleaning(cohort)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = new_name(str(kind), f"{cohort.name}-{kind}")
        leave_out = st.toggle(
            "Leave out who fails", key="regions-leave", help="Otherwise the first subject that fails ends it, by name."
        )
    if st.button(
        f"Extract the {kind}", type="primary", icon=":material/play_arrow:", key="regions-go", disabled=atlas is None
    ):
        with guard(f"extract these {kind}"):
            on_error = "leave out" if leave_out else "stop"
            more = of | {"cleaning": cleaning, "tr_s": tr_s, "on_error": on_error}
            job = _start(cohort, str(atlas), name, more)
            follow(job.id, name)


def atlas_choices(cohort: Any) -> dict[str, str]:
    """Give what may be chosen as an atlas, and what it is called: the cohort's own, kept ones, an upload, nilearn's."""
    choices: dict[str, str] = {}
    if (Path(cohort.path).parent / "atlas.nii.gz").is_file():
        choices[OWN] = "The cohort's own atlas"
    for image in sorted(p for p in atlases_dir().glob("*/*") if p.name.lower().endswith(IMAGE_SUFFIXES)):
        choices[str(image)] = f"{image.name.split('.')[0]}, brought before"
    return choices | {MINE: "A label image of mine"} | COORDINATES


def keep_atlas(image: bytes, image_name: str, names: bytes | None = None, names_name: str = "") -> Path:
    """Write a user's label image, and the list of its names, into the folder of atlases; give the image's file.

    The same bytes go to the same place, so nothing is kept twice.

    Raises:
        SettingsError: the image is no NIfTI file by its name.
    """
    suffix = next((s for s in reversed(IMAGE_SUFFIXES) if image_name.lower().endswith(s)), None)
    if suffix is None:
        raise SettingsError(f"{image_name} is no NIfTI image; give the labels as .nii or .nii.gz.")
    stem = re.sub(r"[^\w-]+", "-", image_name[: -len(suffix)]).strip("-") or "atlas"
    digest = hashlib.blake2b(image + b"|" + (names or b""), digest_size=4).hexdigest()
    folder = atlases_dir() / f"{stem[:40]}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    if names is not None:
        ending = Path(names_name).suffix.lower()
        (folder / f"names{ending if ending in ('.csv', '.tsv', '.txt') else '.txt'}").write_bytes(names)
    target = folder / f"{stem[:40]}{suffix}"
    target.write_bytes(image)
    return target


def names_beside(image: Path) -> Path | None:
    """Give the list of names that was kept with an atlas."""
    return next((p for p in sorted(image.parent.glob("names.*"))), None)


def names_of_own(table: str) -> str:
    """Turn a cohort's regions.csv, whose row i is value i of its atlas, into a list of value, name and network."""
    regions = pd.read_csv(io.StringIO(table), dtype=str, keep_default_na=False)
    listed = pd.DataFrame({"value": range(1, len(regions) + 1), "name": regions["region"]})
    if "network" in regions:
        listed["network"] = regions["network"]
    return listed.to_csv(index=False)


def _ask_atlas(cohort: Any) -> tuple[str | None, float]:
    """Ask for the atlas; None where an upload is wanted and has not come."""
    choices = atlas_choices(cohort)
    chosen = st.selectbox("Atlas", list(choices), key="regions-atlas", format_func=choices.__getitem__, width=420)
    radius = 5.0
    if chosen in COORDINATES:
        radius = float(st.number_input("Radius of a sphere (mm)", 1.0, 30.0, 5.0, 0.5, key="regions-radius", width=200))
        st.caption("Published coordinates in MNI space: the images have to be normalized to it.")
    if chosen != MINE:
        return str(chosen), radius
    with st.container(horizontal=True):
        image = st.file_uploader("Label image (NIfTI, 0 outside)", type=["nii", "gz"], key="regions-image", width=380)
        st.file_uploader(
            "Names of the labels, if there is a list", type=["csv", "tsv", "txt"], key="regions-names", width=380,
            help="A row a region: its value, its name and, if you like, its network.",
        )  # fmt: skip
    return (MINE if image is not None else None), radius


def _ask_mask(cohort: Any) -> tuple[str | None, dict[str, Any]]:
    """Ask for the mask, the size of voxels and what names their networks; no mask where an upload has not come."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Mask", list(MASKS), key="voxels-mask", format_func=MASKS.__getitem__, width=300)
        mm = float(st.number_input("Edge of a voxel (mm)", 2.0, 20.0, 8.0, 1.0, key="voxels-mm", width=170))
        has_own = (Path(cohort.path).parent / "atlas.nii.gz").is_file()
        names = [n for n in NAMED_BY if n != ("" if has_own else OWN)]
        named_by = st.selectbox(
            "Networks are named by", names, key="voxels-reference",
            format_func=NAMED_BY.__getitem__, width=240, help="Another reference can be chosen on the Networks page.",
        )  # fmt: skip
    if chosen in ("gm", "brain"):
        n = _mask_size(str(chosen), mm)
        st.caption(
            f"{n:,} voxels in MNI space: the images have to be normalized to it. A thousand volumes of them take "
            f"{n * 4e-3:.3g} MB, and about ten times as much while they are cleaned."
        )
    elif chosen == "epi":
        st.caption("What stands out from the background in the first volumes of every image, as far as all share it.")
    reference = None if named_by in ("", OWN) else str(named_by)  # the cohort's own is taken where nothing is said
    of = {"voxel_mm": mm, "reference": reference}
    if chosen != MINE:
        return str(chosen), of
    image = st.file_uploader("Mask (NIfTI, above 0 inside)", type=["nii", "gz"], key="regions-image", width=380)
    return (MINE if image is not None else None), of


@st.cache_data(max_entries=20, show_spinner="Counting voxels")
def _mask_size(mask: str, mm: float) -> int:
    return workflow.mask_size(mask, mm)


def _ask_cleaning(cohort: Any) -> tuple[dict[str, Any], float | None]:
    """Ask how signals are cleaned; give what differs from the usual, and the repetition time in s or None."""
    n_confounds = sum(bool(s.covariates.get("confounds")) for s in cohort)
    with st.container(border=True):
        st.markdown("**Cleaning**")
        with st.grid(3, min_column_width=200):
            low = st.number_input("Low pass (Hz, 0: none)", 0.0, 5.0, 0.1, 0.01, key="regions-low", format="%.3f")
            high = st.number_input("High pass (Hz, 0: none)", 0.0, 5.0, 0.01, 0.005, key="regions-high", format="%.3f")
            tr = st.number_input(
                "Repetition time (s)", 0.05, 30.0, None, key="regions-tr", placeholder="from the headers"
            )
            first = st.number_input("First volumes to drop", 0, 1000, 0, key="regions-first")
            fwhm = st.number_input("Smoothing (mm, 0: none)", 0.0, 30.0, 0.0, 1.0, key="regions-fwhm")
            scale = st.selectbox("Scale", list(SCALES), key="regions-scale", format_func=SCALES.__getitem__)
            limit = st.number_input(
                "Scrub above (mm, 0: none)", 0.0, 10.0, 0.0, 0.1, key="regions-fd", disabled=not n_confounds,
                help="Volumes with a larger framewise displacement are scrubbed; it is read from the confounds.",
            )  # fmt: skip
            scrub = st.selectbox(
                "Scrubbed volumes", list(SCRUBS), key="regions-scrub", format_func=SCRUBS.__getitem__,
                disabled=not limit,
            )  # fmt: skip
            regressors = st.selectbox(
                "Confounds taken out", list(REGRESSORS), key="regions-regressors", format_func=REGRESSORS.__getitem__,
                disabled=not n_confounds,
            )  # fmt: skip
        detrend = st.toggle("Take out a straight line (detrend)", True, key="regions-detrend")
        st.caption(
            f"{n_confounds} of {len(cohort)} subjects have a table in the column **confounds** of cohort.csv"
            + ("." if n_confounds else ", so motion can be neither regressed out nor scrubbed.")
        )
    cleaning = {
        "detrend": detrend, "low_pass_hz": low, "high_pass_hz": high, "standardize": scale, "drop_first": int(first),
        "fd_limit_mm": limit if n_confounds else 0.0, "scrub": scrub, "smoothing_fwhm_mm": fwhm,
        "regressors": regressors if n_confounds else "none",
    }  # fmt: skip
    return cleaning, None if tr is None else float(tr)


def _start(cohort: Any, chosen: str, name: str, more: dict[str, Any]) -> Any:
    """Put the atlas where the job finds it, and start the job; an upload that does not work is not kept."""
    if chosen in COORDINATES or chosen in ("gm", "brain", "epi"):
        return workflow.start_extraction(cohort.name, chosen, name, **more)
    known = set(atlases_dir().glob("*"))
    if chosen == OWN:
        folder = Path(cohort.path).parent
        own_names = names_of_own((folder / "regions.csv").read_text(encoding="utf-8-sig")).encode()
        image = keep_atlas((folder / "atlas.nii.gz").read_bytes(), f"{cohort.name}.nii.gz", own_names, "names.csv")
    elif chosen == MINE:
        given, listed = st.session_state["regions-image"], st.session_state.get("regions-names")
        names, names_name = (None, "") if listed is None else (listed.getvalue(), listed.name)
        image = keep_atlas(given.getvalue(), given.name, names, names_name)
    else:
        image = Path(chosen)
    try:
        return workflow.start_extraction(cohort.name, image, name, names=names_beside(image), **more)
    except WorkbenchError:
        if image.parent not in known:
            shutil.rmtree(image.parent, ignore_errors=True)
        raise
