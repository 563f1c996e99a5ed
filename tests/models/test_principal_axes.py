"""Principal axes: those of scikit-learn, however the rows are cut; the code and its convolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from workbench.models.layers import run_stages
from workbench.models.principal_axes import FLOOR, PrincipalCode, principal_axes


def rows(n: int = 500, width: int = 12, offset: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(width, width, generator=generator)
    return torch.randn(n, width, generator=generator) @ mixing + offset


@pytest.mark.parametrize("n_axes", [5, 12])
@pytest.mark.parametrize("chunk", [500, 61])
def test_equals_scikit_learn(n_axes: int, chunk: int) -> None:
    x = rows()
    found, known = principal_axes(x.split(chunk), n_axes), PCA(n_axes, svd_solver="full").fit(x.double().numpy())
    products = found.axes.numpy() @ known.components_.T
    np.testing.assert_allclose(np.abs(products), np.eye(n_axes), atol=1e-4)  # an axis has no sign
    np.testing.assert_allclose(found.variances, known.explained_variance_ * (len(x) - 1) / len(x), rtol=1e-4)
    np.testing.assert_allclose(found.mean, known.mean_, atol=1e-5)
    assert found.total == pytest.approx(float(x.double().var(0, unbiased=False).sum()), rel=1e-5)


def test_a_direction_without_variance_is_not_blown_up() -> None:
    x = rows(width=4)
    x[:, 3] = 1.0
    found = principal_axes([x], 4)
    assert float(found.variances[3]) == pytest.approx(float(found.variances[0]) * FLOOR, rel=1e-4)


def test_too_few_rows_or_elements_are_named() -> None:
    with pytest.raises(ValueError, match="need more rows"):
        principal_axes([rows(5)], 5)
    with pytest.raises(ValueError, match="4 elements has 1 to 4 principal axes"):
        PrincipalCode((1, 2, 2), 5)


@pytest.mark.parametrize("normalization", ["none", "center", "standardize"])
def test_code_as_a_convolution_and_its_rebuilding(normalization: str) -> None:
    patches = torch.rand(300, 1, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    code = PrincipalCode((1, 3, 3, 3), 27, normalization=normalization)
    code.take(principal_axes([code.rows(patches)], 27))
    torch.testing.assert_close(
        run_stages(code.as_convolutions(), patches).flatten(1), code.encode(patches), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(code.rebuild(patches).flatten(1), code.rows(patches), atol=1e-5, rtol=1e-4)
