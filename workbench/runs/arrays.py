"""Weights and arrays on the disk, in formats that cannot run code: safetensors and plain npz.

The libraries are imported when they are needed, so that runs are listed without torch.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import RunError
from workbench.runs.folder import write_file

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    """Write tensors; each gets memory of its own, since tied weights are not allowed in the format."""
    from safetensors.torch import save_file

    own = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    write_file(path, lambda partial: save_file(own, str(partial)))
    return path


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors onto the CPU.

    Raises:
        RunError: the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def read_weight_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read tensors as numpy arrays, without torch.

    Raises:
        RunError: the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write arrays as a compressed npz; arrays of objects are refused with ``ValueError``."""
    import numpy as np

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    write_file(path, write)
    return path


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an npz; pickled objects are refused.

    Raises:
        RunError: the file is damaged or holds objects.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> RunError:
    reason = str(error).split("\n")[0][:200]
    return RunError(f"{path.name} in {path.parent} is damaged ({reason}); train the run again or restore the file.")
