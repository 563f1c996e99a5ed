"""What a threshold on a probability decides: scores over all thresholds, and how sure the network is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures.theme import ACCENT, CATEGORICAL, DASHES, INK, MUTED, Theme, faded, finish, listed, series_color

SCORES = {"dice": "Dice", "sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV"}


def threshold_curves(rows: pd.DataFrame, chosen: float, *, theme: Theme = "light") -> go.Figure:
    """Draw how the scores change with the threshold, and what they are at the chosen one.

    Args:
        rows: column threshold, in rising order, and any of dice, sensitivity, specificity and ppv (fractions, NaN
            where they have no meaning).
        chosen: threshold, marked by a line with the scores of the row nearest to it.
        theme: the page it is shown on.
    """
    names = [name for name in SCORES if name in rows]
    if not names or not len(rows):
        raise ValueError(f"expected a threshold and scores; got the columns {list(rows.columns)}")
    fig = go.Figure()
    at = rows.iloc[int((rows["threshold"] - chosen).abs().to_numpy().argmin())]
    for i, name in enumerate(names):
        color = series_color(i, theme)
        fig.add_scatter(
            x=rows["threshold"], y=rows[name], mode="lines", name=f"{SCORES[name]} {_told(at[name])}",
            line={"color": color, "width": 2.2, "dash": DASHES[i]},
            hovertemplate=SCORES[name] + " %{y:.3f} at %{x:.2f}<extra></extra>",
        )  # fmt: skip
        if np.isfinite(at[name]):
            fig.add_scatter(x=[chosen], y=[at[name]], mode="markers", showlegend=False, hoverinfo="skip",
                            marker={"size": 9, "color": color, "line": {"width": 1.2, "color": INK[theme]}},
                            )  # fmt: skip
    fig.add_vline(x=chosen, line={"color": ACCENT[theme], "width": 1.6},
                  annotation={"text": f"threshold {chosen:.2f}", "font": {"size": 12, "color": ACCENT[theme]},
                              "yanchor": "bottom", "y": 1, "showarrow": False, "xanchor": "center"})  # fmt: skip
    if "dice" in names and rows["dice"].notna().any():
        best = rows.iloc[int(np.nanargmax(rows["dice"].to_numpy(float)))]
        fig.add_scatter(x=[best["threshold"]], y=[best["dice"]], mode="markers", showlegend=False,
                        marker={"symbol": "star", "size": 12, "color": series_color(0, theme)},
                        hovertemplate=f"best Dice {best['dice']:.3f} at {best['threshold']:.2f}<extra></extra>",
                        )  # fmt: skip
    fig.update_xaxes(title="threshold on the probability", range=[-0.01, 1.01], nticks=11)
    fig.update_yaxes(title="fraction", range=[-0.02, 1.03], nticks=6)
    fig.update_layout(legend={"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0}, margin={"t": 36, "b": 92})
    told = [f"{SCORES[n]} {_told(at[n])}" for n in names]
    return finish(fig, theme, alt=f"Scores over thresholds; at {chosen:.2f}: {listed(told)}.", height=380)


def probability_histogram(
    counts: np.ndarray, edges: np.ndarray, chosen: float, *, truth_counts: np.ndarray | None = None,
    theme: Theme = "light",
) -> go.Figure:  # fmt: skip
    """Draw how many voxels have which probability, on a logarithmic axis, with the threshold.

    Args:
        counts: (n,) voxels a bin.
        edges: (n + 1,) of the bins, 0 to 1.
        chosen: threshold.
        truth_counts: (n,) those of them that are inside by the truth; None where it is not known.
        theme: the page it is shown on.
    """
    if len(edges) != len(counts) + 1:
        raise ValueError(f"{len(counts)} bins have {len(counts) + 1} edges; got {len(edges)}")
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    parts = {"voxels": counts} if truth_counts is None else {
        "outside by the truth": counts - truth_counts, "inside by the truth": truth_counts,
    }  # fmt: skip
    fig = go.Figure()
    for i, (name, values) in enumerate(parts.items()):
        color = MUTED[theme] if i == 0 and truth_counts is not None else CATEGORICAL[theme][0]
        fig.add_bar(x=middle, y=np.maximum(values, 0), width=width * 0.92, name=name,
                    marker={"color": faded(color, 0.55 if i == 0 and truth_counts is not None else 0.8),
                            "pattern": {"shape": "" if i else "/" if truth_counts is not None else "", "size": 5}},
                    hovertemplate="%{y:,} voxels at %{x:.2f}<extra>" + name + "</extra>")  # fmt: skip
    fig.add_vline(x=chosen, line={"color": ACCENT[theme], "width": 1.6})
    fig.update_xaxes(title="probability", range=[-0.01, 1.01], nticks=11)
    fig.update_yaxes(title="voxels (logarithmic)", type="log", dtick=1, exponentformat="power")
    fig.update_layout(barmode="overlay", bargap=0, legend={"orientation": "h", "y": -0.28, "yanchor": "top", "x": 0},
                      showlegend=truth_counts is not None, margin={"t": 20, "b": 80})  # fmt: skip
    above = int(counts[middle >= chosen].sum())
    return finish(fig, theme, alt=f"Voxels by probability; {above:,} of {int(counts.sum()):,} from the threshold "
                  f"{chosen:.2f} up.", height=280)  # fmt: skip


def _told(score: float) -> str:
    return f"{score:.3f}" if np.isfinite(score) else "–"
