"""A deep Boltzmann machine on the parts of an example."""

from __future__ import annotations

import pytest
import torch
from small_machines import disturbed, draw

from workbench.models.dbm import DBM
from workbench.models.layer_graph import LABEL
from workbench.models.pathway_machine import PathwayMachine
from workbench.models.rbm import RBM

BLOCKS = {"MRI": (0, 4), "PET": (4, 10)}
PATHS = {"MRI": (4, [3]), "PET": (6, [3, 2])}
N_CODE = 5


def binary(*, n_classes: int = 0, blocks: dict[str, tuple[int, int]] | None = None) -> PathwayMachine:
    machine = disturbed(DBM.multimodal(PATHS, 3, n_classes=n_classes))
    return PathwayMachine((10,), blocks or BLOCKS, machine).double()


def coded() -> PathwayMachine:
    """Give a machine over Gaussian RBMs on examples of two channels, (2, 3, 2)."""
    machine = disturbed(DBM.multimodal({"MRI": (N_CODE, [3]), "PET": (N_CODE, [3])}, 3))
    coders = {name: RBM(6, N_CODE, visible="gaussian", seed=i, init_scale=0.5) for i, name in enumerate(BLOCKS)}
    return PathwayMachine((2, 3, 2), {"MRI": (0, 6), "PET": (6, 12)}, machine, coders).double()


def some_bits(n: int = 7) -> torch.Tensor:
    return (torch.rand((n, 10), generator=draw(1)) < 0.5).double()


def test_codes_of_binary_parts_are_the_parts_and_give_the_example_back() -> None:
    net, x = binary(), some_bits()
    codes = net.codes(x)
    for name, (begin, end) in BLOCKS.items():
        assert torch.equal(codes[name], x[:, begin:end])
    assert torch.equal(net.image(codes), x)


def test_parts_may_be_named_in_another_order_than_they_lie() -> None:
    x = some_bits()
    turned = binary(blocks={"PET": (0, 6), "MRI": (6, 10)})
    assert torch.equal(turned.codes(x)["MRI"], x[:, 6:]) and torch.equal(turned.image(turned.codes(x)), x)
    swapped = torch.cat([x[:, 6:], x[:, :6]], 1)
    torch.testing.assert_close(turned.encode(x), binary().encode(swapped))


def test_codes_of_real_parts_are_the_gaussian_rbms() -> None:
    net = coded()
    x = torch.randn((5, 2, 3, 2), generator=draw(), dtype=torch.float64)
    for i, name in enumerate(BLOCKS):
        coder = net.coder(name)
        assert coder is not None
        codes = net.codes(x)[name]
        torch.testing.assert_close(codes, coder.hidden_mean(x[:, i].flatten(1)))
        torch.testing.assert_close(net.image(net.codes(x))[:, i].flatten(1), coder.visible_mean(codes))


@pytest.mark.parametrize("make", [binary, coded])
def test_code_is_the_mean_field_of_the_machine(make: type[PathwayMachine]) -> None:
    net = make()  # type: ignore[call-arg]
    x = torch.rand((6, *net.shape), generator=draw(2), dtype=torch.float64)
    found = net.machine.mean_field(net.codes(x)).state
    assert torch.equal(net.encode(x), found["shared"])
    assert net(x).shape == x.shape


def test_reconstruction_is_what_the_hidden_layers_expect() -> None:
    net, x = binary(), some_bits()
    state = net.posterior(x)
    for name, (begin, end) in BLOCKS.items():
        expected = torch.sigmoid(net.machine.net_input(name, state))
        torch.testing.assert_close(net(x)[:, begin:end], expected)


def test_part_that_is_not_known_is_predicted_from_the_other_alone() -> None:
    net, x = binary(), some_bits()
    other = x.clone()
    other[:, 4:] = 1 - other[:, 4:]
    assert torch.equal(net(x, only=["MRI"]), net(other, only=["MRI"])), "the missing part was looked at"
    assert not torch.allclose(net(x), net(other))
    assert not torch.allclose(net(x, only=["MRI"])[:, 4:], net(1 - x, only=["MRI"])[:, 4:]), "the known part was not"


def test_prediction_of_a_missing_part_comes_near_the_exact_conditional() -> None:
    machine = disturbed(DBM.multimodal({"MRI": (2, [2]), "PET": (2, [2])}, 2), scale=0.4)
    net = PathwayMachine((4,), {"MRI": (0, 2), "PET": (2, 4)}, machine).double()
    bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 4)
    p = machine.log_likelihood({"MRI": bits[:, :2], "PET": bits[:, 2:]}).exp()
    for known in torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 2):
        here = (bits[:, :2] == known).all(1)
        exact = (p[here, None] * bits[here, 2:]).sum(0) / p[here].sum()
        x = torch.cat([known, torch.zeros(2).double()])[None]
        torch.testing.assert_close(net(x, only=["MRI"])[0, 2:], exact, atol=0.03, rtol=0)


def test_patterns_leave_parts_at_zero_that_a_pathway_does_not_reach() -> None:
    net = binary(n_classes=2)
    for layer, reached in {"MRI_h1": (0, 4), "PET_h1": (4, 10), "PET_h2": (4, 10), "shared": (0, 10)}.items():
        patterns = net.back_projection(layer)
        assert patterns.shape == (net.machine.graph.sizes[layer], 10)
        inside = torch.zeros(10, dtype=torch.bool)
        inside[slice(*reached)] = True
        assert (patterns[:, inside] != 0).all() and (patterns[:, ~inside] == 0).all(), layer
    assert (net.back_projection(LABEL) == 0).all(), "labels stand above, not below"
    torch.testing.assert_close(net.back_projection("MRI_h1")[:, :4], net.machine.weight("MRI", "MRI_h1").float())


def test_patterns_of_codes_are_the_gaussian_weights() -> None:
    net = coded().float()
    coder = net.coder("PET")
    assert coder is not None
    patterns = net.back_projection("PET")
    assert patterns.shape == (N_CODE, 2, 3, 2) and (patterns[:, 0] == 0).all()
    torch.testing.assert_close(patterns[:, 1].flatten(1), coder.weight)
    above = net.machine.weight("PET", "PET_h1") @ coder.weight
    torch.testing.assert_close(net.back_projection("PET_h1")[:, 1].flatten(1), above)


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ({"MRI": (0, 4)}, "machine's inputs MRI, PET"),
        ({"MRI": (0, 4), "CT": (4, 10)}, "machine's inputs MRI, PET"),
        ({"MRI": (0, 4), "PET": (4, 9)}, "do not cover"),
        ({"MRI": (0, 4), "PET": (3, 9)}, "do not cover"),
        ({"MRI": (0, 6), "PET": (4, 8)}, "do not cover"),
        ({"MRI": (1, 5), "PET": (5, 10)}, "do not cover"),
        ({"MRI": (0, 0), "PET": (0, 10)}, "do not cover"),
    ],
)
def test_wrong_parts_are_refused(blocks: dict[str, tuple[int, int]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        binary(blocks=blocks)


def test_unknown_part_is_a_lookup_error() -> None:
    with pytest.raises(LookupError):
        binary().codes(some_bits(), only=["CT"])
    assert binary().coder("MRI") is None
