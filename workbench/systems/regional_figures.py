"""The figures of a run on regional signals: Figure 10, states, diagnosis, the sparsity controller."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from workbench.errors import SettingsError
from workbench.figures import depth, recovery, scores, sparsity, state_patterns
from workbench.figures import diagnosis as diagnoses
from workbench.figures import states as state_figures
from workbench.figures.connectivity_matrix import connectivity_matrix
from workbench.figures.edges import Regions
from workbench.figures.functional_networks import FunctionalUnit, functional_networks
from workbench.figures.strips import weight_strips
from workbench.figures.theme import Theme
from workbench.metrics.intervals import mean_interval
from workbench.metrics.permutation import permutation_test
from workbench.metrics.recovery import dice_networks
from workbench.runs.run import Run
from workbench.systems.regional_cv import widened_roc
from workbench.systems.regional_views import RegionalNetworks

N_REGIONS = 12
VOXEL_SHARE = 0.05
"""Of the voxels, those that stand for a unit."""
N_COMPARED, MOST_RIVALS, N_STRIPS = 4, 3, 24
N_SHUFFLES = 2000


def regions_of(found: RegionalNetworks) -> Regions:
    """Give the regions as figures take them."""
    return Regions(found.regions, found.coordinates_mm, found.networks, found.voxel_mm)


def strongest(found: RegionalNetworks) -> int:
    """Give how many regions, or voxels, stand for a unit."""
    n = len(found.regions)
    return min(N_REGIONS, n) if found.voxel_mm is None else max(1, round(VOXEL_SHARE * n))


def functional_units(found: RegionalNetworks, top: int = N_REGIONS) -> list[FunctionalUnit]:
    """Name every unit by the reference network that its strongest regions overlap with most."""
    if not any(found.networks):
        return [FunctionalUnit(t, w, "", 0.0, 0.0) for t, w in zip(found.titles, found.weights, strict=True)]
    overlap = dice_networks(found.weights, found.networks, min(top, len(found.regions)))
    return [
        FunctionalUnit(title, w, overlap.names[best], float(purity), float(dice[best]))
        for title, w, best, purity, dice in zip(
            found.titles, found.weights, overlap.best, overlap.purity, overlap.dice, strict=True
        )
    ]


def figure_10(system: Any, run: Run, theme: Theme) -> Any:
    """Draw pure networks left and mixed ones right; the weights as strips where no region has a place."""
    found = system.regional_networks(run)
    if not regions_of(found).placed.any():
        order = np.argsort(-np.abs(found.weights).max(1), kind="stable")[:N_STRIPS]
        fig = weight_strips(found.weights, list(found.regions), units=order.tolist(), theme=theme)
        return fig.update_yaxes(title="", ticktext=[found.titles[i] for i in order])
    n = strongest(found)
    if found.voxel_mm is not None and not any(found.networks):
        chosen = np.argsort(-np.linalg.norm(found.weights, axis=1), kind="stable")[:6]
        titles = [found.titles[i] for i in chosen]
        return state_patterns.brain_panels(
            found.weights[chosen], regions_of(found), (titles, 3), quantity="weight", theme=theme
        )
    if found.voxel_mm is None:
        n = int(np.clip(n, 8, 14))
    return functional_networks(functional_units(found, n), regions_of(found), n_regions=n, theme=theme)


def mean_connectivity(system: Any, run: Run, theme: Theme) -> Any:
    """Draw the mean correlation of the training subjects."""
    found = system.regional_networks(run)
    if found.connectivity is None:
        raise SettingsError(f"{len(found.regions):,} regions or voxels have no matrix of connections; see their maps.")
    return connectivity_matrix(found.connectivity, regions_of(found), quantity="r", theme=theme)


def state_raster(system: Any, run: Run, theme: Theme) -> Any:
    """Draw every subject's path under the first class's model."""
    view = system.states(run)[0]
    return state_figures.state_raster(
        view.paths, view.tr_s, subjects=view.subjects, classes=view.classes, n_states=len(view.transitions),
        theme=theme,
    )  # fmt: skip


def transitions(system: Any, run: Run, theme: Theme) -> Any:
    """Draw the transitions of the first class's model."""
    view = system.states(run)[0]
    stay = np.diag(view.transitions)
    dwell = None if view.tr_s is None else view.tr_s / np.maximum(1 - stay, 1e-9)
    frames = np.bincount(np.concatenate(view.paths), minlength=len(stay))
    return state_figures.transition_graph(
        view.transitions, occupancy=frames / frames.sum(), dwell_s=dwell, theme=theme
    )  # fmt: skip


def patterns(system: Any, run: Run, theme: Theme) -> Any:
    """Draw the mean signal of the first class's states over regions."""
    view, found = system.states(run)[0], system.regional_networks(run)
    return state_patterns.state_patterns(view.patterns, regions_of(found), theme=theme)


def ratios(system: Any, run: Run, theme: Theme) -> Any:
    """Draw every subject's cross-validated score by the run's own method."""
    found = system.diagnosis(run)
    values = next(iter(found.scores.values()))
    return diagnoses.likelihood_ratios(
        values, [found.classes[t] for t in found.target], positive=found.classes[1], subjects=found.subjects,
        unit="", quantity=found.of_what, theme=theme,
    )  # fmt: skip


def roc(system: Any, run: Run, theme: Theme) -> Any:
    """Draw the cross-validated ROC of the run's own method beside what shuffled classes give."""
    found = system.diagnosis(run)
    values = next(iter(found.scores.values()))
    band = widened_roc(found.target, values, found.subjects, len(np.unique(found.fold)))
    test = permutation_test(found.target, values, "auc", n=N_SHUFFLES)
    return diagnoses.roc_with_chance(
        diagnoses.RocBand(
            band.false_positive_rate, band.true_positive_rate, band.low, band.high, test.observed,
            (band.auc.low, band.auc.high), test.null, test.p,
        ),
        theme=theme,
    )  # fmt: skip


def control(system: Any, run: Run, theme: Theme) -> Any:
    """Draw how the controller drove the weights to their targets."""
    traces = system.control_traces(run)
    table = pd.concat(
        pd.DataFrame({"step": t.steps, "layer": t.layer, "target": t.target, t.measure: t.values, "beta": t.betas})
        for t in traces
    )
    return sparsity.sparsity_traces(table, measure=traces[0].measure, theme=theme)


def comparison(system: Any, run: Run, theme: Theme) -> Any:
    """Draw the machine's units that other methods find too beside their partners among those methods' components."""
    found, regions = system.comparison(run), regions_of(system.regional_networks(run))
    own, *others = found.methods
    partners = {method: found.partners(method) for method in others[:MOST_RIVALS]}
    alike = np.mean([np.abs(r) for _, r in partners.values()], axis=0)
    units = np.argsort(-alike, kind="stable")[:N_COMPARED]
    maps = {own: found.maps[own][units]}
    r: dict[str, np.ndarray] = {}
    for method, (place, correlation) in partners.items():
        turned = np.sign(correlation)[:, None] * found.maps[method][place]
        maps[method] = np.where(place[:, None] < 0, np.nan, turned)[units]
        r[method] = np.abs(correlation)[units]
    names = [f"unit {u + 1}" for u in units]
    alt = f"{len(units)} units of {own} that the others find most alike, beside their partners by {', '.join(maps)}."
    if not regions.placed.any():
        rows = np.concatenate([np.nan_to_num(m) for m in maps.values()])
        fig = weight_strips(rows, list(regions.names), theme=theme)
        fig.update_yaxes(title="", ticktext=[f"{m} · {n}" for m in maps for n in names])
    else:
        fig = recovery.matched_networks(maps, r, regions, names=names, theme=theme)
    fig.layout.meta = fig.layout.meta | {"alt": alt}
    return fig


def reproducibility(system: Any, run: Run, theme: Theme) -> Any:
    """Draw how well each method's maps of one half of the subjects come back in the other half."""
    found = system.comparison(run)
    cases = pd.DataFrame(
        {"run": method, "subject": f"map {i + 1}", "score": "split-half |r|", "value": v}
        for method in found.methods
        for i, v in enumerate(found.reproducibility[method])
    )
    fig = scores.compare_scores(cases, theme=theme)
    fig.layout.meta = fig.layout.meta | {
        "alt": "Reproducibility of each map over two halves of the subjects, by method."
    }
    return fig


def depth_scores(system: Any, run: Run, theme: Theme) -> Any:
    """Draw F-scores by depth and classifier."""
    found = system.depth_scores(run)
    intervals = np.array([[list(mean_interval(found.f[:, c, d])) for d in range(len(found.depths))]
                          for c in range(len(found.classifiers))])  # fmt: skip
    return depth.scores_by_depth(
        found.f, intervals, found.depths, found.classifiers, permuted=found.permuted, theme=theme
    )


def embedding(system: Any, run: Run, theme: Theme) -> Any:
    """Draw the subjects in the plane at every depth."""
    found = system.embedding(run)
    return depth.embeddings(
        found.places, found.target, found.classes, found.depths, trustworthiness=found.trustworthiness,
        held_out=found.held_out, subjects=found.subjects, theme=theme,
    )  # fmt: skip
