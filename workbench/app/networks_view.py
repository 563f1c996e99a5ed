"""Networks of regions that a run has learnt: Figure 10, and one network as matrix, brain and list (Section 3.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from workbench import workflow
from workbench.app import regional_reads, state
from workbench.app.connectome_view import connectome_view
from workbench.app.downloads import Bytes, chart, save
from workbench.app.messages import guard, plain
from workbench.app.network_words import functional_units, no_pure_unit, unit_table, weight_csv
from workbench.app.reference import Reference, reference, reference_form
from workbench.app.voxel_maps_view import no_matrix, voxel_maps_view
from workbench.figures.connectivity_matrix import connectivity_matrix
from workbench.figures.connectome import connectome
from workbench.figures.functional_networks import functional_networks
from workbench.figures.glass_brain import glass_brain
from workbench.figures.state_patterns import brain_panels
from workbench.figures.strips import weight_strips

FEWEST, MOST, USUAL = 8, 14, 12
"""Regions that stand for a unit, as in Figure 10."""
N_PANELS, N_STRIPS = 6, 16
KINDS = {"unit": "One unit", "mean": "Mean of all subjects", "subject": "One subject"}
DRAWINGS = {"3d": "3-D connectome", "flat": "Glass brain", "matrix": "Matrix"}
SHARE, VALUE = "Strongest share", "Least |value|"


def networks_view(run_id: str) -> None:
    """Draw Figure 10 of a run, and below it one of its networks, linked."""
    found = regional_reads.networks(run_id)
    if found.voxel_mm is not None:
        voxel_maps_view(run_id, found)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width="stretch"):
            st.markdown(f"**{len(found.titles)} units over {len(found.regions)} regions**: the {plain(found.of_what)}.")
        reference_form(run_id, found)
    known = reference(run_id, found)
    st.caption(plain(" ".join([known.sentence, regional_reads.left_out(run_id)])))
    top = _figure_10(run_id, found, known)
    if found.connectivity is None:
        st.info(no_matrix(len(found.regions)), icon=":material/info:")
        return
    st.subheader("One network, linked", anchor=False)
    st.fragment(_one_network)(run_id, found, known, top)


def brief(name: str, most: int = 10) -> str:
    """Leave out the middle of a long name: what tells regions apart stands at both ends."""
    return name if len(name) <= most else f"{name[: most - 5].strip()}…{name[-4:].strip()}"


def _figure_10(run_id: str, found: Any, known: Reference) -> int:
    """Draw Figure 10, or what comes nearest to it where networks or places are not known; give the regions a unit."""
    regions = known.regions(found.regions)
    top = min(USUAL, len(found.regions))
    if any(known.networks) and len(found.regions) > FEWEST:
        with st.container(horizontal=True):
            top = st.slider("Regions a unit", FEWEST, min(MOST, len(found.regions)), top, key="fig10-top", width=220)
            pure = st.slider("One network from a purity of (%)", 30, 100, 60, 5, key="fig10-pure", width=260)
    overlap = regional_reads.overlap(run_id, top, known.networks)
    table = unit_table(found, overlap, top)
    if overlap is not None and regions.placed.any() and len(found.regions) > FEWEST:
        st.caption(
            "Figure 10 of the review. Purity: share of a unit's strongest regions that lie in one reference network; "
            "Dice: their overlap with all of it. The name is that of the largest overlap, however small."
        )
        if said := no_pure_unit(found, overlap, pure):
            st.markdown(said)
        short = known.regions(tuple(brief(name) for name in found.regions))
        fig = functional_networks(
            functional_units(found, overlap), short, n_regions=max(FEWEST, top), pure_from=pure / 100,
            theme=state.theme(),
        )  # fmt: skip
    else:
        fig = _without_reference(found, known)
    chart(fig, f"figure-10-{run_id}", table=table, files={"weights.csv": lambda: weight_csv(found)})
    with st.expander("All units as a table", icon=":material/table:"):
        st.dataframe(
            table, hide_index=True, alt="One row a unit, with its strongest regions",
            column_config={"purity": st.column_config.NumberColumn(format="percent"),
                           "dice": st.column_config.NumberColumn("Dice", format="%.2f")},
        )  # fmt: skip
    return top


def _without_reference(found: Any, known: Reference) -> Any:
    regions = known.regions(found.regions)
    size = np.linalg.norm(found.weights, axis=1)
    strongest = np.argsort(-size, kind="stable")
    if regions.placed.any():
        st.info(
            "No reference says which network a region belongs to, so units cannot be named or sorted into pure and "
            "mixed. Give one under *Reference networks*. Drawn are the units with the largest weights.",
            icon=":material/info:",
        )
        chosen = strongest[:N_PANELS]
        titles = [found.titles[i] for i in chosen]
        return brain_panels(
            found.weights[chosen], regions, (titles, min(3, len(chosen))), quantity=found.of_what, theme=state.theme()
        )
    st.info(
        "These regions have no coordinates, so no brain can be drawn: bring a regions.csv with x, y, z in mm, or give "
        "them under *Reference networks*. Drawn are the units with the largest weights, a region a column.",
        icon=":material/info:",
    )
    rows = np.sort(strongest[:N_STRIPS])
    fig = weight_strips(found.weights, list(found.regions), units=rows.tolist(), theme=state.theme())
    return fig.update_yaxes(title="", ticktext=[found.titles[i] for i in rows])


def _one_network(run_id: str, found: Any, known: Reference, top: int) -> None:
    with guard("draw this network"):
        _choose_and_draw(run_id, found, known, top)


def _choose_and_draw(run_id: str, found: Any, known: Reference, top: int) -> None:
    regions = known.regions(found.regions)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = state.choose("Connections of", list(KINDS), "of", format_func=KINDS.__getitem__, width=220)
        matrix, name, quantity, unit = _matrix(run_id, found, known, top, kind)
    st.caption(_told(found, kind))
    connectome_view(matrix, regions, key=f"connectome-{run_id}", quantity=quantity)
    if not regions.placed.all():
        n = int((~regions.placed).sum())
        st.caption(
            f"{n} of {len(regions.names)} regions have no coordinates and are not in the brain; x, y, z in mm can be "
            "given under *Reference networks*."
        )
    _keep(run_id, found, known, (matrix, name, quantity, unit))


def _matrix(
    run_id: str, found: Any, known: Reference, top: int, kind: str
) -> tuple[np.ndarray, str, str, int | None]:  # fmt: skip
    """Ask which network, and give its matrix, name, quantity and unit."""
    if kind == "mean":
        return found.connectivity, "mean", "r", None
    if kind == "subject":
        cohort = regional_reads.cohort_of(run_id)
        names = [s.name for s in cohort if s.series is not None] if cohort is not None else []
        if not names:
            st.caption("The cohort of this run is no longer there; the mean is shown.")
            return found.connectivity, "mean", "r", None
        subject = state.choose("Subject", names, "who", width=260)
        return regional_reads.subject_matrix(run_id, subject, found.regions), subject, "r", None
    overlap = regional_reads.overlap(run_id, top, known.networks)
    order = range(len(found.titles)) if overlap is None else np.lexsort((-overlap.dice.max(1), -overlap.purity))
    options = [str(i + 1) for i in order]
    unit = int(state.choose("Unit", options, "unit", format_func=lambda o: _unit_name(found, overlap, int(o) - 1),
                            width=340)) - 1  # fmt: skip
    return relative(found.matrix(unit)), found.titles[unit], "share of the largest", unit


def relative(matrix: np.ndarray) -> np.ndarray:
    """Give a matrix divided by its largest absolute value: weights of units have no scale that compares."""
    return matrix / (float(np.nanmax(np.abs(matrix), initial=0.0)) or 1.0)


def _unit_name(found: Any, overlap: Any | None, unit: int) -> str:
    if overlap is None:
        return str(found.titles[unit])
    return f"{found.titles[unit]} · {overlap.names[overlap.best[unit]]} ({overlap.purity[unit]:.0%})"


def _told(found: Any, kind: str) -> str:
    if kind == "unit":
        what = (
            "A cell is the unit's weight onto the pair of regions"
            if found.matrices is not None
            else "A cell is the product of the weights onto two regions: what a unit pulls the same way goes together"
        ) + ", as a share of the unit's largest, in the files too."
    elif kind == "mean":
        what = "A cell is Pearson's correlation, averaged as Fisher's z over the subjects that were learnt from."
    else:
        what = "A cell is Pearson's correlation of the subject's own signals, as they are in the cohort."
    return f"{plain(what)} Click a cell, an edge, a region or a network: it is marked everywhere."


def _keep(run_id: str, found: Any, known: Reference, network: tuple[np.ndarray, str, str, int | None]) -> None:
    """Offer the network as files and as figures, with the threshold that both take."""
    matrix, name, quantity, unit = network
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = st.segmented_control(
            "Connections kept in files and figures", [SHARE, VALUE], default=SHARE, required=True, key="network-by"
        )
        density, value = None, None
        if by == VALUE:
            value = float(
                st.number_input(f"|{quantity}| at least", 0.0, 1.0, 0.5, 0.05, key="network-value", width=170)
            )
        else:
            density = st.number_input("Share (%)", 0.1, 100.0, 5.0, 1.0, key="network-share", width=150) / 100
        drawn = st.segmented_control(
            "As a figure", list(DRAWINGS), key="network-drawn", format_func=DRAWINGS.__getitem__
        )  # fmt: skip
        files = _files(run_id, found, known, (matrix, name, unit), density, value)
        save(f"network-{run_id}-{name}".replace(" ", "-"), files=files)
    if unit is not None and not regional_reads.has_atlas(run_id):
        st.caption("The run's cohort has no label atlas, so a unit has no NIfTI map; the tables hold its regions.")
    if drawn is not None:
        how = {"quantity": quantity, "density": density, "value": value, "theme": state.theme()}
        draw: Any = {"3d": connectome, "flat": glass_brain, "matrix": connectivity_matrix}[drawn]
        regions = known.regions(found.regions)
        if drawn != "matrix" and not regions.placed.any():
            st.info("These regions have no coordinates, so no brain can be drawn.", icon=":material/info:")
        else:
            chart(draw(matrix, regions, **how), f"{DRAWINGS[drawn]}-{run_id}-{name}")


def _files(
    run_id: str, found: Any, known: Reference, network: tuple[np.ndarray, str, int | None], density: float | None,
    value: float | None,
) -> dict[str, Bytes]:  # fmt: skip
    """Give what makes each file when it is asked for."""
    matrix, name, unit = network
    stem = name.replace(" ", "-")

    def made(file: str) -> Bytes:
        def make() -> bytes:
            files = workflow.graph_exports(
                np.nan_to_num(matrix), found.regions, known.coordinates_mm, known.networks, density=density, value=value
            )
            return files[file].encode()

        return make

    files = {f"{stem}-{f}": made(f) for f in ("edges.csv", "matrix.csv", "network.graphml", "regions.csv")}
    if unit is not None and regional_reads.has_atlas(run_id):
        files[f"{stem}.nii.gz"] = lambda: workflow.network_map(run_id, unit)
    return files
