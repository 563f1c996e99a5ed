"""Labels about centers by brute force, and centers by class counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import SettingsError
from workbench.imaging.subject import Subject
from workbench.patches.prepared import Prepared
from workbench.patches.store import PatchStore

MAPS = {  # z = 0 alone; class 2 is missing in b, and c has only what is not to be learned beside class 3
    "a": [[0, 0, 0, 0], [1, 1, 1, 2], [-1, -1, 2, 3]],
    "b": [[0, 0], [1, 1], [0, 3]],
    "c": [[-1, -1, -1], [3, 3, -1]],
}


@pytest.fixture
def store(tmp_path: Path) -> PatchStore:
    return build(tmp_path, "ab")


def build(folder: Path, names: str) -> PatchStore:
    def prepare(subject: Subject) -> Prepared:
        labels = np.array(MAPS[subject.name])[..., None]
        return Prepared(np.arange(labels.size, dtype=np.float32).reshape(1, *labels.shape), labels=labels)

    return PatchStore.build([Subject(n) for n in names], prepare, folder / names, key="k", margin=2)


def drawn_labels(store: PatchStore, n: int, shares: dict[int, float] | None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    drawn = store.draw(n, (1, 1, 1), rng, "balanced", shares=store.label_maps.shares(shares))
    return drawn.subject_index, store.labels_at(drawn.subject_index, drawn.centers)


def test_values_are_each_subjects_labels(store: PatchStore) -> None:
    assert store.label_maps.values.tolist() == [-1, 0, 1, 2, 3, 0, 1, 3]


def test_classes_come_by_their_shares(store: PatchStore) -> None:
    n = 20_000
    which, labels = drawn_labels(store, n, {0: 0.4, 1: 0.3, 2: 0.2, 3: 0.1})
    a = np.bincount(labels[which == 0], minlength=4) / (which == 0).sum()
    assert np.allclose(a, [0.4, 0.3, 0.2, 0.1], atol=4 * np.sqrt(0.25 / (n / 2)))
    b = np.bincount(labels[which == 1], minlength=4) / (which == 1).sum()
    assert np.allclose(b, [0.5, 0.375, 0, 0.125], atol=4 * np.sqrt(0.25 / (n / 2))), "the others share what 2 leaves"


def test_without_shares_classes_are_alike_and_what_is_ignored_is_never_drawn(store: PatchStore) -> None:
    n = 20_000
    which, labels = drawn_labels(store, n, None)
    assert labels.min() == 0
    assert np.allclose(np.bincount(labels[which == 0]) / (which == 0).sum(), 0.25, atol=0.02)
    assert np.allclose(np.bincount(labels[which == 1])[[0, 1, 3]] / (which == 1).sum(), 1 / 3, atol=0.02)


def test_a_class_without_a_share_is_never_drawn(store: PatchStore) -> None:
    _, labels = drawn_labels(store, 5000, {1: 2, 3: 1, 9: 5, 0: 0})
    assert set(labels) == {1, 3} and abs((labels == 1).mean() - 2 / 3) < 0.03


def test_every_voxel_of_a_class_is_equally_likely(store: PatchStore) -> None:
    drawn = store.draw(9000, (1, 1, 1), np.random.default_rng(1), "balanced", shares=store.label_maps.shares({1: 1.0}))
    voxels, counts = np.unique(drawn.centers[drawn.subject_index == 0], axis=0, return_counts=True)
    assert voxels.tolist() == [[1, 0, 0], [1, 1, 0], [1, 2, 0]] and counts.min() > 1300


@pytest.mark.parametrize(
    ("names", "shares", "sentence"),
    [
        ("ab", {0: -1.0, 1: 2.0}, "must not be negative, nor all 0"),
        ("ab", {0: 0.0}, "must not be negative, nor all 0"),
        ("ab", {}, "must not be negative, nor all 0"),
        ("ab", {2: 1.0, 7: 1.0}, "Subject b has no voxel with label 2 or 7, so no patch"),
        ("c", {0: 1.0, 1: 1.0}, "Subject c has no voxel with label 0 or 1"),
    ],
)
def test_impossible_shares_are_sentences(tmp_path: Path, names: str, shares: dict, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        build(tmp_path, names).label_maps.shares(shares)


def test_some_of_each_is_a_quota_without_repeats(store: PatchStore) -> None:
    which, centers = store.label_maps.some_of_each(2, np.random.default_rng(0))
    rows = list(zip(which.tolist(), map(tuple, centers.tolist()), strict=True))
    assert len(set(rows)) == len(rows) == store.label_maps.n_of_each(2) == 2 + 2 + 2 + 1 + 2 + 2 + 1
    labels = store.labels_at(which, centers)
    assert np.bincount(labels[which == 0]).tolist() == [2, 2, 2, 1]
    assert np.bincount(labels[which == 1]).tolist() == [2, 2, 0, 1]
    assert store.label_maps.n_of_each(100) == 16, "all but what is ignored"
    first = {tuple(store.label_maps.some_of_each(1, np.random.default_rng(s))[1][0]) for s in range(30)}
    assert len(first) > 5, "in random order"


def test_labels_about_centers_by_brute_force(make_store: Callable[..., PatchStore]) -> None:
    store, rng = make_store(), np.random.default_rng(0)
    drawn = store.draw(40, (3, 3, 3), rng)
    first, n, step = (-3, 0, -1), (4, 3, 1), 2
    found = store.label_maps.about(drawn.subject_index, drawn.centers, first, n, step)
    assert found.shape == (40, 4, 3, 1) and found.dtype == np.int64
    for b, (which, center) in enumerate(zip(drawn.subject_index, drawn.centers, strict=True)):
        for i in np.ndindex(*n):
            x, y, z = center + np.array(first) + step * np.array(i)
            inside = all(0 <= v < e for v, e in zip((x, y, z), store.shapes[which], strict=True))
            assert found[(b, *i)] == ((x == 1) + 2 * (x == 2) if inside else -1)
    assert (found == -1).any() and (found == 2).any()


def test_a_subject_without_labels_is_named(tmp_path: Path) -> None:
    def prepare(subject: Subject) -> Prepared:
        image = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
        return Prepared(image, labels=None if subject.name == "b" else (image[0] > 3).astype(int))

    store = PatchStore.build([Subject("a"), Subject("b")], prepare, tmp_path / "store", key="k", margin=1)
    with pytest.raises(SettingsError, match="Segmentation learns from label maps and b has none"):
        _ = store.label_maps
