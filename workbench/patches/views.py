"""2.5-D: the three orthogonal planes through a center as channels of one picture.

A 2-D network then sees all three directions at a cubic root of the cost of a cube; the review's Section 3.3 cites
Prasoon 2013 and Roth 2014 for it.
"""

from __future__ import annotations

import numpy as np

from workbench.patches.gather import gather_plane


def three_planes(volume: np.ndarray, centers: np.ndarray, size: int, margin: int = 0) -> np.ndarray:
    """Copy the sagittal, coronal and axial planes through centers.

    Args:
        volume: (C, X, Y, Z).
        centers: (n, 3) voxel indices.
        size: voxels along both edges of each plane.
        margin: as in :func:`workbench.patches.gather.gather`.

    Returns:
        (n, 3 C, size, size): for each channel its (Y, Z), then (X, Z), then (X, Y) plane.
    """
    planes = [gather_plane(volume, centers, (size, size), axis, margin) for axis in (0, 1, 2)]
    stacked = np.stack(planes, axis=2)  # (n, C, 3, size, size)
    return stacked.reshape(len(stacked), -1, size, size)
