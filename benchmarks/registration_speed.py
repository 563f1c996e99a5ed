"""HAMMER on learnt codes beside SimpleITK's diffeomorphic demons: time at 2 mm, and memory at 1 mm, in one run.

    python benchmarks/registration_speed.py [--repeats 3] [--threads 1] [--fine]

Two whole brains of 2 mm: those of ``adult_oasis_malf`` under ``WORKBENCH_REAL_DATA`` where they are, else two phantoms.
Both engines get the same prepared and linearly aligned images, and take turns. Demons run 100 iterations on the full
lattice, without a pyramid, which is what SimpleITK's filter does when it is asked plainly; HAMMER runs as it comes,
describing the voxels included. ``--fine`` registers the same brains at 1 mm in a process of its own and prints the
largest memory that it held.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from registration_cohorts import make_cohort
from registration_real import LEARNERS, REAL, peak_mb, peak_reset, trained

from workbench.imaging.cohort import Cohort
from workbench.imaging.subject import Subject
from workbench.phantoms.brain_7t import make_brain_7t
from workbench.registration.deformable import moved_linearly
from workbench.registration.itk_images import spaced
from workbench.systems.learnt_features import LearntFeatures
from workbench.systems.registering import register_subjects
from workbench.systems.registration_settings import RegistrationSettings, method_of

N_ITERATIONS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fine", action="store_true", help="the memory of a pair at 1 mm")
    parser.add_argument("--work", type=Path, help="where runs and cohorts are kept; a temporary folder by default")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        work = given.work or Path(folder)
        os.environ["WORKBENCH_DATA"] = str(work)
        if given.fine:
            print(json.dumps(fine(brains(work)), indent=1))
        else:
            measured = speed(brains(work), given.repeats)
            print(json.dumps(measured | {"threads": given.threads}, indent=1))
            subprocess.run([sys.executable, __file__, "--fine", "--threads", str(given.threads), "--work", str(work)])


def brains(work: Path) -> Cohort:
    """Give two whole brains."""
    if (REAL / "adult_oasis_malf").is_dir():
        return make_cohort("adults", REAL, work / "cohorts" / "adults")
    print("adult_oasis_malf is not here; two phantoms stand in")
    return make_brain_7t(work / "cohorts" / "phantoms", n_subjects=2, spacing_mm=1.0, seed=1)


def speed(cohort: Cohort, repeats: int) -> dict[str, Any]:
    """Time both engines in turn on the same two images."""
    fixed, moving, features = pair_of(cohort)
    settings = RegistrationSettings(spacing_mm=2.0)
    seconds: dict[str, list[float]] = {"HAMMER + SAE, whole pair": [], "linear start alone": [], "demons": []}
    for _ in range(repeats):
        for name, key in zip(list(seconds)[:2], ("hammer-learnt", "affine"), strict=True):
            begin = time.perf_counter()
            found = register_subjects(method_of(key), fixed, moving, settings, learnt=features)
            seconds[name].append(time.perf_counter() - begin)
        prepared = [features.preparation.image(s, features.quantiles)[0] for s in (fixed, moving)]
        images = prepared[0].data[0], moved_linearly(prepared[1], prepared[0], found.linear)
        seconds["demons"].append(demons(*images, prepared[0].spacing))
    ratios = np.divide(seconds["HAMMER + SAE, whole pair"], seconds["demons"])
    return {
        "voxels": images[0].shape,
        "seconds": {name: np.round(values, 1).tolist() for name, values in seconds.items()},
        "HAMMER + SAE, whole pair / demons": np.round(ratios, 2).tolist(),
    }


def demons(fixed: np.ndarray, moving: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Give the seconds of SimpleITK's filter alone."""
    import SimpleITK as sitk

    engine = sitk.DiffeomorphicDemonsRegistrationFilter()
    engine.SetNumberOfIterations(N_ITERATIONS)
    engine.SetMaximumRMSError(0.0)  # it does not stop before
    begin = time.perf_counter()
    engine.Execute(spaced(fixed, spacing), spaced(moving, spacing))
    took = time.perf_counter() - begin
    assert engine.GetElapsedIterations() == N_ITERATIONS
    return took


def fine(cohort: Cohort) -> dict[str, Any]:
    """Register at 1 mm and tell the largest memory."""
    fixed, moving, features = pair_of(cohort)
    peak_reset()
    begin = time.perf_counter()
    found = register_subjects(
        method_of("hammer-learnt"), fixed, moving, RegistrationSettings(spacing_mm=1.0), learnt=features
    )
    took = time.perf_counter() - begin
    return {"voxels at 1 mm": found.fixed.shape, "GiB": round(peak_mb() / 1024, 2), "seconds": round(took, 1),
            "folded share": found.folded_share}  # fmt: skip


def pair_of(cohort: Cohort) -> tuple[Subject, Subject, LearntFeatures]:
    """Give two subjects, and codes learnt from them."""
    fixed, moving = [s for s in cohort if s.name != "template"][:2]
    system, run = trained(LEARNERS["adults"]["SAE"], cohort, [fixed.name, moving.name], None)
    return fixed, moving, system.learnt_features(run)


if __name__ == "__main__":
    main()
