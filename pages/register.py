"""Register: one image brought onto another; see how well, where each point goes, and what it does to space (3.1)."""

import streamlit as st

from workbench import workflow
from workbench.app import register_form, register_list, register_reads, register_view, register_words, state
from workbench.app.frame import heading
from workbench.app.messages import guard

TAB = "register-tab"
heading("register", "Registration", "Displacement field", "Jacobian determinant", "HAMMER", "Demons", "Dice")
rows = {row.id: row for row in workflow.list_registrations()}
register_form.register_form(expanded=not rows)
if under_way := register_reads.follow():
    register_view.live_energy(under_way)
if not rows:
    st.stop()

with guard("read this registration"):
    titles = {name: register_words.title(row) for name, row in rows.items()}
    chosen = state.choose("Registration", list(titles), "registration", format_func=titles.__getitem__)
    seen = register_reads.look(chosen)
    register_view.numbers(seen)
    views = {
        "Compare": lambda: register_view.compare_view(chosen, seen),
        "Energy": lambda: register_view.energy_view(seen),
        "Methods": lambda: register_list.methods_view(list(rows.values()), rows[chosen]),
        "Figures": lambda: register_view.figures_view(seen),
        "All registrations": lambda: register_list.list_view(list(rows.values())),
    }
    if st.session_state.get(TAB) not in views:
        asked = st.query_params.get("tab", "")
        st.session_state[TAB] = asked if asked in views else "Compare"
    st.query_params["tab"] = st.session_state[TAB]
    for tab, (name, view) in zip(st.tabs(list(views), key=TAB, on_change="rerun"), views.items(), strict=True):
        if tab.open:
            with tab, guard(f"show this tab, {name}"):
                view()
