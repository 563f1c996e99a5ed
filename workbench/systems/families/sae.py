"""Stacked auto-encoders.

Review: Section 2.3.1, References 11, 69, 70 and 71, Figure 2a

Citation: Bengio Y, Lamblin P, Popovici D, Larochelle H. Greedy layer-wise training of deep networks. Advances in Neural
Information Processing Systems 19, 2007. Denoising: Vincent P, Larochelle H, Lajoie I, Bengio Y, Manzagol PA. Stacked
denoising autoencoders. Journal of Machine Learning Research 11:3371–3408, 2010.

Input: cubes of volumes, or squares of pictures and axial slices; intensities scaled to 0..1.

Network: any number of fully connected layers, each an auto-encoder; weights tied or not; sigmoid hidden units.

Training: one layer at a time, plain, sparse (Kullback–Leibler, running mean) or denoising (masking, Gaussian, salt
and pepper); then the unrolled stack is fine-tuned on the reconstruction alone, without sparsity or noise. With 0
epochs a layer the stack is trained jointly from its random start, which the review says performs worse: compare.

Output: the code of a patch; filters, reconstructions, and feature vectors for every voxel.

Reported: the review prints no result for the family on its own.

Departs from the paper in: nothing known; sizes and rates are the user's choice and have no published value.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator

from workbench.models.layers import ActivationName
from workbench.models.stack import Stack
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.systems.base import Preset, setting
from workbench.systems.features_base import QUICK, FeatureLearning

SHORT = {"n_patches": 20_000, "n_epochs_pretraining": 10, "n_epochs_fine_tuning": 10, "weight_decay": 5e-4}


class SAE(FeatureLearning):
    """Settings of the family on its own."""

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
            SHORT | {"dimensions": 2, "patch_size": 13, "spacing_mm": 0.0, "n_hidden": (196, 64)},
        ),
        Preset("quick", "Two small layers on 7³ patches: seconds.", QUICK),
    )

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

    def network(self) -> Stack:
        """Give the untrained stack."""
        return StackedAutoEncoder(
            self.patch_shape,
            self.n_hidden,
            hidden=self.hidden,
            tied=self.tied,
            normalization=self.normalization,
            seed=self.seed,
        )
