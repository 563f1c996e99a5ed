"""The base of energy models of layers of units, whose likelihood can be estimated."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.errors import RunError
from workbench.metrics.likelihood import LogZ, PartitionEstimate, default_betas, mean_log_likelihood
from workbench.progress import Progress, silent
from workbench.runs.run import Run
from workbench.systems.energy_base import EnergyLearning, numbers_of
from workbench.systems.layered import LayerViews
from workbench.systems.views import LikelihoodView

NAT_GAP = 1.0


class MeasuredLearning(EnergyLearning, LayerViews):
    """Energy models of layers of units whose likelihood can be estimated."""

    @property
    def of_what(self) -> str:
        """What the likelihood is of, where it is not the example itself."""
        return ""

    def partition(self, net: Any, kept: Tensor, n_betas: int, n_chains: int, progress: Progress) -> PartitionEstimate:
        """Estimate the log partition function, from base rates and samples that start at training examples."""
        raise NotImplementedError  # abstract

    def log_z(
        self, run: Run, n_betas: int = 4000, n_chains: int = 100, progress: Progress = silent
    ) -> PartitionEstimate | None:
        """Estimate log Z once for a training and these settings, and keep it in the run; None where there is none."""
        version = str((run.result() or {}).get("finished", ""))
        key = f"{version}-{n_betas}-{n_chains}"
        if "log_z" in run.list_arrays() and str((kept := run.load_arrays("log_z"))["key"]) == key:
            return _estimate_from(kept)
        net, arrays = self.net(run), run.load_arrays("kept")
        try:
            found = self.partition(net, torch.from_numpy(arrays["train"]), n_betas, n_chains, progress)
        except ValueError as error:  # such as noisy rectified units, which define no distribution
            run.log(f"no likelihood: {error}")
            return None
        run.save_arrays("log_z", key=np.array(key), **_arrays_of(found))
        return found

    def likelihood(
        self, run: Run, n_betas: int = 4000, n_chains: int = 100, progress: Progress = silent
    ) -> LikelihoodView:
        """Give log p of training and held-out examples by every estimate of log Z there is."""
        estimate = self.log_z(run, n_betas, n_chains, progress)
        if estimate is None:
            raise RunError("This model defines no likelihood that could be estimated; see the run's log.")
        net, kept = self.net(run), run.load_arrays("kept")
        rows: list[dict[str, float | str]] = []
        for part in ("train", "held_out"):
            log_p, kind = self.log_p(net, torch.from_numpy(kept[part]), 0.0)
            quantity = f"{'bound on ' if kind == 'bound' else ''}log p{self.of_what}"
            for name, log_z in _sides(estimate).items():
                mean, low, high = mean_log_likelihood(-log_p, log_z)
                words = "training" if part == "train" else "held-out"
                rows.append(
                    {"quantity": quantity, "part": words, "kind": name, "value": mean, "low": low, "high": high}
                )
        return LikelihoodView(rows, numbers_of(estimate), _note(estimate))


def betas(n: int) -> Tensor:
    """Give the temperatures of annealing."""
    return default_betas(max(10, n))


def _sides(estimate: PartitionEstimate) -> dict[str, float | LogZ]:
    found: dict[str, float | LogZ] = {} if estimate.exact is None else {"exact": estimate.exact}
    found["forward"] = estimate.forward
    return found if estimate.reverse is None else found | {"reverse": estimate.reverse}


def _note(estimate: PartitionEstimate) -> str:
    if estimate.exact is not None:
        return "The partition function was summed over all states, so these numbers are exact up to rounding."
    if estimate.gap is None:
        return "Only the forward estimate is known; on average it makes the likelihood too large."
    if abs(estimate.gap) > NAT_GAP:
        return (
            f"Forward and reverse estimates lie {estimate.gap:.2f} nats apart: do not trust either. Use more "
            "temperatures, or suspect chains that do not mix."
        )
    return f"Forward and reverse estimates lie {estimate.gap:.2f} nats apart; the truth is between them on average."


def _arrays_of(found: PartitionEstimate) -> dict[str, np.ndarray]:
    arrays = {"exact": np.array(np.nan if found.exact is None else found.exact)}
    for name, side in (("forward", found.forward), ("reverse", found.reverse)):
        if side is not None:
            arrays[name] = np.array([side.value, side.low, side.high, side.n_betas])
            arrays[f"{name}_weights"] = side.log_weights.numpy()
    return arrays


def _estimate_from(kept: dict[str, np.ndarray]) -> PartitionEstimate:
    def side(name: str) -> LogZ | None:
        if name not in kept:
            return None
        value, low, high, n_betas = (float(v) for v in kept[name])
        return LogZ(value, low, high, torch.from_numpy(kept[f"{name}_weights"]), int(n_betas))

    forward, reverse, exact = side("forward"), side("reverse"), float(kept["exact"])
    assert forward is not None
    gap = None if reverse is None else reverse.value - forward.value
    return PartitionEstimate(None if np.isnan(exact) else exact, forward, reverse, gap)
