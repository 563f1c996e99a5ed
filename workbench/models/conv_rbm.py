"""The convolutional restricted Boltzmann machine, in two or three dimensions (Sections 2.3.2, 3.5; Lee et al. 2009).

    h (B, K, *map)    K hidden maps             p(h_k(x) | v) = hidden units on c_k + (W_k corr v / s²)(x)
    │ W (K, C, *kernel), the same everywhere
    v (B, C, *shape)  C channels                p(v_c(y) | h) = visible units on b_c + sum_k (W_kc conv h_k)(y)

    E(v, h) = Q(v; b) - sum_k c_k sum_x h_k(x) - sum_k,x h_k(x) (W_k corr v / s²)(x)

Q(v; b) is -sum b v, or sum (v - b)² / (2 s²) for Gaussian v. Filters are cross-correlated, not flipped, on the way up.
Pooling is probabilistic max pooling (Lee et al.), or a stride takes its place (Brosch and Tam, Reference 47).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from workbench.models.correlation import BoundaryName, ConvGeometry, SpatialEngine
from workbench.models.frequency import EngineName, FrequencyEngine, faster_engine
from workbench.models.layers import ConvStage
from workbench.models.pooling_units import MaxPooled
from workbench.models.units import Gaussian, Units, units

SIGMA_FLOOR = 0.05


class ConvRBM(nn.Module):
    """One layer of hidden maps above an image or the maps below; trained like any RBM (``tasks/boltzmann.py``).

    Voxels at the border of a ``valid`` layer lie under fewer filters than others, and learn a frame of their own in
    the filters' place: cut images with a margin, or subtract the mean image. ``circular`` has no border, but what
    leaves at one side enters at the other unless the image has a margin of a filter.

    Args:
        shape: (C, *spatial) of the image, two or three spatial axes.
        n_maps: K.
        kernel: voxels of a filter along each axis, one number or one an axis.
        stride: voxels between neighbors of a map; it must divide spatial - kernel (``valid``) or spatial.
        pool: units along each axis of a block of probabilistic max pooling; it must divide the map.
        visible: ``gaussian`` for real values, ``bernoulli`` for values in [0, 1].
        hidden: ``bernoulli``, or ``noisy_relu`` (without pooling).
        boundary: ``valid`` or ``circular``.
        engine: ``spatial``, ``frequency``, or ``auto``, the one that :func:`faster_engine` finds faster.
        sigma: standard deviation of Gaussian visible units, in the units of the data; fixed while learning.
        average_over_map: whether :meth:`gradient` is divided by the number of places that share each parameter, so
            that one learning rate suits all sizes of image.
        seed: of the filters, drawn from N(0, init_scale²).
        init_scale: standard deviation of the first filters.
    """

    reuses_hidden_input = True
    sigma: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        n_maps: int,
        kernel: int | Sequence[int],
        *,
        stride: int = 1,
        pool: int = 1,
        visible: Literal["gaussian", "bernoulli"] = "gaussian",
        hidden: Literal["bernoulli", "noisy_relu"] = "bernoulli",
        boundary: BoundaryName = "valid",
        engine: EngineName | Literal["auto"] = "auto",
        sigma: float = 1.0,
        average_over_map: bool = True,
        seed: int = 0,
        init_scale: float = 0.01,
    ) -> None:
        super().__init__()
        sizes = (kernel,) * (len(shape) - 1) if isinstance(kernel, int) else tuple(kernel)
        self.geometry = ConvGeometry(shape[0], tuple(shape[1:]), n_maps, sizes, stride, boundary)
        _check_units(visible, hidden, pool, self.geometry.map_shape)
        if sigma < SIGMA_FLOOR:
            raise ValueError(f"sigma is at least {SIGMA_FLOOR}; got {sigma}")
        self.visible, self.hidden, self.pool, self.average_over_map = visible, hidden, pool, average_over_map
        self.hidden_units: Units = MaxPooled(pool) if pool > 1 else units(hidden)
        self.use_engine(engine)
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn((n_maps, shape[0], *sizes), generator=generator) * init_scale)
        self.visible_bias = nn.Parameter(torch.zeros(shape[0]))
        self.hidden_bias = nn.Parameter(torch.zeros(n_maps))
        self.register_buffer("sigma", torch.full((shape[0],), float(sigma)))

    @property
    def visible_shape(self) -> tuple[int, ...]:
        """(C, *spatial): what a Markov chain holds."""
        return (self.geometry.n_channels, *self.geometry.shape)

    @property
    def hidden_shape(self) -> tuple[int, ...]:
        """(K, *map) of the hidden units."""
        return (self.geometry.n_maps, *self.geometry.map_shape)

    @property
    def pooled_shape(self) -> tuple[int, ...]:
        """(K, *map / pool): the image of a layer above."""
        return (self.geometry.n_maps, *(n // self.pool for n in self.geometry.map_shape))

    @property
    def visible_units(self) -> Units:
        """The kind of the visible units, with the present sigma."""
        return Gaussian(self._along_channels(self.sigma)) if self.visible == "gaussian" else units("bernoulli")

    def use_engine(self, name: EngineName | Literal["auto"]) -> None:
        """Compute in space or in the frequency domain from now on; the numbers stay the same to rounding."""
        g = self.geometry
        if name == "auto":
            name = faster_engine(g.kernel, g.shape, g.n_channels, g.n_maps, stride=g.stride, boundary=g.boundary)
        if name not in ("spatial", "frequency"):
            raise LookupError(f"no engine is called {name!r}; known are auto, spatial, frequency")
        self.engine: SpatialEngine | FrequencyEngine = SpatialEngine(g) if name == "spatial" else FrequencyEngine(g)

    @torch.no_grad()
    def set_base_rates(self, mean: Tensor, std: Tensor | None = None) -> None:
        """Set the visible biases so that the model without filters has the data's mean in every channel.

        Args:
            mean: (C,) or (C, *spatial) of the training data.
            std: of the same shape; its mean over voxels becomes sigma of Gaussian units, not below ``SIGMA_FLOOR``.
        """
        level = mean.to(self.visible_bias).flatten(1).mean(1) if mean.ndim > 1 else mean.to(self.visible_bias)
        self.visible_bias.copy_(self.visible_units.input_of(level))
        if std is not None and self.visible == "gaussian":
            self.sigma.copy_((std.flatten(1).mean(1) if std.ndim > 1 else std).clamp_min(SIGMA_FLOOR))

    def prepare(self, v: Tensor) -> Tensor:
        """Give images (B, C, *spatial) as the engine takes them, along the batch; they can be kept and indexed.

        In the frequency domain these are their spectra. They hold for this engine and this sigma.
        """
        return self.engine.prepare(v * self._precision)

    def hidden_input(self, v: Tensor, *, prepared: Tensor | None = None) -> Tensor:
        """Give the net inputs of the hidden units (B, K, *map) for images (B, C, *spatial)."""
        prepared = self.prepare(v) if prepared is None else prepared
        return self.engine.up(prepared, self.weight) + self._along_channels(self.hidden_bias)

    def visible_input(self, h: Tensor) -> Tensor:
        """Give the net inputs of the visible units (B, C, *spatial) for hidden maps (B, K, *map)."""
        return self.engine.down(h, self.weight) + self._along_channels(self.visible_bias)

    def hidden_mean(self, v: Tensor, *, hidden_input: Tensor | None = None) -> Tensor:
        """Give E[h | v] (B, K, *map); their net input saves a convolution when it is known."""
        return self.hidden_units.mean(self.hidden_input(v) if hidden_input is None else hidden_input)

    def visible_mean(self, h: Tensor) -> Tensor:
        """Give E[v | h] (B, C, *spatial) of hidden maps (B, K, *map)."""
        return self.visible_units.mean(self.visible_input(h))

    def sample_hidden(self, v: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw hidden maps (B, K, *map) given images (B, C, *spatial)."""
        return self.hidden_units.sample(self.hidden_input(v), generator)

    def sample_visible(self, h: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw images (B, C, *spatial) given hidden maps (B, K, *map)."""
        return self.visible_units.sample(self.visible_input(h), generator)

    def encode(self, v: Tensor) -> Tensor:
        """Give E[h | v] (B, K, *map), before pooling."""
        return self.hidden_mean(v)

    def decode(self, h: Tensor) -> Tensor:
        """Give E[v | h] (B, C, *spatial) of maps before pooling."""
        return self.visible_mean(h)

    def pooled_mean(self, v: Tensor) -> Tensor:
        """Give P(pooled unit on | v) (B, K, *map / pool), the image of a layer above; without pooling E[h | v]."""
        x = self.hidden_input(v)
        kind = self.hidden_units
        return kind.pooled_mean(x) if isinstance(kind, MaxPooled) else kind.mean(x)

    def unpool(self, pooled: Tensor) -> Tensor:
        """Give hidden maps (B, K, *map) to decode, of pooled ones (B, K, *map / pool); each unit an equal share."""
        return self.hidden_units.unpool(pooled) if isinstance(self.hidden_units, MaxPooled) else pooled

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """Give E(v, h) (B,); infinite where a block has two units on; noisy rectified units have none."""
        x = self.hidden_input(v)
        return self._visible_energy(v) + self._hidden_energy(h) - (h * x).flatten(1).sum(1)

    def free_energy(self, v: Tensor, *, hidden_input: Tensor | None = None) -> Tensor:
        """Give F(v) = -log sum_h exp(-E(v, h)) (B,) of images (B, C, *spatial); differentiable."""
        x = self.hidden_input(v) if hidden_input is None else hidden_input
        return self._visible_energy(v) - self.hidden_units.log_partition(x).flatten(1).sum(1)

    def log_marginal_hidden(self, h: Tensor) -> Tensor:
        """Give log p*(h) = log sum_v exp(-E(v, h)) (B,) of hidden maps, the image summed out."""
        free = self.visible_units.log_partition(self.visible_input(h)).flatten(1).sum(1)
        bias = self._along_channels(self.visible_bias)
        at_rest = prod(self.geometry.shape) * self.visible_units.base_energy(bias).sum()
        return free - at_rest - self._hidden_energy(h) + h.flatten(2).sum(2) @ self.hidden_bias

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
        """Give images (B, C, *spatial) after sweeps v -> h -> v; see :meth:`workbench.models.rbm.RBM.gibbs`."""
        for step in range(n_steps):
            x = self.hidden_input(v) if step or hidden_input is None else hidden_input
            x = self.visible_input(self.hidden_units.sample(x, generator))
            drawn = sample_visible or step < n_steps - 1
            v = self.visible_units.sample(x, generator) if drawn else self.visible_units.mean(x)
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
        """Give the gradient of mean F(v_data) - mean F(v_model) in closed form (Section 2.3.2, Eq. 8, convolved).

        With ``average_over_map`` filters and hidden biases are divided by the units of a map, visible biases by the
        voxels of a channel: the sums over places become means.

        Args:
            v_data: (B, C, *spatial) observed.
            v_model: (B', C, *spatial) from the chains, taken as constants.
            hidden_input: net input (B, K, *map) of ``v_data`` when it is already known.
            model_input: the same of ``v_model``.
            prepared: :meth:`prepare` of ``v_data`` when it is already known.

        Returns:
            By parameter name, in the parameter's shape and memory order, which fused optimizers rely on.
        """
        both = [self.prepare(v_data) if prepared is None else prepared, self.prepare(v_model)]
        x_data = self.hidden_input(v_data, prepared=both[0]) if hidden_input is None else hidden_input
        x_model = self.hidden_input(v_model, prepared=both[1]) if model_input is None else model_input
        h = [self.hidden_units.mean(x_data) / -len(v_data), self.hidden_units.mean(x_model) / len(v_model)]
        dv = (v_model.mean(0) - v_data.mean(0)) * self._precision
        gradient = {
            "weight": self.engine.correlate(torch.cat(both), torch.cat(h)),
            "visible_bias": dv.flatten(1).sum(1),
            "hidden_bias": torch.cat(h).flatten(2).sum((0, 2)),
        }
        return {name: value.contiguous() / self._n_places(name) for name, value in gradient.items()}

    def as_convolutions(self) -> list[ConvStage]:
        """Give the layer as a stage that slides over every voxel: its filters, whatever the stride and boundary.

        Noisy rectified units become rectified ones, which their mean approaches away from 0.
        """
        if self.pool > 1:
            raise ValueError("probabilistic max pooling is no max pooling of activations; use pooled_mean instead")
        weight = self.weight.detach() * self._precision
        name = "sigmoid" if self.hidden == "bernoulli" else "relu"
        return [ConvStage(weight, self.hidden_bias.detach(), name)]

    def back_projection(self, depth: int = 1) -> Tensor:
        """Give the image pattern of each map, its filter (K, C, *kernel)."""
        if depth != 1:
            raise ValueError(f"one layer has filters at depth 1 alone; got {depth}")
        return self.weight.detach()

    @property
    def _precision(self) -> Tensor | float:
        return self.visible_units.precision

    def _n_places(self, name: str) -> int:
        places = self.geometry.shape if name == "visible_bias" else self.geometry.map_shape
        return prod(places) if self.average_over_map else 1

    def _along_channels(self, values: Tensor) -> Tensor:
        return values.view(-1, *[1] * self.geometry.n_axes)

    def _visible_energy(self, v: Tensor) -> Tensor:
        """Give Q(v; b) (B,)."""
        kind, bias = self.visible_units, self._along_channels(self.visible_bias)
        return (kind.base_energy(v) + kind.base_energy(bias) - v * bias * self._precision).flatten(1).sum(1)

    def _hidden_energy(self, h: Tensor) -> Tensor:
        return self.hidden_units.base_energy(h).flatten(1).sum(1)


def _check_units(visible: str, hidden: str, pool: int, map_shape: tuple[int, ...]) -> None:
    """Refuse kinds of units that there are not, and pooling that does not fit them."""
    if visible not in ("gaussian", "bernoulli"):
        raise LookupError(f"visible units are gaussian or bernoulli; got {visible!r}")
    if hidden not in ("bernoulli", "noisy_relu"):
        raise LookupError(f"hidden units are bernoulli or noisy_relu; got {hidden!r}")
    if pool > 1 and hidden != "bernoulli":
        raise ValueError(f"probabilistic max pooling has Bernoulli units, at most one on in a block; got {hidden}")
    if pool < 1 or any(n % pool for n in map_shape):
        raise ValueError(f"blocks of {pool} do not divide the hidden map {map_shape}; change pool, kernel or image")
