"""NRRD (``.nrrd``, ``.nhdr``) and MetaImage (``.mha``, ``.mhd``), read by SimpleITK.

Both may name the file that holds the voxels. A header could so point at any file of the machine; names outside the
header's own folder are refused before SimpleITK sees the header.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import GeometryError, UnreadableFile, UnsafeFile
from workbench.imaging.guard import NonFinite, check_file, check_size, content_of, finite, reading
from workbench.imaging.limits import check_declared, check_header
from workbench.imaging.orientation import place
from workbench.imaging.volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

NRRD_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
MAX_HEADER_BYTES = 2**16
DATA_FILE = re.compile(rb"^\s*(?:data ?file\s*:=?|ElementDataFile\s*[=:])\s*(.*?)\s*$", re.IGNORECASE | re.MULTILINE)
RAW = re.compile(rb"^\s*(?:encoding\s*:\s*raw|BinaryData\s*[=:]\s*T)", re.IGNORECASE | re.MULTILINE)
PACKED = re.compile(rb"^\s*CompressedData\s*[=:]\s*T", re.IGNORECASE | re.MULTILINE)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_nrrd(path: Path | str, modality: str = "image", *, non_finite: NonFinite = "refuse") -> Volume:
    """Read an NRRD or MetaImage in RAS+ order.

    Args:
        path: ``.nrrd`` or ``.mha``, or a header (``.nhdr``, ``.mhd``) with its data file beside it.
        modality: the name that the Volume carries.
        non_finite: refuse NaN and infinite voxels, or set them to 0.

    Raises:
        FileError: absent, empty, truncated, of another format, too large, not finite.
        UnsafeFile: the data file lies outside the header's folder.
        GeometryError: not 2, 3 or 4 axes, or axes that do not span space.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    check_file(file, "an NRRD image or MetaImage")
    with reading(file, "an NRRD image or MetaImage"), file.open("rb") as stream:
        is_nrrd = suffix in (".nrrd", ".nhdr") or (suffix not in NRRD_SUFFIXES and stream.read(4) == b"NRRD")
    kind = "an NRRD image" if is_nrrd else "a MetaImage"
    check_size(file)
    with reading(file, kind):
        data_path, is_raw = _check_head(file, kind)
        image = _read(file, kind, data_path, is_raw)
        array, affine = from_sitk(image, file.name)
    return place(finite(array, file.name, non_finite), affine, modality, file.name)


def from_sitk(image: sitk.Image, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Give voxels (C, I, J, K) float32 and the RAS affine of a SimpleITK image with 2, 3 or 4 axes.

    Raises:
        GeometryError: another number of axes, or several components in a 4-D image.
    """
    import SimpleITK as sitk

    n_axes, n_components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if n_axes not in (2, 3, 4) or (n_axes == 4 and n_components > 1):
        raise GeometryError(
            f"{name} has {n_axes} axes and {n_components} values a voxel; expected an image with 2 or 3 axes, or 4 "
            "with time."
        )
    array = sitk.GetArrayViewFromImage(image).astype(np.float32)  # (…, K, J, I [, C])
    if n_components == 1:
        array = array[..., None]
    if n_axes == 4:
        array = np.moveaxis(array[..., 0], 0, -1)  # time becomes channels
    array = array.transpose()  # (C, I, J [, K])
    array = array[..., None] if n_axes == 2 else array
    direction = np.eye(3)
    axes = min(n_axes, 3)
    direction[:axes, :axes] = np.reshape(image.GetDirection(), (n_axes, n_axes))[:axes, :axes]
    spacing, origin = np.ones(3), np.zeros(3)
    spacing[:axes], origin[:axes] = image.GetSpacing()[:axes], image.GetOrigin()[:axes]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction * spacing, origin
    return array, LPS_TO_RAS @ affine


def _check_head(path: Path, kind: str) -> tuple[Path, bool]:
    """Check the magic; give the file of the voxels, this one or one beside it, and whether they are stored raw."""
    with path.open("rb") as stream:
        head = stream.read(MAX_HEADER_BYTES)
    good = head.startswith(b"NRRD000") if kind == "an NRRD image" else DATA_FILE.search(head)
    if not good:
        raise UnreadableFile(
            f"{path.name} was expected to be {kind}, but its first bytes are those of {content_of(head)}; give the "
            "image under its own ending."
        )
    if kind == "an NRRD image":
        head = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    is_raw = RAW.search(head) is not None and PACKED.search(head) is None
    for match in DATA_FILE.finditer(head):
        name = match.group(1).decode("utf-8", "replace")
        if name.upper() == "LOCAL":
            break
        if name.upper().startswith("LIST") or "%" in name:
            raise UnsafeFile(
                f"{path.name} spreads its voxels over several files, which is not read; save it as one file (.nrrd "
                "or .mha)."
            )
        if Path(name).name != name or "\\" in name or ":" in name:
            raise UnsafeFile(
                f"{path.name} points to a data file outside its folder ({name[:80]!r}) and is not read; put the data "
                "file beside it."
            )
        if not (path.parent / name).is_file() or (path.parent / name).is_symlink():
            raise UnreadableFile(f"{path.name} needs its data file {name[:80]!r} beside it; copy both.")
        check_size(path.parent / name)
        return path.parent / name, is_raw
    return path, is_raw


def _read(path: Path, kind: str, data_path: Path, is_raw: bool) -> sitk.Image:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if kind == "an NRRD image" else "MetaImageIO")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    n_values = reader.GetNumberOfComponents()
    pixel = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    if "complex" in pixel:
        raise UnreadableFile(f"{path.name} holds complex numbers, which are not read; export the magnitude.")
    itemsize = next((int(bits) // 8 for bits in ("64", "32", "16") if bits in pixel), 1)
    n_voxels = check_header([*reader.GetSize(), n_values], itemsize, path.name)
    check_declared(n_voxels * itemsize, data_path, compressed=not is_raw)
    return reader.Execute()
