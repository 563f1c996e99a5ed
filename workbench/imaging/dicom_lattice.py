"""From the positions of DICOM slices to one lattice, or a sentence that says why there is none."""

from __future__ import annotations

import numpy as np

from workbench.errors import GeometryError
from workbench.imaging.dicom_header import Frame

# Positions are written with a few decimals; a gap may differ from the others by this share of it.
GAP_TOLERANCE = 0.02
ANGLE_TOLERANCE = 1e-3


def lattice(frames: list[Frame], thickness_mm: float, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Sort the slices and fit the lattice they lie on.

    Returns:
        The order (n,) from the first slice to the last, and the affine (4, 4) in LPS of voxels (column, row, slice).

    Raises:
        GeometryError: as :func:`read_dicom` says.
    """
    first = frames[0]
    if not all(np.isfinite(f.position).all() and np.isfinite(f.orientation).all() for f in frames):  # type: ignore[arg-type]
        raise GeometryError(f"A position in {name} is not a number; export the series again.")
    for frame in frames:
        if np.abs(frame.orientation - first.orientation).max() > ANGLE_TOLERANCE:  # type: ignore[operator]
            raise GeometryError(
                f"The slices of {name} lie in different planes (a localizer, or a scan around an axis); keep those "
                "of one plane."
            )
        if not np.allclose(frame.spacing, first.spacing, rtol=1e-3):
            raise GeometryError(
                f"The slices of {name} have different pixel sizes ({first.spacing} and {frame.spacing} mm); keep "
                "those of one size."
            )
    heights = heights_of(frames)
    order = np.argsort(heights, kind="stable")
    along_row, along_column = first.orientation  # type: ignore[misc]
    start = np.array(frames[order[0]].position)
    step = np.cross(along_row, along_column) * thickness_mm
    if len(frames) > 1:
        check_gaps(heights[order], name)
        # The mean step, not the normal: with a tilted gantry each slice is also shifted in its plane.
        step = (np.array(frames[order[-1]].position) - start) / (len(frames) - 1)
        path = start + np.arange(len(frames))[:, None] * step
        drift = np.abs(np.array([frames[i].position for i in order]) - path).max()
        if drift > max(GAP_TOLERANCE * float(np.linalg.norm(step)), 0.01) * 2:
            raise GeometryError(
                f"The slices of {name} are shifted against each other by up to {drift:.3g} mm and make no straight "
                "stack; export the series again."
            )
    affine = np.eye(4)
    affine[:3, 0] = along_row * first.spacing[0]
    affine[:3, 1] = along_column * first.spacing[1]
    affine[:3, 2], affine[:3, 3] = step, start
    return order, affine


def check_gaps(heights: np.ndarray, name: str) -> None:
    """Check that slices are evenly apart.

    Args:
        heights: (n,) mm along the normal, sorted.
        name: of the series, for the sentence.

    Raises:
        GeometryError: two at one place, one missing, or uneven gaps; each with its place and size.
    """
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    if gaps.min() < 1e-3:
        n_places = len(np.unique(np.round(heights, 3)))
        raise GeometryError(
            f"{name} has {len(heights)} slices at only {n_places} places (several echoes, time points or copies); "
            "put each volume in a folder of its own."
        )
    worst = int(np.argmax(np.abs(gaps - usual)))
    gap, below = float(gaps[worst]), float(heights[worst])
    if abs(gap - usual) <= max(GAP_TOLERANCE * usual, 0.01):
        return
    n_missing = round(gap / usual) - 1
    if n_missing > 0 and abs(gap - (n_missing + 1) * usual) <= 0.05 * gap:
        noun = "slice is" if n_missing == 1 else "slices are"
        raise GeometryError(
            f"{n_missing} {noun} missing in {name}: it goes from {below:.4g} to {below + gap:.4g} mm where slices "
            f"are {usual:.4g} mm apart; add the missing files."
        )
    raise GeometryError(
        f"The slices of {name} are unevenly apart ({float(gaps.min()):.4g} to {float(gaps.max()):.4g} mm, uneven "
        f"first at {below:.4g} mm); expected one distance. "
        "Keep a part with even gaps."
    )


def heights_of(frames: list[Frame]) -> np.ndarray:
    """Give the position of each frame along the normal of the first, in mm."""
    along_row, along_column = frames[0].orientation  # type: ignore[misc]
    return np.array([f.position for f in frames]) @ np.cross(along_row, along_column)
