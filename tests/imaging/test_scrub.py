"""Copies keep every voxel and lose every name."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from cohort_maker import nifti
from PIL import Image, PngImagePlugin

from workbench.errors import FileError, GeometryError, TooLarge, UnreadableFile
from workbench.imaging.nifti import read_nifti
from workbench.imaging.scrub import check_nifti, copy_nifti, copy_picture

AFFINE = np.array([[-1.1, 0.1, 0, 5], [0.1, 1.2, 0, -7], [0, 0, 3, 9], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_every_stored_type_is_copied_exactly(tmp_path: Path, dtype: str, name: str) -> None:
    array = np.random.default_rng(0).integers(0, 200, (4, 5, 6, 2)).astype(dtype)
    source = nifti(tmp_path / name, array, AFFINE)
    assert copy_nifti(source, tmp_path / "copy.nii.gz") == 0
    copy = nib.load(tmp_path / "copy.nii.gz")
    assert np.array_equal(np.asanyarray(copy.dataobj), array) and copy.get_data_dtype() == np.dtype(dtype)
    assert np.array_equal(copy.affine, nib.load(source).affine)
    content = gzip.decompress((tmp_path / "copy.nii.gz").read_bytes())
    assert not any(word in content for word in (b"Doe", b"Jane", b"1970"))
    assert len(content) == 352 + array.nbytes


def test_nifti_2_and_scaling_are_kept(tmp_path: Path) -> None:
    image = nib.Nifti2Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    image.header["descrip"] = b"Doe^Jane"
    nib.save(image, tmp_path / "a.nii")
    copy_nifti(tmp_path / "a.nii", tmp_path / "b.nii.gz")
    assert np.array_equal(read_nifti(tmp_path / "b.nii.gz").data, read_nifti(tmp_path / "a.nii").data)
    assert b"Doe" not in gzip.decompress((tmp_path / "b.nii.gz").read_bytes())


def test_big_endian_voxels_stay_big_endian(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(">f4")
    array[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(array, AFFINE, nib.Nifti1Header(endianness=">")), tmp_path / "a.nii")
    assert copy_nifti(tmp_path / "a.nii", tmp_path / "b.nii.gz") == 1
    copy = nib.load(tmp_path / "b.nii.gz")
    assert copy.header.endianness == ">" and np.array_equal(np.asanyarray(copy.dataobj), np.nan_to_num(array))


def test_one_channel_of_a_4d_image(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(3, 4, 5, 3)).astype(np.float32)
    source = nifti(tmp_path / "a.nii.gz", array)
    copy_nifti(source, tmp_path / "b.nii.gz", 2)
    copy = nib.load(tmp_path / "b.nii.gz")
    assert copy.shape == (3, 4, 5) and np.array_equal(np.asanyarray(copy.dataobj), array[..., 2])
    with pytest.raises(GeometryError, match="holds 3 channels, so there is no number 4"):
        copy_nifti(source, tmp_path / "c.nii.gz", 3)


def test_voxels_that_are_no_numbers_become_0(tmp_path: Path) -> None:
    array = np.ones((3, 4, 5), np.float32)
    array[0, 0, :3] = [np.nan, np.inf, -np.inf]
    assert copy_nifti(nifti(tmp_path / "a.nii.gz", array), tmp_path / "b.nii.gz") == 3
    assert read_nifti(tmp_path / "b.nii.gz").data.sum() == 57
    with pytest.raises(UnreadableFile, match="None of the 60 voxels"):
        copy_nifti(nifti(tmp_path / "n.nii.gz", array * np.nan), tmp_path / "c.nii.gz")


def test_broken_files_are_refused_by_copy_and_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = nifti(tmp_path / "good.nii").read_bytes()
    cases = {
        "empty": b"",
        "text": b"hello",
        "zeros": bytes(400),
        "short": good[:360],
        "header": good[:348],
        "pair": good[:344] + b"ni1\0",
    }
    for name, content in cases.items():
        (tmp_path / f"{name}.nii").write_bytes(content)
        with pytest.raises(FileError):
            copy_nifti(tmp_path / f"{name}.nii", tmp_path / "copy.nii.gz")
        with pytest.raises(FileError):
            check_nifti(tmp_path / f"{name}.nii")
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(good)[:-40])
    with pytest.raises(FileError):
        copy_nifti(tmp_path / "cut.nii.gz", tmp_path / "copy.nii.gz")
    monkeypatch.setenv("WORKBENCH_MAX_BYTES", "100")
    for function in (check_nifti, lambda p: copy_nifti(p, tmp_path / "copy.nii.gz")):
        with pytest.raises(TooLarge):
            function(tmp_path / "good.nii")


def test_random_damage_never_escapes_as_another_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    good = np.frombuffer(nifti(tmp_path / "good.nii").read_bytes(), np.uint8)
    for _ in range(300):
        bad = good.copy()
        bad[rng.integers(0, 348, 3)] = rng.integers(0, 256, 3)
        (tmp_path / "bad.nii").write_bytes(bad.tobytes())
        try:
            copy_nifti(tmp_path / "bad.nii", tmp_path / "copy.nii.gz")
            check_nifti(tmp_path / "copy.nii.gz")
        except (FileError, GeometryError):
            pass


def test_png_keeps_pixels_and_loses_text(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 60000, (5, 7)).astype(np.uint16)
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", "Doe^Jane")
    Image.fromarray(pixels).save(tmp_path / "a.png", pnginfo=text, dpi=(254, 254))
    (tmp_path / "a.png").open("ab").write(b"Doe^Jane")
    copy_picture(tmp_path / "a.png", tmp_path / "b.png")
    copy = Image.open(tmp_path / "b.png")
    assert np.array_equal(np.asarray(copy), pixels) and round(copy.info["dpi"][0]) == 254
    assert b"Doe" not in (tmp_path / "b.png").read_bytes()


def test_jpeg_keeps_pixels_and_loses_exif(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8))
    exif = Image.Exif()
    exif[0x010E] = "Doe^Jane"
    image.save(tmp_path / "a.jpg", exif=exif, comment="Doe^Jane")
    copy_picture(tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.jpg")), np.asarray(Image.open(tmp_path / "a.jpg")))
    assert b"Doe" in (tmp_path / "a.jpg").read_bytes() and b"Doe" not in (tmp_path / "b.jpg").read_bytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_cut_picture_is_refused(tmp_path: Path, kind: str) -> None:
    stream = io.BytesIO()
    Image.new("L", (40, 40)).save(stream, kind)
    (tmp_path / "a").write_bytes(stream.getvalue()[:40])
    with pytest.raises(UnreadableFile, match="The picture ends"):
        copy_picture(tmp_path / "a", tmp_path / "b")
