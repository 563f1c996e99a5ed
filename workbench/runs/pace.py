"""How much of all stages is done, and when they will be finished."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from workbench.runs.stages import StagePlan

SMOOTHING_S = 20.0
MIN_SPAN_S = 0.25


class Pace:
    """A smoothed rate of batches, and the batches that remain in all stages.

    The rate forgets with a time constant of 20 s, and its clock runs through validation and checkpoints too, so their
    share is in the estimate. Stages that have not begun count with their announced batches, or with those of the
    present stage, at the present rate.
    """

    def __init__(self, plans: Sequence[StagePlan], clock: Callable[[], float] = time.monotonic) -> None:
        self._plans = {plan.name: plan for plan in plans}
        self._done: dict[str, int] = {}
        self._clock = clock
        self._stage = plans[0].name if plans else ""
        self._seconds_per_step: float | None = None
        self._mark: tuple[float, int] | None = None

    def pass_stage(self, name: str, n_steps: int) -> None:
        """Count a stage as done with its batches."""
        self._plans[name] = StagePlan(name, 1, n_steps)
        self._done[name] = n_steps

    def begin_stage(self, plan: StagePlan, n_steps_done: int) -> None:
        """Begin or resume a stage whose size is now known."""
        self._plans[plan.name] = plan
        self._stage = plan.name
        self._done[plan.name] = n_steps_done
        self._mark = (self._clock(), n_steps_done)

    def tick(self, n_steps_done: int) -> None:
        """Note how many batches of the present stage are done."""
        self._done[self._stage] = n_steps_done
        now = self._clock()
        if self._mark is None or now - self._mark[0] < MIN_SPAN_S or n_steps_done <= self._mark[1]:
            return
        span = now - self._mark[0]
        sample = span / (n_steps_done - self._mark[1])
        share = 1.0 if self._seconds_per_step is None else 1 - math.exp(-span / SMOOTHING_S)
        self._seconds_per_step = sample + (1 - share) * ((self._seconds_per_step or sample) - sample)
        self._mark = (now, n_steps_done)

    @property
    def fraction(self) -> float:
        """The share of all batches that is done, 0 to 1."""
        total = self._total()
        return min(1.0, sum(self._done.values()) / total) if total else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds until all stages are done; None before the rate is known."""
        if self._seconds_per_step is None:
            return None
        return max(0, self._total() - sum(self._done.values())) * self._seconds_per_step

    def _total(self) -> int:
        present = self._plans[self._stage].n_batches if self._stage in self._plans else None
        return sum(
            max(self._done.get(p.name, 0), p.n_epochs * (p.n_batches or present or 0)) for p in self._plans.values()
        )
