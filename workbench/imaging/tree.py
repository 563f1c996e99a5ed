"""What lies in a folder that somebody brought: bounded, and never through a link that leads out of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import FileError, TooLarge

MAX_FILES = 200_000
MAX_DEPTH = 16
MAX_NAME = 80
LONG_SUFFIXES = (".nii.gz", ".tar.gz", ".csv.gz", ".tsv.gz", ".txt.gz")
LITTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class LeftOut:
    """A file that was not taken.

    Attributes:
        file: its name within the source.
        reason: why, as a sentence.
    """

    file: str
    reason: str


def list_files(root: Path, max_files: int = MAX_FILES) -> tuple[list[Path], list[LeftOut]]:
    """Walk ``root`` and give its files in natural order, and the links that were not followed.

    Hidden files and the litter of operating systems are passed over. Folders that are links are not entered; a file
    that is a link is taken only if it ends inside ``root``.

    Raises:
        TooLarge: there are more than ``max_files`` files.
        FileError: the folder cannot be read.
    """
    inside = root.resolve()
    files: list[Path] = []
    left: list[LeftOut] = []
    for folder, folders, names in os.walk(root, onerror=_unreadable):
        here = Path(folder)
        links = [n for n in folders if (here / n).is_symlink()]
        left += [
            LeftOut(_shown(here / n, root), "It is a link to a folder, and those are not followed.") for n in links
        ]
        deep = len(here.relative_to(root).parts) >= MAX_DEPTH
        folders[:] = [] if deep else sorted(n for n in folders if n not in links and not _is_litter(n))
        for name in names:
            if _is_litter(name):
                continue
            reason = _link_reason(here / name, inside)
            if reason:
                left.append(LeftOut(_shown(here / name, root), reason))
            else:
                files.append(here / name)
        if len(files) > max_files:
            raise TooLarge(f"{root.name} holds more than {max_files:,} files; import one of the folders within it.")
    return sorted(files, key=lambda p: natural(str(p.relative_to(root)))), left


def unwrap(root: Path) -> Path:
    """Enter folders that hold one folder and nothing else, as archives often do."""
    for _ in range(MAX_DEPTH):
        entries = [p for p in root.iterdir() if not _is_litter(p.name)]
        if len(entries) != 1 or entries[0].is_symlink() or not entries[0].is_dir():
            break
        if entries[0].name.startswith("sub-"):  # the one subject of a BIDS tree
            break
        root = entries[0]
    return root


def is_inside(path: Path, root: Path) -> bool:
    """Say whether ``path`` is an existing file that ends inside ``root`` once every link is followed."""
    try:
        return path.resolve().is_relative_to(root.resolve()) and path.is_file()
    except (OSError, ValueError, RuntimeError):  # a name with a zero byte, a circle of links
        return False


def stem(path: Path | str) -> str:
    """Give the file's name without its suffix, ``.nii.gz`` counting as one."""
    name = Path(path).name
    return name[: len(name) - len(suffix(name))]


def suffix(path: Path | str) -> str:
    """Give the file's suffix as written, ``.nii.gz`` counting as one."""
    name = Path(path).name
    for long in LONG_SUFFIXES:
        if name.lower().endswith(long):
            return name[-len(long) :]
    return Path(name).suffix


def safe_name(text: str, default: str = "unnamed") -> str:
    """Reduce any text to at most 80 letters, digits, dots, dashes, plus signs and underscores."""
    name = re.sub(r"[^0-9A-Za-z._+-]+", "-", text).strip("-_. ")[:MAX_NAME].rstrip("-_. ")
    return name or default


def unique_names(texts: Iterable[str]) -> list[str]:
    """Give a safe name for each text, numbering those that would be equal, also where letter case is ignored."""
    taken: set[str] = set()
    names = []
    for text in texts:
        base = name = safe_name(text)
        number = 2
        while name.lower() in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name.lower())
        names.append(name)
    return names


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Give a sorting key by which ``case2`` comes before ``case10``."""
    parts = re.split(r"(\d+)", text)
    return tuple((1, int(p), "") if p.isdecimal() and p.isascii() and len(p) < 20 else (0, 0, p.lower()) for p in parts)


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name in LITTER


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _link_reason(path: Path, inside: Path) -> str | None:
    if not path.is_symlink():
        return None if path.is_file() else "It is neither a file nor a folder."
    if not path.exists():
        return "It is a link to a file that is not here; fetch the file first."
    if not is_inside(path, inside):
        return "It is a link that leads out of the source; import the folder that it leads to."
    return None


def _unreadable(error: OSError) -> None:
    raise FileError(
        f"{Path(error.filename or '.').name} cannot be listed ({error.strerror}); check its permissions."
    ) from error
