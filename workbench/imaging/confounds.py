"""What moved and drifted while a BOLD series was measured: tables of nuisance signals, and framewise displacement."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.errors import CohortError
from workbench.imaging.regional_series import is_constant, some
from workbench.imaging.series_text import read_text_table
from workbench.imaging.tree import suffix

Regressors = Literal["motion", "motion and tissue", "all", "none"]
SHIFTS = (("trans_x", "trans_y", "trans_z"), ("x", "y", "z"), ("dx", "dy", "dz"))
TURNS = (("rot_x", "rot_y", "rot_z"), ("pitch", "roll", "yaw"), ("rx", "ry", "rz"))
DISPLACEMENT = ("framewise_displacement", "framewisedisplacement", "fd")
TISSUES = ("csf", "white_matter", "whitematter", "wm")
MOTION = re.compile(r"(trans|rot)_[xyz](_derivative1)?(_power2)?")
HEAD_RADIUS_MM = 50.0


@dataclass(frozen=True, eq=False)
class Confounds:
    """Nuisance signals of one series.

    Attributes:
        values: (T, P) float64, finite; the columns that are regressed out. P may be 0.
        names: (P,).
        displacement_mm: (T,) framewise displacement, 0 at the first volume; None where the table does not tell.
        notes: sentences on what was taken and filled.
    """

    values: np.ndarray
    names: tuple[str, ...]
    displacement_mm: np.ndarray | None
    notes: tuple[str, ...]


def read_confounds(path: Path, n_volumes: int, regressors: Regressors = "motion and tissue") -> Confounds:
    """Read nuisance signals, one row a volume.

    Of a table with the names of fMRIPrep the motion parameters with their derivatives and squares are taken, and the
    mean signals of CSF and white matter; of any other table every column. A number that is missing in the first row
    only, as in derivatives, becomes the mean of its column.

    Args:
        path: TSV, CSV or text in columns. Six columns without a header are motion: shifts in mm first (SPM), or, in a
            file that ends in ``.par`` (FSL), rotations in radians first.
        n_volumes: of the image, all volumes counted.
        regressors: which columns to regress out.

    Raises:
        FileError: the table cannot be read.
        CohortError: another number of rows, or numbers missing elsewhere.
    """
    table = read_text_table(path)
    values = table.values.astype(np.float64)
    if len(values) != n_volumes:
        raise CohortError(
            f"{path.name} has {len(values)} rows of confounds but the image has {n_volumes} volumes; give one row a "
            "volume, those at the beginning included."
        )
    names = [name.strip() for name in table.names] if table.names is not None else _headless(values.shape[1], path)
    displacement = framewise_displacement(values, names)
    if displacement is not None:
        displacement = np.concatenate([[0.0], displacement[1:]])
        _check(displacement[:, None], ["framewise displacement"], path)
    chosen = [i for i, name in enumerate(names) if _is_wanted(name, names, regressors)]
    kept, notes = _filled(values[:, chosen], [names[i] for i in chosen], path)
    useful = ~is_constant(kept)
    of = tuple(name for name, yes in zip((names[i] for i in chosen), useful, strict=True) if yes)
    if not useful.all():
        flat = [names[i] for i, yes in zip(chosen, useful, strict=True) if not yes]
        notes.append(f"Confounds that never change were left out: {some(flat)}.")
    if regressors != "none":
        notes.insert(0, f"{len(of)} confounds of {path.name} are regressed out: {some(list(of)) or 'none fits'}.")
    return Confounds(kept[:, useful], of, displacement, tuple(notes))


def framewise_displacement(values: np.ndarray, names: list[str]) -> np.ndarray | None:
    """Give the framewise displacement (T,) in mm, first value 0, or None where neither it nor motion is known.

    The column of that name, or the sum of absolute changes of three shifts (mm) and three rotations (radians, as arcs
    on a sphere of 50 mm): Power et al. 2012, NeuroImage 59:2142.
    """
    lower = [name.lower() for name in names]
    for word in DISPLACEMENT:
        if word in lower:
            return values[:, lower.index(word)]
    for shifts, turns in zip(SHIFTS, TURNS, strict=True):
        if set(shifts) | set(turns) <= set(lower):
            motion = values[:, [lower.index(n) for n in (*shifts, *turns)]] * ([1.0] * 3 + [HEAD_RADIUS_MM] * 3)
            return np.concatenate([[0.0], np.abs(np.diff(motion, axis=0)).sum(axis=1)])
    return None


def _headless(n_columns: int, path: Path) -> list[str]:
    if n_columns != 6:
        return [f"confound {i}" for i in range(1, n_columns + 1)]
    shifts, turns = list(SHIFTS[0]), list(TURNS[0])
    return turns + shifts if suffix(path).lower() == ".par" else shifts + turns


def _is_wanted(name: str, names: list[str], regressors: Regressors) -> bool:
    lower = name.lower()
    if regressors == "none" or lower in DISPLACEMENT:
        return False
    if regressors == "all" or not any(MOTION.fullmatch(n.lower()) for n in names):
        return True
    return bool(MOTION.fullmatch(lower)) or (regressors == "motion and tissue" and lower in TISSUES)


def _filled(values: np.ndarray, names: list[str], path: Path) -> tuple[np.ndarray, list[str]]:
    """Fill the first row where it alone has no number; refuse any other gap."""
    values = values.copy()
    gaps = ~np.isfinite(values[:1])[0] if len(values) else np.zeros(len(names), bool)
    _check(values[1:], names, path)
    if not gaps.any():
        return values, []
    values[0, gaps] = values[1:, gaps].mean(axis=0)
    return values, [f"The first row of {int(gaps.sum())} confounds held no number and was filled with their mean."]


def _check(values: np.ndarray, names: list[str], path: Path) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        column = int(bad.any(axis=0).argmax())
        raise CohortError(
            f"{path.name} has {int(bad[:, column].sum())} rows without a number in its column {names[column]}; only "
            "the first row may lack one. Fill them, or leave the column out."
        )
