"""How good a segmentation is: against another reference, over thresholds, over a cohort, and beside other runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import segment_reads, segment_words, state
from workbench.app.downloads import chart, save
from workbench.app.messages import guard, plain
from workbench.app.overlay_layers import Overlay
from workbench.app.slice_viewer import slice_viewer
from workbench.figures.planes import PLANES
from workbench.figures.registration_surfaces import Patient, figure_7
from workbench.figures.segmentation_scores import ablation, lesion_sizes, score_strips
from workbench.figures.thresholds import probability_histogram, threshold_curves

UPLOAD, PATH = "Upload a file", "A file on this machine"
N_BINS = 50
MOST_RUNS = 6


def reference_view(run_id: str, cohort: Any, subject: str, found: Any) -> None:
    """Score a subject against a label map that the user brings: a second rater's, or another tool's."""
    st.markdown(
        "A label map of a second rater or of another tool, as NIfTI on the lattice of the image and with the label "
        "values that the run was trained with."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        way = st.segmented_control("Where is it?", [UPLOAD, PATH], default=UPLOAD, required=True, key="reference-way")
        file: Path | None = None
        with guard("read this label map"):
            if way == UPLOAD:
                given = st.file_uploader("Label map", type=["nii", "gz"], key="reference-file", width=420)
                file = None if given is None else segment_reads.keep_reference(given.getvalue(), given.name)
            else:
                text = st.text_input("Path", key="reference-path", placeholder="/data/rater-2/sub-01.nii.gz", width=420)
                file = segment_reads.given_path(text) if text.strip() else None
    if file is None:
        return
    with guard("score against this label map"):
        scores = workflow.score_against(run_id, cohort.name, subject, file)
        st.markdown(f"**{plain(subject)}** against **{plain(file.name)}**, which the table takes as the truth")
        _scores(segment_words.score_table(scores, workflow.score_kinds()), f"against-{file.stem}")
        other = np.maximum(workflow.reference_classes(found, file), 0)
        layers = [
            Overlay("Prediction", found.classes, "labels", names=found.names),
            Overlay("Reference", other, "labels", names=found.names, dashed=True),
        ]
        slice_viewer(found.image, key="reference-viewer", voxel=state.voxel(found.image.shape), overlays=layers,
                     height=440, opacity=0.45, on_move=state.set_voxel)  # fmt: skip


def threshold_view(run_id: str, cohort: Any, subject: str, found: Any) -> None:
    """Let the user move the threshold on a class's probability, with the scores and the labels that follow."""
    st.fragment(_threshold)(run_id, cohort, subject, found)


def cohort_view(run_id: str, cohort: Any, subject: str) -> None:
    """Show the scores of everyone who was segmented and has truth; the worst first."""
    scores = workflow.segmentation_scores(run_id, cohort.name)
    if scores is None:
        st.info(
            "No subject of this cohort is segmented and has truth to compare with. *Segment all*, above, makes this "
            "table where there are label maps.", icon=":material/info:",
        )  # fmt: skip
        return
    st.markdown(plain(segment_words.part_sentence(scores["parts"])))
    scores = _whose(scores, cohort, "cohort")
    structure, score, title, best = _choice(scores, "cohort")
    structures = [s for s in scores["summary"] if score in scores["summary"][s]]
    cases = pd.concat([segment_words.case_table(scores, s, score) for s in structures])
    fig = score_strips(
        cases, segment_words.summary_rows(scores, score), title=title, best=best if np.isfinite(best) else None,
        marked=subject, theme=state.theme(),
    )  # fmt: skip
    chart(fig, f"strips-{score}", table=cases)
    kinds = workflow.score_kinds()
    table = segment_words.summary_table(scores, kinds)
    st.subheader("Means with 95 % intervals over subjects", anchor=False)
    st.dataframe(table, hide_index=True, alt="Means with intervals")
    _worst(scores, structure, score)
    with st.container(horizontal=True, horizontal_alignment="right"):
        save(f"scores-{cohort.name}", table=_long(scores))


def lesions_view(found: Any) -> None:
    """Draw which sizes of lesions were found, missed and made up."""
    names = list(found.names.values())
    name = names[0] if len(names) == 1 else state.choose("Lesions of", names, "lesion", width=220)
    k = next(k for k, known in found.names.items() if known == name)
    bands = pd.DataFrame(workflow.lesion_bands(found, k))
    if bands.empty:
        st.caption("Lesions are counted where the truth is known.")
        return
    chart(lesion_sizes(bands, theme=state.theme()), "lesion-sizes", table=bands)
    st.caption("A lesion is found where one voxel of it is; voxels hang together by a face, an edge or a corner.")


def compare_view(run_id: str, cohort: Any, runs: dict[str, str], subject: str) -> None:
    """Put runs on the same subjects beside each other, subject by subject: the ablation table."""
    runs = segment_words.short_titles(runs)
    others = [i for i in runs if i != run_id]
    chosen = st.multiselect(
        f"Compare {plain(runs[run_id])} with", others, others[:3], format_func=runs.__getitem__, key="segment-compare",
        max_selections=MOST_RUNS - 1, placeholder="other segmentation runs",
    )  # fmt: skip
    found = {i: workflow.segmentation_scores(i, cohort.name) for i in (run_id, *chosen)}
    lacking = [plain(runs[i]) for i, scores in found.items() if scores is None]
    if lacking:
        st.caption(f"Nothing of this cohort is scored yet by {', '.join(lacking)}: choose the run and *Segment all*.")
    known = {i: scores for i, scores in found.items() if scores is not None}
    if len(known) < 2:
        st.info("Two runs with scores on this cohort make a comparison.", icon=":material/info:")
        return
    first = _whose(segment_words.held_out_everywhere(known), cohort, "compare")
    structure, score, title, best = _choice(first, "compare")
    subjects = {
        runs[i]: {s: of for s, of in scores["subjects"].items() if s in first["subjects"]}
        for i, scores in known.items()
    }
    groups = {s.name: s.group for s in cohort if s.group}
    paired = workflow.paired_scores(subjects, structure, score, groups)
    tables = [pd.DataFrame(t) for t in (paired.cases, paired.summary, paired.differences)]
    chart(ablation(*tables, title=f"{title}, {structure}", theme=state.theme()), "ablation", table=tables[0])
    for sentence in segment_words.claims(paired.differences, title, best):
        st.markdown(f"- {plain(sentence)}")
    if paired.n_left_out:
        st.caption(f"{paired.n_left_out} subjects are left out, because some run has no score of them.")
    _figure_7({i: runs[i] for i in known}, cohort, subject, structure)
    settings = workflow.compare(list(known)).settings.rename(columns=runs).rename_axis("Setting").reset_index()
    st.subheader("Settings that differ", anchor=False)
    st.dataframe(settings, hide_index=True, alt="Settings that differ")


def _figure_7(runs: dict[str, str], cohort: Any, subject: str, structure: str) -> None:
    """Draw what each run finds of a structure in one subject, as slices and as surfaces."""
    box = st.expander("As Figure 7", icon=":material/view_in_ar:", key="segment-figure-7", on_change="rerun")
    if not box.open:
        return
    with box, guard("draw this figure"):
        found = {i: segment_reads.segmented(i, cohort, subject) for i in runs}
        known = {i: one for i, one in found.items() if one is not None and one.truth is not None}
        same = {i: one for i, one in known.items() if one.image.shape == next(iter(known.values())).image.shape}
        if len(same) < 2:
            st.info(
                f"{subject} is not segmented by two of these runs on one lattice, or has no truth.",
                icon=":material/info:",
            )
            return
        first = next(iter(same.values()))
        label = {i: next((k for k, name in one.names.items() if name == structure), 0) for i, one in same.items()}
        masks = {runs[i]: one.classes == label[i] for i, one in same.items() if label[i]}
        scores = {runs[i]: segment_reads.scores(i, cohort, subject, one) for i, one in same.items()}
        dice = {name: of[structure]["dice"] for name, of in scores.items() if "dice" in of.get(structure, {})}
        k = next((k for k, name in first.names.items() if name == structure), 0)
        if len(masks) < 2 or not k:
            st.info(f"{structure} is put together from others and has no surface of its own; choose another one.",
                    icon=":material/info:")  # fmt: skip
            return
        patient = Patient(subject, first.image, first.truth == k, masks, dice)
        plane = st.segmented_control(
            "Plane", list(PLANES), default="axial", required=True, key="segment-figure-7-plane"
        )
        with st.spinner("Marching cubes"):
            chart(figure_7([patient], plane=plane or "axial", theme=state.theme()), "figure-7")


def _threshold(run_id: str, cohort: Any, subject: str, found: Any) -> None:
    names = list(found.names.values())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = names[0] if len(names) == 1 else state.choose("Class", names, "class", width=200)
        at = float(st.slider(f"Threshold on the probability of {name}", 0.0, 1.0, 0.5, 0.01, key="segment-threshold"))
    k = next(k for k, known in found.names.items() if known == name)
    inside = found.probabilities[k] >= at
    layers = [Overlay(f"p ≥ {at:.2f}", inside.astype(np.int32) * k, "labels", names=found.names)]
    if found.truth is not None:
        layers.append(
            Overlay("Truth", (found.truth == k).astype(np.int32) * k, "labels", names=found.names, dashed=True)
        )
    with guard("score this threshold"):
        rows = None if found.truth is None else segment_reads.thresholds(run_id, cohort, subject, name)
        _metrics(rows, at, inside, found)
        slice_viewer(found.image, key="threshold-viewer", voxel=state.voxel(found.image.shape), overlays=layers,
                     height=400, opacity=0.45)  # fmt: skip
        if rows is not None:
            chart(threshold_curves(rows, at, theme=state.theme()), f"thresholds-{name}", table=rows)
            if rows["dice"].notna().any():
                best = rows.iloc[int(np.nanargmax(rows["dice"].to_numpy(float)))]
                st.caption(
                    f"The star is the best threshold for this subject, {best['threshold']:.2f} with a Dice of "
                    f"{best['dice']:.3f}. A threshold chosen on the subject it is scored on flatters: choose it on "
                    "validation subjects."
                )
        asked = found.region
        counts, edges = np.histogram(found.probabilities[k][asked], N_BINS, (0, 1))
        true = (
            None if found.truth is None else np.histogram(found.probabilities[k][asked & (found.truth == k)], edges)[0]
        )
        chart(probability_histogram(counts, edges, at, truth_counts=true, theme=state.theme()), f"histogram-{name}",
              table=pd.DataFrame({"from": edges[:-1], "to": edges[1:], "voxels": counts}))  # fmt: skip


def _metrics(rows: pd.DataFrame | None, at: float, inside: np.ndarray, found: Any) -> None:
    volume = float(np.count_nonzero(inside)) * abs(float(np.linalg.det(found.image.affine[:3, :3]))) / 1000
    with st.container(horizontal=True):
        st.metric("Volume", f"{volume:.3g} ml", border=True)
        if rows is not None:
            row = rows.iloc[int((rows["threshold"] - at).abs().to_numpy().argmin())]
            for name, label in (
                ("dice", "Dice"),
                ("sensitivity", "Sensitivity"),
                ("specificity", "Specificity"),
                ("ppv", "PPV"),
            ):
                st.metric(label, f"{row[name]:.3f}" if np.isfinite(row[name]) else "–", border=True)


def _whose(scores: dict[str, Any], cohort: Any, place: str) -> dict[str, Any]:
    """Leave out those that the run has learnt from, unless the user wants all; summed up anew."""
    held = segment_words.held_out(scores)
    if 0 < len(held["subjects"]) < len(scores["subjects"]):
        names = ["Held-out subjects", "All"]
        key = f"{place}-whose"
        chosen = st.segmented_control("Of whom", names, default=names[0], required=True, key=key)
        if chosen == names[0]:
            groups = {s.name: s.group for s in cohort if s.group}
            return held | {"summary": workflow.score_summary(held["subjects"], groups)}
    return scores


def _choice(scores: dict[str, Any], place: str) -> tuple[str, str, str, float]:
    """Ask for a structure and a score; give both, the score's title and its best value."""
    kinds = workflow.score_kinds()
    summary = scores["summary"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        structure = str(st.selectbox("Structure", list(summary), key=f"{place}-structure", width=240))
        names = [n for n in kinds if n in summary[structure] and np.isfinite(summary[structure][n][0])]
        score = str(
            st.selectbox("Score", names, key=f"{place}-score", width=300,
                         format_func=lambda n: segment_words.column_title(n, kinds))
        )  # fmt: skip
    return structure, score, segment_words.column_title(score, kinds), float(kinds[score].best)


def _worst(scores: dict[str, Any], structure: str, score: str) -> None:
    st.subheader(f"Worst cases of {structure} first", anchor=False)
    worst = workflow.worst_cases(scores["subjects"], structure, score)
    table = segment_words.worst_table(worst, scores, structure, score, workflow.score_kinds())
    event = st.dataframe(
        table, hide_index=True, on_select="rerun", selection_mode="single-row", key=f"worst-{structure}-{score}",
        alt="Subjects, the worst first",
        column_config={c: st.column_config.NumberColumn(format="%.3f") for c in table.columns[1:-1]},
    )  # fmt: skip
    rows = [r for r in event.selection.rows if r < len(table)]
    if not rows:
        st.caption("Choose a row to look at that subject.")
        return
    name = str(table["Subject"].iloc[rows[0]])
    st.button(
        f"Look at {name}", icon=":material/visibility:", type="primary", key="worst-look", on_click=_look, args=(name,)
    )


def _look(subject: str) -> None:
    state.prefer("subject", subject)
    st.session_state["segment-tab"] = "Slices"


def _scores(table: pd.DataFrame, stem: str) -> None:
    st.dataframe(
        table, hide_index=True, alt="Scores of each structure",
        column_config={c: st.column_config.NumberColumn(format="%.3f") for c in table.columns[1:]},
    )  # fmt: skip
    with st.container(horizontal=True, horizontal_alignment="right"):
        save(stem, table=table)


def _long(scores: dict[str, Any]) -> pd.DataFrame:
    """Give every score of every subject, a row a subject and structure."""
    return pd.DataFrame(
        [{"subject": s, "part": scores["parts"].get(s, ""), "structure": name} | of
         for s, table in scores["subjects"].items() for name, of in table.items()]
    )  # fmt: skip
