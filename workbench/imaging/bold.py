"""From a 4-D BOLD image to the time series of regions (Section 3.5)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from workbench.errors import GeometryError, SettingsError
from workbench.imaging.atlases import Atlas
from workbench.imaging.cleaning import RAW as RAW
from workbench.imaging.cleaning import Cleaning as Cleaning
from workbench.imaging.cleaning import clean
from workbench.imaging.confounds import read_confounds
from workbench.imaging.region_means import lattice_of, region_means
from workbench.imaging.regional_series import RegionalSeries, is_constant, some
from workbench.imaging.repetition_time import LEAST_S, MOST_S, repetition_time
from workbench.progress import Progress, silent


def extract_regions(
    image: Path,
    atlas: Atlas,
    cleaning: Cleaning,
    *,
    tr_s: float | None = None,
    confounds: Path | None = None,
    mask: Path | None = None,
    progress: Progress = silent,
) -> RegionalSeries:
    """Average a 4-D image over the regions of an atlas and clean the signals.

    The order is: smoothing of the image, mean over each region, then what :mod:`workbench.imaging.cleaning` says.
    Regions of which the image shows nothing, and regions whose signal never changes, are columns of NaN and named.
    A block of volumes is in memory at a time, not the image.

    Args:
        image: NIfTI with time as its fourth axis, in the space of the atlas.
        atlas: the regions.
        cleaning: how the signals are cleaned.
        tr_s: repetition time in s; the header's without it.
        confounds: table with a row a volume.
        mask: image that is not 0 where voxels may be used.
        progress: told before each block of volumes.

    Raises:
        FileError, GeometryError, CohortError, SettingsError: as a sentence on what does not fit.
        Cancelled: as ``progress`` asked.
    """
    image = Path(image)
    lattice = lattice_of(image)
    tr_s, notes = _repetition_time(image, tr_s)
    if cleaning.filters and tr_s is None:
        raise SettingsError(
            f"The header of {image.name} gives no repetition time, so it cannot be filtered; give it in seconds, or "
            "set low_pass_hz and high_pass_hz to 0."
        )
    nuisance = None
    if confounds is not None and (cleaning.regressors != "none" or cleaning.fd_limit_mm > 0):
        nuisance = read_confounds(Path(confounds), lattice.n_volumes, cleaning.regressors)
        notes += nuisance.notes
    means, told = region_means(
        image,
        atlas,
        mask=mask,
        smoothing_fwhm_mm=cleaning.smoothing_fwhm_mm,
        progress=lambda f, m: progress(0.9 * f, m),
    )
    missing, flat = np.isnan(means).all(axis=0), is_constant(means)
    if (missing | flat).all():
        raise GeometryError(
            f"The signal of every region of {atlas.name} is constant in {image.name}; the image may be empty where the "
            "regions lie, or masked."
        )
    means[:, flat] = np.nan
    for which, words in ((missing, "Nothing is seen of"), (flat, "The signal never changes, and was left out, in")):
        names = [name for name, yes in zip(atlas.regions, which, strict=True) if yes]
        told += [f"{words} {some(names)}."] if names else []
    progress(0.9, f"{image.name}: cleaning {int((~missing & ~flat).sum())} regions")
    values, cleaned = clean(means, cleaning, tr_s=tr_s, confounds=nuisance, name=image.name)
    progress(1.0, f"{image.name}: {len(values)} time points of {atlas.n_regions} regions")
    return RegionalSeries(values, atlas.regions, tr_s, image.name, (*notes, *told, *cleaned))


def clean_series(series: RegionalSeries, cleaning: Cleaning, confounds: Path | None = None) -> RegionalSeries:
    """Clean a series that was read from a table, as :func:`extract_regions` cleans; smoothing needs the image.

    Raises:
        SettingsError: smoothing is on, or as :func:`workbench.imaging.cleaning.clean` says.
        CohortError, FileError: the confounds do not fit.
    """
    if cleaning.smoothing_fwhm_mm > 0:
        raise SettingsError(
            f"{series.source} is a table, which cannot be smoothed in space; set smoothing_fwhm_mm to 0."
        )
    nuisance = None if confounds is None else read_confounds(confounds, series.n_times, cleaning.regressors)
    values = np.where(np.isnan(series.values).any(axis=0), np.nan, series.values).astype(np.float32)
    values[:, is_constant(values)] = np.nan
    cleaned, notes = clean(values, cleaning, tr_s=series.tr_s, confounds=nuisance, name=series.source)
    told = () if nuisance is None else nuisance.notes
    return replace(series, values=cleaned, notes=(*series.notes, *told, *notes))


def _repetition_time(image: Path, tr_s: float | None) -> tuple[float | None, list[str]]:
    """Give the time from the argument, else the header's."""
    if tr_s is None:
        found, note = repetition_time(image)
        return found, [note] if note else []
    if not LEAST_S <= tr_s <= MOST_S:
        raise SettingsError(f"A repetition time of {tr_s:g} s cannot be; give seconds between {LEAST_S} and {MOST_S}.")
    return tr_s, []
