"""Brosch 2016 as a whole: both pretrainings, whole volumes, the threshold, what it refuses, and the own grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from workbench import workflow
from workbench.errors import CohortError, SettingsError
from workbench.imaging.cohort import Cohort, write_cohort
from workbench.imaging.nifti import write_nifti
from workbench.imaging.subject import Subject
from workbench.models.encoder_network import EncoderNetwork
from workbench.patches.labelled import LabelledPatchDataModule
from workbench.runs.run import Run, create_run
from workbench.systems.segmentation import brosch2016
from workbench.systems.segmentation.brosch2016 import Brosch2016
from workbench.systems.whole_images import THRESHOLDS

TINY: dict[str, Any] = Brosch2016.preset("quick").changes | {
    "spacing_mm": 0.0, "n_epochs": 40, "crop": (10, 10, 10), "n_patches": 48, "batch_size": 8, "n_maps": 3,

}  # fmt: skip
PLAIN = np.diag([2.0, 2, 2, 1])
LATTICES = {
    "oblique": np.array([[1.8, -0.8, 0, -8], [0.8, 1.8, 0.1, 5], [0, -0.1, 2.5, 3], [0, 0, 0, 1.0]]),
    "permuted": np.array([[0, 0, -2.0, 9], [2.0, 0, 0, -4], [0, 2.4, 0, 1], [0, 0, 0, 1]]),
}


def patient(folder: Path, name: str, affine: np.ndarray, shape: tuple[int, int, int], seed: int) -> Subject:
    """Write a head of noise with bright cubes, which are lesions in the first image and dark in the second."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    mask[1:-1, 1:-1, 1:-1] = 1
    label = np.zeros(shape, np.uint8)
    for _ in range(4):
        x, y, z = (int(rng.integers(2, n - 5)) for n in shape)
        label[x : x + 3, y : y + 3, z : z + 2] = 1
    bright = rng.normal(100, 8, shape) + 60.0 * label
    images = {"FLAIR": bright * mask, "T1": (rng.normal(80, 8, shape) - 30.0 * label) * mask}
    for what, array in {**images, "label": label, "mask": mask}.items():
        kind = np.float32 if what in images else np.uint8
        nib.save(nib.Nifti1Image(array.astype(kind), affine), folder / f"{name}-{what}.nii.gz")
    files = {what: folder / f"{name}-{what}.nii.gz" for what in (*images, "label", "mask")}
    return Subject(name, {m: files[m] for m in images}, files["label"], files["mask"], folder=folder)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("patients")
    subjects = [patient(folder, f"s{i}", PLAIN, (14 + i, 15, 13), i) for i in range(4)]
    subjects += [patient(folder, name, affine, (14, 16, 13), 8) for name, affine in LATTICES.items()]
    write_cohort(folder, subjects)
    return Cohort(folder / "cohort.csv", tuple(subjects))


SPLIT = {"train": ["s0", "s1", "s2"], "validation": [], "test": ["s3"]}


def fitted(cohort: Cohort, changes: dict[str, Any], split: dict[str, list[str]] = SPLIT) -> tuple[Brosch2016, Run]:
    system = Brosch2016(**(TINY | changes))
    run = create_run("brosch2016", system.model_dump(), seed=0, cohort=cohort.path, split=split)
    system.fit(cohort, run)
    return system, run


@pytest.fixture(scope="module")
def trained(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[Brosch2016, Run]:
    patch = pytest.MonkeyPatch()
    patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("data")))
    yield fitted(cohort, {})
    patch.undo()


def altered(cohort: Cohort, folder: Path, name: str, what: str, values: np.ndarray) -> Cohort:
    """Give the cohort with another label map or mask of one subject."""
    file = folder / f"{name}-{what}.nii.gz"
    nib.save(nib.Nifti1Image(values.astype(np.uint8), PLAIN), file)
    return Cohort(cohort.path, tuple(replace(s, **{what: file}) if s.name == name else s for s in cohort))


def of_all(cohort: Cohort, names: list[str]) -> Cohort:
    return Cohort(cohort.path, tuple(cohort[n] for n in names))


def test_published_settings_make_the_published_network() -> None:
    assert sum(p.numel() for p in Brosch2016().network(2, 2).parameters()) == 1_075_937
    assert Brosch2016(modalities="T2, PD").cost().parameters == 1_075_937


def test_those_it_is_compared_with_lack_what_they_should() -> None:
    made = {name: Brosch2016(**changes).network(2, 2) for name, changes in Brosch2016.comparators.items()}
    assert [(n.has_two_levels, n.shortcut is not None) for n in made.values()] == [
        (True, True), (True, False), (False, False)
    ]  # fmt: skip


def test_lesions_are_found_in_a_patient_never_seen(trained: tuple[Brosch2016, Run], cohort: Cohort) -> None:
    system, run = trained
    one = system.evaluate(of_all(cohort, ["s3"]), run)["subjects"]["s3"]
    assert one["dice lesion"] > 0.7  # everything a lesion: at most 0.2
    result: Any = run.result()
    assert "test subjects" in result["scored_on"]
    assert result["scores"]["dice lesion"] == pytest.approx(one["dice lesion"], abs=1e-6), "the same, at the threshold"


def test_both_pretrainings_lower_the_error_of_reconstruction(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    _, run = fitted(
        cohort, {"n_epochs": 1, "n_patches": 240, "n_epochs_pretraining": 3, "crop": (12, 13, 11), "n_maps": 6}
    )
    rows = run.metrics()
    for stage in ("pretrain 1", "pretrain 2"):
        error = rows[(rows["stage"] == stage) & (rows["name"] == "reconstruction")]["value"].to_numpy()
        dead = rows[(rows["stage"] == stage) & (rows["name"] == "dead_units")]["value"].to_numpy()
        assert len(error) >= 2 and error[-1] < 0.97 * error[0] and dead[-1] == 0, stage


def test_the_threshold_comes_from_training_subjects_alone(trained: tuple[Brosch2016, Run], cohort: Cohort) -> None:
    system, run = trained
    threshold = float(run.load_arrays("threshold")["value"])
    dice = np.zeros((len(SPLIT["train"]), len(THRESHOLDS)))
    for row, name in zip(dice, SPLIT["train"], strict=True):
        found = system.segment(cohort[name], run)
        truth = found.truth > 0
        for k, t in enumerate(THRESHOLDS):
            guess = (found.probabilities[1] >= np.float32(t)) & found.region
            row[k] = 2 * (guess & truth).sum() / (guess.sum() + truth.sum())
        np.testing.assert_array_equal(found.classes > 0, (found.probabilities[1] >= threshold) & found.region)
    assert dice.mean(0)[THRESHOLDS.index(threshold)] == pytest.approx(dice.mean(0).max(), abs=1e-6)


@pytest.mark.parametrize("name", LATTICES)
def test_a_label_map_returns_to_the_grid_it_came_from(
    trained: tuple[Brosch2016, Run], cohort: Cohort, name: str, tmp_path: Path
) -> None:
    system, run = trained
    subject = cohort[name]
    write_nifti(system.predict(subject, run), tmp_path / "out.nii.gz")
    stored, truth = nib.load(tmp_path / "out.nii.gz"), nib.load(subject.label)
    assert stored.shape == truth.shape
    np.testing.assert_allclose(stored.affine, truth.affine, atol=1e-4)
    found, wanted = np.asarray(stored.dataobj) > 0, np.asarray(truth.dataobj) > 0
    assert not found[np.asarray(nib.load(subject.mask).dataobj) == 0].any()
    if name == "oblique":  # the network has learnt its kernels along axes that are these, turned a little
        assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.6


def test_what_lies_outside_the_mask_changes_nothing(
    trained: tuple[Brosch2016, Run], cohort: Cohort, tmp_path: Path
) -> None:
    system, run = trained
    subject = cohort["s3"]
    mask = np.asarray(nib.load(subject.mask).dataobj).copy()
    mask[:8] = 0
    half = altered(cohort, tmp_path, "s3", "mask", mask)
    found = system.segment(half["s3"], run)
    assert not found.classes[:8].any() and found.classes[8:].any()


@pytest.mark.parametrize("stage", [0, 1])
def test_a_run_stopped_in_a_pretraining_ends_as_an_undisturbed_one(
    stage: int, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    monkeypatch.setattr("workbench.runs.training.STOP_POLL_S", 0.0)
    settings = TINY | {"n_epochs": 2}
    whole = workflow.train("brosch2016", cohort.path, settings, preset="quick")
    draw, stopped = LabelledPatchDataModule.train_batch, []

    def interrupted(self: LabelledPatchDataModule, epoch: int, index: int) -> Any:
        if self.seed == stage and (epoch, index) == (1, 2) and not stopped:
            stopped.append(max(tmp_path.glob("runs/*"), key=lambda p: p.stat().st_mtime))
            Run(stopped[0]).request_stop()
        return draw(self, epoch, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LabelledPatchDataModule, "train_batch", interrupted)
        run = workflow.train("brosch2016", cohort.path, settings, preset="quick")
    assert stopped == [run.folder] and run.status().state == "stopped", run.tail()
    assert not (run.folder / "weights.safetensors").exists()
    run.withdraw_stop()
    run = workflow.resume_here(run.folder)
    first, second = whole.load_weights(), run.load_weights()
    assert first and all(torch.equal(first[k], second[k]) for k in first)


def test_the_network_begins_at_the_machines(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    begun: list[tuple[EncoderNetwork, Any, Any]] = []
    start = EncoderNetwork.start_from

    def watched(self: EncoderNetwork, machines: Any, seen: Any) -> None:
        start(self, machines, seen)
        begun.append((self, machines, seen))

    monkeypatch.setattr(EncoderNetwork, "start_from", watched)
    for levels in (1, 2):
        fitted(cohort, {"levels": levels, "n_epochs": 1, "learning_rate": 1e-9})
        network, machines, seen = begun[-1]
        assert len(machines) == levels
        x = torch.randn(1, 2, 10, 10, 10)
        with torch.no_grad():
            wanted = machines[0].hidden_input(seen[0](x))
            torch.testing.assert_close(network.convolution1(x), wanted, atol=1e-4, rtol=1e-4)
    fitted(cohort, {"pretraining": False, "n_epochs": 1})
    assert len(begun) == 2, "without pretraining the start is random"


def test_cost_counts_whole_volumes_one_a_step() -> None:
    plain = Brosch2016(pretraining=False)
    assert plain.cost().flops == Brosch2016(pretraining=False, batch_size=200).cost().flops
    assert Brosch2016(pretraining=False, n_epochs=1000).cost().flops == pytest.approx(2 * plain.cost().flops)
    voxels = np.prod((156, 198, 48)) * 9 * 9 * 5 * 32 * 3 + np.prod((69, 90, 20)) * 10 * 10 * 5 * 32 * 32 * 2
    assert plain.cost().flops == pytest.approx(6 * voxels * plain.cost().n_steps)
    assert plain.cost().n_steps == 500 * brosch2016.RECKONED_VOLUMES
    assert Brosch2016().cost().flops > plain.cost().flops and plain.cost().memory_bytes > 4 * 156 * 198 * 48 * 32


def test_what_it_cannot_learn_from_is_said_before_a_run_is_made(cohort: Cohort, tmp_path: Path) -> None:
    def refused(match: str, changes: dict[str, Any], those: Cohort = cohort, kind: type = SettingsError) -> None:
        with pytest.raises(kind, match=match):
            Brosch2016(**(TINY | changes)).check(those)

    Brosch2016(**TINY).check(cohort)
    refused("one probability, of one class against the background; got a, b", {"classes": "a=1; b=2"})
    refused("got lesion without a background", {"background": False})
    refused("mask cannot be both", {"classes": "lesion=mask"})
    Brosch2016(**(TINY | {"classes": "lesion=mask", "region": "image"})).check(cohort)
    refused("Crops of 10 × 10 × 7 voxels are smaller than the 8 × 8 × 8", {"crop": (10, 10, 7)})
    large = {"first_kernel": (9, 9, 5), "second_kernel": (10, 10, 5), "crop": (40, 40, 20)}
    refused("at least 28 × 28 × 14 voxels, and s0 has 14 × 15 × 13", large, kind=CohortError)
    refused("s0 has 7 × 8 × 6", {"spacing_mm": 4.0}, kind=CohortError)
    with pytest.raises(SettingsError, match="at least 1 voxel"):
        Brosch2016(first_kernel=(3, 0, 3)).network(1, 2)
    healthy = cohort
    for s in cohort:
        healthy = altered(healthy, tmp_path, s.name, "label", np.zeros(nib.load(s.label).shape))
    refused("No subject of .* has a lesion", {}, healthy, CohortError)


def test_training_subjects_without_a_lesion_are_not_trained_on(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    healthy = altered(cohort, tmp_path, "s0", "label", np.zeros((14, 15, 13)))
    with pytest.raises(CohortError, match="None of the 1 training subjects has a lesion"):
        fitted(healthy, {}, SPLIT | {"train": ["s0"]})
    _, run = fitted(healthy, {"n_epochs": 1}, SPLIT | {"train": ["s0", "s1"]})
    assert run.load_weights(), "some of them may be healthy"
