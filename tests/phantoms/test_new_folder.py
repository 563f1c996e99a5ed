from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import CohortError
from workbench.phantoms.new_folder import new_folder


def test_what_is_written_appears_at_once(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a" / "b") as partial:
        (partial / "file").write_text("x")
        assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "b" / "file").read_text() == "x"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), new_folder(tmp_path / "b") as partial:
        (partial / "file").write_text("x")
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_file", [True, False])
def test_what_is_there_stays(tmp_path: Path, is_file: bool) -> None:
    out = tmp_path / "mine"
    if is_file:
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "file").write_text("mine")
    with pytest.raises(CohortError, match="mine already holds something; choose another name"), new_folder(out):
        pass
    assert (out if is_file else out / "file").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
