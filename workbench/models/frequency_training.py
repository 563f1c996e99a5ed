"""Contrastive divergence with the spectra of all training images kept (Brosch and Tam, MICCAI 2013, Reference 47)."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.models.conv_rbm import ConvRBM

_AT_ONCE = 16


class FrequencyTraining:
    """Train a convolutional RBM on images that are transformed once.

    What is learned is what ``tasks/boltzmann.py`` learns from the same draws: this only saves the transforms of the
    data, in exchange for about twice the memory of the images. In space, the prepared images are kept instead.

    Args:
        model: changed in place by :meth:`step`; its engine and sigma stay as they are meanwhile.
        images: (N, C, *spatial).
    """

    def __init__(self, model: ConvRBM, images: Tensor) -> None:
        self.model, self.images = model, images
        with torch.no_grad():
            self.prepared = torch.cat([model.prepare(part) for part in images.split(_AT_ONCE)])
        self.velocity = {name: torch.zeros_like(value) for name, value in model.named_parameters()}

    @torch.no_grad()
    def gradient(
        self, rows: Tensor, generator: torch.Generator | None, *, n_steps: int = 1, sample_visible: bool = True
    ) -> dict[str, Tensor]:
        """Give the contrastive gradient of some images by parameter name.

        Args:
            rows: (B,) int64, which images.
            generator: of the draws.
            n_steps: Gibbs sweeps from the data.
            sample_visible: as in :meth:`ConvRBM.gibbs`.
        """
        model, v, prepared = self.model, self.images[rows], self.prepared[rows]
        x = model.hidden_input(v, prepared=prepared)
        v_model = model.gibbs(v, n_steps, generator, sample_visible=sample_visible, hidden_input=x)
        return model.gradient(v, v_model, hidden_input=x, prepared=prepared)

    @torch.no_grad()
    def step(
        self, rows: Tensor, generator: torch.Generator | None, *, learning_rate: float, momentum: float = 0.5
    ) -> None:
        """Descend one step of :meth:`gradient`: velocity = momentum velocity + gradient."""
        for name, value in self.gradient(rows, generator).items():
            self.velocity[name].mul_(momentum).add_(value)
            self.model.get_parameter(name).sub_(learning_rate * self.velocity[name])
