"""A form from the settings of a system: groups, help texts and bounds all come from the system's own fields."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.errors import SettingsError


def settings_form(system: str, preset: Any) -> dict[str, Any]:
    """Draw one input a setting, starting at the preset's values, and give the checked settings.

    Raises:
        SettingsError: a value is out of its bounds; the sentence names the setting.
    """
    start = workflow.check_settings(system, preset.changes)
    fields = workflow.system_fields(system)
    values: dict[str, Any] = {}
    groups = [f.group for f in fields if f.name != "seed"]  # which every system has, so it would put its group first
    for number, group in enumerate(dict.fromkeys(groups)):
        with st.expander(group, expanded=number == 0, icon=":material/tune:"), st.grid(3, min_column_width=180):
            for field in [f for f in fields if f.group == group]:
                values[field.name] = _input(field, start[field.name], f"set-{system}-{preset.name}-{field.name}")
    return workflow.check_settings(system, values)


def changed_fields(fields: Sequence[Any], place: str) -> dict[str, Any]:
    """Draw one input a field, starting at its usual value, and give the values that differ from it.

    Raises:
        SettingsError: a text is no number; the sentence names the setting.
    """
    values: dict[str, Any] = {}
    for group in dict.fromkeys(f.group for f in fields):
        if len({f.group for f in fields}) > 1:
            st.caption(group)
        with st.grid(2, min_column_width=118):
            for field in [f for f in fields if f.group == group]:
                values[field.name] = _input(field, field.default, f"{place}-{field.name}")
    return {f.name: values[f.name] for f in fields if not _alike(values[f.name], f.default)}


def _alike(value: Any, usual: Any) -> bool:
    return list(value) == list(usual) if isinstance(usual, list | tuple) else bool(value == usual)


def differences(system: str, preset: Any, settings: dict[str, Any]) -> pd.DataFrame:
    """List the settings that differ from the preset: setting, preset's value, value."""
    start = workflow.check_settings(system, preset.changes)
    titles = {f.name: f.title for f in workflow.system_fields(system)}
    rows = [
        {
            "Setting": titles.get(name, name),
            f"{preset.name.capitalize()} preset": _text(start[name]),
            "Here": _text(value),
        }
        for name, value in settings.items()
        if name in titles and start[name] != value
    ]
    return pd.DataFrame(rows)


def _input(field: Any, value: Any, key: str) -> Any:
    if field.kind == "boolean":
        return st.toggle(field.title, bool(value), help=field.help, key=key)
    if field.kind == "choice":
        options = list(field.choices)
        return st.selectbox(field.title, options, options.index(value), help=field.help, key=key)
    if field.kind == "integer":
        low, high = _whole(field.minimum), _whole(field.maximum)
        return st.number_input(field.title, low, high, value=int(value), step=1, help=field.help, key=key)
    if field.kind == "number":
        return _parse_number(field, st.text_input(field.title, _text(value), help=_with_bounds(field), key=key))
    text = st.text_input(field.title, _text(value), help=_with_bounds(field), key=key)
    return _parse_numbers(field, text, value) if field.kind == "numbers" else text


def _parse_number(field: Any, text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise SettingsError(f"{field.title} must be a number such as {_text(field.default)}; got {text!r}.") from None


def _parse_numbers(field: Any, text: str, like: Any) -> list[float] | list[int]:
    parts = [p for p in re.split(r"[,;\s]+", text.strip()) if p]
    whole = all(isinstance(v, int) for v in like)
    try:
        return [int(p) for p in parts] if whole else [float(p) for p in parts]
    except ValueError:
        raise SettingsError(
            f"{field.title} must be numbers with commas between, such as {_text(field.default)}; got {text!r}."
        ) from None


def _with_bounds(field: Any) -> str:
    low, high = field.minimum, field.maximum
    if low is None and high is None:
        return field.help
    bounds = (
        f"At least {low:g}." if high is None else f"At most {high:g}." if low is None else f"From {low:g} to {high:g}."
    )
    return f"{field.help} {bounds}"


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
