"""The base of studies of depth: one map or row of features a subject, folds, and how a run remembers both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor

from workbench.errors import CohortError, RunError
from workbench.imaging.cohort import Cohort
from workbench.patches.scaling import Scaling
from workbench.runs.run import Run, run_progress
from workbench.systems.base import setting
from workbench.systems.example_source import ExampleSource, SourceName
from workbench.systems.examples_base import ExampleLearning
from workbench.systems.feature_images import PatchPreview
from workbench.systems.regional_cv import Deal, deal

LIKELY_SUBJECTS = 400


class DepthLearning(ExampleLearning):
    """Two classes of subjects told apart by whole maps inside a mask, or by rows of feature tables."""

    dimensions: ClassVar[Literal[2, 3]] = 3  # type: ignore[misc]
    patch_size: ClassVar[int] = 7  # type: ignore[misc]
    spacing_mm: ClassVar[float] = 0.0  # type: ignore[misc]
    sampler: ClassVar[Literal["inside"]] = "inside"  # type: ignore[misc]
    n_patches: ClassVar[int] = LIKELY_SUBJECTS  # type: ignore[misc]
    scaling: ClassVar[Literal["standardize"]] = "standardize"  # type: ignore[misc]

    source: Literal["auto", "whole", "features"] = setting(
        "auto", "Examples", "Whole images, one a subject, or rows of feature tables; auto: images where there are any.",
        "Data",
    )  # fmt: skip
    batch_size: int = setting(20, "Batch size", "Subjects in a step.", "Training", ge=1, le=65_536)
    target: str = setting(
        "", "Target", "A covariate with two values to tell apart; empty takes the subject's target.", "Data"
    )
    n_folds: int = setting(10, "Folds", "Of the cross-validation.", "Evaluation", ge=2, le=1000)
    hold_out: Literal["groups", "subjects"] = setting(
        "groups", "Hold out", "Whole groups (sites, families), or single subjects.", "Evaluation"
    )
    permute: bool = setting(
        False, "Shuffle classes",
        "A control: classes are shuffled before anything is learnt, so scores must come out at chance.", "Evaluation",
    )  # fmt: skip

    def resolved(self, cohort: Cohort) -> ExampleSource:
        """Fill in what ``auto`` stands for: images where there are any."""
        kind: SourceName = self.source
        if kind == "auto":
            kind = "whole" if cohort.subjects[0].images else "features"
        return replace(self.example_source, kind=kind).resolved(cohort)

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work."""
        self.resolved(cohort).check(cohort)
        self._deal(cohort, [s.name for s in cohort])

    def preview(self, cohort: Cohort, n: int) -> PatchPreview:
        """Draw the first subjects as whole images or rows."""
        kind = cast(Any, self.resolved(cohort).kind)
        return ExampleLearning.preview(self.model_copy(update={"source": kind}), cohort, n)

    def read(self, cohort: Cohort, run: Run) -> tuple[Tensor, Deal]:
        """Read the subjects of the run that are learnt from as (N, V) inside the mask, and leave the record."""
        split = run.info.split or {"train": [s.name for s in cohort], "validation": []}
        chosen = {*split["train"], *split.get("validation", [])}
        part = cohort.only([s.name for s in cohort if s.name in chosen])
        held_out = self._deal(cohort, [s.name for s in part])
        for note in held_out.notes:
            run.log(note)
        source = self.resolved(part)
        raw = source.examples(part, 0, self.seed, cohort.digest, run_progress(run, "preparing"))
        inside = inside_of(part, source, raw.x)
        run.save_arrays(
            "deal", target=held_out.target, fold=held_out.fold, subjects=np.array(held_out.subjects),
            classes=np.array(held_out.classes), groups=np.array(held_out.groups), notes=np.array(held_out.notes),
        )  # fmt: skip
        names = source.tables if source.kind == "features" else source.modalities
        run.save_arrays("maps", inside=inside, shape=np.array(raw.shape), kind=np.array(source.kind),
                        names=np.array(names))  # fmt: skip
        return raw.x.flatten(1)[:, torch.from_numpy(inside)], held_out

    def seen_anew(self, cohort: Cohort, run: Run) -> Tensor:
        """Give subjects as the network of all sees them, (n, V)."""
        kept = run.load_arrays("maps")
        if "scaling_shift" not in kept:
            raise RunError(f"Run {run.id} has not learnt from all its subjects yet; wait until it is finished.")
        names, kind = tuple(map(str, kept["names"])), cast(SourceName, str(kept["kind"]))
        is_table = kind == "features"
        source = replace(self.example_source, kind=kind, tables=names if is_table else (),
                         modalities=() if is_table else names)  # fmt: skip
        source.check(cohort)
        raw = source.examples(cohort, 0, self.seed, cohort.digest)
        if raw.shape != tuple(kept["shape"]):
            raise CohortError(
                f"The examples of {cohort.name} have the shape {raw.shape} and the run learnt from "
                f"{tuple(int(n) for n in kept['shape'])}; bring the same columns, or images of the same size."
            )
        scaling = Scaling.from_arrays({n.removeprefix("scaling_"): a for n, a in kept.items() if "scaling_" in n})
        return scaling.apply(raw.x.flatten(1)[:, torch.from_numpy(kept["inside"])])

    def deal_of(self, run: Run) -> dict[str, np.ndarray]:
        """Give who was scored by which fold.

        Raises:
            RunError: no fold is finished.
        """
        if "first_fold" not in run.list_arrays():
            raise RunError(f"Run {run.id} has finished no fold yet; wait until it is finished, or resume it.")
        return run.load_arrays("deal")

    def _deal(self, cohort: Cohort, names: list[str]) -> Deal:
        return deal(cohort, names, self.target, self.n_folds, self.seed, permute=self.permute,
                    by_group=self.hold_out == "groups")  # fmt: skip


def two_classes(kept: dict[str, np.ndarray]) -> tuple[str, str]:
    """Give the names of the two classes."""
    first, second = (str(c) for c in kept["classes"])
    return first, second


def inside_of(part: Cohort, source: ExampleSource, x: Tensor) -> np.ndarray:
    """Give which elements (V,) bool of a flattened example count.

    Those in the masks of half the subjects or more, where all have masks on their images' lattice; else all that vary.
    No class is looked at.
    """
    subjects = part.subjects
    if source.kind == "whole" and not source.whole_size and all(s.mask is not None for s in subjects):
        masks = [cast(np.ndarray, s.mask_array(s.volume(source.modalities[0]))) for s in subjects]
        spatial = np.mean([m.reshape(x.shape[2:]) for m in masks], axis=0) >= 0.5
        inside = np.broadcast_to(spatial, x.shape[1:]).ravel()
    else:
        values = x.flatten(1).numpy()
        inside = np.fmax.reduce(values, axis=0) > np.fmin.reduce(values, axis=0)  # False where nobody has a number
    if not inside.any():
        raise CohortError("No voxel lies in the masks of half the subjects, or none varies; check images and masks.")
    return np.array(inside)
