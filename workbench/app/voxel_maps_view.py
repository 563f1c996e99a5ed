"""Networks of voxels that a run has learnt: Figure 10 as maps, and one unit on the slices of a brain (Section 3.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from workbench import workflow
from workbench.app import regional_reads, state
from workbench.app.downloads import Bytes, chart, save
from workbench.app.messages import guard, plain
from workbench.app.network_words import functional_units, no_pure_unit, unit_table, weight_csv
from workbench.app.overlay_layers import Overlay
from workbench.app.reference import Reference, reference
from workbench.app.slice_viewer import slice_viewer
from workbench.app.voxel_reference import voxel_reference_form
from workbench.figures.functional_networks import functional_networks
from workbench.figures.state_patterns import brain_panels

N_PANELS = 6
POSITIVE = ("#6b2c04", "#b8510d", "#e8853a", "#fbc99f")
NEGATIVE = ("#053061", "#1b5a9b", "#4393c3", "#a6cfe4")


def voxel_maps_view(run_id: str, found: Any) -> None:
    """Draw the units of a run on voxels."""
    n = len(found.regions)
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width="stretch"):
            st.markdown(
                f"**{len(found.titles)} units over {n:,} voxels of {found.voxel_mm:g} mm**: the {plain(found.of_what)}."
            )
        voxel_reference_form(run_id, found)
    known = reference(run_id, found)
    st.caption(plain(" ".join([known.sentence, regional_reads.left_out(run_id)])))
    top = _figure_10(run_id, found, known)
    st.subheader("One unit on slices", anchor=False)
    st.fragment(_one_unit)(run_id, found, known, top)
    st.info(no_matrix(n), icon=":material/info:")


def no_matrix(n: int) -> str:
    """Say why there is neither a matrix nor a connectome of so many voxels or regions."""
    return (
        f"There is no matrix and no connectome: {n:,} voxels or regions have {n * (n - 1) // 2:,} pairs, and voxels "
        "beside each other go together whatever the brain does. Extract regions by an atlas for those."
    )


def strongest_of(weights: np.ndarray, top: int) -> np.ndarray:
    """Give (V,) the ``top`` largest |weights|, NaN elsewhere."""
    shown = np.full(weights.shape, np.nan, np.float32)
    chosen = np.argsort(-np.abs(weights), kind="stable")[:top]
    chosen = chosen[weights[chosen] != 0]
    shown[chosen] = weights[chosen]
    return shown


def _figure_10(run_id: str, found: Any, known: Reference) -> int:
    """Draw the units by the reference network that they overlap with most; give how many voxels stand for a unit."""
    voxels = known.regions(found.regions)
    with st.container(horizontal=True):
        share = st.slider("Strongest voxels of a unit (%)", 1, 20, 5, key="voxels-top", width=260)
        top = max(1, round(share / 100 * len(found.regions)))
        named = any(known.networks)
        pure = (
            st.slider("One network from a purity of (%)", 30, 100, 60, 5, key="voxels-pure", width=260) if named else 0
        )
    overlap = regional_reads.overlap(run_id, top, known.networks)
    table = unit_table(found, overlap, 5)
    if overlap is None:
        st.info(
            "No reference says which network a voxel belongs to, so units cannot be named or sorted into pure and "
            "mixed. Choose one under *Reference networks*. Drawn are the units with the largest weights.",
            icon=":material/info:",
        )
        chosen = np.argsort(-np.linalg.norm(found.weights, axis=1), kind="stable")[:N_PANELS]
        fig = brain_panels(
            np.stack([strongest_of(found.weights[i], top) for i in chosen]), voxels,
            ([found.titles[i] for i in chosen], min(3, len(chosen))), quantity="weight", theme=state.theme(),
        )  # fmt: skip
    else:
        st.caption(
            "As Figure 10 of the review, with voxels for regions. Purity: share of a unit's strongest voxels that lie "
            "in one reference network; Dice: their overlap with all of it. The name is that of the largest overlap, "
            "however small."
        )
        if said := no_pure_unit(found, overlap, pure):
            st.markdown(said)
        fig = functional_networks(
            functional_units(found, overlap), voxels, n_regions=top, pure_from=pure / 100, theme=state.theme()
        )
    files: dict[str, Bytes] = {"weights.csv": lambda: weight_csv(found)}
    if regional_reads.has_atlas(run_id):
        files["all-units.nii.gz"] = lambda: workflow.network_map(run_id)
    chart(fig, f"figure-10-{run_id}", table=table, files=files)
    with st.expander("All units as a table", icon=":material/table:"):
        st.dataframe(
            table, hide_index=True, alt="One row a unit, with its strongest voxels",
            column_config={"purity": st.column_config.NumberColumn(format="percent"),
                           "dice": st.column_config.NumberColumn("Dice", format="%.2f"),
                           "strongest regions": st.column_config.TextColumn("strongest voxels (x, y, z in mm)")},
        )  # fmt: skip
    return top


def _one_unit(run_id: str, found: Any, known: Reference, top: int) -> None:
    with guard("draw this unit"):
        overlap = regional_reads.overlap(run_id, top, known.networks)
        order = range(len(found.titles)) if overlap is None else np.lexsort((-overlap.dice.max(1), -overlap.purity))
        names = {str(i + 1): _name(found, overlap, int(i)) for i in order}
        with st.container(horizontal=True, vertical_alignment="bottom"):
            unit = int(state.choose("Unit", list(names), "unit", format_func=names.__getitem__, width=340)) - 1
            if regional_reads.has_atlas(run_id):
                save(
                    f"unit-{unit + 1}-{run_id}",
                    files={f"unit-{unit + 1}.nii.gz": lambda: workflow.network_map(run_id, unit)},
                )
        if not regional_reads.has_atlas(run_id):
            st.caption(
                "The cohort of this run is no longer there, and its lattice with it, so no unit has a NIfTI map."
            )
            return
        template, painted = regional_reads.on_template(run_id, unit)
        weights = found.weights[unit]
        least = float(np.nanmin(np.abs(strongest_of(weights, top)), initial=np.inf))
        overlays = [
            Overlay(name, np.where(sign * painted >= least, np.abs(painted), np.nan), "heat", "weight", colors=colors)
            for sign, name, colors in sorted(
                ((1, "positive", POSITIVE), (-1, "negative", NEGATIVE)),
                key=lambda one: -float((one[0] * weights).max()),
            )  # the stronger one is shown at first
            if (sign * weights >= least).any()
        ]
        peak = np.unravel_index(int(np.nanargmax(np.abs(painted))), painted.shape)
        slice_viewer(
            template, key=f"voxel-unit-{run_id}-{unit}", voxel=tuple(int(v) for v in peak), overlays=overlays,  # type: ignore[arg-type]
            height=420, opacity=0.8,
        )  # fmt: skip
        st.caption(
            "Over the MNI152 template: images that were not brought into MNI space do not fit it. Drawn are the "
            f"{top:,} strongest voxels; the files hold all."
        )


def _name(found: Any, overlap: Any | None, unit: int) -> str:
    if overlap is None:
        return str(found.titles[unit])
    return f"{found.titles[unit]} · {overlap.names[overlap.best[unit]]} ({overlap.purity[unit]:.0%})"
