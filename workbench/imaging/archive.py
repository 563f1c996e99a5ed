"""Zip archives that users bring, unpacked with suspicion.

An archive can name files outside its folder, hold links, hide a terabyte in a megabyte, or lie about its sizes. All
names and sizes are checked before the first byte is written; bytes are counted while they are; and whatever goes
wrong, nothing is left behind.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from workbench.errors import FileError, TooLarge, UnreadableFile, UnsafeFile
from workbench.imaging.guard import check_file, reading
from workbench.imaging.limits import CHUNK_BYTES, MAX_FILES, in_words, max_bytes
from workbench.progress import Progress, silent

MAX_RATIO = 200
# Small archives may compress as well as they like: a few empty masks do.
RATIO_MATTERS_BYTES = 2**27
ENCRYPTED = 1


def unpack(path: Path, folder: Path, progress: Progress = silent) -> list[Path]:
    """Unpack a zip archive into a new folder.

    Args:
        path: the archive.
        folder: must not exist; it appears at once, complete, or not at all.
        progress: told after each file.

    Returns:
        The files, in the archive's order.

    Raises:
        UnreadableFile: not a zip archive, damaged, or encrypted.
        UnsafeFile: absolute names, ``..``, links.
        TooLarge: too many files, too many bytes, or too great a ratio.
        Cancelled: as ``progress`` asked.
    """
    check_file(path, "a zip archive")
    with reading(path, "a zip archive"), zipfile.ZipFile(path) as archive:
        members = check_members(archive, path.name)
        with _appearing(folder) as partial:
            names = _copy_all(archive, members, partial, path.name, progress)
    return [folder / name for name in names]


def check_members(archive: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    """Check names and declared sizes, and give the members that are files.

    Raises:
        UnsafeFile: absolute names, ``..``, links, one name twice.
        TooLarge: too many files, too many bytes, or too great a ratio.
        UnreadableFile: encrypted members, or none at all.
    """
    members = [m for m in archive.infolist() if not m.is_dir()]
    if len(members) > MAX_FILES:
        raise TooLarge(f"{name} holds {len(members)} files; at most {MAX_FILES} are unpacked. Divide it.")
    if not members:
        raise UnreadableFile(f"{name} is an archive without files; put the images in it.")
    for member in archive.infolist():
        _check_name(member, name)
    if len({m.filename.casefold() for m in members}) < len(members):
        raise UnsafeFile(f"{name} holds several files of one name; pack it again.")
    total, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
    if total > max_bytes():
        raise TooLarge(
            f"{name} would unpack to {in_words(total)}; at most {in_words(max_bytes())} are unpacked. Divide it, or "
            "raise WORKBENCH_MAX_BYTES."
        )
    if total > RATIO_MATTERS_BYTES and total > MAX_RATIO * max(packed, 1):
        raise TooLarge(
            f"{name} would unpack to {total // max(packed, 1)} times its size ({in_words(total)}), which images do "
            f"not; at most {MAX_RATIO} times is unpacked."
        )
    return members


def _copy_all(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path, name: str, progress: Progress
) -> list[Path]:
    budget = max_bytes()
    names = []
    for index, member in enumerate(members):
        target = folder / PurePosixPath(member.filename)
        target.parent.mkdir(parents=True, exist_ok=True)
        budget -= _copy(archive, member, target, budget, name)
        names.append(target.relative_to(folder))
        progress((index + 1) / len(members), f"unpacked {index + 1} of {len(members)} files")
    return names


def _check_name(member: zipfile.ZipInfo, archive: str) -> None:
    # orig_filename is what is written in the archive; filename has been cut at a NUL and had its slashes turned.
    parts = member.orig_filename.replace("\\", "/").split("/")
    absolute = member.orig_filename.startswith(("/", "\\")) or ":" in member.orig_filename
    if absolute or ".." in parts or "\0" in member.orig_filename:
        raise UnsafeFile(
            f"{archive} names a file outside its own folder, or with a colon ({member.orig_filename[:80]!r}) and is "
            "not unpacked; "
            "pack it again with plain names."
        )
    mode = member.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnsafeFile(
            f"{archive} holds a link or device ({member.filename[:80]!r}) and is not unpacked; pack the file itself."
        )
    if member.flag_bits & ENCRYPTED:
        raise UnreadableFile(f"{archive} is protected by a password; pack it again without one.")


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, budget: int, name: str) -> int:
    """Copy one file, counting what really comes; give its bytes."""
    done = 0
    with archive.open(member) as source, target.open("xb") as sink:
        while piece := source.read(CHUNK_BYTES):
            done += len(piece)
            if done > min(budget, member.file_size):
                raise TooLarge(
                    f"{name} holds more bytes than it declares, or more than {in_words(max_bytes())}, and is not "
                    "unpacked."
                )
            sink.write(piece)
    return done


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """Give a partial folder that takes its name when all went well and vanishes otherwise."""
    if folder.exists():
        raise FileError(f"{folder.name} exists already in {folder.parent}; choose another name.")
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
