"""Splits: no group on two sides, nobody lost, the same for the same names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cohort_maker import table_cohort

from workbench.errors import CohortError
from workbench.imaging.cohort import Cohort
from workbench.imaging.splits import PARTS, Split, check_split, folds, group_of, split_by_group


def random_cohort(folder: Path, rng: np.random.Generator) -> Cohort:
    n, n_groups = int(rng.integers(6, 60)), int(rng.integers(4, 20))
    rows = [
        {"name": f"s{i}", "group": f"g{i if i < 4 else rng.integers(n_groups)}", "target": str(i % 2)} for i in range(n)
    ]
    return table_cohort(folder, rows)


def shuffled(cohort: Cohort, rng: np.random.Generator) -> Cohort:
    return replace(cohort, subjects=tuple(cohort.subjects[i] for i in rng.permutation(len(cohort))))


def test_any_cohort_is_divided_without_loss_or_leak(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for trial in range(60):
        cohort = random_cohort(tmp_path / str(trial), rng)
        split = split_by_group(cohort, (0.6, 0.2, 0.2), seed=trial)
        names = [name for part in PARTS for name in split.part(part)]
        assert sorted(names) == sorted(s.name for s in cohort)
        assert all(split.part(part) for part in PARTS)
        check_split(cohort, split)
        again = split_by_group(shuffled(cohort, rng), (0.6, 0.2, 0.2), seed=trial)
        assert again == split and again.hash == split.hash


def test_shares_are_met_to_the_size_of_a_group(tmp_path: Path) -> None:
    cohort = table_cohort(tmp_path, [{"name": f"s{i:03d}"} for i in range(200)])
    split = split_by_group(cohort, (0.7, 0.15, 0.15), seed=3)
    assert [len(split.part(p)) for p in PARTS] == [140, 30, 30]
    assert split_by_group(cohort, (0.7, 0.15, 0.15), seed=4).hash != split.hash
    assert split_by_group(cohort, (0.8, 0.0, 0.2)).validation == ()


def test_every_subject_can_come_into_every_part(tmp_path: Path) -> None:
    cohort = table_cohort(tmp_path, [{"name": f"s{i}"} for i in range(5)])
    tested = {name for seed in range(60) for name in split_by_group(cohort, (0.6, 0.2, 0.2), seed).test}
    assert tested == {f"s{i}" for i in range(5)}


def test_too_few_groups_are_told(tmp_path: Path) -> None:
    cohort = table_cohort(tmp_path, [{"name": f"s{i}", "group": f"g{i % 2}"} for i in range(9)])
    with pytest.raises(CohortError, match="has 2 groups to divide into train, validation, test; it needs at least 3"):
        split_by_group(cohort)
    assert split_by_group(cohort, (0.5, 0, 0.5)).test


def test_the_split_column_is_honoured(tmp_path: Path) -> None:
    rows = [{"name": f"s{i}", "split": "test" if i < 3 else ""} for i in range(10)]
    split = split_by_group(table_cohort(tmp_path, rows))
    assert split.test == ("s0", "s1", "s2") and split.validation and len(split.train) + len(split.validation) == 7
    fixed = [{"name": n, "split": p} for n, p in (("a", "Training"), ("b", "val"), ("c", "test"), ("d", ""))]
    split = split_by_group(table_cohort(tmp_path / "fixed", fixed), (0.1, 0.1, 0.8))
    assert split == Split(("a", "d"), ("b",), ("c",))


def test_a_group_follows_its_fixed_member(tmp_path: Path) -> None:
    rows = [{"name": "a1", "group": "a", "split": "test"}, {"name": "a2", "group": "a"}] + [
        {"name": f"s{i}"} for i in range(4)
    ]
    assert split_by_group(table_cohort(tmp_path, rows)).test == ("a1", "a2")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"name": "a", "split": "holdout"}], "Subject a has split 'holdout'; expected train, validation or test"),
        (
            [{"name": "a", "group": "g", "split": "train"}, {"name": "b", "group": "g", "split": "test"}],
            "puts group g in train and in test",
        ),
        ([{"name": "a", "split": "test"}], "puts nobody in train"),
    ],
)
def test_a_wrong_split_column_is_told(tmp_path: Path, rows: list[dict[str, str]], sentence: str) -> None:
    with pytest.raises(CohortError, match=sentence):
        split_by_group(table_cohort(tmp_path, rows))


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_shares_must_make_sense(tmp_path: Path, fractions: tuple[float, float, float]) -> None:
    with pytest.raises(CohortError, match="share"):
        split_by_group(table_cohort(tmp_path, [{"name": "a"}]), fractions)


@pytest.mark.parametrize("stratify", [False, True])
def test_folds_test_everybody_once_and_separate_no_group(tmp_path: Path, stratify: bool) -> None:
    rng = np.random.default_rng(1)
    cohort = table_cohort(
        tmp_path, [{"name": f"s{i:02d}", "group": f"g{i // 2}", "target": str(i // 2 % 2)} for i in range(40)]
    )
    splits = folds(cohort, 4, seed=2, stratify_by_target=stratify)
    assert sorted(n for split in splits for n in split.test) == sorted(s.name for s in cohort)
    for split in splits:
        check_split(cohort, split)
        if stratify:
            assert abs(2 * sum(cohort[n].target == "1" for n in split.test) - len(split.test)) <= 2  # one group
    assert folds(shuffled(cohort, rng), 4, 2, stratify) == splits != folds(cohort, 4, 3, stratify)


def test_impossible_folds_are_told(tmp_path: Path) -> None:
    cohort = table_cohort(tmp_path, [{"name": f"s{i}", "group": f"g{i % 3}"} for i in range(9)])
    for n_folds in (1, 4):
        with pytest.raises(CohortError, match=f"has 3 groups: expected between 2 and 3 folds, got {n_folds}"):
            folds(cohort, n_folds)
    with pytest.raises(CohortError, match=r"9 subjects .* have no target \(s0 is one\)"):
        folds(cohort, 3, stratify_by_target=True)


def test_a_leak_names_the_group(tmp_path: Path) -> None:
    cohort = table_cohort(tmp_path, [{"name": "a", "group": "g"}, {"name": "b", "group": "g"}, {"name": "c"}])
    with pytest.raises(CohortError, match="Group g leaks: a is in train and b in test"):
        check_split(cohort, Split(("a", "c"), (), ("b",)))
    with pytest.raises(CohortError, match="Subject a is named twice"):
        check_split(cohort, Split(("a", "a")))
    with pytest.raises(CohortError, match="nobody to train on"):
        check_split(cohort, Split((), (), ("a",)))
    with pytest.raises(CohortError, match="no subject 'z'"):
        check_split(cohort, Split(("z",)))
    check_split(cohort, Split(("a", "b"), (), ("c",)))


def test_the_hash_tells_sets_and_parts_apart() -> None:
    assert Split(("a", "b"), (), ("c",)).hash == Split(("b", "a"), (), ("c",)).hash
    others = [
        Split(("a",), ("b",), ("c",)),
        Split(("a", "b", "c")),
        Split(("ab",), (), ("c",)),
        Split(("a", "b"), ("c",)),
    ]
    assert len({s.hash for s in [*others, Split(("a", "b"), (), ("c",))]}) == 5
    split = others[0]
    assert Split.from_dict(split.to_dict()) == split  # type: ignore[arg-type]
    assert group_of.__doc__
    with pytest.raises(LookupError, match="known: train, validation, test"):
        split.part("dev")
