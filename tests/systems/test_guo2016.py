"""Guo 2016: laws of matching patches, the road to a user's own grid, and what may be learnt from whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from workbench import workflow
from workbench.classical.patch_matching import MatchingSettings
from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort, write_cohort
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.runs.run import Run
from workbench.systems.atlas_patches import border_distance
from workbench.systems.atlases import Atlas, read_atlases
from workbench.systems.patch_features import Codes, HandDesigned, IntensityPatches, PatchFeatures
from workbench.systems.patch_votes import OnOneLattice, match, sparse_likelihood, undecided, votes_for
from workbench.systems.segmentation.guo2016 import Guo2016
from workbench.systems.shape_priors import learn_shapes, shaped_classes

SPACING = np.array([3.0, 3.0, 4.0])
SHAPE = (18, 18, 12)
PATCH = (5, 5, 3)
WINDOW = (3, 3, 3)
SMALL: dict[str, Any] = {
    "registration": "affine", "spacing_mm": 0.0, "crop_mm": 0.0, "patch": (5, 5, 3), "n_hidden": (24, 12),
    "n_patches": 1024, "n_epochs_pretraining": 1, "n_epochs_fine_tuning": 1, "n_epochs_refinement": 2,
    "learning_rate": 5e-3, "window": (3, 3, 3), "n_nearest": 12, "n_vertices": 200,
}  # fmt: skip


def gland(
    seed: int, shape: tuple[int, int, int] = SHAPE, spacing: np.ndarray = SPACING
) -> tuple[np.ndarray, np.ndarray]:
    """Give an image (X, Y, Z) with a textured egg in it, and the egg."""
    rng = np.random.default_rng(seed)
    places = np.moveaxis(np.indices(shape), 0, -1) * spacing - (np.array(shape) - 1) * spacing / 2
    radii = np.array([15.0, 13.0, 12.0]) * (1 + rng.normal(0, 0.06, 3))
    radius = np.sqrt(np.square((places - rng.normal(0, 1.0, 3)) / radii).sum(-1))
    inside = radius < 1
    texture = gaussian_filter(rng.normal(size=shape), 1.0)
    image = 100 + 40 * inside + 12 * texture * (1 + inside) - 25 * np.exp(-(((radius - 1) / 0.12) ** 2))
    return image.astype(np.float32), inside.astype(np.int32)


def written(folder: Path, name: str, image: np.ndarray, label: np.ndarray, affine: np.ndarray) -> Subject:
    files = {}
    for what, array in {"T2": image.astype(np.float32), "label": label.astype(np.uint8)}.items():
        files[what] = folder / f"{name}-{what}.nii.gz"
        nib.save(nib.Nifti1Image(array, affine), files[what])
    return Subject(name, {"T2": files["T2"]}, files["label"], folder=folder)


def make_cohort(folder: Path, n_subjects: int = 6) -> Cohort:
    """Write subjects; the last one lies permuted and flipped on its disk."""
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*SPACING, 1.0])
    subjects = []
    for i in range(n_subjects):
        image, label = gland(i)
        here = affine
        if i == n_subjects - 1:
            image, label = (np.ascontiguousarray(a.transpose(2, 0, 1)[:, ::-1]) for a in (image, label))
            here = np.array([[0, -3.0, 0, 51], [0, 0, 3.0, 0], [4.0, 0, 0, 0], [0, 0, 0, 1]])
        subjects.append(written(folder, f"s{i}", image, label, here))
    write_cohort(folder, subjects)
    return Cohort(folder / "cohort.csv", tuple(subjects))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, Run, Guo2016]:
    folder = tmp_path_factory.mktemp("guo")
    cohort = make_cohort(folder / "cohort")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(folder / "data"))
        run = workflow.train("guo2016", cohort.path, SMALL)
    return cohort, run, Guo2016.make(run.info.settings)


def lattice(n_atlases: int = 3, with_itself: bool = True) -> OnOneLattice:
    target, label = gland(40)
    others = [gland(41 + i) for i in range(n_atlases)]
    pairs = [(target, label), *others] if with_itself else others
    images, labels = np.stack([a for a, _ in pairs]), np.stack([b for _, b in pairs])
    scaled = (images - 110) / 30
    return OnOneLattice((target - 110) / 30, scaled, labels, 2, tuple(f"a{i}" for i in range(len(pairs))))


def kinds() -> dict[str, PatchFeatures]:
    images = lattice()
    voxels = np.argwhere(np.ones(SHAPE, bool))[::11]
    stack = StackedAutoEncoder((1, *PATCH), (40, 20), normalization="center", seed=1)
    return {
        "intensity": IntensityPatches(PATCH),
        "hand-designed": HandDesigned.learn(PATCH, (3.0, 3.0, 4.0), [(i, voxels) for i in images.images[1:]]),
        "codes": Codes(stack.as_convolutions(), PATCH),
    }


@pytest.mark.parametrize("kind", ["intensity", "hand-designed"])
def test_a_patch_that_is_in_an_atlas_takes_the_weight(kind: str) -> None:
    images, features = lattice(), kinds()[kind]
    voxels = np.argwhere(undecided(images.labels, WINDOW))[::41]
    matched = match(images, voxels, features, MatchingSettings(WINDOW, 40))
    assert len(voxels) > 15
    for n, voxel in enumerate(voxels):
        found = matched.votes(n)
        assert found.atlas[0] == 0 and tuple(found.voxel[0]) == tuple(voxel)
        assert found.weight[0] > 0.9
        assert found.weight.sum() == pytest.approx(1, abs=1e-6)


def test_the_likelihood_of_an_atlas_is_its_label() -> None:
    images = lattice()
    region = np.ones(SHAPE, bool)
    likelihood = sparse_likelihood(images, region, kinds()["intensity"], MatchingSettings(WINDOW, 40))
    np.testing.assert_array_equal(likelihood.argmax(0), images.labels[0])
    assert likelihood.min() >= 0
    np.testing.assert_allclose(likelihood.sum(0), 1, atol=1e-6)
    far = likelihood.max(0)
    assert far.min() > 0.9


def test_leaving_out_where_all_atlases_agree_changes_nothing() -> None:
    images, features = lattice(with_itself=False), kinds()["intensity"]
    region = np.zeros(SHAPE, bool)
    region[2:16, 3:15, 5:7] = True
    settings = MatchingSettings(WINDOW, 10, tolerance=1e-6)
    likelihood = sparse_likelihood(images, region, features, settings)
    voxels = np.argwhere(region)
    everywhere = match(images, voxels, features, settings).likelihood
    assert 0.1 < (region & undecided(images.labels, WINDOW)).sum() / region.sum() < 0.9
    np.testing.assert_allclose(likelihood[:, *voxels.T], everywhere, atol=1e-4)
    assert (likelihood[0][~region] == 1).all()


def test_slabs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images, features, settings = lattice(with_itself=False), kinds()["codes"], MatchingSettings(WINDOW, 10)
    region = np.zeros(SHAPE, bool)
    region[:, 4:14, 5:7] = True
    whole = sparse_likelihood(images, region, features, settings)
    monkeypatch.setattr("workbench.systems.patch_votes.MOST_AT_ONCE", 1)
    np.testing.assert_array_equal(sparse_likelihood(images, region, features, settings), whole)


def test_rows_on_the_disk_give_the_same_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    images, features, settings = lattice(), kinds()["intensity"], MatchingSettings(WINDOW, 10)
    voxel = np.array([9, 9, 6])
    plain = votes_for(images, voxel, np.zeros(3), ("background", "gland"), features, settings, PATCH)
    monkeypatch.setattr("workbench.systems.patch_votes.MOST_IN_MEMORY", 0)
    stored = votes_for(images, voxel, np.zeros(3), ("background", "gland"), features, settings, PATCH)
    np.testing.assert_array_equal(stored.voxels[0], plain.voxels[0])
    assert stored.weights[0] == pytest.approx(plain.weights[0], abs=0.02)
    np.testing.assert_array_equal(plain.patches[0], plain.target_patch)


def test_votes_sum_to_one_and_reproduce_the_likelihood(trained: tuple[Cohort, Run, Guo2016]) -> None:
    cohort, run, system = trained
    subject = cohort.subjects[0]
    target, images = system.electorate(subject, run)
    whole = system.likelihood(target, system.voters(target, run), run)
    mixed = np.argwhere((whole[1] > 0.2) & (whole[1] < 0.8))
    assert len(mixed)
    for voxel in mixed[:: max(1, len(mixed) // 3)][:3]:
        votes = system.votes(subject, run, target.image.to_mm(voxel[None])[0], electorate=(target, images))
        assert votes.weights.sum() == pytest.approx(1, abs=1e-5)
        by_label = np.bincount(votes.labels, votes.weights, minlength=2)
        np.testing.assert_allclose(by_label, votes.likelihood, atol=1e-5)
        # codes are solved to a tolerance, which many voxels at once reach at another step than one alone
        np.testing.assert_allclose(votes.likelihood, whole[:, *voxel], atol=0.02)
        assert votes.patches.shape == (len(votes.weights), *PATCH)
        assert subject.name not in votes.atlases
        assert votes.class_names == ("background", "label 1")
        assert (np.diff(votes.weights) <= 0).all()
    asked = workflow.patch_votes(run.folder, str(cohort.path), subject.name)(votes.point_mm)
    np.testing.assert_array_equal(asked.weights, votes.weights)


def test_a_point_elsewhere_has_no_votes(trained: tuple[Cohort, Run, Guo2016]) -> None:
    cohort, run, system = trained
    with pytest.raises(SettingsError, match=r"The point \(900.0, 0.0, 0.0\) mm lies outside the part of s1"):
        system.votes(cohort.subjects[1], run, (900, 0, 0))


def test_label_maps_return_on_the_grid_that_came(trained: tuple[Cohort, Run, Guo2016]) -> None:
    cohort, run, system = trained
    for subject in (cohort.subjects[1], cohort.subjects[-1]):
        image, truth = subject.volume("T2"), subject.label_map()
        found = system.segment(subject, run)
        assert found.label_map.shape == image.shape == truth.shape
        np.testing.assert_allclose(found.label_map.affine, image.affine)
        overlap = 2 * ((found.classes == 1) & (truth == 1)).sum() / ((found.classes == 1).sum() + (truth == 1).sum())
        assert overlap > 0.8
        np.testing.assert_allclose(found.probabilities.sum(0), 1, atol=1e-5)


def test_atlases_and_filters_are_of_the_training_subjects(trained: tuple[Cohort, Run, Guo2016]) -> None:
    _, run, system = trained
    assert {a.name for a in read_atlases(run)} == set(run.info.split["train"])
    bank = system.filter_bank(run, 1)
    assert bank.weights.shape == (24, 1, *PATCH)
    assert bank.spacing_mm == 3.0
    before, after = system.stack(run, "unsupervised"), system.stack(run, "supervised")
    assert not torch.equal(before.layer(0).weight, after.layer(0).weight)


def test_refined_codes_are_those_below_the_softmax(trained: tuple[Cohort, Run, Guo2016]) -> None:
    """The stage's checkpoint holds the network with its softmax: its hidden layers must say what the codes say."""
    _, run, system = trained
    kept = torch.load(run.folder / "checkpoints" / "supervised-refinement.ckpt", weights_only=True)["state_dict"]
    patches = torch.from_numpy(run.load_arrays("patches")["patches"])
    h = system.stack(run).normalize(patches).flatten(1)
    for i in range(2):
        h = torch.sigmoid(h @ kept[f"network.hidden.{i}.weight"].T + kept[f"network.hidden.{i}.bias"])
    torch.testing.assert_close(system.stack(run).encode(patches), h)


def test_the_shape_prior_bridges_a_gap_of_the_likelihood() -> None:
    shape, fine = (36, 36, 24), SPACING / 2
    affine = np.diag([*fine, 1.0])
    atlases = [Atlas(f"a{i}", Volume(np.zeros((1, *shape)), affine), gland(i, shape, fine)[1], "") for i in range(6)]
    shapes = learn_shapes(atlases, 2, 300)
    assert set(shapes) == {1}
    truth = gland(9, shape, fine)[1] == 1
    likelihood = gaussian_filter(truth.astype(float), 0.6)
    likelihood[18:28, :, 11:] *= 0.3  # a bite
    probabilities = np.stack([1 - likelihood, likelihood]).astype(np.float32)

    def dice(found: np.ndarray) -> float:
        return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))

    bitten, shaped = dice(probabilities[1] > 0.5), dice(shaped_classes(probabilities, affine, shapes) == 1)
    assert bitten < 0.9
    assert shaped > bitten + 0.02
    nothing = np.stack([np.ones(shape), np.zeros(shape)]).astype(np.float32)
    assert (shaped_classes(nothing, affine, shapes) == 0).all()


def test_the_distance_to_the_border_is_in_mm() -> None:
    labels = np.zeros((9, 3, 3), np.int32)
    labels[:4] = 1
    atlas = Atlas("a", Volume(np.zeros((1, 9, 3, 3)), np.diag([2.0, 1, 1, 1])), labels, "")
    np.testing.assert_allclose(border_distance(atlas)[:, 1, 1], [8, 6, 4, 2, 2, 4, 6, 8, 10])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"patch": (4, 5, 5)}, "a patch has odd edges"),
        ({"window": (3, 3, 2)}, "a search window has odd edges"),
        ({"n_epochs_pretraining": 0, "n_epochs_fine_tuning": 0}, "never trained without labels"),
        ({"features": "SIFT"}, "features = 'SIFT'"),
    ],
)
def test_impossible_settings_are_said(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        Guo2016.make(changes)


@pytest.mark.slow
@pytest.mark.parametrize("features", ["intensity", "hand-designed", "SSAE unsupervised", "ISA"])
def test_every_kind_of_features_goes_the_same_way(features: str, trained: tuple[Cohort, Run, Guo2016]) -> None:
    cohort, _, _ = trained
    run = workflow.train("guo2016", cohort.path, SMALL | {"features": features})
    assert (run.result() or {})["scores"]["dice label 1"] > 0.8
    system = Guo2016.make(run.info.settings)
    shows = "filter_bank" not in system.cannot_show(run)
    assert shows == features.startswith("SSAE") == workflow.run_shows(run.folder, "filter_bank")
    assert system.votes(cohort.subjects[1], run, (25, 25, 22)).weights.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_nothing_is_learnt_from_held_out_subjects(tmp_path: Path, trained: tuple[Cohort, Run, Guo2016]) -> None:
    _, run, _ = trained
    cohort = make_cohort(tmp_path / "other")
    held_out = {n for part in ("validation", "test") for n in run.info.split[part]}
    assert held_out
    for i, subject in enumerate(cohort):
        if subject.name in held_out:
            image, label = gland(200 + i, (20, 17, 12))
            written(tmp_path / "other", subject.name, 3 * image, label, np.diag([*SPACING, 1.0]))
    again = workflow.train("guo2016", cohort.path, SMALL)
    assert again.info.split == run.info.split
    first, second = run.load_weights(), again.load_weights()
    assert all(torch.equal(first[k], second[k]) for k in first)
    for name in (n for n in run.list_arrays() if n.startswith(("shapes-", "segmentation"))):
        for key, value in run.load_arrays(name).items():
            np.testing.assert_array_equal(value, again.load_arrays(name)[key])
