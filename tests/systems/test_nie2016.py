"""The networks of Nie et al.: numbers of Figure 8, fusion in two stages, whole images of any lattice."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from workbench import workflow
from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort, write_cohort
from workbench.imaging.splits import Split
from workbench.imaging.subject import Subject
from workbench.models.fusion_fcn import FusionFCN
from workbench.runs.run import Run
from workbench.systems.segmentation.nie2016 import Nie2016
from workbench.tasks.optimizers import parameter_groups

SMALL = {"width": 0.1, "patch_size": 16, "n_patches": 32, "batch_size": 8, "n_epochs": 1, "n_epochs_alone": 1}


def n_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_numbers_of_parameters_are_those_of_the_figures_layers() -> None:
    assert n_parameters(Nie2016().network(3, 4)) == 534_276
    assert n_parameters(Nie2016(fusion="early").network(3, 4)) == 181_444
    assert n_parameters(Nie2016(fusion="single").network(1, 4)) == 180_868
    assert n_parameters(Nie2016().network_alone(2, 4)) == 180_868
    assert n_parameters(Nie2016().network(1, 4)) == 180_868, "with one modality there is nothing to fuse"


def test_the_output_is_as_large_as_the_input_for_sides_divisible_by_four() -> None:
    network = FusionFCN([[0], [1]], 3, width=0.1)
    assert network(torch.zeros(2, 2, 20, 36)).shape == (2, 3, 20, 36)
    assert network.features(torch.zeros(1, 2, 64, 64)).shape == (1, 12, 16, 16)
    with pytest.raises(ValueError, match="divisible by 4"):
        network(torch.zeros(1, 2, 18, 20))


def test_an_encoder_sees_its_own_channels_alone() -> None:
    network = FusionFCN([[0], [2, 1]], 3, width=0.2)
    x = torch.randn(1, 3, 16, 16)
    other = x.clone()
    other[:, 0] += 1
    half = network.encoders[0][-1][0].out_channels
    before, after = network.features(x), network.features(other)
    assert torch.equal(before[:, half:], after[:, half:]) and not torch.equal(before[:, :half], after[:, :half])
    torch.testing.assert_close(before[:, half:], network.encoders[1](x[:, [2, 1]]))


def test_an_encoder_is_taken_over_bit_by_bit_and_the_others_stay() -> None:
    fused, alone = FusionFCN([[0], [1]], 3, seed=1), FusionFCN([[1]], 3, seed=2)
    first = {k: v.clone() for k, v in fused.encoders[0].state_dict().items()}
    fused.take_encoder(1, alone)
    assert all(torch.equal(v, alone.encoders[0].state_dict()[k]) for k, v in fused.encoders[1].state_dict().items())
    assert all(torch.equal(v, fused.encoders[0].state_dict()[k]) for k, v in first.items())
    x = torch.randn(1, 2, 8, 8)
    assert torch.equal(fused.features(x)[:, 64:], alone.features(x))


def test_rates_are_a_tenth_in_encoders_and_double_for_biases() -> None:
    network = FusionFCN([[0], [1]], 3, width=0.1)
    groups = parameter_groups(network, 1.0, 0.5, network.layer_rates(encoders=0.1, biases=2.0))
    found = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    for name, p in network.named_parameters():
        encoder, bias = name.startswith("encoders"), p.ndim == 1
        assert found[id(p)] == pytest.approx(((0.1 if encoder else 1) * (2 if bias else 1), 0 if bias else 0.5)), name


def test_settings_that_cannot_be_are_named() -> None:
    with pytest.raises(SettingsError, match=r"divisible by 4.*got 30"):
        Nie2016.make({"patch_size": 30})
    with pytest.raises(SettingsError, match="sees one modality"):
        Nie2016.make({"fusion": "single", "modalities": "T1, T2"})


def test_stages_are_one_a_modality_and_one_together() -> None:
    assert [p.name for p in Nie2016().stages()] == ["1 T1 alone", "2 T2 alone", "3 FA alone", "together"]
    assert [p.name for p in Nie2016(modalities="T1+C,FA").stages()] == ["1 T1 C alone", "2 FA alone", "together"]
    assert [p.name for p in Nie2016(n_epochs_alone=0).stages()] == ["together"]
    for changes in ({"fusion": "early"}, {"fusion": "single"}, {"modalities": "FA"}):
        assert [p.name for p in Nie2016(**changes).stages()] == ["train"]  # type: ignore[arg-type]


def test_cost_counts_every_stage() -> None:
    late, untrained = Nie2016().cost(), Nie2016(n_epochs_alone=0).cost()
    single = Nie2016(fusion="single").cost()
    assert late.n_steps == 4 * single.n_steps and untrained.n_steps == single.n_steps
    assert late.flops == pytest.approx(untrained.flops + 3 * single.flops)


@pytest.mark.parametrize("shape", [(23, 9, 3), (16, 16, 2), (40, 19, 2)])
def test_probabilities_are_the_mean_over_overlapping_patches(shape: tuple[int, int, int]) -> None:
    system = Nie2016(patch_size=16, width=0.1)
    network, rng = system.network(2, 3).eval(), np.random.default_rng(0)
    image = rng.normal(size=(2, *shape)).astype(np.float32)
    found = system.apply(network, image, np.ones(shape, bool))
    low = [max(0, 16 - n) // 2 for n in shape[:2]]
    faces = [image.take(end, axis).reshape(2, -1) for axis in (1, 2, 3) for end in (0, -1)]
    wide = np.empty((2, max(16, shape[0]), max(16, shape[1]), shape[2]), np.float32)
    wide[:] = np.concatenate(faces, 1).mean(1)[:, None, None, None]
    wide[:, low[0] : low[0] + shape[0], low[1] : low[1] + shape[1]] = image
    total, n = np.zeros((3, *wide.shape[1:])), np.zeros(wide.shape[1:])
    starts = [sorted({min(s, size - 16) for s in range(0, size - 8, 8)} | {size - 16}) for size in wide.shape[1:3]]
    with torch.no_grad():
        for z in range(shape[2]):
            for i in starts[0]:
                for j in starts[1]:
                    patch = torch.from_numpy(wide[None, :, i : i + 16, j : j + 16, z])
                    total[:, i : i + 16, j : j + 16, z] += network(patch).softmax(1)[0].numpy()
                    n[i : i + 16, j : j + 16, z] += 1
    wanted = (total / n)[:, low[0] : low[0] + shape[0], low[1] : low[1] + shape[1]]
    assert found.shape == (3, *shape)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.fixture(scope="module")
def infants(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return workflow.make_phantom("infant", tmp_path_factory.mktemp("nie") / "infants", n_subjects=4, spacing_mm=8.0)


def trained(cohort: Cohort, folder: Path, **changes: object) -> Run:
    patch = pytest.MonkeyPatch()
    patch.setenv("WORKBENCH_DATA", str(folder))
    try:
        return workflow.train("nie2016", cohort.path, {**SMALL, **changes})
    finally:
        patch.undo()


def test_held_encoders_end_with_the_weights_of_the_first_stages(infants: Cohort, tmp_path: Path) -> None:
    run = trained(infants, tmp_path, encoder_rate=0.0)
    weights = run.load_weights()
    for i, modality in enumerate(("T1", "T2", "FA")):
        file = run.folder / "checkpoints" / f"{i + 1}-{modality}-alone.ckpt"
        kept = torch.load(file, weights_only=True)["state_dict"]
        copied = {k.removeprefix("network.encoders.0."): v for k, v in kept.items() if ".encoders.0." in k}
        assert len(copied) == 12
        assert all(torch.equal(v, weights[f"encoders.{i}.{name}"]) for name, v in copied.items()), modality
    fresh = Nie2016(**SMALL, encoder_rate=0.0).network(3, 4).state_dict()  # type: ignore[arg-type]
    assert not torch.equal(weights["decoder.fifth.0.weight"], fresh["decoder.fifth.0.weight"])


def test_encoders_move_when_they_are_fine_tuned_and_figure_8_has_their_modalities(
    infants: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(infants, tmp_path, modalities="T1,FA")
    kept = torch.load(run.folder / "checkpoints" / "2-FA-alone.ckpt", weights_only=True)["state_dict"]
    name = "third.0.weight"
    assert not torch.equal(kept[f"network.encoders.0.{name}"], run.load_weights()[f"encoders.1.{name}"])
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    parts = workflow.architecture_parts(run.folder)
    assert parts.row_names == ("T1", "FA", "") and len(parts.brackets) == 5 and parts.title == "Nie 2016"
    assert parts.rows[-1][-1].name == "background, CSF, grey matter, white matter"


def test_one_modality_is_the_first_or_the_one_that_is_named(infants: Cohort) -> None:
    assert Nie2016(fusion="single").images(infants).modalities == ("T1",)
    assert Nie2016(fusion="single", modalities="FA").images(infants).modalities == ("FA",)
    assert Nie2016(fusion="early").images(infants).modalities == ("T1", "T2", "FA")


OBLIQUE = np.array([[1.6, -0.9, 0, -8], [0.9, 1.6, 0.1, 5], [0, -0.1, 4.5, 3], [0, 0, 0, 1.0]])
PERMUTED = np.array([[0, 0, -1.0, 9], [2.0, 0, 0, -4], [0, 3.0, 0, 1], [0, 0, 0, 1]])


def test_bright_squares_are_found_on_any_lattice_and_returned_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lattices = [np.diag([2.0, 2, 2, 1])] * 3 + [OBLIQUE, PERMUTED]
    subjects, truths = [], {}
    for i, affine in enumerate(lattices):
        rng, shape = np.random.default_rng(i), (24, 13, 18) if i < 3 else (14, 22, 11)
        labels = np.kron(rng.random([-(-n // 6) for n in shape]) < 0.5, np.ones((6, 6, 6)))
        labels = labels[tuple(slice(n) for n in shape)].astype(np.int16) * 7
        images = {}
        for name, sign in (("T1", 1), ("T2", -1)):
            noisy = (1 + sign * (labels > 0) + rng.normal(0, 0.1, shape)).astype(np.float32)
            images[name] = tmp_path / f"s{i}-{name}.nii.gz"
            nib.save(nib.Nifti1Image(noisy, affine), images[name])
        nib.save(nib.Nifti1Image(labels, affine), tmp_path / f"s{i}-label.nii.gz")
        subjects.append(Subject(f"s{i}", images, tmp_path / f"s{i}-label.nii.gz", folder=tmp_path))
        truths[f"s{i}"] = labels
    write_cohort(tmp_path, subjects)
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "data"))
    changes = {**SMALL, "region": "image", "n_patches": 240, "n_epochs": 2, "optimizer": "adam", "learning_rate": 0.01}
    run = workflow.train("nie2016", tmp_path / "cohort.csv", changes)
    cohort = workflow.open_cohort(tmp_path / "cohort.csv")
    for subject in cohort.subjects[-2:]:
        made = workflow.segment(run.folder, cohort.path, subject.name)
        file = tmp_path / "made.nii.gz"
        file.write_bytes(workflow.export_segmentation(run.folder, cohort.path, subject.name))
        stored = nib.load(file)
        assert stored.shape == truths[subject.name].shape and set(np.unique(made.label_map.data)) == {0, 7}
        np.testing.assert_allclose(stored.affine, lattices[int(subject.name[1])], atol=1e-5)
        assert (np.asarray(stored.dataobj) == truths[subject.name]).mean() > 0.9


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_late_fusion_finds_more_than_one_modality_and_more_csf_than_early_fusion_of_equal_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the paper compares: layers as wide, so three times the parameters and more updates for the late fusion."""
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    cohort = workflow.make_phantom("infant", "infants", n_subjects=8, spacing_mm=4.0, seed=3)
    names = tuple(s.name for s in cohort)
    workflow.save_split(cohort, Split(train=names[:5], test=names[5:]))
    common = {"n_patches": 320, "batch_size": 8, "learning_rate": 4e-3, "n_epochs_alone": 5}
    found = {}
    for name, changes in {
        "late": {"n_epochs": 7},
        "FA": {"n_epochs": 12, "fusion": "single", "modalities": "FA"},
        "early": {"n_epochs": 12, "fusion": "early"},
    }.items():
        run = workflow.train("nie2016", "infants", common | changes, preset="quick")
        scores = [workflow.segment(run.id, "infants", s).scores() for s in names[5:]]
        found[name] = {t: np.mean([s[t]["dice"] for s in scores]) for t in ("CSF", "grey matter", "white matter")}
    mean = {name: np.mean(list(of.values())) for name, of in found.items()}
    assert mean["late"] > mean["FA"] + 0.01 and mean["early"] > mean["FA"]
    assert found["late"]["CSF"] > found["early"]["CSF"] + 0.03
