import numpy as np
import pytest

from workbench.errors import FileError, TooLarge, UnreadableFile, WorkbenchError
from workbench.imaging.guard import check_file, finite, reading, writing


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (PermissionError(13, "no"), FileError, "permission denied"),
        (FileNotFoundError(2, "no"), FileError, "no file scan.nii"),
        (IsADirectoryError(21, "no"), FileError, "is a folder"),
        (OSError(5, "Input/output error"), FileError, "Input/output error"),
        (MemoryError(), TooLarge, "not enough memory"),
        (ValueError("Doe^Jane"), UnreadableFile, "damaged or truncated"),
        (RecursionError(), UnreadableFile, "damaged or truncated"),
    ],
)
def test_every_exception_becomes_a_sentence_that_quotes_no_header(tmp_path, error, kind, words):
    with pytest.raises(kind, match=words) as caught, reading(tmp_path / "scan.nii", "a NIfTI image"):
        raise error
    assert "Doe" not in str(caught.value)


def test_our_own_errors_pass_through(tmp_path):
    with pytest.raises(WorkbenchError, match="as it is"), reading(tmp_path, "an image"):
        raise TooLarge("as it is")


def test_a_failed_write_leaves_neither_file_nor_partial(tmp_path):
    path = tmp_path / "new" / "a.nii"
    with pytest.raises(RuntimeError), writing(path) as partial:
        partial.write_bytes(b"half")
        raise RuntimeError
    assert list((tmp_path / "new").iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(b"old")
    with pytest.raises(FileError, match="No space left"), writing(path) as partial:
        partial.write_bytes(b"half")
        raise OSError(28, "No space left on device")
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_folder_empty_and_absent_files_are_told_apart(tmp_path):
    (tmp_path / "empty.nii").touch()
    with pytest.raises(UnreadableFile, match="is empty"):
        check_file(tmp_path / "empty.nii", "an image")
    with pytest.raises(FileError, match="is a folder"):
        check_file(tmp_path, "an image")
    with pytest.raises(FileError, match="There is no file"):
        check_file(tmp_path / "absent.nii", "an image")
    with pytest.raises(FileError):
        check_file(tmp_path / ("x" * 5000), "an image")


def test_finite_refuses_or_zeroes_and_counts():
    data = np.ones((2, 5), np.float32)
    data[0, :2] = np.nan, np.inf
    with pytest.raises(UnreadableFile, match=r"2 of 10 voxels of a\.nii \(20 %\) are not numbers"):
        finite(data, "a.nii", "refuse")
    assert finite(data, "a.nii", "zero").sum() == 8
    with pytest.raises(UnreadableFile, match="None of the 10 voxels"):
        finite(np.full(10, np.nan, np.float32), "a.nii", "zero")


def test_large_finite_voxels_are_not_taken_for_infinite():
    assert finite(np.full(100, 3e38, np.float32), "a", "refuse").max() > 1e38
