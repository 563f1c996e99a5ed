"""The stack on whole patches: shapes, frozen layers, convolutions, patterns, and the step-0 identity of classifiers."""

from __future__ import annotations

import pytest
import torch

from workbench.models.layers import run_stages
from workbench.models.stack import activation_maximization
from workbench.models.stacked_autoencoder import StackedAutoEncoder, to_classifier

SHAPES = [(20,), (1, 5, 5), (2, 3, 3, 3)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def patches(shape: tuple[int, ...], n: int = 4) -> torch.Tensor:
    return torch.rand(n, *shape, generator=generator())


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: tuple[int, ...]) -> None:
    stack, x = StackedAutoEncoder(shape, (7, 5, 3)), patches(shape)
    assert stack.code_size == 3 and stack.n_layers == 3
    assert stack.receptive_field() == shape[1:]
    for depth, width in enumerate((x[0].numel(), 7, 5, 3)):
        code = stack.encode(x, depth)
        assert code.shape == (4, width)
        assert stack.decode(code, depth).shape == x.shape
        if depth:
            assert stack.back_projection(depth).shape == (width, *shape)
    assert stack(x).shape == x.shape


@pytest.mark.parametrize("shape", SHAPES)
def test_layer_input_is_the_code_below_without_gradient(shape: tuple[int, ...]) -> None:
    stack, x = StackedAutoEncoder(shape, (7, 5), normalization="center"), patches(shape)
    for index in range(2):
        v = stack.train().layer_input(x, index, generator())
        assert not v.requires_grad
        assert torch.equal(v, stack.eval().encode(x, index))
        assert v.shape[1] == stack.layer(index).n_visible


@pytest.mark.parametrize("normalization", ["none", "center", "standardize"])
@pytest.mark.parametrize("shape", SHAPES)
def test_convolutions_give_the_code(shape: tuple[int, ...], normalization: str) -> None:
    stack = StackedAutoEncoder(shape, (7, 5), normalization=normalization, hidden="tanh", seed=2)  # type: ignore[arg-type]
    x = patches(shape)
    for depth in (1, 2):
        stages = stack.as_convolutions(depth)
        assert [s.normalization for s in stages] == [normalization, "none"][:depth]
        assert not any(s.weight.requires_grad or s.bias.requires_grad for s in stages)
        assert torch.allclose(run_stages(stages, x).flatten(1), stack.encode(x, depth), atol=1e-6)


def test_depth_0_is_the_normalized_patch() -> None:
    stack, x = StackedAutoEncoder((1, 4, 4), (3,), normalization="center"), patches((1, 4, 4))
    assert torch.equal(stack.decode(stack.encode(x, 0), 0), stack.normalize(x))


def test_linear_units_make_the_back_projection_exact() -> None:
    stack = StackedAutoEncoder((2, 3, 3), (6, 4), hidden="linear")
    x = patches((2, 3, 3))
    pattern = stack.back_projection(2)
    assert torch.allclose(stack.encode(x), (x.flatten(1) @ pattern.flatten(1).T), atol=1e-6)
    assert torch.equal(stack.back_projection(1).flatten(1), stack.layer(0).weight)


def test_visible_units_follow_what_they_reconstruct() -> None:
    assert [a.visible for a in StackedAutoEncoder((9,), (4, 3)).layers] == ["linear", "sigmoid"]
    assert [a.visible for a in StackedAutoEncoder((9,), (4, 3), hidden="relu").layers] == ["linear", "linear"]
    assert StackedAutoEncoder((9,), (4, 3), visible="sigmoid").visible == "sigmoid"


def test_same_seed_same_weights_and_the_global_generator_is_untouched() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (StackedAutoEncoder((9,), (4, 3), seed=s) for s in (1, 1, 2))
    to_classifier(first, 2)
    assert torch.equal(torch.rand(3), expected)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first.layer(0).weight, other.layer(0).weight)


@pytest.mark.parametrize("shape", SHAPES)
def test_classifier_begins_with_the_code_of_the_stack(shape: tuple[int, ...]) -> None:
    stack, x = StackedAutoEncoder(shape, (7, 5), normalization="standardize"), patches(shape)
    classifier = to_classifier(stack, 3, seed=1)
    assert torch.equal(classifier[:-1](x), stack.encode(x))
    assert classifier(x).shape == (4, 3)
    assert torch.equal(classifier(x), to_classifier(stack, 3, seed=1)(x))


def test_training_the_classifier_leaves_the_stack() -> None:
    stack, x = StackedAutoEncoder((9,), (4,)), patches((9,))
    before, classifier = stack.layer(0).weight.detach().clone(), to_classifier(stack, 2)
    classifier(x).sum().backward()
    torch.optim.SGD(classifier.parameters(), lr=1.0).step()
    assert torch.equal(stack.layer(0).weight, before)
    assert not torch.equal(classifier[1].weight, before)


def test_activation_maximization_finds_the_weights_of_the_first_layer() -> None:
    """Among inputs of norm 2 a sigmoid unit is most active at 2 w / ||w||."""
    stack = StackedAutoEncoder((1, 4, 4), (6, 3), seed=1)
    found = activation_maximization(stack, 1, [0, 4], n_steps=60, norm=2.0)
    weights = stack.layer(0).weight.detach()[[0, 4]]
    assert torch.allclose(found.flatten(1), 2 * weights / weights.norm(dim=1, keepdim=True), atol=1e-4)


def test_activation_maximization_beats_the_back_projection_at_depth_2() -> None:
    stack = StackedAutoEncoder((1, 4, 4), (12, 3), seed=1)
    with torch.no_grad():
        stack.layer(0).weight *= 4
    found = activation_maximization(stack, 2, range(3), norm=3.0, seed=0)
    linear = stack.back_projection(2)
    linear = 3 * linear / linear.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert torch.allclose(found.flatten(1).norm(dim=1), torch.full((3,), 3.0))
    assert (stack.encode(found).diagonal() > stack.encode(linear).diagonal()).all()


def test_constructor_and_calls_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="at least one hidden layer"):
        StackedAutoEncoder((9,), ())
    with pytest.raises(ValueError, match=r"need inputs in \[0, 1\], which center patches are not"):
        StackedAutoEncoder((9,), (3,), visible="sigmoid", normalization="center")
    stack = StackedAutoEncoder((9,), (3,))
    with pytest.raises(ValueError, match=r"shape \(9,\) were expected; got \(8,\)"):
        stack.encode(torch.zeros(2, 8))
    with pytest.raises(ValueError, match="has 1 layers; depth 2 is not one of 0 to 1"):
        stack.encode(torch.zeros(2, 9), 2)
    with pytest.raises(ValueError, match="at least 2 classes apart; got 1"):
        to_classifier(stack, 1)
