"""The claim of Figure 5 as a measured table: patches, SIFT and learnt features on clean and on degraded images.

    python benchmarks/figure5.py --out docs/figure5.csv [--pairs 5] [--points 200] [--preset cpu] [--set key=value]

Brains of one seed train the network; pairs of another are searched. A condition changes the searched subject alone,
one dial at a time; the deformations are the same in every condition. The training images are clean or, in the last
rows, as degraded as the searched ones ("any look": the features are learnt without labels, so nothing prevents it).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from workbench import workflow
from workbench.imaging.cohort import Cohort
from workbench.phantoms.appearance import BrainAppearance
from workbench.phantoms.brain import make_brain
from workbench.systems.feature_search import SubjectSearch
from workbench.systems.feature_study import study_pair, summarize

CLEAN = BrainAppearance(bias=0.0, noise=0.0)
CONDITIONS = {
    "clean": CLEAN,
    "bias": replace(CLEAN, bias=0.9),
    "contrast": replace(CLEAN, gamma=(0.5, 0.7)),
    "noise": replace(CLEAN, noise=0.06),
    "all three": replace(CLEAN, bias=0.9, gamma=(0.5, 0.7), noise=0.06, texture=0.12),
}
MODALITY = "other modality"
SEED_TRAIN, SEED_TEST = 11, 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="CSV of the summary; the same as Markdown beside it")
    parser.add_argument("--again", action="store_true", help="only write the Markdown of a CSV that is there")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--spacing", type=float, default=2.0)
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    if arguments.again:
        arguments.out.with_suffix(".md").write_text(as_markdown(pd.read_csv(arguments.out)), encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = study(Path(folder), arguments)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    table = summarize(rows, by=("training", "condition", "feature"))
    table.round(4).to_csv(arguments.out, index=False)
    arguments.out.with_suffix(".md").write_text(as_markdown(table), encoding="utf-8")
    print(table[table.score.isin(["share_above", "distance_mm", "found"])].to_string(index=False, float_format="%.3f"))


def study(root: Path, arguments: argparse.Namespace) -> pd.DataFrame:
    changes = {"modality": "T1", **dict(_pair(text) for text in arguments.set)}
    templates, searched = _cohorts(root, arguments)
    found = []
    for training, look in (("clean", CLEAN), ("any look", CONDITIONS["all three"])):
        learnt_on = make_brain(
            root / f"train-{training}",
            n_subjects=8,
            seed=SEED_TRAIN,
            spacing_mm=arguments.spacing,
            difficulty=look,
            modalities=["T1"],
        )
        begin = time.perf_counter()
        run = workflow.train("wu2016", learnt_on.path, changes, preset=arguments.preset)
        print(
            f"trained on {training}: {time.perf_counter() - begin:.0f} s, {(run.result() or {})['scores']}", flush=True
        )
        system, other = (workflow.system_of(run, changes={"modality": m}) for m in ("T1", "T2"))
        for pair in range(arguments.pairs):
            names = f"brain-{2 * pair + 1:02d}", f"brain-{2 * pair + 2:02d}"
            template = SubjectSearch(system, run, templates[names[0]])
            for condition, cohort in searched.items():
                subject = SubjectSearch(other if condition == MODALITY else system, run, cohort[names[1]])
                rows = study_pair(template, subject, arguments.points, pair, only_learnt=training != "clean")
                found.append(rows.assign(condition=condition, training=training))
            print(f"pair {pair + 1} of {arguments.pairs}", flush=True)
    return pd.concat(found)


def _cohorts(root: Path, arguments: argparse.Namespace) -> tuple[Cohort, dict[str, Cohort]]:
    def make(name: str, look: BrainAppearance, modalities: list[str]) -> Cohort:
        return make_brain(
            root / name,
            n_subjects=2 * arguments.pairs,
            seed=SEED_TEST,
            spacing_mm=arguments.spacing,
            difficulty=look,
            modalities=modalities,
        )

    clean = make("clean", CLEAN, ["T1", "T2"])
    searched = {name: make(name, look, ["T1"]) for name, look in CONDITIONS.items() if name != "clean"}
    return clean, {"clean": clean, **searched, MODALITY: clean}


def as_markdown(table: pd.DataFrame) -> str:
    """Lay the summary out as one table a score: features down, conditions across, means with 95 % intervals."""
    titles = {
        "share_above": "Share of voxels scoring above the truth (%)",
        "rank": "Rank of the truth among all voxels of the brain",
        "distance_mm": "Distance of the best match to the truth (mm)",
        "found": "Share of points whose best match is within 3 mm",
    }
    n_points, n_pairs = int(table["n_points"].max()), int(table["n_pairs"].max())
    lines = [
        "# The claim of Figure 5, measured",
        "",
        f"{n_pairs} pairs of phantoms, {n_points} points in all, drawn where the template's gradient is large; every "
        "voxel of the brain is a candidate. Means with 95 % intervals, brains resampled as a whole. Made by "
        "`benchmarks/figure5.py`.",
    ]
    for score, title in titles.items():
        part = table[table["score"] == score]
        conditions = list(dict.fromkeys(part["condition"]))
        lines += [
            "",
            f"## {title}",
            "",
            "| feature, measure | " + " | ".join(conditions) + " |",
            "|---" * (len(conditions) + 1) + "|",
        ]
        for (training, feature), rows in part.groupby(["training", "feature"], sort=False):
            name = feature if training == "clean" else f"{feature}, learnt on degraded images"
            cells = {row.condition: f"{row.mean:.3g} ({row.low:.3g} to {row.high:.3g})" for row in rows.itertuples()}
            lines.append(f"| {name} | " + " | ".join(cells.get(c, "") for c in conditions) + " |")
    return "\n".join(lines) + "\n"


def _pair(text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


if __name__ == "__main__":
    main()
