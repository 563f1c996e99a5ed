"""What the browser compares is what was given: the second image, the field, and maps with fixed ends."""

from __future__ import annotations

import json

import numpy as np
import pytest

from workbench.app import compare_payload
from workbench.app.compare_payload import Comparison
from workbench.app.overlay_layers import Overlay
from workbench.app.payload import pack
from workbench.imaging.volume import Volume

SHAPE = (6, 7, 8)


def unpack(payload: bytes) -> tuple[dict, list[np.ndarray]]:
    """Read a payload as the browser does."""
    length = int.from_bytes(payload[:4], "little")
    header = json.loads(payload[4 : 4 + length])
    layers = [
        np.frombuffer(payload, np.uint16 if layer["bits"] == 16 else np.uint8, layer["length"], layer["offset"])
        for layer in header["layers"]
    ]
    return header, layers


@pytest.fixture
def images() -> tuple[Volume, Volume]:
    rng = np.random.default_rng(0)
    return Volume.from_array(rng.normal(100, 9, SHAPE), modality="T1"), Volume.from_array(rng.random(SHAPE) * 3)


@pytest.fixture
def field() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 2, (3, *SHAPE)).astype(np.float32)


def packed(images: tuple[Volume, Volume], comparison: Comparison, overlays: list[Overlay] | None = None):
    return unpack(pack(images[0], overlays or [], comparison.facts(), comparison.layers))


def test_the_second_image_and_the_field_arrive_as_they_are(images, field) -> None:
    header, layers = packed(images, Comparison(images[1], ("A", "B"), field, "wipe"))
    assert header["compare"] == {"names": ["A", "B"], "mode": "wipe"}
    second, bent = (next(k for k, e in enumerate(header["layers"]) if e.get("role") == r) for r in ("second", "field"))
    for index, true in ((second, images[1].data[0]), (bent, field)):
        facts = header["layers"][index]
        values = facts["low"] + (layers[index].astype(float) - 1) * facts["step"]
        np.testing.assert_allclose(values.reshape(true.shape), true, atol=np.ptp(true) / 60_000)
    assert header["layers"][second]["windows"][0]["width"] < 4, "a window of its own, not that of the first image"
    assert header["layers"][bent]["every"] == 1


def test_a_large_field_is_thinned_and_one_of_no_size_is_kept(images, field, monkeypatch) -> None:
    monkeypatch.setattr(compare_payload, "FIELD_VALUES", 50)
    header, layers = packed(images, Comparison(images[1], deformation=field))
    facts = header["layers"][-1]
    assert facts["every"] > 1 and np.prod(facts["shape"]) <= 50 and layers[-1].size == 3 * np.prod(facts["shape"])
    values = facts["low"] + (layers[-1].astype(float) - 1) * facts["step"]
    k = facts["every"]
    np.testing.assert_allclose(values.reshape(3, *facts["shape"]), field[:, ::k, ::k, ::k], atol=1e-3)
    header, layers = packed(images, Comparison(images[1], deformation=np.zeros_like(field)))
    assert header["layers"][-1]["low"] == 0 and (layers[-1] == 1).all()


def test_where_every_second_voxel_is_shown_the_field_counts_in_those(images, field) -> None:
    layers = Comparison(images[1], deformation=field).layers(2)
    facts = layers[1].header
    values = facts["low"] + (layers[1].codes.astype(float) - 1) * facts["step"]
    np.testing.assert_allclose(values, field[:, ::2, ::2, ::2] / 2, atol=1e-3)
    assert layers[0].codes.shape == (1, 3, 4, 4)


def test_without_deformation_there_is_no_grid(images) -> None:
    header, _ = packed(images, Comparison(images[1]))
    assert [layer.get("role") for layer in header["layers"]] == [None, "second"]


def test_a_map_with_ends_is_cut_there_and_told_in_its_own_numbers(images) -> None:
    log = np.linspace(-3, 3, np.prod(SHAPE)).reshape(SHAPE).astype(np.float32)
    log[0, 0, 0] = np.nan
    ticks = {-1.0: "½", 0.0: "1", 1.0: "2"}
    overlay = Overlay("J", log, limits=(-1.0, 1.0), signed=True, ticks=ticks, shown=np.exp2)
    header, layers = packed(images, Comparison(images[1]), [overlay])
    facts, codes = header["layers"][1], layers[1]
    assert facts["signed"] and facts["ticks"] == [[0.0, "½"], [0.5, "1"], [1.0, "2"]]
    told = np.array(facts["table"])[codes].reshape(SHAPE)
    inside = np.abs(log) < 1
    np.testing.assert_allclose(told[inside], np.exp2(log[inside]), rtol=0.005)
    assert told[-1, -1, -1] == pytest.approx(2) and told[0, 0, 1] == pytest.approx(0.5) and codes[0] == 0


def test_what_does_not_fit_is_said(images) -> None:
    with pytest.raises(ValueError, match="mode is one of"):
        Comparison(images[1], mode="magic")
    with pytest.raises(ValueError, match="deformation on"):
        Comparison(images[1], deformation=np.zeros((3, 2, 2, 2)))
