"""Paired comparisons: choose what to vary, start, watch, and read the difference with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.downloads import chart
from workbench.app.jobs import POLL_SECONDS, chip, seconds
from workbench.app.messages import guard, plain
from workbench.errors import SettingsError
from workbench.figures import experiments


@dataclass(frozen=True)
class Recipe:
    """A ready-made comparison.

    Attributes:
        title: of it.
        system: that is trained.
        variants: name → settings; the first is the reference.
        base: settings that all share.
    """

    title: str
    system: str
    variants: Mapping[str, Mapping[str, Any]]
    base: Mapping[str, Any]


DEEP = {"n_hidden": (64, 64), "n_epochs": 30, "batch_size": 20}
RECIPES = (
    Recipe("Greedy pretraining, joint, or from scratch (2.3.1, 2.4)", "fine_tuning",
           {"from scratch": {"start": "scratch"}, "greedy auto-encoders": {"start": "auto-encoders"},
            "greedy belief network": {"start": "belief network"}, "joint auto-encoder": {"start": "joint"}},
           {"n_hidden": (64, 32), "n_epochs_pretraining": 20, "n_epochs": 40, "batch_size": 20}),
    Recipe("Initialization (2.6, device 1)", "mlp",
           {"normal": {"initialization": "normal"}, "glorot": {"initialization": "glorot"},
            "sparse": {"initialization": "sparse"}}, DEEP | {"activation": "sigmoid"}),
    Recipe("Scheduled Nesterov momentum (2.6, device 1)", "mlp",
           {"plain descent": {"optimizer": "sgd", "momentum_max": 0.0}, "nesterov": {"optimizer": "nesterov"}},
           DEEP | {"learning_rate": 0.05}),
    Recipe("Rectified units (2.6, device 2)", "mlp",
           {"sigmoid": {"activation": "sigmoid"}, "ReLU": {"activation": "relu"},
            "leaky ReLU": {"activation": "leaky_relu"}}, DEEP),
    Recipe("Input noise (2.6, device 3)", "mlp",
           {"clean": {"corruption": "none"}, "masking": {"corruption": "masking", "corruption_amount": 0.25}}, DEEP),
    Recipe("Dropout and DropConnect (2.6, device 4)", "mlp",
           {"none": {}, "dropout": {"dropout": 0.5, "input_dropout": 0.2}, "DropConnect": {"dropconnect": 0.5}}, DEEP),
    Recipe("Batch normalization (2.6, device 5)", "mlp",
           {"without": {"batch_norm": False}, "with": {"batch_norm": True}}, DEEP),
)  # fmt: skip
OWN = "A comparison of your own"
FEWEST_SEEDS = 6
"""With fewer the bootstrap interval of a mean is much too narrow for a verdict."""


def compare() -> None:
    """Show the form for a new comparison, and those there are."""
    st.caption(
        "Every variant is trained with the same seeds on the same split, so that differences are paired. What no "
        "interval excludes is not shown to help."
    )
    if state.cohort_names():
        known = workflow.list_experiments()
        with st.expander("New comparison", expanded=not known, icon=":material/balance:"):
            _form()
    else:
        st.info("A comparison needs a cohort with targets; bring one on the page Data.", icon=":material/info:")
    found = {e.id: e for e in workflow.list_experiments()}
    if found:
        shown = state.choose("Comparison", list(found), "experiment", format_func=lambda i: _name(found[i]))
        live = found[shown].is_in_use
        st.fragment(run_every=POLL_SECONDS if live else None)(_card)(shown, live)
        _result(shown)


def _form() -> None:
    titles = [recipe.title for recipe in RECIPES]
    title = st.selectbox("What to compare", [*titles, OWN], key="experiment-recipe")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        cohort = state.choose("Cohort", state.cohort_names(), "cohort")
        n_seeds = int(st.number_input("Seeds", 2, 50, 10, key="experiment-seeds", width=110))
        labels = st.text_input("Labelled examples", "100, 0", key="experiment-labels", help="0 stands for all of them.")
    recipe = _own() if title == OWN else RECIPES[titles.index(str(title))]
    if recipe is None:
        return
    with guard("start this comparison"):
        numbers = tuple(workflow.parse_numbers(labels))
        n_trainings = len(recipe.variants) * n_seeds * len(numbers)
        st.caption(
            f"{len(recipe.variants)} variants ({', '.join(recipe.variants)}) × {n_seeds} seeds × {len(numbers)} "
            f"numbers of labels: {n_trainings} trainings, one after the other; small ones take seconds each."
        )
        if st.button("Start", type="primary", icon=":material/play_arrow:", key="experiment-start"):
            made = workflow.start_experiment(
                recipe.system, cohort, recipe.base, recipe.variants, n_seeds, numbers, recipe.title
            )
            state.prefer("experiment", made.id)
            st.rerun()


def _own() -> Recipe | None:
    cards = {card.name: card for card in workflow.list_systems()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = [name for name in cards if any(f.name == "n_labels" for f in workflow.system_fields(name))]
        system = st.selectbox("System", names, format_func=lambda n: cards[n].title, key="experiment-system")
        field = st.selectbox(
            "Setting to vary", [f.name for f in workflow.system_fields(str(system))], key="experiment-field"
        )
        values = st.text_input("Values", key="experiment-values", placeholder="0, 0.25, 0.5")
    if not values.strip():
        st.caption("Give two or more values, separated by commas; the first is the reference.")
        return None
    found = None
    with guard("read these values"):
        variants = workflow.parse_variants([f"{field}={values.replace(' ', '')}"], [])
        if len(variants) < 2:
            raise SettingsError(f"A comparison needs two values of {field} or more; got {values!r}.")
        found = Recipe(f"{cards[str(system)].title}: {field}", str(system), variants, {})
    return found


def _card(experiment: str, was_live: bool) -> None:
    with guard("show this comparison"):
        progress = workflow.experiment_progress(experiment)
        live = progress.state in ("queued", "running", "stopping")
        if was_live and not live:
            st.rerun()
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            chip(progress.state)
            left = f" · about {seconds(progress.eta_s)} left" if live and progress.eta_s is not None else ""
            failed = f" · {progress.n_failed} failed" if progress.n_failed else ""
            text = f"{progress.n_done} of {progress.n_trainings} trainings{failed}{left}"
            st.progress(min(1.0, progress.fraction), text=plain(f"{text} · {progress.now}" if progress.now else text))
            if live:
                st.button("Stop", icon=":material/stop:", key="experiment-stop", on_click=_do,
                          args=(workflow.stop_experiment, experiment))  # fmt: skip
            else:
                if progress.n_done < progress.n_trainings or progress.n_failed:
                    st.button("Resume", icon=":material/play_arrow:", key="experiment-resume", on_click=_do,
                              args=(workflow.resume_experiment, experiment))  # fmt: skip
                st.button("Delete", icon=":material/delete:", key="experiment-delete", on_click=_do,
                          args=(workflow.delete_experiment, experiment))  # fmt: skip
        if progress.message and not live:
            st.caption(plain(progress.message))


def _result(experiment: str) -> None:
    found = workflow.open_experiment(experiment)
    if not found.scores:
        st.caption("Scores appear with the first finished training.")
        return
    scores = list(found.scores)
    score = str(st.selectbox("Score", scores, index=_first(scores), key="experiment-score", width=260))
    table = workflow.compare_experiment(experiment, score)
    if table.pairs.empty or not table.rows:
        st.caption("Differences appear when two variants are finished with the same seed.")
        return
    for line in verdicts(table):
        st.markdown(f"- {line}")
    fig = experiments.paired_experiment(*frames(table), title=score.replace("_", " "), theme=state.theme())
    chart(fig, f"comparison-{experiment}", table=summary(table))
    st.dataframe(summary(table), hide_index=True, alt="Differences with their intervals")
    failed = found.table()
    failed = failed[failed["state"] != "finished"]
    if len(failed):
        with st.expander(f"{len(failed)} trainings that did not finish", icon=":material/error:"):
            st.dataframe(failed, hide_index=True, alt="Trainings that did not finish")


def frames(table: Any) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Give what the figure draws of a paired table: scores, means and differences; the reference comes first."""
    pairs = table.pairs.rename(columns={"value": "score", "n_labels": "labels"})
    order = [table.reference, *dict.fromkeys(row.variant for row in table.rows)]
    pairs = pairs.assign(rank=pairs["variant"].map(order.index)).sort_values(["rank", "seed"], kind="stable")
    pairs["labels"] = pairs["labels"].replace(0, "all")
    means = pairs.groupby(["variant", "labels"], sort=False)["score"].agg(["mean", "sem", "count"]).reset_index()
    half = 1.96 * means["sem"].fillna(0.0)
    means = means.assign(low=means["mean"] - half, high=means["mean"] + half)[
        ["variant", "labels", "mean", "low", "high"]
    ]
    differences = pd.DataFrame(
        {"variant": row.variant, "labels": row.n_labels or "all", "mean": row.difference[0],
         "low": row.difference[1], "high": row.difference[2]}
        for row in table.rows
    )  # fmt: skip
    return pairs[["variant", "seed", "score", "labels"]], means, differences


def summary(table: Any) -> pd.DataFrame:
    """Give one row a variant and number of labels, as people read it."""
    return pd.DataFrame(
        {
            "variant": row.variant,
            "labels": str(row.n_labels or "all"),
            "seeds": row.n_pairs,
            "mean": row.mean,
            f"mean of {table.reference}": row.reference_mean,
            "difference": row.difference[0],
            "low": row.difference[1],
            "high": row.difference[2],
        }
        for row in table.rows
    )


def verdicts(table: Any) -> list[str]:
    """Say of each variant what its interval shows and what it does not."""
    name, lines = table.score.replace("_", " "), []
    for row in table.rows:
        labels = f"{row.n_labels} labels" if row.n_labels else "all labels"
        mean, low, high = row.difference
        if row.n_pairs < FEWEST_SEEDS or not np.isfinite([low, high]).all():
            said = f"too few seeds to say, take {FEWEST_SEEDS} or more"
        elif low > 0:
            said = f"raises {name}"
        elif high < 0:
            said = f"lowers {name}"
        else:
            said = "no difference is shown"
        span = f" ({mean:+.3g}, 95 % interval {low:+.3g} to {high:+.3g}, {row.n_pairs} seeds)"
        lines.append(f"**{row.variant}** against {table.reference}, {labels}: {said}{span}.")
    return lines


def _name(found: Any) -> str:
    return f"{found.title} ({found.id})" if found.title else str(found.id)


def _first(scores: list[str]) -> int:
    return next((i for i, s in enumerate(scores) if s in ("accuracy", "log_likelihood", "mse")), 0)


def _do(action: Any, *arguments: Any) -> None:
    with guard("do that"):
        action(*arguments)
