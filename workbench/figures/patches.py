"""Patches of a batch, and what an auto-encoder makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from workbench.figures import mosaic
from workbench.figures.mosaic import LAYOUTS, Layout, Mosaic
from workbench.figures.planes import as_bytes
from workbench.figures.theme import DIVERGING, GREY, MUTED, Theme, colorbar_above, finish, note

ROW_NAMES = ("input", "reconstruction", "difference")
HEADING_PX = 30


def patch_grid(
    patches: np.ndarray,
    subjects: Sequence[str] | None = None,
    centers_mm: np.ndarray | None = None,
    *,
    layout: Layout = "orthogonal",
    theme: Theme = "light",
) -> go.Figure:
    """Draw the patches of a batch, each with its subject and where its centre lies.

    Args:
        patches: (n, C, X, Y) or (n, C, X, Y, Z); three channels of a 2-D patch are red, green, blue.
        subjects: (n,) names.
        centers_mm: (n, 3) mm RAS.
        layout: how a 3-D patch is cut.
        theme: the page it is shown on.
    """
    rgb = patches.ndim == 4 and patches.shape[1] == 3
    tiles = mosaic.tiles_of(patches[:, :1] if rgb else patches, layout)
    grid = mosaic.compose(tiles, heading_px=HEADING_PX)
    lines = [[f"{subjects[i]}" if subjects else f"patch {i}"] for i in range(len(patches))]
    if centers_mm is not None:
        for line, center in zip(lines, centers_mm, strict=True):
            line.append(", ".join(f"{c:.0f}" for c in center) + " mm")
    fig = go.Figure()
    if rgb:
        parts = [
            mosaic.compose(mosaic.tiles_of(patches[:, c : c + 1]), grid.columns, heading_px=HEADING_PX).image
            for c in range(3)
        ]
        _draw_rgb(fig, np.stack(parts, -1))
    else:
        low, high = (float(v) for v in np.nanpercentile(patches, (0.5, 99.5)))
        fig.add_heatmap(z=grid.image, zmin=low, zmax=max(high, low + 1e-6), colorscale=GREY, hoverongaps=False,
                        hovertemplate="intensity %{z:.3g}<extra></extra>",
                        colorbar=_bar(theme, "intensity", low, high))  # fmt: skip
    _heads(fig, grid, [_shortened(line, grid) for line in lines], ["<br>".join(line) for line in lines], theme)
    mosaic.cell_axes(fig, grid, extra=(_above(grid, HEADING_PX), 0))
    text = f"{len(patches)} patches of {' × '.join(str(s) for s in patches.shape[2:])} voxels"
    if patches.ndim == 5:
        text += f" · radiological (patient’s right on the left)<br>{LAYOUTS[layout]}"
    fig.add_annotation(note(text, theme, y=1, yanchor="bottom", yshift=8))
    fig.update_layout(margin={"t": 70, "b": 12, "l": 16, "r": 16})
    alt = f"{text.split('<br>')[0]}" + (f" from {len(set(subjects))} subjects." if subjects else ".")
    return finish(fig, theme, alt=alt, height=mosaic.height_of(grid, _above(grid, HEADING_PX)) + 82)


def reconstruction_pairs(
    patches: np.ndarray, reconstructed: np.ndarray, *, layout: Layout = "middle", theme: Theme = "light"
) -> go.Figure:
    """Draw each input above its reconstruction above their difference, with the mean squared error beneath.

    Args:
        patches: (n, C, X, Y) or (n, C, X, Y, Z), as the network was asked to rebuild them (normalised).
        reconstructed: the same shape.
        layout: how a 3-D patch is cut; channels lie side by side.
        theme: the page it is shown on.
    """
    if patches.shape != reconstructed.shape:
        raise ValueError(f"reconstructions must have the patches' shape {patches.shape}; got {reconstructed.shape}")
    n = len(patches)
    difference = np.asarray(reconstructed, np.float32) - patches
    tiles = mosaic.tiles_of(np.concatenate([patches, reconstructed, difference]), layout)
    grid = mosaic.compose(tiles, n)
    first_difference = int(grid.corners[2 * n, 0])
    grey, signed = grid.image.copy(), grid.image.copy()
    grey[first_difference - 1 :], signed[:first_difference] = np.nan, np.nan
    low, high = (float(v) for v in np.percentile(patches, (0.5, 99.5)))
    limit = float(max(np.percentile(np.abs(difference), 99.5), 0.05 * (high - low), 1e-6))
    fig = go.Figure()
    bar = _bar(theme, "reconstruction − input", -limit, limit)
    fig.add_heatmap(z=grey, zmin=low, zmax=max(high, low + 1e-6), colorscale=GREY, showscale=False, hoverongaps=False,
                    hovertemplate="%{z:.3g}<extra></extra>")  # fmt: skip
    fig.add_heatmap(
        z=signed,
        zmin=-limit,
        zmid=0,
        zmax=limit,
        colorscale=DIVERGING[theme],
        hoverongaps=False,
        colorbar=bar,
        hovertemplate="difference %{z:.3g}<extra></extra>",
    )
    errors = (difference.reshape(n, -1) ** 2).mean(1)
    _axes(fig, grid, errors, n)
    text = f"{n} patches · mean squared error {errors.mean():.3g} (median {np.median(errors):.3g})"
    if patches.ndim == 5:
        text += f"<br>{LAYOUTS[layout]}"
    fig.add_annotation(note(text, theme, y=1, yanchor="bottom", yshift=8))
    fig.update_layout(margin={"t": 70, "b": 44, "l": 96, "r": 16})
    alt = f"Inputs, reconstructions and differences: {text.split('<br>')[0]}."
    return finish(fig, theme, alt=alt, height=mosaic.height_of(grid) + 114)


def _axes(fig: go.Figure, grid: Mosaic, errors: np.ndarray, n: int) -> None:
    mosaic.cell_axes(fig, grid)
    fig.update_yaxes(showticklabels=True, ticklabelstandoff=6, tickvals=grid.centers[::n, 1], ticktext=list(ROW_NAMES))
    # where tiles are too narrow for every error, every second, third … is written; all are in the axis' order
    every = max(1, int(np.ceil(46 / (mosaic.PLOT_PX / n))))
    fig.update_xaxes(
        showticklabels=True,
        ticklabelstandoff=4,
        tickvals=grid.centers[:n:every, 0],
        ticktext=[f"{e:.3g}" for e in errors[::every]],
        tickangle=0,
        title={"text": "mean squared error per voxel", "standoff": 4},
    )


def _draw_rgb(fig: go.Figure, image: np.ndarray) -> None:
    clipped = as_bytes(image)
    alpha = np.where(np.isfinite(image[..., :1]), 255, 0).astype(np.uint8)
    fig.add_image(z=np.concatenate([clipped, alpha], -1), colormodel="rgba256", hoverinfo="skip")


def _heads(fig: go.Figure, grid: Mosaic, text: list[str], hover: list[str], theme: Theme) -> None:
    fig.add_scatter(
        x=grid.centers[:, 0],
        y=grid.corners[:, 0] - 0.5,
        mode="text",
        text=text,
        textposition="top center",
        hovertext=hover,
        hoverinfo="text",
        textfont={"size": 10, "color": MUTED[theme]},
        showlegend=False,
        cliponaxis=False,
    )


def _shortened(lines: list[str], grid: Mosaic) -> str:
    """Cut each line to about the tile's width (6 px a letter)."""
    room = max(4, int(grid.tile[1] * mosaic.cell_px(grid.image.shape[1], *grid.tile) / 5.5))
    return "<br>".join(line if len(line) <= room else line[: room - 1] + "…" for line in lines)


def _above(grid: Mosaic, px: float) -> float:
    return px / mosaic.cell_px(grid.image.shape[1], *grid.tile)


def _bar(theme: Theme, title: str, low: float, high: float) -> dict[str, object]:
    ticks = [low, 0.0, high] if low < 0 < high else [low, high]
    return colorbar_above(theme, title, 190, {t: f"{t:.3g}" for t in ticks})
