"""Train one layer of independent subspaces by projected gradient (Section 3.1; Wu et al., MICCAI 2013).

Batches are ``{"image": (B, K)}``: rows that are already whitened; one batch of all rows makes the descent exact. Logged
for training (the mean over the epoch's steps), and the first with ``val_`` before the name:

    loss             mean response of a unit: what is minimized
    fall             by how much a step lowered it
    orthonormality   the largest |W Wᵀ - 1|
"""

from __future__ import annotations

from collections.abc import Callable

import lightning
import torch
from torch import Tensor

from workbench.models.isa import ISA
from workbench.models.stacked_isa import descend

Batch = dict[str, Tensor]


class SubspaceLearning(lightning.LightningModule):
    """Take projected gradient steps, one a batch; no optimizer, since each step finds its own length.

    Filters, the next step's length and the number of steps are buffers, so a stopped run goes on where it was.

    Args:
        layer: changed in place; its whitening is not.
    """

    n_steps: Tensor

    def __init__(self, layer: ISA) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.layer = layer
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.long))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Take one step and give the objective after it."""
        before, after = descend(self.layer, batch["image"], int(self.n_steps))
        self.n_steps += 1
        weight = self.layer.weight
        error = (weight @ weight.T - torch.eye(len(weight), device=weight.device)).abs().max()
        loss = torch.tensor(after)
        values = {"loss": loss, "fall": torch.tensor(before - after), "orthonormality": error}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(batch["image"]))
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the objective over rows that nothing was learnt from."""
        self.log("val_loss", self.layer.objective(batch["image"]), batch_size=len(batch["image"]))

    def configure_optimizers(self) -> None:
        """Give none."""


class AxesLearning(lightning.LightningModule):
    """Find principal axes in one go, as a stage of its own: the control of the same dimension.

    Args:
        learn: does it in place, and gives the share of the variance that the axes keep.
        code: what it changes; its buffers are what the checkpoint holds.
    """

    def __init__(self, learn: Callable[[], float], code: torch.nn.Module) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.learn, self.code = learn, code

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Learn, and give the share of the variance that is lost."""
        lost = torch.tensor(1 - self.learn())
        self.log_dict({"loss": lost, "kept": 1 - lost}, on_step=False, on_epoch=True, batch_size=len(batch["image"]))
        return lost

    def configure_optimizers(self) -> None:
        """Give none."""
