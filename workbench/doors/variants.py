"""What is varied in an experiment, as it is written on a command line or in a form.

--vary dropout=0,0.5 --vary n_hidden=[200],[100,50]      every combination, named by its settings
--variant deep:n_hidden=[100,50],dropout=0.5             one by name
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from workbench.errors import SettingsError

BASE = "base"
OPENING, CLOSING = "[{(", "]})"


def parse_variants(vary: Sequence[str], variants: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give the variants that texts ask for: name → changes.

    Args:
        vary: texts such as ``"dropout=0,0.5"``; all combinations of several are made.
        variants: texts such as ``"deep:n_hidden=[100,50],dropout=0.5"``; ``"base:"`` changes nothing.

    Raises:
        SettingsError: a text of another form, or one name twice.
    """
    axes = []
    for text in vary:
        key, equals, values = text.partition("=")
        if not equals or not key.strip() or not values.strip():
            raise SettingsError(f"--vary {text!r}: write it as key=value,value, for example --vary dropout=0,0.5.")
        axes.append([(key.strip(), part) for part in split_outside_brackets(values)])
    found: list[tuple[str, dict[str, Any]]] = []
    for combination in itertools.product(*axes) if axes else ():
        name = ", ".join(f"{key}={value}" for key, value in combination)
        found.append((name, {key: parse_value(value) for key, value in combination}))
    found += [_named(text) for text in variants]
    names = [name for name, _ in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(f"There are several variants called {twice[0]!r}; give each a name of its own.")
    return dict(found) or {BASE: {}}


def parse_numbers(text: str) -> tuple[int, ...]:
    """Read whole numbers from 0 on with commas between them: ``"100,1000,0"``.

    Raises:
        SettingsError: something else.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise SettingsError(f"{text!r} should be whole numbers with commas between them, for example 100,1000,0.")
    return tuple(int(part) for part in parts)


def parse_value(text: str) -> Any:
    """Read a value as JSON where it can be, else as text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text.strip()


def split_outside_brackets(text: str) -> list[str]:
    """Split at commas that are not inside brackets or quotes: ``"[1,2],3"`` → ``["[1,2]", "3"]``."""
    parts, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == '"'
        if not quoted:
            depth += (letter in OPENING) - (letter in CLOSING)
        if letter == "," and depth <= 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _named(text: str) -> tuple[str, dict[str, Any]]:
    name, colon, settings = text.partition(":")
    changes: dict[str, Any] = {}
    for pair in split_outside_brackets(settings) if settings.strip() else ():
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            colon = ""
        changes[key.strip()] = parse_value(value)
    if not colon or not name.strip():
        raise SettingsError(
            f"--variant {text!r}: write it as name:key=value,key=value, for example --variant deep:n_hidden=[100,50]."
        )
    return name.strip(), changes
