from __future__ import annotations

import numpy as np
import pytest

from workbench.phantoms.painting import Canvas
from workbench.phantoms.prostate import LATTICE
from workbench.phantoms.prostate_anatomy import SUBSTANCES, Gland
from workbench.phantoms.prostate_appearance import (
    ERASED_MM,
    KINDS,
    LEVELS,
    draw_signals,
    paint_capsule,
    scanned,
    textured,
)
from workbench.phantoms.prostate_shape import CAPSULES, Capsule, GlandShape

EDGE = 1.0
LINE = np.arange(-34, 34.1, EDGE, dtype=np.float32)
POINTS = np.stack(np.meshgrid(LINE, LINE, LINE, indexing="ij"))
FLAT = {name: np.array([0.5 if name == "peripheral" else 0.7], np.float32) for name in SUBSTANCES}


def ball() -> tuple[Canvas, Gland]:
    """A gland that is a ball of 20 mm in plain fat."""
    canvas = Canvas(POINTS, EDGE, FLAT)
    distance = np.sqrt((POINTS**2).sum(axis=0)) - 20
    canvas.paint("peripheral", distance)
    return canvas, Gland(POINTS, distance, np.zeros_like(distance))


def test_every_substance_has_a_signal() -> None:
    assert set(LEVELS) == set(SUBSTANCES)


@pytest.mark.parametrize("state", CAPSULES)
def test_one_state_all_over_is_a_bright_line_a_dark_line_or_no_edge(state: Capsule) -> None:
    canvas, gland = ball()
    plain = canvas.images[0].copy()
    paint_capsule(canvas, gland, GlandShape(), ((state,) * 8,) * 3, (EDGE, EDGE, EDGE))
    image, away = canvas.images[0], np.abs(gland.distance)
    on = image[away < 0.4].mean()
    if state == "absent":
        steep = np.sqrt(sum(g**2 for g in np.gradient(image)))[away < 2]
        before = np.sqrt(sum(g**2 for g in np.gradient(plain)))[away < 2]
        assert steep.max() < 0.35 * before.max()
    else:
        assert on > 0.85 if state == "bright" else on < 0.25
        np.testing.assert_allclose(image[away > 3.5], plain[away > 3.5], atol=1e-3)
    far = away > 3 * ERASED_MM
    np.testing.assert_array_equal(image[far], plain[far])


def test_kinds_differ_by_the_gap_in_the_gland_alone() -> None:
    def levels(kind: int, gap: float) -> dict[str, float]:
        drawn = [draw_signals(KINDS[kind], gap, np.random.default_rng(s)) for s in range(60)]
        return {name: float(np.mean([np.log(d[name][0]) for d in drawn])) for name in SUBSTANCES}

    usual, dark, none = levels(0, 1.0), levels(1, 1.0), levels(1, 0.0)
    assert none == usual
    assert {n for n in SUBSTANCES if dark[n] != usual[n]} == {"peripheral", "central", "nodule"}
    assert usual["peripheral"] > usual["central"] + 0.4 and dark["peripheral"] < dark["central"] - 0.15
    for name in SUBSTANCES:
        assert usual[name] == pytest.approx(np.log(LEVELS[name]), abs=0.04)


def test_texture_keeps_the_mean_and_leaves_urine_smooth() -> None:
    canvas, _ = ball()
    canvas.ellipsoid("urine", (0, 0, 0), (10, 10, 10))
    image = textured(canvas, (EDGE, EDGE, EDGE), np.random.default_rng(0))
    ratio = image / canvas.images[0]
    radius = np.sqrt((POINTS**2).sum(axis=0))
    urine, gland, fat = (ratio[m] for m in (radius < 7, (radius > 13) & (radius < 17), radius > 24))
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert urine.std() < 0.3 * gland.std() < 0.3 * fat.std()


def test_the_scanner_keeps_bias_within_its_bound_and_has_a_scale_of_its_own() -> None:
    shape = (20, 20, 10)
    lines = [np.linspace(low, low + e, n) for low, e, n in zip(LATTICE.low, LATTICE.extent, shape, strict=True)]
    places = np.stack(np.meshgrid(*lines, indexing="ij")).astype(np.float32)
    ones, scales = np.ones(shape, np.float32), []
    for seed in range(5):
        flat = scanned(ones, places, LATTICE, bias=0.0, noise=0.0, rng=np.random.default_rng(seed))
        assert np.ptp(flat) < 1e-3 and 250 <= flat.mean() <= 900
        scales.append(flat.mean())
        field = np.log(scanned(ones, places, LATTICE, bias=0.35, noise=0.0, rng=np.random.default_rng(seed)))
        assert 0.3 < np.ptp(field) <= 0.7 + 1e-4 and np.abs(np.diff(field, axis=0)).max() < 0.15
    assert np.ptp(scales) > 100


def test_air_is_rayleigh_noise() -> None:
    shape = (30, 30, 30)
    places = np.zeros((3, *shape), np.float32)
    rng = np.random.default_rng(3)
    image = scanned(np.zeros(shape, np.float32), places, LATTICE, bias=0.0, noise=0.04, rng=rng)
    assert image.std() / image.mean() == pytest.approx(np.sqrt(4 / np.pi - 1), rel=0.03)
