"""Import: complete or not at all, nothing of the source changed, nobody's name taken along."""

from __future__ import annotations

import gzip
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cohort_maker import image_cohort, labels, nifti
from dicom_maker import SECRETS, write_series
from PIL import Image

from workbench.errors import Cancelled, CohortError, FileError, UnreadableFile, UnsafeFile
from workbench.imaging.cohort import write_cohort
from workbench.imaging.importers import import_cohort, read_import
from workbench.imaging.layouts import LAYOUTS, detect_layout
from workbench.imaging.splits import split_by_group
from workbench.imaging.subject import Subject


def folder(root: Path, n: int = 2) -> Path:
    for i in range(n):
        nifti(root / f"p{i}_T1.nii.gz", seed=i)
        labels(root / f"p{i}_seg.nii.gz")
    return root


def bids(root: Path) -> Path:
    for session in ("1", "2"):
        nifti(root / "sub-01" / f"ses-{session}" / "anat" / f"sub-01_ses-{session}_T1w.nii.gz", seed=int(session))
    nifti(root / "sub-02" / "anat" / "sub-02_T1w.nii.gz", seed=3)
    nifti(
        root / "sub-02" / "func" / "sub-02_task-rest_bold.nii.gz",
        np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32),
    )
    return root


def decathlon(root: Path) -> Path:
    nifti(root / "imagesTr" / "a.nii.gz", np.random.default_rng(0).normal(size=(4, 5, 6, 2)).astype(np.float32))
    labels(root / "labelsTr" / "a.nii.gz")
    content = {
        "modality": {"0": "T2", "1": "ADC"},
        "labels": {"0": "background", "1": "PZ"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def dicom(root: Path) -> Path:
    write_series(root / "Doe^Jane", np.arange(60, dtype=np.int16).reshape(3, 4, 5), (0, 5, 10))
    return root


def state(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def leftovers(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir())


@pytest.mark.parametrize(
    ("make", "layout", "columns"),
    [
        (folder, "folder", {"T1"}),
        (bids, "bids", {"T1w"}),
        (decathlon, "dataset.json", {"T2", "ADC"}),
        (dicom, "dicom", {"CT"}),
        (lambda root: image_cohort(root).path.parent, "cohort", {"T1"}),
    ],
)
@pytest.mark.parametrize("link", [False, True])
def test_every_layout_becomes_a_cohort_that_can_be_read(
    tmp_path: Path, make, layout: str, columns: set[str], link: bool
) -> None:  # type: ignore[no-untyped-def]
    source = tmp_path / "source"
    source.mkdir()
    make(source)
    before = state(source)
    assert detect_layout(source) == layout in LAYOUTS
    told: list[float] = []
    cohort = import_cohort(source, tmp_path / "out" / "mine", link=link, progress=lambda f, m: told.append(f))
    assert set(cohort.modalities) == columns and cohort.name == "mine"
    for subject in cohort:
        for modality in subject.images:
            volume = subject.volume(modality)
            assert volume.data.std() > 0
            subject.label_map(volume)
    assert state(source) == before
    assert leftovers(tmp_path / "out") == ["mine"]
    assert told == sorted(told) and told[-1] == 1.0 and all(0 <= f <= 1 for f in told)
    report = read_import(cohort)
    assert report["layout"] == layout and report["n_left_out"] == 0
    assert report["linked"] == (link and layout not in ("dicom",))


def test_copies_tell_no_names(tmp_path: Path) -> None:
    folder(tmp_path / "source")
    import_cohort(tmp_path / "source", tmp_path / "out")
    for path in (tmp_path / "out").rglob("*.nii.gz"):
        assert not any(word in gzip.decompress(path.read_bytes()) for word in (b"Doe", b"Jane", b"1970"))


def test_dicom_tells_no_names(tmp_path: Path) -> None:
    source = dicom(tmp_path / SECRETS[1])
    cohort = import_cohort(source, tmp_path / "out")
    text = "".join(
        p.name + (gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes()).decode("latin1")
        for p in (tmp_path / "out").rglob("*")
        if p.is_file()
    )
    assert not any(secret in text for secret in SECRETS) and "1.2.3" not in text
    volume = cohort.subjects[0].volume("CT")
    assert volume.shape == (5, 4, 3) and volume.spacing == pytest.approx((3, 2, 5))


def test_links_point_to_the_source_and_say_so(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    cohort = import_cohort(source, tmp_path / "out", link=True)
    image = cohort["p0"].images["T1"]
    assert image.is_symlink() and image.resolve() == (source / "p0_T1.nii.gz").resolve()
    assert "text in their headers was not removed" in " ".join(read_import(cohort)["notes"])  # type: ignore[arg-type]


def test_channels_are_split_exactly(tmp_path: Path) -> None:
    cohort = import_cohort(decathlon(tmp_path / "s"), tmp_path / "out")
    stacked = np.random.default_rng(0).normal(size=(4, 5, 6, 2)).astype(np.float32)
    assert np.array_equal(cohort["a"].volume("ADC").data[0], stacked[..., 1])
    assert cohort.label_names == {0: "background", 1: "PZ"}


def test_sessions_share_a_group_so_no_split_separates_them(tmp_path: Path) -> None:
    cohort = import_cohort(bids(tmp_path / "s"), tmp_path / "out")
    assert [s.group for s in cohort] == ["sub-01", "sub-01", "sub-02"] and cohort["sub-02"].series is not None
    split = split_by_group(cohort, (0.5, 0.0, 0.5))
    assert {"sub-01_ses-1", "sub-01_ses-2"} in ({*split.train}, {*split.test})


def test_a_zip_of_any_layout(tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "data"), "zip", tmp_path, bids(tmp_path / "wrapped").name))
    assert detect_layout(archive) == "bids"
    cohort = import_cohort(archive, tmp_path / "out", link=True)
    assert len(cohort) == 3 and not any(p.is_symlink() for p in (tmp_path / "out").rglob("*"))
    assert "cannot be linked" in " ".join(read_import(cohort)["notes"])  # type: ignore[arg-type]


def test_an_archive_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../evil.nii", "x")
    with pytest.raises(UnsafeFile):
        import_cohort(tmp_path / "evil.zip", tmp_path / "out" / "x")
    assert not (tmp_path / "out").exists() and not (tmp_path / "evil.nii").exists()


def test_what_cannot_be_read_is_left_out_by_name(tmp_path: Path) -> None:
    source = folder(tmp_path / "s")
    (source / "p0_T2.nii.gz").write_bytes(b"not gzip")
    (source / "p2_T1.nii.gz").write_bytes((source / "p0_T1.nii.gz").read_bytes()[:-60])
    labels(source / "p2_seg.nii.gz")
    (source / "p3_T1.png").write_text("x")
    cohort = import_cohort(source, tmp_path / "out")
    assert [s.name for s in cohort] == ["p0", "p1"] and list(cohort["p0"].images) == ["T1"]
    left = {one["file"]: one["reason"] for one in read_import(cohort)["left_out"]}  # type: ignore[attr-defined]
    assert set(left) == {"p0_T2.nii.gz", "p2_T1.nii.gz", "p3_T1.png", "p2", "p3"}
    assert "None of its images could be read" in left["p2"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["cohort.csv", "import.json", "p0", "p1"]
    assert read_import(cohort)["n_files"] == 4


def test_nothing_left_is_an_error_with_reasons(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a_T1.nii.gz").write_bytes(b"x")
    with pytest.raises(CohortError, match=r"Nothing of s could be imported as a folder of files \(a_T1\.nii\.gz: "):
        import_cohort(tmp_path / "s", tmp_path / "out" / "x")
    assert leftovers(tmp_path / "out") == []


def test_cancelling_at_any_point_leaves_nothing(tmp_path: Path) -> None:
    folder(tmp_path / "s")
    calls: list[float] = []
    import_cohort(tmp_path / "s", tmp_path / "whole", progress=lambda f, m: calls.append(f))
    for stop_at in range(len(calls) - 1):
        n = iter(range(10_000))

        def progress(fraction: float, message: str, stop_at: int = stop_at, n=n) -> None:  # type: ignore[no-untyped-def]
            if next(n) == stop_at:
                raise Cancelled("stopped")

        with pytest.raises(Cancelled):
            import_cohort(tmp_path / "s", tmp_path / "out" / "x", progress=progress)
        assert not (tmp_path / "out").exists() or leftovers(tmp_path / "out") == []


def test_an_existing_folder_is_never_touched(tmp_path: Path) -> None:
    folder(tmp_path / "s")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    for out in ("out", "out/mine.txt"):
        with pytest.raises(
            CohortError, match=r"There is already something at .* choose another name, or delete it first"
        ):
            import_cohort(tmp_path / "s", tmp_path / out)
    assert leftovers(tmp_path / "out") == ["mine.txt"]


def test_an_absent_or_useless_source_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="There is nothing at"):
        import_cohort(tmp_path / "none", tmp_path / "out")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("x")
    with pytest.raises(UnreadableFile, match="holds 1 files and none is an image"):
        import_cohort(tmp_path / "docs", tmp_path / "out")
    with pytest.raises(UnreadableFile, match="neither an image nor a table"):
        import_cohort(tmp_path / "docs" / "a.txt", tmp_path / "out")


def test_a_single_file_is_a_cohort_of_one(tmp_path: Path) -> None:
    cohort = import_cohort(nifti(tmp_path / "scan_T2.nii"), tmp_path / "out")
    assert detect_layout(tmp_path / "scan_T2.nii") == "file"
    assert [(s.name, list(s.images)) for s in cohort] == [("scan", ["T2"])]
    (path,) = write_series(tmp_path / "d", np.zeros((1, 4, 5), np.int16), (0,))
    assert import_cohort(path, tmp_path / "one").modalities == ["CT"]


def test_a_cohort_is_copied_with_everything_its_table_names(tmp_path: Path) -> None:
    root = tmp_path / "s"
    image = nifti(root / "x" / "T1.nii.gz")
    (root / "x" / "warp.csv").write_text("1,2\n")
    subject = Subject(
        "x",
        {"T1": image},
        features={"f": root / "x" / "warp.csv"},
        target="1",
        group="g",
        split="test",
        covariates={"truth:warp": "x/warp.csv", "age": "7"},
        folder=root,
    )
    write_cohort(root, [subject])
    (root / "labels.json").write_text('{"1": "a"}')
    copy = import_cohort(root, tmp_path / "out")
    got = copy["x"]
    assert (got.target, got.group, got.split, got.covariates["age"]) == ("1", "g", "test", "7")
    assert (tmp_path / "out" / got.covariates["truth:warp"]).read_text() == "1,2\n" and got.features["f"].exists()
    assert copy.label_names == {1: "a"}


def test_a_cohorts_links_out_of_it_are_not_followed(tmp_path: Path) -> None:
    folder(tmp_path / "s")
    linked = import_cohort(tmp_path / "s", tmp_path / "linked", link=True)
    with pytest.raises(CohortError, match="link that leads out of the cohort"):
        import_cohort(linked.path.parent, tmp_path / "out")


def test_hostile_names_stay_in_the_cohort(tmp_path: Path) -> None:
    source = tmp_path / "s"
    for name in (
        "<script>_T1.nii.gz",
        "a b'c_T1.nii.gz",
        "A B'C_T1.nii.gz",
        "x..y_T1.nii.gz",
        "-rf_T1.nii.gz",
        "Müller_T1.nii.gz",
    ):
        nifti(source / name, seed=len(name))
    cohort = import_cohort(source, tmp_path / "out")
    assert len(cohort) == 6
    assert all(p.resolve().is_relative_to(tmp_path / "out") for s in cohort for p in s.images.values())
    assert len({s.name.lower() for s in cohort}) == 6


def test_pickles_are_not_taken(tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    np.savez(source / "a.npz", x=np.array([{"a": 1}], dtype=object))
    np.savez(source / "b.npz", x=np.zeros((4, 3)))
    cohort = import_cohort(source, tmp_path / "out")
    assert [s.name for s in cohort] == ["b"] and read_import(cohort)["n_left_out"] == 2


def test_nan_is_set_to_0_and_noted(tmp_path: Path) -> None:
    array = np.ones((3, 4, 5), np.float32)
    array[0, 0, 0] = np.nan
    nifti(tmp_path / "s" / "a_T1.nii.gz", array)
    cohort = import_cohort(tmp_path / "s", tmp_path / "out")
    assert cohort["a"].volume("T1").data.min() == 0
    assert "1 voxels that were no numbers" in read_import(cohort)["notes"][0]  # type: ignore[index]


def test_pictures_stay_pictures(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    pixels = np.random.default_rng(0).integers(0, 1000, (6, 4)).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "s" / "a_label.png")
    Image.fromarray((pixels // 4).astype(np.uint8)).save(tmp_path / "s" / "a_image.png")
    subject = import_cohort(tmp_path / "s", tmp_path / "out")["a"]
    label = subject.label_map(subject.volume("image"))
    assert label is not None and np.array_equal(label[..., 0], pixels.T)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "s")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.imaging.importers.write_cohort", full)
    with pytest.raises(FileError, match="No space left on device"):
        import_cohort(tmp_path / "s", tmp_path / "out" / "x")
    assert leftovers(tmp_path / "out") == []


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "n"),
    [("nodules_lidc", 1), ("tumour_pyradiomics", 2), ("prostate_mrus_deepreg", 12), ("hippocampus_msd", 60)],
)
def test_real_data_keep_voxels_and_places(real_data: Path, tmp_path: Path, name: str, n: int) -> None:
    copy = import_cohort(real_data / name, tmp_path / "copy")
    linked = import_cohort(real_data / name, tmp_path / "linked", link=True)
    assert len(copy) == len(linked) == n
    for subject in copy:
        for modality in subject.images if name != "nodules_lidc" else ():
            one, other = subject.volume(modality), linked[subject.name].volume(modality)
            assert np.array_equal(one.data, other.data) and np.allclose(one.affine, other.affine, atol=1e-4)
