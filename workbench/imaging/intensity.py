"""Intensities made comparable: z-score, HU window, percentiles, histogram matching, bias field, level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import GeometryError
from workbench.imaging.limits import times
from workbench.imaging.volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

N_HISTOGRAM_LEVELS = 256
N_MATCH_POINTS = 15
N4_ITERATIONS = (50, 50, 30, 20)
MIN_SHRUNK = 16  # voxels along an axis that N4's splines need


def z_score(volume: Volume, mask: np.ndarray | None = None) -> Volume:
    """Subtract the mean and divide by the standard deviation, channel by channel.

    Args:
        volume: any.
        mask: (X, Y, Z), non-zero where mean and deviation are measured; everywhere without it. Voxels outside are
            transformed too.

    Returns:
        Mean 0 and deviation 1 inside; all 0 where the image is constant.

    Raises:
        GeometryError: the mask is empty or of another shape.
    """
    data = np.empty_like(volume.data)
    for out, image, inside in zip(data, volume.data, _inside(volume, mask), strict=True):
        mean, deviation = inside.mean(dtype=np.float64), inside.std(dtype=np.float64)
        out[...] = (image - np.float32(mean)) / np.float32(deviation) if deviation > 1e-12 * abs(mean) else 0
    return volume.with_data(data)


def window_hu(volume: Volume, center: float, width: float) -> Volume:
    """Map a CT window to 0..1: center − width / 2 and below to 0, center + width / 2 and above to 1.

    Args:
        volume: in HU.
        center: HU; lung −600, abdomen 40, brain 40, bone 480.
        width: HU; lung 1500, abdomen 400, brain 80, bone 2500.
    """
    if not width > 0:
        raise ValueError(f"a window's width must be positive; got {width}")
    return volume.with_data(np.clip((volume.data - np.float32(center - width / 2)) / np.float32(width), 0, 1))


def rescale(
    volume: Volume, low_percentile: float = 0.5, high_percentile: float = 99.5, mask: np.ndarray | None = None
) -> Volume:
    """Map two percentiles to 0 and 1, channel by channel, and cut off what lies beyond.

    Args:
        volume: any.
        low_percentile: 0 to 100.
        high_percentile: above it.
        mask: (X, Y, Z), non-zero where percentiles are measured; everywhere without it.

    Returns:
        0..1; all 0 where both percentiles are equal.

    Raises:
        GeometryError: the mask is empty or of another shape.
    """
    if not 0 <= low_percentile < high_percentile <= 100:
        raise ValueError(f"expected percentiles 0 <= low < high <= 100; got {low_percentile} and {high_percentile}")
    data = np.empty_like(volume.data)
    for out, image, inside in zip(data, volume.data, _inside(volume, mask), strict=True):
        low, high = np.percentile(inside, (low_percentile, high_percentile))
        out[...] = np.clip((image - np.float32(low)) / np.float32(high - low), 0, 1) if high > low else 0
    return volume.with_data(data)


def match_histogram(volume: Volume, reference: Volume, *, has_background: bool = True) -> Volume:
    """Change intensities so that their histogram is like that of a reference (Nyúl, Udupa, Zhang 2000, as in ITK).

    Voxels below the mean of each image, mostly background, do not take part in finding the 15 landmarks, unless
    there is no background.

    Args:
        volume: one channel, or as many as the reference.
        reference: any shape and place.
        has_background: False where both hold foreground alone; then every voxel takes part.
    """
    import SimpleITK as sitk

    if reference.n_channels not in (1, volume.n_channels):
        raise ValueError(f"reference has {reference.n_channels} channels, volume has {volume.n_channels}")
    data = np.empty_like(volume.data)
    for channel, image in enumerate(volume.data):
        other = reference.data[min(channel, reference.n_channels - 1)]
        if image.min() == image.max() or other.min() == other.max():
            data[channel] = image  # nothing to match
            continue
        matched = sitk.HistogramMatching(
            _image(image), _image(other), N_HISTOGRAM_LEVELS, N_MATCH_POINTS, has_background
        )
        data[channel] = _array(matched, image.shape)
    return volume.with_data(data)


def correct_bias(volume: Volume, mask: np.ndarray | None = None, shrink: int = 4) -> Volume:
    """Divide out a smooth bias field, channel by channel (N4: Tustison 2010).

    The field is estimated on a coarser copy and applied at full resolution. It is a factor; values keep their scale.
    Far from the mask its splines are free to explode, so there it is held to the range found inside.

    Args:
        volume: MR; values should not be negative.
        mask: (X, Y, Z), non-zero where the field is estimated; the foreground by Otsu's threshold without it.
        shrink: how much coarser, 1 to 8; less along short axes.

    Raises:
        GeometryError: the mask is empty or of another shape.
    """
    import SimpleITK as sitk

    _inside(volume, mask)
    data = np.empty_like(volume.data)
    for out, values in zip(data, volume.data, strict=True):
        out[...] = values
        if values.min() == values.max():
            continue
        image = _image(values)
        inside = sitk.OtsuThreshold(image, 0, 1) if mask is None else _image((mask != 0).astype(np.uint8))
        factors = [max(min(shrink, n // MIN_SHRUNK), 1) for n in image.GetSize()]
        n4 = sitk.N4BiasFieldCorrectionImageFilter()
        n4.SetMaximumNumberOfIterations(N4_ITERATIONS)
        n4.Execute(sitk.Shrink(image, factors), sitk.Shrink(inside, factors))
        log_field = _array(n4.GetLogBiasFieldAsImage(image), values.shape)
        measured = log_field[_array(inside, values.shape) > 0]
        out[...] = values / np.exp(np.clip(log_field, measured.min(), measured.max()))
    return volume.with_data(data)


def level(volume: Volume, mask: np.ndarray, sigma_mm: float = 20.0) -> Volume:
    """Divide by the mean of the surroundings, so that only what changes faster than they do is left.

    Coarser than :func:`correct_bias` and far faster: slow anatomy goes with the bias field, which an alignment of edges
    does not miss.

    Args:
        volume: (C, X, Y, Z), not negative inside the mask.
        mask: (X, Y, Z), non-zero where there is anatomy; the surroundings are taken from there.
        sigma_mm: standard deviation of the Gaussian that weighs them.

    Returns:
        About 1 inside the mask, 0 outside.
    """
    from scipy.ndimage import gaussian_filter  # here, since readers of files import this module and stay light

    inside = mask != 0
    sigma = [sigma_mm / s for s in volume.spacing]
    weight = np.maximum(gaussian_filter(inside.astype(np.float32), sigma, truncate=3.0), 1e-6)
    out = np.zeros_like(volume.data, dtype=np.float32)
    for channel, kept in zip(volume.data, out, strict=True):
        mean = gaussian_filter(np.where(inside, channel, 0).astype(np.float32), sigma, truncate=3.0) / weight
        kept[inside] = channel[inside] / np.maximum(mean[inside], max(1e-3 * float(mean.max()), 1e-12))
    return volume.with_data(out)


def _inside(volume: Volume, mask: np.ndarray | None) -> list[np.ndarray]:
    """Give the values of each channel that a mask selects."""
    if mask is None:
        return list(volume.data)
    if mask.shape != volume.shape:
        raise GeometryError(
            f"The mask has {times(mask.shape)} voxels but {volume.modality} has {times(volume.shape)}; resample it "
            "first."
        )
    inside = mask != 0
    if not inside.any():
        raise GeometryError(f"The mask of {volume.modality} is empty, so nothing can be measured in it; draw it again.")
    return [image[inside] for image in volume.data]


def _image(array: np.ndarray) -> sitk.Image:
    """Wrap (X, Y, Z) for SimpleITK; a single slice becomes a 2-D image, which its filters need."""
    import SimpleITK as sitk

    return sitk.GetImageFromArray(array[:, :, 0] if array.shape[2] == 1 else array)


def _array(image: sitk.Image, shape: tuple[int, ...]) -> np.ndarray:
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(image).reshape(shape)  # a copy: a view is void when its image is collected
