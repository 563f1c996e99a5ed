"""What a trained run shows, predicts and scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.doors.cohorts import open_cohort
from workbench.doors.runs import RunId, open_run, system_of
from workbench.doors.systems import system
from workbench.errors import RunError, WorkbenchError
from workbench.progress import Progress, silent

if TYPE_CHECKING:
    from workbench.figures.convolution import ConvolutionParts
    from workbench.figures.diagrams import EncoderDecoder
    from workbench.figures.network_parts import NetworkParts
    from workbench.figures.theme import Theme
    from workbench.systems.atlas_spaces import ContextStrip
    from workbench.systems.cross_modal import SampledPart
    from workbench.systems.feature_images import PatchPreview
    from workbench.systems.feature_search import SimilarityView
    from workbench.systems.patch_votes import PatchVotes
    from workbench.systems.views import Chains, FilterBank, LikelihoodView, NoiseCurve, Reconstructions, TwoBlocks

SHOWS = {
    "filter_bank": "filters",
    "reconstructions": "reconstructions",
    "encoder_decoder": "an encoder and a decoder",
    "prepared": "similarity maps",
    "network_parts": "a diagram of its units",
    "convolution_parts": "receptive fields",
    "two_blocks": "two blocks of weights a modality",
    "generate": "samples",
    "likelihood": "a likelihood",
    "noise_curve": "a posterior",
    "outputs": "outputs",
    "regional_networks": "networks of regions",
    "states": "hidden states",
    "diagnosis": "a diagnosis",
    "control_traces": "a sparsity controller",
    "comparison": "other methods to compare with",
    "depth_scores": "scores by depth",
    "embedding": "an embedding",
    "learnt_features": "features that a registration can use",
    "segment": "a segmentation",
    "architecture_parts": "an architecture",
    "context_strip": "auto-context, iteration by iteration",
    "votes": "atlas patches that vote",
}
"""What a system can show, by the method that makes it."""


def shows(name: str, what: str) -> bool:
    """Say whether runs of a system can show something, one of :data:`SHOWS`."""
    from workbench.systems import catalog

    return hasattr(catalog.load(name), what)


def run_shows(run_id: RunId, what: str) -> bool:
    """Say whether a run can show something, one of :data:`SHOWS`."""
    run = open_run(run_id)
    return shows(run.info.system, what) and what not in system_of(run).cannot_show(run)


def alarms(run_id: RunId) -> list[str]:
    """Give what makes a finished run doubtful, a sentence each: dead layers, divergence, chains that do not mix."""
    from workbench.systems.alarms import alarms as _alarms

    return _alarms(open_run(run_id))


def preview_patches(name: str, settings: dict[str, Any], cohort: str, n: int = 16) -> PatchPreview:
    """Draw a few examples as training would see them."""
    chosen: Any = system(name, settings)
    return chosen.preview(open_cohort(cohort), n)


def filters(run_id: RunId, depth: int = 1) -> FilterBank:
    """Give the learned weights of a layer, counted from 1."""
    return shown(run_id, "filter_bank", depth)


def reconstructions(run_id: RunId, n: int = 12) -> Reconstructions:
    """Give held-out examples and what the network makes of them."""
    return shown(run_id, "reconstructions", n)


def encoder_decoder(run_id: RunId) -> EncoderDecoder:
    """Give what Figures 2a and 4 draw, from the live model."""
    return shown(run_id, "encoder_decoder")


def network_parts(run_id: RunId) -> NetworkParts:
    """Give what Figures 1 and 2 draw, from the live model."""
    return shown(run_id, "network_parts")


def convolution_parts(run_id: RunId, example: int = 0) -> ConvolutionParts:
    """Give what Figure 3 draws, from the live model and one held-out example."""
    return shown(run_id, "convolution_parts", example)


def two_blocks(run_id: RunId, n: int = 24) -> list[TwoBlocks]:
    """Give Figure 9's two blocks of weights for each modality."""
    return shown(run_id, "two_blocks", n)


def generate(
    run_id: RunId, *, n_chains: int = 8, steps: tuple[int, ...] = (0, 1, 2, 5, 10, 50, 200, 1000), start: str = "data",
    clamp: str = "", label: str = "", seed: int = 0,
) -> Chains:  # fmt: skip
    """Run Gibbs chains of a trained energy model.

    Args:
        run_id: of the run.
        n_chains: rows.
        steps: after how many Gibbs steps the visible means are kept.
        start: ``"data"`` (held-out examples) or ``"noise"``.
        clamp: a modality or table to hold fixed at held-out examples while the rest is sampled; empty for none.
        label: a class to hold fixed; empty for none.
        seed: of everything drawn.
    """
    return shown(run_id, "generate", n_chains=n_chains, steps=steps, start=start, clamp=clamp, label=label, seed=seed)


def generation_choices(run_id: RunId) -> dict[str, list[str]]:
    """Give what :func:`generate` can clamp (``"clamp"``) and condition on (``"label"``)."""
    return shown(run_id, "generation_choices")


def clamp_and_sample(run_id: RunId, clamp: str, *, seed: int = 0) -> SampledPart:
    """Hold one modality or table of every kept held-out example fixed and sample the rest, beside what it really was.

    Args:
        run_id: of a run that :func:`generation_choices` gives something to clamp for.
        clamp: the part to hold fixed.
        seed: of the chains.
    """
    from workbench.systems.cross_modal import sampled_part

    run, chosen = open_run(run_id), able(run_id, "generate")
    return sampled_part(chosen.generate, run, chosen.record(run), clamp, example_columns(run_id), seed)


def example_columns(run_id: RunId) -> list[str]:
    """Give the names of the elements of a run's examples; empty where these are no rows of tables, or none is left."""
    run = open_run(run_id)
    chosen: Any = system_of(run)
    source = chosen.record(run).source if hasattr(chosen, "record") else None
    if source is None or getattr(source, "kind", "") != "features":
        return []
    try:
        return list(source.columns(open_cohort(run.info.cohort or "").subjects[0]))
    except WorkbenchError:
        return []


def likelihood(
    run_id: RunId, *, n_betas: int = 4000, n_chains: int = 100, progress: Progress = silent
) -> LikelihoodView:
    """Estimate how likely a trained model holds training and held-out data, in nats; kept in the run once made."""
    return shown(run_id, "likelihood", n_betas=n_betas, n_chains=n_chains, progress=progress)


def noise_curves(run_ids: list[RunId], n_levels: int = 8) -> list[NoiseCurve]:
    """Give how each run's posterior changes as noise grows over the same held-out examples."""
    return [shown(run_id, "noise_curve", n_levels) for run_id in run_ids]


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
    return SubjectSearch(able(run_id, "prepared"), run, open_cohort(cohort)[subject])


def predict(run_id: RunId, cohort: str, out: Path, progress: Progress = silent) -> list[Path]:
    """Apply a run to every subject; images become NIfTI files on the lattice of their input, rows one table."""
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


def context_strip(run_id: RunId, cohort: str, subject: str, progress: Progress = silent) -> ContextStrip:
    """Give what a run believes of a subject from iteration to iteration; as slow as segmenting it.

    Raises:
        RunError: the run's system has no auto-context, or it is not finished.
        Cancelled: ``progress`` said so.
    """
    chosen = able(run_id, "context_strip")
    found: ContextStrip = chosen.context_strip(open_cohort(cohort)[subject], open_run(run_id), progress)
    return found


def patch_votes(
    run_id: RunId, cohort: str, subject: str, progress: Progress = silent
) -> Callable[[Sequence[float]], PatchVotes]:
    """Bring the atlases of a run onto a subject; give what tells who votes for the voxel at (x, y, z) mm RAS.

    Raises:
        RunError: the run's system does not vote, or it is not finished.
        Cancelled: ``progress`` said so.
    """
    chosen, run, one = able(run_id, "votes"), open_run(run_id), open_cohort(cohort)[subject]
    electorate = chosen.electorate(one, run, progress)

    def votes(point_mm: Sequence[float]) -> PatchVotes:
        found: PatchVotes = chosen.votes(one, run, point_mm, electorate=electorate)
        return found

    return votes


def figure_names(run_id: RunId) -> list[str]:
    """Give the names that :func:`figure` knows for a run."""
    from workbench.systems.run_figures import names

    run = open_run(run_id)
    return names(system_of(run), run)


def figure(run_id: RunId, name: str, theme: Theme = "light") -> Any:
    """Draw one figure of a run.

    Raises:
        SettingsError: there is no such figure or theme.
    """
    from workbench.systems.run_figures import draw

    run = open_run(run_id)
    return draw(system_of(run), run, name, theme)


def save_figure(run_id: RunId, name: str, out: Path, theme: Theme = "light") -> Path:
    """Draw one figure of a run into a .html or .png file."""
    from workbench.figures.export import save

    return save(figure(run_id, name, theme), out)


def shown(run_id: RunId, method: str, *args: Any, **named: Any) -> Any:
    """Give what a run's system makes of one of :data:`SHOWS`."""
    return getattr(able(run_id, method), method)(open_run(run_id), *args, **named)


def able(run_id: RunId, method: str) -> Any:
    """Give a run's system if it can show something.

    Raises:
        RunError: it cannot.
    """
    run = open_run(run_id)
    found = system_of(run)
    if not hasattr(found, method) or method in found.cannot_show(run):
        raise RunError(
            f"This run of {run.info.system} has no {SHOWS[method].removeprefix('a ').removeprefix('an ')} to show."
        )
    return found
