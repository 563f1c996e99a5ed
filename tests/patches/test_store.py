from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import Cancelled, CohortError, SettingsError
from workbench.imaging.subject import Subject
from workbench.patches.prepared import Prepared
from workbench.patches.store import NEEDS, PatchStore, store_key

SUBJECTS = [Subject("one"), Subject("two")]
ONE = Prepared(np.arange(60, dtype=np.float32).reshape(1, 3, 4, 5))


def build(folder: Path, prepare: Callable[[Subject], Prepared], key: str = "k", **settings) -> PatchStore:
    return PatchStore.build(SUBJECTS, prepare, folder, key=key, margin=1, **settings)


def test_draws_are_the_voxels_about_their_centers(make_store) -> None:
    store = make_store()
    for sampler in NEEDS:
        drawn = store.draw(200, (3, 3, 3), np.random.default_rng(0), sampler)
        assert drawn.patches.shape == (200, 1, 3, 3, 3)
        expected = 1000 * (drawn.subject_index + 1) + drawn.centers @ [100, 10, 1]
        np.testing.assert_array_equal(drawn.patches[:, 0, 1, 1, 1], expected)


def test_samplers_keep_to_mask_labels_and_weights(make_store) -> None:
    store, rng = make_store(), np.random.default_rng(0)
    assert store.draw(300, (1, 1, 1), rng, "inside").centers[:, 0].max() == 2
    assert set(store.draw(300, (1, 1, 1), rng, "weighted").centers[:, 1]) == {2}
    drawn = store.draw(3000, (1, 1, 1), rng, "balanced")
    counts = np.bincount(store.labels_at(drawn.subject_index, drawn.centers))
    np.testing.assert_allclose(counts / 3000, 1 / 3, atol=0.04)


def test_subjects_are_equally_likely(make_store) -> None:
    drawn = make_store().draw(4000, (1, 1, 1), np.random.default_rng(0))
    assert np.mean(drawn.subject_index) == pytest.approx(0.5, abs=0.03)


def test_borders_are_zero_and_larger_patches_than_the_margin_still_right(make_store) -> None:
    small, large = (make_store(m).draw(50, (7, 7, 7), np.random.default_rng(0)) for m in (1, 4))
    np.testing.assert_array_equal(small.patches, large.patches)
    assert (large.patches == 0).any()


def test_three_planes_and_millimetres(make_store) -> None:
    store = make_store()
    drawn = store.draw(9, (3, 3, 3), np.random.default_rng(0), view="three_planes")
    assert drawn.patches.shape == (9, 3, 3, 3)
    np.testing.assert_allclose(store.centers_mm(drawn.subject_index, drawn.centers), drawn.centers * 2.0)


def test_the_same_key_opens_without_preparing(tmp_path: Path) -> None:
    def never(subject: Subject) -> Prepared:
        raise AssertionError("prepared again")

    build(tmp_path / "s", lambda s: ONE)
    store = build(tmp_path / "s", never)
    assert store.names == ["one", "two"]


def test_another_key_or_margin_or_subject_builds_again(tmp_path: Path) -> None:
    seen: list[str] = []

    def prepare(subject: Subject) -> Prepared:
        seen.append(subject.name)
        return ONE

    build(tmp_path / "s", prepare)
    build(tmp_path / "s", prepare, key="other")
    PatchStore.build(SUBJECTS, prepare, tmp_path / "s", key="other", margin=2)
    PatchStore.build(SUBJECTS[:1], prepare, tmp_path / "s", key="other", margin=2)
    assert len(seen) == 7


def test_a_damaged_store_is_built_again(tmp_path: Path) -> None:
    build(tmp_path / "s", lambda s: ONE)
    (tmp_path / "s" / "image.npy").unlink()
    assert len(build(tmp_path / "s", lambda s: ONE)) == 2
    (tmp_path / "s" / "store.json").write_text("{")
    assert len(build(tmp_path / "s", lambda s: ONE)) == 2


def test_key_changes_with_cohort_and_settings() -> None:
    keys = {
        store_key("a", {"x": 1, "y": 2}),
        store_key("a", {"y": 2, "x": 1}),
        store_key("b", {"x": 1, "y": 2}),
        store_key("a", {"x": 2, "y": 2}),
    }
    assert len(keys) == 3


def test_cancel_leaves_nothing_behind_and_an_older_store_alone(tmp_path: Path) -> None:
    def stop(fraction: float, message: str) -> None:
        if fraction > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        build(tmp_path / "s", lambda s: ONE, progress=stop)
    assert list(tmp_path.iterdir()) == []
    build(tmp_path / "s", lambda s: ONE)
    with pytest.raises(Cancelled):
        build(tmp_path / "s", lambda s: ONE, key="other", progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["s"]
    assert len(build(tmp_path / "s", lambda s: ONE, progress=stop)) == 2  # instant, so nothing to cancel


def broken(**changes) -> Prepared:
    return replace(ONE, **changes)


NAN = np.where(ONE.image == 7, np.nan, ONE.image)


@pytest.mark.parametrize(
    ("prepared", "sentence"),
    [
        (broken(image=NAN), "image of subject one has 1 voxels that are not finite numbers; repair"),
        (broken(image=np.zeros_like(ONE.image)), "subject one has the same value everywhere, so nothing"),
        (broken(mask=np.zeros((3, 4, 5), bool)), "mask of subject one is empty; draw it again"),
        (broken(mask=ONE.image[0] == 3), "same value everywhere inside its mask"),
        (broken(weights=np.zeros((3, 4, 5))), "weights of subject one are zero everywhere"),
    ],
)
def test_subjects_that_cannot_be_trained_on_are_sentences(tmp_path: Path, prepared: Prepared, sentence: str) -> None:
    with pytest.raises(CohortError, match=sentence):
        build(tmp_path / "s", lambda s: prepared)
    assert list(tmp_path.iterdir()) == []


def test_no_subject_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="no subject to take patches from"):
        PatchStore.build([], lambda s: ONE, tmp_path / "s", key="k", margin=0)


@pytest.mark.parametrize("sampler", ["inside", "balanced", "weighted"])
def test_what_a_sampler_lacks_is_a_sentence(tmp_path: Path, sampler) -> None:
    store = build(tmp_path / "s", lambda s: ONE)
    with pytest.raises(SettingsError, match=f"The {sampler} sampler needs .* for every subject and one has none"):
        store.check_sampler(sampler)
