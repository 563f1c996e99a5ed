"""The multilayer perceptron: Equations 1 to 3 by hand, what depth and units buy, and the switches of Section 2.6."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.models.dropconnect import DropConnectLinear
from workbench.models.initialization import initialize
from workbench.models.mlp import MLP, backpropagate

ACTIVATIONS = ["relu", "leaky_relu", "sigmoid", "tanh"]


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numpy_f(name: str, a: np.ndarray) -> np.ndarray:
    return {
        "relu": np.maximum(a, 0),
        "leaky_relu": np.where(a > 0, a, 0.01 * a),
        "sigmoid": 1 / (1 + np.exp(-a)),
        "tanh": np.tanh(a),
    }[name]


def with_biases(network: MLP) -> MLP:
    g = draw(9)
    for layer in (*network.hidden, network.output):
        layer.bias.data = torch.randn(layer.bias.shape, generator=g, dtype=torch.double)
    return network


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equation_1_unit_by_unit(activation: str) -> None:
    """y_k = sum_j W2_kj f(sum_i W1_ji v_i + b1_j) + b2_k, in loops over k, j, i."""
    network = with_biases(MLP((3,), (4,), 2, activation=activation).double())  # type: ignore[arg-type]
    v = torch.randn(5, 3, generator=draw(), dtype=torch.double)
    (w1, b1), (w2, b2) = (
        (m.weight.detach().numpy(), m.bias.detach().numpy()) for m in (network.hidden[0], network.output)
    )
    phi = np.array([
        [numpy_f(activation, np.float64(sum(w1[j, i] * row[i] for i in range(3)) + b1[j])) for j in range(4)]
        for row in v.numpy()
    ])  # fmt: skip
    y = np.array([[sum(w2[k, j] * h[j] for j in range(4)) + b2[k] for k in range(2)] for h in phi])
    assert np.abs(network.features(v).detach().numpy() - phi).max() < 1e-12  # Equation 2
    assert np.abs(network(v).detach().numpy() - y).max() < 1e-12


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("error", ["squared", "logistic", "softmax"])
@pytest.mark.parametrize("n_hidden", [(), (5,), (6, 4, 5)])
def test_back_propagation_by_hand_is_automatic_differentiation(
    activation: str, error: str, n_hidden: tuple[int, ...]
) -> None:
    network = with_biases(MLP((2, 3), n_hidden, 3, activation=activation).double())  # type: ignore[arg-type]
    x = torch.randn(7, 2, 3, generator=draw(1), dtype=torch.double)
    target = F.one_hot(torch.randint(3, (7,), generator=draw(2)), 3).double()
    y = network(x)
    loss = {
        "squared": 0.5 * (y - target).square().sum(1).mean(),
        "logistic": F.binary_cross_entropy_with_logits(y, target, reduction="none").sum(1).mean(),
        "softmax": F.cross_entropy(y, target),
    }[error]
    loss.backward()
    gradients = backpropagate(network, x, target, error)  # type: ignore[arg-type]
    assert set(gradients) == {name for name, _ in network.named_parameters()}
    for name, parameter in network.named_parameters():
        assert (gradients[name] - parameter.grad).abs().max() < 1e-10, name


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradcheck_with_batch_normalization(activation: str) -> None:
    network = MLP((3,), (4, 3), 2, activation=activation, batch_norm=True).double()  # type: ignore[arg-type]
    x = torch.randn(6, 3, generator=draw(1), dtype=torch.double, requires_grad=True)
    names = [name for name, _ in network.named_parameters()]

    def y(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(network, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(y, (x, *network.parameters()))


def test_a_2_2_1_network_fits_xor() -> None:
    v = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.double)
    target = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.double)
    n_solved = 0
    for seed in range(20):
        network = MLP((2,), (2,), 1, activation="sigmoid", initialization="normal", seed=seed).double()
        parameters = dict(network.named_parameters())
        velocity = {name: torch.zeros_like(value) for name, value in parameters.items()}
        for _ in range(500):
            for name, gradient in backpropagate(network, v, target, "logistic").items():
                velocity[name] = 0.9 * velocity[name] - 0.5 * gradient
                parameters[name].data += velocity[name]
        n_solved += bool(((network(v) > 0) == (target > 0.5)).all())
    assert n_solved >= 9, n_solved


def test_no_linear_network_fits_xor() -> None:
    v = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.double)
    target = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.double)
    network = MLP((2,), (), 1).double()
    fit(network, lambda: F.binary_cross_entropy_with_logits(network(v), target), 100)
    assert torch.allclose(network(v), torch.zeros(4, dtype=torch.double), atol=1e-4)  # the best plane says nothing


def test_more_units_approximate_a_sine_better() -> None:
    """Section 2.2: the largest error on sin(2 pi x) falls with the number of hidden units (Hornik 1991)."""
    x = torch.linspace(0, 1, 101, dtype=torch.double)[:, None]
    target = torch.sin(2 * torch.pi * x[:, 0])
    errors = []
    for n_hidden in (2, 4, 8, 16, 32):
        found = []
        for seed in range(3):
            network = MLP((1,), (n_hidden,), 1, activation="tanh", initialization="normal", seed=seed).double()
            network.hidden[0].bias.data.uniform_(-1, 1, generator=draw(seed))
            fit(network, lambda n=network: (n(x) - target).square().mean(), 60)
            found.append(float((network(x) - target).abs().max().detach()))
        errors.append(min(found))
    assert errors[0] > 5 * errors[-1], errors
    assert all(later < 1.5 * earlier for earlier, later in itertools.pairwise(errors)), errors


def fit(network: nn.Module, loss: object, n_steps: int) -> None:
    optimizer = torch.optim.LBFGS(
        network.parameters(), max_iter=n_steps, line_search_fn="strong_wolfe", tolerance_change=1e-12
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()  # type: ignore[operator]
        value.backward()
        return value

    optimizer.step(closure)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_dropout_keeps_the_mean_of_what_it_drops(share: float) -> None:
    network = MLP((10,), (30,), 2, dropout=share, input_dropout=0.0).train()
    x = torch.rand(1, 10, generator=draw())
    torch.manual_seed(0)
    with torch.no_grad():
        h = network.features(x.expand(20_000, -1))
        clean = network.eval().features(x)[0]
    deviation = clean * (share / (1 - share)) ** 0.5
    assert ((h.mean(0) - clean).abs() <= 5 * deviation / 20_000**0.5 + 1e-6).all()
    assert torch.allclose(h.std(0), deviation, rtol=0.05)
    assert (((h[:, clean > 0] == 0).float().mean(0) - share).abs() < 5 * (share * (1 - share) / 20_000) ** 0.5).all()


def test_input_dropout_drops_inputs_and_nothing_in_evaluation() -> None:
    network, x = MLP((50,), (), 1, input_dropout=0.2), torch.ones(400, 50)
    h = network.train().features(x)
    assert abs(float((h == 0).float().mean()) - 0.2) < 0.02 and torch.equal(network.eval().features(x), x)


def test_dropconnect_layers_stand_in_every_hidden_layer_and_infer_by_choice() -> None:
    network = MLP((60,), (16, 8), 3, dropconnect=0.5, n_draws=64, activation="relu", seed=2)
    assert all(isinstance(layer, DropConnectLinear) for layer in network.hidden)
    assert not isinstance(network.output, DropConnectLinear)
    x = torch.rand(2, 60, generator=draw())
    with torch.no_grad():
        torch.manual_seed(0)
        first = network.train()
        masked = torch.stack([first.features(x, 1) for _ in range(4000)]).mean(0)
        matched = network.eval().features(x, 1)
        network.n_draws = 0
        mean = network.features(x, 1)
    assert (matched - masked).norm() < 0.03 * masked.norm()
    assert (mean - masked).norm() > 3 * (matched - masked).norm()


@pytest.mark.parametrize("dropconnect", [0.0, 0.4])
def test_folding_a_normalization_changes_no_output(dropconnect: float) -> None:
    network = MLP((6,), (5, 4), 3, batch_norm=True, dropconnect=dropconnect, dropout=0.3, seed=1)
    for step in range(20):
        network(3 + 2 * torch.randn(16, 6, generator=draw(step)))
    for norm in network.norms:
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias, -1, 1)
    x = torch.randn(9, 6, generator=draw(50))
    folded, running = network.folded(), network.norms[0].running_mean.clone()
    assert not any(isinstance(m, nn.BatchNorm1d | DropConnectLinear) for m in folded.modules())
    assert torch.allclose(folded(x), network.eval()(x), atol=1e-5)
    assert torch.equal(network.norms[0].running_mean, running)


def test_batch_normalization_normalizes_each_unit_before_its_activation() -> None:
    network = MLP((6,), (5,), 2, batch_norm=True, activation="tanh")
    x = 4 + 3 * torch.randn(64, 6, generator=draw())
    a = torch.atanh(network.features(x).clamp(-1 + 1e-6, 1 - 1e-6))
    assert a.mean(0).abs().max() < 1e-4 and (a.var(0, correction=0) - 1).abs().max() < 0.01


def test_features_begin_at_the_input_and_end_below_the_output() -> None:
    network, x = MLP((2, 3, 3), (7, 4), 2), torch.rand(5, 2, 3, 3, generator=draw())
    assert torch.equal(network.features(x, 0), x.flatten(1))
    assert [network.features(x, d).shape for d in (1, 2)] == [(5, 7), (5, 4)]
    assert torch.equal(network(x), network.output(network.features(x)))
    assert MLP((3,), (4,), 1)(torch.rand(5, 3)).shape == (5,)
    with pytest.raises(LookupError, match="2 hidden layers; there is no depth 3"):
        network.features(x, 3)


def test_the_seed_decides_the_weights_and_the_scheme_their_size() -> None:
    first, again, other = (MLP((6,), (4,), 2, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.hidden[0].weight, again.hidden[0].weight)
    assert not torch.equal(first.hidden[0].weight, other.hidden[0].weight)
    network = MLP((30,), (20,), 2, activation="tanh", initialization="sparse", seed=3)
    layer = nn.Linear(30, 20)
    initialize(layer, "sparse", draw(3), activation="tanh")
    assert torch.equal(network.hidden[0].weight, layer.weight) and (network.hidden[0].bias == 0.5).all()
    assert not network.output.bias.any()


def test_impossible_networks_are_explained() -> None:
    with pytest.raises(ValueError, match=r"at least one unit; got \(3,\), \(0,\) and 2"):
        MLP((3,), (0,), 2)
    with pytest.raises(LookupError, match="no activation is called 'gelu'"):
        MLP((3,), (2,), 2, activation="gelu")  # type: ignore[arg-type]
