"""Whole-volume inference: dense against voxel by voxel and against MONAI's windows, memory, and where the time goes.

    python benchmarks/segmentation_inference.py            a block, narrow networks: about a minute
    python benchmarks/segmentation_inference.py --width 1  the same with the published numbers of maps
    python benchmarks/segmentation_inference.py forms      dilated, stitched and shared fragments at several tile sizes
    python benchmarks/segmentation_inference.py head       the published 3-D network on a 1 mm head, minutes
    python benchmarks/segmentation_inference.py profile    loading, N4, landmarks and network for one 1 mm brain

The networks are Kleesiek's (NeuroImage 2016; 3-D, one pooling, 53³ voxels seen) and Zhang's (NeuroImage 2015; 2-D,
13² pixels of three modalities seen). "One by one" runs the network on each voxel's patch, "batches" on 64 of them at
once; both are measured on a sample and scaled up. MONAI's windows are given the same dilated network and give the same
voxels: windows overlap by the receptive field and their rims have no weight; the fastest of several sizes counts.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from workbench.inference.dense_network import DenseNetwork
from workbench.inference.probabilities import PlaneName, plane_axes
from workbench.inference.whole_volume import dense_probabilities, patchwise_probabilities, plan_for
from workbench.models.fcn import dilate, shift_and_stitch, to_fcn

HEAD = (182, 218, 182)
FORM_TILES = (8, 24, 40, 56)
WINDOWS = {3: (16, 32, 48, 96), 2: (32, 64, 128, 256)}  # voxels that one of MONAI's windows gives, at most the block


def kleesiek(width: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    below = 1
    for number, (n_maps, kernel) in enumerate(zip((16, 24, 28, 34, 42, 50, 50), (4, 5, 5, 5, 5, 5, 5), strict=True)):
        above = max(round(n_maps * width), 2)
        layers.append(nn.Conv3d(below, above, kernel))
        layers += [nn.MaxPool3d(2), nn.ReLU()] if number == 0 else [nn.ReLU()]
        below = above
    return lively(nn.Sequential(*layers, nn.Conv3d(below, 2, 1)))


def zhang(width: float) -> nn.Sequential:
    a, b, c = (max(round(n * width), 3) for n in (64, 256, 768))
    body: list[nn.Module] = [nn.Conv2d(3, a, 5), nn.ReLU(), nn.LocalResponseNorm(5)]
    body += [nn.Conv2d(a, b, 5), nn.ReLU(), nn.LocalResponseNorm(5), nn.Conv2d(b, c, 5), nn.ReLU()]
    return lively(nn.Sequential(*body, nn.Flatten(), nn.Linear(c, 3)))


def lively(network: nn.Sequential) -> nn.Sequential:
    torch.manual_seed(0)
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)
    last = network[-1]
    assert isinstance(last, (nn.Conv3d, nn.Linear))
    nn.init.normal_(last.weight, std=0.1)  # scores of about 1, so that probabilities differ
    return network.eval()


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = ["wall"]


def seconds(function: Callable[[], object], repeats: int = 1) -> float:
    """The fastest of some repetitions: other programs only ever add time."""
    now, times = CLOCKS[clock[0]], []
    for _ in range(repeats):
        started = now()
        function()
        times.append(now() - started)
    return min(times)


def gibibytes() -> float:
    """The most memory that this process ever held; what the one that started it held does not count."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(next(r for r in status.read_text().splitlines() if r.startswith("VmHWM")).split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30  # bytes on macOS


class Case:
    """A network on a block of noise."""

    def __init__(self, name: str, width: float, shape: Sequence[int]) -> None:
        self.name, self.is_3d = name, name == "Kleesiek"
        self.network = kleesiek(width) if self.is_3d else zhang(width)
        self.patch = (53, 53, 53) if self.is_3d else (13, 13)
        self.plane: PlaneName | None = None if self.is_3d else "axial"
        n_channels = 1 if self.is_3d else 3
        self.image = np.random.default_rng(0).normal(size=(n_channels, *shape)).astype(np.float32)

    def dense(self) -> np.ndarray:
        return dense_probabilities(self.network, self.image, patch=self.patch, plane=self.plane)

    def sample(self, n: int) -> np.ndarray:
        """Give a mask of about n voxels, spread evenly."""
        mask = np.zeros(self.image.shape[1:], bool)
        mask.ravel()[:: max(mask.size // n, 1)] = True
        return mask

    def patchwise(self, mask: np.ndarray, batch_size: int) -> np.ndarray:
        return patchwise_probabilities(
            self.network, self.image, patch=self.patch, mask=mask, plane=self.plane, batch_size=batch_size
        )

    def monai(self, n: int) -> np.ndarray:
        """Give the same probabilities by MONAI, from windows of n scored voxels along each axis."""
        from monai.inferers import sliding_window_inference

        n_axes, margin = len(self.patch), self.patch[0] - 1
        scored = [min(n, size) for size in self.image.shape[1 : 1 + n_axes]]
        window = [s + margin for s in scored]
        rims = [margin // 2] * 2 * n_axes
        fcn = dilate(to_fcn(self.network, (len(self.image), *self.patch)))
        planes = torch.from_numpy(self.image)[None] if self.is_3d else torch.from_numpy(self.image).movedim(3, 0)
        weights = nn.functional.pad(torch.ones(scored), rims)
        overlap = [(margin - 1e-6) / w for w in window]
        with torch.inference_mode():
            out = sliding_window_inference(
                nn.functional.pad(planes.contiguous(), rims), window, 1,
                lambda x: nn.functional.pad(fcn(x).softmax(1), rims), overlap, roi_weight_map=weights,
            )  # fmt: skip
        assert isinstance(out, Tensor)
        inner = nn.functional.pad(out, [-rim for rim in rims])  # cuts the rims off
        return (inner[0] if self.is_3d else inner.movedim(0, 3)).numpy()


def block_shape(name: str, block: int) -> tuple[int, int, int]:
    return (block, block, block) if name == "Kleesiek" else (2 * block, 2 * block, max(block // 8, 1))


def compare(width: float, block: int, repeats: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for case in (
        Case("Kleesiek", width, (block,) * 3),
        Case("Zhang", width, (2 * block, 2 * block, max(block // 8, 1))),
    ):
        n_voxels = int(np.prod(case.image.shape[1:]))
        exact = case.dense()
        row: dict[str, object] = {"network": case.name, "voxels": n_voxels, "dense": seconds(case.dense, repeats)}
        for way, batch_size, n in (("one by one", 1, 24), ("batches", 64, 64 if case.is_3d else 512)):
            mask = case.sample(n)
            row[way] = seconds(lambda: case.patchwise(mask, batch_size), repeats) * n_voxels / mask.sum()  # noqa: B023
        row["difference"] = float(np.abs(case.patchwise(mask, 64) - exact)[:, mask].max())
        sizes = [n for n in WINDOWS[len(case.patch)] if n < block * (1 if case.is_3d else 2)] + [10**6]
        times = {n: seconds(lambda: case.monai(n), repeats) for n in sizes}  # noqa: B023
        best = min(times, key=lambda n: times[n])
        row["MONAI"], row["MONAI window"] = times[best], "the block" if best == 10**6 else best
        row["MONAI difference"] = float(np.abs(case.monai(best) - exact).max())
        row |= alone("peak", case.name, width, block)
        rows.append(row)
    return rows


def forms(width: float, repeats: int) -> list[dict[str, object]]:
    """Seconds and growth of peak memory for each way to score a tile, each in a process of its own."""
    ways = ("dilated", "dilated, channels last", "stitched", "fragments")
    return [alone("form", way, width, tile, repeats) for tile in FORM_TILES for way in ways]


def one_form(way: str, width: float, tile: int, repeats: int) -> dict[str, object]:
    network = kleesiek(width)
    x = torch.randn(1, 1, *(tile + 52,) * 3)
    run: Callable[[Tensor], Tensor] = DenseNetwork(network)
    if way.startswith("dilated"):
        run = spread = dilate(network)
        if way.endswith("last"):
            run = spread.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
            x = x.contiguous(memory_format=torch.channels_last_3d)
    elif way == "stitched":
        run = lambda y: shift_and_stitch(network, y)  # noqa: E731
    with torch.inference_mode():
        run(x[..., :53, :53, :53].contiguous())
        before = gibibytes()
        taken = seconds(lambda: run(x), repeats)
    return {"tile": tile, "way": way, "µs/voxel": taken / tile**3 * 1e6, "MiB": (gibibytes() - before) * 1024}


def peak(name: str, width: float, block: int) -> dict[str, object]:
    case = Case(name, width, block_shape(name, block))
    before = gibibytes()
    case.dense()
    return {"GiB before": before, "peak GiB": gibibytes()}


def head(width: float, memory_gb: float) -> dict[str, object]:
    network = kleesiek(width)
    image = np.random.default_rng(0).normal(size=(1, *HEAD)).astype(np.float32)
    before, plan = gibibytes(), plan_for(DenseNetwork(network), HEAD, memory_gb * 1e9, plane_axes(3, None))
    taken = seconds(lambda: dense_probabilities(network, image, memory_bytes=memory_gb * 1e9))
    return {
        "parameters": sum(p.numel() for p in network.parameters()), "voxels": int(np.prod(HEAD)), "tile": plan.tile,
        "tiles": len(list(plan)), "seconds": taken, "GiB before": before, "peak GiB": gibibytes(),
    }  # fmt: skip


def profile(width: float) -> dict[str, object]:
    """Seconds for each part of the way of one brain of 1 mm from its file to class probabilities."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    from workbench.imaging.files import read_volume
    from workbench.imaging.intensity import correct_bias
    from workbench.imaging.standardization import learn_landmarks
    from workbench.imaging.volume import Volume

    mask = np.asarray(load_mni152_brain_mask(resolution=1).dataobj) > 0
    row: dict[str, object] = {"voxels": mask.size, "in the mask": int(mask.sum())}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "T1.nii.gz"
        load_mni152_template(resolution=1).to_filename(path)
        done: list[Volume] = []
        row["loading"] = seconds(lambda: done.append(read_volume(path)))
        volume = done.pop()
    row["N4"] = seconds(lambda: done.append(correct_bias(volume, mask)))
    corrected = done[0].data[0]
    row["learning landmarks"] = seconds(lambda: learn_landmarks([(corrected, mask)]))
    landmarks = learn_landmarks([(corrected, mask)])
    row["applying landmarks"] = seconds(lambda: landmarks.apply(corrected, mask))
    image = landmarks.apply(corrected, mask)[None] / 100
    network = kleesiek(width)
    row["network in the mask"] = seconds(lambda: dense_probabilities(network, image, mask=mask))
    row["peak GiB"] = gibibytes()
    return row


def alone(what: str, name: str, width: float, size: int, repeats: int = 1) -> dict[str, object]:
    """Run one measurement in a process of its own, whose peak memory is then its own too."""
    command = [sys.executable, __file__, what, "--name", name, "--width", str(width), "--block", str(size)]
    command += ["--threads", str(torch.get_num_threads()), "--repeats", str(repeats), "--clock", clock[0], "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def show(result: list[dict[str, object]] | dict[str, object]) -> None:
    if isinstance(result, dict):
        print(
            "\n".join(
                f"{key:>20}: {v:,.2f}" if isinstance(v, float) else f"{key:>20}: {v}" for key, v in result.items()
            )
        )
        return
    for row in result:
        if "way" in row:
            print(f"{row['tile']:>4}³ {row['way']:<24}{row['µs/voxel']:>9.1f} µs/voxel {row['MiB']:>8.0f} MiB")
            continue
        dense = float(row["dense"])  # type: ignore[arg-type]
        print(
            f"{row['network']}, {row['voxels']:,} voxels: dense {dense:.2f} s, peak {row['peak GiB']:.2f} GiB "
            f"({row['GiB before']:.2f} before)"
        )
        for way in ("one by one", "batches", "MONAI"):
            print(f"    {way:<12}{row[way]:>12,.2f} s  {row[way] / dense:>8,.1f} ×")  # type: ignore[operator]
        print(f"    largest difference {row['difference']:.0e} from patches, {row['MONAI difference']:.0e} from MONAI")
        print(f"    MONAI's fastest windows gave {row['MONAI window']} voxels along an axis")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ["speed", "forms", "head", "profile", "form", "peak"]
    parser.add_argument("what", nargs="?", choices=known, default="speed")
    parser.add_argument("--width", type=float, help="share of the published maps; a quarter in speed, else all")
    parser.add_argument("--block", type=int, default=40, help="voxels along an axis of the block")
    parser.add_argument("--memory-gb", type=float, default=1.0, help="working memory of the head")
    parser.add_argument("--name", default="Kleesiek", help="which network or form, for measurements of one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu on a busy machine, with one thread")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    clock[0] = chosen.clock
    width = chosen.width or (0.25 if chosen.what in ("speed", "peak") else 1.0)
    ways: dict[str, Callable[[], list[dict[str, object]] | dict[str, object]]] = {
        "speed": lambda: compare(width, chosen.block, chosen.repeats),
        "forms": lambda: forms(width, chosen.repeats),
        "head": lambda: head(width, chosen.memory_gb),
        "profile": lambda: profile(width),
        "form": lambda: one_form(chosen.name, width, chosen.block, chosen.repeats),
        "peak": lambda: peak(chosen.name, width, chosen.block),
    }
    result = ways[chosen.what]()
    if chosen.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
