"""Cleaning: it is nilearn's, frequencies go where they should, and every setting that cannot be is refused."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn import signal

from workbench.errors import CohortError, SettingsError
from workbench.imaging.cleaning import RAW, Cleaning, clean
from workbench.imaging.confounds import Confounds

T = 200


def noise(n_columns: int = 3, seed: int = 0) -> np.ndarray:
    return 100 + np.random.default_rng(seed).normal(size=(T, n_columns)).astype(np.float32)


def moved(at: list[int], values: np.ndarray | None = None) -> Confounds:
    displacement = np.zeros(T)
    displacement[at] = 2.0
    values = np.zeros((T, 0)) if values is None else values
    return Confounds(values, tuple(f"c{i}" for i in range(values.shape[1])), displacement, ())


@pytest.mark.parametrize("standardize", ["zscore_sample", "psc", "none"])
@pytest.mark.parametrize("with_confounds", [True, False])
def test_cleaning_is_nilearns(standardize: str, with_confounds: bool) -> None:
    values, nuisance = noise(), noise(2, 1).astype(float) if with_confounds else None
    found, _ = clean(
        values,
        Cleaning(standardize=standardize),  # type: ignore[arg-type]
        tr_s=2.0,
        confounds=None if nuisance is None else moved([], nuisance),
        name="s",
    )
    expected = signal.clean(
        values.astype(float),
        standardize=None if standardize == "none" else standardize,
        confounds=nuisance,
        low_pass=0.1,
        high_pass=0.01,
        t_r=2.0,
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_filters_keep_what_lies_between_them() -> None:
    t = np.arange(T) * 2.0
    waves = {f: np.sin(2 * np.pi * f * t) for f in (0.003, 0.05, 0.2)}
    found, _ = clean(100 + sum(waves.values())[:, None], Cleaning(standardize="none"), tr_s=2.0, name="s")
    inner = slice(30, -30)
    assert np.corrcoef(found[inner, 0], waves[0.05][inner])[0, 1] > 0.99


def test_a_confound_leaves_no_trace() -> None:
    nuisance = noise(1, 5).astype(float)
    cleaning = Cleaning(low_pass_hz=0, high_pass_hz=0)
    found, _ = clean(noise() + 3 * nuisance.astype("f4"), cleaning, confounds=moved([], nuisance), name="s")
    assert np.abs(found.T @ (nuisance - nuisance.mean())).max() < 0.6  # of T terms of size 1; 14 by chance


def test_raw_leaves_everything() -> None:
    values = noise()
    values[:, 1] = np.nan
    found, notes = clean(values, RAW, name="s")
    np.testing.assert_array_equal(found, values)
    assert notes == []


def test_scrubbing_drops_or_bridges_and_says_so() -> None:
    values = noise()
    values[[50, 51]] += 1000
    off = {"low_pass_hz": 0, "high_pass_hz": 0, "detrend": False, "standardize": "none", "fd_limit_mm": 0.5}
    dropped, notes = clean(values, Cleaning(**off), confounds=moved([50, 51]), name="s")  # type: ignore[arg-type]
    np.testing.assert_allclose(dropped, np.delete(values, [50, 51], axis=0), rtol=1e-6)
    assert "2 of 200 volumes moved by more than 0.5 mm and were dropped" in notes[0]
    bridged, _ = clean(values, Cleaning(**off, scrub="interpolate"), confounds=moved([50, 51]), name="s")  # type: ignore[arg-type]
    expected = values[49] + (values[52] - values[49]) / 3
    assert len(bridged) == T
    np.testing.assert_allclose(bridged[50], expected, rtol=1e-5)


def test_the_first_volumes_go_from_signals_and_confounds_alike() -> None:
    nuisance = noise(1, 3).astype(float)
    nuisance[:4] = 1e6
    values = noise() + nuisance.astype("f4")
    cleaning = Cleaning(drop_first=4)
    found, notes = clean(values, cleaning, tr_s=2.0, confounds=moved([], nuisance), name="s")
    after = Confounds(nuisance[4:], ("c0",), np.zeros(T - 4), ())
    expected, _ = clean(values[4:], Cleaning(), tr_s=2.0, confounds=after, name="s")
    np.testing.assert_array_equal(found, expected)
    assert notes == ["The first 4 volumes were dropped."]


def test_a_low_pass_beyond_the_sampling_is_left_out_and_said() -> None:
    found, notes = clean(noise(), Cleaning(), tr_s=6.0, name="s")
    assert "0.1 Hz was left out: at a repetition time of 6 s" in notes[0] and np.isfinite(found).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"low_pass_hz": -1}, "low_pass_hz must be 0 or more; got -1"),
        ({"low_pass_hz": float("nan")}, "low_pass_hz must be"),
        ({"low_pass_hz": 0.01, "high_pass_hz": 0.1}, "must lie above the high pass"),
        ({"standardize": "zscore"}, "standardize must be one of"),
        ({"scrub": "keep"}, "scrub must be one of drop, interpolate"),
        ({"regressors": "most"}, "regressors must be one of"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Cleaning(**settings)


def test_what_does_not_fit_the_series_is_refused() -> None:
    with pytest.raises(SettingsError, match="repetition time of s is not known"):
        clean(noise(), Cleaning(), name="s")
    with pytest.raises(CohortError, match="19 volumes; at least 20"):
        clean(noise()[:19], Cleaning(), tr_s=2.0, name="s")
    with pytest.raises(SettingsError, match="needs the motion of s"):
        clean(noise(), Cleaning(fd_limit_mm=0.5), tr_s=2.0, name="s")
    with pytest.raises(CohortError, match="lies still in only 50 of 200"):
        clean(noise(), Cleaning(fd_limit_mm=0.5), tr_s=2.0, confounds=moved(list(range(50, 200))), name="s")
    with pytest.raises(CohortError, match="200 volumes for 199 confounds"):
        clean(noise(), Cleaning(), tr_s=2.0, confounds=moved([], noise(199).astype(float)), name="s")
    with pytest.raises(CohortError, match="of which 199 are to be dropped"):
        clean(noise(), Cleaning(drop_first=199), tr_s=2.0, name="s")
    with pytest.raises(SettingsError, match="Percent signal change needs"):
        clean(noise() - 100, Cleaning(standardize="psc"), tr_s=2.0, name="s")
    with pytest.raises(SettingsError, match="leaves nothing of s"):
        clean(noise(), Cleaning(low_pass_hz=0, high_pass_hz=0.3), tr_s=2.0, name="s")
