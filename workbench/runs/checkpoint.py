"""Checkpoints as plain types: read without running what they hold, and compared with the network they go into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import RunError


def read_checkpoint(path: Path, stage: str) -> dict[str, Any]:
    """Read a checkpoint of plain types onto the CPU.

    Raises:
        RunError: it is damaged, or no checkpoint.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and end-of-file errors all mean a damaged file
        raise RunError(
            f"The checkpoint of stage {stage} cannot be read ({type(error).__name__}); "
            f"delete {path} to train the stage anew."
        ) from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise RunError(f"The checkpoint of stage {stage} holds no network; delete {path} to train the stage anew.")
    return checkpoint


def check_fits(state: dict[str, Tensor], module: nn.Module, stage: str) -> None:
    """Refuse the checkpoint of another network, before Lightning trips over it.

    Raises:
        RunError: names or shapes differ.
    """
    own = module.state_dict()
    wrong = sorted(set(own) ^ set(state)) or sorted(k for k in own if own[k].shape != state[k].shape)
    if wrong:
        raise RunError(
            f"The checkpoint of stage {stage} belongs to another network (they differ in {wrong[0]}); "
            "start a new run for the changed settings."
        )


def verify_plain(path: Path) -> None:
    """Read a fresh checkpoint back as a resume would.

    Raises:
        TypeError: it holds more than plain types; the file is removed.
    """
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        path.unlink(missing_ok=True)
        raise TypeError(
            "a checkpoint holds plain types only; save no paths, modules or objects as hyper-parameters"
        ) from error
