"""Small DICOM series for tests, with a made-up patient in the header."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SECRETS = ("Doe^Jane", "ID-12345", "19700101", "Dr. House", "General Hospital", "private note")


def slice_dataset(pixels: np.ndarray, position: Sequence[float], **changes: object) -> FileDataset:
    """Make one CT slice of int16 ``pixels`` (rows, columns)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.PatientName, data.PatientID, data.PatientBirthDate = SECRETS[:3]
    data.ReferringPhysicianName, data.InstitutionName = SECRETS[3:5]
    data.add_new((0x0009, 0x0010), "LO", "ACME")
    data.add_new((0x0009, 0x1001), "LO", SECRETS[5])
    data.Modality, data.SOPClassUID, data.SOPInstanceUID = "CT", CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.StudyInstanceUID = "1.2.3.4", "1.2.3"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.PixelSpacing, data.SliceThickness, data.KVP = [2.0, 3.0], 5.0, 120
    data.ImageOrientationPatient, data.ImagePositionPatient = list(AXIAL), [float(p) for p in position]
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = pixels.astype("<i2").tobytes()
    for name, value in changes.items():
        setattr(data, name, value)
    return data


def write_series(
    folder: Path, stack: np.ndarray, heights: Sequence[float], prefix: str = "s", **changes: object
) -> list[Path]:
    """Write axial slices ``stack`` (n, rows, columns) at ``heights`` (mm); their names do not tell the order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, (pixels, z) in enumerate(zip(stack, heights, strict=True)):
        path = folder / f"{prefix}{(7 * index) % 11:02d}_{index}.dcm"
        slice_dataset(pixels, (-10.0, -20.0, z), **changes).save_as(path)
        paths.append(path)
    return paths


def multi_frame(stack: np.ndarray, heights: Sequence[float]) -> FileDataset:
    """Make one enhanced file with a slope of its own for each frame."""
    data = slice_dataset(stack[0], (0, 0, 0), NumberOfFrames=len(stack))
    del data.ImagePositionPatient, data.ImageOrientationPatient, data.PixelSpacing
    plane, measures = Dataset(), Dataset()
    plane.ImageOrientationPatient, measures.PixelSpacing = list(AXIAL), [2.0, 3.0]
    shared = Dataset()
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for index, z in enumerate(heights):
        place, values, frame = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [-10.0, -20.0, float(z)]
        values.RescaleSlope, values.RescaleIntercept = index + 1, 0
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [values]
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    data.PixelData = stack.astype("<i2").tobytes()
    return data
