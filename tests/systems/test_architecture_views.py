"""Drawings of networks come from the live network: sizes as a real pass has them, every way of joining maps."""

from __future__ import annotations

from collections import Counter
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.figures.architecture import architecture_svg
from workbench.figures.architecture_parts import ArchitectureParts, stand
from workbench.models.fusion_fcn import FusionFCN
from workbench.models.multiscale_cnn import MultiScaleCNN
from workbench.systems import catalog
from workbench.systems.architecture_views import architecture_parts, spaced
from workbench.systems.segmentation_base import Segmentation

MODALITIES = ("T1", "T2", "FA")
TISSUES = ("background", "CSF", "GM", "WM")


def drawn(network: nn.Module, *shape: int) -> ArchitectureParts:
    return architecture_parts(network, shape, title="network")


def kinds(parts: ArchitectureParts) -> Counter[str]:
    return Counter(a.kind for a in parts.arrows)


def test_labels_of_figure_8_are_those_of_the_live_network_but_for_six() -> None:
    parts = drawn(FusionFCN([[0]], 4), 1, 64, 64)
    (row,) = parts.rows
    counted = Counter(n for maps in row for n in (maps.n_maps, *maps.spatial))
    kernels = Counter(k for a in parts.arrows if a.kind != "pooling" for k in a.kernel)
    printed = {64: 15, 32: 16, 16: 5, 1: 2, 4: 1}  # as the review's text of the figure has them
    assert {n: printed[n] - counted[n] for n in printed} == {64: 0, 32: 4, 16: 1, 1: 1, 4: 0}
    assert kernels == {3: 12, 4: 4}
    assert [b.label.split()[0] for b in parts.brackets] == ["First", "Second", "Third", "Fourth", "Fifth"]
    assert parts.n_parameters == 180_868


def test_late_fusion_is_a_row_a_modality_and_one_for_what_follows() -> None:
    network = FusionFCN([[0], [1], [2]], 4)
    parts = architecture_parts(network, (3, 64, 64), title="Nie 2016", channels=MODALITIES, outputs=TISSUES)
    maps = [[(m.n_maps, m.spatial[0]) for m in row] for row in parts.rows]
    encoder = [(1, 64), (32, 64), (32, 64), (32, 64), (32, 32), (64, 32), (64, 32), (64, 16), (64, 16)]
    assert maps == [encoder] * 3 + [[(192, 16), (64, 32), (4, 64)]]
    assert parts.row_names == ("T1", "T2", "FA", "") and parts.rows[3][-1].name == "background, CSF, GM, WM"
    assert kinds(parts) == {"convolution": 18, "pooling": 6, "concatenation": 3, "deconvolution": 2}
    spans = {b.label.split()[0]: (b.row, b.first, b.last) for b in parts.brackets}
    assert spans == {"First": (0, 1, 4), "Second": (0, 5, 7), "Third": (0, 8, 8), "Fourth": (3, 1, 1),
                     "Fifth": (3, 2, 2)}  # fmt: skip
    strides = {(a.kind, a.kernel, a.stride) for a in parts.arrows if a.kind != "concatenation"}
    assert strides == {("convolution", (3, 3), 1), ("pooling", (2, 2), 2), ("deconvolution", (4, 4), 2)}
    words = " ".join(ElementTree.fromstring(architecture_svg(parts)).itertext())
    assert "Fifth" in words and "192" in words and "4 × 4" in words and "534,276 parameters" in words


@pytest.mark.parametrize("name", ["zhang2015", "kleesiek2016", "pereira2016"])
def test_a_chain_has_the_maps_of_a_real_pass(name: str) -> None:
    kind = catalog.load(name)
    system: Any = kind.make(kind.preset("quick").changes)
    network, shape = system.network(2, 3).eval(), (2, *system.patch_shape)
    x, wanted = torch.zeros(1, *shape), [shape]
    for layer in network:
        x = layer(x)
        if any(word in type(layer).__name__ for word in ("Conv", "Pool", "Linear")):
            wanted.append(tuple(x.shape[1:]))
    (row,) = drawn(network, *shape).rows
    assert [(m.n_maps, *m.spatial) for m in row] == wanted


NETWORKS = [
    card.name
    for card in catalog.cards()
    if card.kind == "segmentation" and issubclass(catalog.load(card.name), Segmentation)
]  # atlases and their patches are no network that labels voxels


@pytest.mark.parametrize("name", NETWORKS)
def test_every_segmenting_system_is_drawn_as_published(name: str) -> None:
    kind = catalog.load(name)
    system: Any = kind.make({})
    network = system.network(2, 2)
    parts = drawn(network, 2, *system.patch_shape)
    assert parts.n_parameters == sum(p.numel() for p in network.parameters())
    n_layers = sum("Conv" in type(m).__name__ or isinstance(m, nn.Linear) for m in network.modules())
    assert n_layers >= 4
    assert sum(kinds(parts)[k] for k in ("convolution", "deconvolution", "fully connected", "shortcut")) >= n_layers
    assert ElementTree.fromstring(architecture_svg(parts, "dark")).tag.endswith("svg")


def test_branches_begin_at_the_pieces_that_they_see() -> None:
    parts = drawn(MultiScaleCNN(1, 9), 1, 75, 75)
    assert [row[0].spatial for row in parts.rows[:3]] == [(25, 25), (51, 51), (75, 75)]
    assert [[m.n_maps for m in row] for row in parts.rows[3:]] == [[768, 9]]
    assert kinds(parts)["fully connected"] == 4 and kinds(parts)["pooling"] == 8
    assert parts.n_parameters == 755_913 and parts.row_names == ()


class Shortcut(nn.Module):
    """Down and up again, and past it: what the shortcut's own layer adds comes from the first maps."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv3d(2, 4, 9), nn.ConvTranspose3d(4, 1, 9)
        self.down, self.up = nn.Conv3d(4, 5, 5), nn.ConvTranspose3d(5, 4, 5)
        self.past = nn.ConvTranspose3d(4, 1, 11, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first = torch.relu(self.first(x))
        pooled = functional.avg_pool3d(first, 2)
        up = functional.interpolate(torch.relu(self.up(torch.relu(self.down(pooled)))), scale_factor=2)
        return torch.sigmoid(self.last(up) + self.past(first))


def test_a_sum_is_a_shortcut_with_the_kernel_of_its_layer() -> None:
    parts = drawn(Shortcut(), 2, 40, 40, 40)
    (row,) = parts.rows
    assert [m.n_maps for m in row] == [2, 4, 4, 5, 4, 4, 1] and row[-1].spatial == (40, 40, 40)
    (arch,) = [a for a in parts.arrows if a.kind == "shortcut"]
    assert (arch.start, arch.end, arch.kernel) == ((0, 1), (0, 6), (11, 11, 11))
    assert kinds(parts) == {"convolution": 2, "deconvolution": 2, "pooling": 1, "unpooling": 1, "shortcut": 1}


def test_one_probability_is_named_by_the_class_that_it_is_of() -> None:
    parts = architecture_parts(Shortcut(), (2, 40, 40, 40), title="", outputs=("background", "lesion"))
    assert parts.rows[0][-1].name == "lesion"


def test_a_u_net_is_one_row_with_shortcuts() -> None:
    nets = pytest.importorskip("monai.networks.nets")
    parts = drawn(nets.BasicUNet(2, 1, 2, features=(4, 4, 8, 8, 8, 4)), 1, 32, 32)
    assert len(parts.rows) == 1 and kinds(parts)["shortcut"] == 4 and kinds(parts)["deconvolution"] == 4
    for arrow in parts.arrows:
        if arrow.kind == "shortcut":
            start, end = (parts.rows[r][i] for r, i in (arrow.start, arrow.end))  # type: ignore[misc]
            assert start.spatial == end.spatial and end.n_maps > start.n_maps


class Functional(nn.Module):
    """What its layers would do, done by functions."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        first, up, last = self.layers[0], self.layers[3], self.layers[5]
        x = functional.max_pool2d(functional.relu(functional.conv2d(x, first.weight, first.bias)), 2)
        x = functional.conv_transpose2d(x, up.weight, up.bias)
        return functional.linear(x.flatten(1), last.weight, last.bias)


def test_functions_are_drawn_as_the_layers_they_stand_for() -> None:
    layers = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.ConvTranspose2d(3, 2, 2), nn.Flatten(), nn.Linear(32, 5)
    )
    plain, functions = drawn(layers, 1, 8, 8), drawn(Functional(layers), 1, 8, 8)
    assert plain.rows == functions.rows
    assert [a.kind for a in plain.arrows] == [a.kind for a in functions.arrows]
    assert [a.kernel for a in functions.arrows if a.kind != "pooling"] == [(3, 3), (2, 2), ()]


class Picked(nn.Module):
    """Sees the last and the first of its channels apart from the others."""

    def __init__(self) -> None:
        super().__init__()
        self.ends, self.rest, self.top = nn.Conv2d(2, 2, 1), nn.Conv2d(1, 3, 1), nn.Conv2d(5, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.top(torch.cat([self.rest(x.narrow(1, 1, 1)), self.ends(x[:, [2, 0]])], 1))


def test_rows_are_named_by_the_channels_that_they_see() -> None:
    parts = architecture_parts(Picked(), (3, 8, 8), title="", channels=MODALITIES)
    assert parts.row_names == ("T2", "T1, FA", "") and [m.n_maps for m in parts.rows[2]] == [5, 2]


def test_two_ends_of_one_branch_give_a_row_that_begins_within_another() -> None:
    class Fork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.a, self.b = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return torch.cat([self.a(x), self.b(x)], 1)

    parts = drawn(Fork(), 1, 9, 9)
    assert [[m.n_maps for m in row] for row in parts.rows] == [[1, 2, 3], [4], [7]]
    joined = {(a.kind, a.start, a.end) for a in parts.joined()}
    assert ("convolution", (0, 1), (1, 0)) in joined and ("concatenation", (1, 0), (2, 0)) in joined
    assert stand(parts).n_columns == 4


def test_many_sums_above_each_other_are_followed_in_no_time() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Conv2d(2, 2, 3, padding=1) for _ in range(60)])

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = x + layer(x)
            return x

    assert kinds(drawn(Residual(), 2, 8, 8)) == {"convolution": 60, "shortcut": 60}


def test_the_network_is_left_as_it_was() -> None:
    network = FusionFCN([[0], [1]], 3, width=0.1).train()
    before = {name: p.clone() for name, p in network.state_dict().items()}
    drawn(network, 2, 8, 8)
    assert network.training and not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert all(torch.equal(before[name], p) for name, p in network.state_dict().items())


def test_what_rests_on_no_layer_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="rests on no layer"):
        drawn(nn.ReLU(), 1, 8, 8)


def test_class_names_are_written_as_one_reads_them() -> None:
    assert [spaced(n) for n in ("Nie2016", "UNet")] == ["Nie 2016", "UNet"]
