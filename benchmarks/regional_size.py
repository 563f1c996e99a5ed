"""Time and memory of a large resting-state study: 1,000 subjects of 1,200 volumes and 400 regions.

    python benchmarks/regional_size.py [--subjects 1000] [--volumes 1200] [--regions 400] [--threads 2] [--folder F]

The cohort is made by the phantom (NPZ tables, in FOLDER or a temporary folder). Then, through the roads of a run:
reading and z-scoring, connectivity of everyone, a Gaussian RBM on drawn volumes for one epoch, a deep auto-encoder with
few epochs, whitened codes of all volumes, a hidden Markov model for each class, everybody's score. Prints seconds and
the peak of resident memory after each; nothing is a timed test.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, value in (("subjects", 1000), ("volumes", 1200), ("regions", 400), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        measure(options, options.folder or Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    os.environ["WORKBENCH_DATA"] = str(folder / "data")
    import numpy as np
    import torch

    from workbench.classical.connectivity import connectivity_vectors
    from workbench.imaging.cohort import read_cohort
    from workbench.phantoms.bold import make_bold
    from workbench.runs.run import create_run
    from workbench.runs.training import Training
    from workbench.systems.cadx.suk2016 import Suk2016

    torch.set_num_threads(options.threads)
    began = time.perf_counter()

    def told(what: str) -> None:
        nonlocal began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{what:<44} {time.perf_counter() - began:8.1f} s   peak {peak:5.2f} GiB", flush=True)
        began = time.perf_counter()

    place = folder / f"bold-{options.subjects}-{options.volumes}-{options.regions}"
    if not (place / "cohort.csv").is_file():
        make_bold(
            place, n_subjects=options.subjects, n_volumes=options.volumes, n_regions=options.regions, kind="states",
            format="npz",
        )  # fmt: skip
    told("phantom")
    cohort = read_cohort(place)
    system = Suk2016.make(
        {"n_epochs_pretraining": 1, "n_epochs": 2, "n_states": 3, "n_restarts": 2, "n_folds": 2, "n_frames": 100_000}
    )
    data, _ = system.read(cohort)
    told("series of all subjects read and z-scored")
    edges = connectivity_vectors(data.series)
    told(f"connectivity, {edges.shape[1]:,} edges each")
    del edges
    target = np.array([int(s.target == "patient") for s in cohort])
    run = create_run("suk2016", system.model_dump(), seed=0, cohort=None)
    learnt = system.learn(data, target, Training(run, system.stages()), "all")
    told("Gaussian RBM and deeper layers, codes, two HMMs")
    scores = next(iter(system.scores_of(learnt, data).values()))
    told("scores of everybody")
    print(f"in-sample: {np.mean((scores > 0) == target):.3f} of the subjects on their own side")


if __name__ == "__main__":
    main()
