"""What a comparison shows, as tables and sentences: each verdict follows from an interval, and from nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from workbench.app.messages import plain

FEWEST_SEEDS = 6
"""With fewer, all differences have the same sign by chance in more than 5 of 100 cases, so no verdict is given."""
HIGHER_IS_BETTER = {
    "accuracy", "balanced_accuracy", "auc", "r2", "explained_variance", "log_likelihood", "log_likelihood_bound",
}  # fmt: skip
LOWER_IS_BETTER = {"mae", "mse", "cross_entropy", "calibration_error"}
COLORS = {"helps": "green", "hurts": "red", "raises": "blue", "lowers": "blue"}
FIRST_LOOKED_AT = ("accuracy", "log_likelihood", "log_likelihood_bound", "mae", "mse")
FAILED = re.compile(r"\S+ \S+  (.+? · seed \d+(?: · \d+ labels)?) failed: (.*)")
"""A line of an experiment's log."""
NOTHING_SHOWN, TOO_FEW = "no difference shown", "too few seeds to say"


def verdict(score: str, n_pairs: int, difference: Sequence[float]) -> str:
    """Say in a word or two what an interval shows: ``"helps"``, ``"hurts"``, ``"no difference shown"``, ….

    Args:
        score: its name; of one that is not known to be better when higher or lower only the direction is said.
        n_pairs: seeds behind the interval.
        difference: mean, low and high of variant - reference.
    """
    _, low, high = difference
    if n_pairs < FEWEST_SEEDS or not np.isfinite([low, high]).all():
        return TOO_FEW
    if low <= 0 <= high:
        return NOTHING_SHOWN
    if score not in HIGHER_IS_BETTER | LOWER_IS_BETTER:
        return "raises" if low > 0 else "lowers"
    return "helps" if (low > 0) == (score in HIGHER_IS_BETTER) else "hurts"


def verdicts(table: Any) -> list[str]:
    """Write a line of Markdown for each variant and number of labels of a ``workflow.PairedTable``."""
    lines = []
    for row in few_labels_first(table.rows):
        said = verdict(table.score, row.n_pairs, row.difference)
        mean, low, high = row.difference
        span = f"{mean:+.3g}" if not np.isfinite(low) else f"{mean:+.3g}, 95 % interval {low:+.3g} to {high:+.3g}"
        span = span.replace("-", "−")
        lines.append(
            f"**{plain(row.variant)}** with {_labels(row.n_labels)}: :{COLORS.get(said, 'gray')}[**{said}**]"
            f" ({span}, {row.n_pairs} seed{'s' * (row.n_pairs != 1)})"
        )
    return lines


def summary(table: Any) -> pd.DataFrame:
    """Give one row a variant and number of labels, as people read it."""
    return pd.DataFrame(
        {
            "Variant": row.variant,
            "Labels": str(row.n_labels or "all"),
            "Seeds": row.n_pairs,
            "Mean": row.mean,
            f"Mean of {table.reference}": row.reference_mean,
            "Difference": row.difference[0],
            "Low": row.difference[1],
            "High": row.difference[2],
            "Verdict": verdict(table.score, row.n_pairs, row.difference),
        }
        for row in few_labels_first(table.rows)
    )


def few_labels_first(rows: Sequence[Any]) -> list[Any]:
    """Sort rows by the number of labels, all of them last."""
    return sorted(rows, key=lambda row: row.n_labels or float("inf"))


def frames(table: Any, n_all: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Give what the figure draws of a paired table: scores, means and differences; the reference comes first.

    Args:
        table: a ``workflow.PairedTable``.
        n_all: how many labelled examples "all" are, as :func:`number_for_all` gives it.

    Returns:
        Three tables; they have a column of labels unless all examples were labelled throughout.
    """
    order = [table.reference, *dict.fromkeys(row.variant for row in table.rows)]
    pairs = table.pairs.rename(columns={"value": "score", "n_labels": "labels"})
    pairs = pairs.assign(rank=pairs["variant"].map(order.index)).sort_values(["rank", "seed"], kind="stable")
    varied = set(pairs["labels"]) != {0}
    pairs["labels"] = pairs["labels"].replace(0, n_all)
    means = pairs.groupby(["variant", "labels"], sort=False)["score"].agg(["mean", "sem", "count"]).reset_index()
    half = means["sem"] * t.ppf(0.975, (means["count"] - 1).clip(lower=1))
    means = means.assign(low=means["mean"] - half, high=means["mean"] + half).drop(columns=["sem", "count"])
    differences = pd.DataFrame(
        [(row.variant, row.n_labels or n_all, *row.difference) for row in table.rows],
        columns=["variant", "labels", "mean", "low", "high"],
    )
    found = pairs[["variant", "seed", "score", "labels"]], means, differences
    return found if varied else tuple(f.drop(columns="labels") for f in found)  # type: ignore[return-value]


def number_for_all(table: Any, n_all: int) -> int:
    """Give the number at which "all" is drawn: the true one, or one beyond those named if it is unknown or taken."""
    named = set(table.pairs["n_labels"])
    return n_all if n_all and n_all not in named else max(named) + 1


def failures(rows: pd.DataFrame, log: Sequence[str]) -> pd.DataFrame:
    """Give the trainings that failed with the sentence that the experiment's log has on each.

    Args:
        rows: columns variant, seed, n_labels and state.
        log: lines of the experiment's log.
    """
    found = [match for line in log if (match := FAILED.match(line))]
    said = {match[1]: match[2] for match in found}
    failed = rows[rows["state"] == "failed"]
    titles = [
        f"{v} · seed {s}" + (f" · {n} labels" if n else "")
        for v, s, n in zip(failed["variant"], failed["seed"], failed["n_labels"], strict=True)
    ]
    return pd.DataFrame({"Training": titles, "Why": [said.get(name, "see the log of its run") for name in titles]})


def first_score(scores: Sequence[str]) -> int:
    """Give the place of the score that is shown first."""
    return next((scores.index(name) for name in FIRST_LOOKED_AT if name in scores), 0)


def _labels(n: int) -> str:
    return f"{n:,} labels" if n else "all labels"
