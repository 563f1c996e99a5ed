"""Registrations of atlases, kept on the disk: training, every target and every variant ask for the same pairs.

A file is named by what its content depends on, both images and the method, so nothing outdated is ever read. The folder
may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.imaging.volume import Volume
from workbench.paths import cache_dir
from workbench.progress import Progress, silent
from workbench.registration.deformable import register
from workbench.registration.itk_demons import itk_demons
from workbench.registration.match import Engine
from workbench.registration.registered import Registered

RegistrationName = Literal["affine", "demons", "diffeomorphic demons"]
N_LEVELS = 2  # of demons
LAYOUT = 1  # of the files; another number, and old ones are not read


def brought(fixed: Volume, moving: Volume, method: RegistrationName, progress: Progress = silent) -> Registered:
    """Bring one image onto another, or give what was kept when that was done before.

    Args:
        fixed: (1, X, Y, Z), whose lattice the result has.
        moving: (1, X', Y', Z').
        method: an affine map alone, or demons after it.
        progress: told often; may cancel, and then nothing is kept.
    """
    file = cache_dir() / "warps" / f"{_key(fixed, moving, method)}.npz"
    kept = _read(file, fixed, moving, method)
    if kept is not None:
        return kept
    begin = time.perf_counter()
    found = register(fixed, moving, linear="affine", deform=_engine(method), progress=progress)
    seconds = time.perf_counter() - begin
    made = Registered(
        method, fixed, moving, found.linear, found.field, found.inverse, found.folded_share, seconds=seconds,
        notes=found.notes,
    )  # fmt: skip
    _keep(file, made)
    return made


def turned_round(map_: Registered) -> Registered:
    """Give the map back, from the lattice of the moving image: fixed and moving change places."""
    return Registered(
        map_.method, map_.moving, map_.fixed, np.linalg.inv(map_.linear), map_.inverse, map_.field, map_.folded_share,
        seconds=map_.seconds, notes=map_.notes,
    )  # fmt: skip


def _engine(method: RegistrationName) -> Engine | None:
    if method == "affine":
        return None
    kind: Literal["demons", "diffeomorphic"] = "demons" if method == "demons" else "diffeomorphic"
    return lambda fixed, moving, spacing, told: itk_demons(
        fixed, moving, spacing, kind=kind, levels=N_LEVELS, progress=told
    )


def _key(fixed: Volume, moving: Volume, method: str) -> str:
    text = f"{LAYOUT} {method} {fixed.digest} {moving.digest}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _keep(file: Path, made: Registered) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as opened:
            np.savez_compressed(
                opened, linear=made.linear, field=made.field, inverse=made.inverse,
                folded_share=np.array(made.folded_share), seconds=np.array(made.seconds),
                notes=np.array(made.notes, dtype=str),
            )  # fmt: skip
        Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)


def _read(file: Path, fixed: Volume, moving: Volume, method: str) -> Registered | None:
    """Give what was kept; None where nothing was, or where it is damaged."""
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as kept:
            return Registered(
                method, fixed, moving, kept["linear"], kept["field"], kept["inverse"], float(kept["folded_share"]),
                seconds=float(kept["seconds"]), notes=tuple(str(n) for n in kept["notes"]),
            )  # fmt: skip
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        file.unlink(missing_ok=True)  # cut off by a full disk, say: it can be made again
        return None
