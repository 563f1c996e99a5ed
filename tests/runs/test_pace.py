from __future__ import annotations

import pytest

from workbench.runs.pace import Pace
from workbench.runs.stages import StagePlan


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_remaining_time_covers_stages_not_yet_begun() -> None:
    clock = Clock()
    pace = Pace([StagePlan("a", 2, 10), StagePlan("b", 3, 20)], clock)
    assert pace.eta_s is None
    pace.begin_stage(StagePlan("a", 2, 10), 0)
    clock.now = 5.0
    pace.tick(10)  # half a second a batch; 10 + 60 remain
    assert pace.eta_s == pytest.approx(35.0)
    assert pace.fraction == pytest.approx(10 / 80)


def test_unknown_stages_count_like_the_present_one() -> None:
    clock = Clock()
    pace = Pace([StagePlan("a", 1), StagePlan("b", 2)], clock)
    pace.begin_stage(StagePlan("a", 1, 10), 0)
    clock.now = 1.0
    pace.tick(10)
    assert pace.eta_s == pytest.approx(2.0) and pace.fraction == pytest.approx(1 / 3)


def test_the_rate_follows_slowly() -> None:
    clock = Clock()
    pace = Pace([StagePlan("a", 1, 1000)], clock)
    pace.begin_stage(StagePlan("a", 1, 1000), 0)
    clock.now = 1.0
    pace.tick(10)
    clock.now = 2.0
    pace.tick(11)  # one slow batch must not multiply the estimate by ten
    assert pace.eta_s is not None and 989 * 0.1 < pace.eta_s < 989 * 0.2


def test_a_resumed_stage_measures_only_its_own_batches() -> None:
    clock = Clock()
    pace = Pace([StagePlan("a", 1, 100)], clock)
    pace.begin_stage(StagePlan("a", 1, 100), 90)
    clock.now = 1.0
    pace.tick(91)
    assert pace.eta_s == pytest.approx(9.0)


def test_completed_stages_count_as_done() -> None:
    pace = Pace([StagePlan("a", 5, 10), StagePlan("b", 5, 10)], Clock())
    pace.pass_stage("a", 50)
    assert pace.fraction == pytest.approx(0.5)
