"""How sparsity is steered while a network trains: the measured share, Hoyer's index and the strength β (Kim et al.)."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import DASHES, Theme, finish, listed, series_color

TITLES = {"nonzero": "nonzero weights,<br>share", "hoyer": "Hoyer's<br>index", "beta": "strength β<br>of the penalty"}


def sparsity_traces(table: pd.DataFrame, *, measure: str = "nonzero", theme: Theme = "light") -> go.Figure:
    """Draw what the controller measured and did, a line a layer, its target dashed in the panel that it steers.

    Args:
        table: columns step, layer, target and any of nonzero (share 0 to 1), hoyer (0 dense to 1 sparse), beta.
        measure: the column that the targets belong to.
        theme: the page it is shown on.
    """
    shown = [name for name in TITLES if name in table]
    if not shown:
        raise ValueError(f"the table needs one of {', '.join(TITLES)}; it has {', '.join(table.columns)}")
    layers = list(dict.fromkeys(table["layer"]))
    fig = make_subplots(len(shown), 1, shared_xaxes=True, vertical_spacing=0.05)
    for row, name in enumerate(shown, 1):
        place = {"row": row, "col": 1}
        for i, layer in enumerate(layers):
            own = table[table["layer"] == layer].sort_values("step")
            color = series_color(i, theme)
            if name == measure and own["target"].notna().any():
                fig.add_scatter(x=own["step"], y=own["target"], mode="lines", legendgroup=str(layer), showlegend=False,
                                name="target", line={"color": color, "width": 1.5, "dash": "dash", "shape": "hv"},
                                hovertemplate=f"target of {layer}: %{{y:.3g}}<extra></extra>", **place)  # fmt: skip
            dash = "solid" if name == measure else DASHES[(2 * i) % len(DASHES)] if i else "solid"
            fig.add_scatter(x=own["step"], y=own[name], mode="lines", name=str(layer), legendgroup=str(layer),
                            showlegend=row == 1, line={"color": color, "width": 2, "dash": dash},
                            hovertemplate=f"{layer}: %{{y:.4g}}, step %{{x:.0f}}<extra></extra>", **place)  # fmt: skip
        fig.update_yaxes(title=TITLES[name], nticks=5, row=row, col=1, rangemode="tozero")
    fig.update_xaxes(showgrid=False).update_xaxes(title="step (dashed: the target)", row=len(shown), col=1)
    fig.update_layout(legend={"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0}, margin={"t": 44, "l": 84})
    return finish(fig, theme, alt=f"Sparsity of {listed([str(la) for la in layers])} against their targets, by step.",
                  height=150 * len(shown) + 90)  # fmt: skip
