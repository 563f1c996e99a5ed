"""Arrays from outside: what a header says is believed only as far as the file can hold it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import FileError, TooLarge, UnreadableFile, UnsafeFile
from workbench.imaging.arrays import read_array, read_headers


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64, np.bool_, "<U3", ">i2"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_they_were(tmp_path: Path, dtype: object, save: object) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)  # type: ignore[call-overload]
    save(tmp_path / "a.npz", a=array, b=np.asfortranarray(array), c=np.array(5))  # type: ignore[operator]
    np.save(tmp_path / "b.npy", array)
    headers = read_headers(tmp_path / "a.npz")
    assert {n: h.shape for n, h in headers.items()} == {"a": (3, 4), "b": (3, 4), "c": ()}
    for name in ("a", "b"):
        np.testing.assert_array_equal(read_array(tmp_path / "a.npz", name), array)
    np.testing.assert_array_equal(read_array(tmp_path / "b.npy"), array)
    assert read_headers(tmp_path / "b.npy")[""].dtype == array.dtype
    with pytest.raises(LookupError, match="no array 'd'"):
        read_array(tmp_path / "a.npz", "d")


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.array([{}, 1], dtype=object))
    np.save(tmp_path / "b.npy", np.array([{}, 1], dtype=object))
    for file, name in (("a.npz", "a"), ("b.npy", "")):
        with pytest.raises(UnsafeFile, match="pickled Python objects"):
            read_headers(tmp_path / file)
        with pytest.raises(UnsafeFile, match="pickled Python objects"):
            read_array(tmp_path / file, name)


def lying(path: Path, shape: tuple[int, ...], n_bytes: int) -> Path:
    """Write an .npz whose array declares a shape and holds so many bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header.getvalue() + bytes(n_bytes))
    return path


def test_a_header_cannot_declare_more_than_there_is(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"declares 1 MB but holds only .* truncated"):
        read_headers(lying(tmp_path / "a.npz", (1000, 1000), 10))
    with pytest.raises(TooLarge, match="declares 100000 × 100000"):
        read_headers(lying(tmp_path / "b.npz", (100_000, 100_000), 10))
    with pytest.raises(UnreadableFile):
        read_headers(lying(tmp_path / "c.npz", (-1, 5), 10))


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = lying(tmp_path / "a.npz", (40_000_000,), 40_000_000)
    assert bomb.stat().st_size < 100_000
    monkeypatch.setenv("WORKBENCH_MAX_BYTES", "10000000")
    with pytest.raises(TooLarge, match="would unpack to 40 MB; at most 10 MB"):
        read_array(bomb, "a")


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"\x93NUMPY", b"\x93NUMPY\x09\x00xx", b"PK\x03\x04damaged", b"\x80\x04N."]
)
def test_damage_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(FileError, match=r"a\.npz"):
        read_headers(tmp_path / "a.npz")


def test_truncation_anywhere_is_one_sentence(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.random.default_rng(0).integers(0, 255, 500, dtype=np.uint8))
    whole = (tmp_path / "a.npz").read_bytes()
    for cut in range(1, len(whole), 37):
        (tmp_path / "b.npz").write_bytes(whole[:cut])
        with pytest.raises(FileError):
            read_array(tmp_path / "b.npz", "a")


def test_records_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3, dtype=[("x", "f4"), ("y", "f4")]))
    with pytest.raises(UnreadableFile, match="expected numbers or text"):
        read_headers(tmp_path / "a.npy")
