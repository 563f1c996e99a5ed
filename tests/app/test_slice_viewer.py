"""The browser moves its own cross; Python moves it only when the page asks for another voxel."""

from __future__ import annotations

import streamlit as st
from streamlit.testing.v1 import AppTest

from workbench.app.slice_viewer import _where_to_show


def script() -> None:
    import numpy as np
    import streamlit as st

    from workbench.app.overlay_layers import Overlay
    from workbench.app.slice_viewer import slice_viewer
    from workbench.imaging.volume import Volume

    volume = Volume.from_array(np.arange(60, dtype=np.float32).reshape(3, 4, 5), modality="T1")
    voxel = slice_viewer(volume, key="viewer", voxel=(1, 2, 3), overlays=[Overlay("map", volume.data[0])])
    st.text(str(voxel))


def test_it_mounts_and_gives_the_voxel_it_was_given() -> None:
    app = AppTest.from_function(script).run()
    assert not app.exception
    assert app.text[0].value == "(1, 2, 3)"


def test_a_click_does_not_send_the_image_again() -> None:
    key = "test_viewer_stamp"
    st.session_state.pop(f"{key}:memory", None)
    first = dict(_where_to_show(key, (1, 2, 3), None))
    st.session_state[key] = {"voxel": [4, 5, 6]}
    clicked = dict(_where_to_show(key, (1, 2, 3), (4, 5, 6)))
    after = dict(_where_to_show(key, (4, 5, 6), None))
    assert (clicked["voxel"], clicked["stamp"]) == (first["voxel"], first["stamp"]) == (after["voxel"], after["stamp"])
    moved = _where_to_show(key, (0, 0, 0), None)
    assert moved["voxel"] == [0, 0, 0] and moved["stamp"] == first["stamp"] + 1
