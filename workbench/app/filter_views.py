"""What a trained network shows of itself: its units, its stack, its reconstructions."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from workbench.app import state
from workbench.app.downloads import chart
from workbench.app.unit_order import order
from workbench.figures import diagrams, filters, mosaic, patches

CUBES: dict[str, mosaic.Layout] = {"Slices": "slices", "Three planes": "orthogonal", "Middle": "middle"}
SQUARES: dict[str, mosaic.Layout] = {"Tiles": "middle"}


def gallery(run_id: str, bank: Any, by: str, kind: str, n: int) -> None:
    """Draw units of one layer as pictures of their weights, and how much all units are used."""
    layouts = CUBES if bank.weights.ndim == 5 else SQUARES
    last = list(layouts)[-1]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layout = st.segmented_control("Show each as", list(layouts), default=last, required=True, key="filters-layout")
        shared = st.toggle("One colour scale for all", key="filters-scale")
    st.caption(describe(bank))
    table = pd.DataFrame({"mean_activation": bank.mean_activation, "dead": bank.dead, "norm": bank.norms})
    table = table.rename_axis("unit").reset_index()
    units = order(bank, by, kind, n)
    name = f"{run_id}-layer-{bank.depth}"
    if len(units):
        fig = filters.filter_tiles(
            bank.weights, mean_activation=bank.mean_activation, dead=bank.dead, order=units.tolist(),
            layout=layouts[layout or last], scale="shared" if shared else "each", theme=state.theme(),
        )  # fmt: skip
        chart(fig, f"filters-{name}", table=table)
    else:
        st.info(f"No unit of this layer is {kind.lower()}.", icon=":material/info:")
    fig = filters.activation_histogram(bank.mean_activation, bank.sparsity_target, theme=state.theme())
    chart(fig, f"use-{name}", table=table)


def describe(bank: Any) -> str:
    """Say how many units a layer has, how many are dead, and what is drawn of them."""
    linear = "the linear product of the layers' weights, back to the input"
    how = linear if bank.is_back_projection else "weights from the input voxels"
    size = f"voxels of {bank.spacing_mm:g} mm" if bank.spacing_mm else "voxels as they are stored"
    dead = int(bank.dead.sum())
    return f"{len(bank.dead)} units, {dead} dead (mean activation below 0.001). Drawn: {how}, {size}."


def stack(run_id: str) -> None:
    """Draw the encoder and decoder, and the stack with its weights as links."""
    parts = state.encoder_decoder(run_id)
    st.markdown("**Encoder and decoder** with patches, a reconstruction and learned weights (the review's Figure 4)")
    chart(diagrams.encoder_decoder(parts, theme=state.theme()), f"figure-4-{run_id}")
    st.markdown("**The stack**, links drawn from the trained weights (the review's Figure 2a)")
    chart(diagrams.stack_diagram(parts.sizes, parts.weights, theme=state.theme()), f"figure-2a-{run_id}")


def rebuilt(run_id: str) -> None:
    """Draw held-out patches beside what the network makes of them."""
    found = state.reconstructions(run_id)
    scores = " · ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in found.scores.items())
    st.caption(f"{scores}, held-out patches")
    fig = patches.reconstruction_pairs(found.patches, found.rebuilt, theme=state.theme())
    chart(fig, f"reconstructions-{run_id}", table=pd.DataFrame([found.scores]))
