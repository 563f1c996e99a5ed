from __future__ import annotations

import numpy as np
import pytest

from workbench.errors import SettingsError
from workbench.phantoms.template import load_template


def test_two_millimetres_is_the_standard_lattice() -> None:
    template = load_template(2.0)
    assert template.t1.shape == (99, 117, 95)
    np.testing.assert_allclose(template.affine, [[2, 0, 0, -98], [0, 2, 0, -134], [0, 0, 2, -72], [0, 0, 0, 1]])


@pytest.mark.parametrize("spacing", [3.0, 8.0])
def test_fractions_sum_to_one_inside_and_zero_far_outside(spacing: float) -> None:
    total = load_template(spacing).fractions.sum(axis=0)
    assert total.max() <= 1 + 1e-5
    assert total[tuple(n // 2 for n in total.shape)] == pytest.approx(1, abs=1e-4)
    assert total[0].max() < 1e-6


def test_volumes_of_tissue_do_not_depend_on_spacing() -> None:
    litres = [load_template(s).fractions.sum(axis=(1, 2, 3)) * s**3 / 1e6 for s in (2.0, 4.0)]
    np.testing.assert_allclose(*litres, rtol=0.02)
    assert 1.5 < litres[0].sum() < 2.1  # litres; the MNI152 is larger than an average brain


def test_ventricles_are_fluid() -> None:
    template = load_template(2.0)
    lateral = np.rint(np.linalg.inv(template.affine) @ [-8, 8, 16, 1]).astype(int)[:3]  # mm, left frontal horn
    assert template.fractions[0][tuple(lateral)] > 0.6  # an average of 152, so not quite 1


@pytest.mark.parametrize("spacing", [0.5, 9.0, float("nan")])
def test_spacing_out_of_bounds_is_a_sentence(spacing: float) -> None:
    with pytest.raises(SettingsError, match="must be from 1 to 8 mm"):
        load_template(spacing)
