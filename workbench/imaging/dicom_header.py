"""What is taken from a DICOM header, and nothing else.

A DICOM header names the patient, the physician and the day. Only the elements in ``FACTS`` leave this file, as a
:class:`DicomFacts`; the elements in ``GEOMETRY`` place the slices and are forgotten; identifiers become tokens made
with a salt that is new in every process, so that equal patients can be told to be equal and no more. Other elements
are not even parsed. Text burned into the pixels cannot be seen from a header: ``DicomFacts.warnings`` says when
to look.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import TooLarge, UnreadableFile
from workbench.imaging.guard import check_file, reading
from workbench.imaging.limits import MAX_DEFLATE_RATIO, check_header, in_words, max_bytes

if TYPE_CHECKING:
    from pydicom import Dataset

# The allow-list: DICOM keyword → field of DicomFacts. Physics and coded words only; no free text that a person types.
FACTS = {
    "Modality": "modality",
    "BodyPartExamined": "body_part",
    "Manufacturer": "manufacturer",
    "ManufacturerModelName": "model",
    "PhotometricInterpretation": "photometric",
    "BurnedInAnnotation": "burned_in",
    "ConvolutionKernel": "kernel",
    "Units": "units",
    "SliceThickness": "slice_thickness_mm",
    "PixelSpacing": "pixel_spacing_mm",
    "KVP": "kvp",
    "MagneticFieldStrength": "field_strength_t",
    "RepetitionTime": "repetition_time_ms",
    "EchoTime": "echo_time_ms",
    "InversionTime": "inversion_time_ms",
    "FlipAngle": "flip_angle_deg",
}
N_WORDS = 8  # the first of FACTS are words, the others numbers
GEOMETRY = (
    "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "BitsAllocated", "ImagePositionPatient", "ImageOrientationPatient", "ImagerPixelSpacing", "SpacingBetweenSlices",
    "RescaleSlope", "RescaleIntercept", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
OFTEN_BURNED_IN = ("US", "XA", "RF", "MG", "SC", "OT", "ES")
DEFLATED = "1.2.840.10008.1.2.1.99"
MAX_FRAMES = 100_000
SALT = os.urandom(16)


@dataclass(frozen=True)
class DicomFacts:
    """What may be known of a series; None where its header does not say.

    Attributes:
        modality: DICOM's code: CT, MR, PT, US, …
        body_part: DICOM's code: CHEST, …
        manufacturer, model: of the scanner.
        photometric: MONOCHROME2, MONOCHROME1 (low values are drawn bright), RGB, …
        burned_in: YES or NO: whether text is burned into the pixels.
        kernel: of CT reconstruction.
        units: of PET voxels.
        slice_thickness_mm: thickness, which is not the distance between slices.
        pixel_spacing_mm: (between rows, between columns).
        kvp: tube voltage in kV.
        field_strength_t: in tesla.
        repetition_time_ms, echo_time_ms, inversion_time_ms, flip_angle_deg: of the MR sequence.
    """

    modality: str | None = None
    body_part: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    photometric: str | None = None
    burned_in: str | None = None
    kernel: str | None = None
    units: str | None = None
    slice_thickness_mm: float | None = None
    pixel_spacing_mm: tuple[float, float] | None = None
    kvp: float | None = None
    field_strength_t: float | None = None
    repetition_time_ms: float | None = None
    echo_time_ms: float | None = None
    inversion_time_ms: float | None = None
    flip_angle_deg: float | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences to show before the images are shared."""
        if self.burned_in == "YES":
            return (
                "The header says that text is burned into the pixels; it may name the patient. Look before sharing.",
            )
        if self.burned_in != "NO" and self.modality in OFTEN_BURNED_IN:
            return (
                f"{self.modality} images often have text burned into the pixels, which may name the patient; look "
                "before sharing.",
            )
        return ()


@dataclass(frozen=True)
class Frame:
    """One slice of a file: where it lies and how its numbers become values.

    Attributes:
        position: (3,) mm LPS, centre of the first pixel; None where the header does not say.
        orientation: (2, 3) unit vectors LPS: along a row, along a column; None likewise.
        spacing: mm between columns (X) and between rows (Y).
        slope, intercept: value = slope · stored + intercept.
    """

    position: np.ndarray | None
    orientation: np.ndarray | None
    spacing: tuple[float, float]
    slope: float
    intercept: float


@dataclass(frozen=True)
class Header:
    """One image file.

    Attributes:
        path: the file.
        series, study, patient: tokens; equal within this process for equal identifiers.
        facts: the allow-list.
        shape: (columns, rows).
        n_samples: 1, or 3 of a color image.
        frames: one or more.
        thickness_mm: the distance to assume for a single slice.
    """

    path: Path
    series: str
    study: str
    patient: str
    facts: DicomFacts
    shape: tuple[int, int]
    n_samples: int
    frames: tuple[Frame, ...]
    thickness_mm: float


def read_header(path: Path) -> Header | None:
    """Read what is needed of one file, without its pixels; None if it is DICOM but no image (a report, a contour).

    Raises:
        FileError: absent, damaged, or larger than the limits.
    """
    dataset = load(path, [*FACTS, *GEOMETRY], stop_before_pixels=True)
    with reading(path, "a DICOM image"):
        if not dataset.get("Rows") or not dataset.get("Columns"):
            return None
        facts = _facts(dataset)
        n_frames, n_samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.get("SamplesPerPixel") or 1)
        n_samples = 3 if facts.photometric == "PALETTE COLOR" else n_samples
        columns, rows = int(dataset["Columns"].value), int(dataset["Rows"].value)
        check_header([columns, rows, n_frames, n_samples], int(dataset.get("BitsAllocated") or 16) // 8, path.name)
        if n_frames > MAX_FRAMES:
            raise TooLarge(f"{path.name} declares {n_frames} frames; at most {MAX_FRAMES} are read. Divide it.")
        series, study, patient = (
            _token(dataset.get(k)) for k in ("SeriesInstanceUID", "StudyInstanceUID", "PatientID")
        )
        thickness = _number(dataset, "SpacingBetweenSlices") or facts.slice_thickness_mm or 1.0
        frames = _frames(dataset, n_frames, path.name)
        return Header(path, series, study, patient, facts, (columns, rows), n_samples, frames, abs(thickness))


def load(path: Path, keywords: list[str], stop_before_pixels: bool = False) -> Dataset:
    """Read chosen elements of a file; the others are skipped, not parsed.

    Raises:
        FileError: absent, not DICOM, damaged, or deflated and possibly larger than the limits.
    """
    import pydicom

    check_file(path, "a DICOM image")
    with reading(path, "a DICOM image"):
        with path.open("rb") as stream:
            head = stream.read(132)
        has_magic = head[128:] == b"DICM"
        if path.stat().st_size * MAX_DEFLATE_RATIO > max_bytes():
            _check_deflated(path, has_magic, head)
        return pydicom.dcmread(path, None, stop_before_pixels, not has_magic, keywords)


def _check_deflated(path: Path, has_magic: bool, head: bytes) -> None:
    """pydicom inflates a deflated file at once and without bound, so only small ones are let through."""
    from pydicom.filereader import read_file_meta_info

    if read_file_meta_info(path).get("TransferSyntaxUID") == DEFLATED if has_magic else head[:2] == b"\x02\0":
        raise TooLarge(
            f"{path.name} is a deflated DICOM file of {in_words(path.stat().st_size)}, which may unpack to more than "
            f"{in_words(max_bytes())}; export it uncompressed."
        )


def _frames(dataset: Dataset, n_frames: int, name: str) -> tuple[Frame, ...]:
    shared, each = dataset.get("SharedFunctionalGroupsSequence"), dataset.get("PerFrameFunctionalGroupsSequence")
    if not each:
        frame = _frame([*(shared or [])[:1], dataset])
        if n_frames == 1:
            return (frame,)
        # Frames without places of their own: a film.
        return (Frame(None, None, frame.spacing, frame.slope, frame.intercept),) * n_frames
    if len(each) != n_frames:
        raise UnreadableFile(f"{name} declares {n_frames} frames but describes {len(each)}; export it again.")
    return tuple(_frame([item, *(shared or [])[:1], dataset]) for item in each)


def _frame(sources: list[Dataset]) -> Frame:
    """Take each element from the first source that has it: the frame, what all frames share, the file."""
    position = _find(sources, "PlanePositionSequence", "ImagePositionPatient", 3)
    orientation = _find(sources, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = _find(sources, "PixelMeasuresSequence", "PixelSpacing", 2)
    if spacing is None:
        spacing = _find(sources, "PixelMeasuresSequence", "ImagerPixelSpacing", 2)
    slope = _find(sources, "PixelValueTransformationSequence", "RescaleSlope", 1)
    intercept = _find(sources, "PixelValueTransformationSequence", "RescaleIntercept", 1)
    return Frame(
        position,
        None if orientation is None else orientation.reshape(2, 3),
        (1.0, 1.0) if spacing is None or not spacing.min() > 0 else (float(spacing[1]), float(spacing[0])),
        1.0 if slope is None else float(slope[0]),
        0.0 if intercept is None else float(intercept[0]),
    )


def _find(sources: list[Dataset], group: str, keyword: str, n_values: int) -> np.ndarray | None:
    for source in sources:
        value = source.get(keyword)
        if value is None and source.get(group):
            value = source.get(group)[0].get(keyword)
        if value is not None and value != "":
            return np.array(value, float).reshape(n_values)
    return None


def _facts(dataset: Dataset) -> DicomFacts:
    words: dict[str, Any] = {field: _word(dataset, keyword) for keyword, field in list(FACTS.items())[:N_WORDS]}
    numbers: dict[str, Any] = {field: _number(dataset, keyword) for keyword, field in list(FACTS.items())[N_WORDS:]}
    spacing = dataset.get("PixelSpacing")
    numbers["pixel_spacing_mm"] = (
        (float(spacing[0]), float(spacing[1])) if spacing is not None and len(spacing) == 2 else None
    )
    return DicomFacts(**words, **numbers)


def _word(dataset: Dataset, keyword: str) -> str | None:
    value = dataset.get(keyword)
    text = "" if value is None else str(value[0] if isinstance(value, (list, tuple)) and value else value)
    return "".join(c for c in text if c.isprintable())[:64].strip() or None


def _number(dataset: Dataset, keyword: str) -> float | None:
    """A fact is not worth a refusal: what is no number is left out."""
    try:
        value = float(dataset.get(keyword))
    except (TypeError, ValueError, ArithmeticError):
        return None
    return value if np.isfinite(value) else None


def _token(identifier: Any) -> str:
    return hashlib.sha256(SALT + str(identifier or "").encode("utf-8", "replace")).hexdigest()[:12]
