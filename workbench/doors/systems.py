"""Systems, their presets and settings, and what a training will take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.systems import catalog

if TYPE_CHECKING:
    from workbench.systems.base import Preset, System
    from workbench.systems.form import Estimate, Field

list_systems = catalog.cards


def system_presets(name: str) -> tuple[Preset, ...]:
    """Give a system's presets; the first is the published or the full form."""
    return catalog.load(name).presets


def system_fields(name: str) -> list[Field]:
    """Give what a form needs to know of each setting."""
    from workbench.systems.form import fields

    return fields(catalog.load(name))


def check_settings(name: str, changes: dict[str, Any], preset: str = "") -> dict[str, Any]:
    """Give complete settings from a preset and changes to it.

    Raises:
        SettingsError: a setting or preset is unknown, or a value is out of bounds.
    """
    return system(name, changes, preset).model_dump(mode="json")


def estimate(name: str, settings: dict[str, Any]) -> Estimate:
    """Say what a training will take on this machine: minutes, parameters, memory."""
    from workbench.systems.form import estimate as _estimate

    return _estimate(system(name, settings))


def system(name: str, changes: dict[str, Any], preset: str = "") -> System:
    """Give a system with its settings: a preset and changes to it."""
    kind = catalog.load(name)
    base = dict(kind.preset(preset).changes) if preset else {}
    return kind.make(base | changes)
