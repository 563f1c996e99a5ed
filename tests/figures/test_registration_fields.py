"""The grid bends as the map says, colors of volume change are symmetric, folds are marked, energies keep to stages."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.figures.registration_energy import energy_curve
from workbench.figures.registration_fields import (
    FOLD_COLOR,
    LEAST_LIMIT,
    deformed_grid,
    displacement_map,
    folds,
    jacobian_limit,
    jacobian_map,
    jacobian_ticks,
    lengths_mm,
    log_jacobian,
)
from workbench.imaging.volume import Volume

SHAPE = (12, 14, 9)


@pytest.fixture
def image() -> Volume:
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = (-11, 4, 6)
    return Volume.from_array(np.random.default_rng(0).random(SHAPE, np.float32), affine, "T1")


def upright(fig, spacing: float) -> np.ndarray:
    """Give the x of those lines of the axial panel that run along y."""
    line = next(t for t in fig.data if t.name == "grid" and t.xaxis == "x")
    pieces = np.split(np.asarray(line.x), np.flatnonzero(np.isnan(line.x)))
    return np.array([np.nanmean(p) for p in pieces if np.isfinite(p).sum() > 2 and np.nanstd(p) < 1e-3])


def test_a_grid_without_deformation_is_straight_at_round_places(image: Volume) -> None:
    found = upright(deformed_grid(image, np.zeros((3, *SHAPE), np.float32), spacing_mm=4), 4)
    np.testing.assert_allclose(np.sort(found), np.arange(-8, 9, 4), atol=1e-4)


def test_a_shift_of_the_map_shifts_the_grid_the_other_way(image: Volume) -> None:
    shift = np.zeros((3, *SHAPE), np.float32)
    shift[0] = 0.25  # a voxel is 2 mm: what lies here comes from 0.5 mm to the right
    found = upright(deformed_grid(image, shift, spacing_mm=4), 4)
    np.testing.assert_allclose(np.sort(found), np.arange(-8.5, 8, 4), atol=1e-4)


def test_stretching_moves_the_lines_apart(image: Volume) -> None:
    squeeze = np.zeros((3, *SHAPE), np.float32)
    squeeze[0] = -0.5 * np.arange(SHAPE[0])[:, None, None]  # two voxels here come from one there
    found = np.sort(upright(deformed_grid(image, squeeze, spacing_mm=4), 4))
    np.testing.assert_allclose(np.diff(found), 8, atol=1e-4)


def test_colors_of_volume_change_are_symmetric_and_logarithmic(image: Volume) -> None:
    jacobian = np.full(SHAPE, 2.0)
    jacobian[:6] = 0.5
    fig = jacobian_map(image, jacobian)
    maps = [t for t in fig.data if t.type == "heatmap"]
    assert all(t.zmin == -t.zmax for t in maps) and set(np.unique(maps[0].z)) == {-1.0, 1.0}
    assert np.unique(maps[0].customdata).tolist() == [0.5, 2.0]
    assert "no voxel folds" in fig.layout.meta["alt"]
    assert jacobian_ticks(1.0) == {-1.0: "× 0.5", -0.5: "× 0.71", 0.0: "× 1", 0.5: "× 1.4", 1.0: "× 2"}
    assert jacobian_limit(np.ones(SHAPE)) == LEAST_LIMIT


def test_folds_are_marked_where_they_are_and_counted(image: Volume) -> None:
    jacobian = np.ones(SHAPE)
    jacobian[3, 4, 5] = -0.1
    fig = jacobian_map(image, jacobian, (3, 4, 5))
    marks = [t for t in fig.data if t.name == "folds"]
    assert len(marks) == 3 and all(t.marker.color == FOLD_COLOR and len(t.x) == 1 for t in marks)
    assert (marks[0].x[0], marks[0].y[0]) == (-11 + 2 * 3, 4 + 2 * 4)
    assert np.isnan(log_jacobian(jacobian)[3, 4, 5])
    assert folds(1 / jacobian.size) in fig.layout.meta["alt"]


def test_lengths_are_in_mm_whatever_way_the_axes_run() -> None:
    turn = np.array([[0, -3.0, 0], [2.0, 0, 0], [0, 0, 4.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn
    deformation = np.random.default_rng(1).normal(size=(3, 2, 3, 4))
    found = lengths_mm(deformation, affine)
    assert found[1, 2, 3] == pytest.approx(np.linalg.norm(turn @ deformation[:, 1, 2, 3]), rel=1e-5)
    drawn = displacement_map(Volume.from_array(np.ones((2, 3, 4)), affine), deformation)
    assert f"{found.max():.2f} mm" in "".join(a.text for a in drawn.layout.annotations)


def test_a_field_of_another_lattice_is_refused(image: Volume) -> None:
    with pytest.raises(ValueError, match="deformation on"):
        deformed_grid(image, np.zeros((3, 2, 2, 2)))


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.DataFrame(
        [(f"level {k + 1}", i, 10.0 / i + k, 100 * k) for k in range(2) for i in range(1, 6)],
        columns=["stage", "iteration", "energy", "n_points"],
    )


def test_a_line_of_energy_never_runs_from_one_stage_to_the_next(rows: pd.DataFrame) -> None:
    fig = energy_curve(rows)
    lines = [t for t in fig.data if t.yaxis in (None, "y")]
    assert [t.name for t in lines] == ["level 1", "level 2"]
    assert list(lines[0].x) + list(lines[1].x) == list(range(1, 11))
    assert [list(t.customdata) for t in lines] == [[1, 2, 3, 4, 5]] * 2
    assert any(t.yaxis == "y2" for t in fig.data), "driving voxels beneath"


def test_relative_energies_begin_at_one(rows: pd.DataFrame) -> None:
    assert {t.y[0] for t in energy_curve(rows, relative=True).data if t.yaxis in (None, "y")} == {1.0}


def test_no_energy_is_said(rows: pd.DataFrame) -> None:
    assert "no energy" in energy_curve(rows.iloc[:0]).layout.meta["alt"]
    with pytest.raises(ValueError, match="n_points is missing"):
        energy_curve(rows.drop(columns="n_points"))
