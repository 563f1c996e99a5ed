"""One sentence for whatever goes wrong while a file is read or written.

Parsers meet bytes that their authors never thought of. :func:`reading` lets no other exception than a
``WorkbenchError`` out of a reader; the parser's own exception stays attached as the cause, for the log, and its text
is not shown because it may quote the header of a patient's image.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.errors import FileError, TooLarge, UnreadableFile, WorkbenchError
from workbench.imaging.limits import in_words, max_bytes

NonFinite = Literal["refuse", "zero"]

# What a file's first bytes give away, for the sentence when the name says something else.
SIGNATURES = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"PK\x03\x04", "a zip archive"),
    (b"NRRD", "an NRRD image"),
    (b"ObjectType", "a MetaImage"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\x1f\x8b", "a gzip file"),
    (b"%PDF", "a PDF document"),
    (b"<", "a web page or XML"),
)


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn every exception inside into one sentence about ``path``, which was read as ``kind`` ("a NIfTI image").

    Raises:
        FileError: absent, not permitted, a folder.
        TooLarge: memory ran out.
        UnreadableFile: anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a parser's warning may quote the header
            yield
    except WorkbenchError:
        raise
    except FileNotFoundError as error:
        raise FileError(f"There is no file {path.name} in {path.parent}; check the name.") from error
    except PermissionError as error:
        raise FileError(
            f"{path.name} may not be read (permission denied); give yourself the right to read it."
        ) from error
    except IsADirectoryError as error:
        raise FileError(f"{path.name} is a folder, but {kind} was expected; choose a file in it.") from error
    except MemoryError as error:
        raise TooLarge(
            f"There is not enough memory to read {path.name}; crop it, resample it, or close other programs."
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # parsers raise OSError too, without a number
            raise FileError(
                f"{path.name} could not be read ({error.strerror}); check the disk and the name."
            ) from error
        raise UnreadableFile(
            f"{path.name} was expected to be {kind}, but it is damaged or truncated and cannot be decoded; copy or "
            "export it again."
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a partial path to write to; it takes the name ``path`` when all went well and vanishes otherwise.

    Raises:
        FileError: the disk is full, the folder cannot be written, the name is a folder.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or "the system refused"
        raise FileError(
            f"{path.name} could not be written to {path.parent} ({reason}); choose a folder with space that you may "
            "write to."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Give a partial folder beside ``target`` that takes its name when all went well and vanishes otherwise.

    Raises:
        FileError: it cannot be written there.
    """
    partial: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        partial.chmod(0o755)
        yield partial
        partial.rename(target)
    except OSError as error:
        reason = error.strerror or "the system refused"
        raise FileError(
            f"{target.name} could not be written to {target.parent} ({reason}); choose a folder with space that you "
            "may write to."
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def check_file(path: Path, kind: str) -> None:
    """Check at the door that ``path`` is a file with something in it.

    Raises:
        FileError: absent, a folder or a device.
        UnreadableFile: it is empty.
    """
    with reading(path, kind):
        mode = path.stat()
    if stat.S_ISDIR(mode.st_mode):
        raise FileError(f"{path.name} is a folder, but {kind} was expected; choose a file in it.")
    if not stat.S_ISREG(mode.st_mode):
        raise FileError(f"{path.name} is not a file, but {kind} was expected; choose a file.")
    if mode.st_size == 0:
        raise UnreadableFile(f"{path.name} is empty (0 bytes), but {kind} was expected; copy or export it again.")


def content_of(head: bytes) -> str:
    """Say what a file's first bytes are those of: ``"a PNG picture"``, or ``"something unknown"``."""
    if head[128:132] == b"DICM":
        return "a DICOM image"
    return next((words for magic, words in SIGNATURES if head.startswith(magic)), "something unknown")


def finite(data: np.ndarray, name: str, policy: NonFinite) -> np.ndarray:
    """Give voxels that are all numbers; those that are not are refused, or set to 0 in place.

    Args:
        data: float32, any shape; changed in place under ``"zero"``.
        name: the file's name, for the sentence.
        policy: ``"refuse"`` raises; ``"zero"`` replaces, unless every voxel is affected.

    Raises:
        UnreadableFile: with the count and share of such voxels.
    """
    # The sum is finite in the common case and costs no array; only otherwise are the voxels counted.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(data.sum(dtype=np.float64)):
            return data
    good = np.isfinite(data)
    n_bad = int(data.size - np.count_nonzero(good))
    if n_bad == 0 or (policy == "zero" and n_bad < data.size):
        np.copyto(data, 0, where=~good)
        return data
    if n_bad == data.size:
        raise UnreadableFile(
            f"None of the {data.size} voxels of {name} is a number (NaN or infinite); export the image again."
        )
    raise UnreadableFile(
        f"{n_bad} of {data.size} voxels of {name} ({100 * n_bad / data.size:.2g} %) are not numbers (NaN or infinite); "
        "replace them, or import the image, which sets them to 0 and notes it."
    )


def check_size(path: Path) -> None:
    """Check that a file which must be decoded as a whole is not larger than the limit.

    Raises:
        TooLarge: it is.
    """
    size = path.stat().st_size
    if size > max_bytes():
        raise TooLarge(
            f"{path.name} has {in_words(size)}, but at most {in_words(max_bytes())} are read; raise "
            "WORKBENCH_MAX_BYTES."
        )
