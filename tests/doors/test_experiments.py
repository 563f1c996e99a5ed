"""Experiments end to end: every cell trained once, stopped and gone on with, failures noted, differences told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from workbench import cli, workflow
from workbench.doors import experiment_cells, experiments, variants
from workbench.doors.cohorts import make_phantom
from workbench.doors.runs import open_run
from workbench.errors import Cancelled, RunError, SettingsError
from workbench.imaging.cohort import Cohort, read_cohort
from workbench.metrics.intervals import paired_difference_interval
from workbench.runs.experiment import Experiment, open_experiment
from workbench.runs.run import list_runs

TINY = {"n_patches": 256, "n_epochs_pretraining": 1, "n_epochs_fine_tuning": 1, "n_hidden": [8, 4], "patch_size": 5}
VARIANTS = {"plain": {}, "noise": {"corruption": "masking", "sparsity_weight": 0.0}}


@pytest.fixture(scope="module")
def brains(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_phantom("brain", tmp_path_factory.mktemp("cohort") / "brains", n_subjects=2, spacing_mm=8.0)


def new(brains: Cohort, **changes: object) -> Experiment:
    settings = {"base": TINY, "seeds": 2, "preset": "quick", "title": "Does noise help?"} | changes
    chosen = settings.pop("variants", VARIANTS)
    return experiments.new_experiment("sae", brains.path, chosen, **settings)  # type: ignore[arg-type]


def wait(until: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_every_variant_is_trained_with_every_seed_and_compared(brains: Cohort) -> None:
    told: list[str] = []
    made = experiments.run_experiment(new(brains).id, lambda f, m: told.append(m))
    table = made.table()
    assert made.status().state == "finished" and len(told) == 5 and made.remaining() == []
    assert set(zip(table["variant"], table["seed"], strict=True)) == {(v, s) for v in VARIANTS for s in (0, 1)}
    assert (table["state"] == "finished").all() and made.scores
    for _, row in table.iterrows():
        run = open_run(made.runs_dir / row["run"])
        assert run.info.seed == row["seed"] and run.info.settings["corruption"] in ("none", "masking")
        assert (run.info.settings["corruption"] == "masking") == (row["variant"] == "noise")
        scores = run.scores()
        assert scores is not None and scores["part"] == "test"
        assert set(scores["subjects"]) == set(run.info.split["test"])  # type: ignore[index]
        assert row[made.scores[0]] == pytest.approx(scores["summary"][made.scores[0]][0], rel=1e-6)
    found = experiments.compare_experiment(made.id, made.scores[0])
    (row,) = found.rows
    part = found.pairs[found.pairs["variant"] == "noise"]
    assert row.n_pairs == 2 and row.difference.mean == pytest.approx(row.mean - row.reference_mean)
    assert row.difference == paired_difference_interval(part["value"], part["reference_value"])
    far = experiments.experiment_progress(made.id)
    assert (far.state, far.n_done, far.n_failed, far.fraction) == ("finished", 4, 0, 1.0)


def test_the_same_settings_and_seed_give_the_same_scores(brains: Cohort) -> None:
    made = experiments.run_experiment(new(brains, variants={"a": {}, "b": {}}, seeds=[5]).id)
    score = made.scores[0]
    assert (
        np.unique(made.table()[score]).size == 1
        and experiments.compare_experiment(made.id, score).rows[0].difference.mean == 0
    )


def test_a_stop_reaches_the_training_under_way(brains: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_cells, "WATCH_S", 0.01)
    made = new(brains, base=TINY | {"n_patches": 8192, "n_epochs_pretraining": 20}, seeds=1)
    experiments.run_experiment(made.id, lambda f, m: made.keeper.request_stop())
    (run,) = list_runs(made.runs_dir)
    assert (made.status().state, run.status().state) == ("stopped", "stopped") and not made.rows()


@pytest.mark.slow
def test_a_stopped_experiment_goes_on_where_it_was(brains: Cohort) -> None:
    long = TINY | {"n_patches": 4096, "n_epochs_pretraining": 12}  # seconds on a quick machine, so that a stop finds it
    made = new(brains, base=long, seeds=1)

    def stop_in_training(fraction: float, message: str) -> None:
        if "2 of 2" in message:
            threading.Thread(target=stop_soon, daemon=True).start()

    def stop_soon() -> None:
        wait(lambda: any(r.status().step > 20 for r in list_runs(made.runs_dir) if r.status().state == "running"))
        experiments.stop_experiment(made.id)

    experiments.run_experiment(made.id, stop_in_training)
    assert made.status().state == "stopped" and len(made.table()) == 1
    half = next(r for r in list_runs(made.runs_dir) if r.status().state == "stopped")
    done = half.status().step
    assert done > 0 and half.result() is None
    experiments.run_experiment(made.id)
    assert made.status().state == "finished" and len(list_runs(made.runs_dir)) == 2 == len(made.table())
    through = experiments.run_experiment(new(brains, base=long, seeds=1).id)
    score = made.scores[0]
    np.testing.assert_allclose(made.table()[score], through.table()[score], rtol=1e-6)


def test_ctrl_c_stops_the_whole_experiment(brains: Cohort) -> None:
    made = new(brains, base=TINY | {"n_patches": 8192, "n_epochs_pretraining": 20}, seeds=3)

    def interrupt() -> None:
        wait(lambda: any(r.status().step > 3 for r in list_runs(made.runs_dir)))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    experiments.run_experiment(made.id)
    assert made.status().state == "stopped" and len(made.remaining()) == 6 and not made.is_in_use


def test_a_failure_is_noted_and_the_others_go_on(brains: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    train = experiment_cells.train_run

    def fail_sometimes(folder):  # type: ignore[no-untyped-def]
        if "masking" in (folder / "run.json").read_text():
            raise RunError("The training went wrong.")
        return train(folder)

    monkeypatch.setattr(experiment_cells, "train_run", fail_sometimes)
    made = experiments.run_experiment(new(brains, seeds=1).id)
    assert dict(zip(made.table()["variant"], made.table()["state"], strict=True)) == {
        "plain": "finished",
        "noise": "failed",
    }
    assert made.status().state == "finished" and experiments.experiment_progress(made.id).n_failed == 1
    assert any("went wrong" in line for line in made.keeper.tail())
    monkeypatch.setattr(experiment_cells, "train_run", train)
    made = experiments.run_experiment(made.id)
    assert (made.table()["state"] == "finished").all() and len(made.table()) == 2


def test_a_finished_experiment_has_nothing_left_to_do(brains: Cohort) -> None:
    made = experiments.run_experiment(new(brains, seeds=1, variants={"a": {}}).id)
    before = (made.folder / "results.csv").read_bytes()
    experiments.run_experiment(made.id, lambda f, m: pytest.fail(m))
    assert (made.folder / "results.csv").read_bytes() == before
    for act in (experiments.resume_experiment, experiments.stop_experiment):
        with pytest.raises(RunError, match=r"finished"):
            act(made.id)
    experiments.delete_experiment(made.id)
    assert experiments.list_experiments() == []


def test_progress_may_cancel(brains: Cohort) -> None:
    made = new(brains, seeds=1)

    def cancel(fraction: float, message: str) -> None:
        raise Cancelled("enough")

    assert experiments.run_experiment(made.id, cancel).status().state == "stopped" and not made.rows()


def test_a_changed_cohort_is_refused(brains: Cohort, tmp_path: Path) -> None:
    cohort = read_cohort(shutil.copytree(brains.path.parent, tmp_path / "copy"))
    made = new(cohort)
    os.utime(cohort.subjects[0].images["T1"], (1, 1))
    with pytest.raises(RunError, match="have changed since experiment"):
        experiments.run_experiment(made.id)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"variants": {"a": {"n_hiden": [3]}}}, "n_hiden is not a setting"),
        ({"variants": {"a": {}, "b": {"patch_size": 400}}}, "patch_size = 400"),
        ({"variants": {}}, "at least one variant"),
        ({"seeds": 0}, "one seed"),
        ({"n_labels": (10, 0)}, "sae has no setting n_labels"),
        ({"variants": {"a": {"seed": 3}}}, "seed cannot be set"),
        ({"base": TINY | {"seed": 3}}, "seed cannot be set"),
    ],
)
def test_mistakes_are_said_before_anything_is_made(brains: Cohort, changes: dict, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        new(brains, **changes)
    assert experiments.list_experiments() == []


@pytest.fixture
def wired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the one door know what the command line calls."""
    for room, names in (
        (experiments, ("new_experiment", "run_experiment", "experiment_progress", "compare_experiment")),
        (variants, ("parse_variants", "parse_numbers")),
    ):
        for name in names:
            monkeypatch.setattr(workflow, name, getattr(room, name), raising=False)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


@pytest.mark.usefixtures("wired")
def test_the_command_line_trains_and_goes_on(brains: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [text for key, value in TINY.items() for text in ("--set", f"{key}={json.dumps(value)}")]
    code, out, err = call(
        capsys, "experiment", "sae", "--cohort", str(brains.path), "--preset", "quick", "--vary", "tied=true,false",
        "--seeds", "1", "--json", *sets,
    )  # fmt: skip
    assert code == 0, err
    facts = json.loads(out)
    assert (facts["state"], facts["trainings"], facts["failed"]) == ("finished", 2, 0)
    found = open_experiment(cli._run(facts["experiment"]))
    assert list(found.variants) == ["tied=true", "tied=false"] and found.base["n_hidden"] == [8, 4]
    code, out, _ = call(capsys, "experiment", "--resume", found.id)
    assert code == 0 and "finished: 2 of 2 trainings" in out and "tied=false - tied=true = " in out
    assert call(capsys, "experiment", "sae")[0] == 2
    assert "no setting n_labels" in call(capsys, "experiment", "sae", "-c", str(brains.path), "--labels", "10,0")[2]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(workflow, "run_experiment"), reason="the one door does not know experiments yet")
def test_a_process_of_its_own_is_followed_stopped_and_resumed(brains: Cohort) -> None:
    long = TINY | {"n_patches": 4096, "n_epochs_pretraining": 12}
    made = experiments.start_experiment("sae", brains.path, long, {"a": {}}, 1, title="t", preset="quick")
    wait(lambda: 0 < experiments.experiment_progress(made.id).fraction < 1)
    experiments.stop_experiment(made.id)
    wait(lambda: made.status().state == "stopped" and not made.is_in_use)
    experiments.resume_experiment(made.id)
    wait(lambda: any(r.status().state == "running" for r in list_runs(made.runs_dir)))
    child = made.status().pid
    assert child is not None
    os.kill(child, signal.SIGKILL)
    wait(lambda: made.status().state == "lost")
    experiments.resume_experiment(made.id)
    wait(lambda: made.status().state == "finished")
    assert len(made.table()) == 1 == len(list_runs(made.runs_dir))
