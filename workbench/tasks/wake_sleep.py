"""Train all layers of a deep belief network together by the contrastive wake-sleep rule (Section 2.3.2, Reference 75).

Batches are ``{"image": (B, C, *spatial)}``, with ``"target"`` (B,) where the top knows classes. Logged for training
(means over every tenth step and the last one), and with ``val_`` before the name:

    wake             -log P(h_l | h_{l+1}) summed over the directed layers, nats, mean over the data
    sleep            -log q(h_{l+1} | h_l) summed over the directed layers, nats, mean over the dreams
    contrast         mean free energy of the top at the data minus that at its chains, nats
    loss             the sum of the three. Its gradient is followed, but it is no likelihood: each part is a mean over
                     samples that the present weights drew. The bound is the measure (``models/belief_likelihood.py``).
    reconstruction   squared error of one mean pass up and down, summed over the elements of a patch; no likelihood
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
import torch
from torch import Tensor

from workbench.errors import SettingsError
from workbench.models.layers import step_generator
from workbench.models.up_down import UpDown, UpDownStep

Batch = dict[str, Tensor]

MEASURE_EVERY = 10


class WakeSleep(lightning.LightningModule):
    """Take contrastive wake-sleep steps (Hinton, Osindero and Teh, Neural Comput. 2006, Appendix B).

    Args:
        net: changed in place; made from a DBN that was pretrained greedily.
        k: Gibbs steps of the top's chains in each step. Several numbers share the training equally, in their order;
            that needs ``n_steps_total``.
        learning_rate: about a tenth of that of pretraining.
        weight_decay: of weights; biases do not decay.
        n_chains: persistent chains of the top, kept from step to step; with 0 the chains start at the data each time.
        n_steps_total: steps of the whole training; 0 if it is not known.
        seed: of all draws.
        stage: number of the stage in its run, likewise.
    """

    n_steps: Tensor
    chains: Tensor

    def __init__(
        self,
        net: UpDown,
        *,
        k: int | Sequence[int] = 3,
        learning_rate: float = 0.005,
        weight_decay: float = 0.0,
        n_chains: int = 0,
        n_steps_total: int = 0,
        seed: int = 0,
        stage: int = 0,
    ) -> None:
        super().__init__()
        ks = [k] if isinstance(k, int) else [int(n) for n in k]
        if not ks or min(ks) < 1:
            raise ValueError(f"k is one or more numbers of Gibbs steps, each at least 1; got {k}")
        if len(ks) > 1 and n_steps_total < 1:
            raise ValueError(f"the numbers of Gibbs steps {ks} share the training; give n_steps_total")
        self.automatic_optimization = False
        self.net = net
        self.settings: dict[str, Any] = {
            "k": ks, "learning_rate": learning_rate, "weight_decay": weight_decay, "n_chains": n_chains,
            "n_steps_total": n_steps_total, "seed": seed, "stage": stage,
        }  # fmt: skip
        self.save_hyperparameters(self.settings)
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("chains", net.top.weight.new_zeros((n_chains, *net.top.visible_shape)))
        self._step = 0

    def forward(self, x: Tensor) -> Tensor:
        """Give the reconstruction (B, C, *spatial)."""
        return self.net(x)

    def k_at(self, step: int) -> int:
        """Give the Gibbs steps at a step of the training."""
        ks, n = self.settings["k"], self.settings["n_steps_total"]
        return ks[min(len(ks) * step // n, len(ks) - 1)] if len(ks) > 1 else ks[0]

    def on_train_start(self) -> None:
        """Go on at the step of the checkpoint."""
        self._step = int(self.n_steps)

    @torch.no_grad()
    def training_step(self, batch: Batch, batch_index: int) -> Tensor | None:
        """Learn from one batch, and give the loss when it is measured; chance comes from (seed, stage, step) alone."""
        step, x = self._step, batch["image"]
        if step == 0:
            self._check_range(x)
        found = self._find(batch, step, self.k_at(step))
        if len(self.chains):
            self.chains.copy_(found.end)
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        for name, parameter in self.net.named_parameters():
            parameter.grad = found.gradient[name]
        measured = step % MEASURE_EVERY == MEASURE_EVERY - 1 or step == 0 or self.trainer.is_last_batch
        loss = self._log(found, x, "") if measured else None
        optimizer.step()
        self._step += 1
        self.n_steps += 1
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log what a step on one batch would find; the same draws in every epoch."""
        self._log(self._find(batch, batch_index, 1, 1), batch["image"], "val_")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give plain gradient descent, weights with decay and biases without."""
        named = dict(self.net.named_parameters())
        weights = [p for p in named.values() if p.ndim == 2]
        biases = [p for p in named.values() if p.ndim == 1]
        decay = self.settings["weight_decay"]
        groups = [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}]
        return torch.optim.SGD(groups, lr=self.settings["learning_rate"])

    def _find(self, batch: Batch, step: int, k: int, *purpose: int) -> UpDownStep:
        x, settings = batch["image"], self.settings
        generator = step_generator(settings["seed"], settings["stage"], step, *purpose, device=x.device)
        classes, chains = batch.get("target") if self.net.n_classes else None, None
        if len(self.chains) and not purpose:
            chains = self.chains if step else self.net.first_chains(len(self.chains), x, generator)
        return self.net.wake_sleep(x, k, generator, chains=chains, classes=classes)

    def _check_range(self, x: Tensor) -> None:
        low, high = (float(value) for value in torch.aminmax(x))
        if self.net.visible == "sigmoid" and (low < 0 or high > 1):
            raise SettingsError(
                f"Bernoulli visible units take values in 0..1, but these hold {low:.3g} to {high:.3g}; rescale the "
                "images to 0..1 or choose gaussian visible units."
            )

    @torch.no_grad()
    def _log(self, found: UpDownStep, x: Tensor, prefix: str) -> Tensor:
        values = {"wake": found.wake, "sleep": found.sleep, "contrast": found.contrast}
        loss = torch.stack(list(values.values())).sum()
        error = (self.net(x) - self.net.normalize(x)).square().flatten(1).sum(1).mean()
        values |= {"loss": loss, "reconstruction": error}
        self.log_dict(
            {prefix + name: value for name, value in values.items()}, on_step=False, on_epoch=True, batch_size=len(x)
        )
        return loss
