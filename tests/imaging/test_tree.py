"""Hostile folders: links, names and sizes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench.errors import TooLarge
from workbench.imaging.tree import is_inside, list_files, natural, safe_name, stem, suffix, unique_names, unwrap


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def test_files_come_in_natural_order_without_litter(tmp_path: Path) -> None:
    for name in ("c10.txt", "c2.txt", ".hidden", "__MACOSX/c1.txt", "sub/a.txt", "._c2.txt"):
        touch(tmp_path / name)
    files, left = list_files(tmp_path)
    assert [p.name for p in files] == ["c2.txt", "c10.txt", "a.txt"] and left == []


def test_links_out_of_the_source_are_left_out_with_a_reason(tmp_path: Path) -> None:
    source, outside = tmp_path / "source", touch(tmp_path / "outside" / "secret.txt")
    touch(source / "own.txt")
    (source / "inner.txt").symlink_to(source / "own.txt")
    (source / "file.txt").symlink_to(outside)
    (source / "folder").symlink_to(outside.parent)
    (source / "gone.txt").symlink_to(tmp_path / "nothing")
    (source / "circle").symlink_to(source / "circle")
    os.mkfifo(source / "pipe")
    files, left = list_files(source)
    assert [p.name for p in files] == ["inner.txt", "own.txt"]
    reasons = {one.file: one.reason for one in left}
    assert "leads out of the source" in reasons["file.txt"] and "link to a folder" in reasons["folder"]
    assert "not here" in reasons["gone.txt"] and "circle" in reasons and "neither a file" in reasons["pipe"]
    assert not is_inside(source / "file.txt", source) and is_inside(source / "inner.txt", source)
    assert not is_inside(source / "a\0b", source) and not is_inside(source / "../outside/secret.txt", source)


def test_a_huge_tree_is_refused(tmp_path: Path) -> None:
    for i in range(5):
        touch(tmp_path / f"{i}.txt")
    with pytest.raises(TooLarge, match="holds more than 4 files"):
        list_files(tmp_path, max_files=4)


def test_a_deep_tree_ends(tmp_path: Path) -> None:
    touch(tmp_path.joinpath(*"abcdefghijklmnopqrst") / "deep.txt")
    assert list_files(tmp_path) == ([], [])


def test_a_folder_that_holds_one_folder_is_entered(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "b" / "x.txt")
    touch(tmp_path / "__MACOSX" / "x.txt")
    assert unwrap(tmp_path) == tmp_path / "a" / "b"
    touch(tmp_path / "bids" / "sub-01" / "anat" / "x.txt")
    assert unwrap(tmp_path / "bids") == tmp_path / "bids"


@pytest.mark.parametrize(
    "hostile", ["../../etc/passwd", "a/b\\c", "\0\n", "..", "  ", "-rf", "x" * 300, "Müller ♥", "<img src=x>", "CON "]
)
def test_names_are_made_safe(hostile: str) -> None:
    name = safe_name(hostile)
    assert name and len(name) <= 80 and not name.startswith((".", "-")) and name.isascii()
    assert not set(name) & set("/\\\0\n <>\"'&")


def test_equal_names_are_numbered_whatever_their_case() -> None:
    assert unique_names(["a", "A", "a/", "b"]) == ["a", "A-2", "a-3", "b"]


def test_nii_gz_is_one_suffix() -> None:
    assert (stem("x.T1.NII.gz"), suffix("x.T1.NII.gz"), suffix("a.PNG"), stem("a.b.png")) == (
        "x.T1",
        ".NII.gz",
        ".PNG",
        "a.b",
    )


def test_natural_order_survives_any_digits() -> None:
    assert sorted(["²", "10", "9", "a1", "١", "1" * 5000], key=natural)
