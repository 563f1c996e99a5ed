"""What registrations say, as tables and sentences; nothing here draws."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

FOLDED_ALARM = 0.001


def title(row: Any) -> str:
    """Give what a registration is called in a list: pair, method, when."""
    return f"{pair(row.plan)} · {row.title} · {when(row)}"


def pair(plan: Any) -> str:
    """Say which image is brought onto which."""
    return f"{_short(plan.moving)} → {_short(plan.fixed)}"


def when(row: Any) -> str:
    """Write when it was made."""
    return time.strftime("%d %b %H:%M:%S", time.localtime(row.when))


def row_table(rows: Sequence[Any]) -> pd.DataFrame:
    """Give a row a registration: who, how, how long, how good."""
    return pd.DataFrame([
        {
            "Moving → fixed": pair(row.plan), "Method": row.title, "Cohort": row.plan.cohort or "files",
            "Run": row.plan.run_id or "–", "Made": when(row), "Time, s": row.seconds,
            "Dice, linear start": row.dice_before, "Dice": row.dice, "Folds, %": 100 * row.folded_share,
        }
        for row in rows
    ])  # fmt: skip


def dice_table(found: Any) -> pd.DataFrame:
    """Give a row a label: Dice after the linear start, after all, and what the deformation gained."""
    rows = [
        {"Label": name, "Dice, linear start": before, "Dice": found.dice.get(name), "Gain": found.dice[name] - before}
        for name, before in found.dice_before.items()
        if name in found.dice
    ]
    return pd.DataFrame(rows, columns=["Label", "Dice, linear start", "Dice", "Gain"])


def mean(dice: Mapping[str, float]) -> float | None:
    """Give the mean over labels; None without any."""
    return sum(dice.values()) / len(dice) if dice else None


def fold_sentence(share: float) -> str:
    """Say whether the map folds, which no anatomy does."""
    if share == 0:
        return "The map folds nowhere: every place of the fixed image has one of its own in the moving one."
    return (
        f"{100 * share:.2g} % of the voxels fold: there the map turns space inside out, which no anatomy does. More "
        "smoothing, or a method that is diffeomorphic, helps."
    )


def same_pair(rows: Sequence[Any], row: Any) -> list[Any]:
    """Give the registrations of the same two images, this one included, the oldest first."""
    keys = ("cohort", "fixed", "moving", "modality", "moving_modality")
    mine = [getattr(row.plan, k) for k in keys]
    return [r for r in reversed(rows) if [getattr(r.plan, k) for k in keys] == mine]


def distinct_titles(rows: Sequence[Any]) -> dict[str, str]:
    """Call registrations by their methods; where two have the same, by when they were made too."""
    bare = [row.title for row in rows]
    return {row.id: row.title if bare.count(row.title) == 1 else f"{row.title}, {when(row)[-8:]}" for row in rows}


def latest_with(ids: Sequence[str], chosen: str, most: int) -> list[str]:
    """Give the last so many, and the chosen one among them, in their order."""
    others = [i for i in ids if i != chosen]
    kept = {chosen, *others[max(0, len(others) + 1 - most) :]}
    return [i for i in ids if i in kept]


def place(point: Sequence[float]) -> str:
    """Write a point in mm."""
    return ", ".join(f"{v:.1f}" for v in point) + " mm"


def _short(name: str) -> str:
    """Give a subject's name, or a file's without its folder."""
    return name.replace("\\", "/").rsplit("/", 1)[-1]
