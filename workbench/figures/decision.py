"""What a small model makes of two inputs: the regions it decides for, and the energy it gives every point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from workbench.figures.theme import (
    INK,
    PAPER,
    POINT,
    SYMBOLS,
    VIRIDIS,
    Theme,
    colorbar,
    finish,
    listed,
    mix,
    series_color,
)


@dataclass(frozen=True, eq=False)
class Grid:
    """Places on a plane: ``x`` (nx,) and ``y`` (ny,), evenly apart, and what the two inputs are, with units."""

    x: np.ndarray
    y: np.ndarray
    names: tuple[str, str] = ("input 1", "input 2")


def decision_regions(
    probabilities: np.ndarray,
    grid: Grid,
    points: np.ndarray | None = None,
    classes: np.ndarray | None = None,
    *,
    names: Sequence[str] | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw which class a model decides for at every place, the fainter the less sure, with the cases on top.

    Args:
        probabilities: (ny, nx, K) of the classes.
        grid: where these are.
        points: (n, 2) cases.
        classes: (n,) their true classes, 0 to K - 1; those the model gets wrong have a ring.
        names: (K,) of the classes.
        theme: the page it is shown on.
    """
    p = np.asarray(probabilities, float)
    if p.ndim != 3 or p.shape[:2] != (len(grid.y), len(grid.x)):
        raise ValueError(f"probabilities are {p.shape}; expected ({len(grid.y)}, {len(grid.x)}, K)")
    n_classes = p.shape[2]
    labels = [f"class {k}" for k in range(n_classes)] if names is None else list(names)
    colors = np.array([_rgb(series_color(k, theme)) for k in range(n_classes)], float)
    top = p.max(2, keepdims=True)
    sure = np.clip((top - 1 / n_classes) / (1 - 1 / n_classes), 0, 1) if n_classes > 1 else top
    paper = np.array(_rgb(PAPER[theme]), float)
    image = paper + (colors[p.argmax(2)] - paper) * (0.08 + 0.5 * sure)
    dx, dy = (float(v[1] - v[0]) for v in (grid.x, grid.y))
    fig = go.Figure()
    fig.add_image(z=image.round().astype(np.uint8), x0=grid.x[0], dx=dx, y0=grid.y[0], dy=dy, hoverinfo="skip")
    for k in range(n_classes if n_classes > 2 else min(n_classes - 1, 1)):
        other = np.delete(p, k, 2).max(2)
        fig.add_contour(z=p[:, :, k] - other, x=grid.x, y=grid.y, showscale=False, hoverinfo="skip", name="boundary",
                        contours={"start": 0, "end": 0, "size": 1, "coloring": "none"},
                        line={"color": INK[theme], "width": 1.6, "smoothing": 0.8}, showlegend=False)  # fmt: skip
    if points is not None and classes is not None:
        _cases(fig, p, grid, np.asarray(points, float), np.asarray(classes, int), labels, theme)
    _plane(fig, grid)
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 48})
    alt = f"Decision regions of {listed(labels)} over {grid.names[0]} and {grid.names[1]}, with their boundaries."
    return finish(fig, theme, alt=alt, height=540)


def energy_landscape(
    free_energy: np.ndarray,
    grid: Grid,
    *,
    data: np.ndarray | None = None,
    chain: np.ndarray | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the free energy of a model with two visible units: low where it expects cases (Section 2.3.2).

    Args:
        free_energy: (ny, nx) nats; with two binary units the four values on a grid of 0 and 1.
        grid: where these are.
        data: (n, 2) training cases.
        chain: (n_steps, 2) a Gibbs chain from its start.
        theme: the page it is shown on.
    """
    values = np.asarray(free_energy, float)
    if values.shape != (len(grid.y), len(grid.x)):
        raise ValueError(f"free_energy is {values.shape}; expected ({len(grid.y)}, {len(grid.x)})")
    fig = go.Figure()
    low = float(values.min())
    high = float(np.percentile(values, 92)) if values.size > 16 else float(values.max())
    down = [(1 - at, color) for at, color in reversed(VIRIDIS)]  # bright is low: where cases are expected
    bar = colorbar(theme, "free energy, nats")
    if values.size <= 16:
        fig.add_heatmap(z=values, x=grid.x, y=grid.y, colorscale=down, colorbar=bar, xgap=4, ygap=4,
                        hovertemplate="%{x}, %{y}: %{z:.4g} nats<extra></extra>")  # fmt: skip
        for (row, column), value in np.ndenumerate(values):
            ink = "#10151D" if value < (low + high) / 2 else "#FFFFFF"
            fig.add_annotation(x=grid.x[column], y=grid.y[row], text=f"<b>{value:.3g}</b>", showarrow=False,
                               font={"size": 16, "color": ink})  # fmt: skip
    else:
        step = (high - low) / 14 or 1.0
        fig.add_contour(z=values, x=grid.x, y=grid.y, zmin=low, zmax=high, colorscale=down, colorbar=bar,
                        contours={"start": low, "end": high, "size": step}, line={"width": 0.6},
                        hovertemplate="%{x:.3g}, %{y:.3g}: %{z:.4g} nats<extra></extra>")  # fmt: skip
    _walk(fig, data, chain)
    _plane(fig, grid)
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 48})
    row, column = np.unravel_index(values.argmin(), values.shape)
    alt = f"Free energy over {grid.names[0]} and {grid.names[1]}; lowest, {low:.3g} nats, at "
    return finish(fig, theme, alt=f"{alt}{grid.x[column]:.3g}, {grid.y[row]:.3g}.", height=540)


def _walk(fig: go.Figure, data: np.ndarray | None, chain: np.ndarray | None) -> None:
    """Draw the cases as dots and a chain as a line from its larger first dot."""
    if data is not None:
        fig.add_scatter(x=data[:, 0], y=data[:, 1], mode="markers", name="cases", hoverinfo="skip",
                        marker={"size": 5, "color": "#FFFFFF", "line": {"width": 1, "color": "#10151D"}})  # fmt: skip
    if chain is None:
        return
    line = {"color": "#FFFFFF", "width": 5}
    fig.add_scatter(x=chain[:, 0], y=chain[:, 1], mode="lines", line=line, showlegend=False, hoverinfo="skip")
    size = np.where(np.arange(len(chain)) == 0, 13, 5)
    fig.add_scatter(x=chain[:, 0], y=chain[:, 1], mode="lines+markers", name=f"Gibbs chain, {len(chain) - 1} steps",
                    line={"color": POINT, "width": 2.2},
                    marker={"size": size, "color": POINT, "line": {"width": 1.5, "color": "#FFFFFF"}},
                    hovertemplate="step %{pointNumber}<extra></extra>")  # fmt: skip


def _cases(
    fig: go.Figure, p: np.ndarray, grid: Grid, points: np.ndarray, classes: np.ndarray, labels: list[str], theme: Theme
) -> None:
    columns = np.abs(points[:, :1] - grid.x).argmin(1)
    rows = np.abs(points[:, 1:] - grid.y).argmin(1)
    wrong = p[rows, columns].argmax(1) != classes
    for k, name in enumerate(labels):
        own = points[classes == k]
        style = {"size": 8, "symbol": SYMBOLS[k % 8], "color": mix(series_color(k, theme), INK[theme], 0.15),
                 "line": {"width": 1, "color": PAPER[theme]}}  # fmt: skip
        fig.add_scatter(x=own[:, 0], y=own[:, 1], mode="markers", name=f"{name} ({len(own)})", marker=style,
                        hovertemplate="%{x:.3g}, %{y:.3g}<extra>" + name + "</extra>")  # fmt: skip
    if wrong.any():
        ring = {"symbol": "circle-open", "size": 15, "line": {"width": 1.8, "color": INK[theme]}, "color": INK[theme]}
        fig.add_scatter(x=points[wrong, 0], y=points[wrong, 1], mode="markers", marker=ring, hoverinfo="skip",
                        name=f"decided wrongly ({int(wrong.sum())})")  # fmt: skip


def _plane(fig: go.Figure, grid: Grid) -> None:
    for axis, values, name in ((fig.update_xaxes, grid.x, grid.names[0]), (fig.update_yaxes, grid.y, grid.names[1])):
        half = (values[1] - values[0]) / 2
        axis(title=name, range=[values[0] - half, values[-1] + half], showgrid=False, constrain="domain")
        if len(values) <= 4:
            axis(tickvals=values)
    spans = [float(v[-1] - v[0]) for v in (grid.x, grid.y)]
    if 0.5 < spans[0] / spans[1] < 2:
        fig.update_yaxes(scaleanchor="x")


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
