"""Cutting whole images to their region, and the threshold and scores of what a network says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from workbench.errors import CohortError
from workbench.imaging.subject import Subject
from workbench.patches.prepared import Prepared
from workbench.patches.store import PatchStore
from workbench.systems.whole_images import THRESHOLDS, apply_whole, best_threshold, box_about, scores_at, whole_images


class Said(nn.Module):
    """Gives the first channel for a probability."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1]


def store_of(tmp_path: Path, *parts: tuple[np.ndarray, np.ndarray, np.ndarray]) -> PatchStore:
    subjects = [Subject(f"s{i}", {}) for i in range(len(parts))]
    made = iter(parts)
    return PatchStore.build(
        subjects, lambda _: Prepared(*(a for a in next(made))), tmp_path / "store", key="k", margin=0
    )  # fmt: skip


def part(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give an image of two channels, a region in its middle, and classes."""
    rng = np.random.default_rng(seed)
    region = np.zeros(shape, bool)
    region[2:-3, 3:-2, 2:-2] = rng.random(np.subtract(shape, (5, 5, 4))) > 0.2
    return rng.random((2, *shape), np.float32), region, (rng.random(shape) > 0.8).astype(np.int32)


def test_a_box_holds_the_region_with_its_margin_and_is_large_enough() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        shape, margin, least = rng.integers(1, 12, 3), rng.integers(0, 4, 3), rng.integers(1, 14, 3)
        region = np.zeros(shape, bool)
        region[tuple(rng.integers(0, shape, (rng.integers(1, 4), 3)).T)] = True
        box = box_about(region, margin, least)
        assert region[box].sum() == region.sum()
        for s, where, m, k, n in zip(box, np.nonzero(region), margin, least, shape, strict=True):
            low, high = max(0, where.min() - m), min(n, where.max() + 1 + m)
            assert 0 <= s.start <= low and high <= s.stop <= n
            assert s.stop - s.start == max(high - low, min(k, n)), "no larger than it must be"


def test_images_are_cut_alike_and_outside_the_region_nothing_is_learnt(tmp_path: Path) -> None:
    parts = [part((9, 11, 10), 0), part((12, 8, 9), 1)]
    store = store_of(tmp_path, *parts)
    images, labels = whole_images(store, (1, 0, 1), (3, 3, 3))
    for (image, region, classes), cut, label in zip(parts, images, labels, strict=True):
        box = box_about(region, (1, 0, 1), (3, 3, 3))
        np.testing.assert_array_equal(cut, image[(slice(None), *box)])
        np.testing.assert_array_equal(label, np.where(region, classes, -1)[box])
        assert np.prod(label.shape) < np.prod(region.shape)
    for i, (_, region, _) in enumerate(parts):
        np.testing.assert_array_equal(store.inside(i), region)


def test_an_image_below_the_kernels_is_named(tmp_path: Path) -> None:
    store = store_of(tmp_path, part((9, 11, 10), 0), part((12, 8, 9), 1))
    with pytest.raises(CohortError, match="images of at least 10 × 3 × 3 voxels, and s0 has 9 × 11 × 10"):
        whole_images(store, (0, 0, 0), (10, 3, 3))


def test_a_network_is_applied_to_the_box_alone() -> None:
    image, region, _ = part((9, 11, 10), 0)
    seen = []

    class Watching(Said):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(x.shape[2:]))
            return super().forward(x)

    found = apply_whole(Watching(), image, region, (1, 1, 1), (3, 3, 3))
    np.testing.assert_array_equal(found[0][region], image[0][region])
    assert found.shape == (1, 9, 11, 10) and found[0, 0, 0, 0] == 0
    assert set(seen) == {region[box_about(region, (1, 1, 1), (3, 3, 3))].shape}


def test_the_threshold_is_the_best_in_the_mean_over_subjects_with_lesions() -> None:
    rng = np.random.default_rng(3)
    images, labels = [], []
    for level in (0.31, 0.47, 0.6):
        truth = rng.random((6, 7, 8)) > 0.7
        p = np.clip(np.where(truth, level, level - 0.2) + rng.normal(0, 0.08, truth.shape), 0, 1)
        images.append(p[None].astype(np.float32))
        labels.append(np.where(rng.random(truth.shape) > 0.9, -1, truth).astype(np.int32))
    images.append(np.full((1, 6, 7, 8), 0.99, np.float32))  # nobody's lesion: it has no say
    labels.append(np.zeros((6, 7, 8), np.int32))
    dice = []
    for t in THRESHOLDS:
        each = []
        for p, s in zip(images[:3], labels[:3], strict=True):
            a, b = (p[0] >= np.float32(t))[s >= 0], (s > 0)[s >= 0]
            each.append(2 * (a & b).sum() / (a.sum() + b.sum()))
        dice.append(np.mean(each))
    best = THRESHOLDS[int(np.argmax(dice))]
    assert best_threshold(Said(), images, labels) == best and best not in (THRESHOLDS[0], THRESHOLDS[-1], 0.5)


def test_without_anything_to_find_the_threshold_is_one_half() -> None:
    image, nothing = np.full((1, 3, 3, 3), 0.4, np.float32), np.zeros((3, 3, 3), np.int32)
    assert best_threshold(Said(), [image], [nothing]) == 0.5
    lesion = nothing.copy()
    lesion[1, 1, 1] = 1
    assert best_threshold(Said(), [image * 0], [lesion]) == 0.5


def test_scores_are_means_over_images_at_the_threshold() -> None:
    truth = np.zeros((2, 2, 2), np.int32)
    truth[0] = 1  # 4 of 8
    p = np.zeros((1, 2, 2, 2), np.float32)
    p[0, 0, 0], p[0, 1, 0, 0] = 0.6, 0.4  # 2 right at 0.5; one wrong besides at 0.3
    nothing = np.zeros_like(truth)
    at_half = scores_at(Said(), [p, p * 0], [truth, nothing], 0.5, "lesion")
    assert at_half["dice lesion"] == pytest.approx(2 / 3), "an image without both has no Dice"
    assert at_half["voxel accuracy"] == pytest.approx((6 / 8 + 1) / 2)
    assert at_half["sensitivity lesion"] == 0.5 and at_half["specificity lesion"] == 1
    lower = scores_at(Said(), [p], [truth], 0.3, "lesion")
    assert lower["dice lesion"] == pytest.approx(4 / 7) and lower["specificity lesion"] == 0.75
    ignored = np.where(np.arange(8).reshape(2, 2, 2) == 4, -1, truth)
    assert scores_at(Said(), [p], [ignored], 0.3, "lesion")["specificity lesion"] == 1
