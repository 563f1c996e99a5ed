"""Dense encoding against encoding patch by patch, on the whole MNI152 brain.

    python benchmarks/dense.py                 2 mm: seconds for every voxel of the brain, four ways, three networks
    python benchmarks/dense.py memory          1 mm: 400 units on 11³ patches of some 1.9 million voxels, peak memory

Patchwise encoding is measured on a sample of voxels and scaled up. "One by one" is the loop that a first script has;
"loader" is a torch DataLoader over a Dataset that slices one patch an item, in batches of 256; "gathered" is one
fancy index a batch of 256 and then the same module, as good as patchwise encoding gets.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from nilearn.datasets import load_mni152_brain_mask, load_mni152_template
from torch.utils.data import DataLoader, Dataset

from workbench.inference.dense import encode_voxels
from workbench.models.conv_autoencoder import ConvolutionalAutoEncoder
from workbench.models.stack import Stack
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.patches.gather import gather

BATCH = 256
NETWORKS: dict[str, Callable[[], Stack]] = {
    "SAE 11³: 1331-400": lambda: StackedAutoEncoder((1, 11, 11, 11), [400]),
    "SAE 11³: 1331-512-256-128": lambda: StackedAutoEncoder((1, 11, 11, 11), [512, 256, 128], normalization="center"),
    "SAE 21³: 9261-128": lambda: StackedAutoEncoder((1, 21, 21, 21), [128]),
    "pooled 21³ (Wu 2016 preset)": lambda: ConvolutionalAutoEncoder((1, 21, 21, 21)),
}
SAMPLE = {"one by one": 2_000, "loader": 10_240, "gathered": 20_480}
POOLED_SAMPLE = {"one by one": 200, "loader": 512, "gathered": 512}


class Slices(Dataset[torch.Tensor]):
    """One patch an item, cut out of a padded image."""

    def __init__(self, image: np.ndarray, voxels: np.ndarray, size: int) -> None:
        self.padded = torch.from_numpy(np.pad(image, [(0, 0), *[(size // 2, size - 1 - size // 2)] * 3]))
        self.voxels, self.size = voxels, size

    def __len__(self) -> int:
        return len(self.voxels)

    def __getitem__(self, index: int) -> torch.Tensor:
        x, y, z = self.voxels[index].tolist()
        return self.padded[:, x : x + self.size, y : y + self.size, z : z + self.size]


def one_by_one(stack: Stack, image: np.ndarray, voxels: np.ndarray) -> torch.Tensor:
    patches = Slices(image, voxels, stack.patch_shape[-1])
    return torch.cat([stack.encode(patches[i][None]) for i in range(len(patches))])


def loader(stack: Stack, image: np.ndarray, voxels: np.ndarray) -> torch.Tensor:
    batches = DataLoader(Slices(image, voxels, stack.patch_shape[-1]), batch_size=BATCH)
    return torch.cat([stack.encode(batch) for batch in batches])


def gathered(stack: Stack, image: np.ndarray, voxels: np.ndarray) -> torch.Tensor:
    size, margin = stack.patch_shape[1:], stack.patch_shape[1] // 2
    padded = np.pad(image, [(0, 0), *[(margin, margin)] * 3])
    starts = range(0, len(voxels), BATCH)
    patches = (gather(padded, voxels[i : i + BATCH], size, margin) for i in starts)
    return torch.cat([stack.encode(torch.from_numpy(batch)) for batch in patches])


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
WAYS = {"one by one": one_by_one, "loader": loader, "gathered": gathered}


def brain(spacing_mm: int) -> tuple[np.ndarray, np.ndarray]:
    image = np.asarray(load_mni152_template(resolution=spacing_mm).dataobj, dtype=np.float32)
    mask = np.asarray(load_mni152_brain_mask(resolution=spacing_mm).dataobj) > 0
    return image[None], mask


def seconds(function: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    """The fastest of some repetitions: other programs only ever add time."""
    times = []
    for _ in range(repeats):
        started = clock()
        function()
        times.append(clock() - started)
    return min(times)


def compare(repeats: int, clock: Callable[[], float]) -> list[dict[str, object]]:
    image, mask = brain(2)
    everywhere = np.argwhere(mask)
    results: list[dict[str, object]] = []
    for name, make in NETWORKS.items():
        stack = make().eval()
        stages, size = stack.as_convolutions(), stack.patch_shape[1:]
        out = np.zeros((len(everywhere), stack.code_size), np.float16)
        row: dict[str, object] = {"network": name, "voxels": len(everywhere)}
        with torch.no_grad():
            row["dense"] = seconds(lambda: encode_voxels(stages, image, size, mask, out=out), repeats, clock)  # noqa: B023
            for way, function in WAYS.items():
                n = (POOLED_SAMPLE if isinstance(stack, ConvolutionalAutoEncoder) else SAMPLE)[way]
                sample = everywhere[:: len(everywhere) // n][:n]
                taken = seconds(lambda: function(stack, image, sample), repeats, clock)  # noqa: B023
                row[way] = taken * len(everywhere) / n
        exact = gathered(stack, image, everywhere[:: len(everywhere) // 500]).detach().numpy()
        codes = encode_voxels(stages, image, size, everywhere[:: len(everywhere) // 500])
        row["largest difference"] = float(np.abs(codes - exact).max())
        results.append(row)
    return results


def measure_memory() -> dict[str, float]:
    image, mask = brain(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stack = NETWORKS["SAE 11³: 1331-400"]()
    with tempfile.TemporaryDirectory() as folder:
        out = np.lib.format.open_memmap(
            Path(folder) / "features.npy", mode="w+", dtype=np.float16, shape=(int(mask.sum()), stack.code_size)
        )
        taken = seconds(
            lambda: encode_voxels(stack.as_convolutions(), image, (11, 11, 11), mask, out=out), 1, time.perf_counter
        )
        gigabytes = out.nbytes / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB on Linux, in bytes on macOS
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return {
        "voxels": int(mask.sum()), "seconds": taken, "features_gb": gigabytes,
        "peak_before_gib": before / unit, "peak_gib": peak / unit,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["speed", "memory"], default="speed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu with --threads 1 on a busy machine")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    result = measure_memory() if chosen.what == "memory" else compare(chosen.repeats, CLOCKS[chosen.clock])
    if chosen.json:
        print(json.dumps(result))
    elif isinstance(result, dict):
        print("\n".join(f"{name:>16}: {value:,.2f}" for name, value in result.items()))
    else:
        print(f"{'network':<30}{'dense':>10}" + "".join(f"{way:>22}" for way in WAYS) + "   largest difference")
        for row in result:
            ratios = "".join(f"{row[w]:>12,.1f} s {row[w] / row['dense']:>6,.0f} ×" for w in WAYS)  # type: ignore[operator]
            print(f"{row['network']:<30}{row['dense']:>8.2f} s{ratios}   {row['largest difference']:.0e}")


if __name__ == "__main__":
    main()
