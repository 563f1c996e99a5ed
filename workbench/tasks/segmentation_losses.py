"""What segmentation minimizes: pure functions of a network's outputs and label maps, in which -1 is left out.

Brosch et al. (IEEE TMI 2016) weigh the squared errors on lesions against those elsewhere, since lesions are less than
one percent of the voxels and the plain squared error is least, nearly, where nothing is found at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = -1
"""The label of voxels that are not learned from."""


def cross_entropy(logits: Tensor, label: Tensor, class_weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Give the mean cross-entropy in nats, and the number (with class weights the weight) of voxels it is a mean of.

    Args:
        logits: (B, K) or (B, K, *s).
        label: (B,) or (B, *s) int64; -1 is left out. Where nothing is left, the loss is 0 and so is its gradient.
        class_weights: (K,).
    """
    total = F.cross_entropy(logits, label, class_weights, ignore_index=IGNORED, reduction="sum")
    known = label != IGNORED
    weight = (known if class_weights is None else class_weights[label.clamp(min=0)] * known).sum()
    return total / torch.where(weight > 0, weight, 1), weight


def sensitivity_specificity_loss(p: Tensor, s: Tensor, ratio: float) -> Tensor:
    """Give E = r sum (S-p)^2 S / sum S + (1-r) sum (S-p)^2 (1-S) / sum (1-S), the mean over images.

    The first part is the error on lesions (sensitivity), the second that elsewhere (specificity). An image without
    lesion has no first part, and one that is lesion throughout no second.

    Args:
        p: (B, *s) or (B, 1, *s), predicted, 0 to 1.
        s: (B, *s) or (B, 1, *s) truth: above 0 is lesion, 0 is not, below 0 is left out.
        ratio: r, the sensitivity ratio, 0 to 1.

    Returns:
        A scalar of p's dtype.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"the sensitivity ratio is from 0 to 1; got {ratio}")
    p, s = _by_image(p, s)
    lesion, other = (s > 0).to(p.dtype), (s == 0).to(p.dtype)
    weights = ratio * lesion / lesion.sum(1, keepdim=True).clamp(min=1)
    weights = weights + (1 - ratio) * other / other.sum(1, keepdim=True).clamp(min=1)
    return ((lesion - p).square() * weights).sum(1).mean()


def squared_error(p: Tensor, s: Tensor) -> Tensor:
    """Give the mean of (S - p)^2 over all voxels that are not left out, as :func:`sensitivity_specificity_loss`."""
    p, s = _by_image(p, s)
    known = s >= 0
    return ((((s > 0).to(p.dtype) - p).square()) * known).sum() / known.sum().clamp(min=1)


def dice_cross_entropy(logits: Tensor, label: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Give MONAI's soft Dice loss, the mean over images and all classes, plus the cross-entropy.

    Equal to ``monai.losses.DiceCELoss(softmax=True, to_onehot_y=True)`` where no voxel is left out.

    Args:
        logits: (B, K, *s).
        label: (B, *s) int64; -1 is left out of both.
        class_weights: (K,), of the cross-entropy.
    """
    from monai.losses.dice import DiceLoss  # takes a second to import

    if logits.ndim < 3:
        raise ValueError(f"a Dice loss needs maps (B, K, *s); got logits {tuple(logits.shape)}")
    known = (label != IGNORED).unsqueeze(1)  # (B, 1, *s)
    truth = F.one_hot(label.clamp(min=0), logits.shape[1]).movedim(-1, 1)  # (B, K, *s)
    dice = DiceLoss()(logits.softmax(1) * known, truth * known)
    return dice + cross_entropy(logits, label, class_weights)[0]


def overlap_counts(predicted: Tensor, label: Tensor, n_classes: int) -> Tensor:
    """Count voxels of each class that are rightly found, predicted, and true: (3, K) int64; -1 is left out.

    Raises:
        ValueError: there is a label beyond the classes.
    """
    known = label != IGNORED
    label, predicted = label[known], predicted[known]
    if len(label) and not 0 <= int(label.min()) <= int(label.max()) < n_classes:
        raise ValueError(
            f"labels are 0 to {n_classes - 1}, or {IGNORED} to be left out; got {int(label.min())} to "
            f"{int(label.max())}"
        )
    found = label[predicted == label]
    return torch.stack([values.bincount(minlength=n_classes) for values in (found, predicted, label)])


def scores(counts: Tensor) -> dict[str, float]:
    """Give what counts (3, K) say: accuracy, and the mean Dice over the classes above 0 that are truly there.

    Returns:
        Only what is defined: no accuracy of no voxels, no Dice without one of those classes.
    """
    found, predicted, true = counts.double()
    present = [k for k in range(1, counts.shape[1]) if true[k] > 0]
    named: dict[str, float] = {}
    if true.sum() > 0:
        named["accuracy"] = float(found.sum() / true.sum())
    if present:
        named["dice"] = float((2 * found[present] / (predicted[present] + true[present])).mean())
    return named


def weights_of(values: Sequence[float] | None, n_classes: int) -> Tensor | None:
    """Check class weights and give them as a tensor (K,)."""
    if values is None:
        return None
    if len(values) != n_classes or min(values) < 0 or max(values) == 0:
        raise ValueError(f"expected {n_classes} class weights, none negative and not all 0; got {tuple(values)}")
    return torch.tensor(values, dtype=torch.float32)


def _by_image(p: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Give both as (B, voxels)."""
    if p.numel() != s.numel() or len(p) != len(s):
        raise ValueError(f"prediction {tuple(p.shape)} and truth {tuple(s.shape)} must have the same voxels")
    return p.flatten(1), s.flatten(1)
