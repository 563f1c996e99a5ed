"""The form of a new comparison: what is varied, on what, how often, and what that will take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from workbench import workflow
from workbench.app import state
from workbench.app.experiment_recipes import ALL, RECIPES, Recipe, expected_seconds, own_recipe, parse_labels
from workbench.app.jobs import seconds
from workbench.app.launch_form import preset_title
from workbench.app.messages import guard, plain
from workbench.app.table_view import is_of_pictures

OWN = "A comparison of your own"
PREPARED = "prepared"
TRAINED_SHARE = 0.7
SIZES = ("quick", "cpu", "full")


def experiment_form() -> str:
    """Ask what to compare and start it; gives the id of the experiment that was started, or nothing."""
    titles = {recipe.title: recipe for recipe in RECIPES}
    title = str(st.selectbox("What to compare", [*titles, OWN], key="experiment-recipe"))
    recipe = titles.get(title)
    if recipe is not None:
        st.caption(recipe.about)
    with guard("read this comparison"):
        recipe = recipe or _own()
        if recipe is not None:
            return _rest(recipe)
    return ""


def _rest(recipe: Recipe) -> str:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        cohort = state.choose("Cohort", state.cohort_names(), "cohort")
        size = _size(recipe)
        n_seeds = int(st.number_input("Seeds", 2, 100, 10, key="experiment-seeds", width=110))
        labels = _labels(recipe.system)
    preset = "cpu" if size == PREPARED else size
    base = {**recipe.needs, **(recipe.sizes if size == PREPARED else {})}
    n_trainings = len(recipe.variants) * n_seeds * len(labels)
    took = _expected(recipe, base, preset, labels, n_seeds, _n_examples(cohort))
    names = ", ".join(f"**{plain(name)}**" for name in recipe.variants)
    st.markdown(f"{names}; the first is what the others are compared with.")
    st.caption(
        f"{len(recipe.variants)} variants × {n_seeds} seeds"
        + (f" × {len(labels)} numbers of labels" if len(labels) > 1 else "")
        + f" = {n_trainings} trainings, one after the other; very roughly {seconds(took)} on this machine. "
        + _size_words(recipe, size, preset)
    )
    if st.button("Start", type="primary", icon=":material/play_arrow:", key="experiment-start"):
        made = workflow.start_experiment(
            recipe.system, cohort, base, recipe.variants, n_seeds, labels, recipe.title, preset=preset
        )
        return str(made.id)
    return ""


def _size(recipe: Recipe) -> str:
    presets = [p.name for p in workflow.system_presets(recipe.system)]
    sizes = [p for p in SIZES if p in presets] if recipe.title in {r.title for r in RECIPES} else presets
    options = ([PREPARED] if recipe.sizes else []) + sizes
    start = next((name for name in (PREPARED, "cpu", "quick") if name in options), options[0])
    chosen = st.selectbox(
        "Size", options, options.index(start), key=f"experiment-size-{recipe.system}-{bool(recipe.sizes)}", width=150,
        format_func=preset_title,
    )  # fmt: skip
    return str(chosen)


def _size_words(recipe: Recipe, size: str, preset: str) -> str:
    if size == PREPARED:
        titles = {f.name: f.title.lower() for f in workflow.system_fields(recipe.system)}
        told = ", ".join(f"{titles[name]} {_text(value)}" for name, value in recipe.sizes.items())
        return f"Prepared for this question: {told}."
    sentence = next(p.sentence for p in workflow.system_presets(recipe.system) if p.name == preset)
    return sentence + (" Too short to judge by." if size == "quick" else "")


def _text(value: Any) -> str:
    return " and ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _labels(system: str) -> tuple[int, ...]:
    if not any(f.name == "n_labels" for f in workflow.system_fields(system)):
        return (0,)
    chosen = st.multiselect(
        "Labelled examples", ["20", "50", "100", "200", "500", "1000", ALL], ["100", ALL], key="experiment-labels",
        accept_new_options=True, help="On how many the variants learn from labels; any number may be typed.",
    )  # fmt: skip
    return parse_labels([str(c) for c in chosen])


def _own() -> Recipe | None:
    """Ask for a system and values of its settings."""
    cards = {card.name: card for card in workflow.list_systems()}
    system = str(st.selectbox("System", list(cards), format_func=lambda n: cards[n].title, key="experiment-system"))
    fields = {f.name: f for f in workflow.system_fields(system) if f.name not in ("seed", "n_labels")}
    names = st.multiselect(
        "Settings to vary", list(fields), format_func=lambda n: fields[n].title, max_selections=2,
        key=f"experiment-fields-{system}", help="Of two settings, all combinations are compared.",
    )  # fmt: skip
    varied = {name: _values(system, fields[name]) for name in names}
    if not varied or not all(varied.values()):
        st.caption("Choose a setting and give two or more values; the first is what the others are compared with.")
        return None
    return own_recipe(system, cards[system].title, varied)


def _values(system: str, field: Any) -> str:
    """Ask for the values of one setting and give them as text."""
    key = f"experiment-values-{system}-{field.name}"
    if field.kind == "boolean":
        return "false, true"
    if field.kind == "choice":
        return ", ".join(map(str, st.multiselect(field.title, field.choices, key=key, help=field.help)))
    example = "[200], [100, 50]" if field.kind == "numbers" else f"{field.default}, …"
    return st.text_input(field.title, key=key, placeholder=f"for example {example}", help=field.help).strip()


def _n_examples(cohort_name: str) -> int:
    """Give how many examples training gets where a subject is one, else 0."""
    cohort = workflow.open_cohort(cohort_name)
    if cohort.modalities and not is_of_pictures(cohort):
        return 0
    in_training = sum(s.split == "train" for s in cohort)
    return in_training or round(TRAINED_SHARE * len(cohort))


def _expected(
    recipe: Recipe, base: Mapping[str, Any], preset: str, labels: tuple[int, ...], n_seeds: int, n_examples: int
) -> float:
    asked = {"system": recipe.system, "variants": dict(recipe.variants), "base": dict(base), "preset": preset}
    return _expected_of(json.dumps(asked | {"labels": labels, "n_examples": n_examples}), n_seeds)


@st.cache_data(max_entries=100, show_spinner=False)
def _expected_of(asked: str, n_seeds: int) -> float:
    of = json.loads(asked)
    recipe = Recipe("", "", of["system"], of["variants"])
    return expected_seconds(recipe, of["base"], of["preset"], of["labels"], n_seeds, of["n_examples"])
