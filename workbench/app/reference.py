"""The reference that names networks: the cohort's regions.csv, or a table of the user."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from workbench.app.messages import guard, plain
from workbench.errors import SettingsError
from workbench.figures.edges import Regions

NAME_COLUMNS = ("region", "name", "label", "roi")
NETWORK_COLUMNS = ("network", "networks", "system", "community")
AXES = ("x", "y", "z")
MOST_BYTES = 5_000_000


class Reference(NamedTuple):
    """Networks and places of a run's regions.

    Attributes:
        networks: (R,), "" where unknown.
        coordinates_mm: (R, 3), NaN where unknown.
        sentence: where they come from.
        voxel_mm: edge of the cubes where the regions are voxels.
    """

    networks: tuple[str, ...]
    coordinates_mm: np.ndarray
    sentence: str
    voxel_mm: float | None = None

    def regions(self, names: tuple[str, ...]) -> Regions:
        """Give the regions as figures take them."""
        return Regions(names, self.coordinates_mm, self.networks, self.voxel_mm)


def reference(run_id: str, found: Any) -> Reference:
    """Give the reference of a run: the table that was uploaded for it, else what its cohort's regions.csv says."""
    kept = st.session_state.get(f"reference-{run_id}")
    return kept if kept is not None else of_cohort(found)


def of_cohort(found: Any) -> Reference:
    """Give what the run knows of its regions."""
    named = len({n for n in found.networks if n})
    n_placed = int(np.isfinite(found.coordinates_mm).all(1).sum())
    words = f"{named} networks" if named else "no networks"
    what = "regions" if found.voxel_mm is None else "voxels"
    placed = f"all {what} have" if n_placed == len(found.regions) else f"{n_placed} of {len(found.regions)} {what} have"
    return Reference(
        found.networks, found.coordinates_mm, f"The cohort's regions.csv: {words}; {placed} coordinates."
        if named or n_placed else "The cohort brings neither networks nor coordinates of its regions.",
        found.voxel_mm,
    )  # fmt: skip


def reference_form(run_id: str, found: Any) -> None:
    """Show the button that opens to an upload of one's own reference."""
    with st.popover("Reference networks", icon=":material/label:"):
        st.markdown(
            "A table with a row a region: a column **region** with the names of this run, **network**, and **x, y, z** "
            "in mm (MNI) where you have them. CSV or TSV."
        )
        st.code(
            ", ".join(found.regions[:3]) + (", …" if len(found.regions) > 3 else ""), language=None, wrap_lines=True
        )
        file = st.file_uploader("Table of regions", type=["csv", "tsv", "txt"], key=f"reference-file-{run_id}")
        key = f"reference-{run_id}"
        if file is not None:
            with guard("read this table"):
                st.session_state[key] = read_reference(file.getvalue(), file.name, found)
        if key in st.session_state:  # kept while other tabs are open, where the uploader forgets its file
            st.success(plain(st.session_state[key].sentence), icon=":material/check_circle:")
            if file is None and st.button("Forget this table", icon=":material/undo:", key=f"forget-{run_id}"):
                del st.session_state[key]


def read_reference(content: bytes, name: str, found: Any) -> Reference:
    """Read a user's table of regions for the regions of a run.

    Regions are found by name; a table without any known name but with a row for each is taken in order where the run
    only numbers its regions.

    Args:
        content: of the file.
        name: of the file.
        found: the run's networks, whose ``regions``, ``networks`` and ``coordinates_mm`` hold where the table is
            silent.

    Raises:
        SettingsError: no table, no column that helps, or other regions.
    """
    table = _table(content, name)
    region = next((c for c in NAME_COLUMNS if c in table), None)
    network = next((c for c in NETWORK_COLUMNS if c in table), None)
    has_places = set(AXES) <= set(table.columns)
    if network is None and not has_places:
        raise SettingsError(
            f"{name} needs a column network, or columns x, y, z; it has {', '.join(table.columns[:8]) or 'none'}."
        )
    at = _rows(table, region, found.regions, name)
    networks, places = list(found.networks), np.array(found.coordinates_mm, float)
    for i, row in at.items():
        if network is not None:
            networks[i] = table[network].iloc[row].strip()
        if has_places:
            places[i] = pd.to_numeric(table.loc[table.index[row], list(AXES)], errors="coerce").to_numpy(float)
    n, named = len(found.regions), len({v for v in networks if v})
    left = "" if len(at) == n else f"; the others keep what they had, the first being {_first_left(at, found.regions)}"
    return Reference(
        tuple(networks), places, f"{name}: {len(at)} of {n} regions found, {named} networks"
        + (" and coordinates" if has_places else "") + f"{left}.",
    )  # fmt: skip


def _table(content: bytes, name: str) -> pd.DataFrame:
    if len(content) > MOST_BYTES:
        raise SettingsError(f"{name} has {len(content) / 1e6:.0f} MB; a table of regions has a few kB.")
    try:
        text = content.decode("utf-8-sig")
        head = text.split("\n", 1)[0]
        table = pd.read_csv(io.StringIO(text), sep=max(",\t;", key=head.count), dtype=str, keep_default_na=False)
    except (UnicodeDecodeError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise SettingsError(f"{name} is no table: {str(error)[:120]}. Save it as CSV with a header.") from error
    return table.rename(columns=lambda c: str(c).strip().lower())


def _rows(table: pd.DataFrame, region: str | None, regions: tuple[str, ...], name: str) -> dict[int, int]:
    """Give the row of each region that the table knows: place in the run → row."""
    row_of = {} if region is None else {r.strip().lower(): i for i, r in enumerate(table[region])}
    found = {i: row_of[r.lower()] for i, r in enumerate(regions) if r.lower() in row_of}
    if not found and len(table) == len(regions) and regions[0] == "region 1":
        return {i: i for i in range(len(regions))}
    if not found:
        shown = "" if region is None or not len(table) else f" It names {table[region].iloc[0]}, …"
        raise SettingsError(
            f"{name} knows none of the {len(regions)} regions of this run, which are called {regions[0]}, …{shown} "
            "Give their names in a column region."
        )
    return found


def _first_left(found: dict[int, int], regions: tuple[str, ...]) -> str:
    return next(r for i, r in enumerate(regions) if i not in found)
