"""Moeskops 2016 as a whole: its sampling, its one image, and a path from files back to the subject's own grid."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from workbench import workflow
from workbench.imaging.cohort import Cohort, write_cohort
from workbench.imaging.nifti import read_nifti, write_nifti
from workbench.imaging.subject import Subject
from workbench.models.fcn import patchwise
from workbench.runs.run import Run, create_run
from workbench.systems.segmentation.moeskops2016 import Moeskops2016

QUICK = Moeskops2016.preset("quick").changes
LATTICES = {
    "oblique": np.array([[7.0, -3.0, 0, -60], [3.0, 7.0, 0.2, -80], [0, -0.2, 9.0, -60], [0, 0, 0, 1.0]]),
    "permuted": np.array([[0, 0, -6.0, 60], [8.0, 0, 0, -80], [0, 10.0, 0, -60], [0, 0, 0, 1.0]]),
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Three newborns of 8 mm, and one whose image and labels are stored otherwise."""
    folder = tmp_path_factory.mktemp("newborns") / "cohort"
    made = workflow.make_phantom("infant-regions", folder, n_subjects=3, spacing_mm=8.0, seed=2)
    subjects = list(made)
    labels = np.asarray(nib.load(subjects[0].label).dataobj)
    image = np.asarray(nib.load(subjects[0].images["T2"]).dataobj)
    for name, affine in LATTICES.items():
        files = {"T2": image.astype(np.float32), "label": labels.astype(np.uint8), "mask": labels.astype(bool)}
        for what, array in files.items():
            nib.save(nib.Nifti1Image(array.astype(array.dtype if what != "mask" else np.uint8), affine),
                     folder / f"{name}-{what}.nii.gz")  # fmt: skip
        where = {what: folder / f"{name}-{what}.nii.gz" for what in files}
        subjects.append(Subject(name, {"T2": where["T2"]}, where["label"], where["mask"], folder=folder))
    write_cohort(folder, subjects)
    return Cohort(folder / "cohort.csv", tuple(subjects))


@pytest.fixture(scope="module")
def trained(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[Moeskops2016, Run]:
    patch = pytest.MonkeyPatch()
    patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("data")))
    system = Moeskops2016(**(QUICK | {"n_patches": 60, "n_epochs": 8, "dropout": 0.0, "learning_rate": 2e-3}))
    names = [s.name for s in cohort][:3]
    run = create_run("moeskops2016", system.model_dump(), seed=0, cohort=cohort.path,
                     split={"train": names[:2], "validation": [], "test": names[2:]})  # fmt: skip
    system.fit(cohort, run)
    yield system, run
    patch.undo()


def test_published_settings_make_the_published_network() -> None:
    network = Moeskops2016().network(1, 9)
    assert sum(p.numel() for p in network.parameters()) == 755_913


def test_an_epoch_has_so_many_of_each_class_of_each_subject_and_the_next_has_others(
    cohort: Cohort, tmp_path: Path
) -> None:
    system = Moeskops2016(n_patches=12, bias_correction=False, scales="25")
    names = [s.name for s in cohort][:2]
    run = create_run("moeskops2016", system.model_dump(), seed=0, cohort=cohort.path, split={"train": names})
    module = system.batches(system.data(cohort, run), 0)
    epochs = [[module.train_batch(e, i) for i in range(module.n_batches)] for e in (0, 1)]
    truth = [np.asarray(nib.load(cohort[n].label).dataobj) for n in names]
    masks = [np.asarray(nib.load(cohort[n].mask).dataobj) > 0 for n in names]
    drawn = []
    for batches in epochs:
        label, which = (torch.cat([b[k] for b in batches]).numpy() for k in ("label", "subject"))
        for s in (0, 1):
            there = np.bincount(truth[s][masks[s]], minlength=9)
            np.testing.assert_array_equal(np.bincount(label[which == s], minlength=9), np.minimum(there, 12))
        drawn.append({tuple(c) for b in batches for c in b["center"].tolist()})
    assert drawn[0] != drawn[1], "drawn afresh"


def test_without_balance_patches_lie_evenly() -> None:
    system = Moeskops2016(sampler="inside", n_patches=1000)
    assert system.stages()[0].n_batches == 4 and Moeskops2016().stages()[0].n_batches is None
    assert system.cost().n_steps == 40, "1,000 patches in all, not of each class"


def test_one_image_is_taken_unless_more_are_named(cohort: Cohort) -> None:
    complete = Cohort(cohort.path, cohort.subjects[:3])
    assert Moeskops2016().images(complete).modalities == ("T2",)
    assert Moeskops2016(modalities="T1,FA").images(complete).modalities == ("T1", "FA")
    other = Cohort(cohort.path, tuple(
        Subject(s.name, {"T1": s.images["T1"]}, s.label, s.mask, folder=s.folder) for s in complete
    ))  # fmt: skip
    assert Moeskops2016().images(other).modalities == ("T1",)


def test_every_voxel_of_the_region_is_what_the_network_says_of_its_patch(trained: tuple[Moeskops2016, Run]) -> None:
    system, run = trained
    whole = system.model_copy(update={"stride": 1})
    network = whole.trained_network(run)
    image = torch.randn(1, 1, 9, 8)
    region = np.ones((9, 8, 1), bool)
    fill = image[0, 0].numpy()
    edge = np.concatenate([fill[[0, -1]].ravel(), fill[:, [0, -1]].ravel()]).mean()
    found = whole.apply(network, image[0, :, :, :, None].numpy(), region)
    padded = torch.full((1, 1, 9 + 74, 8 + 74), float(edge))
    padded[:, :, 37:46, 37:45] = image
    with torch.no_grad():
        wanted = patchwise(network, padded, (75, 75)).softmax(1)[0]
    np.testing.assert_allclose(found[..., 0], wanted.numpy(), atol=1e-5)


def test_it_learns_more_than_the_commonest_class(trained: tuple[Moeskops2016, Run], cohort: Cohort) -> None:
    system, run = trained
    name = [s.name for s in cohort][2]
    one = system.evaluate(Cohort(cohort.path, (cohort[name],)), run)["subjects"][name]
    assert one["dice"] > 0.25 and one["dice cerebellum"] > 0.3  # all of one class: at most 0.08 in the mean of eight


@pytest.mark.parametrize("name", LATTICES)
def test_a_label_map_returns_to_the_grid_it_came_from(
    trained: tuple[Moeskops2016, Run], cohort: Cohort, name: str, tmp_path: Path
) -> None:
    system, run = trained
    subject = cohort[name]
    write_nifti(system.predict(subject, run), tmp_path / "out.nii.gz")
    stored, truth = nib.load(tmp_path / "out.nii.gz"), nib.load(subject.label)
    assert stored.shape == truth.shape
    np.testing.assert_allclose(stored.affine, truth.affine, atol=1e-4)
    found, inside = np.asarray(stored.dataobj), np.asarray(nib.load(subject.mask).dataobj) > 0
    assert set(np.unique(found)) <= set(range(9)) and not found[~inside].any() and (found[inside] > 0).mean() > 0.5
    assert read_nifti(subject.label, "label").shape == system.predict(subject, run).shape
