"""Ready-made comparisons of Section 2, and what one of them will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench import workflow
from workbench.errors import SettingsError

Changes = Mapping[str, Any]
ALL = "all"
START_UP_S, LEAST_S = 5.0, 0.5
"""What an estimate counts for starting a process, which an experiment does once; what any training takes."""


@dataclass(frozen=True)
class Recipe:
    """A ready-made comparison.

    Attributes:
        title: of it.
        about: what it asks, in a sentence.
        system: that is trained.
        variants: name → settings; the first is the reference.
        needs: settings that all share, whatever their size.
        sizes: sizes and epochs that show the difference in minutes on a CPU, on little data too.
    """

    title: str
    about: str
    system: str
    variants: Mapping[str, Changes]
    needs: Changes = field(default_factory=dict)
    sizes: Changes = field(default_factory=dict)


DEEP = {"n_hidden": (64, 64), "n_epochs": 30, "batch_size": 20}
RECIPES = (
    Recipe("Greedy pretraining, joint, or from scratch (2.3.1, 2.4)",
           "Does it help to let the layers learn without labels first, one after the other or all at once?",
           "fine_tuning",
           {"from scratch": {"start": "scratch"}, "greedy pretraining": {"start": "auto-encoders"},
            "joint pretraining": {"start": "joint"}},
           sizes={"n_hidden": (64, 32), "n_epochs_pretraining": 20, "n_epochs": 40, "batch_size": 20}),
    Recipe("Ways of pretraining (2.4)",
           "Plain or denoising auto-encoders, a deep belief network, or a deep Boltzmann machine below the labels?",
           "fine_tuning",
           {"from scratch": {"start": "scratch"}, "auto-encoders": {"start": "auto-encoders"},
            "denoising": {"start": "denoising"}, "belief network": {"start": "belief network"},
            "Boltzmann machine": {"start": "Boltzmann machine"}},
           sizes={"n_hidden": (64, 32), "n_epochs_pretraining": 20, "n_epochs": 40, "batch_size": 20}),
    Recipe("Every device of 2.6, one at a time",
           "What does each device add to a plain network of sigmoid units?", "mlp",
           {"plain": {}, "sparse start": {"initialization": "sparse"}, "ReLU": {"activation": "relu"},
            "denoising": {"corruption": "masking", "corruption_amount": 0.25}, "dropout": {"dropout": 0.5},
            "DropConnect": {"dropconnect": 0.5}, "batch norm": {"batch_norm": True}},
           {"activation": "sigmoid"}, DEEP),
    Recipe("Initialization (2.6, device 1)", "How much does it matter from which weights training starts?", "mlp",
           {"normal": {"initialization": "normal"}, "glorot": {"initialization": "glorot"},
            "sparse": {"initialization": "sparse"}}, {"activation": "sigmoid"}, DEEP),
    Recipe("Scheduled Nesterov momentum (2.6, device 1)",
           "Does momentum help, and does it help to take the gradient at the point looked ahead to?", "mlp",
           {"no momentum": {"optimizer": "sgd", "momentum_max": 0.0}, "momentum": {"optimizer": "sgd"},
            "nesterov": {"optimizer": "nesterov"}}, {"learning_rate": 0.05}, DEEP),
    Recipe("Rectified units (2.6, device 2)", "Do rectified units learn better than sigmoid ones?", "mlp",
           {"sigmoid": {"activation": "sigmoid"}, "ReLU": {"activation": "relu"},
            "leaky ReLU": {"activation": "leaky_relu"}}, {}, DEEP),
    Recipe("Denoising (2.6, device 3)", "Does it help to destroy part of every training input?", "mlp",
           {"clean": {"corruption": "none"}, "masking": {"corruption": "masking", "corruption_amount": 0.25}}, {},
           DEEP),
    Recipe("Dropout and DropConnect (2.6, device 4)", "Does it help to drop units, or weights, in training?", "mlp",
           {"none": {}, "dropout": {"dropout": 0.5}, "DropConnect": {"dropconnect": 0.5}}, {}, DEEP),
    Recipe("Batch normalization (2.6, device 5)", "Does it help to standardize every layer over the batch?", "mlp",
           {"without": {"batch_norm": False}, "with": {"batch_norm": True}}, {}, DEEP),
)  # fmt: skip


def own_recipe(system: str, title: str, varied: Mapping[str, str]) -> Recipe:
    """Make a comparison of all combinations of values.

    Args:
        system: its name.
        title: its title.
        varied: setting → values as text with commas between, such as ``"0, 0.5"`` or ``"[200], [100, 50]"``.

    Raises:
        SettingsError: fewer than two variants.
    """
    variants = workflow.parse_variants([f"{name}={values.strip(' ,')}" for name, values in varied.items()], [])
    if len(variants) < 2:
        raise SettingsError("A comparison needs two values or more, with commas between them; the first one is what "
                            "the others are compared with.")  # fmt: skip
    return Recipe(f"{title}: {', '.join(varied)}", f"How much do {', '.join(varied)} matter?", system, variants)


def parse_labels(chosen: Sequence[str]) -> tuple[int, ...]:
    """Read numbers of labelled examples, where ``"all"`` becomes 0; all of them if none is chosen.

    Raises:
        SettingsError: something that is no whole number from 1 on.
    """
    found = []
    for text in chosen or (ALL,):
        word = str(text).strip().lower()
        if word != ALL and not (word.isdecimal() and int(word)):
            raise SettingsError(f"A number of labelled examples is a whole number such as 100, or all; got {text!r}.")
        found.append(0 if word == ALL else int(word))
    return tuple(sorted(dict.fromkeys(found), key=lambda n: n or float("inf")))


def expected_seconds(
    recipe: Recipe, base: Changes, preset: str, labels: Sequence[int], n_seeds: int, n_examples: int = 0
) -> float:
    """Say roughly how long all trainings take, one after the other.

    Args:
        recipe: what is compared.
        base: settings that all variants share.
        preset: where the settings start from.
        labels: numbers of labelled examples; 0 for all.
        n_seeds: of each.
        n_examples: to learn from, where every subject is one; 0 where patches are drawn.

    Raises:
        SettingsError: a variant has a setting out of its bounds.
    """
    total = 0.0
    for changes in recipe.variants.values():
        for number in labels:
            named = {"n_labels": min(number, n_examples or number)} if number else {}
            settings = workflow.check_settings(recipe.system, {**base, **changes, **named}, preset)
            if n_examples:
                settings["n_patches"] = max(64, n_examples)
            seconds = 60 * workflow.estimate(recipe.system, settings).minutes
            total += max(LEAST_S, seconds - START_UP_S) * n_seeds
    return START_UP_S + total
