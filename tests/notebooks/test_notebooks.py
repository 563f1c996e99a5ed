"""The notebooks are in step with their scripts, run to their end with the quick settings, and their facts hold."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.name != "build.py")
every_notebook = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def building() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebooks_build", FOLDER / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outline(notebook: NotebookNode) -> list[tuple[str, str, str]]:
    return [(cell.id, cell.cell_type, cell.source) for cell in notebook.cells]


@every_notebook
def test_notebook_is_in_step_with_its_script(script: Path, building: ModuleType) -> None:
    stored = nbformat.read(script.with_suffix(".ipynb"), 4)
    assert outline(stored) == outline(building.build(script)), "run python notebooks/build.py"
    nbformat.validate(stored)


@every_notebook
def test_notebook_says_what_it_is_and_is_in_the_index(script: Path, building: ModuleType) -> None:
    notebook = building.build(script)
    assert "Research use only" in notebook.cells[0].source and "Review: Section" in script.read_text(encoding="utf-8")
    assert any(
        cell.source.startswith("## With your own images") or "\n## With your own images" in cell.source
        for cell in notebook.cells
    )
    assert f"({quote(script.stem)}.ipynb)" in (FOLDER / "README.md").read_text(encoding="utf-8")


@every_notebook
def test_facts_are_asserted_in_the_notebook_itself(script: Path, building: ModuleType) -> None:
    code = [cell.source for cell in building.build(script).cells if cell.cell_type == "code"]
    assert sum(source.count("\nassert ") for source in code) >= 5


def test_editing_a_cell_leaves_the_ids_of_all_cells(tmp_path: Path, building: ModuleType) -> None:
    script = tmp_path / "a.py"
    script.write_text('"""A."""\n\n# %% [markdown]\n# # A\n#\n# Text.\n\n# %%\nx = 1\n\n# %%\nx = 1\nprint(x)\n')
    before = building.build(script)
    assert [cell.source for cell in before.cells] == ["# A\n\nText.", "x = 1", "x = 1\nprint(x)"]
    script.write_text(script.read_text().replace("print(x)", "print(x + 1)").replace("Text.", "Other text."))
    after = building.build(script)
    assert [cell.id for cell in after.cells] == [cell.id for cell in before.cells]
    assert len({cell.id for cell in before.cells}) == 3


@pytest.mark.slow
@pytest.mark.timeout(1500)
@every_notebook
def test_notebook_runs_to_its_end(script: Path, building: ModuleType, data_root: Path) -> None:
    notebook = building.build(script)
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
    shutil.rmtree(data_root)  # hundreds of megabytes
    assert len(figures) >= 7 and all(figure["layout"]["meta"]["alt"] for figure in figures)
