"""A phantom's folder: whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import CohortError


def refuse_taken(out: Path, what: str = "phantom") -> None:
    """Make sure that nothing would be written over.

    Args:
        out: the wanted folder.
        what: is to be made, for the message.

    Raises:
        CohortError: ``out`` already holds something.
    """
    out = Path(out).absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CohortError(f"The folder {out.name} already holds something; choose another name for the {what}.")


@contextmanager
def new_folder(out: Path, what: str = "phantom") -> Iterator[Path]:
    """Give an empty folder beside ``out`` that takes its place on success and vanishes on any error.

    Raises:
        CohortError: ``out`` already holds something.
    """
    refuse_taken(out, what)
    out = Path(out).absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{out.name}.partial-", dir=out.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
