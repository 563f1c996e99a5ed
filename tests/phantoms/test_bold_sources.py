"""Time courses, the haemodynamic response and planted networks: what the recovery table's generator promises."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn.glm.first_level import spm_hrf
from scipy.stats import kurtosis

from workbench.phantoms.bold_networks import block_members, draw_networks, planted_networks
from workbench.phantoms.bold_sources import draw_sources, haemodynamic_response, respond, standardized

KINDS = ("events", "binary", "laplace", "gaussian")


def test_response_is_the_double_gamma_peaking_at_5_s_with_an_undershoot_at_16_s() -> None:
    tr = 0.05
    response = haemodynamic_response(tr)
    assert response.argmax() * tr == pytest.approx(5, abs=0.1)
    assert 15 < response.argmin() * tr < 17
    assert response.sum() == pytest.approx(1)
    # nilearn's own kernel starts one fine step late and stretches its grid by one step in 640
    other = spm_hrf(1.0, oversampling=20)
    assert np.corrcoef(response[: len(other) - 1], other[1:])[0, 1] > 0.9999


def test_an_event_is_seen_five_seconds_later_and_not_before() -> None:
    response = haemodynamic_response(0.5)
    neural = np.zeros((200, 1))
    neural[100] = 1
    bold = respond(neural, response)[:, 0]
    event = 100 - (len(response) - 1)  # the first row that the response covers whole is that of volume L - 1
    assert np.abs(bold[:event]).max() < 1e-12
    assert bold.argmax() - event == 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tr", [None, 2.0])
def test_courses_are_standardized_and_independent(kind: str, tr: float | None) -> None:
    response = None if tr is None else haemodynamic_response(tr)
    courses = draw_sources(np.random.default_rng(0), 4000, 5, kind, response)
    assert courses.shape == (4000, 5)
    np.testing.assert_allclose(courses.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(courses.std(axis=0), 1, atol=1e-9)
    effective = 4000 / (1 if response is None and kind != "events" else 8)
    assert np.abs(np.corrcoef(courses.T) - np.eye(5)).max() < 5 / np.sqrt(effective)


def test_kinds_have_their_laws() -> None:
    raw = {kind: draw_sources(np.random.default_rng(1), 40_000, 1, kind)[:, 0] for kind in KINDS}
    on = {kind: (raw[kind] > 0).mean() for kind in ("events", "binary")}
    assert on["binary"] == pytest.approx(0.15, abs=0.01)
    assert on["events"] == pytest.approx(1 - 0.95**4, abs=0.015)
    assert kurtosis(raw["laplace"]) == pytest.approx(3, abs=0.6)
    assert kurtosis(raw["gaussian"]) == pytest.approx(0, abs=0.1)
    starts = np.flatnonzero(np.diff((raw["events"] > 0).astype(int)) == 1)
    ends = np.flatnonzero(np.diff((raw["events"] > 0).astype(int)) == -1)
    assert (ends[ends > starts[0]] - starts[: len(ends[ends > starts[0]])]).min() == 4


def test_a_constant_column_becomes_zero() -> None:
    np.testing.assert_array_equal(standardized(np.ones((5, 2))), 0)


def test_networks_are_blocks_of_13_with_negative_members_and_reach() -> None:
    members = block_members(116)
    assert np.bincount(members[members >= 0]).tolist() == [13] * 8
    for seed in range(5):
        maps = draw_networks(seed, members).maps
        for k, weights in enumerate(maps):
            inside, outside = weights[members == k], weights[members != k]
            assert (np.abs(inside) >= 0.6).all() and (np.abs(inside) <= 1.2).all() and (inside < 0).sum() == 2
            reached = outside[outside != 0]
            assert len(reached) == 3 and (reached >= 0.4).all() and (reached <= 0.8).all()


@pytest.mark.parametrize("noise", [0.0, 1.0, None])
def test_the_series_is_the_courses_times_the_weights_and_white_noise(noise: float | None) -> None:
    planted = planted_networks(4000, seed=3, noise=noise, n_regions=60)
    assert planted.values.dtype == np.float32 and planted.values.shape == (4000, 60)
    active = np.abs(planted.maps).sum(axis=0) > 0
    values, maps = planted.values[:, active].astype(float), planted.maps[:, active]
    found = np.linalg.lstsq(planted.courses, values, rcond=None)[0]
    sd = draw_networks(3, block_members(60)).signal_sd if noise is None else noise
    expected = maps / np.sqrt((maps**2).sum(axis=0) + sd**2)
    assert np.abs(found - expected).max() < (0.1 if sd else 0.06)  # courses of finite length correlate a little
    share = (values - planted.courses @ found).var(axis=0)
    np.testing.assert_allclose(share, sd**2 / ((maps**2).sum(axis=0) + sd**2), atol=0.06)


def test_snr_1_has_as_much_noise_as_signal() -> None:
    networks = draw_networks(0, block_members(116))
    signal = np.random.default_rng(0).normal(size=(4000, 8)) @ networks.maps
    assert networks.signal_sd == pytest.approx(np.sqrt((signal**2).mean()), rel=0.03)
