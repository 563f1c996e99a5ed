"""The surface and the outlines of the MNI152 brain that nilearn ships, as the see-through background of networks.

Both come from the share of gray and white matter in each voxel (ICBM 152 2009a nonlinear symmetric, 1 mm): the surface
by marching cubes on a coarser lattice, the outlines and their shading from the first voxel of brain that one meets when
looking along an axis. Nothing is downloaded; what was computed is kept for the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.ndimage import binary_closing, binary_erosion, binary_fill_holes, gaussian_filter
from skimage.measure import approximate_polygon, find_contours, marching_cubes

from workbench.imaging.volume import Volume

ViewName = Literal["axial", "sagittal", "coronal"]
TISSUE = 0.5
"""Share of gray and white matter above which a voxel is brain."""
CLOSING, DEEP = 4, 5
"""Voxels of 2 mm over which gaps are closed, and how far below the surface the closed inside is filled."""
SHADE_STEP_MM = 2
OUTLINE_TOLERANCE_MM = 0.4
LIGHT = (-0.22, 0.30, 0.93)
"""Where the light comes from in a picture: from the left, from above, from the viewer."""


@dataclass(frozen=True, eq=False)
class BrainSurface:
    """A closed surface in MNI space.

    Attributes:
        vertices: (n, 3) mm, RAS.
        faces: (m, 3) int32, three vertices each.
    """

    vertices: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True, eq=False)
class BrainView:
    """What one sees of the brain along an axis: axial from above, sagittal from the right side, coronal from behind.

    Attributes:
        name: axial, sagittal or coronal.
        across: axis (0 x, 1 y, 2 z) drawn from left to right, in growing mm.
        up: axis drawn upwards.
        outline: (n, 2) mm along ``across`` and ``up``; pieces are parted by a row of NaN.
        shade: (rows, columns) from 0 (turned away) to 1 (facing the light), rows upwards; NaN outside.
        origin_mm: middle of the first pixel of ``shade`` along ``across`` and ``up``.
        step_mm: from pixel to pixel.
    """

    name: ViewName
    across: int
    up: int
    outline: np.ndarray
    shade: np.ndarray
    origin_mm: tuple[float, float]
    step_mm: float


PLANES: dict[ViewName, tuple[int, int]] = {"axial": (0, 1), "sagittal": (1, 2), "coronal": (0, 2)}
"""View → the axes drawn across and upwards."""


@lru_cache(maxsize=4)
def brain_surface(spacing_mm: int = 4) -> BrainSurface:
    """Give the brain's surface from a lattice of this spacing (2 to 10 mm); 4 mm makes about 20,000 triangles."""
    if not 2 <= spacing_mm <= 10:
        raise ValueError(f"spacing_mm must be from 2 to 10; got {spacing_mm}")
    share, affine = _tissue()
    smooth = gaussian_filter(np.maximum(share, _closed(share > TISSUE)), 0.45 * spacing_mm)
    smooth = smooth[::spacing_mm, ::spacing_mm, ::spacing_mm]
    voxels, faces, *_ = marching_cubes(np.pad(smooth, 1), TISSUE)
    vertices = (voxels - 1) * spacing_mm @ affine[:3, :3].T + affine[:3, 3]
    surface = BrainSurface(vertices.astype(np.float32), faces.astype(np.int32))
    surface.vertices.flags.writeable = surface.faces.flags.writeable = False
    return surface


@lru_cache(maxsize=1)
def template_brain() -> Volume:
    """Give the T1-weighted MNI152 brain on its 2 mm lattice."""
    from nilearn import datasets

    image = datasets.load_mni152_template(resolution=2)
    return Volume.from_array(np.asarray(image.dataobj, np.float32), np.asarray(image.affine, float), "MNI152")


@lru_cache(maxsize=1)
def brain_views() -> dict[ViewName, BrainView]:
    """Give the axial, the sagittal and the coronal view."""
    share, affine = _tissue()
    return {name: _view(name, share, affine) for name in PLANES}


def _view(name: ViewName, share: np.ndarray, affine: np.ndarray) -> BrainView:
    across, up = PLANES[name]
    along = 3 - across - up
    # from behind one meets low y first; from above and from the right, high z and high x
    facing = share if name == "coronal" else np.flip(share, along)
    inside = facing > TISSUE
    flat = inside.any(along)
    depth = np.where(flat, inside.argmax(along), 0).astype(float)
    flat = binary_fill_holes(flat)
    start = (float(affine[across, 3]), float(affine[up, 3]))
    outline = _outline(gaussian_filter(flat.astype(float), 1.2), start)
    shade = _shade(depth, flat)[::SHADE_STEP_MM, ::SHADE_STEP_MM].T.astype(np.float32)
    rows, columns = (np.flatnonzero(np.isfinite(shade).any(axis)) for axis in (1, 0))
    shade = np.pad(shade[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1, constant_values=np.nan)
    first = (start[0] + SHADE_STEP_MM * (columns[0] - 1.0), start[1] + SHADE_STEP_MM * (rows[0] - 1.0))
    outline.flags.writeable = shade.flags.writeable = False
    return BrainView(name, across, up, outline, shade, first, float(SHADE_STEP_MM))


def _outline(mask: np.ndarray, start: tuple[float, float]) -> np.ndarray:
    pieces = []
    for piece in find_contours(mask, 0.5):
        if len(piece) > 60:  # specks of template outside the brain
            slim = approximate_polygon(piece, OUTLINE_TOLERANCE_MM) + np.asarray(start)
            pieces += [slim, np.full((1, 2), np.nan)]
    return np.concatenate(pieces[:-1]).astype(np.float32)


def _shade(depth: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Light a relief (depth in mm of the first voxel of brain, from the viewer) as a matt surface."""
    weight = np.maximum(gaussian_filter(flat.astype(float), 1.6), 1e-6)
    relief = -gaussian_filter(np.where(flat, depth, 0.0), 1.6) / weight
    slope_across, slope_up = np.gradient(relief)
    normal = np.stack([-slope_across, -slope_up, np.ones_like(relief)])
    light = np.asarray(LIGHT) / np.linalg.norm(LIGHT)
    shade = np.tensordot(light, normal / np.linalg.norm(normal, axis=0), 1)
    return np.where(binary_erosion(flat), np.clip(shade, 0, 1), np.nan)


def _closed(brain: np.ndarray) -> np.ndarray:
    """Fill the ventricles, which are open below, on every second voxel; give float32 of the full shape."""
    coarse = np.pad(brain[::2, ::2, ::2], CLOSING)
    filled = binary_fill_holes(binary_closing(coarse, iterations=CLOSING))
    inside = binary_erosion(filled, iterations=DEEP)[CLOSING:-CLOSING, CLOSING:-CLOSING, CLOSING:-CLOSING]
    whole = inside.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    return whole[tuple(slice(n) for n in brain.shape)].astype(np.float32)


@lru_cache(maxsize=1)
def _tissue() -> tuple[np.ndarray, np.ndarray]:
    """Give the share of gray and white matter in each voxel of 1 mm, (X, Y, Z) float32, and the affine."""
    from nilearn import datasets  # takes a second to import

    gray, white = (load(resolution=1) for load in (datasets.load_mni152_gm_template, datasets.load_mni152_wm_template))
    share = np.asarray(gray.dataobj, np.float32) + np.asarray(white.dataobj, np.float32)
    return np.minimum(share, 1), np.asarray(gray.affine, float)
