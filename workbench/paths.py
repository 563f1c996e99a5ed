"""Where the workbench keeps what it makes: one data root, moved by ``WORKBENCH_DATA``.

data/
  cohorts/   one folder a cohort, with its cohort.csv
  runs/      one folder a training run
  experiments/  variants trained on the same seeds, one folder each
  registrations/  one image brought onto another, one folder each
  atlases/   label images that users bring
  jobs/      imports under way, and how they ended
  cache/     preprocessed volumes and feature volumes; may be deleted at any time
"""

from __future__ import annotations

import os
from pathlib import Path


def data_root() -> Path:
    """Give the data root: ``$WORKBENCH_DATA``, or ``data`` in the current folder."""
    return Path(os.environ.get("WORKBENCH_DATA", "data")).expanduser().resolve()


def cohorts_dir() -> Path:
    """Give the folder of all cohorts."""
    return data_root() / "cohorts"


def runs_dir() -> Path:
    """Give the folder of all runs."""
    return data_root() / "runs"


def experiments_dir() -> Path:
    """Give the folder of all experiments."""
    return data_root() / "experiments"


def registrations_dir() -> Path:
    """Give the folder of all registrations."""
    return data_root() / "registrations"


def atlases_dir() -> Path:
    """Give the folder of label images that users bring."""
    return data_root() / "atlases"


def cache_dir() -> Path:
    """Give the folder of what can be computed again."""
    return data_root() / "cache"


def jobs_dir() -> Path:
    """Give the folder of imports under way."""
    return data_root() / "jobs"
