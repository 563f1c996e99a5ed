"""The pixels of one DICOM file as values.

pydicom decodes raw, deflated, RLE, baseline JPEG and JPEG 2000; SimpleITK lossless and 12-bit JPEG and JPEG-LS.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import UnreadableFile
from workbench.imaging.codestream import stream_size
from workbench.imaging.dicom_header import Header, load
from workbench.imaging.guard import check_size, reading
from workbench.imaging.limits import in_words, times

if TYPE_CHECKING:
    from pydicom import Dataset

PIXELS = [
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData", "FloatPixelData",
    "DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
]  # fmt: skip
PIXEL_ELEMENTS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# Blank frames pack far better in JPEG 2000 and JPEG-LS than deflate could.
MAX_CODEC_RATIO = 10_000
STREAMS = "1.2.840.10008.1.2.4."  # JPEG, JPEG-LS, JPEG 2000
JPEG = ("1.2.840.10008.1.2.4.5", "1.2.840.10008.1.2.4.7", "1.2.840.10008.1.2.4.8")  # JPEG, lossless JPEG, JPEG-LS


def read_pixels(header: Header) -> np.ndarray:
    """Decode one file into values (frames, J, I, C) float32."""
    check_size(header.path)
    dataset = load(header.path, PIXELS)
    with reading(header.path, "a DICOM image"):
        _check_declared(dataset, header)
        _check_streams(dataset, header)
        n_frames, (columns, rows) = len(header.frames), header.shape
        pixels = _decode(dataset).reshape(n_frames, rows, columns, -1)
        if pixels.shape[3] != header.n_samples:
            raise ValueError("decoded pixels do not have the declared shape")
        values = np.empty(pixels.shape, np.float32)
        for index, frame in enumerate(header.frames):
            with np.errstate(all="ignore"):
                values[index] = pixels[index].astype(float) * frame.slope + frame.intercept
        return values


def _check_declared(dataset: Dataset, header: Header) -> None:
    """Check that the pixel data can hold what the header declares, before a decoder allocates it."""
    stored = max((len(dataset[k].value or b"") for k in PIXEL_ELEMENTS if k in dataset), default=0)
    declared = header.shape[0] * header.shape[1] * len(header.frames) * header.n_samples
    if declared > stored * MAX_CODEC_RATIO:
        raise UnreadableFile(
            f"{header.path.name} declares {times(header.shape)} pixels and {len(header.frames)} frames but has only "
            f"{in_words(stored)} of pixel data; it is truncated or its header is wrong. Copy or export it again."
        )


def _check_streams(dataset: Dataset, header: Header) -> None:
    """Check that what each compressed frame says of its size is what the header says."""
    from pydicom.encaps import generate_frames

    if not str(dataset.file_meta.get("TransferSyntaxUID", "")).startswith(STREAMS):
        return
    for frame in generate_frames(dataset.PixelData, number_of_frames=len(header.frames)):
        size = stream_size(frame)
        if size != header.shape:
            told = "no size" if size is None else f"{times(size)} pixels"
            raise UnreadableFile(
                f"{header.path.name} declares {times(header.shape)} pixels but the compressed image in it {told}; it "
                "is damaged. Copy or export it again."
            )


def _decode(dataset: Dataset) -> np.ndarray:
    """Give the pixels as stored, colors from palettes looked up."""
    from pydicom.pixels import apply_color_lut, pixel_array
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" not in dataset.file_meta:  # files from before 1996 have no meta header
        is_implicit, is_little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit
    try:
        pixels = pixel_array(dataset)
    except (RuntimeError, NotImplementedError):
        if not str(dataset.file_meta.TransferSyntaxUID).startswith(JPEG):
            raise
        return _decode_by_itk(dataset)
    return apply_color_lut(pixels, dataset) if dataset.get("PhotometricInterpretation") == "PALETTE COLOR" else pixels


def _decode_by_itk(dataset: Dataset) -> np.ndarray:
    """Let SimpleITK decode a copy that holds pixels alone.

    It would apply slope and intercept too, or not, depending on the modality; a copy without them leaves no doubt.
    """
    import SimpleITK as sitk
    from pydicom.uid import UID, SecondaryCaptureImageStorage

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
        path = Path(folder) / "pixels.dcm"
        dataset.save_as(path)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
