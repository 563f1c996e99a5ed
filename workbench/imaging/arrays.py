"""Arrays in ``.npy`` and ``.npz`` files: headers are looked at first, and pickled objects are never loaded.

A ``.npz`` is a zip archive of ``.npy`` members. Its headers and its directory both say how large a member is; they
must agree before anything is allocated, so a small file cannot ask for more memory than it holds.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from workbench.errors import UnreadableFile, UnsafeFile
from workbench.imaging.archive import check_members
from workbench.imaging.guard import check_file, reading
from workbench.imaging.limits import check_declared, check_header, in_words

ARRAY_SUFFIXES = (".npy", ".npz")
KINDS = "biufU"  # bool, integers, floats, text
ALONE = ""  # the name of the one array in an .npy
ZIP_MAGIC = b"PK"


class Header(NamedTuple):
    """What an array's header says.

    Attributes:
        shape: of the array; () for a single value.
        dtype: of its elements.
    """

    shape: tuple[int, ...]
    dtype: np.dtype


def read_headers(path: Path) -> dict[str, Header]:
    """Give what the arrays of a file are, by name (``""`` in an ``.npy``), without reading them.

    Raises:
        UnreadableFile: damaged, truncated, or no such file of arrays.
        UnsafeFile: pickled objects, links, or names that lead out of the archive.
        TooLarge: more elements than may be read.
    """
    with _opened(path) as members:
        return {name: _header(stream, name, path, size) for name, stream, size in members}


def read_array(path: Path, name: str = ALONE) -> np.ndarray:
    """Read one array of a file; the others stay where they are.

    Args:
        path: the .npy or .npz.
        name: one of :func:`read_headers`.

    Raises:
        UnreadableFile, UnsafeFile, TooLarge: as :func:`read_headers`.
        LookupError: no array of that name.
    """
    with _opened(path) as members:
        for found, stream, size in members:
            if found == name:
                _header(stream, name, path, size)
                stream.seek(0)
                return npy.read_array(stream, allow_pickle=False)
    raise LookupError(f"{path.name} has no array {name!r}")


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[tuple[str, BinaryIO, int]]]:
    """Give (name, stream, bytes that it holds) of each array."""
    kind = "a file of numpy arrays"
    check_file(path, kind)
    with reading(path, kind), path.open("rb") as stream:
        head = stream.read(2)
        stream.seek(0)
        if head != ZIP_MAGIC and path.suffix.lower() != ".npz":
            yield iter([(ALONE, stream, path.stat().st_size)])
            return
        with zipfile.ZipFile(stream) as archive:
            yield _members(archive, path)


def _members(archive: zipfile.ZipFile, path: Path) -> Iterator[tuple[str, BinaryIO, int]]:
    for member in check_members(archive, path.name):
        with archive.open(member) as stream:
            yield member.filename.removesuffix(".npy"), stream, member.file_size  # type: ignore[misc]


def _header(stream: BinaryIO, name: str, path: Path, size: int) -> Header:
    """Read and check one header; ``size`` bytes are all that the array may have."""
    where = f"{path.name}, array {name}" if name else path.name
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)  # 3.0 differs from 2.0 by names of fields, which are refused below
    except ValueError as error:
        raise UnreadableFile(
            f"{where} was expected to be a numpy array but is something else; save it again."
        ) from error
    if dtype.hasobject:
        raise UnsafeFile(f"{where} holds pickled Python objects, which could run code; save it as a plain array.")
    if dtype.kind not in KINDS:
        raise UnreadableFile(f"{where} holds {dtype}; expected numbers or text. Save it as a plain array.")
    if shape:
        check_header(shape, max(1, dtype.itemsize), where)
    if (declared := math.prod(shape) * dtype.itemsize) > size:
        raise UnreadableFile(
            f"{where} declares {in_words(declared)} but holds only {in_words(size)}; it is truncated. Copy it again."
        )
    check_declared(declared, path, compressed=True)
    return Header(tuple(shape), dtype)
