"""The frequency domain computes what space computes, and the rule that chooses between them."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from workbench.models.conv_rbm import ConvRBM
from workbench.models.correlation import ConvGeometry, SpatialEngine, depth_to_space, space_to_depth
from workbench.models.frequency import FrequencyEngine, faster_engine, transform_lengths
from workbench.models.frequency_training import FrequencyTraining
from workbench.tasks.boltzmann import ContrastiveDivergence

GEOMETRIES = [
    ConvGeometry(1, (8, 9, 10), 3, (3, 4, 2), 1, "circular"),
    ConvGeometry(2, (8, 9, 10), 3, (3, 4, 2), 1, "valid"),
    ConvGeometry(1, (8, 9, 7), 3, (4, 3, 3), 2, "valid"),
    ConvGeometry(2, (8, 8, 6), 3, (3, 2, 5), 2, "circular"),
    ConvGeometry(1, (8, 9), 2, (3, 4), 1, "circular"),
    ConvGeometry(2, (11, 9), 4, (5, 3), 2, "valid"),
    ConvGeometry(3, (7, 11), 2, (7, 3), 4, "valid"),
    ConvGeometry(1, (6, 6, 6), 2, (6, 6, 6), 3, "circular"),
]
ENGINES = [SpatialEngine, FrequencyEngine]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def operands(layer: ConvGeometry, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Give images, filters and maps."""
    v = normal(4, layer.n_channels, *layer.shape, dtype=dtype)
    weight = normal(layer.n_maps, layer.n_channels, *layer.kernel, seed=1, dtype=dtype)
    return v, weight, normal(4, layer.n_maps, *layer.map_shape, seed=2, dtype=dtype)


def by_definition(layer: ConvGeometry, v: Tensor, weight: Tensor) -> Tensor:
    """Give torch's strided cross-correlation of the image, continued by itself where it is circular."""
    if layer.boundary == "circular":
        v = F.pad(v, [p for f in reversed(layer.kernel) for p in (0, f - 1)], mode="circular")
    conv = F.conv2d if layer.n_axes == 2 else F.conv3d
    maps: Tensor = conv(v, weight, stride=layer.stride)
    assert tuple(maps.shape[2:]) == layer.map_shape
    return maps


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("layer", GEOMETRIES, ids=str)
def test_up_is_a_strided_cross_correlation(engine: Any, layer: ConvGeometry) -> None:
    v, weight, _ = operands(layer)
    found = engine(layer)
    torch.testing.assert_close(found.up(found.prepare(v), weight), by_definition(layer, v, weight))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("layer", GEOMETRIES, ids=str)
def test_down_is_the_adjoint_of_up(engine: Any, layer: ConvGeometry) -> None:
    v, weight, h = operands(layer)
    found = engine(layer)
    down = found.down(h, weight)
    assert down.shape == v.shape
    torch.testing.assert_close((found.up(found.prepare(v), weight) * h).sum(), (down * v).sum())


@pytest.mark.parametrize("layer", GEOMETRIES, ids=str)
def test_gradient_in_frequency_is_that_in_space(layer: ConvGeometry) -> None:
    # in float32 both sum some 700 products: 1e-6 or a little more, depending on the order
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 3e-6)):
        v, weight, h = operands(layer, dtype)
        weight.requires_grad_()
        (expected,) = torch.autograd.grad((by_definition(layer, v, weight) * h).sum(), weight)
        for engine in (SpatialEngine(layer), FrequencyEngine(layer)):
            error = (engine.correlate(engine.prepare(v), h) - expected).abs().max() / expected.abs().max()
            assert error < tolerance


@pytest.mark.parametrize("layer", GEOMETRIES, ids=str)
def test_both_engines_differentiate_alike(layer: ConvGeometry) -> None:
    slopes = []
    for engine in (SpatialEngine(layer), FrequencyEngine(layer)):
        v, weight, h = (x.requires_grad_() for x in operands(layer))
        total = (engine.up(engine.prepare(v), weight) * h).sum() + (engine.down(h, weight) * v.detach()).square().sum()
        slopes.append(torch.autograd.grad(total, (v, weight, h)))
    torch.testing.assert_close(slopes[0], slopes[1])


def test_blocks_of_voxels_do_not_change_the_way_down() -> None:
    for layer in (ConvGeometry(1, (11, 9, 10), 3, (4, 3, 2)), ConvGeometry(2, (13, 10), 3, (3, 5))):
        _, weight, h = operands(layer)
        transposed = F.conv_transpose3d if layer.n_axes == 3 else F.conv_transpose2d
        torch.testing.assert_close(SpatialEngine(layer).down(h, weight), transposed(h, weight))


@pytest.mark.parametrize("stride", [2, 3])
def test_stride_is_space_to_depth(stride: int) -> None:
    """A stride over one image is stride 1 over its phases, with filters split into phases alike."""
    layer = ConvGeometry(2, (13, 10), 3, (4, 4), 3) if stride == 3 else ConvGeometry(2, (9, 11), 3, (3, 5), 2)
    v, weight, _ = operands(layer)
    phases = F.conv2d(space_to_depth(v, stride), space_to_depth(weight, stride))
    torch.testing.assert_close(phases, F.conv2d(v, weight, stride=stride))
    assert layer.folded.kernel == tuple(-(-f // stride) for f in layer.kernel)


def test_space_to_depth_keeps_the_phases_apart() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert space_to_depth(x, 2)[0].tolist() == [
        [[0, 2], [8, 10]], [[1, 3], [9, 11]], [[4, 6], [12, 14]], [[5, 7], [13, 15]],
    ]  # fmt: skip
    assert torch.equal(depth_to_space(space_to_depth(x, 2), (2, 2)), x)


def test_spectra_follow_every_change_of_the_filters() -> None:
    """Also a change through ``.data``, which torch's own version counter does not see."""
    layer = GEOMETRIES[0]
    engine, (v, weight, _) = FrequencyEngine(layer), operands(layer)
    prepared = engine.prepare(v)
    for change in (lambda w: w.mul_(2), lambda w: w.data.add_(1), lambda w: w[0, 0, 0, 0].add_(1e-7)):
        assert torch.equal(engine.up(prepared, weight), engine.up(prepared, weight))
        change(weight)
        torch.testing.assert_close(engine.up(prepared, weight), by_definition(layer, v, weight), rtol=0, atol=1e-11)


def test_transforms_are_no_longer_than_they_need_to_be() -> None:
    assert transform_lengths(ConvGeometry(1, (17, 13), 1, (3, 3), 1, "circular")) == (17, 13)
    assert all(
        a <= n < 2 * a for a, n in zip((17, 13), transform_lengths(ConvGeometry(1, (17, 13), 1, (3, 3))), strict=True)
    )


@pytest.mark.parametrize("settings", [{}, {"stride": 2}, {"pool": 2, "kernel": 3}, {"hidden": "noisy_relu"}])
@pytest.mark.parametrize("boundary", ["circular", "valid"])
def test_several_updates_equal_those_in_space(settings: dict[str, Any], boundary: Any) -> None:
    sizes = {"kernel": 4, **settings}
    if boundary == "valid" and "pool" not in settings:
        sizes["kernel"] = 4
    model = ConvRBM((1, 8, 8, 8), 3, **sizes, boundary=boundary, engine="spatial", sigma=0.9, init_scale=0.1).double()
    images, found = normal(12, 1, 8, 8, 8), []
    for engine in ("spatial", "frequency"):
        one = copy.deepcopy(model)
        one.use_engine(engine)
        training, generator = FrequencyTraining(one, images), torch.Generator().manual_seed(3)
        for step in range(6):
            training.step(torch.arange(4) + 4 * (step % 3), generator, learning_rate=0.03)
        found.append(one)
    assert (found[0].weight - model.weight).abs().max() > 1e-3
    for name, value in found[0].named_parameters():
        torch.testing.assert_close(found[1].get_parameter(name), value, atol=1e-10, rtol=0)


def test_kept_spectra_give_the_gradient_of_the_trainer() -> None:
    """One step by kept spectra equals gibbs and gradient called one after the other, as the trainer does."""
    model, images = ConvRBM((2, 8, 8), 3, 3, engine="frequency", init_scale=0.1).double(), normal(6, 2, 8, 8)
    rows = torch.tensor([4, 1, 0])
    kept = FrequencyTraining(model, images).gradient(rows, torch.Generator().manual_seed(1))
    v = images[rows]
    x = model.hidden_input(v)
    chains = model.gibbs(v, 1, torch.Generator().manual_seed(1), hidden_input=x)
    for name, value in model.gradient(v, chains, hidden_input=x).items():
        torch.testing.assert_close(kept[name], value)


def test_few_wide_filters_go_to_frequency_and_narrow_ones_stay_in_space() -> None:
    assert faster_engine(9, (32, 32, 32), 16, 16) == faster_engine(11, (64, 64, 64), 1, 16) == "frequency"
    assert faster_engine(3, (32, 32, 32), 16, 16) == faster_engine((3, 3), (64, 64), 1, 24) == "spatial"
    assert ConvRBM((16, 16, 16, 16), 16, 9).engine.name == "frequency"
    assert ConvRBM((1, 28, 28), 16, 3).engine.name == "spatial"


@pytest.mark.parametrize("shape", [(64, 64), (24, 24, 24)])
def test_rule_changes_side_once_as_filters_grow(shape: tuple[int, ...]) -> None:
    chosen = [faster_engine(f, shape, 8, 16, boundary="circular") for f in range(1, 16)]
    assert chosen[0] == "spatial" and chosen[-1] == "frequency"
    assert sum(a != b for a, b in pairwise(chosen)) == 1


def bars() -> Tensor:
    """Give 32 images of 12² with one upright bar of 5 voxels each."""
    images, generator = torch.zeros(32, 1, 12, 12), torch.Generator().manual_seed(0)
    for image, (i, j) in zip(images, torch.randint(0, 8, (32, 2), generator=generator).tolist(), strict=True):
        image[0, i : i + 5, j + 2] = 1
    return images


def trained(images: Tensor, n_epochs: int, **settings: Any) -> tuple[ConvRBM, ContrastiveDivergence]:
    """Give a model after some epochs of the trainer of all RBMs."""
    model = ConvRBM((1, 12, 12), 4, 5, visible="bernoulli", engine="frequency", init_scale=0.05)
    model.set_base_rates(images.mean(0))
    task = ContrastiveDivergence(model, learning_rate=2.0, weight_decay=0.0, seed=1, **settings)
    trainer = lightning.Trainer(
        max_epochs=n_epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    examples: Any = [{"image": image} for image in images]
    trainer.fit(task, DataLoader(examples, batch_size=8))
    return model, task


def test_contrastive_divergence_trains_it() -> None:
    images = bars()
    errors = []
    for n_epochs in (0, 10):
        model, _ = trained(images, n_epochs, final_momentum=0.5)
        with torch.no_grad():
            errors.append(float((model.decode(model.encode(images)) - images).square().sum((1, 2, 3)).mean()))
    assert errors[1] < 0.5 * errors[0]


def test_sparsity_of_the_trainer_is_that_of_whole_maps() -> None:
    images = bars()
    model, task = trained(images, 10, sparsity_target=0.05, sparsity_weight=0.2)
    rates = model.hidden_mean(images).mean((0, 2, 3))
    assert task.activation.shape == (4,)
    assert rates.max() < 0.15
