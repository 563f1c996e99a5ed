"""What a trained energy model dreams: chains step by step, samples of a class, one modality from the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.downloads import chart
from workbench.app.rows import as_rows, columns, table
from workbench.figures import chains, sampling, strips

FAR = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
STARTS = {"Held-out examples": "data", "Noise": "noise"}
N_COLUMNS, MOST_STEPS, MOST_STRIPS = 10, 200, 4
MEANS = "Drawn are the means of the visible units given the units above them."


def chains_view(run_id: str, labels: list[str]) -> None:
    """Draw Gibbs chains, one step after the other or far apart, with their free energy."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        start = st.segmented_control(
            "Start from", list(STARTS), default="Held-out examples", required=True, key="gen-start"
        )
        n_chains = int(st.number_input("Chains", 1, 16, 6, key="gen-chains", width=110))
        label = st.selectbox("Class held fixed", ["none", *labels], key="gen-label", width=170) if labels else "none"
        seed = _seed("gen-seed")
    steps = _steps()
    found = _generate(
        run_id, n_chains, steps, STARTS[start or "Noise"], "" if label == "none" else str(label), seed
    )  # fmt: skip
    shown = _last(found)
    st.caption(f"From {found.start}. {MEANS}")
    _draw_chains(run_id, shown, found)
    if found.free_energy.size and np.isfinite(found.free_energy).any():
        at = [found.steps.index(s) for s in shown["steps"]]
        fig = sampling.free_energy_traces(found.free_energy[:, at], shown["steps"], theme=state.theme())
        chart(fig, f"free-energy-{run_id}", table=_energies(found))
    else:
        st.caption("This machine has no free energy in closed form, so none is drawn.")


def classes_view(run_id: str, labels: list[str]) -> None:
    """Draw samples of each class, a row a class."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        n = int(st.number_input("Samples of each class", 1, 16, 8, key="gen-class-n", width=160))
        steps = st.select_slider("Gibbs steps", FAR[4:], 200, key="gen-class-steps", width=280)
        seed = _seed("gen-class-seed")
    wanted = labels
    if len(labels) > 10:
        wanted = st.multiselect("Classes", labels, labels[:10], key="gen-class-which") or labels[:1]
    found = {label: _generate(run_id, n, (int(steps),), "noise", label, seed).states[:, -1] for label in wanted}
    st.caption(f"The label units are held fixed and the chain runs from noise for {steps:,} steps. {MEANS}")
    samples, classes = np.concatenate(list(found.values())), [label for label in wanted for _ in range(n)]
    rows = as_rows(samples)
    if rows is None:
        fig = chains.sample_grid(samples, classes, theme=state.theme())
        chart(fig, f"classes-{run_id}", table=pd.DataFrame({"class": classes}))
        return
    panels = [strips.Strips(label, rows[i * n : (i + 1) * n]) for i, label in enumerate(wanted)]
    fig = strips.value_strips(panels, columns(run_id), reference=rows, theme=state.theme())
    chart(fig, f"classes-{run_id}", table=table(rows, columns(run_id), **{"class": classes}))


def clamp_view(run_id: str, parts: list[str]) -> None:
    """Hold one modality of held-out examples fixed, sample the other and lay the truth beside it."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        clamp = st.segmented_control("Hold fixed", parts, default=parts[0], required=True, key=f"gen-clamp-{run_id}")
        seed = _seed("gen-clamp-seed")
    found = _clamped(run_id, state.trained(run_id), clamp or parts[0], seed)
    with st.grid(3, min_column_width=180):
        st.metric(
            "Correlation with the truth", _number(found.correlation), border=True,
            help="Across held-out examples, averaged over the elements of the sampled part.",
        )  # fmt: skip
        st.metric(
            "Error, share of the mean's", _number(found.nmse), border=True,
            help="Squared error of the chain's mean, divided by that of always saying the training mean. Below 1 is "
            "better than that.",
        )  # fmt: skip
        st.metric("Held-out examples", found.n_examples, border=True)
    st.caption(
        f"{found.clamped} is held fixed and {found.sampled} runs from noise; the mean is over steps {found.steps[0]:,} "
        f"to {found.steps[1]:,} of one chain an example. {MEANS}"
    )
    if found.truth.ndim == 2:
        _draw_table(run_id, found)
    else:
        _draw_images(run_id, found)


def _steps() -> tuple[int, ...]:
    """Ask which steps are shown; the slider and its buttons are one value."""
    key = "gen-step"
    st.session_state.setdefault(key, N_COLUMNS - 1)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        how = st.segmented_control(
            "Steps", ["One by one", "Far apart"], default="One by one", required=True, key="gen-how"
        )
        if how == "Far apart":
            last = st.select_slider("Up to step", FAR[4:], 1000, key="gen-far", width=320)
            return tuple(s for s in FAR if s <= int(last))
        st.slider("Up to step", 0, MOST_STEPS, key=key, width=320)
        at_end = st.session_state[key] >= MOST_STEPS
        st.button(
            "Back to the start", icon=":material/first_page:", key="gen-first", on_click=_move, args=(-MOST_STEPS,)
        )
        st.button("One step back", icon=":material/chevron_left:", key="gen-back", on_click=_move, args=(-1,))
        st.button(
            "One more step", icon=":material/chevron_right:", key="gen-more", on_click=_move, args=(1,), disabled=at_end
        )
    return tuple(range(int(st.session_state[key]) + 1))


def _move(by: int) -> None:
    st.session_state["gen-step"] = int(np.clip(st.session_state["gen-step"] + by, 0, MOST_STEPS))


def _last(found: Any) -> dict[str, Any]:
    """Give the last columns that fit beside each other, and all where steps lie far apart."""
    n = len(found.steps) if found.steps[-1] >= len(found.steps) else N_COLUMNS
    return {"states": found.states[:, -n:], "steps": found.steps[-n:]}


def _draw_chains(run_id: str, shown: dict[str, Any], found: Any) -> None:
    names = [
        f"{found.labels[0]}, chain {i + 1}" if found.labels else f"chain {i + 1}" for i in range(len(found.states))
    ]
    rows = as_rows(shown["states"], 2)
    if rows is None:
        fig = chains.chain_grid(shown["states"], shown["steps"], chains=names, theme=state.theme())
        chart(fig, f"chains-{run_id}", table=_energies(found))
        return
    everything = rows.reshape(-1, rows.shape[-1])
    steps = [f"step {s:,}" for s in shown["steps"]]
    panels = [strips.Strips(name, chain, steps) for name, chain in list(zip(names, rows, strict=True))[:MOST_STRIPS]]
    if len(names) > MOST_STRIPS:
        st.caption(f"The first {MOST_STRIPS} chains are drawn; all are in the CSV table.")
    fig = strips.value_strips(panels, columns(run_id), reference=everything, theme=state.theme())
    kept = np.repeat(np.arange(1, len(names) + 1), rows.shape[1])
    saved = table(everything, columns(run_id), chain=kept, step=list(shown["steps"]) * len(names))
    chart(fig, f"chains-{run_id}", table=saved)


def _draw_images(run_id: str, found: Any) -> None:
    n = min(8, found.n_examples)
    truth, mean = f"{found.sampled}: truth", "mean of the chain"
    states = {f"step {s:,}": found.states[:n, i] for i, s in _kept_steps(found)}
    parts = {
        f"{found.clamped}: held fixed": found.held[:n], truth: found.truth[:n], mean: found.mean[:n], **states
    }  # fmt: skip
    names = [f"example {i + 1}" for i in range(n)]
    fig = sampling.sampled_images(parts, names, same=[truth, mean, *states], theme=state.theme())
    scores = pd.DataFrame([{"correlation": found.correlation, "error_share": found.nmse, "examples": found.n_examples}])
    chart(fig, f"sampled-{run_id}", table=scores)


def _draw_table(run_id: str, found: Any) -> None:
    names = [name.removeprefix(f"{found.sampled}: ") for name in found.columns]
    names = names or [f"column {i + 1}" for i in range(found.truth.shape[1])]
    scores = pd.DataFrame({"column": names, "correlation": found.by_element[0], "error_share": found.by_element[1]})
    example = st.selectbox(
        "Example",
        range(found.n_examples),
        key="gen-example",
        format_func=lambda i: f"held-out example {i + 1}",
        width=240,
    )
    fig = sampling.one_example(
        found.truth[example], found.mean[example], found.states[example], found.baseline, names, theme=state.theme()
    )
    chart(fig, f"one-example-{run_id}", table=scores)
    n = min(30, found.n_examples)
    panels = [
        strips.Strips(f"{found.sampled}, truth, an example a row", found.truth[:n]),
        strips.Strips(f"{found.sampled}, mean of the chain given {found.clamped}", found.mean[:n]),
    ]
    fig = strips.value_strips(panels, names, theme=state.theme())
    both = np.concatenate([found.truth, found.mean])
    kind = ["truth"] * found.n_examples + ["mean of the chain"] * found.n_examples
    saved = table(both, names, example=[*range(1, found.n_examples + 1)] * 2, kind=kind)
    chart(fig, f"sampled-{run_id}", table=saved, files={f"scores-{run_id}.csv": scores.to_csv(index=False).encode()})


def _kept_steps(found: Any) -> list[tuple[int, int]]:
    """Give four states spread over the chain: place and Gibbs step."""
    n = found.states.shape[1]
    first, last = found.steps
    places = [round(i * (n - 1) / 3) for i in range(4)]
    return [(place, first + (last - first) * place // max(1, n - 1)) for place in dict.fromkeys(places)]


def _energies(found: Any) -> pd.DataFrame:
    n_chains, n_steps = found.states.shape[:2]
    free = found.free_energy if found.free_energy.size else np.full((n_chains, n_steps), np.nan)
    rows = [
        {"chain": i + 1, "step": step, "free_energy_nats": free[i, j]}
        for i in range(n_chains)
        for j, step in enumerate(found.steps)
    ]
    return pd.DataFrame(rows)


def _number(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{value:.2f}"


def _seed(key: str) -> int:
    return int(st.number_input("Seed", 0, 2**31 - 1, 0, key=key, width=120))


def _generate(run_id: str, n_chains: int, steps: tuple[int, ...], start: str, label: str, seed: int) -> Any:
    return _chains(run_id, state.trained(run_id), n_chains, steps, start, label, seed)


@st.cache_resource(max_entries=40, show_spinner="Running the chains")
def _chains(
    run_id: str, version: str, n_chains: int, steps: tuple[int, ...], start: str, label: str, seed: int
) -> Any:  # fmt: skip
    return workflow.generate(run_id, n_chains=n_chains, steps=steps, start=start, label=label, seed=seed)


@st.cache_resource(max_entries=8, show_spinner="Running the chains")
def _clamped(run_id: str, version: str, clamp: str, seed: int) -> Any:
    return workflow.clamp_and_sample(run_id, clamp, seed=seed)


def choices(run_id: str) -> dict[str, list[str]]:
    """Give what a run can hold fixed and which classes it knows."""
    return _choices(run_id, state.trained(run_id))


@st.cache_resource(max_entries=20, show_spinner="Reading the run")
def _choices(run_id: str, version: str) -> dict[str, list[str]]:
    return workflow.generation_choices(run_id)
