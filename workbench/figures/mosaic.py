"""Many small images composed into one, because one Heatmap of 512 tiles draws at once and 512 Heatmaps do not.

Coordinates are cells: x to the right, y **downwards**; a cell is one voxel of a tile. A 3-D patch is shown as a volume
is: x across and mirrored (radiological), the second axis upwards. A 2-D patch is shown as a picture is: y downwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from workbench.figures.planes import PLANES, Plane, cut
from workbench.figures.theme import LINE, MUTED, PAPER, Theme, faded, mix

Layout = Literal["slices", "orthogonal", "middle"]
LAYOUTS: dict[str, str] = {
    "slices": "every axial slice, superior at the top",
    "orthogonal": "axial, coronal and sagittal slice through the middle",
    "middle": "axial slice through the middle",
}
MAX_TILE_PX = 130
PLOT_PX = 1000
MAX_PLOT_PX = 680


@dataclass(frozen=True)
class Mosaic:
    """Tiles in a grid.

    Attributes:
        image: (rows, columns of cells) float32, NaN between tiles.
        tile: (rows, columns) of one tile.
        corners: (n, 2) the first row and column of each tile.
        columns: tiles in a row.
    """

    image: np.ndarray
    tile: tuple[int, int]
    corners: np.ndarray
    columns: int

    @property
    def centers(self) -> np.ndarray:
        """The middle of each tile as (n, 2) x, y."""
        return self.corners[:, ::-1] + (np.array(self.tile)[::-1] - 1) / 2

    def index(self) -> np.ndarray:
        """Give the number of the tile at each cell, (rows, columns) float32, NaN between tiles."""
        cells = np.full(self.image.shape, np.nan, np.float32)
        for number, (row, column) in enumerate(self.corners):
            cells[row : row + self.tile[0], column : column + self.tile[1]] = number
        return cells


def tiles_of(patches: np.ndarray, layout: Layout = "slices") -> np.ndarray:
    """Turn patches (n, C, X, Y[, Z]) into tiles (n, rows, columns), NaN between slices.

    Planes of a 3-D patch lie below each other (superior first), its channels side by side; the channels of a 2-D
    patch lie below each other.
    """
    if patches.ndim == 4:
        return _joined(list(np.moveaxis(patches.swapaxes(2, 3), 1, 0)), axis=1)
    if patches.ndim != 5:
        raise ValueError(f"patches are (n, C, X, Y) or (n, C, X, Y, Z); got {patches.shape}")
    if layout not in LAYOUTS:
        raise LookupError(f"layout must be one of {', '.join(LAYOUTS)}; got {layout!r}")
    cuts = _cuts(patches.shape[2:], layout)
    columns = [
        _joined([np.stack([_upright(patch[channel], plane, at) for patch in patches]) for plane, at in cuts], axis=1)
        for channel in range(patches.shape[1])
    ]
    return _joined(columns, axis=2)


def compose(tiles: np.ndarray, columns: int | None = None, *, heading_px: int = 0) -> Mosaic:
    """Lay tiles (n, rows, columns) out row by row, with room for a heading of so many pixels above each row.

    Without ``columns`` it takes those that make the tiles largest on a page 1000 px wide and at most 680 px high.
    """
    n, height, width = tiles.shape
    wide = width + (1 if height <= 2 * width else 2)
    n_columns = max(1, min(n, columns or _best_columns(n, height, wide, heading_px)))
    between = 1 + max(1, int(np.ceil(heading_px / cell_px(n_columns * wide, height, width))))
    high, n_rows = height + between, -(-n // n_columns)
    image = np.full((n_rows * high - between, n_columns * wide - (wide - width)), np.nan, np.float32)
    at = np.arange(n)
    corners = np.stack([at // n_columns * high, at % n_columns * wide], 1)
    for tile, (row, column) in zip(tiles, corners, strict=True):
        image[row : row + height, column : column + width] = tile
    return Mosaic(image, (height, width), corners, n_columns)


def cell_px(n_cells: int, height: int, width: int) -> float:
    """Give the pixels of a cell when ``n_cells`` lie across the page and a tile (height, width) stays moderate."""
    return min(PLOT_PX / n_cells, MAX_TILE_PX / width, MAX_PLOT_PX / height)


def _best_columns(n: int, height: int, wide: int, heading_px: int) -> int:
    best, best_size = n, 0.0
    for n_rows in range(1, n + 1):
        n_columns = -(-n // n_rows)
        size = min(cell_px(n_columns * wide, height, wide), (MAX_PLOT_PX / n_rows - heading_px) / (height + 2))
        if size > best_size * 1.15:
            best, best_size = n_columns, size
    return best


def cell_axes(fig: go.Figure, mosaic: Mosaic, *, extra: tuple[float, float] = (0.0, 0.0)) -> None:
    """Set square cells, y downwards and nothing else on the axes; ``extra`` cells above and below; mutates ``fig``."""
    rows, columns = mosaic.image.shape
    bare = {"showgrid": False, "showline": False, "ticks": "", "zeroline": False, "constrain": "domain"}
    fig.update_xaxes(range=[-0.5, columns - 0.5], showticklabels=False, constraintoward="left", **bare)
    fig.update_yaxes(
        range=[rows - 0.5 + extra[1], -0.5 - extra[0]],
        showticklabels=False,
        scaleanchor="x",
        constraintoward="top",
        **bare,
    )


def height_of(mosaic: Mosaic, extra: float = 0.0) -> int:
    """Give the height in pixels of the mosaic and ``extra`` cells when it fills a page 1000 px wide, within reason."""
    rows, columns = mosaic.image.shape
    return round(np.clip((rows + extra) * cell_px(columns, *mosaic.tile), 90, MAX_PLOT_PX))


def hatch(fig: go.Figure, mosaic: Mosaic, marked: np.ndarray, theme: Theme, name: str) -> None:
    """Fade and hatch the tiles whose number is in ``marked``, with one entry in the legend; mutates ``fig``."""
    height, width = mosaic.tile
    frames, lines = [], []
    nothing = (np.nan, np.nan)
    step = max(2.0, width / 3)
    for row, column in mosaic.corners[marked]:
        x0, y0, x1, y1 = column - 0.5, row - 0.5, column + width - 0.5, row + height - 0.5
        frames += [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0), nothing]
        for offset in np.arange(step / 2, width + height, step):  # x - x0 + y - y0 = offset, clipped to the tile
            a, b = max(0.0, offset - height), min(float(width), offset)
            lines += [(x0 + a, y0 + offset - a), (x0 + b, y0 + offset - b), nothing]
    color = mix(LINE[theme], MUTED[theme], 0.4)
    for points, style in ((frames, {"fill": "toself", "fillcolor": faded(PAPER[theme], 0.72), "line": {"width": 0}}),
                          (lines, {"line": {"width": 1, "color": color}})):  # fmt: skip
        x, y = np.asarray(points, np.float32).T
        fig.add_scatter(
            x=x, y=y, mode="lines", hoverinfo="skip", showlegend=False, legendgroup="marked", name=name, **style
        )
    fig.add_scatter(
        x=[None], y=[None], mode="markers", name=name, legendgroup="marked",
        marker={"symbol": "square-x-open", "size": 11, "color": color, "line": {"width": 1.2}},
    )  # fmt: skip


def _cuts(shape: tuple[int, ...], layout: Layout) -> list[tuple[Plane, int]]:
    if layout == "slices":
        return [(PLANES["axial"], at) for at in reversed(range(shape[2]))]
    kept = list(PLANES.values()) if layout == "orthogonal" else [PLANES["axial"]]
    return [(plane, shape[plane.normal] // 2) for plane in kept]


def _upright(patch: np.ndarray, plane: Plane, at: int) -> np.ndarray:
    """Give a slice with its top row first, x mirrored when it runs across."""
    rows = cut(patch, plane, at)[::-1]
    return rows[:, ::-1] if plane.across == 0 else rows


def _joined(blocks: list[np.ndarray], axis: int) -> np.ndarray:
    """Join blocks (n, rows, columns) along an axis one NaN line between; smaller ones are padded to the largest."""
    other = 3 - axis
    size = max(b.shape[other] for b in blocks)
    parts: list[np.ndarray] = []
    for block in blocks:
        missing = size - block.shape[other]
        widths = [(0, 0)] * 3
        widths[other] = (missing // 2, missing - missing // 2)
        padded = np.pad(block.astype(np.float32), widths, constant_values=np.nan)
        line = np.full([1 if a == axis else n for a, n in enumerate(padded.shape)], np.nan, np.float32)
        parts += [padded, line]
    return np.concatenate(parts[:-1], axis)
