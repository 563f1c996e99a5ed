from __future__ import annotations

import numpy as np
import pytest

from workbench.figures.sampling import free_energy_traces, one_example, sampled_images

rng = np.random.default_rng(0)


def test_every_chain_and_their_mean_are_drawn_at_the_steps() -> None:
    free = rng.normal(size=(5, 3))
    fig = free_energy_traces(free, [0, 10, 1000])
    assert len(fig.data) == 6 and np.allclose(fig.data[-1].y, free.mean(0))
    assert list(fig.layout.xaxis.ticktext) == ["0", "10", "1,000"]


def test_free_energies_must_fit_their_steps() -> None:
    with pytest.raises(ValueError, match="a number a step"):
        free_energy_traces(np.zeros((2, 3)), [0, 1])


def test_the_same_modality_has_one_grey_scale_and_others_their_own() -> None:
    truth = rng.random((6, 1, 5, 5)) * 10
    parts = {"held": truth * 1000, "truth": truth, "mean": truth / 2}
    fig = sampled_images(parts, [f"e{i}" for i in range(6)], same=["truth", "mean"])
    z = np.asarray(fig.data[0].z)
    held, real, half = z[:, :5], z[:, 6:11], z[:, 12:17]
    known = np.isfinite(real)
    assert np.allclose(held[known], real[known], atol=1e-5), "each spans its own percentiles"
    low = np.nanpercentile(truth, 1) / (np.nanpercentile(truth, 99) - np.nanpercentile(truth, 1))
    assert np.allclose(half[known], (real[known] + low) / 2 - low, atol=1e-4)


def test_rows_are_examples_and_columns_parts() -> None:
    fig = sampled_images({"a": np.zeros((2, 1, 3, 3, 3)), "b": np.ones((2, 1, 3, 3, 3))}, ["x", "y"])
    assert list(fig.layout.yaxis.ticktext) == ["x", "y"] and list(fig.layout.xaxis.ticktext) == ["a", "b"]
    assert fig.data[1].hovertext == ("x, a", "x, b", "y, a", "y, b")


def test_parts_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="as many examples"):
        sampled_images({"a": np.zeros((2, 1, 3, 3)), "b": np.zeros((3, 1, 3, 3))}, ["x", "y"])


def test_one_example_shows_truth_mean_and_the_spread_of_the_states() -> None:
    states = rng.normal(size=(500, 4)) + np.arange(4)
    fig = one_example(np.zeros(4), states.mean(0), states, np.ones(4), ["a", "b", "c", "d"], theme="dark")
    middle = next(t for t in fig.data if "chain" in t.name)
    assert np.allclose(np.asarray(middle.error_y.array), np.percentile(states, 95, 0) - states.mean(0))
    assert np.allclose(next(t for t in fig.data if t.name == "truth").y, 0)
