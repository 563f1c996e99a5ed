"""How well a generative model is known to fit: log p by every estimate, the gap in free energy, codes under noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.downloads import chart
from workbench.app.messages import plain
from workbench.figures import experiments
from workbench.figures import likelihood as figures

COMPARED = ("dbn", "dbm")
"""Whose posteriors the review compares; the newest run of each is chosen at first."""
Z95 = 1.96


def likelihood(run_id: str) -> None:
    """Estimate log p of training and held-out examples, and draw every estimate beside the others."""
    st.caption(
        "In nats an example. Annealing forward finds log Z too small on average, so it makes the likelihood too large; "
        "annealing backward errs the other way. Where the two disagree, believe neither. The reconstruction error is "
        "never called a likelihood here: it says how well one Gibbs step gives back its input, not how likely it is."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        n_betas = int(
            st.select_slider("Temperatures", [500, 1000, 4000, 14_500], 1000, key="families-betas", width=250)
        )
        n_chains = int(st.select_slider("Annealing chains", [50, 100, 200], 100, key="families-chains", width=200))
        asked = st.button("Estimate", type="primary", icon=":material/functions:", key="families-estimate")
    made: dict[Any, Any] = st.session_state.setdefault("families-estimated", {})
    of = (run_id, n_betas, n_chains, state.trained(run_id))
    if asked:
        made[of] = _estimate(run_id, n_betas, n_chains)
    if of in made:
        _draw(run_id, made[of])
    gap(run_id)


def gap(run_id: str) -> None:
    """Draw the free energy of training and held-out examples over the training, where it was watched."""
    st.subheader("Free-energy gap", anchor=False)
    logged = workflow.open_run(run_id).metrics()
    stages = list(dict.fromkeys(logged[logged["name"] == "free_energy_gap"]["stage"]))
    if not stages:
        st.caption(
            "The gap is watched while one RBM is trained and the split has validation subjects. This run has none; "
            "give some subjects to validation on the page Data and train again."
        )
        return
    stage = stages[-1]
    if len(stages) > 1:
        stage = str(st.segmented_control("Stage", stages, default=stages[0], required=True, key=f"gap-stage-{run_id}"))
    table = gap_table(logged, stage)
    st.markdown(gap_sentence(table))
    fig = figures.free_energy_gap(
        table["step"].tolist(), table["training"].tolist(), table["held_out"].tolist(), theme=state.theme()
    )
    chart(fig, f"free-energy-gap-{run_id}", table=table)


def gap_table(logged: pd.DataFrame, stage: str) -> pd.DataFrame:
    """Give step, training, held_out and gap of one stage from what a run has logged.

    Args:
        logged: columns stage, step, name and value.
        stage: which one.
    """
    own = logged[logged["stage"] == stage]
    wide = own.pivot_table(index="step", columns="name", values="value", aggfunc="last")
    wide = wide[["val_free_energy", "free_energy_gap"]].dropna()
    return pd.DataFrame(
        {
            "step": wide.index.to_numpy(),
            "training": (wide["val_free_energy"] - wide["free_energy_gap"]).to_numpy(),
            "held_out": wide["val_free_energy"].to_numpy(),
            "gap": wide["free_energy_gap"].to_numpy(),
        }
    )


def gap_sentence(table: pd.DataFrame) -> str:
    """Say what a curve of the gap means, and what this one does."""
    first, last = (round(float(table["gap"].iloc[at]), 2) + 0.0 for at in (0, -1))
    return (
        "Mean free energy of held-out examples minus that of as many training examples. log Z cancels in it, so it is "
        "exact: while it stays level the model fits both alike, and when it grows the model fits its training examples "
        f"at the cost of others. Here it went from {first:.2f} to {last:.2f} nats."
    )


def noise(runs: dict[str, str]) -> None:
    """Draw how far posteriors move as noise grows, of several runs on the same data side by side."""
    st.caption(
        "The review says that a deep Boltzmann machine bears ambiguous input better than a deep belief network, since "
        "its inference goes both ways. Here noise grows over held-out examples; 1 means that a code has moved as far "
        "as the codes of two different examples lie apart. One training of each says nothing of how trainings differ: "
        "the notebook of Section 2.3.3 repeats it over seeds."
    )
    chosen = st.multiselect("Runs", list(runs), first_pair(runs), format_func=runs.__getitem__, key="families-noise",
                            max_selections=8)  # fmt: skip
    if not chosen:
        return
    opened = [workflow.open_run(run_id) for run_id in chosen]
    found = [_noise_curve(run_id, state.trained(run_id)) for run_id in chosen]
    if len({curve.unit for curve in found}) > 1:
        st.warning(
            "These runs scale their input differently, so the same amount of noise is not the same for them. Choose "
            "runs with the same scaling.", icon=":material/warning:",
        )  # fmt: skip
        return
    if len({(r.info.cohort, r.info.split_hash) for r in opened}) > 1:
        st.warning("These runs do not hold out the same examples: compare them with care.", icon=":material/warning:")
    table = noise_table(dict(zip(_names(found, chosen), found, strict=True)))
    fig = experiments.noise_robustness(
        table, title="change of the code, relative", noise=found[0].unit,
        theme=state.theme(),
    )  # fmt: skip
    chart(fig, "noise", table=table)
    st.caption(f"Mean over {found[0].change.shape[1]} held-out examples; the bands are 95 % intervals of that mean.")


def noise_table(curves: dict[str, Any]) -> pd.DataFrame:
    """Give columns variant, noise, mean, low, high: the mean change over examples with its 95 % interval.

    Args:
        curves: name → a curve with ``levels`` (n,) and ``change`` (n, n_examples).
    """
    rows = []
    for name, curve in curves.items():
        mean = curve.change.mean(1)
        half = Z95 * curve.change.std(1, ddof=1) / np.sqrt(curve.change.shape[1])
        table = {"noise": curve.levels, "mean": mean, "low": mean - half, "high": mean + half}
        rows.append(pd.DataFrame(table).assign(variant=name))
    return pd.concat(rows, ignore_index=True)[["variant", "noise", "mean", "low", "high"]]


def first_pair(runs: dict[str, str]) -> list[str]:
    """Give the newest belief network and the newest Boltzmann machine on the same cohort, or the newest two runs."""
    infos = {run_id: workflow.open_run(run_id).info for run_id in runs}
    for cohort in dict.fromkeys(info.cohort for info in infos.values()):
        on_it = {
            system: next((i for i, o in infos.items() if o.cohort == cohort and o.system == system), "")
            for system in COMPARED
        }
        if all(on_it.values()):
            return list(on_it.values())
    return list(runs)[:1]


def _estimate(run_id: str, n_betas: int, n_chains: int) -> Any:
    """Estimate with a bar that moves; the run keeps log Z, so that the next time is quick."""
    bar = st.progress(0.0, text="Annealing")

    def moved(done: float, words: str) -> None:
        bar.progress(min(1.0, max(0.0, done)), text=plain(words))

    found = workflow.likelihood(run_id, n_betas=n_betas, n_chains=n_chains, progress=moved)
    bar.empty()
    return found


def _draw(run_id: str, found: Any) -> None:
    table = pd.DataFrame(found.rows)
    with st.grid(4, min_column_width=190):
        for part in ("held-out", "training"):
            own = table[table["part"] == part]
            st.metric(
                f"{own['quantity'].iloc[0]}, {part}", f"{own['value'].iloc[0]:.2f} nats",
                f"{own['low'].iloc[0]:.2f} to {own['high'].iloc[0]:.2f}, by {own['kind'].iloc[0]} log Z",
                delta_color="off", delta_arrow="off", border=True,
            )  # fmt: skip
        kind = next(k for k in ("exact", "forward") if k in found.log_z)
        st.metric(f"log Z, {kind}", f"{found.log_z[kind]:.3f} nats", border=True)
        if "gap" in found.log_z:
            st.metric("log Z, reverse − forward", f"{found.log_z['gap']:+.3f} nats", border=True)
    bound = table["quantity"].str.startswith("bound").any()
    st.markdown(found.note + (" A bound: the true log p may be higher, never lower." if bound else ""))
    drawn = table.assign(model=table["part"] + " examples")[["model", "kind", "value", "low", "high"]]
    fig = figures.likelihood_whisker(drawn, quantity=f"{table['quantity'].iloc[0]}, nats", theme=state.theme())
    chart(fig, f"likelihood-{run_id}", table=table)
    st.caption("Whiskers are 95 % intervals over the examples, and where log Z is estimated over its chains too.")


def _names(found: list[Any], run_ids: list[str]) -> list[str]:
    names = [curve.name for curve in found]
    return [f"{name} ({i[-4:]})" if names.count(name) > 1 else name for name, i in zip(names, run_ids, strict=True)]


@st.cache_resource(max_entries=24, show_spinner="Adding noise")
def _noise_curve(run_id: str, version: str) -> Any:
    return workflow.noise_curves([run_id])[0]
