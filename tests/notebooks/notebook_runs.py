"""Notebooks run to their end; in several files of tests, so that they run beside each other."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.name != "build.py")
PARTS = ("2", "3.1", "3.3", "3.4", "3.5")
"""Sections, each with a file that runs its notebooks."""


def of_part(part: str) -> list[Path]:
    """Give the notebooks of a section."""
    return [script for script in SCRIPTS if script.stem.startswith(f"{part}." if len(part) == 1 else f"{part} ")]


def load_building() -> ModuleType:
    """Load notebooks/build.py, which is no module of the package."""
    spec = importlib.util.spec_from_file_location("notebooks_build", FOLDER / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_to_its_end(script: Path, data_root: Path) -> None:
    """Execute a notebook with its quick settings, and look at what it left."""
    notebook = load_building().build(script)
    unset = ("WORKBENCH_FULL", "WORKBENCH_IMAGES")
    settings = {name: value for name, value in os.environ.items() if name not in unset} | {
        "WORKBENCH_DATA": str(data_root),
        "PYTHONPATH": str(ROOT),
        "PLOTLY_RENDERER": "json",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"),
        "MKL_NUM_THREADS": os.environ.get("MKL_NUM_THREADS", "2"),
    }
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(data_root)}}
    )
    client.execute(env=settings)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    figures = [output.data["application/json"] for output in outputs if "application/json" in output.get("data", {})]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert len(figures) >= 7 and all(figure["layout"]["meta"]["alt"] for figure in figures)
