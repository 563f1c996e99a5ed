"""Variants against each other on the same data and seeds: paired dots, what differs, how it grows with labels or noise.

Means and intervals are given, not computed; only the difference of two dots of one seed is taken here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import (
    DASHES,
    INK,
    LINE,
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

SUMMARY = ("variant", "mean", "low", "high")


def paired_experiment(
    scores: pd.DataFrame,
    summary: pd.DataFrame,
    differences: pd.DataFrame,
    *,
    title: str = "score",
    unit: str = "",
    theme: Theme = "light",
) -> go.Figure:
    """Draw every seed as a dot in each variant, joined by a line, and how far each variant is from the first.

    Args:
        scores: columns variant, seed, score and, when labels were varied, labels; the first variant is the baseline.
            Each number of labels gets a panel of its own.
        summary: columns variant, mean, low, high (95 % intervals) and labels where ``scores`` has them.
        differences: the same columns for score − score of the baseline with the same seed; no row for the baseline.
        title: what the score is.
        unit: of the score, such as ``"fraction"`` or ``"nats"``.
        theme: the page it is shown on.
    """
    variants = list(dict.fromkeys(scores["variant"]))
    if len(variants) < 2:
        raise ValueError(f"a comparison needs two variants with scores; got {variants}")
    panels = sorted(set(scores["labels"])) if "labels" in scores else [None]
    fig = make_subplots(
        2, len(panels), shared_xaxes=True, shared_yaxes=True, row_heights=[0.62, 0.38], vertical_spacing=0.07,
        horizontal_spacing=0.03, subplot_titles=[f"{n:,} labels" for n in panels] if panels != [None] else None,
    )  # fmt: skip
    for column, n_labels in enumerate(panels, 1):
        own, means, deltas = (_with(t, n_labels) for t in (scores, summary, differences))
        _pairs(fig, own, variants, column, theme)
        _means(fig, means, variants, (1, column), theme)
        _differences(fig, own, variants, column, theme)
        _means(fig, deltas, variants, (2, column), theme)
        fig.add_hline(y=0, line={"color": MUTED[theme], "width": 1.3, "dash": "dot"}, row=2, col=column)
    own_deltas = scores["score"] - _baseline(scores, variants[0])
    for row, values, table in ((1, scores["score"], summary), (2, own_deltas, differences)):
        fig.update_yaxes(range=_span(values, table, zero=row == 2), row=row)
    suffix = f",<br>{unit}" if unit else ""
    fig.update_yaxes(title=title + suffix, row=1, col=1, nticks=6)
    fig.update_yaxes(title=f"difference from<br>“{variants[0]}”{suffix.replace('<br>', ' ')}", row=2, col=1, nticks=5)
    fig.update_yaxes(title={"standoff": 4})
    fig.update_xaxes(range=[-0.5, len(variants) - 0.5], tickvals=list(range(len(variants))), showgrid=False, ticks="")
    fig.update_xaxes(showticklabels=True, ticktext=variants, row=2).update_xaxes(showticklabels=False, row=1)
    n_seeds = scores["seed"].nunique()
    text = f"a line a seed ({n_seeds}) · bar: mean with 95 % interval"
    fig.add_annotation(note(text, theme, x=1, y=1, xanchor="right", yanchor="bottom", yshift=26))
    fig.update_layout(margin={"t": 64, "l": 84}, showlegend=False)
    alt = f"{title} of {listed(variants)} over {n_seeds} paired seeds, and the differences from {variants[0]}."
    return finish(fig, theme, alt=alt, height=520)


def learning_curves_by_labels(
    table: pd.DataFrame, *, title: str = "accuracy, fraction", chance: float | None = None, theme: Theme = "light"
) -> go.Figure:
    """Draw how the score grows with the number of labeled examples, a line with its interval a variant.

    Args:
        table: columns variant, labels (number of labeled examples), mean, low, high (95 % intervals).
        title: of the score's axis, with its unit.
        chance: the score of guessing.
        theme: the page it is shown on.
    """
    fig = _bands(table, "labels", theme)
    labels = sorted(set(table["labels"]))
    fig.update_xaxes(title="labeled examples (logarithmic)", type="log", tickvals=labels,
                     ticktext=[f"{n:,}" for n in labels])  # fmt: skip
    return _with_axis(fig, table, title, chance, "the number of labeled examples", theme)


def noise_robustness(
    table: pd.DataFrame,
    *,
    title: str = "accuracy, fraction",
    noise: str = "share of inputs replaced",
    chance: float | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw how models bear growing noise on their input; the review holds a DBM to be more robust (Section 2.3.3).

    Args:
        table: columns variant, noise, mean, low, high (95 % intervals).
        title: of the score's axis, with its unit.
        noise: of the noise's axis, with its unit.
        chance: the score of guessing.
        theme: the page it is shown on.
    """
    fig = _bands(table, "noise", theme)
    fig.update_xaxes(title=noise, nticks=8)
    return _with_axis(fig, table, title, chance, "noise on the input", theme)


def _with(table: pd.DataFrame, n_labels: object) -> pd.DataFrame:
    return table if n_labels is None else table[table["labels"] == n_labels]


def _baseline(scores: pd.DataFrame, variant: str) -> np.ndarray:
    """Give for every row the baseline's score of the same seed and labels."""
    by = [c for c in ("seed", "labels") if c in scores]
    base = scores[scores["variant"] == variant].set_index(by)["score"]
    return base.reindex(pd.MultiIndex.from_frame(scores[by]) if len(by) > 1 else scores["seed"]).to_numpy(float)


def _span(values: pd.Series, table: pd.DataFrame, *, zero: bool) -> list[float]:
    """Give the range of an axis that shows all dots and intervals (plotly's own fails on matched, empty axes)."""
    every = np.concatenate([values, table["low"], table["high"], table["mean"], [0.0] if zero else []]).astype(float)
    low, high = float(np.nanmin(every)), float(np.nanmax(every))
    room = 0.07 * (high - low) or 0.05 * max(abs(high), 1e-3)
    return [low - room, high + room]


def _pairs(fig: go.Figure, scores: pd.DataFrame, variants: list[str], column: int, theme: Theme) -> None:
    wide = scores.pivot_table(index="seed", columns="variant", values="score").reindex(columns=variants)
    shift = np.linspace(-0.07, 0.07, len(wide)) if len(wide) > 1 else np.zeros(1)
    at = np.arange(len(variants))
    for offset, (seed, row) in zip(shift, wide.iterrows(), strict=True):
        fig.add_scatter(x=at + offset, y=row, mode="lines+markers", name="seed", row=1, col=column,
                        line={"color": faded(MUTED[theme], 0.35), "width": 1},
                        marker={"size": 7, "color": [faded(series_color(i, theme), 0.75) for i in range(len(variants))],
                                "symbol": [SYMBOLS[i % 8] for i in range(len(variants))]},
                        hovertemplate=f"seed {seed}: %{{y:.4g}}<extra></extra>")  # fmt: skip


def _differences(fig: go.Figure, scores: pd.DataFrame, variants: list[str], column: int, theme: Theme) -> None:
    wide = scores.pivot_table(index="seed", columns="variant", values="score").reindex(columns=variants)
    for at, name in enumerate(variants[1:], 1):
        shift = np.linspace(-0.07, 0.07, len(wide)) if len(wide) > 1 else np.zeros(1)
        fig.add_scatter(x=at + shift, y=wide[name] - wide[variants[0]], mode="markers", row=2, col=column, name=name,
                        marker={"size": 7, "color": faded(series_color(at, theme), 0.75), "symbol": SYMBOLS[at % 8]},
                        hovertext=[f"seed {s}" for s in wide.index],
                        hovertemplate="%{hovertext}: %{y:+.4g}<extra></extra>")  # fmt: skip


def _means(fig: go.Figure, rows: pd.DataFrame, variants: list[str], where: tuple[int, int], theme: Theme) -> None:
    own = rows[rows["variant"].isin(variants)]
    bars = interval(own["mean"], own["low"], own["high"], thickness=2.5, color=INK[theme])
    fig.add_scatter(
        x=[variants.index(v) + 0.2 for v in own["variant"]],
        y=own["mean"],
        mode="markers",
        name="mean",
        row=where[0],
        col=where[1],
        marker={"symbol": "line-ew", "size": 16, "line": {"width": 2.5, "color": INK[theme]}},
        error_y=bars,
        customdata=own[["low", "high"]],
        hovertemplate="mean %{y:.4g} (95 % interval %{customdata[0]:.4g} to %{customdata[1]:.4g})<extra></extra>",
    )


def _bands(table: pd.DataFrame, x: str, theme: Theme) -> go.Figure:
    if table.empty:
        raise ValueError(f"there is no curve to draw; the table over {x} has no rows")
    fig = go.Figure()
    for index, (name, rows) in enumerate(table.groupby("variant", sort=False)):
        own, color = rows.sort_values(x), series_color(index, theme)
        along = np.concatenate([own[x], own[x][::-1]])
        fig.add_scatter(x=along, y=np.concatenate([own["high"], own["low"][::-1]]), fill="toself", mode="lines",
                        fillcolor=faded(color, 0.15), line={"width": 0}, hoverinfo="skip", showlegend=False,
                        legendgroup=str(name), name="95 % interval")  # fmt: skip
        fig.add_scatter(x=own[x], y=own["mean"], mode="lines+markers", name=str(name), legendgroup=str(name),
                        line={"color": color, "width": 2.2, "dash": DASHES[index % len(DASHES)]},
                        marker={"size": 8, "symbol": SYMBOLS[index % 8]}, customdata=own[["low", "high"]],
                        hovertemplate="%{y:.4g} (%{customdata[0]:.4g} to %{customdata[1]:.4g})"
                                      f"<extra>{name}</extra>")  # fmt: skip
    return fig


def _with_axis(
    fig: go.Figure, table: pd.DataFrame, title: str, chance: float | None, against: str, theme: Theme
) -> go.Figure:
    if chance is not None:
        words = {"text": "chance", "font": {"size": 11, "color": MUTED[theme]}, "xanchor": "right", "yshift": 8}
        fig.add_hline(y=chance, line={"color": LINE[theme], "width": 1.5, "dash": "dot"}, annotation=words)
    fig.update_yaxes(title=title, nticks=6)
    fig.add_annotation(note("band: 95 % interval", theme, x=1, y=1, xanchor="right", yanchor="bottom", yshift=4))
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 48})
    names: Sequence[str] = [str(n) for n in dict.fromkeys(table["variant"])]
    what: Mapping[bool, str] = {True: ", with the score of guessing", False: ""}
    alt = f"{title.partition(',')[0].capitalize()} of {listed(names)} against {against}{what[chance is not None]}."
    return finish(fig, theme, alt=alt, height=400)
