"""Confounds: which columns are taken, what is filled, and framewise displacement by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.errors import CohortError
from workbench.imaging.confounds import read_confounds

MOTION = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]


def table(path: Path, names: list[str], values: np.ndarray) -> Path:
    lines = ["\t".join(names)] + ["\t".join(f"{v:.8g}" if np.isfinite(v) else "n/a" for v in row) for row in values]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_motion_and_tissue_are_taken_and_the_first_row_is_filled(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [*MOTION, "trans_x_derivative1", "csf", "white_matter", "global_signal", "framewise_displacement"]
    values = rng.normal(size=(10, len(names)))
    values[0, [6, 10]] = np.nan
    found = read_confounds(table(tmp_path / "c.tsv", names, values), 10)
    assert found.names == (*MOTION, "trans_x_derivative1", "csf", "white_matter")
    assert found.values[0, 6] == pytest.approx(values[1:, 6].mean(), rel=1e-5)
    assert "first row of 1 confounds" in found.notes[1] and found.displacement_mm is not None
    np.testing.assert_allclose(found.displacement_mm, [0, *values[1:, 10]], rtol=1e-5)
    assert read_confounds(tmp_path / "c.tsv", 10, "motion").names == (*MOTION, "trans_x_derivative1")
    assert "global_signal" in read_confounds(tmp_path / "c.tsv", 10, "all").names
    assert read_confounds(tmp_path / "c.tsv", 10, "none").names == ()


@pytest.mark.parametrize("ending", [".txt", ".par"])
def test_displacement_is_the_sum_of_shifts_and_arcs(tmp_path: Path, ending: str) -> None:
    motion = np.zeros((3, 6))
    motion[1] = [0.1, -0.2, 0, 0.01, 0, 0]  # 0.1 + 0.2 mm, and 0.01 rad × 50 mm = 0.5 mm
    motion[2] = [0.1, -0.2, 0.3, 0.01, 0, 0]
    stored = np.roll(motion, 3, axis=1) if ending == ".par" else motion
    path = tmp_path / f"rp{ending}"
    np.savetxt(tmp_path / "rp.txt", stored)
    (tmp_path / "rp.txt").rename(path)
    if ending == ".par":
        path = path.rename(tmp_path / "rp.par")
    found = read_confounds(path, 3)
    assert found.displacement_mm is not None
    np.testing.assert_allclose(found.displacement_mm, [0, 0.8, 0.3], atol=1e-6)


def test_a_column_that_never_changes_is_left_out(tmp_path: Path) -> None:
    values = np.column_stack([np.arange(5.0) ** 2, np.ones(5)])
    found = read_confounds(table(tmp_path / "c.tsv", ["a", "b"], values), 5)
    assert found.names == ("a",) and "left out: b" in " ".join(found.notes)


def test_confounds_of_another_length_or_with_gaps_are_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(6, 2))
    path = table(tmp_path / "c.tsv", ["a", "b"], values)
    with pytest.raises(CohortError, match="6 rows of confounds but the image has 7 volumes"):
        read_confounds(path, 7)
    values[3, 1] = np.nan
    with pytest.raises(CohortError, match="1 rows without a number in its column b"):
        read_confounds(table(path, ["a", "b"], values), 6)
