"""Which examples are rows of tables, and what their columns are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app.state import trained


def as_rows(pictures: np.ndarray, n_leading: int = 1) -> np.ndarray | None:
    """Give rows (…, V) where pictures (…, 1, V, 1) stand for rows of tables, else None.

    Args:
        pictures: (…, C, X, Y[, Z]).
        n_leading: dimensions before the channels.
    """
    is_row = pictures.ndim == n_leading + 3 and pictures.shape[n_leading] == 1 and pictures.shape[-1] == 1
    return pictures[..., 0, :, 0] if is_row else None


def columns(run_id: str) -> list[str]:
    """Give the names of a run's columns; empty where its examples are no rows of tables, or the cohort is gone."""
    return list(_columns(run_id, trained(run_id)))


def table(rows: np.ndarray, names: list[str], **first: Any) -> pd.DataFrame:
    """Give rows (n, V) as a table; ``first`` are columns of n cells that stand before them."""
    heads = names if len(names) == rows.shape[1] else [f"column {i + 1}" for i in range(rows.shape[1])]
    return pd.concat([pd.DataFrame(first), pd.DataFrame(rows, columns=heads)], axis=1)


@st.cache_data(max_entries=50, show_spinner=False)
def _columns(run_id: str, version: str) -> list[str]:
    return workflow.example_columns(run_id)
