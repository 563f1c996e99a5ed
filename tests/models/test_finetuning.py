"""Every conversion computes, before its first step, what the model did: to 1e-10 in double precision."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from workbench.models.augmented import bottom_up
from workbench.models.class_rbm import ClassRBM
from workbench.models.conv_autoencoder import ConvolutionalAutoEncoder, ConvStageSettings
from workbench.models.dbm import DBM
from workbench.models.dbn import DBN
from workbench.models.finetuning import (
    dbm_to_network,
    dbn_to_network,
    dbn_to_stack,
    rbm_to_autoencoder,
    stack_to_network,
)
from workbench.models.layer_graph import LayerGraph
from workbench.models.rbm import RBM
from workbench.models.stacked_autoencoder import StackedAutoEncoder, to_classifier
from workbench.models.up_down import UpDown

KINDS: list[dict[str, object]] = [
    {},
    {"centered": True},
    {"visible": "gaussian", "sigma": 0.4},
    {"visible": "gaussian", "sigma": 0.4, "centered": True},
    {"hidden": "gaussian", "centered": True},
]
FACTORS = [(1.0, 1.0), (2.0, 1.0), (1.0, 2.0), (2.0, 2.0)]


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=draw(seed), dtype=torch.float64)


def stir(module: torch.nn.Module, seed: int) -> None:
    """Move every parameter and offset far from where it begins."""
    generator = draw(seed)
    with torch.no_grad():
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            if "offset" not in name or module.centered:
                value += 0.7 * torch.randn(value.shape, generator=generator, dtype=value.dtype).abs()


def random_rbm(n_visible: int, n_hidden: int, seed: int = 0, **kinds: object) -> RBM:
    rbm = RBM(n_visible, n_hidden, seed=seed, **kinds).double()  # type: ignore[arg-type]
    stir(rbm, seed)
    return rbm


def equal(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-10, rtol=0)


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("kinds", KINDS)
def test_autoencoder_of_an_rbm(kinds: dict[str, object], factors: tuple[float, float]) -> None:
    rbm, v, h = random_rbm(7, 5, **kinds), normal(9, 7), normal(9, 5)
    rbm.up_factor, rbm.down_factor = factors
    layer = rbm_to_autoencoder(rbm)
    assert equal(layer.encode(v), rbm.encode(v)) and equal(layer.decode(h), rbm.decode(h))
    assert equal(layer(v), rbm.decode(rbm.encode(v)))
    plain = rbm_to_autoencoder(rbm.uncentered())
    assert equal(layer.hidden_bias, plain.hidden_bias) and equal(layer.visible_bias, plain.visible_bias)


def test_an_autoencoder_is_tied_only_where_both_directions_agree() -> None:
    rbm = random_rbm(7, 5, centered=True)
    tied = rbm_to_autoencoder(rbm, tied=True)
    v = normal(4, 7)
    assert tied.free_decoder_weight is None and equal(tied(v), rbm.decode(rbm.encode(v)))
    rbm.up_factor = 2.0
    for model in (rbm, random_rbm(7, 5, visible="gaussian", sigma=2.0)):
        with pytest.raises(ValueError, match="choose tied=False"):
            rbm_to_autoencoder(model, tied=True)


def random_dbn(shape: tuple[int, ...], normalization: str = "none", **first: object) -> DBN:
    sizes = (int(torch.Size(shape).numel()), 6, 5, 4)
    rbms = [
        random_rbm(below, above, seed=i, **({"centered": True} | (first if i == 0 else {})))
        for i, (below, above) in enumerate(itertools.pairwise(sizes))
    ]
    return DBN(rbms, shape, normalization=normalization)  # type: ignore[arg-type]


SHAPES = [(8,), (1, 3, 3), (2, 2, 2, 2)]


@pytest.mark.parametrize("untied", [False, True])
@pytest.mark.parametrize("normalization", ["none", "standardize"])
@pytest.mark.parametrize("shape", SHAPES)
def test_unrolled_belief_network(shape: tuple[int, ...], normalization: str, untied: bool) -> None:
    dbn = random_dbn(shape, normalization, visible="gaussian", sigma=0.5)
    net = UpDown(dbn) if untied else dbn
    stack, x = dbn_to_stack(net), normal(5, *shape)
    assert stack.normalization == normalization and stack.visible == "linear"
    for depth in range(4):
        assert equal(stack.encode(x, depth), dbn.encode(x, depth))
        assert equal(stack.decode(dbn.encode(x, depth), depth), dbn.decode(dbn.encode(x, depth), depth))
    assert equal(stack(x), dbn(x))


def test_unrolled_binary_network_reconstructs_by_sigmoids_and_may_be_tied() -> None:
    dbn, x = random_dbn((8,)), (normal(5, 8) > 0).double()
    stack = dbn_to_stack(dbn, tied=True)
    assert [stack.layer(i).visible for i in range(3)] == ["sigmoid"] * 3
    assert all(stack.layer(i).tied for i in range(3)) and equal(stack(x), dbn(x))


@pytest.mark.parametrize("untied", [False, True])
@pytest.mark.parametrize("normalization", ["none", "center"])
@pytest.mark.parametrize("shape", SHAPES)
def test_network_of_a_belief_network(shape: tuple[int, ...], normalization: str, untied: bool) -> None:
    dbn = random_dbn(shape, normalization, visible="gaussian", sigma=0.5)
    network = dbn_to_network(UpDown(dbn) if untied else dbn, 3, seed=1)
    x = normal(5, *shape)
    for depth in range(1, 4):
        assert equal(network.features(x, depth), dbn.encode(x, depth))
    assert network(x).shape == (5, 3) and equal(network(x), network.output(dbn.encode(x)))
    assert dbn_to_network(dbn, 1)(x).shape == (5,)


@pytest.mark.parametrize("devices", [{"dropout": 0.5}, {"input_dropout": 0.2}, {"dropconnect": 0.5}])
def test_training_devices_leave_the_evaluated_network(devices: dict[str, float]) -> None:
    dbn, x = random_dbn((8,)), normal(50, 8)
    network = dbn_to_network(dbn, 3, **devices)
    assert equal(network.eval().features(x), dbn.encode(x))
    assert not equal(network.train().features(x), dbn.encode(x))


@pytest.mark.parametrize("hidden", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("normalization", ["none", "center", "standardize"])
@pytest.mark.parametrize("shape", SHAPES)
def test_network_of_a_stack(shape: tuple[int, ...], normalization: str, hidden: str) -> None:
    stack = StackedAutoEncoder(shape, (6, 4), normalization=normalization, hidden=hidden).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for name, value in stack.named_parameters():
            value += 0.1 * len(name)
    network, x = stack_to_network(stack, 3), normal(5, *shape)
    assert equal(network.features(x), stack.encode(x))
    assert equal(network.features(x), to_classifier(stack, 3)[:-1](x))


def test_only_the_output_layer_depends_on_the_seed() -> None:
    dbn = random_dbn((8,))
    first, again, other = (dbn_to_network(dbn, 3, seed=s) for s in (0, 0, 1))
    for (name, a), b, c in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c) != (name == "output.weight"), name


def test_fine_tuning_leaves_the_model() -> None:
    dbn, x = random_dbn((8,)), normal(5, 8)
    before = {name: value.clone() for name, value in dbn.state_dict().items()}
    for network in (dbn_to_network(dbn, 2), dbn_to_stack(dbn), rbm_to_autoencoder(dbn.layer(0))):
        network(x).square().sum().backward()
        torch.optim.SGD(network.parameters(), lr=1.0).step()
    assert all(torch.equal(value, before[name]) for name, value in dbn.state_dict().items())


def random_dbm(n_hidden: tuple[int, ...], **options: object) -> DBM:
    machine = DBM.chain(6, n_hidden, seed=1, **options).double()  # type: ignore[arg-type]
    generator = draw(3)
    with torch.no_grad():
        for name, value in (*machine.named_parameters(), *machine.named_buffers()):
            if "offset" not in name or machine.centered:
                value += 0.5 * torch.randn(value.shape, generator=generator, dtype=value.dtype)
    return machine


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("n_hidden", [(5, 4), (5, 4, 3)])
def test_augmented_network_is_one_sweep_of_mean_field(n_hidden: tuple[int, ...], visible: str, centered: bool) -> None:
    """h1 = s(W1 v + A q(h2) + c1), h2 = s(W2 h1 + A q(h3) + c2), …: the machine's own net inputs, from the bottom."""
    machine, v = random_dbm(n_hidden, visible=visible, centered=centered), (normal(7, 6) > 0).double()
    network = dbm_to_network(machine, 3)
    state = machine.mean_field(v).state
    for name in machine.graph.hidden:
        state[name] = machine.net_input(name, state).sigmoid()
    assert equal(network.features(v), state[machine.graph.top])
    assert equal(network(v), network.trained.output(state[machine.graph.top]))
    augmented = network.augment(v)
    assert augmented.shape == (7, 6 + sum(n_hidden[1:])) and torch.equal(augmented[:, :6], v)
    assert not augmented.requires_grad and equal(network.trained(augmented), network(v))


def test_after_convergence_the_augmented_network_gives_the_machines_code() -> None:
    machine, v = random_dbm((5, 4)), (normal(7, 6) > 0).double()
    network = dbm_to_network(machine, 2)
    network.n_iterations, network.tolerance = 3000, 1e-13
    code = machine.mean_field(v, n_iterations=3000, tolerance=1e-13).state["h2"]
    assert equal(network.features(v), code)


def test_augmented_network_of_two_modalities_and_a_label() -> None:
    """The label is one more layer above: q(label | v) augments the input of the shared layer."""
    machine = DBM.multimodal({"MRI": (4, [3]), "PET": (5, [4, 3])}, 3, n_classes=2, seed=0).double()
    with torch.no_grad():
        for value in machine.parameters():
            value += normal(*value.shape, seed=value.numel())
    x = (normal(6, 9) > 0).double()
    network = dbm_to_network(machine, 2)
    state = machine.mean_field({"MRI": x[:, :4], "PET": x[:, 4:]}).state
    for name in ("MRI_h1", "PET_h1", "PET_h2", "shared"):
        state[name] = machine.net_input(name, state).sigmoid()
    assert equal(network.features(x), state["shared"])
    order = bottom_up(machine.graph)
    assert order.index("shared") == 3 and order.index("PET_h1") < order.index("PET_h2")
    assert network.trained.augmenting == ("PET_h2", "shared", "label")


def test_only_the_upper_part_of_an_augmented_network_learns() -> None:
    machine, v = random_dbm((5, 4)), (normal(7, 6) > 0).double()
    network = dbm_to_network(machine, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(v).square().sum().backward()
    torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1.0).step()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("posterior."), name
    assert (
        equal(network.trained.hidden["h1"].weight[:, 6:].detach(), before["trained.hidden.h1.weight"][:, 6:]) is False
    )
    assert dbm_to_network(machine, 1)(v).shape == (7,)


def test_refusals_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="mean of noisy_relu hidden units is none of our activations"):
        rbm_to_autoencoder(RBM(4, 3, hidden="noisy_relu"))
    with pytest.raises(ValueError, match="softmax visible units have no auto-encoder"):
        rbm_to_autoencoder(RBM(4, 3, visible="softmax"))
    with pytest.raises(ValueError, match="depend on the class too"):
        dbn_to_network(DBN([RBM(6, 4), ClassRBM(4, 3, 2)], (6,)), 2)
    with pytest.raises(ValueError, match="one activation in all hidden layers; got linear, sigmoid"):
        dbn_to_network(DBN([RBM(6, 4), RBM(4, 3, hidden="gaussian")], (6,)), 2)
    stages = (ConvStageSettings(4, 5, 2), ConvStageSettings(3, 3, 1))
    with pytest.raises(ValueError, match="this model slides over its patch"):
        stack_to_network(ConvolutionalAutoEncoder((1, 9, 9), stages), 2)
    graph = LayerGraph({"v": 3, "h": 2, "g": 2}, (("v", "h"), ("h", "g")), {"g": "softmax"})
    with pytest.raises(ValueError, match="needs bernoulli hidden units; g is softmax"):
        dbm_to_network(DBM(graph), 2)
    with pytest.raises(ValueError, match="inputs with 6 elements were expected; got 5"):
        dbm_to_network(random_dbm((5, 4)), 2).augment(normal(2, 5))
