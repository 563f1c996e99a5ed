import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from workbench.imaging.codestream import stream_size

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 47, 3), np.uint8))


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"comment": b"\xff\xc0" * 20}, {"exif": b"Exif\0\0" + b"x" * 99}]
)
def test_size_of_what_pil_wrote(options):
    buffer = io.BytesIO()
    PICTURE.save(buffer, "JPEG", **options)
    assert stream_size(buffer.getvalue()) == (47, 30)


@pytest.mark.parametrize(
    "name", ["JPEG-lossy", "JPGExtended", "MR_small_jpeg_ls_lossless", "MR_small_jp2klossless", "693_J2KI"]
)
def test_size_equals_that_of_the_header(name):
    data = pydicom.dcmread(get_testdata_file(f"{name}.dcm"))
    (frame,) = generate_frames(data.PixelData, number_of_frames=1)
    assert stream_size(frame) == (data.Columns, data.Rows)


def test_tables_before_the_frame_are_not_taken_for_it():
    table = b"\xff\xc4" + (12).to_bytes(2, "big") + b"\x11" * 10
    frame = b"\xff\xc0" + (11).to_bytes(2, "big") + b"\x08" + (30).to_bytes(2, "big") + (47).to_bytes(2, "big")
    assert stream_size(b"\xff\xd8" + table + frame + bytes(9)) == (47, 30)


def test_streams_without_a_size():
    for stream in (
        b"",
        b"\xff\xd8",
        b"\xff\xd8" + bytes(500),
        b"RLE" * 9,
        b"\xff\x4f\xff\x51\0\0",
        b"\xff\xd8" + b"\xff" * 99,
    ):
        assert stream_size(stream) is None
