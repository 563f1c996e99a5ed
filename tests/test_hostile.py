"""Files that are broken or mean harm: each gets its sentence at the command line and leaves nothing behind."""

from __future__ import annotations

import gzip
import pickle
import re
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from imaging.dicom_maker import write_series

from workbench import cli

SHAPE = (12, 11, 10)
RNG = np.random.default_rng(0)


def run(*arguments: str) -> int:
    """Run a command in this process and give its exit code."""
    with pytest.raises(SystemExit) as end:
        cli.main(list(arguments))
    return int(end.value.code or 0)


def image(values: np.ndarray | None = None, affine: np.ndarray | None = None) -> nib.Nifti1Image:
    data = RNG.random(SHAPE, np.float32) if values is None else values
    return nib.Nifti1Image(data, np.eye(4) if affine is None else affine)


def truncated(folder: Path) -> Path:
    nib.save(image(), folder / "a.nii.gz")
    (folder / "a.nii.gz").write_bytes((folder / "a.nii.gz").read_bytes()[:900])
    return folder / "a.nii.gz"


def bomb(folder: Path) -> Path:
    header = nib.Nifti1Header()
    header.set_data_shape((2000, 2000, 2000))
    header.set_data_dtype(np.float32)
    with gzip.open(folder / "bomb.nii.gz", "wb", compresslevel=1) as file:
        file.write(header.binaryblock + b"\0\0\0\0")
        for _ in range(64):
            file.write(bytes(2**20))
    return folder / "bomb.nii.gz"


def lying(folder: Path) -> Path:
    header = bytearray(image().to_bytes()[:352])
    header[40:56] = struct.pack("<8h", 4, 32767, 32767, 32767, 32767, 1, 1, 1)
    (folder / "lying.nii").write_bytes(bytes(header) + bytes(1000))
    return folder / "lying.nii"


def all_nan(folder: Path) -> Path:
    nib.save(image(np.full(SHAPE, np.nan, np.float32)), folder / "nan.nii.gz")
    return folder / "nan.nii.gz"


def flat_affine(folder: Path) -> Path:
    affine = np.diag([1.0, 1.0, 0.0, 1.0])
    picture = image()
    picture.header.set_sform(affine, code=1)
    raw = bytearray(picture.to_bytes())
    raw[252:256] = struct.pack("<hh", 0, 1)  # no quaternion, only the sform
    raw[280:328] = affine[:3].astype("<f4").tobytes()
    (folder / "flat.nii").write_bytes(bytes(raw))
    return folder / "flat.nii"


def missing_slice(folder: Path) -> Path:
    write_series(folder / "series", RNG.integers(0, 99, (5, 8, 9)), [0.0, 5.0, 10.0, 20.0, 25.0])
    return folder / "series"


def slippery(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "slip.zip", "w") as archive:
        archive.writestr("../../outside.nii", image().to_bytes())
    return folder / "slip.zip"


def pickled(folder: Path) -> Path:
    (folder / "model.nii").write_bytes(pickle.dumps({"state_dict": [1.0, 2.0]}, protocol=4))
    return folder / "model.nii"


CASES: list[tuple[Callable[[Path], Path], str]] = [
    (truncated, "damaged|truncated|ends"),
    (bomb, "GiB|GB|limit"),
    (lying, "GiB|TiB|GB|limit|voxels"),
    (all_nan, "finite|NaN|number"),
    (flat_affine, "affine|determinant|singular|flat|degenerate"),
    (missing_slice, "slice|gap"),
    (slippery, r"\.\.|outside|lead"),
    (pickled, "not|expected"),
]


@pytest.mark.parametrize(("make", "words"), CASES, ids=[c[0].__name__ for c in CASES])
def test_hostile_files_end_with_a_sentence_and_leave_nothing(
    make: Callable[[Path], Path], words: str, tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source := tmp_path / "source").mkdir()
    made = make(source)
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code = run("import", str(made), str(tmp_path / "out"))
    err = capsys.readouterr().err
    assert code == 2, err
    assert re.search(words, err) and "Traceback" not in err and len(err.strip().splitlines()) == 1, err
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before
    assert not [p for p in data_root.rglob("*") if p.is_file()]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 400_000, "memory was not bounded"


def test_nan_voxels_become_zero_on_import_and_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = RNG.random(SHAPE, np.float32)
    values[3, 4, 5], values[6, 5, 4] = np.nan, np.inf
    nib.save(image(values), tmp_path / "a.nii.gz")
    assert run("import", str(tmp_path / "a.nii.gz"), str(tmp_path / "out")) == 0
    assert "2" in (tmp_path / "out" / "import.json").read_text() and capsys.readouterr()
    (file,) = (tmp_path / "out").rglob("*.nii.gz")
    assert np.isfinite(np.asarray(nib.load(file).dataobj)).all()


def test_pictures_are_refused_where_cubes_are_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    (tmp_path / "p").mkdir()
    for i in range(3):
        Image.fromarray(RNG.integers(0, 255, (40, 40), np.uint8)).save(tmp_path / "p" / f"{i}_image.png")
    assert run("import", str(tmp_path / "p"), str(tmp_path / "out")) == 0
    capsys.readouterr()
    for system, more in (("wu2016", ()), ("sae", ("--set", "source=patches"))):
        code = run("train", system, "--cohort", str(tmp_path / "out"), "--quick", *more)
        err = capsys.readouterr().err
        assert code == 2 and "dimensions" in err, err
    assert run("train", "sae", "--cohort", str(tmp_path / "out"), "--quick") == 0  # three whole pictures
