"""What contrastive divergence asks of an energy model, and the gradients it puts together from that.

Models with labels learn generatively, discriminatively, or both at once (Larochelle et al., JMLR 2012, Reference 119).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.models.label_group import UNLABELED


class EnergyModel(Protocol):
    """What a model needs to be trained here; RBM, ClassRBM and ConvRBM have it.

    A model with ``reuses_hidden_input`` takes the keyword ``hidden_input`` in ``hidden_mean``, ``free_energy``,
    ``gibbs`` and ``gradient`` (and there ``model_input``), so that W v is computed once. One with ``centered`` has
    ``move_offsets``; one with labels has ``complete``, ``class_logits`` and ``discriminative_gradient``.
    """

    visible_shape: tuple[int, ...]

    def hidden_input(self, v: Tensor) -> Tensor: ...  # noqa: D102
    def hidden_mean(self, v: Tensor) -> Tensor: ...  # noqa: D102
    def decode(self, h: Tensor) -> Tensor: ...  # noqa: D102
    def free_energy(self, v: Tensor) -> Tensor: ...  # noqa: D102
    def gibbs(self, v: Tensor, n_steps: int, generator: torch.Generator | None, **options: Any) -> Tensor: ...  # noqa: D102
    def gradient(self, v_data: Tensor, v_model: Tensor, **options: Any) -> dict[str, Tensor]: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Observed:
    """A batch as the model sees it.

    Attributes:
        v: (B, V) visible values without labels.
        joint: (B, V + K) with labels, unknown ones drawn; ``v`` itself for models without labels.
        target: (B,) classes of models with labels, else None.
        labeled: (B,) bool, whose class is known.
        known: options for the model's methods that hold the net input of ``joint``.
    """

    v: Tensor
    joint: Tensor
    target: Tensor | None
    labeled: Tensor
    known: dict[str, Tensor] = field(default_factory=dict)


def observe(model: Any, v: Tensor, target: Tensor | None, generator: torch.Generator) -> Observed:
    """Complete a batch with labels, drawing unknown ones from p(y | v), and compute its hidden input once."""
    has_labels = hasattr(model, "complete")
    joint = model.complete(v, target, generator) if has_labels else v
    known = {"hidden_input": model.hidden_input(joint)} if getattr(model, "reuses_hidden_input", False) else {}
    if not has_labels or target is None:
        return Observed(v, joint, None, torch.zeros(len(v), dtype=torch.bool, device=v.device), known)
    return Observed(v, joint, target, target != UNLABELED, known)


@dataclass(frozen=True, eq=False)
class Chains:
    """Visible values of the chains.

    Attributes:
        v: (B', V + K); as many as examples where each example has its own chain.
        known: as in :class:`Observed`, of ``v``.
    """

    v: Tensor
    known: dict[str, Tensor] = field(default_factory=dict)


def chains_of(model: Any, v: Tensor) -> Chains:
    """Compute the hidden input of the chains once."""
    return Chains(v, {"hidden_input": model.hidden_input(v)} if getattr(model, "reuses_hidden_input", False) else {})


def hybrid_gradient(
    model: Any, data: Observed, chains: Chains, generative_share: float, unlabeled_weight: float
) -> dict[str, Tensor]:
    """Give the gradient of (1 - a) L_disc + a L_gen over labeled and u L_unsup over unlabeled examples.

    Each is a mean over the *batch*, so that a part with few examples weighs little. Models without labels have the
    generative part alone, with weight 1.

    Args:
        model: an :class:`EnergyModel`.
        data: the batch.
        chains: of the model.
        generative_share: a.
        unlabeled_weight: u.

    Returns:
        By parameter name.
    """
    if not hasattr(model, "complete"):
        return _contrast(model, data, chains, None)
    n, parts = len(data.v), []
    for rows, weight in ((data.labeled, generative_share), (~data.labeled, unlabeled_weight)):
        share = float(rows.sum()) / n
        if share * weight > 0:
            parts.append((share * weight, _contrast(model, data, chains, None if share == 1 else rows)))
    if generative_share < 1 and data.target is not None and bool(data.labeled.any()):
        share = float(data.labeled.sum()) / n
        discriminative = model.discriminative_gradient(data.v[data.labeled], data.target[data.labeled])
        parts.append((share * (1 - generative_share), discriminative))
    total: dict[str, Tensor] = {}
    for weight, gradient in parts:
        for name, value in gradient.items():
            total[name] = total[name] + weight * value if name in total else weight * value
    return total


def _contrast(model: Any, data: Observed, chains: Chains, rows: Tensor | None) -> dict[str, Tensor]:
    """Give the generative gradient of some rows of the batch, and of their own chains if they have any."""
    joint, v_model, known = data.joint, chains.v, dict(data.known)
    if chains.known:
        known["model_input"] = chains.known["hidden_input"]
    if rows is not None:
        paired = len(v_model) == len(joint)
        joint, v_model = joint[rows], v_model[rows] if paired else v_model
        known = {name: x[rows] if paired or name == "hidden_input" else x for name, x in known.items()}
    return model.gradient(joint, v_model, **known)


def class_measures(model: Any, v: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Give ``class_loss``, the mean of -log p(y | v) in nats, and ``accuracy``, the share of right classes."""
    logits = model.class_logits(v)
    return {"class_loss": F.cross_entropy(logits, target), "accuracy": (logits.argmax(1) == target).float().mean()}


def mean_by_unit(x: Tensor) -> Tensor:
    """Give the means over batch and places (n,) of (B, n) or (B, n, *places)."""
    return x.mean(0) if x.ndim == 2 else x.transpose(0, 1).flatten(1).mean(1)
