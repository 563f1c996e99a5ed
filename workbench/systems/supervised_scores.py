"""What the outputs of a supervised network are worth: on held-out examples, and for each subject of a cohort."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.metrics import classification
from workbench.metrics.intervals import mean_interval
from workbench.patches.examples import Examples
from workbench.systems.example_targets import Targets
from workbench.systems.feature_scores import finite

N_AT_ONCE = 1024


@torch.no_grad()
def output_of(network: nn.Module, x: Tensor) -> Tensor:
    """Give the outputs (N, K) or (N,) of examples (N, *shape), in parts."""
    return torch.cat([network(part) for part in x.split(N_AT_ONCE)])


def score_examples(outputs: Tensor, target: Tensor, targets: Targets) -> dict[str, float]:
    """Score outputs against targets; the first entry is the one that trainings are compared by.

    Classification: accuracy, balanced accuracy, AUC, calibration error and cross-entropy (nats). Regression: mean
    absolute error and R², in the target's own unit. What has no meaning, such as the AUC of one class, is left out.
    """
    if not targets.classes:
        return _regression(targets.decode(outputs.numpy()), targets.decode(target.numpy()))
    truth, p = target.numpy(), _probabilities(outputs)
    scores = {"accuracy": classification.accuracy(truth, p.argmax(1))}
    if len(np.unique(truth)) > 1:
        scores["balanced_accuracy"] = classification.balanced_accuracy(truth, p.argmax(1))
        scores["auc"] = classification.auc(truth, p)
    scores["calibration_error"] = classification.calibration_error(truth, p)
    scores["cross_entropy"] = float(nn.functional.cross_entropy(outputs.double(), target))
    return scores


def score_subjects(outputs: Tensor, found: Examples, targets: Targets) -> dict[str, Any]:
    """Score each subject, and all together with 95 % intervals over subjects."""
    assert found.target is not None
    whose = found.subject.numpy()
    subjects = {}
    for i in np.unique(whose):
        mine = torch.from_numpy(whose == i)
        subjects[found.names[int(i)]] = _of_one(outputs[mine], found.target[mine], targets)
    if not targets.classes:
        names = list(next(iter(subjects.values())))
        summary = {n: finite(mean_interval(np.array([s[n] for s in subjects.values()]))) for n in names}
        return {"subjects": subjects, "summary": summary}
    score = classification.score(found.target.numpy(), _probabilities(outputs), whose.tolist())
    return {
        "subjects": subjects,
        "summary": {
            name: finite(tuple(getattr(score, name)))
            for name in ("accuracy", "balanced_accuracy", "auc")
            if np.isfinite(getattr(score, name)[0])
        },
        "calibration_error": score.calibration_error,
        "confusion": score.confusion.tolist(),
        "classes": list(targets.classes),
        "notes": list(score.notes),
    }


def _of_one(outputs: Tensor, target: Tensor, targets: Targets) -> dict[str, float]:
    if not targets.classes:
        return {"mae": float(np.abs(targets.decode(outputs.numpy()) - targets.decode(target.numpy())).mean())}
    p = torch.softmax(outputs.double(), 1)
    return {
        "accuracy": float((p.argmax(1) == target).double().mean()),
        "p_true": float(p.gather(1, target[:, None]).mean()),
    }


def _probabilities(outputs: Tensor) -> np.ndarray:
    return torch.softmax(outputs.double(), 1).numpy()


def _regression(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    scores = {"mae": float(np.abs(predicted - truth).mean())}
    if np.ptp(truth) > 0:
        scores["r2"] = float(1 - ((predicted - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
    return scores
