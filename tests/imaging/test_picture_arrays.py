"""Arrays of pictures: every picture comes back with its label and its part, whatever the layout."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import Cancelled, CohortError, FileError, TooLarge, UnreadableFile, UnsafeFile
from workbench.imaging import picture_arrays
from workbench.imaging.cohort import Cohort
from workbench.imaging.importers import import_cohort, read_import
from workbench.imaging.layouts import detect_layout
from workbench.imaging.splits import split_by_group
from workbench.imaging.uploads import discard, stage

RNG = np.random.default_rng(0)


def pictures(n: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (n, *(shape or (6, 9))), dtype=np.uint8)


def bring(tmp_path: Path, **arrays: np.ndarray) -> Cohort:
    np.savez_compressed(tmp_path / "set.npz", **arrays)  # type: ignore[arg-type]
    return import_cohort(tmp_path / "set.npz", tmp_path / "out")


def pixels(cohort: Cohort, index: int) -> np.ndarray:
    """Give (rows, columns) or (rows, columns, 3)."""
    data = cohort.subjects[index].volume("image").data[..., 0]  # (C, X, Y)
    return data.transpose(2, 1, 0).squeeze()


def notes(cohort: Cohort) -> str:
    return " ".join(read_import(cohort)["notes"])  # type: ignore[arg-type]


def test_medmnist_gives_parts_and_targets(tmp_path: Path) -> None:
    parts = {"train": 5, "val": 2, "test": 3}
    arrays = {f"{p}_images": pictures(n) for p, n in parts.items()}
    labels = {f"{p}_labels": RNG.integers(0, 4, (n, 1)) for p, n in parts.items()}
    cohort = bring(tmp_path, **arrays, **labels)
    assert [s.split for s in cohort] == ["train"] * 5 + ["validation"] * 2 + ["test"] * 3
    assert [s.name for s in cohort][4:7] == ["train-00004", "validation-00000", "validation-00001"]
    whole, targets = np.concatenate(list(arrays.values())), np.concatenate(list(labels.values())).ravel()
    for i, subject in enumerate(cohort):
        np.testing.assert_array_equal(pixels(cohort, i), whole[i])
        assert subject.target == str(targets[i])
    split = split_by_group(cohort)
    assert (len(split.train), len(split.validation), len(split.test)) == (5, 2, 3)
    assert read_import(cohort)["layout"] == "npz" and "train 5, validation 2, test 3" in notes(cohort)


def test_keras_gives_parts_and_targets(tmp_path: Path) -> None:
    cohort = bring(
        tmp_path, x_train=pictures(4), y_train=np.arange(4), x_test=pictures(2), y_test=np.array([9, 8], np.uint8)
    )
    assert [(s.split, s.target) for s in cohort] == [
        *(("train", str(i)) for i in range(4)), ("test", "9"), ("test", "8"),
    ]  # fmt: skip


@pytest.mark.parametrize("images", ["images", "x", "X"])
@pytest.mark.parametrize("labels", ["labels", "y", "target"])
def test_plain_names_give_targets_and_no_split(tmp_path: Path, images: str, labels: str) -> None:
    cohort = bring(tmp_path, **{images: pictures(3), labels: np.array(["AD", "NC", "AD"]), "extra": np.zeros(2)})
    assert [s.target for s in cohort] == ["AD", "NC", "AD"] and {s.split for s in cohort} == {None}
    assert cohort.subjects[2].name == "set-00002" and "arrays extra were not used" in notes(cohort)


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 1), (1, 6, 9), (6, 9, 3), (3, 6, 9)])
def test_axes_of_channels_are_found(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = pictures(2, *shape)
    cohort = bring(tmp_path, images=array)
    expected = np.moveaxis(array, 1, -1) if shape[0] in (1, 3) else array
    for i in range(2):
        np.testing.assert_array_equal(pixels(cohort, i), expected[i].squeeze())
    assert all(s.target is None for s in cohort) and "images have no labels" in notes(cohort)
    assert {p.suffix for s in cohort for p in s.images.values()} == {".png"}


@pytest.mark.parametrize("shape", [(5, 6, 7), (1, 5, 6, 7), (5, 6, 7, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_blocks_become_nifti_with_their_values(tmp_path: Path, shape: tuple[int, ...], dtype: type) -> None:
    array = (pictures(2, *shape) if dtype == np.uint8 else RNG.normal(size=(2, *shape))).astype(dtype)
    cohort = bring(tmp_path, train_images=array, train_labels=np.arange(2))
    for i, subject in enumerate(cohort):
        np.testing.assert_array_equal(subject.volume("image").data[0], array[i].reshape(5, 6, 7))
        assert subject.images["image"].name == "image.nii.gz"
    assert "axes were taken as X, Y, Z" in notes(cohort)


@pytest.mark.parametrize(
    ("array", "expected", "note"),
    [
        (np.array([0, 0.25, 1]), [0, 64, 255], "from 0 to 1 became 0 to 255"),
        (np.array([False, True, True]), [0, 255, 255], "from 0 to 1 became 0 to 255"),
        (np.array([0.0, 7, 255]), [0, 7, 255], ""),
        (np.array([0, 7, 1], np.uint8), [0, 7, 1], ""),
        (np.array([0, 300, 65535]), [0, 300, 65535], ""),
        (np.array([-1.0, 0, 1]), [0, 128, 255], "from -1 to 1 were spread over 0 to 255"),
        (np.array([-100, 0, 155]), [0, 100, 255], "from -100 to 155 were spread over 0 to 255"),
        (np.array([7.5, 7.5, 7.5]), [0, 0, 0], "from 7.5 to 7.5"),
    ],
)
def test_values_keep_their_order_and_changes_are_noted(
    tmp_path: Path, array: np.ndarray, expected: list[int], note: str
) -> None:
    cohort = bring(tmp_path, images=array.reshape(3, 1, 1) * np.ones((1, 2, 4), array.dtype))
    assert [pixels(cohort, i).max() for i in range(3)] == expected
    assert note in notes(cohort) and ("spread" in notes(cohort) or "became" in notes(cohort)) == bool(note)


def test_one_scale_serves_all_parts(tmp_path: Path) -> None:
    ones = np.ones((1, 4, 4))
    cohort = bring(tmp_path, x_train=2.0 * ones, x_test=-2.0 * ones, y_train=[0.0], y_test=[1.5])  # type: ignore[arg-type]
    assert [pixels(cohort, i).max() for i in (0, 1)] == [255, 0]
    assert [s.target for s in cohort] == ["0", "1.5"]


def test_one_hot_rows_are_classes_and_other_rows_are_findings(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one_hot = bring(tmp_path / "a", images=pictures(3), labels=np.eye(4, dtype=np.uint8)[[2, 0, 3]])
    several = bring(tmp_path / "b", images=pictures(2), labels=np.array([[1, 1], [0, 1]]))
    assert [s.target for s in one_hot] == ["2", "0", "3"]
    assert [s.target for s in several] == [None, None]
    assert several.subjects[1].covariates == {"finding-01": "0", "finding-02": "1"}


@pytest.mark.parametrize(
    ("arrays", "error", "sentence"),
    [
        ({"a": np.zeros((3, 4, 4)), "b": np.zeros(3)}, UnreadableFile, "has the arrays a, b; expected images"),
        ({"images": np.zeros((3, 16)), "y": np.zeros(3)}, UnreadableFile, r"arrays of 3 × 16; expected \(N, H, W\)"),
        ({"images": np.zeros((3, 4, 4, 4, 2))}, UnreadableFile, "expected"),
        ({"images": np.zeros((3, 4, 4)), "y": np.zeros(2)}, UnreadableFile, "3 pictures but labels of 2 × 1"),
        ({"images": np.full((3, 4, 4), np.nan)}, UnreadableFile, "not finite"),
        ({"images": np.full((3, 4, 4, 4), np.inf)}, UnreadableFile, "not finite"),
        ({"images": np.full((3, 4, 4), "text")}, UnreadableFile, "in numbers"),
        ({"x_train": np.zeros((3, 4, 4)), "x_test": np.zeros((3, 5, 5))}, UnreadableFile, "4 × 4 and 5 × 5"),
        ({"images": np.array([{}, {}], dtype=object)}, UnsafeFile, "pickled"),
        ({"images": np.zeros((0, 4, 4))}, UnreadableFile, "every axis needs at least one"),
    ],
)  # fmt: skip
def test_what_holds_no_pictures_is_said_and_leaves_nothing(
    tmp_path: Path, arrays: dict[str, np.ndarray], error: type[FileError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        bring(tmp_path, **arrays)
    assert [p.name for p in tmp_path.iterdir()] == ["set.npz"]


def test_too_many_pictures_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_arrays, "MAX_PICTURES", 5)
    monkeypatch.setattr(picture_arrays, "read_array", lambda *_: pytest.fail("read"))
    with pytest.raises(TooLarge, match="holds 6 pictures; at most 5"):
        bring(tmp_path, images=pictures(6))


def test_a_cancelled_import_leaves_nothing(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=pictures(5))

    def cancel(fraction: float, message: str) -> None:
        if "3 of 5" in message:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        import_cohort(tmp_path / "set.npz", tmp_path / "out", progress=cancel)
    assert [p.name for p in tmp_path.iterdir()] == ["set.npz"]


@pytest.mark.parametrize("how", ["file", "zip", "folder", "upload", "link"])
def test_every_way_in_leads_to_the_same_cohort(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source = folder / "set.npz"
    array = pictures(2)
    np.savez(source, images=array, labels=np.arange(2))
    if how == "upload":
        source = stage([("C:\\pictures\\set.npz", io.BytesIO(source.read_bytes()))])
    elif how == "zip":
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            archive.write(source, "set.npz")
        source = tmp_path / "set.zip"
    elif how == "folder":
        source = folder
    assert detect_layout(source) == "npz"
    cohort = import_cohort(source, tmp_path / "out", link=how == "link")
    if how == "upload":
        discard(source)
    assert [s.target for s in cohort] == ["0", "1"]
    np.testing.assert_array_equal(pixels(cohort, 1), array[1])


def test_tables_of_time_series_are_still_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", series=np.zeros((5, 3)))
    assert detect_layout(tmp_path) == "folder"
    (tmp_path / "b.npz").unlink()
    assert detect_layout(tmp_path) == "folder"


@pytest.mark.real
def test_eight_thousand_digits_are_imported_in_seconds(real_data: Path, tmp_path: Path) -> None:
    file = real_data / "mnist_t10k" / "mnist.npz"
    begin = time.perf_counter()
    cohort = import_cohort(file, tmp_path / "out")
    seconds = time.perf_counter() - begin
    with np.load(file) as arrays:
        x, y = arrays["x"], arrays["y"]
    assert len(cohort) == len(x) == 8000 and seconds < 30
    assert [s.target for s in cohort] == [str(t) for t in y]
    for i in range(0, 8000, 400):
        np.testing.assert_array_equal(pixels(cohort, i), x[i])


def test_a_broken_archive_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "set.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(FileError, match=r"set\.npz"):
        import_cohort(tmp_path / "set.npz", tmp_path / "out")
    with pytest.raises((FileError, CohortError)):
        import_cohort(tmp_path, tmp_path / "out")
