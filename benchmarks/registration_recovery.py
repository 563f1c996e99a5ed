"""The known deformation of phantoms, recovered: end-point errors in mm of every way to register.

    python benchmarks/registration_recovery.py --seeds 5 [--spacing 3] [--difficulty easy 7T-like]
    python benchmarks/registration_recovery.py --report

Brain phantoms know where each point of one lies in another. Of every seed six are made; features are learnt without
labels from the first four, and the last two are registered both ways. Those like 7 T carry a strong bias field and
fine texture, and nothing is corrected first. The error of a voxel is the distance between where the map sends it and
where it truly lies, over the voxels of the fixed brain.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from registration_real import KINDS, METHODS, append, trained

from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.metrics.intervals import mean_interval, paired_difference_interval
from workbench.phantoms.brain import make_brain
from workbench.runs.run import Run
from workbench.systems.feature_search import true_match
from workbench.systems.registering import register_subjects
from workbench.systems.registration_settings import RegistrationSettings, method_of

ROOT = Path(__file__).resolve().parents[1]
N_LEARNT = 4
SHOWN = [m for m in METHODS if m != "HAMMER + SIFT"]
COLUMNS = ["difficulty", "seed", "fixed", "method", "mean_mm", "p95_mm", "dice", "folded_share"]
TITLE = "# Recovery of a known deformation\n"
HEADER = "| method | mean error, mm | against affine, mm | 95th percentile, mm | Dice of tissues | folded, % |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=0, help="0 registers nothing")
    parser.add_argument("--spacing", type=float, default=3.0, help="of the phantoms in mm")
    parser.add_argument("--difficulty", nargs="*", default=["easy", "7T-like"])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "registration_recovery.csv")
    parser.add_argument("--report", action="store_true", help="write the table beside the CSV")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for difficulty in given.difficulty:
        for seed in range(given.seeds):
            with tempfile.TemporaryDirectory() as folder:
                os.environ["WORKBENCH_DATA"] = folder
                cohort = make_brain(
                    Path(folder) / "cohorts" / "brains", n_subjects=N_LEARNT + 2, seed=seed, spacing_mm=given.spacing,
                    difficulty=difficulty, modalities=["T1"],
                )  # fmt: skip
                append(given.out, rows_of(cohort, difficulty, seed, given.spacing), COLUMNS)
    if given.report:
        given.out.with_suffix(".md").write_text(report(pd.read_csv(given.out)), encoding="utf-8")


def rows_of(cohort: Cohort, difficulty: str, seed: int, spacing_mm: float) -> list[dict[str, Any]]:
    """Register the last two phantoms both ways by every method."""
    people = [s for s in cohort if s.name != "template"]
    learnt, (one, other) = [s.name for s in people[:N_LEARNT]], people[N_LEARNT:]
    runs: dict[str, Run] = {}
    rows = []
    for fixed, moving in ((one, other), (other, one)):
        for method in SHOWN:
            key, learner = METHODS[method]
            features = None
            if learner is not None:
                settings = KINDS[learner] | {"spacing_mm": spacing_mm}
                system, runs[learner] = trained(settings, cohort, learnt, runs.get(learner))
                features = system.learnt_features(runs[learner])
            found = errors(method_of(key), fixed, moving, features)
            rows.append({"difficulty": difficulty, "seed": seed, "fixed": fixed.name, "method": method, **found})
            print(f"{difficulty} {seed} {fixed.name} {method}: {found['mean_mm']:.2f} mm", flush=True)
    return rows


def errors(method: Any, fixed: Subject, moving: Subject, features: Any) -> dict[str, float]:
    """Give the mean and the 95th percentile of the error in mm, and the mean Dice of the tissues."""
    found = register_subjects(method, fixed, moving, RegistrationSettings(), learnt=features)
    truth, labels = fixed.label_map(found.fixed), moving.label_map(found.moving)
    assert truth is not None and labels is not None
    places = found.fixed.to_mm(np.argwhere(truth > 0))
    meant = true_match(fixed, moving, places)
    assert meant is not None
    off = np.linalg.norm(found.warp_points(places) - meant, axis=1)
    warped = found.warp_labels(labels)
    dice = [2 * ((warped == k) & (truth == k)).sum() / ((warped == k).sum() + (truth == k).sum()) for k in (1, 2, 3)]
    return {
        "mean_mm": float(off.mean()), "p95_mm": float(np.percentile(off, 95)), "dice": float(np.mean(dice)),
        "folded_share": found.folded_share,
    }  # fmt: skip


def report(table: pd.DataFrame) -> str:
    """Give the Markdown."""
    words = " ".join(__doc__.strip().split("\n\n")[-1].split())
    lines = [TITLE, f"`python benchmarks/registration_recovery.py --seeds 5`, then `--report`. {words} Voxels of 3 mm; "
             f"95 % bootstrap intervals that draw seeds, of which there are {table.seed.nunique()}.\n"]  # fmt: skip
    for difficulty, rows in table.groupby("difficulty", sort=False):
        means = rows.pivot_table(index=["seed", "fixed"], columns="method", values="mean_mm")
        seeds = list(means.index.get_level_values("seed"))
        lines += [f"## {difficulty}\n", HEADER, "|" + "---|" * 6]
        for method in SHOWN:
            here = rows[rows.method == method]
            gap = paired_difference_interval(means[method].to_numpy(), means["affine"].to_numpy(), clusters=seeds)
            mean = "{:.2f} ({:.2f} to {:.2f})".format(*mean_interval(means[method].to_numpy(), clusters=seeds))
            gained = "" if method == "affine" else f"{gap.mean:+.2f} ({gap.low:+.2f} to {gap.high:+.2f})"
            lines.append(
                f"| {method} | {mean} | {gained} | {here.p95_mm.mean():.2f} | {here.dice.mean():.3f} | "
                f"{100 * here.folded_share.mean():.2g} |"
            )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
