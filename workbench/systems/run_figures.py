"""The figures of a feature learner's run, by name: for the command line, the notebooks and the pages' downloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from workbench.errors import SettingsError
from workbench.figures import curves, diagrams, filters, patches
from workbench.figures.theme import Theme
from workbench.runs.run import Run
from workbench.systems.feature_views import encoder_decoder_parts, filter_bank, reconstructions
from workbench.systems.features_base import FeatureLearning

N_TILES = 64


def draw(system: FeatureLearning, run: Run, name: str, theme: Theme) -> Any:
    """Draw a figure of a run.

    Raises:
        SettingsError: no figure or theme of that name.
    """
    if name not in FIGURES:
        raise SettingsError(f"There is no figure {name!r} of this run; known ones are {', '.join(FIGURES)}.")
    if theme not in get_args(Theme):
        raise SettingsError(f"A figure's theme is one of {', '.join(get_args(Theme))}; got {theme!r}.")
    return FIGURES[name](system, run, theme)


def _curves(system: FeatureLearning, run: Run, theme: Theme) -> Any:
    return curves.training_curves(run.metrics(), theme=theme)


def _filters(system: FeatureLearning, run: Run, theme: Theme) -> Any:
    return _tiles(system, run, 1, theme)


def _code(system: FeatureLearning, run: Run, theme: Theme) -> Any:
    return _tiles(system, run, len(filter_bank(system, run, 1).layers), theme)


def _tiles(system: FeatureLearning, run: Run, depth: int, theme: Theme) -> Any:
    bank = filter_bank(system, run, depth)
    order = [int(i) for i in (-bank.norms).argsort()[:N_TILES]]
    return filters.filter_tiles(
        bank.weights, mean_activation=bank.mean_activation, dead=bank.dead, order=order, layout="middle", theme=theme
    )


def _use(system: FeatureLearning, run: Run, theme: Theme) -> Any:
    return filters.activation_histogram(
        filter_bank(system, run, 1).mean_activation, system.sparsity_target, theme=theme
    )


def _reconstructions(system: FeatureLearning, run: Run, theme: Theme) -> Any:
    found = reconstructions(system, run, 12)
    return patches.reconstruction_pairs(found.patches, found.rebuilt, theme=theme)


def _stack(system: FeatureLearning, run: Run, theme: Theme) -> Any:
    parts = encoder_decoder_parts(system, run)
    return diagrams.stack_diagram(parts.sizes, parts.weights, theme=theme)


def _encoder_decoder(system: FeatureLearning, run: Run, theme: Theme) -> Any:
    return diagrams.encoder_decoder(encoder_decoder_parts(system, run), theme=theme)


FIGURES: dict[str, Callable[[FeatureLearning, Run, Theme], Any]] = {
    "curves": _curves,
    "filters": _filters,
    "code": _code,
    "use": _use,
    "reconstructions": _reconstructions,
    "stack": _stack,
    "encoder-decoder": _encoder_decoder,
}
