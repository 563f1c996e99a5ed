"""Which hidden units to show, and in which order."""

from __future__ import annotations

from typing import Any

import numpy as np

ORDERS = {
    "Most used": lambda bank: -bank.mean_activation,
    "Least used": lambda bank: bank.mean_activation,
    "Strongest": lambda bank: -bank.norms,
    "As trained": lambda bank: np.arange(len(bank.norms)),
}
KINDS = ("All", "Alive", "Dead")


def order(bank: Any, by: str, kind: str, n: int) -> np.ndarray:
    """Give the numbers of at most n units, (m,) int64.

    Args:
        bank: filters with ``mean_activation``, ``norms`` and ``dead``, each (n_units,).
        by: a key of :data:`ORDERS`; equal units keep their order.
        kind: one of :data:`KINDS`.
        n: how many at most.
    """
    ranked = np.argsort(ORDERS[by](bank), kind="stable")
    if kind != "All":
        ranked = ranked[bank.dead[ranked] == (kind == "Dead")]
    return ranked[:n]
