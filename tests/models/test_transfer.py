"""What moves between networks, what is left alone, and what stays frozen."""

# mypy: disable-error-code="union-attr, index, operator, arg-type"

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workbench.errors import SettingsError
from workbench.models.cnn import CNN, ConvBlock
from workbench.models.mlp import MLP
from workbench.models.transfer import Fate, TransferPlan, load_matching, off_the_shelf, reinitialize
from workbench.tasks.optimizers import parameter_groups

BLOCKS = (ConvBlock(4, 3, pool=2), ConvBlock(5, 2))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(n_channels: int = 1, n_outputs: int = 3, seed: int = 0) -> CNN:
    return CNN((n_channels, 9, 9), BLOCKS, [6], n_outputs, batch_norm=True, dropout=0.5, seed=seed)


def train(net: nn.Module, groups: object, n_steps: int = 5) -> None:
    net.train()
    optimizer = torch.optim.SGD(groups, lr=0.1, weight_decay=0.1)
    for step in range(n_steps):
        optimizer.zero_grad()
        x = torch.randn(8, 1, 9, 9, generator=generator(step))
        F.cross_entropy(net(x), torch.arange(8) % 3).backward()
        optimizer.step()


def test_all_of_an_equal_network_moves() -> None:
    source, target = network(seed=1), network(seed=2)
    report = load_matching(target, source.state_dict())
    assert set(report.loaded) == set(source.state_dict())
    assert not report.adapted and not report.skipped and not report.missing
    x = torch.rand(2, 1, 9, 9, generator=generator())
    assert torch.equal(source.eval()(x), target.eval()(x))


def test_another_head_is_skipped_with_its_reason_and_keeps_its_values() -> None:
    source, target = network(n_outputs=10), network(seed=2)
    before = target.output.weight.detach().clone()
    report = load_matching(target, source.state_dict())
    assert report.skipped["output.weight"] == "its shape is (10, 6), the network's (3, 6)"
    assert set(report.missing) == {"output.weight", "output.bias"} == set(report.skipped)
    assert torch.equal(target.output.weight, before)
    assert torch.equal(target.conv2.weight, source.conv2.weight)


def test_names_without_a_counterpart_are_reported() -> None:
    source, target = CNN((1, 9, 9), (*BLOCKS, ConvBlock(5, 1)), [6], 3), CNN((1, 9, 9), BLOCKS, [6, 4], 3)
    report = load_matching(target, source.state_dict())
    assert report.skipped["conv3.weight"] == "the network has nothing of this name"
    assert {"full2.weight", "full2.bias"} <= set(report.missing)


def test_renamed_beginnings_fit_the_longest_first() -> None:
    source = {f"body.{name}": values for name, values in network(seed=1).state_dict().items()}
    source = {name.replace("body.output", "body.head"): values for name, values in source.items()}
    target = network(seed=2)
    report = load_matching(target, source, rename={"body.": "", "body.head": "output"})
    assert not report.skipped and not report.missing


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (1, 2), (4, 1)])
@pytest.mark.parametrize("n_axes", [2, 3])
def test_channels_are_repeated_or_summed_so_that_equal_channels_give_the_same_maps(
    n_axes: int, before: int, after: int
) -> None:
    source, target = (CNN((n, *[6] * n_axes), BLOCKS[:1], [], 2, seed=n).double() for n in (before, after))
    report = load_matching(target, source.state_dict())
    assert list(report.adapted) == ["conv1.weight"] and not report.missing and "conv1.weight" not in report.loaded
    gray = torch.randn(2, 1, *[6] * n_axes, generator=generator(), dtype=torch.float64)
    ones = [1] * n_axes
    assert torch.allclose(source(gray.repeat(1, before, *ones)), target(gray.repeat(1, after, *ones)), atol=1e-12)


def test_only_the_first_convolution_and_only_from_or_to_one_channel() -> None:
    two, three = CNN((2, 9, 9), BLOCKS, [], 2), CNN((3, 9, 9), BLOCKS, [], 2)
    assert "conv1.weight" in load_matching(three, two.state_dict()).skipped
    wide = CNN((1, 9, 9), [ConvBlock(1, 3, pool=2), ConvBlock(5, 2)], [], 2)
    assert "conv2.weight" in load_matching(wide, CNN((1, 9, 9), BLOCKS, [], 2).state_dict()).skipped


def test_weights_of_a_program_that_convolves_are_turned_about() -> None:
    target = CNN((1, 9, 9), BLOCKS, [6], 3, seed=2)
    source = CNN((1, 9, 9), BLOCKS, [6], 3, seed=1)
    theirs = {n: v.flip(2, 3) if v.ndim == 4 else v for n, v in source.state_dict().items()}
    load_matching(target, theirs, flipped=True)
    assert all(torch.equal(v, target.state_dict()[n]) for n, v in source.state_dict().items())


def test_a_network_that_nothing_fits_is_refused_and_left_alone() -> None:
    target = network()
    before = {name: values.clone() for name, values in target.state_dict().items()}
    with pytest.raises(SettingsError, match=r"it has hidden\.0\.weight \(6, 9\).*this network has conv1\.weight"):
        load_matching(target, MLP((9,), [6], 4).state_dict() | {"output.bias": torch.zeros(4)})
    assert all(torch.equal(values, before[name]) for name, values in target.state_dict().items())


def test_a_perceptron_has_no_first_convolution() -> None:
    report = load_matching(MLP((27,), [6], 2), MLP((9,), [6], 2).state_dict())
    assert "hidden.0.weight" in report.skipped and not report.adapted


def test_rates_follow_the_longest_name_that_fits() -> None:
    net = nn.Sequential()
    for name in ("conv1", "conv10"):
        net.add_module(name, nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))
    plan = TransferPlan({"conv1": 0.1, "conv1.1": "frozen"}, default=2.0)
    assert plan.layer_rates(net) == {"conv1.0": 0.1, "conv1.1": 0.0, "conv10.0": 2.0, "conv10.1": 2.0}


def test_parameter_groups_hold_every_live_parameter_once_with_its_rate() -> None:
    net = network()
    rates = TransferPlan({"conv1": "frozen", "norm1": "frozen", "output": "reinitialized"}, 0.1).apply(net, generator())
    groups = parameter_groups(net, 0.5, layer_rates=rates)
    of = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(of) == sum(len(group["params"]) for group in groups)
    wanted = {n: 0.5 if n.startswith("output") else 0.05 for n, _ in net.named_parameters()}
    got = {n: of.get(id(p)) for n, p in net.named_parameters()}
    assert got == {n: None if n.startswith(("conv1", "norm1")) else lr for n, lr in wanted.items()}


@pytest.mark.parametrize("fate", ["frozen", 0.0])
def test_frozen_layers_do_not_change_in_training_and_others_do(fate: Fate) -> None:
    net = network()
    frozen = ("conv1", "norm1", "conv2", "norm2")
    rates = TransferPlan(dict.fromkeys(frozen, fate)).apply(net, generator())
    before = {name: values.clone() for name, values in net.state_dict().items()}
    train(net, parameter_groups(net, 0.1, layer_rates=rates))
    for name, values in net.state_dict().items():
        assert torch.equal(values, before[name]) == name.startswith(frozen), name  # running statistics too


def test_a_rate_of_zero_alone_also_leaves_weights_unchanged() -> None:
    net = network()
    before = net.conv1.weight.detach().clone()
    train(net, parameter_groups(net, 0.1, layer_rates={"conv1": 0.0}))
    assert torch.equal(net.conv1.weight, before)


def test_the_step_is_proportional_to_the_multiplier() -> None:
    moved = []
    for rate in (1.0, 0.1):
        net = CNN((1, 9, 9), BLOCKS, [6], 3).double()
        before = net.conv1.weight.detach().clone()
        optimizer = torch.optim.SGD(parameter_groups(net, 0.1, layer_rates={"conv1": rate}))
        F.cross_entropy(
            net(torch.randn(4, 1, 9, 9, generator=generator(), dtype=torch.float64)), torch.arange(4) % 3
        ).backward()
        optimizer.step()
        moved.append(net.conv1.weight.detach() - before)
    assert torch.allclose(moved[0] * 0.1, moved[1], atol=1e-15) and float(moved[0].abs().max()) > 0


def test_frozen_dropout_lets_everything_through() -> None:
    net = network()
    TransferPlan({"": "frozen"}).apply(net, generator())
    net.train()
    x = torch.rand(4, 1, 9, 9, generator=generator())
    assert torch.equal(net(x), net(x)) and not any(p.requires_grad for p in net.parameters())


def test_a_head_that_begins_anew_is_another_draw_and_the_body_stays() -> None:
    net = network()
    before = {name: values.clone() for name, values in net.state_dict().items()}
    reinitialize(net, "output", generator(5))
    changed = {name for name, values in net.state_dict().items() if not torch.equal(values, before[name])}
    assert changed == {"output.weight"}  # biases begin at 0 both times
    other = network()
    reinitialize(other, "output", generator(5))
    assert torch.equal(net.output.weight, other.output.weight)


def test_batch_normalization_begins_anew_with_its_statistics() -> None:
    net = network()
    train(net, net.parameters(), 1)
    assert int(net.norm1.num_batches_tracked) == 1
    reinitialize(net, "norm1", generator())
    assert int(net.norm1.num_batches_tracked) == 0 and bool((net.norm1.weight == 1).all())


def test_a_wrong_plan_is_refused() -> None:
    with pytest.raises(LookupError, match="no layer 'conv9'; it has conv1"):
        TransferPlan({"conv9": "frozen"}).apply(network(), generator())
    with pytest.raises(LookupError, match="'melted' for 'conv1'"):
        TransferPlan({"conv1": "melted"})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="at least 0"):
        TransferPlan({"conv1": -1.0})


@pytest.mark.parametrize("depth", [None, 0, 1, 2])
@pytest.mark.parametrize("make", [network, lambda: MLP((1, 9, 9), [8, 7], 3, dropout=0.5, batch_norm=True)])
def test_features_do_not_depend_on_the_batch_and_leave_the_network_alone(make: object, depth: int | None) -> None:
    net = make().train()
    before = {name: values.clone() for name, values in net.state_dict().items()}
    x = torch.rand(7, 1, 9, 9, generator=generator())
    whole, single = off_the_shelf(net, x, depth), off_the_shelf(net, x, depth, batch_size=1)
    assert whole.ndim == 2 and len(whole) == 7 and not whole.requires_grad and net.training
    assert torch.allclose(whole, single, atol=1e-6)
    assert torch.allclose(off_the_shelf(net, x.flip(0), depth).flip(0), whole, atol=1e-6)
    assert all(torch.equal(values, before[name]) for name, values in net.state_dict().items())


def test_features_come_from_a_network_that_has_them() -> None:
    with pytest.raises(TypeError, match="features"):
        off_the_shelf(nn.Linear(2, 2), torch.zeros(1, 2))
