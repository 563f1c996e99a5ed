import dataclasses
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_maker import AXIAL, SECRETS, multi_frame, slice_dataset, write_series
from pydicom.data import get_testdata_file
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, MRImageStorage

from workbench.errors import FileError, GeometryError, TooLarge, UnreadableFile
from workbench.imaging import dicom_header
from workbench.imaging.dicom import list_series, read_dicom, read_dicom_facts
from workbench.imaging.files import read_volume
from workbench.imaging.nifti import read_nifti, write_nifti

STACK = np.arange(5 * 3 * 4, dtype=np.int16).reshape(5, 3, 4)  # (slices, rows, columns)
HEIGHTS = [100.0, 105.0, 110.0, 115.0, 120.0]


def test_slices_are_sorted_by_position_and_lps_becomes_ras(tmp_path):
    shuffled = [3, 0, 4, 1, 2]
    write_series(tmp_path / "ct", STACK[shuffled], [HEIGHTS[i] for i in shuffled])
    volume = read_dicom(tmp_path / "ct", "CT")
    assert volume.shape == (4, 3, 5) and volume.spacing == (3.0, 2.0, 5.0) and volume.grid.codes == "LPS"
    for k, row, column in np.ndindex(STACK.shape):
        x, y, z = -10 + 3 * column, -20 + 2 * row, 100 + 5 * k  # mm LPS
        there = np.rint(volume.to_voxels(np.array([-x, -y, z]))).astype(int)
        assert volume.data[0, *there] == STACK[k, row, column] - 1024


def test_the_acquired_lattice_goes_out_exactly(tmp_path):
    write_series(tmp_path / "ct", STACK, HEIGHTS)
    volume = read_dicom(tmp_path / "ct")
    write_nifti(volume, tmp_path / "a.nii.gz")
    back = read_nifti(tmp_path / "a.nii.gz")
    assert np.array_equal(back.data, volume.data) and np.array_equal(back.affine, volume.affine)
    assert back.grid.codes == "LPS" and back.grid.shape == (4, 3, 5)


def test_each_slice_has_its_own_slope(tmp_path):
    paths = write_series(tmp_path / "pet", np.ones_like(STACK), HEIGHTS)
    for index, path in enumerate(paths):
        data = pydicom.dcmread(path)
        data.RescaleSlope, data.RescaleIntercept = index + 1, 0
        data.save_as(path)
    assert read_dicom(tmp_path / "pet").data[0, 0, 0].tolist() == [1, 2, 3, 4, 5]


def test_a_tilted_gantry_keeps_its_shear(tmp_path):
    for k in range(5):
        slice_dataset(STACK[k], (-10, -20 + 1.0 * k, 5.0 * k)).save_as(tmp_path / f"{k}.dcm")
    volume = read_dicom(tmp_path)
    assert np.allclose(volume.affine[:3, 2], [0, -1, 5])  # RAS: 1 mm to the back for each slice upwards


def test_a_coronal_series_is_turned(tmp_path):
    for k in range(5):
        slice_dataset(STACK[k], (-10, 7.0 * k, 50), ImageOrientationPatient=[1, 0, 0, 0, 0, -1]).save_as(
            tmp_path / f"{k}.dcm"
        )
    volume = read_dicom(tmp_path)
    assert volume.shape == (4, 5, 3) and volume.spacing == (3.0, 7.0, 2.0)


def test_one_enhanced_file_with_frames_in_any_order(tmp_path):
    multi_frame(STACK, [110.0, 100.0, 105.0, 120.0, 115.0]).save_as(tmp_path / "mf.dcm")
    volume = read_dicom(tmp_path / "mf.dcm")
    assert volume.shape == (4, 3, 5) and volume.spacing == (3.0, 2.0, 5.0)
    corner = volume.data[0, -1, -1]  # column 0, row 0, from below: frames 1, 2, 0, 4, 3, each with its slope
    assert corner.tolist() == [12 * 2, 24 * 3, 0 * 1, 48 * 5, 36 * 4]


@pytest.mark.parametrize(
    ("heights", "words"),
    [
        (
            [100, 105, 115, 120, 125],
            r"1 slice is missing in ct: it goes from 105 to 115 mm where slices are 5 mm apart",
        ),
        ([100, 105, 110, 125, 130], r"2 slices are missing in ct: it goes from 110 to 125 mm"),
        ([100, 105, 110, 113, 118], r"unevenly apart \(3 to 5 mm, uneven first at 110 mm\)"),
        ([100, 105, 110, 110, 115], r"5 slices at only 4 places"),
        ([100, 105, float("nan"), 110, 115], r"not a number|damaged"),
    ],
)
def test_what_makes_no_stack_is_a_sentence(tmp_path, heights, words):
    write_series(tmp_path / "ct", STACK, heights)
    with pytest.raises((GeometryError, UnreadableFile), match=words):
        read_dicom(tmp_path / "ct")


def test_a_localizer_or_another_size_in_the_series(tmp_path):
    write_series(tmp_path / "ct", STACK, HEIGHTS)
    slice_dataset(STACK[0], (0, 0, 130), ImageOrientationPatient=[1, 0, 0, 0, 0, -1]).save_as(
        tmp_path / "ct" / "loc.dcm"
    )
    with pytest.raises(GeometryError, match="different planes"):
        read_dicom(tmp_path / "ct")
    slice_dataset(np.zeros((8, 8)), (0, 0, 130)).save_as(tmp_path / "ct" / "loc.dcm")
    with pytest.raises(GeometryError, match=r"differ in size .*4 × 3, 8 × 8"):
        read_dicom(tmp_path / "ct")


def test_slices_shifted_in_their_plane(tmp_path):
    for k in range(5):
        slice_dataset(STACK[k], (-10 + (8 if k == 2 else 0), -20, 5.0 * k)).save_as(tmp_path / f"{k}.dcm")
    with pytest.raises(GeometryError, match="shifted against each other by up to 8 mm"):
        read_dicom(tmp_path)


def test_several_series_are_listed_and_chosen(tmp_path):
    write_series(tmp_path / "study" / "a", STACK, HEIGHTS)
    write_series(
        tmp_path / "study" / "b", STACK[:3], HEIGHTS[:3], SeriesInstanceUID="1.2.3.5", Modality="PT", PatientID="other"
    )
    (tmp_path / "study" / "notes.txt").write_text("Doe^Jane")
    (tmp_path / "study" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    first, second = list_series(tmp_path / "study")
    assert (first.modality, first.n_slices, first.shape, first.spacing_mm) == ("CT", 5, (4, 3, 5), (3.0, 2.0, 5.0))
    assert (second.modality, second.n_slices) == ("PT", 3)
    assert first.patient != second.patient and first.study == second.study and len(first.files) == 5
    with pytest.raises(
        FileError, match=r"study holds 2 series \(\w{12}: CT, 4 × 3 × 5 voxels of 3 × 2 × 5 mm; .*choose one"
    ):
        read_dicom(tmp_path / "study")
    assert read_dicom(tmp_path / "study", series=second.series).shape == (4, 3, 3)
    assert read_dicom(second.files).shape == (4, 3, 3)
    with pytest.raises(FileError, match="no series nonsense; it has"):
        read_dicom(tmp_path / "study", series="nonsense")


def test_nothing_of_the_patient_leaves_the_reader(tmp_path):
    write_series(tmp_path / "ct", STACK, HEIGHTS, BodyPartExamined="CHEST")
    (series,) = list_series(tmp_path / "ct")
    facts = read_dicom_facts(tmp_path / "ct")
    kept = pickle.dumps([dataclasses.replace(series, files=()), facts, read_dicom(tmp_path / "ct")])
    assert not [secret for secret in (*SECRETS, "1.2.3.4", "1.2.3") if secret.encode() in kept]
    assert (facts.modality, facts.kvp, facts.slice_thickness_mm, facts.pixel_spacing_mm) == (
        "CT",
        120.0,
        5.0,
        (2.0, 3.0),
    )
    assert facts.body_part == "CHEST" and facts.field_strength_t is None
    assert set(dicom_header.FACTS.values()) == {f.name for f in dataclasses.fields(facts)}


def test_tokens_cannot_be_looked_up_from_a_list_of_names(tmp_path, monkeypatch):
    path = write_series(tmp_path / "ct", STACK[:1], [0.0])[0]
    first = dicom_header.read_header(path)
    assert first.patient == dicom_header.read_header(path).patient
    monkeypatch.setattr(dicom_header, "SALT", b"another process")
    second = dicom_header.read_header(path)
    assert not {first.patient, first.study, first.series} & {second.patient, second.study, second.series}


def test_secrets_do_not_come_out_of_errors(tmp_path):
    write_series(tmp_path / "ct", STACK, HEIGHTS[:4] + HEIGHTS[:1])
    with pytest.raises(GeometryError) as caught:
        read_dicom(tmp_path / "ct")
    assert not [secret for secret in SECRETS if secret in str(caught.value)]


@pytest.mark.parametrize(
    ("modality", "burned", "n"), [("CT", None, 0), ("US", None, 1), ("US", "NO", 0), ("CT", "YES", 1), ("MG", None, 1)]
)
def test_burned_in_text_is_warned_of(tmp_path, modality, burned, n):
    changes = {"BurnedInAnnotation": burned} if burned else {}
    slice_dataset(STACK[0], (0, 0, 0), Modality=modality, **changes).save_as(tmp_path / "a.dcm")
    assert len(read_dicom_facts(tmp_path / "a.dcm").warnings) == n


def test_a_zip_is_read_and_leaves_nothing(tmp_path, monkeypatch):
    paths = write_series(tmp_path / "ct", STACK, HEIGHTS)
    with zipfile.ZipFile(tmp_path / "ct.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, f"study/{path.name}")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert np.array_equal(read_volume(tmp_path / "ct.zip").data, read_dicom(tmp_path / "ct").data)
    assert not list((tmp_path / "temporary").iterdir())


def test_a_file_without_preamble_is_read(tmp_path):
    path = write_series(tmp_path / "ct", STACK[:1], [0.0])[0]
    content = path.read_bytes()
    bare = content[content.index(b"\x08\x00\x16\x00") :]  # from the first element after the meta header
    path.write_bytes(bare)
    assert np.array_equal(read_dicom(path).data[0, ::-1, ::-1, 0].T, STACK[0] - 1024)


def test_films_and_single_pictures_have_no_position(tmp_path):
    data = slice_dataset(STACK[0], (0, 0, 0), Modality="US", NumberOfFrames=5)
    del data.ImagePositionPatient, data.ImageOrientationPatient
    data.PixelData = STACK.astype("<i2").tobytes()
    data.save_as(tmp_path / "film.dcm")
    volume = read_dicom(tmp_path / "film.dcm")
    assert volume.data.shape == (5, 4, 3, 1) and volume.data[2, 1, 0, 0] == STACK[2, 0, 1] - 1024
    data.Modality = "CT"
    data.save_as(tmp_path / "film.dcm")
    with pytest.raises(GeometryError, match=r"5 frames .* no position"):
        read_dicom(tmp_path / "film.dcm")


def test_reports_and_empty_folders(tmp_path):
    with pytest.raises(UnreadableFile, match="holds no DICOM image"):
        read_dicom(Path(get_testdata_file("reportsi.dcm")))
    with pytest.raises(UnreadableFile, match="holds no DICOM image"):
        read_dicom(tmp_path)
    with pytest.raises(FileError, match="no folder"):
        list_series(tmp_path / "absent")


def test_a_damaged_slice_is_named(tmp_path):
    paths = write_series(tmp_path / "ct", STACK, HEIGHTS)
    paths[2].write_bytes(paths[2].read_bytes()[:-10])
    with pytest.raises(UnreadableFile, match=rf"{paths[2].name} .*damaged or truncated"):
        read_dicom(tmp_path / "ct")


def test_a_header_that_declares_too_many_pixels(tmp_path):
    data = slice_dataset(STACK[0], (0, 0, 0), NumberOfFrames=10**9)
    data.Rows = data.Columns = 65535
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(TooLarge, match="65535 × 65535 × 1000000000"):
        read_dicom(tmp_path / "a.dcm")


def test_frames_without_number_are_refused_before_they_are_listed(tmp_path):
    data = slice_dataset(np.zeros((1, 1)), (0, 0, 0), NumberOfFrames=5 * 10**8)
    data.save_as(tmp_path / "a.dcm")
    tracemalloc.start()
    with pytest.raises(TooLarge, match="declares 500000000 frames; at most 100000"):
        read_dicom(tmp_path / "a.dcm")
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_a_packed_file_that_declares_far_more_than_it_holds(tmp_path):
    data = pydicom.dcmread(get_testdata_file("MR_small_RLE.dcm"))
    data.Rows = data.Columns = 16_000
    data.save_as(tmp_path / "a.dcm")
    tracemalloc.start()
    with pytest.raises(UnreadableFile, match=r"declares 16000 × 16000 pixels and 1 frames but has only 6"):
        read_dicom(tmp_path / "a.dcm")
    tracemalloc.stop()


def test_a_stream_that_declares_more_than_the_header_is_not_decoded(tmp_path):
    content = bytearray(Path(get_testdata_file("SC_rgb_small_odd_jpeg.dcm")).read_bytes())
    start = content.rindex(b"\xff\xc0")
    content[start + 5 : start + 9] = (12_000).to_bytes(2, "big") * 2  # 432 MB once decoded
    (tmp_path / "a.dcm").write_bytes(bytes(content))
    with pytest.raises(UnreadableFile, match=r"declares 3 × 3 pixels but the compressed image in it 12000 × 12000"):
        read_dicom(tmp_path / "a.dcm")


def test_a_deflated_bomb_is_not_inflated(tmp_path, monkeypatch):
    data = slice_dataset(STACK[0], (0, 0, 0))
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.add_new((0x0011, 0x1001), "OB", bytes(50_000_000))
    data.save_as(tmp_path / "bomb.dcm")
    assert (tmp_path / "bomb.dcm").stat().st_size < 100_000
    monkeypatch.setenv("WORKBENCH_MAX_BYTES", str(10_000_000))
    tracemalloc.start()
    with pytest.raises(TooLarge, match="deflated DICOM file"):
        read_dicom(tmp_path / "bomb.dcm")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "name", ["MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "MR_small_bigendian"]
)
def test_compressed_transfer_syntaxes_give_the_same_voxels(name):
    plain = read_dicom(get_testdata_file("MR_small.dcm"))
    packed = read_dicom(get_testdata_file(f"{name}.dcm"))
    assert np.array_equal(plain.data, packed.data) and np.array_equal(plain.affine, packed.affine)


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_what_pydicom_cannot_decode_is_rescaled_exactly_once(tmp_path, modality):
    """JPEG-LS with slope and intercept: SimpleITK alone would apply them to CT and leave MR as it is."""
    data = pydicom.dcmread(get_testdata_file("MR_small_jpeg_ls_lossless.dcm"))
    data.Modality, data.RescaleSlope, data.RescaleIntercept = modality, 2, -1000
    data.SOPClassUID = {"CT": CTImageStorage, "MR": MRImageStorage}[modality]
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.save_as(tmp_path / "a.dcm")
    plain = read_dicom(get_testdata_file("MR_small.dcm"))
    assert np.array_equal(read_dicom(tmp_path / "a.dcm").data, plain.data * 2 - 1000)


def test_colors_and_palettes():
    assert read_dicom(get_testdata_file("SC_rgb_small_odd.dcm")).n_channels == 3
    palette = read_dicom(get_testdata_file("examples_palette.dcm"))
    assert palette.n_channels == 3 and palette.data.std() > 0


def test_ct_small_equals_pydicom():
    source = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    volume = read_dicom(get_testdata_file("CT_small.dcm"))
    expected = source.pixel_array * float(source.RescaleSlope) + float(source.RescaleIntercept)
    assert np.array_equal(volume.data[0, ::-1, ::-1, 0].T, expected)
    assert list(AXIAL) == [float(v) for v in source.ImageOrientationPatient]
    assert volume.spacing[:2] == tuple(float(v) for v in source.PixelSpacing)


@pytest.mark.real
def test_real_slices_equal_an_independent_reader(real_data):
    import SimpleITK as sitk

    folder = real_data / "nodules_lidc" / "dicom" / "LIDC-IDRI-0001"
    volume = read_volume(folder, "CT")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    assert np.array_equal(volume.data[0, ::-1, ::-1], sitk.GetArrayFromImage(image).T)
    assert np.allclose(volume.spacing, image.GetSpacing())
    x, y, z = image.TransformIndexToPhysicalPoint((3, 5, 1))
    assert np.allclose(volume.to_voxels(np.array([-x, -y, z])), [511 - 3, 511 - 5, 1], atol=1e-4)
