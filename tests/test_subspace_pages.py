"""The pages on learnt subspaces and principal axes: filters by subspace, and maps called after what was learnt."""

from __future__ import annotations

import os

import pytest
import streamlit as st
from test_pages import faults, open_page

pytestmark = pytest.mark.slow
SMALL = {"n_components": (16, 8), "n_patches": 512, "n_epochs": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Train both kinds a little, once; kind → run."""
    from workbench import workflow

    root = tmp_path_factory.mktemp("subspaces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(root))
        workflow.make_phantom("brain", "brains", n_subjects=2, spacing_mm=8.0)
        runs = {
            kind: workflow.train("wu2013", "brains", SMALL | {"kind": kind}, preset="quick").id
            for kind in ("ISA", "PCA")
        }
    return runs | {"root": str(root)}


@pytest.fixture(autouse=True)
def _sees_them(trained: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    st.cache_resource.clear()
    st.cache_data.clear()
    monkeypatch.setenv("WORKBENCH_DATA", trained["root"])
    assert os.environ["WORKBENCH_DATA"] == trained["root"]


@pytest.mark.parametrize(
    ("kind", "words"), [("ISA", "filters of each subspace side by side"), ("PCA", "principal axes")]
)
def test_filters_say_what_they_are(kind: str, words: str, trained: dict[str, str]) -> None:
    app = open_page("filters", run=trained[kind])
    assert not faults(app)
    assert app.get("plotly_chart") and any(words in caption.value for caption in app.caption)


@pytest.mark.parametrize("kind", ["ISA", "PCA"])
def test_similarity_is_called_after_what_was_learnt(kind: str, trained: dict[str, str]) -> None:
    app = open_page("similarity", run=trained[kind])
    assert not faults(app)
    names = app.dataframe[0].value.iloc[:, 0].tolist()
    assert f"{kind}, correlation" in names and not [name for name in names if name.startswith("SAE")]
