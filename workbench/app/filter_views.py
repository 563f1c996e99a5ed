"""What a trained network shows of itself: its units, its stack, its two blocks, its reconstructions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.downloads import chart
from workbench.app.rows import as_rows, columns, table
from workbench.app.unit_order import KINDS, ORDERS, order
from workbench.figures import blocks, diagrams, filters, mosaic, patches, strips

CUBES: dict[str, mosaic.Layout] = {"Slices": "slices", "Three planes": "orthogonal", "Middle": "middle"}
SQUARES: dict[str, mosaic.Layout] = {"Tiles": "middle"}
UNCODED = ("unit", "binary")
"""Scalings under which a Boltzmann machine stands on the data itself, without a Gaussian RBM between."""


def learned(run_id: str) -> None:
    """Choose a layer and which of its units are drawn, and draw them."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = state.filter_bank(run_id, 1).layers
        layers = {str(depth): name[:1].upper() + name[1:] for depth, name in enumerate(names, 1)}
        depth = int(state.choose("Layer", list(layers), "layer", format_func=lambda d: layers[d]))
        by = st.selectbox("Order", list(ORDERS), key="filters-order")
        kind = st.segmented_control("Units", KINDS, default="All", required=True, key="filters-kind")
        n = st.selectbox("At most", [36, 64, 100, 144, 256], index=1, key="filters-n", width=110)
    gallery(run_id, state.filter_bank(run_id, depth), by, kind or "All", n)


def gallery(run_id: str, bank: Any, by: str, kind: str, n: int) -> None:
    """Draw units of one layer as pictures of their weights, and how much all units are used."""
    rows = as_rows(bank.weights)
    layouts = CUBES if bank.weights.ndim == 5 else SQUARES
    last = list(layouts)[-1]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layout = last
        if len(layouts) > 1:
            key = "filters-layout"
            layout = st.segmented_control("Show each as", list(layouts), default=last, required=True, key=key) or last
        shared = st.toggle("One colour scale for all", key="filters-scale")
    st.caption(describe(bank))
    saved = pd.DataFrame({"mean_activation": bank.mean_activation, "dead": bank.dead, "norm": bank.norms})
    saved = saved.rename_axis("unit").reset_index()
    units = order(bank, by, kind, n)
    name = f"{run_id}-layer-{bank.depth}"
    if not len(units):
        st.info(f"No unit of this layer is {kind.lower()}.", icon=":material/info:")
    elif rows is not None:
        fig = strips.weight_strips(
            rows, columns(run_id), units=units.tolist(), scale="shared" if shared else "each", theme=state.theme()
        )
        weights = table(rows, columns(run_id), unit=range(len(rows)))
        chart(fig, f"filters-{name}", table=saved.merge(weights, on="unit"))
    else:
        fig = filters.filter_tiles(
            bank.weights, mean_activation=bank.mean_activation, dead=bank.dead, order=units.tolist(),
            layout=layouts.get(layout, layouts[last]), scale="shared" if shared else "each", theme=state.theme(),
        )  # fmt: skip
        chart(fig, f"filters-{name}", table=saved)
    fig = filters.activation_histogram(bank.mean_activation, bank.sparsity_target, theme=state.theme())
    chart(fig, f"use-{name}", table=saved)


def describe(bank: Any) -> str:
    """Say how many units a layer has, how many are dead, and what is drawn of them."""
    dead = int(bank.dead.sum())
    counted = f"{len(bank.dead)} units, {dead} dead (mean activation below 0.001)."
    if as_rows(bank.weights) is not None:
        how = "the linear product of the layers' weights, back to the columns" if bank.is_back_projection else "weights"
        return f"{counted} Drawn: {how}, a unit a row, a column of the table a column."
    deeper = "the linear product of the layers' weights, back to the input"
    if bank.layers[0].startswith("convolution"):
        deeper = "the gradient of a unit at the mean held-out example, cut to what it sees"
    how = bank.drawn or (deeper if bank.is_back_projection else "weights from the input voxels")
    size = f"voxels of {bank.spacing_mm:g} mm" if bank.spacing_mm else "voxels as they are stored"
    return f"{counted} Drawn: {how}, {size}."


def two_blocks(run_id: str) -> None:
    """Draw the first weights of each modality beneath those of the layer above (the review's Figure 9)."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        n = int(st.number_input("Units a block", 4, 48, 16, 4, key="filters-two-n", width=140))
        place = st.container()
    found = state.two_blocks(run_id, n)
    coded = workflow.open_run(run_id).info.settings.get("scaling") not in UNCODED
    names = ("Gaussian RBM", "first DBM layer") if coded else ("first layer", "second layer")
    st.markdown(f"**{names[0]}** below, **{names[1]}** above, the most used units first (the review's Figure 9)")
    if found[0].lower.ndim == 5:
        with place:
            plane = st.segmented_control(
                "Plane", list(blocks.AXES), default="axial", required=True, key="filters-two-plane"
            )
        parts = [
            blocks.PathwayFilters(
                f.name, _placed(f.lower, f.lower_units), _placed(f.upper, f.upper_units), f.lower_units, f.upper_units
            )
            for f in found
        ]
        fig = blocks.two_block_filters(parts, plane=plane or "axial", names=names, theme=state.theme())
        chart(fig, f"figure-9-{run_id}", table=_units(found))
        return
    for one in found:
        for name, weights, units in ((names[1], one.upper, one.upper_units), (names[0], one.lower, one.lower_units)):
            title = f"{one.name}: {name}" if len(found) > 1 else name
            _block(f"figure-9-{run_id}-{title}", title, weights, units, _part_of(run_id, one.name, weights))


def _block(key: str, title: str, weights: Any, units: list[int], names: list[str]) -> None:
    rows = as_rows(weights)
    if rows is not None:
        fig = strips.weight_strips(_placed(rows, units), names, units=units, title=title, theme=state.theme())
        chart(fig, key, table=table(rows, names, unit=units))
    else:
        st.markdown(f"**{title[:1].upper() + title[1:]}**")
        fig = filters.filter_tiles(_placed(weights, units), order=units, theme=state.theme())
        chart(fig, key, table=pd.DataFrame({"unit": units}))


def _placed(weights: np.ndarray, units: list[int]) -> np.ndarray:
    """Put the patterns of these units at their own numbers, so that figures name them rightly."""
    everything = np.zeros((max(units) + 1, *weights.shape[1:]), weights.dtype)
    everything[units] = weights
    return everything


def _part_of(run_id: str, name: str, weights: Any) -> list[str]:
    """Give the names of one table's columns, which are written ``table: column`` where there are several."""
    everything = columns(run_id)
    mine = [c for c in everything if c.startswith(f"{name}: ")] or everything
    return [c.removeprefix(f"{name}: ") for c in mine] if len(mine) == weights.shape[2] else []


def _units(found: list[Any]) -> pd.DataFrame:
    rows = [
        {"modality": f.name, "block": block, "place": i + 1, "unit": unit}
        for f in found
        for block, units in (("lower", f.lower_units), ("upper", f.upper_units))
        for i, unit in enumerate(units)
    ]
    return pd.DataFrame(rows)


def stack(run_id: str) -> None:
    """Draw the encoder and decoder, and the stack with its weights as links."""
    coder(run_id)
    parts = state.encoder_decoder(run_id)
    st.markdown("**The stack**, links drawn from the trained weights (the review's Figure 2a)")
    chart(diagrams.stack_diagram(parts.sizes, parts.weights, theme=state.theme()), f"figure-2a-{run_id}")


def coder(run_id: str) -> None:
    """Draw the encoder and decoder."""
    parts = state.encoder_decoder(run_id)
    st.markdown("**Encoder and decoder** with patches, a reconstruction and learned weights (the review's Figure 4)")
    chart(diagrams.encoder_decoder(parts, theme=state.theme()), f"figure-4-{run_id}")


def rebuilt(run_id: str) -> None:
    """Draw held-out examples beside what the network makes of them."""
    found = state.reconstructions(run_id)
    scores = " · ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in found.scores.items())
    st.caption(f"{scores}, held-out examples")
    rows = as_rows(found.patches)
    if rows is not None:
        again = as_rows(found.rebuilt)
        assert again is not None
        panels = [strips.Strips("input, an example a row", rows), strips.Strips("reconstruction", again)]
        fig = strips.value_strips(panels, columns(run_id), theme=state.theme())
        chart(fig, f"reconstructions-{run_id}", table=pd.DataFrame([found.scores]))
        return
    fig = patches.reconstruction_pairs(found.patches, found.rebuilt, theme=state.theme())
    chart(fig, f"reconstructions-{run_id}", table=pd.DataFrame([found.scores]))
