"""How a long operation says how far it is, and how it is asked to stop.

Every long function takes ``progress``, a callable that it calls with the fraction done (0 to 1) and a short
sentence. A page draws a bar from it, the command line prints it. The callable cancels the operation by raising
:class:`workbench.errors.Cancelled`; the operation then removes what it had written and lets the error through.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]


def part_of(progress: Progress, begin: float, end: float) -> Progress:
    """Give a progress that fills the part of another from ``begin`` to ``end``."""

    def told(fraction: float, message: str) -> None:
        progress(begin + (end - begin) * fraction, message)

    return told


def silent(fraction: float, message: str) -> None:
    """Say nothing: the default of every ``progress`` argument."""
