"""Atlases: label images with lists in every shape, and coordinates that come with nilearn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cohort_maker import nifti, table_cohort

from workbench.errors import FileError, GeometryError
from workbench.imaging.atlases import Atlas, atlas_of, coordinate_atlas, read_label_atlas, write_atlas

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 2, 0, -8], [0, 0, 2, 4], [0, 0, 0, 1]])


def label_image(path: Path, dtype: type = np.int16) -> Path:
    """Write 6 × 4 × 4 voxels with the labels 2001, 2002 and 5."""
    data = np.zeros((6, 4, 4), dtype)
    data[0:2], data[2:4], data[5, 3, 3] = 2001, 2002, 5
    return nifti(path, data, AFFINE)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_labels_become_regions_in_order_of_their_values(tmp_path: Path, dtype: type) -> None:
    atlas = read_label_atlas(label_image(tmp_path / "aal.nii.gz", dtype), {2001: "left", 5: "dot"}, {5: "visual"})
    assert atlas.label_values.tolist() == [5, 2001, 2002] and atlas.name == "aal"
    assert atlas.regions == ("dot", "left", "region 2002") and atlas.networks == ("visual", "", "")
    np.testing.assert_allclose(atlas.coordinates_mm[0], AFFINE @ [5, 3, 3, 1] @ np.eye(4)[:, :3])


def test_the_place_of_a_region_lies_in_it(tmp_path: Path) -> None:
    data = np.zeros((9, 9, 3), np.int16)
    data[0, :], data[:, 0], data[8, :] = 1, 1, 1  # a U, whose center of mass is outside
    data[4, 4, 1] = 2
    atlas = read_label_atlas(nifti(tmp_path / "u.nii.gz", data))
    x, y, z = np.rint(atlas.coordinates_mm[0]).astype(int)
    assert data[x, y, z] == 1


@pytest.mark.parametrize(
    "text",
    [
        "value,name,network\n2001,left,N\n2002,right,M\n5,dot,N\n",
        "left\t2001\tN\nright\t2002\tM\ndot\t5\tN\n",
        "1 left 2001 N\n2 right 2002 M\n3 dot 5 N\n",
        "# No. Label R G B A\n2001 left 1 2 3 0\n2002 right 4 5 6 0\n5 dot 7 8 9 0\n",
        "network;index;label\nN;2001;left\nM;2002;right\nN;5;dot\n",
    ],
)
def test_lists_of_names_are_read_in_every_shape(tmp_path: Path, text: str) -> None:
    (tmp_path / "names.txt").write_text(text)
    atlas = read_label_atlas(label_image(tmp_path / "a.nii.gz"), tmp_path / "names.txt")
    assert atlas.regions == ("dot", "left", "right")
    assert atlas.networks == (("N", "N", "M") if "N" in text.replace("No", "") else ("", "", ""))


@pytest.mark.parametrize(
    ("text", "message"), [("9,a\n8,b\n", "names the values 9, 8"), ("a,b\nc,d\n", "its value and its name")]
)
def test_a_list_for_another_image_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(FileError, match=message):
        read_label_atlas(label_image(tmp_path / "a.nii.gz"), tmp_path / "names.csv")


def test_images_that_are_no_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="whole numbers"):
        read_label_atlas(nifti(tmp_path / "image.nii.gz"))
    with pytest.raises(GeometryError, match="holds 3 volumes"):
        read_label_atlas(nifti(tmp_path / "maps.nii.gz", np.ones((4, 4, 4, 3), np.float32)))
    with pytest.raises(GeometryError, match="has 1 regions"):
        read_label_atlas(nifti(tmp_path / "one.nii.gz", np.ones((4, 4, 4), np.int16)))
    with pytest.raises(GeometryError, match="negative label -3"):
        read_label_atlas(nifti(tmp_path / "less.nii.gz", np.array([-3, 0, 1, 2], np.int16).reshape(2, 2, 1)))


@pytest.mark.parametrize(("name", "n", "n_networks"), [("power", 264, 1), ("dosenbach", 160, 6), ("seitzman", 300, 14)])
def test_published_coordinates_come_with_nilearn(name: str, n: int, n_networks: int) -> None:
    atlas = coordinate_atlas(name)  # type: ignore[arg-type]
    assert atlas.n_regions == n == len(set(atlas.regions)) and len(set(atlas.networks)) == n_networks
    assert np.abs(atlas.coordinates_mm).max() < 120 and atlas.labels is None
    with pytest.raises(LookupError, match="power, dosenbach and seitzman"):
        coordinate_atlas("aal")  # type: ignore[arg-type]


def test_an_atlas_beside_a_cohort_is_the_same_atlas(tmp_path: Path) -> None:
    cohort = table_cohort(tmp_path / "c", [{"name": "a"}])
    assert atlas_of(cohort) is None
    atlas = read_label_atlas(label_image(tmp_path / "a.nii.gz"), {2001: "l", 2002: "r", 5: "d"}, {5: "visual"})
    write_atlas(tmp_path / "c", atlas)
    found = atlas_of(cohort)
    assert isinstance(found, Atlas) and found.labels is not None and atlas.labels is not None
    assert (found.regions, found.networks) == (atlas.regions, atlas.networks)
    np.testing.assert_array_equal(found.label_values, [1, 2, 3])
    for old, new in zip(atlas.label_values, found.label_values, strict=True):
        np.testing.assert_array_equal(found.labels.data == new, atlas.labels.data == old)
