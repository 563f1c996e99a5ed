"""Cards that watch what runs in other processes: a training run, an import. They poll only while something runs."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.messages import guard, plain

CHIPS = {
    "queued": ("gray", ":material/schedule:"),
    "running": ("blue", ":material/play_circle:"),
    "stopping": ("orange", ":material/hourglass_bottom:"),
    "stopped": ("orange", ":material/pause_circle:"),
    "finished": ("green", ":material/check_circle:"),
    "failed": ("red", ":material/error:"),
    "lost": ("red", ":material/link_off:"),
}
POLL_SECONDS = 2


def run_card(run_id: str, place: str = "card") -> None:
    """Show where a run is, with its buttons; refreshes itself while the run lives, then runs the page again.

    Args:
        run_id: which run.
        place: of the card on the page, where a page may show the same run twice.
    """
    live = workflow.open_run(run_id).status().is_live
    st.fragment(run_every=POLL_SECONDS if live else None)(_run_card)(run_id, live, place)


def _run_card(run_id: str, was_live: bool, place: str) -> None:
    with guard("show this run"):
        run = workflow.open_run(run_id)
        status = run.status()
        if was_live and not status.is_live:
            st.rerun()  # the whole page: what comes after a finished run is drawn now
        with st.container(border=True):
            with st.container(horizontal=True, vertical_alignment="center"):
                chip(status.state)
                st.markdown(f"**{plain(run_title(run))}**", width="content")
                st.caption(plain(origin(run) if status.state == "finished" else where(status)), width="stretch")
                _buttons(run, status, place)
            if status.is_live or 0 < status.fraction < 1:
                st.progress(min(1.0, max(0.0, status.fraction)), text=_time_left(status))
            if status.state == "finished":
                alarm(run.id)
            if status.message and status.state != "finished":
                st.caption(plain(status.message))
            if status.state == "failed":
                with st.expander("Last lines of the log", icon=":material/receipt_long:"):
                    st.code("\n".join(run.tail(40)), language=None)


def alarm(run_id: str) -> None:
    """Write what makes a finished run doubtful."""
    for sentence in state.alarms(run_id):
        st.warning(plain(sentence), icon=":material/warning:")


def chip(name: str) -> None:
    """Draw the state of a run as a word with a colour and a sign."""
    color, icon = CHIPS[name]
    st.badge(name.capitalize(), icon=icon, color=color)  # type: ignore[arg-type]


def run_title(run: Any) -> str:
    """Give the title its owner chose, or its id."""
    return str(run.title or run.id)


def origin(run: Any) -> str:
    """Say with which system and preset a run was trained, and on which cohort."""
    cohort = (run.info.cohort or "").replace("\\", "/").split("/")
    data = f" on {cohort[-2]}" if len(cohort) > 1 else ""
    return f"{run.info.system}, {run.info.preset or 'own settings'}{data}"


def where(status: Any) -> str:
    """Say the stage and epoch in words."""
    if status.state == "queued":
        return f"{status.position} ahead in the queue" if status.position else "starts in a moment"
    if not status.stage:
        return "preparing the patches" if status.is_live else ""
    epoch = f", epoch {status.epoch} of {status.n_epochs}" if status.n_epochs else ""
    return f"stage {status.stage} of {status.n_stages}: {status.stage_name}{epoch}"


def seconds(value: float) -> str:
    """Write a duration as people say it."""
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def _time_left(status: Any) -> str:
    left = f", about {seconds(status.eta_s)} left" if status.eta_s is not None else ""
    age = max(0.0, time.time() - status.heartbeat) if status.heartbeat else 0.0
    return f"{100 * status.fraction:.0f} %{left} · last sign of life {seconds(age)} ago"


def _buttons(run: Any, status: Any, place: str) -> None:
    own = f"{place}-{run.id}"
    if status.state in ("queued", "running"):
        st.button("Stop", icon=":material/stop:", key=f"stop-{own}", on_click=_do, args=(workflow.stop, run.id))
    elif status.state in ("stopped", "lost", "failed"):
        label = "Resume" if status.state != "failed" else "Try again"
        if st.button(label, icon=":material/play_arrow:", key=f"resume-{own}", type="primary"):
            workflow.resume(run.id)
            st.rerun()
    elif status.state == "finished":
        with st.popover("Extend", icon=":material/add:"):
            more = st.number_input("More epochs of the last stage", 1, 1000, 5, key=f"extend-by-{own}")
            if st.button("Extend", key=f"extend-{own}", type="primary"):
                workflow.resume(run.id, extend=int(more))
                st.rerun()


def _do(action: Any, *arguments: Any) -> None:
    with guard("do that"):
        action(*arguments)


def under_way(key: str, command: str) -> Any:
    """Give the job that this session has started, else one of that command that goes on; None without any.

    So a page that was loaded again, or closed and opened, finds its work.

    Args:
        key: of the session's job in the session's state.
        command: what the job does, for example ``"register"``.
    """
    if key not in st.session_state and (running := workflow.running_jobs(command)):
        st.session_state[key] = running[0]
    return st.session_state.get(key)


def job_card(job_id: str, *, done: str = "The cohort is ready.") -> str:
    """Show how far a job is, with a button to cancel it, and ``done`` when it has ended well; gives its state."""
    job = workflow.read_job(job_id)
    live = job.state == "running"
    st.fragment(run_every=1 if live else None)(_job_card)(job_id, live, done)
    return str(job.state)


def _job_card(job_id: str, was_live: bool, done: str) -> None:
    with guard("show how far this is"):
        job = workflow.read_job(job_id)
        if was_live and job.state != "running":
            st.rerun()
        if job.state == "running":
            with st.container(border=True, horizontal=True, vertical_alignment="center"):
                st.progress(min(1.0, max(0.0, job.fraction)), text=plain(job.message))
                st.button(
                    "Cancel",
                    icon=":material/close:",
                    key=f"cancel-{job_id}",
                    on_click=_do,
                    args=(workflow.cancel_job, job_id),
                )
        elif job.state == "finished":
            st.success(done, icon=":material/check_circle:")
        elif job.state == "cancelled":
            st.info(plain(job.message), icon=":material/cancel:")
        else:
            st.error(plain(job.message), icon=":material/error:")
