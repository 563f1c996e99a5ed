"""Units are sorted and filtered by their use."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from workbench.app.unit_order import order

BANK = SimpleNamespace(
    mean_activation=np.array([0.2, 0.0, 0.5, 0.2]),
    dead=np.array([False, True, False, False]),
    norms=np.array([1.0, 4.0, 2.0, 3.0]),
)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("Most used", [2, 0, 3, 1]),
        ("Least used", [1, 0, 3, 2]),
        ("Strongest", [1, 3, 2, 0]),
        ("As trained", [0, 1, 2, 3]),
    ],
)
def test_each_order_is_its_own(by: str, expected: list[int]) -> None:
    assert order(BANK, by, "All", 10).tolist() == expected


def test_dead_and_living_units_share_all_units_between_them() -> None:
    assert order(BANK, "As trained", "Dead", 10).tolist() == [1]
    assert order(BANK, "As trained", "Alive", 2).tolist() == [0, 2]
