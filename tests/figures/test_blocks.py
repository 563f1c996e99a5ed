from __future__ import annotations

import numpy as np
import pytest

from workbench.figures.blocks import PathwayFilters, two_block_filters


def pathway(title: str = "MRI") -> PathwayFilters:
    rng = np.random.default_rng(0)
    return PathwayFilters(title, rng.normal(size=(4, 1, 5, 6, 7)), rng.normal(size=(3, 1, 5, 6, 7)), lower_units=[2, 0])


def test_a_column_is_one_unit_from_superior_to_inferior() -> None:
    one = pathway()
    heat = two_block_filters([one]).data[0]
    z, units, weights = np.asarray(heat.z), heat.customdata[..., 0], heat.customdata[..., 1]
    lower = z.shape[0] - (7 * 6 + 6)  # 7 slices of 6 rows with a gap between
    assert np.nanmax(units[lower:, :5]) == np.nanmin(units[lower:, :5]) == 2
    assert weights[lower, 0] == pytest.approx(one.lower[2, 0, 4, 5, 6], rel=1e-5)  # right, in front, on top
    assert weights[-1, 4] == pytest.approx(one.lower[2, 0, 0, 0, 0], rel=1e-5)


@pytest.mark.parametrize(("plane", "first"), [("axial", (4, 5, 6)), ("coronal", (4, 5, 6)), ("sagittal", (4, 0, 6))])
def test_the_first_cell_of_each_plane(plane: str, first: tuple[int, int, int]) -> None:
    one = pathway()
    heat = two_block_filters([one], plane=plane).data[0]
    assert heat.customdata[0, 0, 1] == pytest.approx(one.upper[(0, 0, *first)], rel=1e-5)


def test_colours_span_each_unit_alone_with_zero_in_the_middle() -> None:
    one = pathway()
    one.lower[2] *= 1000
    heat = two_block_filters([one]).data[0]
    z, units = np.asarray(heat.z), heat.customdata[..., 0]
    lower = z.shape[0] - (7 * 6 + 6)
    for unit in (2, 0):
        assert np.abs(z[lower:][units[lower:] == unit]).max() == pytest.approx(1)
    assert heat.zmin == -heat.zmax and heat.zmid == 0


def test_each_modality_has_a_panel_with_its_letter_and_one_scale() -> None:
    fig = two_block_filters([pathway(), pathway("PET")], theme="dark")
    text = " ".join(a.text for a in fig.layout.annotations)
    assert "<b>b</b>  MRI" in text and "<b>c</b>  PET" in text and "3 units above, 2 below" in text
    assert [bool(t.showscale) for t in fig.data] == [False, True]
    assert fig.data[1].x0 > fig.data[0].x0 + np.asarray(fig.data[0].z).shape[1]
    assert "MRI, PET" in fig.layout.meta["alt"]


def test_a_unit_of_zeros_is_neutral() -> None:
    zero = np.zeros((1, 1, 3, 3, 3))
    assert np.nanmax(np.abs(two_block_filters([PathwayFilters("CT", zero, zero)]).data[0].z)) == 0


def test_unknown_planes_and_flat_patches_are_refused() -> None:
    with pytest.raises(LookupError, match="coronal"):
        two_block_filters([pathway()], plane="oblique")
    with pytest.raises(ValueError, match="n, C, X, Y, Z"):
        two_block_filters([PathwayFilters("T1", np.zeros((1, 1, 3, 3)), np.zeros((1, 1, 3, 3, 3)))])
