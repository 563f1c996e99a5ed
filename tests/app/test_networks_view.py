"""Tables and names behind the networks; the form of an extraction keeps what it is given."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from workbench.app.network_words import functional_units, unit_table, weight_csv
from workbench.app.networks_view import brief, relative
from workbench.app.regions_form import atlas_choices, has_4d, keep_atlas, names_beside, names_of_own
from workbench.app.series_view import series_table, spread
from workbench.errors import SettingsError
from workbench.imaging.atlas_names import read_region_names
from workbench.metrics.recovery import dice_networks

NETWORKS = ("v", "v", "m", "m")
FOUND = SimpleNamespace(
    weights=np.array([[1.0, -2, 0.1, 0], [0, 1, -3, 0.5]]), titles=("unit 1", "unit 2"), regions=("a", "b", "c", "d")
)


def test_the_purest_unit_stands_first_with_its_strongest_regions() -> None:
    overlap = dice_networks(FOUND.weights, NETWORKS, 2)
    table = unit_table(FOUND, overlap, 2)
    assert table["unit"].tolist() == ["unit 1", "unit 2"] and table["purity"].tolist() == [1.0, 0.5]
    assert table["strongest regions"].tolist() == ["b; a", "c; b"]
    assert [u.network for u in functional_units(FOUND, overlap)] == [table["network"][0], "v"]
    assert list(unit_table(FOUND, None, 2).columns) == ["unit", "strongest regions"]


def test_saved_weights_are_the_run_s_own() -> None:
    table = pd.read_csv(io.BytesIO(weight_csv(FOUND)), index_col="unit")
    assert np.array_equal(table.to_numpy(), FOUND.weights) and list(table.columns) == list(FOUND.regions)


def test_a_relative_matrix_has_one_as_its_largest_and_nothing_stays_nothing() -> None:
    assert np.abs(relative(np.array([[0, -4.0], [-4.0, 0]]))).max() == 1
    assert not relative(np.zeros((2, 2))).any()


def test_a_short_name_keeps_both_ends() -> None:
    assert brief("Cuneus_R") == "Cuneus_R"
    names = [f"SomatomotorDorsal {side} {i}" for side in "LR" for i in range(1, 12)]
    assert len({brief(n) for n in names}) == len(names) and max(len(brief(n)) for n in names) <= 10


def test_the_same_atlas_is_kept_once_with_its_names() -> None:
    first = keep_atlas(b"voxels", "../My Atlas.nii.gz", b"1,Left\n", "list.csv")
    assert first == keep_atlas(b"voxels", "../My Atlas.nii.gz", b"1,Left\n", "list.csv")
    assert first.name == "My-Atlas.nii.gz" and (names := names_beside(first)) is not None
    assert names.read_bytes() == b"1,Left\n" and names_beside(keep_atlas(b"other", "b.nii")) is None
    cohort = SimpleNamespace(path=Path("/nowhere/cohort.csv"))
    assert str(first) in atlas_choices(cohort) and "own" not in atlas_choices(cohort)
    with pytest.raises(SettingsError, match="no NIfTI image"):
        keep_atlas(b"voxels", "atlas.png")


def test_names_of_a_cohort_s_own_atlas_are_read_by_the_reader_of_names(tmp_path: Path) -> None:
    file = tmp_path / "names.csv"
    file.write_text(names_of_own("region,x,y,z,network\nLeft,-1.5,2,3,visual\nRight,1.5,,,motor\n"))
    found = read_region_names(file, np.array([1, 2]))
    assert found.names == {1: "Left", 2: "Right"} and found.networks == {1: "visual", 2: "motor"}


def test_only_images_wait_for_their_regions() -> None:
    image, table = SimpleNamespace(series=Path("a/BOLD.NII.GZ")), SimpleNamespace(series=Path("a/series.csv"))
    assert has_4d([image]) and not has_4d([table]) and not has_4d([SimpleNamespace(series=None)])


def test_series_are_described_a_row_a_subject() -> None:
    fact = SimpleNamespace(subject="s", n_times=200, n_regions=0, tr_s=None, missing=(), constant=("a",), n_gaps=2,
                           notes=("First.", "Second."), is_image=True)  # fmt: skip
    row = series_table([fact]).iloc[0]
    assert row["Kind"] == "4-D image" and row["Constant"] == 1 and row["Notes"] == "First. Second."
    assert spread([2.0, 2.0]) == "2" and spread([1, 3]) == "1 to 3" and spread([]) == ""
