"""Chains and what they say of data: free energy step by step; a part that was sampled beside what it really was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from workbench.figures import mosaic
from workbench.figures.theme import (
    ACCENT,
    GREY,
    INK,
    MUTED,
    PRIMARY,
    Theme,
    faded,
    finish,
    note,
)

PAGE_PX, MOST_PX = 900, 1200
MAX_NAMED = 64


def free_energy_traces(free_energy: np.ndarray, steps: Sequence[int], *, theme: Theme = "light") -> go.Figure:
    """Draw the free energy of every chain at the steps that are shown, and their mean.

    Args:
        free_energy: (n_chains, n_steps) nats.
        steps: (n_steps,) Gibbs steps; they stand at equal distances, as the columns of the chains do.
        theme: the page it is shown on.
    """
    if free_energy.ndim != 2 or free_energy.shape[1] != len(steps) or not len(steps):
        raise ValueError(f"free energies are (n_chains, n_steps), a number a step; got {free_energy.shape}")
    at = np.arange(len(steps))
    fig = go.Figure()
    for i, chain in enumerate(free_energy):
        fig.add_scatter(
            x=at,
            y=chain,
            mode="lines",
            line={"color": faded(PRIMARY[theme], 0.35), "width": 1.2},
            name="one chain",
            legendgroup="one",
            showlegend=i == 0,
            hovertemplate=f"chain {i + 1}: %{{y:.4g}} nats<extra></extra>",
        )
    fig.add_scatter(
        x=at,
        y=np.nanmean(free_energy, 0),
        mode="lines+markers",
        line={"color": ACCENT[theme], "width": 2.5},
        name="mean of the chains",
        hovertemplate="mean %{y:.4g} nats<extra></extra>",
    )
    fig.update_xaxes(
        title="Gibbs step",
        tickvals=at,
        ticktext=[f"{s:,}" for s in steps],
        showgrid=False,
        range=[-0.5, len(steps) - 0.5],
    )
    fig.update_yaxes(title="free energy, nats", nticks=5, showline=False, ticks="")
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 44})
    alt = f"Free energy of {len(free_energy)} chains from step {steps[0]} to {steps[-1]}."
    return finish(fig, theme, alt=alt, height=280)


def sampled_images(
    parts: dict[str, np.ndarray], rows: Sequence[str], *, same: Sequence[str] = (), theme: Theme = "light"
) -> go.Figure:
    """Draw a row an example and a column a part: held fixed, the truth, the mean of the samples, samples.

    Args:
        parts: heading → (n, C, X, Y[, Z]).
        rows: (n,) names of the examples.
        same: headings drawn in the grey scale of the first of them, because they show the same modality; every other
            part has its own, from its 1st to its 99th percentile.
        theme: the page it is shown on.
    """
    if not parts or len({len(p) for p in parts.values()} | {len(rows)}) > 1:
        raise ValueError("sampled images need parts of as many examples as there are rows")
    names, grid = list(parts), _laid_out(parts, same)
    fig = go.Figure()
    fig.add_heatmap(z=grid.image, zmin=0, zmax=1, colorscale=GREY, showscale=False, hoverongaps=False, hoverinfo="skip")
    hover = [f"{row}, {name}" for row in rows for name in names]
    hidden = {"mode": "markers", "marker": {"size": 8, "opacity": 0}, "hoverinfo": "text", "showlegend": False}
    fig.add_scatter(x=grid.centers[:, 0], y=grid.centers[:, 1], hovertext=hover, **hidden)
    mosaic.cell_axes(fig, grid)
    heads = {"tickvals": grid.centers[: len(names), 0], "ticktext": [_wrapped(n) for n in names], "tickangle": 0}
    fig.update_xaxes(showticklabels=True, side="top", tickfont={"size": 12}, **heads)
    sides = {"tickvals": grid.centers[:: len(names), 1], "ticktext": list(rows)}
    fig.update_yaxes(showticklabels=True, ticklabelstandoff=6, **sides)
    text = "black to white: 1st to 99th percentile of each modality"
    if next(iter(parts.values())).ndim == 5:
        text += "; axial slice through the middle, patient’s right on the left"
    fig.add_annotation(note(text, theme, y=0, yanchor="top", yshift=-6))
    fig.update_layout(margin={"t": 60, "b": 34, "l": 110, "r": 16})
    cell = min(PAGE_PX / grid.image.shape[1], mosaic.MAX_TILE_PX / grid.tile[1])
    height = round(np.clip(grid.image.shape[0] * cell, 120, MOST_PX))
    return finish(fig, theme, alt=f"{len(rows)} examples: {', '.join(names)}.", height=height + 94)


def one_example(
    truth: np.ndarray,
    mean: np.ndarray,
    states: np.ndarray,
    baseline: np.ndarray,
    columns: Sequence[str],
    *,
    theme: Theme = "light",
) -> go.Figure:
    """Draw one example of a table: the truth, the mean of the chain's states, their spread, the mean of the data.

    Args:
        truth, mean: (V,) in the table's units.
        states: (k, V); their 5th to 95th percentile is drawn.
        baseline: (V,) what would be said without the other part.
        columns: (V,) names; empty counts from 1.
        theme: the page it is shown on.
    """
    names = list(columns) or [str(i + 1) for i in range(len(truth))]
    at, (low, high) = np.arange(len(names)), np.percentile(states, (5, 95), axis=0)
    fig = go.Figure()
    dash = {"symbol": "line-ew-open", "size": 9, "color": MUTED[theme], "line": {"width": 2}}
    usual = "mean of the training examples"
    fig.add_scatter(x=at, y=baseline, mode="markers", name=usual, marker=dash, hovertemplate="%{y:.4g}<extra></extra>")
    bars = {"type": "data", "symmetric": False, "array": high - mean, "arrayminus": mean - low, "width": 0}
    bars |= {"thickness": 2, "color": faded(ACCENT[theme], 0.55)}
    told = {"customdata": names, "hovertemplate": "%{customdata}: %{y:.4g}<extra></extra>"}
    chain = {"name": "mean of the chain (line: 5 to 95 % of its states)", "marker": {"size": 8, "color": ACCENT[theme]}}
    fig.add_scatter(x=at, y=mean, mode="markers", error_y=bars, **chain, **told)
    ring = {"symbol": "circle-open", "size": 9, "color": INK[theme], "line": {"width": 1.8}}
    fig.add_scatter(x=at, y=truth, mode="markers", name="truth", marker=ring, **told)
    every = max(1, -(-len(names) // MAX_NAMED))
    ticks = {"tickvals": at[::every], "ticktext": names[::every], "tickfont": {"size": 10}}
    turn = -90 if len(names) > 12 else 0
    fig.update_xaxes(showgrid=False, range=[-0.7, len(names) - 0.3], tickangle=turn, **ticks)
    fig.update_yaxes(title="value, as in the table", nticks=6, showline=False, ticks="")
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 44, "b": 96})
    alt = f"One example: the truth of {len(names)} columns beside the mean and spread of a chain."
    return finish(fig, theme, alt=alt, height=380)


def _laid_out(parts: dict[str, np.ndarray], same: Sequence[str]) -> mosaic.Mosaic:
    """Give the tiles, black to white 0 to 1, a row an example."""
    tiles = []
    for name, images in parts.items():
        low, high = _window(parts[same[0]] if name in same else images)
        tiles.append(mosaic.tiles_of((np.asarray(images, np.float32) - low) / (high - low), "middle"))
    width = max(t.shape[2] for t in tiles)
    padded = [np.pad(t, ((0, 0), (0, 0), (0, width - t.shape[2])), constant_values=np.nan) for t in tiles]
    return mosaic.compose(np.stack(padded, 1).reshape(-1, *padded[0].shape[1:]), len(parts))


def _window(values: np.ndarray) -> tuple[float, float]:
    low, high = (float(v) for v in np.nanpercentile(values, (1, 99)))
    return low, max(high, low + 1e-6)


def _wrapped(name: str) -> str:
    return name.replace(": ", ":<br>").replace("mean of ", "mean of<br>")
