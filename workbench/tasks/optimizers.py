"""How parameters move: Nesterov's accelerated gradient, the schedule of its momentum, and rates of each layer.

Section 2.6, item 1; Sutskever, Martens, Dahl and Hinton, ICML 2013, is the review's Reference 78.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from workbench.errors import SettingsError

OptimizerName = Literal["adam", "sgd", "nesterov", "rmsprop", "adadelta"]
OPTIMIZERS = ("adam", "sgd", "nesterov", "rmsprop", "adadelta")
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

FINAL_MOMENTUM = 0.9
"""The momentum of the last updates, whose smaller steps settle into the valley that the larger ones followed."""


def momentum_schedule(step: int, mu_max: float, n_total: int = 0, n_last: int = 1000) -> float:
    """Give the momentum of a step, mu_t = min(1 - 2^(-1 - log2(floor(t / 250) + 1)), mu_max).

    Args:
        step: t, counted from 0.
        mu_max: at most this; 0 switches momentum off.
        n_total: steps of the whole training; 0 if it is not known.
        n_last: in the last ``n_last`` steps of a known total the momentum is at most ``FINAL_MOMENTUM``.
    """
    if not 0 <= mu_max < 1:
        raise ValueError(f"a momentum is at least 0 and below 1; got {mu_max}")
    mu = min(1 - 2 ** (-1 - math.log2(step // 250 + 1)), mu_max)
    return min(mu, FINAL_MOMENTUM) if n_total and step >= n_total - n_last else mu


class Nesterov(torch.optim.Optimizer):
    """Nesterov's accelerated gradient as it is written: the gradient is taken where the momentum leads.

        v ← mu v - rate grad(theta + mu v)          theta ← theta + v

    ``torch.optim.SGD(nesterov=True)`` is the same in the variables theta + mu v while mu and the rate stay; it is not
    when mu follows a schedule. Since the gradient is needed elsewhere than at the present parameters, a step wants a
    closure, which Lightning gives. Between steps the parameters are theta.

    Args:
        params: parameters or groups; a group's ``lr``, ``momentum`` and ``weight_decay`` may change between steps.
        lr: rate.
        momentum: mu.
        weight_decay: lambda; adds lambda (theta + mu v) to the gradient.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 0.01, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move the parameters by one step; gives what the closure gave.

        Raises:
            ValueError: there is no closure.
        """
        if closure is None:
            raise ValueError("Nesterov's gradient is taken at theta + mu v; give step() a closure that computes it")
        for group in self.param_groups:
            for parameter in group["params"]:
                if "velocity" in self.state[parameter]:
                    parameter.add_(self.state[parameter]["velocity"], alpha=group["momentum"])
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                self._move(parameter, group)
        return loss

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """Finish the step of a parameter that stands at theta + mu v."""
        if "velocity" not in self.state[parameter]:
            self.state[parameter]["velocity"] = torch.zeros_like(parameter)
        velocity = self.state[parameter]["velocity"].mul_(group["momentum"])
        if parameter.grad is None:
            return
        gradient = parameter.grad
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        velocity.add_(gradient, alpha=-group["lr"])
        parameter.add_(gradient, alpha=-group["lr"])


def parameter_groups(
    network: nn.Module, learning_rate: float, weight_decay: float = 0.0, layer_rates: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Sort a network's parameters by what they do in a step.

    Args:
        network: its parameters with rate 0 are frozen (``requires_grad``), the others are not.
        learning_rate: of layers that have no rate of their own.
        weight_decay: of weights (matrices and kernels); biases and normalizations do not decay.
        layer_rates: names of layers or parameters, whole up to a dot (``hidden.0``), with what multiplies the rate;
            the longest name that fits counts.

    Returns:
        Groups for a torch optimizer, without frozen parameters.

    Raises:
        LookupError: a name fits nothing in the network.
    """
    rates = dict(layer_rates or {})
    names = [name for name, _ in network.named_parameters()]
    unknown = [prefix for prefix in rates if not any(_fits(prefix, name) for name in names)]
    if unknown:
        raise LookupError(f"no layer is called {', '.join(map(repr, unknown))}; parameters are {', '.join(names)}")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        rate = learning_rate * rate_of(name, rates)
        parameter.requires_grad_(rate > 0)
        if rate > 0:
            groups.setdefault((rate, weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return [{"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in groups.items()]


def rate_of(name: str, layer_rates: Mapping[str, float]) -> float:
    """Give what multiplies the learning rate of a parameter or layer; 1 where no name fits."""
    fitting = [prefix for prefix in layer_rates if _fits(prefix, name)]
    return layer_rates[max(fitting, key=len)] if fitting else 1.0


def hold_frozen_statistics(network: nn.Module, layer_rates: Mapping[str, float]) -> None:
    """Put the batch normalizations of layers with rate 0 into evaluation, so that their statistics stay; in place."""
    for name, module in network.named_modules():
        if isinstance(module, BATCH_NORMS) and rate_of(name, layer_rates) == 0:
            module.eval()


def make_optimizer(name: str, groups: list[dict[str, Any]], momentum: float = 0.0) -> torch.optim.Optimizer:
    """Give the optimizer of that name over :func:`parameter_groups`; only sgd and nesterov use the momentum.

    Weight decay is the L2 penalty lambda / 2 ||W||^2 in all of them. RMSprop forgets squared gradients by 0.9 a step
    (Tieleman and Hinton, 2012), Adadelta by 0.95 with epsilon 1e-6 (Zeiler, 2012); its natural rate is 1.

    Raises:
        SettingsError: there is no group.
    """
    if not groups:
        raise SettingsError("Every layer is frozen, so nothing can be trained; give a layer a rate above 0.")
    if name == "adam":
        return torch.optim.Adam(groups)
    if name == "rmsprop":
        return torch.optim.RMSprop(groups, alpha=0.9)
    if name == "adadelta":
        return torch.optim.Adadelta(groups, rho=0.95, eps=1e-6)
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=momentum)
    if name != "nesterov":
        raise LookupError(f"no optimizer is called {name!r}; known are {', '.join(OPTIMIZERS)}")
    return Nesterov(groups, momentum=momentum)


@torch.no_grad()
def clip_incoming(network: nn.Module, limit: float) -> None:
    """Shorten the weights into each unit to at most ``limit`` (max-norm; Srivastava et al., JMLR 2014); in place.

    The last layer with weights, whose outputs are logits or numbers, and what is frozen are left alone.
    """
    weights = [p for p in network.parameters() if p.ndim > 1]
    for weight in weights[:-1]:
        if weight.requires_grad:
            weight.renorm_(2, 0, limit)


def _fits(prefix: str, name: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")
