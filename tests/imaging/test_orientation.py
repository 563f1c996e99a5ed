import numpy as np
import pytest

from workbench.errors import GeometryError
from workbench.imaging.orientation import check_affine, from_ras, grid_of, place, to_ras

LPI = np.array([[0.0, -2, 0, 9], [-1, 0, 0, 8], [0, 0, -3, 7], [0, 0, 0, 1]])  # stored axes run to P, L, I


def test_a_drawn_example():
    stored = np.arange(2 * 3 * 1).reshape(2, 3, 1)  # I runs backwards, J to the left
    ras, affine = to_ras(stored, LPI)
    assert ras[..., 0].tolist() == [[5, 2], [4, 1], [3, 0]]  # X to the right, Y to the front
    assert affine[:3, 3].tolist() == [5, 7, 7] and np.diag(affine).tolist() == [2, 1, 3, 1]


def test_there_and_back_is_the_same_memory():
    stored = np.random.default_rng(0).normal(size=(4, 2, 3, 5))
    back = from_ras(to_ras(stored, LPI)[0], grid_of((2, 3, 5), LPI))
    assert np.array_equal(back, stored) and np.shares_memory(back, stored)


def test_place_remembers_the_lattice():
    volume = place(np.zeros((1, 2, 3, 5)), LPI, "T1", "a.nii")
    assert volume.shape == (3, 2, 5) and volume.grid.shape == (2, 3, 5) and volume.grid.codes == "PLI"
    assert volume.data.dtype == np.float32 and volume.data.flags.c_contiguous


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({(0, 0): np.inf}, "not numbers"),
        ({(2, 2): 0.0}, r"1 × 1 × 0 mm"),
        ({(0, 0): 1e7}, r"1e\+07 × 1 × 1 mm"),
        ({(1, 0): 1e6, (0, 0): 0}, r"expected sizes between 1e-06 and 10000 mm"),
        ({(0, 1): 1.0, (1, 1): 1e-5}, "fall together"),
        ({(0, 3): 1e12}, "does not span space"),
    ],
)
def test_affines_that_are_refused(changes, words):
    affine = np.eye(4)
    for place_, value in changes.items():
        affine[place_] = value
    with pytest.raises(GeometryError, match=words):
        check_affine(affine, "a.nii")
