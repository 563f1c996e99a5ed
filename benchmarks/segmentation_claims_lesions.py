"""What of Brosch 2016 holds on lesion phantoms: the shortcut, the weighted loss, the pretraining.

Paths and starts: 14 patients of 3 mm (lesion load 0.1 to 2.6 % of the brain), 7 to train on and 7 to test; a small
network (8 maps, kernels of 5 × 5 × 5), 168 steps. Losses (plans that begin with "coarse"): 6 patients of 4 mm with 0.6
to 2.2 %, 3 to train on and 3 to test; the preset quick from random weights, 72 steps. Seeds draw the weights, the crops
and the order of the volumes.

    WORKBENCH_DATA=some/folder python benchmarks/segmentation_claims_lesions.py train [--seeds 3] [--only TEXT]
    python benchmarks/segmentation_claims_lesions.py report

``train`` leaves a file for every training in benchmarks' scratch folder and skips those that are there, so that it may
be stopped, go on, or run as several processes. ``report`` writes docs/brosch2016.csv and prints the tables of
docs/brosch2016.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

from workbench import workflow
from workbench.imaging.cohort import Cohort
from workbench.metrics.lesions import lesion_scores
from workbench.metrics.overlap import overlap
from workbench.paths import cohorts_dir, data_root
from workbench.phantoms.lesion import make_lesion
from workbench.runs.run import create_run
from workbench.systems.segmentation.brosch2016 import Brosch2016

SIZES_MM3 = (135.0, 810.0)
BANDS = ("below 135 mm³", "135 to 810 mm³", "810 mm³ and more")
HEAVY = 0.003
N_BATCHES = 7  # volumes to train on
BASE: dict[str, Any] = {
    "n_maps": 8, "first_kernel": (5, 5, 5), "second_kernel": (5, 5, 5), "crop": (24, 24, 24), "n_patches": 400,
    "n_epochs_pretraining": 4, "pretraining_rate": 3e-3, "n_epochs": 24, "pretraining": False,
}  # fmt: skip
COARSE = Brosch2016.preset("quick").changes | {"spacing_mm": 0.0, "pretraining": False, "n_epochs": 24}
OURS, COARSE_OURS = "CEN-s, random start", "coarse, r = 0.02"
PLANS: dict[str, dict[str, Any]] = {
    OURS: {},
    "CEN-s, pretrained": {"pretraining": True},
    "CEN, random start": Brosch2016.comparators["CEN"],
    "3-layer CEN, random start": Brosch2016.comparators["3-layer CEN"],
    "coarse, squared error": {"loss": "squared_error"},
    **{f"coarse, r = {r:g}": {"sensitivity_ratio": r} for r in (0.005, 0.02, 0.1, 0.4)},
}
PAIRS = (
    (OURS, "CEN, random start"),
    (OURS, "3-layer CEN, random start"),
    ("CEN-s, pretrained", OURS),
    (COARSE_OURS, "coarse, squared error"),
    (COARSE_OURS, "coarse, r = 0.005"),
    ("coarse, r = 0.1", COARSE_OURS),
    ("coarse, r = 0.4", "coarse, r = 0.1"),
)
TABLES = (
    ("dice, chosen", "dice of light loads", "dice of heavy loads", *(f"ltpr {b}, chosen" for b in BANDS),
     "lfpr, chosen"),
    ("sensitivity, half", "specificity, half", "dice, half", "subjects with nothing found, half", "threshold",
     "dice, chosen"),
    ("loss", "epochs, random", "epochs, pretrained", "seconds, random", "seconds, pretrained", "seconds saved"),
    ("seconds", "pretraining seconds", "loss at the end"),
)  # fmt: skip
SPENT: list[float] = []


class Timed(Brosch2016):
    """The same, its pretraining timed on the processor."""

    def _pretrain(self, *arguments: Any) -> None:
        begin = time.process_time()
        super()._pretrain(*arguments)
        SPENT.append(time.process_time() - begin)


def cohort(plan: str) -> Cohort:
    """Open the phantom of a plan, or make it."""
    name, n_subjects, spacing_mm, seed, load = (
        ("lesions-4mm", 6, 4.0, 12, (0.006, 0.03)) if plan.startswith("coarse") else
        ("lesions-3mm", 14, 3.0, 11, (0.001, 0.03))
    )  # fmt: skip
    if name not in [c.name for c in workflow.list_cohorts()]:
        make_lesion(cohorts_dir() / name, n_subjects=n_subjects, spacing_mm=spacing_mm, seed=seed, load=load)
    return workflow.open_cohort(name)


def train(plan: str, seed: int) -> dict[str, Any]:
    """Train once, segment the test subjects, and give everything that the tables need."""
    patients, base = cohort(plan), COARSE if plan.startswith("coarse") else BASE
    SPENT.clear()
    names = [s.name for s in patients]
    n_train = len(names) // 2
    system = Timed(**(base | PLANS[plan] | {"seed": seed}))
    split = {"train": names[:n_train], "test": names[n_train:]}
    run = create_run("brosch2016", system.model_dump(), seed=seed, cohort=patients.path, split=split)
    begin = time.process_time()
    system.fit(patients, run)
    seconds = time.process_time() - begin
    curves = run.metrics()
    loss = [float(v) for v in curves[(curves["stage"] == "train") & (curves["name"] == "loss")]["value"]]
    return {
        "loss": loss, "seconds": seconds, "pretraining_seconds": sum(SPENT),
        "threshold": float(run.load_arrays("threshold")["value"]),
        "subjects": {n: measured(system, patients, n, run) for n in names[n_train:]},
    }  # fmt: skip


def measured(system: Brosch2016, patients: Cohort, name: str, run: Any) -> dict[str, Any]:
    """Score one test subject, at the chosen threshold and at one half."""
    found = system.segment(patients[name], run)
    assert found.truth is not None
    mask = patients[name].mask_array(found.image)
    assert mask is not None
    rows: dict[str, Any] = {"load": float((found.truth > 0).sum() / mask.sum())}
    for at, predicted in {"chosen": found.classes > 0, "half": (found.probabilities[1] >= 0.5) & mask}.items():
        voxels = overlap(predicted, found.truth > 0, within=mask)
        lesions = lesion_scores(predicted, found.truth > 0, found.image.spacing, sizes_mm3=SIZES_MM3)
        rows[at] = {
            "dice": voxels.dice, "sensitivity": voxels.sensitivity, "specificity": voxels.specificity,
            "n_predicted": voxels.n_predicted, "lfpr": lesions.lfpr,
            "true": [b.n_true for b in lesions.by_size], "found": [b.n_found for b in lesions.by_size],
        }  # fmt: skip
    return rows


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the trainings that there are: plan → one a seed."""
    found = {}
    for name in PLANS:
        files = sorted(folder.glob(f"{file_name(name)}-seed*.json"))
        kept = [json.loads(f.read_text(encoding="utf-8")) for f in files if f.stat().st_size]
        if kept:
            found[name] = kept
    return found


def file_name(plan: str) -> str:
    """Give a plan's name as files have it."""
    return plan.replace(" ", "_").replace(",", "").replace("=", "")


def interval(values: Iterable[float]) -> tuple[float, float, float]:
    """Give mean and 95 % interval over seeds (Student's t)."""
    kept = [v for v in values if np.isfinite(v)]
    mean = statistics.fmean(kept) if kept else float("nan")
    if len(kept) < 2:
        return mean, float("nan"), float("nan")
    half = float(student.ppf(0.975, len(kept) - 1)) * statistics.stdev(kept) / len(kept) ** 0.5
    return mean, mean - half, mean + half


def mean_of(values: list[float]) -> float:
    """Give the mean of those that are numbers."""
    kept = [v for v in values if np.isfinite(v)]
    return statistics.fmean(kept) if kept else float("nan")


def quantities(one: dict[str, Any]) -> dict[str, float]:
    """Give the numbers of one training."""
    at = one["subjects"].values()
    row: dict[str, float] = {"threshold": one["threshold"], "loss at the end": one["loss"][-1]}
    for cut in ("chosen", "half"):
        for score in ("dice", "sensitivity", "specificity", "lfpr"):
            values = [s[cut][score] for s in at]  # Dice of an empty prediction is 0; it has no lfpr
            row[f"{score}, {cut}"] = mean_of(values)
        row[f"subjects with nothing found, {cut}"] = float(sum(s[cut]["n_predicted"] == 0 for s in at))
        for i, band in enumerate(BANDS):
            n_true = sum(s[cut]["true"][i] for s in at)
            row[f"ltpr {band}, {cut}"] = sum(s[cut]["found"][i] for s in at) / n_true if n_true else float("nan")
    row["dice of heavy loads"] = mean_of([s["chosen"]["dice"] for s in at if s["load"] >= HEAVY])
    row["dice of light loads"] = mean_of([s["chosen"]["dice"] for s in at if s["load"] < HEAVY])
    row["seconds"], row["pretraining seconds"] = one["seconds"], one["pretraining_seconds"]
    return row


def epochs_to(loss: list[float], level: float) -> float:
    """Give the first epoch, from 1, at which a loss has come down to a level; infinite if it has not."""
    reached = np.flatnonzero(np.asarray(loss) <= level)
    return float(reached[0] + 1) if reached.size else float("inf")


def starts(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Compare the two starts, seed by seed: epochs to losses that the random start reached on its way."""
    random, pretrained = found[OURS], found["CEN-s, pretrained"]
    rows = []
    for share in (1 / 3, 2 / 3, 1.0):
        for seed, (one, other) in enumerate(zip(random, pretrained, strict=False)):
            n = max(1, round(share * len(one["loss"])))
            level = min(one["loss"][:n])
            a, b = epochs_to(one["loss"], level), epochs_to(other["loss"], level)
            epoch_s = one["seconds"] / len(one["loss"])
            rows.append({
                "share": share, "seed": seed, "loss": level, "epochs, random": a, "epochs, pretrained": b,
                "steps, random": a * N_BATCHES, "steps, pretrained": b * N_BATCHES,
                "seconds, random": a * epoch_s, "seconds, pretrained": b * epoch_s + other["pretraining_seconds"],
            })  # fmt: skip
    return rows


def report(folder: Path, out: Path) -> None:
    """Write one row a plan and quantity, differences between plans seed by seed, and the curves; print the tables."""
    found = read(folder)
    each = {name: [quantities(one) for one in trainings] for name, trainings in found.items()}
    table = [row_of(name, q, [r[q] for r in rows]) for name, rows in each.items() for q in rows[0]]
    for one, other in PAIRS:
        if one in each and other in each:
            pairs = list(zip(each[one], each[other], strict=False))
            table += [row_of(f"{one} − {other}", q, [a[q] - b[q] for a, b in pairs]) for q in pairs[0][0]]
    for name, trainings in found.items():
        losses = np.array([one["loss"] for one in trainings])
        table += [row_of(name, f"loss of epoch {i}", list(values)) for i, values in enumerate(losses.T, 1)]
    begun = starts(found) if {OURS, "CEN-s, pretrained"} <= set(found) else []
    for share in dict.fromkeys(row["share"] for row in begun):
        mine = [row for row in begun if row["share"] == share]
        plan = f"to the loss of the random start after {share:.0%} of its epochs"
        table += [row_of(plan, q, [row[q] for row in mine]) for q in mine[0] if q not in ("share", "seed")]
        saved = [row["seconds, random"] - row["seconds, pretrained"] for row in mine]
        table.append(row_of(plan, "seconds saved", saved))
    with out.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["plan", "quantity", "mean", "low", "high", "n"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in r.items()} for r in table)
    shown = {(r["plan"], r["quantity"]): r for r in table}
    for columns in TABLES:
        print("| | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
        for plan in dict.fromkeys(r["plan"] for r in table):
            if all((plan, c) in shown for c in columns):
                print(f"| {plan} ({shown[plan, columns[0]]['n']}) | "
                      + " | ".join(cell(shown[plan, c]) for c in columns) + " |")  # fmt: skip
        print()


def row_of(plan: str, quantity: str, values: list[float]) -> dict[str, Any]:
    """Give one row of the file."""
    mean, low, high = interval(values)
    if not np.isfinite(values).all() and quantity.split(",")[0] in ("epochs", "steps", "seconds"):
        mean = low = high = float("inf")  # a seed did not come to that loss
    return {"plan": plan, "quantity": quantity, "mean": mean, "low": low, "high": high, "n": len(values)}


def cell(row: dict[str, Any]) -> str:
    """Write mean and interval."""
    return f"{row['mean']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"


def main() -> None:
    """Train what is missing, or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "report"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="plans whose names hold this")
    parser.add_argument("--scratch", type=Path, default=data_root() / "claims-lesions")
    parser.add_argument("--out", type=Path, default=Path("docs/brosch2016.csv"))
    arguments = parser.parse_args()
    if arguments.what == "report":
        report(arguments.scratch, arguments.out)
        return
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name in [n for n in PLANS if arguments.only in n]:
        for seed in range(arguments.seeds):
            file = arguments.scratch / f"{file_name(name)}-seed{seed}.json"
            try:
                file.touch(exist_ok=False)  # claimed: another process leaves it alone
            except FileExistsError:
                continue
            one = train(name, seed)
            file.write_text(json.dumps(one), encoding="utf-8")
            row = quantities(one)
            print(name, seed, {k: round(row[k], 3) for k in list(row)[:6]}, f"{one['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
