"""The perceptron: its convergence theorem, what it cannot do, and what pocket and average are for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workbench.models.perceptron import Perceptron

XOR = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 1, 1, 0])


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def separable(seed: int, n: int = 200, n_inputs: int = 3) -> tuple[Tensor, Tensor, float]:
    """Give points off a random plane, their sides, and (R / gamma)² of that plane."""
    g = draw(seed)
    plane = torch.randn(n_inputs + 1, generator=g, dtype=torch.double)
    plane /= plane.norm()
    v = torch.randn(n, n_inputs, generator=g, dtype=torch.double)
    augmented = torch.cat([v, torch.ones(n, 1, dtype=torch.double)], 1)
    margin = augmented @ plane
    far = margin.abs() > 0.05
    bound = augmented[far].square().sum(1).max() / margin[far].abs().min() ** 2
    return v[far], (margin[far] > 0).long(), float(bound)


@pytest.mark.parametrize("seed", range(8))
def test_mistakes_stay_below_novikoffs_bound(seed: int) -> None:
    v, target, bound = separable(seed)
    perceptron = Perceptron(v.shape[1]).double()
    mistakes = perceptron.fit(v, target, 10_000, draw(seed))
    assert mistakes[-1] == 0 and 0 < sum(mistakes) <= bound
    assert torch.equal(perceptron.predict(v), target)


def test_it_is_the_rule_presented_one_by_one() -> None:
    v, target, _ = separable(3)
    perceptron = Perceptron(3).double()
    n_mistakes = perceptron.fit(v, target, 2, draw(5))
    w, b, g, counted = torch.zeros(3, dtype=torch.double), torch.zeros((), dtype=torch.double), draw(5), []
    for _ in range(2):
        counted.append(0)
        for n in torch.randperm(len(v), generator=g):
            error = int(target[n]) - int(w @ v[n] + b > 0)
            w, b, counted[-1] = w + error * v[n], b + error, counted[-1] + abs(error)
    assert counted == n_mistakes
    assert torch.allclose(perceptron.weight[0], w) and torch.allclose(perceptron.bias[0], b)


def test_the_average_is_the_mean_over_all_presentations() -> None:
    v, target, _ = separable(4)
    perceptron = Perceptron(3).double()
    perceptron.fit(v, target, 2, draw(5), variant="averaged")
    w, b, g = torch.zeros(3, dtype=torch.double), torch.zeros((), dtype=torch.double), draw(5)
    weights = []
    for _ in range(2):
        for n in torch.randperm(len(v), generator=g):
            error = int(target[n]) - int(w @ v[n] + b > 0)
            w, b = w + error * v[n], b + error
            weights.append(w)
    assert torch.allclose(perceptron.weight[0], torch.stack(weights).mean(0))


def test_xor_is_beyond_a_perceptron() -> None:
    for seed in range(5):
        perceptron = Perceptron(2)
        mistakes = perceptron.fit(*XOR, 200, draw(seed), variant="pocket")
        assert min(mistakes) > 0 and len(mistakes) == 200
        assert int((perceptron.predict(XOR[0]) == XOR[1]).sum()) == 3  # no plane has more than 3 of the 4


def test_the_pocket_is_never_worse_than_where_the_rule_ends() -> None:
    better = 0
    for seed in range(5):
        v, target, _ = separable(seed)
        noisy = torch.where(torch.rand(len(target), generator=draw(seed)) < 0.15, 1 - target, target)
        share = {}
        for variant in ("last", "pocket", "averaged"):
            perceptron = Perceptron(3).double()
            perceptron.fit(v, noisy, 20, draw(seed), variant=variant)  # type: ignore[arg-type]
            share[variant] = float((perceptron.predict(v) == noisy).float().mean())
        assert share["pocket"] >= share["last"]
        better += share["averaged"] > share["last"]
    assert better >= 3


@pytest.mark.parametrize("rule", ["units", "argmax"])
def test_several_classes_that_planes_separate_are_learnt(rule: str) -> None:
    g = draw(1)
    centers = 6 * torch.eye(4)
    target = torch.randint(4, (200,), generator=g)
    v = centers[target] + 0.5 * torch.randn(200, 4, generator=g)
    perceptron = Perceptron(4, 4, rule=rule)  # type: ignore[arg-type]
    mistakes = perceptron.fit(v, target, 200, draw())
    assert mistakes[-1] == 0 and torch.equal(perceptron.predict(v), target)
    assert perceptron(v).shape == (200, 4)


def test_the_rate_scales_the_weights_and_changes_no_prediction() -> None:
    v, target, _ = separable(2)
    slow, fast = Perceptron(3, rate=0.25).double(), Perceptron(3, rate=1.0).double()
    assert slow.fit(v, target, 5, draw()) == fast.fit(v, target, 5, draw())
    assert torch.allclose(4 * slow.weight, fast.weight)


def test_unknown_names_are_listed() -> None:
    with pytest.raises(LookupError, match="'delta'; known are units, argmax"):
        Perceptron(2, rule="delta")  # type: ignore[arg-type]
    with pytest.raises(LookupError, match="'best'; known are last, pocket, averaged"):
        Perceptron(2).fit(*XOR, 1, draw(), variant="best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least two of them; got 1"):
        Perceptron(2, rule="argmax")
