"""Registration methods on real pairs, scored by labels that none of them sees.

    python benchmarks/registration_real.py --study hippocampus [--ants PYTHON] [--part 1 4]
    python benchmarks/registration_real.py --report

Every method begins at the same affine map. Features are learnt without labels, from other subjects than the pair's
wherever there are others. What was done is kept row by row, so a study goes on where it was cut off, and parts of it
can run beside each other. ANTs' SyN runs in an environment of its own (``ants_peer.py``). Real images are looked for
in ``WORKBENCH_REAL_DATA``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from registration_cohorts import learnt_from, make_cohort, names_of, pairs_of
from registration_report import report
from row_table import append, has_row

from workbench.imaging.cohort import Cohort
from workbench.imaging.files import read_volume
from workbench.metrics.label_pair import LabelPair, label_values
from workbench.runs.run import Run, create_run
from workbench.systems.catalog import load
from workbench.systems.encoder_base import EncoderLearning
from workbench.systems.registering import register_subjects
from workbench.systems.registration_settings import RegistrationSettings, method_of

ROOT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("WORKBENCH_REAL_DATA", ROOT.parent / "shared" / "data"))
SPACING = {"hippocampus": 0.0, "infants": 2.0, "adults": 2.0}
"""Edge of the voxels that is registered at; labels are scored on the fixed image's own lattice."""
SAE = {"system": "wu2016", "patch_size": 5, "n_hidden": (64, 32), "normalization": "standardize"}
SUBSPACES = {"system": "wu2013", "patch_size": 5, "sub_patch_size": 3, "stride": 2, "n_components": (24, 40)}
"""Two filters make a response, so that each of the codes has 32 numbers a voxel."""
KINDS: dict[str, dict[str, Any]] = {"SAE": SAE, "ISA": SUBSPACES, "PCA": {**SUBSPACES, "kind": "PCA"}}
LEARNERS = {study: {k: {**v, "spacing_mm": edge} for k, v in KINDS.items()} for study, edge in SPACING.items()}
"""Patches of five voxels were chosen on the hippocampi of tuning; the brains had no part in it."""
METHODS = {
    "affine": ("affine", None), "demons": ("demons", None), "diffeomorphic demons": ("diffeomorphic-demons", None),
    "HAMMER + attributes": ("hammer-attributes", None), "HAMMER + raw patches": ("hammer-patches", None),
    "HAMMER + SIFT": ("hammer-sift", None), "HAMMER + SAE": ("hammer-learnt", "SAE"),
    "HAMMER + ISA": ("hammer-learnt", "ISA"),
    "HAMMER + PCA": ("hammer-learnt", "PCA"), "demons + SAE": ("demons-learnt", "SAE"),
}  # fmt: skip
PEER = "ANTs SyN"
COLUMNS = ["study", "fixed", "moving", "method", "label", "dice", "seconds", "peak_mb", "folded_share", "n_features"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", choices=list(SPACING), help="without it nothing is registered")
    parser.add_argument("--only", nargs="*", help="methods; all by default")
    parser.add_argument("--ants", help="the Python of an environment with antspyx")
    parser.add_argument("--part", type=int, nargs=2, default=(1, 1), metavar=("I", "N"), help="every N-th pair from I")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, help="where runs and cohorts are kept; a temporary folder by default")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "registration_real.csv")
    parser.add_argument("--report", action="store_true", help="write the tables beside the CSV")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(given.threads)
    if given.study:
        with tempfile.TemporaryDirectory() as folder:
            work = given.work or Path(folder)
            os.environ["WORKBENCH_DATA"] = str(work)
            run_study(given, work)
    if given.report:
        given.out.with_suffix(".md").write_text(report(pd.read_csv(given.out)), encoding="utf-8")


def run_study(given: argparse.Namespace, work: Path) -> None:
    """Add to the CSV what it does not hold yet."""
    cohort = make_cohort(given.study, REAL, work / "cohorts" / given.study)
    names = [s.name for s in cohort]
    part, n_parts = given.part
    runs: dict[tuple[str, ...], Run] = {}
    for pair in pairs_of(given.study, names)[part - 1 :: n_parts]:
        here = {"study": given.study, "fixed": pair[0], "moving": pair[1]}
        for method in (*METHODS, *([PEER] if given.ants else [])):
            if (given.only and method not in given.only) or has_row(given.out, **here, method=method):
                continue
            if method == PEER:
                rows = peer_rows(given, cohort, pair)
            else:
                rows = rows_of(given.study, method, cohort, pair, learnt_from(given.study, names, pair), runs)
            append(given.out, [{**here, **row} for row in rows], COLUMNS)
            mean = np.mean([row["dice"] for row in rows])
            print(f"{given.study} {pair[0]} <- {pair[1]} {method}: {mean:.3f}, {rows[0]['seconds']:.0f} s", flush=True)


def rows_of(
    study: str, method: str, cohort: Cohort, pair: tuple[str, str], learnt: list[str], runs: dict[tuple[str, ...], Run]
) -> list[dict[str, Any]]:  # fmt: skip
    """Register a pair and give its rows."""
    key, learner = METHODS[method]
    features = None
    if learner is not None:
        name = (learner, *learnt)
        system, run = trained(LEARNERS[study][learner], cohort, learnt, runs.get(name))
        runs[name] = run
        features = system.learnt_features(run)
    fixed, moving = cohort[pair[0]], cohort[pair[1]]
    settings = RegistrationSettings.make({"spacing_mm": SPACING[study]})
    begin = peak_reset()
    found = register_subjects(method_of(key), fixed, moving, settings, learnt=features)
    seconds, peak = time.process_time() - begin, peak_mb()
    truth, labels = fixed.label_map(found.fixed), moving.label_map(found.moving)
    assert truth is not None and labels is not None
    n_features = 0 if features is None else features.encode(found.fixed.data[0], one_voxel(found.fixed.shape)).shape[1]
    more = {"seconds": seconds, "peak_mb": peak, "folded_share": found.folded_share, "n_features": n_features}
    return dice_rows(study, method, found.warp_labels(labels), truth, more)


def trained(
    settings: dict[str, Any], cohort: Cohort, learnt: list[str], run: Run | None
) -> tuple[EncoderLearning, Run]:
    """Learn features without labels from some subjects; once for each choice of them."""
    kind = load(settings["system"])
    changes = {k: v for k, v in settings.items() if k != "system"}
    system = kind.make(kind.preset("cpu").changes | changes)
    assert isinstance(system, EncoderLearning)
    if run is None:
        run = create_run(
            settings["system"], system.model_dump(), seed=0, cohort=cohort.path, cohort_digest=cohort.digest,
            split={"train": learnt, "validation": [], "test": []},
        )  # fmt: skip
        begin = time.process_time()
        system.fit(cohort, run)
        print(f"{settings['system']} from {len(learnt)} subjects: {time.process_time() - begin:.0f} s", flush=True)
    return system, run


def peer_rows(given: argparse.Namespace, cohort: Cohort, pair: tuple[str, str]) -> list[dict[str, Any]]:
    """Register the pair by SyN on images of the same voxels, and warp the labels by its own program."""
    fixed, moving = cohort[pair[0]], cohort[pair[1]]
    with tempfile.TemporaryDirectory() as folder:
        images = [next(iter(s.images.values())) for s in (fixed, moving)]
        words = [given.ants, str(ROOT / "benchmarks" / "ants_peer.py"), "syn", *map(str, images), folder]
        words += ["--labels", str(moving.label), "--threads", str(given.threads), "--iterations", "100", "70", "40"]
        words += ["--spacing", str(SPACING[given.study])]
        subprocess.run(words, check=True, capture_output=True)
        told = json.loads((Path(folder) / "report.json").read_text(encoding="utf-8"))
        like = fixed.volume(next(iter(fixed.images)))
        warped = np.rint(read_volume(Path(folder) / "labels.nii.gz").data[0]).astype(np.int32)
    truth = fixed.label_map(like)
    assert truth is not None
    more = {"seconds": told["processor_seconds"], "peak_mb": told["peak_bytes"] / 2**20, "n_features": 0}
    return dice_rows(given.study, PEER, warped, truth, more | {"folded_share": float("nan")})


def dice_rows(
    study: str, method: str, labels: np.ndarray, truth: np.ndarray, more: dict[str, float]
) -> list[dict[str, Any]]:
    """Give Dice of every label of the fixed image."""
    pair, values = LabelPair.of((labels, truth), label_values(labels, truth), None), label_values(truth)
    names = names_of(study, values)
    rows = [(names[value], pair.overlap([value]).dice) for value in values if value in names]
    if study == "hippocampus":
        rows.append(("hippocampus", pair.overlap(values).dice))
    return [{"method": method, "label": name, "dice": dice, **more} for name, dice in rows]


def one_voxel(shape: tuple[int, int, int]) -> np.ndarray:
    """Mark the voxel in the middle."""
    mask = np.zeros(shape, bool)
    mask[shape[0] // 2, shape[1] // 2, shape[2] // 2] = True
    return mask


def peak_reset() -> float:
    """Forget the largest memory so far where the system can, and give the processor time."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        print("the largest memory cannot be measured method by method here")
    return time.process_time()


def peak_mb() -> float:
    """Give the largest memory of this process since :func:`peak_reset`, in MiB."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
