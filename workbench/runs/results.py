"""results.csv of an experiment: one row a training, replaced in one step whenever one ends."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import RunError
from workbench.runs.folder import write_file

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("variant", "seed", "n_labels", "run", "state")


@dataclass(frozen=True)
class Cell:
    """One training of an experiment.

    Attributes:
        variant: its name.
        seed: of everything random.
        n_labels: how many labelled examples it may learn from; 0 for all.
    """

    variant: str
    seed: int
    n_labels: int = 0

    @property
    def title(self) -> str:
        """What its run is called."""
        return f"{self.variant} · seed {self.seed}" + (f" · {self.n_labels} labels" if self.n_labels else "")


Rows = dict[Cell, dict[str, str]]


def read_results(path: Path) -> Rows:
    """Read the row of each training that was tried, as text by column; nothing where there is no file.

    Raises:
        RunError: the file is damaged.
    """
    damaged = f"{path.name} of experiment {path.parent.name} is damaged; restore it, or delete it to begin again."
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RunError(damaged) from error
    found = {}
    for row in csv.DictReader(io.StringIO(text)):
        try:
            cell = Cell(row["variant"], int(row["seed"]), int(row["n_labels"]))
        except (KeyError, TypeError, ValueError):
            raise RunError(damaged) from None
        found[cell] = {k: v for k, v in row.items() if isinstance(k, str) and isinstance(v, str)}
    return found


def score_names(rows: Rows) -> list[str]:
    """Give the names of all scores, in order of first appearance."""
    return list(dict.fromkeys(c for row in rows.values() for c in row if c not in COLUMNS))


def add_result(path: Path, cell: Cell, run: str, state: str, scores: Mapping[str, float]) -> None:
    """Add a row to a file, or replace the row of the same training; scores that are not finite stay empty."""
    if taken := sorted(set(scores) & set(COLUMNS)):
        raise ValueError(f"a score cannot be called {taken[0]}")
    kept = [row for other, row in read_results(path).items() if other != cell]
    row = {"variant": cell.variant, "seed": str(cell.seed), "n_labels": str(cell.n_labels), "run": run, "state": state}
    rows = [*kept, row | {name: f"{value:.9g}" for name, value in scores.items() if math.isfinite(value)}]
    text = io.StringIO()
    columns = list(dict.fromkeys([*COLUMNS, *(column for r in rows for column in r)]))
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_file(path, lambda partial: partial.write_text(text.getvalue(), encoding="utf-8", newline=""))


def results_table(rows: Rows) -> pd.DataFrame:
    """Give rows as a table: the columns, and one of float64 for each score, NaN where there is none."""
    import pandas as pd

    scores = score_names(rows)
    values = [
        {**{c: row.get(c, "") for c in COLUMNS}, **{s: _number(row.get(s, "")) for s in scores}}
        for row in rows.values()
    ]
    table = pd.DataFrame(values, columns=[*COLUMNS, *scores])
    return table.astype({"seed": "int64", "n_labels": "int64"} | dict.fromkeys(scores, "float64"))


def paired_results(table: pd.DataFrame, score: str, reference: str, order: list[str]) -> pd.DataFrame:
    """Put each variant beside the reference where both are finished at the same seed and number of labels.

    Returns:
        Columns variant, n_labels, seed, value, reference_value and difference; sorted by number of labels, by variant
        as in ``order``, and by seed.
    """
    done = table[table["state"] == "finished"].dropna(subset=[score])[["variant", "n_labels", "seed", score]]
    base = done[done["variant"] == reference].drop(columns="variant").rename(columns={score: "reference_value"})
    both = done.rename(columns={score: "value"}).merge(base, on=["n_labels", "seed"])
    both["difference"] = both["value"] - both["reference_value"]
    place = {name: number for number, name in enumerate(order)}
    by = ["n_labels", "variant", "seed"]
    return both.sort_values(by, key=lambda c: c.map(place) if c.name == "variant" else c, ignore_index=True)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
