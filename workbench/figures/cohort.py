"""What a cohort holds: intensities, grids, what is missing, how it is split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import (
    ACCENT,
    INK,
    PAPER,
    PRIMARY,
    SYMBOLS,
    Theme,
    faded,
    finish,
    label_color,
    listed,
    mix,
    note,
    series_color,
)
from workbench.imaging.facts import ImageFacts, LabelFacts
from workbench.imaging.fingerprint import Histogram

UNITS = {"CT": "HU", "PET": "SUV"}
MAX_WRITTEN_SUBJECTS = 40
SPLIT_COLORS = {"train": "#0072B2", "validation": "#E69F00", "test": "#009E73"}


def intensity_histograms(histograms: Sequence[Histogram], *, theme: Theme = "light") -> go.Figure:
    """Draw a panel a modality: each subject a faint line, all together a bold one; voxels that are 0 are left out."""
    if not histograms:
        return _nothing("No image could be read, so there are no intensities to show.", theme)
    fig = make_subplots(1, len(histograms), horizontal_spacing=0.06)
    for column, found in enumerate(histograms, 1):
        edges = np.linspace(found.low, found.high, len(found.counts) + 1)
        middle = (edges[:-1] + edges[1:]) / 2
        x, y = [], []
        for _, shares in found.subjects:
            x += [*middle, np.nan]
            y += [*shares, np.nan]
        total = np.asarray(found.counts, float) / max(sum(found.counts), 1)
        fig.add_scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": faded(PRIMARY[theme], 0.3), "width": 1},
            hoverinfo="skip",
            name="one subject",
            legendgroup="one",
            showlegend=column == 1,
            row=1,
            col=column,
        )
        fig.add_scatter(
            x=middle,
            y=total,
            mode="lines",
            line={"color": ACCENT[theme], "width": 2.5},
            name="all subjects",
            legendgroup="all",
            showlegend=column == 1,
            hovertemplate="%{x:.4g}: %{y:.2%} of the voxels<extra></extra>",
            row=1,
            col=column,
        )
        unit = UNITS.get(found.modality.upper(), "as stored")
        fig.update_xaxes(title=f"{found.modality} intensity, {unit}", showgrid=False, nticks=5, row=1, col=column)
    fig.update_yaxes(title="share of voxels", col=1)
    fig.update_yaxes(tickformat=".0%", rangemode="tozero", nticks=4, showline=False, ticks="")
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 44})
    names = [h.modality for h in histograms]
    return finish(fig, theme, alt=f"Histograms of intensities, one line a subject, of {listed(names)}.", height=320)


def intensities_by_label(
    labels: Sequence[LabelFacts], names: Mapping[int, str], *, theme: Theme = "light"
) -> go.Figure:
    """Draw the mean intensity inside each label, a dot a subject, a panel a modality."""
    rows = [
        (m, v.value, mean, f.subject)
        for f in labels
        for v in f.values
        for m, mean, _ in v.intensities
        if f.column == "label"
    ]
    if not rows:
        return _nothing("No label map lies on the grid of an image, so there are no intensities by label.", theme)
    modalities = list(dict.fromkeys(r[0] for r in rows))
    values = sorted({r[1] for r in rows})
    fig = make_subplots(1, len(modalities), shared_yaxes=True, horizontal_spacing=0.04)
    for column, modality in enumerate(modalities, 1):
        for at, value in enumerate(values):
            found = [r for r in rows if r[0] == modality and r[1] == value]
            fig.add_scatter(
                x=[r[2] for r in found],
                y=at + _spread(len(found)),
                mode="markers",
                hovertext=[r[3] for r in found],
                showlegend=False,
                marker={
                    "size": 7,
                    "color": faded(label_color(value), 0.75),
                    "line": {"width": 0.5, "color": INK[theme]},
                },
                hovertemplate="%{hovertext}: mean %{x:.4g}<extra></extra>",
                row=1,
                col=column,
            )
        unit = UNITS.get(modality.upper(), "as stored")
        fig.update_xaxes(title=f"mean {modality} intensity, {unit}", nticks=5, row=1, col=column)
    fig.update_yaxes(range=[len(values) - 0.5, -0.5], showgrid=False, ticks="")
    fig.update_yaxes(tickvals=list(range(len(values))), ticktext=[names.get(v, f"label {v}") for v in values], col=1)
    drawn = listed([names.get(v, f"label {v}") for v in values])
    alt = f"Mean intensity of {drawn} in each subject, for {listed(modalities)}."
    return finish(fig, theme, alt=alt, height=120 + 40 * len(values))


def grid_overview(images: Sequence[ImageFacts], *, theme: Theme = "light") -> go.Figure:
    """Draw voxel size and extent along each axis, a dot an image, so that the odd one out is seen."""
    if not images:
        return _nothing("No image could be read, so there are no grids to show.", theme)
    modalities = list(dict.fromkeys(i.modality for i in images))
    fig = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.04)
    for index, modality in enumerate(modalities):
        own = [i for i in images if i.modality == modality]
        offset = (index - (len(modalities) - 1) / 2) * 0.6 / len(modalities)
        for column, what, unit in ((1, "spacing_mm", "mm"), (2, "shape", "voxels")):
            points = [(getattr(i, what)[axis], axis + offset, i.subject) for axis in range(3) for i in own]
            spread = np.concatenate([_spread(len(own), 0.3 / len(modalities))] * 3)
            fig.add_scatter(
                x=[p[0] for p in points],
                y=np.array([p[1] for p in points]) + spread,
                mode="markers",
                name=modality,
                row=1,
                col=column,
                legendgroup=modality,
                showlegend=column == 1,
                hovertext=[p[2] for p in points],
                marker={"size": 7, "symbol": SYMBOLS[index % 8], "color": faded(series_color(index, theme), 0.7)},
                hovertemplate=f"%{{hovertext}}, {modality}: %{{x:.4g}} {unit}<extra></extra>",
            )
    fig.update_xaxes(title="voxel size, mm", rangemode="tozero", row=1, col=1)
    fig.update_xaxes(title="extent, voxels", rangemode="tozero", row=1, col=2)
    fig.update_yaxes(range=[2.5, -0.5], showgrid=False, ticks="")
    fig.update_yaxes(tickvals=[0, 1, 2], ticktext=["x (L–R)", "y (P–A)", "z (I–S)"], col=1)
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 44})
    return finish(
        fig, theme, alt=f"Voxel sizes and extents of {len(images)} images ({listed(modalities)}).", height=300
    )


def missing_matrix(
    columns: Sequence[str], rows: Sequence[tuple[str, Sequence[bool]]], *, theme: Theme = "light"
) -> go.Figure:
    """Draw which subject has what: filled is present, crossed is missing."""
    if not columns or not rows:
        return _nothing("This cohort names no image, label or other column.", theme)
    present = np.array([list(has) for _, has in rows], bool)
    n = len(rows)
    there = mix(PRIMARY[theme], PAPER[theme], 0.3)
    fig = go.Figure()
    fig.add_heatmap(
        z=present.T.astype(np.uint8),
        x=np.arange(n),
        y=np.arange(len(columns)),
        xgap=1 if n <= 200 else 0,
        ygap=3,
        zmin=0,
        zmax=1,
        colorscale=[(0, PAPER[theme]), (0.5, PAPER[theme]), (0.5, there), (1, there)],
        showscale=False,
        customdata=np.where(present.T, "present", "missing"),
        text=np.tile([name for name, _ in rows], (len(columns), 1)),
        hovertemplate="%{text}: %{y} %{customdata}<extra></extra>",
    )
    at, which = np.nonzero(~present)
    fig.add_scatter(x=at, y=which, mode="markers", hoverinfo="skip", name="missing",
                    marker={"symbol": "x-thin", "size": 8, "line": {"width": 1.8, "color": ACCENT[theme]}})  # fmt: skip
    counts = [f"{c}  {int(k)}/{n}" for c, k in zip(columns, present.sum(0), strict=True)]
    fig.update_yaxes(
        tickvals=list(range(len(columns))),
        ticktext=counts,
        range=[len(columns) - 0.5, -0.5],
        showgrid=False,
        showline=False,
        ticks="",
    )
    shown = (
        {"tickvals": list(range(n)), "ticktext": [name for name, _ in rows], "tickangle": -60}
        if n <= MAX_WRITTEN_SUBJECTS
        else {"showticklabels": False}
    )
    fig.update_xaxes(title=f"{n} subjects", range=[-0.5, n - 0.5], showgrid=False, showline=False, ticks="", **shown)
    fig.update_layout(margin={"t": 12}, showlegend=False)
    missing = [f"{c}: {n - int(k)} missing" for c, k in zip(columns, present.sum(0), strict=True) if k < n]
    alt = f"What each of {n} subjects has. " + (listed(missing) if missing else "Nothing is missing") + "."
    return finish(fig, theme, alt=alt, height=90 + 34 * len(columns) + (70 if n <= MAX_WRITTEN_SUBJECTS else 0))


def split_bar(parts: Mapping[str, Sequence[str]], *, theme: Theme = "light") -> go.Figure:
    """Draw one bar of subjects, divided into training, validation and test, with numbers written in."""
    total = sum(len(names) for names in parts.values())
    if total == 0:
        return _nothing("No subject is in a split yet.", theme)
    fig = go.Figure()
    for index, (part, names) in enumerate(parts.items()):
        text = f"<b>{part}</b><br>{len(names)} ({len(names) / total:.0%})" if names else ""
        fig.add_bar(
            x=[len(names)],
            y=[""],
            orientation="h",
            name=part,
            text=text,
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            marker={
                "color": SPLIT_COLORS.get(part, series_color(index + 3, theme)),
                "line": {"width": 2, "color": PAPER[theme]},
            },
            hovertext=listed(list(names), 12),
            hovertemplate=f"{part}: %{{hovertext}}<extra></extra>",
        )
    fig.update_layout(
        barmode="stack", showlegend=False, margin={"t": 8, "b": 36, "l": 8}, uniformtext={"minsize": 11, "mode": "show"}
    )
    fig.update_xaxes(title="subjects", range=[0, total], showgrid=False, nticks=6)
    fig.update_yaxes(visible=False)
    alt = "Split of the cohort: " + ", ".join(f"{len(names)} {part}" for part, names in parts.items()) + "."
    return finish(fig, theme, alt=alt, height=120)


def _spread(n: int, width: float = 0.3) -> np.ndarray:
    """Give n offsets that keep dots apart: an even, repeatable jitter by the golden ratio."""
    return ((np.arange(n) * 0.618034) % 1 - 0.5) * width


def _nothing(sentence: str, theme: Theme) -> go.Figure:
    fig = go.Figure()
    fig.add_annotation(note(sentence, theme, x=0.5, y=0.5, xanchor="center"))
    fig.update_xaxes(visible=False).update_yaxes(visible=False)
    return finish(fig, theme, alt=sentence, height=140)
