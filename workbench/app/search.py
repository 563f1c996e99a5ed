"""The similarity of every voxel of a subject to a clicked point of a template, under each kind of feature."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from workbench import workflow
from workbench.app.overlay_layers import Overlay
from workbench.app.payload import Mark
from workbench.app.state import load_volume, trained
from workbench.figures.similarity import SimilarityMaps

MEASURES = {"correlation": "Correlation", "cosine": "Cosine", "l2": "L2 distance"}
COLUMNS = {
    "Rank of the truth": st.column_config.NumberColumn(
        format="localized", help="Among all voxels of the subject; 1 is best."
    ),
    "Voxels above it (%)": st.column_config.NumberColumn(
        format="%.3f", help="Share of voxels that score above the true match; 50 is chance."
    ),
    "Distance (mm)": st.column_config.NumberColumn(format="%.1f", help="From the best match to the true one."),
    "Peak ratio": st.column_config.NumberColumn(
        format="%.2f", help="Best peak over the second best that is more than 10 mm away; 1 is a tie."
    ),
}
TRUTH_COLOR, BEST_COLOR = "#FFFFFF", "#FF3B30"


def prepare(run_id: str, cohort: Any, subjects: list[str]) -> None:
    """Compute the features of these subjects, with a bar; at once when they are known."""
    place = st.container()  # always there, so that what is below keeps its place
    key = (run_id, trained(run_id), cohort.name, cohort.digest, *subjects)
    if key in _ready():
        return
    bar = place.progress(0.0, text="Computing features, once for these images")

    def tell(fraction: float, message: str) -> None:
        bar.progress(min(1.0, max(0.0, fraction)), text=message)

    workflow.prepare_similarity(run_id, cohort.name, subjects, tell)
    bar.empty()
    _ready().add(key)


def point(cohort: Any, template: str) -> tuple[float, float, float]:
    """Give the point in mm from the URL, or the middle of the template's first image."""
    try:
        x, y, z = (float(v) for v in st.query_params.get("point", "").split(","))
    except ValueError:
        volume = load_volume(cohort.name, template, next(iter(cohort[template].images), ""))
        x, y, z = (float(v) for v in volume.to_mm([n // 2 for n in volume.shape]))
    return x, y, z


def move(view: Any, voxel: tuple[int, int, int]) -> None:
    """Put a clicked voxel of the template into the URL, in mm."""
    st.query_params["point"] = ",".join(f"{v:.2f}" for v in view.template.to_mm(voxel))


def look(
    run_id: str, cohort: Any, template: str, subject: str, point_mm: tuple[float, float, float], measure: str
) -> Any:
    """Give the view of one point, once."""
    x, y, z = (round(v, 3) for v in point_mm)
    return _look(run_id, trained(run_id), cohort.name, cohort.digest, template, subject, (x, y, z), measure)


def overlays(view: Any, first: str) -> list[Overlay]:
    """Give the maps as heat maps coloured by rank; ``first`` is the one shown."""
    names = [first, *(name for name in view.maps if name != first)]
    return [Overlay(name, view.maps[name], by_rank=True) for name in names]


def marks(view: Any, shown: str) -> list[Mark]:
    """Give the true match, where it is known, and the best match of the shown map."""
    best = Mark(view.best_voxel[shown], "best match", BEST_COLOR, "square")
    return [best] if view.truth_voxel is None else [best, Mark(view.truth_voxel, "true match", TRUTH_COLOR)]


def table(view: Any) -> pd.DataFrame:
    """List how well each feature found the truth; without a truth only where its best match lies."""
    rows = []
    for name, score in view.scores.items():
        x, y, z = view.best_mm[name]
        row: dict[str, Any] = {"Feature and measure": name, "Best match (mm)": f"{x:.1f}, {y:.1f}, {z:.1f}"}
        if score is not None:
            row |= {
                "Rank of the truth": int(score.rank), "Voxels above it (%)": 100 * float(score.share_above),
                "Distance (mm)": float(score.distance_mm), "Peak ratio": float(score.peak_ratio),
            }  # fmt: skip
        rows.append(row)
    return pd.DataFrame(rows)


def as_figure(view: Any) -> SimilarityMaps:
    """Give what Figure 5 draws."""
    captions = {
        name: f"truth is rank {score.rank:,.0f}<br>best match {score.distance_mm:.1f} mm off"
        for name, score in view.scores.items() if score is not None
    }  # fmt: skip
    return SimilarityMaps(
        view.template, view.subject, view.template_mm, view.maps, view.best_mm, truth_mm=view.truth_mm,
        registered=view.registered, captions=captions,
    )  # fmt: skip


def map_files(view: Any) -> dict[str, Any]:
    """Give each map as a NIfTI file on the subject's lattice, made when it is asked for."""
    return {
        f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}.nii.gz": partial(
            workflow.nifti_bytes, view.subject.with_data(values, name)
        )
        for name, values in view.maps.items()
    }


@st.cache_resource(max_entries=6, show_spinner=False)
def _look(
    run_id: str,
    version: str,
    cohort: str,
    digest: str,
    template: str,
    subject: str,
    point_mm: tuple[float, float, float],
    measure: str,
) -> Any:
    return workflow.similarity(run_id, cohort, template, subject, point_mm, measure=measure)


@st.cache_resource
def _ready() -> set[tuple[str, ...]]:
    return set()
