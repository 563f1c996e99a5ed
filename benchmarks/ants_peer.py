"""What registration and label fusion stand beside: ANTs SyN and ANTs joint label fusion, by antspyx.

Run by a Python of its own, because antspyx is no dependency of the workbench and brings its own copy of ITK::

    python -m venv ants-environment
    ants-environment/bin/pip install antspyx==0.6.3
    ants-environment/bin/python benchmarks/ants_peer.py syn FIXED MOVING OUT_DIR [--labels LABELS]
    ants-environment/bin/python benchmarks/ants_peer.py joint-label-fusion TARGET OUT_DIR --atlases A B --labels L M

so this file imports nothing but ants and numpy. Images are NIfTI. Everything that comes out lies in ``OUT_DIR``:

    syn                 ``warped.nii.gz``, moving on fixed's lattice; ``labels.nii.gz``, the moving labels, nearest;
                        ``field.nii.gz`` and ``inverse.nii.gz``, displacements in mm with the linear part, on fixed's
                        and on moving's lattice, as ITK writes them (LPS); ``linear.mat``; ``report.json``
    joint-label-fusion  ``labels.nii.gz``, the fused label map on target's lattice; ``report.json``

``report.json`` holds the settings, seconds of wall-clock and processor time of the method alone, and the largest
memory of the process in bytes, import and files included.

Avants et al. 2008 (SyN), Medical Image Analysis 12:26. Wang et al. 2013 (joint label fusion), IEEE TPAMI 35:611.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def main(words: list[str] | None = None) -> None:
    """Read the command line and do what it says."""
    given = _parser().parse_args(words)
    # read by ITK when it is loaded
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(given.threads)
    os.environ["ANTS_RANDOM_SEED"] = str(given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    given.work(given, importlib.import_module("ants"))


def syn(given: argparse.Namespace, ants: Any) -> None:
    """Register a pair, write what ``__doc__`` lists."""
    fixed, moving = ants.image_read(str(given.fixed)), ants.image_read(str(given.moving))
    seen = [ants.resample_image(i, [given.spacing] * 3) if given.spacing else i for i in (fixed, moving)]
    with tempfile.TemporaryDirectory() as folder:
        found, seconds = _timed(
            lambda: ants.registration(
                *seen, given.transform, outprefix=f"{folder}/", reg_iterations=tuple(given.iterations),
                syn_metric=given.metric, syn_sampling=given.sampling, aff_metric=given.affine_metric,
            )
        )  # fmt: skip
        forward, backward = found["fwdtransforms"], found["invtransforms"]
        flip = [str(name).endswith(".mat") for name in backward]
        ants.image_write(ants.apply_transforms(fixed, moving, forward), str(given.out / "warped.nii.gz"))
        if given.labels is not None:
            labels = ants.image_read(str(given.labels))
            moved = ants.apply_transforms(fixed, labels, forward, interpolator="nearestNeighbor")
            ants.image_write(moved.clone("unsigned int"), str(given.out / "labels.nii.gz"))
        for name, onto, other, chain, inverted in (
            ("field", fixed, moving, forward, None), ("inverse", moving, fixed, backward, flip),
        ):  # fmt: skip
            whole = ants.apply_transforms(onto, other, chain, whichtoinvert=inverted, compose=f"{folder}/{name}-")
            shutil.move(whole, given.out / f"{name}.nii.gz")
        for name in forward:
            if str(name).endswith(".mat"):
                shutil.copy(name, given.out / "linear.mat")
    told = {name: getattr(given, name) for name in ("transform", "metric", "iterations", "spacing")}
    _report(given, ants, told, seconds)


def joint_label_fusion(given: argparse.Namespace, ants: Any) -> None:
    """Fuse the label maps of atlases that lie on the target's lattice already."""
    if len(given.atlases) != len(given.labels) or len(given.atlases) < 2:
        sys.exit(f"Give as many label maps as atlases, two or more; got {len(given.labels)} for {len(given.atlases)}.")
    target = ants.image_read(str(given.target))
    atlases = [ants.image_read(str(path)) for path in given.atlases]
    labels = [ants.image_read(str(path)).clone("unsigned int") for path in given.labels]
    for image, path in zip([*atlases, *labels], [*given.atlases, *given.labels], strict=True):
        if image.shape != target.shape:
            sys.exit(f"{path} is {image.shape} voxels and the target {target.shape}; warp it onto the target first.")
    arrays = np.stack([image.numpy() for image in labels])
    fused, seconds, n_disputed = np.array(arrays[0]), (0.0, 0.0), int((arrays != arrays[0]).any(axis=0).sum())
    if n_disputed:  # where all agree there is nothing to decide
        known, numbers = np.unique(arrays, return_inverse=True)
        # the program passes over 0, and with it over every vote for the background; so that becomes 1
        maps = [target.new_image_like(n.astype(np.float32) + 1) for n in numbers.reshape(arrays.shape)]
        mask = target.new_image_like((arrays != arrays[0]).any(axis=0).astype(np.float32))
        shown = [target, *atlases] if given.raw else [_standardized(image) for image in (target, *atlases)]
        with tempfile.TemporaryDirectory() as folder:
            found, seconds = _timed(
                lambda: ants.joint_label_fusion(
                    shown[0], mask, shown[1:], label_list=maps, beta=given.beta, rad=[given.radius] * 3, rho=given.rho,
                    r_search=given.search, usecor=given.correlation, output_prefix=f"{folder}/fusion",
                )
            )  # fmt: skip
            decided = mask.numpy() > 0
            fused[decided] = known[np.rint(found["segmentation"].numpy()[decided]).astype(int) - 1]
    result = target.new_image_like(fused.astype(np.float32)).clone("unsigned int")
    ants.image_write(result, str(given.out / "labels.nii.gz"))
    told = {name: getattr(given, name) for name in ("beta", "rho", "radius", "search", "correlation", "raw")}
    _report(given, ants, told | {"n_atlases": len(atlases), "n_disputed": n_disputed}, seconds)


def _standardized(image: Any) -> Any:
    """Bring an image to mean 0 and standard deviation 1: the program compares patches by their squared difference."""
    array = image.numpy()
    return image.new_image_like((array - array.mean()) / max(float(array.std()), 1e-9))


def _timed(work: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """Give what work gives, and the seconds of wall clock and processor it took."""
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    return found, (time.perf_counter() - wall, time.process_time() - processor)


def _report(given: argparse.Namespace, ants: Any, settings: dict[str, Any], seconds: tuple[float, float]) -> None:
    content = {
        "method": given.command, "antspyx": ants.__version__, "settings": settings, "seed": given.seed,
        "threads": given.threads, "seconds": round(seconds[0], 3), "processor_seconds": round(seconds[1], 3),
        "peak_bytes": _largest_memory(),
    }  # fmt: skip
    (given.out / "report.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _largest_memory() -> int:
    """Give this process's largest memory in bytes; on Linux ``ru_maxrss`` would be what the parent had, too."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    pair = commands.add_parser("syn", help="register a moving image onto a fixed one")
    pair.add_argument("fixed", type=Path)
    pair.add_argument("moving", type=Path)
    pair.add_argument("out", type=Path, metavar="OUT_DIR")
    pair.add_argument("--labels", type=Path, help="label map of the moving image")
    pair.add_argument("--transform", default="SyN", help="any of ants.registration; SyNOnly without a linear part")
    pair.add_argument("--metric", default="mattes", help="of the deformable part: mattes, CC, meansquares, demons")
    pair.add_argument("--sampling", type=int, default=32, help="bins of mattes, radius of CC")
    pair.add_argument("--affine-metric", default="mattes", help="of the linear part: mattes, GC, meansquares")
    pair.add_argument("--iterations", type=int, nargs="+", default=[40, 20, 0], help="of each level, coarse to fine")
    pair.add_argument("--spacing", type=float, default=0.0, help="voxels in mm to register at; 0: those of the images")
    pair.set_defaults(work=syn)
    fusion = commands.add_parser("joint-label-fusion", help="fuse label maps of atlases warped to a target")
    fusion.add_argument("target", type=Path)
    fusion.add_argument("out", type=Path, metavar="OUT_DIR")
    fusion.add_argument("--atlases", type=Path, nargs="+", required=True, help="images on the target's lattice")
    fusion.add_argument("--labels", type=Path, nargs="+", required=True, help="their label maps, in the same order")
    fusion.add_argument("--beta", type=float, default=4.0)
    fusion.add_argument("--rho", type=float, default=0.01)
    fusion.add_argument("--radius", type=int, default=2, help="of a patch, voxels")
    fusion.add_argument("--search", type=int, default=3, help="radius of the search, voxels")
    fusion.set_defaults(work=joint_label_fusion)
    fusion.add_argument("--correlation", action="store_true", help="compare patches by correlation")
    fusion.add_argument("--raw", action="store_true", help="intensities as they are, not standardized image by image")
    for command in (pair, fusion):
        command.add_argument("--threads", type=int, default=1)
        command.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
