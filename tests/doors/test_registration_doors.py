"""Registrations as folders: asked for, kept whole or not at all, read back, handed on."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from workbench import cli, workflow
from workbench.errors import Cancelled, CohortError, RunError, SettingsError
from workbench.imaging.displacements import jacobian_determinant
from workbench.imaging.fields import read_field
from workbench.runs import job
from workbench.workflow import RegistrationPlan

HEAD = "stage,iteration,energy,n_points"
AFFINE = np.array([[1.2, 0.1, 0, -10], [-0.1, 1.2, 0, -14], [0, 0, 1.5, 5], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of a ball with a bump, the second shifted by 3 mm, with label maps; on different lattices."""
    folder = tmp_path_factory.mktemp("pair")
    rng = np.random.default_rng(0)
    texture = gaussian_filter(rng.standard_normal((28, 26, 20)), 2) * 8
    for name, shift, shape in (("a", 0.0, (24, 22, 18)), ("b", 3.0, (28, 26, 20))):
        affine = AFFINE.copy()
        affine[:3, 3] += shift
        grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
        mm = grid @ AFFINE[:3, :3].T
        center = np.array([11, 10, 8]) @ AFFINE[:3, :3].T
        away = np.linalg.norm((mm - center) * (1, 0.8, 1), axis=-1)
        image = 100 / (1 + np.exp((away - 8) / 1.5)) + texture[: shape[0], : shape[1], : shape[2]] + 20
        nib.save(nib.Nifti1Image(image.astype(np.float32), affine), folder / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image((away < 8).astype(np.uint8), affine), folder / f"{name}_label.nii.gz")
    return folder


@pytest.fixture
def plan(pair: Path, data_root: Path) -> RegistrationPlan:
    a, b = str(pair / "a.nii.gz"), str(pair / "b.nii.gz")
    labels = {"fixed_label": str(pair / "a_label.nii.gz"), "moving_label": str(pair / "b_label.nii.gz")}
    return RegistrationPlan("", a, b, "affine", settings={"linear": "rigid"}, **labels)


def test_a_shift_is_found_and_everything_is_kept(plan: RegistrationPlan, pair: Path) -> None:
    name = workflow.register(plan)
    found = workflow.open_registration(name)
    np.testing.assert_allclose(found.registered.linear[:3, 3], 3.0, atol=0.5)
    assert found.dice["1"] > 0.93
    warped = nib.Nifti1Image.from_bytes(_unpacked(workflow.export_registration(name, "warped")))
    fixed = nib.load(pair / "a.nii.gz")
    assert warped.shape == fixed.shape
    np.testing.assert_allclose(warped.affine, fixed.affine, atol=1e-4)
    rows = workflow.list_registrations()
    assert [row.id for row in rows] == [name]
    assert rows[0].dice == pytest.approx(found.dice["1"])


def test_what_is_read_back_is_what_was_written(plan: RegistrationPlan) -> None:
    name = workflow.register(replace(plan, method="diffeomorphic-demons", settings={"n_iterations": 5, "n_levels": 2}))
    found = workflow.open_registration(name).registered
    again = workflow.open_registration(name).registered
    np.testing.assert_array_equal(found.field, again.field)
    assert {row.stage for row in found.energy} == {"level 1 of 2", "level 2 of 2"}
    assert found.folded_share == float((jacobian_determinant(found.deformation()) <= 0).mean())
    x, y, z = workflow.correspondence_at(name, (5.0, 2.0, 15.0))
    there = found.warp_points(np.array([[5.0, 2.0, 15.0]]))[0]
    np.testing.assert_allclose((x, y, z), there)


def test_the_field_file_is_read_as_itk_writes_it(plan: RegistrationPlan, tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    name = workflow.register(plan)
    file = tmp_path / "field.nii.gz"
    file.write_bytes(workflow.export_registration(name, "field"))
    field, affine = read_field(file)
    transform = sitk.DisplacementFieldTransform(sitk.Cast(sitk.ReadImage(str(file)), sitk.sitkVectorFloat64))
    voxel = np.array([10, 9, 8])
    point = affine[:3, :3] @ voxel + affine[:3, 3]
    lps = point * (-1, -1, 1)
    moved = np.array(transform.TransformPoint(lps.tolist())) * (-1, -1, 1)
    np.testing.assert_allclose(moved, point + field[:, 10, 9, 8], atol=1e-3)


def test_the_report_says_what_it_is_for(plan: RegistrationPlan) -> None:
    name = workflow.register(plan)
    page = workflow.export_registration(name, "report").decode()
    assert "not for diagnosis" in page
    assert "Dice" in page and "Jacobian" in page
    assert page.count("<figure") >= 4


def test_a_cancelled_registration_leaves_nothing(plan: RegistrationPlan, data_root: Path) -> None:
    def stop(share: float, message: str) -> None:
        if share > 0.3:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        workflow.register(plan, stop)
    assert not workflow.list_registrations()
    assert not list((data_root / "registrations").glob("*"))


def test_the_energy_is_read_while_it_falls(plan: RegistrationPlan, data_root: Path) -> None:
    seen: list[pd.DataFrame] = []

    def look(share: float, message: str) -> None:
        for folder in (data_root / "registrations").glob("*"):
            try:
                told = workflow.export_registration(folder.name.split(".")[0], "energy")
                seen.append(pd.read_csv(BytesIO(told)))
            except RunError:
                assert not seen, "what was told once stays"

    name = workflow.register(replace(plan, method="demons", settings={"n_iterations": 9, "n_levels": 2}), look)
    final = pd.read_csv(BytesIO(workflow.export_registration(name, "energy")))
    assert list(final.itertuples(index=False, name=None)) == list(workflow.open_registration(name).registered.energy)
    lengths = [len(rows) for rows in seen]
    assert lengths == sorted(lengths) and lengths[-1] == len(final) == 18 and len({0, *lengths}) > 3
    for rows in seen:
        pd.testing.assert_frame_equal(rows, final[: len(rows)])


@pytest.mark.parametrize(
    ("written", "rows"),
    [("", None), ("stage,iter", None), (f"{HEAD}\n", 0), (f'{HEAD}\n"round 1, stage 1 of 2",1,0.5,7\n"round 1, st', 1)],
    ids=["nothing", "half a head", "no row", "half a row"],
)
def test_only_whole_lines_of_an_energy_are_read(data_root: Path, written: str, rows: int | None) -> None:
    folder = data_root / "registrations" / "one.partial-x1"
    folder.mkdir(parents=True)
    (folder / "energy.csv").write_text(written, encoding="utf-8")
    if rows is None:
        with pytest.raises(RunError, match="no energy yet"):
            workflow.export_registration("one", "energy")
    else:
        assert len(pd.read_csv(BytesIO(workflow.export_registration("one", "energy")))) == rows
    for other in ("two", "*", "", "../registrations/one"):
        with pytest.raises(RunError):
            workflow.export_registration(other, "energy")


def test_what_is_started_has_its_id_at_once(
    plan: RegistrationPlan, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(words: list[str], result: str) -> job.Job:
        (data_root / "jobs" / "1").mkdir(parents=True)
        cli.app([*words, "--job", "1"], standalone_mode=False)
        return job.Job("1", result=result)

    monkeypatch.setattr(job, "start_job", start)
    started = workflow.start_registration(plan)
    assert started.result == workflow.read_job("1").result == workflow.list_registrations()[0].id
    assert workflow.open_registration(started.result).plan == plan


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"method": "magic"}, SettingsError, "hammer-patches"),
        ({"method": "hammer-learnt"}, SettingsError, "trained run"),
        ({"settings": {"patch_size": 8}}, SettingsError, "odd"),
        ({"settings": {"wrong": 1}}, SettingsError, "linear"),
        ({"run_id": "nothing"}, RunError, "nothing"),
    ],
    ids=["method", "no run", "even patch", "setting", "run"],
)
def test_what_cannot_work_is_said_at_once(
    plan: RegistrationPlan, change: dict, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        workflow.check_registration(replace(plan, **change))


def test_an_image_is_not_registered_onto_itself(plan: RegistrationPlan) -> None:
    with pytest.raises(SettingsError, match="same"):
        workflow.check_registration(replace(plan, moving=plan.fixed))


def test_images_that_share_no_space_are_told_apart_from_failure(plan: RegistrationPlan, tmp_path: Path) -> None:
    far = nib.load(plan.moving)
    affine = far.affine.copy()
    affine[:3, 3] += 5000
    nib.save(nib.Nifti1Image(far.get_fdata(dtype=np.float32), affine), tmp_path / "far.nii.gz")
    with pytest.raises(Exception, match=r"in common|overlap"):
        workflow.register(
            replace(plan, moving=str(tmp_path / "far.nii.gz"), moving_label="", settings={"linear": "none"})
        )


def test_a_missing_subject_is_named(plan: RegistrationPlan) -> None:
    with pytest.raises(CohortError):
        workflow.check_registration(replace(plan, cohort="nowhere"))


def test_a_damaged_registration_says_so_and_can_be_deleted(plan: RegistrationPlan, data_root: Path) -> None:
    name = workflow.register(plan)
    (data_root / "registrations" / name / "field.nii.gz").write_bytes(b"no")
    with pytest.raises(RunError, match="damaged"):
        workflow.open_registration(name)
    workflow.delete_registration(name)
    assert not workflow.list_registrations()


@pytest.mark.parametrize("name", ["../runs", "", "a/b", "nothing"])
def test_only_registrations_can_be_deleted(data_root: Path, name: str) -> None:
    with pytest.raises(RunError):
        workflow.delete_registration(name)


def _unpacked(content: bytes) -> bytes:
    import gzip

    return gzip.decompress(content)
