"""Convolutional RBMs against sums over all states, plain convolutions, autograd, and planted motifs."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from workbench.models.conv_rbm import ConvRBM
from workbench.models.frequency_training import FrequencyTraining
from workbench.models.layers import run_stages


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randomized(shape: tuple[int, ...], n_maps: int, kernel: Any, **settings: Any) -> ConvRBM:
    """Give a model in float64 whose filters and biases are far from 0."""
    model = ConvRBM(shape, n_maps, kernel, **settings).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator(5), dtype=torch.float64))
    return model


def states(shape: tuple[int, ...]) -> Tensor:
    n = int(torch.tensor(shape).prod())
    return torch.tensor(list(product([0.0, 1.0], repeat=n)), dtype=torch.float64).reshape(-1, *shape)


TINY: list[tuple[tuple[int, ...], int, Any, dict[str, Any]]] = [
    ((1, 1, 6), 2, (1, 4), {}),
    ((1, 1, 7), 1, (1, 3), {"boundary": "circular", "engine": "frequency"}),
    ((1, 1, 6), 2, (1, 2), {"stride": 2}),
    ((1, 2, 3), 1, (2, 2), {"engine": "frequency"}),
    ((1, 3, 3), 1, 2, {"pool": 2}),
    ((2, 1, 4), 2, (1, 2), {"stride": 2, "engine": "frequency"}),
    ((1, 2, 2, 2), 2, (2, 1, 2), {}),
]


@pytest.mark.parametrize(("shape", "n_maps", "kernel", "settings"), [*TINY, ((1, 1, 12), 1, (1, 6), {"stride": 2})])
def test_partition_function_is_the_same_three_ways(
    shape: tuple[int, ...], n_maps: int, kernel: Any, settings: dict[str, Any]
) -> None:
    """Sum exp(-E) over all joint states, exp(-F) over images, and p*(h) over maps."""
    model = randomized(shape, n_maps, kernel, visible="bernoulli", **settings)
    v, h = states(model.visible_shape), states(model.hidden_shape)
    joint = torch.stack([-model.energy(v, one.expand(len(v), *one.shape)) for one in h])
    total = joint.flatten().logsumexp(0)
    torch.testing.assert_close((-model.free_energy(v)).logsumexp(0), total)
    torch.testing.assert_close(model.log_marginal_hidden(h).logsumexp(0), total)
    torch.testing.assert_close(-model.free_energy(v), joint.logsumexp(0))


@pytest.mark.parametrize(("shape", "n_maps", "kernel", "settings"), TINY)
def test_conditionals_are_those_of_the_joint(
    shape: tuple[int, ...], n_maps: int, kernel: Any, settings: dict[str, Any]
) -> None:
    model = randomized(shape, n_maps, kernel, visible="bernoulli", **settings)
    v, h = states(model.visible_shape), states(model.hidden_shape)
    one_v, one_h = v[37:38], model.sample_hidden(v[37:38], generator())
    p_h = torch.softmax(-model.energy(one_v.expand(len(h), *one_v.shape[1:]), h), 0)
    torch.testing.assert_close(torch.tensordot(p_h, h, 1), model.hidden_mean(one_v)[0])
    p_v = torch.softmax(-model.energy(v, one_h.expand(len(v), *one_h.shape[1:])), 0)
    torch.testing.assert_close(torch.tensordot(p_v, v, 1), model.visible_mean(one_h)[0])


@pytest.mark.parametrize(("shape", "n_maps", "kernel", "settings"), TINY)
def test_gradient_is_that_of_the_exact_likelihood(
    shape: tuple[int, ...], n_maps: int, kernel: Any, settings: dict[str, Any]
) -> None:
    """With model samples drawn from the enumerated distribution, Eq. 8 is the slope of the mean log-likelihood."""
    model = randomized(shape, n_maps, kernel, visible="bernoulli", average_over_map=False, **settings)
    v = states(model.visible_shape)
    data = v[[3, 17, 18]]
    loss = model.free_energy(data).mean() + (-model.free_energy(v)).logsumexp(0)
    exact = torch.autograd.grad(loss, list(model.parameters()))
    p = torch.softmax(-model.free_energy(v), 0).detach()
    # every state in turn as the only model sample, weighted by its probability
    sums = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    for weight, state in zip(p, v, strict=True):
        for name, value in model.gradient(data, state[None]).items():
            sums[name] += weight * value
    for (name, _), expected in zip(model.named_parameters(), exact, strict=True):
        torch.testing.assert_close(sums[name], expected, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("engine", ["spatial", "frequency"])
@pytest.mark.parametrize(
    ("shape", "kernel", "settings"),
    [
        ((2, 9, 8), (4, 3), {"hidden": "noisy_relu", "sigma": 0.7}),
        ((1, 8, 8), 3, {"pool": 2, "visible": "bernoulli"}),
        ((1, 8, 8, 8), 4, {"stride": 2, "sigma": 1.3, "boundary": "circular"}),
        ((3, 7, 6, 5), 3, {}),
    ],
)
def test_gradient_is_that_of_mean_free_energy(
    engine: Any, shape: tuple[int, ...], kernel: Any, settings: dict[str, Any]
) -> None:
    model = randomized(shape, 3, kernel, engine=engine, average_over_map=False, **settings)
    data = torch.rand((4, *shape), generator=generator(1), dtype=torch.float64)
    chains = torch.rand((3, *shape), generator=generator(2), dtype=torch.float64)
    loss = model.free_energy(data).mean() - model.free_energy(chains).mean()
    expected = torch.autograd.grad(loss, list(model.parameters()))
    found = model.gradient(data, chains)
    for (name, _), value in zip(model.named_parameters(), expected, strict=True):
        torch.testing.assert_close(found[name], value, atol=1e-10, rtol=1e-9)
        assert found[name].stride() == model.get_parameter(name).stride()
    model.average_over_map = True
    n_map, n_image = model.hidden_mean(data)[0, 0].numel(), data[0, 0].numel()
    for name, value in model.gradient(data, chains).items():
        torch.testing.assert_close(value * (n_image if name == "visible_bias" else n_map), found[name])


def test_known_inputs_change_nothing() -> None:
    model = randomized((1, 8, 8), 3, 3)
    data = torch.randn((4, 1, 8, 8), generator=generator(1), dtype=torch.float64)
    x, prepared = model.hidden_input(data), model.prepare(data)
    chains = model.gibbs(data, 2, generator(3), hidden_input=x)
    assert torch.equal(chains, model.gibbs(data, 2, generator(3)))
    known = model.gradient(data, chains, hidden_input=x, model_input=model.hidden_input(chains), prepared=prepared)
    assert torch.equal(model.free_energy(data, hidden_input=x), model.free_energy(data))
    for name, value in model.gradient(data, chains).items():
        assert torch.equal(value, known[name])


@pytest.mark.parametrize("engine", ["spatial", "frequency"])
def test_gibbs_visits_states_as_often_as_their_probability(engine: Any) -> None:
    model = randomized((1, 1, 4), 1, (1, 2), visible="bernoulli", engine=engine)
    v = states((1, 1, 4))
    exact = torch.softmax(-model.free_energy(v), 0)
    chains = model.gibbs(torch.zeros(4_000, 1, 1, 4, dtype=torch.float64), 20, generator())
    index = (chains.flatten(1) @ torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)).long()
    rates = torch.bincount(index, minlength=16) / 4_000
    assert ((rates - exact).abs() < 5 * (exact * (1 - exact) / 4_000).sqrt()).all()


def test_gaussian_marginals_agree_with_quadrature() -> None:
    model = randomized((1, 1, 2), 1, (1, 2), sigma=0.8)
    axis = torch.linspace(-9, 9, 721, dtype=torch.float64)
    v = torch.cartesian_prod(axis, axis).reshape(-1, 1, 1, 2)
    cell = float(axis[1] - axis[0]) ** 2
    h = states(model.hidden_shape)
    for one in h:
        total = torch.exp(-model.energy(v, one.expand(len(v), *one.shape))).sum() * cell
        torch.testing.assert_close(model.log_marginal_hidden(one[None])[0], total.log())
    total = (torch.exp(-model.free_energy(v)).sum() * cell).log()
    torch.testing.assert_close(total, model.log_marginal_hidden(h).logsumexp(0))


def test_base_rates_are_the_mean_of_a_model_without_filters() -> None:
    mean = torch.rand((2, 5, 5), generator=generator())
    model = ConvRBM((2, 5, 5), 3, 3, visible="bernoulli", init_scale=0.0)
    model.set_base_rates(mean)
    torch.testing.assert_close(model.visible_mean(torch.zeros(1, 3, 3, 3))[0, :, 2, 2], mean.mean((1, 2)))
    gaussian = ConvRBM((2, 5, 5), 3, 3)
    gaussian.set_base_rates(torch.tensor([3.0, -1.0]), torch.tensor([0.5, 0.0]))
    assert gaussian.visible_bias.tolist() == [3.0, -1.0] and gaussian.sigma.tolist() == pytest.approx([0.5, 0.05])


def test_pooling_pools_and_decodes_to_the_image_shape() -> None:
    model = randomized((1, 9, 9), 2, 4, pool=2)
    v = torch.randn((3, 1, 9, 9), generator=generator(), dtype=torch.float64)
    pooled = model.pooled_mean(v)
    assert pooled.shape[1:] == model.pooled_shape == (2, 3, 3)
    torch.testing.assert_close(F.avg_pool2d(model.hidden_mean(v), 2) * 4, pooled)  # at most one on: P(any) is the sum
    assert model.decode(model.unpool(pooled)).shape == v.shape
    plain = randomized((1, 9, 9), 2, 4)
    assert torch.equal(plain.pooled_mean(v), plain.encode(v))


def test_sliding_stage_computes_the_hidden_means() -> None:
    model = randomized((2, 7, 7, 7), 3, 3, sigma=1.7)
    v = torch.randn((2, 2, 7, 7, 7), generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(run_stages(model.as_convolutions(), v), model.hidden_mean(v))
    assert torch.equal(model.back_projection(1), model.weight)
    with pytest.raises(ValueError, match="use pooled_mean"):
        ConvRBM((1, 8, 8), 2, 3, pool=2).as_convolutions()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"stride": 2}, "stride must divide"),
        ({"pool": 4}, "blocks of 4 do not divide"),
        ({"pool": 2, "hidden": "noisy_relu"}, "at most one on"),
        ({"sigma": 0.0}, "sigma is at least"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ConvRBM((1, 8, 8), 2, 3, **settings)


@pytest.mark.parametrize("setting", ["visible", "hidden", "engine", "boundary"])
def test_unknown_names_are_refused(setting: str) -> None:
    settings: dict[str, Any] = {setting: "x"}
    with pytest.raises(LookupError, match=r"got 'x'|called 'x'"):
        ConvRBM((1, 8, 8), 2, 3, **settings)


def motifs() -> Tensor:
    """Give six shapes of 5 voxels a side, (6, 5, 5, 5), of mean 0 and norm 1."""
    x, y, z = torch.meshgrid(*[torch.arange(5) - 2] * 3, indexing="ij")
    radius = (x**2 + y**2 + z**2).float().sqrt()
    shapes = {
        "cross": ((x == 0) & (y == 0)) | ((x == 0) & (z == 0)) | ((y == 0) & (z == 0)),
        "ring": (z == 0) & (radius > 1.3) & (radius < 2.4),
        "diagonal": ((x - y).abs() + (y - z).abs()) < 2,
        "corner": ((x == -2) & (y == -2)) | ((x == -2) & (z == -2)) | ((y == -2) & (z == -2)),
        "two blobs": (x.abs() > 0) & (y.abs() < 2) & (z.abs() < 2) & (x * (x + z) > 1),
        "shell": (radius > 1.5) & (radius < 2.3),
    }
    flat = torch.stack([shape.float() for shape in shapes.values()]).flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    return (flat / flat.norm(dim=1, keepdim=True)).reshape(-1, 5, 5, 5)


def best_correlation(filters: Tensor, planted: Tensor) -> Tensor:
    """Give the largest normalized cross-correlation over shifts of each filter with each motif, (filters, motifs)."""
    size = planted.shape[-1]
    response = F.conv3d(filters, planted[:, None], padding=size // 2)
    shares = response / filters.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1).clamp_min(1e-12)
    return shares.flatten(2).amax(2)


@pytest.mark.slow
def test_planted_motifs_are_recovered() -> None:
    """Each of six shapes at random places becomes a filter, where the biases hold few units on.

    Filters have a margin of one voxel about a motif, since a shape that is learned off its center is as good.
    """
    planted, g, side, n_steps = motifs(), generator(), 12, 2400
    places = (torch.rand((48, 6, side, side, side), generator=g) < 1.5 / side**3).float()
    axes = (2, 3, 4)
    spectra = torch.fft.rfftn(places, dim=axes) * torch.fft.rfftn(planted, s=[side] * 3, dim=(1, 2, 3))
    images = 8 * torch.fft.irfftn(spectra, s=[side] * 3, dim=axes).sum(1, keepdim=True)
    images += 0.3 * torch.randn(images.shape, generator=g)
    model = ConvRBM((1, side, side, side), 10, 7, boundary="circular", engine="frequency", sigma=0.5, init_scale=0.02)
    training, bias = FrequencyTraining(model, images), model.hidden_bias.detach().fill_(-4)
    for step in range(n_steps):
        rows = torch.randint(48, (8,), generator=g)
        training.step(rows, g, learning_rate=0.05 if step < 300 else 0.2, momentum=0.9)
        rate = 0.015 * (0.0004 / 0.015) ** min(1, 1.5 * step / n_steps)  # wanted share of units on, ever fewer
        with torch.no_grad():
            bias += 80 * (rate - model.hidden_mean(images[rows]).mean((0, 2, 3, 4)))
    table = best_correlation(model.weight.detach(), planted)
    assert table[linear_sum_assignment(-table.numpy())].min() >= 0.85
