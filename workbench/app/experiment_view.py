"""Paired comparisons: start one, watch it, and read the differences with their intervals."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.downloads import chart
from workbench.app.experiment_form import experiment_form
from workbench.app.experiment_words import failures, first_score, frames, number_for_all, summary, verdicts
from workbench.app.frame import nothing_yet
from workbench.app.jobs import POLL_SECONDS, chip, seconds
from workbench.app.messages import guard, plain
from workbench.errors import WorkbenchError
from workbench.figures import experiments

RESULTS, NEW = "Results", "New comparison"
LIVE = ("queued", "running", "stopping")
N_LOG_LINES = 2000


def compare() -> None:
    """Show the comparisons there are, or the form of a new one."""
    found = {e.id: e for e in workflow.list_experiments()}
    if not found and not state.cohort_names():
        nothing_yet("A comparison needs a cohort with targets.", ("Start with sample data", "home"),
                    ("Bring images or tables", "data"))  # fmt: skip
        return
    st.caption(
        "All variants are trained with the same seeds, so that they are compared pair by pair on the same held-out "
        "subjects. What the interval of a difference does not exclude is not claimed."
    )
    shown = RESULTS if found else NEW
    if found and state.cohort_names():
        if st.session_state.pop("experiment-started", False):
            st.session_state["experiment-part"] = RESULTS
        shown = str(
            st.segmented_control(
                "Show", [RESULTS, NEW], default=RESULTS, required=True, key="experiment-part",
                label_visibility="collapsed",
            )
        )  # fmt: skip
    if shown == NEW:
        started = experiment_form()
        if started:
            st.session_state["experiment-started"] = True
            state.prefer("experiment", started)
            st.rerun()
    else:
        _experiment(found)


def _experiment(found: dict[str, Any]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = state.choose("Comparison", list(found), "experiment", format_func=lambda i: name_of(found[i]))
        if st.button("Delete", icon=":material/delete:", key="experiment-delete", disabled=found[chosen].is_in_use):
            _confirm(chosen)
    live = workflow.experiment_progress(chosen).state in LIVE
    st.fragment(run_every=POLL_SECONDS if live else None)(_card)(chosen, live)
    _result(found[chosen])


def _card(experiment: str, was_live: bool) -> None:
    with guard("show this comparison"):
        progress = workflow.experiment_progress(experiment)
        live = progress.state in LIVE
        if was_live and not live:
            st.rerun()
        with st.container(border=True):
            with st.container(horizontal=True, vertical_alignment="center"):
                chip(progress.state)
                failed = f", {progress.n_failed} failed" if progress.n_failed else ""
                st.markdown(f"**{progress.n_done} of {progress.n_trainings} trainings**{failed}", width="content")
                st.caption(plain(f"now {progress.now}" if progress.now else ""), width="stretch")
                _buttons(experiment, progress, live)
            if live or progress.fraction < 1:
                left = f", about {seconds(progress.eta_s)} left" if live and progress.eta_s is not None else ""
                done = min(1.0, max(0.0, progress.fraction))
                st.progress(done, text=f"{100 * done:.0f} %{left}")
            if progress.message and not live:
                st.caption(plain(progress.message))


def _buttons(experiment: str, progress: Any, live: bool) -> None:
    if live:
        if progress.n_done and st.button("Refresh the result", icon=":material/refresh:", key="experiment-refresh"):
            st.rerun()
        st.button("Stop", icon=":material/stop:", key="experiment-stop", on_click=_do,
                  disabled=progress.state == "stopping", args=(workflow.stop_experiment, experiment))  # fmt: skip
    elif progress.n_done < progress.n_trainings or progress.n_failed:
        label = "Resume" if progress.n_done < progress.n_trainings else "Try the failed ones again"
        if st.button(label, icon=":material/play_arrow:", key="experiment-resume", type="primary"):
            workflow.resume_experiment(experiment)
            st.rerun()


def _result(found: Any) -> None:
    scores = list(found.scores)
    if scores:
        score = str(st.selectbox("Score of held-out subjects", scores, first_score(scores), key="experiment-score",
                                 format_func=score_title, width=260))  # fmt: skip
        table = workflow.compare_experiment(found.id, score)
        if table.rows:
            _drawn(found, table)
        else:
            st.caption("Differences appear when two variants are finished with the same seed.")
    elif not found.rows():
        st.caption("The first result appears when two variants are finished with the same seed.")
    _failed(found)


def _drawn(found: Any, table: Any) -> None:
    st.markdown(f"Compared with **{plain(table.reference)}**, by {score_title(table.score)}:")
    st.markdown("\n".join(f"- {line}" for line in verdicts(table)))
    n_all = _n_all(found, table)
    drawn_at = number_for_all(table, n_all)
    fig = experiments.paired_experiment(*frames(table, drawn_at), title=score_title(table.score), theme=state.theme())
    whole = f"all {n_all:,} labels" if n_all else "all labels"
    fig.for_each_annotation(lambda a: a.update(text=whole) if a.text == f"{drawn_at:,} labels" else None)
    chart(fig, f"comparison-{found.id}", table=table.pairs)
    rows = summary(table)
    number = st.column_config.NumberColumn(format="%.4f")
    signed = st.column_config.NumberColumn(format="%+.4f")
    config: dict[str, Any] = {str(c): number for c in rows if str(c).startswith("Mean")}
    config |= dict.fromkeys(("Difference", "Low", "High"), signed)
    st.dataframe(rows, hide_index=True, alt="Differences with their 95 % intervals", column_config=config)
    st.download_button(
        "Save this table as CSV", rows.to_csv(index=False).encode(), f"comparison-{found.id}-summary.csv", "text/csv",
        icon=":material/download:", type="tertiary", on_click="ignore", key="experiment-csv",
    )  # fmt: skip
    at_chance = f" Of {len(rows)} intervals about one in twenty excludes 0 by chance alone." if len(rows) > 3 else ""
    st.caption(
        "Intervals are over seeds (first weights, order, which labels are seen, and the split where the cohort brings "
        f"none of its own): they say nothing of other data.{at_chance}"
    )


def _failed(found: Any) -> None:
    failed = failures(found.table(), found.keeper.tail(N_LOG_LINES))
    if len(failed):
        with st.expander(f"{len(failed)} trainings failed", icon=":material/error:"):
            st.dataframe(failed, hide_index=True, alt="Trainings that failed, and why")


def _n_all(found: Any, table: Any) -> int:
    """Give how many labelled examples "all" were, from a run that had them; 0 where no run says so."""
    if set(table.pairs["n_labels"]) == {0} or 0 not in set(table.pairs["n_labels"]):
        return 0
    rows = found.table()
    for run in rows[(rows["n_labels"] == 0) & (rows["state"] == "finished")]["run"]:
        try:
            return int((workflow.open_run(found.runs_dir / run).result() or {}).get("n_labelled", 0))
        except WorkbenchError:
            continue
    return 0


def name_of(found: Any) -> str:
    """Say what an experiment compares, on what, and when it was begun."""
    cohort = found.cohort.replace("\\", "/").split("/")
    data = f" · {cohort[-2]}" if len(cohort) > 1 else ""
    begun = datetime.fromtimestamp(found.created)
    return f"{found.title or found.system}{data} · {begun.day} {begun:%b %H:%M}"


def score_title(score: str) -> str:
    """Write a score's name as people do."""
    return {"auc": "AUC", "mse": "squared error", "mae": "absolute error", "r2": "R²"}.get(
        score, score.replace("_", " ")
    )


@st.dialog("Delete this comparison?")
def _confirm(experiment: str) -> None:
    st.markdown("Its folder with all its runs will be removed. This cannot be undone.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it"):
            st.rerun()
        if st.button("Delete it", type="primary", icon=":material/delete:"):
            with guard("delete this comparison"):
                workflow.delete_experiment(experiment)
                st.rerun()


def _do(action: Any, *arguments: Any) -> None:
    with guard("do that"):
        action(*arguments)
