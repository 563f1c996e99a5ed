"""Train all layers of a deep Boltzmann machine together (Section 2.3.3, Equation 8).

Each step takes data-dependent statistics from mean field and data-independent ones from Markov chains. Batches are
``{"image": (B, …)}``, flattened to the input layers, and for a machine with a label layer ``"target"`` (B,) classes,
of which -1 is unknown and inferred. It logs, for training and with ``val_`` before the name where it says so:

    loss               mean energy of the data's states less that of the chains: its gradient is followed, its value
                       says nothing about the likelihood
    reconstruction     squared error of the visible means given the hidden ones, summed over a patch (val_)
    free_energy        variational free energy of the data, nats (val_)
    free_energy_gap    that of the validation data less that of the training data of ``reference``: overfitting when
                       it grows (in validation only)
    mean_activation    mean over batch and hidden units
    change             largest change of a mean in the last mean-field sweep
    weight_<layer>     mean absolute weight below a hidden layer
    sd_<layer>         standard deviation of a layer's means over the batch
    dead_layers        how many hidden layers carry nothing; more than 0 is an alarm
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from workbench.models.boltzmann_machine import State
from workbench.models.dbm import DBM
from workbench.models.layer_graph import LABEL
from workbench.models.layers import step_generator

Batch = dict[str, Tensor]

LOG_EVERY = 10
"""Batches between two looks at the metrics of training; most of a step's time would else go there."""

MOMENTUM_EPOCHS = 5


class JointDBM(lightning.LightningModule):
    """Stochastic approximation: mean field for the data, Markov chains for the model (Salakhutdinov and Hinton 2009).

    Everything a resumed run needs is in the state: parameters, offsets, chains, running rates, velocity.

    Args:
        dbm: changed in place; pretrain it, or its upper layers may stay unused.
        negative: ``pcd`` keeps chains from step to step; ``cd`` begins each time at samples of the data's posterior.
        n_chains: of pcd.
        k: Gibbs sweeps a step.
        learning_rate: at the beginning.
        learning_rate_end: after ``n_steps_total`` steps, reached along a line; None keeps the rate. Persistent
            chains can follow the model only if the rate falls.
        n_steps_total: steps of the whole stage.
        momentum: in the first 5 epochs.
        final_momentum: afterwards.
        weight_decay: of weights; biases do not decay.
        sparsity_target: wanted mean activation of hidden units.
        sparsity_weight: by how much of its difference from the target a unit's bias is pulled; 0 for not at all.
        centering_rate: share by which offsets of a centered machine move to the batch's means.
        n_iterations: mean-field sweeps at most.
        blocks: layer → (first, last + 1) of its elements in the flattened image; needed with several inputs.
        reference: (n, V) training images, as many as there are for validation.
        seed: of chains and samples.
        stage: number of the stage in its run, so that stages draw differently.
    """

    chains: Tensor
    rates: Tensor
    n_steps: Tensor

    def __init__(
        self,
        dbm: DBM,
        *,
        negative: Literal["pcd", "cd"] = "pcd",
        n_chains: int = 100,
        k: int = 5,
        learning_rate: float = 0.005,
        learning_rate_end: float | None = None,
        n_steps_total: int = 0,
        momentum: float = 0.5,
        final_momentum: float = 0.9,
        weight_decay: float = 2e-4,
        sparsity_target: float = 0.05,
        sparsity_weight: float = 0.0,
        centering_rate: float = 0.01,
        n_iterations: int = 10,
        blocks: Mapping[str, tuple[int, int]] | None = None,
        reference: Tensor | None = None,
        seed: int = 0,
        stage: int = 0,
    ) -> None:
        super().__init__()
        if negative not in ("pcd", "cd"):
            raise LookupError(f"no negative phase is called {negative!r}; known are pcd, cd")
        if k < 1 or n_chains < 1 or n_iterations < 1:
            raise ValueError(f"k, n_chains and n_iterations are at least 1; got {k}, {n_chains}, {n_iterations}")
        self.automatic_optimization = False
        self.dbm, self.blocks, self.reference = dbm, _blocks(dbm, blocks), reference
        self.change = float("inf")
        self.save_hyperparameters(
            {
                "negative": negative, "n_chains": n_chains, "k": k, "learning_rate": learning_rate,
                "learning_rate_end": learning_rate if learning_rate_end is None else learning_rate_end,
                "n_steps_total": n_steps_total, "momentum": momentum, "final_momentum": final_momentum,
                "weight_decay": weight_decay, "sparsity_target": sparsity_target, "sparsity_weight": sparsity_weight,
                "centering_rate": centering_rate, "n_iterations": n_iterations, "seed": seed, "stage": stage,
            }
        )  # fmt: skip
        start = dbm.initial_state(n_chains, step_generator(seed, stage))
        self.register_buffer("chains", torch.cat(list(start.values()), 1))
        self.register_buffer("rates", torch.full((sum(dbm.graph.sizes.values()),), float(sparsity_target)))
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.long))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Make one step and give the loss, a scalar without gradient."""
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        state, loss = self.learn(batch, optimizer, self.current_epoch)
        if batch_index % LOG_EVERY == 0:
            metrics = {"loss": loss, **self.measures(state, batch), **self._life(state)}
            self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=len(batch["image"]))
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log how the machine does on held-out images, their labels unknown."""
        held_out = {"image": batch["image"]}
        measures = self.measures(self.positive(held_out)[0], held_out)
        values = {f"val_{name}": measures[name] for name in ("reconstruction", "free_energy")}
        if self.reference is not None:
            known = {"image": self.reference.to(batch["image"])}
            training = self.measures(self.positive(known)[0], known)["free_energy"]
            values["free_energy_gap"] = measures["free_energy"] - training
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(batch["image"]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give gradient descent with momentum; rate and momentum are set at each step."""
        return torch.optim.SGD(self.dbm.parameters(), lr=float(self.hparams["learning_rate"]), momentum=0.5)

    @torch.no_grad()
    def learn(
        self, batch: Batch, optimizer: torch.optim.Optimizer | LightningOptimizer, epoch: int
    ) -> tuple[State, Tensor]:
        """Make one step; give the data's mean-field state and the loss.

        Args:
            batch: image, and target for a machine with labels.
            optimizer: from :meth:`configure_optimizers`.
            epoch: counted from 0.
        """
        settings, step = self.hparams, int(self.n_steps)
        generator = step_generator(settings["seed"], settings["stage"], step, device=self.chains.device)
        state, self.change = self.positive(batch)
        negative = self._negative(state, batch, generator)
        loss = self.dbm.energy(state).mean() - self.dbm.energy(negative).mean()
        gradient = self.dbm.gradient(state, negative)
        self._regularize(gradient, state)
        for name, parameter in self.dbm.named_parameters():
            parameter.grad = gradient[name]
        done = min(1.0, step / settings["n_steps_total"]) if settings["n_steps_total"] else 0.0
        rate = settings["learning_rate"] + done * (settings["learning_rate_end"] - settings["learning_rate"])
        momentum = settings["momentum"] if epoch < MOMENTUM_EPOCHS else settings["final_momentum"]
        inner = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        inner.param_groups[0].update(lr=rate, momentum=momentum)
        optimizer.step()
        if self.dbm.centered:
            self.dbm.move_offsets({n: x.mean(0) for n, x in state.items()}, settings["centering_rate"])
        self.n_steps += 1
        return state, loss

    @torch.no_grad()
    def positive(self, batch: Batch) -> tuple[State, float]:
        """Give the mean-field state of a batch, known labels clamped, and the last change of a mean."""
        given = self._visible(batch["image"])
        target = batch.get("target") if self.dbm.graph.n_classes else None
        if target is None:
            result = self.dbm.mean_field(given, n_iterations=self.hparams["n_iterations"])
            return result.state, result.change
        state: State = {}
        changes = []
        for rows in ((target >= 0).nonzero()[:, 0], (target < 0).nonzero()[:, 0]):
            if not len(rows):
                continue
            clamped = {layer: value[rows] for layer, value in given.items()}
            if bool(target[rows[0]] >= 0):
                clamped[LABEL] = torch.eye(self.dbm.graph.n_classes).to(self.chains)[target[rows]]
            result = self.dbm.mean_field(clamped, n_iterations=self.hparams["n_iterations"])
            for layer, value in result.state.items():
                whole = state.setdefault(layer, value.new_empty(len(target), value.shape[1]))
                whole[rows] = value
            changes.append(result.change)
        return state, max(changes)

    @torch.no_grad()
    def measures(self, state: State, batch: Batch) -> dict[str, Tensor]:
        """Give reconstruction, free energy and mean activation of a batch in its mean-field state."""
        graph, clamped = self.dbm.graph, self._visible(batch["image"])
        errors = [
            (self.dbm.kinds[layer].mean(self.dbm.net_input(layer, state)) - x).square().sum(1).mean()
            for layer, x in clamped.items()
        ]
        return {
            "reconstruction": torch.stack(errors).sum(),
            "free_energy": self.dbm.variational_free_energy(state, clamped).mean(),
            "mean_activation": torch.cat([state[layer] for layer in graph.hidden], 1).mean(),
        }

    def _life(self, state: State) -> dict[str, Tensor]:
        result = {"change": torch.tensor(self.change)}
        n_dead = 0
        for layer, life in self.dbm.life_of(state).items():
            result[f"weight_{layer}"] = torch.tensor(life.mean_abs_weight)
            result[f"sd_{layer}"] = torch.tensor(life.sd_of_mu)
            n_dead += life.dead
        return result | {"dead_layers": torch.tensor(float(n_dead))}

    def _visible(self, image: Tensor) -> State:
        flat = image.flatten(1).to(self.chains)
        return self.dbm.observed({layer: flat[:, begin:end] for layer, (begin, end) in self.blocks.items()})

    def _negative(self, positive: State, batch: Batch, generator: torch.Generator) -> State:
        """Move the chains k sweeps and give their states."""
        if self.hparams["negative"] == "cd":
            start = {layer: _draw(self.dbm, layer, positive[layer], generator) for layer in self.dbm.graph.sizes}
            return self.dbm.gibbs(start | self._visible(batch["image"]), self.hparams["k"], generator)
        names, sizes = list(self.dbm.graph.sizes), list(self.dbm.graph.sizes.values())
        start = dict(zip(names, self.chains.split(sizes, 1), strict=True))
        state = self.dbm.gibbs(start, self.hparams["k"], generator)
        self.chains.copy_(torch.cat([state[name] for name in names], 1))
        return state

    def _regularize(self, gradient: dict[str, Tensor], state: State) -> None:
        settings = self.hparams
        if settings["weight_decay"]:
            for key, weight in self.dbm.weights.items():
                gradient[f"weights.{key}"] += settings["weight_decay"] * weight
        self.rates.lerp_(torch.cat([state[layer].mean(0) for layer in self.dbm.graph.sizes]), 0.1)
        if settings["sparsity_weight"]:
            rates = self.rates.split(list(self.dbm.graph.sizes.values()))
            for layer, rate in zip(self.dbm.graph.sizes, rates, strict=True):
                if layer in self.dbm.graph.hidden:
                    excess = rate - settings["sparsity_target"]
                    gradient[f"biases.{layer}"] += settings["sparsity_weight"] * excess


def _blocks(dbm: DBM, blocks: Mapping[str, tuple[int, int]] | None) -> dict[str, tuple[int, int]]:
    if blocks is None:
        if len(dbm.graph.inputs) != 1:
            raise ValueError(f"blocks must say which part of an image goes to each of {', '.join(dbm.graph.inputs)}")
        return {dbm.graph.inputs[0]: (0, dbm.graph.sizes[dbm.graph.inputs[0]])}
    if set(blocks) != set(dbm.graph.inputs):
        raise ValueError(f"blocks name the input layers {', '.join(dbm.graph.inputs)}; got {', '.join(blocks)}")
    return dict(blocks)


def _draw(dbm: DBM, layer: str, mean: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from independent units with these means (B, n)."""
    kind = dbm.kinds[layer]
    if dbm.graph.kind(layer) == "gaussian":
        return kind.sample(mean, generator)
    return kind.sample(mean.clamp_min(1e-30).log() if dbm.graph.kind(layer) == "softmax" else mean.logit(), generator)
