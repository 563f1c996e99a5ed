"""Losses by hand, by gradient check, and against MONAI's; scores against scikit-learn's."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss
from sklearn.metrics import accuracy_score, f1_score
from torch.nn import functional as F

from workbench.tasks.segmentation_losses import (
    cross_entropy,
    dice_cross_entropy,
    overlap_counts,
    scores,
    sensitivity_specificity_loss,
    squared_error,
    weights_of,
)


def test_sensitivity_specificity_by_hand() -> None:
    """Lesion voxels 1 and 0.5, others 0, 0.5, 0.1 and 0: (0 + 0.25) / 2 and (0 + 0.25 + 0.01 + 0) / 4."""
    s = torch.tensor([[1, 1, 0, 0, 0, 0]]).reshape(1, 1, 2, 3)
    p = torch.tensor([[1.0, 0.5, 0.0, 0.5, 0.1, 0.0]]).reshape(1, 1, 2, 3)
    assert float(sensitivity_specificity_loss(p, s, 0.2)) == pytest.approx(0.2 * 0.125 + 0.8 * 0.065)
    assert float(sensitivity_specificity_loss(p, s, 1.0)) == pytest.approx(0.125)
    assert float(sensitivity_specificity_loss(p, s[:, 0], 0.0)) == pytest.approx(0.065)
    assert float(squared_error(p, s)) == pytest.approx(0.51 / 6)


def test_it_is_the_mean_over_images_and_not_over_voxels() -> None:
    s = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 0]])
    p = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]])
    one, other = (sensitivity_specificity_loss(p[i : i + 1], s[i : i + 1], 0.3) for i in range(2))
    assert float(one) == pytest.approx(0.3) and float(other) == pytest.approx(0.3 / 3 + 0.7)
    assert float(sensitivity_specificity_loss(p, s, 0.3)) == pytest.approx(float(one + other) / 2)


def test_images_without_lesion_or_without_anything_else_have_one_part() -> None:
    p = torch.tensor([[0.5, 0.1]], requires_grad=True)
    none = sensitivity_specificity_loss(p, torch.tensor([[0, 0]]), 0.05)
    assert none.item() == pytest.approx(0.95 * 0.13)
    assert sensitivity_specificity_loss(p, torch.tensor([[1, 2]]), 0.05).item() == pytest.approx(
        0.05 * (0.25 + 0.81) / 2
    )
    unknown = sensitivity_specificity_loss(p, torch.tensor([[-1, -1]]), 0.05) + squared_error(
        p, torch.tensor([[-1, -1]])
    )
    unknown.backward()
    assert unknown.item() == 0 and torch.equal(p.grad, torch.zeros(1, 2))  # type: ignore[arg-type]


def test_what_is_left_out_changes_nothing() -> None:
    p, s = torch.rand(2, 1, 6, 5), torch.randint(0, 2, (2, 6, 5))
    logits, label = torch.randn(2, 3, 6, 5), torch.randint(0, 3, (2, 6, 5))
    s[:, 4:], label[:, 4:] = -1, -1
    for loss in (lambda q, t: sensitivity_specificity_loss(q, t, 0.1), squared_error):
        assert torch.isclose(loss(p, s), loss(p[:, :, :4], s[:, :4]))
    assert torch.isclose(cross_entropy(logits, label)[0], F.cross_entropy(logits[:, :, :4], label[:, :4]))
    assert torch.isclose(dice_cross_entropy(logits, label), dice_cross_entropy(logits[:, :, :4], label[:, :4]))


@pytest.mark.parametrize("lesions", [0, 1, 4])
def test_gradients_are_those_of_finite_differences(lesions: int) -> None:
    g = torch.Generator().manual_seed(lesions)
    p = torch.rand(2, 1, 3, 3, generator=g, dtype=torch.double, requires_grad=True)
    s = torch.zeros(2, 3, 3, dtype=torch.long)
    s.view(-1)[:lesions] = 1
    s[1, 2] = -1
    assert torch.autograd.gradcheck(lambda q: sensitivity_specificity_loss(q, s, 0.05), (p,))
    assert torch.autograd.gradcheck(lambda q: squared_error(q, s), (p,))


def test_lesions_weigh_more_the_larger_the_ratio() -> None:
    """The gradient on a lesion voxel against that on another: r / (1 - r) times their numbers' quotient."""
    s = torch.zeros(1, 100, dtype=torch.long)
    s[0, 0] = 1
    for ratio in (0.02, 0.05, 0.5):
        p = torch.full((1, 100), 0.5, requires_grad=True)
        sensitivity_specificity_loss(p, s, ratio).backward()
        quotient = float(-p.grad[0, 0] / p.grad[0, 1])  # type: ignore[index]
        assert quotient == pytest.approx(99 * ratio / (1 - ratio), rel=1e-4)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5])])
def test_cross_entropy_is_torchs(weights: torch.Tensor | None) -> None:
    logits, label = torch.randn(4, 3, 5), torch.randint(-1, 3, (4, 5))
    loss, weight = cross_entropy(logits, label, weights)
    assert torch.isclose(loss, F.cross_entropy(logits, label, weights, ignore_index=-1))
    each = torch.ones(3) if weights is None else weights
    assert float(weight) == pytest.approx(sum(float(each[int(v)]) for v in label.flatten() if v >= 0))


def test_nothing_labelled_is_no_loss_and_no_gradient() -> None:
    logits = torch.randn(2, 3, 4, requires_grad=True)
    label = torch.full((2, 4), -1)
    loss, weight = cross_entropy(logits, label)
    (loss + cross_entropy(logits, label, torch.tensor([1.0, 2.0, 3.0]))[0]).backward()
    assert loss.item() == 0 == float(weight) and torch.equal(logits.grad, torch.zeros(2, 3, 4))  # type: ignore[arg-type]


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5])])
def test_dice_cross_entropy_is_monais(weights: torch.Tensor | None) -> None:
    logits, label = torch.randn(2, 3, 4, 5, 6), torch.randint(0, 3, (2, 4, 5, 6))
    label[1][label[1] == 2] = 0  # a class that is missing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = DiceCELoss(softmax=True, to_onehot_y=True, weight=weights)
        # MONAI would weigh the Dice of the classes too
        theirs.dice.class_weight = None
        wanted = theirs(logits, label.unsqueeze(1))
    assert torch.isclose(dice_cross_entropy(logits, label, weights), wanted)
    with pytest.raises(ValueError, match="needs maps"):
        dice_cross_entropy(torch.randn(4, 3), torch.zeros(4, dtype=torch.long))


def test_scores_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    label, predicted = rng.choice(4, 500, p=[0.5, 0.3, 0.2, 0]), rng.integers(0, 4, 500)
    label[:50] = -1
    known = label >= 0
    named = scores(overlap_counts(torch.from_numpy(predicted), torch.from_numpy(label), 4))
    assert named["accuracy"] == pytest.approx(accuracy_score(label[known], predicted[known]))
    dice = f1_score(label[known], predicted[known], labels=[1, 2], average="macro")  # class 3 is nowhere true
    assert named["dice"] == pytest.approx(dice)


def test_scores_that_are_not_defined_are_not_given() -> None:
    zeros = torch.zeros(4, dtype=torch.long)
    assert scores(overlap_counts(zeros, zeros, 3)) == {"accuracy": 1.0}
    assert scores(overlap_counts(zeros, zeros - 1, 3)) == {}
    assert scores(overlap_counts(zeros, zeros + 2, 3)) == {"accuracy": 0.0, "dice": 0.0}


def test_counts_of_parts_add_up() -> None:
    label, predicted = torch.randint(-1, 3, (90,)), torch.randint(0, 3, (90,))
    parts = sum(overlap_counts(predicted[i::3], label[i::3], 3) for i in range(3))
    assert torch.equal(overlap_counts(predicted, label, 3), parts)  # type: ignore[arg-type]


def test_slips_are_named() -> None:
    with pytest.raises(ValueError, match="got 0 to 3"):
        overlap_counts(torch.zeros(3, dtype=torch.long), torch.tensor([0, 3, 1]), 3)
    with pytest.raises(ValueError, match=r"from 0 to 1; got 1\.5"):
        sensitivity_specificity_loss(torch.zeros(1, 2), torch.zeros(1, 2), 1.5)
    with pytest.raises(ValueError, match="must have the same voxels"):
        squared_error(torch.zeros(1, 1, 3), torch.zeros(1, 2))
    for wrong in ((1.0, 2.0), (1.0, -1.0, 1.0), (0.0, 0.0, 0.0)):
        with pytest.raises(ValueError, match="expected 3 class weights"):
            weights_of(wrong, 3)
    assert weights_of(None, 3) is None and math.isclose(float(weights_of((1, 2, 3), 3).sum()), 6)  # type: ignore[union-attr]
