"""From one network to the next: Section 1, strategies (c) off-the-shelf features and (d) fine-tuning.

load_matching     weights of the same name and shape move over; what did not, and why, is reported
TransferPlan      which layers stay frozen, learn more slowly, or begin anew (References 46 and 47)
off_the_shelf     activations of a frozen network as features (References 43 and 45)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules import batchnorm

from workbench.errors import SettingsError
from workbench.models.exactness import evaluating
from workbench.models.initialization import InitializationName, initialize

Fate = Literal["frozen", "reinitialized"] | float


@dataclass(frozen=True)
class TransferReport:
    """What :func:`load_matching` did.

    Attributes:
        loaded: names that moved over as they are.
        adapted: name → how its input channels were changed.
        skipped: name in the source → why it stayed behind.
        missing: names of the target that got nothing and keep their own values.
    """

    loaded: tuple[str, ...]
    adapted: dict[str, str]
    skipped: dict[str, str]
    missing: tuple[str, ...]


def load_matching(
    target: nn.Module,
    source_state: Mapping[str, Tensor],
    *,
    rename: Mapping[str, str] | None = None,
    flipped: bool = False,
) -> TransferReport:
    """Copy into a network the weights that another has under the same name and with the same shape; in place.

    The first convolution also takes a kernel for another number of input channels, so that an input with equal
    channels gives the same maps: from n channels to one the kernels are summed, from one to n repeated and divided
    by n.

    Args:
        target: the network, changed only if something fits.
        source_state: a ``state_dict``.
        rename: beginning of a name in the source → what stands there in the target; the longest one that fits.
        flipped: whether the source convolves as in Equation 9 (Theano, Matlab) and not cross-correlates; its kernels
            are then turned about.

    Raises:
        SettingsError: nothing fits at all.
    """
    own = target.state_dict()
    first = _first_convolution(target)
    found: dict[str, Tensor] = {}
    adapted, skipped = {}, {}
    for name, values in source_state.items():
        new_name = _renamed(name, rename or {})
        if new_name not in own:
            skipped[name] = "the network has nothing of this name"
            continue
        values = values.flip(tuple(range(2, values.ndim))) if flipped and values.ndim > 2 else values
        fitted = _repeated_or_summed(values, own[new_name].shape) if new_name == first else None
        if values.shape == own[new_name].shape:
            found[new_name] = values
        elif fitted is not None:
            found[new_name], adapted[new_name] = fitted
        else:
            skipped[name] = f"its shape is {tuple(values.shape)}, the network's {tuple(own[new_name].shape)}"
    if not found:
        raise SettingsError(
            f"No weight of the pretrained network fits: it has {_some(source_state)}; this network has {_some(own)}. "
            "Choose a run of the same architecture."
        )
    target.load_state_dict(found, strict=False)
    loaded = tuple(name for name in found if name not in adapted)
    return TransferReport(loaded, adapted, skipped, tuple(name for name in own if name not in found))


@dataclass(frozen=True)
class TransferPlan:
    """What becomes of each layer when a pretrained network is fine-tuned.

    Attributes:
        layers: beginning of a layer's name (whole words between dots) → ``frozen``, ``reinitialized``, or a multiplier
            of the learning rate; 0 is frozen. The longest one that fits holds.
        default: the multiplier of all others.
    """

    layers: Mapping[str, Fate] = field(default_factory=dict)
    default: float = 1.0

    def __post_init__(self) -> None:
        for name, fate in {**self.layers, "default": self.default}.items():
            if isinstance(fate, str) and fate not in ("frozen", "reinitialized"):
                raise LookupError(f"a layer is frozen, reinitialized or has a multiplier; got {fate!r} for {name!r}")
            if not isinstance(fate, str) and fate < 0:
                raise ValueError(f"the multiplier of a learning rate is at least 0; got {fate} for {name!r}")

    def fate(self, layer: str) -> Fate:
        """Give what becomes of the layer of that name."""
        fitting = [prefix for prefix in self.layers if _begins(layer, prefix)]
        return self.layers[max(fitting, key=len)] if fitting else self.default

    def layer_rates(self, network: nn.Module) -> dict[str, float]:
        """Give the multiplier of each layer that has parameters of its own: 0 if frozen, 1 if it begins anew.

        :func:`workbench.tasks.optimizers.parameter_groups` makes an optimizer's groups of them.
        """
        fates = {name: self.fate(name) for name, _ in _layers(network)}
        return {name: {"frozen": 0.0, "reinitialized": 1.0}.get(fate, fate) for name, fate in fates.items()}  # type: ignore[arg-type]

    def apply(
        self, network: nn.Module, generator: torch.Generator, *, initialization: InitializationName = "he"
    ) -> dict[str, float]:
        """Draw anew what begins anew, freeze what is frozen, and give :meth:`layer_rates`; in place.

        Frozen layers get no gradient and stay in eval mode even when the network trains, so that neither dropout nor
        the running statistics of batch normalization change them. This is not part of the network's state: a resumed
        run applies the plan before it loads its checkpoint.

        Raises:
            LookupError: the plan names a layer that the network does not have.
        """
        names = [name for name, _ in network.named_modules()]
        for prefix in self.layers:
            if not any(_begins(name, prefix) for name in names):
                raise LookupError(f"the network has no layer {prefix!r}; it has {', '.join(filter(None, names))}")
        for name, layer in network.named_modules():
            fate = self.fate(name) if next(layer.children(), None) is None else None
            if fate in ("frozen", 0):
                layer.requires_grad_(False)
                layer.register_forward_pre_hook(_stay_in_eval_mode)
            elif fate == "reinitialized":
                _reinitialize(layer, generator, initialization)
        return self.layer_rates(network)


def reinitialize(
    network: nn.Module, prefix: str, generator: torch.Generator, *, initialization: InitializationName = "he"
) -> None:
    """Draw the weights of the layers under a name anew, for a new task's head; in place."""
    TransferPlan({prefix: "reinitialized"}).apply(network, generator, initialization=initialization)


def off_the_shelf(network: nn.Module, x: Tensor, depth: int | None = None, *, batch_size: int = 256) -> Tensor:
    """Give a frozen network's activations as features for another classifier.

    Runs in eval mode and without gradients, so that a sample's features do not depend on what else is in its batch;
    the network is left as it was.

    Args:
        network: has ``features(x, depth)``, as :class:`CNN` and :class:`MLP` have.
        x: (N, C, *spatial).
        depth: as ``features`` takes it.
        batch_size: samples at once.

    Returns:
        (N, M).
    """
    features: Callable[[Tensor, int | None], Tensor] | None = getattr(network, "features", None)
    if not callable(features):
        raise TypeError(f"expected a network with features(x, depth); got a {type(network).__name__}")
    with evaluating(network), torch.no_grad():
        return torch.cat([features(batch, depth) for batch in x.split(batch_size)])


def _renamed(name: str, rename: Mapping[str, str]) -> str:
    fitting = [prefix for prefix in rename if name.startswith(prefix)]
    if not fitting:
        return name
    prefix = max(fitting, key=len)
    return rename[prefix] + name[len(prefix) :]


def _first_convolution(network: nn.Module) -> str:
    """Name the weight of the first convolution; empty if another layer with a matrix comes before it, or none does."""
    for name, parameter in network.named_parameters():
        if parameter.ndim >= 2:
            return name if parameter.ndim > 2 else ""
    return ""


def _repeated_or_summed(values: Tensor, wanted: torch.Size) -> tuple[Tensor, str] | None:
    """Give a kernel (out, in, *kernel) for another number of input channels and say how; none if it cannot be."""
    if values.ndim < 3 or values.shape[0] != wanted[0] or values.shape[2:] != wanted[2:]:
        return None
    before, after = values.shape[1], wanted[1]
    if after == 1:
        return values.sum(1, keepdim=True), f"summed over {before} channels"
    if before == 1:
        return values.expand(wanted) / after, f"repeated for {after} channels and divided by {after}"
    return None


def _begins(name: str, prefix: str) -> bool:
    return prefix == "" or name == prefix or name.startswith(prefix + ".")


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in network.named_modules():
        if next(layer.parameters(recurse=False), None) is not None:
            yield name, layer


def _stay_in_eval_mode(layer: nn.Module, _: object) -> None:
    layer.training = False


def _reinitialize(layer: nn.Module, generator: torch.Generator, initialization: InitializationName) -> None:
    if isinstance(layer, (batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)):
        layer.reset_parameters()
    else:
        initialize(layer, initialization, generator)


def _some(state: Mapping[str, Tensor]) -> str:
    """Say what the first matrices of a state are."""
    matrices = [f"{name} {tuple(values.shape)}" for name, values in state.items() if values.ndim >= 2]
    return ", ".join(matrices[:3]) + (", …" if len(matrices) > 3 else "")
