"""Zhang's four networks: their size, and that slices at once give what patches give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from workbench.models.exactness import explain_inexact
from workbench.patches.prepared import Prepared
from workbench.patches.store import PatchStore
from workbench.systems.segmentation.zhang2015 import Zhang2015


class _Named:
    name = "one"


def test_the_network_of_the_review_has_the_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in Zhang2015().network(3, 3).parameters()) == 5_332_995


@pytest.mark.parametrize("context", [9, 13, 17, 22])
def test_three_convolutions_end_in_one_place(context: int) -> None:
    network = Zhang2015(context=context).network(3, 3).eval()  # type: ignore[call-arg]
    assert isinstance(network, nn.Sequential)
    x = torch.zeros(1, 3, context, context)
    sizes = []
    for layer in network:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            sizes.append(tuple(x.shape[1:]))
    assert [s[0] for s in sizes] == [64, 256, 768] and sizes[-1][1:] == (1, 1)
    assert explain_inexact(network) == []
    if context == 13:
        assert [s[1] for s in sizes] == [9, 5, 1]


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("context", [13, 17, 22])
def test_a_patch_and_the_whole_slice_say_the_same(context: int, plane: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    system = Zhang2015(context=context, plane=plane, n_maps=(3, 4, 5), n_patches=64, seed=1)  # type: ignore[call-arg]
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 9, 10, 11)).astype(np.float32)
    fills = [float(np.concatenate([np.take(c, (0, -1), a).ravel() for a in range(3)]).mean()) for c in image]
    labels = np.arange(image[0].size, dtype=np.int32).reshape(image.shape[1:])  # a label names its voxel
    widths = [(m, m) for m in system.margin]
    data = np.stack([np.pad(c, widths, constant_values=f) for c, f in zip(image, fills, strict=True)])
    prepared = Prepared(
        data, np.pad(np.ones(labels.shape, bool), widths), np.pad(labels, widths, constant_values=-1)
    )  # fmt: skip
    store = PatchStore.build([_Named()], lambda _: prepared, tmp_path / "store", key="k", margin=0)  # type: ignore[list-item]
    network = system.network(2, 3).eval()
    with torch.no_grad():
        network[-1].weight.mul_(20)  # type: ignore[operator, union-attr]
    dense = system.apply(network, image, np.ones(labels.shape, bool)).reshape(3, -1)
    batch = system.patches_of(store, None, n_patches=64, sampler="inside", stage=0).train_batch(0, 0)
    with torch.no_grad():
        p = torch.softmax(network(batch["image"]), 1).numpy()
    np.testing.assert_allclose(p.T, dense[:, batch["label"].numpy()], atol=1e-5)
    assert dense.std() > 0.05


def test_dropout_stands_before_the_fully_connected_layer_alone() -> None:
    layers = list(Zhang2015().network(3, 3))  # type: ignore[call-overload]
    places = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Dropout)]
    assert (
        len(places) == 1
        and isinstance(layers[-1], nn.Linear)
        and places[0] > max(i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d))
    )


def test_the_same_seed_gives_the_same_weights_and_leaves_chance_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    one, other, third = (Zhang2015(seed=s).network(3, 3)[0].weight for s in (2, 2, 3))  # type: ignore[call-arg, index]
    assert bool((one == other).all()) and not bool((one == third).all())
    assert bool((torch.rand(3) == wanted).all())
