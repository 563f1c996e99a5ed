from __future__ import annotations

import pytest
import torch
from small_machines import (
    brute_energy,
    chain,
    disturbed,
    draw,
    either_centering,
    every_machine,
    labeled,
    multimodal,
    probabilities,
    rows_equal,
    some_data,
)

from workbench.errors import SettingsError
from workbench.metrics.likelihood import ais, default_betas, estimate_partition
from workbench.models.dbm import DBM


@either_centering
@every_machine
def test_log_z_and_likelihoods_are_those_of_brute_force(make: type, centered: bool) -> None:
    dbm = make(centered)
    states, p = probabilities(dbm)
    log_z = torch.logsumexp(-brute_energy(dbm, states), 0)
    assert torch.isclose(dbm.exact_log_z(), log_z, rtol=0, atol=1e-10)
    data = some_data(dbm)
    exact = [p[rows_equal(states, {n: x[i : i + 1] for n, x in data.items()})].sum().log() for i in range(6)]
    assert torch.allclose(dbm.log_likelihood(data), torch.stack(exact), rtol=0, atol=1e-10)


@either_centering
@pytest.mark.parametrize("make", [chain, labeled, multimodal])
def test_annealing_is_within_the_sheets_distance_of_the_exact_value(make: type, centered: bool) -> None:
    dbm, g = make(centered), draw(6)
    states, p = probabilities(dbm)
    path = dbm.annealed({layer: p @ states[layer] for layer in dbm.graph.inputs})
    exact = dbm.exact_log_z()
    start = torch.multinomial(p, 200, replacement=True, generator=g)
    samples = path.pack({layer: x[start] for layer, x in states.items()})
    both = estimate_partition(path, samples=samples, betas=default_betas(400), n_chains=200)
    assert both.reverse is not None
    assert both.forward.value == pytest.approx(float(exact), abs=0.05)
    assert both.reverse.value == pytest.approx(float(exact), abs=0.05)


@either_centering
@every_machine
def test_the_ends_of_the_path_are_the_base_and_the_machine(make: type, centered: bool) -> None:
    dbm, g = make(centered), draw(6)
    path = dbm.annealed({layer: torch.full((dbm.graph.sizes[layer],), 0.3) for layer in dbm.graph.inputs})
    states, _ = probabilities(dbm)
    odd = path.pack(states).unique(dim=0)
    assert torch.isclose(torch.logsumexp(path.log_weight(odd, 1.0), 0), dbm.exact_log_z(), rtol=0, atol=1e-10)
    assert torch.isclose(torch.logsumexp(path.log_weight(odd, 0.0), 0), path.base_log_z(), rtol=0, atol=1e-10)
    p = torch.softmax(path.log_weight(odd, 0.4), 0)  # a step in between leaves its distribution as it is
    after = path.step(odd[torch.multinomial(p, 20_000, replacement=True, generator=g)], 0.4, g)
    mean = p @ odd
    assert float(((after.mean(0) - mean) / (mean * (1 - mean) / 20_000).sqrt()).abs().max()) < 4.5


def test_annealing_64_14_8_is_within_a_twentieth_of_a_nat() -> None:
    dbm = disturbed(DBM.chain(64, [14, 8]), 0.35, seed=1)
    estimate = ais(dbm.annealed(torch.full((64,), 0.5)), betas=default_betas(1000))
    assert estimate.value == pytest.approx(float(dbm.exact_log_z()), abs=0.05)


def test_what_is_too_large_to_enumerate_says_so() -> None:
    with pytest.raises(SettingsError, match=r"22 binary units, but the layers h1 have 2\^30; take annealed"):
        DBM.chain(64, [30, 20]).exact_log_z()
