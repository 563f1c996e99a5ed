from __future__ import annotations

import numpy as np
import pytest

from workbench.phantoms.painting import Canvas
from workbench.phantoms.prostate_anatomy import SUBSTANCES, Gland, paint_pelvis
from workbench.phantoms.prostate_shape import GlandShape

EDGE = 2.0
LINES = [np.arange(low, high + 0.1, EDGE, dtype=np.float32) for low, high in ((-60, 60), (-62, 58), (-42, 46))]
POINTS = np.stack(np.meshgrid(*LINES, indexing="ij"))


def painted(shape: GlandShape, seed: int = 0) -> tuple[Canvas, Gland]:
    signals = {name: np.array([k / len(SUBSTANCES)], np.float32) for k, name in enumerate(SUBSTANCES)}
    canvas = Canvas(POINTS, EDGE, signals)
    return canvas, paint_pelvis(canvas, shape, (EDGE, EDGE, EDGE), np.random.default_rng(seed))


def where(canvas: Canvas, *names: str) -> np.ndarray:
    return np.isin(canvas.substance, [SUBSTANCES.index(n) for n in names])


def middle(inside: np.ndarray) -> np.ndarray:
    return POINTS[:, inside].mean(axis=1)


@pytest.mark.parametrize("seed", range(3))
def test_neighbors_lie_where_they_belong(seed: int) -> None:
    canvas, gland = painted(GlandShape(), seed)
    inside = gland.distance < 0
    center = middle(inside)
    np.testing.assert_allclose(center, 0, atol=4)
    assert middle(where(canvas, "urine"))[2] > center[2] + 25
    assert middle(where(canvas, "stool", "gas"))[1] < center[1] - 25
    assert middle(where(canvas, "cartilage"))[1] > center[1] + 30
    vesicles = middle(where(canvas, "vesicle"))
    assert vesicles[1] < center[1] - 8 and vesicles[2] > center[2] + 12
    muscle = where(canvas, "muscle") & (np.abs(POINTS[0]) > 40)
    assert muscle[POINTS[0] > 0].any() and muscle[POINTS[0] < 0].any()
    for name in SUBSTANCES:
        assert where(canvas, name).any() or name in ("gas", "stroma", "urethra", "fiber"), name


@pytest.mark.parametrize("seed", range(3))
def test_what_belongs_to_the_gland_lies_in_it_and_nothing_else_does(seed: int) -> None:
    canvas, gland = painted(GlandShape(size=0.5, taper=1.0, bend=-1.0), seed)
    own = where(canvas, "peripheral", "central", "nodule", "stroma", "urethra")
    deep, far = gland.distance < -EDGE, gland.distance > EDGE
    assert own[deep].all()
    assert not where(canvas, "peripheral", "central", "nodule")[far].any()
    assert gland.central.min() >= 0 and gland.central.max() <= 1 and not gland.central[far].any()
    assert (gland.central[where(canvas, "central", "nodule") & deep] > 0.3).all()


@pytest.mark.parametrize("indentation", [-2.0, 0.0, 2.0])
@pytest.mark.parametrize("size", [-2.0, 2.0])
def test_bladder_and_gland_meet_whatever_the_base_looks_like(indentation: float, size: float) -> None:
    canvas, gland = painted(GlandShape(size=size, indentation=indentation))
    at = POINTS.shape[1] // 2, int(np.argmin(np.abs(LINES[1] - 3)))
    column = gland.distance[at]
    top = np.flatnonzero(column < 0)[-1]
    first_urine = top + np.flatnonzero(where(canvas, "urine")[at][top:])[0]
    assert (first_urine - top) * EDGE < 9  # a wall of at most 4.5 mm, and where the two are rounded against each other


def test_the_rectum_touches_the_back_of_every_gland() -> None:
    for size in (-2.0, 2.0):
        canvas, gland = painted(GlandShape(size=size))
        x, z = POINTS.shape[1] // 2, int(np.argmin(np.abs(LINES[2])))
        back = LINES[1][np.flatnonzero(gland.distance[x, :, z] < 0)[0]]
        wall = LINES[1][np.flatnonzero(where(canvas, "bowel wall")[x, :, z])[-1]]
        assert -1 <= back - wall < 9


def test_an_enlarged_central_gland_takes_more_of_the_same_gland() -> None:
    small, large = (painted(GlandShape(central=c))[1] for c in (-2.0, 2.0))
    np.testing.assert_array_equal(small.distance, large.distance)
    assert large.central.sum() > 1.8 * small.central.sum()
