"""regions.csv: read, written, and refused where it makes no sense."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cohort_maker import table_cohort

from workbench.errors import CohortError
from workbench.imaging.region_table import RegionTable, read_region_table, region_table_of, write_region_table


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    places = np.array([[1.5, -2, 3], [np.nan, np.nan, np.nan]], np.float32)
    table = RegionTable(("a, left", "b"), places, ("default", ""))
    write_region_table(tmp_path / "regions.csv", table)
    found = read_region_table(tmp_path / "regions.csv")
    np.testing.assert_array_equal(found.coordinates_mm, places)
    assert (found.regions, found.networks) == (table.regions, table.networks)
    assert found.has_networks and not found.has_coordinates
    assert found.only(("b",)).regions == ("b",)


def test_a_cohort_has_the_table_beside_it_or_none(tmp_path: Path) -> None:
    cohort = table_cohort(tmp_path / "c", [{"name": "a"}])
    assert region_table_of(cohort) is None
    (tmp_path / "c" / "regions.csv").write_text("region\nx\ny\n")
    found = region_table_of(cohort)
    assert found is not None and found.regions == ("x", "y") and np.isnan(found.coordinates_mm).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,x\na,1\n", "expected to have the columns region"),
        ("region,x,y,z\n", "0 rows"),
        ("region,x,y,z\na,1,2,3\na,1,2,3\n", "lists the region 'a' more than once"),
        ("region,x,y,z\na,left,2,3\n", "x = 'left' for the region a"),
        ("region,x,y,z\na,1,2,1e9\n", "z = '1e9' for the region a"),
    ],
)
def test_tables_that_make_no_sense_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "regions.csv").write_text(text)
    with pytest.raises(CohortError, match=message):
        read_region_table(tmp_path / "regions.csv")
