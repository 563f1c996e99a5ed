"""Where a classifier looks: its patches beside a map of what its answer hangs on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from workbench.figures import mosaic
from workbench.figures.theme import DIVERGING, GREY, VIRIDIS, Theme, colorbar, finish, note


def saliency_overlay(
    images: np.ndarray,
    maps: np.ndarray,
    *,
    titles: Sequence[str] | None = None,
    quantity: str = "saliency ÷ its largest",
    signed: bool = False,
    theme: Theme = "light",
) -> go.Figure:
    """Draw each input above the map of what the answer hangs on, and that map over the input.

    Each map spans its own largest absolute value. For whole volumes use :func:`workbench.figures.slices.slices` with
    the map as its overlay.

    Args:
        images: (n, C, X, Y[, Z]); the first channel is drawn, a 3-D one by its three middle slices.
        maps: (n, X, Y[, Z]), gradients or drops in probability.
        titles: (n,) such as class and probability.
        quantity: of the colours, with its unit.
        signed: whether a map has two directions, blue against and orange for, with zero neutral.
        theme: the page it is shown on.
    """
    if len(images) == 0 or images.shape[2:] != maps.shape[1:] or len(images) != len(maps):
        raise ValueError(f"maps are {maps.shape}; expected {(len(images), *images.shape[2:])}, at least one")
    n = len(images)
    pictures = mosaic.tiles_of(np.asarray(images[:, :1], np.float32), "orthogonal")
    largest = np.abs(maps).reshape(n, -1).max(1)
    shares = maps / np.where(largest > 0, largest, 1).reshape(n, *([1] * (maps.ndim - 1)))
    colored = mosaic.tiles_of(np.asarray(shares, np.float32)[:, None], "orthogonal")
    low, high = (float(v) for v in np.nanpercentile(pictures, (1, 99)))
    empty = np.full_like(pictures, np.nan)
    rows = [np.concatenate(p) for p in ([pictures, empty, pictures], [empty, colored, colored])]
    grids = [mosaic.compose(tiles, n) for tiles in rows]
    scale = {"colorscale": DIVERGING[theme] if signed else VIRIDIS, "zmin": -1 if signed else 0, "zmax": 1}
    over = grids[1].image.copy()
    last = int(grids[1].corners[2 * n, 0])
    over[:last] = np.nan
    alone = np.where(np.isnan(over), grids[1].image, np.nan)
    fig = go.Figure()
    fig.add_heatmap(z=grids[0].image, colorscale=GREY, zmin=low, zmax=max(high, low + 1e-6), showscale=False,
                    hoverongaps=False, hovertemplate="value %{z:.3g}<extra></extra>", name="input")  # fmt: skip
    bar = colorbar(theme, quantity, nticks=5, len=1.0)
    fig.add_heatmap(z=alone, colorbar=bar, hoverongaps=False, name="map", **scale,
                    hovertemplate="%{z:.2f} of its largest<extra></extra>")  # fmt: skip
    fig.add_heatmap(z=over, showscale=False, opacity=0.55, hoverongaps=False, name="overlay", hoverinfo="skip", **scale)
    mosaic.cell_axes(fig, grids[0])
    fig.update_yaxes(showticklabels=True, tickvals=grids[0].centers[::n, 1], ticklabelstandoff=6,
                     ticktext=["input", "map", "map over input"])  # fmt: skip
    if titles is not None:
        fig.update_xaxes(showticklabels=True, side="top", tickvals=grids[0].centers[:n, 0], ticktext=list(titles))
    if images.ndim == 5:
        text = "axial, coronal and sagittal slice through the middle, patient’s right on the left"
        fig.add_annotation(note(text, theme, y=0, yanchor="top", yshift=-4))
    fig.update_layout(margin={"t": 40, "b": 26, "l": 110, "r": 16})
    alt = f"What the answers for {n} inputs hang on: input, map, and map over input."
    return finish(fig, theme, alt=alt, height=mosaic.height_of(grids[0]) + 70)
