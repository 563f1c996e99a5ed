from __future__ import annotations

import pytest
import torch
from small_machines import (
    brute_energy,
    chain,
    draw,
    either_centering,
    every_machine,
    everything,
    multimodal,
    probabilities,
    rows_equal,
    some_data,
)

from workbench.models.dbm import DBM


@either_centering
@every_machine
def test_energy_is_the_sum_of_the_equation(make: type, centered: bool) -> None:
    dbm = make(centered)
    states = everything(dbm)
    assert torch.allclose(dbm.energy(states), brute_energy(dbm, states), rtol=0, atol=1e-12)


@either_centering
@every_machine
def test_conditionals_are_those_of_the_joint_distribution(make: type, centered: bool) -> None:
    """Equations 5, 6 and 7: each layer given all others, against enumeration."""
    dbm = make(centered)
    states, p = probabilities(dbm)
    row = {layer: x[len(p) // 3 : len(p) // 3 + 1] for layer, x in states.items()}
    for layer in dbm.graph.sizes:
        same = rows_equal(states, {other: x for other, x in row.items() if other != layer})
        expected = (p[same, None] * states[layer][same]).sum(0) / p[same].sum()
        got = dbm.kinds[layer].mean(dbm.net_input(layer, row))[0]
        assert torch.allclose(got, expected, rtol=0, atol=1e-12), layer


def test_equations_5_to_7_as_the_review_writes_them() -> None:
    dbm, g = chain(), draw(1)
    w1, w2 = dbm.weight("h1", "v"), dbm.weight("h2", "h1")  # the review's W(1) (V, M1) and W(2) (M1, M2)
    for bias in dbm.biases.values():
        bias.data.zero_()
    v, h1, h2 = ((torch.rand(1, n, generator=g) < 0.5).double() for n in (4, 3, 2))
    state = {"v": v, "h1": h1, "h2": h2}
    for j in range(3):
        x = torch.stack([*(w1[i, j] * v[0, i] for i in range(4)), *(w2[j, k] * h2[0, k] for k in range(2))]).sum()
        assert torch.isclose(torch.sigmoid(dbm.net_input("h1", state))[0, j], torch.sigmoid(x))
    for k in range(2):
        x = torch.stack([w2[j, k] * h1[0, j] for j in range(3)]).sum()
        assert torch.isclose(torch.sigmoid(dbm.net_input("h2", state))[0, k], torch.sigmoid(x))
    for i in range(4):
        x = torch.stack([w1[i, j] * h1[0, j] for j in range(3)]).sum()
        assert torch.isclose(torch.sigmoid(dbm.net_input("v", state))[0, i], torch.sigmoid(x))


@either_centering
@every_machine
def test_marginals_of_either_side_sum_the_other_out(make: type, centered: bool) -> None:
    dbm = make(centered)
    states, _ = probabilities(dbm)
    for out in (dbm.graph.odd, dbm.graph.even):
        kept = {n: x[11:12] for n, x in states.items() if n not in out}
        expected = torch.logsumexp(-brute_energy(dbm, states)[rows_equal(states, kept)], 0)
        assert torch.isclose(dbm.log_marginal(kept, out)[0], expected, rtol=0, atol=1e-10)


@either_centering
@every_machine
def test_gibbs_sampling_leaves_the_distribution_as_it_is(make: type, centered: bool) -> None:
    """Exact samples, one sweep later, still have the exact means; a z-test over 4000 chains."""
    dbm, g = make(centered), draw(2)
    states, p = probabilities(dbm)
    start = torch.multinomial(p, 4000, replacement=True, generator=g)
    after = dbm.gibbs({layer: x[start] for layer, x in states.items()}, 1, g)
    for layer, x in after.items():
        mean = p @ states[layer]
        z = (x.mean(0) - mean) / (mean * (1 - mean) / 4000).sqrt()
        assert float(z.abs().max()) < 4.5, layer


def test_gibbs_sampling_reaches_the_distribution_from_anywhere() -> None:
    dbm, g = chain(), draw(2)
    states, p = probabilities(dbm)
    after = dbm.gibbs({layer: torch.ones(4000, n).double() for layer, n in dbm.graph.sizes.items()}, 60, g)
    for layer, x in after.items():
        assert torch.allclose(x.mean(0), p @ states[layer], rtol=0, atol=0.04), layer


def test_clamped_layers_keep_their_values_and_the_others_follow_their_posterior() -> None:
    dbm, g = multimodal(), draw(2)
    data = some_data(dbm, 1)
    states, p = probabilities(dbm)
    p = p * rows_equal(states, {"MRI": data["MRI"]})
    start = {layer: torch.zeros(4000, n).double() for layer, n in dbm.graph.sizes.items()}
    after = dbm.gibbs(start | {"MRI": data["MRI"].expand(4000, -1)}, 60, g, clamped=["MRI"])
    assert torch.equal(after["MRI"], data["MRI"].expand(4000, -1))
    assert torch.allclose(after["PET"].mean(0), p @ states["PET"] / p.sum(), rtol=0, atol=0.04)


@every_machine
def test_moved_offsets_and_uncentering_keep_the_distribution(make: type) -> None:
    dbm = make(True)
    states, before = probabilities(dbm)
    plain = dbm.uncentered()
    assert not plain.centered and all(not plain.offset(layer).any() for layer in plain.graph.sizes)
    means = {layer: torch.rand(n, generator=draw(8)).double() for layer, n in dbm.graph.sizes.items()}
    dbm.move_offsets(means, 0.3)
    for other in (plain, dbm):
        after = torch.softmax(-brute_energy(other, states), 0)
        assert torch.allclose(after, before, rtol=1e-9, atol=0)


def test_offsets_reach_the_means_they_move_towards() -> None:
    dbm = chain(True)
    dbm.move_offsets({"h1": torch.full((3,), 0.25).double()}, 1.0)
    assert torch.allclose(dbm.offset("h1"), torch.full((3,), 0.25).double())
    with pytest.raises(ValueError, match="not centered"):
        chain().move_offsets({"h1": torch.zeros(3)}, 1.0)


@either_centering
def test_base_rates_are_what_the_machine_without_weights_says(centered: bool) -> None:
    dbm = DBM.chain(4, [3, 2], centered=centered)
    for weight in dbm.weights.values():
        weight.data.zero_()
    rates = torch.tensor([0.1, 0.5, 0.9, 0.0])
    dbm.set_base_rates(rates)
    mean = torch.sigmoid(dbm.net_input("v", {"h1": torch.rand(1, 3, generator=draw())}))[0]
    assert torch.allclose(mean, rates.clamp(1e-3, 1 - 1e-3), atol=1e-6)
    assert torch.equal(dbm.offset("v"), rates if centered else torch.zeros(4))


def test_weights_carry_either_way_and_only_along_edges() -> None:
    dbm = chain()
    assert dbm.weight("v", "h1").shape == (3, 4) and torch.equal(dbm.weight("h1", "v"), dbm.weight("v", "h1").T)
    with pytest.raises(LookupError, match="'v' and 'h2' are not joined"):
        dbm.weight("v", "h2")


def test_weights_begin_alike_with_the_same_seed_and_chains_differ() -> None:
    one, two, three = (DBM.chain(6, [5, 4], seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.weight("v", "h1"), two.weight("v", "h1"))
    assert not torch.equal(one.weight("v", "h1"), three.weight("v", "h1"))
    assert len(one.initial_state(50, draw())["v"].unique(dim=0)) > 20
