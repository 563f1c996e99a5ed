"""The figures of a run, by name: for the command line, the notebooks and the pages' downloads.

Which there are follows from what a system can show: a figure is there when the system has the method it is made from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from workbench.errors import SettingsError
from workbench.figures import context_strip, convolution, curves, diagrams, filters, networks, patches, strips
from workbench.figures.theme import Theme
from workbench.runs.run import Run
from workbench.systems import regional_figures
from workbench.systems.base import System

N_TILES = 64


def names(system: System, run: Run) -> list[str]:
    """Give the figures that a run has."""
    lacking = system.cannot_show(run)
    return [
        n for n, (method, _) in FIGURES.items() if not method or (hasattr(system, method) and method not in lacking)
    ]


def draw(system: System, run: Run, name: str, theme: Theme) -> Any:
    """Draw a figure of a run.

    Raises:
        SettingsError: no figure or theme of that name.
    """
    known = names(system, run)
    if name not in known:
        raise SettingsError(f"There is no figure {name!r} of this run; known ones are {', '.join(known)}.")
    if theme not in get_args(Theme):
        raise SettingsError(f"A figure's theme is one of {', '.join(get_args(Theme))}; got {theme!r}.")
    return FIGURES[name][1](system, run, theme)


def _curves(system: Any, run: Run, theme: Theme) -> Any:
    return curves.training_curves(run.metrics(), theme=theme)


def _filters(system: Any, run: Run, theme: Theme) -> Any:
    return _tiles(system, run, 1, theme)


def _code(system: Any, run: Run, theme: Theme) -> Any:
    return _tiles(system, run, len(system.filter_bank(run, 1).layers), theme)


def _tiles(system: Any, run: Run, depth: int, theme: Theme) -> Any:
    bank = system.filter_bank(run, depth)
    order = [int(i) for i in (-bank.norms).argsort()[:N_TILES]]
    if bank.weights.ndim == 4 and bank.weights.shape[1::2] == (1, 1):  # (n, 1, V, 1): rows of tables
        return strips.weight_strips(bank.weights[:, 0, :, 0], units=order, theme=theme)
    return filters.filter_tiles(
        bank.weights, mean_activation=bank.mean_activation, dead=bank.dead, order=order, layout="middle", theme=theme
    )


def _use(system: Any, run: Run, theme: Theme) -> Any:
    bank = system.filter_bank(run, 1)
    return filters.activation_histogram(bank.mean_activation, bank.sparsity_target, theme=theme)


def _reconstructions(system: Any, run: Run, theme: Theme) -> Any:
    found = system.reconstructions(run, 12)
    return patches.reconstruction_pairs(found.patches, found.rebuilt, theme=theme)


def _stack(system: Any, run: Run, theme: Theme) -> Any:
    parts = system.encoder_decoder(run)
    return diagrams.stack_diagram(parts.sizes, parts.weights, theme=theme)


def _encoder_decoder(system: Any, run: Run, theme: Theme) -> Any:
    return diagrams.encoder_decoder(system.encoder_decoder(run), theme=theme)


def _network(system: Any, run: Run, theme: Theme) -> Any:
    return networks.network_diagram(system.network_parts(run), theme=theme)


def _convolution(system: Any, run: Run, theme: Theme) -> Any:
    return convolution.convolution_diagram(system.convolution_parts(run), theme=theme)


def _context(system: Any, run: Run, theme: Theme) -> Any:
    strip = system.kept_strip(run)
    truth = None if strip.truth is None else strip.truth == 1
    steps = context_strip.ProbabilitySteps(
        strip.image, strip.maps[:, 1], strip.names, strip.classes[1], strip.dice_of(1), truth
    )  # fmt: skip
    return context_strip.context_strip(steps, theme=theme)


FIGURES: dict[str, tuple[str, Callable[[Any, Run, Theme], Any]]] = {
    "curves": ("", _curves),
    "filters": ("filter_bank", _filters),
    "code": ("filter_bank", _code),
    "use": ("filter_bank", _use),
    "reconstructions": ("reconstructions", _reconstructions),
    "stack": ("encoder_decoder", _stack),
    "encoder-decoder": ("encoder_decoder", _encoder_decoder),
    "network": ("network_parts", _network),
    "convolution": ("convolution_parts", _convolution),
    "functional-networks": ("regional_networks", regional_figures.figure_10),
    "connectivity": ("regional_networks", regional_figures.mean_connectivity),
    "states": ("states", regional_figures.state_raster),
    "transitions": ("states", regional_figures.transitions),
    "state-patterns": ("states", regional_figures.patterns),
    "ratios": ("diagnosis", regional_figures.ratios),
    "roc": ("diagnosis", regional_figures.roc),
    "sparsity": ("control_traces", regional_figures.control),
    "comparison": ("comparison", regional_figures.comparison),
    "reproducibility": ("comparison", regional_figures.reproducibility),
    "depth": ("depth_scores", regional_figures.depth_scores),
    "embedding": ("embedding", regional_figures.embedding),
    "auto-context": ("kept_strip", _context),
}
"""Name → the method it needs, and how it is drawn."""
