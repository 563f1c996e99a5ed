"""Who votes for the label of a voxel: the atlases, and what each of them says (Section 3.1, sparse patch matching)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from workbench.figures.theme import LINE, MUTED, Theme, finish, label_color, note

ROW_PX, FRAME_PX = 24, 132


def vote_shares(
    atlases: Sequence[str],
    labels: np.ndarray,
    weights: np.ndarray,
    names: Sequence[str],
    *,
    theme: Theme = "light",
) -> go.Figure:
    """Draw a bar an atlas, as long as its share of the vote and parted by label, the heaviest on top.

    Args:
        atlases: (n,) whose patch it is; an atlas may have many.
        labels: (n,) class of the middle of each patch, 0 to K - 1.
        weights: (n,) shares of the vote, sum 1.
        names: (K,) of the classes, background first.
        theme: the page it is shown on.
    """
    if not len(weights):
        raise ValueError("nobody votes; there is no bar to draw")
    whose, owner = np.unique(np.asarray(atlases), return_inverse=True)
    shares = np.zeros((len(whose), len(names)))
    np.add.at(shares, (owner, np.asarray(labels)), weights)
    order = np.argsort(shares.sum(1), kind="stable")  # plotly's first row is the lowest
    counts = np.bincount(owner, minlength=len(whose))[order]
    fig = go.Figure()
    told = []
    for k in np.flatnonzero(shares.any(0)).tolist():
        told.append(f"{names[k]} {shares[:, k].sum():.2f}")
        fig.add_bar(
            x=shares[order, k], y=whose[order].tolist(), orientation="h", name=told[-1], customdata=counts,
            marker={"color": label_color(k) if k else LINE[theme], "line": {"width": 0}},
            hovertemplate=f"%{{y}}: %{{x:.3f}} for {names[k]}; %{{customdata}} patches in all<extra></extra>",
        )  # fmt: skip
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    fig.update_layout(
        barmode="stack", bargap=0.28, showlegend=True, legend=legend, margin={"t": 64, "b": 52, "l": 16, "r": 24}
    )
    fig.update_xaxes(title="share of the vote", range=[0, float(shares.sum(1).max()) * 1.04], zeroline=False)
    fig.update_yaxes(ticklabelstandoff=6, tickfont={"color": MUTED[theme]}, automargin=True, showgrid=False)
    text = f"{len(weights)} patches of {len(whose)} {'atlas' if len(whose) == 1 else 'atlases'} vote"
    fig.add_annotation(note(text, theme, x=1, xanchor="right", y=1, yanchor="bottom", yshift=8))
    return finish(fig, theme, alt=f"{text}: {', '.join(told)}.", height=FRAME_PX + ROW_PX * len(whose))
