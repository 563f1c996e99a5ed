"""The reference that names networks of voxels: published coordinates, or a label image of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from workbench.app import regional_reads
from workbench.app.messages import guard, plain
from workbench.app.reference import Reference
from workbench.app.regions_form import keep_atlas, names_beside

OF_COHORT, OWN = "cohort", "own"
CHOICES = {
    OF_COHORT: "As the cohort has it", "dosenbach": "Dosenbach, six networks", "seitzman": "Seitzman, 13 networks",
    OWN: "A label image of mine",
}  # fmt: skip


def voxel_reference_form(run_id: str, found: Any) -> None:
    """Show the button that opens to the choice of a reference."""
    key = f"reference-{run_id}"
    with st.popover("Reference networks", icon=":material/label:"):
        st.markdown(
            "What names the networks of voxels: published spheres (a voxel belongs to the nearest within 15 mm), or an "
            "atlas in the space of the images."
        )
        chosen = st.selectbox("Reference", list(CHOICES), key=f"{key}-kind", format_func=CHOICES.__getitem__)
        with guard("read this reference"):
            if chosen == OF_COHORT:
                st.session_state.pop(key, None)
            elif chosen != OWN:
                st.session_state[key] = _reference(run_id, found, chosen, CHOICES[chosen], None)
            else:
                _ask_own(run_id, found, key)
        if key in st.session_state:
            st.success(plain(st.session_state[key].sentence), icon=":material/check_circle:")


def _ask_own(run_id: str, found: Any, key: str) -> None:
    image = st.file_uploader("Label image (NIfTI, 0 outside)", type=["nii", "gz"], key=f"{key}-image")
    names = st.file_uploader(
        "Names of the labels, if there is a list", type=["csv", "tsv", "txt"], key=f"{key}-names",
        help="A row a region: its value, its name and, if you like, its network.",
    )  # fmt: skip
    if image is not None:
        listed = (None, "") if names is None else (names.getvalue(), names.name)
        path = keep_atlas(image.getvalue(), image.name, *listed)
        st.session_state[key] = _reference(run_id, found, str(path), image.name, names_beside(path))


def _reference(run_id: str, found: Any, atlas: str, called: str, names: Path | None) -> Reference:
    networks = regional_reads.networks_by(run_id, atlas, names)
    n, named = sum(map(bool, networks)), len({v for v in networks if v})
    sentence = f"{called}: {n:,} of {len(networks):,} voxels lie in one of {named} networks."
    return Reference(networks, found.coordinates_mm, sentence, found.voxel_mm)
