"""A user's table of regions: found by name, silent where it is silent, and refused with a sentence."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from workbench.app.reference import of_cohort, read_reference
from workbench.errors import SettingsError

UNPLACED = np.full((3, 3), np.nan)
FOUND = SimpleNamespace(regions=("A", "B", "C"), networks=("", "old", ""), coordinates_mm=UNPLACED, voxel_mm=None)
NUMBERED = SimpleNamespace(
    regions=("region 1", "region 2"), networks=("", ""), coordinates_mm=UNPLACED[:2], voxel_mm=None
)


@pytest.mark.parametrize("sep", [",", "\t", ";"])
def test_rows_are_found_by_name_whatever_their_order(sep: str) -> None:
    lines = ["Region,Network,x,y,z", "c,visual,1,2,3", "a,motor,4,5,6"]
    found = read_reference("\n".join(lines).replace(",", sep).encode(), "own.csv", FOUND)
    assert found.networks == ("motor", "old", "visual")
    expected = np.array([[4, 5, 6], [np.nan, np.nan, np.nan], [1, 2, 3]])
    assert np.array_equal(found.coordinates_mm, expected, equal_nan=True)
    assert "2 of 3 regions" in found.sentence and "the first being B" in found.sentence
    assert np.isnan(FOUND.coordinates_mm).all(), "the run's own places stay what they are"


def test_places_alone_are_a_table_too_and_an_empty_cell_is_an_unknown_place() -> None:
    found = read_reference(b"region,x,y,z\nA,1,2,3\nB,,,\n", "places.csv", FOUND)
    assert found.networks == FOUND.networks and found.coordinates_mm[0].tolist() == [1, 2, 3]
    assert np.isnan(found.coordinates_mm[1]).all()


def test_a_row_for_each_region_is_taken_in_order_only_where_regions_are_numbers() -> None:
    table = b"region,network\nPrecentral_L,motor\nCuneus_R,visual\n"
    assert read_reference(table, "aal.csv", NUMBERED).networks == ("motor", "visual")
    with pytest.raises(SettingsError, match="knows none of the 2 regions"):
        named = SimpleNamespace(regions=("Left", "Right"), networks=("", ""), coordinates_mm=UNPLACED[:2])
        read_reference(table, "aal.csv", named)


@pytest.mark.parametrize(("content", "words"), [
    (b"region,color\nA,red\n", "needs a column network"),
    (b"", "is no table"),
    (b"\xff\xfe\x00", "is no table"),
    (b"region,network\nX,visual\n", "knows none of the 3 regions"),
    (b"region,network\n", "knows none of the 3 regions"),
    (b"x" * 6_000_000, "has 6 MB"),
])  # fmt: skip
def test_what_is_no_reference_is_a_sentence(content: bytes, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_reference(content, "own.csv", FOUND)


def test_the_cohort_is_the_reference_without_a_table() -> None:
    assert "1 networks" in of_cohort(FOUND).sentence and "0 of 3" in of_cohort(FOUND).sentence
    assert "neither networks nor coordinates" in of_cohort(NUMBERED).sentence
