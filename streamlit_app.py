"""The app: ``streamlit run`` finds this file by its name; the table of pages is in ``workbench/app/frame.py``."""

import streamlit as st

from workbench.app.frame import enter, footer, side_note
from workbench.app.messages import guard

st.set_page_config(page_title="Review workbench", page_icon=":material/neurology:", layout="wide")
page = enter()
side_note()
body = st.container()
footer()  # before the page, because a page may stop early
with body, guard(f"show the page {page.title}"):
    page.run()
