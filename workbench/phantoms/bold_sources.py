"""Time courses of planted networks, and the haemodynamic response that turns neural events into BOLD.

Four kinds of courses decide who can find the networks (Plis et al. 2014, Frontiers in Neuroscience 8:229; Section 3.5,
Reference 120): on/off events are made for binary hidden units, super-Gaussian courses for independent component
analysis, and nobody can turn Gaussian ones back to their axes.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve
from scipy.stats import gamma

from workbench.phantoms.bold_plan import Sources

RESPONSE_S = 32.0
EVENT_START, EVENT_VOLUMES = 0.05, 4  # chance of a start at each volume, and how many volumes an event lasts
BINARY_ON = 0.15


def haemodynamic_response(tr_s: float) -> np.ndarray:
    """Give the canonical double-gamma response at each volume of 32 s, (L,), summing to 1.

    h(t) = t⁵ e⁻ᵗ / 5! - t¹⁵ e⁻ᵗ / (6 · 15!) peaks 5 s after the event (Friston et al. 1998, NeuroImage 7:30-40;
    Glover 1999, NeuroImage 9:416-429).

    Args:
        tr_s: time between volumes in s.
    """
    seconds = np.arange(0, RESPONSE_S, tr_s)
    response = gamma.pdf(seconds, 6) - gamma.pdf(seconds, 16) / 6
    return response / response.sum()


def draw_sources(
    rng: np.random.Generator, n_volumes: int, n_sources: int, kind: Sources, response: np.ndarray | None = None
) -> np.ndarray:
    """Draw independent time courses, (T, K) float64 of mean 0 and standard deviation 1 each.

    Args:
        rng: mutated.
        n_volumes: T.
        n_sources: K.
        kind: events start with p = 0.05 a volume and last 4; binary is on with p = 0.15, each volume alone.
        response: (L,) to convolve with; the volumes before the first one are drawn too, so that there is no onset.
    """
    longer = n_volumes + (0 if response is None else len(response) - 1)
    if kind == "events":
        starts = rng.random((longer + EVENT_VOLUMES - 1, n_sources)) < EVENT_START
        courses = np.lib.stride_tricks.sliding_window_view(starts, EVENT_VOLUMES, axis=0).any(axis=-1).astype(float)
    elif kind == "binary":
        courses = (rng.random((longer, n_sources)) < BINARY_ON).astype(float)
    elif kind == "laplace":
        courses = rng.laplace(size=(longer, n_sources))
    else:
        courses = rng.normal(size=(longer, n_sources))
    return standardized(courses if response is None else respond(courses, response))


def respond(courses: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Convolve (T + L - 1, K) with a response (L,) along time; gives the (T, K) that the response covers whole."""
    return fftconvolve(courses, response[:, None], mode="valid", axes=0)


def standardized(series: np.ndarray) -> np.ndarray:
    """Give columns of mean 0 and standard deviation 1; a constant column becomes 0."""
    centered = series - series.mean(axis=0)
    sd = centered.std(axis=0)
    return centered / np.where(sd > 1e-12, sd, np.inf)
