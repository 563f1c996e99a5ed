"""An experiment's folder: what was asked comes back, every training has one row, and pairs share their seed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import RunError
from workbench.paths import experiments_dir
from workbench.runs.experiment import Experiment, create_experiment, list_experiments, open_experiment
from workbench.runs.process import take_lock
from workbench.runs.results import Cell

VARIANTS = {"plain": {}, "drop": {"dropout": 0.5}}


def make(**changes: object) -> Experiment:
    settings = {"seeds": (0, 1, 2), "n_labels": (10, 0), "base": {"n_hidden": [8]}, "title": "T"} | changes
    return create_experiment("mlp", Path("cohort.csv"), VARIANTS, **settings)  # type: ignore[arg-type]


def fill(experiment: Experiment, score: str = "accuracy") -> None:
    for cell in experiment.cells:
        value = cell.seed + (0.5 if cell.variant == "drop" else 0) + (10 if cell.n_labels else 0)
        experiment.append_result(cell, "r", "finished", {score: value})


def test_an_experiment_comes_back_as_it_was_made() -> None:
    made = make()
    for found in (open_experiment(made.id), open_experiment(made.folder)):
        assert found == made and found.folder == made.folder
    assert made.folder.parent == experiments_dir() and [e.id for e in list_experiments()] == [made.id]
    assert made.status().state == "queued"


def test_cells_go_seed_by_seed_through_everything() -> None:
    cells = make().cells
    assert len(set(cells)) == len(cells) == 2 * 3 * 2
    assert [c.seed for c in cells] == sorted(c.seed for c in cells)
    assert {c.variant for c in cells[:2]} == set(VARIANTS) and cells[0].n_labels == cells[1].n_labels
    assert len({c.title for c in cells}) == len(cells)


def test_a_cell_changes_the_base_by_its_variant_seed_and_labels() -> None:
    made = make()
    assert made.changes(Cell("drop", 2, 10)) == {"n_hidden": [8], "dropout": 0.5, "seed": 2, "n_labels": 10}
    assert make(n_labels=(0,)).changes(Cell("plain", 1)) == {"n_hidden": [8], "seed": 1}


def test_every_row_is_kept_whatever_scores_come_later() -> None:
    made = make()
    first, second, third = made.cells[:3]
    made.append_result(first, "a", "finished", {"accuracy": 0.5})
    made.append_result(second, "b", "failed", {})
    made.append_result(third, "c", "finished", {"auc": 1 / 3, "accuracy": math.nan})
    table = made.table()
    assert list(table.columns) == ["variant", "seed", "n_labels", "run", "state", "accuracy", "auc"]
    assert table["run"].tolist() == ["a", "b", "c"] and table["seed"].dtype == "int64"
    np.testing.assert_allclose(table["auc"], [np.nan, np.nan, 1 / 3])
    np.testing.assert_allclose(table["accuracy"], [0.5, np.nan, np.nan])
    assert made.scores == ["accuracy", "auc"]


def test_what_failed_remains_and_what_finished_does_not() -> None:
    made = make()
    first, second = made.cells[:2]
    made.append_result(first, "a", "finished", {"accuracy": 1})
    made.append_result(second, "b", "failed", {})
    assert made.remaining() == list(made.cells[1:])
    made.append_result(second, "b", "finished", {"accuracy": 2})
    assert made.remaining() == list(made.cells[2:]) and len(made.table()) == 2


def test_names_of_variants_may_hold_anything_a_table_must_quote() -> None:
    name = 'n_hidden=[100, 50], "wide"\nand more'
    made = create_experiment("mlp", Path("c.csv"), {name: {}}, seeds=[0])
    made.append_result(made.cells[0], "r", "finished", {"a": 1})
    assert open_experiment(made.id).remaining() == [] and made.table()["variant"].tolist() == [name]


def test_pairs_differ_by_the_variant_alone() -> None:
    made = make()
    fill(made)
    pairs = made.paired("accuracy")
    assert len(pairs) == 12
    drop = pairs[pairs["variant"] == "drop"]
    assert (drop["difference"] == 0.5).all() and (pairs[pairs["variant"] == "plain"]["difference"] == 0).all()
    assert drop["n_labels"].tolist() == [0, 0, 0, 10, 10, 10] and drop["seed"].tolist() == [0, 1, 2] * 2
    assert (made.paired("accuracy", "drop")["difference"] <= 0).all()


def test_a_seed_without_a_partner_makes_no_pair() -> None:
    made = make(n_labels=(0,))
    fill(made)
    made.append_result(Cell("plain", 1), "r", "failed", {})
    assert sorted(made.paired("accuracy")["seed"].unique()) == [0, 2]


def test_unknown_scores_and_variants_list_the_known_ones() -> None:
    made = make()
    with pytest.raises(RunError, match="known ones are none yet"):
        made.paired("accuracy")
    fill(made)
    with pytest.raises(RunError, match="has the score 'auc'; known ones are accuracy"):
        made.paired("auc")
    with pytest.raises(RunError, match="no variant 'x'; it is one of plain, drop"):
        made.paired("accuracy", "x")
    with pytest.raises(ValueError, match="cannot be called seed"):
        made.append_result(made.cells[0], "r", "finished", {"seed": 1})


@pytest.mark.parametrize("name", ["../../etc", "", "nobody", "mlp-20260101-000000-abcd"])
def test_an_id_leads_nowhere_else(name: str) -> None:
    with pytest.raises(RunError):
        open_experiment(name)


def test_damage_is_said_and_skipped_in_the_list() -> None:
    made, other = make(), make()
    (made.folder / "experiment.json").write_text("{}")
    with pytest.raises(RunError, match="damaged"):
        open_experiment(made.id)
    assert [e.id for e in list_experiments()] == [other.id]
    (other.folder / "results.csv").write_text("variant,seed\nplain,x\n")
    with pytest.raises(RunError, match=r"results\.csv of experiment .* is damaged"):
        other.table()


def test_delete_removes_the_folder_unless_it_is_in_use() -> None:
    made = make()
    take_lock(made.folder)
    with pytest.raises(RunError, match="stop it first"):
        made.delete()
    (made.folder / "lock.json").unlink()
    made.delete()
    assert list_experiments() == [] and not list(experiments_dir().iterdir())
