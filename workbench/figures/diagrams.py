"""The networks of Figures 2a and 4, drawn from a live model: sizes, a sample of weights, activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from workbench.figures import mosaic
from workbench.figures.theme import DIVERGING, GREY, INK, LINE, MUTED, Theme, arrow, finish, note, write
from workbench.figures.units import RED, draw_circles, draw_links, hide_axes, layer_color, parted, places


def stack_diagram(
    sizes: Sequence[int],
    weights: Sequence[np.ndarray] | None = None,
    *,
    names: Sequence[str] | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the stack from the visible layer v up to h⁽ᴸ⁾ (Figure 2a).

    Args:
        sizes: (L + 1,) units from the input to the code.
        weights: L matrices (units above, units below), whole or a corner; without them all links are alike.
        names: (L + 1,) what to call the layers; None for v, h⁽¹⁾, ….
        theme: the page it is shown on.
    """
    n_layers = len(sizes) - 1
    if n_layers < 1:
        raise ValueError(f"a stack has an input and at least one layer; got sizes {list(sizes)}")
    rows = [parted(places(size, max(sizes)), size) for size in sizes]
    labels = list(names or ["v", *(f"h<sup>({k})</sup>" for k in range(1, n_layers + 1))])
    fig = go.Figure()
    for k in range(n_layers):
        draw_links(fig, rows[k], rows[k + 1], k, None if weights is None else weights[k], theme)
    for k, (size, xs) in enumerate(zip(sizes, rows, strict=True)):
        color = layer_color(k, n_layers) if k else MUTED[theme]
        draw_circles(fig, xs, np.full(len(xs), float(k)), color, theme, f"{labels[k]}: {size} units")
        if size > len(xs):
            write(fig, 0.5, k, "···", INK[theme], 20)
        write(fig, -0.03, k, f"<b><i>{labels[k]}</i></b>", INK[theme], 18, xanchor="right")
        write(fig, 1.03, k, f"{size:,} units", MUTED[theme], 13, xanchor="left")
        if k:
            write(fig, 1.03, k - 0.5, f"<b>W<sup>({k})</sup></b>", RED[theme], 14, xanchor="left")
            arrow(fig, (-0.05, k - 0.7), (-0.05, k - 0.3), RED[theme])
    hide_axes(fig, (-0.16, 1.2), (-0.35, n_layers + 0.35))
    fig.update_layout(margin={"l": 8, "r": 8, "t": 12, "b": 12}, showlegend=False)
    if weights is not None:
        key = "the stronger a link, the larger |weight|, of a sample"
        fig.add_annotation(note(key, theme, x=1, y=0, xanchor="right", yanchor="top"))
        fig.update_layout(margin={"b": 28})
    units = ", then ".join(f"{size} units" for size in sizes)
    alt = f"Stacked auto-encoder: {units}, each layer linked to all units of the next."
    return finish(fig, theme, alt=alt, height=120 + 110 * n_layers)


@dataclass(frozen=True)
class EncoderDecoder:
    """What Figure 4 draws.

    Attributes:
        sizes: (L + 1,) numbers from the patch to the representation.
        patches: (k, C, *spatial) training patches; the first is x.
        activations: L vectors of the first patch, from layer 1 to the representation.
        rebuilt: (C, *spatial), z.
        filters: (k, C, *spatial) patterns of units of the first layer.
        weights: L matrices (units above, units below), whole or a corner; None for links that are all alike.
    """

    sizes: Sequence[int]
    patches: np.ndarray
    activations: Sequence[np.ndarray]
    rebuilt: np.ndarray
    filters: np.ndarray
    weights: Sequence[np.ndarray] | None = None


def encoder_decoder(parts: EncoderDecoder, *, theme: Theme = "light") -> go.Figure:
    """Draw training patches → encoder → representation → decoder → reconstruction, with learned weights (Figure 4)."""
    n_layers = len(parts.sizes) - 1
    fig = go.Figure()
    low, high = (float(v) for v in np.percentile(parts.patches, (0.5, 99.5)))
    grey = {"colorscale": GREY, "zmin": low, "zmax": max(high, low + 1e-6)}
    tiles = mosaic.tiles_of(np.asarray(parts.patches[:12], np.float32), "middle")
    tops = [_image(fig, mosaic.compose(tiles, 3).image, (0, 17), 20, grey, "training patch")]
    _image(fig, tiles[0], (21.5, 28.5), 20, grey, "x")
    _image(fig, mosaic.tiles_of(np.asarray(parts.rebuilt, np.float32)[None], "middle")[0], (69.5, 76.5), 20, grey, "z")
    tops.append(_filters(fig, parts.filters, (81.5, 100), theme))
    _columns(fig, parts, n_layers, theme)
    titles = ((8.5, "Training<br>image patches"), (90.75, "Examples of the<br>learned weights"))
    for (x, text), top in zip(titles, tops, strict=True):
        write(fig, x, top + 1, text, INK[theme], 13, yanchor="bottom")
    for x, text in ((25, "<b><i>x</i></b>"), (73, "<b><i>z</i></b>")):
        write(fig, x, 15.6, text, INK[theme], 16, yanchor="top")
    for start, end in ((17.6, 21), (29, 31.6), (66.4, 69)):
        arrow(fig, (start, 20), (end, 20), MUTED[theme])
    hide_axes(fig, (-0.5, 100.5), (-4, 44))
    fig.update_yaxes(scaleanchor="x", constrain="domain").update_xaxes(constrain="domain")
    key = "fuller circles: more active for x" + (
        "" if parts.weights is None else " · stronger links: larger |weight|, of a sample"
    )
    fig.add_annotation(note(key, theme, x=1, y=0, xanchor="right", yanchor="top"))
    fig.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 28}, showlegend=False)
    sizes = " to ".join(str(s) for s in parts.sizes)
    alt = f"Deep encoder–decoder: {sizes} units and back, with training patches, a reconstruction and learned weights."
    return finish(fig, theme, alt=alt, height=500)


def _columns(fig: go.Figure, parts: EncoderDecoder, n_layers: int, theme: Theme) -> None:
    """Draw the layers as columns of circles: the fuller, the more active for x; the decoder mirrors them."""
    depths = [*range(1, n_layers + 1), *range(n_layers - 1, 0, -1)]
    xs = np.linspace(34, 64, len(depths)) if len(depths) > 1 else np.array([49.0])
    columns = [4 + 32 * places(parts.sizes[d], max(parts.sizes[1:])) for d in depths]
    for i in range(len(depths) - 1):
        lower = min(depths[i], depths[i + 1])
        matrix = None if parts.weights is None else parts.weights[lower]
        if matrix is not None and depths[i + 1] < depths[i]:
            matrix = matrix.T
        draw_links(fig, columns[i], columns[i + 1], 0, matrix, theme, xs=(xs[i], xs[i + 1]))
    for i, (d, ys) in enumerate(zip(depths, columns, strict=True)):
        vector = np.asarray(parts.activations[d - 1], float).ravel()
        at = np.linspace(0, len(vector) - 1, len(ys)).round().astype(int)
        encoding = i < n_layers
        fill = np.abs(vector[at]) / max(np.abs(vector).max(), 1e-9) if encoding else np.full(len(ys), 0.25)
        name = "representation" if d == n_layers else f"y<sup>({d})</sup>"
        hover = (
            [f"{name}, unit {u}: activation {vector[u]:.3g}" for u in at]
            if encoding
            else f"decoder of {name}: {parts.sizes[d]} units"
        )
        draw_circles(fig, np.full(len(ys), xs[i]), ys, layer_color(d, n_layers), theme, hover, fill)
        label = "Represen-<br>tation" if d == n_layers else f"<i>y</i><sup>({d})</sup>" if encoding else ""
        fig.add_annotation(x=xs[i], y=2.2, yanchor="top", showarrow=False, font={"size": 12, "color": MUTED[theme]},
                           text=(f"{label}<br>" if label else "") + f"{parts.sizes[d]:,}")  # fmt: skip
    spans = [(xs[0] - 1.5, xs[n_layers - 1] - 0.7, "Encoder"), (xs[n_layers - 1] + 0.7, xs[-1] + 1.5, "Decoder")]
    for start, end, text in spans:
        fig.add_shape(type="line", x0=start, x1=end, y0=38.8, y1=38.8, line={"color": LINE[theme], "width": 2})
        fig.add_annotation(
            x=(start + end) / 2,
            y=39.5,
            text=f"<b>{text}</b>",
            showarrow=False,
            yanchor="bottom",
            font={"size": 14, "color": INK[theme]},
        )


def _filters(fig: go.Figure, filters: np.ndarray, across: tuple[float, float], theme: Theme) -> float:
    shown = np.asarray(filters[: 8 if filters.ndim == 5 else 12], np.float32)
    scale = np.abs(shown).reshape(len(shown), -1).max(1)
    tiles = mosaic.tiles_of(shown, "orthogonal") / np.where(scale > 0, scale, 1)[:, None, None]
    grid = mosaic.compose(tiles, 4 if filters.ndim == 5 else 3)
    style = {"colorscale": DIVERGING[theme], "zmin": -1, "zmid": 0, "zmax": 1}
    return _image(fig, grid.image, across, 20, style, "weight ÷ its unit’s largest")


def _image(
    fig: go.Figure, rows: np.ndarray, across: tuple[float, float], middle: float, style: dict[str, object], name: str
) -> float:
    """Draw rows (top first) between two x, centred on a y, with square cells; give the y of its upper edge."""
    cell = (across[1] - across[0]) / rows.shape[1]
    if rows.shape[0] * cell > 36:  # keep within the figure's height
        cell = 36 / rows.shape[0]
    left = (across[0] + across[1]) / 2 - cell * rows.shape[1] / 2
    fig.add_heatmap(
        z=rows[::-1],
        x0=left + cell / 2,
        dx=cell,
        y0=middle - cell * (rows.shape[0] - 1) / 2,
        dy=cell,
        showscale=False,
        hoverongaps=False,
        hovertemplate=f"{name} %{{z:.3g}}<extra></extra>",
        **style,
    )
    return middle + cell * rows.shape[0] / 2
