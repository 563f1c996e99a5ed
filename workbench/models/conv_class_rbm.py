"""The convolutional RBM with a label group (van Tulder and de Bruijne, IEEE TMI 2016, Section 3.4, Reference 35).

    h (B, K, *map)    hidden maps
    │ W (K, C, *kernel)     │ U (K, n): one weight a map and class, the same at all its places
    v (B, C, *shape)        y (B, n), exactly one is 1

    E(v, y, h) = E(v, h) - d.y - sum_k,x h_k(x) (U y)_k

The label sees the sum of each map, and its posterior is exact: p(y | v) = softmax_y[d_y + sum_k,x log-partition of
h_k(x) at a_k(x) + U_ky], with a the input of the image alone. A state is an image (B, C, *spatial), or *joint* with
the label as n further channels, (B, C + n, *spatial), each the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.models.conv_rbm import ConvRBM
from workbench.models.correlation import BoundaryName
from workbench.models.frequency import EngineName
from workbench.models.label_group import LabelGroup


class ConvClassRBM(LabelGroup, ConvRBM):
    """A convolutional RBM over images and their class; generative, discriminative, or both (``tasks/boltzmann.py``).

    The mixture of Reference 35, beta log p(v, y) + (1 - beta) log p(y | v), is the trainer's ``generative_share``
    beta. ``average_over_map`` divides both gradients alike, so that beta keeps its meaning.

    Args:
        shape: (C, *spatial) of the image.
        n_maps: K.
        kernel: voxels of a filter along each axis.
        n_classes: n, at least 2.
        stride: as in :class:`ConvRBM`, and so all that follow.
        visible: ``gaussian`` or ``bernoulli``; hidden units are Bernoulli.
        boundary: ``valid`` or ``circular``.
        engine: ``spatial``, ``frequency`` or ``auto``.
        sigma: of Gaussian visible units.
        average_over_map: whether gradients are divided by the number of places.
        seed: of the weights.
        init_scale: standard deviation of the first weights, also of the labels'.
    """

    def __init__(
        self,
        shape: Sequence[int],
        n_maps: int,
        kernel: int | Sequence[int],
        n_classes: int,
        *,
        stride: int = 1,
        visible: Literal["gaussian", "bernoulli"] = "gaussian",
        boundary: BoundaryName = "valid",
        engine: EngineName | Literal["auto"] = "auto",
        sigma: float = 1.0,
        average_over_map: bool = True,
        seed: int = 0,
        init_scale: float = 0.01,
    ) -> None:
        super().__init__(
            shape, n_maps, kernel, stride=stride, visible=visible, boundary=boundary, engine=engine, sigma=sigma,
            average_over_map=average_over_map, seed=seed, init_scale=init_scale,
        )  # fmt: skip
        self.add_labels(n_maps, n_classes, seed=seed, init_scale=init_scale)

    @property
    def visible_shape(self) -> tuple[int, ...]:
        """Shape of one joint state, (C + n, *spatial)."""
        return (self.geometry.n_channels + self.n_classes, *self.geometry.shape)

    def joint(self, v: Tensor, target: Tensor) -> Tensor:
        """Give joint states (B, C + n, *spatial) of images (B, C, *spatial) and classes (B,) int64."""
        return self._joint(v, F.one_hot(target, self.n_classes).to(v.dtype))

    def class_logits(self, v: Tensor) -> Tensor:
        """Give log p(y | v) up to a constant per row, (B, n), exactly, of images (B, C, *spatial); differentiable."""
        x = super().hidden_input(v)
        each = [
            self.hidden_units.log_partition(x + self._along_channels(u)).flatten(1).sum(1) for u in self.label_weight.T
        ]
        return self.label_bias + torch.stack(each, 1)

    def label_mean(self, h: Tensor) -> Tensor:
        """Give p(y | h) (B, n) of hidden maps (B, K, *map)."""
        return torch.softmax(self._label_input(h), 1)

    def hidden_input(self, v: Tensor, *, prepared: Tensor | None = None) -> Tensor:
        """Give net inputs (B, K, *map): of joint states with the label's part, of images without."""
        image, label = self._split(v)
        x = super().hidden_input(image, prepared=prepared)
        if label is None:
            return x
        return x + (label @ self.label_weight.T).reshape(len(v), -1, *[1] * self.geometry.n_axes)

    def hidden_mean(self, v: Tensor, *, hidden_input: Tensor | None = None) -> Tensor:
        """Give E[h | v, y] (B, K, *map) of joint states, E[h | v] of images, averaged over p(y | v)."""
        x = self.hidden_input(v) if hidden_input is None else hidden_input
        if self._is_joint(v):
            return self.hidden_units.mean(x)
        p = self.class_probabilities(v)
        total = torch.zeros_like(x)
        for share, u in zip(p.T, self.label_weight.T, strict=True):
            weighted = self.hidden_units.mean(x + self._along_channels(u))
            total = total + share.view(-1, *[1] * (x.ndim - 1)) * weighted
        return total

    def sample_hidden(self, v: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw hidden maps given joint states, or given images, whose class is drawn first."""
        return super().sample_hidden(v if self._is_joint(v) else self.complete(v, None, generator), generator)

    def free_energy(self, v: Tensor, *, hidden_input: Tensor | None = None) -> Tensor:
        """Give F(v, y) (B,) of joint states, or F(v) = -log sum_y exp(-F(v, y)) of images; differentiable."""
        if self._is_joint(v):
            return super().free_energy(v, hidden_input=hidden_input)
        return self._visible_energy(v) - self.class_logits(v).logsumexp(1)

    def log_marginal_hidden(self, h: Tensor) -> Tensor:
        """Give log p*(h) (B,), image and label summed out."""
        return super().log_marginal_hidden(h) + self._label_input(h).logsumexp(1)

    @torch.no_grad()
    def gibbs(
        self,
        v: Tensor,
        n_steps: int,
        generator: torch.Generator | None,
        *,
        sample_visible: bool = True,
        hidden_input: Tensor | None = None,
    ) -> Tensor:
        """Give joint states after sweeps from joint states, or from images, whose class is drawn first.

        ``sample_visible`` False gives the means of the last images and labels, as Reference 35 trains.
        """
        if not self._is_joint(v):
            v, hidden_input = self.complete(v, None, generator), None
        for step in range(n_steps):
            x = self.hidden_input(v) if step or hidden_input is None else hidden_input
            h = self.hidden_units.sample(x, generator)
            if sample_visible or step < n_steps - 1:
                v = self.joint(self.sample_visible(h, generator), self.sample_label(h, generator))
            else:
                v = self._joint(self.visible_mean(h), self.label_mean(h))
        return v

    @torch.no_grad()
    def gradient(
        self,
        v_data: Tensor,
        v_model: Tensor,
        *,
        hidden_input: Tensor | None = None,
        model_input: Tensor | None = None,
        prepared: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Give the gradient of mean F(v, y) between joint states of the data and of the chains."""
        (image, y), (image_model, y_model) = self._split(v_data), self._split(v_model)
        if y is None or y_model is None:
            raise ValueError("the gradient needs joint states with labels; complete the images first")
        prepared = self.prepare(image) if prepared is None else prepared
        x = self.hidden_input(v_data, prepared=prepared) if hidden_input is None else hidden_input
        x_model = self.hidden_input(v_model) if model_input is None else model_input
        gradient = super().gradient(image, image_model, hidden_input=x, model_input=x_model, prepared=prepared)
        data, model = (self.hidden_units.mean(a).flatten(2).sum(2) for a in (x, x_model))
        pairs = model.T @ y_model / len(y_model) - data.T @ y / len(y)
        return gradient | {
            "label_weight": pairs / self._n_places("label_weight"), "label_bias": y_model.mean(0) - y.mean(0)
        }  # fmt: skip

    def discriminative_gradient(self, v: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Give the exact gradient of :meth:`discriminative_loss` by parameter name, divided as in :meth:`gradient`."""
        exact = super().discriminative_gradient(v, target)
        return {n: g.contiguous() / (1 if n == "label_bias" else self._n_places(n)) for n, g in exact.items()}

    def _is_joint(self, v: Tensor) -> bool:
        return v.shape[1] == self.geometry.n_channels + self.n_classes

    def _split(self, v: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give the images and the labels (B, n) of joint states."""
        if not self._is_joint(v):
            return v, None
        n = self.geometry.n_channels
        return v[:, :n], v[:, n:].flatten(2)[:, :, 0]

    def _joint(self, v: Tensor, label: Tensor) -> Tensor:
        planes = label.view(*label.shape, *[1] * self.geometry.n_axes).expand(-1, -1, *v.shape[2:])
        return torch.cat([v, planes], 1)

    def _label_input(self, h: Tensor) -> Tensor:
        return self.label_bias + h.flatten(2).sum(2) @ self.label_weight

    def _visible_energy(self, v: Tensor) -> Tensor:
        image, label = self._split(v)
        energy = super()._visible_energy(image)
        return energy if label is None else energy - label @ self.label_bias
