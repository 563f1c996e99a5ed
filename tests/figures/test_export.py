from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from skimage.io import imread

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


def two_scenes(*sizes: float) -> go.Figure:
    """Give an opaque body of each size in a see-through one of one size, a scene each."""
    corners = [[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    fig = go.Figure()
    for name, size in zip(("scene", "scene2"), sizes, strict=True):
        for scale, opacity in ((size, 1.0), (1.0, 0.3)):
            x, y, z = (np.array(corners, float) * scale).T
            fig.add_mesh3d(x=x, y=y, z=z, alphahull=0, color="#D7301F", opacity=opacity, scene=name)
    hidden = {f"{a}axis": {"visible": False, "range": [-0.2, 1.2]} for a in "xyz"}
    fig.update_layout(scene=hidden | {"domain": {"x": [0, 0.5]}}, scene2=hidden | {"domain": {"x": [0.5, 1]}},
                      margin=dict.fromkeys("lrtb", 0), height=200)  # fmt: skip
    return fig


def test_a_speck_parts_the_scenes_of_a_picture_and_the_figure_stays_as_it_is() -> None:
    fig = two_scenes(0.8, 0.6)
    before = fig.to_json()
    made = export.scenes_apart(fig.to_dict())
    assert [t.get("scene") for t in made["data"]] == ["scene", "scene", "scene3", "scene3", "scene2"]
    assert made["layout"]["scene3"]["domain"]["x"] == [0.5, 1] and made["layout"]["scene2"]["domain"]["x"] == [0, 0.001]
    assert fig.to_json() == before
    alone = go.Figure(go.Mesh3d(x=[0, 1, 0], y=[0, 0, 1], z=[0, 0, 0])).to_dict()
    assert export.scenes_apart(dict(alone)) == alone


@pytest.mark.slow
@pytest.mark.browser
def test_the_second_scene_of_a_picture_is_drawn_as_the_first() -> None:
    pytest.importorskip("kaleido")
    if export.find_browser() is None:
        pytest.skip("no browser")
    small_last, small_first = (
        imread(BytesIO(export.to_png(two_scenes(*sizes), scale=1, width=400)))[..., :3].astype(int)
        for sizes in ((0.95, 0.5), (0.5, 0.95))
    )
    second, first = small_last[:, 200:], small_first[:, :200]
    assert (first.max(-1) - first.min(-1) > 60).mean() > 0.05, "something red is drawn"
    assert (np.abs(second - first).max(-1) > 30).mean() < 0.01
