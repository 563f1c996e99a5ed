"""Train a stack of auto-encoders: one layer at a time, then encoder and decoder together (Sections 2.3.1, 2.4, 3.1).

Both tasks take batches ``{"image": (B, C, *spatial)}`` and log, for training and with ``val_`` before the name:

    loss              what is minimized
    reconstruction    squared error summed over the elements of a patch (of a layer's input), mean over the batch
    mse               the same divided by the number of elements
    sparsity          sum over units of KL(rho || rho_j) (L1 for relu), not multiplied by beta
    mean_activation   mean over batch and units, 0 to 1 (tanh rescaled)
    dead_units        share of units whose running mean activation is below 0.001

Training values are means over the epoch. Validation uses clean inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import lightning
import torch
from torch import Tensor, nn

from workbench.models.autoencoder import AutoEncoder
from workbench.models.layers import Corruption, KLSparsity, activation_rate, reconstruction_error, step_generator
from workbench.models.stack import Stack

OptimizerName = Literal["adam", "sgd"]
Batch = dict[str, Tensor]


class _Autoencoding(lightning.LightningModule):
    """What both tasks share: the step, its randomness, and the log."""

    def __init__(self, stack: Stack, settings: dict[str, int | float | str], corruption: Corruption) -> None:
        super().__init__()
        self.stack, self.corruption = stack, corruption
        self.settings = settings | {"corruption": corruption.kind, "amount": corruption.amount}
        self.save_hyperparameters(self.settings)

    def forward(self, x: Tensor) -> Tensor:
        """Give the stack's reconstruction (B, C, *spatial)."""
        return self.stack(x)

    def losses(self, x: Tensor, generator: torch.Generator, corruption: Corruption) -> dict[str, Tensor]:
        """Give ``loss`` and everything that is logged, for patches (B, C, *spatial)."""
        raise NotImplementedError

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Give the loss of one batch; corruption and places are drawn from (seed, stage, step) alone."""
        generator = self._generator(batch["image"], self.global_step)
        losses = self.losses(batch["image"], generator, self.corruption)
        self._log(losses, "", len(batch["image"]))
        return losses["loss"]

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the losses of one clean batch; the same places are looked at in every epoch."""
        generator = self._generator(batch["image"], batch_index, 1)
        self._log(self.losses(batch["image"], generator, Corruption()), "val_", len(batch["image"]))

    def _generator(self, x: Tensor, *position: int) -> torch.Generator:
        return step_generator(int(self.settings["seed"]), int(self.settings["index"]), *position, device=x.device)

    def _log(self, losses: dict[str, Tensor], prefix: str, n_patches: int) -> None:
        values = {prefix + name: value.detach() for name, value in losses.items()}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=n_patches)

    def _optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        rate = float(self.settings["learning_rate"])
        if self.settings["optimizer"] == "sgd":
            return torch.optim.SGD(parameters, lr=rate, momentum=0.9)
        if self.settings["optimizer"] != "adam":
            raise LookupError(f"no optimizer is called {self.settings['optimizer']!r}; known are adam, sgd")
        return torch.optim.Adam(parameters, lr=rate)


class LayerPretraining(_Autoencoding):
    """Train one auto-encoder of a stack on what the frozen layers below make of the patches.

    The loss is L = 1/N sum_n e(z_n, v_n) + beta sum_j KL(rho || rho_j) + weight_decay ||W||² + contraction ||dh/dv||².
    The error e is *summed* over the elements of the layer's input v and averaged over the N inputs; the sparsity is
    summed over hidden units. A beta found for one patch size therefore weighs less on a larger patch, and a beta for
    a mean error must be multiplied by the number of elements. e is the squared error for linear visible units, the
    cross-entropy for sigmoid ones. With a corruption the *layer's own* input is destroyed and e compares with the
    clean one. Only this layer's parameters learn; the stack that was handed in is the one that changes.

    Args:
        stack: the whole stack; layers below ``index`` are already trained.
        index: layer, counted from 0.
        corruption: of the layer's input.
        rho: wanted mean activation.
        beta: weight of the sparsity; 0 switches it off.
        weight_decay: lambda of the sheet's lambda ||W||²; biases do not decay.
        learning_rate: of the optimizer.
        seed: of corruption and places.
        optimizer: ``adam``, or ``sgd`` with momentum 0.9.
        contraction: weight of the contractive penalty.
        decay: of the running mean activation.
    """

    def __init__(
        self,
        stack: Stack,
        index: int,
        *,
        corruption: Corruption | None = None,
        rho: float = 0.1,
        beta: float = 0.02,
        weight_decay: float = 0.0,
        learning_rate: float = 1e-3,
        seed: int = 0,
        optimizer: OptimizerName = "adam",
        contraction: float = 0.0,
        decay: float = 0.9,
    ) -> None:
        settings: dict[str, int | float | str] = {
            "index": index, "rho": rho, "beta": beta, "weight_decay": weight_decay, "learning_rate": learning_rate,
            "seed": seed, "optimizer": optimizer, "contraction": contraction, "decay": decay,
        }  # fmt: skip
        super().__init__(stack, settings, corruption or Corruption())
        if not 0 <= index < stack.n_layers:
            raise ValueError(f"the stack has {stack.n_layers} layers, counted from 0; there is no layer {index}")
        self.index, self.beta, self.weight_decay, self.contraction = index, beta, weight_decay, contraction
        if beta > 0 and self.layer.hidden == "linear":
            raise ValueError("linear hidden units have no mean activation to hold at rho; set beta to 0")
        self.sparsity = KLSparsity(self.layer.n_hidden, rho, decay, self.layer.hidden)

    @property
    def layer(self) -> AutoEncoder:
        """The auto-encoder that learns."""
        return self.stack.layer(self.index)

    def setup(self, stage: str) -> None:
        """Freeze every layer but this one."""
        self.stack.requires_grad_(False)
        self.layer.requires_grad_(True)

    def losses(self, x: Tensor, generator: torch.Generator, corruption: Corruption) -> dict[str, Tensor]:
        """Give the loss of this layer and its parts for patches (B, C, *spatial)."""
        clean = self.stack.layer_input(x, self.index, generator)
        h = self.layer.encode(corruption(clean, generator))
        z = self.layer.decode(h)
        sparsity = self.sparsity.penalty(h)
        loss = _error(z, clean, self.layer.visible) + self.beta * sparsity
        if self.weight_decay:
            loss = loss + self.weight_decay * _squared_norm(self.layer.weights)
        if self.contraction:
            loss = loss + self.contraction * self.layer.contraction(h)
        return {"loss": loss, "sparsity": sparsity, **_measures(z, clean, h, self.sparsity)}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give the optimizer of this layer alone."""
        return self._optimizer(self.layer.parameters())


class FineTuning(_Autoencoding):
    """Unroll the stack into one encoder and decoder and minimize the reconstruction error of the patch.

    The loss is L = 1/N sum_n e(z_n, x_n) + weight_decay sum_l ||W_l||², with e summed over the elements of the patch
    as in :class:`LayerPretraining`. ``sparsity`` is logged for the code but not part of the loss. Without
    pretraining before it, this trains the stack jointly from its random start.

    Args:
        stack: changed in place.
        learning_rate: of the optimizer.
        weight_decay: of all weights; biases do not decay.
        corruption: of the patch, before its normalization; the target is the clean normalized patch.
        seed: of the corruption.
        optimizer: ``adam``, or ``sgd`` with momentum 0.9.
        rho: the mean activation that the logged sparsity compares with.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        corruption: Corruption | None = None,
        seed: int = 0,
        optimizer: OptimizerName = "adam",
        rho: float = 0.1,
    ) -> None:
        settings: dict[str, int | float | str] = {
            "index": stack.n_layers, "learning_rate": learning_rate, "weight_decay": weight_decay, "seed": seed,
            "optimizer": optimizer, "rho": rho,
        }  # fmt: skip
        super().__init__(stack, settings, corruption or Corruption())
        self.weight_decay = weight_decay
        top = stack.layer(stack.n_layers - 1)
        self.sparsity = KLSparsity(top.n_hidden, rho, hidden=top.hidden)

    def setup(self, stage: str) -> None:
        """Let every layer learn again."""
        self.stack.requires_grad_(True)

    def losses(self, x: Tensor, generator: torch.Generator, corruption: Corruption) -> dict[str, Tensor]:
        """Give the loss of the unrolled stack and its parts for patches (B, C, *spatial)."""
        target = self.stack.normalize(x)
        code = self.stack.encode(corruption(x, generator))
        z = self.stack.decode(code)
        loss = _error(z, target, self.stack.visible)
        if self.weight_decay:
            layers = map(self.stack.layer, range(self.stack.n_layers))
            loss = loss + self.weight_decay * _squared_norm([w for layer in layers for w in layer.weights])
        with torch.no_grad():
            sparsity = self.sparsity.penalty(code)
        return {"loss": loss, "sparsity": sparsity, **_measures(z, target, code, self.sparsity)}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give the optimizer of all layers."""
        return self._optimizer(self.stack.parameters())


def _error(z: Tensor, target: Tensor, visible: str) -> Tensor:
    """Give the batch mean of the summed error, or say that a cross-entropy has no meaning for these targets."""
    if visible == "sigmoid":
        low, high = torch.aminmax(target)
        if low < 0 or high > 1:
            raise ValueError(
                f"sigmoid visible units reconstruct values in [0, 1], but these patches hold {low:.3g} to {high:.3g}; "
                "rescale the images to 0..1 or choose linear visible units"
            )
    return reconstruction_error(z, target, visible).mean()


def _measures(z: Tensor, target: Tensor, h: Tensor, sparsity: KLSparsity) -> dict[str, Tensor]:
    """Give what is logged beside the loss."""
    with torch.no_grad():
        reconstruction = reconstruction_error(z, target, "linear").mean()
        return {
            "reconstruction": reconstruction,
            "mse": reconstruction / math.prod(target.shape[1:]),
            "mean_activation": activation_rate(h, sparsity.hidden).mean(),
            "dead_units": sparsity.dead_share,
        }


def _squared_norm(weights: Iterable[Tensor]) -> Tensor:
    return torch.stack([w.square().sum() for w in weights]).sum()
