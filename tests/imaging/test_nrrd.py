import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from workbench.errors import FileError, GeometryError, TooLarge, UnreadableFile, UnsafeFile
from workbench.imaging.nrrd import read_nrrd

ARRAY = np.arange(24, dtype=np.int16).reshape(4, 3, 2)  # (K, J, I)
HEADER = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n{}\n"


def image():
    made = sitk.GetImageFromArray(ARRAY)
    made.SetSpacing((0.5, 1.5, 3.0))
    made.SetOrigin((10, -20, 30))
    made.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    return made


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
@pytest.mark.parametrize("packed", [False, True])
def test_voxels_and_places_equal_those_of_nifti(tmp_path, name, packed):
    sitk.WriteImage(image(), str(tmp_path / name), packed)
    sitk.WriteImage(image(), str(tmp_path / "a.nii"))
    volume = read_nrrd(tmp_path / name)
    expected = nib.as_closest_canonical(nib.load(tmp_path / "a.nii"))
    assert np.array_equal(volume.data[0], np.asarray(expected.dataobj))
    assert np.allclose(volume.affine, expected.affine, atol=1e-6)


def test_components_time_and_two_axes(tmp_path):
    sitk.WriteImage(
        sitk.GetImageFromArray(np.arange(48).reshape(4, 3, 2, 2).astype(np.uint8), isVector=True),
        str(tmp_path / "v.nrrd"),
    )
    assert read_nrrd(tmp_path / "v.nrrd").data.shape == (2, 2, 3, 4)
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([ARRAY, ARRAY + 100]), isVector=False), str(tmp_path / "t.mha"))
    series = read_nrrd(tmp_path / "t.mha").data
    assert series.shape == (2, 2, 3, 4) and np.array_equal(series[1], series[0] + 100)
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY[0]), str(tmp_path / "f.mha"))
    assert read_nrrd(tmp_path / "f.mha").shape == (2, 3, 1)


@pytest.mark.parametrize("name", ["../secret.raw", "/etc/passwd", "C:\\secret.raw", "..\\secret.raw", "sub/x.raw"])
@pytest.mark.parametrize("kind", ["nhdr", "mhd"])
def test_a_header_may_not_point_out_of_its_folder(tmp_path, name, kind):
    (tmp_path / "secret.raw").write_bytes(bytes(24))
    folder = tmp_path / "in"
    folder.mkdir()
    mha = f"ObjectType = Image\nNDims = 3\nDimSize = 2 3 4\nElementType = MET_UCHAR\nElementDataFile = {name}\n"
    (folder / f"a.{kind}").write_text(HEADER.format(f"data file: {name}") if kind == "nhdr" else mha)
    with pytest.raises(UnsafeFile, match="outside its folder"):
        read_nrrd(folder / f"a.{kind}")


@pytest.mark.parametrize("name", ["LIST", "slice%03d.raw 1 4 1"])
def test_voxels_in_many_files_are_refused(tmp_path, name):
    (tmp_path / "a.nhdr").write_text(HEADER.format(f"data file: {name}"))
    with pytest.raises(UnsafeFile, match="several files"):
        read_nrrd(tmp_path / "a.nhdr")


def test_a_linked_or_absent_data_file(tmp_path):
    (tmp_path / "a.nhdr").write_text(HEADER.format("data file: a.raw"))
    with pytest.raises(UnreadableFile, match=r"needs its data file 'a\.raw'"):
        read_nrrd(tmp_path / "a.nhdr")
    (tmp_path / "b.bin").write_bytes(bytes(24))
    (tmp_path / "a.raw").symlink_to(tmp_path / "b.bin")
    with pytest.raises(UnreadableFile, match="data file"):
        read_nrrd(tmp_path / "a.nhdr")


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_truncated_voxels(tmp_path, name):
    sitk.WriteImage(image(), str(tmp_path / name))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-100])
    with pytest.raises(UnreadableFile):
        read_nrrd(tmp_path / name)


def test_lying_sizes(tmp_path):
    (tmp_path / "a.nrrd").write_text(HEADER.format("").replace("2 3 4", "99999 99999 99999"))
    with pytest.raises(TooLarge, match="99999 × 99999 × 99999"):
        read_nrrd(tmp_path / "a.nrrd")
    (tmp_path / "a.nrrd").write_text(HEADER.format("").replace("2 3 4", "900 900 900"))
    with pytest.raises(UnreadableFile, match="truncated or its header is wrong"):
        read_nrrd(tmp_path / "a.nrrd")


def test_other_contents_and_axes(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(b"\x89PNG" + bytes(50))
    with pytest.raises(UnreadableFile, match="PNG picture"):
        read_nrrd(tmp_path / "a.nrrd")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2,) * 4, np.float32), isVector=False), str(tmp_path / "a.mha"))
    assert read_nrrd(tmp_path / "a.mha").n_channels == 2
    flat = image()
    flat.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, 1))
    sitk.WriteImage(flat, str(tmp_path / "b.mha"))
    head = (
        (tmp_path / "b.mha")
        .read_bytes()
        .replace(b"TransformMatrix = 1 0 0 0 1 0 0 0 1", b"TransformMatrix = 1 0 0 1 0 0 0 0 1")
    )
    (tmp_path / "b.mha").write_bytes(head)
    with pytest.raises((GeometryError, FileError)):
        read_nrrd(tmp_path / "b.mha")


@pytest.mark.real
def test_real_images_match_their_masks(real_data):
    folder = real_data / "tumour_pyradiomics"
    for case in ("brain1", "breast1"):
        picture, label = read_nrrd(folder / f"{case}_image.nrrd"), read_nrrd(folder / f"{case}_label.nrrd")
        assert picture.shape == label.shape and np.allclose(picture.affine, label.affine)
        source = sitk.ReadImage(str(folder / f"{case}_image.nrrd"))
        inside = sitk.GetArrayFromImage(source)[
            sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{case}_label.nrrd"))) > 0
        ]
        assert picture.data[label.data > 0].mean(dtype=float) == pytest.approx(inside.mean(dtype=float))
