"""The male pelvis around a prostate: fat, muscles, bones, rectum, bladder, seminal vesicles, veins; then the gland.

Places are in mm about the middle of the gland, RAS, from any atlas of the region; the bladder, the vesicles and the
front of the rectum are placed against the gland that was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from workbench.phantoms.painting import Canvas, ellipsoid, tube
from workbench.phantoms.prostate_shape import GlandShape, central_ellipsoid, gland_coordinates, signed_distance

N_VEINS, N_STRANDS = 46, 90
SUBSTANCES = (
    "fat", "muscle", "fiber", "cortical bone", "marrow", "cartilage", "bowel wall", "stool", "gas", "bladder wall",
    "urine", "vesicle", "vein", "sphincter", "urethra", "peripheral", "central", "nodule", "stroma",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Gland:
    """Where the gland lies on a lattice.

    Attributes:
        coordinates: (3, X, Y, Z) float32, the gland's own, mm.
        distance: (X, Y, Z) float32 from its surface, mm, negative inside.
        central: (X, Y, Z) float32, share of the voxel in the central gland.
    """

    coordinates: np.ndarray
    distance: np.ndarray
    central: np.ndarray


def paint_pelvis(
    canvas: Canvas, shape: GlandShape, steps_mm: tuple[float, float, float], rng: np.random.Generator
) -> Gland:
    """Paint everything.

    Args:
        canvas: of :data:`SUBSTANCES`, the first of them everywhere.
        shape: of the gland.
        steps_mm: of the canvas's lattice, along x, y and z.
        rng: for bones, fillings, veins and nodules.
    """
    own = gland_coordinates(shape, canvas.points)
    rx, ry, rz = shape.radii_mm
    radius = np.sqrt(sum((c / np.float32(r)) ** 2 for c, r in zip(own, shape.radii_mm, strict=True)))
    distance = signed_distance(radius, float(ry), steps_mm)
    _paint_walls(canvas, rng)
    _paint_floor(canvas, float(rx), float(rz), rng)
    _paint_rectum(canvas, float(ry), rng)
    _paint_bladder(canvas, own, float(rz), rng)
    _paint_vesicles(canvas, own, shape.radii_mm, rng)
    _paint_strands(canvas, rng)
    _paint_veins(canvas, shape.radii_mm, rng)
    central = _paint_gland(canvas, shape, own, distance, rng)
    return Gland(own, distance, central)


def _paint_walls(canvas: Canvas, rng: np.random.Generator) -> None:
    """Pubic bones and acetabula, with the obturator muscles on their inner side."""
    out, depth, front = rng.uniform([49, 7.5, 33], [55, 10.0, 38])
    for side in (1, -1):
        canvas.ellipsoid("cortical bone", (side * (out + 15), 4, 4), (13, 33, 70))
        canvas.ellipsoid("marrow", (side * (out + 15), 4, 4), (11, 31, 68))
        canvas.ellipsoid("muscle", (side * (out - 3), 0, 2), (depth, 34, 52))
        bone = tube(canvas.points, (side * 9, front + 14, -16), (side * 62, front + 5, 14), 13)
        canvas.paint("cortical bone", bone)
        canvas.paint("marrow", bone + 2)
        canvas.ellipsoid("muscle", (side * 30, front + 4, -34), (22, 11, 12))
    canvas.ellipsoid("cartilage", (0, front + 14, -18), (3.5, 14, 18))


def _paint_floor(canvas: Canvas, rx: float, rz: float, rng: np.random.Generator) -> None:
    """The levator ani: a funnel that holds the apex and opens upwards, of uneven thickness."""
    x, y, z = canvas.points
    across, start, along = (float(v) for v in rng.uniform([5, 0, 5], [9, 6, 9]))
    uneven = 0.5 * np.sin(x / across + start) * np.cos(z / along)
    up = np.clip((z + rz + 6) / (rz + 14), -0.5, 1)
    wide = np.float32(14) + (rx - 4) * np.maximum(up, 0) ** np.float32(0.8)
    reach = np.sqrt((x / wide) ** 2 + ((y + 14) / (wide + 10)) ** 2)
    # thick below, thin where it ends above and in front
    half = 2.4 - 0.055 * np.maximum(z + 20, 0) - 0.10 * np.maximum(y + 4, 0) + uneven
    canvas.paint("muscle", np.abs(reach - 1) * wide - half.astype(np.float32))


def _paint_rectum(canvas: Canvas, ry: float, rng: np.random.Generator) -> None:
    wide = rng.uniform(11, 17)
    middle = -ry - wide - rng.uniform(0.5, 2.5)
    corners = [(rng.normal(0, 2), y, z) for y, z in ((middle + 6, -60), (middle, 0), (middle - 12, 60))]
    outer = np.minimum(*(tube(canvas.points, a, b, wide) for a, b in pairwise(corners)))
    canvas.paint("bowel wall", outer)
    canvas.paint("stool", outer + 3.2)
    gas = rng.uniform(-0.6, 0.7)  # how high the gas reaches down from the front of the lumen
    level = middle + gas * wide
    canvas.paint("gas", np.maximum(outer + 3.6, level - canvas.points[1]))


def _paint_bladder(canvas: Canvas, own: np.ndarray, rz: float, rng: np.random.Generator) -> None:
    """In the gland's coordinates, so that it follows a dip or a median lobe of the base."""
    full = rng.uniform([30, 24, 20], [42, 33, 34])
    wall = rng.uniform(2.6, 4.5)
    center = (rng.normal(0, 2), rng.uniform(4, 9), rz + 0.90 * full[2])
    outer = ellipsoid(own, center, full + wall)
    canvas.paint("bladder wall", outer)
    canvas.paint("urine", outer + np.float32(wall))


def _paint_vesicles(canvas: Canvas, own: np.ndarray, radii: np.ndarray, rng: np.random.Generator) -> None:
    for side in (1, -1):
        start = (side * 4, -0.75 * radii[1], 0.72 * radii[2])
        end = (side * rng.uniform(24, 32), -radii[1] - rng.uniform(0, 5), radii[2] + rng.uniform(4, 12))
        canvas.paint("vesicle", tube(own, start, end, rng.uniform(4.0, 6.0)))


def _paint_strands(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fibers and small vessels without signal, in the fat about the gland."""
    for _ in range(N_STRANDS):
        start = rng.uniform([-38, -34, -34], [38, 36, 34])
        if ((start / (26, 18, 26)) ** 2).sum() > 1:
            canvas.tube("fiber", start, start + rng.normal(0, 8, 3), rng.uniform(0.5, 1.3))


def _paint_veins(canvas: Canvas, radii: np.ndarray, rng: np.random.Generator) -> None:
    """The plexus: bright beads outside the capsule, most of them in front and at the sides of the back."""
    for _ in range(N_VEINS):
        angle = np.radians(rng.choice([0, 130, -130, 90, -90]) + rng.normal(0, 22))
        height = rng.uniform(-0.85, 0.8)
        out = np.sqrt(1 - 0.6 * height**2)
        reach = radii + rng.uniform(2.5, 8.0)
        center = (reach[0] * out * np.sin(angle), reach[1] * out * np.cos(angle), radii[2] * height)
        if center[1] < -radii[1] - 2 and abs(center[0]) < 13:
            continue  # the rectum is there
        canvas.ellipsoid("vein", center, rng.uniform([1.2, 1.2, 2.0], [3.0, 3.0, 6.0]))


def _paint_gland(
    canvas: Canvas, shape: GlandShape, own: np.ndarray, distance: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The gland and what is in it; gives the central gland's share of each voxel."""
    radii = shape.radii_mm
    below = tube(own, (0, 2, -radii[2] - 25), (0, 1, -0.7 * radii[2]), 6.5)
    canvas.paint("sphincter", below)
    canvas.paint("urethra", below + np.float32(4.2))
    canvas.paint("peripheral", distance)
    center, half = central_ellipsoid(shape)
    inner = np.maximum(ellipsoid(own, center, half), distance + np.float32(0.8))
    canvas.paint("central", inner)
    for _ in range(int(rng.integers(3, 9) + 2 * shape.central)):
        place = center + half * rng.uniform(-0.6, 0.6, 3)
        size = rng.uniform(2.0, 6.0) * rng.uniform(0.7, 1.3, 3)
        nodule = np.maximum(ellipsoid(own, place, size), inner + np.float32(0.8))
        canvas.paint("stroma", nodule)
        canvas.paint("nodule" if rng.uniform() < 0.6 else "central", nodule + np.float32(0.9))
    front = ellipsoid(own, (0, 0.95 * radii[1], 0.1 * radii[2]), (0.32 * radii[0], 0.28 * radii[1], 0.7 * radii[2]))
    canvas.paint("stroma", np.maximum(front, distance + np.float32(0.5)))
    way = tube(own, (0, 0.1 * radii[1], -0.95 * radii[2]), (0, 0.30 * radii[1], 0.95 * radii[2]), 2.2)
    canvas.paint("urethra", np.maximum(way, distance))
    return np.clip(0.5 - np.maximum(inner, distance) / canvas.edge_mm, 0, 1)
