"""Kleesiek's network, cubes and post-processing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.patches.prepared import Prepared
from workbench.patches.store import PatchStore
from workbench.systems.segmentation.kleesiek2016 import Kleesiek2016

SPACING = (1.0, 1.0, 1.0)


def test_the_published_network_has_the_known_number_of_parameters() -> None:
    network = Kleesiek2016().network(1, 2)
    assert sum(p.numel() for p in network.parameters()) == 1_005_870


@pytest.mark.parametrize(("edge", "n"), [(53, 1), (59, 4), (61, 5), (65, 7)])
def test_a_cube_gives_the_known_number_of_predictions(edge: int, n: int) -> None:
    system = Kleesiek2016(cube_size=edge)  # type: ignore[call-arg]
    network = system.network(1, 2).to("meta")
    assert network(torch.zeros(1, 1, edge, edge, edge, device="meta")).shape[2:] == (n, n, n) == system.label_shape


def test_weights_begin_with_the_authors_deviation() -> None:
    """N(0, sqrt(3 / (fan in + fan out))), the fan out of the pooled layer divided by the pooling's volume."""
    network = Kleesiek2016().network(1, 2)
    first, second = network[0].weight, network[3].weight
    assert float(first.detach().std()) == pytest.approx((3 / (64 * (1 + 16 / 8))) ** 0.5, rel=0.08)
    assert float(second.detach().std()) == pytest.approx((3 / (125 * (16 + 24))) ** 0.5, rel=0.03)


def test_a_training_cube_and_the_whole_volume_say_the_same_of_the_same_voxels(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Labels of a cube lie where the dense evaluation puts its predictions, at the border of the image too."""
    system = Kleesiek2016(width=0.1, cube_size=57, batch_size=3, n_patches=6, seed=3)  # type: ignore[call-arg]
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 14, 12, 11)).astype(np.float32)
    fill = float(np.concatenate([np.take(image[0], (0, -1), a).ravel() for a in range(3)]).mean())
    labels = np.arange(image[0].size, dtype=np.int32).reshape(image.shape[1:])  # a label names its voxel
    widths = [(28, 28)] * 3
    prepared = Prepared(
        np.pad(image, [(0, 0), *widths], constant_values=fill), np.pad(np.ones(image.shape[1:], bool), widths),
        np.pad(labels, widths, constant_values=-1),
    )  # fmt: skip
    store = PatchStore.build([_Named("one")], lambda _: prepared, tmp_path / "store", key="k", margin=0)
    network = system.network(1, 2).eval()
    with torch.no_grad():
        network[-1].weight.mul_(50)  # probabilities far from even
    dense = system.apply(network, image, np.ones(image.shape[1:], bool)).reshape(2, -1)
    batch = system.patches_of(store, None, n_patches=6, sampler="inside", stage=0).train_batch(0, 0)
    with torch.no_grad():
        p = torch.softmax(network(batch["image"]), 1).numpy()
    known = batch["label"].numpy() >= 0
    assert known.any() and not known.all(), "cubes reach beyond the image"
    np.testing.assert_allclose(p[:, 1][known], dense[1][batch["label"].numpy()[known]], atol=1e-5)
    assert dense[1].std() > 0.01


class _Named:
    def __init__(self, name: str) -> None:
        self.name = name


def test_the_largest_piece_stays_and_its_holes_are_filled() -> None:
    p = np.zeros((2, 12, 12, 12), np.float32)
    p[1, 2:9, 2:9, 2:9] = 0.9
    p[1, 4:6, 4:6, 4:6] = 0.1  # a hole
    p[1, 10:12, 10:12, 10:12] = 0.9  # a smaller piece
    p[0] = 1 - p[1]
    wanted = np.zeros((12, 12, 12), int)
    wanted[2:9, 2:9, 2:9] = 1
    found = Kleesiek2016().clean(p.argmax(0), p, SPACING)
    np.testing.assert_array_equal(found, wanted)
    as_it_is = Kleesiek2016(keep_largest=False).clean(p.argmax(0), p, SPACING)  # type: ignore[call-arg]
    np.testing.assert_array_equal(as_it_is, p[1] > 0.5)


def test_a_lower_threshold_finds_more_and_nothing_stays_nothing() -> None:
    p = np.stack([1 - np.linspace(0, 1, 8**3).reshape(8, 8, 8), np.linspace(0, 1, 8**3).reshape(8, 8, 8)])
    sizes = [
        (Kleesiek2016(threshold=t).clean(p.argmax(0), p, SPACING) > 0).sum()  # type: ignore[call-arg]
        for t in (0.2, 0.5, 0.8, 1.0)
    ]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[2] > sizes[3] == 0


def test_flips_and_exchanged_axes_are_a_switch() -> None:
    assert Kleesiek2016().turns is None
    turns = Kleesiek2016(augment=True).turns  # type: ignore[call-arg]
    assert turns is not None and turns.axis_permutations and turns.flips and not turns.quarter_turns


def test_cubes_of_even_excess_only() -> None:
    """57 and 58 both give 3 predictions: the last voxel of an even cube is not looked at."""
    assert Kleesiek2016(cube_size=58).label_shape == Kleesiek2016(cube_size=57).label_shape  # type: ignore[call-arg]
