"""The checker is silent where dense evaluation equals patchwise evaluation, and names the layer elsewhere."""

# mypy: disable-error-code="union-attr"

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from workbench.errors import SettingsError
from workbench.models.cnn import CNN, ConvBlock
from workbench.models.exactness import Inexact, evaluating, explain_inexact, require_exact
from workbench.models.fcn import patchwise

BREAKERS: dict[str, tuple[nn.Module, str]] = {
    "zero padding": (nn.Conv2d(2, 2, 3, padding=1), "pads the patch by 1 with zeros"),
    "padding to the same size": (nn.Conv2d(2, 2, 3, padding="same"), "with zeros to keep its size"),
    "mirrored convolution": (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), "with its mirror image"),
    "circular convolution": (nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), "with its opposite side"),
    "mirrored padding layer": (nn.ReflectionPad2d((2, 0, 1, 0)), "pads the patch by 1 or 2 with its mirror image"),
    "replicated padding layer": (nn.ReplicationPad2d(1), "copies of its border"),
    "padded pooling": (nn.MaxPool2d(3, 1, padding=1), "pads the patch by 1 before it pools"),
    "padded averaging": (nn.AvgPool2d(3, 1, padding=1), "pads the patch by 1 before it pools"),
    "ceil pooling": (nn.AvgPool2d(2, ceil_mode=True), "stick out of the patch"),
    "adaptive pooling": (nn.AdaptiveAvgPool2d(3), "pools every map to 3"),
    "global pooling": (nn.AdaptiveAvgPool2d(1), "pools the whole map"),
    "instance norm": (nn.InstanceNorm2d(2), "each patch's own positions"),
    "group norm": (nn.GroupNorm(1, 2), "statistics over all positions"),
    "layer norm": (nn.LayerNorm([7, 7]), "statistics over all positions"),
    "batch norm without running statistics": (nn.BatchNorm2d(2, track_running_stats=False), "of the batch"),
    "softmax over columns": (nn.Softmax(dim=-1), "works along axis -1"),
    "transposed convolution": (nn.ConvTranspose2d(2, 2, 2), "is a ConvTranspose2d"),
    "upsampling": (nn.Upsample(scale_factor=2), "is a Upsample"),
}
HARMLESS: dict[str, nn.Module] = {
    "convolution": nn.Conv2d(2, 2, 3),
    "strided": nn.Conv2d(2, 2, 3, stride=2),
    "named valid": nn.Conv2d(2, 2, 3, padding="valid"),
    "1x1 to the same size": nn.Conv2d(2, 2, 1, padding="same"),
    "pooling": nn.MaxPool2d(2),
    "norm across channels": nn.LocalResponseNorm(2),
    "batch norm": nn.BatchNorm2d(2),
    "tracked instance norm": nn.InstanceNorm2d(2, track_running_stats=True),
    "dropout": nn.Dropout2d(0.5),
    "random slopes": nn.RReLU(),
    "softmax over channels": nn.Softmax(dim=1),
    "learnt slopes": nn.PReLU(2),
    "padding by nothing": nn.ZeroPad2d(0),
}
MODES = ("batch norm", "tracked instance norm", "dropout", "random slopes")


def around(layer: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), layer)


def disagreement(network: nn.Module) -> float:
    """How far the response at the middle of a 12² image is from that of the 8² patch about it."""
    torch.manual_seed(1)
    image = torch.randn(1, 1, 12, 12, dtype=torch.float64)
    network = network.double()
    with torch.no_grad():
        whole, part = network(image), network(image[..., 2:10, 2:10])
    step = 2 if whole.shape[-1] < 8 else 1
    inside = whole[..., 2 // step :, 2 // step :][..., : part.shape[-2], : part.shape[-1]]
    return float((inside - part).abs().max()) if inside.shape == part.shape else float("inf")


@pytest.mark.parametrize("name", BREAKERS)
def test_what_breaks_is_named_with_its_reason(name: str) -> None:
    layer, reason = BREAKERS[name]
    (fault,) = explain_inexact(around(layer).eval())
    assert fault.layer == "2" and reason in fault.reason and not fault.mode


@pytest.mark.parametrize(
    "name", [n for n in BREAKERS if n not in ("transposed convolution", "upsampling", "layer norm", "ceil pooling")]
)
def test_what_is_named_does_break(name: str) -> None:
    assert disagreement(around(BREAKERS[name][0]).train(name.startswith("batch"))) > 1e-3


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_not_named_does_not_break(name: str) -> None:
    network = around(HARMLESS[name]).eval()
    assert explain_inexact(network) == []
    assert disagreement(network) < 1e-12


@pytest.mark.parametrize("name", MODES)
def test_training_mode_is_named_as_such(name: str) -> None:
    network = around(HARMLESS[name]).train()
    (fault,) = explain_inexact(network)
    assert fault.mode and "training mode" in fault.reason
    require_exact(network, in_eval_mode=False)
    with pytest.raises(SettingsError, match=r"Call eval\(\) first"):
        require_exact(network)


def test_dropout_of_nothing_is_harmless_in_any_mode() -> None:
    assert explain_inexact(nn.Sequential(nn.Dropout(0.0)).train()) == []


def test_a_window_that_sticks_out_of_the_patch_breaks() -> None:
    pool = nn.MaxPool2d(2, ceil_mode=True)
    image = torch.arange(36.0).reshape(1, 1, 6, 6)
    assert float(pool(image[..., :3, :3])[0, 0, 1, 1]) == 14 and float(pool(image)[0, 0, 1, 1]) == 21


def test_every_layer_at_fault_is_listed_by_its_full_name() -> None:
    inner = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1))
    network = nn.Sequential(inner, nn.MaxPool2d(2, ceil_mode=True)).train()
    assert [(fault.layer, fault.mode) for fault in explain_inexact(network)] == [
        ("0.0", False), ("0.1", True), ("1", False),
    ]  # fmt: skip
    with pytest.raises(SettingsError, match=r"0\.0 pads .*; 1 keeps .*patch by patch instead"):
        require_exact(network.eval())


def test_layers_of_a_module_that_is_no_sequence_are_seen_too() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch = nn.ModuleList([nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()])

        def forward(self, x: Tensor) -> Tensor:
            return x + self.branch[1](self.branch[0](x))

    assert [fault.layer for fault in explain_inexact(Residual())] == ["branch.0"]
    assert explain_inexact(nn.Conv2d(1, 1, 3, padding=1))[0].layer == ""


def test_a_layer_of_unknown_kind_is_not_trusted() -> None:
    class Mystery(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean()

    (fault,) = explain_inexact(nn.Sequential(Mystery()))
    assert "Mystery" in fault.reason and not fault.mode


def test_vectors_are_judged_as_vectors() -> None:
    head = [nn.Flatten(), nn.Linear(4, 3), nn.Softmax(dim=-1)]
    assert explain_inexact(nn.Sequential(nn.Conv2d(1, 1, 2), *head).eval()) == []
    assert "with no nn.Flatten before it" in explain_inexact(nn.Sequential(nn.Linear(4, 3)))[0].reason
    assert "other axes" in explain_inexact(nn.Sequential(nn.Flatten(0)))[0].reason


def test_a_cnn_is_exact_unless_it_pads() -> None:
    blocks = [ConvBlock(2, 3, pool=2), ConvBlock(2, 2, padding=1)]
    network = CNN((1, 9, 9), blocks, [4], 2, batch_norm=True, dropout=0.5).eval()
    assert [fault.layer for fault in explain_inexact(network)] == ["conv2"]
    assert str(explain_inexact(network)[0]) == "conv2 pads the patch by 1 with zeros, where an image goes on"
    names = [fault.layer for fault in explain_inexact(network.train())]
    assert names == ["norm1", "conv2", "norm2", "full_norm1", "dropout1"]
    assert explain_inexact(CNN((1, 9, 9), blocks[:1], [4], 2, batch_norm=True, dropout=0.5).eval()) == []


def test_evaluating_gives_every_module_its_mode_back() -> None:
    network = CNN((1, 9, 9), [ConvBlock(2, 3)], [4], 2, batch_norm=True, dropout=0.5).train()
    network.norm1.eval()
    before = {name: module.training for name, module in network.named_modules()}
    with pytest.raises(RuntimeError), evaluating(network):
        assert not any(module.training for module in network.modules())
        raise RuntimeError
    assert {name: module.training for name, module in network.named_modules()} == before


def test_evaluation_by_patches_is_for_any_network() -> None:
    network = around(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.AdaptiveAvgPool2d(1))).eval()
    x = torch.randn(2, 1, 7, 6)
    out = patchwise(network, x, (4, 4), stride=2, batch_size=3)
    assert out.shape == (2, 3, 2, 2)
    with torch.no_grad():
        assert torch.allclose(out[1, :, 1, 0], network(x[1:, :, 2:6, :4]).flatten(), atol=1e-6)


def test_a_fault_is_half_a_sentence() -> None:
    assert str(Inexact("pool1", "pads")) == "pool1 pads" and str(Inexact("", "pads")) == "the layer pads"
