"""What a run holds: metrics, weights, arrays, scores, log and result."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError
from workbench.runs.arrays import read_arrays, read_weight_arrays, read_weights, write_arrays, write_weights
from workbench.runs.folder import read_json, safe_name, write_json
from workbench.runs.metrics_log import read_metrics
from workbench.runs.status import RESULT

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import Tensor

MAX_TAIL_BYTES = 256 * 1024


class RunContents:
    """The files of a run's folder that training fills and others read.

    Attributes:
        folder: everything that the run has.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    def metrics(self) -> pd.DataFrame:
        """Give all metrics so far: time (s since 1970), stage, epoch, step, name, value."""
        return read_metrics(self.folder / "metrics.csv")

    def result(self) -> dict[str, Any] | None:
        """Give what :meth:`finish` was told; None while there is no success.

        Raises:
            RunError: result.json is damaged.
        """
        path = self.folder / RESULT
        return read_json(path) if path.exists() else None

    def save_weights(self, name: str, tensors: dict[str, Tensor]) -> Path:
        """Write tensors as ``<name>.safetensors``; ``"weights"`` is what others look for."""
        return write_weights(self.folder / safe_name(name, ".safetensors"), tensors)

    def load_weights(self, name: str = "weights") -> dict[str, Tensor]:
        """Read tensors of ``<name>.safetensors`` onto the CPU.

        Raises:
            RunError: the run has no such weights, or the file is damaged.
        """
        return read_weights(self._existing(self.folder / safe_name(name, ".safetensors"), "weights"))

    def trained_weights(self) -> dict[str, Tensor]:
        """Read what a finished training leaves as ``"weights"``.

        Raises:
            RunError: the run has no weights yet, or the file is damaged.
        """
        if not (self.folder / "weights.safetensors").is_file():
            raise RunError(f"Run {self.id} has no weights yet; wait until it is finished, or resume it.")
        return self.load_weights()

    def load_weight_arrays(self, name: str = "weights") -> dict[str, np.ndarray]:
        """Read the same as numpy arrays, without torch.

        Raises:
            RunError: the run has no such weights, or the file is damaged.
        """
        return read_weight_arrays(self._existing(self.folder / safe_name(name, ".safetensors"), "weights"))

    def save_arrays(self, name: str, **arrays: np.ndarray) -> Path:
        """Write arrays as ``samples/<name>.npz``."""
        return write_arrays(self.folder / "samples" / safe_name(name, ".npz"), arrays)

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Read ``samples/<name>.npz``; pickled objects are refused.

        Raises:
            RunError: the run has no such arrays, or the file is damaged.
        """
        return read_arrays(self._existing(self.folder / "samples" / safe_name(name, ".npz"), "arrays"))

    def list_arrays(self) -> list[str]:
        """Give the names under samples/, sorted."""
        return sorted(path.stem for path in (self.folder / "samples").glob("*.npz"))

    def save_scores(self, scores: dict[str, Any]) -> None:
        """Replace scores.json."""
        write_json(self.folder / "scores.json", scores)

    def scores(self) -> dict[str, Any] | None:
        """Give scores.json; None when the run was not evaluated."""
        path = self.folder / "scores.json"
        return read_json(path) if path.exists() else None

    def log(self, line: str) -> None:
        """Append a line to log.txt with the present time."""
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")

    def tail(self, n: int = 40) -> list[str]:
        """Give the last ``n`` lines of log.txt; only the file's end is read."""
        path = self.folder / "log.txt"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - MAX_TAIL_BYTES))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
        return lines[-n:] if n > 0 else []

    def _existing(self, path: Path, what: str) -> Path:
        if not path.exists():
            raise RunError(f"Run {self.id} has no {what} named {path.stem}; it may not have trained that far.")
        return path
