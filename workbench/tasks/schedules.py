"""How the learning rate falls while a network is trained.

Papers on segmentation let it fall in a line (Pereira 2016), by a factor every so many steps (Nie 2016), or whenever
the training loss stops falling (Kleesiek 2016). A rate is always a share of the first one, so that layers with rates
of their own keep their proportions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from workbench.errors import SettingsError

ScheduleKind = Literal["constant", "linear", "steps", "plateau"]


@dataclass(frozen=True)
class Schedule:
    """A rule for the learning rate.

    Attributes:
        kind: ``constant``; ``linear``, down to ``end`` at the last of ``n_steps`` steps; ``steps``, times ``factor``
            every ``n_steps`` steps; ``plateau``, times ``factor`` when the running loss has not improved for
            ``n_steps`` steps, see :class:`Plateau`.
        n_steps: updates; for ``linear`` 0 stands for the whole training.
        factor: what the rate is multiplied by, for ``steps`` and ``plateau``.
        end: of ``linear``, as a share of the first rate.
        window: of ``plateau``: the running loss is the mean over so many updates.
        floor: of ``plateau``: training ends when the rate has fallen to this share.
        n_stalled: of ``plateau``: training ends after so many updates without a lower running loss; 0 for never.

    Raises:
        SettingsError: an unknown kind, or a number out of its bounds.
    """

    kind: ScheduleKind = "constant"
    n_steps: int = 0
    factor: float = 0.5
    end: float = 0.01
    window: int = 500
    floor: float = 1e-3
    n_stalled: int = 15_000

    def __post_init__(self) -> None:
        if self.kind not in get_args(ScheduleKind):
            known = ", ".join(get_args(ScheduleKind))
            raise SettingsError(f"The learning rate's schedule must be one of {known}; got {self.kind!r}.")
        if self.n_steps < (0 if self.kind in ("constant", "linear") else 1):
            raise SettingsError(f"The {self.kind} schedule needs at least 1 step; got {self.n_steps}.")
        for name in ("factor", "end", "floor"):
            if not 0 < getattr(self, name) <= 1:
                raise SettingsError(f"The schedule's {name} must be above 0 and at most 1; got {getattr(self, name)}.")
        if self.window < 1 or self.n_stalled < 0:
            raise SettingsError(
                f"The schedule's window must be at least 1 and its stall at least 0 steps; got {self.window} and "
                f"{self.n_stalled}."
            )

    def share(self, step: int, n_total: int = 0) -> float:
        """Give the rate of an update as a share of the first one; 1 for ``plateau``, whose losses decide.

        Args:
            step: counted from 0.
            n_total: updates of the whole training, for a linear fall without steps of its own.

        Raises:
            SettingsError: it is to fall over the whole training, whose length is not known.
        """
        if self.kind == "steps":
            return self.factor ** (step // self.n_steps)
        if self.kind != "linear":
            return 1.0
        n_steps = self.n_steps or n_total
        if n_steps < 1:
            raise SettingsError("A linear schedule needs to know over how many steps the rate falls; set n_steps.")
        return 1 + (self.end - 1) * min(step / max(1, n_steps - 1), 1.0)


class Plateau(nn.Module):
    """The rule of Kleesiek et al. (NeuroImage 2016), after the authors' published code.

    The running loss is the mean of the last ``window`` losses. When it has not been lower than ever before for
    ``n_steps`` updates, nor has the rate changed within them, the rate is multiplied by ``factor``. Training has ended
    when the rate fell to ``floor``, or after ``n_stalled`` updates without a lower running loss.
    ``ReduceLROnPlateau`` does alike once an epoch; here all of the state is buffers, so a resumed run is exact.

    Args:
        schedule: of kind ``plateau``.

    Attributes:
        recent: (window,) the last losses, in a ring.
        counts: (3,) losses seen, and the number of the one with the lowest running loss and of the last change.
        values: (2,) the lowest running loss, and the rate's share.
    """

    recent: Tensor
    counts: Tensor
    values: Tensor

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule
        self.register_buffer("recent", torch.zeros(schedule.window))
        self.register_buffer("counts", torch.zeros(3, dtype=torch.long))
        self.register_buffer("values", torch.tensor([math.inf, 1.0]))

    @property
    def share(self) -> float:
        """The present rate as a share of the first one."""
        return float(self.values[1])

    @property
    def has_ended(self) -> bool:
        """Whether training is to end."""
        n_seen, best_at, _ = self.counts.tolist()
        stalled = 0 < self.schedule.n_stalled <= n_seen - best_at and n_seen > self.schedule.window
        return stalled or self.share <= self.schedule.floor * (1 + 1e-6)  # 0.1 cubed is a little more than 0.001

    @torch.no_grad()
    def add(self, loss: Tensor) -> None:
        """Take the loss of one update into account."""
        n_seen, best_at, changed_at = self.counts.tolist()
        self.recent[n_seen % self.schedule.window] = loss
        n_seen += 1
        if n_seen >= self.schedule.window:
            # summed exactly: else the order in the ring would make equal losses look better and worse
            mean = self.recent.new_tensor(math.fsum(self.recent.tolist()) / self.schedule.window)
            if mean < self.values[0]:
                self.values[0], best_at = mean, n_seen
            elif n_seen - max(best_at, changed_at) >= self.schedule.n_steps:
                self.values[1] *= self.schedule.factor
                changed_at = n_seen
        self.counts.copy_(torch.tensor([n_seen, best_at, changed_at]))
