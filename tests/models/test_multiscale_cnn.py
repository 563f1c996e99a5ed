"""Three scales in one network: published sizes, concentric crops, mirrored poolings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from workbench.models.exactness import explain_inexact
from workbench.models.multiscale_cnn import SCALES, MultiScaleCNN

SIZES = {25: [21, 11, 9, 5, 3], 51: [45, 23, 19, 10, 8, 4], 75: [67, 34, 28, 14, 10, 5]}


def map_edges(branch: nn.Sequential, patch: int) -> list[int]:
    """Run a branch layer by layer and list each new edge of its maps, mirrored rows aside."""
    x, edges = torch.zeros(1, 1, patch, patch), []
    for name, layer in branch.named_children():
        x = layer(x)
        if name.startswith(("conv", "pool")):
            edges.append(x.shape[-1])
    return edges


def test_parameters_of_the_paper() -> None:
    assert sum(p.numel() for p in MultiScaleCNN(1, 9).parameters()) == 755_913


@pytest.mark.parametrize("scale", SIZES)
def test_map_sizes_of_the_paper(scale: int) -> None:
    branch = MultiScaleCNN(1, 9, width=0.1).branches[f"scale{scale}"]
    assert isinstance(branch, nn.Sequential)
    assert map_edges(branch, scale) == SIZES[scale]
    told = [edge for before, after in SCALES[scale].map_sizes for edge in dict.fromkeys((before, after))]
    assert told == SIZES[scale], "what is said of the sizes is what they are"


def test_each_branch_sees_its_patch_about_the_same_voxel_and_nothing_else() -> None:
    network = MultiScaleCNN(1, 3, width=0.2, seed=3).eval()
    x = torch.randn(1, 1, 75, 75, requires_grad=True)
    parts = network.features(x).split(round(256 * 0.2), 1)
    for scale, part in zip((25, 51, 75), parts, strict=True):
        (gradient,) = torch.autograd.grad(part.sum(), x, retain_graph=True)
        rows = gradient[0, 0].abs().sum(1).nonzero()[:, 0]
        assert rows.min() >= 37 - scale // 2 and rows.max() <= 37 + scale // 2
        assert rows.max() - rows.min() > 0.8 * scale


def test_a_single_scale_is_that_branch_alone() -> None:
    alone = MultiScaleCNN(2, 4, scales=(51,), width=0.3, seed=1).eval()
    whole = MultiScaleCNN(2, 4, width=0.3, seed=2).eval()
    whole.branches["scale51"].load_state_dict(alone.branches["scale51"].state_dict())
    x = torch.randn(3, 2, 75, 75)
    n = alone.output.in_features
    with torch.no_grad():
        features = whole.features(x)[:, n : 2 * n]
        torch.testing.assert_close(features, alone.features(x[:, :, 12:63, 12:63]))


def test_an_odd_map_is_mirrored_before_pooling() -> None:
    """Written out in numpy: row 21 is row 19 again, and no unit is lost."""
    branch = MultiScaleCNN(1, 3, scales=(25,), width=0.2).branches["scale25"]
    assert isinstance(branch, nn.Sequential)
    maps = torch.randn(1, 5, 21, 21)
    pooled = branch.get_submodule("pool1")(branch.get_submodule("mirror1")(maps))[0].numpy()
    grown = maps[0].numpy()
    grown = np.concatenate([grown, grown[:, 19:20]], 1)
    grown = np.concatenate([grown, grown[:, :, 19:20]], 2)
    by_hand = grown.reshape(5, 11, 2, 11, 2).max((2, 4))
    np.testing.assert_array_equal(pooled, by_hand)
    assert (pooled[:, -1, -1] >= maps[0, :, -1, -1].numpy()).all(), "the last unit takes part"


def test_forward_is_the_joined_units_through_one_layer() -> None:
    network = MultiScaleCNN(1, 4, width=0.1, seed=5).eval()
    x = torch.randn(2, 1, 75, 75)
    with torch.no_grad():
        joined = torch.cat([b(x[:, :, 37 - s // 2 : 38 + s // 2, 37 - s // 2 : 38 + s // 2])
                            for s, b in zip((25, 51, 75), network.branches.values(), strict=True)], 1)  # fmt: skip
        torch.testing.assert_close(network(x), F.linear(joined, network.output.weight, network.output.bias))


def test_seed_decides_the_weights() -> None:
    first, second, other = (MultiScaleCNN(1, 3, width=0.1, seed=s).state_dict() for s in (4, 4, 5))
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not torch.equal(first["output.weight"], other["output.weight"])


def test_the_layers_that_forbid_whole_images_are_named() -> None:
    named = {fault.layer for fault in explain_inexact(MultiScaleCNN(1, 3, width=0.1).eval())}
    assert named == {"branches.scale25.mirror1", "branches.scale25.mirror2", "branches.scale51.mirror1",
                     "branches.scale51.mirror2", "branches.scale75.mirror1"}  # fmt: skip


def test_wrong_scales_and_patches_are_refused() -> None:
    with pytest.raises(LookupError, match="25, 51, 75"):
        MultiScaleCNN(1, 3, scales=(25, 33))
    with pytest.raises(LookupError, match="each once"):
        MultiScaleCNN(1, 3, scales=(25, 25))
    with pytest.raises(ValueError, match="75 x 75"):
        MultiScaleCNN(1, 3, width=0.1)(torch.zeros(1, 1, 51, 51))
