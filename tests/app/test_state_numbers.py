"""Shares, visits and intervals of paths of states, by hand and by law."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from workbench.app import state_numbers
from workbench.app.states_view import of_one_state, shown_rows, told
from workbench.classical import state_statistics

PATHS = (np.array([0, 0, 1, 1, 1, 0, 2, 2]), np.array([1, 1, 1, 1]))
VIEW = SimpleNamespace(paths=PATHS, subjects=("a", "b"), classes=("control", "patient"), tr_s=2.0)


def test_they_are_what_the_classical_statistics_say() -> None:
    rng = np.random.default_rng(0)
    paths = [rng.integers(0, 3, n) for n in (50, 80, 20)]
    assert np.allclose(state_numbers.shares(paths, 3), state_statistics.occupancy(paths, 3))
    for mine, theirs in zip(state_numbers.visits(paths, 3), state_statistics.dwell_times(paths, 3), strict=True):
        assert np.array_equal(mine, theirs)


def test_visits_that_the_ends_cut_are_left_out() -> None:
    assert [v.tolist() for v in state_numbers.visits(PATHS, 3)] == [[1], [3], []]


def test_a_visit_lasts_as_a_geometric_length_does() -> None:
    stay = np.array([[0.9, 0.1], [0.5, 0.5]])
    assert state_numbers.expected_visit(stay) == pytest.approx([10, 2])


def test_intervals_hold_the_mean_and_one_subject_has_none() -> None:
    table = state_numbers.share_table(VIEW, 3)
    assert table.groupby("subject")["share"].sum().tolist() == pytest.approx([1, 1])
    summary = state_numbers.share_summary(table)
    assert summary["low"].isna().all(), "a class of one subject shows no spread"
    values = np.tile(np.random.default_rng(1).uniform(0, 1, 40), 1)
    many = state_numbers.share_summary(table.iloc[[0] * 40].assign(share=values))
    assert many["low"].iloc[0] < values.mean() < many["high"].iloc[0]


def test_the_saved_paths_count_states_from_one_and_time_from_zero() -> None:
    table = state_numbers.path_table(VIEW)
    assert len(table) == 12 and table["state"].min() == 1
    assert table.iloc[7][["subject", "frame", "time_s", "state"]].tolist() == ["a", 8, 14.0, 3]
    assert "time_s" not in state_numbers.path_table(SimpleNamespace(**vars(VIEW) | {"tr_s": None}))


def test_a_highlighted_state_keeps_its_own_transitions_and_all_that_stay() -> None:
    given = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.1, 0.6]])
    kept = of_one_state(given, 1)
    assert np.array_equal(np.diag(kept), np.diag(given))
    assert (
        kept[0, 2] == kept[2, 0] == 0 and np.array_equal(kept[1], given[1]) and np.array_equal(kept[:, 1], given[:, 1])
    )


def test_few_rows_are_drawn_of_many_subjects_and_every_class_is_among_them() -> None:
    classes = ("control",) * 500 + ("patient",) * 500
    rows = shown_rows(classes, 100)
    assert len(rows) == 100 and sum(r >= 500 for r in rows) == 50
    assert shown_rows(("control", "patient")) == [0, 1]


@pytest.mark.parametrize(("held_out", "words"), [
    ([False, False], "learnt from all subjects"), ([True, True], "without the subject"), ([True, False], "1 of 2"),
])  # fmt: skip
def test_it_is_said_whether_the_paths_are_held_out(held_out: list[bool], words: str) -> None:
    assert words in told(SimpleNamespace(held_out=np.array(held_out), tr_s=2.0))


def test_without_a_repetition_time_nothing_is_said_in_seconds() -> None:
    assert "counted in volumes" in told(SimpleNamespace(held_out=np.array([False]), tr_s=None))
