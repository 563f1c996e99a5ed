"""A detached child for the tests of launching; it imports torch only when its turn has come."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from workbench.runs.launch import attend, wait_for_turn
from workbench.runs.run import open_run, run_progress


def main(folder: str, task: str) -> None:
    """Train, or ``sleep`` until it is stopped, or ``crash``."""
    run = open_run(Path(folder))
    with attend(run, in_queue=True):
        wait_for_turn(run)
        assert "torch" not in sys.modules
        if task == "train":
            from toy import train_three

            train_three(run, float(run.info.settings["seconds_per_step"]))
            return
        progress = run_progress(run, "prepare")
        while task == "sleep":
            progress(0.5, "Preparing")
            time.sleep(0.05)
        raise ZeroDivisionError("a bug of ours")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
