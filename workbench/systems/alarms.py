"""What is wrong with a training that came to its end all the same, in sentences.

Read from what the run has kept: its log, its metrics, the use of its units, its estimates of log Z. Families write what
they alone can know into the log, as lines that begin with :data:`MARK`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn

from workbench.errors import RunError
from workbench.models.layers import DEAD_BELOW
from workbench.runs.run import Run

MARK = "ALARM: "
N_LINES = 400
RISE = 5.0
"""So many times its lowest value so far, and above the first: layers whose input hardly varies rise by 2.5."""
LEAST_ERROR = 0.05
"""Squared error of an example, below which a rise means nothing: inputs of a layer that hardly vary."""
CHAIN_NATS = 10.0
"""Between the mean free energies of data and persistent chains; stages that go well end below 5."""
NAT_GAP = 1.0
DEAD_SHARE = 0.5


def check_finite(model: nn.Module, x: torch.Tensor) -> None:
    """Refuse a network that learnt its way out of the numbers.

    Args:
        model: an energy model with ``free_energy``.
        x: (N, *shape) examples.

    Raises:
        RunError: a weight, or the free energy of an example, is not finite.
    """
    lost = [name for name, p in model.named_parameters() if not bool(torch.isfinite(p).all())]
    what = f"The parameters {', '.join(lost)} are" if lost else ""
    if not lost:
        with torch.no_grad():
            energy = model.free_energy(x)  # type: ignore[operator]
        what = "" if bool(torch.isfinite(energy).all()) else "The free energy of training examples is"
    if what:
        raise RunError(
            f"{what} no longer finite: the training diverged; choose a lower learning rate, and start again."
        )


def alarms(run: Run) -> list[str]:
    """Give a sentence for each thing that makes a finished run doubtful; none for one that has not finished."""
    if run.result() is None:
        return []
    metrics = run.metrics()
    epochs = metrics[~metrics["name"].str.endswith("_step")] if len(metrics) else metrics
    settings = run.info.settings
    found = [*_logged(run), *_dead(run), *_risen(epochs)]
    return found + (_chains(epochs) if settings.get("persistent") else []) + _gap(run)


def _logged(run: Run) -> list[str]:
    """Give what the family wrote after its last stage."""
    found: list[str] = []
    for line in run.tail(N_LINES):
        text = line.partition("  ")[2]
        if text.startswith("stage "):
            found = []
        elif text.startswith(MARK):
            said = text.removeprefix(MARK)
            found.append(f"{said[:1].upper()}{said[1:].rstrip('.')}.")
    return found


def _dead(run: Run) -> list[str]:
    """Name layers half of whose units say nothing of any held-out example."""
    use = run.load_arrays("units") if "units" in run.list_arrays() else {}
    counts = {n: int((u < DEAD_BELOW).sum()) for n, u in use.items() if n not in ("output", "label")}
    return [
        f"{n_dead} of the {len(use[name])} units of {name.replace('_', ' ')} are dead: their mean activation over "
        "held-out examples is below 0.001. Weaken the sparsity, lower the learning rate, or take another seed."
        for name, n_dead in counts.items()
        if n_dead >= DEAD_SHARE * len(use[name])
    ]


def _risen(epochs: pd.DataFrame) -> list[str]:
    """Name stages whose reconstructions got far worse than they were."""
    found = []
    for stage in dict.fromkeys(epochs["stage"]) if len(epochs) else []:
        own = epochs[epochs["stage"] == stage]
        error = next((e for n in ("val_reconstruction", "reconstruction") if len(e := _series(own, n)) > 1), None)
        if error is None:
            continue
        lowest = np.minimum.accumulate(error.to_numpy())
        ratio = np.where(error > error.iloc[0], error / np.maximum(lowest, 1e-12), 0)
        at = int(ratio.argmax())
        if ratio[at] > RISE and error.iloc[at] > LEAST_ERROR:
            found.append(
                f"The reconstruction error of stage {stage} rose from {lowest[at]:.3g} to {error.iloc[at]:.3g} at "
                f"epoch {error.index[at]}: the training diverged. Lower the learning rate."
            )
    return found


def _chains(epochs: pd.DataFrame) -> list[str]:
    """Name stages whose persistent chains ended far from the data in free energy."""
    found = []
    for stage in dict.fromkeys(epochs["stage"]) if len(epochs) else []:
        contrast = _series(epochs[epochs["stage"] == stage], "loss")
        if stage.startswith(("code", "wake")) or not len(contrast) or abs(contrast.iloc[-1]) <= CHAIN_NATS:
            continue
        found.append(
            f"The persistent chains of stage {stage} ended {abs(contrast.iloc[-1]):.1f} nats "
            f"{'below' if contrast.iloc[-1] > 0 else 'above'} the data in mean free energy: they do not follow the "
            "model. Lower the learning rate, take more Gibbs steps, or switch persistent chains off."
        )
    return found


def _gap(run: Run) -> list[str]:
    """Say that annealing forward and in reverse disagree, where both were done."""
    kept = run.load_arrays("log_z") if "log_z" in run.list_arrays() else {}
    if not {"forward", "reverse"} <= set(kept) or not str(kept["key"]).startswith(
        str((run.result() or {})["finished"])
    ):
        return []
    gap = float(kept["reverse"][0] - kept["forward"][0])
    if abs(gap) <= NAT_GAP or np.isfinite(kept["exact"]):
        return []
    return [
        f"Forward and reverse estimates of log Z lie {gap:.2f} nats apart: the chains of this model hardly mix, and no "
        "likelihood of it is known."
    ]


def _series(own: pd.DataFrame, name: str) -> pd.Series:
    """Give a quantity by epoch."""
    return own[own["name"] == name].groupby("epoch")["value"].last()
