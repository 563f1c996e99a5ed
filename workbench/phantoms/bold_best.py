"""What the best possible diagnosis scores: the likelihood ratio of the law that made the subjects."""

from __future__ import annotations

import numpy as np
from scipy.stats import mannwhitneyu


def best_scores(controls: np.ndarray, patients: np.ndarray) -> dict[str, float]:
    """Give the accuracy and the area under the ROC curve of log-likelihood ratios, for two classes of equal size.

    No rule does better on average (Neyman and Pearson 1933).

    Args:
        controls: (N,) log p(data | patient) - log p(data | control) of drawn controls.
        patients: (M,) of drawn patients.
    """
    right = ((controls < 0).mean() + (controls == 0).mean() / 2, (patients > 0).mean() + (patients == 0).mean() / 2)
    area = mannwhitneyu(patients, controls).statistic / (len(patients) * len(controls))
    return {"accuracy": float(np.mean(right)), "auc": float(area)}
