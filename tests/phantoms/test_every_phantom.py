"""Every phantom's folder is there whole or not at all, and nothing is written over."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from workbench.errors import Cancelled, CohortError
from workbench.imaging.cohort import Cohort
from workbench.phantoms.bold import make_bold
from workbench.phantoms.brain import make_brain
from workbench.phantoms.brain_7t import make_brain_7t
from workbench.phantoms.digits import make_digits
from workbench.phantoms.head import make_head
from workbench.phantoms.infant import make_infant
from workbench.phantoms.lesion import make_lesion
from workbench.phantoms.modalities import make_paired
from workbench.phantoms.prostate import make_prostate
from workbench.phantoms.tumor import make_tumor

MAKERS: dict[str, Callable[..., Cohort]] = {
    "bold": partial(make_bold, n_subjects=6, n_volumes=60, n_regions=24),
    "brain": partial(make_brain, n_subjects=1, spacing_mm=8.0),
    "brain_7t": partial(make_brain_7t, n_subjects=1, spacing_mm=6.0, contrasts=["T1"]),
    "digits": partial(make_digits, n_subjects=120),
    "head": partial(make_head, n_subjects=2, spacing_mm=8.0),
    "infant": partial(make_infant, n_subjects=2, spacing_mm=8.0),
    "lesion": partial(make_lesion, n_subjects=2, spacing_mm=5.0),
    "paired": partial(make_paired, n_subjects=6),
    "prostate": partial(make_prostate, n_subjects=2, spacing_mm=4.0),
    "tumor": partial(make_tumor, n_subjects=2, spacing_mm=5.0),
}
every_phantom = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


@every_phantom
@pytest.mark.parametrize("at", [0.0, 0.4, 1.0])
def test_a_cancel_removes_everything(tmp_path: Path, make: Callable[..., Cohort], at: float) -> None:
    def stop(fraction: float, message: str) -> None:
        if fraction >= at:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        make(tmp_path / "gone", progress=stop)
    assert list(tmp_path.iterdir()) == []


@every_phantom
def test_a_folder_in_use_is_left_alone(tmp_path: Path, make: Callable[..., Cohort]) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "file").touch()
    with pytest.raises(CohortError, match="mine already holds something; choose another name"):
        make(out)
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == ["mine", "mine/file"]
