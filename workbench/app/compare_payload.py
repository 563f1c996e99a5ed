"""What the slice viewer needs to compare two images on one lattice: the second image, and the field between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from workbench.app.overlay_layers import Layer
from workbench.app.payload import Image, gray_layer

MODES = ("side", "blend", "checker", "wipe", "flicker", "fixed", "moved", "grid")
FIELD_VALUES = 400_000
"""A smooth field needs no more nodes than this for its grid to be drawn."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """A second image on the lattice of the one a viewer shows.

    Attributes:
        image: the second image; its first channel is drawn, in a gray window of its own.
        names: of the first and the second, as they are written over the panels.
        deformation: (3, X, Y, Z) voxels, from each voxel to where the second image's value comes from, of which the
            grid is drawn; None where nothing was deformed.
        mode: how they are compared at first, of ``MODES``.
    """

    image: Image
    names: tuple[str, str] = ("Fixed", "Registered")
    deformation: np.ndarray | None = None
    mode: str = "blend"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}; got {self.mode!r}")
        shape = np.asarray(self.image.data).shape[1:]
        if self.deformation is not None and self.deformation.shape != (3, *shape):
            raise ValueError(f"a deformation on {shape} voxels is (3, X, Y, Z); got {self.deformation.shape}")

    def facts(self) -> dict[str, Any]:
        """Give what joins the header."""
        return {"compare": {"names": list(self.names), "mode": self.mode}}

    def layers(self, step: int) -> list[Layer]:
        """Give the second image and the field, where the viewer shows every ``step``-th voxel; made once."""
        known = _coded.setdefault(self, {})
        if step not in known:
            known[step] = self._layers(step)
        return known[step]

    def _layers(self, step: int) -> list[Layer]:
        data = np.asarray(self.image.data)[:1, ::step, ::step, ::step]
        layer, windows = gray_layer(data, self.names[1])
        found = [Layer(layer.codes, layer.header | {"role": "second", "windows": windows[:1]})]
        if self.deformation is not None:
            found.append(_field(self.deformation, step))
        return found


_coded: WeakKeyDictionary[Comparison, dict[int, list[Layer]]] = WeakKeyDictionary()


def _field(deformation: np.ndarray, step: int) -> Layer:
    """Code a field on every n-th voxel by 16 bits; its unit becomes the voxel that is shown."""
    every = step
    while np.prod([-(-n // every) for n in deformation.shape[1:]]) > FIELD_VALUES:
        every += step
    coarse = np.asarray(deformation[:, ::every, ::every, ::every], np.float32) / step
    low, high = float(coarse.min()), float(coarse.max())
    size = (high - low) / 65_534 or 1.0
    codes = (np.rint((coarse - low) / size) + 1).astype(np.uint16)
    facts = {"low": low, "step": size, "every": every // step, "shape": list(coarse.shape[1:])}
    return Layer(codes, {"name": "field", "kind": "field", "role": "field"} | facts)
