"""Copies of image files without the text that scanners and programs leave in them.

Voxels are copied byte by byte in their stored type; what is dropped is text: of NIfTI ``descrip``, ``aux_file``,
``db_name``, ``intent_name`` and extensions, of PNG the text and EXIF chunks, of JPEG comments and application
segments but the two that decoding needs. TIFF files are copied as they are.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from workbench.errors import GeometryError, UnreadableFile
from workbench.imaging.guard import check_file, check_size, reading
from workbench.imaging.limits import check_declared, check_header, chunks, is_gzip, open_stream, times
from workbench.imaging.orientation import check_affine

TEXT_FIELDS = ("data_type", "db_name", "descrip", "aux_file", "intent_name")
MAX_OFFSET = 2**26
PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"sBIT", b"pHYs", b"gAMA", b"IDAT", b"IEND")
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# Of JPEG: APP0 (JFIF) and APP14 (Adobe) tell how colors are stored; APP1 holds EXIF, FFFE comments.
JPEG_DROPPED = {*range(0xE1, 0xEE), 0xEF, 0xFE}


def copy_nifti(source: Path, target: Path, channel: int | None = None) -> int:
    """Copy a NIfTI image to ``target`` (.nii.gz) without its text, and set voxels that are no numbers to 0.

    Args:
        source: .nii or .nii.gz.
        target: written anew.
        channel: of a 4-D image: the one volume to copy.

    Returns:
        How many voxels were NaN or infinite.

    Raises:
        FileError: not NIfTI, truncated, too large.
        GeometryError: an affine that does not span space, more than 4 axes, or no such channel.
    """
    with reading(source, "a NIfTI image"), open_stream(source) as stream:
        header, consumed = _header(stream, source)
        shape = tuple(int(n) for n in header.get_data_shape())
        dtype = header.get_data_dtype()
        n_voxels = check_header(shape, dtype.itemsize, source.name)
        check_declared(n_voxels * dtype.itemsize, source, is_gzip(source))
        least, offset = _offsets(header, source.name)
        for _ in chunks(stream, offset - consumed, 1, source.name):
            pass
        if channel is not None:
            n_voxels = _skip_to_channel(stream, channel, shape, dtype, source.name)
            header.set_data_shape(shape[:3])
        for name in TEXT_FIELDS:
            if name in header.structarr.dtype.names:
                header.structarr[name] = b""
        header.structarr["vox_offset"] = least
        with target.open("wb") as file, gzip.GzipFile("", "wb", 3, file, mtime=0) as packed:
            packed.write(header.binaryblock + bytes(4))
            pieces = chunks(stream, n_voxels * dtype.itemsize, dtype.itemsize, source.name)
            n_bad = sum(_write_finite(packed, piece, dtype) for piece in pieces)
    if n_bad == n_voxels:
        raise UnreadableFile(f"None of the {n_voxels} voxels of {source.name} is a number; export the image again.")
    return n_bad


def check_nifti(path: Path) -> tuple[int, ...]:
    """Look at the header of a NIfTI image without reading its voxels, and give its stored shape.

    Raises:
        FileError, GeometryError: as :func:`copy_nifti` does, but for what only the voxels would tell.
    """
    check_file(path, "a NIfTI image")
    with reading(path, "a NIfTI image"), open_stream(path) as stream:
        header, _ = _header(stream, path)
        dtype = header.get_data_dtype()
        shape = tuple(int(n) for n in header.get_data_shape())
        check_declared(check_header(shape, dtype.itemsize, path.name) * dtype.itemsize, path, is_gzip(path))
        return shape


def copy_picture(source: Path, target: Path) -> None:
    """Copy a PNG or JPEG without its text, and anything else as it is.

    Raises:
        UnreadableFile: the file is not the sequence of chunks or segments that its first bytes promise.
        TooLarge: larger than the limit.
    """
    check_file(source, "a picture")
    check_size(source)
    with reading(source, "a picture"):
        with source.open("rb") as stream:
            head = stream.read(8)
        if head == PNG_MAGIC:
            target.write_bytes(b"".join(_png_chunks(source.read_bytes())))
        elif head[:3] == b"\xff\xd8\xff":
            target.write_bytes(b"".join(_jpeg_segments(source.read_bytes())))
        else:
            shutil.copyfile(source, target)


def _header(stream: BinaryIO, path: Path):  # type: ignore[no-untyped-def]  # nibabel's header, imported late
    import nibabel as nib

    head = stream.read(348)
    if head[344:348] == b"n+1\0":
        header, consumed = nib.Nifti1Header(head, check=False), 348
    elif head[4:8] == b"n+2\0":
        header, consumed = nib.Nifti2Header(head + stream.read(192), check=False), 540
    else:
        raise UnreadableFile(
            f"{path.name} was expected to be a NIfTI image in one file, but does not begin like one; convert it first."
        )
    shape = [int(n) for n in header.get_data_shape()]
    if len(shape) > 4 and max(shape[4:]) > 1:
        raise GeometryError(f"{path.name} has {len(shape)} axes ({times(shape)}); expected 3, or 4 with time.")
    unit = {1: 1000.0, 3: 1e-3}.get(int(header["xyzt_units"]) & 7, 1.0)
    check_affine(np.diag([unit, unit, unit, 1.0]) @ np.asarray(header.get_best_affine(), float), path.name)
    return header, consumed


def _offsets(header, name: str) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    """Give where voxels may begin at the earliest, and where they do."""
    least = 352 if header["sizeof_hdr"] == 348 else 544
    offset = int(header["vox_offset"]) or least
    if not least <= offset <= MAX_OFFSET:
        raise UnreadableFile(f"{name} says that its voxels begin at byte {offset}; expected {least} to {MAX_OFFSET}.")
    return least, offset


def _skip_to_channel(stream: BinaryIO, channel: int, shape: tuple[int, ...], dtype: np.dtype, name: str) -> int:
    """Pass over the volumes before ``channel``; give the voxels of one."""
    n_channels = shape[3] if len(shape) > 3 else 1
    if channel >= n_channels:
        raise GeometryError(
            f"{name} holds {n_channels} channels, so there is no number {channel + 1}; correct the list of channels."
        )
    n_voxels = int(np.prod(shape[:3], dtype=np.int64))
    for _ in chunks(stream, channel * n_voxels * dtype.itemsize, dtype.itemsize, name):
        pass
    return n_voxels


def _write_finite(stream: gzip.GzipFile, piece: bytes, dtype: np.dtype) -> int:
    """Write voxels, NaN and infinite ones as 0; give their number."""
    if dtype.kind != "f":
        stream.write(piece)
        return 0
    values = np.frombuffer(piece, dtype)
    bad = ~np.isfinite(values)
    n_bad = int(np.count_nonzero(bad))
    stream.write(np.where(bad, dtype.type(0), values).astype(dtype).tobytes() if n_bad else piece)
    return n_bad


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """Give the signature and the chunks that hold pixels: length (4), name (4), content, checksum (4)."""
    yield data[:8]
    at = 8
    name = b""
    while at + 12 <= len(data) and name != b"IEND":
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if name in PNG_KEPT:
            yield data[at:end]
        at = end
    if name != b"IEND" or at > len(data):
        raise UnreadableFile("The picture ends before its last chunk; copy or export it again.")


def _jpeg_segments(data: bytes) -> Iterator[bytes]:
    """Give the segments up to the first scan without text: marker (2), length (2), content; then all the rest."""
    yield data[:2]
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0xDA:  # start of scan: entropy-coded data follows to the end
            yield data[at:]
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker not in JPEG_DROPPED:
            yield data[at:end]
        at = end
    raise UnreadableFile("The picture ends before its first scan; copy or export it again.")
