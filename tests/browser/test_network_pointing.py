"""Pointing at a unit, walking with keys and clicking, in a real browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import numpy as np
import streamlit as st
from workbench.app.network_view import network_view
from workbench.figures.convolution_parts import ConvolutionParts, MapLayer
from workbench.figures.network_parts import LayerParts, LinkParts, NetworkParts

rng = np.random.default_rng(0)
layers = [LayerParts("v", 30, [0, 9, 19, 29]), LayerParts("h1", 5, range(5), "sigmoid")]
links = [LinkParts("v", "h1", rng.normal(size=(5, 4)), "down", "W")]
st.text(f"unit {network_view(NetworkParts('dbn', layers, links, {'h1': rng.normal(size=(5, 1, 7, 7, 7))}), key='net')}")
maps = MapLayer("conv", "convolution", (6, 6), 1, rng.random((1, 6, 6)), [0], (3, 3), (1, 1), (1.0, 1.0))
st.text(f"place {network_view(ConvolutionParts(rng.random((8, 8)), [maps]), key='maps')}")
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Any]:
    script = tmp_path_factory.mktemp("network_view") / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true", f"--server.port={port}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/_stcore/health")
        opened = browser.new_page(viewport={"width": 1100, "height": 1100})
        opened.problems = []
        opened.on("pageerror", lambda error: opened.problems.append(str(error)))
        opened.goto(f"http://127.0.0.1:{port}")
        opened.wait_for_selector("g.unit")
        opened.wait_for_selector("g.card")
        yield opened
        assert not opened.problems
        opened.close()
    finally:
        server.terminate()
        server.wait(timeout=20)


def test_pointing_shows_a_units_links_and_pattern(page: Any) -> None:
    page.locator("g.unit").nth(5).hover()
    tip = page.locator(".tip").first
    assert tip.is_visible() and "h⁽¹⁾, unit 1" in tip.inner_text() and "axial, coronal, sagittal" in tip.inner_text()
    assert page.locator(".view svg").first.locator(".link:not(.strong)").count() > 0
    assert tip.locator("canvas").evaluate("c => c.width / c.height") == pytest.approx(23 / 7, rel=0.01)
    page.mouse.move(2, 2)
    assert tip.is_hidden()


def test_a_click_brings_the_unit_to_python(page: Any) -> None:
    page.locator("g.unit").nth(3).click()
    page.wait_for_selector("text=unit Chosen(layer='v', unit=29, at=None)")
    assert page.locator("g.unit.chosen").count() == 1


def test_keys_walk_and_choose(page: Any) -> None:
    page.locator("g.unit").nth(3).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=unit Chosen(layer='h1', unit=3, at=None)")


def test_a_place_on_a_map_shows_what_it_sees(page: Any) -> None:
    card = page.locator("g.card[role=button]")
    box = card.locator("image").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 2.5 / 6, box["y"] + box["height"] * 4.5 / 6)
    tip = page.locator(".tip").nth(1)
    assert "map 0 at 2, 4" in tip.inner_text() and "sees 3 × 3" in tip.inner_text()
    seen = page.locator(".view svg").nth(1).locator(".seen")
    whole = page.locator("g.card[role=img] image").bounding_box()
    assert seen.count() == 2
    assert seen.first.evaluate("r => r.getBBox().width") / page.locator("g.card[role=img] image").evaluate(
        "r => r.getBBox().width"
    ) == pytest.approx(3 / 8)
    left = seen.first.bounding_box()["x"] - whole["x"]
    assert left / whole["width"] == pytest.approx(2 / 8, abs=0.02)
    page.mouse.click(box["x"] + box["width"] * 2.5 / 6, box["y"] + box["height"] * 4.5 / 6)
    page.wait_for_selector("text=place Chosen(layer='conv', unit=0, at=(2, 4))")


def test_it_follows_the_width(page: Any) -> None:
    wide = page.locator(".view svg").first.bounding_box()["width"]
    page.set_viewport_size({"width": 420, "height": 1100})
    page.wait_for_timeout(400)
    svg = page.locator(".view svg").first
    assert svg.bounding_box()["width"] < 0.7 * wide
    assert svg.evaluate("s => s.scrollWidth <= s.clientWidth + 1")


def _wait_for(address: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the script did not start")
