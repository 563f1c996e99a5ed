"""Diagnosis of a run: a dot a subject, the cross-validated ROC, the methods beside the baseline; and sparsity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import diagnosis_words as words
from workbench.app import regional_reads, state
from workbench.app.downloads import chart, save
from workbench.app.messages import guard, plain
from workbench.figures import diagnosis as figures
from workbench.figures import sparsity

"""Below so many groups an interval that draws whole groups is too narrow to lean on."""
REACHED = {"nonzero": 0.01, "hoyer": 0.03}
"""How near to its target a controlled layer has to end."""


def diagnosis_view(run_id: str) -> None:
    """Draw the cross-validated scores of all subjects, and say what they show."""
    st.fragment(_diagnosis)(run_id)


def _diagnosis(run_id: str) -> None:
    with guard("draw the diagnosis"):
        found = regional_reads.diagnosis(run_id)
        summary = (workflow.open_run(run_id).result() or {}).get("summary", {})
        _how(found)
        _methods(run_id, found, summary)
        sites = {s for s in found.site if s}
        with st.container(horizontal=True, vertical_alignment="bottom"):
            method = state.choose("Method", list(found.scores), "method", width=340)
            within = len(sites) > 1 and st.toggle(
                "Shuffle within sites", key="diagnosis-within",
                help="The test then cannot be won by what differs between sites.",
            )  # fmt: skip
        _dots(run_id, found, method)
        _roc(run_id, method, within_site=bool(within))


def _how(found: Any) -> None:
    counts = Counter(found.classes[t] for t in found.target)
    with st.grid(4, min_column_width=150):
        for name in found.classes:
            st.metric(plain(f"Class {name}"), counts[name], border=True)
        st.metric("Folds", len(set(np.asarray(found.fold).tolist())), border=True)
        st.metric("Sites", len({s for s in found.site if s}) or "–", border=True)
    for note in found.notes:
        st.caption(plain(note))
    st.caption(
        "Every subject is scored by a model that was learnt without its fold; test subjects of the split take no part."
    )


def _methods(run_id: str, found: Any, summary: dict[str, list[float]]) -> None:
    methods = list(found.scores)
    st.dataframe(
        words.methods_table(summary, methods), hide_index=True,
        alt="A row a method: area under the ROC curve, accuracy, balanced accuracy with 95 % intervals, p",
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            "In brackets: 95 % intervals. They draw subjects again (whole groups where ten or more are held out) and "
            "are widened for the subjects that folds share in learning. p: share of shuffles of the classes among the "
            "scores that do as well; it comes out too small for the same reason."
        )
        save(f"methods-{run_id}", table=words.numbers_table(summary))
    own = _area(run_id, summary, methods[0])
    said = words.verdict(plain(methods[0]), own, next(iter(summary.get(f"{methods[0]}: p", [])), None))
    if words.BASELINE in methods[1:]:
        said += " " + words.beside_baseline(own, _area(run_id, summary, words.BASELINE))
    st.markdown(said)
    site = words.measured(summary, words.SITE, "balanced accuracy")
    if site is not None:
        st.markdown(words.told_of_site(site, len({s for s in found.site if s})))


def _area(run_id: str, summary: dict[str, list[float]], method: str) -> words.Measured:
    """Give the area under a method's curve with its interval."""
    found = words.measured(summary, method, "auc")
    return found or words.Measured(*regional_reads.roc(run_id, method, within_site=False)[0].auc)


def _dots(run_id: str, found: Any, method: str) -> None:
    values = np.asarray(found.scores[method], float)
    zero = found.zero.get(method, 0.0)
    unit = found.of_what if method == next(iter(found.scores)) else "score"
    if not np.isfinite(zero):
        zero = 0.0
        st.caption("These scores have no threshold of their own: right and wrong are counted at 0.")
    order = np.argsort(found.target, kind="stable")
    fig = figures.likelihood_ratios(
        (values - zero)[order], [found.classes[found.target[i]] for i in order], positive=found.classes[1],
        subjects=[found.subjects[i] for i in order], unit="", theme=state.theme(),
    )  # fmt: skip
    fig.update_xaxes(title=unit if "ratio" in unit or "odds" in unit else f"{method}: {unit}")
    chart(fig, f"scores-{run_id}-{method}", table=words.score_table(found))


def _roc(run_id: str, method: str, *, within_site: bool) -> None:
    band, test = regional_reads.roc(run_id, method, within_site=within_site)
    fig = figures.roc_with_chance(
        figures.RocBand(
            band.false_positive_rate, band.true_positive_rate, band.low, band.high, test.observed,
            (band.auc.low, band.auc.high), test.null, test.p,
        ),
        theme=state.theme(),
    )  # fmt: skip
    table = pd.DataFrame({
        "false_positive_rate": band.false_positive_rate, "true_positive_rate": band.true_positive_rate,
        "low": band.low, "high": band.high,
    })  # fmt: skip
    chart(fig, f"roc-{run_id}-{method}", table=table)
    area = words.Measured(test.observed, band.auc.low, band.auc.high)
    st.markdown(
        f"{words.verdict(plain(method), area, test.p)} {words.tested(test.p, len(test.null), within_site=within_site)}"
    )
    st.caption("The band and the interval of the curve draw single subjects again, so they may differ from the table.")


def sparsity_view(run_id: str) -> None:
    """Draw how the sparsity controller drove the weights to their targets."""
    traces = regional_reads.control_traces(run_id)
    st.markdown(
        "The controller measures the weights after every step and moves the strength of their penalty until the "
        "measure stands at its target (dashed). What counts is where the lines end."
    )
    for measure in dict.fromkeys(t.measure for t in traces):
        own = [t for t in traces if t.measure == measure]
        table = pd.concat(
            pd.DataFrame({"step": t.steps, "layer": t.layer, "target": t.target, measure: t.values, "beta": t.betas})
            for t in own
        )
        chart(sparsity.sparsity_traces(table, measure=measure, theme=state.theme()), f"sparsity-{run_id}-{measure}",
              table=table)  # fmt: skip
        st.markdown(reached(own))
        st.dataframe(ends(own), hide_index=True, alt="A row a layer: target, value at the end and what is missing")


def reached(traces: list[Any]) -> str:
    """Say how many controls have come to their targets."""
    near = REACHED.get(traces[0].measure, REACHED["nonzero"])
    n = sum(bool(len(t.values)) and abs(float(t.values[-1]) - t.target) <= near for t in traces)
    more = "" if n == len(traces) else " The others need more epochs, or a penalty that may grow faster."
    return f"**{n} of {len(traces)}** ended within {near:g} of their target.{more}"


def methods_view(run_id: str) -> None:
    """Show what each method of a run without diagnosis has reached, with intervals, and their maps side by side."""
    _results(run_id, "In brackets: 95 % intervals. Methods are fitted to the same volumes, with as many components.")
    for name in ("reproducibility", "comparison"):
        chart(_figure(run_id, state.trained(run_id), name, state.theme()), f"{name}-{run_id}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            "Units that the other methods find most alike, each beside its partner: the assignment of maps to units "
            "with the largest sum of |r|. Several units may hold one network, and a partner stands for one unit only."
        )
        if regional_reads.has_atlas(run_id):
            save(f"maps-{run_id}", files={f"{m}.nii.gz": _maps(run_id, m) for m in _compared(run_id)})


def _compared(run_id: str) -> list[str]:
    """Name the methods whose maps a run keeps."""
    summary = (workflow.open_run(run_id).result() or {}).get("summary", {})
    return list(dict.fromkeys(str(name).split(":")[0] for name in summary))


def _maps(run_id: str, method: str) -> Callable[[], bytes]:
    return lambda: workflow.component_maps(run_id, method)


def depth_view(run_id: str) -> None:
    """Show what each depth of a network is worth to simple classifiers, and the subjects as each depth sees them."""
    _results(run_id, "F-scores on subjects that neither the network nor the classifier had seen; 0.5 is chance.")
    for name in ("depth", "embedding"):
        chart(_figure(run_id, state.trained(run_id), name, state.theme()), f"{name}-{run_id}")
    st.caption("In the plane only neighbours mean something; each layout begins at that of the depth below.")


def _results(run_id: str, said: str) -> None:
    result = workflow.open_run(run_id).result() or {}
    table = words.wide_table(result.get("summary", {}))
    st.markdown(f"Scored on {plain(str(result.get('scored_on', 'held-out subjects')))}.")
    for note in result.get("notes", []):
        st.caption(plain(str(note)))
    st.dataframe(table, hide_index=True, alt="A row a method, a column a measure with its 95 % interval")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(said)
        save(f"methods-{run_id}", table=words.numbers_table(result.get("summary", {})))


def ends(traces: list[Any]) -> pd.DataFrame:
    """Give where each controlled layer has come to."""
    rows = [
        {"Layer": t.layer, "Target": t.target, "At the end": float(t.values[-1]),
         "Difference": float(t.values[-1] - t.target), "Strength": float(t.betas[-1])}
        for t in traces if len(t.values)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@st.cache_resource(max_entries=12, show_spinner="Comparing the methods")
def _figure(run_id: str, version: str, name: str, theme: state.Theme) -> Any:
    return workflow.figure(run_id, name, theme)
