"""Build each notebook from the script of the same name, so that a diff shows what a person changed.

python notebooks/build.py            write every .ipynb; outputs of cells whose text is the same stay
python notebooks/build.py --check    name those that are not in step with their script; exit code 1 if any is not
python notebooks/build.py --run      execute them too and keep the outputs, figures as PNG
"""

import base64
import hashlib
import os
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

HERE = Path(__file__).resolve().parent
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def build(script: Path) -> NotebookNode:
    """Give a script's notebook. A cell's id comes from its first line, so an edit leaves the ids of other cells."""
    cells: dict[str, NotebookNode] = {}
    for part in script.read_text(encoding="utf-8").split("\n# %%")[1:]:
        head, _, text = part.partition("\n")
        lines, prose = text.strip("\n").split("\n"), "[markdown]" in head
        name = head + lines[0]
        while (number := hashlib.sha256(name.encode()).hexdigest()[:8]) in cells:
            name += "+"
        source = "\n".join(line[2:] if prose else line for line in lines)
        cells[number] = (v4.new_markdown_cell if prose else v4.new_code_cell)(source, id=number)
    return v4.new_notebook(metadata=METADATA, cells=list(cells.values()))


def execute(notebook: NotebookNode) -> None:
    """Run the cells in place from the root of the project; figures become PNG, which show everywhere."""
    from nbclient import NotebookClient
    from plotly.graph_objects import Figure

    from workbench.figures.export import to_png

    settings, root = os.environ | {"PLOTLY_RENDERER": "json", "PYTHONPATH": str(HERE.parent)}, str(HERE.parent)
    NotebookClient(notebook, record_timing=False, resources={"metadata": {"path": root}}).execute(env=settings)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if drawn := output.get("data", {}).get("application/json"):
            picture = base64.b64encode(to_png(Figure(drawn), scale=1, width=1000)).decode()
            output["data"] = {"image/png": picture, "text/plain": drawn["layout"]["meta"]["alt"]}


def main(option: str) -> str:
    """Build, check or run every notebook; give what is wrong, or nothing."""
    stale = []
    for script in sorted(set(HERE.glob("*.py")) - {Path(__file__).resolve()}):
        fresh, path = build(script), script.with_suffix(".ipynb")
        stored = {cell.id: cell for cell in nbformat.read(path, 4).cells} if path.exists() else {}
        same = [cell for cell in fresh.cells if cell.id in stored and cell.source == stored[cell.id].source]
        if option == "--check":
            stale += [path.name] if len(same) != len(fresh.cells) or [cell.id for cell in same] != list(stored) else []
            continue
        if option == "--run":
            execute(fresh)
        for cell in same if not option else []:
            cell.update({key: stored[cell.id][key] for key in ("outputs", "execution_count") if key in cell})
        nbformat.write(fresh, path)
    return f"Run python notebooks/build.py: {', '.join(stale)} not in step with the script." if stale else ""


if __name__ == "__main__":
    given = " ".join(sys.argv[1:])
    sys.exit((main(given) if given in ("", "--check", "--run") else __doc__) or 0)
