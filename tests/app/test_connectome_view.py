"""A network is packed so that the browser can read it back, and only selections that fit it are believed."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from workbench.app.connectome_payload import pack
from workbench.app.connectome_view import Selection, _found
from workbench.figures.connectome import template_surface
from workbench.figures.edges import Regions

RNG = np.random.default_rng(0)
TYPES = {"values": "<f4", "places": "<f4", "vertices": "<i2", "faces": "<u2"}


def network(n: int = 7) -> tuple[np.ndarray, Regions]:
    matrix = np.asarray(np.corrcoef(RNG.normal(size=(n, 30))))
    places = RNG.uniform(-50, 50, (n, 3))
    places[2] = np.nan
    return matrix, Regions([f"R{i}" for i in range(n)], places, ["b", "a", "", "a", "b", "b", "a"][:n])


def unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    length, check = (int.from_bytes(data[i : i + 4], "little") for i in (0, 4))
    assert zlib.crc32(data[8:]) == check and length % 4 == 0
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    blocks = {
        name: np.frombuffer(body, TYPES[name], at["length"], at["offset"]) for name, at in header["blocks"].items()
    }
    return header, blocks


def test_the_lower_triangle_and_the_places_can_be_read_back() -> None:
    matrix, regions = network()
    matrix[3, 1] = matrix[1, 3] = np.nan
    header, blocks = unpacked(pack(matrix, regions, {"key": "k", "height": 400, "quantity": "r", "selected": None}))
    read = np.full((7, 7), np.inf)
    for k, pair in enumerate((i, j) for i in range(1, 7) for j in range(i)):  # as the browser counts
        read[pair] = blocks["values"][k]
    below = np.tril_indices(7, -1)
    np.testing.assert_allclose(read[below], matrix[below], rtol=1e-6)
    np.testing.assert_allclose(blocks["places"].reshape(-1, 3), regions.places, rtol=1e-6)
    assert header["key"] == "k" and header["quantity"] == "r" and header["names"] == list(regions.names)


def test_networks_lie_in_runs_in_the_order_and_have_two_colours() -> None:
    header, _ = unpacked(pack(*network(), {}))
    assert header["order"] == [0, 4, 5, 1, 3, 6, 2]
    assert [header["networks"][header["group"][i]]["name"] for i in header["order"]] == ["b"] * 3 + ["a"] * 3 + [
        "no network"
    ]
    assert all(c[theme].startswith("#") for c in header["networks"] for theme in ("light", "dark"))


def test_the_surface_is_the_templates_to_a_tenth_of_a_millimetre() -> None:
    _, blocks = unpacked(pack(*network(), {}))
    surface = template_surface()
    np.testing.assert_allclose(blocks["vertices"].reshape(-1, 3) / 10, surface.vertices, atol=0.051)
    assert np.array_equal(blocks["faces"].reshape(-1, 3), surface.faces)


def test_four_hundred_regions_take_less_than_a_megabyte() -> None:
    n = 400
    regions = Regions([str(i) for i in range(n)], np.zeros((n, 3)))
    data = pack(np.asarray(np.corrcoef(RNG.normal(size=(n, 50)))), regions, {})
    header, blocks = unpacked(data)
    assert len(blocks["values"]) == 79_800 and len(data) < 1_000_000
    assert header["density"] * 79_800 == pytest.approx(300)


def test_the_same_network_packs_to_the_same_bytes() -> None:
    matrix, regions = network()
    assert pack(matrix, regions, {"key": "k"}) == pack(matrix.copy(), regions, {"key": "k"})
    assert pack(matrix, regions, {"key": "k"})[4:8] != pack(matrix + 0.01, regions, {"key": "k"})[4:8]


def test_a_matrix_of_other_regions_is_refused() -> None:
    with pytest.raises(ValueError, match="7 regions"):
        pack(np.eye(3), network()[1], {})


def test_only_a_selection_that_fits_is_believed() -> None:
    assert _found({"selection": {"regions": [4, 1], "edge": [1, 4]}}, 5) == Selection((4, 1), (4, 1))
    assert _found({"selection": {"regions": [3], "edge": None}}, 5) == Selection((3,))
    assert _found({"selection": {"regions": [], "edge": None}}, 5) == Selection()
    for old in (
        {"regions": [5], "edge": None},
        {"regions": [-1]},
        {"regions": [1, 2], "edge": [2, 2]},
        {"edge": [1]},
        None,
    ):
        assert _found({"selection": old}, 5) is None
    assert _found(None, 5) is None


def script() -> None:
    import numpy as np
    import streamlit as st

    from workbench.app.connectome_view import Selection, connectome_view
    from workbench.figures.edges import Regions

    regions = Regions(["a", "b", "c"], np.eye(3) * 40, ["x", "x", "y"])
    st.text(str(connectome_view(np.ones((3, 3)), regions, key="one", selected=Selection((1,)))))
    st.text(str(connectome_view(np.ones((3, 3)), Regions(["a", "b", "c"]), key="two")))


def test_it_mounts_and_gives_what_it_was_given() -> None:
    app = AppTest.from_function(script).run(timeout=20)
    assert not app.exception
    assert [t.value for t in app.text] == [str(Selection((1,))), str(Selection())]
