"""What a system is: a frozen settings model whose fields are the paper's hyper-parameters.

The defaults are the published values. From the fields alone come the form, the command line's ``--set``, ``run.json``
and the notebook's table; so a field carries its title, its help, its bounds and the group it is shown in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.progress import Progress, silent
from workbench.runs.run import Run
from workbench.runs.stages import StagePlan

Prediction = Volume | dict[str, float | str]
"""An image on the subject's own lattice, or one row of named values."""


@dataclass(frozen=True)
class Preset:
    """A named list of differences from the published settings.

    Attributes:
        name: ``"published"``, ``"cpu"``, ``"quick"``.
        sentence: what it is for.
        changes: setting → value.
    """

    name: str
    sentence: str
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reported:
    """A figure that was read in the review or in the paper itself, never recalled.

    Attributes:
        quantity: what was measured, with its unit.
        value: as printed.
        data: the cohort it was measured on.
        source: page, table or figure.
    """

    quantity: str
    value: str
    data: str
    source: str


@dataclass(frozen=True)
class Cost:
    """What a training will take, from the settings alone.

    Attributes:
        parameters: trainable numbers.
        flops: floating-point operations of the whole training.
        memory_bytes: of weights, optimizer state and one batch.
        n_steps: batches of the whole training.
        efficiency: the share of a machine's matrix multiplication speed that the network reaches.
    """

    parameters: int
    flops: float
    memory_bytes: float
    n_steps: int
    efficiency: float


def setting(default: Any, title: str, help: str, group: str, **bounds: Any) -> Any:
    """Declare a setting: its default is the published value, ``bounds`` are pydantic's ``ge``, ``le``, …."""
    return Field(default, title=title, description=help, json_schema_extra={"group": group}, **bounds)


class System(BaseModel):
    """One application of the review; its fields are its settings.

    ``fit`` follows the paper's training section stage by stage, ``predict`` its testing section. Both read what they
    need from the run's folder and leave there what they make.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    presets: ClassVar[tuple[Preset, ...]] = ()
    reported: ClassVar[tuple[Reported, ...]] = ()
    phantom: ClassVar[str] = "brain"

    seed: int = setting(
        0, "Seed", "The same seed on the same machine gives the same weights.", "Training", ge=0, le=2**31 - 1
    )

    @classmethod
    def preset(cls, name: str) -> Preset:
        """Give a preset by name.

        Raises:
            SettingsError: there is none of that name.
        """
        for preset in cls.presets:
            if preset.name == name:
                return preset
        raise SettingsError(f"There is no preset {name!r}; choose one of {', '.join(p.name for p in cls.presets)}.")

    @classmethod
    def make(cls, changes: dict[str, Any]) -> System:
        """Check settings given as differences from the published ones.

        Raises:
            SettingsError: an unknown name, a wrong type or a value out of bounds, in one sentence.
        """
        try:
            return cls(**changes)
        except ValidationError as error:
            raise SettingsError(_sentence(error, list(cls.model_fields))) from None

    def stages(self) -> list[StagePlan]:
        """Name the stages of ``fit`` in order, with their epochs."""
        raise NotImplementedError  # abstract

    def cost(self) -> Cost:
        """Count parameters, operations and memory of ``fit``."""
        raise NotImplementedError  # abstract

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Train on the run's split of the cohort; leave weights and curves in the run's folder."""
        raise NotImplementedError  # abstract

    def predict(self, subject: Subject, run: Run) -> Prediction:
        """Apply the trained run to one subject: an image on the subject's own lattice, or a row of named values."""
        raise NotImplementedError  # abstract

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work, as a :class:`workbench.errors.WorkbenchError`."""

    def cannot_show(self, run: Run) -> frozenset[str]:
        """Name the methods that this run's data leave nothing to show by, though the system has them."""
        return frozenset()

    def evaluate(self, cohort: Cohort, run: Run, progress: Progress = silent) -> dict[str, Any]:
        """Score the trained run: ``{"subjects": {name: {score: value}}, "summary": {score: [mean, low, high]}}``."""
        raise NotImplementedError  # abstract


def _sentence(error: ValidationError, known: list[str]) -> str:
    parts = []
    for problem in error.errors():
        name = ".".join(str(p) for p in problem["loc"]) or "the settings together"
        if problem["type"] == "extra_forbidden":
            parts.append(f"{name} is not a setting; known ones are {', '.join(known)}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            parts.append(
                f"{name} = {problem['input']!r}: {message[0].lower()}{message[1:]}"
                if name in known or problem["loc"]
                else message
            )
    return "; ".join(parts) + "."
