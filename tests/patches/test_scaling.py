"""Scaling learns from training examples alone, can be undone, and survives missing entries."""

import numpy as np
import pytest
import torch

from workbench.errors import CohortError, SettingsError
from workbench.patches.scaling import Scaling


def _table(n: int = 400) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy((rng.normal(size=(n, 6)) @ rng.normal(size=(6, 6)) * 3 + 5).astype(np.float32))


def test_standardized_columns_have_mean_0_and_variance_1() -> None:
    x = _table()
    z = Scaling.learn(x, "standardize").apply(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.var(0, unbiased=False), torch.ones(6), atol=1e-4, rtol=0)


def test_channels_of_pictures_keep_their_spatial_contrast() -> None:
    x = torch.rand(50, 2, 4, 4) * torch.tensor([1.0, 10.0])[:, None, None]
    z = Scaling.learn(x, "standardize").apply(x)
    torch.testing.assert_close(z.std((0, 2, 3), correction=0), torch.ones(2), atol=1e-4, rtol=0)


def test_whitened_covariance_shrinks_only_by_epsilon() -> None:
    x = _table()
    z = Scaling.learn(x, "whiten").apply(x)
    standardized = Scaling.learn(x, "standardize").apply(x)
    values = torch.linalg.eigvalsh(standardized.T @ standardized / len(x))
    torch.testing.assert_close(torch.linalg.eigvalsh(z.T @ z / len(x)), values / (values + 0.1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["unit", "standardize", "whiten", "none"])
def test_undo_gives_the_examples_back(name: str) -> None:
    x = _table()
    scaling = Scaling.learn(x, name)  # type: ignore[arg-type]
    torch.testing.assert_close(scaling.undo(scaling.apply(x)), x, atol=2e-3, rtol=0)


def test_binary_is_one_from_half_of_the_training_range() -> None:
    x = torch.tensor([[0.0], [7.0], [8.0], [16.0]])
    assert Scaling.learn(x, "binary").apply(x).ravel().tolist() == [0, 0, 1, 1]


def test_missing_entries_take_the_training_mean_and_constant_columns_become_zero() -> None:
    x = torch.tensor([[1.0, 4.0], [3.0, 4.0], [float("nan"), 4.0]])
    z = Scaling.learn(x, "standardize").apply(x)
    assert z[:, 0].tolist() == [-1, 1, 0] and z[:, 1].tolist() == [0, 0, 0]


def test_unit_clips_what_training_never_saw() -> None:
    scaling = Scaling.learn(torch.tensor([[0.0], [2.0]]), "unit")
    assert scaling.apply(torch.tensor([[-1.0], [1.0], [9.0]])).ravel().tolist() == [0, 0.5, 1]


def test_arrays_round_trip() -> None:
    x = _table()
    scaling = Scaling.learn(x, "whiten")
    torch.testing.assert_close(Scaling.from_arrays(scaling.to_arrays()).apply(x), scaling.apply(x))


def test_what_cannot_be_learnt_is_said() -> None:
    with pytest.raises(CohortError, match="no finite number"):
        Scaling.learn(torch.full((3, 2), float("nan")), "unit")
    with pytest.raises(SettingsError, match="scaling is one of"):
        Scaling.learn(_table(), "log")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="at most 4,096"):
        Scaling.learn(torch.rand(2, 5000), "whiten")
