"""Pictures and labels in one ``.npz``: the layouts of MedMNIST and Keras, and plain images with labels.

    train_images  train_labels  val_images  val_labels  test_images  test_labels      MedMNIST
    x_train  y_train  x_test  y_test                                                 Keras
    images | x      labels | y | target                                              plain

Each picture becomes a subject named by its part and its place in the array (from 0), its label the target, its part
the split. Gray and color pictures become PNG files, blocks NIfTI.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.errors import TooLarge, UnreadableFile
from workbench.imaging.arrays import Header, read_array, read_headers
from workbench.imaging.drafts import Draft, Plan, Source
from workbench.imaging.limits import times
from workbench.imaging.tree import safe_name, stem
from workbench.imaging.volume import Volume

MAX_PICTURES = 120_000
MOST_LABELS = 200
PARTS = {"train": "train", "training": "train", "val": "validation", "valid": "validation"}
PARTS |= {"validation": "validation", "test": "test", "testing": "test"}
IMAGES, LABELS = ("images", "imgs", "x"), ("labels", "targets", "target", "y")
COLORS = (1, 3)
AT_ONCE = 1024  # pictures whose values are looked at together
EXPECTED = "expected images and labels, train_images and train_labels (MedMNIST), or x_train and y_train (Keras)"


class Part(NamedTuple):
    """One array of pictures and its labels.

    Attributes:
        split: ``"train"``, ``"validation"``, ``"test"``, or None where the file does not divide them.
        images: the array's name.
        labels: likewise; None without labels.
    """

    split: str | None
    images: str
    labels: str | None


class Shape(NamedTuple):
    """How one picture lies in its array.

    Attributes:
        channels: the axis of the channels within one picture, or None.
        is_block: three axes in space instead of two.
    """

    channels: int | None
    is_block: bool


def has_picture_arrays(path: Path) -> bool:
    """Say whether the names of the arrays are those of pictures.

    Raises:
        FileError: the file cannot be read at all.
    """
    return bool(_parts(read_headers(path)))


def read_picture_arrays(path: Path) -> Plan:
    """Plan a cohort with one subject a picture.

    Bytes stay what they are. Numbers from 0 to 1 are taken as shares of 255, whole numbers up to 65,535 in gray
    pictures become 16-bit PNG, and any other range is spread over 0 to 255, which a note says. Blocks keep
    their values.

    Args:
        path: the .npz, or a folder with nothing else in it.

    Raises:
        UnreadableFile: other names or shapes than expected, not as many labels as pictures, or values that are not
            finite.
        TooLarge: more than :data:`MAX_PICTURES`, or more bytes than may be read.
        UnsafeFile: pickled objects.
    """
    path = next(p for p in path.iterdir() if p.suffix.lower() == ".npz") if path.is_dir() else path
    headers = read_headers(path)
    parts = _parts(headers)
    if not parts:
        raise UnreadableFile(f"{path.name} has the arrays {_names(headers)}; {EXPECTED}.")
    shape = _shape(path.name, parts, headers)
    plan = Plan("npz")
    arrays = [read_array(path, part.images) for part in parts]
    scale = _scale(arrays, shape, path.name, plan)
    for part, array in zip(parts, arrays, strict=True):
        labels = None if part.labels is None else read_array(path, part.labels)
        targets, findings = _targets(labels, len(array), path.name)
        name = part.split or safe_name(stem(path), "picture")
        for i in range(len(array)):
            draft = Draft(f"{name}-{i:05d}", target=targets[i] if targets else None, split=part.split)
            draft.covariates = findings[i] if findings else {}
            draft.images["image"] = _source(path, part.images, array, i, shape, scale)
            plan.drafts.append(draft)
    _note(path, parts, headers, shape, plan)
    return plan


def _parts(headers: dict[str, Header]) -> list[Part]:
    """Find the arrays of pictures, those of train, validation and test before undivided ones."""
    by_name = {name.lower(): name for name in headers}
    found: dict[str | None, Part] = {}
    for low, name in by_name.items():
        words = re.split(r"[_\-. ]", low)
        kinds = [w for w in words if w in IMAGES]
        parts = [PARTS[w] for w in words if w in PARTS]
        if len(words) == len(kinds) + len(parts) and len(kinds) == 1 and len(parts) <= 1:
            split = parts[0] if parts else None
            twins = ("_".join(label if w == kinds[0] else w for w in words) for label in LABELS)
            labels = next((by_name[t] for t in twins if t in by_name), None)
            found.setdefault(split, Part(split, name, labels))
    divided = [found[split] for split in ("train", "validation", "test") if split in found]
    return divided or [found[None]] if found else []


def _shape(name: str, parts: list[Part], headers: dict[str, Header]) -> Shape:
    """Say how pictures lie in their arrays, from their shapes alone, which must agree.

    Raises:
        UnreadableFile: they do not, or they are no pictures.
        TooLarge: there are too many.
    """
    shapes = {headers[part.images].shape[1:] for part in parts}
    kinds = {headers[part.images].dtype.kind for part in parts}
    if len(shapes) > 1 or "U" in kinds:
        raise UnreadableFile(
            f"{name} has pictures of {' and '.join(times(s) for s in sorted(shapes))}; give all the same shape, in "
            "numbers."
        )
    n_pictures = sum(headers[part.images].shape[0] for part in parts)
    if n_pictures > MAX_PICTURES:
        raise TooLarge(f"{name} holds {n_pictures:,} pictures; at most {MAX_PICTURES:,} are imported. Keep fewer.")
    (one,) = shapes
    found = _axes(one)
    if found is None:
        raise UnreadableFile(
            f"{name} has arrays of {times(headers[parts[0].images].shape)}; expected (N, H, W), (N, H, W, 3), "
            "(N, 1, H, W) or (N, X, Y, Z)."
        )
    return found


def _axes(one: tuple[int, ...]) -> Shape | None:
    """Tell the axes of one picture; the last axis of three that has 1 or 3 entries holds channels, else the first."""
    if len(one) == 2:
        return Shape(None, False)
    channels = next((axis for axis in (len(one) - 1, 0) if one and one[axis] in COLORS), None)
    if len(one) == 3:
        return Shape(channels, channels is None)
    return Shape(channels, True) if len(one) == 4 and channels is not None and one[channels] == 1 else None


def _scale(arrays: list[np.ndarray], shape: Shape, name: str, plan: Plan) -> tuple[float, float]:
    """Give (offset, factor) that turn values into what a PNG holds, and note it where that changes them."""
    low, high, is_whole = _range(arrays, name)
    if shape.is_block:
        return 0.0, 1.0
    is_color = shape.channels is not None and arrays[0].shape[1 + shape.channels] == 3
    if arrays[0].dtype.kind in "iu" and is_whole and low >= 0 and high <= (255 if is_color else 65535):
        return 0.0, 1.0
    if low >= 0 and high <= 1:
        plan.notes.append(f"{name}: values from 0 to 1 became 0 to 255.")
        return 0.0, 255.0
    if is_whole and low >= 0 and high <= 255:
        return 0.0, 1.0
    plan.notes.append(f"{name}: values from {low:g} to {high:g} were spread over 0 to 255 and rounded.")
    return low, 255.0 / ((high - low) or 1.0)


def _range(arrays: list[np.ndarray], name: str) -> tuple[float, float, bool]:
    """Give the least and the greatest value, and whether all are whole, a piece at a time."""
    lows, highs, is_whole = [], [], True
    for array in arrays:
        for start in range(0, len(array), AT_ONCE):
            piece = array[start : start + AT_ONCE]
            lows.append(float(piece.min()))
            highs.append(float(piece.max()))
            is_whole = is_whole and (piece.dtype.kind in "biu" or np.array_equal(piece, np.rint(piece)))
    if not np.isfinite([*lows, *highs]).all():
        raise UnreadableFile(f"{name} holds pictures with values that are not finite numbers; replace them.")
    return min(lows), max(highs), is_whole


def _source(path: Path, name: str, array: np.ndarray, index: int, shape: Shape, scale: tuple[float, float]) -> Source:
    """Give a source that makes the Volume of one picture when it is wanted."""

    def volume() -> Volume:
        one = array[index] if shape.channels is None else np.moveaxis(array[index], shape.channels, 0)
        data = np.asarray(one if shape.channels is not None else one[None], np.float32)  # (C, rows, columns) or block
        if shape.is_block:
            return Volume(data, np.eye(4))
        if scale != (0.0, 1.0):
            data = np.rint((data - np.float32(scale[0])) * np.float32(scale[1]))
        return Volume(data.transpose(0, 2, 1)[..., None], np.eye(4))  # (C, X, Y, 1)

    ending = ".nii.gz" if shape.is_block else ".png"
    return Source(path, shown=f"{path.name}, {name}[{index}]", volume=volume, ending=ending)


def _targets(labels: np.ndarray | None, n: int, name: str) -> tuple[list[str], list[dict[str, str]]]:
    """Give targets as text, or, where a picture has several labels, a column for each of them."""
    if labels is None:
        return [], []
    labels = labels.reshape(len(labels), -1) if labels.ndim else labels.reshape(1, 1)
    if len(labels) != n or not 1 <= labels.shape[1] <= MOST_LABELS:
        raise UnreadableFile(
            f"{name} has {n} pictures but labels of {times(labels.shape)}; give each picture one label."
        )
    is_one_hot = labels.shape[1] > 1 and labels.dtype.kind in "biuf" and bool(
        np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all()
    )  # fmt: skip
    if labels.shape[1] == 1 or is_one_hot:
        return _texts(labels.argmax(1) if is_one_hot else labels[:, 0]), []
    columns = [f"finding-{i + 1:02d}" for i in range(labels.shape[1])]
    cells = [_texts(column) for column in labels.T]
    return [], [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]


def _texts(values: np.ndarray) -> list[str]:
    """Write labels: whole numbers without a point, others with nine digits; nothing for NaN."""
    if values.dtype.kind == "f":
        return ["" if np.isnan(v) else f"{v:.9g}" for v in values.tolist()]
    return [str(int(v)) if values.dtype.kind == "b" else str(v).strip() for v in values.tolist()]


def _note(path: Path, parts: list[Part], headers: dict[str, Header], shape: Shape, plan: Plan) -> None:
    """Say what was understood."""
    counts = ", ".join(f"{part.split or 'pictures'} {headers[part.images].shape[0]:,}" for part in parts)
    plan.notes.append(f"{path.name}: {counts}. Names tell the place in the array, from 0.")
    if any(part.labels is None for part in parts):
        lacking = ", ".join(part.images for part in parts if part.labels is None)
        plan.notes.append(f"{path.name}: {lacking} have no labels, so their pictures have no target.")
    if any("finding-01" in draft.covariates for draft in plan.drafts[:1]):
        plan.notes.append(f"{path.name}: each picture has several labels; they are in the columns finding-01, ….")
    if shape.is_block:
        plan.notes.append(f"{path.name}: axes were taken as X, Y, Z with voxels of 1 mm; the file tells neither.")
    used = {n for part in parts for n in (part.images, part.labels)}
    if unused := [n for n in headers if n not in used]:
        plan.notes.append(f"{path.name}: the arrays {_names(unused)} were not used.")


def _names(names: list[str] | dict[str, Header]) -> str:
    """List names, a few of them."""
    shown = [n[:40] for n in list(names)[:8]]
    return ", ".join(shown) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if shown else "none"
