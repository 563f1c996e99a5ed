from __future__ import annotations

import numpy as np

from workbench.app.live_curves import offered
from workbench.app.rows import as_rows, table


def test_only_strips_are_rows_of_tables() -> None:
    strip = np.arange(6.0).reshape(2, 1, 3, 1)
    rows = as_rows(strip)
    assert rows is not None and np.array_equal(rows, [[0, 1, 2], [3, 4, 5]])
    assert as_rows(np.zeros((2, 1, 3, 3))) is None and as_rows(np.zeros((2, 2, 3, 1))) is None
    assert as_rows(np.zeros((2, 1, 3, 3, 1))) is None, "a volume of one slice is no row"


def test_chains_of_rows_have_two_leading_dimensions() -> None:
    rows = as_rows(np.zeros((4, 7, 1, 9, 1)), 2)
    assert rows is not None and rows.shape == (4, 7, 9)


def test_a_table_has_its_columns_or_counts_them() -> None:
    assert list(table(np.zeros((2, 2)), ["a", "b"], subject=["x", "y"])) == ["subject", "a", "b"]
    assert list(table(np.zeros((2, 2)), ["a"])) == ["column 1", "column 2"]


def test_only_logged_quantities_are_offered_and_none_twice() -> None:
    assert offered({"mse", "loss"}) == {"Error": ("mse",), "Loss": ("loss",)}
    assert offered({"free_energy", "reconstruction", "val_loss"}) == {
        "Reconstruction": ("reconstruction",), "Free energy": ("free_energy",)
    }  # fmt: skip
    assert offered(set()) == {}
