"""What each depth of a network is worth to simple classifiers, and how subjects lie at each depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import (
    DASHES,
    MUTED,
    SYMBOLS,
    Theme,
    faded,
    finish,
    interval,
    listed,
    note,
    series_color,
)

CHANCE = 0.5


def scores_by_depth(
    f: np.ndarray,
    intervals: np.ndarray,
    depths: Sequence[str],
    classifiers: Sequence[str],
    *,
    permuted: bool = False,
    theme: Theme = "light",
) -> go.Figure:
    """Draw F-scores against depth, a line a classifier, every fold a dot.

    Args:
        f: (folds, C, D) F-scores on held-out subjects.
        intervals: (C, D, 3) mean, lower and upper end over the folds.
        depths: D names.
        classifiers: C names.
        permuted: whether the classes had been shuffled, which is said.
        theme: the page it is shown on.
    """
    if f.shape[1:] != (len(classifiers), len(depths)):
        raise ValueError(f"expected F-scores (folds, {len(classifiers)}, {len(depths)}); got {f.shape}")
    fig = go.Figure()
    x = np.arange(len(depths), dtype=float)
    for c, name in enumerate(classifiers):
        color, at = series_color(c, theme), x + 0.08 * (c - (len(classifiers) - 1) / 2)
        fig.add_scatter(
            x=np.tile(at, len(f)), y=f[:, c].ravel(), mode="markers", showlegend=False, hoverinfo="skip",
            marker={"color": faded(color, 0.35), "size": 6},
        )  # fmt: skip
        mean, low, high = intervals[c].T
        fig.add_scatter(
            x=at, y=mean, mode="lines+markers", name=name, customdata=intervals[c, :, 1:],
            error_y=interval(mean, low, high, thickness=2, width=4, color=color),
            line={"color": color, "width": 2.5, "dash": DASHES[c % len(DASHES)]},
            marker={"size": 9, "symbol": SYMBOLS[c % len(SYMBOLS)]},
            hovertemplate=f"{name}: F %{{y:.3f}} (%{{customdata[0]:.3f}} to %{{customdata[1]:.3f}})<extra></extra>",
        )  # fmt: skip
    fig.add_hline(
        y=CHANCE, line={"color": MUTED[theme], "dash": "dot", "width": 1.5},
        annotation={"text": "chance", "font": {"size": 12, "color": MUTED[theme]}},
    )  # fmt: skip
    said = "classes shuffled before anything was learnt" if permuted else "dots: folds · bars: 95 % interval"
    fig.add_annotation(note(said, theme, y=1, yanchor="bottom", yshift=6))
    fig.update_xaxes(tickvals=x, ticktext=list(depths), showgrid=False, range=[-0.4, len(depths) - 0.6])
    fig.update_yaxes(title="F-score, held out", range=[min(0.3, float(np.nanmin(f)) - 0.03), 1.02])
    fig.update_layout(margin={"t": 44})
    return finish(fig, theme, alt=f"F-scores of {listed(list(classifiers))} at {listed(list(depths))}.", height=420)


def embeddings(
    places: np.ndarray,
    target: np.ndarray,
    classes: Sequence[str],
    depths: Sequence[str],
    *,
    trustworthiness: Sequence[float] = (),
    held_out: np.ndarray | None = None,
    subjects: Sequence[str] = (),
    theme: Theme = "light",
) -> go.Figure:
    """Draw the subjects in the plane, a panel a depth; neighbours mean something, the axes do not.

    Args:
        places: (D, N, 2).
        target: (N,) 0 or 1.
        classes: their names.
        depths: D names.
        trustworthiness: (D,) 0 to 1, told above the panel.
        held_out: (N,) bool, drawn filled where the network never learnt from the subject; None fills all.
        subjects: (N,) names for the pointer.
        theme: the page it is shown on.
    """
    titles = [
        name + (f" · trustworthiness {trustworthiness[d]:.2f}" if len(trustworthiness) else "")
        for d, name in enumerate(depths)
    ]
    columns = min(2, len(depths))
    rows = -(-len(depths) // columns)
    fig = make_subplots(rows, columns, subplot_titles=titles, horizontal_spacing=0.06, vertical_spacing=0.14 / rows)
    filled = np.ones(len(target), bool) if held_out is None else held_out
    names = np.asarray(list(subjects) or [f"subject {i + 1}" for i in range(len(target))])
    for d in range(len(depths)):
        for c, name in enumerate(classes):
            for mine, solid in ((target == c) & filled, True), ((target == c) & ~filled, False):
                fig.add_scatter(
                    x=places[d, mine, 0], y=places[d, mine, 1], mode="markers", text=names[mine],
                    hovertemplate=f"%{{text}}: {name}<extra></extra>", showlegend=d == 0 and solid, name=name,
                    legendgroup=name, row=d // columns + 1, col=d % columns + 1,
                    marker={"color": series_color(c, theme), "size": 8, "opacity": 0.85, "line": {"width": 1.2},
                            "symbol": SYMBOLS[c] if solid else f"{SYMBOLS[c]}-open"},
                )  # fmt: skip
    fig.update_xaxes(showticklabels=False, ticks="", showgrid=False, zeroline=False, showline=True, mirror=True)
    fig.update_yaxes(showticklabels=False, ticks="", showgrid=False, zeroline=False, showline=True, mirror=True)
    if held_out is not None:
        fig.add_annotation(note("filled: held out from the network", theme, x=1, xanchor="right", y=1, yanchor="bottom",
                                yshift=34))  # fmt: skip
    fig.update_layout(margin={"t": 74}, legend={"y": 1.02, "yanchor": "bottom", "yref": "paper"})
    return finish(
        fig, theme, alt=f"Subjects of two classes in the plane at {listed(list(depths))}.", height=60 + 330 * rows
    )
