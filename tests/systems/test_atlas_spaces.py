"""The space of one atlas: what the others say there, what is classified, what comes back."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.classical.boosted_trees import fit_boosted_trees
from workbench.imaging.volume import Volume
from workbench.registration.registered import Registered
from workbench.systems.atlas_spaces import (
    as_tensors,
    brought_back,
    from_tensors,
    largest_pieces,
    mean_dice,
    space_of,
    step_names,
)

SHAPE = (7, 6, 5)


def test_an_image_has_no_say_in_its_own_prior() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (4, *SHAPE))
    space = space_of(labels, 1.0, (1, 1, 1), 3)
    for k in range(3):
        np.testing.assert_allclose(space.prior(2)[k], (labels[[0, 1, 3]] == k).mean(0), atol=1e-6)
        np.testing.assert_allclose(space.prior()[k], (labels == k).mean(0), atol=1e-6)


def test_the_mask_is_what_is_labelled_and_a_band_in_mm() -> None:
    labels = np.zeros((2, 9, 9, 9), int)
    labels[0, 4, 4, 4] = 1
    mask = space_of(labels, 2.0, (1.0, 1.0, 2.0), 2).mask
    for place in np.ndindex(9, 9, 9):
        away = np.linalg.norm((np.array(place) - 4) * (1, 1, 2))
        assert mask[place] == (away <= 2.0), place


def test_a_sequence_survives_as_tensors() -> None:
    rng = np.random.default_rng(0)
    rows, classes = rng.normal(size=(300, 4)).astype(np.float32), rng.integers(0, 3, 300)
    sequence = [fit_boosted_trees(rows, classes, 3, n_rounds=n) for n in (2, 3)]
    tensors = as_tensors(sequence, "atlas-001") | as_tensors(sequence[:1], "atlas-002")
    again = from_tensors(tensors, "atlas-001")
    assert len(again) == 2 and len(from_tensors(tensors, "atlas-002")) == 1
    for before, after in zip(sequence, again, strict=True):
        np.testing.assert_array_equal(after.probabilities(rows), before.probabilities(rows))


def test_maps_come_back_where_they_belong_and_beyond_is_background() -> None:
    """The target lies two voxels along X and is longer than the atlas."""
    atlas = Volume.from_array(np.zeros(SHAPE))
    target = Volume.from_array(np.zeros((10, 6, 5)))
    shift = np.zeros((3, *SHAPE), np.float32)
    shift[0] = 2
    back = np.zeros((3, 10, 6, 5), np.float32)
    back[0] = -2
    linear = np.eye(4)
    linear[0, 3] = 2
    map_ = Registered("shift", atlas, target, linear, shift, back)
    maps = np.random.default_rng(0).dirichlet(np.ones(3), (2, *SHAPE)).transpose(0, 4, 1, 2, 3).astype(np.float32)
    found = brought_back(list(maps), map_)
    assert found.shape == (2, 3, 10, 6, 5)
    np.testing.assert_allclose(found[:, :, 2:9], maps, atol=1e-5)
    assert (found[:, 0, [0, 1, 9]] == 1).all() and (found[:, 1:, [0, 1, 9]] == 0).all()


def test_mean_dice_is_over_classes_that_are_there_and_voxels_that_are_known() -> None:
    truth = np.array([0, 1, 1, 2, -1]).reshape(5, 1, 1)
    said = np.array([1, 1, 0, 2, 1])
    maps = np.stack([said == k for k in range(4)]).astype(np.float32).reshape(1, 4, 5, 1, 1)
    assert mean_dice(maps, truth) == pytest.approx([(0.5 + 1.0) / 2])


def test_largest_pieces_keep_both_sides_and_drop_crumbs() -> None:
    classes = np.zeros((12, 4, 4), np.int32)
    classes[0:3] = 1
    classes[9:11] = 1
    classes[5, 0, 0] = 1
    classes[6, 2, 2] = 2
    kept = largest_pieces(classes)
    expected = classes.copy()
    expected[5, 0, 0] = 0
    np.testing.assert_array_equal(kept, expected)
    assert (largest_pieces(np.zeros((3, 3, 3), np.int32)) == 0).all()


def test_steps_are_named() -> None:
    assert step_names(3) == ("registered labels", "iteration 0", "iteration 1")
