"""All registrations: open, delete; and several of one pair beside each other, as Figure 6 does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from workbench import workflow
from workbench.app import register_reads, register_words, state
from workbench.app.downloads import chart, save
from workbench.app.messages import guard, plain
from workbench.figures.planes import PLANES
from workbench.figures.registration_methods import figure_6

MOST_COLUMNS = 7


def methods_view(rows: list[Any], row: Any) -> None:
    """Draw Figure 6 of one pair: template, subject, and the subject by each method that has registered it."""
    mine = register_words.same_pair(rows, row)
    titles = register_words.distinct_titles(mine)
    chosen = st.multiselect(
        f"Registrations of {plain(register_words.pair(row.plan))}", list(titles),
        register_words.latest_with(list(titles), row.id, MOST_COLUMNS), format_func=titles.__getitem__,
        key=f"register-methods-{row.id}-{len(mine)}", max_selections=MOST_COLUMNS,
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="bottom"):
        plane = st.segmented_control(
            "Plane", list(PLANES), default="axial", required=True, key="register-methods-plane"
        )
        near = st.toggle("Only around the labels", value=True, key="register-methods-near")
    if not chosen:
        st.info("Choose at least one registration.", icon=":material/info:")
        return
    read = {i: register_reads.columns(i) for i in chosen}
    first = read[chosen[0]]
    drawn = [first.start, *(replace(of.own, title=titles[i]) for i, of in read.items() if of.own is not None)]
    fig = figure_6(first.template, first.labels, drawn, plane=plane or "axial", around_labels=near, theme=state.theme())
    chart(fig, "registration-methods", table=register_words.row_table([r for r in mine if r.id in chosen]))
    if len(mine) == 1:
        st.caption("Register the same pair by another method, above, and it stands beside this one.")


def list_view(rows: list[Any]) -> None:
    """List what was registered; a row opens or is deleted."""
    table = register_words.row_table(rows)
    event = st.dataframe(
        table, hide_index=True, on_select="rerun", selection_mode="multi-row", key=f"register-rows-{len(rows)}",
        alt="All registrations, the latest first",
        column_config={
            "Time, s": st.column_config.NumberColumn(format="%.1f"),
            "Folds, %": st.column_config.NumberColumn(format="%.2g"),
            **{c: st.column_config.NumberColumn(format="%.3f") for c in ("Dice, linear start", "Dice")},
        },
    )  # fmt: skip
    picked = [rows[i] for i in event.selection.rows if i < len(rows)]
    with st.container(horizontal=True, vertical_alignment="center"):
        if not picked:
            st.caption("Choose rows to open or delete them.", width="stretch")
        if len(picked) == 1:
            st.button("Open", type="primary", icon=":material/visibility:", key="register-open", on_click=_open,
                      args=(picked[0].id,))  # fmt: skip
        if picked:
            with st.popover(f"Delete {len(picked)}", icon=":material/delete:"):
                st.markdown("Images, fields and reports of these registrations are removed for good.")
                st.button("Delete for good", key="register-delete", on_click=_delete, args=([r.id for r in picked],))
        save("registrations", table=table)


def _open(registration_id: str) -> None:
    state.prefer("registration", registration_id)
    st.session_state["register-tab"] = "Compare"


def _delete(ids: list[str]) -> None:
    with guard("delete this"):
        for name in ids:
            workflow.delete_registration(name)
