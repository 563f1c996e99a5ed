"""One segmented subject: slices with what the network says over them, surfaces, and the network itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import segment_reads, segment_words, state
from workbench.app.downloads import Bytes, chart, save
from workbench.app.frame import path
from workbench.app.jobs import origin, run_title, seconds
from workbench.app.messages import guard, plain
from workbench.app.overlay_layers import MAGMA, Overlay
from workbench.app.slice_viewer import slice_viewer
from workbench.errors import FileError
from workbench.figures import export, label_maps
from workbench.figures.architecture import architecture_alt, architecture_svg
from workbench.figures.surface_pairs import Look, surface_pairs

PREDICTION, TRUTH, WRONG, UNSURE, PROBABILITY = "Prediction", "Truth", "Difference", "Uncertainty", "Probability"
PLANES: list[label_maps.PlaneName] = ["axial", "coronal", "sagittal"]
STYLES: list[label_maps.Style] = ["outline", "fill"]
LOOKS: dict[Look, str] = {"distance": "Colored by distance", "overlay": "As in Figure 7"}


def ask(run_id: str, cohort: Any, subject: str) -> None:
    """Offer to segment a subject, or everyone, and follow it; writes what is known where it is done."""
    busy = segment_reads.follow()
    done = workflow.segmented_subjects(run_id, cohort.name)
    with st.container(horizontal=True, vertical_alignment="center"):
        if subject in done:
            st.badge("Segmented", icon=":material/check_circle:", color="green")
        else:
            st.button(
                f"Segment {subject}", icon=":material/border_style:", type="primary", key="segment-one", disabled=busy,
                on_click=segment_reads.start, args=(run_id, cohort.name, [subject]),
            )  # fmt: skip
        missing = len(cohort) - len(done)
        if missing > (subject not in done):
            st.button(
                f"Segment all {len(cohort)}", icon=":material/playlist_play:", key="segment-all", disabled=busy,
                on_click=segment_reads.start, args=(run_id, cohort.name, None),
                help="Those that were segmented before are passed over.",
            )  # fmt: skip
        st.caption(
            f"{len(done)} of {len(cohort)} subjects of {plain(cohort.name)} are segmented by this run.", width="stretch"
        )
        if st.button("Train another", icon=":material/model_training:", type="tertiary", key="segment-train"):
            st.switch_page(path("train"))


def slices_view(run_id: str, cohort: Any, subject: str, found: Any) -> None:
    """Show three linked slices with what is chosen over them, the volumes and scores, and what can be saved."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        offers = [PREDICTION, *([TRUTH, WRONG] if found.truth is not None else []), UNSURE, PROBABILITY]
        first = [PREDICTION, *([TRUTH] if found.truth is not None else [])]
        over = st.segmented_control(
            "Over the image", offers, default=first, selection_mode="multi", key=f"segment-over-{len(offers)}"
        )
        images = segment_reads.images_of(cohort, subject, found)
        modality = state.choose("Image", images, "modality", width=150) if len(images) > 1 else images[0]
        name = ""
        if PROBABILITY in over:
            name = state.choose("Probability of", list(found.names.values()), "class", width=200)
    shown = segment_reads.image(cohort, subject, found, modality)
    slice_viewer(
        shown, key="segment-viewer", voxel=state.voxel(shown.shape), height=480, opacity=0.45,
        overlays=overlays(run_id, cohort, subject, found, over, name), on_move=state.set_voxel,
    )  # fmt: skip
    if TRUTH in over and PREDICTION in over:
        st.caption("White dashes run along the truth; press *f* in the image for the prediction as outline or filled.")
    _table(run_id, cohort, subject, found)
    _static(found)


def overlays(run_id: str, cohort: Any, subject: str, found: Any, over: list[str], name: str = "") -> list[Overlay]:
    """Give the layers of the viewer: maps below, labels above them, the truth on top."""
    layers = []
    if UNSURE in over:
        layers.append(Overlay(UNSURE, visible(segment_reads.uncertainty(run_id, cohort, subject), 0.02), colors=MAGMA))
    if PROBABILITY in over and name:
        k = next(k for k, known in found.names.items() if known == name)
        layers.append(Overlay(f"p({name})", visible(found.probabilities[k], 0.01)))
    if WRONG in over:
        codes = label_maps.difference(found.classes, found.truth)
        names = {code: label for code, (label, _) in label_maps.CASES.items()}
        colors = {code: color for code, (_, color) in label_maps.CASES.items()}
        layers.append(Overlay(WRONG, codes, "labels", names=names, label_colors=colors))
    if PREDICTION in over:
        layers.append(Overlay(PREDICTION, found.classes, "labels", names=found.names))
    if TRUTH in over:
        layers.append(Overlay(TRUTH, np.maximum(found.truth, 0), "labels", names=found.names, dashed=True))
    return layers


def visible(values: np.ndarray, least: float) -> np.ndarray:
    """Give a map with what is below ``least`` left see-through."""
    return np.where(values >= least, values, np.nan).astype(np.float32)


def surfaces_view(found: Any) -> None:
    """Draw the surfaces of truth and prediction of one structure, as the review's Figure 7 does."""
    if found.image.is_picture:
        st.info("A picture has no surface.", icon=":material/info:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = state.choose("Structure", list(found.names.values()), "structure", width=240)
        k = next(k for k, known in found.names.items() if known == name)
        look = st.segmented_control(
            "Prediction", list(LOOKS), default="distance", required=True, key="segment-look",
            format_func=LOOKS.__getitem__, disabled=found.truth is None,
        )  # fmt: skip
    with st.spinner("Marching cubes"):
        if found.truth is None:
            from workbench.figures.surfaces import surface

            fig = surface(found.classes == k, found.image, names={1: name}, theme=state.theme())
            st.caption("There is no truth to draw beside it.")
        else:
            drawn = {PREDICTION: found.classes == k}
            fig = surface_pairs(found.truth == k, drawn, found.image.affine, look=look, theme=state.theme())
        chart(fig, f"surfaces-{name}")


def network_view(run_id: str) -> None:
    """Draw Figure 8 of the run's network."""
    parts = workflow.architecture_parts(run_id)
    st.markdown("**The network as it was trained**, drawn as the review's Figure 8 draws its own.")
    drawing = architecture_svg(parts, state.theme())
    st.image(drawing, width="stretch", alt=architecture_alt(parts))
    with st.container(horizontal=True, horizontal_alignment="right"):
        save(f"architecture-{run_id}", files={"architecture.svg": lambda: architecture_svg(parts).encode()})


def files_of(run_id: str, cohort: Any, subject: str, table: pd.DataFrame, found: Any) -> dict[str, Bytes]:
    """Give what can be saved of a segmented subject, made when it is asked for."""

    def exported(what: Any) -> Any:
        return lambda: workflow.export_segmentation(run_id, cohort.name, subject, what)

    files = {f"{subject}-{what}.nii.gz": exported(what) for what in ("labels", "probabilities", "uncertainty")}
    return files | {f"{subject}-report.html": lambda: _report(run_id, cohort, subject, table, found).encode()}


def _table(run_id: str, cohort: Any, subject: str, found: Any) -> None:
    scores = segment_reads.scores(run_id, cohort, subject, found)
    table = segment_words.score_table(scores, workflow.score_kinds()) if scores else segment_words.volume_table(found)
    st.dataframe(
        table, hide_index=True, alt="Volumes and scores of each structure",
        column_config={c: st.column_config.NumberColumn(format="%.3f") for c in table.columns[1:]},
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_told(found), width="stretch")
        save(f"segmentation-{subject}", table=table, files=files_of(run_id, cohort, subject, table, found))


def _told(found: Any) -> str:
    told = [f"Segmented in {seconds(found.seconds)}"] if found.seconds else []
    if found.truth is None:
        told.append("no truth is known for this subject: bring another rater's label map under *Reference*")
    elif (found.truth < 0).any():
        told.append(f"{float((found.truth < 0).mean()):.1%} of the voxels are not scored, because they were ignored")
    return "; ".join(told) + ("." if told else "")


def _static(found: Any) -> None:
    with st.expander("As a figure", icon=":material/image:", key="segment-static", on_change="rerun") as box:
        if not box.open:
            return
        with st.container(horizontal=True, vertical_alignment="bottom"):
            offers = PLANES[:1] if found.image.is_picture else PLANES
            plane = st.segmented_control("Plane", offers, default="axial", required=True, key="segment-plane")
            style = st.segmented_control("Labels", STYLES, default="outline", required=True, key="segment-style")
            differ = found.truth is not None and st.toggle("Only where they differ", key="segment-differ")
            names = ["all", *found.names.values()]
            label = st.selectbox("Of", names, key="segment-of", width=200) if differ else "all"
        maps, at = segment_reads.maps_of(found), state.voxel(found.image.shape)
        with guard("draw this figure"):
            if differ:
                k = next((k for k, name in found.names.items() if name == label), None)
                fig = label_maps.difference_map(maps, at, label=k, plane=plane, theme=state.theme())
            else:
                fig = label_maps.label_maps(maps, at, plane=plane, style=style, theme=state.theme())
            chart(fig, "label-maps", table=pd.DataFrame(label_maps.label_volumes(maps)))


def _report(run_id: str, cohort: Any, subject: str, table: pd.DataFrame, found: Any) -> str:
    run = workflow.open_run(run_id)
    spacing = " × ".join(f"{s:.3g}" for s in found.image.spacing)
    facts = {
        "Subject": f"{subject} of {cohort.name}", "Run": run_title(run), "Trained with": origin(run),
        "Image": f"{found.image.modality}, {' × '.join(map(str, found.image.shape))} voxels of {spacing} mm",
        "Cohort digest": cohort.digest, "Label values": _values(found),
    }  # fmt: skip
    drawing = ""
    if state.run_shows(run_id, "architecture_parts"):
        drawing = architecture_svg(workflow.architecture_parts(run_id))
    return segment_words.report(
        f"Segmentation of {subject}", facts, table, drawing, [_told(found)], _picture(found)
    )  # fmt: skip


def _picture(found: Any) -> bytes:
    """Render truth and prediction for the report; empty where no browser can."""
    if export.find_browser() is None:
        return b""
    try:
        return export.to_png(label_maps.label_maps(segment_reads.maps_of(found), style="fill"), width=1000)
    except FileError:
        return b""


def _values(found: Any) -> str:
    return ", ".join(f"{v} {n}" for v, n in zip(found.meaning.values[1:], found.meaning.names, strict=True))
