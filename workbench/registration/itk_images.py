"""Arrays and Volumes as SimpleITK images and back, checked; and how a SimpleITK filter is watched and stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import FileError, GeometryError
from workbench.imaging.limits import times

if TYPE_CHECKING:
    import SimpleITK as sitk

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
FEWEST_VOXELS = 4


def check_image(image: np.ndarray, name: str) -> None:
    """Refuse an image that cannot be registered.

    Args:
        image: (X, Y, Z).
        name: how it is called in the sentence, for example ``"fixed"``.

    Raises:
        FileError: constant, or not finite.
        GeometryError: fewer than four voxels along an axis.
    """
    if min(image.shape) < FEWEST_VOXELS:
        raise GeometryError(
            f"The {name} image has {times(image.shape)} voxels; registration needs at least {FEWEST_VOXELS} along each "
            "axis. Give a volume, not a slice."
        )
    low, high = float(image.min()), float(image.max())
    if not np.isfinite([low, high]).all():
        raise FileError(f"The {name} image holds values that are not finite; repair it before registering.")
    if low == high:
        raise FileError(
            f"The {name} image is {low + 0.0:g} in every voxel, so nothing in it can be matched; give one with content."
        )


def to_itk(image: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """Give (X, Y, Z) with its RAS affine as a SimpleITK image, whose space is LPS."""
    import SimpleITK as sitk

    out = sitk.GetImageFromArray(np.ascontiguousarray(image.transpose()))  # SimpleITK reads (Z, Y, X)
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    out.SetSpacing(spacing.tolist())
    out.SetOrigin(lps[:3, 3].tolist())
    out.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return out


def spaced(image: np.ndarray, spacing: Sequence[float]) -> sitk.Image:
    """Give (X, Y, Z) as a SimpleITK image that begins at 0 and is not turned: mm are voxels times spacing."""
    import SimpleITK as sitk

    out = sitk.GetImageFromArray(np.ascontiguousarray(image.transpose(), np.float32))
    out.SetSpacing([float(s) for s in spacing])
    return out


def field_to_itk(displacement: np.ndarray, spacing: Sequence[float]) -> sitk.Image:
    """Give (3, X, Y, Z) in voxels as a SimpleITK field in mm beside images made by `spaced`."""
    import SimpleITK as sitk

    mm = displacement.T * np.asarray(spacing, np.float64)  # (Z, Y, X, 3)
    out = sitk.GetImageFromArray(np.ascontiguousarray(mm), isVector=True)
    out.SetSpacing([float(s) for s in spacing])
    return out


def field_from_itk(field: sitk.Image) -> np.ndarray:
    """Give the field of images made by `spaced` as (3, X, Y, Z) float32 in voxels."""
    import SimpleITK as sitk

    mm = sitk.GetArrayViewFromImage(field)  # (Z, Y, X, 3)
    return np.ascontiguousarray((mm / np.array(field.GetSpacing())).T, np.float32)


@contextmanager
def told(tool: sitk.ProcessObject, tell: Callable[[], None]) -> Iterator[None]:
    """Call ``tell`` at each iteration of a filter that runs inside; an exception of it stops the filter and comes out.

    An exception must not cross SimpleITK's own code, so it is kept until the filter has returned.
    """
    import SimpleITK as sitk

    raised: list[BaseException] = []

    def heard() -> None:
        try:
            if not raised:
                tell()
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)
            tool.StopRegistration() if hasattr(tool, "StopRegistration") else tool.Abort()

    tool.AddCommand(sitk.sitkIterationEvent, heard)
    try:
        yield
    finally:
        tool.RemoveAllCommands()
        if raised:
            raise raised[0]
