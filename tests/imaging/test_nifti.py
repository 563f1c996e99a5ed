import gzip
import itertools
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.testing import data_path

from workbench.errors import FileError, GeometryError, TooLarge, UnreadableFile
from workbench.imaging.nifti import SeriesGrid, nifti_bytes, read_nifti, write_nifti
from workbench.imaging.volume import Grid, Volume

SPACING = np.array([0.75, 1.5, 3.25])
TILT = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]]) @ np.array(
    [[1, 0, 0], [0, 0.9, -0.435889894], [0, 0.435889894, 0.9]]
)
ORIENTATIONS = [
    (axes, signs) for axes in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def oriented(axes, signs, tilt):
    """An affine whose stored axis i runs along RAS axis ``axes[i]``; float32, as an sform is."""
    affine = np.eye(4)
    for stored, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[:3, stored] = tilt[:, axis] * sign * SPACING[stored]
    affine[:3, 3] = 12.3, -45.6, 78.9
    return affine.astype(np.float32).astype(float)


def save(path, array, affine=None, **header):
    image = nib.Nifti1Image(array, np.eye(4) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


@pytest.mark.parametrize("tilt", [np.eye(3), TILT], ids=["straight", "oblique"])
@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_all_48_orientations_come_in_as_ras_and_go_out_exactly(tmp_path, axes, signs, tilt):
    array = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    affine = oriented(axes, signs, tilt)
    source = save(tmp_path / "in.nii", array, affine)
    volume = read_nifti(source)
    assert np.array_equal(np.argmax(np.abs(volume.affine[:3, :3]), 0), [0, 1, 2])
    assert (np.diag(volume.affine[:3, :3]) > 0).all()
    for index in np.ndindex(array.shape):  # every voxel keeps its place in mm
        there = np.rint(volume.to_voxels((affine @ [*index, 1])[:3])).astype(int)
        assert volume.data[0, *there] == array[index]
    write_nifti(volume, tmp_path / "out.nii.gz")
    back = nib.load(tmp_path / "out.nii.gz")
    assert np.array_equal(back.affine, affine)
    assert np.array_equal(np.asarray(back.dataobj), array)
    assert volume.grid.codes == "".join(nib.aff2axcodes(affine)) and volume.grid.shape == array.shape


def test_sform_and_qform_are_both_set_and_agree(tmp_path):
    affine = oriented((0, 1, 2), (-1, 1, 1), TILT)
    write_nifti(read_nifti(save(tmp_path / "a.nii", np.zeros((2, 3, 4), np.float32), affine)), tmp_path / "b.nii")
    header = nib.load(tmp_path / "b.nii").header
    assert int(header["sform_code"]) == int(header["qform_code"]) == 1
    assert np.allclose(header.get_qform(), header.get_sform(), atol=1e-4)
    assert np.allclose(header.get_zooms(), SPACING)


def test_a_quaternion_alone_is_understood(tmp_path):
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), None)
    affine = oriented((1, 0, 2), (1, -1, 1), TILT)
    image.header.set_qform(affine, 1)
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), None, image.header), tmp_path / "q.nii")
    volume = read_nifti(tmp_path / "q.nii")
    write_nifti(volume, tmp_path / "back.nii")
    assert np.allclose(nib.load(tmp_path / "back.nii").affine, affine, atol=1e-4)


def test_four_axes_become_channels_and_keep_their_time_step(tmp_path):
    array = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    image = nib.Nifti1Image(array, oriented((2, 0, 1), (1, -1, -1), TILT))
    image.header["pixdim"][4] = 2500
    image.header.set_xyzt_units("mm", "msec")
    nib.save(image, tmp_path / "bold.nii.gz")
    volume = read_nifti(tmp_path / "bold.nii.gz", "bold")
    assert volume.n_channels == 5 and isinstance(volume.grid, SeriesGrid) and volume.grid.time_step_s == 2.5
    write_nifti(volume, tmp_path / "out.nii", dtype=np.int16)
    back = nib.load(tmp_path / "out.nii")
    assert np.array_equal(np.asarray(back.dataobj), array) and np.array_equal(back.affine, image.affine)
    assert back.header.get_zooms()[3] == 2.5 and back.header.get_xyzt_units() == ("mm", "sec")


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_stored_types_and_byte_orders(tmp_path, kind, order):
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(kind)
    nib.save(nib.Nifti1Image(array, np.eye(4), header), tmp_path / "a.nii")
    assert np.array_equal(read_nifti(tmp_path / "a.nii").data[0], array)


def test_slope_and_intercept_are_applied(tmp_path):
    path = save(tmp_path / "a.nii", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<2f", 0.5, -100)
    path.write_bytes(bytes(content))
    assert np.allclose(read_nifti(path).data[0], np.arange(24).reshape(2, 3, 4) * 0.5 - 100)


def test_nifti_2_and_colors_and_two_axes(tmp_path):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    nib.save(nib.Nifti2Image(array, np.eye(4)), tmp_path / "two.nii")
    assert np.array_equal(read_nifti(tmp_path / "two.nii").data[0], array)
    colors = np.zeros((2, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colors["G"] = 7
    nib.save(nib.Nifti1Image(colors, np.eye(4)), tmp_path / "rgb.nii")
    assert read_nifti(tmp_path / "rgb.nii").data.mean((1, 2, 3)).tolist() == [0, 7, 0]
    assert read_nifti(save(tmp_path / "flat.nii", array[..., 0])).shape == (2, 3, 1)


def test_microns_become_mm(tmp_path):
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), np.diag([25.0, 25, 50, 1]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "a.nii")
    assert np.allclose(read_nifti(tmp_path / "a.nii").spacing, (0.025, 0.025, 0.05))


def test_what_is_written_names_nobody(tmp_path):
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), np.eye(4))
    for field in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[field] = b"Jane Doe 1970"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe was here"))
    nib.save(image, tmp_path / "in.nii")
    write_nifti(read_nifti(tmp_path / "in.nii"), tmp_path / "Jane.nii.gz", intent="label")
    packed = (tmp_path / "Jane.nii.gz").read_bytes()
    assert b"Jane" not in packed and b"Jane" not in gzip.decompress(packed)
    header = nib.load(tmp_path / "Jane.nii.gz").header
    assert not header.extensions and all(
        header[f].item() == b"" for f in ("descrip", "aux_file", "db_name", "intent_name")
    )
    assert header.get_intent()[0] == "label"


def test_equal_voxels_give_equal_bytes(tmp_path):
    volume = Volume.from_array(np.random.default_rng(0).normal(size=(5, 6, 7)))
    write_nifti(volume, tmp_path / "a.nii.gz")
    write_nifti(volume, tmp_path / "b.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    flags, time = (tmp_path / "a.nii.gz").read_bytes()[3], (tmp_path / "a.nii.gz").read_bytes()[4:8]
    assert flags == 0 and time == bytes(4)  # neither a name nor a time: a clock would not tick between two writes


def test_a_derived_volume_is_not_written_on_a_grid_it_has_left(tmp_path):
    volume = read_nifti(save(tmp_path / "a.nii", np.zeros((2, 3, 4), np.float32)))
    with pytest.raises(GeometryError, match=r"5 × 3 × 4 voxels .* grid has 2 × 3 × 4"):
        write_nifti(Volume.from_array(np.zeros((5, 3, 4))), tmp_path / "b.nii", like=volume.grid)
    moved = Grid((2, 3, 4), np.diag([1.0, 1, 1, 1]) + np.eye(4, k=3) * 5, "RAS")
    with pytest.raises(GeometryError, match="lies elsewhere"):
        write_nifti(volume, tmp_path / "b.nii", like=moved)
    assert not (tmp_path / "b.nii").exists()


def test_a_stored_type_that_would_change_labels_is_a_programmer_error(tmp_path):
    with pytest.raises(ValueError, match="do not fit uint8"):
        write_nifti(Volume.from_array(np.full((2, 2, 2), 300.0)), tmp_path / "a.nii", dtype=np.uint8)
    with pytest.raises(ValueError, match="exactly"):
        write_nifti(Volume.from_array(np.full((2, 2, 2), 0.5)), tmp_path / "a.nii", dtype=np.uint8)


def test_a_truncated_gzip_is_a_sentence(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(9, 9, 9)).astype(np.float32))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UnreadableFile, match=r"a\.nii\.gz .*truncated"):
        read_nifti(path)


def test_a_flipped_bit_is_seen_by_the_checksum(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.zeros((9, 9, 9), np.float32))
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # in the checksum itself
    path.write_bytes(bytes(content))
    with pytest.raises(UnreadableFile):
        read_nifti(path)


def header_bytes(shape, kind=np.uint8):
    header = nib.Nifti1Header()
    header.set_data_dtype(kind)
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), 1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    return header.binaryblock + bytes(4)


def test_a_gzip_bomb_costs_no_more_memory_than_its_header_declares(tmp_path):
    path = tmp_path / "bomb.nii.gz"
    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(header_bytes((16, 16, 16)))
        for _ in range(300):
            stream.write(bytes(2**20))
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    volume = read_nifti(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert volume.shape == (16, 16, 16) and peak < 20_000_000


def test_a_bomb_that_declares_its_size_is_refused_by_the_limit(tmp_path, monkeypatch):
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(header_bytes((1024, 1024, 1024)) + bytes(2**22)))
    monkeypatch.setenv("WORKBENCH_MAX_BYTES", str(2**30))
    with pytest.raises(TooLarge, match=r"1024 × 1024 × 1024 voxels, which need 4\.29 GB; at most 1\.07 GB"):
        read_nifti(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_fewer_bytes_than_declared(tmp_path, name):
    content = header_bytes((200, 200, 200)) + bytes(1000)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(UnreadableFile, match="truncated"):
        read_nifti(tmp_path / name)


def test_a_header_that_declares_everything(tmp_path):
    (tmp_path / "a.nii").write_bytes(header_bytes((32767,) * 4, np.float64) + bytes(1000))
    with pytest.raises(TooLarge, match="32767 × 32767 × 32767 × 32767"):
        read_nifti(tmp_path / "a.nii")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_voxels_that_are_no_numbers_are_refused_or_zeroed(tmp_path, bad):
    array = np.ones((2, 3, 4), np.float32)
    array[0, 0, 0] = bad
    path = save(tmp_path / "a.nii", array)
    with pytest.raises(UnreadableFile, match=r"1 of 24 voxels of a\.nii \(4\.2 %\)"):
        read_nifti(path)
    assert read_nifti(path, non_finite="zero").data.sum() == 23
    with pytest.raises(UnreadableFile, match="None of the 24 voxels"):
        read_nifti(save(tmp_path / "b.nii", np.full_like(array, bad)), non_finite="zero")


@pytest.mark.parametrize(
    ("row", "words"),
    [((0.0, 0, 0, 0), "voxels of 0 × 1 × 1 mm"), ((np.nan, 0, 0, 0), "not numbers"), ((0, 1.0, 0, 0), "voxels of 0")],
)
def test_affines_that_do_not_span_space(tmp_path, row, words):
    affine = np.eye(4)
    affine[0] = row
    content = bytearray(header_bytes((2, 3, 4)) + bytes(24))
    content[280:328] = affine[:3].astype("<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(bytes(content))
    with pytest.raises(GeometryError, match=words):
        read_nifti(tmp_path / "a.nii")


def test_five_axes_are_no_image(tmp_path):
    with pytest.raises(GeometryError, match=r"5 axes .* displacement field"):
        read_nifti(save(tmp_path / "a.nii", np.zeros((2, 2, 2, 1, 3), np.float32)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps(list(range(300)), protocol=4), "Python pickle"),
        (b"PK\x03\x04" + bytes(500), "zip archive"),
        (b"\x89PNG\r\n" + bytes(500), "PNG picture"),
        (b"not an image", "something unknown"),
        (bytes(128) + b"DICM" + bytes(500), "DICOM"),
    ],
)
def test_other_files_under_the_name(tmp_path, content, words):
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(UnreadableFile, match=rf"a\.nii was expected to be a NIfTI image.*{words}"):
        read_nifti(tmp_path / "a.nii")


def test_half_of_a_pair_is_explained(tmp_path):
    nib.save(nib.Nifti1Pair(np.zeros((2, 2, 2), np.float32), np.eye(4)), tmp_path / "a.hdr")
    with pytest.raises(UnreadableFile, match=r"\.hdr/\.img pair"):
        read_nifti(tmp_path / "a.hdr")


def test_complex_voxels_are_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="magnitude"):
        read_nifti(save(tmp_path / "a.nii", np.zeros((2, 2, 2), np.complex64)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied_for_real(tmp_path):
    path = save(tmp_path / "a.nii", np.zeros((2, 2, 2), np.float32))
    path.chmod(0)
    with pytest.raises(FileError, match="permission denied"):
        read_nifti(path)


def test_writing_where_a_folder_stands(tmp_path):
    (tmp_path / "a.nii").mkdir()
    with pytest.raises(FileError, match="could not be written"):
        write_nifti(Volume.from_array(np.zeros((2, 2, 2))), tmp_path / "a.nii")
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii"]


@pytest.mark.real
def test_real_images_go_out_as_they_came_in(tmp_path, real_data):
    files = [*sorted((real_data / "adult_oasis_malf").glob("1000_*.nii.gz")), data_path / "example4d.nii.gz"]
    assert len(files) == 5
    for file in files:
        source = nib.load(file)
        write_nifti(read_nifti(file), tmp_path / "out.nii.gz")
        back = nib.load(tmp_path / "out.nii.gz")
        assert np.array_equal(back.affine, source.affine) or np.abs(back.affine - source.affine).max() < 1e-5
        assert np.array_equal(np.asarray(back.dataobj), source.get_fdata(dtype=np.float32)), file.name
        assert back.header.get_zooms()[3:] == source.header.get_zooms()[3:]


def test_bytes_for_a_download_are_a_file_and_hold_no_nan(tmp_path: Path) -> None:
    data = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    data[0, 0, 0, :2] = np.nan
    (tmp_path / "a.nii.gz").write_bytes(nifti_bytes(Volume(data, np.diag([2.0, 2, 2, 1]))))
    read = read_nifti(tmp_path / "a.nii.gz")
    assert read.data[0, 0, 0].tolist() == [2, 2, 2, 3] and read.spacing == (2.0, 2.0, 2.0)
