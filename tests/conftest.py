"""What every test shares: few threads, a data root of its own, and the real data when it is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores, and inherit the numbers of the first
        os.environ[name] = "1"
    else:
        os.environ.setdefault(name, "2")

import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def data_root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give every test an empty data root, so that no test sees another's runs or the user's."""
    root = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("WORKBENCH_DATA", str(root))
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Give the folder of real images, or skip with the reason."""
    folder = Path(os.environ.get("WORKBENCH_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set WORKBENCH_REAL_DATA")
    return folder
