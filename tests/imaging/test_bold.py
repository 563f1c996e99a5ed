"""From 4-D images to regions: nilearn's own numbers, a mean by hand, and whatever an image can lack."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bold_maker import AFFINE, N_VOLUMES, SHAPE, atlas_image, bold, labels
from nilearn.maskers import NiftiLabelsMasker, NiftiSpheresMasker

from workbench.errors import Cancelled, CohortError, FileError, GeometryError, SettingsError
from workbench.imaging import region_means as blocks
from workbench.imaging.atlases import Atlas, read_label_atlas
from workbench.imaging.bold import RAW, Cleaning, clean_series, extract_regions
from workbench.imaging.regional_series import RegionalSeries

CENTERS = np.array([[2, 2, 3], [5, 2, 3], [2, 6, 3]]) @ AFFINE[:3, :3].T + AFFINE[:3, 3]


def spheres(places: np.ndarray = CENTERS, radius: float = 6.0) -> Atlas:
    n = len(places)
    names = tuple(f"s{i}" for i in range(n))
    return Atlas("spheres", names, None, np.arange(n) + 1, places.astype("f4"), ("",) * n, radius)


def atlas_of(tmp_path: Path, data: np.ndarray | None = None, affine: np.ndarray = AFFINE) -> Atlas:
    return read_label_atlas(atlas_image(tmp_path / "atlas.nii.gz", data, affine))


@pytest.mark.parametrize("fwhm", [0.0, 6.0])
def test_cleaned_regions_are_nilearns(tmp_path: Path, fwhm: float) -> None:
    image, atlas = bold(tmp_path / "b.nii.gz"), atlas_of(tmp_path)
    found = extract_regions(image, atlas, Cleaning(smoothing_fwhm_mm=fwhm))
    expected = NiftiLabelsMasker(
        str(tmp_path / "atlas.nii.gz"), standardize="zscore_sample", detrend=True, low_pass=0.1, high_pass=0.01,
        t_r=2.0, smoothing_fwhm=fwhm or None,
    ).fit_transform(str(image))  # fmt: skip
    np.testing.assert_allclose(found.values, expected, atol=5e-4)
    assert found.regions == ("region 3", "region 5", "region 7", "region 9") and found.tr_s == 2.0


def test_without_cleaning_a_region_is_the_mean_of_its_voxels(tmp_path: Path) -> None:
    image, atlas = bold(tmp_path / "b.nii"), atlas_of(tmp_path)
    data = np.asarray(nib.load(image).dataobj, float)
    found = extract_regions(image, atlas, RAW)
    expected = np.stack([data[labels() == v].mean(axis=0) for v in (3, 5, 7, 9)], axis=1)
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)
    assert found.notes == ()


def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, atlas = bold(tmp_path / "b.nii.gz"), atlas_of(tmp_path)
    whole = extract_regions(image, atlas, RAW).values
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 7 * 4 * int(np.prod(SHAPE)))
    told: list[float] = []
    parts = extract_regions(image, atlas, RAW, progress=lambda f, _: told.append(f)).values
    np.testing.assert_array_equal(parts, whole)
    assert len(told) > N_VOLUMES // 7 and told == sorted(told) and told[-1] == 1.0


def test_no_more_than_a_block_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    data = np.zeros((*SHAPE, 4000), np.int16)
    data += np.arange(4000, dtype=np.int16) % 50
    image, atlas = bold(tmp_path / "b.nii.gz", data=data), atlas_of(tmp_path)
    size = data.size * 4
    monkeypatch.setattr(blocks, "BLOCK_BYTES", size // 40)
    extract_regions(bold(tmp_path / "warm.nii.gz"), atlas, RAW)
    tracemalloc.start()
    extract_regions(image, atlas, RAW)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size / 2


@pytest.mark.parametrize("masked", [False, True])
def test_spheres_are_nilearns(tmp_path: Path, masked: bool) -> None:
    image = bold(tmp_path / "b.nii.gz")
    mask = atlas_image(tmp_path / "mask.nii.gz", (labels() > 0).astype(np.int16)) if masked else None
    found = extract_regions(image, spheres(), Cleaning(), mask=mask)
    expected = NiftiSpheresMasker(
        [tuple(p) for p in CENTERS], 6.0, None if mask is None else str(mask), allow_overlap=True,
        standardize="zscore_sample", detrend=True, low_pass=0.1, high_pass=0.01, t_r=2.0,
    ).fit_transform(str(image))  # fmt: skip
    np.testing.assert_allclose(found.values, expected, atol=5e-4)


def test_a_sphere_outside_is_nan_and_named(tmp_path: Path) -> None:
    places = np.vstack([CENTERS, [[500, 0, 0]]])
    found = extract_regions(bold(tmp_path / "b.nii.gz"), spheres(places), Cleaning())
    assert found.missing == ("s3",) and "Nothing is seen of s3" in " ".join(found.notes)
    with pytest.raises(GeometryError, match=r"No region of spheres lies in b.nii.gz: the image reaches from \(-14,"):
        extract_regions(tmp_path / "b.nii.gz", spheres(CENTERS + 900), Cleaning())


def test_labels_on_another_lattice_are_brought_over_and_said(tmp_path: Path) -> None:
    fine = np.repeat(np.repeat(np.repeat(labels(), 2, 0), 2, 1), 2, 2)  # 2 mm voxels, the same places
    affine = AFFINE @ np.array([[0.5, 0, 0, -0.25], [0, 0.5, 0, -0.25], [0, 0, 0.5, -0.25], [0, 0, 0, 1]])
    image = bold(tmp_path / "b.nii.gz")
    found = extract_regions(image, atlas_of(tmp_path, fine, affine), RAW)
    np.testing.assert_allclose(found.values, extract_regions(image, atlas_of(tmp_path / "x"), RAW).values, rtol=1e-6)
    assert "(2 × 2 × 2 mm) were brought onto the image (4 × 4 × 4 mm) by nearest neighbor" in found.notes[0]


def test_lattices_that_share_their_corners_alone_are_told_apart(tmp_path: Path) -> None:
    fine = np.zeros([2 * n - 1 for n in SHAPE], np.int16)  # 2 mm between the same outermost voxels
    fine[:8], fine[8:] = 1, 2
    found = extract_regions(
        bold(tmp_path / "b.nii.gz"), atlas_of(tmp_path, fine, AFFINE @ np.diag([0.5, 0.5, 0.5, 1])), RAW
    )
    assert "were brought onto the image" in found.notes[0]


def test_regions_outside_or_hardly_inside_are_named(tmp_path: Path) -> None:
    data = np.zeros((16, 9, 7), np.int16)
    data[:8] = labels()
    data[12:], data[7:11] = 11, 12  # beyond the image, and a quarter inside
    found = extract_regions(bold(tmp_path / "b.nii.gz"), atlas_of(tmp_path, data), Cleaning())
    assert found.missing == ("region 11",) and found.n_regions == 6
    notes = " ".join(found.notes)
    assert "Less than half of the region lies in the image: region 12" in notes
    assert "Nothing is seen of region 11" in notes


def test_an_atlas_elsewhere_is_refused(tmp_path: Path) -> None:
    far = AFFINE.copy()
    far[:3, 3] += 1000
    with pytest.raises(GeometryError, match=r"No region of atlas lies in b.nii.gz.*mostly MNI"):
        extract_regions(bold(tmp_path / "b.nii.gz"), atlas_of(tmp_path, None, far), RAW)


def test_a_region_without_signal_is_nan_not_zero(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(1000, 20, (*SHAPE, 40)).astype(np.float32)
    data[labels() == 5] = 0
    found = extract_regions(bold(tmp_path / "b.nii.gz", data=data), atlas_of(tmp_path), Cleaning())
    assert found.missing == ("region 5",) and "left out, in region 5" in " ".join(found.notes)
    with pytest.raises(GeometryError, match="every region of atlas is constant"):
        extract_regions(bold(tmp_path / "c.nii.gz", data=0 * data), atlas_of(tmp_path), Cleaning())


def test_voxels_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(1000, 20, (*SHAPE, 40)).astype(np.float32)
    data[0, 0, 0, :3] = [np.nan, np.inf, -np.inf]
    found = extract_regions(bold(tmp_path / "b.nii.gz", data=data), atlas_of(tmp_path), Cleaning())
    assert np.isfinite(found.values).all() and "3 voxels that were no numbers" in found.notes[0]


def test_the_repetition_time_is_taken_from_where_it_makes_sense(tmp_path: Path) -> None:
    atlas = atlas_of(tmp_path)
    for tr, unit, seconds in ((2.5, "sec", 2.5), (2500, "msec", 2.5), (2500, "sec", 2.5), (2.5, "msec", 2.5)):
        image = bold(tmp_path / "b.nii.gz", tr=tr, unit=unit)
        found = extract_regions(image, atlas, RAW)
        assert found.tr_s == pytest.approx(seconds)
        assert bool(found.notes) == ((unit == "sec") == (tr > 50))
    without = bold(tmp_path / "zero.nii.gz", tr=0)
    assert extract_regions(without, atlas, RAW).tr_s is None
    assert extract_regions(without, atlas, Cleaning(), tr_s=3.0).tr_s == 3.0
    with pytest.raises(SettingsError, match=r"zero.nii.gz gives no repetition time"):
        extract_regions(without, atlas, Cleaning())
    with pytest.raises(SettingsError, match="repetition time of 2000 s cannot be"):
        extract_regions(without, atlas, Cleaning(), tr_s=2000)


def test_confounds_are_regressed_and_scrubbed(tmp_path: Path) -> None:
    motion = np.random.default_rng(3).normal(0, 0.01, (N_VOLUMES, 6))
    motion[30] += 3
    np.savetxt(tmp_path / "rp.txt", motion)
    image, atlas = bold(tmp_path / "b.nii.gz"), atlas_of(tmp_path)
    found = extract_regions(image, atlas, Cleaning(fd_limit_mm=5), confounds=tmp_path / "rp.txt")
    assert found.n_times == N_VOLUMES - 2 and "6 confounds of rp.txt are regressed out" in found.notes[0]
    np.savetxt(tmp_path / "rp.txt", motion[1:])
    with pytest.raises(CohortError, match=f"{N_VOLUMES - 1} rows of confounds but the image has {N_VOLUMES}"):
        extract_regions(image, atlas, Cleaning(), confounds=tmp_path / "rp.txt")


def test_images_that_are_none_are_refused(tmp_path: Path) -> None:
    atlas = atlas_of(tmp_path)
    with pytest.raises(GeometryError, match="holds one volume"):
        extract_regions(bold(tmp_path / "one.nii.gz", data=np.ones(SHAPE, "f4")), atlas, RAW)
    with pytest.raises(FileError, match="complex64"):
        extract_regions(bold(tmp_path / "c.nii.gz", data=np.ones((*SHAPE, 3), np.complex64)), atlas, RAW)
    with pytest.raises(CohortError, match="5 volumes; at least 20"):
        extract_regions(bold(tmp_path / "few.nii.gz", n=5), atlas, Cleaning())
    path = bold(tmp_path / "cut.nii.gz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FileError, match=r"cut.nii.gz"):
        extract_regions(path, atlas, RAW)
    empty = atlas_image(tmp_path / "mask.nii.gz", np.zeros(SHAPE, np.int16))
    with pytest.raises(GeometryError, match=r"mask.nii.gz has no voxel"):
        extract_regions(bold(tmp_path / "b.nii.gz"), atlas, RAW, mask=empty)


def test_a_stop_is_heard(tmp_path: Path) -> None:
    def stop(fraction: float, message: str) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        extract_regions(bold(tmp_path / "b.nii.gz"), atlas_of(tmp_path), RAW, progress=stop)


def test_tables_are_cleaned_as_images_are(tmp_path: Path) -> None:
    image, atlas = bold(tmp_path / "b.nii.gz"), atlas_of(tmp_path)
    raw = extract_regions(image, atlas, RAW)
    np.testing.assert_allclose(
        clean_series(raw, Cleaning()).values, extract_regions(image, atlas, Cleaning()).values, atol=1e-6
    )
    flat = RegionalSeries(np.column_stack([raw.values, np.ones(N_VOLUMES, "f4")]), (*raw.regions, "flat"), 2.0, "t")
    assert clean_series(flat, Cleaning()).missing == ("flat",)
    with pytest.raises(SettingsError, match="cannot be smoothed"):
        clean_series(raw, Cleaning(smoothing_fwhm_mm=4))
