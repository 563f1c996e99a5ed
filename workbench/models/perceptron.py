"""The perceptron (Section 2.1, Figure 1a; Rosenblatt, Psychol. Rev. 1958, is the review's Reference 64).

    y = step(w v + b)        on a mistake:  w += rate (t - y) v,  b += rate (t - y)

It learns from mistakes alone. Where a margin gamma separates the classes, it makes at most (R / gamma)^2 of them,
R being the largest length of (v, 1) and gamma the margin of a unit vector over (v, 1) (Novikoff 1962). Where nothing
separates them, it never comes to rest: the pocket keeps the weights with the fewest mistakes on the whole set of all
that were met (after Gallant 1990), the average holds the mean over all presentations (Freund and Schapire 1999).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Rule = Literal["units", "argmax"]
Variant = Literal["last", "pocket", "averaged"]


class Perceptron(nn.Module):
    """Linear threshold units that learn by the perceptron rule.

    Args:
        n_inputs: V.
        n_outputs: 1 for two classes, else one for each class.
        rule: ``units`` lets every output unit learn by itself whether it should be on; ``argmax`` adds v to the
            weights of the true class and takes it from those of the class that won in its place.
        rate: of learning; starting from 0, it scales the weights and changes no prediction.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, n_inputs: int, n_outputs: int = 1, *, rule: Rule = "units", rate: float = 1.0) -> None:
        super().__init__()
        if rule not in ("units", "argmax"):
            raise LookupError(f"no perceptron rule is called {rule!r}; known are units, argmax")
        if rule == "argmax" and n_outputs < 2:
            raise ValueError(f"a largest output needs at least two of them; got {n_outputs}")
        self.rule, self.rate = rule, rate
        self.register_buffer("weight", torch.zeros(n_outputs, n_inputs))
        self.register_buffer("bias", torch.zeros(n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Give the net inputs w v + b of (B, V): (B, K), or (B,) of a single unit."""
        y = x @ self.weight.T + self.bias
        return y.squeeze(1) if len(self.bias) == 1 else y

    def predict(self, x: Tensor) -> Tensor:
        """Give the class (B,) int64: step of a single unit, else the largest net input."""
        y = self(x)
        return (y > 0).long() if y.ndim == 1 else y.argmax(1)

    def fit(
        self, x: Tensor, target: Tensor, n_epochs: int, generator: torch.Generator, *, variant: Variant = "last"
    ) -> list[int]:
        """Present the examples in a new random order each epoch, until an epoch passes without a mistake.

        Between two mistakes the weights stay, so the next mistake is looked for in all that follows at once.

        Args:
            x: (N, V), of the type of the weights.
            target: (N,) int64 classes.
            n_epochs: at most.
            generator: of the orders.
            variant: which weights are kept in the end.

        Returns:
            Mistakes in each epoch that was begun.
        """
        if variant not in ("last", "pocket", "averaged"):
            raise LookupError(f"no variant is called {variant!r}; known are last, pocket, averaged")
        record = _Record(self, x, target, variant)
        mistakes: list[int] = []
        for _ in range(n_epochs):
            order = torch.randperm(len(x), generator=generator)
            mistakes.append(self._epoch(x[order], target[order], record))
            if mistakes[-1] == 0:
                break
        if variant == "pocket":
            self.weight, self.bias = record.best
        elif variant == "averaged":
            self.weight, self.bias = (total / record.n_shown for total in record.totals)
        return mistakes

    def _epoch(self, x: Tensor, target: Tensor, record: _Record) -> int:
        n_mistakes, start = 0, 0
        while start < len(x):
            wrong = self._errors(x[start:], target[start:])  # (n, K) of -1, 0, 1
            at = wrong.any(1).nonzero()[:1]
            n_right = int(at) if len(at) else len(x) - start
            record.add(self, n_right)
            start += n_right + 1
            if len(at) == 0:
                break
            n_mistakes += 1
            error, v = self.rate * wrong[n_right], x[start - 1]
            self.weight = self.weight + error[:, None] * v
            self.bias = self.bias + error
            record.add(self, 1)
            record.consider(self)
        return n_mistakes

    def _errors(self, x: Tensor, target: Tensor) -> Tensor:
        """Give what the rule adds to each unit, (N, K): t - y of the units, or +1 and -1 at two classes."""
        y = (x @ self.weight.T + self.bias).detach()
        if self.rule == "argmax":
            kinds = torch.eye(y.shape[1], dtype=y.dtype)
            return kinds[target] - kinds[y.argmax(1)]
        wanted = target[:, None] if y.shape[1] == 1 else torch.arange(y.shape[1]) == target[:, None]
        return wanted.to(y.dtype) - (y > 0).to(y.dtype)


class _Record:
    """What the pocket and the average need to know of a fit."""

    def __init__(self, perceptron: Perceptron, x: Tensor, target: Tensor, variant: Variant) -> None:
        self.x, self.target, self.variant = x, target, variant
        self.n_shown, self.n_best = 0, -1
        self.totals = [torch.zeros_like(perceptron.weight), torch.zeros_like(perceptron.bias)]
        self.best = (perceptron.weight, perceptron.bias)
        self.consider(perceptron)

    def consider(self, perceptron: Perceptron) -> None:
        """Put the weights into the pocket if no others were right as often."""
        if self.variant != "pocket":
            return
        n_correct = int((perceptron.predict(self.x) == self.target).sum())
        if n_correct > self.n_best:
            self.n_best, self.best = n_correct, (perceptron.weight, perceptron.bias)

    def add(self, perceptron: Perceptron, n_times: int) -> None:
        """Count the weights ``n_times`` in the average."""
        if self.variant != "averaged":
            return
        self.n_shown += n_times
        self.totals[0] = self.totals[0] + n_times * perceptron.weight
        self.totals[1] = self.totals[1] + n_times * perceptron.bias
