"""Files that came through the browser: staged under safe names in a folder that goes away again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from workbench.errors import CohortError
from workbench.imaging.tree import safe_name
from workbench.paths import data_root

FOLDER = "uploads"


@contextmanager
def staged(files: Iterable[tuple[str, BinaryIO]]) -> Iterator[Path]:
    """Write uploads into a folder of their own and remove it at the end; see :func:`stage`."""
    source = stage(files)
    try:
        yield source
    finally:
        discard(source)


def stage(files: Iterable[tuple[str, BinaryIO]]) -> Path:
    """Write uploads into a folder of their own and give it, or the one file in it; :func:`discard` it afterwards.

    Args:
        files: (name as the browser gave it, open stream). Folders in a name are kept, ``..`` is not.

    Raises:
        CohortError: no files, or two of the same name.
    """
    root = data_root() / FOLDER
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=root))
    try:
        n_files = 0
        for name, stream in files:
            parts = [safe_name(p) for p in PurePosixPath(name.replace("\\", "/")).parts if p not in ("/", "..", ".")]
            target = folder.joinpath(*parts or ["unnamed"])
            if target.exists():
                raise CohortError(
                    f"Two uploaded files are called {target.name}; give them different names, or upload them as a zip."
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
            n_files += 1
        if not n_files:
            raise CohortError("No file was uploaded; choose at least one image.")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    only = next(iter(folder.iterdir()))
    return only if n_files == 1 and only.is_file() else folder


def discard(source: Path) -> None:
    """Remove what :func:`stage` gave; anything that does not lie among staged uploads is left alone."""
    root = data_root() / FOLDER
    if source.is_relative_to(root) and source != root:
        shutil.rmtree(root / source.relative_to(root).parts[0], ignore_errors=True)
