"""Codes of regional signals and the hidden Markov models that are fitted to them: what Suk et al. (2016) learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from workbench.classical.hmm import HiddenMarkov, log_likelihood
from workbench.errors import RunError
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.runs.run import Run
from workbench.systems.regional_data import RegionScale

SMALLEST_SHARE = 1e-10  # of the code's largest variance, below which nothing is left of a direction but rounding


@dataclass(frozen=True, eq=False)
class Whitening:
    """Codes with mean 0 and the identity as covariance over the training subjects.

    Attributes:
        mean: (D,).
        matrix: (D, D); white = (code - mean) @ matrix.
        share: smallest over largest variance of the codes' principal directions.
    """

    mean: np.ndarray
    matrix: np.ndarray
    share: float

    @classmethod
    def learn(cls, codes: np.ndarray) -> Whitening:
        """Learn from codes (N, D).

        Raises:
            RunError: the codes have collapsed onto fewer directions.
        """
        mean = codes.mean(0)
        values, vectors = np.linalg.eigh(np.cov(codes - mean, rowvar=False).reshape(codes.shape[1], -1))
        share = float(values[0] / values[-1]) if values[-1] > 0 else 0.0
        if share < SMALLEST_SHARE:
            raise RunError(
                f"The code has collapsed: its least varying direction has {share:.1e} of the variance of the most "
                "varying one. Lower the learning rates, train longer, or take another seed."
            )
        return cls(mean, vectors / np.sqrt(values), share)

    def apply(self, codes: np.ndarray) -> np.ndarray:
        """Whiten (N, D)."""
        return (codes - self.mean) @ self.matrix

    def undo(self, white: np.ndarray) -> np.ndarray:
        """Give codes (N, D) back."""
        return white @ np.linalg.inv(self.matrix) + self.mean

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Give what to save."""
        return {"mean": self.mean, "matrix": self.matrix, "share": np.array(self.share)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Whitening:
        """Give the whitening that was saved."""
        return cls(arrays["mean"], arrays["matrix"], float(arrays["share"]))


@dataclass(frozen=True, eq=False)
class CodedStates:
    """What is learnt from some subjects: the coder, the scale of its codes, and a model for each class.

    Attributes:
        scale: of the signals.
        stack: encoder and decoder of single volumes.
        whitening: of its codes.
        models: one a class, or one of all subjects.
        linear: (R, D) principal components, to compare with.
        linear_whitening: of the scores on them.
        linear_models: as ``models``.
    """

    scale: RegionScale
    stack: StackedAutoEncoder
    whitening: Whitening
    models: tuple[HiddenMarkov, ...]
    linear: np.ndarray
    linear_whitening: Whitening
    linear_models: tuple[HiddenMarkov, ...]

    def codes(self, series: np.ndarray) -> np.ndarray:
        """Give whitened codes (T, D) of signals (T, R)."""
        with torch.no_grad():
            code = self.stack.encode(torch.from_numpy(self.scale.apply(series)))
        return self.whitening.apply(code.double().numpy())

    def linear_codes(self, series: np.ndarray) -> np.ndarray:
        """Give whitened scores (T, D) on the principal components of signals (T, R)."""
        return self.linear_whitening.apply(self.scale.apply(series) @ self.linear)

    def patterns(self, model: HiddenMarkov) -> np.ndarray:
        """Give the mean signal (K, R) of a model's states: their mean codes decoded."""
        with torch.no_grad():
            means = torch.from_numpy(self.whitening.undo(model.means)).float()
            return self.stack.decode(means).numpy() * self.scale.sd + self.scale.mean

    def save(self, run: Run) -> None:
        """Leave everything in a run's folder."""
        run.save_weights("weights", {n: t.contiguous() for n, t in self.stack.state_dict().items()})
        run.save_arrays("scale", mean=self.scale.mean, sd=self.scale.sd)
        run.save_arrays("whitening", **self.whitening.to_arrays())
        run.save_arrays("linear_code", components=self.linear, **self.linear_whitening.to_arrays())
        for name, models in (("deep", self.models), ("linear", self.linear_models)):
            for c, model in enumerate(models):
                run.save_arrays(f"{name}_states_{c}", **model.to_arrays())

    @classmethod
    def load(cls, run: Run, stack: StackedAutoEncoder) -> CodedStates:
        """Read what :meth:`save` left; the stack has the right shapes and gets its weights.

        Raises:
            RunError: the run has not come that far.
        """
        stack.load_state_dict(run.trained_weights())
        scale, linear = run.load_arrays("scale"), run.load_arrays("linear_code")
        deep, flat = (
            tuple(HiddenMarkov.from_arrays(run.load_arrays(n)) for n in sorted(run.list_arrays()) if n.startswith(name))
            for name in ("deep_states_", "linear_states_")
        )
        return cls(
            RegionScale(scale["mean"], scale["sd"]), stack.eval().requires_grad_(False),
            Whitening.from_arrays(run.load_arrays("whitening")), deep, linear["components"],
            Whitening.from_arrays(linear), flat,
        )  # fmt: skip


def likelihood_ratio(models: tuple[HiddenMarkov, ...], codes: np.ndarray) -> float:
    """Give log p(codes | second model) - log p(codes | first) in nats a frame."""
    return (log_likelihood(models[1], codes) - log_likelihood(models[0], codes)) / len(codes)
