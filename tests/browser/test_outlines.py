"""Outlines of labels in the viewer go around exactly the voxels of each label, holes included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.browser
CODE = Path(__file__).resolve().parents[2] / "workbench" / "app" / "slice_outline.js"


def inside(loops: list[list[list[int]]], width: int, height: int) -> np.ndarray:
    """Give how often the loops wind around the middle of each pixel."""
    winding = np.zeros((height, width), int)
    for loop in loops:
        for (x, y0), (x1, y1) in zip(loop, loop[1:] + loop[:1], strict=True):
            if x == x1:  # an upright edge changes the count of all pixels at its left
                rows = slice(min(y0, y1), max(y0, y1))
                winding[rows, :x] += 1 if y1 > y0 else -1
    return winding


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_loops_wind_once_around_the_voxels_of_a_label_and_no_others(share: float, browser: Any) -> None:
    rng = np.random.default_rng(0)
    page = browser.new_page()
    page.evaluate(f"() => {{ {CODE.read_text(encoding='utf-8')}\n window.outlinesOf = outlinesOf; }}")
    for height, width in ((1, 1), (7, 9), (20, 13)):
        codes = (rng.uniform(size=(height, width)) < share) * rng.integers(1, 4, (height, width))
        found = page.evaluate("([c, w, h]) => [...window.outlinesOf(c, w, h)]", [codes.ravel().tolist(), width, height])
        drawn = {code: inside(loops, width, height) for code, loops in found}
        for code in (1, 2, 3):
            assert np.array_equal(drawn.get(code, np.zeros((height, width))), codes == code)
    page.close()
