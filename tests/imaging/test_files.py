import io
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.data import get_testdata_file

from workbench.errors import FileError, GeometryError, UnreadableFile
from workbench.imaging.files import IMAGE_SUFFIXES, is_image, read_volume, require_3d, suffix_of, write_volume
from workbench.imaging.volume import Volume

ARRAY = np.random.default_rng(0).integers(0, 200, (6, 5, 4)).astype(np.float32)


def samples(folder: Path) -> dict[str, bytes]:
    """One small valid file of every format and encoding."""
    volume = Volume.from_array(ARRAY)
    for name in ("a.nii", "a.nii.gz"):
        write_volume(volume, folder / name)
    image = sitk.GetImageFromArray(ARRAY.astype(np.int16))
    for name, packed in (("a.nrrd", False), ("b.nrrd", True), ("a.mha", False), ("b.mha", True)):
        sitk.WriteImage(image, str(folder / name), packed)
    colors = ARRAY[:, :, :3].astype(np.uint8)
    for name in ("a.png", "a.jpg", "a.tif"):
        Image.fromarray(colors).save(folder / name)
    Image.fromarray(colors).save(folder / "b.tif", compression="tiff_lzw")
    deep = sitk.GetImageFromArray(colors.astype(np.uint16) * 200, isVector=True)
    for name in ("c.png", "c.tif"):
        sitk.WriteImage(deep, str(folder / name))
    made = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name in (
        "MR_small",
        "MR_small_RLE",
        "MR_small_jp2klossless",
        "MR_small_jpeg_ls_lossless",
        "image_dfl",
        "SC_rgb_small_odd_jpeg",
    ):
        made[f"{name}.dcm"] = Path(get_testdata_file(f"{name}.dcm")).read_bytes()
    return made


NAMES = [
    *("a.nii", "a.nii.gz", "a.nrrd", "b.nrrd", "a.mha", "b.mha", "a.png", "a.jpg", "a.tif", "b.tif", "c.png", "c.tif"),
    *("MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"),
    *("image_dfl.dcm", "SC_rgb_small_odd_jpeg.dcm"),
]


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    return samples(tmp_path_factory.mktemp("originals"))


@pytest.mark.parametrize("name", NAMES)
def test_corrupted_bytes_give_a_volume_or_a_sentence(tmp_path, originals, name):
    """Fuzzing with a fixed seed: headers first, where parsers are hurt most, then anywhere, then truncated."""
    content, path = originals[name], tmp_path / name
    for trial in range(40):
        rng = np.random.default_rng([trial, len(content)])
        broken = bytearray(content)
        reach = min(len(broken), 1000) if trial % 4 < 2 else len(broken)
        for _ in range(int(rng.integers(1, 8))):
            broken[int(rng.integers(reach))] = int(rng.integers(256))
        if trial % 4 == 3:
            broken = broken[: int(rng.integers(len(broken)))]
        path.write_bytes(bytes(broken))
        try:
            volume = read_volume(path)
        except (FileError, GeometryError) as error:
            assert len(str(error)) > 20
        else:
            assert np.isfinite(volume.data).all() and np.isfinite(volume.affine).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_format_is_read_and_known_by_name(tmp_path, originals, name):
    (tmp_path / name).write_bytes(originals[name])
    assert read_volume(tmp_path / name, "T1").modality == "T1" and is_image(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.png", "a.jpg", "a.tif", "MR_small.dcm"])
def test_an_unknown_ending_is_told_by_content(tmp_path, originals, name):
    (tmp_path / name).write_bytes(originals[name])
    (tmp_path / "upload").write_bytes(originals[name])
    assert np.array_equal(read_volume(tmp_path / "upload").data, read_volume(tmp_path / name).data)


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
@pytest.mark.parametrize(
    "content", [b"", b"x", bytes(2000), json.dumps(list(range(500))).encode()], ids=["empty", "x", "zeros", "json"]
)
def test_what_is_no_image_under_any_name(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"a\.\w+"):
        read_volume(path)


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_absent_files_and_folders_under_any_name(tmp_path, suffix):
    with pytest.raises(FileError, match="no file"):
        read_volume(tmp_path / f"absent{suffix}")
    (tmp_path / f"a{suffix}").mkdir()
    with pytest.raises(UnreadableFile, match="holds no DICOM image"):
        read_volume(tmp_path / f"a{suffix}")


def test_permission_denied_is_a_sentence(tmp_path, monkeypatch):
    path = tmp_path / "a.nii"
    write_volume(Volume.from_array(ARRAY), path)

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FileError, match="permission denied"):
        read_volume(path)


def test_a_known_name_with_unknown_content_and_an_unknown_name(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"%PDF" + bytes(400))
    with pytest.raises(UnreadableFile, match=r"PDF document.*known endings are \.nii"):
        read_volume(tmp_path / "a.xyz")
    with pytest.raises(FileError, match=r"should end in \.nii\.gz"):
        write_volume(Volume.from_array(ARRAY), tmp_path / "a.xyz")


def test_endings():
    assert suffix_of(Path("x/A.NII.GZ")) == ".nii.gz" and suffix_of(Path("a.gz")) == ""
    assert not is_image("cohort.csv") and is_image("a.TIFF")


def test_a_label_map_with_a_palette_gives_its_indices(tmp_path):
    picture = Image.fromarray(np.array([[0, 5], [2, 5]], np.uint8), "P")
    picture.putpalette([i * 7 % 256 for i in range(768)])
    picture.save(tmp_path / "a.png")
    assert read_volume(tmp_path / "a.png", "label map").data[0, 1, 0, 0] == 5
    assert read_volume(tmp_path / "a.png").n_channels == 3


def test_voxels_that_are_no_numbers_travel_through_every_reader(tmp_path):
    array = ARRAY.copy()
    array[0, 0, 0] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "a.mha"))
    Image.fromarray(array[..., 0]).save(tmp_path / "a.tif")
    for name in ("a.mha", "a.tif"):
        with pytest.raises(UnreadableFile, match="not numbers"):
            read_volume(tmp_path / name)
        assert np.isfinite(read_volume(tmp_path / name, non_finite="zero").data).all()


def test_a_picture_where_a_volume_is_needed(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(ARRAY[..., 0].astype(np.uint8)).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    with pytest.raises(GeometryError, match=r"Dense SIFT needs a 3-D image, but T1 is a picture of 5 × 6 pixels"):
        require_3d(read_volume(tmp_path / "a.png", "T1"), "Dense SIFT")
    volume = Volume.from_array(ARRAY)
    assert require_3d(volume, "Dense SIFT") is volume
