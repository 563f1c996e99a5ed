"""Skull stripping of phantom heads, half of them altered: Kleesiek's network beside two tools that learn nothing.

    python benchmarks/segmentation_skull.py --out docs/kleesiek2016.csv [--seeds 3] [--epochs 8] [--spacing 3.0]
    python benchmarks/segmentation_skull.py --out docs/kleesiek2016.csv --report     only the Markdown, from the CSV
    python benchmarks/segmentation_skull.py --cubes                                  only the cost of a prediction

A seed draws the heads (16 to learn from, 4 for validation, 8 to test on: normal, with an enhancing tumor, with inverted
contrast, after a resection, with a contrast of no sequence at all) and the weights. T1 alone is given. The network has
half the published maps and sees voxels of 3 mm, since whole ones take a GPU; everything else is published. The tools:

    template   nilearn's compute_brain_mask: the MNI152 mask, resampled and eroded where the image is dark
    Otsu       what is brighter than Otsu's threshold, opened, its largest piece with its holes filled

Scores are Dice, sensitivity and specificity of each test head; the intervals are over heads of all seeds, heads drawn
together with their seed. The rate of the plateau rule and the number of steps were chosen on heads of seed 99.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SETTINGS: dict[str, Any] = {
    "width": 0.5, "modalities": "T1", "cube_size": 65, "n_patches": 600, "learning_rate": 0.002, "plateau_steps": 300,
    "plateau_window": 100,
}  # fmt: skip
N_TRAIN, N_VALIDATION, N_TEST = 16, 4, 8
METHODS = ("kleesiek2016", "template", "Otsu")
SCORES = ("dice", "sensitivity", "specificity")


def otsu_mask(image: np.ndarray) -> np.ndarray:
    """Give the largest bright piece (X, Y, Z) after an opening that cuts thin bridges, holes filled."""
    from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes, label
    from skimage.filters import threshold_otsu

    bright = binary_erosion(image > threshold_otsu(image), iterations=2)
    pieces, n = label(bright)
    if n == 0:
        return bright
    largest = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    return binary_fill_holes(binary_dilation(largest, iterations=2))


def template_mask(image: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Give nilearn's mask (X, Y, Z)."""
    import nibabel as nib
    from nilearn.masking import compute_brain_mask

    return np.asarray(compute_brain_mask(nib.Nifti1Image(image, affine)).dataobj) > 0


def study(seed: int, spacing_mm: float, n_epochs: int) -> list[dict[str, Any]]:
    """Train on one draw of heads and score all methods on its test heads."""
    from workbench.metrics.overlap import overlap
    from workbench.phantoms.head import make_head
    from workbench.runs.run import create_run
    from workbench.systems.segmentation.kleesiek2016 import Kleesiek2016

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WORKBENCH_DATA"] = folder
        n = N_TRAIN + N_VALIDATION + N_TEST
        cohort = make_head(Path(folder) / "heads", n_subjects=n, seed=seed, spacing_mm=spacing_mm, modalities=("T1",))
        names = [s.name for s in cohort]
        parts = (names[:N_TRAIN], names[N_TRAIN : N_TRAIN + N_VALIDATION], names[N_TRAIN + N_VALIDATION :])
        split = dict(zip(("train", "validation", "test"), parts, strict=True))
        system = Kleesiek2016(**(SETTINGS | {"n_epochs": n_epochs, "seed": seed}))
        run = create_run("kleesiek2016", system.model_dump(), seed=seed, cohort=cohort.path, split=split)
        begin = time.perf_counter()
        system.fit(cohort, run)
        seconds = time.perf_counter() - begin
        for name in split["test"]:
            subject = cohort[name]
            image = subject.volume("T1")
            truth = subject.mask_array(image)
            masks = {
                "kleesiek2016": system.segment(subject, run).classes > 0,
                "template": template_mask(image.data[0], image.affine),
                "Otsu": otsu_mask(image.data[0]),
            }
            for method, mask in masks.items():
                found = overlap(mask, truth)
                rows.append({
                    "seed": seed, "subject": name, "altered": subject.covariates["altered"], "method": method,
                    **{s: getattr(found, s) for s in SCORES}, "minutes": seconds / 60, "epochs": n_epochs,
                    "spacing_mm": spacing_mm,
                })  # fmt: skip
    return rows


def report(out: Path) -> None:
    """Write the Markdown beside the CSV."""
    from workbench.metrics.intervals import mean_interval, paired_difference_interval

    table = pd.read_csv(out, keep_default_na=False)
    lines = [
        "# Skull stripping of phantom heads", "",
        f"{len(table) // len(METHODS)} test heads of {table.seed.nunique()} draws, T1 of {table.spacing_mm[0]:g} mm; "
        "mean and 95 % interval, heads drawn together with their seed. The network has half the published maps and was "
        f"trained for {table.minutes.mean():.0f} minutes on one thread ({int(table.epochs[0])} epochs of "
        f"{SETTINGS['n_patches']} cubes). Made by `benchmarks/segmentation_skull.py`.", "",
        "| heads | method | Dice | sensitivity | specificity |", "|---|---|---|---|---|",
    ]  # fmt: skip
    groups = {"all": table, "normal": table[table.altered == "none"], "altered": table[table.altered != "none"]}
    for group, part in groups.items():
        for method in METHODS:
            of = part[part.method == method]
            cells = []
            for score in SCORES:
                m = mean_interval(of[score].to_numpy(), clusters=of.seed.tolist())
                cells.append(f"{m.mean:.3f} ({m.low:.3f} to {m.high:.3f})")
            lines.append(f"| {group} ({len(of)}) | {method} | {' | '.join(cells)} |")
    lines += [
        "",
        "By kind of alteration, Dice:",
        "",
        "| kind | " + " | ".join(METHODS) + " |",
        "|---|" + "---|" * len(METHODS),
    ]
    for kind, part in table.groupby("altered"):
        means = [f"{part[part.method == m].dice.mean():.3f}" for m in METHODS]
        lines.append(f"| {kind} ({len(part) // len(METHODS)}) | {' | '.join(means)} |")
    lines += ["", "## What holds", ""]
    for group, score, claim in (
        ("altered", "dice", "the better Dice on altered heads"), ("normal", "dice", "the better Dice on normal heads"),
        ("all", "specificity", "the higher specificity"), ("all", "sensitivity", "the higher sensitivity"),
    ):  # fmt: skip
        part = groups[group].sort_values(["seed", "subject"])
        ours = part[part.method == "kleesiek2016"]
        for other in METHODS[1:]:
            theirs = part[part.method == other]
            d = paired_difference_interval(
                ours[score].to_numpy(), theirs[score].to_numpy(), clusters=ours.seed.tolist()
            )
            verdict = "has" if d.low > 0 else "does not have" if d.high < 0 else "is not shown to have"
            lines.append(
                f"- Against {other} the network {verdict} {claim}: {d.mean:+.3f} ({d.low:+.3f} to {d.high:+.3f})."
            )
    lines += [
        "",
        "These are phantoms whose skulls differ by deformation, pose and thickness alone, and test heads come from the "
        "same generator as those learnt from: the tools were made for real heads and know none of it. Real images are "
        "in [segmentation_real.md](segmentation_real.md).",
    ]  # fmt: skip
    out.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def cubes() -> None:
    """Print what one prediction costs in cubes of several sizes: the reason for cubes larger than the input."""
    import torch

    from workbench.systems.segmentation.kleesiek2016 import Kleesiek2016

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    network = Kleesiek2016(width=0.5).network(1, 2)  # type: ignore[call-arg]
    costs = {}
    for edge in (53, 57, 61, 65, 73):
        x = torch.randn(1, 1, edge, edge, edge)
        best = float("inf")
        for _ in range(5):
            begin = time.process_time()
            network(x).square().mean().backward()
            best = min(best, time.process_time() - begin)
        n = ((edge - 53) // 2 + 1) ** 3
        costs[edge] = best / n
        rate = costs[53] / costs[edge]
        print(
            f"cube {edge}: {n:5d} predictions, {1000 * best / n:8.2f} ms each, {rate:6.1f} times the rate of one by one"
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--epochs", type=int, default=8)
    options.add_argument("--spacing", type=float, default=3.0)
    options.add_argument("--report", action="store_true")
    options.add_argument("--cubes", action="store_true")
    chosen = options.parse_args()
    if chosen.cubes:
        cubes()
        return
    if not chosen.report:
        for seed in chosen.seeds:
            made = pd.DataFrame(study(seed, chosen.spacing, chosen.epochs))
            before = pd.read_csv(chosen.out, keep_default_na=False) if chosen.out.exists() else made.iloc[:0]
            pd.concat([before[before.seed != seed], made]).to_csv(chosen.out, index=False)
            print(made.groupby(["altered", "method"])[list(SCORES)].mean().round(3).to_string(), flush=True)
    report(chosen.out)


if __name__ == "__main__":
    main()
