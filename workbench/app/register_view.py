"""One registration: both images compared, what the map does to space, where a point lies, and what can be saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import register_words, state
from workbench.app.downloads import Bytes, chart, save
from workbench.app.jobs import seconds
from workbench.app.messages import guard, plain
from workbench.app.payload import Mark
from workbench.app.register_reads import (
    DISPLACEMENT,
    JACOBIAN,
    REGISTERED,
    START,
    Look,
    compared,
    drawn,
    energy,
    energy_so_far,
)
from workbench.app.slice_viewer import slice_viewer
from workbench.figures.planes import PLANES
from workbench.figures.registration_energy import energy_curve
from workbench.figures.registration_fields import deformed_grid, displacement_map, jacobian_map
from workbench.figures.registration_slices import MODES, USUAL, compare_slices

GRID = "deformed grid"
FIELDS = (GRID, JACOBIAN, DISPLACEMENT)
AMOUNTS = {"blend": ("Share of the registered", 0.0, 1.0, 0.05), "wipe": ("Line", 0.0, 1.0, 0.05),
           "checkerboard": ("Squares, mm", 2.0, 60.0, 1.0)}  # fmt: skip
LIVE_SECONDS = 1
MARK = "#7dd3fc"
SECONDS = {REGISTERED: "Registered image", START: "After the linear start"}


def numbers(seen: Look) -> None:
    """Write what came out in numbers."""
    found, made = seen.found, seen.registered
    dice, before = register_words.mean(found.dice), register_words.mean(found.dice_before)
    with st.container(horizontal=True):
        if dice is not None and before is not None:
            gain = f"{dice - before:+.3f} from the linear start" if seen.is_deformed else None
            st.metric("Mean Dice", f"{dice:.3f}", gain, border=True, height="stretch")
        st.metric("Folds", f"{100 * made.folded_share:.2g} %", border=True, height="stretch",
                  help=register_words.fold_sentence(made.folded_share))  # fmt: skip
        way = f"{seen.lengths.mean():.1f} ({seen.lengths.max():.1f}) mm"
        st.metric("Displacement, mean (largest)", way, border=True, height="stretch",
                  help="Of the deformable part; the linear map comes on top.")  # fmt: skip
        if seen.is_deformed:
            low, high = np.percentile(seen.jacobian, (1, 99))
            st.metric("Change of volume", f"× {low:.2f} to {high:.2f}", border=True, height="stretch",
                      help="Jacobian determinant, 1st to 99th percentile; × 1 is none.")  # fmt: skip
        st.metric("Time", seconds(made.seconds), border=True, height="stretch")
    for note in made.notes:
        st.caption(f":material/info: {plain(note)}")
    if made.folded_share > register_words.FOLDED_ALARM:
        st.warning(register_words.fold_sentence(made.folded_share), icon=":material/warning:")


def compare_view(registration_id: str, seen: Look) -> None:
    """Show both images in one viewer, and beside it where the voxel under the cross lies in the moving image."""
    made = seen.registered
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        second = st.segmented_control(
            "Moving image", [REGISTERED, START], default=REGISTERED, required=True,
            key="register-second", format_func=SECONDS.__getitem__,
        )  # fmt: skip
        beside = st.toggle("Correspondence beside", value=True, key="register-beside")
    second = second or REGISTERED
    voxel = state.voxel(made.fixed.shape)
    comparison, layers = drawn(registration_id, second)
    left, right = st.columns([3, 2]) if beside else (st.container(), None)
    with left:
        slice_viewer(
            made.fixed, key=f"register-viewer-{second}", voxel=voxel, height=520, opacity=0.75,
            overlays=layers, on_move=state.set_voxel, compare=comparison,
        )  # fmt: skip
        st.caption(_legend(seen, second))
    if right is not None:
        with right:
            _correspondence(seen, voxel)
    _dice(seen)
    with st.container(horizontal=True, horizontal_alignment="right"):
        save(f"registration-{registration_id}", files=files(registration_id, seen))


def energy_view(seen: Look) -> None:
    """Draw how the energy fell, stage by stage."""
    _energy(energy(seen), "registration-energy")


def live_energy(registration_id: str) -> None:
    """Draw the energy of a registration that goes on, again and again."""
    st.fragment(run_every=LIVE_SECONDS)(_live_energy)(registration_id)


def figures_view(seen: Look) -> None:
    """Draw any of the comparisons as a figure that can be saved."""
    names: list[str] = [*MODES, *(FIELDS if seen.is_deformed else ())]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = str(st.selectbox("Figure", names, key="register-figure", width=220, format_func=str.capitalize))
        plane, amount, spacing = "axial", None, None
        if name not in FIELDS:
            plane = (
                st.segmented_control("Plane", list(PLANES), default="axial", required=True, key="register-plane")
                or plane
            )
        if name in AMOUNTS:
            label, low, high, step = AMOUNTS[name]
            amount = float(st.slider(label, low, high, USUAL[name], step, key=f"register-amount-{name}", width=260))
        if name == GRID:
            spacing = float(st.slider("Lines every, mm", 1.0, 25.0, 5.0, 1.0, key="register-grid-mm", width=260))
    voxel, theme = state.voxel(seen.registered.fixed.shape), state.theme()
    fixed, share = seen.registered.fixed, seen.registered.folded_share
    if name == GRID:
        fig = deformed_grid(seen.warped, seen.deformation, voxel, spacing_mm=spacing, theme=theme)
    elif name == JACOBIAN:
        fig = jacobian_map(fixed, seen.jacobian, voxel, folded_share=share, theme=theme)
    elif name == DISPLACEMENT:
        fig = displacement_map(fixed, seen.deformation, voxel, theme=theme)
    else:
        pair = compared(seen, REGISTERED)
        fig = compare_slices(pair, voxel, mode=name, amount=amount, plane=plane, theme=theme)  # type: ignore[arg-type]
    chart(fig, f"registration-{name}")


def files(registration_id: str, seen: Look) -> dict[str, Bytes]:
    """Give what can be saved of a registration, read when it is asked for."""

    def exported(what: Any) -> Any:
        return lambda: workflow.export_registration(registration_id, what)

    names = ["warped", "field", "inverse", "jacobian", *(["labels"] if seen.found.labels_warped is not None else [])]
    return {f"{what}.nii.gz": exported(what) for what in names} | {"report.html": exported("report")}


def _live_energy(registration_id: str) -> None:
    with guard("draw the energy"):
        rows = energy_so_far(registration_id)
        if len(rows):
            _energy(rows, "registration-energy-live")


def _energy(rows: pd.DataFrame, name: str) -> None:
    relative = len(rows) > 0 and st.toggle("As a share of each stage's first", key=f"{name}-relative")
    chart(energy_curve(rows, relative=relative, theme=state.theme()), name, table=rows)


def _correspondence(seen: Look, voxel: tuple[int, int, int]) -> None:
    """Show the moving image where the voxel under the cross lies in it; a click there leads back."""
    made = seen.registered
    here = made.fixed.to_mm(np.array(voxel))
    there = made.warp_points(here[None])[0]
    inside = np.rint(made.moving.to_voxels(there)).astype(int)
    clipped = np.clip(inside, 0, np.array(made.moving.shape) - 1)
    at = (int(clipped[0]), int(clipped[1]), int(clipped[2]))
    slice_viewer(
        made.moving, key="register-moving-viewer", voxel=at, height=520, cross_color=MARK,
        marks=[Mark(at, "correspondence", MARK)], on_move=lambda v: _lead_back(seen, v),
    )  # fmt: skip
    length = float(seen.lengths[voxel])
    where = f"Fixed **{register_words.place(here)}** is moving **{register_words.place(there)}** (○)"
    deformed = f"; the deformation moves it by {length:.1f} mm" if seen.is_deformed else ""
    outside = "" if (inside == clipped).all() else " It lies outside the moving image."
    st.caption(f"The moving image as it was. {where}{deformed}.{outside} Click here to go the other way.")


def _lead_back(seen: Look, voxel: tuple[int, int, int]) -> None:
    made = seen.registered
    point = made.warp_points_back(made.moving.to_mm(np.array(voxel))[None])[0]
    found = np.clip(np.rint(made.fixed.to_voxels(point)), 0, np.array(made.fixed.shape) - 1).astype(int)
    state.set_voxel((int(found[0]), int(found[1]), int(found[2])))


def _legend(seen: Look, second: str) -> str:
    if seen.found.labels_fixed is None and seen.found.labels_warped is None:
        return "Keys 1 to 9 choose how the images are compared, space shows the other one."
    moved = "registered" if second == REGISTERED else "by the linear start"
    return f":red[**━**] labels of the fixed image · :blue[**┅**] labels of the moving one, {moved}, with white dashes."


def _dice(seen: Look) -> None:
    table = register_words.dice_table(seen.found)
    if table.empty:
        st.caption(
            "Without label maps of both images no Dice is known; look at edges in the checkerboard and the wipe."
        )
        return
    columns = {c: st.column_config.NumberColumn(format="%.3f") for c in table.columns[1:]}
    columns["Gain"] = st.column_config.NumberColumn(format="%+.3f")
    st.dataframe(table, hide_index=True, alt="Dice of each label before and after", column_config=columns)
