"""Where the template's brain divides: cerebrum, cerebellum and brain stem; deep grey matter, ventricles, capsule.

Cerebrum and posterior fossa are told apart by a watershed over the template's tissue, from seeds at places that any
atlas confirms; the fissure below the occipital lobe is the crest. The rest are ellipsoids and tubes in MNI mm: right
about the middle of a structure, a few millimeters off at its border.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter

from workbench.phantoms.painting import ellipsoid, sample, tube
from workbench.phantoms.template import load_template

PARTS_MM = 2.0
CEREBRUM_SEEDS = (
    ((40, -10, -22), (34, 10, -34), 7), ((30, -92, 2), (44, -66, 2), 8), ((36, -50, -11), (44, -30, -20), 4),
    ((10, -74, 4), (14, -60, 8), 4), ((12, -20, 12), (20, 30, 10), 10), ((52, -56, -10), (54, -30, -14), 4),
    ((24, -34, -3), (25, -14, -20), 4), ((9, -14, 6), (16, -24, 8), 6), ((0, 8, -10), (20, 4, -12), 5),
)  # fmt: skip
FOSSA_SEEDS = (
    ((22, -66, -42), (36, -60, -40), 9), ((0, -24, -30), (0, -40, -64), 6), ((4, -62, -28), (20, -62, -30), 8),
    ((30, -76, -36), (14, -80, -34), 5), ((5, -52, -12), (8, -56, -22), 4),
    ((3, -22, -13), (6, -26, -34), 9),
)  # fmt: skip
DEEP_GREY = (
    ((11, -18, 8), (9, 14, 9)),
    ((25, 2, 1), (6, 17, 11)),
    ((13, 14, 6), (5, 9, 11)),
    ((18, -4, -1), (5, 7, 6)),
)
HIPPOCAMPUS = (
    ((25, -12, -21), (30, -20, -15), 6.2),
    ((30, -20, -15), (30, -31, -8), 4.8),
    ((30, -31, -8), (23, -39, -1), 4.0),
)
VENTRICLES = (
    ((16, -10, 14), (15, 46, 25)), ((32, -22, -12), (8, 26, 8)), ((0, -12, 2), (5, 22, 15)),
    ((0, -42, -32), (9, 8, 13)),
)  # fmt: skip
CAPSULE = (((19, -8, -2), (23, -18, 20), 3.8), ((23, -18, 20), (30, -24, 42), 3.4), ((12, -16, -10), (19, -8, -2), 3.8))
"""The corticospinal tract, first to be myelinated: posterior limb of the internal capsule and corona radiata."""


def parts_at(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the shares of cerebellum and of brain stem at points (3, X, Y, Z) in MNI mm: (X, Y, Z) each."""
    maps, affine = _parts()
    below, stem = sample(maps, affine, points, extend=True)
    below = np.clip((below - 0.5) * 4 + 0.5, 0, 1)
    stem = np.clip((stem - 0.5) * 4 + 0.5, 0, 1) * below
    return below - stem, stem


def inside_any(points: np.ndarray, shapes: Sequence[tuple], edge_mm: float, more_mm: float = 0.0) -> np.ndarray:
    """Give the share of each voxel that lies in one of the ellipsoids or tubes, or in their mirror images.

    Args:
        points: (3, X, Y, Z), MNI mm.
        shapes: (center, radii) of an ellipsoid or (start, end, radius) of a tube, on the right side.
        edge_mm: width over which a border is soft.
        more_mm: how much every shape is grown.
    """
    mirrored = np.stack([np.abs(points[0]), points[1], points[2]])
    nearest = np.full(points.shape[1:], np.inf, np.float32)
    for shape in shapes:
        distance = ellipsoid(mirrored, *shape) if len(shape) == 2 else tube(mirrored, *shape)
        nearest = np.minimum(nearest, distance)
    return np.clip(0.5 - (nearest - more_mm) / edge_mm, 0, 1)


@lru_cache(maxsize=1)
def _parts() -> tuple[np.ndarray, np.ndarray]:
    from skimage.segmentation import watershed  # takes a second to import

    template = load_template(PARTS_MM)
    tissue = gaussian_filter(template.fractions[1:].sum(axis=0) * template.t1, 0.5)
    axes = [template.affine[a, 3] + PARTS_MM * np.arange(n) for a, n in enumerate(tissue.shape)]
    points = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    z = points[2]
    seeds = np.zeros(tissue.shape, np.int32)
    seeds[(inside_any(points, CEREBRUM_SEEDS, 1.0) > 0.5) | (z > 14)] = 1
    seeds[(inside_any(points, FOSSA_SEEDS, 1.0) > 0.5) | (z < -58)] = 2
    below = watershed(-tissue, seeds) == 2
    # the midbrain has no border above; a plane through the upper colliculi and the peduncles
    below &= z < -6 + 0.15 * (points[1] + 30)
    front = points[1] > -37 + 0.45 * (z + 25)
    stem = below & front & (np.abs(points[0]) < 17)
    soft = [gaussian_filter(part.astype(np.float32), 0.7) for part in (below, stem | ~below & front)]
    return np.stack(soft), template.affine
