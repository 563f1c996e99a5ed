"""Small volumes and tables that one could draw by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.imaging.volume import Volume


@pytest.fixture
def volume() -> Volume:
    """Give (10, 12, 6) voxels of 2 × 2 × 5 mm with a bright one on the patient’s left, in front, high."""
    data = np.zeros((10, 12, 6), np.float32)
    data[2:8, 2:10, 1:5] = 0.5
    data[1, 9, 4] = 1.0
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    affine[:3, 3] = (-9, -11, -12)
    return Volume.from_array(data, affine, "T1")


@pytest.fixture
def metrics() -> pd.DataFrame:
    """Give two stages of ten steps, validation every five, and values within epochs."""
    rows = [
        (0.0, stage, 1, step, name, 10.0 / step)
        for stage in ("pretrain 1", "fine-tune")
        for step in range(1, 11)
        for name in ["mse_step"] + (["mse", "val_mse"] if step % 5 == 0 else [])
    ]
    return pd.DataFrame(rows, columns=["time", "stage", "epoch", "step", "name", "value"])
