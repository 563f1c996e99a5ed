"""DICOM: a series of files, or one file with one or many frames, as a Volume.

Slices are sorted by their position along the normal of the image plane, never by file name or instance number.
Positions are LPS in the file and RAS here. Each slice is rescaled by its own slope and intercept (CT becomes HU).
What does not make a lattice is refused with a sentence, because filling a gap would invent anatomy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.errors import FileError, GeometryError, TooLarge, UnreadableFile
from workbench.imaging.dicom_header import DicomFacts, Header, read_header
from workbench.imaging.dicom_lattice import heights_of, lattice
from workbench.imaging.dicom_pixels import read_pixels
from workbench.imaging.guard import NonFinite, finite, reading
from workbench.imaging.limits import MAX_FILES, check_header, times
from workbench.imaging.orientation import place
from workbench.imaging.volume import Volume

SUFFIXES = (".dcm", ".ima")
FILMS = ("US", "XA", "RF", "ES", "IVUS", "OT", "SC")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class SeriesFacts:
    """One series of a folder.

    Attributes:
        series: token by which :func:`read_dicom` finds it; valid in this process.
        study, patient: tokens that are equal for equal studies and patients in this process, and tell nothing.
        modality: DICOM's code, or ``"?"``.
        n_slices: frames of all its files.
        shape: (columns, rows, slices).
        spacing_mm: between columns, rows and slices.
        facts: what else the header may tell.
        files: in the folder's order.
    """

    series: str
    study: str
    patient: str
    modality: str
    n_slices: int
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    facts: DicomFacts
    files: tuple[Path, ...]


def list_series(folder: Path | str) -> list[SeriesFacts]:
    """List the image series in a folder and its subfolders, by their headers.

    Raises:
        FileError: no such folder, too many files, or a DICOM file that is damaged.
    """
    return [_describe(headers) for headers in _by_series(_image_files(Path(folder))).values()]


def read_dicom_facts(path: Path | str | Sequence[Path], *, series: str | None = None) -> DicomFacts:
    """Read what may be known of one series; see :class:`DicomFacts`. Arguments as :func:`read_dicom`."""
    return _choose(path, series)[0].facts


def read_dicom(
    path: Path | str | Sequence[Path],
    modality: str = "image",
    *,
    series: str | None = None,
    non_finite: NonFinite = "refuse",
) -> Volume:
    """Read one series in RAS+ order.

    Args:
        path: a folder (with its subfolders), one file, or the files of a series.
        modality: the name that the Volume carries.
        series: token from :func:`list_series`; needed when there are several.
        non_finite: refuse NaN and infinite voxels, or set them to 0.

    Raises:
        FileError: no image, several series, damaged, an encoding that is not known, too large.
        GeometryError: a missing slice, uneven gaps, several slices at one place, mixed planes or sizes.
    """
    headers = _choose(path, series)
    name = headers[0].path.name if len(headers) == 1 else headers[0].path.parent.name
    shape = _common_shape(headers, name)
    placed = [(header, index) for header in headers for index in range(len(header.frames))]
    check_header([*shape, len(placed), headers[0].n_samples], 4, name)
    if any(h.frames[i].position is None or h.frames[i].orientation is None for h, i in placed):
        return _film(headers, modality, name, non_finite)
    order, affine = lattice([h.frames[i] for h, i in placed], headers[0].thickness_mm, name)
    ranks = np.argsort(order)
    array = np.empty((headers[0].n_samples, *shape, len(placed)), np.float32)  # (C, I, J, K)
    start = 0
    for header in headers:
        pixels = read_pixels(header)  # (frames, J, I, C)
        for frame in pixels:
            array[..., ranks[start]] = frame.transpose(2, 1, 0)
            start += 1
    return place(finite(array, name, non_finite), LPS_TO_RAS @ affine, modality, name)


def _image_files(folder: Path) -> list[Path]:
    """List the files that say they are DICOM, by magic or by ending, in a fixed order."""
    if not folder.is_dir():
        raise FileError(f"There is no folder {folder.name} in {folder.parent}; check the name.")
    files: list[Path] = []
    with reading(folder, "a folder of DICOM images"):
        for parent, folders, names in os.walk(folder):
            folders.sort()
            files += [Path(parent) / n for n in sorted(names) if n != "DICOMDIR" and not n.startswith(".")]
            if len(files) > MAX_FILES:
                raise TooLarge(f"{folder.name} holds more than {MAX_FILES} files; choose the folder of one study.")
        return [file for file in files if file.is_file() and _is_dicom(file)]


def _is_dicom(path: Path) -> bool:
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _by_series(files: Sequence[Path]) -> dict[str, list[Header]]:
    found: dict[str, list[Header]] = {}
    for file in files:
        header = read_header(file)
        if header is not None:
            found.setdefault(header.series, []).append(header)
    return found


def _choose(path: Path | str | Sequence[Path], series: str | None) -> list[Header]:
    """Give the headers of the one series that is meant."""
    if isinstance(path, (str, Path)):
        root = Path(path)
        name, files = root.name, _image_files(root) if root.is_dir() else [root]
    else:
        files = list(path)
        name = files[0].parent.name if files else "The list of files"
    found = _by_series(files)
    if not found:
        raise UnreadableFile(
            f"{name} holds no DICOM image (only reports, contours or other files); expected image slices."
        )
    if series is None and len(found) > 1:
        listing = "; ".join(_sentence(_describe(h)) for h in list(found.values())[:5])
        raise FileError(
            f"{name} holds {len(found)} series ({listing}); choose one, or put each in a folder of its own."
        )
    if series is not None and series not in found:
        raise FileError(f"{name} has no series {series}; it has {', '.join(found)}.")
    return found[series] if series else next(iter(found.values()))


def _describe(headers: list[Header]) -> SeriesFacts:
    first = headers[0]
    frames = [frame for header in headers for frame in header.frames]
    step = first.thickness_mm
    if len(frames) > 1 and all(f.position is not None and f.orientation is not None for f in frames):
        gaps = np.diff(np.unique(np.round(heights_of(frames), 4)))
        step = float(np.median(gaps)) if len(gaps) else step
    spacing = (*frames[0].spacing, step)
    shape = (*first.shape, len(frames))
    modality = first.facts.modality or "?"
    files = tuple(header.path for header in headers)
    return SeriesFacts(
        first.series, first.study, first.patient, modality, len(frames), shape, spacing, first.facts, files
    )


def _sentence(series: SeriesFacts) -> str:
    spacing = " × ".join(f"{s:.3g}" for s in series.spacing_mm)
    return f"{series.series}: {series.modality}, {times(series.shape)} voxels of {spacing} mm"


def _common_shape(headers: list[Header], name: str) -> tuple[int, int]:
    shapes = sorted({header.shape for header in headers})
    if len(shapes) > 1 or len({header.n_samples for header in headers}) > 1:
        some = ", ".join(times(s) for s in shapes[:4])
        raise GeometryError(
            f"The slices of {name} differ in size or channels ({some} pixels); keep those of one size, without "
            "localizers."
        )
    return shapes[0]


def _film(headers: list[Header], modality: str, name: str, non_finite: NonFinite) -> Volume:
    """Place frames without a position as a picture: rows downwards; several frames are channels."""
    header, n_frames = headers[0], len(headers[0].frames)
    if len(headers) > 1:
        raise GeometryError(
            f"The {len(headers)} images of {name} have no position in space; read them one file at a time."
        )
    if n_frames > 1 and (header.n_samples > 1 or header.facts.modality not in FILMS):
        raise GeometryError(
            f"The {n_frames} frames of {name} have no position in space and are no gray film; export the volume with "
            "positions, or single frames."
        )
    pixels = read_pixels(header)
    array = pixels[0].transpose(2, 1, 0) if n_frames == 1 else pixels[..., 0].transpose(0, 2, 1)  # (C, I, J)
    affine = np.diag([*header.frames[0].spacing, header.thickness_mm, 1.0])
    return place(finite(np.ascontiguousarray(array[..., None]), name, non_finite), affine, modality, name)
