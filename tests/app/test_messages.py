"""A page never shows a traceback."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest

from workbench.app.messages import plain


def test_a_users_mistake_is_shown_as_its_sentence() -> None:
    def page() -> None:
        from workbench.app.messages import guard
        from workbench.errors import CohortError

        with guard("open the cohort"):
            raise CohortError("There is no cohort here.")

    app = AppTest.from_function(page).run()
    assert [e.value for e in app.error] == ["There is no cohort here."]
    assert not app.exception


def test_a_fault_is_one_sentence_and_its_traceback_is_in_the_log(data_root: Path) -> None:
    def page() -> None:
        from workbench.app.messages import guard

        with guard("draw the figure"):
            raise ZeroDivisionError("a secret detail")

    app = AppTest.from_function(page).run()
    assert "could not draw the figure" in app.error[0].value and "secret" not in app.error[0].value
    assert not app.exception
    assert "ZeroDivisionError: a secret detail" in (data_root / "app.log").read_text()


def test_names_cannot_change_the_page() -> None:
    assert plain("a*b_[c](d) :smile: <i>") == r"a\*b\_\[c\]\(d\) \:smile\: \<i\>"
