"""What is to be known of an image, as rows of a table."""

from __future__ import annotations

from typing import Any

import numpy as np


def facts(volume: Any, subject: Any) -> list[tuple[str, str]]:
    """Give (quantity, value with unit) of a Volume and its Subject."""
    finite = volume.data[np.isfinite(volume.data)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (float("nan"), float("nan"))
    rows = [
        ("Voxels", " × ".join(map(str, volume.shape))),
        ("Voxel size", " × ".join(f"{s:.3g}" for s in volume.spacing) + " mm"),
        ("Extent", " × ".join(f"{n * s:.0f}" for n, s in zip(volume.shape, volume.spacing, strict=True)) + " mm"),
        ("Channels or time points", str(volume.n_channels)),
        ("Orientation in the file", "made here" if volume.grid is None else f"{volume.grid.codes}, shown as RAS"),
        ("Values", f"{low:.4g} to {high:.4g}"),
        ("Not a number", f"{100 * (1 - finite.size / max(1, volume.data.size)):.3g} %"),
        ("Group", subject.group or "its own"),
        ("Part of the split", subject.split or "not fixed"),
    ]
    return rows + [(name, str(value)) for name, value in list(subject.covariates.items())[:12]]
