"""Image registration by features learnt without labels.

Review: Section 3.1, References 28 and 52, Figures 4, 5 and 6

Citation: Wu G, Kim M, Wang Q, Munsell BC, Shen D. Scalable high-performance image registration framework by
unsupervised deep feature representations learning. IEEE Transactions on Biomedical Engineering 63:1505–1516, 2016.
Before it: Wu G, Kim M, Wang Q, Gao Y, Liao S, Shen D. Unsupervised deep feature learning for deformable registration of
MR brain images. MICCAI 2013.

Input: skull-stripped, affinely aligned 3-D images of one modality, their intensities matched to one of them and scaled
to 0..1; cubes of 21 × 21 × 21 voxels at 1 mm, sampled where the gradient is large.

Network: a sparse auto-encoder stacked layer by layer, in convolutional form with max pooling between the layers, down
to a code of 128 numbers for each voxel; the decoder mirrors it.

Training: unsupervised. Each layer is pretrained to rebuild its own input under a Kullback–Leibler sparsity term, then
encoder and decoder are unrolled and fine-tuned on the reconstruction of the patch alone, so the codes lose some
sparsity.

Output: a feature vector for every voxel; for a point of a template, a map of its similarity to every voxel of a subject
under learnt features, raw intensity patches and a SIFT-like descriptor, as in Figure 5; registrations by HAMMER driven
by these features, beside hand-made attributes, raw patches and demons, as in Figure 6.

Reported: the review's Figures 5 and 6 show one point's maps and one subject's contours; no number of them is shown
here. Measured here on five pairs of phantoms (docs/figure5.md): under a bias field raw patches confuse most and learnt
features clearly less, as the review says; on clean images the intervals overlap; SIFT does not miss the
correspondence, its best match is on average the nearest; that learnt features are the least confusing was not shown in
any condition. On real images (docs/registration_real.md) HAMMER on a code of 32 numbers is above the same engine on
hand-made attributes everywhere; on 40 pairs of hippocampi (mean Dice 0.831) above demons in the mean (0.819), not told
apart from diffeomorphic demons (0.828) nor from raw patches of 125 numbers (0.834); on 12 pairs of infants (0.769)
above both demons (0.705, 0.707) and a little below raw patches (0.773); on two adults (0.558) below both (0.577,
0.573). Where the truth is known (docs/registration_recovery.md, phantoms of 3 mm) it ends 1.4 mm from it, demons
6.0 mm; like 7 T 6.7 mm, demons 16.7, raw patches 8.6. Without labels it is learnt anew from another contrast
(docs/registration_contrast.md).

Departs from the paper in: the sizes of the layers between patch and code, the sparsity weights and the learning rates,
which the review does not give and which are settings here; four layers with three poolings, chosen so that every map
divides exactly and the encoder can slide over a whole image; the presets for a CPU have fully connected layers and take
the mean out of every patch, which finds correspondences better (measured on phantoms); HAMMER's thresholds and
schedules, which could not be read and were chosen on ten hippocampi and two phantoms that no result is reported on, and
the warped image described anew between its two rounds, which is ours; SIFT is a dense 3-D descriptor in Lowe's manner,
since the review does not say which form was drawn.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from workbench.models.conv_autoencoder import ConvolutionalAutoEncoder, ConvStageSettings
from workbench.models.stack import Stack
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.systems.base import Preset, setting
from workbench.systems.features_base import QUICK, FeatureLearning

# sparse weights that suit an error summed over the whole patch; the mean of a patch says little about its place
DENSE = {
    "architecture": "fully connected",
    "normalization": "center",
    "sparsity_target": 0.1,
    "sparsity_weight": 0.02,
}


class Wu2016(FeatureLearning):
    """Settings of the system; the defaults are the paper's where it is known to us, the card says where not."""

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset("published", "The convolutional network on 21³ patches at 1 mm, for a GPU or a night."),
        Preset(
            "cpu",
            "Three fully connected layers on 11³ patches at 2 mm: the same recipe on a laptop.",
            {
                **DENSE, "spacing_mm": 2.0, "patch_size": 11, "n_hidden": (512, 256, 128),
                "weight_decay": 5e-4, "n_patches": 20_000, "n_epochs_pretraining": 10, "n_epochs_fine_tuning": 10,
            },
        ),
        Preset(
            "quick",
            "Two small layers on 7³ patches: seconds, to see the road from a file to a picture.",
            DENSE | QUICK,
        ),
    )  # fmt: skip

    sparsity_target: float = setting(
        0.05, "Sparsity target ρ", "Wanted mean activation of every hidden unit.", "Sparsity and noise", gt=0, lt=1
    )
    sparsity_weight: float = setting(
        0.5,
        "Sparsity weight β",
        "Of the Kullback–Leibler term, beside an error summed over the sub-patch; 0 switches it off.",
        "Sparsity and noise",
        ge=0,
        le=100,
    )
    architecture: Literal["convolutional", "fully connected"] = setting(
        "convolutional",
        "Architecture",
        "Layers that slide and pool as in the paper, or layers that see the whole patch.",
        "Network",
    )
    n_hidden: tuple[int, ...] = setting(
        (64, 128, 256, 128),
        "Hidden units",
        "Of each layer, from the input up; the last is the code.",
        "Network",
        min_length=1,
        max_length=8,
    )
    kernels: tuple[int, ...] = setting(
        (8, 2, 2, 1),
        "Kernels (voxels)",
        "Edge of the sub-patch that each convolutional layer encodes.",
        "Network",
        max_length=8,
    )
    pools: tuple[int, ...] = setting(
        (2, 2, 2, 1), "Pooling", "Max pooling above each convolutional layer; 1 is none.", "Network", max_length=8
    )

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        if any(not 1 <= n <= 8192 for n in self.n_hidden):
            raise ValueError(f"every layer needs 1 to 8192 hidden units; got {list(self.n_hidden)}")
        if self.architecture == "convolutional":
            if not len(self.n_hidden) == len(self.kernels) == len(self.pools):
                raise ValueError(
                    f"hidden units, kernels and pooling must name the same number of layers; got {len(self.n_hidden)}, "
                    f"{len(self.kernels)} and {len(self.pools)}"
                )
            if self.normalization != "none":
                raise ValueError(
                    "the convolutional form scales whole images, not patches; set the patch normalization to none"
                )
        self.network()
        return self

    def network(self) -> Stack:
        """Give the untrained stack."""
        if self.architecture == "fully connected":
            return StackedAutoEncoder(
                self.patch_shape, self.n_hidden, tied=self.tied, normalization=self.normalization, seed=self.seed
            )
        stages = [ConvStageSettings(*s) for s in zip(self.kernels, self.n_hidden, self.pools, strict=True)]
        return ConvolutionalAutoEncoder(self.patch_shape, stages, tied=self.tied, seed=self.seed)
