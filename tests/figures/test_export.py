from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
import pytest

from workbench.errors import FileError
from workbench.figures import export
from workbench.figures.theme import finish


@pytest.fixture
def figure() -> go.Figure:
    return finish(go.Figure(go.Scatter(y=[1, 2])), "dark", alt='A "line" <up>.', height=120)


def test_page_is_self_contained_and_accessible(figure: go.Figure) -> None:
    page = export.to_html(figure, "Curves & co")
    assert "plotly.js v" in page[:20_000] and 'src="https://' not in page
    assert "A &quot;line&quot; &lt;up&gt;." in page and "<title>Curves &amp; co</title>" in page


def test_without_a_browser_it_says_what_to_do(figure: go.Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "find_browser", lambda: None)
    with pytest.raises(FileError, match="save the figure as HTML"):
        export.to_png(figure)


def test_named_browser_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = tmp_path / "mine"
    browser.write_text("#!/bin/sh\n")
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(browser))
    assert export.find_browser() == str(browser)


def test_a_named_browser_that_is_gone_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    assert export.find_browser() != "/nowhere/chrome"


def test_a_broken_browser_is_a_sentence(figure: go.Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kaleido")
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(broken))
    with pytest.raises(FileError, match="did not render"):
        export.to_png(figure)


def test_saving_writes_whole_files_or_none(figure: go.Figure, tmp_path: Path) -> None:
    assert export.save(figure, tmp_path / "a.html").stat().st_size > 1_000_000
    with pytest.raises(FileError, match=r"\.html or \.png"):
        export.save(figure, tmp_path / "a.gif")
    with pytest.raises(FileError, match="does not exist"):
        export.save(figure, tmp_path / "none" / "a.html")
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


@pytest.mark.browser
def test_png_has_the_asked_size(figure: go.Figure) -> None:
    if export.find_browser() is None:
        pytest.skip("no Chromium or Chrome here")
    png = export.to_png(figure, scale=1, width=300)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) == (300, 120)
