"""The rate by hand, and the plateau rule against the rule written out over the whole list of losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.errors import SettingsError
from workbench.tasks.schedules import Plateau, Schedule


def test_a_linear_fall_begins_at_1_and_ends_at_the_end() -> None:
    """Pereira: 3e-3 down to 3e-5."""
    schedule = Schedule("linear", n_steps=101, end=0.01)
    shares = [schedule.share(step) for step in range(110)]
    assert shares[0] == 1 and shares[100] == pytest.approx(0.01) == shares[109]
    assert np.allclose(np.diff(shares[:101]), -0.0099)
    whole = Schedule("linear")
    assert whole.share(49, n_total=50) == pytest.approx(0.01) and whole.share(0, n_total=1) == 1
    with pytest.raises(SettingsError, match="over how many steps"):
        whole.share(3)


def test_steps_and_constant() -> None:
    steps = Schedule("steps", n_steps=10, factor=0.1)
    assert [steps.share(s) for s in (0, 9, 10, 19, 20)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert {Schedule().share(s) for s in (0, 10**6)} == {1.0}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kind": "cosine"}, "must be one of constant, linear, steps, plateau; got 'cosine'"),
        ({"kind": "steps"}, "steps schedule needs at least 1 step; got 0"),
        ({"kind": "plateau"}, "plateau schedule needs at least 1 step"),
        ({"kind": "linear", "n_steps": -1}, "needs at least 1 step"),
        ({"factor": 0.0}, "factor must be above 0 and at most 1"),
        ({"end": 1.5}, "end must be above 0"),
        ({"floor": -1.0}, "floor must be above 0"),
        ({"window": 0}, "window must be at least 1"),
        ({"n_stalled": -1}, "stall at least 0"),
    ],
)
def test_impossible_schedules_are_sentences(settings: dict, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        Schedule(**settings)


def written_out(losses: list[float], n_steps: int, window: int, factor: float) -> list[float]:
    """Give the share after each loss, from the list of running means alone."""
    shares, share, best, waited_from = [], 1.0, np.inf, 0
    for t in range(1, len(losses) + 1):
        if t >= window:
            running = np.float32(np.mean(np.float32(losses[t - window : t]).astype(float)))
            if running < best:
                best, waited_from = running, t
            elif t - waited_from >= n_steps:
                share, waited_from = share * factor, t
        shares.append(share)
    return shares


@pytest.mark.parametrize("seed", range(4))
def test_the_plateau_rule_is_the_rule_written_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    falling = np.exp(-np.arange(300) / 60)
    losses = (falling * (1 + 0.5 * rng.normal(size=300))).tolist()
    plateau = Plateau(Schedule("plateau", n_steps=12, window=10))
    shares = []
    for loss in losses:
        plateau.add(torch.tensor(loss))
        shares.append(plateau.share)
    assert shares == written_out(losses, 12, 10, 0.5)
    assert 0 < shares[-1] < 1


def test_equal_losses_are_no_improvement_and_halve_at_the_expected_steps() -> None:
    plateau = Plateau(Schedule("plateau", n_steps=7, window=5, factor=0.5, floor=0.2, n_stalled=0))
    halved = []
    for t in range(1, 31):
        before = plateau.share
        plateau.add(torch.tensor([0.1, 0.7, 0.3, 0.9, 0.2][t % 5]))  # the running mean is the same from 5 on
        halved += [t] if plateau.share < before else []
        assert plateau.has_ended == (plateau.share <= 0.2)
    assert halved == [12, 19, 26]


def test_nothing_happens_while_the_loss_falls() -> None:
    plateau = Plateau(Schedule("plateau", n_steps=2, window=3, n_stalled=4))
    for t in range(50):
        plateau.add(torch.tensor(1.0 / (t + 1)))
    assert plateau.share == 1 and not plateau.has_ended


def test_training_ends_after_a_stall_or_at_the_floor() -> None:
    stalled = Plateau(Schedule("plateau", n_steps=100, window=3, n_stalled=6))
    ends = []
    for _ in range(12):
        stalled.add(torch.tensor(0.5))
        ends.append(stalled.has_ended)
    assert ends.index(True) + 1 == 3 + 6 and all(ends[8:])
    low = Plateau(Schedule("plateau", n_steps=1, window=1, factor=0.1, floor=1e-3, n_stalled=0))
    for _ in range(4):
        assert not low.has_ended
        low.add(torch.tensor(0.5))
    assert low.has_ended and low.share == pytest.approx(1e-3)


def test_its_buffers_are_all_of_its_state() -> None:
    losses = torch.rand(60, generator=torch.Generator().manual_seed(1))
    schedule = Schedule("plateau", n_steps=5, window=8)
    whole, first, second = Plateau(schedule), Plateau(schedule), Plateau(schedule)
    for loss in losses:
        whole.add(loss)
    for loss in losses[:29]:
        first.add(loss)
    second.load_state_dict(first.state_dict())
    for loss in losses[29:]:
        second.add(loss)
    assert whole.share < 1
    assert all(torch.equal(a, b) for a, b in zip(whole.buffers(), second.buffers(), strict=True))
