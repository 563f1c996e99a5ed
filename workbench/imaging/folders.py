"""A folder of files as people keep them: names are read, and files that share a stem become one subject.

1000_T1.nii.gz  1000_seg.nii.gz           suffixes that :mod:`words` knows
images/c1.png   labels/c1.png             folders of one role, also fixed_images/ moving_images/
1000/T1.nii.gz  1000/seg.nii.gz           a folder a subject
T1_1000.nii.gz  seg_1000.nii.gz           prefixes
c1.nii.gz       c1_seg.nii.gz             a bare stem is the image
"""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from workbench.imaging.arrays import ARRAY_SUFFIXES
from workbench.imaging.covariates import attach_tables, classes_from_names
from workbench.imaging.drafts import Draft, Plan, Source
from workbench.imaging.feature_tables import is_feature_table, read_feature_table
from workbench.imaging.files import DICOM_SUFFIXES, is_image, suffix_of
from workbench.imaging.limits import open_stream
from workbench.imaging.region_table import ATLAS_FILE, REGIONS_FILE
from workbench.imaging.regional_series import SERIES_SUFFIXES
from workbench.imaging.repetition_time import is_bold
from workbench.imaging.series_tables import tells_of_subjects
from workbench.imaging.tree import LeftOut, list_files, natural, safe_name, stem, suffix
from workbench.imaging.words import MUTE, Role, folder_role, role_of, split_role

TIMED = Role("series", "bold", 100)  # of images whose name does not say so
Key = tuple[tuple[str, ...], str]  # folders of a subject, and the stem that its files share


@dataclass(frozen=True)
class Item:
    """One file and what its name says.

    Attributes:
        path: the file.
        folders: folders between the source and it, without one that only names a role.
        stem: its name without suffix.
        role: what it is, or None where nothing tells.
        head: what is left of the stem; the subject's.
    """

    path: Path
    folders: tuple[str, ...]
    stem: str
    role: Role | None
    head: str

    @property
    def key(self) -> Key:
        """The subject that it belongs to."""
        last = self.folders[-1] if self.folders else None
        return self.folders, "" if last is not None and self.head == last else self.head


class Company(NamedTuple):
    """What else lies in the source.

    Attributes:
        n_files: of each folder.
        stems: of all files.
    """

    n_files: Counter[Path]
    stems: set[str]


def read_folder(root: Path) -> Plan:
    """Plan a cohort from a folder of images, or from a folder of regional time series without any image.

    A subject with nothing but label maps is left out. Tables (CSV, TSV) at the top that have a column of subjects'
    names give targets and covariates. An image with time as its fourth axis is a ``series``; regions.csv and
    atlas.nii.gz at the top belong to the cohort.
    """
    plan = Plan("folder")
    files, plan.left_out = list_files(root)
    plan.beside = {p.name: p for p in files if p.parent == root and p.name in (REGIONS_FILE, ATLAS_FILE)}
    files = [p for p in files if p not in plan.beside.values()]
    images = [p for p in files if is_image(p) and suffix_of(p) not in DICOM_SUFFIXES]
    tables = [p for p in files if suffix(p).lower() in SERIES_SUFFIXES]
    company = Company(Counter(p.parent for p in files), {stem(p) for p in files})
    items = [_timed(item) for item in _settle([_item(p, root, company) for p in images])]
    drafts = _drafts(items, root, plan)
    used: set[Path] = set()
    for table in tables:
        if _add_table(table, root, drafts):
            used.add(table)
    if not images and len(tables) == 1 and is_feature_table(tables[0]):
        return read_feature_table(tables[0], "folder")
    if not drafts:
        drafts = _series_alone(tables, root)
        used = {s.path for d in drafts.values() for s in d.files.values()}
    used |= attach_tables([t for t in tables if t not in used and t.parent == root], list(drafts.values()), plan)
    classes_from_names(list(drafts.values()), plan)
    used |= set(images)
    plan.left_out += [LeftOut(p.relative_to(root).as_posix(), _why_not(p)) for p in files if p not in used]
    n_timed = sum(i.role is not None and (i.role.kind, i.role.rank) == ("series", TIMED.rank) for i in items)
    if n_timed:
        plan.notes.append(f"Images with time as their fourth axis became series ({n_timed}).")
    plan.drafts = [drafts[key] for key in sorted(drafts, key=lambda k: natural(drafts[k].name))]
    return plan


ALONE = Company(Counter(), set())


def _item(path: Path, root: Path, company: Company) -> Item:
    """Read one file's name and folders."""
    folders = path.relative_to(root).parent.parts
    name = stem(path)
    found = split_role(name)
    role, head = (found[1], found[0]) if found else (None, name)
    if role is not None and role.name in ("brain", "bet") and not _is_one_byte(path):
        role = role_of("SS")  # a brain without its skull, not the mask of it
    if (
        role is not None
        and role.kind in ("label", "mask", "points")
        and (inner := split_role(head))
        and inner[1].kind == "image"
    ):
        head = inner[0]  # 7_T1_mask belongs to 7, as 7_T1 does
    of_folder = folder_role(folders[-1]) if folders else None
    if of_folder is not None:
        prefix, role_there = of_folder
        folders = folders[:-1]
        if prefix:
            role = Role(role_there.kind, prefix)
        elif role is None or role_there.kind != "image":
            role = role_there
        channel = re.fullmatch(r"(.+)_(\d{4})", head)
        if channel and role_there.kind == "image" and channel[1] in company.stems:
            role, head = Role("image", f"channel{int(channel[2])}"), channel[1]
        if folders and company.n_files[path.parent] == 1:
            head = ""  # subject/T1/whatever.nii.gz
    return Item(path, folders, name, role, head)


def _settle(items: list[Item]) -> list[Item]:
    """Give a role to files whose own name has none, from the company they are in."""
    known = {item.key for item in items if item.role is not None}
    prefixes: dict[Key, set[str]] = defaultdict(set)
    for item in items:
        if item.role is None and (found := _prefix(item)):
            prefixes[item.folders, found[1]].add(found[0].name)
    settled = []
    for item in items:
        found = _prefix(item)
        if item.role is not None:
            settled.append(item)
        elif found and len(prefixes[item.folders, found[1]]) > 1:
            settled.append(Item(item.path, item.folders, item.stem, found[0], found[1]))
        else:
            settled.append(_joined(item, known))
    return settled


def _timed(item: Item) -> Item:
    """Make an image over time a series, unless its name says what else it is."""
    assert item.role is not None  # settled
    if item.role.kind == "image" and item.role.name in MUTE and is_bold(item.path):
        return Item(item.path, item.folders, item.stem, TIMED, item.head)
    return item


def _prefix(item: Item) -> tuple[Role, str] | None:
    """Read ``mask_001`` as a mask of 001."""
    word, dash, rest = re.match(r"([^_\-. ]*)([_\-. ]?)(.*)", item.stem).groups()  # type: ignore[union-attr]
    role = role_of(word)
    return (role, rest) if role is not None and dash and rest else None


def _joined(item: Item, known: set[Key]) -> Item:
    """Join a file without a role to a subject that it shares its stem, the beginning of it, or a folder with."""
    image = Role("image", "image")
    if item.key in known:
        return Item(item.path, item.folders, item.stem, image, item.head)
    cuts = [m.start() for m in re.finditer(r"[_\-. ]", item.stem)]
    for cut in reversed(cuts):
        rest = item.stem[cut + 1 :]
        if (item.folders, item.stem[:cut]) in known and rest and not rest.isdecimal():
            word = rest.lower()
            kind = "mask" if "mask" in word else "label" if "seg" in word or "label" in word else "image"
            return Item(item.path, item.folders, item.stem, Role(kind, safe_name(rest), 99), item.stem[:cut])  # type: ignore[arg-type]
    if item.folders and (item.folders, "") in known:
        return Item(item.path, item.folders, item.stem, Role("image", safe_name(item.stem)), "")
    return Item(item.path, item.folders, item.stem, image, item.head)


def _drafts(items: list[Item], root: Path, plan: Plan) -> dict[Key, Draft]:
    """Make a draft of every key that has an image."""
    grouped: dict[Key, list[Item]] = defaultdict(list)
    for item in items:
        grouped[item.key].append(item)
    n_keys = Counter(folders for folders, _ in grouped)
    drafts = {}
    for (folders, head), members in grouped.items():
        alone = n_keys[folders] == 1 and all(item.head == item.stem for item in members)
        draft = Draft("_".join(folders if folders and (alone or not head) else (*folders, head)) or root.name)
        for item in sorted(
            members, key=lambda i: (i.role.rank if i.role else 0, i.role.name if i.role else "", i.path.name)
        ):
            _place(draft, item, item.path.relative_to(root).as_posix(), plan)
        if draft.images or "series" in draft.files:
            drafts[folders, head] = draft
        else:
            shown = ", ".join(s.shown for s in draft.files.values())
            plan.left_out.append(
                LeftOut(shown, "There is no image of the same name, so nothing could be learnt from it.")
            )
    _note_choices(list(drafts.values()), plan)
    return drafts


def _place(draft: Draft, item: Item, shown: str, plan: Plan) -> None:
    assert item.role is not None  # settled
    source = Source(item.path, shown=shown)
    kind, name = item.role.kind, item.role.name
    if kind == "image":
        if name in draft.images:
            plan.left_out.append(LeftOut(shown, f"The subject already has a {name}: {draft.images[name].shown}."))
        else:
            draft.images[name] = source
        return
    column = kind if kind not in draft.files else f"{kind}:{name}"
    if column in draft.files:
        plan.left_out.append(LeftOut(shown, f"The subject already has a {column}: {draft.files[column].shown}."))
    else:
        draft.files[column] = source


def _note_choices(drafts: list[Draft], plan: Plan) -> None:
    """Say which label map took the plain column where a subject has several."""
    further = sorted({c for d in drafts for c in d.files if ":" in c})
    if further:
        first = next(d for d in drafts if any(c in d.files for c in further))
        kind = further[0].split(":")[0]
        plan.notes.append(
            f"Subjects have several files of one kind: {first.files[kind].shown} is the {kind} of {first.name}; "
            f"the others are in the columns {', '.join(further)}. Rename columns in cohort.csv to choose another."
        )


def _add_table(table: Path, root: Path, drafts: dict[Key, Draft]) -> bool:
    """Attach a table of points or of regional time series to the subject that its name begins with."""
    item = _item(table, root, ALONE)
    draft = drafts.get(item.key)
    if draft is None and (found := re.fullmatch(r"(.+?)[_\-. ](confounds|motion)", item.stem)):
        draft = drafts.get((item.folders, found[1]))
        if draft is not None and "series" in draft.files:
            draft.files.setdefault("confounds", Source(table, shown=table.relative_to(root).as_posix()))
            return True
    if (
        draft is None
        or item.role is None
        or item.role.kind not in ("points", "series")
        or item.role.kind in draft.files
    ):
        return False
    draft.files[item.role.kind] = Source(table, shown=table.relative_to(root).as_posix())
    return True


def _series_alone(tables: list[Path], root: Path) -> dict[Key, Draft]:
    """Where there is no image: a subject for each table of (time, regions), of the kind that is there most often."""
    names = {stem(t) for t in tables}
    tables = [t for t in tables if suffix(t).lower() in ARRAY_SUFFIXES or not tells_of_subjects(t, names)]
    tables = [t for t in tables if "confounds" not in t.name.lower()]
    kinds = Counter(suffix(t).lower() for t in tables)
    kind = max(kinds, key=lambda k: (kinds[k], k)) if kinds else ""
    drafts = {}
    for table in tables:
        if suffix(table).lower() == kind:
            item = _item(table, root, ALONE)
            name = item.head if item.role is not None and item.role.kind == "series" and item.head else item.stem
            drafts[item.folders, name] = Draft(
                "_".join((*item.folders, name)), files={"series": Source(table, shown=table.name)}
            )
    return drafts


def _why_not(path: Path) -> str:
    if suffix_of(path) in DICOM_SUFFIXES:
        return "Most files of this folder are no DICOM images; import DICOM images and archives by themselves."
    return "It is not an image, nor a table of these subjects."


def _is_one_byte(path: Path) -> bool:
    """Say whether a NIfTI file stores one byte a voxel, as masks mostly are and images mostly are not."""
    try:
        with open_stream(path) as stream:
            head = stream.read(348)
    except (OSError, EOFError, zlib.error):
        return False
    return head[344:347] == b"n+1" and head[70:72] in (b"\2\0", b"\0\2", b"\0\1", b"\1\0")  # uint8, int8
