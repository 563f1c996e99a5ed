"""What a page says when something is wrong: a sentence, never a traceback.

A :class:`~workbench.errors.WorkbenchError` is already the sentence. Anything else is a fault of the workbench: it goes
with its traceback to ``data/app.log``, and the page says so in one sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

import streamlit as st

from workbench.errors import Cancelled, WorkbenchError
from workbench.paths import data_root

_logger = logging.getLogger("workbench.app")


@contextmanager
def guard(doing: str = "show this") -> Iterator[None]:
    """Show what goes wrong inside as a sentence; ``doing`` completes "could not …"."""
    try:
        yield
    except Cancelled as error:
        st.info(str(error), icon=":material/cancel:")
    except WorkbenchError as error:
        st.error(plain(str(error)), icon=":material/error:")
    except Exception:
        file = _log_file()
        _logger.exception("could not %s", doing)
        st.error(
            f"The workbench could not {doing}: this is a fault of its own, not yours. What happened is written at the "
            f"end of {plain(str(file))}; please report it with these lines.",
            icon=":material/bug_report:",
        )


def plain(text: str) -> str:
    """Escape what Markdown would change in names that users chose."""
    for sign in r"\`*_{}[]()#$<>~|:":
        text = text.replace(sign, "\\" + sign)
    return text


def _log_file() -> Path:
    file = data_root() / "app.log"
    known = [h for h in _logger.handlers if isinstance(h, RotatingFileHandler)]
    if not known or Path(known[0].baseFilename) != file:
        for handler in known:
            _logger.removeHandler(handler)
            handler.close()
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(file, maxBytes=1_000_000, backupCount=1, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        _logger.addHandler(handler)
    return file
