"""Two label maps: the counts and boxes of any structure are those of its masks."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.errors import CohortError
from workbench.metrics.label_pair import LabelPair, label_values, whole_numbers
from workbench.metrics.overlap import overlap


def maps(values: list[int], seed: int = 0, kind: type = np.int64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first, second = (rng.choice(np.asarray(values, kind), (8, 7, 6)) for _ in range(2))
    return first, second


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 1, 2, 3], np.uint8),
        ([0, 1, 2, 3], np.uint64),
        ([-1, 0, 2, 5], np.int8),
        ([0, 3, 17, 2_000_000_000], np.int64),
        ([-(2**40), 0, 3, 2**40], np.int64),
    ],
)
def test_the_table_counts_what_the_masks_share(values: list[int], kind: type):
    predicted, truth = maps(values, kind=kind)
    inside = np.random.default_rng(3).random(truth.shape) < 0.6
    for within in (None, inside):
        pair = LabelPair.of((predicted, truth), values, within)
        for members in ([values[1]], values[:2], values[-1:], values):
            masks = np.isin(predicted, members), np.isin(truth, members)
            assert vars(pair.overlap(members)) == pytest.approx(vars(overlap(*masks, within)), nan_ok=True)
            n_common = np.count_nonzero(masks[0] & masks[1] if within is None else masks[0] & masks[1] & within)
            assert np.count_nonzero(np.logical_and(*pair.masks(members))) == n_common > 0


def test_values_that_nobody_asks_for_are_the_outside_and_missing_ones_are_empty():
    predicted, truth = maps([0, 1, 2, 9])
    pair = LabelPair.of((predicted, truth), [2, 4], None)
    assert pair.overlap([2]) == overlap(predicted == 2, truth == 2)
    missing = pair.overlap([4])
    assert (missing.n_true, missing.n_predicted) == (0, 0) and not any(mask.any() for mask in pair.masks([4]))
    nothing = LabelPair.of(maps([0, 3, 2**40]), [], None)
    assert nothing.table.tolist() == [[predicted.size]]


def test_a_box_holds_both_masks_and_a_margin():
    predicted, truth = np.zeros((2, 20, 20, 1), np.int16)
    predicted[4, 5, 0], truth[9, 7, 0], truth[0, 0, 0] = 2, 2, 1
    first, second = LabelPair.of((predicted, truth), [1, 2], None).masks([2])
    assert first.shape == (8, 5, 1) and np.argwhere(first).tolist() == [[1, 1, 0]]
    assert np.argwhere(second).tolist() == [[6, 3, 0]]


def test_more_than_a_byte_of_labels():
    values = list(range(400))
    predicted, truth = np.random.default_rng(0).integers(0, 400, (2, 30, 20, 20))
    pair = LabelPair.of((predicted, truth), values[1:], None)
    for value in (1, 255, 256, 399):
        assert vars(pair.overlap([value])) == pytest.approx(
            vars(overlap(predicted == value, truth == value)), nan_ok=True
        )


@pytest.mark.parametrize("values", [[0, 3, 7], [-5, 0, 2], [0, 1, 2**40], [4]])
def test_values_of_maps(values: list[int]):
    assert label_values(*maps(values)) == [value for value in values if value]


def test_labels_are_whole_numbers():
    assert whole_numbers(np.array([0.0, 3.0, -1.0], np.float32), "map").tolist() == [0, 3, -1]
    assert whole_numbers(np.array([True, False]), "map").tolist() == [1, 0]
    with pytest.raises(CohortError, match=r"The map holds 0.5, but labels are whole numbers; give the labels"):
        whole_numbers(np.array([0, 1, 0.5]), "map")
    for bad in (np.nan, np.inf):
        with pytest.raises(CohortError, match=str(bad)):
            whole_numbers(np.array([0, bad]), "map")
