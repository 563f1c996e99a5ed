"""What is counted of a stack is what training counts."""

from __future__ import annotations

import numpy as np
import torch

from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.systems.feature_scores import finite, reconstruction_scores, unit_use, weights_and_places


def test_use_of_tanh_units_is_rescaled_as_in_training() -> None:
    stack = StackedAutoEncoder((1, 3, 3, 3), (5,), hidden="tanh").requires_grad_(False)
    patches = torch.zeros(7, 1, 3, 3, 3)
    np.testing.assert_allclose(unit_use(stack, patches, 1), 0.5)  # tanh(0) is halfway


def test_the_mean_patch_explains_nothing_and_the_patch_itself_everything() -> None:
    class Constant(torch.nn.Module):
        def __init__(self, answer: torch.Tensor | None) -> None:
            super().__init__()
            self.answer = answer

        def normalize(self, x: torch.Tensor) -> torch.Tensor:
            return x

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if self.answer is None else self.answer.expand_as(x)

    patches = torch.rand(300, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    nothing = reconstruction_scores(Constant(patches.mean(0)), patches)  # type: ignore[arg-type]
    everything = reconstruction_scores(Constant(None), patches)  # type: ignore[arg-type]
    assert abs(nothing["explained_variance"]) < 1e-6 and everything == {"mse": 0.0, "explained_variance": 1.0}


def test_weights_and_places_of_a_dense_stack_are_its_matrices() -> None:
    stack = StackedAutoEncoder((1, 5, 5, 5), (8, 3))
    assert weights_and_places(stack) == [(125 * 8, 1), (8 * 3, 1)]


def test_an_interval_of_one_subject_has_no_ends() -> None:
    assert finite((1.0, float("nan"), float("nan"))) == [1.0, None, None]
