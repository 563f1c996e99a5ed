"""Probabilistic max pooling against enumeration of every state of a block."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from workbench.models.pooling_units import MaxPooled, from_blocks, to_blocks


def net_input(*shape: int, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def enumerated(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give P(h = 1), log Z and P(any on) of one block (n,) by summing all 2^n states, at most one on allowed."""
    states = torch.tensor(list(product([0.0, 1.0], repeat=len(x))), dtype=x.dtype)
    weight = torch.exp(states @ x) * (states.sum(1) <= 1)
    return (weight @ states) / weight.sum(), weight.sum().log(), (weight * (states.sum(1) > 0)).sum() / weight.sum()


@pytest.mark.parametrize(("shape", "pool"), [((4, 4), 2), ((2, 2, 4), 2), ((3, 3), 3)])
def test_marginals_equal_enumeration_of_all_states(shape: tuple[int, ...], pool: int) -> None:
    units, x = MaxPooled(pool), net_input(2, 3, *shape)
    expected = [enumerated(block) for block in to_blocks(x, pool).flatten(0, -2)]
    torch.testing.assert_close(to_blocks(units.mean(x), pool).flatten(0, -2), torch.stack([m for m, _, _ in expected]))
    torch.testing.assert_close(units.log_partition(x).flatten(), torch.stack([z for _, z, _ in expected]))
    torch.testing.assert_close(units.pooled_mean(x).flatten(), torch.stack([p for _, _, p in expected]))


def test_blocks_are_neighbors_in_the_map() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert to_blocks(x, 2)[0, 0].tolist() == [[[0, 1, 4, 5], [2, 3, 6, 7]], [[8, 9, 12, 13], [10, 11, 14, 15]]]
    assert torch.equal(from_blocks(to_blocks(x, 2), 2), x)
    volume = net_input(2, 3, 4, 6, 2)
    assert torch.equal(from_blocks(to_blocks(volume, 2), 2), volume)


def test_blocks_of_one_are_bernoulli_units() -> None:
    x = net_input(2, 3, 4, 4)
    torch.testing.assert_close(MaxPooled(1).mean(x), torch.sigmoid(x))
    torch.testing.assert_close(MaxPooled(1).log_partition(x).flatten(), torch.nn.functional.softplus(x).flatten())


def test_large_inputs_of_either_sign_do_not_overflow() -> None:
    units = MaxPooled(2)
    high, low = torch.full((1, 1, 2, 2), 800.0), torch.full((1, 1, 2, 2), -800.0)
    assert torch.allclose(units.mean(high), torch.tensor(0.25)) and units.pooled_mean(high).item() == 1
    assert units.mean(low).eq(0).all() and units.log_partition(low).item() == 0
    small = torch.full((1, 1, 2, 2), -40.0)
    assert units.pooled_mean(small).item() == pytest.approx(4 * torch.tensor(-40.0).double().exp().item(), rel=1e-4)


def test_mean_is_the_slope_of_the_log_partition() -> None:
    x = net_input(2, 2, 4, 4).requires_grad_()
    (slope,) = torch.autograd.grad(MaxPooled(2).log_partition(x).sum(), x)
    torch.testing.assert_close(slope, MaxPooled(2).mean(x))


def test_samples_have_at_most_one_unit_on_and_the_right_rates() -> None:
    units, x = MaxPooled(2), net_input(1, 2, 2, 4, scale=1.0)
    h = units.sample(x.expand(20_000, -1, -1, -1), torch.Generator().manual_seed(1))
    assert set(h.unique().tolist()) == {0.0, 1.0}
    assert units.base_energy(h).eq(0).all()
    rates, expected = h.mean(0), units.mean(x)[0]
    assert ((rates - expected).abs() < 5 * (expected * (1 - expected) / 20_000).sqrt()).all()


def test_two_units_on_cannot_be() -> None:
    h = torch.zeros(1, 1, 2, 4)
    h[0, 0, 0, 0] = h[0, 0, 1, 1] = h[0, 0, 0, 2] = 1
    assert MaxPooled(2).base_energy(h)[0, 0].tolist() == [[torch.inf, 0.0]]


def test_top_down_input_raises_pooling_but_not_the_place_within_a_block() -> None:
    units, x = MaxPooled(2), net_input(1, 1, 4, 4)
    top = torch.tensor([[[[1.5, 0.0], [-2.0, 0.5]]]], dtype=torch.float64)
    told = units.with_top_down(x, top)
    odds = [p / (1 - p) for p in (units.pooled_mean(x), units.pooled_mean(told))]
    torch.testing.assert_close(odds[1], odds[0] * top.exp())
    place = [units.mean(z) / units.unpool(4 * units.pooled_mean(z)) for z in (x, told)]
    torch.testing.assert_close(place[0], place[1])


def test_unpooled_blocks_sum_to_the_pooled_unit_and_inputs_invert_means() -> None:
    units, x = MaxPooled(2), net_input(2, 2, 4, 4)
    pooled = units.pooled_mean(x)
    torch.testing.assert_close(to_blocks(units.unpool(pooled), 2).sum(-1), pooled)
    torch.testing.assert_close(units.input_of(units.mean(x)), x)


def test_entropy_is_that_of_the_enumerated_block() -> None:
    x = net_input(1, 1, 2, 2)
    p = torch.cat([MaxPooled(2).mean(x).flatten(), 1 - MaxPooled(2).pooled_mean(x).flatten()])
    torch.testing.assert_close(MaxPooled(2).entropy(x).sum(), -(p * p.log()).sum())


def test_a_map_that_blocks_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="blocks of 2 do not divide a map of"):
        MaxPooled(2).mean(torch.zeros(1, 1, 3, 4))
