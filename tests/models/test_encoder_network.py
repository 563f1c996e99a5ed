"""The convolutional encoder network against sums by hand, published sizes, and the machines that it begins at."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.signal import convolve
from torch import Tensor
from torch.nn import functional as F

from workbench.errors import SettingsError
from workbench.models.conv_rbm import ConvRBM
from workbench.models.encoder_network import EncoderNetwork, VisibleValues, smallest_image, untrained_machine

SMALL = ((3, 2, 3), (2, 3, 2))


def network(**settings: bool) -> EncoderNetwork:
    """Give a small network in float64 whose biases are not 0."""
    made = EncoderNetwork(2, 3, SMALL, seed=1, **settings).double()
    with torch.no_grad():
        for name, p in made.named_parameters():
            if name.endswith("bias"):
                p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(4)) / 3)
    return made


def machine(shape: tuple[int, ...], n_maps: int, kernel: tuple[int, ...], seed: int) -> ConvRBM:
    """Give a machine with filters, biases and sigmas of its own."""
    made = ConvRBM(shape, n_maps, kernel, hidden="noisy_relu", engine="spatial", seed=seed).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / 3)
        made.sigma.copy_(0.5 + torch.rand(shape[0], generator=generator, dtype=torch.float64))
    return made


def images(*size: int, n: int = 1, channels: int = 2) -> Tensor:
    return torch.randn(n, channels, *size, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def numbers(made: EncoderNetwork) -> int:
    return sum(p.numel() for p in made.parameters())


def test_the_published_network_has_1_075_937_parameters() -> None:
    filters = 9 * 9 * 5 * 32
    assert numbers(EncoderNetwork(2)) == 1_075_937
    assert numbers(EncoderNetwork(2, shortcut=False)) == 1_075_937 - filters
    assert numbers(EncoderNetwork(2, kernels=((9, 9, 5),))) == 2 * filters + 32 + filters + 1


def test_the_published_network_has_the_published_maps_without_their_memory() -> None:
    made = EncoderNetwork(2).to("meta")
    seen: dict[str, tuple[int, ...]] = {}
    for name, module in made.named_children():
        module.register_forward_hook(lambda _, x, y, name=name: seen.update({name: (*x[0].shape[2:], *y.shape[1:])}))
    out = made(torch.zeros(1, 2, 164, 206, 52, device="meta"))
    assert out.shape == (1, 1, 164, 206, 52)
    assert seen == {
        "convolution1": (164, 206, 52, 32, 156, 198, 48),
        "convolution2": (78, 99, 24, 32, 69, 90, 20),
        "deconvolution2": (69, 90, 20, 32, 78, 99, 24),
        "deconvolution1": (156, 198, 48, 1, 164, 206, 52),
        "shortcut": (156, 198, 48, 1, 164, 206, 52),
    }


def test_a_deconvolution_is_a_full_convolution_summed_over_maps() -> None:
    made = EncoderNetwork(1, 2, ((3, 2, 4),), seed=3).double()
    x1 = torch.rand(1, 2, 4, 3, 5, dtype=torch.float64)
    w, c = made.deconvolution1.weight.detach().numpy(), float(made.deconvolution1.bias.detach())
    with torch.no_grad():
        got = made.deconvolution1(x1)[0, 0].numpy()
    wanted = sum(convolve(x1[0, k].numpy(), w[k, 0], mode="full") for k in range(2)) + c
    np.testing.assert_allclose(got, wanted, atol=1e-12)
    by_hand = np.full((6, 4, 8), c)
    for k, (x, y, z) in product(range(2), np.ndindex(4, 3, 5)):
        by_hand[x : x + 3, y : y + 2, z : z + 4] += float(x1[0, k, x, y, z]) * w[k, 0]
    np.testing.assert_allclose(got, by_hand, atol=1e-12)


@pytest.mark.parametrize("shortcut", [True, False])
def test_the_output_is_the_formula_of_the_paper(shortcut: bool) -> None:
    """The sigmoid of w_d on the unpooled maps, plus w_s on the first maps, plus c, with loops for every part."""
    made = network(shortcut=shortcut)
    weights = {name: p.detach().numpy() for name, p in made.named_parameters()}
    image = images(8, 7, 8)[0].numpy()  # first maps of 6 × 6 × 6

    def up(x: np.ndarray, name: str) -> np.ndarray:
        w, b = weights[f"{name}.weight"], weights[f"{name}.bias"]
        flipped = w[:, :, ::-1, ::-1, ::-1]
        rows = [sum(convolve(x[c], flipped[k, c], mode="valid") for c in range(len(x))) + b[k] for k in range(len(w))]
        return np.maximum(rows, 0)

    def down(x: np.ndarray, name: str) -> np.ndarray:
        w = weights[f"{name}.weight"]
        return np.array([sum(convolve(x[k], w[k, c]) for k in range(len(x))) for c in range(w.shape[1])])

    x1 = up(image, "convolution1")
    pooled = x1.reshape(3, 3, 2, 3, 2, 3, 2).mean((2, 4, 6))
    y2 = down(up(pooled, "convolution2"), "deconvolution2") + weights["deconvolution2.bias"][:, None, None, None]
    unpooled = np.maximum(y2, 0).repeat(2, 1).repeat(2, 2).repeat(2, 3)
    wanted = down(unpooled, "deconvolution1")[0] + weights["deconvolution1.bias"]
    if shortcut:
        wanted = wanted + down(x1, "shortcut")[0]
    with torch.no_grad():
        got = made(torch.from_numpy(image)[None])[0, 0].numpy()
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-wanted)), atol=1e-12)


@pytest.mark.parametrize("extra", list(product((0, 1), repeat=3)))
def test_odd_images_are_those_with_a_slice_of_zeros_behind_and_come_out_at_their_size(extra: tuple[int, ...]) -> None:
    made = network()
    even = (8, 9, 8)
    x = images(*(n - e for n, e in zip(even, extra, strict=True)))
    padded = torch.zeros(1, 2, *even, dtype=torch.float64)
    padded[:, :, : x.shape[2], : x.shape[3], : x.shape[4]] = x
    with torch.no_grad():
        got, whole = made(x), made(padded)
    assert got.shape[2:] == x.shape[2:]
    torch.testing.assert_close(got, whole[..., : x.shape[2], : x.shape[3], : x.shape[4]])


def test_the_smallest_image_works_and_one_voxel_less_is_a_sentence() -> None:
    for made in (network(), EncoderNetwork(2, 3, SMALL[:1]).double()):
        least = made.smallest
        assert least == smallest_image(made.kernels)
        assert made(images(*least)).shape[2:] == least
        with pytest.raises(SettingsError, match="needs images of at least"):
            made(images(least[0] - 1, *least[1:]))


@pytest.mark.parametrize("shortcut", [True, False])
def test_the_gradient_reaches_every_path_that_there_is(shortcut: bool) -> None:
    made = network(shortcut=shortcut)
    made(images(9, 9, 9)).square().mean().backward()
    assert {n.split(".")[0] for n, _ in made.named_parameters()} == (
        {"convolution1", "convolution2", "deconvolution1", "deconvolution2"} | ({"shortcut"} if shortcut else set())
    )
    for name, p in made.named_parameters():
        assert p.grad is not None and float(p.grad.abs().max()) > 0, name


def test_what_the_second_level_cannot_see_passes_by_the_shortcut() -> None:
    """With the second level silenced, only the shortcut carries the image."""
    outputs = {}
    for shortcut in (True, False):
        made = network(shortcut=shortcut)
        with torch.no_grad():
            made.deconvolution2.weight.zero_()
            outputs[shortcut] = made(images(9, 9, 9)) - made(images(9, 9, 9) * 0)
    assert float(outputs[True].abs().max()) > 1e-3 and float(outputs[False].abs().max()) == 0


def test_beginning_at_machines_makes_their_hidden_inputs_the_maps_before_rectification() -> None:
    x = images(8, 7, 8, n=2)
    first = machine((2, 8, 7, 8), 3, SMALL[0], seed=1)
    seen = VisibleValues(3 * images(8, 7, 8, n=5) + 1)
    above = VisibleValues(images(8, 7, 8, n=5), first, seen)
    for values in (seen, above):
        assert float(values.offset.abs().min()) > 0.05, "or nothing would be shown below"
        assert float((values.scale - 1).abs().min()) > 0.05, "nor by this"
    second = machine((3, 3, 3, 3), 3, SMALL[1], seed=2)
    made = network()
    made.start_from([first, second], [seen, above])
    with torch.no_grad():
        torch.testing.assert_close(made.convolution1(x), first.hidden_input(seen(x)))
        pooled = F.avg_pool3d(made.first_maps(x), 2)
        torch.testing.assert_close(made.convolution2(pooled), second.hidden_input(above(x)))
        h = torch.rand(2, *second.hidden_shape, dtype=torch.float64)
        scale, offset = above.scale[:, None, None, None], above.offset[:, None, None, None]
        torch.testing.assert_close(made.deconvolution2(h), scale * second.visible_input(h) + offset)
        h = torch.rand(2, *first.hidden_shape, dtype=torch.float64)
        assert made.shortcut is not None and made.deconvolution1.bias is not None
        both = made.deconvolution1(h) + made.shortcut(h) - made.deconvolution1.bias
        bias = first.visible_bias[:, None, None, None]
        torch.testing.assert_close(both, (first.visible_input(h) - bias).mean(1, keepdim=True))


@pytest.mark.parametrize(("levels", "shortcut"), [(1, True), (2, False)])
def test_without_a_shortcut_the_last_deconvolution_takes_all_of_the_mean(levels: int, shortcut: bool) -> None:
    made = EncoderNetwork(2, 3, SMALL[:levels], shortcut=shortcut).double()
    machines = [machine((2, 8, 7, 8), 3, SMALL[0], 1), machine((3, 3, 3, 3), 3, SMALL[1], 2)][:levels]
    seen = [VisibleValues(images(8, 7, 8, n=5)), VisibleValues(images(3, 3, 3, n=5, channels=3))][:levels]
    made.start_from(machines, seen)
    torch.testing.assert_close(made.deconvolution1.weight, machines[0].weight.mean(1, keepdim=True))
    with pytest.raises(ValueError, match="begins at as many machines"):
        made.start_from(machines[:-1], seen)


def test_every_machine_sees_values_of_mean_0_and_deviation_1_whatever_lies_below() -> None:
    x = 40 + 5 * images(12, 12, 12, n=6).float()
    seen = VisibleValues(x)
    first = untrained_machine(seen(x), 3, (3, 3, 3), seed=0)
    above = VisibleValues(x, first, seen)
    for values in (seen, above):
        y = values(x)
        torch.testing.assert_close(y.mean((0, 2, 3, 4)), torch.zeros(y.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(y.std((0, 2, 3, 4)), torch.ones(y.shape[1]), atol=1e-4, rtol=0)
    assert untrained_machine(above(x), 4, (2, 2, 2), seed=0).visible_shape == (3, 5, 5, 5)


def test_equal_seeds_give_equal_weights_and_more_than_two_levels_are_refused() -> None:
    one, same, other = (EncoderNetwork(1, 2, SMALL, seed=s).state_dict() for s in (0, 0, 1))
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["shortcut.weight"], other["shortcut.weight"])
    with pytest.raises(SettingsError, match="one or two levels"):
        EncoderNetwork(1, 2, (SMALL[0],) * 3)
