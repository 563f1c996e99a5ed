"""Subspaces as a system: its control, its names, its views, and that only training subjects are learnt from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from workbench import workflow
from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import write_volume
from workbench.imaging.splits import Split
from workbench.imaging.volume import Volume
from workbench.models.stacked_isa import StackedISA
from workbench.patches.gather import gather
from workbench.runs.run import Run
from workbench.systems.feature_search import SubjectSearch, similarity_view
from workbench.systems.features.wu2013 import Wu2013
from workbench.tasks.subspaces import SubspaceLearning

SMALL: dict[str, Any] = {"n_components": (16, 8), "n_patches": 1024, "n_epochs": 4}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, dict[str, Run]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("isa")))
        cohort = workflow.make_phantom("brain", "brains", n_subjects=3, spacing_mm=8.0)
        runs = {
            kind: workflow.train("wu2013", "brains", SMALL | {"kind": kind}, preset="quick") for kind in ("ISA", "PCA")
        }
    return cohort, runs


def of(run: Run) -> Wu2013:
    system = workflow.system_of(run)
    assert isinstance(system, Wu2013)
    return system


@pytest.mark.parametrize("kind", ["ISA", "PCA"])
def test_dense_codes_are_those_of_patches(kind: str, trained: tuple[Cohort, dict[str, Run]]) -> None:
    cohort, runs = trained
    system, run = of(runs[kind]), runs[kind]
    volume, mask = system.prepared(cohort["brain-01"], run)
    encoder = system.encoder(run)
    voxels = np.argwhere(mask)[::7]
    patches = torch.from_numpy(gather(volume.data, voxels, system.patch_voxels))
    expected = system.model(run).encode(patches).numpy()
    np.testing.assert_allclose(encoder.encode(volume.data, voxels, None, workflow_silent), expected, atol=2e-5)
    rows = system.learnt_features(run)
    assert rows.name == kind
    np.testing.assert_allclose(rows.encode(volume.data[0], mask)[::7], expected, atol=2e-5)
    assert np.asarray(system.features(volume, mask, run).features).shape == (mask.sum(), 12)


def workflow_silent(fraction: float, message: str) -> None:
    """Say nothing."""


@pytest.mark.parametrize("kind", ["ISA", "PCA"])
def test_maps_are_called_after_what_was_learnt(kind: str, trained: tuple[Cohort, dict[str, Run]]) -> None:
    cohort, runs = trained
    search = SubjectSearch(of(runs[kind]), runs[kind], cohort["brain-01"])
    view = similarity_view(search, search, (0.0, -20.0, 10.0))
    assert list(view.maps)[-1] == f"{kind}, correlation"


def test_filters_lie_by_subspace_and_deeper_units_show_patches(trained: tuple[Cohort, dict[str, Run]]) -> None:
    run = trained[1]["ISA"]
    first, second = (workflow.filters(run.folder, depth) for depth in (1, 2))
    assert first.weights.shape == (8, 2, 5, 5, 5) and second.weights.shape == (4, 1, 7, 7, 7)
    assert first.layers == second.layers == ["layer 1 (8 subspaces)", "layer 2 (4 subspaces)"]
    model = of(run).model(run)
    assert isinstance(model, StackedISA)
    weights = model.layer(0).weight @ model.layer(0).whitening
    np.testing.assert_allclose(first.weights[3, 1].ravel(), weights[7].numpy(), atol=1e-6)
    assert "side by side" in first.drawn and "excite" in second.drawn and not first.dead.any()


def test_control_has_as_many_numbers_and_keeps_more_variance(trained: tuple[Cohort, dict[str, Run]]) -> None:
    _, runs = trained
    codes = {kind: of(run).encoder(run).code_size for kind, run in runs.items()}
    assert codes == {"ISA": 12, "PCA": 12}
    axes = workflow.filters(runs["PCA"].folder, 1)
    assert axes.weights.shape == (12, 1, 7, 7, 7)
    np.testing.assert_allclose(axes.norms, 1, atol=1e-4)
    shown = workflow.reconstructions(runs["PCA"].folder, 6)
    assert shown.patches.shape == shown.rebuilt.shape == (6, 1, 7, 7, 7)
    assert workflow.reconstructions(runs["ISA"].folder, 6).patches.shape == (6, 1, 5, 5, 5)
    for run in runs.values():
        assert 0.3 < (run.result() or {})["scores"]["explained_variance"] < 1
    for name in workflow.figure_names(runs["PCA"].folder):
        assert workflow.figure(runs["PCA"].folder, name).layout.meta["alt"]


def test_only_training_subjects_are_learnt_from(trained: tuple[Cohort, dict[str, Run]]) -> None:
    cohort = workflow.make_phantom("brain", "again", n_subjects=4, spacing_mm=8.0)
    workflow.save_split(cohort, Split(("template", "brain-01"), ("brain-02",), ("brain-03", "brain-04")))
    changes = SMALL | {"n_epochs": 2}
    first = workflow.train("wu2013", "again", changes, preset="quick").load_weights()

    def after_a_change_to(*names: str) -> dict[str, torch.Tensor]:
        for name in names:
            subject = workflow.open_cohort("again")[name]
            volume = subject.volume("T1")
            write_volume(volume.with_data(volume.data[:, ::-1] ** 2), subject.folder / subject.images["T1"])
        return workflow.train("wu2013", "again", changes, preset="quick").load_weights()

    others = after_a_change_to("brain-02", "brain-03")
    assert all(bool((first[k] == others[k]).all()) for k in first)
    own = after_a_change_to("brain-01")
    assert not torch.equal(first["layers.0.whitening"], own["layers.0.whitening"])


def test_pictures_and_planes_are_learnt_from_squares(trained: tuple[Cohort, dict[str, Run]]) -> None:
    cohort = workflow.make_phantom("brain", "planes", n_subjects=2, spacing_mm=8.0)
    run = workflow.train("wu2013", "planes", SMALL | {"dimensions": 2, "n_epochs": 2}, preset="quick")
    assert workflow.filters(run.folder, 1).weights.shape == (8, 2, 5, 5)
    found = of(run).predict(cohort["brain-01"], run)
    assert isinstance(found, Volume) and found.n_channels == 12


def test_sizes_that_do_not_fit_are_sentences() -> None:
    for changes, words in (
        ({"sub_patch_size": 12}, "odd edges"),
        ({"stride": 3}, "multiple of the stride"),
        ({"n_components": (201, 100)}, "cannot be divided into subspaces of 2"),
        ({"n_patches": 256, "n_components": (256, 100)}, "needs more patches"),
    ):
        with pytest.raises(SettingsError, match=words):
            Wu2013.make(changes)


def test_a_run_stopped_in_the_second_layer_ends_as_an_undisturbed_one(
    trained: tuple[Cohort, dict[str, Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)
    cohort = trained[0]
    changes = SMALL | {"batch_size": 300}  # four batches an epoch
    whole = workflow.train("wu2013", cohort.path, changes, preset="quick")
    step = SubspaceLearning.training_step

    def interrupted(self: SubspaceLearning, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        if len(self.layer.weight) == 8 and int(self.n_steps) == 6:
            workflow.list_runs()[0].request_stop()
        return step(self, batch, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SubspaceLearning, "training_step", interrupted)
        run = workflow.train("wu2013", cohort.path, changes, preset="quick")
    assert run.status().state == "stopped"
    run.withdraw_stop()
    run = workflow.resume_here(run.folder)
    first, second = whole.load_weights(), run.load_weights()
    assert all(bool((first[k] == second[k]).all()) for k in first)
