"""Voxels as columns: one lattice for all subjects, means over cubes, sentences for what does not fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import psutil
import pytest
from bold_maker import AFFINE, N_VOLUMES, SHAPE, bold

from workbench.errors import CohortError, GeometryError, SettingsError, TooLarge
from workbench.imaging.atlases import Atlas, atlas_of, coordinate_atlas, read_label_atlas, write_atlas
from workbench.imaging.bold import RAW, extract_regions
from workbench.imaging.cohort import Cohort, write_cohort
from workbench.imaging.regional_cohort import regional_cohort
from workbench.imaging.regional_extraction import extract_cohort
from workbench.imaging.subject import Subject
from workbench.imaging.voxels import as_images, check_memory, named_by, networks_at, voxel_atlas, voxel_name

RNG = np.random.default_rng(0)
GB = 10**9


def mask(path: Path, data: np.ndarray | None = None, affine: np.ndarray = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.uint8) if data is None else data, affine), path)
    return path


@pytest.mark.parametrize("name", ["gm", "brain"])
def test_cubes_of_a_template_are_named_by_their_places(name: str) -> None:
    atlas = voxel_atlas(name, 12)
    assert atlas.voxel_mm == 12 and atlas.labels is not None
    inside = atlas.labels.data[0] > 0
    np.testing.assert_array_equal(atlas.labels.data[0][inside], atlas.label_values)
    np.testing.assert_allclose(atlas.coordinates_mm, atlas.labels.to_mm(np.argwhere(inside)), atol=1e-4)
    assert len(set(atlas.regions)) == atlas.n_regions == inside.sum() > 500
    assert atlas.regions[7] == voxel_name(atlas.coordinates_mm[7].tolist())


def test_the_volume_of_a_mask_is_kept_at_any_size() -> None:
    volumes = [voxel_atlas("brain", mm).n_regions * mm**3 for mm in (5.5, 8, 12)]
    assert max(volumes) < 1.05 * min(volumes)


def test_an_atlas_of_regions_is_no_lattice_and_a_written_lattice_is_read_as_one(tmp_path: Path) -> None:
    atlas = voxel_atlas(mask(tmp_path / "m.nii"), 8)
    write_atlas(tmp_path, atlas)
    (tmp_path / "cohort.csv").write_text("subject\n")
    read = atlas_of(Cohort(tmp_path / "cohort.csv", ()))
    assert read is not None and read.voxel_mm == 8 and read.regions == atlas.regions
    assert read.labels is not None and atlas.labels is not None
    np.testing.assert_array_equal(read.labels.data, atlas.labels.data)
    halves = np.where(np.arange(SHAPE[0])[:, None, None] < 4, 1, 2) * np.ones(SHAPE)
    assert read_label_atlas(mask(tmp_path / "two.nii", halves.astype(np.int16))).voxel_mm is None
    assert coordinate_atlas("power").voxel_mm is None


def test_a_cube_is_the_mean_of_the_voxels_nearest_to_it(tmp_path: Path) -> None:
    data = RNG.normal(500, 30, (8, 8, 6, N_VOLUMES)).astype(np.float32)
    affine = np.diag([4.0, 4, 4, 1])
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "b.nii")
    cubes = np.diag([8.0, 8, 8, 1])
    cubes[:3, 3] = 2  # each holds two by two by two voxels
    atlas = voxel_atlas(mask(tmp_path / "m.nii", np.ones((4, 4, 3), np.uint8), cubes), 8)
    assert atlas.n_regions == 48
    found = extract_regions(tmp_path / "b.nii", atlas, RAW, tr_s=2.0)
    blocks = data.reshape(4, 2, 4, 2, 3, 2, N_VOLUMES).mean((1, 3, 5)).reshape(48, N_VOLUMES).T
    np.testing.assert_allclose(found.values, blocks, rtol=1e-5)


def test_images_that_run_the_other_way_give_the_same_columns(tmp_path: Path) -> None:
    data = RNG.normal(500, 30, (*SHAPE, N_VOLUMES)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, AFFINE), tmp_path / "b.nii")
    turned = nib.as_closest_canonical(nib.Nifti1Image(data, AFFINE))
    nib.save(turned, tmp_path / "ras.nii")
    atlas = voxel_atlas(mask(tmp_path / "m.nii"), 4)
    one, other = (extract_regions(tmp_path / f, atlas, RAW, tr_s=2.0) for f in ("b.nii", "ras.nii"))
    np.testing.assert_array_equal(one.values, other.values)


def cohort_of(folder: Path, shifts: tuple[float, ...] = (0, 0), dead: int = 0) -> Cohort:
    """Make subjects whose grids lie apart by whole mm; the first has voxels that never change."""
    subjects = []
    for i, shift in enumerate(shifts):
        path = bold(folder / f"s{i}" / "b.nii.gz", i)
        image = nib.load(path)
        data, affine = np.asarray(image.dataobj).copy(), image.affine.copy()  # type: ignore[attr-defined]
        affine[2, 3] += shift
        if i == 0:
            data[:dead] = 7
        moved = nib.Nifti1Image(data, affine)
        moved.header.set_xyzt_units("mm", "sec")
        moved.header["pixdim"][4] = 2.0
        nib.save(moved, path)
        subjects.append(Subject(f"s{i}", series=path))
    return write_cohort(folder, subjects)


def test_subjects_on_different_grids_share_one_and_constant_voxels_are_left_out_for_all(tmp_path: Path) -> None:
    atlas = voxel_atlas(mask(tmp_path / "m.nii"), 8)
    made = extract_cohort(cohort_of(tmp_path / "in", (0, 1.5), dead=4), atlas, tmp_path / "out", RAW)
    assert [s.series.name for s in made if s.series] == ["series.npz"] * 2
    together = regional_cohort(made)
    assert together.dropped and len(together.regions) + len(together.dropped) == atlas.n_regions
    lost = atlas.coordinates_mm[[atlas.regions.index(name) for name in together.dropped]]
    assert lost[:, 0].min() >= atlas.coordinates_mm[:, 0].max() - 8  # stored x runs to the left
    assert all(one.values.shape == (N_VOLUMES, len(together.regions)) for one in together.series)
    assert together.table is not None and together.table.has_coordinates and "s0" in together.notes[0]


def test_images_apart_from_the_mask_and_larger_voxels_are_said(tmp_path: Path) -> None:
    cohort, file = cohort_of(tmp_path / "in"), mask(tmp_path / "m.nii")
    far = AFFINE.copy()
    far[:3, 3] += 500
    with pytest.raises(CohortError, match=r"No region of .* lies in b.nii.gz"):
        apart = voxel_atlas(mask(tmp_path / "far.nii", affine=far), 8)
        extract_cohort(cohort, apart, tmp_path / "out", RAW)
    with pytest.raises(CohortError, match=r"4 mm wide, larger than 3 mm.*Take voxels of 4 mm or more"):
        extract_cohort(cohort, voxel_atlas(file, 3), tmp_path / "out", RAW)
    assert not (tmp_path / "out").exists()


def test_too_little_memory_is_said_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2 * GB))
    check_memory(1.9 * GB, "This")
    with pytest.raises(TooLarge, match="This takes about 5 GB of memory, and 2 GB are free"):
        check_memory(5.0 * GB, "This")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    atlas = voxel_atlas(mask(tmp_path / "m.nii"), 4)
    with pytest.raises(CohortError, match=rf"60 volumes of {atlas.n_regions} voxels of b.nii.gz takes about 1.21 MB"):
        extract_cohort(cohort_of(tmp_path / "in"), atlas, tmp_path / "out", RAW)


@pytest.mark.parametrize(
    ("data", "mm", "said", "kind"),
    [(None, 1.0, "Voxels of 1 mm cannot be", SettingsError),
     (np.zeros(SHAPE, np.uint8), 8, "is 0 everywhere", GeometryError),
     (np.ones((*SHAPE, 3), np.uint8), 8, "holds 3 volumes; a mask has one", GeometryError),
     (np.pad(np.ones((1, 1, 1), np.uint8), 3), 20, "has 0 voxels of 20 mm", GeometryError)],
)  # fmt: skip
def test_masks_that_cannot_be_are_said(
    data: np.ndarray | None, mm: float, said: str, kind: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(kind, match=said):
        voxel_atlas(mask(tmp_path / "m.nii", data), mm)


def test_a_mask_that_is_not_there_is_said() -> None:
    with pytest.raises(SettingsError, match=r"no mask at nowhere.nii; give .* or one of gm, brain, epi"):
        voxel_atlas("nowhere.nii", 8)


def head(path: Path, shift: int = 0, offset_mm: float = 0.0) -> Path:
    """Write a bright ball on a dark, noisy background."""
    at = np.indices((24, 24, 24)).transpose(1, 2, 3, 0)
    ball = np.linalg.norm(at - [12 + shift, 12, 12], axis=3) < 8
    data = RNG.normal(20, 5, (24, 24, 24, 4)) + 900 * ball[..., None]
    path.parent.mkdir(exist_ok=True)
    affine = np.diag([5.0, 5, 5, 1])
    affine[0, 3] = offset_mm
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
    return path


def test_the_brain_found_is_what_all_images_share(tmp_path: Path) -> None:
    both = [head(tmp_path / "a" / "b.nii"), head(tmp_path / "c" / "b.nii", 3)]
    alone, shared = (voxel_atlas("epi", 5, images) for images in (both[:1], both))
    ball = 4 / 3 * np.pi * 8**3
    assert abs(alone.n_regions / ball - 1) < 0.1 and set(shared.regions) < set(alone.regions)
    center = shared.coordinates_mm.mean(0)
    np.testing.assert_allclose(center, [5 * 13.5, 60, 60], atol=2.5)
    with pytest.raises(GeometryError, match="shares no voxel with that of the images before it"):
        far = head(tmp_path / "d" / "b.nii", offset_mm=500)
        voxel_atlas("epi", 5, [both[0], far])
    with pytest.raises(GeometryError, match="no 4-D image to find the brain in"):
        voxel_atlas("epi", 5)


def test_networks_are_those_of_the_label_or_the_nearest_sphere_at_the_place(tmp_path: Path) -> None:
    spheres = coordinate_atlas("dosenbach")
    assert networks_at(spheres, spheres.coordinates_mm + 0.1) == spheres.networks
    assert set(networks_at(spheres, spheres.coordinates_mm + 400)) == {""}
    data = np.zeros(SHAPE, np.int16)
    data[:4], data[4:6] = 3, 9
    labels = read_label_atlas(mask(tmp_path / "a.nii", data), {3: "l", 9: "r"}, {3: "visual"})
    found = named_by(voxel_atlas(mask(tmp_path / "m.nii"), 4), labels)
    assert isinstance(found, Atlas) and found.labels is not None
    at = np.rint((found.coordinates_mm - AFFINE[:3, 3]) @ np.linalg.inv(AFFINE[:3, :3]).T).astype(int)
    assert [("visual" if i < 4 else "") for i in at[:, 0]] == list(found.networks)
    without = read_label_atlas(tmp_path / "a.nii", {3: "l", 9: "r"})
    assert set(networks_at(without, found.coordinates_mm)) == {"l", "r", ""}


def test_tables_come_back_out_of_the_images_they_were_put_into() -> None:
    series = [RNG.normal(size=(n, 11)).astype(np.float32) for n in (5, 9)]
    images, inside = as_images(series)
    chosen = np.asarray(inside.dataobj) > 0
    for one, image in zip(series, images, strict=True):
        np.testing.assert_array_equal(np.asarray(image.dataobj)[chosen].T, one)
