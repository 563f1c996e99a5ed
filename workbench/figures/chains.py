"""What a generative model dreams: Gibbs chains step by step, and grids of samples.

States are images or vectors. An image is a grey tile (a 3-D one its three middle slices), a vector a strip of cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures import mosaic
from workbench.figures.theme import GREY, MUTED, Theme, colorbar, finish, note

PAGE_PX, MOST_PX = 860, 1200
MIDDLE = "axial, coronal and sagittal slice through the middle, patient’s right on the left"


def chain_grid(
    states: np.ndarray,
    steps: Sequence[int] | None = None,
    *,
    chains: Sequence[str] | None = None,
    limits: tuple[float, float] | None = None,
    unit: str = "",
    theme: Theme = "light",
) -> go.Figure:
    """Draw Gibbs chains: a row a chain, a column a step; vectors as a raster a chain, steps running downwards.

    Args:
        states: (n_chains, n_steps, C, X, Y[, Z]), or (n_chains, n_steps, V).
        steps: (n_steps,) the Gibbs step of each column; None counts from 0.
        chains: (n_chains,) what each starts from; None for "chain 1", ….
        limits: values drawn black and white; None for the 1st and 99th percentiles of all states.
        unit: of the values, such as ``"probability"``.
        theme: the page it is shown on.
    """
    n_chains, n_steps = states.shape[:2]
    counted = list(range(n_steps)) if steps is None else list(steps)
    names = [f"chain {i + 1}" for i in range(n_chains)] if chains is None else list(chains)
    if states.ndim not in (3, 5, 6) or len(counted) != n_steps or len(names) != n_chains:
        raise ValueError(
            f"states are (n_chains, n_steps, C, X, Y[, Z]) or (n_chains, n_steps, V) with a name a chain and a number "
            f"a step; got {states.shape}, {len(names)} names, {len(counted)} steps"
        )
    alt = f"Gibbs chains: {n_chains} chains, from step {counted[0]} to {counted[-1]} in {n_steps} pictures."
    window = limits or _window(states)
    if states.ndim == 3:
        return _rasters(states, counted, names, window, unit, theme, alt)
    tiles = mosaic.tiles_of(states.reshape(n_chains * n_steps, *states.shape[2:]).astype(np.float32), "orthogonal")
    grid = mosaic.compose(tiles, n_steps)
    fig = _grey_mosaic(grid, window, unit, theme)
    text = [f"{names[i // n_steps]}, step {counted[i % n_steps]:,}" for i in range(len(tiles))]
    _hover_points(fig, grid, text)
    fig.update_xaxes(showticklabels=True, tickvals=grid.centers[:n_steps, 0], ticktext=[f"{s:,}" for s in counted],
                     side="top", title={"text": "Gibbs step", "standoff": 6})  # fmt: skip
    fig.update_yaxes(showticklabels=True, tickvals=grid.centers[::n_steps, 1], ticktext=names, ticklabelstandoff=6)
    if states.ndim == 6:
        fig.add_annotation(note(MIDDLE, theme, y=0, yanchor="top", yshift=-4))
    fig.update_layout(margin={"t": 58, "b": 26, "l": 90, "r": 16})
    return finish(fig, theme, alt=alt, height=_height(grid) + 90)


def sample_grid(
    samples: np.ndarray,
    labels: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    limits: tuple[float, float] | None = None,
    unit: str = "",
    theme: Theme = "light",
) -> go.Figure:
    """Draw samples beside each other; with ``labels`` a row for each of them.

    Args:
        samples: (n, C, X, Y[, Z]), or (n, V).
        labels: (n,) the class each was drawn for; None for none.
        columns: how many beside each other; None for what fits best.
        limits: values drawn black and white; None for the 1st and 99th percentiles.
        unit: of the values, such as ``"probability"``.
        theme: the page it is shown on.
    """
    n = len(samples)
    if samples.ndim not in (2, 4, 5) or n == 0 or (labels is not None and len(labels) != n):
        raise ValueError(f"samples are (n, C, X, Y[, Z]) or (n, V), n at least 1, a label each; got {samples.shape}")
    window = limits or _window(samples)
    classes = list(dict.fromkeys(labels)) if labels is not None else []
    alt = f"{n} samples" + (f" of {len(classes)} classes: {', '.join(classes)}" if classes else "") + "."
    order = list(range(n))
    if labels is not None:
        order = sorted(range(n), key=lambda i: classes.index(labels[i]))
    if samples.ndim == 2:
        names = [f"{i + 1}" if labels is None else labels[i] for i in order]
        return _rasters(samples[order][None], names, [""], window, unit, theme, alt)
    tiles = mosaic.tiles_of(samples[order].astype(np.float32), "orthogonal")
    if labels is not None:
        tiles, columns = _rows_of_classes(tiles, [labels[i] for i in order], classes)
    grid = mosaic.compose(tiles, columns)
    fig = _grey_mosaic(grid, window, unit, theme)
    if classes:
        fig.update_yaxes(showticklabels=True, tickvals=grid.centers[:: grid.columns, 1], ticktext=classes,
                         ticklabelstandoff=6)  # fmt: skip
    if samples.ndim == 5:
        fig.add_annotation(note(MIDDLE, theme, y=0, yanchor="top", yshift=-4))
    fig.update_layout(margin={"t": 14, "b": 28, "l": 90 if classes else 14, "r": 16})
    return finish(fig, theme, alt=alt, height=_height(grid) + 46)


def _height(grid: mosaic.Mosaic) -> int:
    """Give the height in pixels at which the grid fills a page, longer than other mosaics: chains are scrolled."""
    rows, columns = grid.image.shape
    return round(np.clip(rows * min(PAGE_PX / columns, mosaic.MAX_TILE_PX / grid.tile[1]), 90, MOST_PX))


def _window(values: np.ndarray) -> tuple[float, float]:
    low, high = (float(v) for v in np.nanpercentile(values, (1, 99)))
    return low, max(high, low + 1e-6)


def _grey_mosaic(grid: mosaic.Mosaic, window: tuple[float, float], unit: str, theme: Theme) -> go.Figure:
    fig = go.Figure()
    bar = colorbar(theme, unit or "value", nticks=5, lenmode="pixels", len=min(220, 60 + _height(grid) // 2),
                   y=1, yanchor="top")  # fmt: skip
    fig.add_heatmap(z=grid.image, colorscale=GREY, zmin=window[0], zmax=window[1], colorbar=bar, hoverongaps=False,
                    hovertemplate="value %{z:.3g}<extra></extra>")  # fmt: skip
    mosaic.cell_axes(fig, grid)
    return fig


def _hover_points(fig: go.Figure, grid: mosaic.Mosaic, text: list[str]) -> None:
    fig.add_scatter(x=grid.centers[:, 0], y=grid.centers[:, 1], mode="markers", marker={"size": 8, "opacity": 0},
                    hovertext=text, hoverinfo="text", showlegend=False, name="state")  # fmt: skip


def _rows_of_classes(tiles: np.ndarray, labels: list[str], classes: list[str]) -> tuple[np.ndarray, int]:
    """Fill every class's row with empty tiles up to the longest; give the tiles and their number in a row."""
    longest = max(labels.count(c) for c in classes)
    rows = []
    for name in classes:
        own = tiles[[i for i, label in enumerate(labels) if label == name]]
        rows.append(np.pad(own, ((0, longest - len(own)), (0, 0), (0, 0)), constant_values=np.nan))
    return np.concatenate(rows), longest


def _rasters(
    states: np.ndarray,
    rows: Sequence[object],
    names: list[str],
    window: tuple[float, float],
    unit: str,
    theme: Theme,
    alt: str,
) -> go.Figure:
    """Draw each chain as an image: units across, steps downwards."""
    n_chains, n_rows, _ = states.shape
    fig = make_subplots(1, n_chains, shared_yaxes=True, horizontal_spacing=0.02, subplot_titles=names)
    for column, chain in enumerate(states, 1):
        bar = colorbar(theme, unit or "value", nticks=5)
        fig.add_heatmap(z=chain.astype(np.float32), colorscale=GREY, zmin=window[0], zmax=window[1],
                        showscale=column == n_chains, colorbar=bar, row=1, col=column,
                        hovertemplate="unit %{x}: %{z:.3g}<extra></extra>")  # fmt: skip
    fig.update_xaxes(title="unit", showgrid=False, nticks=6)
    every = max(1, n_rows // 24)
    fig.update_yaxes(range=[n_rows - 0.5, -0.5], showgrid=False, ticks="")
    at = list(range(0, n_rows, every))
    fig.update_yaxes(tickvals=at, ticktext=[f"{rows[i]:,}" if isinstance(rows[i], int) else str(rows[i]) for i in at],
                     title="Gibbs step" if isinstance(rows[0], int) else None, col=1)  # fmt: skip
    fig.update_annotations(font={"size": 13, "color": MUTED[theme]})
    fig.update_layout(margin={"t": 34 if any(names) else 12})
    return finish(fig, theme, alt=alt, height=int(np.clip(16 * n_rows, 160, 460)) + 90)
