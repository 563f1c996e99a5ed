"""Stacked sparse auto-encoders as a system's first stages: layer by layer, unrolled, then refined on labels.

Sections 2.3.1 and 2.4; the road of Guo et al. 2016 (Reference 90), where a softmax on top of the encoder turns codes
that rebuild a patch into codes that tell what lies in its middle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from workbench.models.finetuning import stack_to_network
from workbench.models.layers import Corruption
from workbench.models.stack import Stack
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.patches.datamodule import PatchDataModule
from workbench.patches.examples import ExampleDataModule
from workbench.patches.loader import Batch
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.tasks.autoencoding import FineTuning, LayerPretraining
from workbench.tasks.supervised import Supervised

FINE_TUNE, REFINE = "fine-tune", "supervised refinement"
Batches = Callable[[int], PatchDataModule | ExampleDataModule]
"""The number of a stage → its batches."""


@dataclass(frozen=True)
class StackRecipe:
    """How a stack is trained.

    Attributes:
        rho, beta: wanted mean activation, and the weight of the Kullback–Leibler term beside an error summed over a
            layer's input.
        weight_decay: of λ‖W‖².
        corruption: of every layer's input.
        learning_rate: of Adam; fine-tuning and refinement after pretraining use a third.
        n_epochs_pretraining, n_epochs_fine_tuning, n_epochs_refinement: of a layer, of the unrolled stack, on labels.
        seed: of everything random.
    """

    rho: float
    beta: float
    weight_decay: float
    corruption: Corruption
    learning_rate: float
    n_epochs_pretraining: int
    n_epochs_fine_tuning: int
    n_epochs_refinement: int
    seed: int

    def plans(self, n_layers: int, n_batches: int) -> list[StagePlan]:
        """Name the stages that have epochs, in their order."""
        plans = [StagePlan(f"pretrain {i + 1}", self.n_epochs_pretraining, n_batches) for i in range(n_layers)]
        plans.append(StagePlan(FINE_TUNE, self.n_epochs_fine_tuning, n_batches))
        plans.append(StagePlan(REFINE, self.n_epochs_refinement, n_batches))
        return [plan for plan in plans if plan.n_epochs]

    def pretrain(self, training: Training, stack: Stack, batches: Batches) -> None:
        """Train a stack in place without labels; ``batches`` gives those of a stage, by its number."""
        for index in range(stack.n_layers if self.n_epochs_pretraining else 0):
            task = LayerPretraining(
                stack, index, corruption=self.corruption, rho=self.rho, beta=self.beta, weight_decay=self.weight_decay,
                learning_rate=self.learning_rate, seed=self.seed,
            )  # fmt: skip
            training.stage(f"pretrain {index + 1}", task, batches(index), n_epochs=self.n_epochs_pretraining)
        if self.n_epochs_fine_tuning:
            tuning = FineTuning(
                stack, learning_rate=self._later_rate, weight_decay=self.weight_decay, seed=self.seed, rho=self.rho
            )
            training.stage(FINE_TUNE, tuning, batches(stack.n_layers), n_epochs=self.n_epochs_fine_tuning)

    def refine(
        self, training: Training, stack: StackedAutoEncoder, n_classes: int, batches: Batches
    ) -> StackedAutoEncoder:
        """Put a softmax on top and train everything on the class of each patch's middle.

        Args:
            training: of the run.
            stack: trained without labels; stays as it is.
            n_classes: K.
            batches: of patches with a class.

        Returns:
            A stack whose encoder is the refined one; its decoder, which nothing trained, is the transpose or as it was.
        """
        network = stack_to_network(stack, n_classes, seed=self.seed)
        stage = stack.n_layers + 1
        task = Supervised(
            network, learning_rate=self._later_rate, weight_decay=self.weight_decay, seed=self.seed, stage=stage
        )
        training.stage(REFINE, task, batches(stage), n_epochs=self.n_epochs_refinement)
        refined = StackedAutoEncoder(
            stack.patch_shape, [stack.layer(i).n_hidden for i in range(stack.n_layers)],
            tied=stack.layer(0).free_decoder_weight is None, normalization=stack.normalization,  # type: ignore[arg-type]
        )  # fmt: skip
        refined.load_state_dict(stack.state_dict())
        with torch.no_grad():
            for index, layer in enumerate(network.hidden):
                assert isinstance(layer, nn.Linear)
                refined.layer(index).weight.copy_(layer.weight)
                refined.layer(index).hidden_bias.copy_(layer.bias)
        return refined.eval()

    @property
    def _later_rate(self) -> float:
        return self.learning_rate / 3 if self.n_epochs_pretraining else self.learning_rate


class ClassedPatches(PatchDataModule):
    """Patches with the class of their middle voxel as what a network is to say: ``target`` (B,) int64."""

    def train_batch(self, epoch: int, index: int) -> Batch:
        """Give one batch, a function of (seed, epoch, index)."""
        return _with_target(super().train_batch(epoch, index))

    def validation_batch(self, index: int) -> Batch:
        """Give one batch of the fixed validation patches."""
        return _with_target(super().validation_batch(index))


def _with_target(batch: Batch) -> Batch:
    return {**batch, "target": batch["label"]}
