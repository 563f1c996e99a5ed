"""The families of Section 2 as they are: Figures 1 to 3 from the live network, and a start for each on sample data."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.downloads import chart
from workbench.app.filter_views import coder, stack
from workbench.app.jobs import alarm
from workbench.app.live_curves import live_curves
from workbench.app.network_view import Chosen, network_view
from workbench.app.rows import as_rows, columns
from workbench.app.starter import STARTS, starter
from workbench.figures import convolution, filters, networks, strips
from workbench.figures.convolution_parts import ConvolutionParts
from workbench.figures.network_parts import NAMES, NetworkParts

DRAWN = ("network_parts", "convolution_parts", "encoder_decoder")
"""What a run can show that is drawn here."""
FIGURE = {"mlp": "1", "sae": "2a", "dbn": "2b", "dbm": "2c"}
DATA = {"sample-digits": "On the 1,797 digits of scikit-learn", "sample-brains": "On patches of synthetic brains"}
PINNED = "unit"


def network(run_id: str) -> None:
    """Draw a run's network so that a unit under the pointer shows what it answers to, and as a figure to keep."""
    alarm(run_id)
    if state.run_shows(run_id, "convolution_parts"):
        _convolution(run_id)
        return
    is_live = state.run_shows(run_id, "network_parts")
    if is_live:
        _units(run_id)
    if state.run_shows(run_id, "encoder_decoder"):
        coder(run_id) if is_live else stack(run_id)


def starts(*, expanded: bool) -> None:
    """Offer each family on sample data by one click."""
    with st.expander("Train a family on sample data", expanded=expanded, icon=":material/rocket_launch:"):
        st.markdown(
            "Each of these makes its sample data, trains in a minute or two on this machine, and opens here. Every "
            "setting of every family, on your own images and tables, is on the page **Train**."
        )
        family = [name for name in STARTS if name.startswith("family-")]
        for cohort in dict.fromkeys(STARTS[name].cohort for name in family):
            st.markdown(f"**{DATA.get(cohort, cohort)}**")
            with st.grid(3, min_column_width=260):
                for name in [n for n in family if STARTS[n].cohort == cohort]:
                    starter(name)
        titles = {STARTS[name].title for name in family}
        live = next((r for r in workflow.list_runs() if r.title in titles and r.status().is_live), None)
        if live is not None:
            live_curves(live.id)


def pinned(text: str, parts: Any) -> Chosen | None:
    """Read a kept unit, such as ``h1:3`` or ``conv1:0:2:5``; None if this network does not draw it.

    Args:
        text: layer, unit and, of a map, x and y.
        parts: the network as it is drawn.
    """
    name, *numbers = text.split(":")
    layer = next((la for la in parts.layers if la.name == name), None)
    if layer is None or not all(n.isdecimal() for n in numbers) or not numbers or int(numbers[0]) not in layer.shown:
        return None
    unit, *at = (int(n) for n in numbers)
    if isinstance(parts, NetworkParts):
        return None if at else Chosen(name, unit)
    if len(at) != 2 or any(not 0 <= p < n for p, n in zip(at, layer.maps.shape[1:], strict=True)):
        return None
    return Chosen(name, unit, (at[0], at[1]))


def written(chosen: Chosen) -> str:
    """Write a kept unit for the URL."""
    return ":".join(map(str, (chosen.layer, chosen.unit, *(chosen.at or ()))))


def _keep(chosen: Chosen) -> None:
    st.query_params[PINNED] = written(chosen)


def _units(run_id: str) -> None:
    parts = _network_parts(run_id, state.trained(run_id))
    figure = f" (the review's Figure {FIGURE[parts.kind]})" if parts.kind in FIGURE else ""
    st.markdown(
        f"**{NAMES[parts.kind]}** from the trained weights{figure}: the most used units of each layer and their "
        "strongest links."
    )
    st.caption(
        "Point at a unit to see its links and what it answers to; click to keep it. Arrow keys and Enter do too."
    )
    kept = pinned(st.query_params.get(PINNED, ""), parts)
    chosen = network_view(parts, key=f"network-{run_id}", chosen=kept, on_choose=_keep)
    if chosen is not None:
        _kept(run_id, parts, chosen)
    with st.expander("As a figure to download", icon=":material/image:"):
        chart(networks.network_diagram(parts, theme=state.theme()), f"network-{run_id}")


def _kept(run_id: str, parts: Any, chosen: Chosen) -> None:
    """Draw what a kept unit answers to, larger."""
    layer = next(la for la in parts.layers if la.name == chosen.layer)
    patterns = parts.receptive.get(chosen.layer)
    if patterns is None:
        st.caption(f"Kept: {layer.heading}, unit {chosen.unit}. It holds the data, so it answers to itself alone.")
        return
    at = list(layer.shown).index(chosen.unit)
    active = parts.activations.get(chosen.layer)
    use = "" if active is None else f", mean activation {active[at]:.3g} over held-out examples"
    st.markdown(f"**Kept: {layer.heading}, unit {chosen.unit}**{use}. What it answers to:")
    weights = np.asarray(patterns[at])
    row = weights[None] if weights.ndim == 1 else as_rows(weights[None])
    if row is not None:
        fig = strips.weight_strips(_at(row[0], chosen.unit), columns(run_id), units=[chosen.unit], theme=state.theme())
    else:
        bank = _at(weights, chosen.unit)
        fig = filters.filter_tiles(bank, order=[chosen.unit], layout="orthogonal", theme=state.theme())
    chart(fig, f"unit-{run_id}-{chosen.layer}-{chosen.unit}")


def _at(weights: np.ndarray, unit: int) -> np.ndarray:
    """Put one unit's pattern at its own number, so that the figure names it rightly."""
    bank = np.zeros((unit + 1, *weights.shape), weights.dtype)
    bank[unit] = weights
    return bank


def _convolution(run_id: str) -> None:
    n_examples = len(workflow.open_run(run_id).load_arrays("patches")["patches"])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        example = int(
            st.number_input("Held-out example", 1, n_examples, 1, key=f"families-example-{run_id}", width=180)
        )
    parts = _convolution_parts(run_id, example - 1, state.trained(run_id))
    st.markdown("**Convolutional network** on this example (the review's Figure 3).")
    st.caption(
        "Point at a place on a map to see its local receptive field: what it depends on, on every map below and on the "
        "input. Click to keep it. All units of a map share one kernel, drawn beneath the maps."
    )
    kept = pinned(st.query_params.get(PINNED, ""), parts)
    chosen = network_view(parts, key=f"convolution-{run_id}", chosen=kept, on_choose=_keep)
    if chosen is not None and chosen.at is not None:
        st.markdown(_sees(parts, chosen))
    with st.expander("As a figure to download", icon=":material/image:"):
        chart(convolution.convolution_diagram(parts, _position(parts, chosen), theme=state.theme()),
              f"convolution-{run_id}")  # fmt: skip


def _sees(parts: Any, chosen: Chosen) -> str:
    layer = next(la for la in parts.layers if la.name == chosen.layer)
    assert chosen.at is not None
    value = float(layer.maps[list(layer.shown).index(chosen.unit)][chosen.at])
    spread = layer.maps[0].size > 1
    place = f"map {chosen.unit} at {chosen.at[0]}, {chosen.at[1]}" if spread else f"unit {chosen.unit}"
    size = " × ".join(map(str, layer.size))
    return f"**Kept: {layer.name}, {place}**: activation {value:.3g}, sees {size} of the input."


def _position(parts: ConvolutionParts, chosen: Chosen | None) -> tuple[int, int, int] | None:
    if chosen is None or chosen.at is None:
        return None
    return [la.name for la in parts.layers].index(chosen.layer), *chosen.at


@st.cache_resource(max_entries=6, show_spinner="Reading the network")
def _network_parts(run_id: str, version: str) -> Any:
    return workflow.network_parts(run_id)


@st.cache_resource(max_entries=12, show_spinner="Passing the example through")
def _convolution_parts(run_id: str, example: int, version: str) -> Any:
    return workflow.convolution_parts(run_id, example)
