"""Pictures: PNG, JPEG and TIFF as Volumes with Z = 1.

Data is (C, X, Y, 1) with X the column from left to right and Y the row **from top to bottom**: voxel (x, y) is the
pixel in column x, row y, as in every list of pixel coordinates. 16-bit values stay what they are. The pixel size is
taken from the resolution that a PNG or TIFF states; without one it is 1 mm. (JPEG states 72 or 96 dpi whatever the
object, so there it is 1 mm.) An alpha channel is dropped: it says how to draw, not what was measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.errors import FileError, TooLarge, UnreadableFile
from workbench.imaging.guard import NonFinite, check_file, content_of, finite, reading, writing
from workbench.imaging.limits import check_declared, check_header
from workbench.imaging.orientation import grid_of
from workbench.imaging.volume import Volume

if TYPE_CHECKING:
    from PIL import Image

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
LOSSLESS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF"}
MM_PER_INCH = 25.4
X_RESOLUTION = 282  # TIFF tag
PIXEL_BOUNDS_MM = (1e-6, 100.0)
GRAY_MODES = ("1", "L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def read_picture(
    path: Path | str,
    modality: str = "image",
    *,
    palette: Literal["colors", "indices"] = "colors",
    non_finite: NonFinite = "refuse",
) -> Volume:
    """Read a picture with one gray channel or three colors.

    Args:
        path: PNG, JPEG or TIFF with one page.
        modality: the name that the Volume carries.
        palette: what the voxels of a picture with a palette are; label maps are indices.
        non_finite: refuse NaN and infinite pixels, or set them to 0.

    Raises:
        FileError: absent, empty, truncated, of another format, with several pages, or too large.
    """
    from PIL import Image

    file = Path(path)
    check_file(file, "a picture")
    with reading(file, "a picture"):
        _check_head(file)
        try:
            with Image.open(file, formats=("PNG", "JPEG", "TIFF")) as picture:
                width, height = picture.size
                check_header([width, height, len(picture.getbands())], 4, file.name)
                if picture.mode != "1":  # a blank fax packs without bound
                    check_declared(width * height * len(picture.getbands()), file, compressed=True)
                n_pages = getattr(picture, "n_frames", 1)
                if n_pages > 1:
                    raise UnreadableFile(
                        f"{file.name} has {n_pages} pages, but a picture has one; save each page as a file, "
                        "or the stack as NIfTI."
                    )
                spacing = _spacing(picture)
                pixels = _sixteen_bit_colors(file) if _is_deep_color(picture) else _pixels(picture, palette)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise TooLarge(
                f"{file.name} declares more pixels than a picture should have; crop it or save it in tiles."
            ) from error
    data = np.ascontiguousarray(pixels.transpose(2, 1, 0)[..., None], np.float32)  # (C, X, Y, 1)
    affine = np.diag([*spacing, 1.0, 1.0])
    volume = Volume(finite(data, file.name, non_finite), affine, modality)
    return Volume(volume.data, affine, modality, grid_of(volume.shape, affine))


def write_picture(volume: Volume, path: Path | str) -> None:
    """Write a Volume with Z = 1, and one channel or three, as PNG or TIFF: 8 bit when its values fit, else 16.

    Raises:
        FileError: several slices, another number of channels, values that are no such integers, or not writable.
    """
    from PIL import Image

    file = Path(path)
    kind = LOSSLESS.get(file.suffix.lower())
    if kind is None:
        raise FileError(f"{file.name} would lose values; write pictures as .png or .tif.")
    if not volume.is_picture or volume.n_channels not in (1, 3):
        raise FileError(
            f"{file.name} needs one slice with 1 or 3 channels, but the volume has {volume.shape[2]} slices and "
            f"{volume.n_channels} channels; write .nii.gz."
        )
    data, n_bits = volume.data[..., 0], 8 if volume.data.max() <= 255 else 16
    fits = data.min() >= 0 and data.max() < 2**n_bits and np.array_equal(data, np.rint(data))
    if not fits or (n_bits == 16 and volume.n_channels == 3):
        top = 255 if volume.n_channels == 3 else 65535
        raise FileError(
            f"{file.name} holds whole numbers from 0 to {top}, but the values lie in {data.min():g} to "
            f"{data.max():g}; rescale and round them, or write .nii.gz."
        )
    pixels = data.transpose(2, 1, 0).astype(np.uint8 if n_bits == 8 else np.uint16)  # (rows, columns, C)
    sx, sy, _ = volume.spacing
    extra = {} if sx == sy == 1 else {"dpi": (MM_PER_INCH / sx, MM_PER_INCH / sy)}
    with writing(file) as partial, partial.open("wb") as stream:
        Image.fromarray(pixels[..., 0] if volume.n_channels == 1 else pixels).save(stream, format=kind, **extra)


def _check_head(path: Path) -> None:
    with path.open("rb") as stream:
        words = content_of(stream.read(16))
    if "picture" not in words and words != "something unknown":
        raise UnreadableFile(
            f"{path.name} was expected to be a picture, but its first bytes are those of {words}; give it under its "
            "own ending."
        )


def _spacing(picture: Image.Image) -> tuple[float, float]:
    """Give mm a pixel along X and Y."""
    if picture.format == "TIFF" and X_RESOLUTION not in getattr(picture, "tag_v2", {}):
        return 1.0, 1.0  # PIL says 1 dpi for a file that says nothing
    dpi = picture.info.get("dpi") if picture.format in ("PNG", "TIFF") else None
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return 1.0, 1.0
    low, high = PIXEL_BOUNDS_MM
    sizes = [MM_PER_INCH / float(d) if float(d) > 0 else 0.0 for d in dpi]
    return (sizes[0], sizes[1]) if all(low <= s <= high for s in sizes) else (1.0, 1.0)


def _is_deep_color(picture: Image.Image) -> bool:
    """PIL would halve the bits of 16-bit colors without a word; its plan for decoding shows them."""
    raw = " ".join(str(tile[3]) for tile in getattr(picture, "tile", []))
    return picture.mode in ("RGB", "RGBA", "LA") and ";16" in raw


def _sixteen_bit_colors(path: Path) -> np.ndarray:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return pixels[..., : 3 if pixels.shape[-1] >= 3 else 1]


def _pixels(picture: Image.Image, palette: str) -> np.ndarray:
    """Give (rows, columns, C)."""
    if picture.mode == "P" and palette == "indices":
        return np.asarray(picture)[..., None]
    if picture.mode in GRAY_MODES:
        return np.asarray(picture)[..., None]
    if picture.mode in ("LA", "La"):
        return np.asarray(picture.convert("LA"))[..., :1]
    return np.asarray(picture.convert("RGB"))
