"""From a system's fields to a form, and from its cost to minutes on this machine."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin

import torch
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from workbench.systems.base import System

START_UP_S = 5.0
FEW_SECONDS = 12.5
STEP_S = 0.005
"""What a batch costs beside its arithmetic: drawing the patches, the optimizer, the callbacks."""


@dataclass(frozen=True)
class Field:
    """One setting as a form shows it.

    Attributes:
        name: in code and on the command line.
        title, help, group: what a person reads.
        kind: ``integer``, ``number``, ``boolean``, ``choice``, ``numbers`` (a list of integers) or ``text``.
        default: the published value.
        minimum, maximum: bounds, or None.
        exclusive_minimum: whether the minimum itself is not allowed.
        choices: of a choice.
    """

    name: str
    title: str
    help: str
    group: str
    kind: Literal["integer", "number", "boolean", "choice", "numbers", "text"]
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """What a training will take on this machine.

    Attributes:
        minutes: of training; preparation of the images comes on top.
        parameters: trainable numbers.
        memory_mb: of weights, optimizer and one batch.
        sentence: the same in words.
    """

    minutes: float
    parameters: int
    memory_mb: float
    sentence: str


def fields(system: type[BaseModel]) -> list[Field]:
    """Give the settings of a system, or of a registration, in their order."""
    return [_field(name, info) for name, info in system.model_fields.items()]


def estimate(system: System) -> Estimate:
    """Turn a system's operations into minutes at this machine's measured speed."""
    cost = system.cost()
    seconds = START_UP_S + STEP_S * cost.n_steps + cost.flops / (cost.efficiency * multiplication_speed())
    minutes = seconds / 60
    memory = cost.memory_bytes / 2**20
    return Estimate(
        minutes,
        cost.parameters,
        memory,
        f"{_duration(minutes)}, {cost.parameters:,} parameters, {memory:,.0f} MB beside the images.",
    )


@lru_cache(maxsize=1)
def multiplication_speed() -> float:
    """Measure operations a second of a matrix product of the size, and on the threads, that a training will use."""
    a, b = torch.rand(128, 1331), torch.rand(1331, 512)
    n_threads, best = torch.get_num_threads(), float("inf")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", max(1, (os.cpu_count() or 2) // 2))))
    try:
        for _ in range(16):
            begin = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - begin)
    finally:
        torch.set_num_threads(n_threads)
    return 2 * 128 * 1331 * 512 / best


def _field(name: str, info: FieldInfo) -> Field:
    kind, choices = _kind(info.annotation)
    bounds = {type(m).__name__.lower(): m for m in info.metadata}
    low = getattr(bounds.get("ge"), "ge", getattr(bounds.get("gt"), "gt", None))
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return Field(
        name, info.title or name, info.description or "", str(extra.get("group", "Settings")), kind, info.default, low,
        getattr(bounds.get("le"), "le", None), "gt" in bounds, choices,
    )  # fmt: skip


def _kind(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    if get_origin(annotation) is tuple:
        return "numbers", ()
    return {bool: "boolean", int: "integer", float: "number"}.get(annotation, "text"), ()


def _duration(minutes: float) -> str:
    seconds = 60 * minutes
    if seconds < FEW_SECONDS:
        return "A few seconds"
    if seconds < 57.5:
        return f"About {5 * round(seconds / 5)} seconds"
    if minutes < 1.5:
        return "About a minute"
    return f"About {minutes:.0f} minutes" if minutes < 90 else f"About {minutes / 60:.1f} hours"
