"""Two images and the map between them, in mm.

The total map is x → linear(x + d(x)): the deformable part d acts in the space of the fixed image, the linear map then
leads into the moving one. ``field`` and ``inverse`` hold the total, so whoever reads them needs nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from workbench.errors import GeometryError
from workbench.imaging.displacements import jacobian_determinant, lattice_positions, pull_at
from workbench.imaging.geometry import warp
from workbench.imaging.limits import times
from workbench.imaging.volume import Volume
from workbench.registration.match import EnergyRow
from workbench.registration.warped_labels import labels_at


@dataclass(frozen=True, eq=False)
class Registered:
    """A finished registration.

    Attributes:
        method: its name, as it is shown.
        fixed: the image whose lattice results have, as it was given.
        moving: the image that was brought onto it, as it was given.
        linear: (4, 4), mm RAS of the fixed image → mm RAS of the moving one.
        field: (3, X, Y, Z) float32 mm RAS on the lattice of ``fixed``, the total map: out(x) = moving(x + field(x)).
        inverse: (3, X', Y', Z') float32 mm RAS on the lattice of ``moving``, the total map back.
        folded_share: share of fixed voxels where the deformable part has det J ≤ 0.
        energy: one row an iteration of the deformable part.
        points_mm: (N, 6) float32 mm RAS, driving points (fixed x, y, z, moving x, y, z); None if there are none.
        seconds: that it took.
        notes: sentences for the user, for example that the affine map was given up.
    """

    method: str
    fixed: Volume
    moving: Volume
    linear: np.ndarray
    field: np.ndarray
    inverse: np.ndarray
    folded_share: float = 0.0
    energy: tuple[EnergyRow, ...] = ()
    points_mm: np.ndarray | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.field.shape != (3, *self.fixed.shape) or self.inverse.shape != (3, *self.moving.shape):
            raise ValueError(
                f"field {self.field.shape} and inverse {self.inverse.shape} do not lie on the lattices of the fixed "
                f"{self.fixed.shape} and the moving image {self.moving.shape}"
            )

    def warped(self) -> Volume:
        """Give the moving image on the lattice of the fixed one; its darkest value where it does not reach."""
        return warp(self.moving, self.field, like=self.fixed, fill=float(self.moving.data.min()))

    def warped_fixed(self) -> Volume:
        """Give the fixed image on the lattice of the moving one, by the inverse map."""
        return warp(self.fixed, self.inverse, like=self.moving, fill=float(self.fixed.data.min()))

    def warp_labels(self, labels: np.ndarray, mode: Literal["nearest", "linear"] = "nearest") -> np.ndarray:
        """Bring a label map of the moving image onto the fixed lattice.

        Args:
            labels: (X', Y', Z') integers on the lattice of ``moving``.
            mode: ``linear`` gives the label with the largest share among the eight voxels around each place.

        Returns:
            (X, Y, Z) int32; 0 where the moving image does not reach.
        """
        if labels.shape != self.moving.shape:
            raise GeometryError(
                f"The label map has {times(labels.shape)} voxels but the moving image has {times(self.moving.shape)}; "
                "give the label map of the moving image, on its lattice."
            )
        return labels_at(labels, self.positions(), mode)

    def linear_alone(self) -> Registered:
        """Give the same with the linear part alone, for what the deformation adds to be seen."""
        there, back = linear_fields(self.fixed, self.moving, self.linear)
        return replace(self, field=there, inverse=back, folded_share=0.0)

    def positions(self) -> np.ndarray:
        """Give the fractional moving voxel (3, X, Y, Z) float32 of every fixed voxel."""
        to_moving = np.linalg.inv(self.moving.affine)
        steps = np.tensordot(to_moving[:3, :3], self.field, 1)
        return (lattice_positions(self.fixed.shape, to_moving @ self.fixed.affine) + steps).astype(np.float32)

    def warp_points(self, points_mm: np.ndarray) -> np.ndarray:
        """Give the places in the moving image of points of the fixed one, both (n, 3) mm RAS.

        Beyond the fixed lattice the linear map goes on, with the deformation of the nearest border.
        """
        return _moved(np.asarray(points_mm, float), self.fixed, self.field, self.linear)

    def warp_points_back(self, points_mm: np.ndarray) -> np.ndarray:
        """Give the places in the fixed image of points of the moving one, both (n, 3) mm RAS."""
        return _moved(np.asarray(points_mm, float), self.moving, self.inverse, np.linalg.inv(self.linear))

    def deformation(self) -> np.ndarray:
        """Give the deformable part d (3, X, Y, Z) in voxels of the fixed lattice: x → linear(x + d(x))."""
        back = np.linalg.inv(self.linear @ self.fixed.affine)  # moving mm → fixed voxels
        bent = np.tensordot(back[:3, :3], self.field, 1)
        # back(x + u(x)) - v: the constant part is linear in the voxel, computed in one go for the sake of rounding
        straight = lattice_positions(self.fixed.shape, back @ self.fixed.affine - np.eye(4))
        return (straight + bent).astype(np.float32)

    def jacobian(self) -> np.ndarray:
        """Give the determinant (X, Y, Z) float32 of the deformable part: > 1 where the moving image is the larger."""
        return jacobian_determinant(self.deformation())


def linear_fields(fixed: Volume, moving: Volume, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give a linear map (4, 4), mm RAS of the fixed → mm RAS of the moving image, as fields on both lattices, in mm."""
    field = lattice_positions(fixed.shape, (linear - np.eye(4)) @ fixed.affine)
    return field, lattice_positions(moving.shape, (np.linalg.inv(linear) - np.eye(4)) @ moving.affine)


def _moved(points: np.ndarray, image: Volume, field: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Apply a total field to points (n, 3) mm: its linear part exactly, the rest by interpolation."""
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points are (n, 3) in mm; got {points.shape}")
    voxels = image.to_voxels(points)
    inside = np.clip(voxels, 0, np.array(image.shape) - 1)
    steps = pull_at(field, inside.T.astype(np.float32)).T  # (n, 3)
    at_border = image.to_mm(inside)
    straight = at_border @ linear[:3, :3].T + linear[:3, 3]
    moved: np.ndarray = points @ linear[:3, :3].T + linear[:3, 3] + (at_border + steps - straight)
    return moved
