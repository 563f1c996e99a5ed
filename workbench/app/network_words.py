"""What is said of learned units beside their figures: names by a reference network, tables, weights as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.app.messages import plain
from workbench.figures.functional_networks import FunctionalUnit


def functional_units(found: Any, overlap: Any) -> list[FunctionalUnit]:
    """Give the units with the reference network that each overlaps with most."""
    return [
        FunctionalUnit(title, w, overlap.names[best], float(purity), float(dice[best]))
        for title, w, best, purity, dice in zip(
            found.titles, found.weights, overlap.best, overlap.purity, overlap.dice, strict=True
        )
    ]


def unit_table(found: Any, overlap: Any | None, top: int) -> pd.DataFrame:
    """Give a row a unit: its network, purity, Dice and strongest regions; the purest first."""
    order = np.argsort(-np.abs(found.weights), axis=1, kind="stable")[:, :top]
    rows = pd.DataFrame(
        {"unit": found.titles, "strongest regions": ["; ".join(found.regions[i] for i in row) for row in order]}
    )
    if overlap is None:
        return rows
    rows.insert(1, "network", [overlap.names[best] for best in overlap.best])
    rows.insert(2, "purity", overlap.purity)
    rows.insert(3, "dice", [dice[best] for dice, best in zip(overlap.dice, overlap.best, strict=True)])
    return rows.sort_values(["purity", "dice"], ascending=False, kind="stable").reset_index(drop=True)


def weight_csv(found: Any) -> bytes:
    """Give the weights as they are, a row a unit and a column a region."""
    table = pd.DataFrame(found.weights, columns=list(found.regions))
    table.insert(0, "unit", list(found.titles))
    return table.to_csv(index=False).encode()


def no_pure_unit(found: Any, overlap: Any, pure: int) -> str:
    """Say that no unit is one network at a purity of so many percent; "" where one is."""
    if float(overlap.purity.max()) >= pure / 100:
        return ""
    best = int(overlap.purity.argmax())
    return (
        f"No unit is one network at a purity of {pure} %: the purest is {found.titles[best]} with "
        f"{overlap.purity[best]:.0%} in {plain(overlap.names[overlap.best[best]])}. All are drawn as mixed."
    )
