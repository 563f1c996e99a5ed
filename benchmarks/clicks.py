"""A further click on the Similarity page: seconds for each map on a whole brain at 2 mm, and their sum.

python benchmarks/clicks.py [--threads 2]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from workbench.inference.similarity import FeatureIndex, PatchIndex

BOX = (slice(10, 75), slice(10, 95), slice(15, 58))  # 237,575 voxels, as many as a brain has


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    rng = np.random.default_rng(0)
    image = rng.random((1, 91, 109, 91), np.float32)
    mask = np.zeros(image.shape[1:], bool)
    mask[BOX] = True
    begin = time.perf_counter()
    patches = PatchIndex(image, mask, (11, 11, 11))
    print(f"once for a subject: {time.perf_counter() - begin:.2f} s for the patches")
    sift, codes = (FeatureIndex(rng.random((int(mask.sum()), n), np.float32).astype(np.float16)) for n in (768, 128))
    maps: dict[str, Callable[[], object]] = {
        "patch, L2": lambda: patches.similarity(patches.patch(patches.voxels[1000]), "l2"),
        "patch, correlation": lambda: patches.similarity(patches.patch(patches.voxels[1000]), "correlation"),
        "SIFT, L2": lambda: sift.similarity(np.asarray(sift.features[1000], np.float32), "l2"),
        "SAE, correlation": lambda: codes.similarity(np.asarray(codes.features[1000], np.float32), "correlation"),
    }
    seconds = {name: _best(compute) for name, compute in maps.items()}
    for name, value in seconds.items():
        print(f"{name:<20} {value:.3f} s")
    print(f"{'all maps':<20} {sum(seconds.values()):.3f} s; a click may take 1 s")


def _best(compute: Callable[[], object], n_rounds: int = 5) -> float:
    compute()
    times = []
    for _ in range(n_rounds):
        begin = time.perf_counter()
        compute()
        times.append(time.perf_counter() - begin)
    return min(times)


if __name__ == "__main__":
    main()
