"""What an importer found, before anything is copied: drafts of subjects, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from workbench.imaging.tree import LeftOut
from workbench.imaging.volume import Volume


@dataclass(frozen=True)
class Source:
    """Where the voxels or numbers of one cell of cohort.csv come from.

    Attributes:
        path: the file; the first one of a DICOM series.
        channel: which volume of a 4-D image to take, or None for all of the file.
        series: every file of a DICOM series, else empty.
        text: what to write, where the cell is no file of its own: one row of a table.
        shown: its name within the source, for messages; of DICOM files a number, since their names may tell a person's.
        volume: makes the image, where the file holds many of them; None where the file is the image.
        ending: of the file to write such an image to: ``".png"`` or ``".nii.gz"``.
    """

    path: Path
    channel: int | None = None
    series: tuple[Path, ...] = ()
    text: str | None = None
    shown: str = ""
    volume: Callable[[], Volume] | None = None
    ending: str = ""


@dataclass
class Draft:
    """A subject whose files still lie in the source.

    Attributes:
        name: as found; made safe and unique later.
        images: modality → source.
        files: ``label``, ``mask``, ``points``, ``series``, ``features:<name>``, or a further column that names a file.
        target: class or number.
        group: patient or site.
        split: the part it is fixed to.
        covariates: any other column.
    """

    name: str
    images: dict[str, Source] = field(default_factory=dict)
    files: dict[str, Source] = field(default_factory=dict)
    target: str | None = None
    group: str | None = None
    split: str | None = None
    covariates: dict[str, str] = field(default_factory=dict)

    def sources(self) -> Iterator[tuple[str, Source]]:
        """Go through the columns that name files: ``image:<modality>`` first, then the others."""
        yield from ((f"image:{m}", s) for m, s in self.images.items())
        yield from self.files.items()


@dataclass
class Plan:
    """What an importer would make of a source.

    Attributes:
        layout: which kind of source it is.
        drafts: the subjects.
        left_out: files that were recognized and not taken, with the reason.
        notes: what the user should know of the choices made.
        label_names: label value → name, where the source tells.
        beside: file of the cohort itself, such as regions.csv → where it lies in the source.
    """

    layout: str
    drafts: list[Draft] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    label_names: dict[int, str] = field(default_factory=dict)
    beside: dict[str, Path] = field(default_factory=dict)
