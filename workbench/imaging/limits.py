"""How much a file may ask for.

A 1 MB ``.nii.gz`` can unpack to 1 GB, and a header can claim 32767⁴ voxels. So every reader first looks at the
header, asks :func:`check_header` whether that is within bounds, and only then reads, a piece at a time, never more
than was declared.
"""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from workbench.errors import TooLarge, UnreadableFile

DEFAULT_MAX_BYTES = 4 * 2**30
CHUNK_BYTES = 2**22
# Deflate cannot compress better than 1032 : 1, so a header that declares more than this was never filled.
MAX_DEFLATE_RATIO = 1040
MAX_FILES = 50_000  # in one archive, or in one folder of DICOM
GZIP_MAGIC = b"\x1f\x8b"


def max_bytes() -> int:
    """Give the largest image that is read, in bytes of voxels: ``$WORKBENCH_MAX_BYTES``, or 4 GiB."""
    text = os.environ.get("WORKBENCH_MAX_BYTES", "")
    return int(text) if text.isdigit() and int(text) > 0 else DEFAULT_MAX_BYTES


def check_header(shape: Sequence[int], itemsize: int, name: str) -> int:
    """Check what a header declares before anything is allocated.

    Args:
        shape: voxels along every axis, channels and time included.
        itemsize: bytes of one stored voxel; at least 4 are counted, because voxels become float32.
        name: the file's name, for the sentence.

    Returns:
        The number of voxels.

    Raises:
        UnreadableFile: an axis is empty or negative.
        TooLarge: more bytes than :func:`max_bytes`.
    """
    sizes = [int(n) for n in shape]
    if not sizes or min(sizes) < 1:
        raise UnreadableFile(
            f"{name} declares {times(sizes)} voxels, but every axis needs at least one; export the image again."
        )
    n_voxels = math.prod(sizes)
    needed = n_voxels * max(int(itemsize), 4)
    if needed > max_bytes():
        raise TooLarge(
            f"{name} declares {times(sizes)} voxels, which need {in_words(needed)}; at most {in_words(max_bytes())} "
            "are "
            "read. Crop or resample it, or raise WORKBENCH_MAX_BYTES."
        )
    return n_voxels


def check_declared(n_bytes: int, path: Path, compressed: bool) -> None:
    """Check that the file can hold the voxel bytes that its header declares.

    Raises:
        UnreadableFile: it is too small, even at the best compression there is.
    """
    size = path.stat().st_size
    if n_bytes > size * (MAX_DEFLATE_RATIO if compressed else 1):
        raise UnreadableFile(
            f"{path.name} declares {in_words(n_bytes)} of voxels but the file has only {in_words(size)}; it is "
            "truncated or its header is wrong. Copy or export it again."
        )


def open_stream(path: Path) -> BinaryIO:
    """Open a file for reading; what is gzipped by its content, whatever its name, is unpacked while it is read."""
    stream = path.open("rb")
    head = stream.read(2)
    stream.seek(0)
    if head != GZIP_MAGIC:
        return stream
    stream.close()
    return gzip.open(path, "rb")  # type: ignore[return-value]


def is_gzip(path: Path) -> bool:
    """Say whether a file is gzipped, by its first two bytes."""
    with path.open("rb") as stream:
        return stream.read(2) == GZIP_MAGIC


def chunks(stream: BinaryIO, n_bytes: int, itemsize: int, name: str) -> Iterator[bytes]:
    """Read exactly ``n_bytes`` in pieces that hold whole voxels.

    Raises:
        UnreadableFile: the stream ends early.
    """
    step = max(CHUNK_BYTES // itemsize, 1) * itemsize
    done = 0
    while done < n_bytes:
        piece = _read_fully(stream, min(step, n_bytes - done))
        done += len(piece)
        if len(piece) < min(step, n_bytes - done + len(piece)):
            raise UnreadableFile(
                f"{name} ends after {in_words(done)} of voxels but its header declares {in_words(n_bytes)}; it is "
                "truncated. Copy or download it again."
            )
        yield piece


def times(sizes: Sequence[int]) -> str:
    """Write a shape: ``64 × 64 × 30``."""
    return " × ".join(str(n) for n in sizes)


def in_words(n_bytes: float) -> str:
    """Write a number of bytes: ``1.5 GB``."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} PB"


def _read_fully(stream: BinaryIO, n_bytes: int) -> bytes:
    """A decompressing stream may give less than asked before its end; ask until there is no more."""
    parts = []
    while n_bytes > 0 and (part := stream.read(n_bytes)):
        parts.append(part)
        n_bytes -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
