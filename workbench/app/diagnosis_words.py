"""What cross-validated scores show, as tables and sentences that claim no more than their intervals."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

MEASURES = ("auc", "accuracy", "balanced accuracy")
SITE = "site by a linear machine"
BASELINE = "linear machine on connectivity"
CHANCE, LEVEL = 0.5, 0.05


class Measured(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def text(self, digits: int = 2) -> str:
        """Write it as tables have it."""
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def measured(summary: dict[str, list[float]], name: str, measure: str) -> Measured | None:
    """Give a number of a run's summary, None where it has none."""
    found = summary.get(f"{name}: {measure}")
    return Measured(*(float(v) for v in found)) if found and len(found) == 3 else None


def methods_table(summary: dict[str, list[float]], methods: list[str]) -> pd.DataFrame:
    """Give a row a method with each measure and its interval, then one of the site where the run has it."""
    rows = []
    for name in methods:
        row: dict[str, Any] = {"Method": name}
        for measure in MEASURES:
            value = measured(summary, name, measure)
            row[_title(measure)] = "–" if value is None else value.text()
        p = summary.get(f"{name}: p")
        rows.append(row | {"p": "–" if not p else f"{p[0]:.2g}"})
    site = measured(summary, SITE, "balanced accuracy")
    if site is not None:
        rows.append({"Method": SITE, "AUC": "–", "Accuracy": "–", "Balanced accuracy": site.text(), "p": "–"})
    return pd.DataFrame(rows)


def numbers_table(summary: dict[str, list[float]]) -> pd.DataFrame:
    """Give the summary as numbers, a row a method and measure: what the CSV file holds."""
    rows = []
    for key, values in summary.items():
        method, _, measure = key.rpartition(": ")
        low, high = (values[1], values[2]) if len(values) == 3 else (np.nan, np.nan)
        rows.append({"method": method, "measure": measure, "value": values[0], "low": low, "high": high})
    return pd.DataFrame(rows)


def wide_table(summary: dict[str, list[float]]) -> pd.DataFrame:
    """Give a row a method and a column a measure, as text with intervals."""
    methods = dict.fromkeys(key.rpartition(": ")[0] for key in summary)
    measures = list(dict.fromkeys(key.rpartition(": ")[2] for key in summary))
    rows = []
    for method in methods:
        found = {m: measured(summary, method, m) for m in measures}
        rows.append({"Method": method} | {_title(m): "–" if v is None else v.text(3) for m, v in found.items()})
    return pd.DataFrame(rows)


def score_table(found: Any) -> pd.DataFrame:
    """Give a row a subject: class, fold, site and every score."""
    table = pd.DataFrame({
        "subject": found.subjects, "class": [found.classes[t] for t in found.target],
        "fold": np.asarray(found.fold) + 1, "site": found.site,
    })  # fmt: skip
    return pd.concat([table, pd.DataFrame(found.scores)], axis=1)


def verdict(name: str, area: Measured, p: float | None = None) -> str:
    """Say what the area under a ROC curve shows against chance; better only where the interval and p agree."""
    said = f"**{_first(name)}**: AUC {area.value:.2f}, 95 % interval {area.low:.2f} to {area.high:.2f}."
    if not np.isfinite(area.low + area.high):
        return f"**{_first(name)}**: AUC {area.value:.2f}, without an interval; nothing follows from it."
    if area.low > CHANCE and p is not None and p > LEVEL:
        return (
            f"{said} The interval lies above 0.5, but {p:.2g} of the shuffles of the classes do as well: no better "
            "than chance as far as these subjects show."
        )
    if area.low > CHANCE:
        return f"{said} The interval lies above 0.5: on these subjects it orders the classes better than chance."
    if area.high < CHANCE:
        return f"{said} The interval lies below 0.5: it orders the classes the wrong way round, so it tells nothing."
    return f"{said} The interval covers 0.5: these subjects do not show that it tells the classes apart."


def beside_baseline(own: Measured, baseline: Measured) -> str:
    """Say how a method stands beside the linear baseline; without overlap of intervals only is one called better."""
    other = f"that of the {BASELINE} ({area_of(baseline)})"
    if own.low > baseline.high:
        return f"Its interval lies above {other}; the difference itself was not tested."
    if own.high < baseline.low:
        return f"Its interval lies below {other}: the simple machine does better here."
    return (
        f"The {BASELINE} has {area_of(baseline)}: the intervals overlap, so no difference between the two is claimed."
    )


def area_of(area: Measured) -> str:
    """Write an area with its interval inside a sentence."""
    return f"AUC {area.value:.2f}, {area.low:.2f} to {area.high:.2f}"


def tested(p: float, n_shuffles: int, *, within_site: bool) -> str:
    """Say what the permutation test shows."""
    where = "within sites" if within_site else "among all subjects"
    how = f"Of {n_shuffles:,} shuffles of the classes {where}, a share of {p:.2g} does at least as well (p)."
    more = " At the usual 5 % that is no evidence against chance." if p > LEVEL else ""
    return f"{how}{more} The scores stay as they are: nothing is learnt again."


def told_of_site(site: Measured, n_sites: int) -> str:
    """Say how well the site can be told, and what that means for the diagnosis."""
    chance = 1 / max(n_sites, 1)
    if site.low > chance:
        return (
            f"The **site** can be told from the connectivity: balanced accuracy {site.text()}, chance {chance:.2f}. "
            "Where classes and sites go together, part of a diagnosis may be the scanner; see the test within sites."
        )
    return (
        f"Whether the **site** can be told stays open: balanced accuracy {site.text()}, where chance is {chance:.2f}."
    )


def _title(measure: str) -> str:
    return "AUC" if measure == "auc" else measure.capitalize()


def _first(text: str) -> str:
    return text[:1].upper() + text[1:]
