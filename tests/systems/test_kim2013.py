"""Multi-atlas auto-context with learnt and hand-made features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from atlas_cohort import SPLIT, head_cohort

from workbench.errors import CohortError, SettingsError
from workbench.imaging.cohort import Cohort
from workbench.runs.run import Run, Stopped, create_run
from workbench.systems.atlas_spaces import AtlasSpace
from workbench.systems.atlases import read_atlases
from workbench.systems.base import Preset
from workbench.systems.run_figures import draw, names
from workbench.systems.segmentation.kim2013 import Kim2013

SMALL: dict[str, Any] = Kim2013.preset("quick").changes | {"standardization": "range", "n_samples": 600, "n_atlases": 0}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return head_cohort(tmp_path_factory.mktemp("heads"))


def started(cohort: Cohort, **changes: Any) -> tuple[Kim2013, Run]:
    system = Kim2013(**SMALL | changes)
    return system, create_run("kim2013", system.model_dump(), seed=0, cohort=cohort.path, split=SPLIT)


@pytest.fixture(scope="module", params=["ISA", pytest.param("Haar", marks=pytest.mark.slow)])
def trained(
    request: pytest.FixtureRequest, cohort: Cohort, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Kim2013, Run]]:
    patch = pytest.MonkeyPatch()
    patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("data")))
    system, run = started(cohort, features=request.param)
    system.fit(cohort, run)
    yield system, run
    patch.undo()


def test_classifiers_label_a_new_subject_better_than_registration_alone(
    trained: tuple[Kim2013, Run], cohort: Cohort
) -> None:
    strip = trained[0].context_strip(cohort["d"], trained[1])
    assert strip.dice is not None and strip.dice[-1] > 0.85 and strip.dice[-1] > strip.dice[0]
    result: Any = trained[1].result()
    assert result["scores"]["dice five"] > 0.85


def test_strip_ends_with_what_segmenting_says(trained: tuple[Kim2013, Run], cohort: Cohort) -> None:
    system, run = trained
    for name in ("d", "oblique"):  # kept, and made when asked for
        strip = system.context_strip(cohort[name], run)
        target = system.target(cohort[name], run)
        likelihood = system.likelihood(target, system.voters(target, run), run)
        np.testing.assert_allclose(strip.maps[-1], likelihood, atol=2e-3)
        np.testing.assert_allclose(strip.maps.sum(1), 1, atol=5e-3)
        assert len(strip.maps) == len(strip.names) == system.n_iterations + 1
        assert strip.classes == ("background", "five", "nine") and strip.image.shape == strip.maps.shape[2:]


def test_the_kept_strip_knows_its_truth_and_is_drawn(trained: tuple[Kim2013, Run], cohort: Cohort) -> None:
    system, run = trained
    kept, asked = system.kept_strip(run), system.context_strip(cohort["oblique"], run)
    for strip in (kept, asked):
        assert strip.truth is not None and strip.dice is not None
        each = [strip.dice_of(k) for k in (1, 2)]
        np.testing.assert_allclose(np.mean([e for e in each if e is not None], axis=0), strip.dice)
        both = (strip.maps[-1].argmax(0) == 1) & (strip.truth == 1)
        sizes = (strip.maps[-1].argmax(0) == 1).sum() + (strip.truth == 1).sum()
        assert each[0] is not None and each[0][-1] == pytest.approx(2 * both.sum() / sizes)
    assert "auto-context" in names(system, run)
    told = draw(system, run, "auto-context", "dark").layout.meta["alt"]
    assert "five" in told and all(step in told for step in kept.names)


def test_curves_hold_the_dice_of_every_iteration(trained: tuple[Kim2013, Run], cohort: Cohort) -> None:
    system, run = trained
    metrics = run.metrics()
    found = metrics[metrics["name"] == "val_dice"]["value"].tolist()
    strip = system.context_strip(cohort["d"], run)
    assert strip.dice is not None
    np.testing.assert_allclose(found, strip.dice, atol=0.01)
    assert ("layer 1" in set(metrics["stage"])) == (system.features == "ISA")


def test_filters_are_there_for_learnt_features_alone(trained: tuple[Kim2013, Run]) -> None:
    system, run = trained
    if system.features == "Haar":
        assert system.cannot_show(run) == {"filter_bank", "reconstructions"}
        return
    assert not system.cannot_show(run)
    assert system.filter_bank(run, 1).weights.shape[:2] == (8, 2)
    assert system.filter_bank(run, 2).weights.shape[2:] == (7, 7, 7)
    assert system.reconstructions(run, 3).patches.shape == system.reconstructions(run, 3).rebuilt.shape


def test_a_subject_of_the_training_part_is_labelled_by_the_others(
    trained: tuple[Kim2013, Run], cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own labels are in no prior, and its own space is not used."""
    system, run = trained
    seen: list[int | None] = []
    plain = AtlasSpace.prior

    def watched(self: AtlasSpace, left_out: int | None = None) -> np.ndarray:
        seen.append(left_out)
        return plain(self, left_out)

    monkeypatch.setattr(AtlasSpace, "prior", watched)
    system.segment(cohort["b"], run)
    assert seen == [1, 1] and [a.name for a in read_atlases(run)] == ["a", "b", "c"]


def test_majority_gives_each_atlas_one_vote(trained: tuple[Kim2013, Run], cohort: Cohort) -> None:
    system = trained[0].model_copy(update={"fusion": "majority"})
    target = system.target(cohort["d"], trained[1])
    votes = system.likelihood(target, system.voters(target, trained[1]), trained[1]) * 3
    np.testing.assert_allclose(votes, np.rint(votes), atol=1e-4)
    assert len(np.unique(np.rint(votes))) > 2


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_what_it_had(cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, undisturbed = started(cohort, features="Haar", n_iterations=1)
    whole.fit(cohort, undisturbed)
    system, run = started(cohort, features="Haar", n_iterations=1)
    learn = Kim2013._learn_space

    def stop_at_the_second(self: Kim2013, data: Any, number: int, *others: Any) -> Any:
        if number == 1:
            raise Stopped("enough")
        return learn(self, data, number, *others)

    monkeypatch.setattr(Kim2013, "_learn_space", stop_at_the_second)
    with pytest.raises(Stopped):
        system.fit(cohort, run)
    numbers: list[int] = []

    def counted(self: Kim2013, data: Any, number: int, *others: Any) -> Any:
        numbers.append(number)
        return learn(self, data, number, *others)

    monkeypatch.setattr(Kim2013, "_learn_space", counted)
    system.fit(cohort, run)
    assert numbers == [1, 2]
    before, after = undisturbed.load_weights(), run.load_weights()
    assert before.keys() == after.keys() and all(bool((before[k] == after[k]).all()) for k in before)


def test_one_atlas_is_refused(cohort: Cohort) -> None:
    system, run = started(cohort, n_atlases=1)
    with pytest.raises(CohortError, match="the split leaves 1 for training; give it two at least"):
        system.fit(cohort, run)


def test_sizes_that_do_not_fit_are_named() -> None:
    with pytest.raises(SettingsError, match="do not fill a patch of 21"):
        Kim2013.make({"stride": 3})
    with pytest.raises(SettingsError, match="needs more patches"):
        Kim2013.make({"n_patches": 256, "n_components": (300, 100)})


@pytest.mark.parametrize("preset", Kim2013.presets, ids=lambda p: p.name)
def test_presets_have_eight_parts_and_as_many_features_of_either_kind(preset: Preset) -> None:
    system = Kim2013(**preset.changes)
    stack = system.subspaces()
    boxes = system.model_copy(update={"features": "Haar"}).features_of({})
    assert len(stack.offsets) == 8 and stack.code_size == boxes.size == system.n_features
