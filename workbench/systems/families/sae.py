"""Stacked auto-encoders.

Review: Section 2.3.1, References 11, 69, 70 and 71, Figure 2a

Citation: Bengio Y, Lamblin P, Popovici D, Larochelle H. Greedy layer-wise training of deep networks. Advances in Neural
Information Processing Systems 19, 2007. Denoising: Vincent P, Larochelle H, Lajoie I, Bengio Y, Manzagol PA. Stacked
denoising autoencoders. Journal of Machine Learning Research 11:3371–3408, 2010.

Input: cubes of volumes, or squares of pictures and axial slices, with intensities in 0..1, drawn afresh in every
epoch; or whole pictures or small volumes, or rows of feature tables, scaled by the training examples alone.

Network: any number of fully connected layers, each an auto-encoder; weights tied or not; sigmoid hidden units.

Training: one layer at a time, plain, sparse (Kullback–Leibler, running mean) or denoising (masking, Gaussian, salt
and pepper); then the unrolled stack is fine-tuned on the reconstruction alone, without sparsity or noise. With 0
epochs a layer the stack is trained jointly from its random start, which the review says performs worse: compare.

Output: the code of an example; filters, reconstructions; from patches, feature vectors for every voxel.

Reported: the review prints no result for the family on its own.

Departs from the paper in: nothing known; sizes and rates are the user's choice and have no published value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
from pydantic import model_validator

from workbench.figures.network_parts import NetworkParts
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.metrics.intervals import mean_interval
from workbench.models.layers import ActivationName
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.patches.scaling import Scaling, ScalingName
from workbench.progress import Progress, silent
from workbench.runs.run import Run
from workbench.systems.base import Prediction, Preset, setting
from workbench.systems.example_source import ExampleSource
from workbench.systems.examples_base import ExampleLearning, Record, as_pictures, drawn
from workbench.systems.feature_images import PatchPreview
from workbench.systems.feature_scores import finite, reconstruction_scores
from workbench.systems.features_base import N_SCORED, QUICK, FeatureLearning
from workbench.systems.layered import network_parts
from workbench.systems.layered_stack import StackLayers
from workbench.systems.views import FilterBank, Reconstructions

SHORT = {"n_patches": 20_000, "n_epochs_pretraining": 10, "n_epochs_fine_tuning": 10, "weight_decay": 5e-4}


class SAE(FeatureLearning, ExampleLearning):
    """Settings of the family on its own; patches go the way of every encoder of voxels, other examples their own."""

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("full", "Three layers on 11³ patches, 50 epochs each; the review gives no size, so this one is ours."),
        Preset("cpu", "The same layers with fewer patches and epochs, for a laptop.", SHORT),
        Preset(
            "denoising",
            "A quarter of each layer's input is masked and must be filled in.",
            SHORT | {"corruption": "masking", "sparsity_weight": 0.0},
        ),
        Preset(
            "pictures",
            "Squares of 13 × 13 pixels of pictures, or of axial slices.",
            SHORT | {"source": "patches", "dimensions": 2, "patch_size": 13, "spacing_mm": 0.0, "n_hidden": (196, 64)},
        ),
        Preset(
            "tables",
            "Two layers on z-scores of feature tables, for some hundred subjects.",
            SHORT
            | {
                "source": "features",
                "scaling": "standardize",
                "n_hidden": (64, 16),
                "batch_size": 20,
                "n_epochs_pretraining": 50,
                "n_epochs_fine_tuning": 50,
            },
        ),
        Preset("quick", "Two small layers on 7³ patches: seconds.", QUICK),
    )

    modality: str = setting(
        "", "Modality", "Which image to learn from; whole images may have several, with commas; empty takes the first.",
        "Data",
    )  # fmt: skip
    scaling: ScalingName = setting(
        "unit",
        "Scaling",
        "Of whole images and tables: 0 to 1, black and white, z-scores, whitened, or none. Patches are in 0 to 1.",
        "Data",
    )
    sampler: Literal["gradient", "inside", "uniform"] = setting(
        "gradient", "Sampling", "Where patches are centered: likelier at edges, evenly inside the mask, or anywhere.",
        "Patches",
    )  # fmt: skip
    spacing_mm: float = setting(
        2.0,
        "Voxel size (mm)",
        "Images are resampled to cubes of this size; 0 keeps their own. Pictures keep theirs.",
        "Data",
        ge=0,
        le=10,
    )
    patch_size: int = setting(
        11, "Patch size (voxels)", "Edge of a patch; odd, so that it has a voxel in the middle.", "Patches", ge=3, le=41
    )
    n_epochs_pretraining: int = setting(
        50,
        "Epochs a layer",
        "Of the greedy pretraining; 0 trains all layers jointly from a random start.",
        "Training",
        ge=0,
        le=10_000,
    )
    n_epochs_fine_tuning: int = setting(
        50, "Epochs of fine-tuning", "Of the whole unrolled encoder and decoder.", "Training", ge=0, le=10_000
    )
    n_hidden: tuple[int, ...] = setting(
        (512, 256, 128),
        "Hidden units",
        "Of each layer, from the input up; the last is the code.",
        "Network",
        min_length=1,
        max_length=8,
    )
    hidden: ActivationName = setting(
        "sigmoid", "Hidden activation", "Of every hidden layer; sparsity needs sigmoid, tanh or relu.", "Network"
    )

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        if any(not 1 <= n <= 8192 for n in self.n_hidden):
            raise ValueError(f"every layer needs 1 to 8192 hidden units; got {list(self.n_hidden)}")
        if self.hidden == "linear" and self.sparsity_weight > 0:
            raise ValueError("linear hidden units have no mean activation to hold at ρ; set the sparsity weight to 0")
        return self

    def network(self, shape: tuple[int, ...] | None = None) -> StackedAutoEncoder:
        """Give the untrained stack for examples of this shape; None for the one that the settings say."""
        if shape is None:
            shape = self.patch_shape if self.source in ("auto", "patches") else self.likely_shape()
        return StackedAutoEncoder(
            shape,
            self.n_hidden,
            hidden=self.hidden,
            tied=self.tied,
            normalization="none" if len(shape) == 1 else self.normalization,  # columns have no brightness in common
            seed=self.seed,
        )

    def untrained(self, run: Run) -> StackedAutoEncoder:
        """Give the stack of a run before its weights are read."""
        return self.network(self.record(run).shape)

    def record(self, run: Run) -> Record:
        """Read how a trained run saw its examples.

        Raises:
            RunError: the run has not come that far.
        """
        if "reference" not in run.list_arrays():
            return super().record(run)
        source = replace(self.example_source, kind="patches", modalities=(self.modality,) if self.modality else ())
        unscaled = Scaling("none", torch.zeros(1), torch.ones(1))
        return Record(self.patch_shape, unscaled, None, (), source, {"v": (0, int(np.prod(self.patch_shape)))})

    def cannot_show(self, run: Run) -> frozenset[str]:
        """Name what only patches allow: similarity maps; and Figure 4, which needs pictures."""
        kind = self.record(run).source.kind
        return frozenset({"patches": (), "whole": ("prepared",)}.get(kind, ("prepared", "encoder_decoder")))

    def check(self, cohort: Cohort) -> None:
        """Say before a run is made what would not work."""
        source = self._source(cohort)
        FeatureLearning.check(self, cohort) if source.kind == "patches" else source.check(cohort)

    def preview(self, cohort: Cohort, n: int) -> PatchPreview:
        """Draw examples of the first subjects as training would see them, before any run is made."""
        road = FeatureLearning if self._source(cohort).kind == "patches" else ExampleLearning
        return road.preview(self, cohort, n)

    def fit(self, cohort: Cohort, run: Run) -> None:
        """Pretrain each layer on what the layers below make of the examples, then fine-tune the unrolled stack."""
        if "reference" in run.list_arrays() or self._source(cohort).kind == "patches":
            return FeatureLearning.fit(self, cohort, run)
        training = self.training_of(run, [replace(plan, n_batches=None) for plan in self.stages()])
        data = self.data(cohort, run)
        stack = self.network(data.shape)
        self.learn(training, stack, lambda index: self.batches(data.train, data.validation, index))
        held_out, where = data.held_out
        self.leave(run, stack, drawn(held_out, N_SCORED).x, where)

    def predict(self, subject: Subject, run: Run) -> Prediction:
        """Give the code of a subject's row or image, or of every voxel inside its mask."""
        if self.record(run).source.kind == "patches":
            return FeatureLearning.predict(self, subject, run)
        code = self.stack(run).encode(self.seen(subject, run))[0]
        return {f"unit {i + 1}": float(v) for i, v in enumerate(code)}

    def evaluate(self, cohort: Cohort, run: Run, progress: Progress = silent) -> dict[str, Any]:
        """Score how well patches of each subject are rebuilt, or its row or image: mean squared error."""
        if self.record(run).source.kind == "patches":
            return FeatureLearning.evaluate(self, cohort, run, progress)
        stack, found = self.stack(run), self.examples_of(cohort, run)
        errors = (stack(found.x) - stack.normalize(found.x)).square().flatten(1).mean(1).double().numpy()
        subjects = {found.names[int(i)]: {"mse": float(e)} for i, e in zip(found.subject, errors, strict=True)}
        return {"subjects": subjects, "summary": {"mse": finite(mean_interval(errors))}}

    def filter_bank(self, run: Run, depth: int) -> FilterBank:
        """Give the filters of a layer, counted from 1; a depth beyond the last gives the last."""
        record, bank = self.record(run), super().filter_bank(run, depth)
        patterns = as_pictures(record.scaling.pattern(torch.from_numpy(bank.weights))).numpy()
        norms = np.sqrt((patterns.reshape(len(patterns), -1) ** 2).sum(1))
        spacing = bank.spacing_mm if record.source.kind == "patches" else 0.0
        return replace(bank, weights=patterns, norms=norms, spacing_mm=spacing)

    def reconstructions(self, run: Run, n: int) -> Reconstructions:
        """Give n held-out examples with their reconstructions, in their own units unless each was normalized."""
        stack, scaling = self.stack(run), self.record(run).scaling
        x = torch.from_numpy(run.load_arrays("patches")["patches"][:n])
        undo: Callable[[torch.Tensor], torch.Tensor] = scaling.undo if stack.normalization == "none" else lambda t: t
        shown = [as_pictures(undo(t)).numpy() for t in (stack.normalize(x), stack(x))]
        return Reconstructions(shown[0], shown[1], reconstruction_scores(stack, x))

    def network_parts(self, run: Run) -> NetworkParts:
        """Give what Figure 2a draws, from the live network."""
        record, use = self.record(run), run.load_arrays("units")
        layered = StackLayers(cast(StackedAutoEncoder, self.stack(run)), record.blocks)
        return network_parts(layered, record, {name.replace("layer_", "h"): rates for name, rates in use.items()})

    def _source(self, cohort: Cohort) -> ExampleSource:
        """Say what an example of a cohort is."""
        return self.example_source.resolved(cohort)
