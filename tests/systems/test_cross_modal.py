from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from workbench.errors import SettingsError
from workbench.patches.scaling import Scaling
from workbench.systems.cross_modal import N_DRAWS, element_scores, sampled_part
from workbench.systems.examples_base import Record
from workbench.systems.views import Chains

rng = np.random.default_rng(0)
TRUTH = rng.normal(size=(12, 5)).astype(np.float32)
TRAIN = rng.normal(size=(40, 5)).astype(np.float32) + 1


class Kept:
    """A run of which only the arrays are asked for."""

    def load_arrays(self, name: str) -> dict[str, np.ndarray]:
        return {"patches": {"patches": TRUTH}, "kept": {"train": TRAIN}}[name]


def record(shape: tuple[int, ...] = (5,), end: int = 2) -> Record:
    scaling = Scaling.learn(torch.from_numpy(TRAIN.reshape(-1, *shape)), "none")
    source: Any = SimpleNamespace(kind="features")
    return Record(shape, scaling, None, (), source, {"MRI": (0, end), "PET": (end, 5)})


def machine(offset: float) -> Any:
    """Give a generator whose states are the truth and an error; of what is held fixed, nonsense."""

    def generate(run: Any, *, n_chains: int, steps: tuple[int, ...], clamp: str, **more: Any) -> Chains:
        states = np.repeat(TRUTH[:, None, None, :, None], len(steps), 1) + offset
        states[..., :2, :] = 99
        truth = TRUTH[:, None, :, None]
        return Chains(states, list(steps), np.zeros((n_chains, 0)), "noise", clamped=(clamp,), truth=truth)

    return generate


def test_a_perfect_machine_makes_no_error() -> None:
    found = sampled_part(machine(0.0), Kept(), record(), "MRI", list("abcde"), 0)  # type: ignore[arg-type]
    assert found.sampled == "PET" and found.columns == ["c", "d", "e"]
    assert found.nmse == pytest.approx(0, abs=1e-10) and found.correlation == pytest.approx(1)
    assert np.allclose(found.held, TRUTH[:, :2]) and np.allclose(found.truth, TRUTH[:, 2:])
    assert found.states.shape == (12, N_DRAWS, 3) and found.n_examples == 12


def test_saying_the_training_mean_is_an_error_share_of_one() -> None:
    baseline = TRAIN[:, 2:].mean(0)

    def generate(run: Any, *, steps: tuple[int, ...], **more: Any) -> Chains:
        whole = np.concatenate([np.zeros(2), baseline]).astype(np.float32)
        states = np.tile(whole[None, None, None, :, None], (12, len(steps), 1, 1, 1))
        return Chains(states, list(steps), np.zeros((12, 0)), "noise", truth=TRUTH[:, None, :, None])

    found = sampled_part(generate, Kept(), record(), "MRI", [], 0)  # type: ignore[arg-type]
    assert found.nmse == pytest.approx(1, rel=1e-5) and np.allclose(found.by_element[1], 1, rtol=1e-4)
    assert np.isnan(found.correlation), "what does not vary has no correlation"


def test_a_constant_error_leaves_the_correlation_and_shows_in_the_error() -> None:
    found = sampled_part(machine(0.5), Kept(), record(), "MRI", [], 0)  # type: ignore[arg-type]
    reference = ((TRAIN[:, 2:].mean(0) - TRUTH[:, 2:]) ** 2).sum()
    assert found.correlation == pytest.approx(1)
    assert found.nmse == pytest.approx(12 * 3 * 0.25 / reference, rel=1e-4)


def test_an_unknown_part_is_a_sentence() -> None:
    with pytest.raises(SettingsError, match="MRI, PET"):
        sampled_part(machine(0.0), Kept(), record(), "CT", [], 0)  # type: ignore[arg-type]


def test_too_few_examples_have_no_correlation() -> None:
    correlation, share = element_scores(TRUTH[:2], TRUTH[:2], np.zeros(5))
    assert np.isnan(correlation).all() and np.allclose(share, 0)
