"""Pereira 2016 as a whole: its shares, what it removes, its two ways to a whole image, and the subject's own grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from skimage.measure import label, regionprops

from workbench import workflow
from workbench.imaging.cohort import Cohort, write_cohort
from workbench.imaging.nifti import write_nifti
from workbench.imaging.subject import Subject
from workbench.models.fcn import patchwise
from workbench.runs.run import Run, create_run
from workbench.systems.segmentation.pereira2016 import Pereira2016, class_shares, without_small

QUICK = Pereira2016.preset("quick").changes
LATTICES = {
    "oblique": np.array([[7.0, -3.0, 0, -60], [3.0, 7.0, 0.2, -80], [0, -0.2, 9.0, -60], [0, 0, 0, 1.0]]),
    "permuted": np.array([[0, 0, -6.0, 60], [8.0, 0, 0, -80], [0, 10.0, 0, -60], [0, 0, 0, 1.0]]),
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Three patients of 8 mm, and one of them stored on other lattices."""
    folder = tmp_path_factory.mktemp("patients") / "cohort"
    made = workflow.make_phantom("tumor", folder, n_subjects=3, spacing_mm=8.0, seed=4)
    subjects, first = list(made), made.subjects[0]
    for name, affine in LATTICES.items():
        where: dict[str, Path] = {}
        for what, file in {**first.images, "label": first.label, "mask": first.mask}.items():
            assert file is not None
            where[what] = folder / f"{name}-{what}.nii.gz"
            nib.save(nib.Nifti1Image(np.asarray(nib.load(file).dataobj), affine), where[what])
        images = {m: where[m] for m in first.images}
        subjects.append(Subject(name, images, where["label"], where["mask"], folder=folder))
    write_cohort(folder, subjects)
    return Cohort(folder / "cohort.csv", tuple(subjects))


@pytest.fixture(scope="module")
def trained(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[Pereira2016, Run]:
    patch = pytest.MonkeyPatch()
    patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("data")))
    system = Pereira2016(**(QUICK | {"n_epochs": 6}))
    run = create_run("pereira2016", system.model_dump(), seed=0, cohort=cohort.path, split=split_of(cohort))
    system.fit(cohort, run)
    yield system, run
    patch.undo()


def split_of(cohort: Cohort) -> dict[str, list[str]]:
    names = [s.name for s in cohort][:3]
    return {"train": names[:2], "validation": [], "test": names[2:]}


@pytest.mark.parametrize(("architecture", "n"), [("hgg", 2_118_213), ("lgg", 1_933_701)])
def test_published_settings_make_the_published_networks(architecture: Any, n: int) -> None:
    for padding in ("same", "valid"):
        network = Pereira2016(architecture=architecture, padding=padding).network(4, 5)
        assert sum(p.numel() for p in network.parameters()) == n


def test_low_grade_is_a_preset() -> None:
    low = Pereira2016.make(Pereira2016.preset("low grade").changes)
    assert isinstance(low, Pereira2016)
    assert (low.architecture, low.dropout, low.least_mm3) == ("lgg", 0.5, 3000) and low.padding == "same"


def test_shares_of_classes() -> None:
    assert class_shares(np.array([0, 1, 2, 4, 0, 1]), 0.4) == pytest.approx({0: 0.4, 1: 0.2, 2: 0.2, 4: 0.2})
    assert class_shares(np.array([0, 0]), 0.4) == {0: 1.0}


def test_four_in_ten_patches_are_normal_and_the_parts_are_as_many(cohort: Cohort) -> None:
    system = Pereira2016(**(QUICK | {"n_patches": 3000, "batch_size": 500, "architecture": "lgg", "padding": "same"}))
    run = create_run("pereira2016", system.model_dump(), seed=0, cohort=cohort.path, split=split_of(cohort))
    data = system.data(cohort, run)
    module = system.batches(data, 0)
    batches = [module.train_batch(0, i) for i in range(module.n_batches)]
    labels, which = (torch.cat([b[k] for b in batches]).numpy() for k in ("label", "subject"))
    for s, subject in enumerate(list(cohort)[:2]):
        there = np.isin(np.arange(5), np.asarray(nib.load(subject.label).dataobj))
        shares = np.array([0.4, 0.15, 0.15, 0.15, 0.15]) * there  # of a part that a patient lacks, in proportion
        counts = np.bincount(labels[which == s], minlength=5)
        assert chisquare(counts[there], counts.sum() * shares[there] / shares.sum()).pvalue > 1e-3
        assert not counts[~there].any()


def test_patches_are_turned_by_right_angles_and_not_mirrored() -> None:
    system = Pereira2016()
    turns, rng = system.turns, np.random.default_rng(0)
    assert turns is not None and Pereira2016(augment=False).turns is None
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    seen = {tuple(turns(image, torch.zeros(1), rng)[0].flatten().tolist()) for _ in range(60)}
    assert seen == {tuple(torch.rot90(image, k, (2, 3)).flatten().tolist()) for k in range(4)}


def test_the_rate_falls_in_a_line_over_the_whole_training(cohort: Cohort, trained: tuple[Pereira2016, Run]) -> None:
    _, run = trained
    told = run.metrics()
    rates = told[told["name"] == "learning_rate"]["value"].to_numpy()
    n, per_epoch = 6 * 32, 32
    wanted = [0.01 * (1 - 0.99 * (per_epoch * (e + 1) - 1) / (n - 1)) for e in range(6)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-5)


def test_small_pieces_vanish_as_scikit_image_measures_them() -> None:
    rng = np.random.default_rng(3)
    classes = np.where(rng.random((14, 15, 16)) < 0.06, rng.integers(1, 5, (14, 15, 16)), 0).astype(np.int32)
    kept = []
    for least in (2, 5, 12):
        wanted = classes.copy()
        for piece in regionprops(label(classes > 0, connectivity=3)):
            if piece.area < least:
                wanted[tuple(piece.coords.T)] = 0
        np.testing.assert_array_equal(without_small(classes, least), wanted)
        kept.append(int((wanted > 0).sum()))
    assert kept[0] > kept[1] > kept[2] > 0


def test_the_least_piece_is_a_volume_whatever_the_voxels() -> None:
    classes = np.zeros((20, 20, 20), np.int32)
    classes[2:8, 2:8, 2:8] = 1  # 216 voxels, of two parts
    classes[2:8, 2:8, 5:8] = 4
    classes[12:15, 12:15, 12:15] = 2  # 27 voxels
    system, none = Pereira2016(least_mm3=200.0), np.zeros((5, 20, 20, 20), np.float32)
    fine, coarse = (system.clean(classes, none, (s, s, s)) for s in (1.0, 2.0))
    assert set(np.unique(fine)) == {0, 1, 4} and set(np.unique(coarse)) == {0, 1, 2, 4}
    np.testing.assert_array_equal(fine[:10], classes[:10])
    assert not Pereira2016().clean(classes, none, (1.0, 1.0, 1.0)).any(), "10,000 voxels of 1 mm are published"


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_every_voxel_is_what_the_network_says_of_its_patch(padding: Any) -> None:
    system = Pereira2016(padding=padding, width=0.1, architecture="lgg")
    network = system.network(2, 5).eval().requires_grad_(False)
    edge = system.patch_shape[0]
    rng = np.random.default_rng(1)
    image = rng.normal(size=(2, 7, 9, 2)).astype(np.float32)
    region = rng.random((7, 9, 2)) < 0.5
    found = system.apply(network, image, region)
    for z in range(2):
        padded = np.stack([
            np.pad(c[..., z], edge // 2, constant_values=np.concatenate([c[[0, -1]].ravel(), c[:, [0, -1]].ravel(),
                                                                        c[:, :, [0, -1]].ravel()]).mean())
            for c in image
        ])  # fmt: skip
        with torch.no_grad():
            wanted = patchwise(network, torch.from_numpy(padded)[None], (edge, edge)).softmax(1)[0].numpy()
        inside = region[..., z]
        np.testing.assert_allclose(found[:, inside, z], wanted[:, inside], atol=1e-5)
        assert (found[0, ~inside, z] == 1).all()


def test_composites_are_scored_beside_the_parts(trained: tuple[Pereira2016, Run], cohort: Cohort) -> None:
    system, run = trained
    scores = system.segment(cohort[[s.name for s in cohort][2]], run).scores()
    assert {"complete tumor", "tumor core", "edema", "enhancing tumor"} <= set(scores)
    assert scores["complete tumor"]["dice"] > 0.3, "chance is 0.1: a tenth of the brain"


@pytest.mark.parametrize("name", LATTICES)
def test_a_label_map_returns_to_the_grid_it_came_from(
    trained: tuple[Pereira2016, Run], cohort: Cohort, name: str, tmp_path: Path
) -> None:
    system, run = trained
    subject = cohort[name]
    write_nifti(system.predict(subject, run), tmp_path / "out.nii.gz")
    stored, truth = nib.load(tmp_path / "out.nii.gz"), nib.load(subject.label)
    assert stored.shape == truth.shape
    np.testing.assert_allclose(stored.affine, truth.affine, atol=1e-4)
    found, inside = np.asarray(stored.dataobj), np.asarray(nib.load(subject.mask).dataobj) > 0
    assert set(np.unique(found)) <= set(range(5)) and found.any() and not found[~inside].any()


def test_published_preparation_leaves_landmarks_and_moments(cohort: Cohort) -> None:
    """N4 and Nyúl on three small images: what the network sees has mean 0 and variance 1 over the training subjects."""
    system = Pereira2016(modalities="FLAIR")
    run = create_run("pereira2016", system.model_dump(), seed=0, cohort=cohort.path, split=split_of(cohort))
    record = system.data(cohort, run).record
    assert len(record.learnt.landmarks) == 1 and record.images.bias_correction
    values = []
    for name in split_of(cohort)["train"]:
        image, region = record.images.image(cohort[name], record.learnt)
        values.append(image.data[0][region])
    joined = np.concatenate(values)
    assert abs(joined.mean()) < 1e-3 and joined.std() == pytest.approx(1, abs=1e-3)
