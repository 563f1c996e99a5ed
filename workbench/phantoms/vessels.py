"""Vessels and choroid plexus of the template: what takes up contrast agent without being a tumor.

The courses are rough ones in MNI coordinates, drawn by hand from textbook anatomy and shaken for every subject.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from workbench.phantoms.blobs import paint_curve
from workbench.phantoms.template import Template

Course = tuple[tuple[int, int, int], ...]
SHAKE_MM = 2.0
N_CORTICAL_VEINS = 26
PAIRED_COURSES: tuple[
    tuple[float, Course], ...
] = (  # radius in mm, then MNI mm on the right; the left is its mirror image
    (1.5, ((6, -2, -20), (22, 2, -18), (38, 6, -8), (40, -4, 8), (46, -20, 16), (52, -36, 22))),  # middle cerebral
    (1.2, ((3, 8, -18), (2, 28, -6), (1, 38, 10), (2, 22, 27), (2, -8, 35))),  # anterior cerebral
    (1.2, ((3, 2, 10), (3, -15, 14), (3, -32, 12), (1, -42, 10))),  # internal cerebral vein
    (1.3, ((4, -20, -20), (18, -24, -12), (22, -40, -4), (20, -60, 0))),  # posterior cerebral
    (2.5, ((2, -92, -14), (24, -88, -24), (46, -72, -30), (54, -50, -32))),  # transverse sinus
)
STRAIGHT_SINUS: tuple[float, Course] = (2.0, ((0, -42, 10), (0, -66, 6), (0, -88, -8)))
CHOROID_COURSE: tuple[float, Course] = (2.4, ((24, -34, -6), (24, -42, 6), (18, -36, 14), (10, -16, 19), (5, 0, 17)))


def draw_vessels(template: Template, rng: np.random.Generator) -> np.ndarray:
    """Draw arteries, deep veins, sinuses and cortical veins: (X, Y, Z) float32, their share of each voxel."""
    share = np.zeros(template.t1.shape, np.float32)
    for radius, course in PAIRED_COURSES:
        for side in (1, -1):
            paint_curve(share, template.affine, _shaken(course, side, rng), radius * rng.uniform(0.8, 1.2))
    radius, course = STRAIGHT_SINUS
    paint_curve(share, template.affine, _shaken(course, 1, rng), radius)
    brain = template.fractions.sum(axis=0) > 0.5
    paint_curve(share, template.affine, _sagittal_sinus(template, brain), 2.2)
    for curve in _cortical_veins(template, brain, rng):
        paint_curve(share, template.affine, curve, rng.uniform(0.7, 1.3))
    return share


def draw_choroid(template: Template, rng: np.random.Generator) -> np.ndarray:
    """Draw the choroid plexus of both lateral ventricles: (X, Y, Z) float32 share."""
    share = np.zeros(template.t1.shape, np.float32)
    radius, course = CHOROID_COURSE
    for side in (1, -1):
        paint_curve(share, template.affine, _shaken(course, side, rng), radius * rng.uniform(0.7, 1.3))
    return share


def _shaken(course: Course, side: int, rng: np.random.Generator) -> np.ndarray:
    return np.array(course, float) * [side, 1, 1] + rng.normal(0, SHAKE_MM, (len(course), 3)) * [0.6, 1, 1]


def _sagittal_sinus(template: Template, brain: np.ndarray) -> np.ndarray:
    """The upper edge of the brain in the midplane, from front to back."""
    middle = round(-template.affine[0, 3] / template.spacing_mm)
    plane: np.ndarray = np.any(brain[max(middle - 1, 0) : middle + 2], axis=0)
    columns = np.flatnonzero(np.any(plane, axis=1))
    top = plane.shape[1] - 1 - np.argmax(plane[columns, ::-1], axis=1)
    points = np.stack([np.full(len(columns), middle), columns, top], axis=1)
    return points[top * template.spacing_mm + template.affine[2, 3] > 0] * template.spacing_mm + template.affine[:3, 3]


def _cortical_veins(template: Template, brain: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Curves that wander 12 to 40 mm over the surface, a few mm below it."""
    spacing = template.spacing_mm
    depth = gaussian_filter(distance_transform_edt(brain).astype(np.float32) * spacing, 4 / spacing)
    inward = np.stack(np.gradient(depth, spacing))
    starts = np.argwhere(brain & (depth < max(5.0, 2 * spacing)))
    curves = []
    for start in starts[rng.integers(len(starts), size=N_CORTICAL_VEINS)]:
        place, heading = start.astype(float), rng.standard_normal(3)
        points = []
        for _ in range(int(rng.uniform(12, 40))):
            points.append(place * spacing + template.affine[:3, 3])
            at = tuple(np.clip(np.rint(place).astype(int), 0, np.array(depth.shape) - 1))
            normal = inward[(slice(None), *at)]
            normal = normal / (np.linalg.norm(normal) + 1e-6)
            heading = heading + 0.35 * rng.standard_normal(3)
            heading = heading - normal * (normal @ heading - 0.05 * (3 - depth[at]))
            heading /= np.linalg.norm(heading)
            place = place + heading / spacing
        curves.append(np.array(points))
    return curves
