"""How well each feature finds correspondences: means with their intervals, one row a feature."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import GRID, LINE, SYMBOLS, Theme, finish, interval, listed, series_color

MEASURES = {
    "rank": "rank of the truth",
    "share_above": "voxels scoring<br>above the truth, %",
    "distance_mm": "best match to<br>truth, mm",
    "peak_ratio": "peak ÷ second peak",
}


def correspondence_table_figure(table: pd.DataFrame, *, theme: Theme = "light") -> go.Figure:
    """Draw means with 95 % intervals: a panel a measure, a row a feature, colour and symbol a condition.

    Args:
        table: columns feature, mean, low, high; and where there are several: condition, measure. Measures are named as
            in :data:`MEASURES` (shares in per cent) or drawn under their own name.
        theme: the page it is shown on.
    """
    filled = table.assign(
        condition=table.get("condition", ""),
        measure=table.get("measure", "mean"),
    )
    measures, features, conditions = (list(dict.fromkeys(filled[c])) for c in ("measure", "feature", "condition"))
    fig = make_subplots(1, len(measures), shared_yaxes=True, horizontal_spacing=0.03)
    for column, measure in enumerate(measures, 1):
        rows = filled[filled["measure"] == measure]
        for index, condition in enumerate(conditions):
            offset = (index - (len(conditions) - 1) / 2) * 0.6 / len(conditions)
            _dots(fig, rows[rows["condition"] == condition], features, column, index, offset, theme)
        fig.update_xaxes(title=MEASURES.get(measure, measure), col=column)
    fig.update_xaxes(rangemode="tozero", nticks=6, showline=False, ticks="")
    for between in range(1, len(features)):
        fig.add_hline(y=between - 0.5, line={"color": GRID[theme], "width": 1})
    fig.update_yaxes(range=[len(features) - 0.5, -0.5], showgrid=False, ticks="", linecolor=LINE[theme])
    fig.update_yaxes(tickvals=list(range(len(features))), ticktext=features, col=1)
    fig.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"}, margin={"t": 44, "b": 64, "l": 8}
    )
    alt = f"Means with 95 % intervals of {listed(measures)} for {listed(features)}."
    return finish(fig, theme, alt=alt, height=130 + 46 * len(features) + 14 * len(conditions))


def _dots(
    fig: go.Figure, rows: pd.DataFrame, features: list[str], column: int, index: int, offset: float, theme: Theme
) -> None:
    """Draw one condition of one measure; ``index`` is its colour and symbol, ``offset`` moves it within its rows."""
    if rows.empty:
        return
    condition = str(rows["condition"].iloc[0])
    interval_text = "%{x:.4g} (95 % interval %{customdata[1]:.4g} to %{customdata[2]:.4g})"
    fig.add_scatter(
        x=rows["mean"],
        y=[features.index(f) + offset for f in rows["feature"]],
        error_x=interval(rows["mean"], rows["low"], rows["high"], thickness=2),
        mode="markers",
        marker={"size": 9, "color": series_color(index, theme), "symbol": SYMBOLS[index % len(SYMBOLS)]},
        name=condition,
        legendgroup=condition,
        showlegend=condition != "" and not any(t.name == condition for t in fig.data),
        customdata=rows[["feature", "low", "high"]],
        hovertemplate=f"%{{customdata[0]}} {condition}<br>{interval_text}<extra></extra>",
        row=1,
        col=column,
    )
