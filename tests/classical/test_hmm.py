"""Hidden Markov models: hmmlearn's and an own likelihood, every path tried, recovery of what was planted."""

from __future__ import annotations

import logging
from itertools import product

import numpy as np
import pytest
from hmmlearn.hmm import GaussianHMM
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from workbench.classical.hmm import (
    HiddenMarkov,
    decode,
    fit_hidden_markov,
    log_likelihood,
    n_parameters,
    posterior,
)
from workbench.errors import Cancelled, CohortError, SettingsError
from workbench.metrics.recovery import match_states

MEANS = np.array([[0, 0], [1.5, 0], [0, 1.5]])


def chain(rng: np.random.Generator, stay: float, n_frames: int) -> np.ndarray:
    """Draw a path of three states that stays with that probability and else moves to either other one."""
    moves = np.where(rng.random(n_frames) < stay, 0, rng.integers(1, 3, n_frames))
    moves[0] = rng.integers(3)
    return np.cumsum(moves) % 3


def recordings(stay: float, n: int, n_frames: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    paths = [chain(rng, stay, n_frames) for _ in range(n)]
    return paths, [MEANS[p] + 0.6 * rng.normal(size=(n_frames, 2)) for p in paths]


def some_model(seed: int = 0, k: int = 3, d: int = 2) -> HiddenMarkov:
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(k, d, d))
    return HiddenMarkov(
        rng.dirichlet(np.ones(k)),
        rng.dirichlet(np.ones(k), k),
        rng.normal(size=(k, d)),
        spread @ spread.swapaxes(1, 2) + 0.3 * np.eye(d),
    )


def densities(model: HiddenMarkov, sequence: np.ndarray) -> np.ndarray:
    states = zip(model.means, model.covariances, strict=True)
    return np.stack([multivariate_normal(m, c).logpdf(sequence) for m, c in states], 1)


def forward(model: HiddenMarkov, sequence: np.ndarray) -> float:
    """Give the log-likelihood by the forward sums in logarithms (Rabiner 1989, Eqs. 19-21)."""
    density = densities(model, sequence)
    alpha = np.log(model.start) + density[0]
    for at in density[1:]:
        alpha = logsumexp(alpha[:, None] + np.log(model.transitions), axis=0) + at
    return float(logsumexp(alpha))


@pytest.mark.parametrize("seed", range(4))
def test_likelihood_is_hmmlearns_and_that_of_the_forward_sums(seed):
    model = some_model(seed, k=2 + seed % 3, d=1 + seed)
    sequence = np.random.default_rng(seed).normal(size=(150, 1 + seed)) * 2
    peer = GaussianHMM(model.n_states, "full")
    peer.startprob_, peer.transmat_, peer.means_, peer.covars_ = (
        model.start,
        model.transitions,
        model.means,
        model.covariances,
    )
    assert log_likelihood(model, sequence) == pytest.approx(forward(model, sequence), abs=1e-6)
    assert log_likelihood(model, sequence) == pytest.approx(peer.score(sequence), abs=1e-6)


def test_all_paths_by_hand():
    model, sequence = some_model(3), np.random.default_rng(1).normal(size=(6, 2))
    density, paths = densities(model, sequence), np.array(list(product(range(3), repeat=6)))
    joint = np.array(
        [
            np.log(model.start[p[0]]) + np.log(model.transitions[p[:-1], p[1:]]).sum() + density[np.arange(6), p].sum()
            for p in paths
        ]
    )
    assert log_likelihood(model, sequence) == pytest.approx(logsumexp(joint))
    assert decode(model, sequence).tolist() == paths[joint.argmax()].tolist()
    weight = np.exp(joint - logsumexp(joint))
    marginal = np.stack([(weight[:, None] * (paths == k)).sum(0) for k in range(3)], 1)
    assert np.allclose(posterior(model, sequence), marginal)


def test_order_of_states_does_not_matter():
    model, sequence = some_model(), np.random.default_rng(0).normal(size=(40, 2))
    moved = model.reordered([2, 0, 1])
    assert log_likelihood(moved, sequence) == pytest.approx(log_likelihood(model, sequence))
    assert np.array_equal(np.array([2, 0, 1])[decode(moved, sequence)], decode(model, sequence))


def test_steps_never_lose_likelihood_and_end_at_it():
    _, sequences = recordings(0.9, 6, 80, 0)
    model = fit_hidden_markov(sequences, 3, seed=0)
    assert (np.diff(model.history) > -1e-9).all()
    reached = sum(log_likelihood(model, s) for s in sequences) / 480
    assert reached == pytest.approx(model.history[-1], abs=1e-5)
    truth = HiddenMarkov(
        np.full(3, 1 / 3), np.full((3, 3), 0.05) + 0.85 * np.eye(3), MEANS, np.tile(0.36 * np.eye(2), (3, 1, 1))
    )
    assert reached >= sum(log_likelihood(truth, s) for s in sequences) / 480  # of the training data, no less than truth


def test_same_seed_same_model_and_scale_of_a_dimension_does_not_matter():
    _, sequences = recordings(0.9, 6, 80, 0)
    first, again = (fit_hidden_markov(sequences, 3, seed=4) for _ in range(2))
    assert all(
        np.array_equal(a, b) for a, b in zip(first.to_arrays().values(), again.to_arrays().values(), strict=True)
    )
    scale, shift = np.array([1e-6, 300.0]), np.array([5.0, -2.0])
    scaled = fit_hidden_markov([s * scale + shift for s in sequences], 3, seed=4)
    assert np.allclose(scaled.transitions, first.transitions, atol=1e-6)
    assert np.allclose(scaled.means, first.means * scale + shift, rtol=1e-6)
    assert scaled.history[-1] == pytest.approx(first.history[-1] - np.log(scale).sum(), abs=1e-6)


def test_no_step_leads_from_one_sequence_to_the_next():
    rng = np.random.default_rng(0)
    low, high = rng.normal(0, 0.3, (12, 40, 1)), rng.normal(9, 0.3, (12, 30, 1))
    model = fit_hidden_markov([*low, *high], 2, seed=0)
    assert np.allclose(model.transitions, np.eye(2), atol=1e-12)  # nobody ever changes state
    assert np.allclose(model.start, 0.5, atol=1e-9)
    assert np.isinf(model.dwell()).all()


def test_states_come_in_the_order_of_their_first_dimension():
    _, sequences = recordings(0.9, 6, 100, 2)
    for seed in range(2):
        assert (np.diff(fit_hidden_markov(sequences, 3, seed=seed).means[:, 0]) > 0).all()


def test_states_that_differ_in_correlation_alone_are_found():
    rng = np.random.default_rng(0)
    path = np.repeat(rng.permutation(np.arange(40) % 2), 30)
    roots = [np.linalg.cholesky([[1, r], [r, 1]]) for r in (0.9, -0.9)]
    sequence = np.stack([roots[k] @ rng.normal(size=2) for k in path])
    model = fit_hidden_markov([sequence], 2, seed=0)
    assert match_states(decode(model, sequence), path).accuracy > 0.93


def test_recovers_what_was_planted():
    paths, sequences = recordings(0.9, 20, 130, 0)
    model = fit_hidden_markov(sequences, 3, seed=0)
    states = match_states(np.concatenate([decode(model, s) for s in sequences]), np.concatenate(paths))
    assert states.accuracy > 0.9
    assert np.abs(np.diag(model.transitions) - 0.9).max() < 0.03
    assert np.abs(model.means - MEANS[states.permutation]).max() < 0.1
    assert np.allclose(model.stationary() @ model.transitions, model.stationary())
    assert model.dwell() == pytest.approx(1 / (1 - np.diag(model.transitions)))


@pytest.mark.slow
def test_persistence_alone_tells_classes_apart_where_frames_do_not():
    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

    right, static, states, errors = [], [], [], []
    for seed in range(2):
        data = [recordings(stay, 20, 130, 10 * seed + c) for c, stay in enumerate((0.95, 0.80))]
        for fold in range(5):
            train = [[s for i, s in enumerate(x) if i % 5 != fold] for _, x in data]
            models = [fit_hidden_markov(x, 3, seed=seed, n_restarts=1) for x in train]
            frames = np.concatenate([np.concatenate(x) for x in train])
            qda = QuadraticDiscriminantAnalysis().fit(frames, np.repeat([0, 1], [sum(map(len, x)) for x in train]))
            for c, (paths, x) in enumerate(data):
                for i in range(fold, 20, 5):
                    right.append((log_likelihood(models[1], x[i]) > log_likelihood(models[0], x[i])) == c)
                    static.append((qda.predict_log_proba(x[i]).sum(0).argmax()) == c)
                states.append(
                    match_states(
                        np.concatenate([decode(models[c], x[i]) for i in range(fold, 20, 5)]),
                        np.concatenate([paths[i] for i in range(fold, 20, 5)]),
                    ).accuracy
                )
            errors.append(np.abs(np.diag(models[0].transitions) - 0.95).mean())
    assert np.mean(right) >= 0.93
    assert 0.4 <= np.mean(static) <= 0.6
    assert np.mean(states[::2]) >= 0.93  # of the class with A_kk = .95; the other one is harder to decode
    assert np.mean(errors) <= 0.02


def test_many_frames_start_on_some_of_them(monkeypatch):
    monkeypatch.setattr("workbench.classical.baum_welch.FRAMES_OF_STARTS", 500)
    _, sequences = recordings(0.9, 20, 100, 0)
    model = fit_hidden_markov(sequences, 3, seed=0)
    assert np.abs(np.diag(model.transitions) - 0.9).max() < 0.05
    assert sum(log_likelihood(model, s) for s in sequences) / 2000 == pytest.approx(model.history[-1], abs=1e-4)


def test_saved_and_read_back_is_the_same(tmp_path):
    _, sequences = recordings(0.9, 4, 60, 0)
    model = fit_hidden_markov(sequences, 3, seed=0)
    np.savez(tmp_path / "model.npz", **model.to_arrays())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        again = HiddenMarkov.from_arrays(arrays)
    assert again.history == model.history and again.notes == model.notes != ()
    assert log_likelihood(again, sequences[0]) == log_likelihood(model, sequences[0])


def test_steps_that_had_not_converged_are_said_and_nothing_is_logged(caplog):
    _, sequences = recordings(0.8, 6, 80, 0)
    with caplog.at_level(logging.DEBUG, logger="hmmlearn"):
        short = fit_hidden_markov(sequences, 4, seed=0, max_iterations=3)
        long = fit_hidden_markov(sequences, 3, seed=0)
    assert any("not converged after 6 steps" in note for note in short.notes)
    assert not any("converged" in note for note in long.notes)
    assert any("of 5 starts came within" in note for note in long.notes)
    assert not caplog.records


def test_can_be_stopped():
    def stop(fraction: float, message: str) -> None:
        raise Cancelled(f"stopped at {fraction:.0%}, {message}")

    with pytest.raises(Cancelled, match="start 1 of 5: step 1"):
        fit_hidden_markov(recordings(0.9, 3, 50, 0)[1], 2, progress=stop)


def test_progress_rises_to_the_end():
    seen: list[float] = []
    fit_hidden_markov(recordings(0.9, 3, 50, 0)[1], 2, progress=lambda fraction, _: seen.append(fraction))
    assert seen == sorted(seen) and 0 < seen[0] < seen[-1] <= 1


def test_a_state_on_few_equal_frames_does_not_blow_up():
    rng = np.random.default_rng(0)
    sequence = rng.normal(size=(300, 2))
    sequence[100:140] = [2.5, 2.5]  # censored volumes that were filled with one value
    model = fit_hidden_markov([sequence], 3, seed=0)
    variance = sequence.var(0)
    values = np.linalg.eigvalsh(model.covariances / np.sqrt(np.outer(variance, variance)))
    assert values.min() == pytest.approx(1e-3, rel=1e-6)
    assert np.isfinite(log_likelihood(model, sequence))


def test_what_no_chain_can_be_fitted_to_is_said():
    rng = np.random.default_rng(0)
    good = [rng.normal(size=(30, 2)) for _ in range(3)]
    missing = good[1].copy()
    missing[4:7, 1] = np.nan
    with pytest.raises(CohortError, match="number 2 has 3 of 30 frames with NaN"):
        fit_hidden_markov([good[0], missing], 2)
    with pytest.raises(CohortError, match=r"number 2 has 1 frame\(s\), but a chain needs at least 2"):
        fit_hidden_markov([good[0], good[1][:1]], 2)
    with pytest.raises(CohortError, match=r"number 2 is of shape \(30, 3\)"):
        fit_hidden_markov([good[0], rng.normal(size=(30, 3))], 2)
    with pytest.raises(CohortError, match="no sequence"):
        fit_hidden_markov([], 2)
    with pytest.raises(CohortError, match="9 states in 2 dimensions has 125 parameters and 20 frames"):
        fit_hidden_markov([good[0][:20]], 9)
    with pytest.raises(CohortError, match="number 2 of the frames is constant, as when a unit"):
        fit_hidden_markov([g * [1, 0] + 7 for g in good], 2)
    with pytest.raises(CohortError, match="singular: their 3 dimensions have rank 2"):
        fit_hidden_markov([np.column_stack([g, g @ [2.0, -1.0]]) for g in good], 2)
    with pytest.raises(SettingsError, match="States, starts and steps are at least 1"):
        fit_hidden_markov(good, 0)


def test_lost_states_are_said():
    two_values = np.repeat([[0.0], [1.0]], 30, axis=0)
    with pytest.raises(CohortError, match="In each of 5 starts one of the 3 states"):
        fit_hidden_markov([two_values], 3)


def test_parameters_by_hand():
    assert n_parameters(3, 2) == 2 + 6 + 6 + 9
    assert n_parameters(1, 4) == 0 + 0 + 4 + 10


def test_models_check_themselves():
    good = some_model()
    with pytest.raises(ValueError, match="of 3 states in 2 dimensions"):
        HiddenMarkov(good.start[:2], good.transitions, good.means, good.covariances)
    with pytest.raises(ValueError, match="sum to 1"):
        HiddenMarkov(good.start, good.transitions * 2, good.means, good.covariances)
    with pytest.raises(ValueError, match="positive definite"):
        HiddenMarkov(good.start, good.transitions, good.means, good.covariances * 0)
    with pytest.raises(ValueError, match="2 dimensions"):
        log_likelihood(good, np.zeros((5, 3)))
    with pytest.raises(CohortError, match="NaN"):
        decode(good, np.full((5, 2), np.nan))
