"""NIfTI-1 and NIfTI-2, ``.nii`` and ``.nii.gz``, 3-D and 4-D.

The header is parsed by nibabel; the voxels are streamed here, never more than the header declares and never more
than the limits allow. What is written carries no text: ``descrip``, ``aux_file``, ``db_name``, ``intent_name`` and
extensions, where scanners and programs leave names and dates, are blank.
"""

from __future__ import annotations

import gzip
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import numpy as np

from workbench.errors import GeometryError, UnreadableFile
from workbench.imaging.guard import NonFinite, check_file, content_of, finite, reading, writing
from workbench.imaging.limits import check_declared, check_header, chunks, is_gzip, open_stream, times
from workbench.imaging.orientation import check_on_grid, from_ras, place
from workbench.imaging.volume import Grid, Volume

if TYPE_CHECKING:
    import nibabel as nib

MAX_OFFSET = 2**26  # bytes of extensions that are skipped
MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 1e-3}  # xyzt_units: metre, millimetre, micron
SECONDS_PER_UNIT = {8: 1.0, 16: 1e-3, 24: 1e-6}
COLORS = ("R", "G", "B")

LABEL = "label"
"""The modality of label maps."""


@dataclass(frozen=True)
class SeriesGrid(Grid):
    """The lattice of a 4-D file.

    Attributes:
        time_step_s: seconds from one volume to the next.
    """

    time_step_s: float = 1.0


@dataclass(frozen=True)
class Stored:
    """What a NIfTI file holds, in its own order.

    Attributes:
        array: (I, J, K) or with further axes, float32, in memory order of the file (Fortran).
        affine: (4, 4), stored voxel → mm RAS.
        time_step_s: seconds; None where the file gives none.
        name: the file's name.
    """

    array: np.ndarray
    affine: np.ndarray
    time_step_s: float | None
    name: str


def read_nifti(path: Path | str, modality: str = "image", *, non_finite: NonFinite = "refuse") -> Volume:
    """Read an image: 2-D (Z = 1), 3-D, or 4-D (time points become channels), in RAS+ order.

    Args:
        path: the file; whether it is gzipped is told by its content.
        modality: the name that the Volume carries.
        non_finite: refuse NaN and infinite voxels, or set them to 0.

    Raises:
        FileError: absent, empty, truncated, not NIfTI, too large, not finite.
        GeometryError: five axes, or an affine that does not span space.
    """
    stored = read_stored(Path(path))
    array = stored.array
    if array.ndim > 4:
        raise GeometryError(
            f"{stored.name} has {array.ndim} axes ({times(array.shape)}); expected an image with 3, or 4 with time. "
            "If it is a "
            "displacement field, give it where a field is asked for."
        )
    array = np.moveaxis(array, 3, 0) if array.ndim == 4 else array[None]  # (C, I, J, K)
    volume = place(finite(array, stored.name, non_finite), stored.affine, modality, stored.name)
    if volume.n_channels > 1 and stored.time_step_s and volume.grid:
        g = volume.grid
        return replace(volume, grid=SeriesGrid(g.shape, g.affine, g.codes, stored.time_step_s))
    return volume


def write_nifti(
    volume: Volume, path: Path | str, like: Grid | None = None, dtype: Any = None, intent: str | None = None
) -> None:
    """Write a Volume on the lattice it came from; equal voxels give equal bytes.

    The sform and qform are both set. The sform is float32, as NIfTI-1 has it: an affine that was read from an sform
    returns bit by bit, one from a quaternion or another format to 1 part in 10⁷.

    Args:
        path: ends in ``.nii`` or ``.nii.gz``; replaced at once.
        like: the lattice to write on; ``volume.grid`` without it, and RAS+ order when there is none.
        dtype: the stored type; float32 without it. Integers (label maps) must hold every voxel exactly.
        intent: a NIfTI intent such as ``"label"``.

    Raises:
        GeometryError: the Volume does not lie on that lattice.
        FileError: it cannot be written.
        ValueError: ``dtype`` would change the voxels.
    """
    target = Path(path)
    grid = like or volume.grid or Grid(volume.shape, volume.affine, "RAS")
    check_on_grid(volume, grid)
    array = np.moveaxis(from_ras(volume.data, grid), 0, 3)  # (I, J, K, C)
    array = array[..., 0] if volume.n_channels == 1 else array
    step = grid.time_step_s if isinstance(grid, SeriesGrid) else None
    write_array(array, grid.affine, target, dtype=dtype, intent=intent, time_step_s=step)


def write_result(volume: Volume, path: Path | str) -> None:
    """Write a Volume as :func:`write_nifti`; one of the modality ``label`` as integers."""
    if volume.modality == LABEL:
        write_nifti(volume, path, dtype=np.int32, intent=LABEL)
    else:
        write_nifti(volume, path)


def nifti_bytes(volume: Volume) -> bytes:
    """Give a Volume as the bytes of a .nii.gz file; where it has no number it gets its lowest one."""
    finite = np.isfinite(volume.data)
    lowest = volume.data[finite].min() if finite.any() else 0.0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "image.nii.gz"
        write_result(volume.with_data(np.where(finite, volume.data, lowest)), file)
        return file.read_bytes()


def read_stored(path: Path) -> Stored:
    """Read a file as it is stored, without turning it; the raw material of images and fields.

    Raises:
        FileError: absent, empty, truncated, not NIfTI, or too large.
    """
    check_file(path, "a NIfTI image")
    with reading(path, "a NIfTI image"), open_stream(path) as stream:
        header, consumed = _read_header(stream, path)
        shape = _shape(header, path.name)
        dtype = header.get_data_dtype()
        if dtype.kind == "c" or dtype.itemsize > 8:
            raise UnreadableFile(
                f"{path.name} stores voxels as {dtype}, which is not read; export it as integers or float32 (of "
                "complex images: the magnitude)."
            )
        n_voxels = math.prod(shape)
        check_header([*shape, 3] if dtype.fields else shape, dtype.itemsize, path.name)
        check_declared(n_voxels * dtype.itemsize, path, is_gzip(path))
        _skip(stream, _offset(header, path.name) - consumed, path.name)
        flat = _voxels(stream, n_voxels, dtype, _scaling(header), path.name)
        array = flat.reshape(*shape, -1, order="F") if dtype.fields else flat.reshape(shape, order="F")
        unit = int(header["xyzt_units"])
        affine = np.asarray(header.get_best_affine(), float)
        affine[:3] *= MM_PER_UNIT.get(unit & 7, 1.0)
        return Stored(array, affine, _time_step(header, unit), path.name)


def write_array(
    array: np.ndarray,
    affine: np.ndarray,
    path: Path,
    *,
    dtype: Any = None,
    intent: str | None = None,
    time_step_s: float | None = None,
) -> None:
    """Write an array (I, J, K, …) in stored order with its affine; see :func:`write_nifti`."""
    kind = np.dtype(np.float32 if dtype is None else dtype).newbyteorder("<")
    if kind.kind in "iu" and array.size:
        limits = np.iinfo(kind)
        if array.min() < limits.min or array.max() > limits.max or not np.array_equal(array, np.rint(array)):
            raise ValueError(
                f"voxels {array.min():g} to {array.max():g} do not fit {kind.name} exactly; choose another dtype"
            )
    header = _new_header(array.shape, affine, kind, path.name)
    if intent:
        header.set_intent(intent, name="", allow_unknown=True)
    if time_step_s is not None and array.ndim > 3:
        header["pixdim"][4] = time_step_s
    with writing(path) as partial, partial.open("wb") as file, _packed(file, path) as stream:
        stream.write(header.binaryblock + bytes(4))
        for piece in _slabs(array):
            stream.write(piece.astype(kind).tobytes(order="F"))


def _read_header(stream: BinaryIO, path: Path) -> tuple[nib.Nifti1Header, int]:
    """Give the header and the bytes consumed; nothing but the two fixed headers is accepted."""
    import nibabel as nib

    head = stream.read(348)
    size = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    if len(head) == 348 and 348 in size and head[344:348] == b"n+1\0":
        return nib.Nifti1Header(head, check=False), 348
    if len(head) == 348 and 540 in size and head[4:8] == b"n+2\0":
        return nib.Nifti2Header(head + stream.read(192), check=False), 540
    if head[344:347] == b"ni1":
        raise UnreadableFile(
            f"{path.name} is the header of a .hdr/.img pair; convert the pair to one .nii.gz file first."
        )
    raise UnreadableFile(
        f"{path.name} was expected to be a NIfTI image, but its first bytes are those of {content_of(head)}; give "
        "the image under its own ending."
    )


def _shape(header: nib.Nifti1Header, name: str) -> tuple[int, ...]:
    n_axes = int(header["dim"][0])
    if not 1 <= n_axes <= 7:
        raise UnreadableFile(f"{name} declares {n_axes} axes; a NIfTI image has 1 to 7. Export it again.")
    shape = [int(n) for n in header.get_data_shape()]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    return tuple(shape + [1] * (3 - len(shape)))


def _offset(header: nib.Nifti1Header, name: str) -> int:
    """Where the voxels begin; 0 stands for the smallest allowed."""
    least = 352 if header["sizeof_hdr"] == 348 else 544
    offset = float(header["vox_offset"])
    if not (offset == 0 or least <= offset <= MAX_OFFSET):
        raise UnreadableFile(
            f"{name} says that its voxels begin at byte {offset:g}; expected {least} to {MAX_OFFSET}. Export it again."
        )
    return int(offset) or least


def _skip(stream: BinaryIO, n_bytes: int, name: str) -> None:
    for _ in chunks(stream, n_bytes, 1, name):
        pass


def _scaling(header: nib.Nifti1Header) -> tuple[float, float]:
    slope, intercept = header.get_slope_inter()
    return (1.0, 0.0) if slope is None else (float(slope), float(intercept))


def _time_step(header: nib.Nifti1Header, unit: int) -> float | None:
    step = float(header["pixdim"][4]) * SECONDS_PER_UNIT.get(unit & 56, 1.0)
    return step if np.isfinite(step) and step > 0 else None


def _voxels(stream: BinaryIO, n_voxels: int, dtype: np.dtype, scaling: tuple[float, float], name: str) -> np.ndarray:
    """Stream the voxels into float32 (n,), or (3 n,) of a colour image, scaled in float64."""
    slope, intercept = scaling
    n_values = 3 if dtype.fields else 1
    flat = np.empty((n_values, n_voxels), np.float32)
    done = 0
    for piece in chunks(stream, n_voxels * dtype.itemsize, dtype.itemsize, name):
        values = np.frombuffer(piece, dtype)
        for row, color in zip(flat, COLORS, strict=False):
            part = values[color] if dtype.fields else values
            with np.errstate(all="ignore"):
                row[done : done + len(part)] = (
                    part if (slope, intercept) == (1, 0) else part.astype(float) * slope + intercept
                )
        done += len(values)
    stream.read(2**16)  # reaching the end makes gzip compare its checksum
    return flat.reshape(-1)


def _new_header(shape: tuple[int, ...], affine: np.ndarray, dtype: np.dtype, name: str) -> nib.Nifti1Header:
    import nibabel as nib

    if max(shape) > 32767:
        raise GeometryError(
            f"{name} would have {times(shape)} voxels; NIfTI holds at most 32767 along an axis. Crop it first."
        )
    header = nib.Nifti1Header(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header.set_xyzt_units("mm", "sec")
    header.set_qform(affine, code=1)
    header.set_sform(affine, code=1)
    header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    return header


def _packed(file: IO[bytes], path: Path) -> IO[bytes]:
    """Compress where the name asks for it; no name and no time in the gzip header, so equal data gives equal bytes."""
    if path.name.lower().endswith(".gz"):
        return gzip.GzipFile(filename="", mode="wb", compresslevel=5, fileobj=file, mtime=0)  # type: ignore[return-value]
    return file


def _slabs(array: np.ndarray) -> Iterator[np.ndarray]:
    """Cut (I, J, K, …) into slabs along the slowest axes, so that only one is copied at a time."""
    if array.ndim > 3:
        for t in range(array.shape[-1]):
            yield from _slabs(array[..., t])
    else:
        for k in range(array.shape[2]):
            yield array[:, :, k]
