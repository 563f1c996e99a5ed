"""The base of families that learn from examples, whatever these are: patches, whole images, rows of tables.

Everything learnt, the scaling and the classes included, comes from the training subjects of the run's split.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
from torch import Tensor, nn

from workbench.errors import CohortError, RunError, SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.patches.examples import ExampleDataModule, Examples
from workbench.patches.scaling import Scaling, ScalingName
from workbench.runs.run import Run, run_progress
from workbench.systems.base import System, setting
from workbench.systems.example_source import ExampleSource, SourceName, check_same_shape, targets_of
from workbench.systems.example_targets import Targets, TaskName, with_label_targets, with_subject_targets
from workbench.systems.feature_images import PatchPreview

N_SHOWN = 64
HELD_OUT_SHARE, FEWEST_HELD_OUT, FEWEST_OF_ONE = 5, 256, 20


@dataclass(frozen=True, eq=False)
class Data:
    """The scaled examples of a run's split.

    Attributes:
        train, validation, test: examples; the last two may be absent.
        scaling, targets: as learnt from ``train``.
        source: with everything that ``auto`` stood for.
        blocks: where each modality or table lies in a flattened example.
    """

    train: Examples
    validation: Examples | None
    test: Examples | None
    scaling: Scaling
    targets: Targets | None
    source: ExampleSource
    blocks: dict[str, tuple[int, int]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return tuple(self.train.x.shape[1:])

    @property
    def held_out(self) -> tuple[Examples, str]:
        """What results are reported on, and its name: test, else validation, else training subjects."""
        if self.test is not None:
            return self.test, "test subjects"
        if self.validation is not None:
            return self.validation, "validation subjects"
        return self.train, "training subjects"


@dataclass(frozen=True, eq=False)
class Record:
    """What a trained run must know to see new subjects as it saw its training examples."""

    shape: tuple[int, ...]
    scaling: Scaling
    targets: Targets | None
    label_values: tuple[int, ...]
    source: ExampleSource
    blocks: dict[str, tuple[int, int]]


class ExampleLearning(System):
    """A family on any cohort: what an example is, how it is scaled, and how the run remembers it."""

    source: SourceName = setting(
        "auto",
        "Examples",
        "patches of images, whole images, or rows of feature tables; auto: tables if there are no images, whole "
        "pictures up to 64 pixels, else patches.",
        "Data",
    )
    modality: str = setting(
        "", "Modality", "Images to learn from, separated by commas, one a channel; empty takes the first.", "Data"
    )
    table: str = setting(
        "", "Feature tables", "Names of features:<name>, separated by commas; empty takes all of them.", "Data"
    )
    dimensions: Literal[2, 3] = setting(
        3, "Dimensions", "Of patches: 3 for cubes; 2 for pictures, or axial patches of volumes.", "Data"
    )
    patch_size: int = setting(
        7, "Patch size (voxels)", "Edge of a patch; odd, so that it has a voxel in the middle.", "Data", ge=3, le=41
    )
    spacing_mm: float = setting(
        2.0, "Voxel size (mm)", "Volumes are resampled to cubes of this size; 0 keeps their own.", "Data", ge=0, le=10
    )
    sampler: Literal["gradient", "inside", "uniform", "balanced"] = setting(
        "inside",
        "Sampling",
        "Where patches are centered: likelier at edges, evenly inside the mask, anywhere, or every label equally "
        "often.",
        "Data",
    )
    n_patches: int = setting(20_000, "Patches", "Drawn once from the training subjects.", "Data", ge=64, le=2_000_000)
    whole_size: int = setting(
        0, "Size of whole images", "Edge in pixels or voxels after resampling; 0 keeps their own.", "Data", ge=0, le=256
    )
    scaling: ScalingName = setting(
        "unit",
        "Scaling",
        "0 to 1, the same made black and white, z-scores, whitened z-scores, or none; learnt from training alone.",
        "Data",
    )
    batch_size: int = setting(100, "Batch size", "Examples in a step.", "Training", ge=1, le=65_536)

    @property
    def example_source(self) -> ExampleSource:
        """What an example is, before the cohort fills in ``auto``."""
        return ExampleSource(
            self.source, _names(self.modality), _names(self.table), self.dimensions, self.patch_size, self.spacing_mm,
            self.sampler, self.whole_size,
        )  # fmt: skip

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work."""
        self.example_source.resolved(cohort).check(cohort)

    def preview(self, cohort: Cohort, n: int) -> PatchPreview:
        """Draw examples of the first subjects as training would see them, before any run is made."""
        source = self.example_source.resolved(cohort)
        shown = cohort.only([s.name for s in list(cohort)[: 2 if source.kind == "patches" else n]])
        source.check(shown)
        raw = source.examples(shown, n, self.seed, cohort.digest)
        x = Scaling.learn(raw.x, self.scaling).apply(raw.x)
        names = [raw.names[int(i)] for i in raw.subject]
        return PatchPreview(as_pictures(x).numpy(), names, None)

    def data(self, cohort: Cohort, run: Run, *, task: TaskName | None = None, target: str = "") -> Data:
        """Read, draw and scale the examples of the run's split, and leave in the run how that was done.

        Args:
            cohort: all subjects.
            run: its split says who is learnt from.
            task: None for learning without targets.
            target: a covariate to predict; empty takes the label at a patch's center, else the subject's target.
        """
        split = run.info.split or {"train": [s.name for s in cohort], "validation": [], "test": []}
        parts = {name: cohort.only(split[name]) for name in ("train", "validation", "test") if split.get(name)}
        if "train" not in parts:
            raise CohortError("The split leaves no subject for training; give more subjects to it.")
        source = self.example_source.resolved(parts["train"])
        source.check(cohort)
        n_held_out = max(FEWEST_HELD_OUT, self.n_patches // HELD_OUT_SHARE)
        found = {
            name: source.examples(
                part, self.n_patches if name == "train" else n_held_out, self.seed + i, cohort.digest,
                run_progress(run, "preparing"),
            )
            for i, (name, part) in enumerate(parts.items())
        }  # fmt: skip
        for part in found.values():
            check_same_shape(found["train"].names[0], found["train"].shape, part.names[0], part.shape)
        scaling = Scaling.learn(found["train"].x, self.scaling)
        targets: Targets | None = None
        values: tuple[int, ...] = ()
        if task is not None:
            targets, values, found = _with_targets(cohort, parts, found, task, target)
        scaled = {name: replace(part, x=scaling.apply(part.x)) for name, part in found.items()}
        blocks = source.blocks(parts["train"].subjects[0])
        data = Data(
            scaled["train"], scaled.get("validation"), scaled.get("test"), scaling, targets, source, blocks
        )  # fmt: skip
        _leave_record(run, data, values)
        return data

    def record(self, run: Run) -> Record:
        """Read how a trained run saw its examples.

        Raises:
            RunError: the run has not come that far.
        """
        return read_record(run, self.example_source)

    def batches(self, train: Examples, validation: Examples | None, stage: int, n_parts: int = 1) -> ExampleDataModule:
        """Give the batches of one stage, ``n_parts`` at once; every stage has an order of its own."""
        seed = self.seed * 1000 + stage
        return ExampleDataModule(train, validation, batch_size=self.batch_size, seed=seed, n_parts=n_parts)

    def examples_of(self, cohort: Cohort, run: Run, target: str | None = None, *, n: int = 0) -> Examples:
        """Give a cohort's examples as a trained run sees them, with the targets it learnt if ``target`` is given.

        Args:
            cohort: subjects, trained on or not.
            run: a trained run.
            target: a covariate, or empty as in training; None leaves targets out.
            n: patches to draw; 0 as many as were held out in training, and about 20 or more of each subject.

        Raises:
            CohortError: the examples have another shape than those trained on.
        """
        record = self.record(run)
        record.source.check(cohort)
        n = n or max(FEWEST_HELD_OUT, self.n_patches // HELD_OUT_SHARE, FEWEST_OF_ONE * len(cohort))
        raw = record.source.examples(cohort, n, self.seed + 17, cohort.digest)
        if raw.shape != record.shape:
            raise CohortError(
                f"The examples of {cohort.name} have the shape {raw.shape} and the run was trained on {record.shape}; "
                "bring the same columns, or images of the same size."
            )
        found = replace(raw, x=record.scaling.apply(raw.x))
        if target is None or record.targets is None:
            return replace(found, target=None)
        if record.label_values:
            return with_label_targets(found, record.label_values)
        return with_subject_targets(cohort, found, record.targets, target, "new")

    def seen(self, subject: Subject, run: Run) -> Tensor:
        """Give a subject's row or whole image as the network sees it, (1, *shape)."""
        return self.examples_of(Cohort(subject.folder / "cohort.csv", (subject,)), run).x

    def likely_shape(self) -> tuple[int, ...]:
        """Guess an example's shape from the settings alone, for an estimate; tables count as 100 columns."""
        n_images = max(1, len(_names(self.modality)))
        if self.source == "features":
            return (100,)
        if self.source == "whole":
            return (n_images, *[self.whole_size or 28] * 2)
        return (n_images, *[self.patch_size] * self.dimensions)

    def trained(self, run: Run, network: nn.Module) -> nn.Module:
        """Load a run's weights into its network, in eval mode.

        Raises:
            RunError: the run has no weights yet.
        """
        network.load_state_dict(run.trained_weights())
        return network.eval().requires_grad_(False)


def drawn(examples: Examples, n: int) -> Examples:
    """Give at most n examples in an order of chance, always the same one: cohorts may be sorted by class."""
    return examples.take(np.random.default_rng(13).permutation(len(examples))[:n])


def check_targets(cohort: Cohort, source: ExampleSource, task: TaskName, target: str) -> None:
    """Say before a run is made why targets could not be learnt.

    Args:
        cohort: all subjects.
        source: with everything that ``auto`` stood for.
        task: as in the settings.
        target: a covariate, or empty.

    Raises:
        CohortError: no target, or one class only.
        SettingsError: regression on words or labels.
    """
    if source.kind == "patches" and not target and all(s.label is not None for s in cohort):
        _refuse_regression(task)
    else:
        Targets.learn(targets_of(cohort, target), task)


def as_pictures(x: Tensor) -> Tensor:
    """Give examples or patterns as (n, C, X, Y[, Z]); a row of a table becomes a strip (n, 1, V, 1)."""
    return x[:, None, :, None] if x.ndim == 2 else x


def read_record(run: Run, source: ExampleSource) -> Record:
    """Read what :meth:`ExampleLearning.data` left in a run."""
    if "examples" not in run.list_arrays():
        raise RunError(f"Run {run.id} has not prepared its examples yet; wait until it is finished, or resume it.")
    kept = run.load_arrays("examples")
    blocks = {str(n): (int(a), int(b)) for n, (a, b) in zip(kept["block_names"], kept["block_bounds"], strict=True)}
    names = tuple(blocks)
    kind = cast(SourceName, str(kept["kind"]))
    is_table = kind == "features"
    found = replace(source, kind=kind, tables=names if is_table else (), modalities=() if is_table else names)
    targets = None
    if int(kept["supervised"]):
        mean, deviation = (float(v) for v in kept["moments"])
        targets = Targets(tuple(str(c) for c in kept["classes"]), mean, deviation)
    scaling = {n.removeprefix("scaling_"): a for n, a in kept.items() if n.startswith("scaling_")}
    return Record(
        tuple(int(n) for n in kept["shape"]), Scaling.from_arrays(scaling), targets,
        tuple(int(v) for v in kept["label_values"]), found, blocks,
    )  # fmt: skip


def _leave_record(run: Run, data: Data, label_values: tuple[int, ...]) -> None:
    targets = data.targets or Targets()
    held_out = data.held_out[0]
    run.save_arrays(
        "examples", shape=np.array(data.shape), kind=np.array(data.source.kind), label_values=np.array(label_values),
        block_names=np.array(list(data.blocks)), block_bounds=np.array(list(data.blocks.values())),
        supervised=np.array(data.targets is not None), classes=np.array(targets.classes, dtype=str),
        moments=np.array([targets.mean, targets.deviation]),
        **{f"scaling_{name}": array for name, array in data.scaling.to_arrays().items()},
    )  # fmt: skip
    run.save_arrays("patches", patches=drawn(held_out, N_SHOWN).x.numpy())


def _with_targets(
    cohort: Cohort, parts: dict[str, Cohort], found: dict[str, Examples], task: TaskName, target: str
) -> tuple[Targets, tuple[int, ...], dict[str, Examples]]:
    """Attach targets to the examples of every part, learnt from the training part."""
    train = found["train"]
    if train.target is not None and not target:  # labels at the centers of patches
        _refuse_regression(task)
        values = tuple(int(v) for v in train.target.unique())
        if len(values) < 2:
            raise CohortError(
                f"All training patches have the label {values[0]} at their center; a classifier needs at least two. "
                "Choose the balanced sampling, or another cohort."
            )
        names = cohort.label_names
        targets = Targets(tuple(names.get(v, f"label {v}") for v in values))
        return targets, values, {n: with_label_targets(e, values) for n, e in found.items()}
    targets = Targets.learn(targets_of(parts["train"], target), task)
    return targets, (), {n: with_subject_targets(parts[n], e, targets, target, n) for n, e in found.items()}


def _refuse_regression(task: TaskName) -> None:
    if task == "regression":
        raise SettingsError(
            "The labels at the centers of patches are classes, not numbers; choose classification, or name a numeric "
            "covariate as the target."
        )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
