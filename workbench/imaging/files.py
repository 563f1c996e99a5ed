"""Any image file by name: one reader and one writer for all formats."""

from __future__ import annotations

import tempfile
from pathlib import Path

from workbench.errors import FileError, GeometryError, UnreadableFile
from workbench.imaging.archive import unpack
from workbench.imaging.dicom import read_dicom
from workbench.imaging.guard import NonFinite, check_file, content_of, reading
from workbench.imaging.nifti import read_nifti, write_nifti
from workbench.imaging.nrrd import NRRD_SUFFIXES, read_nrrd
from workbench.imaging.pictures import PICTURE_SUFFIXES, read_picture, write_picture
from workbench.imaging.volume import Volume

NIFTI_SUFFIXES = (".nii", ".nii.gz")
DICOM_SUFFIXES = (".dcm", ".ima", ".zip")
IMAGE_SUFFIXES = (*NIFTI_SUFFIXES, *DICOM_SUFFIXES, *NRRD_SUFFIXES, *PICTURE_SUFFIXES)
# In a picture with a palette, the voxels of these are the palette's indices and not its colors.
LABELS = ("label", "label map", "labels", "mask")


def is_image(path: Path | str) -> bool:
    """Say whether a file is an image that :func:`read_volume` knows, by its name alone."""
    return suffix_of(Path(path)) in IMAGE_SUFFIXES


def suffix_of(path: Path) -> str:
    """Give the ending that tells the format, in lower case: ``".nii.gz"``, ``".png"``; ``""`` when none is known."""
    name = path.name.lower()
    return max((s for s in IMAGE_SUFFIXES if name.endswith(s)), key=len, default="")


def read_volume(path: Path | str, modality: str = "image", *, non_finite: NonFinite = "refuse") -> Volume:
    """Read an image of any known format in RAS+ order.

    Args:
        path: NIfTI, DICOM (a folder, a zip or one file), NRRD, MetaImage, PNG, JPEG or TIFF. A folder or a zip must
            hold one DICOM series; :func:`workbench.imaging.dicom.list_series` tells several apart.
        modality: the name that the Volume carries; a picture with a palette gives indices for a label map or mask.
        non_finite: refuse NaN and infinite voxels, or set them to 0.

    Raises:
        FileError: absent, empty, truncated, unknown, unsafe or too large.
        GeometryError: slices or affine that make no lattice.
    """
    file = Path(path)
    with reading(file, "an image"):
        suffix = ".dcm" if file.is_dir() else suffix_of(file) or _suffix_of_content(file)
    if suffix in NIFTI_SUFFIXES:
        return read_nifti(file, modality, non_finite=non_finite)
    if suffix in NRRD_SUFFIXES:
        return read_nrrd(file, modality, non_finite=non_finite)
    if suffix in PICTURE_SUFFIXES:
        palette = "indices" if modality in LABELS else "colors"
        return read_picture(file, modality, palette=palette, non_finite=non_finite)  # type: ignore[arg-type]
    if suffix == ".zip":
        with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
            unpack(file, Path(folder) / file.stem)
            return read_dicom(Path(folder) / file.stem, modality, non_finite=non_finite)
    return read_dicom(file, modality, non_finite=non_finite)


def write_volume(volume: Volume, path: Path | str) -> None:
    """Write ``.nii``, ``.nii.gz``, or, of a single slice, ``.png`` or ``.tif``; on the lattice it came from.

    Raises:
        FileError: another ending, or it cannot be written.
    """
    file = Path(path)
    suffix = suffix_of(file)
    if suffix in NIFTI_SUFFIXES:
        write_nifti(volume, file)
    elif suffix in PICTURE_SUFFIXES:
        write_picture(volume, file)
    else:
        raise FileError(
            f"{file.name} cannot be written: the name should end in .nii.gz, .nii, or for pictures .png or .tif."
        )


def require_3d(volume: Volume, purpose: str) -> Volume:
    """Give the Volume back if it has several slices.

    Args:
        volume: any.
        purpose: what needs it, as the subject of the sentence: ``"Dense SIFT"``.

    Raises:
        GeometryError: it has a single slice.
    """
    if volume.is_picture:
        x, y, _ = volume.shape
        raise GeometryError(
            f"{purpose} needs a 3-D image, but {volume.modality} is a picture of {x} × {y} pixels; choose a volume."
        )
    return volume


def _suffix_of_content(path: Path) -> str:
    """Tell the format of a file with an unknown ending by its first bytes."""
    check_file(path, "an image")
    with reading(path, "an image"), path.open("rb") as stream:
        head = stream.read(348)
    words = content_of(head)
    known = {
        "a PNG picture": ".png", "a JPEG picture": ".jpg", "a TIFF picture": ".tif", "an NRRD image": ".nrrd",
        "a DICOM image": ".dcm", "a zip archive": ".zip", "a MetaImage": ".mha", "a gzip file": ".nii.gz",
    }  # fmt: skip
    if head[344:347] == b"n+1" or head[4:7] == b"n+2":
        return ".nii"
    if words not in known:
        raise UnreadableFile(
            f"{path.name} is not an image of a known format (its first bytes are those of {words}); known endings "
            f"are {', '.join(IMAGE_SUFFIXES)}."
        )
    return known[words]
