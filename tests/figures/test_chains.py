from __future__ import annotations

import numpy as np
import pytest

from workbench.figures.chains import chain_grid, sample_grid


def test_rows_are_chains_and_columns_steps() -> None:
    states = np.zeros((2, 3, 1, 4, 4))
    states[1, 2] = 1
    fig = chain_grid(states, [0, 10, 1000], chains=["data", "noise"])
    z = np.asarray(fig.data[0].z)
    rows, columns = np.nonzero(z == 1)
    assert rows.min() > z.shape[0] / 2 and columns.min() > z.shape[1] / 2
    assert list(fig.layout.xaxis.ticktext) == ["0", "10", "1,000"]
    assert list(fig.layout.yaxis.ticktext) == ["data", "noise"]
    assert fig.data[1].hovertext[5] == "noise, step 1,000"


def test_volumes_show_three_middle_slices() -> None:
    states = np.zeros((1, 2, 1, 5, 5, 5))
    states[0, 1, 0, 2, 2, 2] = 1
    z = np.asarray(chain_grid(states).data[0].z)
    assert (z == 1).sum() == 3


def test_vectors_are_rasters_with_time_running_down() -> None:
    states = np.random.default_rng(0).random((3, 7, 20))
    fig = chain_grid(states, range(0, 70, 10), theme="dark")  # type: ignore[arg-type]
    assert len(fig.data) == 3
    np.testing.assert_allclose(np.asarray(fig.data[1].z), states[1], rtol=1e-6)
    assert fig.layout.yaxis.range[0] > fig.layout.yaxis.range[1]
    assert fig.layout.yaxis.ticktext[1] == "10" and fig.layout.xaxis.title.text == "unit"


def test_all_states_share_one_window() -> None:
    states = np.random.default_rng(0).random((2, 3, 1, 4, 4))
    heat = chain_grid(states, limits=(0.2, 0.8)).data[0]
    assert (heat.zmin, heat.zmax) == (0.2, 0.8)
    assert chain_grid(np.zeros((1, 1, 1, 2, 2))).data[0].zmax > 0


def test_samples_of_a_class_share_a_row() -> None:
    samples = np.arange(5.0)[:, None, None, None] * np.ones((5, 1, 3, 3))
    fig = sample_grid(samples, ["AD", "NC", "AD", "AD", "NC"])
    z = np.asarray(fig.data[0].z)
    first, second = z[:3], z[-3:]
    assert set(np.unique(first[np.isfinite(first)])) == {0, 2, 3}
    assert set(np.unique(second[np.isfinite(second)])) == {1, 4}
    assert list(fig.layout.yaxis.ticktext) == ["AD", "NC"]


def test_samples_that_are_vectors_are_rows() -> None:
    fig = sample_grid(np.random.default_rng(0).random((4, 9)), ["a", "b", "a", "b"])
    assert np.asarray(fig.data[0].z).shape == (4, 9)
    assert list(fig.layout.yaxis.ticktext) == ["a", "a", "b", "b"]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="n_chains"):
        chain_grid(np.zeros((2, 3, 4, 4)))
    with pytest.raises(ValueError, match="2 steps"):
        chain_grid(np.zeros((2, 3, 4)), [0, 1])
    with pytest.raises(ValueError, match="label"):
        sample_grid(np.zeros((2, 1, 3, 3)), ["AD"])
