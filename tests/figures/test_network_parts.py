from __future__ import annotations

import itertools

import numpy as np
import pytest

from workbench.figures.network_parts import WIDTH, LayerParts, LinkParts, NetworkParts, place, raised, spread, strongest


def chain(*sizes: int, shown: int = 5) -> NetworkParts:
    layers = [LayerParts(f"h{i}" if i else "v", n, spread(n, shown)) for i, n in enumerate(sizes)]
    pairs = itertools.pairwise(layers)
    blocks = [LinkParts(a.name, b.name, np.ones((len(b.shown), len(a.shown)))) for a, b in pairs]
    return NetworkParts("dbm", layers, blocks)


def two_pathways() -> NetworkParts:
    names = ["MRI", "PET", "m1", "p1", "shared"]
    layers = [LayerParts(name, 20, range(4)) for name in names]
    pairs = [("MRI", "m1"), ("PET", "p1"), ("m1", "shared"), ("p1", "shared")]
    return NetworkParts("multimodal dbm", layers, [LinkParts(a, b, np.ones((4, 4))) for a, b in pairs])


def test_layers_of_a_chain_stand_above_each_other_in_its_middle() -> None:
    stands = place(chain(100, 50, 10))
    heights = [stands.at[name][:, 1] for name in ("v", "h1", "h2")]
    assert heights[0].max() < heights[1].min() and heights[1].max() < heights[2].min() == stands.height
    for at in stands.at.values():
        assert at[:, 0].mean() == pytest.approx(WIDTH / 2) or at[:, 0].min() + at[:, 0].max() == pytest.approx(WIDTH)


def test_pathways_stand_side_by_side_and_meet_in_the_middle() -> None:
    at = place(two_pathways()).at
    assert at["MRI"][:, 0].max() < at["PET"][:, 0].min()
    assert at["m1"][:, 0].mean() == pytest.approx(at["MRI"][:, 0].mean())
    assert at["shared"][:, 0].mean() == pytest.approx(WIDTH / 2)
    assert at["MRI"][0, 1] == at["PET"][0, 1] < at["m1"][0, 1] < at["shared"][0, 1]


def test_labels_stand_beside_the_layer_below_the_one_they_join() -> None:
    parts = chain(30, 20, 10)
    label = LayerParts("label", 2, range(2))
    joined = NetworkParts("dbm", [*parts.layers, label], [*parts.blocks, LinkParts("label", "h2", np.ones((5, 2)))])
    at = place(joined).at
    assert at["label"][0, 1] == at["h1"][0, 1]
    assert at["label"][:, 0].min() > at["h1"][:, 0].max()


def test_units_never_overlap_and_stay_inside() -> None:
    for parts in (chain(1331, 512, 64, shown=15), two_pathways()):
        stands = place(parts)
        for at in stands.at.values():
            assert np.diff(at[:, 0]).min(initial=np.inf) > stands.size
            assert at[:, 0].min() > 0 and at[:, 0].max() < WIDTH


def test_a_layer_with_units_left_out_has_a_gap() -> None:
    whole, part = place(chain(5, 5)).at["v"][:, 0], place(chain(50, 5)).at["v"][:, 0]
    assert np.ptp(np.diff(whole)) == pytest.approx(0)
    assert np.diff(part).max() == pytest.approx(2 * np.diff(part).min())


def test_the_heaviest_links_are_kept_and_no_unit_stands_alone() -> None:
    weights = np.random.default_rng(0).normal(size=(9, 12)) + np.eye(9, 12)
    pairs = strongest(weights, 10)
    size = np.abs(weights)
    assert set(pairs[:, 0]) == set(range(9)) and set(pairs[:, 1]) == set(range(12))
    kept = {tuple(p) for p in pairs}
    assert {tuple(p) for p in np.argwhere(size >= np.sort(size.ravel())[-10])} <= kept
    order = size[pairs[:, 0], pairs[:, 1]]
    assert (np.diff(order) >= 0).all()


def test_zero_weights_are_no_links() -> None:
    assert len(strongest(np.zeros((3, 4)))) == 0


def test_spread_shows_all_of_few_and_both_ends_of_many() -> None:
    assert spread(4).tolist() == [0, 1, 2, 3]
    many = spread(1331, 13)
    assert len(many) == 13 and many[0] == 0 and many[-1] == 1330


def test_layers_are_called_as_in_the_review() -> None:
    assert (raised("h2"), raised("v"), raised("label")) == ("h⁽²⁾", "v", "label")


def test_parts_that_do_not_fit_are_refused() -> None:
    layers = [LayerParts("v", 3, range(3)), LayerParts("h1", 2, range(2))]
    with pytest.raises(ValueError, match=r"expected \(2, 3\)"):
        NetworkParts("rbm", layers, [LinkParts("v", "h1", np.ones((3, 2)))])
    with pytest.raises(LookupError, match="h9"):
        NetworkParts("rbm", layers, [LinkParts("v", "h9", np.ones((3, 2)))])
    with pytest.raises(LookupError, match="kind"):
        NetworkParts("cnn", layers, [])
    with pytest.raises(ValueError, match="2 units are drawn"):
        NetworkParts("rbm", layers, [], receptive={"h1": np.ones((3, 1, 4, 4))})
