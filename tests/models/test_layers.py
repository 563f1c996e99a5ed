"""Activations, corruption, sparsity, normalization and convolution stages keep their laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.models.layers import (
    PATCH_EPSILON,
    ConvStage,
    Corruption,
    KLSparsity,
    activation,
    activation_rate,
    kl_divergence,
    normalize_patches,
    reconstruction_error,
    run_stages,
    step_generator,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_unknown_activation_lists_the_known_ones() -> None:
    with pytest.raises(LookupError, match="'swish'; known are sigmoid, tanh, relu, leaky_relu, linear"):
        activation("swish")


def test_rates_lie_between_0_and_1_for_saturating_units() -> None:
    x = torch.linspace(-9, 9, 19)
    for name in ("sigmoid", "tanh"):
        rate = activation_rate(activation(name)(x), name)
        assert rate.min() >= 0 and rate.max() <= 1 and torch.isclose(rate[9], torch.tensor(0.5))


def test_centered_patches_have_mean_zero_and_keep_the_contrast_between_channels() -> None:
    x = torch.rand(4, 2, 3, 3, 3, generator=generator())
    y = normalize_patches(x, "center")
    assert y.mean((1, 2, 3, 4)).abs().max() < 1e-6
    assert torch.allclose(y[:, 0] - y[:, 1], x[:, 0] - x[:, 1], atol=1e-6)


def test_standardized_patches_forget_brightness_and_contrast_but_flat_ones_stay_flat() -> None:
    x = torch.rand(4, 20, generator=generator())
    y = normalize_patches(100 * x + 7, "standardize")
    assert torch.allclose(y.var(1, correction=0), torch.ones(4), atol=1e-3)
    by_hand = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + PATCH_EPSILON).sqrt()
    assert torch.allclose(normalize_patches(x, "standardize"), by_hand, atol=1e-6)
    assert torch.equal(normalize_patches(torch.full((1, 9), 3.0), "standardize"), torch.zeros(1, 9))


def test_an_unknown_normalization_lists_the_known_ones() -> None:
    with pytest.raises(LookupError, match="'zca'; known are none, center, standardize"):
        normalize_patches(torch.zeros(1, 2), "zca")


@pytest.mark.parametrize("kind", ["masking", "salt_and_pepper"])
def test_corruption_hits_its_share_and_leaves_the_rest(kind: str) -> None:
    x = 0.25 + 0.5 * torch.rand(200, 200, generator=generator())
    x[0, 0], x[0, 1] = 0.1, 0.9
    y = Corruption(kind, 0.3)(x, generator(1))  # type: ignore[arg-type]
    hit = y != x
    assert abs(float(hit.float().mean()) - 0.3) < 0.01
    values = y[hit].unique()
    assert torch.equal(values, torch.tensor([0.0]) if kind == "masking" else torch.tensor([0.1, 0.9]))
    if kind == "salt_and_pepper":
        assert abs(float((y[hit] == 0.9).float().mean()) - 0.5) < 0.02


def test_gaussian_corruption_has_its_standard_deviation() -> None:
    noise = Corruption("gaussian", 0.2)(torch.ones(300, 300), generator()) - 1
    assert abs(float(noise.std()) - 0.2) < 0.002 and abs(float(noise.mean())) < 0.002


def test_no_corruption_is_identity_and_the_same_generator_gives_the_same_noise() -> None:
    x = torch.rand(5, 6, generator=generator())
    assert torch.equal(Corruption()(x, generator()), x)
    noisy = Corruption("masking", 0.5)
    assert torch.equal(noisy(x, generator(3)), noisy(x, generator(3)))
    assert not torch.equal(noisy(x, generator(3)), noisy(x, generator(4)))


def test_corruption_refuses_what_is_not_a_share() -> None:
    with pytest.raises(ValueError, match=r"share of 0 to 1 of the input; got 1\.5"):
        Corruption("masking", 1.5)
    with pytest.raises(LookupError, match="known are none, masking, gaussian, salt_and_pepper"):
        Corruption("blur", 0.1)  # type: ignore[arg-type]


def test_kl_gradient_equals_its_closed_form() -> None:
    """The sheet's delta: beta (-rho / rho_j + (1 - rho) / (1 - rho_j)), divided by the batch size."""
    h = torch.rand(50, 7, generator=generator(), dtype=torch.double).requires_grad_()
    sparsity = KLSparsity(7, rho=0.05, decay=0.0).double()
    (gradient,) = torch.autograd.grad(sparsity.penalty(h), h)
    rates = h.detach().mean(0)
    expected = (-0.05 / rates + 0.95 / (1 - rates)) / 50
    assert (gradient - expected).abs().max() < 1e-10
    reference = h.detach().requires_grad_()
    (direct,) = torch.autograd.grad(kl_divergence(0.05, reference.mean(0)).sum(), reference)
    assert (gradient - direct).abs().max() < 1e-10


def test_kl_is_zero_only_at_rho() -> None:
    rates = torch.tensor([0.05, 0.1, 0.2, 0.9], dtype=torch.double)
    kl = kl_divergence(0.1, rates)
    assert kl[1].abs() < 1e-15 and (kl[[0, 2, 3]] > 0).all()


def test_running_mean_gives_the_value_and_the_gradient_its_full_weight() -> None:
    sparsity = KLSparsity(1, rho=0.1, decay=0.9).double()
    for _ in range(200):
        sparsity.observe(torch.full((4, 1), 0.4, dtype=torch.double))
    h = torch.full((4, 1), 0.9, dtype=torch.double, requires_grad=True)
    value = sparsity.penalty(h)
    level = 0.9 * 0.4 + 0.1 * 0.9
    assert torch.isclose(sparsity.running[0], torch.tensor(level, dtype=torch.double), atol=1e-6)
    assert torch.isclose(value, kl_divergence(0.1, torch.tensor(level, dtype=torch.double)), atol=1e-6)
    (gradient,) = torch.autograd.grad(value, h)
    assert torch.allclose(gradient, torch.tensor((-0.1 / level + 0.9 / (1 - level)) / 4, dtype=torch.double), atol=1e-5)


def test_first_batches_are_averaged_equally() -> None:
    sparsity = KLSparsity(1, decay=0.9)
    for value in (0.2, 0.4, 0.6):
        sparsity.observe(torch.full((2, 1), value))
    assert torch.isclose(sparsity.running[0], torch.tensor(0.4))


def test_eval_mode_leaves_the_running_mean() -> None:
    sparsity = KLSparsity(3).eval()
    sparsity.penalty(torch.rand(4, 3, generator=generator()))
    assert int(sparsity.n_batches) == 0 and sparsity.running.abs().sum() == 0


def test_tanh_is_rescaled_relu_gets_l1_and_linear_nothing() -> None:
    h = torch.rand(20, 3, generator=generator())
    tanh = KLSparsity(3, decay=0.0, hidden="tanh").penalty(2 * h - 1)
    assert torch.isclose(tanh, KLSparsity(3, decay=0.0).penalty(h), atol=1e-5)
    assert torch.isclose(KLSparsity(3, hidden="relu").penalty(h), h.abs().sum() / 20)
    leaky = activation("leaky_relu")(h - 0.5)
    assert torch.isclose(leaky.min(), 0.01 * (h - 0.5).min()) and torch.equal(leaky.max(), (h - 0.5).max())
    assert torch.isclose(KLSparsity(3, hidden="leaky_relu").penalty(leaky), leaky.abs().sum() / 20)
    assert KLSparsity(3, hidden="linear").penalty(h) == 0


def test_silent_units_are_counted_dead_and_still_have_a_finite_penalty() -> None:
    sparsity = KLSparsity(4, decay=0.0)
    h = torch.tensor([[0.0, 0.0005, 0.01, 1.0]]).requires_grad_()
    penalty = sparsity.penalty(h)
    assert torch.isfinite(penalty) and torch.isfinite(torch.autograd.grad(penalty, h)[0]).all()
    assert sparsity.dead_share == 0.5


def test_sparsity_refuses_impossible_targets() -> None:
    with pytest.raises(ValueError, match="between 0 and 1; got 1"):
        KLSparsity(2, rho=1)
    with pytest.raises(ValueError, match="at least 0 and below 1; got 1"):
        KLSparsity(2, decay=1)


def test_reconstruction_error_is_summed_over_elements() -> None:
    z, target = torch.full((2, 3, 2, 2), 0.5), torch.ones(2, 3, 2, 2)
    assert torch.allclose(reconstruction_error(z, target, "linear"), torch.full((2,), 12 * 0.25))
    assert torch.allclose(reconstruction_error(z, target, "sigmoid"), torch.full((2,), 12 * float(np.log(2))))


def test_step_generator_depends_on_seed_and_every_position() -> None:
    draws = {
        position: float(torch.rand((), generator=step_generator(*position)))
        for position in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0)]
    }
    assert len(set(draws.values())) == len(draws)
    assert float(torch.rand((), generator=step_generator(0, 0, 1))) == draws[0, 0, 1]


def test_stages_by_hand() -> None:
    """A 4 x 4 picture, a difference filter along the second axis, relu, and pooling of 2.

    1 2 4 4          . 1 2 0           rows 0-2, filter height 2 sums two rows
    """
    x = torch.tensor([[1, 2, 4, 4.0]] * 3)[None, None]
    weight = torch.tensor([[-1, 1.0], [-1, 1.0]])[None, None]
    convolved = run_stages([ConvStage(weight, torch.zeros(1), "relu")], x)
    assert torch.equal(convolved, torch.tensor([[[[2, 4, 0.0], [2, 4, 0]]]]))
    pooled = run_stages([ConvStage(weight[..., :1, :], torch.full((1,), -1.0), "relu", 2)], x[..., :2, :3])
    assert torch.equal(pooled, torch.tensor([[[[1.0]]]]))
