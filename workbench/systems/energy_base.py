"""The base of energy models: contrastive divergence as settings, reconstructions, codes, noise, likelihood."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from workbench.errors import CohortError, SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.geometry import resample_like
from workbench.imaging.subject import Subject
from workbench.metrics.intervals import mean_interval
from workbench.metrics.likelihood import PartitionEstimate
from workbench.models.class_rbm import ClassRBM
from workbench.patches.examples import Examples
from workbench.patches.gather import gather
from workbench.progress import Progress, silent
from workbench.runs.run import Run
from workbench.runs.training import Training
from workbench.systems.base import Cost, Prediction, setting
from workbench.systems.examples_base import Data, ExampleLearning, Record, as_pictures, drawn
from workbench.systems.feature_scores import finite
from workbench.systems.views import NoiseCurve, Reconstructions
from workbench.tasks.boltzmann import ContrastiveDivergence, parts_at_once

N_KEPT = 2000
N_AT_ONCE = 2048
EFFICIENCY = 0.3
GAUSSIAN_UPDATE = 0.1
"""Longest step of one hidden unit's weights on Gaussian visible units, which explode without a bound."""


class Machine(Protocol):
    """What the base asks of a trained generative network on examples (B, *shape)."""

    def encode(self, x: Tensor) -> Tensor:
        """Give posterior means of the top units (B, M)."""

    def __call__(self, x: Tensor) -> Tensor:
        """Give the mean reconstruction (B, *shape)."""


class EnergyLearning(ExampleLearning):
    """Unsupervised learning of a distribution by contrastive divergence (Section 2.3.2)."""

    n_epochs: int = setting(100, "Epochs", "Passes over the examples, for each layer.", "Training", ge=1, le=100_000)
    learning_rate: float = setting(
        0.05,
        "Learning rate",
        "At the start; falls to 0 at the end. Gaussian units take a tenth.",
        "Training",
        gt=0,
        le=1,
    )
    n_gibbs: int = setting(1, "Gibbs steps k", "Of each update.", "Training", ge=1, le=1000)
    persistent: bool = setting(
        True,
        "Persistent chains",
        "Chains go on from update to update (PCD) and do not restart at the data.",
        "Training",
    )
    n_chains: int = setting(100, "Chains", "How many persistent chains.", "Training", ge=1, le=10_000)
    weight_decay: float = setting(1e-4, "Weight decay λ", "Of weights, not biases.", "Training", ge=0, le=1)
    momentum: float = setting(0.5, "First momentum", "Of the first five epochs.", "Training", ge=0, lt=1)
    final_momentum: float = setting(0.5, "Later momentum", "After five epochs.", "Training", ge=0, lt=1)
    centered: bool = setting(
        False, "Centering", "Subtract running means from the units, so that flipping black and white changes nothing.",
        "Network",
    )  # fmt: skip
    sparsity_target: float = setting(
        0.0, "Sparsity target", "Wanted mean activation of hidden units; 0 switches it off.", "Network", ge=0, lt=1
    )
    sparsity_weight: float = setting(0.1, "Sparsity weight", "Of the pull to the target.", "Network", ge=0, le=10)

    @property
    def visible_kind(self) -> str:
        """Bernoulli units for values in 0..1, Gaussian ones for z-scores."""
        return "bernoulli" if self.scaling in ("unit", "binary") else "gaussian"

    def net(self, run: Run) -> Any:
        """Give the trained network of a run, in eval mode."""
        raise NotImplementedError  # abstract

    def divergence(
        self, model: nn.Module, training: Training, name: str, data: Data, *, stage: int,
        below: Callable[..., Tensor] | None, rate: float = 1.0, n_epochs: int | None = None,
    ) -> None:  # fmt: skip
        """Train one energy model by contrastive divergence, in place, as one stage."""
        n_epochs = n_epochs or self.n_epochs
        n_parts = parts_at_once(model, self.batch_size, self.n_gibbs)
        batches = self.batches(data.train, data.validation, stage, n_parts)
        first = self.learning_rate * rate
        task = ContrastiveDivergence(
            model, k=self.n_gibbs, persistent=self.persistent, n_chains=self.n_chains, learning_rate=first,
            learning_rate_end=0.0, n_steps_total=batches.n_updates * n_epochs, mini_batch=self.batch_size,
            momentum=self.momentum, final_momentum=self.final_momentum, weight_decay=self.weight_decay,
            sparsity_target=self.sparsity_target,
            sparsity_weight=self.sparsity_weight if self.sparsity_target else 0.0,
            max_update_norm=GAUSSIAN_UPDATE if rate < 1 else 0.0,
            generative_share=getattr(self, "generative_share", 1.0) if isinstance(model, ClassRBM) else 1.0,
            below=below, seed=self.seed, stage=stage,
            reference=_reference(data),
        )  # fmt: skip
        training.stage(name, task, batches, n_epochs=n_epochs)

    def leave(self, run: Run, net: nn.Module, data: Data, use: Callable[[Tensor], dict[str, np.ndarray]]) -> None:
        """Write what a finished run is looked at by: weights, use of every unit, kept examples, scores.

        Args:
            run: its folder gets it.
            net: trained.
            data: it was trained on.
            use: gives the mean activation of each layer's units over examples (N, *shape), (n,) by layer.
        """
        net = net.cpu().eval().requires_grad_(False)
        run.save_weights("weights", {name: t.contiguous() for name, t in net.state_dict().items()})
        held_out, where = data.held_out
        held_out = drawn(held_out, N_KEPT)
        run.save_arrays("units", **use(held_out.x))
        target = {} if held_out.target is None else {"target": held_out.target.numpy()}
        run.save_arrays("kept", train=drawn(data.train, N_KEPT).x.numpy(), held_out=held_out.x.numpy(), **target)
        scores = reconstruction_scores(net, held_out.x)
        run.finish({"scores": scores | self.more_scores(net, data), "scored_on": where})

    def more_scores(self, net: nn.Module, data: Data) -> dict[str, float]:
        """Give what else is scored at the end of a training."""
        return {}

    def reconstructions(self, run: Run, n: int) -> Reconstructions:
        """Give n held-out examples and their mean reconstructions."""
        net, record = self.net(run), self.record(run)
        x = torch.from_numpy(run.load_arrays("patches")["patches"][:n])
        with torch.no_grad():
            rebuilt = net(x)
        scores = reconstruction_scores(net, x)
        shown = [as_pictures(record.scaling.undo(t)).numpy() for t in (x, rebuilt)]
        return Reconstructions(shown[0], shown[1], scores)

    def predict(self, subject: Subject, run: Run) -> Prediction:
        """Give the code of a subject's row or image, or of every voxel inside its mask."""
        net, record = self.net(run), self.record(run)
        if record.source.kind != "patches":
            x = self.seen(subject, run)
            with torch.no_grad():
                code = {f"unit {i + 1}": float(v) for i, v in enumerate(net.encode(x)[0])}
            return self._class_row(net, x, record) | code
        volume, mask = record.source.prepared(subject)
        centers = np.argwhere(mask)
        size = (*record.shape[1:], 1)[:3]
        codes = []
        for begin in range(0, len(centers), N_AT_ONCE):
            patches = torch.from_numpy(gather(volume.data, centers[begin : begin + N_AT_ONCE], size))
            with torch.no_grad():
                codes.append(net.encode(record.scaling.apply(patches.reshape(-1, *record.shape))).float())
        dense = np.zeros((codes[0].shape[1], *volume.shape), np.float32)
        dense[:, mask] = torch.cat(codes).T.numpy()
        original = subject.volume(record.source.modalities[0])
        return resample_like(volume.with_data(dense, "features"), original, order=0)

    def evaluate(self, cohort: Cohort, run: Run, progress: Progress = silent) -> dict[str, Any]:
        """Score each subject: reconstruction error, and log p or its bound in nats an example, with 95 % intervals.

        With label units also the accuracy of their classes, where the subjects' own are known.
        """
        net, found = self.net(run), self._scored(cohort, run)
        right = None if found.target is None else self.class_probabilities(net, found.x).argmax(1) == found.target
        subjects: dict[str, dict[str, float]] = {}
        estimate = self.log_z(run, progress=lambda f, m: progress(0.8 * f, m))
        log_p, kind = (None, "") if estimate is None else self.log_p(net, found.x, estimate.value)
        whose = found.subject.numpy()
        for i in np.unique(whose):
            mine = torch.from_numpy(whose == i)
            scores = {"mse": reconstruction_scores(net, found.x[mine])["mse"]}
            if right is not None:
                scores["accuracy"] = float(right[mine].double().mean())
            if log_p is not None:
                scores["log_likelihood" if kind != "bound" else "log_likelihood_bound"] = float(log_p[mine].mean())
            subjects[found.names[int(i)]] = scores
        names = list(next(iter(subjects.values())))
        summary = {n: finite(mean_interval(np.array([s[n] for s in subjects.values()]))) for n in names}
        result: dict[str, Any] = {"subjects": subjects, "summary": summary}
        return result if estimate is None else result | {"log_z": numbers_of(estimate), "unit": "nats an example"}

    def class_probabilities(self, net: Any, x: Tensor) -> Tensor:
        """Give p(class | x) (N, K) of a network with label units."""
        raise NotImplementedError  # abstract where there are label units

    def _class_row(self, net: Any, x: Tensor, record: Record) -> dict[str, float | str]:
        """Give the class and the probabilities of one example (1, *shape); nothing without label units."""
        if record.targets is None:
            return {}
        p, classes = self.class_probabilities(net, x)[0].tolist(), record.targets.classes
        best = classes[int(np.argmax(p))]
        return {"predicted": best} | {f"p({c})": v for c, v in zip(classes, p, strict=True)}

    def _scored(self, cohort: Cohort, run: Run) -> Examples:
        """Give a cohort's examples, with classes where label units were learnt and the cohort has them."""
        try:
            return self.examples_of(cohort, run, getattr(self, "target", ""))
        except (CohortError, SettingsError) as error:
            found = self.examples_of(cohort, run)  # raises again unless the classes were at fault
            run.log(f"scored without classes: {error}")
            return found

    def log_z(
        self, run: Run, n_betas: int = 4000, n_chains: int = 100, progress: Progress = silent
    ) -> PartitionEstimate | None:
        """Estimate log Z where the model allows it; None where it does not."""
        return None

    def log_p(self, net: Any, x: Tensor, log_z: float) -> tuple[Tensor, str]:
        """Give log p(x) (N,) in nats, or a bound on it, and which: ``"exact"``, ``"estimate"`` or ``"bound"``."""
        raise NotImplementedError  # abstract

    def noise_curve(self, run: Run, n_levels: int = 8) -> NoiseCurve:
        """Give how posterior means move under growing noise, as a share of how far two examples' codes lie apart."""
        net, x = self.net(run), torch.from_numpy(run.load_arrays("kept")["held_out"][:200])
        binary = self.scaling == "binary"
        levels = np.linspace(0, 0.5 if binary else 1.0, n_levels)
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            clean = net.encode(x)
            apart = (clean - clean.roll(1, 0)).abs().mean()
            change = [
                ((net.encode(_noisy(x, float(level), binary, generator)) - clean).abs().mean(1) / apart).numpy()
                for level in levels
            ]
        unit = "share of flipped elements" if binary else "standard deviation of the noise, in scaled units"
        return NoiseCurve(run.title or run.id, levels, np.stack(change), unit)

    def cost(self) -> Cost:
        """Count from the sizes of the layers on an example of the size that the settings say."""
        sizes = self.layer_sizes(int(np.prod(self.likely_shape())))
        weights = [a * b for a, b in pairwise(sizes)]
        n_steps = -(-self.n_patches // self.batch_size) * self.n_epochs * len(weights)
        flops = sum(w * (6 + 4 * self.n_gibbs) for w in weights) * self.n_patches * self.n_epochs
        return Cost(
            parameters=sum(weights) + sum(sizes),
            flops=float(flops),
            memory_bytes=12.0 * sum(weights) + 4.0 * self.n_patches * sizes[0],
            n_steps=n_steps,
            efficiency=EFFICIENCY,
        )

    def layer_sizes(self, n_visible: int) -> list[int]:
        """Give the units of each layer from the data upwards."""
        raise NotImplementedError  # abstract


@torch.no_grad()
def reconstruction_scores(net: nn.Module, x: Tensor) -> dict[str, float]:
    """Give the mean squared error of an element, and the share of the variance about the mean that is explained."""
    rebuilt = torch.cat([net(part) for part in x.split(N_AT_ONCE)])
    error = float((rebuilt - x).square().mean())
    variance = float((x - x.mean(0)).square().mean())
    return {"mse": error, "explained_variance": 1 - error / variance if variance else 0.0}


def _reference(data: Data) -> Tensor | None:
    """Give as many training examples as are held out, for the free-energy gap."""
    return None if data.validation is None else drawn(data.train, len(data.validation)).x


def _noisy(x: Tensor, level: float, binary: bool, generator: torch.Generator) -> Tensor:
    if binary:
        return torch.where(torch.rand(x.shape, generator=generator) < level, 1 - x, x)
    return x + level * torch.randn(x.shape, generator=generator)


def numbers_of(estimate: PartitionEstimate) -> dict[str, float]:
    """Give the estimates of log Z that there are, and their gap, by name."""
    values = {
        "exact": estimate.exact,
        "forward": estimate.forward.value,
        "reverse": None if estimate.reverse is None else estimate.reverse.value,
        "gap": estimate.gap,
    }
    return {name: float(v) for name, v in values.items() if v is not None}
