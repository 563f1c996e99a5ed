"""What a trained run shows, predicts and scores."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.doors.cohorts import open_cohort
from workbench.doors.runs import RunId, open_run, system_of
from workbench.doors.systems import system
from workbench.errors import RunError
from workbench.progress import Progress, silent

if TYPE_CHECKING:
    from workbench.figures.diagrams import EncoderDecoder
    from workbench.figures.theme import Theme
    from workbench.systems.base import System
    from workbench.systems.feature_images import PatchPreview
    from workbench.systems.feature_search import SimilarityView
    from workbench.systems.feature_views import FilterBank, Reconstructions
    from workbench.systems.features_base import FeatureLearning


def preview_patches(name: str, settings: dict[str, Any], cohort: str, n: int = 16) -> PatchPreview:
    """Draw a few patches as training would see them."""
    return _features(system(name, settings)).preview(open_cohort(cohort), n)


def filters(run_id: RunId, depth: int = 1) -> FilterBank:
    """Give the learned weights of a layer, counted from 1."""
    from workbench.systems.feature_views import filter_bank

    run = open_run(run_id)
    return filter_bank(_features(system_of(run)), run, depth)


def reconstructions(run_id: RunId, n: int = 12) -> Reconstructions:
    """Give held-out patches and what the network makes of them."""
    from workbench.systems.feature_views import reconstructions as _reconstructions

    run = open_run(run_id)
    return _reconstructions(_features(system_of(run)), run, n)


def encoder_decoder(run_id: RunId) -> EncoderDecoder:
    """Give what Figures 2a and 4 draw, from the live model."""
    from workbench.systems.feature_views import encoder_decoder_parts

    run = open_run(run_id)
    return encoder_decoder_parts(_features(system_of(run)), run)


def similarity(
    run_id: RunId, cohort: str, template: str, subject: str, point_mm: tuple[float, float, float], *,
    measure: str = "correlation",
) -> SimilarityView:  # fmt: skip
    """Compare one point of a template with every voxel of a subject, under each kind of feature (Figure 5)."""
    from workbench.systems.feature_search import similarity_view

    digest = open_cohort(cohort).digest
    here, there = (_search(run_id, digest, cohort, name) for name in (template, subject))
    return similarity_view(here, there, point_mm, measure)


def prepare_similarity(run_id: RunId, cohort: str, subjects: list[str], progress: Progress = silent) -> None:
    """Compute the features of subjects ahead of the first click."""
    digest = open_cohort(cohort).digest
    for i, name in enumerate(subjects):
        progress(i / len(subjects), f"Computing the features of {name}")
        _search(run_id, digest, cohort, name)
    progress(1.0, "Features are ready")


@lru_cache(maxsize=4)
def _search(run_id: RunId, digest: str, cohort: str, subject: str) -> Any:
    from workbench.systems.feature_search import SubjectSearch

    run = open_run(run_id)
    return SubjectSearch(_features(system_of(run)), run, open_cohort(cohort)[subject])


def predict(run_id: RunId, cohort: str, out: Path, progress: Progress = silent) -> list[Path]:
    """Apply a run to every subject; each prediction is a NIfTI file on the lattice of its input."""
    from workbench.imaging.predictions import write_predictions

    run = open_run(run_id)
    system = system_of(run)
    return write_predictions(open_cohort(cohort), lambda subject: system.predict(subject, run), out, progress)


def evaluate(run_id: RunId, cohort: str, progress: Progress = silent) -> dict[str, Any]:
    """Score a run on a cohort; the scores are kept in the run's folder.

    Returns:
        ``run``, ``cohort``, ``subjects`` (name → scores) and ``summary`` (score → mean and 95 % interval).
    """
    run, data = open_run(run_id), open_cohort(cohort)
    scores = {
        "run": run.id,
        "cohort": data.name,
        "cohort_digest": data.digest,
        **system_of(run).evaluate(data, run, progress),
    }
    run.save_scores(scores)
    return scores


def figure_names() -> list[str]:
    """Give the names that :func:`figure` knows."""
    from workbench.systems.feature_figures import FIGURES

    return list(FIGURES)


def figure(run_id: RunId, name: str, theme: Theme = "light") -> Any:
    """Draw one figure of a run.

    Raises:
        SettingsError: there is no such figure or theme.
    """
    from workbench.systems.feature_figures import draw

    run = open_run(run_id)
    return draw(_features(system_of(run)), run, name, theme)


def save_figure(run_id: RunId, name: str, out: Path, theme: Theme = "light") -> Path:
    """Draw one figure of a run into a .html or .png file."""
    from workbench.figures.export import save

    return save(figure(run_id, name, theme), out)


def _features(system: System) -> FeatureLearning:
    from workbench.systems.features_base import FeatureLearning

    if not isinstance(system, FeatureLearning):
        raise RunError(f"{type(system).__name__} learns no features, so it has no filters or similarity maps to show.")
    return system
