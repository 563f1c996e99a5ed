"""The dataset.json layouts of the Medical Segmentation Decathlon and of nnU-Net.

Decathlon (Antonelli et al. 2022, Nature Communications 13:4128): pairs of image and label are listed, several
modalities lie in one 4-D image. nnU-Net (Isensee et al. 2021, Nature Methods 18:203): a case has one file a
channel, ``imagesTr/<case>_0000.nii.gz``, and one label ``labelsTr/<case>.nii.gz``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from workbench.errors import CohortError, UnreadableFile
from workbench.imaging.drafts import Draft, Plan, Source
from workbench.imaging.tree import MAX_FILES, LeftOut, is_inside, list_files, stem

MAX_JSON_BYTES = 64_000_000


def is_dataset_json(root: Path) -> bool:
    """Say whether a folder holds a dataset.json of one of the two layouts."""
    try:
        content = _content(root)
    except UnreadableFile:
        return False
    return any(key in content for key in ("channel_names", "modality", "training"))


def read_dataset_json(root: Path) -> Plan:
    """Plan a cohort from ``root``/dataset.json; its label names go to labels.json beside cohort.csv.

    Raises:
        UnreadableFile: the file is not a JSON object.
        CohortError: it names no channels.
    """
    content = _content(root)
    plan = Plan("dataset.json", label_names=_label_names(content.get("labels")))
    channels = _channels(content)
    training = content.get("training")
    is_list = isinstance(training, list) and any(isinstance(c, dict) for c in training)
    drafts = _listed(root, list(training or [])[:MAX_FILES], channels, plan) if is_list else None
    plan.drafts = drafts or _numbered(root, str(content.get("file_ending", ".nii.gz")), channels, plan)
    return plan


def _content(root: Path) -> dict[str, Any]:
    file = root / "dataset.json"
    if not is_inside(file, root) or file.stat().st_size > MAX_JSON_BYTES:
        raise UnreadableFile(f"{file} must be a file of at most {MAX_JSON_BYTES:,} bytes inside the source.")
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig", errors="replace"))
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(
            f"{file.name} is not JSON ({error}); expected the dataset.json of a segmentation data set."
        ) from error
    if not isinstance(content, dict):
        raise UnreadableFile(
            f"{file.name} must hold an object with channel names and labels; it holds a {type(content).__name__}."
        )
    return content


def _channels(content: dict[str, Any]) -> list[str]:
    """Give the modality of each channel; equal names are numbered."""
    named = content.get("channel_names") or content.get("modality")
    if isinstance(named, list):
        named = dict(enumerate(named))
    if not isinstance(named, dict) or not named or not all(str(k).isdecimal() for k in named):
        raise CohortError('dataset.json must name its channels, as in "channel_names": {"0": "T2"}; it does not.')
    names = [str(named[k]).strip() or f"channel{k}" for k in sorted(named, key=int)]
    return [n if names.count(n) == 1 else f"{n}_{names[: i + 1].count(n)}" for i, n in enumerate(names)]


def _label_names(labels: Any) -> dict[int, str]:
    """Read {value: name} (Decathlon) or {name: value} (nnU-Net); regions made of several values are passed over."""
    names: dict[int, str] = {}
    for key, value in labels.items() if isinstance(labels, dict) else ():
        if isinstance(value, str) and str(key).lstrip("-").isdecimal():
            names[int(key)] = value
        elif re.fullmatch(r"-?\d+(\.0*)?", str(value)):
            names[int(float(value))] = str(key)
    return dict(sorted(names.items()))


def _listed(root: Path, training: list[Any], channels: list[str], plan: Plan) -> list[Draft]:
    """Follow the list of image and label pairs; give nothing if the files lie one a channel instead."""
    drafts = []
    missing = []
    for case in training:
        image = str(case.get("image", "")) if isinstance(case, dict) else str(case)
        path = _inside(root, image)
        if path is None:
            missing.append(LeftOut(image, "dataset.json names it, but the source has no such file."))
            continue
        split = len(channels) > 1
        sources = {m: Source(path, i if split else None, shown=image) for i, m in enumerate(channels)}
        draft = Draft(stem(path), sources)
        label = str(case.get("label", "")) if isinstance(case, dict) else ""
        label_path = _inside(root, label)
        if label_path is not None:
            draft.files["label"] = Source(label_path, shown=label)
        elif label:
            plan.left_out.append(LeftOut(label, "dataset.json names it, but the source has no such file."))
        drafts.append(draft)
    if drafts:
        plan.left_out += missing
        if (root / "imagesTs").is_dir():
            plan.notes.append(
                "The images in imagesTs come without labels and were not imported; import that folder to predict them."
            )
    return drafts


def _numbered(root: Path, ending: str, channels: list[str], plan: Plan) -> list[Draft]:
    """Find ``<case>_0000`` files under imagesTr, and under imagesTs where labelsTs has their labels."""
    files, left = list_files(root)
    plan.left_out += left
    labels = {p.relative_to(root).as_posix(): p for p in files if p.parent.name.startswith("labels")}
    drafts: dict[str, Draft] = {}
    unlabelled = set()
    for file in files:
        folder = file.parent.relative_to(root).as_posix()
        found = re.fullmatch(r"(.+)_(\d{4})", file.name[: -len(ending)]) if file.name.endswith(ending) else None
        if folder not in ("imagesTr", "imagesTs") or found is None:
            continue
        case, channel = found[1], int(found[2])
        shown = file.relative_to(root).as_posix()
        label = labels.get(f"{folder.replace('images', 'labels')}/{case}{ending}")
        if folder == "imagesTs" and label is None:
            unlabelled.add(case)
            continue
        if channel >= len(channels):
            plan.left_out.append(
                LeftOut(shown, f"dataset.json names {len(channels)} channels and this is number {channel}.")
            )
            continue
        draft = drafts.setdefault(case, Draft(case, split="test" if folder == "imagesTs" else None))
        draft.images[channels[channel]] = Source(file, shown=shown)
        if label is not None:
            draft.files["label"] = Source(label, shown=label.relative_to(root).as_posix())
    if unlabelled:
        plan.notes.append(
            f"{len(unlabelled)} cases of imagesTs come without labels and were not imported; import that folder to "
            "predict them."
        )
    return list(drafts.values())


def _inside(root: Path, name: str) -> Path | None:
    """Resolve a path of dataset.json, or None if it is absent or leads out of the source."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if not name or pure.is_absolute() or ".." in pure.parts:
        return None
    path = root / pure
    return path if is_inside(path, root) else None
