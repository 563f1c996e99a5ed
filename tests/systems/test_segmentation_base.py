"""What every segmenting system shares, on one small network and images of any lattice."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from workbench.errors import CohortError, GeometryError, RunError
from workbench.imaging.cohort import Cohort, write_cohort, write_label_names
from workbench.imaging.nifti import read_nifti, write_nifti
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.inference.whole_volume import dense_probabilities
from workbench.progress import Progress, silent
from workbench.runs.run import Run, create_run
from workbench.systems.label_classes import parse_classes
from workbench.systems.segmentation_base import Segmentation
from workbench.systems.segmentation_images import SegmentationImages
from workbench.systems.segmentation_record import SegmentationData
from workbench.tasks.segmenting import Segmenter


class Small(Segmentation):
    """A network that can only learn thresholds: one 1 × 1 × 1 convolution above another."""

    n_axes: ClassVar[int] = 3
    composites: ClassVar[dict[str, tuple[int, ...]]] = {"both": (5, 9)}

    @property
    def patch_shape(self) -> tuple[int, ...]:
        return (3, 3, 3)

    @property
    def label_shape(self) -> tuple[int, ...]:
        return (3, 3, 3)

    def network(self, n_channels: int, n_classes: int) -> nn.Module:
        torch.manual_seed(self.seed)
        return nn.Sequential(nn.Conv3d(n_channels, 16, 1), nn.ReLU(), nn.Conv3d(16, n_classes, 1))

    def task(self, network: nn.Module, data: SegmentationData, stage: int) -> Segmenter:
        return Segmenter(network, n_classes=data.record.n_outputs, optimizer="adam", learning_rate=self.learning_rate)

    def apply(
        self, network: nn.Module, image: np.ndarray, region: np.ndarray, progress: Progress = silent
    ) -> np.ndarray:
        return dense_probabilities(network, image, mask=region, progress=progress)


QUICK = {"n_patches": 512, "batch_size": 64, "n_epochs": 12, "learning_rate": 0.02, "standardization": "training"}


def striped(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Give an image of three intensities and the labels 0, 5, 9 that they mean."""
    rng = np.random.default_rng(seed)
    part = rng.integers(0, 3, [-(-n // 3) for n in shape]).repeat(3, 0).repeat(3, 1).repeat(3, 2)
    part = part[: shape[0], : shape[1], : shape[2]]
    return part + rng.normal(0, 0.05, shape), np.array([0, 5, 9])[part]


def write_stored(folder: Path, name: str, affine: np.ndarray, shape: tuple[int, int, int], seed: int) -> Subject:
    image, labels = striped(shape, seed)
    for what, array in (("T1", image.astype(np.float32)), ("label", labels.astype(np.int16))):
        nib.save(nib.Nifti1Image(array, affine), folder / f"{name}-{what}.nii.gz")
    return Subject(name, {"T1": folder / f"{name}-T1.nii.gz"}, folder / f"{name}-label.nii.gz", folder=folder)


PLAIN = np.diag([2.0, 2, 2, 1])
OBLIQUE = np.array([[1.6, -0.9, 0, -8], [0.9, 1.6, 0.1, 5], [0, -0.1, 2.5, 3], [0, 0, 0, 1.0]])
PERMUTED = np.array([[0, 0, -1.0, 9], [2.0, 0, 0, -4], [0, 3.0, 0, 1], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("striped")
    subjects = [write_stored(folder, f"s{i}", PLAIN, (12, 13, 11), i) for i in range(4)]
    subjects.append(write_stored(folder, "oblique", OBLIQUE, (10, 12, 9), 7))
    subjects.append(write_stored(folder, "permuted", PERMUTED, (9, 12, 14), 8))
    write_cohort(folder, subjects)
    write_label_names(folder, {5: "five"})
    return Cohort(folder / "cohort.csv", tuple(subjects))


@pytest.fixture(scope="module")
def trained(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[Small, Run]:
    patch = pytest.MonkeyPatch()
    patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("data")))
    system = Small(**QUICK)  # type: ignore[arg-type]
    split = {"train": ["s0", "s1"], "validation": ["s2"], "test": ["s3"]}
    run = create_run("small", system.model_dump(), seed=0, cohort=cohort.path, split=split)
    system.fit(cohort, run)
    yield system, run
    patch.undo()


def test_thresholds_are_learnt_and_scored_on_held_out_voxels(trained: tuple[Small, Run]) -> None:
    result: Any = trained[1].result()
    assert result["scores"]["voxel accuracy"] > 0.97 and result["scores"]["dice five"] > 0.95
    assert "test subjects" in result["scored_on"] and "dice background" not in result["scores"]


@pytest.mark.parametrize("name", ["s3", "oblique", "permuted"])
def test_a_label_map_returns_to_the_grid_it_came_from(
    trained: tuple[Small, Run], cohort: Cohort, name: str, tmp_path: Path
) -> None:
    system, run = trained
    made = system.predict(cohort[name], run)
    write_nifti(made, tmp_path / "out.nii.gz")
    stored, truth = nib.load(tmp_path / "out.nii.gz"), nib.load(cohort[name].label)
    assert stored.shape == truth.shape
    np.testing.assert_allclose(stored.affine, truth.affine, atol=1e-5)
    found, wanted = np.asarray(stored.dataobj), np.asarray(truth.dataobj)
    assert set(np.unique(found)) <= {0, 5, 9} and (found == wanted).mean() > 0.95


def test_evaluation_gives_every_structure_and_their_union(trained: tuple[Small, Run], cohort: Cohort) -> None:
    system, run = trained
    scores = system.evaluate(cohort, run)
    assert set(scores["subjects"]) == {s.name for s in cohort}
    assert set(scores["structures"]["s3"]) == {"five", "label 9", "both"}
    one = scores["subjects"]["s3"]
    assert one["dice"] == pytest.approx((one["dice five"] + one["dice label 9"]) / 2), "the union is no class"
    low, high = scores["summary"]["dice"][1:]
    assert low <= scores["summary"]["dice"][0] <= high


def test_another_voxel_size_comes_back_to_the_own_lattice(cohort: Cohort, trained: tuple[Small, Run]) -> None:
    run = trained[1]
    coarse = Small(**(QUICK | {"spacing_mm": 4.0}))  # type: ignore[arg-type]
    found = coarse.segment(cohort["s3"], run)
    assert found.classes.shape == found.image.shape == (12, 13, 11)
    np.testing.assert_allclose(found.probabilities.sum(0), 1, atol=1e-5)


def test_uncertainty_is_one_where_all_classes_are_alike(trained: tuple[Small, Run], cohort: Cohort) -> None:
    system, run = trained
    found = system.segment(cohort["s3"], run)
    assert found.uncertainty.min() >= -1e-6 and found.uncertainty.max() <= 1 + 1e-6
    found.probabilities[:] = 1 / 3
    np.testing.assert_allclose(found.uncertainty, 1, atol=1e-6)


def test_what_was_segmented_is_kept_and_found_again(trained: tuple[Small, Run], cohort: Cohort, tmp_path: Path) -> None:
    system, run = trained
    found = system.segment(cohort["s3"], run)
    found.save(tmp_path / "kept.npz")
    again = system.unsegmented(cohort["s3"], run).loaded(tmp_path / "kept.npz")
    np.testing.assert_array_equal(again.classes, found.classes)
    np.testing.assert_allclose(again.probabilities, found.probabilities, atol=1e-3)
    assert again.scores() == found.scores()


def test_without_a_background_every_voxel_of_the_region_gets_a_class(
    cohort: Cohort, trained: tuple[Small, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    system = Small(**(QUICK | {"background": False, "n_epochs": 1}))  # type: ignore[arg-type]
    run = create_run("small", system.model_dump(), seed=0, cohort=cohort.path, split={"train": ["s0", "s1"]})
    system.fit(cohort, run)
    found = system.segment(cohort["s3"], run)
    assert (found.classes[found.region] > 0).all() and system.trained_network(run)[2].out_channels == 2
    assert any("belong to no class" in line for line in run.tail()), "what has no class is said"


def test_classes_and_moments_come_from_training_subjects_alone(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "data"))
    folder = tmp_path / "odd"
    folder.mkdir()
    subjects = [write_stored(folder, f"s{i}", PLAIN, (12, 13, 11), i) for i in range(3)]
    odd, labels = striped((12, 13, 11), 5)
    labels[labels == 9] = 77
    write_nifti(Volume.from_array(odd * 1000, PLAIN), folder / "odd-T1.nii.gz")
    write_nifti(Volume.from_array(labels, PLAIN), folder / "odd-label.nii.gz")
    test = Subject("odd", {"T1": folder / "odd-T1.nii.gz"}, folder / "odd-label.nii.gz", folder=folder)
    every = write_cohort(folder, [*subjects, test])
    system = Small(**QUICK)  # type: ignore[arg-type]
    kept = []
    for names in (["s0", "s1"], ["s0", "s1", "odd"]):
        run = create_run("small", {}, seed=0, cohort=every.path, split={"train": names, "validation": ["s2"]})
        data = system.data(every, run)
        kept.append(data.record)
    assert kept[0].classes.groups == ((5,), (9,)) and kept[1].classes.groups == ((5,), (9,), (77,))
    assert kept[0].learnt.mean[0] < 3 < kept[1].learnt.mean[0]


@pytest.mark.parametrize("kind", ["z_score", "training", "nyul"])
def test_a_scanner_that_doubles_intensities_changes_nothing_where_it_should_not(
    kind: str, cohort: Cohort, tmp_path: Path
) -> None:
    subject = cohort["s3"]
    volume = read_nifti(subject.images["T1"])
    write_nifti(volume.with_data(2 * volume.data + 3), tmp_path / "double.nii.gz")
    double = Subject("double", {"T1": tmp_path / "double.nii.gz"}, folder=tmp_path)
    images = SegmentationImages(("T1",), 0.0, False, kind, "image")  # type: ignore[arg-type]
    learnt = images.learn(cohort.only(["s0", "s1"]))
    one, other = (images.image(s, learnt)[0].data for s in (subject, double))
    agree = np.abs(one - other).max() < 1e-3
    assert agree == (kind != "training"), "moments of the training subjects do not know the scanner"


def test_a_mask_can_be_the_truth(cohort: Cohort, tmp_path: Path) -> None:
    subject = cohort["s3"]
    mask = read_nifti(subject.label)
    write_nifti(mask.with_data((mask.data == 9).astype(np.float32)), tmp_path / "mask.nii.gz")
    with_mask = Subject("m", subject.images, mask=tmp_path / "mask.nii.gz", folder=tmp_path)
    classes = parse_classes("nine=mask")
    assert classes is not None and classes.has_truth(with_mask) and not classes.has_truth(subject)
    truth = classes.truth(with_mask, read_nifti(subject.images["T1"]))
    np.testing.assert_array_equal(truth, mask.data[0] == 9)


def test_modalities_that_lie_elsewhere_are_refused(cohort: Cohort, tmp_path: Path) -> None:
    volume = read_nifti(cohort["s3"].images["T1"])
    far = volume.affine.copy()
    far[0, 3] += 500
    write_nifti(Volume(volume.data, far), tmp_path / "T2.nii.gz")
    subject = Subject("far", {**cohort["s3"].images, "T2": tmp_path / "T2.nii.gz"}, folder=tmp_path)
    images = SegmentationImages(("T1", "T2"), 0.0, False, "z_score", "image")
    with pytest.raises(GeometryError, match="covers 0% of its T1"):
        images.raw(subject)


def test_what_a_cohort_lacks_is_said_before_a_run_is_made(cohort: Cohort) -> None:
    system = Small(**QUICK)  # type: ignore[arg-type]
    blind = Cohort(cohort.path, tuple(Subject(s.name, s.images, folder=s.folder) for s in cohort))
    with pytest.raises(CohortError, match="has truth to learn from"):
        system.check(blind)
    with pytest.raises(CohortError, match="has no FLAIR"):
        Small(**(QUICK | {"modalities": "T1, FLAIR"})).check(cohort)  # type: ignore[arg-type]
    with pytest.raises(CohortError, match="No modality is there for every subject"):
        system.check(Cohort(cohort.path, (*cohort.subjects, Subject("x", label=cohort["s0"].label))))


def test_a_run_without_weights_is_a_sentence(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    run = create_run("small", {}, seed=0, cohort=cohort.path)
    with pytest.raises(RunError, match="not prepared its images yet"):
        Small(**QUICK).segment(cohort["s3"], run)  # type: ignore[arg-type]
