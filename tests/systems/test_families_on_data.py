"""The families of Section 2 on a user's data: patches of volumes, pictures, feature tables; and what does not fit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from workbench import workflow
from workbench.errors import WorkbenchError
from workbench.imaging.cohort import Cohort, read_cohort, write_cohort
from workbench.imaging.feature_vectors import write_feature_vector
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.metrics.intervals import mean_interval
from workbench.metrics.likelihood import default_betas
from workbench.runs.run import Run
from workbench.systems import catalog
from workbench.systems.examples_base import ExampleLearning

KINDS = ("patches", "whole", "features")
EDGE = 5  # of the patches
DATA: dict[str, dict[str, Any]] = {
    "patches": {"source": "patches", "n_patches": 200, "patch_size": EDGE, "dimensions": 3, "spacing_mm": 0.0},
    "whole": {"source": "whole"},
    "features": {"source": "features"},
}
SHORT = {"batch_size": 50, "n_epochs": 2}
TUNED = {"n_hidden": (8, 6), "n_epochs_pretraining": 2}
STARTS = ("scratch", "auto-encoders", "denoising", "joint", "belief network", "Boltzmann machine")
SUPERVISED: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("mlp", {"n_hidden": (8,)}),
    "cnn": ("cnn", {"n_maps": (4,), "n_fully": (8,)}),
    **{f"from {start}": ("fine_tuning", TUNED | {"start": start}) for start in STARTS},
}
ENERGY: dict[str, tuple[str, dict[str, Any]]] = {
    "rbm": ("rbm", {"n_hidden": 8, "scaling": "standardize"}),
    "rbm with labels": ("rbm", {"n_hidden": 8, "labels": "joint"}),
    "conv_rbm": ("conv_rbm", {"n_maps": 4, "kernel": 3}),
    "dbn": ("dbn", {"n_hidden": (8, 6), "n_epochs_wake_sleep": 1}),
    "dbm": ("dbm", TUNED),
    "dbm with labels": ("dbm", TUNED | {"labels": "joint", "scaling": "standardize", "n_code": 8}),
}
STACKS: dict[str, tuple[str, dict[str, Any]]] = {
    "sae": ("sae", {"n_hidden": (8, 6), "n_epochs_pretraining": 2, "n_epochs_fine_tuning": 2}),
}
FAMILIES = SUPERVISED | ENERGY | STACKS
CONVOLVING = ("cnn", "conv_rbm")
LONG = ("from denoising", "from joint", "rbm with labels")  # what they add to their neighbors one kind of data shows
CASES = [
    pytest.param(f, k, marks=[pytest.mark.slow] if f in LONG and k != "features" else [])
    for f in FAMILIES
    for k in KINDS
    if not (f in CONVOLVING and k == "features")
]


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cohort]:
    folder = tmp_path_factory.mktemp("cohorts")
    return {
        "patches": workflow.make_phantom("brain", folder / "brain", n_subjects=4, spacing_mm=8.0),
        "whole": workflow.make_phantom("digits", folder / "digits", n_subjects=100),
        "features": workflow.make_phantom("paired", folder / "paired", n_subjects=60),
    }


@pytest.fixture
def quick_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimate log Z by few temperatures; how well is the matter of other tests."""
    for module in ("belief_base", "families.dbm"):
        monkeypatch.setattr(f"workbench.systems.{module}.betas", lambda _: default_betas(60))


def trained(family: str, cohort: Cohort, **changes: Any) -> Run:
    name, settings = FAMILIES.get(family, (family, {}))
    known = catalog.load(name).model_fields
    run = workflow.train(name, cohort.path, {n: v for n, v in SHORT.items() if n in known} | settings | changes)
    assert run.status().state == "finished", run.status()
    return run


def system_of(run: Run) -> ExampleLearning:
    return cast(ExampleLearning, catalog.load(run.info.system).make(run.info.settings))


def is_finite(scores: dict[str, Any]) -> bool:
    return all(v is None or np.isfinite(np.array(v, float)).all() for v in scores.values())


@pytest.mark.parametrize(("family", "kind"), CASES)
@pytest.mark.usefixtures("quick_likelihood")
def test_family_learns_predicts_scores_and_shows(family: str, kind: str, cohorts: dict[str, Cohort]) -> None:
    cohort = cohorts[kind]
    run = trained(family, cohort, **DATA[kind])
    scores = workflow.evaluate(run.folder, str(cohort.path))
    assert set(scores["subjects"]) == {s.name for s in cohort}
    for one in scores["subjects"].values():
        assert is_finite(one)
    assert is_finite(scores["summary"]) and is_finite((run.result() or {})["scores"])
    if family in SUPERVISED or "labels" in family:
        assert "accuracy" in scores["summary"]
    check_prediction(run, cohort.subjects[0], family, kind)
    check_filters(run, family, kind)


def check_prediction(run: Run, subject: Subject, family: str, kind: str) -> None:
    system = system_of(run)
    predicted, record = system.predict(subject, run), system.record(run)
    if kind == "patches":
        assert isinstance(predicted, Volume)
        image = subject.volume((*record.source.modalities, *subject.images)[0])
        assert predicted.shape == image.shape and np.isfinite(predicted.data).all()
        np.testing.assert_allclose(predicted.affine, image.affine)
        if family in SUPERVISED:
            assert set(np.unique(predicted.data)) <= {0, *record.label_values}
        return
    assert isinstance(predicted, dict)
    numbers = {n: v for n, v in predicted.items() if not isinstance(v, str)}
    assert is_finite(numbers)
    if record.targets is not None:
        p = {c: float(predicted[f"p({c})"]) for c in record.targets.classes}
        assert sum(p.values()) == pytest.approx(1, abs=1e-5) and predicted["predicted"] == max(p, key=p.__getitem__)


def check_filters(run: Run, family: str, kind: str) -> None:
    record, bank = system_of(run).record(run), workflow.filters(run.folder)
    expected = {"patches": (1, EDGE, EDGE, EDGE), "whole": (1, 8, 8), "features": (1, 96, 1)}[kind]
    if family in CONVOLVING:
        expected = (1, *[3] * (len(record.shape) - 1))
    assert bank.weights.shape[1:] == expected and len(bank.weights) == len(bank.mean_activation) == len(bank.dead)
    assert len(bank.weights) == (4 if family in CONVOLVING else 8)
    assert np.isfinite(bank.weights).all() and (bank.norms > 0).all()


def test_two_pathways_of_tables_reach_their_own_columns(cohorts: dict[str, Cohort]) -> None:
    run = trained("dbm", cohorts["features"], pathways=True, scaling="standardize", n_code=8, source="features")
    assert system_of(run).record(run).blocks == {"MRI": (0, 48), "PET": (48, 96)}
    first, second = workflow.two_blocks(run.folder, 4)
    assert (first.name, second.name) == ("MRI", "PET") and first.lower.shape == (4, 1, 48, 1) == second.upper.shape


def test_number_as_target_is_regressed_in_its_own_unit(cohorts: dict[str, Cohort], tmp_path: Path) -> None:
    column = "regional mean"

    def mean(subject: Subject) -> dict[str, str]:
        return {column: str(100 + 50 * subject.feature_vector("MRI")[1].mean())}

    cohort = changed(cohorts["features"], tmp_path, lambda s, _: replace(s, covariates=mean(s)))
    run = trained("mlp", cohort, target=column, n_epochs=60, learning_rate=0.01, n_hidden=())
    row = system_of(run).predict(cohort.subjects[0], run)
    assert isinstance(row, dict) and set(row) == {"predicted"}
    truth = np.array([float(s.covariates[column]) for s in cohort])
    summary = workflow.evaluate(run.folder, str(cohort.path))["summary"]
    assert summary["mae"][0] < np.abs(truth - np.median(truth)).mean()
    assert abs(float(row["predicted"]) - truth[0]) < 4 * truth.std()


@pytest.mark.parametrize("scaling", ["unit", "standardize", "whiten"])
def test_held_out_values_change_no_weight(scaling: str, cohorts: dict[str, Cohort], tmp_path: Path) -> None:
    first = trained("mlp", cohorts["features"], scaling=scaling)
    training = set((first.info.split or {})["train"])

    def distort(subject: Subject, folder: Path) -> Subject:
        if subject.name in training:
            return subject
        for file in subject.features.values():
            names, values = subject.feature_vector(file.stem)
            write_feature_vector(file, names, 1000 * values + 7)
        return subject

    other = changed(cohorts["features"], tmp_path, distort)
    second = trained("mlp", other, scaling=scaling)
    assert (second.info.split or {})["train"] == (first.info.split or {})["train"]
    mine, theirs = first.load_weights(), second.load_weights()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    kept = [run.load_arrays("examples") for run in (first, second)]
    assert all(np.array_equal(kept[0][name], kept[1][name]) for name in kept[0])
    assert not np.array_equal(first.load_arrays("outputs")["outputs"], second.load_arrays("outputs")["outputs"])


def test_kept_examples_do_not_follow_the_order_of_a_sorted_cohort(cohorts: dict[str, Cohort], tmp_path: Path) -> None:
    copy = changed(cohorts["whole"], tmp_path, lambda s, _: s)
    by_class = write_cohort(copy.path.parent, sorted(copy, key=lambda s: str(s.target)))
    target = trained("rbm with labels", by_class, source="whole").load_arrays("kept")["target"]
    assert (np.diff(target) < 0).any()


def without(name: str) -> Callable[[Subject], Subject]:
    return lambda s: replace(s, features={n: f for n, f in s.features.items() if n != name})


def one_class(subject: Subject) -> Subject:
    return replace(subject, target="control")


def wide(subject: Subject) -> Subject:
    """Give one picture of another size."""
    if subject.name == "digit-0007":
        from workbench.imaging.pictures import write_picture

        write_picture(Volume.from_array(np.zeros((9, 8, 1))), subject.images["image"])
    return subject


BAD: dict[str, tuple[str, str, dict[str, Any], Callable[[Subject], Subject] | None, str]] = {
    "tables for a cnn": ("cnn", "features", {}, None, "no neighbors to convolve"),
    "tables named for a cnn": ("cnn", "features", {"source": "features"}, None, "no neighbors to convolve"),
    "tables for a conv_rbm": ("conv_rbm", "features", {}, None, "no neighbors to convolve"),
    "filters too large": ("conv_rbm", "whole", {"kernel": 9}, None, "do not fit"),
    "network too deep": ("cnn", "whole", {"n_maps": (4, 4, 4)}, None, "block 2 .* does not fit on a map"),
    "one pathway": ("dbm", "features", {"pathways": True, "table": "MRI"}, None, "two modalities or feature tables"),
    "one class": ("mlp", "features", {}, one_class, "at least two classes"),
    "one class of label units": ("rbm", "features", {"labels": "joint"}, one_class, "at least two classes"),
    "regression on words": ("mlp", "features", {"task": "regression"}, None, "one is '(control|patient)'"),
    "regression on labels": ("mlp", "patches", {"task": "regression"}, None, "are classes, not numbers"),
    "no such covariate": ("mlp", "features", {"target": "age"}, None, "No subject has the covariate age"),
    "no such table": ("mlp", "features", {"table": "CSF"}, None, "has no CSF; it has MRI, PET"),
    "a table is missing": ("rbm", "features", {"table": "MRI,PET"}, without("PET"), "has no PET; it has MRI"),
    "no such modality": ("rbm", "patches", {"modality": "CT"}, None, "has no CT"),
    "no images": ("rbm", "features", {"source": "whole"}, None, "no image"),
    "sizes differ": ("mlp", "whole", {}, wide, "must agree"),
    "no table for an sae": ("sae", "features", {"table": "MRI,PET"}, without("PET"), "has no PET; it has MRI"),
    "sizes differ for an sae": ("sae", "whole", {}, wide, "must agree"),
    "cubes of pictures": ("sae", "whole", {"source": "patches"}, None, "cubes .* dimensions = 3"),
    "two channels of patches": ("sae", "patches", {"modality": "T1,T2"}, None, "has no T1,T2; it has T1, T2"),
    "devices of another start": (
        "fine_tuning", "features", {"start": "Boltzmann machine", "dropout": 0.5}, None, "no dropout",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_said_in_one_sentence(case: str, cohorts: dict[str, Cohort], tmp_path: Path) -> None:
    family, kind, changes, edit, words = BAD[case]
    cohort = cohorts[kind] if edit is None else changed(cohorts[kind], tmp_path, lambda s, _: edit(s))
    data = {} if kind == "features" else DATA[kind]
    with pytest.raises(WorkbenchError, match=words) as caught:
        known = catalog.load(family).model_fields
        run = workflow.train(family, cohort.path, {n: v for n, v in SHORT.items() if n in known} | data | changes)
        raise AssertionError(run.status())
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    if not case.startswith("sizes differ"):  # which is known only when all images were read
        assert not workflow.list_runs(), "a run was made of what cannot work"


def test_columns_without_numbers_take_the_training_mean(cohorts: dict[str, Cohort], tmp_path: Path) -> None:
    def lose(subject: Subject, folder: Path) -> Subject:
        file = subject.features["MRI"]
        names, values = subject.feature_vector("MRI")
        values[0] = np.nan  # of everybody
        values[1 + len(subject.name) % 3] = np.nan
        write_feature_vector(file, names, values)
        return subject

    cohort = changed(cohorts["features"], tmp_path, lose)
    for scaling, middle in (("unit", 0.5), ("standardize", 0.0)):
        run = trained("mlp", cohort, scaling=scaling, table="MRI")
        seen = system_of(run).seen(cohort.subjects[0], run)
        assert torch.isfinite(seen).all() and float(seen[0, 0]) == middle
        assert is_finite((run.result() or {})["scores"])


def test_prediction_for_a_subject_that_lacks_a_table_names_it(cohorts: dict[str, Cohort]) -> None:
    cohort = cohorts["features"]
    run = trained("rbm", cohort, source="features")
    with pytest.raises(WorkbenchError, match=r"has no PET; it has MRI\."):
        system_of(run).predict(without("PET")(cohort.subjects[0]), run)


@pytest.mark.parametrize("family", ["mlp", "rbm", "conv_rbm", "dbn", "dbm", "fine_tuning", "cnn", "sae"])
def test_cost_grows_with_every_part_of_the_training(family: str) -> None:
    kind = catalog.load(family)
    base = kind.make({"source": "patches"})
    for name in [n for n in kind.model_fields if n.startswith("n_epochs")] + ["n_patches"]:
        more = kind.make({"source": "patches", name: 2 * getattr(base, name)}).cost()
        assert more.flops > base.cost().flops and more.n_steps > base.cost().n_steps, name


def test_cost_counts_the_numbers_that_are_learnt() -> None:
    kind = catalog.load("conv_rbm")
    for changes in ({"dimensions": 2}, {"dimensions": 3, "n_maps": 5, "kernel": 4}):
        system: Any = kind.make({"source": "patches", "patch_size": 15, **changes})
        machine = system.network(system.likely_shape()).machine
        assert system.cost().parameters == sum(p.numel() for p in machine.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mlp", "from belief network", "rbm with labels"])
def test_random_labels_are_told_apart_by_chance_only(family: str, cohorts: dict[str, Cohort], tmp_path: Path) -> None:
    found = []
    for seed in range(10):
        # drawn anew, not permuted: then a class that is frequent in training would be rare among the held-out
        drawn = np.random.default_rng(seed).choice(["control", "patient"], len(cohorts["features"]))
        names = dict(zip([s.name for s in cohorts["features"]], drawn.tolist(), strict=True))
        folder = tmp_path / str(seed)
        permuted = relabelled(cohorts["features"], folder, names)
        run = trained(family, permuted, seed=seed, n_epochs=20, learning_rate=0.01)
        assert (run.result() or {})["scored_on"] == "test subjects"
        found.append((run.result() or {})["scores"]["accuracy"])
    mean, low, high = mean_interval(np.array(found), 0.99)
    assert low <= 0.5 <= high, f"{mean:.2f} ({low:.2f} to {high:.2f})"


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mlp", "from auto-encoders", "from belief network", "from Boltzmann machine"])
def test_true_labels_are_learnt(family: str, tmp_path: Path) -> None:
    digits = workflow.make_phantom("digits", tmp_path / "digits", n_subjects=400)
    run = trained(family, digits, n_hidden=(48, 32), n_epochs=30, learning_rate=0.01)
    scores = (run.result() or {})["scores"]
    assert scores["accuracy"] > 0.7 and scores["training accuracy"] > 0.8, scores


@pytest.mark.slow
@pytest.mark.parametrize("family", ["rbm", "conv_rbm", "dbn", "dbm", "mlp", "cnn", "fine_tuning"])
def test_quick_preset_learns_something_of_its_phantom(family: str, tmp_path: Path) -> None:
    digits = workflow.make_phantom("digits", tmp_path / "digits")
    run = workflow.train(family, digits.path, preset="quick")
    scores = (run.result() or {})["scores"]
    if "accuracy" in scores:
        assert scores["accuracy"] > 0.2, scores  # twice chance
    elif family == "conv_rbm":  # untrained it says the mean of all pixels everywhere
        assert scores["mse"] < 0.95 * run.load_arrays("kept")["held_out"].var(), scores
    else:
        assert scores["explained_variance"] > 0.1, scores


def test_stack_of_tables_or_pictures_shows_itself_but_no_similarity(cohorts: dict[str, Cohort]) -> None:
    for kind, figures in (("features", {"network"}), ("whole", {"network", "stack", "encoder-decoder"})):
        run = trained("sae", cohorts[kind], source=kind)
        drawn = {"network", "stack", "encoder-decoder"} & set(workflow.figure_names(run.folder))
        assert drawn == figures and not workflow.run_shows(run.folder, "prepared")
        with pytest.raises(WorkbenchError, match="has no similarity maps to show"):
            workflow.similarity(run.folder, str(cohorts[kind].path), "a", "b", (0, 0, 0))
        parts = workflow.network_parts(run.folder)
        assert parts.kind == "sae" and [la.n_units for la in parts.layers][-2:] == [8, 6]
        assert [block.directed for block in parts.blocks] == ["both"] * (len(parts.blocks))
        assert workflow.reconstructions(run.folder).patches.shape[1:] == workflow.filters(run.folder).weights.shape[1:]


def test_stack_rebuilds_what_its_layers_say(cohorts: dict[str, Cohort]) -> None:
    """A row's error by the run's own scores is that of decoding its code by hand."""
    cohort = cohorts["features"]
    run = trained("sae", cohort, source="features", scaling="standardize")
    system: Any = system_of(run)
    x, w = system.seen(cohort.subjects[0], run), run.load_weights()
    h = [x]
    for i in range(2):
        h.append(torch.sigmoid(h[-1] @ w[f"layers.{i}.weight"].T + w[f"layers.{i}.hidden_bias"]))
    code = system.predict(cohort.subjects[0], run)
    np.testing.assert_allclose(list(code.values()), h[2][0], rtol=1e-4)
    down = torch.sigmoid(h[2] @ w["layers.1.weight"] + w["layers.1.visible_bias"])
    rebuilt = down @ w["layers.0.weight"] + w["layers.0.visible_bias"]
    scores = workflow.evaluate(run.folder, str(cohort.path))["subjects"][cohort.subjects[0].name]
    assert scores["mse"] == pytest.approx(float((rebuilt - x).square().mean()), rel=1e-4)


@pytest.mark.slow
def test_stack_learns_what_the_regions_of_two_tables_have_in_common(tmp_path: Path) -> None:
    paired = workflow.make_phantom("paired", tmp_path / "paired")
    run = workflow.train("sae", paired.path, preset="tables")
    scores = (run.result() or {})["scores"]
    assert scores["explained_variance"] > 0.15, scores


def changed(cohort: Cohort, folder: Path, edit: Callable[[Subject, Path], Subject]) -> Cohort:
    """Give a copy of a cohort whose subjects were edited."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = Path(shutil.copytree(cohort.path.parent, folder / "copy"))
    return write_cohort(copy, [edit(s, copy) for s in read_cohort(copy)])


def relabelled(cohort: Cohort, folder: Path, targets: dict[str, str]) -> Cohort:
    return changed(cohort, folder, lambda s, _: replace(s, target=targets[s.name]))


def test_pattern_of_a_dropped_out_network_is_that_of_inference(cohorts: dict[str, Cohort]) -> None:
    run = trained("mlp", cohorts["features"], dropconnect=0.5, source="features")
    system: Any = system_of(run)
    network, x = system.trained_network(run), torch.zeros(1, 96)
    hidden: Tensor = network.hidden[0](torch.eye(96)) - network.hidden[0](x)
    torch.testing.assert_close(system.layers(run).patterns("h1"), hidden.T, rtol=1e-4, atol=1e-6)
