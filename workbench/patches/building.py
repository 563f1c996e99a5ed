"""The folder of a store: written once, subject by subject, and given its name when it is complete."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from workbench.patches.prepared import Prepared, tables

FORMAT = 2
ABANDONED_AFTER_S = 24 * 3600.0


def write_store(folder: Path, subjects: Iterable[tuple[str, Prepared]], key: str, margin: int) -> None:
    """Write every array of a store, and ``store.json`` last.

    Args:
        folder: exists and is empty.
        subjects: name and prepared data, made one at a time while this runs.
        key: by which the store is recognized.
        margin: voxels of zeros around each image.

    Raises:
        CohortError: a subject that cannot be trained on.
    """
    rows: list[dict[str, Any]] = []
    found: list[dict[str, np.ndarray]] = []
    for name, prepared in subjects:
        found.append(tables(name, prepared))
        image = np.asarray(prepared.image, np.float32)
        np.save(folder / f"{len(rows)}-image.npy", image)
        if prepared.labels is not None:
            np.save(folder / f"{len(rows)}-labels.npy", prepared.labels.astype(np.int32)[None])
        affine = np.asarray(prepared.affine, float).tolist()
        rows.append({"name": name, "shape": image.shape[1:], "n_channels": image.shape[0], "affine": affine})
    if len({row["n_channels"] for row in rows}) != 1:
        raise ValueError(f"all subjects must have the same channels; got {[row['n_channels'] for row in rows]}")
    _stack(folder, "image", rows, margin)
    if all("by_label" in t for t in found):
        _stack(folder, "labels", rows, 0)
    for name, table in _joined(found).items():
        np.save(folder / f"{name}.npy", table)
    lacking = {
        n: [r["name"] for r, t in zip(rows, found, strict=True) if n not in t]
        for n in ("inside", "by_label", "weighted")
    }
    content = {"format": FORMAT, "key": key, "margin": margin, "subjects": rows, "lacking": lacking}
    (folder / "store.json").write_text(json.dumps(content), encoding="utf-8")


def put_in_place(partial: Path, folder: Path) -> None:
    """Give a complete folder its name, in place of an older one."""
    if folder.exists():
        shutil.rmtree(folder)
    partial.replace(folder)


def sweep(folder: Path) -> None:
    """Remove what builds of this store left that were killed a day or more ago."""
    for left in folder.parent.glob(f"{folder.name}.partial-*"):
        if time.time() - left.stat().st_mtime > ABANDONED_AFTER_S:
            shutil.rmtree(left, ignore_errors=True)


def _stack(folder: Path, what: str, rows: list[dict[str, Any]], margin: int) -> None:
    """Join the subjects' volumes into one (S, C, X, Y, Z) of the largest shape, zeros around each.

    The zeros are never written: on most file systems they take no room.
    """
    extent = np.max([row["shape"] for row in rows], axis=0) + 2 * margin
    parts = [np.load(folder / f"{i}-{what}.npy", mmap_mode="r") for i in range(len(rows))]
    shape = (len(rows), parts[0].shape[0], *(int(e) for e in extent))
    stack = np.lib.format.open_memmap(folder / f"{what}.npy", mode="w+", dtype=parts[0].dtype, shape=shape)
    for i, part in enumerate(parts):
        x, y, z = (slice(margin, margin + n) for n in part.shape[1:])
        stack[i, :, x, y, z] = part
        (folder / f"{i}-{what}.npy").unlink()
    stack.flush()


def _joined(found: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Put the tables of all subjects behind each other, and say where each subject begins."""
    joined: dict[str, np.ndarray] = {}
    for name in ("inside", "by_label", "weighted"):
        if all(name in t for t in found):
            joined[name] = np.concatenate([t[name] for t in found])
            joined[f"{name}_begins"] = np.cumsum([0, *(t[name].size for t in found)])
    if "weighted" in joined:
        joined["total"] = np.concatenate([i + t["total"] for i, t in enumerate(found)])
    if "by_label" in joined:
        starts = joined["by_label_begins"]
        places = [start + t["label_begins"] for start, t in zip(starts, found, strict=False)]
        joined["label_bounds"] = np.append(np.concatenate(places), starts[-1])
        joined["label_firsts"] = np.cumsum([0, *(len(p) for p in places)])
    return joined
