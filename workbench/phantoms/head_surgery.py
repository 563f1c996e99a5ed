"""An enhancing tumor with edema, or a resection cavity under a bone flap, painted into a head."""

from __future__ import annotations

import numpy as np

from workbench.phantoms.deformation import smooth_field
from workbench.phantoms.painting import Canvas, ellipsoid, tube


def paint_tumor(canvas: Canvas, brain: np.ndarray, rng: np.random.Generator) -> None:
    """Paint necrosis, an enhancing rim around it and edema along white matter, inside the brain.

    Args:
        canvas: with the brain in it.
        brain: (X, Y, Z), the brain's share of each voxel, which the tumor does not leave.
        rng: of place, size and outline.
    """
    side = rng.choice([-1.0, 1.0])
    center = np.array([side * rng.uniform(24, 42), rng.uniform(-55, 38), rng.uniform(0, 42)])
    radius = rng.uniform(13, 19)
    white = canvas.substance == canvas.names.index("white")
    distance = _ragged(canvas, ellipsoid(canvas.points, center, (radius, radius, radius)), rng)
    reach = rng.uniform(8, 14)
    swollen = np.clip(0.5 - (distance - reach + 6 * ~white) / 4, 0, 1)  # edema has no sharp border
    canvas.paint_share("edema", swollen * brain)
    for name, depth in (("rim", 0.0), ("core", rng.uniform(3, 5))):
        canvas.paint_share(name, np.clip(0.5 - (distance + depth) / canvas.edge_mm, 0, 1) * brain)


def paint_resection(canvas: Canvas, brain: np.ndarray, inner: np.ndarray, rng: np.random.Generator) -> None:
    """Paint a cavity that reaches the surface, its enhancing margin, some edema, and the cut around the bone flap.

    Args:
        canvas: with the brain in it.
        brain: (X, Y, Z), the brain's share of each voxel.
        inner: (X, Y, Z), distance from the inner table, negative inside the skull, mm.
        rng: of place, size and outline.
    """
    side = rng.choice([-1.0, 1.0])
    deep = np.array([side * rng.uniform(30, 40), rng.uniform(-45, 40), rng.uniform(12, 40)])
    outward = deep - np.array([0.0, -18.0, 5.0])
    outward /= np.linalg.norm(outward)
    radius = rng.uniform(14, 20)
    distance = _ragged(canvas, tube(canvas.points, deep, deep + 70 * outward, radius), rng)
    within = inner + 1.2  # the dura is closed over it
    canvas.paint_share("edema", np.clip(0.5 - (distance - 7) / 4, 0, 1) * brain)
    canvas.paint_share("rim", np.clip(0.5 - (distance - 2.0) / canvas.edge_mm, 0, 1) * brain)
    canvas.paint("cavity", np.maximum(distance, within))
    cut = np.abs(tube(canvas.points, deep, deep + 90 * outward, radius + 9)) - 1.3
    bone = np.isin(canvas.substance, [canvas.names.index(n) for n in ("bone", "marrow")])
    canvas.paint("mucosa", np.maximum(cut, np.where(bone, -9.0, 9.0)))


def _ragged(canvas: Canvas, distance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return distance + 2.2 * smooth_field(distance.shape, canvas.edge_mm, 9.0, rng)
