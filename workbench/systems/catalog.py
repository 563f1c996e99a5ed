"""Finds every system by walking the folders; reads its card from the source, so nothing is imported to list names."""

from __future__ import annotations

import ast
import importlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import SettingsError

if TYPE_CHECKING:
    from workbench.systems.base import System

FOLDER = Path(__file__).parent
FIELDS = ("review", "citation", "input", "network", "training", "output", "reported", "departs from the paper in")


@dataclass(frozen=True)
class Card:
    """The module docstring of a system, in its parts.

    Attributes:
        name: the file's stem, used on the command line.
        kind: its folder: ``"features"``, ``"families"``, ….
        title: the docstring's first line.
        review: section, references and figures of the review.
        citation: the primary paper.
        input, network, training, output: what goes in, what it is, how it learns, what comes out.
        reported: published results, with where they were read.
        departs: where this implementation leaves the paper.
    """

    name: str
    kind: str
    title: str
    review: str
    citation: str
    input: str
    network: str
    training: str
    output: str
    reported: str
    departs: str

    @property
    def section(self) -> str:
        """The review's section, for example ``"3.1"``."""
        found = re.search(r"Sections? ([\d.]+\d)", self.review)
        return found.group(1) if found else ""

    @property
    def reference(self) -> str:
        """What stands behind the section: references and figures."""
        return self.review.partition(",")[2].strip()

    def to_dict(self) -> dict[str, str]:
        """Give plain text for JSON."""
        return asdict(self) | {"section": self.section, "reference": self.reference}


def cards() -> list[Card]:
    """Read every card, families first, then by the review's sections."""
    files = [f for f in FOLDER.glob("*/*.py") if f.stem != "__init__"]
    found = [read_card(f) for f in files]
    return sorted(found, key=lambda c: (c.kind != "families", c.section, c.name))


def card(name: str) -> Card:
    """Give one card.

    Raises:
        SettingsError: there is no such system.
    """
    known = {c.name: c for c in cards()}
    if name not in known:
        raise SettingsError(f"There is no system {name!r}; known ones are {', '.join(known)}.")
    return known[name]


def read_card(file: Path) -> Card:
    """Parse the docstring of one system's file.

    Raises:
        ValueError: a field of the card is missing.
    """
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    title, _, body = text.partition("\n")
    starts = list(re.finditer(rf"^({'|'.join(FIELDS)}):?\s", body, re.IGNORECASE | re.MULTILINE))
    parts = {}
    for start, end in zip(starts, [*starts[1:], None], strict=False):
        value = body[start.end() : end.start() if end else len(body)]
        parts[start.group(1).lower()] = " ".join(value.split())
    missing = [f for f in FIELDS if not parts.get(f)]
    if missing:
        raise ValueError(f"the card of {file.name} lacks {', '.join(missing)}")
    departs = parts.pop("departs from the paper in")
    return Card(file.stem, file.parent.name, title.rstrip("."), departs=departs, **parts)


def load(name: str) -> type[System]:
    """Import a system's class: the one that its file defines.

    Raises:
        SettingsError: there is no such system.
    """
    found = card(name)
    from workbench.systems.base import System

    module = importlib.import_module(f"workbench.systems.{found.kind}.{name}")
    classes = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, System)]
    return next(c for c in classes if c.__module__ == module.__name__)
