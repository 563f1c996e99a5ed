"""What systems in which atlases vote share: the atlases a run keeps, crops, the way back to the own lattice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from atlas_cohort import PLAIN, SPLIT, head_cohort

from workbench.classical.label_fusion import majority_vote
from workbench.errors import Cancelled, CohortError, RunError, SettingsError
from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.progress import Progress, silent
from workbench.runs.run import Run, create_run, open_run
from workbench.systems.atlas_base import AtlasSegmentation
from workbench.systems.atlas_location import located, scout_of
from workbench.systems.atlases import Atlas, Target, read_atlases


class Vote(AtlasSegmentation):
    """Registered labels, one vote an atlas."""

    def fit(self, cohort: Cohort, run: Run) -> None:
        self.leave(run, self.data(cohort, run), {"nothing": torch.zeros(1)})

    def likelihood(self, target: Target, atlases: Sequence[Atlas], run: Run, progress: Progress = silent) -> np.ndarray:
        labels = np.stack([a.labels for a in self.warped(target, atlases, progress)])
        return majority_vote(labels, self.record(run).classes.n_classes)


QUICK: dict[str, Any] = {"registration": "affine", "standardization": "range", "crop_mm": 4.0}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return head_cohort(tmp_path_factory.mktemp("heads"))


def made(cohort: Cohort, **changes: Any) -> tuple[Vote, Run]:
    system = Vote(**QUICK | changes)
    run = create_run("vote", system.model_dump(), seed=0, cohort=cohort.path, split=SPLIT)
    system.fit(cohort, run)
    return system, run


def prepared(cohort: Cohort, **changes: Any) -> Run:
    system = Vote(**QUICK | changes)
    run = create_run("vote", system.model_dump(), seed=0, cohort=cohort.path, split=SPLIT)
    system.data(cohort, run)
    return run


@pytest.fixture(scope="module")
def trained(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Vote, Run]]:
    patch = pytest.MonkeyPatch()
    patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("data")))
    yield made(cohort)
    patch.undo()


def test_registered_labels_fit_a_subject_that_no_atlas_came_from(trained: tuple[Vote, Run]) -> None:
    result: Any = trained[1].result()
    assert result["scores"]["dice five"] > 0.8 and result["scores"]["dice nine"] > 0.7
    assert result["scored_on"].startswith("1 test subjects")


@pytest.mark.parametrize("name", ["d", "oblique"])
def test_a_label_map_lies_on_the_subjects_own_lattice_in_its_own_values(
    trained: tuple[Vote, Run], cohort: Cohort, name: str
) -> None:
    system, run = trained
    found = system.segment(cohort[name], run)
    own = cohort[name].volume("T1")
    assert found.label_map.shape == own.shape and set(np.unique(found.label_map.data)) == {0, 5, 9}
    np.testing.assert_allclose(found.label_map.affine, own.affine)
    np.testing.assert_allclose(found.probabilities.sum(0), 1, atol=1e-5)
    assert found.scores()["five"]["dice"] > 0.7 and system.unsegmented(cohort[name], run).truth is not None


def test_atlases_are_the_training_subjects_cropped_and_kept_in_the_run(
    trained: tuple[Vote, Run], cohort: Cohort
) -> None:
    atlases = read_atlases(trained[1])
    assert [a.name for a in atlases] == ["a", "b", "c"]
    for atlas in atlases:
        whole = cohort[atlas.name].volume("T1")
        low, high = atlas.box
        assert np.prod(atlas.image.shape) < 0.6 * np.prod(whole.shape)
        assert (low == 2).all() and (np.array(atlas.labels.shape) - high == 2).all()  # 4 mm of voxels of 2 mm
        truth = cohort[atlas.name].label_map()
        assert truth is not None and int((atlas.labels == 1).sum()) == int((truth == 5).sum())
        x, y, z = np.argwhere(atlas.labels == 2)[0]
        there = np.rint(whole.to_voxels(atlas.image.to_mm(np.array([x, y, z])))).astype(int)
        assert truth[tuple(there)] == 9


def test_whoever_has_the_folder_has_the_result(
    trained: tuple[Vote, Run], cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, run = trained
    before = system.segment(cohort["d"], run)
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "elsewhere"))
    copied = open_run(Path(shutil.copytree(run.folder, tmp_path / run.id)))
    np.testing.assert_allclose(system.segment(cohort["d"], copied).probabilities, before.probabilities, atol=1e-6)


def test_no_atlas_votes_on_itself(trained: tuple[Vote, Run], cohort: Cohort) -> None:
    system, run = trained
    for name, others in (("a", ["b", "c"]), ("d", ["a", "b", "c"])):
        target = system.target(cohort[name], run)
        assert [a.name for a in system.voters(target, run)] == others
    renamed = replace(cohort["a"], name="somebody else")
    assert [a.name for a in system.voters(system.target(renamed, run), run)] == ["b", "c"]


def test_the_most_similar_atlases_vote(trained: tuple[Vote, Run], cohort: Cohort, tmp_path: Path) -> None:
    """Of three atlases, one with another contrast is the one to be left out."""
    system, run = trained
    odd = read_atlases(run)[1]
    target = system.target(cohort["d"], run)
    run_copy = open_run(Path(shutil.copytree(run.folder, tmp_path / run.id)))
    inverted = odd.image.with_data(odd.image.data.max() - odd.image.data)
    run_copy.save_arrays(
        "atlas-001", subject=np.array(odd.name), source=np.array("other"), image=inverted.data,
        affine=odd.image.affine, modality=np.array("T1"), labels=odd.labels.astype(np.int16),
    )  # fmt: skip
    fewer = system.model_copy(update={"n_voting": 2})
    assert [a.name for a in fewer.voters(target, run_copy)] == ["a", "c"]


def test_only_so_many_atlases_are_kept(cohort: Cohort) -> None:
    run = prepared(cohort, n_atlases=2)
    assert len(read_atlases(run)) == 2


def test_without_a_crop_images_are_whole(cohort: Cohort) -> None:
    run = prepared(cohort, crop_mm=0.0)
    assert all(a.image.shape == cohort[a.name].volume("T1").shape for a in read_atlases(run))


def test_ignored_voxels_are_background_of_an_atlas(cohort: Cohort) -> None:
    run = prepared(cohort, classes="five=5; ignore=9", crop_mm=0.0)
    assert set(np.unique(read_atlases(run)[0].labels)) == {0, 1}


def test_a_structure_is_found_in_a_larger_image_that_lies_elsewhere(cohort: Cohort) -> None:
    volume = cohort["a"].volume("T1")
    labels = cohort["a"].label_map()
    assert labels is not None
    places = np.argwhere(labels > 0)
    box = (places.min(0), places.max(0) + 1)
    widths = [(6, 2), (3, 5), (4, 4)]
    padded = np.pad(volume.data[0], widths)
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = (40, -30, 10)
    low, high = located(Volume.from_array(padded, affine), [scout_of(volume, box)], 0.0)
    before = np.array([w[0] for w in widths])
    assert np.abs(low - (box[0] + before)).max() <= 1 and np.abs(high - (box[1] + before)).max() <= 1


def test_cancelled_leaves_no_warp(trained: tuple[Vote, Run], cohort: Cohort, tmp_path: Path) -> None:
    patch = pytest.MonkeyPatch()
    patch.setenv("WORKBENCH_DATA", str(tmp_path))

    def stop(fraction: float, message: str) -> None:
        if fraction > 0.2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        trained[0].segment(cohort["d"], trained[1], stop)
    assert not list((tmp_path / "cache").rglob("*.partial"))
    patch.undo()


def test_an_unfinished_run_says_so(cohort: Cohort) -> None:
    system = Vote(**QUICK)
    run = create_run("vote", system.model_dump(), seed=0, cohort=cohort.path, split=SPLIT)
    with pytest.raises(RunError, match="has not prepared its images yet"):
        system.segment(cohort["d"], run)
    with pytest.raises(RunError, match="has no atlases yet"):
        read_atlases(run)


def test_what_would_not_work_is_said_before_a_run(cohort: Cohort, tmp_path: Path) -> None:
    system = Vote(**QUICK)
    bare = Cohort(cohort.path, tuple(replace(s, label=None) for s in cohort))
    with pytest.raises(CohortError, match="has truth to learn from"):
        system.check(bare)
    with pytest.raises(CohortError, match="has no T2"):
        system.model_copy(update={"modality": "T2"}).check(cohort)
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 1), np.float32), PLAIN), tmp_path / "flat.nii.gz")
    flat = Subject("flat", {"T1": tmp_path / "flat.nii.gz"}, tmp_path / "flat.nii.gz", folder=tmp_path)
    with pytest.raises(SettingsError, match="registers volumes"):
        system.check(Cohort(tmp_path / "cohort.csv", (flat,)))
