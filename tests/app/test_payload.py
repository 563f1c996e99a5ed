"""The bytes a viewer gets must say exactly what the image says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from workbench.app.overlay_layers import Overlay
from workbench.app.payload import MAX_BYTES, pack
from workbench.imaging.volume import Volume


def unpack(payload: bytes) -> tuple[dict, list[np.ndarray]]:
    """Read a payload as the browser does."""
    length = int.from_bytes(payload[:4], "little")
    header = json.loads(payload[4 : 4 + length])
    layers = [
        np.frombuffer(payload, np.uint16 if layer["bits"] == 16 else np.uint8, layer["length"], layer["offset"])
        for layer in header["layers"]
    ]
    return header, layers


def value(layer: dict, codes: np.ndarray) -> np.ndarray:
    values = (
        np.array(layer["table"])[codes]
        if "table" in layer
        else layer["low"] + (codes.astype(float) - 1) * layer["step"]
    )
    return np.where(codes == 0, np.nan, values)


@pytest.fixture
def volume() -> Volume:
    data = np.random.default_rng(0).normal(100, 30, (5, 6, 7)).astype(np.float32)
    data[0, 0, 0] = np.nan
    return Volume.from_array(data, np.diag([2.0, 3.0, 4.0, 1.0]), "T1")


def test_the_read_out_is_the_images_value(volume: Volume) -> None:
    header, (codes,) = unpack(pack(volume, [], {}))
    shown = value(header["layers"][0], codes).reshape(volume.shape)
    spread = np.nanmax(volume.data) - np.nanmin(volume.data)
    np.testing.assert_allclose(shown, volume.data[0], atol=spread / 60_000)


def test_not_a_number_has_no_code(volume: Volume) -> None:
    assert unpack(pack(volume, [], {}))[1][0][0] == 0


def test_layers_are_aligned_and_where_the_header_says(volume: Volume) -> None:
    labels = (np.arange(5 * 6 * 7).reshape(5, 6, 7) % 3).astype(np.int32)
    payload = pack(
        volume, [Overlay("Tissue", labels, "labels", names={1: "grey"})], {"stamp": 12345, "voxel": [1, 2, 3]}
    )
    header, (_, codes) = unpack(payload)
    assert all(layer["offset"] % 8 == 0 for layer in header["layers"])
    assert codes.reshape(labels.shape).tolist() == labels.tolist()
    assert [label["name"] for label in header["layers"][1]["labels"]] == ["grey", "2"]
    assert header["spacing"] == [2.0, 3.0, 4.0]


def test_a_map_by_rank_does_not_change_under_a_monotone_rescaling(volume: Volume) -> None:
    map_ = np.random.default_rng(1).uniform(size=volume.shape)
    map_[2] = np.nan
    first = unpack(pack(volume, [Overlay("map", map_, by_rank=True)], {}))[1][1]
    second = unpack(pack(volume, [Overlay("map", np.exp(9 * map_), by_rank=True)], {}))[1][1]
    assert first.tolist() == second.tolist()
    best = np.nanargmax(map_)
    assert first[best] == 255 and (first == 255).sum() == 1
    assert (first.reshape(volume.shape)[2] == 0).all()


def test_the_share_written_beside_a_rank_is_the_share_of_better_or_equal_voxels(volume: Volume) -> None:
    map_ = np.random.default_rng(1).uniform(size=volume.shape)
    header, (_, codes) = unpack(pack(volume, [Overlay("map", map_, by_rank=True)], {}))
    truth = (map_.ravel()[None] >= map_.ravel()[:, None]).mean(1)
    shown = np.array(header["layers"][1]["shares"])[codes]
    np.testing.assert_allclose(np.log10(shown), np.log10(truth), atol=np.log10(map_.size) / 254)


def test_a_large_image_is_thinned_to_fit_the_browser() -> None:
    image = Volume.from_array(np.zeros((400, 400, 120), np.float32))
    payload = pack(image, [Overlay("labels", np.zeros(image.shape, np.uint8), "labels")], {})
    header, _ = unpack(payload)
    assert header["step"] == 2 and header["spacing"] == [2.0, 2.0, 2.0]
    assert len(payload) < MAX_BYTES + 4_000_000


def test_time_points_are_thinned_when_they_are_too_many() -> None:
    series = Volume.from_array(np.zeros((60, 80, 90, 60), np.float32), modality="BOLD")
    header, (codes,) = unpack(pack(series, [], {}))
    assert header["n_frames_full"] == 60 and len(header["frames"]) < 60
    assert codes.size == len(header["frames"]) * 80 * 90 * 60 <= MAX_BYTES


def test_a_colour_picture_is_sent_as_it_is() -> None:
    picture = Volume.from_array(np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5, 1), modality="H&E")
    header, (codes,) = unpack(pack(picture, [], {}))
    assert header["flat"] and header["layers"][0]["kind"] == "rgb"
    assert codes.reshape(3, 4, 5, 1).tolist() == picture.data.astype(int).tolist()


def test_an_overlay_on_another_lattice_is_refused(volume: Volume) -> None:
    with pytest.raises(ValueError, match=r"overlay 'mask' is \(2, 2, 2\) but the image is \(5, 6, 7\)"):
        pack(volume, [Overlay("mask", np.zeros((2, 2, 2)), "labels")], {})


def test_ct_gets_the_windows_of_radiologists() -> None:
    ct = Volume.from_array(np.linspace(-1000, 1500, 1000, dtype=np.float32).reshape(10, 10, 10), modality="CT")
    names = [w["name"] for w in unpack(pack(ct, [], {}))[0]["windows"]]
    assert {"Lung", "Bone", "Brain", "Soft tissue", "Full range"} <= set(names)
