"""What is wrong with a finished training is said; what is right stays quiet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workbench import workflow
from workbench.errors import RunError, WorkbenchError
from workbench.imaging.cohort import Cohort
from workbench.models.conv_rbm import ConvRBM
from workbench.models.rbm import RBM
from workbench.runs.metrics_log import append_metrics
from workbench.runs.run import Run, create_run
from workbench.systems.alarms import MARK, alarms, check_finite
from workbench.systems.families import conv_rbm


def finished(tmp_path: Path, *, persistent: bool = True, **series: list[float]) -> Run:
    """Make a finished run that logged these values, one an epoch."""
    run = create_run("rbm", {"persistent": persistent}, seed=0, cohort=None, root=tmp_path)
    for name, values in series.items():
        for epoch, value in enumerate(values, 1):
            append_metrics(run.folder / "metrics.csv", "train", epoch, 10 * epoch, {name: value})
    run.log("stage train: begins with step 0")
    run.finish({"scores": {}})
    return run


def test_a_sound_training_raises_no_alarm(tmp_path: Path) -> None:
    run = finished(tmp_path, reconstruction=[10, 8, 9, 7], loss=[-4.0, 2.0, 1.0, 0.5])
    run.save_arrays("units", h1=np.array([0.5, 0.2, 0.0]))
    assert alarms(run) == []


def test_a_run_that_is_not_finished_raises_none(tmp_path: Path) -> None:
    run = create_run("rbm", {}, seed=0, cohort=None, root=tmp_path)
    run.log(f"{MARK}layer h2 is dead")
    assert alarms(run) == []


def test_what_a_family_logged_last_is_said_as_a_sentence(tmp_path: Path) -> None:
    run = finished(tmp_path)
    for line in ("stage joint: begins with step 0", f"{MARK}layer h1 is dead", "stage joint: resumed after step 9",
                 f"{MARK}layer h2 is dead; the machine makes no use of it"):  # fmt: skip
        run.log(line)
    assert alarms(run) == ["Layer h2 is dead; the machine makes no use of it."]


def test_errors_that_rise_again_are_a_divergence_whatever_the_scale(tmp_path: Path) -> None:
    for scale in (1e-3, 1.0, 1e6):
        (said,) = alarms(finished(tmp_path, val_reconstruction=[scale * v for v in (10.0, 4.0, 90.0, 20.0)]))
        assert "diverged" in said and "at epoch 3" in said
    tiny = [1e-4 * v for v in (10.0, 4.0, 90.0, 20.0)]  # a layer whose input hardly varies
    assert alarms(finished(tmp_path, val_reconstruction=tiny)) == []


@pytest.mark.parametrize(("loss", "word"), [(40.0, "below"), (-40.0, "above")])
def test_chains_far_from_the_data_are_named_where_chains_persist(tmp_path: Path, loss: float, word: str) -> None:
    (said,) = alarms(finished(tmp_path, loss=[1.0, loss]))
    assert f"40.0 nats {word} the data" in said
    assert alarms(finished(tmp_path, persistent=False, loss=[1.0, loss])) == []


def test_a_layer_of_which_half_is_dead_is_named(tmp_path: Path) -> None:
    run = finished(tmp_path)
    run.save_arrays("units", h1=np.array([0.5, 0.2, 0.0]), h2=np.array([0.5, 0.0]), output=np.zeros(4))
    (said,) = alarms(run)
    assert said.startswith("1 of the 2 units of h2 are dead")


def test_estimates_that_disagree_are_said_of_this_training_alone(tmp_path: Path) -> None:
    run = finished(tmp_path)
    ends = {"exact": np.array(np.nan), "forward": np.array([10.0]), "reverse": np.array([13.5])}
    run.save_arrays("log_z", key=np.array(f"{(run.result() or {})['finished']}-500-50"), **ends)
    (said,) = alarms(run)
    assert "3.50 nats apart" in said
    run.save_arrays("log_z", key=np.array("1.0-500-50"), **ends)
    assert alarms(run) == []


@pytest.mark.parametrize("broken", ["weight", "free energy"])
def test_what_is_no_longer_finite_fails_with_a_sentence(broken: str) -> None:
    model, x = RBM(4, 3), torch.zeros(2, 4)
    check_finite(model, x)
    with torch.no_grad():
        model.weight[0, 0] = np.nan if broken == "weight" else 3e38
    with pytest.raises(RunError, match="parameters weight are" if broken == "weight" else "free energy .* diverged"):
        check_finite(model, x + 3)


GAUSSIAN: dict[str, Any] = {
    "source": "patches", "dimensions": 2, "patch_size": 15, "n_patches": 300, "n_maps": 48, "kernel": 9, "n_epochs": 3,
    "learning_rate": 0.2, "scaling": "standardize", "spacing_mm": 0.0, "batch_size": 25,
}  # fmt: skip


@pytest.fixture(scope="module")
def brains(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return workflow.make_phantom("brain", tmp_path_factory.mktemp("brains") / "brains", n_subjects=4, spacing_mm=4.0)


def worst(run: Run) -> float:
    """Give the largest held-out error of an epoch, as a share of what the mean of all patches would leave."""
    metrics, x = run.metrics(), run.load_arrays("kept")["held_out"]
    return float(metrics[metrics["name"] == "val_reconstruction"]["value"].max()) / (x[0].size * x.var())


def test_gaussian_maps_explode_from_half_on_and_learn_from_few_on(
    brains: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = workflow.train("conv_rbm", brains.path, GAUSSIAN)
    monkeypatch.setattr(conv_rbm, "start", lambda machine: 0.1)  # biases of 0 and a tenth of the rate
    old = workflow.train("conv_rbm", brains.path, GAUSSIAN)
    assert worst(old) > 3 and worst(new) < 1
    scores = [(run.result() or {})["scores"]["explained_variance"] for run in (old, new)]
    assert scores[1] > 0.15 > scores[0]


def test_few_maps_are_on_only_where_many_would_explode() -> None:
    for options, bias in (
        ({}, -4.0),
        ({"hidden": "noisy_relu"}, 0.0),
        ({"pool": 2}, 0.0),
        ({"visible": "bernoulli"}, 0.0),
    ):
        machine = ConvRBM((1, 8, 8), 3, 3, **options)
        factor = conv_rbm.start(machine)
        assert float(machine.hidden_bias.detach().mean()) == bias and (factor < 1) == (
            bias == 0 and machine.visible == "gaussian"
        )


def test_a_training_that_left_the_numbers_fails(brains: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(self: Any, machine: ConvRBM, *args: Any, **named: Any) -> None:
        with torch.no_grad():
            machine.weight[0] = np.inf

    monkeypatch.setattr(conv_rbm.ConvRBMFamily, "divergence", explode)
    with pytest.raises(WorkbenchError, match="parameters weight are no longer finite"):
        workflow.train("conv_rbm", brains.path, GAUSSIAN)
    (run,) = [r for r in workflow.list_runs() if r.result() is None]
    assert run.status().state == "failed" and "diverged" in run.status().message
