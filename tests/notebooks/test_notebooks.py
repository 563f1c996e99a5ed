"""The notebooks are in step with their scripts, run to their end with the quick settings, and their facts hold."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import nbformat
import pytest
from nbformat import NotebookNode
from notebook_runs import FOLDER, PARTS, SCRIPTS, load_building, of_part

every_notebook = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def building() -> ModuleType:
    return load_building()


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


def test_every_notebook_is_run_by_one_file() -> None:
    assert sorted(script for part in PARTS for script in of_part(part)) == SCRIPTS
    files = {file.stem.removeprefix("test_run_") for file in Path(__file__).parent.glob("test_run_*.py")}
    assert files == {part.replace(".", "_") for part in PARTS}
