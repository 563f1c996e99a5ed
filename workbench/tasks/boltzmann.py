"""Train one energy model with hidden units by contrastive divergence (Section 2.3.2; Hinton 2002, Tieleman 2008).

The gradient is the closed form of mean F(data) - mean F(chains), Eq. 8; no graph is built. Batches are
``{"image": (B, *shape), "target": (B,) int64, optional}``. Logged, as means over every tenth step and the last one:

    loss              mean F(data) - mean F(chains): what the step descends, *not* a likelihood, and near 0 at the end
    free_energy       mean F(data); means nothing alone, since log Z is unknown
    reconstruction    squared error of E[v | E[h | v]], summed over elements; *not* a likelihood either
    mean_activation   mean over batch and hidden units of E[h | v]
    dead_units        share of hidden units whose running mean activation is below 0.001
    class_loss, accuracy   of models with labels: mean of -log p(y | v), and the share of right classes

In validation ``val_reconstruction``, ``val_free_energy``, ``val_class_loss`` and ``val_accuracy``, and with a
``reference`` the ``free_energy_gap``: mean F(held-out) - mean F(reference). A gap that grows is overfitting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from workbench.errors import SettingsError
from workbench.models.layers import DEAD_BELOW, step_generator
from workbench.models.rbm import RBM
from workbench.tasks.contrast import Chains, Observed, chains_of, class_measures, hybrid_gradient, mean_by_unit, observe

MEASURE_EVERY = 10
MOMENTUM_EPOCHS = 5
ACTIVATION_DECAY = 0.95
MOST_PARTS, FLOPS_AT_ONCE = 20, 1e10

Batch = dict[str, Tensor]
Below = Callable[[Tensor, torch.Generator | None], Tensor]


class ContrastiveDivergence(lightning.LightningModule):
    """CD-k or, with persistent chains, PCD-k (stochastic maximum likelihood).

    A step is u = momentum u + gradient, W = W - rate u, as torch's SGD takes it. Chance comes from (seed, stage, step)
    alone; the velocities u, the chains, the step and the running activations are buffers: a resumed run is exact.

    Args:
        model: an :class:`EnergyModel`, changed in place.
        k: Gibbs sweeps a step.
        persistent: whether chains go on where the last step left them; the rate should then fall to 0. They begin at
            the first batch.
        n_chains: of persistent ones; otherwise there is one chain an example.
        sample_visible: whether the last visible values of CD are drawn; False takes their means (Hinton 2012), which
            is faster and has less noise, but a bias: it ended lower in exact likelihood on digits. Persistent chains
            are always drawn.
        learning_rate: at the first step; 0.05 to 0.1 for binary visible units, 10 to 100 times less for Gaussian.
        learning_rate_end: at the last of ``n_steps_total`` steps, linear in between; None keeps it constant.
        n_steps_total: of the whole stage.
        mini_batch: examples an update at most, which cuts each batch into several; 0 takes the whole batch for one.
            Large batches in parts spare the trainer's time between batches (:func:`parts_at_once`).
        momentum: in the first 5 epochs.
        final_momentum: afterwards.
        weight_decay: lambda of lambda/2 ||W||²; biases do not decay.
        weight_l1: lambda of lambda ||W||_1, taken as a subgradient: weights come near 0 and do not stay at it. What it
            does depends on the scale of the gradient, and so on the number of visible units (Plis et al. 2014).
        sparsity_target: wanted mean activation of each hidden unit.
        sparsity_weight: what (running mean activation - target) is multiplied with in the hidden biases' gradient;
            0 switches it off. Weights are left alone.
        centering_rate: share of the way that the offsets of a centered model move to the batch's means at each step.
        max_update_norm: longest rate * gradient of one hidden unit's weights; 0 does not clip. It keeps models
            with Gaussian visible units from exploding.
        generative_share: of models with labels: a in (1 - a) * discriminative + a * generative gradient. 1 models
            p(v, y), 0 only p(y | v). Larochelle's alpha is a / (1 - a), with the rate multiplied by 1 - a.
        unlabeled_weight: of examples with target -1, which learn generatively with a class drawn from p(y | v).
        below: gives this model's visible values from a batch's images and a generator; None takes the images.
        reference: (N, *shape) fixed training images for ``free_energy_gap``, as many as are held out.
        seed: of all draws.
        stage: place of this stage in the run, another stream of draws each.
    """

    n_steps: Tensor
    activation: Tensor
    chains: Tensor
    reference: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        *,
        k: int = 1,
        persistent: bool = False,
        n_chains: int = 100,
        sample_visible: bool = True,
        learning_rate: float = 0.05,
        learning_rate_end: float | None = None,
        n_steps_total: int = 0,
        mini_batch: int = 0,
        momentum: float = 0.5,
        final_momentum: float = 0.9,
        weight_decay: float = 1e-4,
        weight_l1: float = 0.0,
        sparsity_target: float = 0.0,
        sparsity_weight: float = 0.0,
        centering_rate: float = 0.01,
        max_update_norm: float = 0.0,
        generative_share: float = 1.0,
        unlabeled_weight: float = 1.0,
        below: nn.Module | Below | None = None,
        reference: Tensor | None = None,
        seed: int = 0,
        stage: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["model", "below", "reference"])
        self.automatic_optimization = False
        self.settings: Any = self.hparams
        self.model: Any = model
        self.below: Any = below
        self._check_settings()
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.long))
        first = model.get_parameter("hidden_bias")
        self.register_buffer("activation", torch.zeros_like(first))
        visible_shape: Any = model.visible_shape
        self.register_buffer("chains", first.new_zeros([n_chains if persistent else 0, *visible_shape]))
        self.register_buffer("reference", reference, persistent=False)
        names = [name for name, _ in model.named_parameters()]
        self._weights = [name for name in names if name.endswith("weight")]
        self._biases = [name for name in names if not name.endswith("weight")]
        self.velocity = nn.Module()
        for name in names:
            self.velocity.register_buffer(name, torch.zeros_like(model.get_parameter(name)))
        self._step = 0
        self._reference_energy: Tensor | None = None
        self._watches_activation = sparsity_weight > 0 or getattr(model, "centered", False)

    def _check_settings(self) -> None:
        s = self.settings
        for name in ("k", "n_chains"):
            if s[name] < 1:
                raise SettingsError(f"{name} is at least 1; got {s[name]}.")
        if not 0 <= s.generative_share <= 1:
            raise SettingsError(f"generative_share is a share of 0 to 1; got {s.generative_share}.")
        if s.generative_share < 1 and not hasattr(self.model, "discriminative_gradient"):
            raise SettingsError("generative_share below 1 needs a model with labels; this one has none.")
        if s.sparsity_weight > 0 and s.sparsity_target <= 0:
            raise SettingsError(f"sparsity_target is above 0 when sparsity has weight; got {s.sparsity_target}.")
        if s.learning_rate_end is not None and s.n_steps_total < 1:
            raise SettingsError("A learning rate that falls to learning_rate_end needs n_steps_total, the steps to it.")

    def configure_optimizers(self) -> None:
        """Give none: the step is taken in place, by torch's SGD kernel on the velocities among the buffers."""

    def on_train_start(self) -> None:
        """Go on at the step of the checkpoint."""
        self._step = int(self.n_steps)

    @torch.no_grad()
    def training_step(self, batch: Batch, batch_index: int) -> Tensor | None:
        """Take one update, or one for each mini-batch; give the loss when it is measured."""
        x, target = batch["image"], batch.get("target")
        n_parts = -(-len(x) // self.settings.mini_batch) if self.settings.mini_batch else 1
        targets = (None,) * n_parts if target is None else target.tensor_split(n_parts)
        measures = []
        for i, part in enumerate(zip(x.tensor_split(n_parts), targets, strict=True)):
            last = self.trainer.is_last_batch and i == n_parts - 1
            measured = last or self._step == 0 or self._step % MEASURE_EVERY == MEASURE_EVERY - 1
            values = self._update(*part, measured=measured)
            measures += [values] if measured else []
        if not measures:
            return None
        means = {name: torch.stack([m[name] for m in measures if name in m]).mean() for name in measures[0]}
        self.log_dict(means, on_step=False, on_epoch=True, batch_size=len(x))
        return means["loss"]

    def _update(self, x: Tensor, target: Tensor | None, *, measured: bool) -> dict[str, Tensor]:
        """Take one step and give its measures."""
        generator = self._generator(x, self._step)
        v = self._visible_values(x, generator)
        if self._step == 0:
            self._check_range(v)
        data = observe(self.model, v, target, generator)
        chains = chains_of(self.model, self._run_chains(data, generator))
        if measured or self._watches_activation:
            h = self.model.hidden_mean(data.joint, **data.known)
            self._watch(data.joint, h)
        measures = self._measure(data, chains, h) if measured else {}
        s = self.settings
        self._descend(hybrid_gradient(self.model, data, chains, s.generative_share, s.unlabeled_weight))
        self._step += 1
        self.n_steps += 1
        return measures

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the measures of one held-out batch; nothing is drawn but what the layers below draw."""
        v = self._visible_values(batch["image"], self._generator(batch["image"], batch_index, 1))
        reconstruction = _squared_error(self.model.decode(self.model.encode(v)), v)
        measures = {"reconstruction": reconstruction, "free_energy": self.model.free_energy(v).mean()}
        if hasattr(self.model, "class_logits") and "target" in batch:
            measures |= class_measures(self.model, v, batch["target"])
        values = {f"val_{name}": value for name, value in measures.items()}
        if self._reference_energy is not None:
            values["free_energy_gap"] = measures["free_energy"] - self._reference_energy
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(v))

    def on_validation_epoch_start(self) -> None:
        """Measure the mean free energy of the reference under the present weights."""
        if self.reference is not None:
            v = self._visible_values(self.reference, self._generator(self.reference, 0, 2))
            self._reference_energy = torch.cat([self.model.free_energy(part) for part in v.split(256)]).mean()

    def _visible_values(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Give the model's visible values (B, V), without labels, of images (B, *shape)."""
        if self.below is not None:
            return self.below(x, generator)
        x = x.to(self.model.hidden_bias.dtype)
        return x.flatten(1) if len(self.model.visible_shape) == 1 else x

    def _run_chains(self, data: Observed, generator: torch.Generator) -> Tensor:
        """Give the visible values of the chains after k sweeps; the data where nothing generative is learned."""
        s = self.settings
        if s.generative_share == 0 and bool(data.labeled.all()):
            return data.joint
        if not s.persistent:
            return self.model.gibbs(data.joint, s.k, generator, sample_visible=s.sample_visible, **data.known)
        if self._step == 0:
            self.chains.copy_(data.joint[torch.arange(len(self.chains), device=self.device) % len(data.joint)])
        self.chains.copy_(self.model.gibbs(self.chains, s.k, generator))
        return self.chains

    def _watch(self, joint: Tensor, h: Tensor) -> None:
        """Take the batch into the running activations, and move the offsets of a centered model."""
        mean = mean_by_unit(h)
        self.activation.lerp_(mean, 1.0 if self._step == 0 else 1 - ACTIVATION_DECAY)
        if getattr(self.model, "centered", False):
            self.model.move_offsets(mean_by_unit(joint), mean, self.settings.centering_rate)

    def _measure(self, data: Observed, chains: Chains, h: Tensor) -> dict[str, Tensor]:
        """Give what the module's docstring names."""
        model, share, v = self.model, self.settings.generative_share, data.v
        energy = model.free_energy(data.joint, **data.known).mean()
        contrast = energy - model.free_energy(chains.v, **chains.known).mean()
        values = {
            "loss": contrast,
            "free_energy": energy if data.joint is v else model.free_energy(v).mean(),
            "reconstruction": _squared_error(model.decode(h), v),
            "mean_activation": h.mean(),
            "dead_units": (self.activation < DEAD_BELOW).float().mean(),
        }
        if data.target is not None and bool(data.labeled.any()):
            values |= class_measures(model, v[data.labeled], data.target[data.labeled])
            values["loss"] = share * contrast + (1 - share) * values["class_loss"]
        return values

    def _descend(self, gradient: dict[str, Tensor]) -> None:
        """Take the step of this gradient, which is changed."""
        s, rate = self.settings, self._learning_rate()
        momentum = s.momentum if self.current_epoch < MOMENTUM_EPOCHS else s.final_momentum
        if s.sparsity_weight > 0:
            gradient["hidden_bias"] += s.sparsity_weight * (self.activation - s.sparsity_target)
        for name in self._weights if s.weight_l1 > 0 else ():
            gradient[name] += s.weight_l1 * self.model.get_parameter(name).sign()
        for name in gradient if s.max_update_norm > 0 else ():
            if name.endswith("weight"):
                gradient[name] *= _clip(rate * gradient[name], s.max_update_norm)
        for decay, group in ((s.weight_decay, self._weights), (0.0, self._biases)):
            names = [name for name in group if name in gradient]
            sgd(
                [self.model.get_parameter(name) for name in names],
                [gradient[name] for name in names],
                [self.velocity.get_buffer(name) for name in names],
                weight_decay=decay, momentum=momentum, lr=rate, dampening=0.0, nesterov=False, maximize=False,
                has_sparse_grad=False, foreach=False, fused=True,
            )  # fmt: skip

    def _learning_rate(self) -> float:
        s = self.settings
        if s.learning_rate_end is None:
            return s.learning_rate
        share = min(1.0, self._step / max(1, s.n_steps_total - 1))
        return s.learning_rate + share * (s.learning_rate_end - s.learning_rate)

    def _generator(self, x: Tensor, *position: int) -> torch.Generator:
        return step_generator(self.settings.seed, self.settings.stage, *position, device=x.device)

    def _check_range(self, v: Tensor) -> None:
        low, high = (float(value) for value in torch.aminmax(v))
        if getattr(self.model, "visible", "") == "bernoulli" and (low < 0 or high > 1):
            raise SettingsError(
                f"Bernoulli visible units take values in 0..1, but these hold {low:.3g} to {high:.3g}; rescale the "
                "images to 0..1 or choose gaussian visible units."
            )


def parts_at_once(model: nn.Module, batch_size: int, k: int = 1) -> int:
    """Give how many updates of ``batch_size`` examples to hand over as one batch, for the option ``mini_batch``.

    Machines of few units take a millisecond an update, as long as the trainer's loop needs between two batches. Large
    ones, and convolutional ones, get one at a time: a stop is heard between batches.
    """
    if not isinstance(model, RBM):
        return 1
    flops = 2.0 * model.weight.numel() * batch_size * (3 + 2 * k)
    return max(1, min(MOST_PARTS, int(FLOPS_AT_ONCE / flops)))


def _clip(update: Tensor, limit: float) -> Tensor:
    """Give the factors (M, 1, ...) that bring each hidden unit's update (M, ...) to at most this length."""
    norms = update.flatten(1).norm(dim=1).reshape(-1, *[1] * (update.ndim - 1))
    return (limit / norms.clamp_min(1e-30)).clamp_max(1)


def _squared_error(z: Tensor, v: Tensor) -> Tensor:
    return (z - v).square().sum() / len(v)
