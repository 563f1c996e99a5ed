"""A small store that the tests of this room draw from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from workbench.imaging.subject import Subject
from workbench.patches.prepared import Prepared
from workbench.patches.store import PatchStore

SHAPES = {"a": (7, 6, 5), "b": (5, 8, 6)}


def prepare(subject: Subject) -> Prepared:
    """Give voxels that tell where they are: 1000 s + 100 x + 10 y + z, and a left half as mask."""
    shape = SHAPES[subject.name]
    x, y, z = np.indices(shape)
    number = list(SHAPES).index(subject.name) + 1
    image = (1000 * number + 100 * x + 10 * y + z).astype(np.float32)
    labels = (x == 1) + 2 * (x == 2)
    affine = np.diag([2.0, 2, 2, 1])
    return Prepared(image[None], mask=x < 3, labels=labels, weights=(y == 2) * 1.0, affine=affine)


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., PatchStore]:
    """Give a function that builds, or opens, the store of two subjects."""

    def build(margin: int = 2) -> PatchStore:
        return PatchStore.build([Subject(n) for n in SHAPES], prepare, tmp_path / "store", key="k", margin=margin)

    return build
