"""Which layout a folder of images has."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from workbench.errors import FileError, UnreadableFile
from workbench.imaging.archive import unpack
from workbench.imaging.bids import is_bids
from workbench.imaging.dataset_json import is_dataset_json
from workbench.imaging.dicom_folders import is_dicom
from workbench.imaging.files import DICOM_SUFFIXES, is_image, suffix_of
from workbench.imaging.picture_arrays import has_picture_arrays
from workbench.imaging.regional_series import SERIES_SUFFIXES, has_series
from workbench.imaging.series_tables import tells_of_subjects
from workbench.imaging.tree import list_files, suffix, unwrap
from workbench.progress import Progress, silent

Layout = Literal["bids", "dataset.json", "dicom", "folder", "cohort", "npz", "file"]
LAYOUTS: dict[Layout, str] = {
    "cohort": "a cohort of this workbench",
    "bids": "a BIDS tree",
    "dataset.json": "a data set with dataset.json (Medical Segmentation Decathlon, nnU-Net)",
    "dicom": "DICOM series",
    "folder": "a folder of files",
    "npz": "pictures and labels in one .npz (MedMNIST, Keras, or plain)",
    "file": "a single file",
}
N_LOOKED_AT = 2000


def detect_layout(source: Path | str) -> Layout:
    """Say which layout a folder, a file or a zip archive has; :data:`LAYOUTS` describes each.

    Raises:
        FileError: there is nothing there, or an archive that is not safe.
    """
    with opened(Path(source)) as root:
        return layout_of(root)


def layout_of(root: Path) -> Layout:
    """Say which layout an unpacked source has.

    Raises:
        UnreadableFile: a folder without any image or table.
    """
    if root.is_file():
        if root.name == "cohort.csv":
            return "cohort"
        return (
            "npz" if suffix(root).lower() == ".npz" and (has_picture_arrays(root) or not has_series(root)) else "file"
        )
    if (root / "cohort.csv").is_file():
        return "cohort"
    if is_dataset_json(root) if (root / "dataset.json").is_file() else False:
        return "dataset.json"
    if is_bids(root):
        return "bids"
    files, _ = list_files(root)
    if len(files) == 1 and suffix(files[0]).lower() == ".npz" and has_picture_arrays(files[0]):
        return "npz"
    n_images = sum(is_image(p) and suffix_of(p) not in DICOM_SUFFIXES for p in files)
    n_dicom = sum(is_dicom(p) for p in files[:N_LOOKED_AT] if suffix_of(p) in ("", *DICOM_SUFFIXES))
    if n_dicom > n_images:
        return "dicom"
    if n_images or any(_may_hold_series(p) for p in files):
        return "folder"
    raise UnreadableFile(
        f"{root.name} holds {len(files)} files and none is an image; expected NIfTI, DICOM, NRRD, MetaImage, PNG, "
        "JPEG or TIFF."
    )


def _may_hold_series(path: Path) -> bool:
    """Say whether a file may be a table; of text files, only those whose first lines are numbers."""
    ending = suffix(path).lower()
    return ending in SERIES_SUFFIXES and (not ending.startswith(".txt") or not tells_of_subjects(path))


@contextmanager
def opened(source: Path, progress: Progress = silent) -> Iterator[Path]:
    """Give the folder or file that a source stands for; an archive is unpacked while the context lasts.

    Raises:
        FileError: there is nothing there.
        UnsafeFile, TooLarge, UnreadableFile: an archive that is not unpacked.
    """
    source = source.expanduser()
    if not source.exists():
        raise FileError(f"There is nothing at {source}; give a folder, an image or a zip archive.")
    source = source.resolve()
    if source.is_dir():
        yield unwrap(source)
    elif source.name == "cohort.csv":
        yield source.parent
    elif source.suffix.lower() == ".zip":
        with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
            unpack(source, Path(folder) / "files", progress)
            root = unwrap(Path(folder) / "files")
            yield root
    else:
        yield source
