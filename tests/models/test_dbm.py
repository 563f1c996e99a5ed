from __future__ import annotations

import pytest
import torch
from small_machines import (
    chain,
    disturbed,
    draw,
    either_centering,
    every_machine,
    everything,
    labeled,
    multimodal,
    probabilities,
    rows_equal,
    some_data,
)
from torch import Tensor

from workbench.metrics.likelihood import log_z_by_enumeration
from workbench.models.boltzmann_machine import State
from workbench.models.dbm import DBM
from workbench.models.machine_path import log_sum
from workbench.models.rbm import RBM


@either_centering
@pytest.mark.parametrize("make", [chain, labeled, multimodal])
def test_the_gradient_is_equation_8_against_enumeration(make: type, centered: bool) -> None:
    """With the exact posterior as positive and all states as negative phase it is the gradient of -log p(v).

    ``gradient`` averages rows; so expectations are put together from single rows, one constant row on the other side.
    """
    dbm = make(centered)
    data = some_data(dbm, 1)
    states, p = probabilities(dbm)
    posterior = p * rows_equal(states, data)
    rows = [{layer: x[r : r + 1] for layer, x in states.items()} for r in range(len(p))]
    total = {name: -value for name, value in dbm.gradient(rows[0], rows[0]).items()}
    for r, row in enumerate(rows):
        for weight, pair in ((p[r], (rows[0], row)), (posterior[r] / posterior.sum(), (row, rows[0]))):
            if weight > 0:
                total = {name: total[name] + weight * value for name, value in dbm.gradient(*pair).items()}
    for name, value in likelihood_gradient(dbm, data).items():
        assert torch.allclose(total[name], value, rtol=0, atol=1e-10), name


@either_centering
@every_machine
def test_the_gradient_is_that_of_the_energies_of_its_states(make: type, centered: bool) -> None:
    dbm, g = make(centered), draw(5)
    positive = dbm.mean_field(some_data(dbm)).state
    negative = dbm.gibbs({n: x.double() for n, x in dbm.initial_state(9, g).items()}, 3, g)
    smooth = negative | {n: dbm.kinds[n].mean(dbm.net_input(n, negative)).detach() for n in dbm.graph.odd}
    loss = dbm.energy(positive).mean() - dbm.energy(smooth).mean()
    names, parameters = zip(*dbm.named_parameters(), strict=True)
    expected = dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))
    got = dbm.gradient(positive, negative)
    assert got.keys() == expected.keys()
    assert all(torch.allclose(got[name], expected[name], rtol=0, atol=1e-12) for name in names)


def likelihood_gradient(dbm: DBM, data: State) -> dict[str, Tensor]:
    """Differentiate -mean log p(data) by autograd through a brute-force sum."""
    states = everything(dbm)
    energy = dbm.energy(states)
    terms = []
    for i in range(len(next(iter(data.values())))):
        same = rows_equal(states, {n: x[i : i + 1] for n, x in data.items()})
        terms.append(torch.logsumexp(-energy[same], 0) - torch.logsumexp(-energy, 0))
    loss = -torch.stack(terms).mean()
    names, parameters = zip(*dbm.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


@pytest.mark.parametrize("scale", [0.5, 2.0, 6.0])
@every_machine
def test_no_sweep_raises_the_variational_free_energy(make: type, scale: float) -> None:
    dbm = disturbed(make(True), scale, seed=4)
    data = some_data(dbm, 20)
    states = [dbm.mean_field(data, n_iterations=n, tolerance=0).state for n in range(12)]
    free = torch.stack([dbm.variational_free_energy(state, data) for state in states])
    assert bool((free.diff(dim=0) < 1e-10).all()) and bool((free[0] > free[-1] + 1e-6).any())


@either_centering
@every_machine
def test_a_fixed_point_is_the_mean_of_its_net_input_and_ends_the_sweeps(make: type, centered: bool) -> None:
    dbm = make(centered)
    data = some_data(dbm)
    result = dbm.mean_field(data, n_iterations=500, tolerance=1e-12)
    assert result.n_iterations < 500 and result.change < 1e-12
    for layer in dbm.graph.sizes:
        if layer not in data:
            mean = dbm.kinds[layer].mean(dbm.net_input(layer, result.state))
            assert torch.allclose(result.state[layer], mean, rtol=0, atol=1e-10)
    assert all(torch.equal(result.state[layer], x) for layer, x in data.items())


def test_the_first_pass_doubles_the_input_of_layers_that_have_another_above() -> None:
    dbm = chain()
    v = some_data(dbm)["v"]
    state = dbm.mean_field(v, n_iterations=0).state
    h1 = torch.sigmoid(2 * v @ dbm.weight("v", "h1").T + dbm.biases["h1"])
    assert torch.allclose(state["h1"], h1)
    assert torch.allclose(state["h2"], torch.sigmoid(h1 @ dbm.weight("h1", "h2").T + dbm.biases["h2"]))


@either_centering
@every_machine
def test_the_bound_is_below_the_likelihood(make: type, centered: bool) -> None:
    dbm = make(centered)
    data = some_data(dbm, 8)
    gap = (dbm.log_likelihood(data) - dbm.bound(data, dbm.exact_log_z())).detach()
    assert float(gap.min()) > 0 and float(gap.mean()) < 0.5, f"mean gap {float(gap.mean()):.3f} nats"


def test_with_one_hidden_layer_the_bound_is_the_likelihood_and_the_machine_an_rbm() -> None:
    dbm, rbm = disturbed(DBM.chain(5, [4])), RBM(5, 4).double()
    rbm.load_state_dict(
        rbm.state_dict()
        | {"weight": dbm.weight("v", "h1"), "visible_bias": dbm.biases["v"], "hidden_bias": dbm.biases["h1"]}
    )
    v = some_data(dbm)["v"]
    assert torch.allclose(dbm.free_energy(v), rbm.free_energy(v), rtol=0, atol=1e-12)
    assert torch.allclose(dbm.bound(v, dbm.exact_log_z()), dbm.log_likelihood(v), rtol=0, atol=1e-10)


def test_gaussian_inputs_have_the_free_energy_of_the_gaussian_rbm() -> None:
    dbm, rbm = disturbed(DBM.chain(5, [4], visible="gaussian")), RBM(5, 4, visible="gaussian").double()
    rbm.load_state_dict(
        rbm.state_dict()
        | {"weight": dbm.weight("v", "h1"), "visible_bias": dbm.biases["v"], "hidden_bias": dbm.biases["h1"]}
    )
    v = torch.randn(6, 5, generator=draw(1), dtype=torch.float64)
    assert torch.allclose(dbm.free_energy(v), rbm.free_energy(v), rtol=0, atol=1e-12)
    assert torch.isclose(dbm.exact_log_z(), log_z_by_enumeration(rbm.log_marginal_hidden, 4), rtol=0, atol=1e-10)


def test_an_absent_gaussian_modality_is_integrated_out() -> None:
    """Mean field over it too: the bound stays below the likelihood, whose sum over it is a Gaussian integral."""
    dbm = disturbed(DBM.multimodal({"MRI": (3, [2]), "PET": (2, [2])}, 2, visible="gaussian"), 0.5)
    mri = torch.randn(5, 3, generator=draw(1), dtype=torch.float64)
    log_p = log_sum(dbm, {"MRI": mri}) - dbm.exact_log_z()
    gap = (log_p - dbm.bound({"MRI": mri}, dbm.exact_log_z())).detach()
    assert float(gap.min()) > 0 and float(gap.mean()) < 0.5


def test_an_absent_modality_is_inferred_from_the_other() -> None:
    """PET repeats MRI through the shared layer: unclamped mean field finds it, and a bound of MRI alone holds."""
    dbm = DBM.multimodal({"MRI": (1, [1]), "PET": (1, [1])}, 1).double()
    with torch.no_grad():
        for layer in dbm.graph.sizes:
            incoming = sum(dbm.weights[f"{a}>{b}"].fill_(8.0).sum() for a, b in dbm.graph.edges if layer in (a, b))
            dbm.biases[layer].copy_(-torch.as_tensor(incoming) / 2)
    mri = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    pet = dbm.mean_field({"MRI": mri}).state["PET"]
    assert pet[0] < 0.05 and pet[1] > 0.95
    assert dbm.encode({"MRI": mri}).shape == (2, 1)
    exact = log_sum(dbm, {"MRI": mri}) - dbm.exact_log_z()
    assert bool((dbm.bound({"MRI": mri}, dbm.exact_log_z()) < exact).all())


@either_centering
def test_classes_with_one_hidden_layer_have_their_exact_probabilities(centered: bool) -> None:
    dbm = disturbed(DBM.chain(4, [3], n_classes=3, centered=centered))
    v = some_data(dbm)["v"]
    got = dbm.class_probabilities(v)
    assert torch.allclose(got, class_posterior(dbm, {"v": v}), rtol=0, atol=1e-9)


@pytest.mark.parametrize("make", [labeled, multimodal])
def test_classes_of_deeper_machines_are_near_their_exact_probabilities(make: type) -> None:
    dbm = make()
    data = some_data(dbm, 20)
    exact = class_posterior(dbm, data)
    by_bounds, free = dbm.class_probabilities(data), dbm.class_probabilities(data, "mean_field")
    assert torch.allclose(by_bounds.sum(1), torch.ones(20).double()) and torch.allclose(free.sum(1), exact.sum(1))
    assert float((by_bounds - exact).abs().mean()) < 0.05 and float((free - exact).abs().mean()) < 0.1


def class_posterior(dbm: DBM, data: State) -> Tensor:
    states, p = probabilities(dbm)
    rows = []
    for i in range(len(next(iter(data.values())))):
        same = rows_equal(states, {n: x[i : i + 1] for n, x in data.items()})
        rows.append((p[same, None] * states["label"][same]).sum(0) / p[same].sum())
    return torch.stack(rows)


def test_a_layer_that_hears_nothing_raises_the_alarm() -> None:
    dbm = disturbed(DBM.chain(10, [8, 4]), 1.0)
    v = some_data(dbm, 40)["v"]
    assert not any(life.dead for life in dbm.dead_layers(v).values())
    kept = dbm.weights["h1>h2"].detach().clone()
    dbm.weights["h1>h2"].data.zero_()
    life = dbm.dead_layers(v)
    assert life["h2"].dead and life["h2"].mean_abs_weight == 0 and life["h2"].sd_of_mu == 0 and not life["h1"].dead
    dbm.weights["h1>h2"].data.copy_(kept)
    dbm.biases["h2"].data.fill_(40.0)  # saturated: large weights, but the same for every input
    life = dbm.dead_layers(v)
    assert life["h2"].dead and life["h2"].mean_abs_weight > 0.1


def test_back_projection_multiplies_the_weights_on_the_way() -> None:
    dbm = multimodal()
    w = {key: weight.detach() for key, weight in dbm.weights.items()}
    assert torch.allclose(dbm.back_projection("shared", "MRI"), w["MRI_h1>shared"] @ w["MRI>MRI_h1"])
    pet = w["PET_h2>shared"] @ w["PET_h1>PET_h2"] @ w["PET>PET_h1"]
    assert torch.allclose(dbm.back_projection("shared", "PET"), pet)
    assert torch.equal(chain().back_projection("v"), torch.eye(4).double())
    with pytest.raises(ValueError, match="several inputs; name one of MRI, PET"):
        dbm.back_projection("shared")


def test_wrong_values_are_named() -> None:
    dbm = multimodal()
    with pytest.raises(ValueError, match="several inputs; give a dict with MRI, PET"):
        dbm.encode(torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"layer MRI takes \(B, 2\); got \(1, 3\)"):
        dbm.encode({"MRI": torch.zeros(1, 3)})
    with pytest.raises(LookupError, match="'shared' is not visible; data go into MRI, PET, label"):
        dbm.encode({"shared": torch.zeros(1, 2)})
    with pytest.raises(ValueError, match="at least one visible layer"):
        dbm.mean_field({})
    with pytest.raises(ValueError, match="no label layer"):
        chain().class_probabilities(torch.zeros(1, 4).double())
    with pytest.raises(LookupError, match="known are bounds, mean_field"):
        dbm.class_probabilities(some_data(dbm), "vote")  # type: ignore[arg-type]
