"""Patches a second: our store beside TorchIO's queue and MONAI's cached dataset, on the same volumes.

    python benchmarks/patches.py [--seconds 1] [--threads 2] [--cohort FOLDER]

Eight brain phantoms at 2 mm (99 x 117 x 95), T1 only; random patches of 11 x 11 x 11; batches of 256 as float32
tensors (256, 1, 11, 11, 11) in the main process, which is where each of the three is fastest per core. Every volume
is in memory (TorchIO, MONAI) or in the page cache (ours) before the clock starts. The rounds of the three alternate and
the best round of each counts, so that a busy machine harms none in particular.

A peer that is not installed is named as missing and left out: `pip install torchio` (the extra `bench`).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

SIZE = (11, 11, 11)
BATCH = 256
PER_VOLUME = (
    64  # patches that a peer takes from one volume before it turns to the next; generous, a queue's usual is 10
)
ROUNDS = 9


def endless(loader: object) -> Iterator[object]:
    while True:
        yield from loader  # type: ignore[misc]


def ours(subjects: list, folder: Path) -> Iterator[object]:
    from workbench.patches.datamodule import PatchDataModule
    from workbench.patches.prepared import Prepared
    from workbench.patches.store import PatchStore

    store = PatchStore.build(
        subjects, lambda s: Prepared(s.volume("T1").data), folder / "store", key="benchmark", margin=SIZE[0] // 2
    )
    data = PatchDataModule(store, patch_size=SIZE, batch_size=BATCH, n_patches=BATCH * 100, seed=0)
    return (batch["image"] for batch in endless(data.train_dataloader()))


def torchio_queue(subjects: list, folder: Path) -> Iterator[object]:
    import torch
    import torchio

    images = [torchio.ScalarImage(tensor=torch.from_numpy(s.volume("T1").data)) for s in subjects]
    dataset = torchio.SubjectsDataset([torchio.Subject(t1=image) for image in images])
    sampler = torchio.UniformSampler(SIZE)
    queue = torchio.Queue(
        dataset, max_length=len(subjects) * PER_VOLUME, samples_per_volume=PER_VOLUME, sampler=sampler, num_workers=0
    )
    loader = getattr(torchio, "SubjectsLoader", torch.utils.data.DataLoader)(queue, batch_size=BATCH, num_workers=0)
    return (batch["t1"][torchio.DATA] for batch in endless(loader))


def monai_cache(subjects: list, folder: Path) -> Iterator[object]:
    import torch
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import Compose, RandSpatialCropSamplesd, ToTensord

    items = [{"image": s.volume("T1").data} for s in subjects]
    crop = RandSpatialCropSamplesd("image", roi_size=SIZE, num_samples=PER_VOLUME, random_size=False)
    dataset = CacheDataset(items, Compose([ToTensord("image", track_meta=False), crop]), progress=False, num_workers=1)
    loader = DataLoader(dataset, batch_size=BATCH // PER_VOLUME, shuffle=True, num_workers=0)
    assert torch.is_tensor(next(iter(loader))["image"])
    return (batch["image"] for batch in endless(loader))


def patches_per_second(batches: Iterator[object], seconds: float) -> float:
    n, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        batch = next(batches)
        assert tuple(batch.shape[1:]) == (1, *SIZE), batch.shape  # type: ignore[attr-defined]
        n += len(batch)  # type: ignore[arg-type]
    return n / elapsed


def measure(sources: dict[str, Callable], subjects: list, folder: Path, seconds: float) -> dict[str, float]:
    running = {name: make(subjects, folder) for name, make in sources.items()}
    for batches in running.values():
        patches_per_second(batches, 0.5)  # fills queues and caches
    best = dict.fromkeys(running, 0.0)
    for _ in range(ROUNDS):
        for name, batches in running.items():
            best[name] = max(best[name], patches_per_second(batches, seconds))
    return best


def report(speeds: dict[str, float], missing: list[str]) -> None:
    mine = speeds["workbench"]
    print(f"{'':26}{'patches/s':>12}{'workbench is':>18}")
    for name, speed in speeds.items():
        print(f"{name:26}{speed:12,.0f}" + ("" if name == "workbench" else f"{mine / speed:12,.0f} times as fast"))
    for name in missing:
        print(f"{name:26}{'MISSING':>12}  not installed, so not compared: pip install {name.split()[0].lower()}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=1.0, help="of each round")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--cohort", type=Path, help="a cohort with T1 images instead of the phantom")
    chosen = options.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(chosen.threads)  # before torch is imported
    warnings.filterwarnings("ignore")
    import torch

    from workbench.imaging.cohort import read_cohort
    from workbench.phantoms.brain import make_brain

    torch.set_num_threads(chosen.threads)
    sources: dict[str, Callable] = {
        "workbench": ours,
        "TorchIO queue": torchio_queue,
        "MONAI CacheDataset": monai_cache,
    }
    missing = [name for name in sources if importlib.util.find_spec(name.split()[0].lower()) is None]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cohort = read_cohort(chosen.cohort) if chosen.cohort else make_brain(folder / "brains", modalities=["T1"])
        subjects = [s for s in cohort if s.name != "template"]
        shape = " x ".join(map(str, subjects[0].volume("T1").shape))
        print(f"{len(subjects)} volumes of {shape}, {chosen.threads} threads, torch {torch.__version__}")
        present = {name: make for name, make in sources.items() if name not in missing}
        report(measure(present, subjects, folder, chosen.seconds), missing)


if __name__ == "__main__":
    main()
