"""The families of Section 2 as they are: live networks, likelihoods in nats, posteriors under noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.downloads import chart
from workbench.app.network_view import network_view
from workbench.app.starter import STARTS, starter
from workbench.figures import convolution, diagrams, experiments, networks
from workbench.figures import likelihood as likelihood_figures

FAMILY_STARTS = tuple(name for name in STARTS if name.startswith("family-"))
LEVEL = 0.95


def network(run_id: str) -> None:
    """Draw a run's network so that a unit under the pointer shows what it answers to, and as a figure to keep."""
    if state.run_shows(run_id, "convolution_parts"):
        _convolution(run_id)
    elif state.run_shows(run_id, "network_parts"):
        parts = _network_parts(run_id, state.trained(run_id))
        st.caption(
            "The review's Figure 1 or 2, from the trained weights: the most used units of each layer and their "
            "strongest links. Point at a unit to see its links and what it answers to; click to keep it."
        )
        network_view(parts, key=f"network-{run_id}")
        with st.expander("As a figure to download", icon=":material/image:"):
            chart(networks.network_diagram(parts, theme=state.theme()), f"network-{run_id}")
    else:
        parts = state.encoder_decoder(run_id)
        st.caption("The review's Figure 2a, links drawn from the trained weights.")
        chart(diagrams.stack_diagram(parts.sizes, parts.weights, theme=state.theme()), f"figure-2a-{run_id}")


def starts(*, expanded: bool) -> None:
    """Offer each family on sample data by one click."""
    with st.expander("Train a family on sample data", expanded=expanded, icon=":material/rocket_launch:"):
        st.markdown(
            "Section 2 of the review: perceptrons, auto-encoders, restricted Boltzmann machines, belief networks, deep "
            "Boltzmann machines and convolutional networks. Each of these takes a minute or two; all settings are on "
            "the page *Train*."
        )
        for begin in range(0, len(FAMILY_STARTS), 2):
            for column, name in zip(st.columns(2), FAMILY_STARTS[begin : begin + 2], strict=False):
                with column:
                    starter(name)


def likelihood(run_id: str) -> None:
    """Estimate log p of training and held-out examples, and draw every estimate beside the others."""
    st.caption(
        "In nats an example. Forward annealing finds log Z too small on average and the likelihood too large, reverse "
        "annealing the other way round; where they disagree, believe neither. A reconstruction error is no likelihood "
        "and is not shown here."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        n_betas = int(
            st.select_slider("Temperatures", [500, 1000, 4000, 14_500], 1000, key="families-betas", width=250)
        )
        n_chains = int(st.select_slider("Annealing chains", [50, 100, 200], 100, key="families-chains", width=200))
        asked = st.button("Estimate", type="primary", icon=":material/functions:", key="families-estimate")
    place = ("families-estimated", run_id, n_betas, n_chains)
    if asked:
        st.session_state[place] = True  # type: ignore[index]
    if st.session_state.get(place):  # type: ignore[call-overload]
        _draw_likelihood(run_id, _likelihood(run_id, n_betas, n_chains, state.trained(run_id)))
    _gap(run_id)


def noise(runs: dict[str, str]) -> None:
    """Draw how far posteriors move as noise grows, of several runs side by side."""
    st.caption(
        "The review says that a deep Boltzmann machine bears ambiguous input better than a deep belief network, since "
        "its inference goes both ways. Here noise grows over held-out examples; 1 means that a code has moved as far "
        "as two different examples lie apart. One training of each shows nothing of their spread: the notebook of "
        "Section 2.3.3 repeats it over seeds."
    )
    chosen = st.multiselect("Runs", list(runs), list(runs)[:2], format_func=runs.__getitem__, key="families-noise")
    if not chosen:
        return
    found = [_noise_curve(run_id, state.trained(run_id)) for run_id in chosen]
    rows = []
    for curve in found:
        for level, change in zip(curve.levels, curve.change, strict=True):
            low, high = np.quantile(change, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            rows.append({"variant": curve.name, "noise": level, "mean": change.mean(), "low": low, "high": high})
    table = pd.DataFrame(rows)
    unit = found[0].unit
    if any(curve.unit != unit for curve in found):
        st.warning(
            "These runs scale their input differently, so their noise is not the same.", icon=":material/warning:"
        )
    fig = experiments.noise_robustness(
        table, title="change of the posterior, relative", noise=unit, theme=state.theme()
    )  # fmt: skip
    st.caption("Bands hold 95 % of the examples.")
    chart(fig, "noise", table=table)


def _convolution(run_id: str) -> None:
    example = int(st.number_input("Held-out example", 1, 64, 1, key="families-example", width=180)) - 1
    parts = _convolution_parts(run_id, example, state.trained(run_id))
    st.caption(
        "The review's Figure 3, from the live network: point at a unit of a map to see which part of every map below, "
        "and of the input, it depends on."
    )
    network_view(parts, key=f"convolution-{run_id}-{example}")
    with st.expander("As a figure to download", icon=":material/image:"):
        chart(convolution.convolution_diagram(parts, theme=state.theme()), f"convolution-{run_id}")


def _draw_likelihood(run_id: str, found: Any) -> None:
    table = pd.DataFrame(found.rows)
    for part in ("held-out", "training"):
        own = table[table["part"] == part].assign(model=part)
        if len(own):
            st.metric(
                f"{str(own['quantity'].iloc[0]).capitalize()}, {part} examples",
                f"{own['value'].iloc[0]:.2f} nats",
                f"95 % interval {own['low'].iloc[0]:.2f} to {own['high'].iloc[0]:.2f}, by {own['kind'].iloc[0]} log Z",
                delta_color="off", delta_arrow="off", border=True,
            )  # fmt: skip
    st.markdown(found.note)
    drawn = table.assign(model=table["part"] + " examples")[["model", "kind", "value", "low", "high"]]
    fig = likelihood_figures.likelihood_whisker(
        drawn, quantity=f"{table['quantity'].iloc[0]}, nats an example", theme=state.theme()
    )  # fmt: skip
    chart(fig, f"likelihood-{run_id}", table=table)


def _gap(run_id: str) -> None:
    """Draw the free energy of training and held-out examples over the training, where it was watched."""
    metrics = workflow.open_run(run_id).metrics()
    gap = metrics[metrics["name"] == "free_energy_gap"]
    if gap.empty:
        st.caption("The free-energy gap is watched when the split has validation subjects; this run had none.")
        return
    held_out = metrics[metrics["name"] == "val_free_energy"].set_index(["stage", "step"])["value"]
    last = gap["stage"].iloc[-1]
    own = gap[gap["stage"] == last].set_index(["stage", "step"])["value"]
    held_out = held_out.reindex(own.index)
    fig = likelihood_figures.free_energy_gap(
        [step for _, step in own.index], (held_out - own).tolist(), held_out.tolist(), theme=state.theme()
    )  # fmt: skip
    st.markdown(
        "**Free-energy gap.** It needs no log Z: a gap that grows between training and held-out is overfitting."
    )
    chart(fig, f"free-energy-gap-{run_id}", table=own.reset_index())


@st.cache_resource(max_entries=6, show_spinner="Reading the network")
def _network_parts(run_id: str, version: str) -> Any:
    return workflow.network_parts(run_id)


@st.cache_resource(max_entries=12, show_spinner="Passing the example through")
def _convolution_parts(run_id: str, example: int, version: str) -> Any:
    return workflow.convolution_parts(run_id, example)


@st.cache_resource(max_entries=12, show_spinner="Annealing in both directions")
def _likelihood(run_id: str, n_betas: int, n_chains: int, version: str) -> Any:
    return workflow.likelihood(run_id, n_betas=n_betas, n_chains=n_chains)


@st.cache_resource(max_entries=24, show_spinner="Adding noise")
def _noise_curve(run_id: str, version: str) -> Any:
    return workflow.noise_curves([run_id])[0]
