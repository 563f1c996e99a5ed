"""Two images compared: what each way shows of which image, where, and that a contour lies where the mask ends."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.figures.registration_panels import BLUE, RED, box_around, contour, sheet, three_slices
from workbench.figures.registration_slices import Compared, checkerboard, compare_slices
from workbench.imaging.volume import Volume

SHAPE = (10, 12, 6)
AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])


def volume(values: np.ndarray) -> Volume:
    return Volume.from_array(values.astype(np.float32), AFFINE, "T1")


@pytest.fixture
def pair() -> Compared:
    """Give an image that grows along x and its reverse, each from 0 to 1, with a box of labels in either."""
    x = np.broadcast_to(np.linspace(0, 1, SHAPE[0])[:, None, None], SHAPE)
    first, second = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
    first[2:5, 3:7, 1:5] = 1
    second[3:6, 3:7, 1:5] = 1
    return Compared(volume(x), volume(x[::-1]), first, second)


def shown(fig) -> list[np.ndarray]:
    return [np.asarray(t.z) for t in fig.data if t.type == "heatmap"]


def test_a_blend_goes_from_one_image_to_the_other(pair: Compared) -> None:
    none, half, all_ = (shown(compare_slices(pair, mode="blend", amount=a))[0] for a in (0, 0.5, 1))
    fixed, moved = shown(compare_slices(pair, mode="side by side"))
    np.testing.assert_allclose(none, fixed, atol=1e-6)
    np.testing.assert_allclose(all_, moved, atol=1e-6)
    np.testing.assert_allclose(half, (fixed + moved) / 2, atol=1e-6)
    assert np.abs(fixed - moved).max() > 0.9


def test_every_other_square_is_of_the_other_image(pair: Compared) -> None:
    board = checkerboard((6, 8), (2.0, 1.0), 4.0)
    assert board[:2, :4].sum() == 0 and board[:2, 4:].all() and board[2:4, :4].all()
    fixed, moved = shown(compare_slices(pair, mode="side by side"))
    mixed = shown(compare_slices(pair, mode="checkerboard", amount=8))[0]
    board = checkerboard(fixed.shape, (2.0, 2.0), 8)
    np.testing.assert_array_equal(mixed, np.where(board, moved, fixed))
    with pytest.raises(ValueError, match="wider than 0"):
        checkerboard((2, 2), (1.0, 1.0), 0)


@pytest.mark.parametrize("convention", ["radiological", "neurological"])
def test_a_wipe_shows_the_fixed_image_on_the_left_of_the_screen(pair: Compared, convention) -> None:
    fig = compare_slices(pair, mode="wipe", amount=0.3, convention=convention)
    fixed, _ = shown(compare_slices(pair, mode="side by side"))
    same = (shown(fig)[0] == fixed).all(0)
    low, high = fig.layout.xaxis.range
    on_screen = same if low < high else same[::-1]  # columns from left to right
    assert on_screen[:3].all() and not on_screen[3:].any()


def test_flicker_has_a_frame_of_each_image_and_moves_only_when_asked(pair: Compared) -> None:
    fig = compare_slices(pair, mode="flicker")
    fixed, moved = shown(compare_slices(pair, mode="side by side"))
    assert [f.name for f in fig.frames] == ["Fixed", "Registered"]
    for frame, image in zip(fig.frames, (fixed, moved), strict=True):
        np.testing.assert_array_equal(np.asarray(frame.data[0].z), image)
    assert [b.method for b in fig.layout.updatemenus[0].buttons] == ["animate"] * 3


def test_a_difference_of_equal_images_is_nothing(pair: Compared) -> None:
    same = Compared(pair.fixed, pair.fixed)
    assert np.abs(shown(compare_slices(same, mode="difference"))[0]).max() == 0


def test_labels_are_red_lines_and_blue_dashes_in_every_panel(pair: Compared) -> None:
    fig = compare_slices(pair, mode="side by side", voxel=(3, 4, 2))
    looks = [(t.xaxis, t.line.color, t.line.dash) for t in fig.data if t.name == "contour"]
    assert sorted(looks) == sorted([(x, c, d) for x in ("x", "x2") for c, d in ((RED, "solid"), (BLUE, "5px,3px"))])


def test_a_contour_lies_half_way_between_voxels() -> None:
    mask = np.zeros((5, 6), bool)
    mask[1:4, 0:3] = True  # reaches the edge of the slice
    x, y = contour(mask)
    assert np.nanmin(x) == -0.5 and np.nanmax(x) == 2.5 and np.nanmin(y) == 0.5 and np.nanmax(y) == 3.5
    assert contour(np.zeros((3, 3), bool))[0].size == 0


def test_panels_share_one_scale_in_mm() -> None:
    boxes = {"axial": np.array([[0, 40], [0, 60.0]]), "coronal": np.array([[0, 40], [0, 20.0]])}
    drawn = sheet([["axial", "coronal"]], boxes)
    inner = drawn.height - drawn.fig.layout.margin.t - drawn.fig.layout.margin.b
    for panel, name in zip(drawn.panels, ("axial", "coronal"), strict=True):
        x, y = (drawn.fig.layout[f"{a}axis{panel.x[1:]}"].domain for a in "xy")
        across, up = boxes[name][:, 1]
        assert (x[1] - x[0]) * 1000 / across == pytest.approx((y[1] - y[0]) * inner / up, rel=0.01)


def test_the_box_is_that_of_the_labels_with_a_margin(pair: Compared) -> None:
    from workbench.figures.planes import PLANES

    box = box_around(pair.fixed, [pair.fixed_labels], PLANES["axial"], 3.0)
    np.testing.assert_allclose(box, [[2 * 2 - 3, 4 * 2 + 3], [3 * 2 - 3, 6 * 2 + 3]])
    whole = box_around(pair.fixed, [np.zeros(SHAPE)], PLANES["axial"], 3.0)
    np.testing.assert_allclose(whole, [[-1, 19], [-1, 23]])


def test_three_slices_go_through_the_labels(pair: Compared) -> None:
    assert all(1 <= s < 5 for s in three_slices(pair.fixed_labels, SHAPE, 2))
    assert len(set(three_slices(np.zeros(SHAPE), SHAPE, 1))) == 3


def test_what_does_not_fit_is_said(pair: Compared) -> None:
    with pytest.raises(ValueError, match="registered labels"):
        Compared(pair.fixed, pair.registered, None, np.zeros((2, 2, 2)))
    with pytest.raises(LookupError, match="mode of"):
        compare_slices(pair, mode="magic")  # type: ignore[arg-type]
