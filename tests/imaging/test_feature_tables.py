"""One row a subject: numbers become features, words covariates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.errors import UnreadableFile
from workbench.imaging.feature_tables import is_feature_table, read_feature_table
from workbench.imaging.importers import import_cohort


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_columns_are_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "csf.csv", "ID,tau,Age,apoe,abeta,Class,group\np1,1.5,70,E3,,AD,x\np2,2,71,E4,3,CN,y\n")
    assert is_feature_table(path)
    first, second = read_feature_table(path).drafts
    assert (first.name, first.target, first.covariates) == ("p1", "AD", {"Age": "70", "apoe": "E3", "table_group": "x"})
    assert (
        first.files["features:csf"].text == "tau,abeta\n1.5,nan\n"
        and second.files["features:csf"].text == "tau,abeta\n2,3\n"
    )


def test_rows_without_names_are_numbered(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "a\tdiagnosis\n1\tx\n2\ty\n")
    assert [d.name for d in read_feature_table(path).drafts] == ["t-0001", "t-0002"]


def test_a_time_series_is_no_feature_table(tmp_path: Path) -> None:
    assert not is_feature_table(write(tmp_path / "s.csv", "roi1,roi2\n1,2\n3,4\n"))
    assert not is_feature_table(write(tmp_path / "e.csv", ""))


@pytest.mark.parametrize("text", ["", "a,b\n", "id,word\n1,x\n2,y\n"])
def test_a_table_without_numbers_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnreadableFile, match=r"t\.csv"):
        read_feature_table(write(tmp_path / "t.csv", text))


@pytest.mark.real
def test_real_biomarkers(real_data: Path, tmp_path: Path) -> None:
    cohort = import_cohort(real_data / "ad_csf_biomarkers" / "ad_csf.csv", tmp_path / "csf")
    assert len(cohort) == 233 and {s.target for s in cohort} == {"Impaired", "Control"}
    vectors = np.stack([np.genfromtxt(s.features["ad_csf"], delimiter=",", skip_header=1) for s in cohort])
    assert vectors.shape == (233, 127) and np.isfinite(vectors).all()
