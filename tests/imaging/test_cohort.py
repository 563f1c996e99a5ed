"""cohort.csv: what is read, and the sentence for each way in which it can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from cohort_maker import image_cohort, nifti

from workbench.errors import CohortError
from workbench.imaging.cohort import read_cohort, write_cohort
from workbench.imaging.subject import Subject


def table(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cohort.csv").write_text(text, encoding="utf-8")
    return folder


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    image = nifti(tmp_path / "a" / "T1.nii.gz")
    points = tmp_path / "a" / "points.csv"
    points.write_text("x,y,z\n1,2,3\n")
    subject = Subject(
        "a",
        {"T1": image},
        mask=image,
        points=points,
        features={"volumes": points},
        target="1",
        group="g",
        split="test",
        covariates={"age": "70", "note": 'says "hm", twice'},
        folder=tmp_path,
    )
    cohort = write_cohort(tmp_path, [subject, Subject("b", folder=tmp_path)])
    assert cohort.subjects == (subject, Subject("b", folder=tmp_path))
    assert cohort.modalities == ["T1"] and cohort.name == tmp_path.name and len(cohort) == 2
    assert not list(tmp_path.glob("*.partial"))


def test_every_column_but_subject_is_optional(tmp_path: Path) -> None:
    assert [s.name for s in read_cohort(table(tmp_path, "subject\na\nb\n\n"))] == ["a", "b"]


def test_a_file_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    cohort = read_cohort(table(tmp_path, "\ufeff subject , age \r\n a , 70 \r\n"))
    assert cohort["a"].covariates == {"age": "70"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,age\na,1\n", "must have a column named subject; it has name, age"),
        ("", "must have a column named subject; it has nothing"),
        ("subject,age\n,1\n", "lists no subjects"),
        ("subject\na\nb\na\n", "lists a more than once"),
        ("subject,label\na,gone.nii.gz\n", "Row a, column label: the file 'gone.nii.gz' does not exist"),
        ("subject,label\na,../other.nii.gz\n", "must be a path inside the cohort's folder"),
        ("subject,image:T1\na,/etc/passwd\n", "must be a path inside the cohort's folder"),
        ("subject\n../../x\n", "names begin with a letter or digit and hold no slash"),
        ("subject\n.hidden\n", "names begin with a letter or digit"),
        ("subject,image:a/b\na,\n", "has the name 'a/b'"),
        ("subject,label\na," + "x" * 5000 + "\n", "does not exist"),
        ('subject,age\na,"' + "x" * 200_000 + '"\n', "cannot be read as a table"),
    ],
)
def test_a_broken_table_is_told_in_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(CohortError, match=sentence.replace("(", r"\(")):
        read_cohort(table(tmp_path, text))


def test_no_cohort_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="workbench import"):
        read_cohort(tmp_path)


def test_an_unknown_subject_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="no subject 'z'; it has a, b"):
        read_cohort(table(tmp_path, "subject\na\nb\n"))["z"]


def test_only_keeps_the_order_asked_for(tmp_path: Path) -> None:
    cohort = read_cohort(table(tmp_path, "subject\na\nb\nc\n")).only(["c", "a"])
    assert [s.name for s in cohort] == ["c", "a"]


def test_the_digest_changes_with_any_file_and_the_table(tmp_path: Path) -> None:
    cohort = image_cohort(tmp_path)
    first = cohort.digest
    assert read_cohort(tmp_path).digest == first
    nifti(tmp_path / "s1" / "T1.nii.gz", seed=9)
    second = read_cohort(tmp_path).digest
    (tmp_path / "cohort.csv").write_text((tmp_path / "cohort.csv").read_text() + "extra,,\n")
    assert len({first, second, read_cohort(tmp_path).digest}) == 3


def test_label_names_are_read_beside_the_table(tmp_path: Path) -> None:
    cohort = read_cohort(table(tmp_path, "subject\na\n"))
    assert cohort.label_names == {}
    (tmp_path / "labels.json").write_text('{"1": "anterior"}')
    assert cohort.label_names == {1: "anterior"}
    (tmp_path / "labels.json").write_text("[1]")
    assert cohort.label_names == {}
