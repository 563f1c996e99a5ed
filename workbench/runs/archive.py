"""Runs side by side, and a run as one file to hand on."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError
from workbench.runs.process import LOCK
from workbench.runs.run import Run
from workbench.runs.status import STOP

if TYPE_CHECKING:
    import pandas as pd

MAX_COMPARED = 6


@dataclass(frozen=True)
class Comparison:
    """Two to six runs side by side.

    Attributes:
        curves: run id → its metrics.
        settings: one row a setting that differs, one column a run.
        scores: one row a score, one column a run; NaN where a run has none.
    """

    curves: dict[str, pd.DataFrame]
    settings: pd.DataFrame
    scores: pd.DataFrame


def compare(runs: list[Run]) -> Comparison:
    """Compare runs.

    Raises:
        RunError: fewer than 2 or more than 6.
    """
    import pandas as pd

    if not 2 <= len(runs) <= MAX_COMPARED:
        raise RunError(f"Choose 2 to {MAX_COMPARED} runs to compare; {len(runs)} were chosen.")
    settings = pd.DataFrame({r.id: {k: json.dumps(v) for k, v in _description(r).items()} for r in runs}).fillna("–")
    differing = settings[settings.nunique(axis=1) > 1]
    scores = pd.DataFrame({r.id: (r.result() or {}).get("scores", {}) for r in runs}).astype(float)
    return Comparison({r.id: r.metrics() for r in runs}, differing, scores)


def export_run(run: Run) -> bytes:
    """Give a zip of the run's folder without checkpoints and locks.

    Raises:
        RunError: the run is still being trained.
    """
    if run.status().is_live:
        raise RunError(f"Run {run.id} is {run.status().state}; export it when it has ended.")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(run.folder.rglob("*")):
            inside = file.relative_to(run.folder)
            kept = inside.parts[0] != "checkpoints" and not _passing(file.name)
            if kept and file.is_file() and not file.is_symlink():
                archive.write(file, f"{run.id}/{inside.as_posix()}")
    return buffer.getvalue()


def _passing(name: str) -> bool:
    return name.endswith(".partial") or name in (STOP, LOCK)


def _description(run: Run) -> dict[str, Any]:
    info = run.info
    return {"system": info.system, "cohort": info.cohort_digest, "split": info.split_hash, **info.settings}
