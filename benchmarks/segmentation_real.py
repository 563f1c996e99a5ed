"""Segmentation systems on real images, learnt on some subjects and tested on others.

    python benchmarks/segmentation_real.py --study tissue_infant [--minutes 3] [--threads 1]
    python benchmarks/segmentation_real.py --report

Every system of a study learns for the same processor time in every fold, then MONAI's UNet for as long as the slowest
of them took. What was done is kept row by row, so a study goes on where it was cut off. Nothing is chosen on test
subjects. Real images are looked for in ``WORKBENCH_REAL_DATA``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from row_table import append
from segmentation_baselines import cluster_maps, skull_masks, thresholded
from segmentation_cohorts import CSF, GREY, WHITE, folds_of, make_cohort
from segmentation_peers import LesionUNet, MonaiUNet, TumorUNet
from segmentation_real_report import report

from workbench.imaging.cohort import Cohort
from workbench.metrics.segmentation import BRATS_NAMES
from workbench.paths import cohorts_dir
from workbench.runs.run import Run, create_run
from workbench.runs.training import Training
from workbench.systems.catalog import load
from workbench.systems.segmentation_base import Segmentation

ROOT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("WORKBENCH_REAL_DATA", ROOT.parent / "shared" / "data"))
SCORES = (
    "dice", "hd95_mm", "mean_surface_mm", "sensitivity", "specificity", "ppv", "ltpr", "lfpr", "n_true_lesions",
    "n_false_lesions", "true_ml", "predicted_ml",
)  # fmt: skip
UNET = "MONAI UNet"


@dataclass(frozen=True)
class Study:
    """One cohort, what learns on it and what it is compared with.

    Attributes:
        classes: of label values.
        n_folds: every n-th subject is tested at a time.
        systems: name → differences from its preset ``cpu``; a plateau is given in thousandths of all steps.
        peer: settings of the UNet.
        unet: its class, which says what is scored.
        never_learnt: subjects that only are tested, in every fold.
    """

    classes: str
    n_folds: int
    systems: dict[str, dict[str, Any]]
    peer: dict[str, Any] = field(default_factory=dict)
    unet: type[MonaiUNet] = MonaiUNet
    never_learnt: tuple[str, ...] = ()


TISSUE = {"background": False, "sampler": "inside"}
TISSUE_SYSTEMS: dict[str, dict[str, Any]] = {
    "zhang2015": {"n_maps": (32, 128, 384)},
    "nie2016": {"background": False, "optimizer": "sgd", "learning_rate": 0.05},
    "moeskops2016": {"batch_size": 64},
}
SKULL = {"width": 0.35, "n_epochs": 10, "batch_size": 2, "plateau_window": 50}
STUDIES = {
    "skull_child": Study(
        "brain=*", 2, {"kleesiek2016": SKULL | {"plateau_steps": 250}},
        {"spacing_mm": 2.0, "region": "image", "sampler": "inside", "patch_size": 64}, never_learnt=("adult",),
    ),
    "skull_adult": Study(
        "brain=*", 2, {"kleesiek2016": SKULL | {"plateau_steps": 1000, "batch_size": 4}},
        {"spacing_mm": 2.0, "region": "image", "sampler": "inside", "patch_size": 64},
    ),
    "tissue_infant": Study(
        f"CSF={CSF}; GM={GREY}; WM={WHITE}", 2,
        TISSUE_SYSTEMS, TISSUE,
    ),
    "tissue_child": Study(
        "CSF=1; GM=2; WM=3; deep GM=4", 2,
        TISSUE_SYSTEMS, TISSUE,
    ),
    "lesion_ms": Study(
        "lesion=*", 4,
        {"brosch2016": {"n_epochs_pretraining": 1, "learning_rate": 2.0, "standardization": "training"}},
        {"standardization": "training"}, LesionUNet,
    ),
    "tumor_brats": Study(
        "; ".join(f"{name}={value}" for value, name in BRATS_NAMES.items()), 4,
        {"pereira2016": {
            "bias_correction": False, "standardization": "training", "width": 0.25, "batch_size": 32,
            "learning_rate": 0.01, "least_mm3": 1000.0,
        }}, {"standardization": "training"}, TumorUNet,
    ),
}  # fmt: skip
SCALED = {"brosch2016": ("n_patches", "n_epochs")}
"""Settings that training time is proportional to; of other systems it is the number of patches."""
PROBES: dict[str, dict[str, Any]] = {
    "zhang2015": {"n_patches": 300}, "nie2016": {"n_patches": 20}, "moeskops2016": {"n_patches": 4},
    "kleesiek2016": {"n_patches": 8}, "brosch2016": {"n_patches": 20, "n_epochs": 12},
    "pereira2016": {"n_patches": 256},
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", choices=list(STUDIES), help="without it nothing is trained")
    parser.add_argument("--only", nargs="*", help="methods; all of the study by default")
    parser.add_argument("--folds", type=int, nargs="*", help="from 1; all by default")
    parser.add_argument("--minutes", type=float, default=3.0, help="processor time of each training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "segmentation_real.csv")
    parser.add_argument("--set", type=json.loads, default={}, dest="changes", help="settings of the systems, as JSON")
    parser.add_argument("--called", default="", help="written behind the names of methods, the UNet's too")
    parser.add_argument("--inner", action="store_true", help="choose settings: test the last training subject instead")
    parser.add_argument("--report", action="store_true", help="write the tables beside the CSV")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.study:
        with tempfile.TemporaryDirectory() as folder:
            os.environ.setdefault("WORKBENCH_DATA", folder)
            run_study(arguments.study, arguments)
    if arguments.report:
        arguments.out.with_suffix(".md").write_text(report(pd.read_csv(arguments.out)), encoding="utf-8")


def run_study(name: str, arguments: argparse.Namespace) -> None:
    """Add to the CSV what it does not hold yet of each fold and method."""
    study = STUDIES[name]
    cohort = make_cohort(name, REAL, cohorts_dir() / name)
    learnt = [s.name for s in cohort if s.name not in study.never_learnt]
    for fold, (train, test) in enumerate(folds_of(learnt, study.n_folds), 1):
        tested = [*test, *study.never_learnt]
        if arguments.inner:
            train, tested = train[:-1], train[-1:]
        if arguments.folds and fold not in arguments.folds:
            continue
        for method in ("without learning", *study.systems, UNET):
            written = method if method == "without learning" else f"{method} {arguments.called}".strip()
            if (arguments.only and method not in arguments.only) or is_done(arguments.out, name, fold, written):
                continue
            begin = time.perf_counter()
            if method == "without learning":
                rows = baseline_rows(name, cohort, train, tested)
            else:
                found = learnt_rows(study, name, method, cohort, train, tested, fold, arguments)
                rows = [row | {"method": written} for row in found]
            rows = [{"study": name, "fold": fold, **row} for row in rows]
            append(arguments.out, rows, COLUMNS)
            print(f"{name} {fold} {method}: {time.perf_counter() - begin:.0f} s", flush=True)
            print(pd.DataFrame(rows).groupby(["method", "structure"], sort=False).dice.mean().round(3).to_dict())


def learnt_rows(
    study: Study, name: str, method: str, cohort: Cohort, train: Sequence[str], test: Sequence[str], fold: int,
    arguments: argparse.Namespace,
) -> list[dict[str, Any]]:  # fmt: skip
    """Train a method on a fold and give its rows."""
    seconds = 60 * arguments.minutes
    if method == UNET:
        limit = longest(arguments.out, name, fold, arguments.called) or seconds
        system: Segmentation = study.unet(classes=study.classes, seconds=limit, **study.peer)
    else:
        system = paced(
            method, {"classes": study.classes, **study.systems[method], **arguments.changes}, cohort, train, seconds
        )
    run, spent, wall = trained(system, cohort, train)
    network = system.trained_network(run)
    cost = {
        "train_s": spent, "wall_s": wall, "n_parameters": sum(p.numel() for p in network.parameters()),
        "n_steps": sum(run.stages.n_steps(s) or 0 for s in run.stages.order()),
    }  # fmt: skip
    rows = []
    for subject in test:
        begin = time.process_time()
        scores = system.segment(cohort[subject], run).scores()
        rows += as_rows(method, subject, scores, cost | {"apply_s": time.process_time() - begin})
    return rows


def paced(method: str, changes: dict[str, Any], cohort: Cohort, train: Sequence[str], seconds: float) -> Segmentation:
    """Give a system with the preset ``cpu`` and so many patches that training takes ``seconds``, by a short trial."""
    made = load(method)
    changes = made.preset("cpu").changes | changes
    trial = made.make(changes | PROBES[method])
    assert isinstance(trial, Segmentation)
    _, spent, _ = trained(trial, cohort, train)
    grown = {key: max(1, round(getattr(trial, key) * seconds / spent)) for key in SCALED.get(method, ("n_patches",))}
    if "plateau_steps" in changes:
        n_steps = changes["n_epochs"] * grown["n_patches"] / trial.batch_size
        grown |= {k: max(10, int(changes[k] * n_steps / 1000)) for k in ("plateau_steps", "plateau_window")}
    print(f"{method}: trial {spent:.1f} s, {grown}", flush=True)
    system = made.make(changes | grown)
    assert isinstance(system, Segmentation)
    return system


def trained(system: Segmentation, cohort: Cohort, train: Sequence[str]) -> tuple[Run, float, float]:
    """Train on these subjects alone; give the run and the seconds of training, processor and clock."""
    split = {"train": list(train)}
    run = create_run(
        type(system).__name__.lower(), system.model_dump(), seed=system.seed, cohort=cohort.path,
        cohort_digest=cohort.digest, split=split,
    )  # fmt: skip
    with stopwatch() as watch:
        system.fit(cohort, run)
    return run, watch[0], watch[1]


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Add up what stages take, [processor, clock] seconds; preparing images is not part of it."""
    spent, stage = [0.0, 0.0], Training.stage

    def timed(*args: Any, **settings: Any) -> Any:
        begin = time.process_time(), time.perf_counter()
        try:
            return stage(*args, **settings)
        finally:
            spent[0] += time.process_time() - begin[0]
            spent[1] += time.perf_counter() - begin[1]

    Training.stage = timed  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        Training.stage = stage  # type: ignore[method-assign]


def baseline_rows(name: str, cohort: Cohort, train: Sequence[str], test: Sequence[str]) -> list[dict[str, Any]]:
    """Give the rows of everything that learns nothing, or a threshold alone."""
    rows = []
    for subject in test:
        if name.startswith("skull"):
            found = skull_masks(name, cohort[subject], REAL)
        elif name.startswith("tissue"):
            found = cluster_maps(name, cohort[subject])
        else:
            found = thresholded(name, cohort, train, subject)
        for method, scores in found.items():
            rows += as_rows(method, subject, scores, {})
    return rows


def as_rows(
    method: str, subject: str, scores: dict[str, dict[str, float]], more: dict[str, float]
) -> list[dict[str, Any]]:
    return [
        {"method": method, "subject": subject, "structure": structure}
        | {k: row.get(k, float("nan")) for k in SCORES} | more
        for structure, row in scores.items()
    ]  # fmt: skip


COLUMNS = [
    "study", "fold", "method", "subject", "structure", *SCORES, "train_s", "wall_s", "n_steps", "n_parameters",
    "apply_s",
]  # fmt: skip


def is_done(out: Path, study: str, fold: int, method: str) -> bool:
    if not out.exists():
        return False
    table = pd.read_csv(out)
    here = table[(table.study == study) & (table.fold == fold)]
    return bool(here.train_s.isna().any()) if method == "without learning" else method in set(here.method)


def longest(out: Path, study: str, fold: int, called: str = "") -> float:
    """Give the processor time of the slowest system of a fold, 0 before there is one."""
    table = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=COLUMNS)
    systems = [f"{system} {called}".strip() for system in STUDIES[study].systems]
    here = table[(table.study == study) & (table.fold == fold) & table.method.isin(systems)].train_s
    return float(here.max()) if len(here) else 0.0


if __name__ == "__main__":
    main()
