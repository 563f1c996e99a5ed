"""Cleaning of regional time series: trend, slow and fast changes, motion, scrubbing, scale (Section 3.5).

Always in this order, that of ``nilearn.signal.clean``, which does the work (filters stay orthogonal to confounds:
Lindquist et al. 2019, Human Brain Mapping 40:2358): the first volumes are dropped; scrubbed volumes are interpolated;
signals and confounds are detrended; both are filtered; scrubbed volumes are dropped again where that is asked for;
confounds are regressed out; signals are scaled.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.errors import CohortError, SettingsError
from workbench.imaging.confounds import Confounds, Regressors
from workbench.imaging.regional_series import some

Scale = Literal["zscore_sample", "psc", "none"]
Scrub = Literal["drop", "interpolate"]
MIN_FILTERED = 20  # volumes, before a filter makes sense
MIN_SHARE_KEPT = 0.5
MAX_SHARE_OF_NYQUIST = 0.99


@dataclass(frozen=True)
class Cleaning:
    """Settings of the cleaning.

    Attributes:
        detrend: take out a line.
        low_pass_hz: changes faster than this are taken out; 0 keeps them.
        high_pass_hz: changes slower than this are taken out; 0 keeps them.
        standardize: ``"zscore_sample"`` mean 0 and standard deviation 1 (n - 1), ``"psc"`` percent of the mean,
            ``"none"``.
        drop_first: volumes left out at the beginning.
        fd_limit_mm: volumes with a larger framewise displacement are scrubbed; 0 scrubs none.
        scrub: ``"drop"`` leaves such volumes out, ``"interpolate"`` puts a line between their neighbors.
        smoothing_fwhm_mm: Gaussian smoothing of the image before the regions are averaged; 0 for none.
        regressors: which columns of the confounds are regressed out.
    """

    detrend: bool = True
    low_pass_hz: float = 0.1
    high_pass_hz: float = 0.01
    standardize: Scale = "zscore_sample"
    drop_first: int = 0
    fd_limit_mm: float = 0.0
    scrub: Scrub = "drop"
    smoothing_fwhm_mm: float = 0.0
    regressors: Regressors = "motion and tissue"

    def __post_init__(self) -> None:
        numbers = {k: getattr(self, k) for k in ("low_pass_hz", "high_pass_hz", "fd_limit_mm", "smoothing_fwhm_mm")}
        numbers["drop_first"] = self.drop_first
        for name, value in numbers.items():
            if not (math.isfinite(value) and value >= 0):
                raise SettingsError(f"{name} must be 0 or more; got {value}.")
        if 0 < self.low_pass_hz <= self.high_pass_hz:
            raise SettingsError(
                f"The low pass ({self.low_pass_hz:g} Hz) must lie above the high pass ({self.high_pass_hz:g} Hz); "
                "nothing would be left between."
            )
        known = {"standardize": ("zscore_sample", "psc", "none"), "scrub": ("drop", "interpolate")}
        known["regressors"] = ("motion", "motion and tissue", "all", "none")
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                raise SettingsError(f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}.")

    @property
    def filters(self) -> bool:
        """Whether a filter is on, which needs the repetition time."""
        return self.low_pass_hz > 0 or self.high_pass_hz > 0


RAW = Cleaning(detrend=False, low_pass_hz=0, high_pass_hz=0, standardize="none", regressors="none")
"""No cleaning at all."""


def clean(
    values: np.ndarray, cleaning: Cleaning, *, tr_s: float | None = None, confounds: Confounds | None = None, name: str
) -> tuple[np.ndarray, list[str]]:
    """Clean (T, R) signals; columns of NaN stay what they are.

    Args:
        values: (T, R), every column all finite or all NaN.
        cleaning: how.
        tr_s: seconds between rows.
        confounds: of the same T rows.
        name: whose, for the sentences.

    Returns:
        (T', R) float32 with fewer rows where volumes were dropped, and sentences on what was done.

    Raises:
        SettingsError: filters without a repetition time, scrubbing without motion, or a scale that does not fit.
        CohortError: too few volumes are left, or more confounds than volumes.
    """
    from nilearn import signal

    signals, regressed, kept, notes = _scrubbed(values, cleaning, confounds, name)
    low, high, told = _filters(cleaning, tr_s, len(signals), name)
    notes += told
    n_left = len(signals) if kept is None else len(kept)
    n_regressed = 0 if regressed is None else regressed.shape[1]
    if n_left < max(2, n_regressed + 2):
        raise CohortError(f"{name} has {n_left} volumes for {n_regressed} confounds; take fewer confounds.")
    known = ~np.isnan(signals).any(axis=0)
    _check_scale(signals[:, known], cleaning, name)
    cleaned = np.full((n_left, signals.shape[1]), np.nan, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cleaned[:, known] = signal.clean(
            signals[:, known].astype(np.float64),
            detrend=cleaning.detrend,
            standardize=None if cleaning.standardize == "none" else cleaning.standardize,
            sample_mask=kept,
            confounds=regressed,
            filter="butterworth" if low or high else False,
            low_pass=low,
            high_pass=high,
            t_r=tr_s if low or high else None,
        )
    return cleaned, notes


def _scrubbed(
    values: np.ndarray, cleaning: Cleaning, confounds: Confounds | None, name: str
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, list[str]]:
    """Drop the first volumes and find those that moved; give signals, confounds, rows to keep or None, sentences."""
    n = cleaning.drop_first
    signals = values[n:]
    notes = [f"The first {n} volumes were dropped."] if n else []
    if len(signals) < 2:
        raise CohortError(f"{name} has {len(values)} volumes, of which {n} are to be dropped; too few are left.")
    regressed = None if confounds is None or not confounds.names else confounds.values[n:]
    if cleaning.fd_limit_mm == 0:
        return signals, regressed, None, notes
    if confounds is None or confounds.displacement_mm is None:
        raise SettingsError(
            f"Scrubbing at {cleaning.fd_limit_mm:g} mm needs the motion of {name}; give confounds with "
            "framewise_displacement or six motion columns, or set fd_limit_mm to 0."
        )
    still = np.flatnonzero(confounds.displacement_mm[n:] <= cleaning.fd_limit_mm)
    if len(still) < max(2, MIN_SHARE_KEPT * len(signals)):
        raise CohortError(
            f"{name} lies still in only {len(still)} of {len(signals)} volumes at {cleaning.fd_limit_mm:g} mm; leave "
            "the subject out, or raise fd_limit_mm."
        )
    moved = len(signals) - len(still)
    verb = "dropped" if cleaning.scrub == "drop" else "interpolated"
    notes.append(f"{moved} of {len(signals)} volumes moved by more than {cleaning.fd_limit_mm:g} mm and were {verb}.")
    if not moved:
        return signals, regressed, None, notes
    if cleaning.scrub == "drop":
        return signals, regressed, still, notes
    lines = np.arange(len(signals))
    signals = np.stack([np.interp(lines, still, column[still]) for column in signals.T], axis=1)
    return signals, regressed, None, notes


def _filters(
    cleaning: Cleaning, tr_s: float | None, n_volumes: int, name: str
) -> tuple[float | None, float | None, list[str]]:
    """Give the pass frequencies that can be used, and a sentence where one cannot."""
    if not cleaning.filters:
        return None, None, []
    if tr_s is None:
        raise SettingsError(
            f"The repetition time of {name} is not known, so it cannot be filtered; give it in seconds, or set "
            "low_pass_hz and high_pass_hz to 0."
        )
    if n_volumes < MIN_FILTERED:
        raise CohortError(
            f"{name} has {n_volumes} volumes; at least {MIN_FILTERED} are needed for a filter. Set low_pass_hz and "
            "high_pass_hz to 0, or leave the subject out."
        )
    nyquist = 0.5 / tr_s
    if cleaning.high_pass_hz >= MAX_SHARE_OF_NYQUIST * nyquist:
        raise SettingsError(
            f"The high pass of {cleaning.high_pass_hz:g} Hz leaves nothing of {name}: at a repetition time of "
            f"{tr_s:g} s no change is faster than {nyquist:.3g} Hz."
        )
    high = cleaning.high_pass_hz or None
    if cleaning.low_pass_hz >= MAX_SHARE_OF_NYQUIST * nyquist:
        note = f"The low pass of {cleaning.low_pass_hz:g} Hz was left out: at a repetition time of {tr_s:g} s no "
        return None, high, [note + f"change is faster than {nyquist:.3g} Hz."]
    return cleaning.low_pass_hz or None, high, []


def _check_scale(signals: np.ndarray, cleaning: Cleaning, name: str) -> None:
    if cleaning.standardize != "psc":
        return
    mean, spread = signals.mean(axis=0), signals.std(axis=0)
    low = [f"column {i + 1}" for i in np.flatnonzero(mean <= spread)]
    if low:
        raise SettingsError(
            f"Percent signal change needs signals well above 0, but those of {name} are not ({some(low)}), as if they "
            "were cleaned already; choose zscore_sample or none."
        )
