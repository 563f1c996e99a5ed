"""What every file of browser tests does: wait for a page, and ask it for faults."""

from __future__ import annotations

from typing import Any


def settled(page: Any) -> None:
    """Wait until the page has finished running."""
    page.wait_for_timeout(600)
    page.wait_for_function("document.querySelectorAll('[data-testid=stStatusWidget]').length === 0")


def no_faults(page: Any) -> None:
    """Fail with what the page or the browser says is wrong."""
    assert [e.inner_text() for e in page.locator("[data-testid=stAlertContentError]").all()] == []
    assert page.faults == []
