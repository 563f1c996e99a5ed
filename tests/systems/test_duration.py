from __future__ import annotations

import pytest

from workbench.systems.form import _duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "A few seconds"),
        (20, "About 20 seconds"),
        (53, "About 55 seconds"),
        (58, "About a minute"),
        (89, "About a minute"),
        (120, "About 2 minutes"),
        (5399, "About 90 minutes"),
        (7200, "About 2.0 hours"),
    ],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, words: str) -> None:
    assert _duration(seconds / 60) == words
