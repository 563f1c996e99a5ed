"""A drawing is packed so that the browser can read it back, and only choices that are still drawn are believed."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from workbench.app.network_payload import pack, plain_codes, signed_codes
from workbench.app.network_view import Chosen, _found
from workbench.figures.convolution_parts import ConvolutionParts, MapLayer
from workbench.figures.network_parts import LayerParts, LinkParts, NetworkParts

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(3, 4))


def network(pattern: tuple[int, ...] = (1, 5, 5, 5)) -> NetworkParts:
    layers = [LayerParts("v", 40, [0, 7, 9, 39], "Gaussian"), LayerParts("h1", 3, range(3))]
    return NetworkParts("rbm", layers, [LinkParts("v", "h1", WEIGHTS, "none", "W")],
                        {"h1": RNG.normal(size=(3, *pattern))}, {"h1": np.array([0.1, 0.5, 0.9])})  # fmt: skip


def maps() -> ConvolutionParts:
    first = MapLayer("conv 1", "convolution", (6, 4), 8, RNG.random((2, 6, 4)), [3, 5], (3, 3), (1, 1), (1, 1), (3, 3),
                     (1, 1), RNG.normal(size=(2, 3, 3)))  # fmt: skip
    return ConvolutionParts(RNG.random((8, 6)), [first])


def unpacked(data: bytes) -> tuple[dict[str, Any], np.ndarray]:
    length = int.from_bytes(data[:4], "little")
    return json.loads(data[4 : 4 + length]), np.frombuffer(data[4 + length :], np.uint8)


def block(codes: np.ndarray, place: dict[str, Any]) -> np.ndarray:
    n = place["rows"] * place["columns"]
    return codes[place["offset"] : place["offset"] + n].reshape(place["rows"], place["columns"])


def test_signed_codes_keep_zero_sign_and_proportion() -> None:
    codes, largest = signed_codes(np.array([[-2.0, 0.0, 1.0, np.nan, 2.0]]))
    assert largest == 2 and codes[0].tolist() == [1, 128, 192, 0, 255]
    assert signed_codes(np.zeros((1, 2)))[0].tolist() == [[128, 128]]


def test_plain_codes_run_from_lowest_to_highest() -> None:
    assert plain_codes(np.array([-1.0, 0, 1, np.nan]), -1, 1).tolist() == [1, 128, 255, 0]
    assert plain_codes(np.array([3.0]), 3, 3).tolist() == [1]


def test_weights_and_patterns_can_be_read_back() -> None:
    parts = network()
    header, codes = unpacked(pack(parts, {"key": "k", "height": 500, "chosen": None}))
    link = header["links"][0]
    read = (block(codes, link).astype(float) - 128) / 127 * link["largest"]
    np.testing.assert_allclose(read, WEIGHTS, atol=link["largest"] / 250)
    layer = header["layers"][1]
    picture = layer["pictures"][2]
    assert layer["pattern"] == "planes" and (picture["rows"], picture["columns"]) == (5, 5 * 3 + 2)
    middle = parts.receptive["h1"][2, 0, ::-1, ::-1, 2].T  # axial, right on the left, anterior on top
    read = (block(codes, picture)[:, :5].astype(float) - 128) / 127 * picture["largest"]
    np.testing.assert_allclose(read, middle, atol=picture["largest"] / 250)
    sagittal = parts.receptive["h1"][2, 0, 2, :, ::-1].T  # posterior on the left, superior on top
    read = (block(codes, picture)[:, -5:].astype(float) - 128) / 127 * picture["largest"]
    np.testing.assert_allclose(read, sagittal, atol=picture["largest"] / 250)
    assert (picture["face"]["rows"], picture["face"]["columns"]) == (5, 5)
    assert header["layers"][0]["shown"] == [0, 7, 9, 39] and header["key"] == "k"


def test_strong_links_are_named_by_drawn_units() -> None:
    header, _ = unpacked(pack(network(), {}))
    heaviest = np.unravel_index(np.abs(WEIGHTS).argmax(), WEIGHTS.shape)
    assert header["links"][0]["strong"][-1] == [int(i) for i in heaviest]


@pytest.mark.parametrize(("pattern", "kind"), [((1, 6, 4), "picture"), ((9,), "vector")])
def test_pictures_and_vectors_are_packed_as_they_are(pattern: tuple[int, ...], kind: str) -> None:
    header, codes = unpacked(pack(network(pattern), {}))
    layer = header["layers"][1]
    shape = (1, 9) if kind == "vector" else (4, 6)
    assert layer["pattern"] == kind and block(codes, layer["pictures"][0]).shape == shape
    assert layer["active"] == [0.1, 0.5, 0.9]


def test_maps_lie_as_they_are_drawn() -> None:
    parts = maps()
    header, codes = unpacked(pack(parts, {}))
    image, layer = header["layers"]
    read = image["low"] + (block(codes, image["maps"][0]).astype(float) - 1) / 254 * (image["high"] - image["low"])
    np.testing.assert_allclose(read, parts.image.T, atol=1 / 250)
    assert block(codes, layer["maps"][1]).shape == (4, 6) and layer["shown"] == [3, 5]
    assert layer["first"] == [0, 0] and layer["size"] == [3, 3] and len(layer["kernels"]) == 2
    assert header["mode"] == "maps" and header["flat"] is True


def test_blocks_fill_the_payload_without_gaps() -> None:
    header, codes = unpacked(pack(maps(), {}))
    places = [m for layer in header["layers"] for m in [*layer["maps"], *(layer.get("kernels") or [])]]
    ends = sorted((p["offset"], p["offset"] + p["rows"] * p["columns"]) for p in places)
    assert ends[0][0] == 0 and ends[-1][1] == len(codes)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ends))


def test_only_a_choice_that_is_drawn_is_believed() -> None:
    assert _found({"unit": ["v", 39]}, network()) == Chosen("v", 39)
    for old in (["v", 1], ["h7", 0], None):
        assert _found({"unit": old}, network()) is None
    assert _found({"unit": ["conv 1", 5, 5, 3]}, maps()) == Chosen("conv 1", 5, (5, 3))
    for old in (["conv 1", 5, 6, 3], ["conv 1", 4, 0, 0], ["conv 1", 5]):
        assert _found({"unit": old}, maps()) is None
    assert _found(None, maps()) is None


def script() -> None:
    import numpy as np
    import streamlit as st

    from workbench.app.network_view import Chosen, network_view
    from workbench.figures.convolution_parts import ConvolutionParts, MapLayer
    from workbench.figures.network_parts import LayerParts, LinkParts, NetworkParts

    layers = [LayerParts("v", 2, [0, 1]), LayerParts("h1", 3, range(3))]
    network = NetworkParts("rbm", layers, [LinkParts("v", "h1", np.eye(3, 2))])
    maps = MapLayer("conv", "convolution", (2, 2), 1, np.eye(2)[None], [0], (2, 2), (1, 1), (0.5, 0.5))
    st.text(str(network_view(network, key="net", chosen=Chosen("h1", 2))))
    st.text(str(network_view(ConvolutionParts(np.eye(3), [maps]), key="maps")))


def test_it_mounts_and_gives_what_it_was_given() -> None:
    app = AppTest.from_function(script).run()
    assert not app.exception
    assert [t.value for t in app.text] == [str(Chosen("h1", 2)), "None"]
