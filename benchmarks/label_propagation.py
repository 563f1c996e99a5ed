"""Label propagation on real hippocampi: ten labelled ones vote on others that nothing was learnt or chosen on.

    python benchmarks/label_propagation.py --work FOLDER [--ants PYTHON] [--part 1 2] [--only "majority vote"]
    python benchmarks/label_propagation.py --report

Every method sees the same atlases, prepared alike, and every registration is made once and kept in ``--work``, so all
of them vote with the same warped images and labels. What learns, learns once, from the atlases alone; parts that run
beside each other wait for it. What was done is kept row by row, so the study goes on where it was cut off. ANTs' joint
label fusion runs in an environment of its own (``ants_peer.py``). Real images are looked for in
``WORKBENCH_REAL_DATA``.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from label_propagation_report import report
from registration_cohorts import N_LEARNT, N_TUNED, make_cohort
from registration_real import REAL, ROOT, dice_rows, peak_mb, peak_reset
from row_table import append, has_row
from scipy.ndimage import map_coordinates

from workbench.classical.label_fusion import locally_weighted_vote, majority_vote
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import read_volume
from workbench.imaging.nifti import write_nifti
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.progress import Progress, silent
from workbench.registration.atlas_warps import turned_round
from workbench.registration.registered import Registered
from workbench.runs.run import Run, create_run, open_run
from workbench.systems.atlas_base import AtlasSegmentation
from workbench.systems.atlas_spaces import step_names
from workbench.systems.atlases import Atlas, Target
from workbench.systems.catalog import load
from workbench.systems.segmentation.guo2016 import Guo2016
from workbench.systems.segmentation.kim2013 import Kim2013

N_CLASSES = 3
FEWER = (1, 2, 5)
"""Atlases that vote alone, the first in the order of names, beside all of them."""
WHOLE = {"spacing_mm": 0.0, "crop_mm": 0.0}
"""The images are crops of 1 mm already."""
PATCHES = {"patch": (5, 5, 5), "window": (5, 5, 5), "n_nearest": 50, "reach_mm": 6.0}
SUBSPACES = {"patch_size": 13, "sub_patch_size": 9, "n_atlases": 0}
LEARNERS: dict[str, tuple[str, dict[str, Any]]] = {
    "guo intensity": ("guo2016", {**PATCHES, "features": "intensity"}),
    "guo hand-designed": ("guo2016", {**PATCHES, "features": "hand-designed"}),
    "guo SSAE": ("guo2016", {**PATCHES, "features": "SSAE supervised"}),
    "kim Haar": ("kim2013", {**SUBSPACES, "features": "Haar"}),
    "kim ISA": ("kim2013", {**SUBSPACES, "features": "ISA"}),
}
"""What is trained, each once: the system, and its differences from its preset ``cpu``."""
COLUMNS = [
    "target", "registration", "method", "n_atlases", "step", "label", "dice", "seconds", "registering_s", "peak_mb",
    "training_s",
]  # fmt: skip
NONRIGID, AFFINE = "diffeomorphic demons", "affine"


@dataclass(frozen=True)
class Bench:
    """What every method needs.

    Attributes:
        work: the folder of everything that is made.
        cohort: all hippocampi.
        atlases, targets: names.
        registration: of atlases and targets.
        ants: the Python of an environment with antspyx; None without one.
        threads: of that.
    """

    work: Path
    cohort: Cohort
    atlases: list[str]
    targets: list[str]
    registration: str
    ants: str | None
    threads: int


class SameMaps(Kim2013):
    """Kim 2013 that brings targets to atlases by the maps that bring atlases to targets, turned round."""

    def registered(self, fixed: Volume, moving: Volume, progress: Progress = silent) -> Registered:
        """Bring one prepared image onto another."""
        return turned_round(super().registered(moving, fixed, progress))

    def growing(self, target: Target, atlases: list[Atlas], run: Run) -> Iterator[tuple[int, np.ndarray]]:
        """Give the maps of every step (S, K, X, Y, Z), fused over the first atlases of so many, and over all."""
        total, weight, begin = np.zeros(1), np.zeros(1), 0
        for n in (*FEWER, len(atlases)):
            some = atlases[begin:n]
            own = sum(self._likeness(target, self.registered(a.image, target.image)) for a in some)
            total = total + own * self._maps(target, some, run, silent, every=True)
            weight, begin = weight + own, n
            yield n, total / weight


Rows = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="cohort, runs and registrations; without it nothing is labelled")
    parser.add_argument("--only", nargs="*", choices=list(METHODS), help="methods; all by default")
    parser.add_argument("--registration", choices=[NONRIGID, AFFINE], default=NONRIGID)
    parser.add_argument("--targets", type=int, default=20, help="so many of the forty that may be tested")
    parser.add_argument("--ants", help="the Python of an environment with antspyx")
    parser.add_argument(
        "--part", type=int, nargs=2, default=(1, 1), metavar=("I", "N"), help="every N-th target from I"
    )
    parser.add_argument("--inner", action="store_true", help="choose settings: test the atlases, each by the others")
    parser.add_argument("--train", nargs="*", choices=list(LEARNERS), default=[], help="learn these and stop")
    parser.add_argument("--set", type=json.loads, default={}, dest="changes", help="settings of Guo 2016, as JSON")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "label_propagation.csv")
    parser.add_argument("--report", action="store_true", help="write the tables beside the CSV")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(given.threads)
    if given.work:
        os.environ["WORKBENCH_DATA"] = str(given.work.absolute())
        run_study(given)
    if given.report:
        given.out.with_suffix(".md").write_text(report(pd.read_csv(given.out)), encoding="utf-8")


def run_study(given: argparse.Namespace) -> None:
    """Add to the CSV what it does not hold yet, target by target."""
    work = given.work.absolute()
    with alone(work / "cohort.lock"):
        cohort = make_cohort("hippocampus", REAL, work / "cohorts" / "hippocampus")
    names = sorted(s.name for s in cohort)
    atlases = names[:N_TUNED]
    targets = atlases if given.inner else names[N_LEARNT:][: given.targets]
    bench = Bench(work, cohort, atlases, targets, given.registration, given.ants, given.threads)
    for name, (system, changes) in LEARNERS.items():
        LEARNERS[name] = system, {**changes, **(given.changes if system == "guo2016" else {})}
    if given.train:
        for learner in given.train:
            trained(bench, learner)
        return
    part, n_parts = given.part
    for target in targets[part - 1 :: n_parts]:
        here = {"target": target, "registration": given.registration}
        for method, label in METHODS.items():
            if (given.only and method not in given.only) or has_row(given.out, **here, method=method):
                continue
            if (method == JOINT and not given.ants) or (given.registration == AFFINE and method in (MEAN, *KIM)):
                continue
            rows = label(bench, cohort[target])
            append(given.out, [{**here, **row} for row in rows], COLUMNS)
            last = rows[-1]
            print(f"{target} {last['method']}: {last['dice']:.3f}, {last['seconds']:.0f} s", flush=True)


def mean_shape(bench: Bench, subject: Subject) -> Rows:
    """Say what is labelled in most atlases, brought to the size of the crop, without a look at the image."""
    shape = read_volume(subject.label).shape  # type: ignore[arg-type]
    peak_reset()
    begin = time.process_time()
    shares = np.zeros((N_CLASSES, *shape))
    others = [name for name in bench.atlases if name != subject.name]
    for name in others:
        labels = np.rint(read_volume(bench.cohort[name].label).data[0])  # type: ignore[arg-type]
        axes = [(np.arange(n) + 0.5) * own / n - 0.5 for n, own in zip(shape, labels.shape, strict=True)]
        places = np.stack(np.meshgrid(*axes, indexing="ij"))
        shares += [map_coordinates((labels == k).astype(float), places, order=1, mode="nearest") for k in range(3)]
    inside = shares[0] < len(others) / 2
    found = np.where(inside, 1 + shares[1:].argmax(0), 0)
    return rows_of(MEAN, found, subject, len(others), {"seconds": time.process_time() - begin, "registering_s": 0.0})


def vote(method: str, bench: Bench, subject: Subject) -> Rows:
    """Let the warped atlases vote, all alike or weighted by how much they look like the target."""
    system, run, _ = trained(bench, "guo intensity")
    target, atlases, more = brought(system, run, subject)
    rows = []
    for n in (*FEWER, len(atlases)):
        peak_reset()
        begin = time.process_time()
        moved = system.warped(target, atlases[:n])
        labels = np.stack([a.labels for a in moved])
        if method == MAJORITY:
            shares = majority_vote(labels, N_CLASSES)
        else:
            images = np.stack([a.image.data[0] for a in moved])
            shares = locally_weighted_vote(target.image.data[0], images, labels, N_CLASSES)
        spent = {"seconds": time.process_time() - begin}
        rows += rows_of(method, decoded(system, run, shares), subject, n, more | spent)
    return rows


def sparse(features: str, bench: Bench, subject: Subject) -> Rows:
    """Let the patches of warped atlases vote, and bring surfaces onto what they say."""
    stacked = features.startswith("SSAE")
    system, run, training_s = trained(bench, "guo SSAE" if stacked else f"guo {features}")
    system = system.model_copy(update={"features": features})
    assert isinstance(system, Guo2016)
    target, atlases, more = brought(system, run, subject)
    more["training_s"] = training_s
    peak_reset()
    begin = time.process_time()
    shares = system.likelihood(target, atlases, run)
    middle = time.process_time()
    rows = rows_of(
        f"Guo 2016 {features}", decoded(system, run, shares), subject, len(atlases), more | {"seconds": middle - begin}
    )
    shaped = system.record(run).classes.decode(system.settle(target.image, shares, run))
    more["seconds"] = time.process_time() - begin
    return rows + rows_of(f"Guo 2016 {features} + surfaces", shaped, subject, len(atlases), more)


def auto_context(features: str, bench: Bench, subject: Subject) -> Rows:
    """Classify the target in the space of each atlas; every iteration, and with fewer atlases."""
    system, run, training_s = trained(bench, f"kim {features}")
    target, atlases, more = brought(system, run, subject)
    system = SameMaps.model_validate(system.model_dump())
    name, classes, more["training_s"] = f"Kim 2013 {features}", system.record(run).classes, training_s
    peak_reset()
    begin = time.process_time()
    rows: Rows = []
    for n, maps in system.growing(target, atlases, run):
        found = system.settle(target.image, maps[-1], run)
        more["seconds"] = time.process_time() - begin
        for step, shares in zip(step_names(len(maps)), maps, strict=True):
            rows += rows_of(name, decoded(system, run, shares), subject, n, more, step)
        rows += rows_of(name, classes.decode(found), subject, n, more)
    return rows


def joint_fusion(bench: Bench, subject: Subject) -> Rows:
    """Fuse the same warped atlases by ANTs."""
    system, run, _ = trained(bench, "guo intensity")
    target, atlases, more = brought(system, run, subject)
    moved = system.warped(target, atlases)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_nifti(target.image, folder / "target.nii.gz")
        for i, atlas in enumerate(moved):
            write_nifti(atlas.image, folder / f"image-{i}.nii.gz", like=target.image.grid)
            labels = target.image.with_data(atlas.labels.astype(np.float32), "label")
            write_nifti(labels, folder / f"labels-{i}.nii.gz", like=target.image.grid, dtype=np.uint8)
        words = [
            bench.ants,
            ROOT / "benchmarks" / "ants_peer.py",
            "joint-label-fusion",
            folder / "target.nii.gz",
            folder,
        ]
        words += ["--atlases", *(folder / f"image-{i}.nii.gz" for i in range(len(moved)))]
        words += ["--labels", *(folder / f"labels-{i}.nii.gz" for i in range(len(moved)))]
        done = subprocess.run([*map(str, words), "--threads", str(bench.threads)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        told = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        classes = np.rint(read_volume(folder / "labels.nii.gz").data[0]).astype(np.int32)
    more |= {"seconds": told["processor_seconds"], "peak_mb": told["peak_bytes"] / 2**20}
    found = system.record(run).classes.decode(classes)
    return rows_of(JOINT, found, subject, len(moved), more)


MEAN, MAJORITY, LOCAL, JOINT = "mean shape", "majority vote", "locally weighted vote", "ANTs joint label fusion"
METHODS: dict[str, Callable[[Bench, Subject], Rows]] = {
    MEAN: mean_shape,
    MAJORITY: partial(vote, MAJORITY),
    LOCAL: partial(vote, LOCAL),
    JOINT: joint_fusion,
    **{f"Guo 2016 {f}": partial(sparse, f) for f in ("intensity", "hand-designed")},
    **{f"Guo 2016 SSAE {f}": partial(sparse, f"SSAE {f}") for f in ("unsupervised", "supervised")},
    **{f"Kim 2013 {f}": partial(auto_context, f) for f in ("Haar", "ISA")},
}
KIM = [method for method in METHODS if method.startswith("Kim")]


def trained(bench: Bench, learner: str) -> tuple[AtlasSegmentation, Run, float]:
    """Give a system with the atlases, trained once and found again by its note, and the seconds of its training.

    It scores itself on a subject that is neither atlas nor target.
    """
    name, changes = LEARNERS[learner]
    made = load(name)
    system = made.make({**made.preset("cpu").changes, **WHOLE, **changes})
    assert isinstance(system, AtlasSegmentation)
    note = bench.work / f"{learner.replace(' ', '-')}.json"
    with alone(note.with_suffix(".lock")):
        if not note.exists():
            scored = sorted(s.name for s in bench.cohort)[N_TUNED : N_TUNED + 1]
            run = create_run(
                name, system.model_dump(), seed=system.seed, cohort=bench.cohort.path,
                cohort_digest=bench.cohort.digest, split={"train": bench.atlases, "validation": [], "test": scored},
            )  # fmt: skip
            begin = time.process_time()
            system.fit(bench.cohort, run)
            told = {"folder": str(run.folder), "seconds": time.process_time() - begin}
            note.write_text(json.dumps(told), encoding="utf-8")
            print(f"{learner}: trained in {told['seconds']:.0f} s", flush=True)
    told = json.loads(note.read_text(encoding="utf-8"))
    system = system.model_copy(update={"registration": bench.registration})
    return system, open_run(Path(told["folder"])), told["seconds"]


def brought(system: AtlasSegmentation, run: Run, subject: Subject) -> tuple[Target, list[Atlas], dict[str, float]]:
    """Give the target and the atlases that vote, all registrations on the disk, and the seconds that these took."""
    target = system.target(subject, run)
    assert target.image.shape == system.record(run).images.own(subject).shape, "everything is scored where it is made"
    atlases = system.voters(target, run)
    return target, atlases, {"registering_s": sum(system.registered(target.image, a.image).seconds for a in atlases)}


def decoded(system: AtlasSegmentation, run: Run, shares: np.ndarray) -> np.ndarray:
    """Give the label values (X, Y, Z) of the likeliest classes (K, X, Y, Z)."""
    return system.record(run).classes.decode(shares.argmax(0))


def rows_of(
    method: str, labels: np.ndarray, subject: Subject, n_atlases: int, more: dict[str, float], step: str = "final"
) -> Rows:
    """Give Dice of both labels and of the whole, and what it cost."""
    truth = np.rint(read_volume(subject.label).data[0]).astype(np.int32)  # type: ignore[arg-type]
    more = {"peak_mb": peak_mb(), **more}
    return dice_rows("hippocampus", method, labels, truth, {"n_atlases": n_atlases, "step": step, **more})  # type: ignore[dict-item]


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait until no other process is here; a killed one leaves nothing behind."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
