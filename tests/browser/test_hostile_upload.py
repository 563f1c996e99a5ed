"""Files that are broken or mean harm, dropped on the Data page of a real browser: a sentence each, nothing kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_hostile import CASES, missing_slice

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]
FILES = [case for case in CASES if case[0] is not missing_slice]


@pytest.mark.parametrize(("make", "words"), FILES, ids=[case[0].__name__ for case in FILES])
def test_the_page_answers_with_a_sentence(
    make: Callable[[Path], Path], words: str, tmp_path: Path, browser: Any, server: str
) -> None:
    made = make(tmp_path)
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    try:
        page.goto(f"{server}/data")
        bring = page.get_by_role("tab", name="Bring images")
        bring.or_(page.get_by_role("tab", name="Upload files")).first.wait_for()
        if bring.count():
            bring.click()
        page.locator("input[type=file]").first.set_input_files(str(made))
        page.get_by_role("button", name="Import the files").click()
        alert = page.locator("[data-testid=stAlertContentError]").first
        alert.wait_for(timeout=60_000)
        said = alert.inner_text()
        assert re.search(words, said) and "Traceback" not in said and "fault of its own" not in said
    finally:
        page.close()
