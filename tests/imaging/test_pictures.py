import struct
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from workbench.errors import FileError, TooLarge, UnreadableFile
from workbench.imaging.pictures import read_picture, write_picture
from workbench.imaging.volume import Volume

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10  # (rows, columns, colors)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_voxel_x_y_is_column_x_of_row_y(tmp_path, name):
    Image.fromarray(PIXELS).save(tmp_path / name)
    volume = read_picture(tmp_path / name)
    assert volume.data.shape == (3, 3, 2, 1) and volume.is_picture and volume.spacing == (1, 1, 1)
    for row, column, color in np.ndindex(PIXELS.shape):
        assert volume.data[color, column, row, 0] == PIXELS[row, column, color]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_stay_what_they_are(tmp_path, name):
    gray = np.array([[0, 1, 300], [40_000, 65_534, 65_535]], np.uint16)
    Image.fromarray(gray).save(tmp_path / name)
    assert np.array_equal(read_picture(tmp_path / name).data[0, :, :, 0].T, gray)
    colors = np.stack([gray, gray // 2, gray // 3], -1)
    sitk.WriteImage(sitk.GetImageFromArray(colors, isVector=True), str(tmp_path / name))
    assert np.array_equal(read_picture(tmp_path / name).data[..., 0].transpose(2, 1, 0), colors)


def test_pixel_size_only_when_given(tmp_path):
    picture = Image.fromarray(PIXELS)
    picture.save(tmp_path / "a.png", dpi=(254, 508))
    assert np.allclose(read_picture(tmp_path / "a.png").spacing, (0.1, 0.05, 1), rtol=1e-3)
    picture.save(tmp_path / "a.tif", dpi=(254, 508))
    assert np.allclose(read_picture(tmp_path / "a.tif").spacing, (0.1, 0.05, 1), rtol=1e-6)
    picture.save(tmp_path / "a.jpg", dpi=(254, 254))
    assert read_picture(tmp_path / "a.jpg").spacing == (1, 1, 1)
    picture.save(tmp_path / "b.png", dpi=(1e-9, 1e-9))
    assert read_picture(tmp_path / "b.png").spacing == (1, 1, 1)


def test_alpha_is_dropped_and_gray_stays_gray(tmp_path):
    alpha = np.dstack([PIXELS, np.full((2, 3), 9, np.uint8)])
    Image.fromarray(alpha).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png").data[..., 0].transpose(2, 1, 0), PIXELS)
    Image.fromarray(alpha[..., :2].copy(), "LA").save(tmp_path / "b.png")
    assert read_picture(tmp_path / "b.png").n_channels == 1
    Image.fromarray(PIXELS[..., 0] > 40).save(tmp_path / "c.png")
    assert set(np.unique(read_picture(tmp_path / "c.png").data)) == {0, 1}


def test_a_palette_is_colors_in_an_image_and_indices_in_a_label_map(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    picture.save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").data[:, 1, 0, 0].tolist() == [255, 0, 0]
    assert read_picture(tmp_path / "a.png", palette="indices").data[0, :, :, 0].T.tolist() == [[0, 1], [2, 1]]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize(("top", "n_channels"), [(255, 1), (65535, 1), (255, 3)])
def test_written_pictures_read_the_same(tmp_path, name, top, n_channels):
    data = np.random.default_rng(0).integers(0, top + 1, (n_channels, 5, 4, 1))
    volume = Volume.from_array(data, np.diag([0.25, 0.5, 1, 1]))
    write_picture(volume, tmp_path / name)
    back = read_picture(tmp_path / name)
    assert np.array_equal(back.data, volume.data) and np.allclose(back.affine, volume.affine, rtol=1e-3)


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (np.zeros((1, 2, 2, 1)), "a.jpg", "lose values"),
        (np.zeros((1, 2, 2, 3)), "a.png", "has 3 slices and 1 channels"),
        (np.full((1, 2, 2, 1), 0.5), "a.png", "whole numbers from 0 to 65535"),
        (np.full((1, 2, 2, 1), -1), "a.png", "values lie in -1 to -1"),
        (np.full((3, 2, 2, 1), 300), "a.png", "from 0 to 255"),
    ],
)
def test_what_a_picture_cannot_hold(tmp_path, data, name, words):
    with pytest.raises(FileError, match=words):
        write_picture(Volume.from_array(data), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_pages_other_contents_and_damage(tmp_path):
    picture = Image.fromarray(PIXELS)
    picture.save(tmp_path / "a.tif", save_all=True, append_images=[picture, picture])
    with pytest.raises(UnreadableFile, match="has 3 pages"):
        read_picture(tmp_path / "a.tif")
    (tmp_path / "b.png").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(UnreadableFile, match="zip archive"):
        read_picture(tmp_path / "b.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99), np.uint8)).save(tmp_path / "c.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:5000])
    with pytest.raises(UnreadableFile, match="damaged or truncated"):
        read_picture(tmp_path / "c.png")


def png(width, height, body):
    def block(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = block(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + block(b"IDAT", zlib.compress(body, 9)) + block(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (20_000, 20_000)])
def test_a_decompression_bomb(tmp_path, width, height):
    (tmp_path / "a.png").write_bytes(png(width, height, bytes(1_000_000)))
    with pytest.raises((TooLarge, UnreadableFile), match="declares"):
        read_picture(tmp_path / "a.png")


@pytest.mark.real
def test_real_pictures_equal_pil(real_data):
    files = sorted((real_data / "nuclei_dsb2018").glob("*.png"))
    assert len(files) >= 110
    for file in files:
        volume = read_picture(file)
        expected = np.asarray(Image.open(file))
        expected = expected if expected.ndim == 3 else expected[..., None]
        assert np.array_equal(volume.data[..., 0].transpose(2, 1, 0), expected[..., :3]), file.name
