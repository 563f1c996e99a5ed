"""Which axis of a matrix of signals is time, where the file does not tell."""

from __future__ import annotations

import numpy as np

BETWEEN_REGIONS = 0.99  # of the variance, before the means along an axis are believed to be offsets of regions
SMOOTHER_BY = 0.1  # of the lag-1 autocorrelation, before an axis is believed to be time


def time_axis(values: np.ndarray) -> tuple[int, str]:
    """Tell which axis of a matrix is time, 0 unless something speaks for 1.

    Of signals as they were measured each region has its own offset, which its changes over time are small against.
    Where offsets were taken out, time is the axis along which the signal is smoother; both means are subtracted and
    both axes scaled first, because the signal that all regions share would look smooth along the wrong axis.

    Returns:
        0 or 1, and why.
    """
    x = np.where(np.isfinite(values), values, 0).astype(np.float64)
    total = x.var() or 1.0
    for axis in (0, 1):
        if x.mean(axis=axis).var() > BETWEEN_REGIONS * total:
            return axis, "each of the regions has a level of its own, around which it changes little"
    x -= x.mean(axis=0) + x.mean(axis=1, keepdims=True) - x.mean()
    for axis in (0, 1):
        spread = x.std(axis=axis, keepdims=True)
        x /= np.where(spread > 0, spread, 1)
    by = (_smoothness(x), _smoothness(x.T))
    axis = int(by[1] > by[0] + SMOOTHER_BY)
    return axis, f"the signal is smoother along it (autocorrelation {by[axis]:.2f} against {by[1 - axis]:.2f})"


def _smoothness(x: np.ndarray) -> float:
    """Give the lag-1 autocorrelation along axis 0, averaged over the other."""
    x = x - x.mean(axis=0)
    power = (x * x).sum(axis=0)
    product = (x[1:] * x[:-1]).sum(axis=0)
    return float(np.mean(product[power > 0] / power[power > 0])) if (power > 0).any() else 0.0
