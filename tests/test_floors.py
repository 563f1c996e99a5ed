"""The house stands: what may import what, read from the syntax trees and printed line by line where it is broken."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOOR = {
    "errors": 1, "paths": 1, "progress": 1,
    "imaging": 2, "models": 2, "classical": 2, "metrics": 2, "runs": 2,
    "patches": 3, "phantoms": 3, "registration": 3, "figures": 3, "tasks": 3,
    "inference": 4, "systems": 5, "doors": 6, "workflow": 7, "cli": 8, "app": 8,
}  # fmt: skip
FLOOR_2_FROM_3 = {
    "patches": {"imaging"},
    "phantoms": {"imaging"},
    "registration": {"imaging", "classical"},
    "figures": {"imaging"},
    "tasks": {"models", "metrics"},
}
ALLOWED = FLOOR_2_FROM_3 | {
    "inference": {"patches", "imaging", "models"},
    "cli": {"workflow"},
    "app": {"workflow", "figures"},
    "pages": {"app", "workflow", "figures"},
}
ALWAYS = {"errors", "paths", "progress"}
HOME = {  # library → the only places that may import it
    "streamlit": ("workbench/app/", "pages/", "streamlit_app.py"),
    "plotly": ("workbench/figures/",),
    "lightning": (
        "workbench/tasks/",
        "workbench/patches/datamodule.py",
        "workbench/patches/examples.py",
        "workbench/patches/labelled.py",
        "workbench/runs/training.py",
    ),
    **{name: ("workbench/imaging/",) for name in ("nibabel", "pydicom", "PIL", "nrrd")},
}
SOURCES = sorted([*ROOT.glob("workbench/**/*.py"), *ROOT.glob("pages/*.py"), ROOT / "streamlit_app.py"])
STANDARD_LIBRARY_ONLY = ALWAYS


def imports(file: Path) -> list[tuple[int, str]]:
    """Give (line, dotted name) of everything that a file imports, inside functions too."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def room_of(file: Path) -> str:
    """Name the room that a file belongs to."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "workbench" and len(parts) > 1 else "pages"


def reading_order(room: str) -> list[str]:
    """Read the file names that a room's docstring lists, in order."""
    text = ast.get_docstring(ast.parse((ROOT / "workbench" / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    return re.findall(r"^ *([a-z_0-9]+)/?  +\S", text, re.MULTILINE)


def violations(file: Path) -> list[str]:
    """Say each import of a file that the house forbids."""
    room, where, wrong = room_of(file), file.relative_to(ROOT).as_posix(), []
    for line, name in imports(file):
        top, *rest = name.split(".")
        if top in HOME and not where.startswith(HOME[top]):
            wrong.append(f"{where}:{line}: {top} lives in {', '.join(HOME[top])}")
        if top != "workbench" or not rest or room in ("__init__", "__main__"):
            continue
        target = rest[0]
        if target in ("__version__", room):
            continue
        allowed = ALLOWED.get(room) or {r for r, f in FLOOR.items() if f < FLOOR[room]}
        if room == "pages" and file.name == "streamlit_app.py":
            allowed = allowed | {"app"}
        if target not in allowed | ALWAYS or (room in STANDARD_LIBRARY_ONLY and target in FLOOR and FLOOR[target] >= 2):
            wrong.append(f"{where}:{line}: {room} may not import {target}")
    return wrong


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_imports_only_from_floors_below(file: Path) -> None:
    assert not violations(file), "\n" + "\n".join(violations(file))


@pytest.mark.parametrize("room", [r for r in FLOOR if (ROOT / "workbench" / r).is_dir()])
def test_files_of_a_room_import_only_those_listed_above_them(room: str) -> None:
    order = reading_order(room)
    wrong = []
    for file in (ROOT / "workbench" / room).glob("*.py"):
        if file.stem == "__init__":
            continue
        assert file.stem in order, f"workbench/{room}/__init__.py does not list {file.stem}"
        above = order[: order.index(file.stem)]
        for line, name in imports(file):
            parts = name.split(".")
            if parts[:2] == ["workbench", room] and len(parts) > 2 and parts[2] not in [*above, file.stem]:
                wrong.append(
                    f"{file.relative_to(ROOT)}:{line}: {file.stem} stands above {parts[2]} in the room's docstring"
                )
    assert not wrong, "\n" + "\n".join(wrong)


def test_a_system_never_imports_another() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {name}"
        for file in (ROOT / "workbench/systems").glob("*/*.py")
        for line, name in imports(file)
        if re.match(r"workbench\.systems\.[a-z]+\.\w+\.\w+", name)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("file", sorted(ROOT.glob("workbench/*/__init__.py")), ids=lambda f: f.parent.name)
def test_a_room_imports_nothing_by_itself(file: Path) -> None:
    body = ast.parse(file.read_text(encoding="utf-8")).body
    assert len(body) == 1 and ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))


def test_the_checker_sees_a_forbidden_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    file = tmp_path / "workbench" / "models" / "bad.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import streamlit\nfrom workbench.systems.base import System\nfrom workbench.errors import WorkbenchError\n"
    )
    assert len(violations(file)) == 2


@pytest.mark.parametrize("what", ["import workbench.cli", "import workbench.cli as c; c.main(['list', '--json'])"])
def test_the_command_line_starts_without_torch_and_streamlit(what: str) -> None:
    code = f"import sys\ntry:\n    {what}\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
    code += "bad = {'torch', 'streamlit', 'lightning', 'monai', 'nilearn'} & set(sys.modules)\nassert not bad, bad"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_pages_are_thin() -> None:
    long = {f.name: n for f in (ROOT / "pages").glob("*.py") if (n := len(f.read_text().splitlines())) > 90}
    assert not long, f"pages choose, get, draw and offer a download; these do more: {long}"
