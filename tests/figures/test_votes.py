"""Shares of a vote: bars add up to the whole, each atlas once, and words say what the bars do."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.figures.theme import PAPER, Theme
from workbench.figures.votes import vote_shares

ATLASES, LABELS = ("b", "a", "b", "c"), np.array([1, 0, 2, 1])
WEIGHTS, NAMES = np.array([0.4, 0.3, 0.2, 0.1]), ("background", "core", "rim", "never")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_bars_are_shares_of_atlases_by_label_heaviest_on_top(theme: Theme) -> None:
    fig = vote_shares(ATLASES, LABELS, WEIGHTS, NAMES, theme=theme)
    assert [bar.name for bar in fig.data] == ["background 0.30", "core 0.50", "rim 0.20"], "who got none has no bar"
    assert list(fig.data[0].y) == ["c", "a", "b"], "the heaviest is last, which is on top"
    shares = np.stack([bar.x for bar in fig.data], axis=1)
    np.testing.assert_allclose(shares, [[0, 0.1, 0], [0.3, 0, 0], [0, 0.4, 0.2]])
    assert list(fig.data[1].customdata) == [1, 1, 2]
    assert fig.layout.meta["alt"] == "4 patches of 3 atlases vote: background 0.30, core 0.50, rim 0.20."
    assert fig.layout.template.layout.paper_bgcolor == PAPER[theme]


def test_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody votes"):
        vote_shares((), np.zeros(0, int), np.zeros(0), NAMES)
