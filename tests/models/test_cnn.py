"""The convolutional network: Equation 9 and pooling against a hand-written oracle, shapes, equivariance, learning."""

# mypy: disable-error-code="union-attr, index, operator, arg-type, misc"

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workbench.errors import SettingsError
from workbench.models.cnn import CNN, ConvBlock

SMALL = (ConvBlock(4, 3, pool=2), ConvBlock(5, 2))  # 9 → 7 → 3 → 2


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- The oracle: Equation 9 and its backward pass as written in Section 2.5, loops over every connection ---


def convolve(a: np.ndarray, k: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A_j = sum_i A_i * k_ij + b_j with a true convolution: a (I, *map), k (I, J, *kernel), b (J,)."""
    size = k.shape[2:]
    shape = [n - m + 1 for n, m in zip(a.shape[1:], size, strict=True)]
    out = np.empty((k.shape[1], *shape))
    for j, at in product(range(k.shape[1]), product(*map(range, shape))):
        out[(j, *at)] = b[j]
        for i, u in product(range(len(a)), product(*map(range, size))):
            x = tuple(p + m - 1 - q for p, m, q in zip(at, size, u, strict=True))  # (A * k)(p) = sum_u A(p - u) k(u)
            out[(j, *at)] += a[(i, *x)] * k[(i, j, *u)]
    return out


def convolve_backward(a: np.ndarray, k: np.ndarray, delta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the gradients of each weight over all its connections, and hand delta down through the same ones."""
    size, da, dk = k.shape[2:], np.zeros_like(a), np.zeros_like(k)
    for j, at in product(range(k.shape[1]), product(*map(range, delta.shape[1:]))):
        for i, u in product(range(len(a)), product(*map(range, size))):
            x = tuple(p + m - 1 - q for p, m, q in zip(at, size, u, strict=True))
            dk[(i, j, *u)] += a[(i, *x)] * delta[(j, *at)]
            da[(i, *x)] += k[(i, j, *u)] * delta[(j, *at)]
    return da, dk, delta.reshape(len(delta), -1).sum(1)


def pool(a: np.ndarray, n: int, kind: str) -> np.ndarray:
    shape = [s // n for s in a.shape[1:]]
    out = np.empty((len(a), *shape))
    for i, at in product(range(len(a)), product(*map(range, shape))):
        window = a[(i, *(slice(p * n, p * n + n) for p in at))]
        out[(i, *at)] = window.max() if kind == "max" else window.mean()
    return out


def pool_backward(a: np.ndarray, delta: np.ndarray, n: int, kind: str) -> np.ndarray:
    """Upsample: all of it to the largest of a window, or an equal share to each."""
    da = np.zeros_like(a)
    for i, at in product(range(len(a)), product(*map(range, delta.shape[1:]))):
        where = (i, *(slice(p * n, p * n + n) for p in at))
        if kind == "max":
            largest = np.unravel_index(a[where].argmax(), a[where].shape)
            da[where][largest] += delta[(i, *at)]
        else:
            da[where] += delta[(i, *at)] / a[where].size
    return da


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("shape", [(2, 7, 8), (2, 4, 5, 4)])
def test_a_block_and_its_gradients_equal_equation_9_written_out(shape: tuple[int, ...], kind: str) -> None:
    net = CNN(shape, [ConvBlock(3, 2, pool=2)], [], 1, activation="tanh", pooling=kind, seed=1).double()
    conv = net.conv1
    with torch.no_grad():
        conv.bias.copy_(torch.linspace(-1, 1, 3))
    x = torch.randn(1, *shape, generator=generator(), dtype=torch.float64, requires_grad=True)
    (maps,) = net.feature_maps(x)
    seed = torch.randn(maps.shape, generator=generator(1), dtype=torch.float64)
    maps.backward(seed)

    axes = tuple(range(2, conv.weight.ndim))
    k = conv.weight.detach().flip(axes).transpose(0, 1).numpy()  # k_ij: the review's kernel is torch's turned about
    a = x.detach()[0].numpy()
    hidden = np.tanh(convolve(a, k, conv.bias.detach().numpy()))
    assert np.allclose(maps.detach()[0].numpy(), pool(hidden, 2, kind), atol=1e-10, rtol=0)
    delta = pool_backward(hidden, seed[0].numpy(), 2, kind) * (1 - hidden**2)
    da, dk, db = convolve_backward(a, k, delta)
    assert x.grad is not None
    assert np.allclose(x.grad[0].numpy(), da, atol=1e-10, rtol=0)
    assert np.allclose(conv.weight.grad.flip(axes).transpose(0, 1).numpy(), dk, atol=1e-10, rtol=0)
    assert np.allclose(conv.bias.grad.numpy(), db, atol=1e-10, rtol=0)


@pytest.mark.parametrize("n_axes", [2, 3])
def test_shapes(n_axes: int) -> None:
    net = CNN((2, *[9] * n_axes), SMALL, [7, 6], 3, dropout=0.5, batch_norm=True)
    x = torch.rand(4, 2, *[9] * n_axes, generator=generator())
    assert [m.shape[1:] for m in net.feature_maps(x)] == [(4, *[3] * n_axes), (5, *[2] * n_axes)]
    assert [m.shape[1:] for m in net.feature_maps(x)] == list(net.map_shapes)
    sizes = [2 * 9**n_axes, 4 * 3**n_axes, 5 * 2**n_axes, 7, 6]
    assert [net.features(x, depth).shape[1] for depth in range(5)] == sizes
    assert net.features(x).shape == (4, 6) and net(x).shape == (4, 3) and net.n_layers == 4
    with pytest.raises(LookupError, match="4 hidden layers"):
        net.features(x, 5)


def test_the_output_is_linear_in_the_last_features() -> None:
    net = CNN((1, 9, 9), SMALL, [7], 3, dropout=0.5).eval()
    x = torch.rand(4, 1, 9, 9, generator=generator())
    assert torch.allclose(net(x), net.output(net.features(x)))
    assert torch.equal(net.features(x, 1), net.feature_maps(x)[0].flatten(1))


def test_a_single_output_is_a_number_for_each_sample() -> None:
    assert CNN((1, 9, 9), SMALL, [], 1)(torch.zeros(4, 1, 9, 9)).shape == (4,)


def test_map_sizes_follow_the_formula() -> None:
    net = CNN((1, 11, 13), [ConvBlock(2, (3, 5), pool=(1, 2), stride=(2, 1), padding=1, dilation=(2, 1))], [], 2)
    shape = tuple((n + 2 - d * (f - 1) - 1) // s + 1 for n, f, s, d in ((11, 3, 2, 2), (13, 5, 1, 1)))
    assert net.map_shapes == [(2, shape[0], shape[1] // 2)]
    assert net.feature_maps(torch.zeros(1, 1, 11, 13))[0].shape[1:] == net.map_shapes[0]


def test_weight_sharing_makes_the_number_of_weights_independent_of_the_map() -> None:
    small, large = (CNN((1, n, n), SMALL[:1], [], 2).conv1 for n in (9, 30))
    count = [sum(p.numel() for p in layer.parameters()) for layer in (small, large)]
    assert count == [4 * 1 * 9 + 4] * 2


@pytest.mark.parametrize("n_axes", [2, 3])
def test_shifting_the_input_shifts_the_features(n_axes: int) -> None:
    blocks = [ConvBlock(3, 3), ConvBlock(4, 3)]
    features = CNN((1, *[12] * n_axes), blocks, [], 2)[:-2]  # without flatten and output
    x = torch.randn(1, 1, *[15] * n_axes, generator=generator())
    here, there = x[(..., *[slice(0, 12)] * n_axes)], x[(..., *[slice(3, 15)] * n_axes)]
    inner = (..., *[slice(3, None)] * n_axes), (..., *[slice(0, -3)] * n_axes)
    assert torch.allclose(features(here)[inner[0]], features(there)[inner[1]], atol=1e-6)


def test_pooling_shifts_by_whole_windows_only() -> None:
    net = CNN((1, 12, 12), [ConvBlock(3, 3, pool=2)], [], 2)[:3]
    x = torch.randn(1, 1, 16, 16, generator=generator())
    whole = torch.allclose(net(x[..., 2:]), net(x)[..., 1:], atol=1e-6)
    half = torch.allclose(net(x[..., 1:]), net(x)[..., :-1], atol=1e-6)
    assert whole and not half


def test_the_same_seed_gives_the_same_network() -> None:
    one, two, other = (CNN((1, 9, 9), SMALL, [7], 3, seed=seed).state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])


def test_a_slice_is_a_plain_sequence_that_shares_the_weights() -> None:
    net = CNN((1, 9, 9), SMALL, [7], 3)
    part = net[:2]
    assert type(part) is nn.Sequential and part.conv1 is net.conv1 and net[0] is net.conv1


def test_he_weights_have_the_variance_of_he() -> None:
    weight = CNN((8, 9, 9), [ConvBlock(200, 3)], [], 2, initialization="he").conv1.weight
    assert float(weight.detach().var()) == pytest.approx(
        2 / (8 * 9), rel=0.05
    )  # 14400 draws: a standard error of 1.2 %


def test_the_gain_of_glorot_is_for_hidden_units_alone() -> None:
    net = CNN((1, 9, 9), SMALL, [], 50, activation="sigmoid", initialization="glorot")
    for layer, gain in ((net.conv2, 4), (net.output, 1)):
        n_out, n_in, *kernel = layer.weight.shape
        bound = gain * (6 / ((n_in + n_out) * prod(kernel))) ** 0.5
        assert 0.8 * bound < float(layer.weight.detach().abs().max()) <= bound


def test_a_block_that_does_not_fit_is_refused_in_a_sentence() -> None:
    with pytest.raises(SettingsError, match=r"block 2 \(kernel 4, pooling 1\) does not fit on a map of \(3, 3\)"):
        CNN((1, 9, 9), [ConvBlock(4, 3, pool=2), ConvBlock(4, 4)], [], 2)
    with pytest.raises(SettingsError, match="pooling 8"):
        CNN((1, 9, 9), [ConvBlock(4, 3, pool=8)], [], 2)


@pytest.mark.parametrize("wrong", [{"activation": "step"}, {"pooling": "median"}, {"initialization": "zeros"}])
def test_unknown_names_are_lookup_errors(wrong: dict[str, str]) -> None:
    with pytest.raises(LookupError, match="known are"):
        CNN((1, 9, 9), SMALL, [], 2, **wrong)


def test_impossible_shapes_are_value_errors() -> None:
    with pytest.raises(ValueError, match="two or three spatial axes"):
        CNN((1, 9), SMALL, [], 2)
    with pytest.raises(ValueError, match="at least one unit"):
        CNN((1, 9, 9), SMALL, [0], 2)
    with pytest.raises(ValueError, match="one for each of 2 axes"):
        CNN((1, 9, 9), [ConvBlock(2, (3, 3, 3))], [], 2)


def test_ten_samples_are_learnt_by_heart() -> None:
    torch.manual_seed(0)
    x, y = torch.rand(10, 1, 9, 9, generator=generator()), torch.arange(10) % 5
    net = CNN((1, 9, 9), [ConvBlock(8, 3, pool=2), ConvBlock(16, 2)], [32], 5)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 1e-3 and bool((net(x).argmax(1) == y).all())


def digits_error(seed: int) -> float:
    """Train a small network on the 8x8 digits for 40 epochs; give its share of wrong test answers."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x / 16, y, test_size=360, random_state=0, stratify=y)
    x_train, x_test = (torch.tensor(part, dtype=torch.float32).reshape(-1, 1, 8, 8) for part in parts[:2])
    y_train, y_test = (torch.tensor(part) for part in parts[2:])
    torch.manual_seed(seed)
    blocks = [ConvBlock(16, 3, padding=1), ConvBlock(32, 3, pool=2, padding=1)]
    net = CNN((1, 8, 8), blocks, [64], 10, dropout=0.5, seed=seed)
    n_epochs, draws = 40, generator(seed)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_epochs)
    for _ in range(n_epochs):
        for rows in torch.randperm(len(x_train), generator=draws).split(64):
            optimizer.zero_grad()
            F.cross_entropy(net(x_train[rows]), y_train[rows]).backward()
            optimizer.step()
        schedule.step()
    net.eval()
    with torch.no_grad():
        return float((net(x_test).argmax(1) != y_test).float().mean())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_small_network_reads_digits() -> None:
    errors = [digits_error(seed) for seed in range(5)]
    assert float(np.mean(errors)) <= 0.02, errors


def test_parameter_count_is_that_of_its_layers() -> None:
    net = CNN((2, 9, 9), SMALL, [7], 3)
    by_hand = (4 * 2 * 9 + 4) + (5 * 4 * 4 + 5) + (7 * 5 * 4 + 7) + (3 * 7 + 3)
    assert sum(p.numel() for p in net.parameters()) == by_hand == sum(prod(p.shape) for p in net.state_dict().values())
