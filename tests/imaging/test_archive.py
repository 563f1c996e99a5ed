import stat
import struct
import zipfile

import pytest

from workbench.errors import Cancelled, FileError, TooLarge, UnreadableFile, UnsafeFile
from workbench.imaging import archive as archives
from workbench.imaging.archive import unpack


def pack(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_files_come_out_complete_and_in_order(tmp_path):
    path = pack(tmp_path / "a.zip", **{"b/x.dcm": b"one", "a.txt": b"two", "empty/": b""})
    told = []
    files = unpack(path, tmp_path / "out", lambda share, words: told.append(share))
    assert files == [tmp_path / "out" / "b" / "x.dcm", tmp_path / "out" / "a.txt"]
    assert [f.read_bytes() for f in files] == [b"one", b"two"] and told == [0.5, 1.0]


@pytest.mark.parametrize(
    "name",
    ["../up.txt", "a/../../up.txt", "/etc/up.txt", "C:/up.txt", "..\\up.txt", "\\\\host\\up.txt", "a.txt:hidden"],
)
def test_names_outside_the_folder(tmp_path, name):
    path = pack(tmp_path / "a.zip", **{"good.txt": b"x", name: b"x"})
    with pytest.raises(UnsafeFile, match="outside its own folder"):
        unpack(path, tmp_path / "in" / "out")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip"]


def test_links_are_not_made(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeFile, match="link or device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    path = pack(tmp_path / "a.zip", **{f"{i}": b"" for i in range(4)})
    with pytest.raises(TooLarge, match="holds 4 files; at most 3"):
        unpack(path, tmp_path / "out")


def test_too_many_bytes_and_too_great_a_ratio(tmp_path, monkeypatch):
    path = pack(tmp_path / "a.zip", bomb=bytes(200_000_000))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(TooLarge, match=r"would unpack to \d{3,4} times its size"):
        unpack(path, tmp_path / "out")
    monkeypatch.setenv("WORKBENCH_MAX_BYTES", "1000000")
    with pytest.raises(TooLarge, match=r"would unpack to 200 MB; at most 1 MB"):
        unpack(path, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_an_archive_that_lies_about_its_sizes(tmp_path):
    path = pack(tmp_path / "a.zip", bomb=bytes(1_000_000))
    content = path.read_bytes().replace(struct.pack("<I", 1_000_000), struct.pack("<I", 10))
    path.write_bytes(content)
    with pytest.raises((TooLarge, UnreadableFile)):
        unpack(path, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_passwords_damage_and_emptiness(tmp_path):
    path = pack(tmp_path / "a.zip", x=b"content" * 100)
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UnreadableFile, match="password"):
        unpack(path, tmp_path / "out")
    (tmp_path / "b.zip").write_bytes(bytes(content[:-30]))
    with pytest.raises(UnreadableFile, match="damaged or truncated"):
        unpack(tmp_path / "b.zip", tmp_path / "out")
    with pytest.raises(UnreadableFile, match="without files"):
        unpack(pack(tmp_path / "c.zip"), tmp_path / "out")


def test_one_name_twice_differs_by_case_only(tmp_path):
    with pytest.raises(UnsafeFile, match="several files of one name"):
        unpack(pack(tmp_path / "a.zip", A=b"1", a=b"2"), tmp_path / "out")


def test_cancelling_leaves_nothing(tmp_path):
    def stop(share, words):
        raise Cancelled("Stopped.")

    path = pack(tmp_path / "a.zip", a=b"1", b=b"2")
    with pytest.raises(Cancelled):
        unpack(path, tmp_path / "out", stop)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_an_existing_folder_is_not_touched(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileError, match="exists already"):
        unpack(pack(tmp_path / "a.zip", a=b"1"), tmp_path / "out")
    assert (tmp_path / "out").is_dir()
