"""Where one Gaussian RBM finds planted networks as ICA does, where it does not, and what depth adds (Plis et al. 2014).

    python benchmarks/plis_recovery.py --out docs/plis2014.csv [--seeds 5] [--again]

Four studies, each on several draws of its phantom: networks planted in regional signals with four kinds of time
courses; the same networks as blobs of voxels, in one series, and in 4-D images of subjects that go the whole way from
images to maps, as they are and with every voxel's volumes shuffled; and subjects whose class two factors make together,
with the classes as they are and shuffled. A machine learns by the system ``plis2014`` itself, as one stage of a run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import torch

from workbench import workflow
from workbench.classical.decomposition import decompose, decompose_images
from workbench.imaging.atlases import atlas_of
from workbench.imaging.voxels import as_images
from workbench.metrics.intervals import mean_interval
from workbench.metrics.recovery import mean_matched
from workbench.phantoms.bold import make_bold
from workbench.phantoms.bold_networks import planted_networks
from workbench.phantoms.bold_sources import standardized
from workbench.phantoms.bold_voxels import planted_voxels
from workbench.phantoms.two_level import make_two_level
from workbench.runs.run import create_run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.cadx.plis2014 import Plis2014
from workbench.systems.split_half import reproducibility

CONDITIONS: dict[str, dict[str, Any]] = {
    "events, T 1000, noise 1": {"n_volumes": 1000, "noise": 1.0},
    "events, T 1000, noise 2": {"n_volumes": 1000, "noise": 2.0},
    "events, T 4000, noise 1": {"n_volumes": 4000, "noise": 1.0},
    "events, T 4000, noise 2": {"n_volumes": 4000, "noise": 2.0},
    "binary, T 4000, SNR 1": {"n_volumes": 4000, "noise": None, "sources": "binary"},
    "Laplace, T 4000, SNR 1": {"n_volumes": 4000, "noise": None, "sources": "laplace"},
    "Gaussian, T 4000, SNR 1": {"n_volumes": 4000, "noise": None, "sources": "gaussian"},
}
N_PLANTED, N_UNITS = 8, 32
GRID = (0.0, 0.001, 0.003)
UPDATES = 3000
RECIPE = {"centered": False, "hidden_bias": -2.0, "batch_size": 20, "learning_rate": 0.01, "max_update_norm": 0.1}
RIVALS = {"temporal ICA": "fast_ica", "spatial ICA": "spatial_ica", "PCA": "pca", "dictionary": "dictionary"}
VOXEL_L1 = (0.003, 0.03)
SHUFFLED = "RBM, every voxel's volumes shuffled"
IMAGE_RECIPE = {
    "choose_l1": "fixed",
    "weight_l1": 0.01,
}  # with the preset for voxels; seen to be best on draws 100 and 101
DEPTH = {"n_epochs_pretraining": 25, "n_epochs": 30, "n_folds": 3}
GATE = 0.95
SKEWED = (
    "A classifier that says one class oftener than the other has an F below a half at chance, so a small gain over the "
    "raw voxels with shuffled classes is no leak as long as F itself is at chance."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="CSV of all draws; the tables as Markdown beside it")
    parser.add_argument("--again", action="store_true", help="only write the Markdown of a CSV that is there")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0, help="where the draws begin; the CSV keeps others")
    parser.add_argument(
        "--only", choices=["networks", "voxels", "images", "depth"], help="one study; the CSV keeps the others"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.again:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["WORKBENCH_DATA"] = folder
            seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
            rows = study(Path(folder), seeds, arguments.only)
        table = pd.DataFrame(rows).round(4)
        if arguments.only and arguments.out.exists():
            before = pd.read_csv(arguments.out)
            renewed = (before.study == arguments.only) & before.seed.isin(seeds)
            table = pd.concat([before[~renewed], table])
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(arguments.out, index=False)
    arguments.out.with_suffix(".md").write_text(as_markdown(pd.read_csv(arguments.out)), encoding="utf-8")


def study(root: Path, seeds: range, only: str | None) -> list[dict[str, Any]]:
    """Give a row for each study, condition, method and seed."""
    studies = {"networks": networks, "voxels": voxels, "images": images, "depth": depth}
    rows = []
    for name, run in studies.items():
        for seed in seeds if only in (None, name) else ():
            begin = time.perf_counter()
            for condition, method, value in run(root, seed):
                rows.append({"study": name, "condition": condition, "method": method, "seed": seed, "value": value})
            print(f"{name}, seed {seed}: {time.perf_counter() - begin:.0f} s", flush=True)
    return rows


def networks(root: Path, seed: int) -> list[tuple[str, str, float]]:
    """Measure the mean |r| of planted networks with their partners among the maps of each method."""
    rows = []
    for condition, settings in CONDITIONS.items():
        planted = planted_networks(seed=seed, **settings)
        x = planted.values
        for penalty in (0.003, 0.0):
            maps = machine_maps(root, x, seed, penalty)
            rows.append((condition, f"RBM {N_UNITS}, L1 {penalty:g}", mean_matched(maps, planted.maps)))
        if len(x) == 1000:
            chosen = chosen_penalty(root, x, seed)
            rows.append((condition, "chosen L1", chosen))
            maps = machine_maps(root, x, seed, chosen)
            rows.append((condition, f"RBM {N_UNITS}, L1 chosen", mean_matched(maps, planted.maps)))
        for name, method in RIVALS.items():
            for n in (N_PLANTED, N_UNITS):
                if name == "PCA" and n == N_UNITS:
                    continue  # the first eight are the same
                found = decompose(x, method, n, seed)  # type: ignore[arg-type]
                rows.append((condition, f"{name} {n}", mean_matched(found.maps, planted.maps)))
    return rows


def voxels(root: Path, seed: int) -> list[tuple[str, str, float]]:
    """Measure the same on voxels, with canonical ICA of nilearn."""
    condition = "events, T 1000, voxels"
    planted = planted_voxels(1000, seed=seed)
    x = standardized(planted.values).astype(np.float32)
    rows = []
    for penalty in VOXEL_L1:
        maps = machine_maps(root, x, seed, penalty)
        rows.append((condition, f"RBM {N_UNITS}, L1 {penalty:g}", mean_matched(maps, planted.maps)))
    image, mask = root / f"bold-{seed}.nii.gz", root / f"mask-{seed}.nii.gz"
    for file, data in ((image, planted.space.unmask(planted.values)), (mask, planted.space.mask.astype(np.uint8))):
        nibabel.save(nibabel.Nifti1Image(data, planted.space.affine), file)
    found = decompose_images([image], mask, N_PLANTED, seed=seed)
    rows.append((condition, f"CanICA {N_PLANTED}", mean_matched(found.maps, planted.maps)))
    for name in ("temporal ICA", "spatial ICA", "PCA"):
        maps = decompose(x, RIVALS[name], N_PLANTED, seed).maps  # type: ignore[arg-type]
        rows.append((condition, f"{name} {N_PLANTED}", mean_matched(maps, planted.maps)))
    return rows


def images(root: Path, seed: int) -> list[tuple[str, str, float]]:
    """Go from 4-D images to maps as users do, and measure the same; then without anything that goes together."""
    made = make_bold(root / f"images-{seed}", n_subjects=6, n_volumes=200, seed=seed, effect=0.0, images=True)
    cohort = workflow.extract_regions(made.path, "gm", root / f"cubes-{seed}", voxel_mm=8)
    planted, atlas = np.load(made.path.parent / "truth.npz")["voxel_maps"], atlas_of(cohort)
    assert atlas is not None and atlas.labels is not None
    run = workflow.train("plis2014", cohort.path, IMAGE_RECIPE | {"seed": seed}, preset="voxels")
    system: Any = workflow.system_of(run)
    view = system.comparison(run)
    at = {name: i for i, name in enumerate(atlas.regions)}
    truth = planted[atlas.labels.data[0] > 0].T[:, [at[name] for name in view.regions]]
    rows = []
    for method in view.methods:
        rows.append(("planted maps", method, mean_matched(view.maps[method], truth)))
        rows.append(("two halves", method, float(view.reproducibility[method].mean())))
    series = [s.regional_series().only(view.regions).values for s in cohort]
    told = decompose_images(*as_images([standardized(one) for one in series]), N_PLANTED, seed=seed)
    rows.append(("planted maps", f"CanICA {N_PLANTED}", mean_matched(told.maps, truth)))
    rng = np.random.default_rng([seed, 9])
    x = [rng.permuted(standardized(one), axis=0).astype(np.float32) for one in series]
    pair = [machine_maps(root, np.concatenate(x[3 * i : 3 * i + 3]), seed, 0.03, UPDATES / 2, i) for i in (0, 1)]
    rows.append(("planted maps", SHUFFLED, mean_matched(pair[0], truth)))
    rows.append(("two halves", SHUFFLED, float(reproducibility(*pair).mean())))
    chance = (run.result() or {})["scores"]["reproducibility_chance"]
    rows.append(("two halves", "chance: maps with their voxels shuffled", chance))
    return rows


def depth(root: Path, seed: int) -> list[tuple[str, str, float]]:
    """Measure F-scores of held-out subjects at each depth, with the classes as they are and shuffled."""
    cohort = make_two_level(root / f"two-level-{seed}", seed=seed, noise=1.0)
    rows = []
    for condition, permute in (("classes as they are", False), ("classes shuffled", True)):
        run = workflow.train("plis2014_depth", cohort.path, {**DEPTH, "seed": seed, "permute": permute})
        scores = (run.result() or {})["scores"]
        rows += [(condition, name.removeprefix("f_"), value) for name, value in scores.items()]
    return rows


def machine_maps(
    root: Path, x: np.ndarray, seed: int, penalty: float, updates: float = UPDATES, start: int = 0
) -> np.ndarray:
    """Learn a machine by the system's own training, in a run of its own, and give its maps (M, V)."""
    n_epochs = max(1, round(updates * int(RECIPE["batch_size"]) / len(x)))
    system = Plis2014(n_hidden=N_UNITS, n_epochs=n_epochs, seed=seed, **RECIPE)  # type: ignore[arg-type]
    run = create_run("plis2014", {}, seed=seed, cohort=None, root=root / "runs")
    training = Training(run, [StagePlan("all", n_epochs)])
    return system.learn_machine(x, training, "all", penalty, start).weight.numpy()


def chosen_penalty(root: Path, x: np.ndarray, seed: int) -> float:
    """Give the penalty whose maps of the first half of the volumes come back best in the second, as the system does."""
    half = len(x) // 2
    agree = []
    for penalty in GRID:
        pair = [machine_maps(root, part, seed, penalty, UPDATES / 2, i) for i, part in enumerate((x[:half], x[half:]))]
        agree.append(reproducibility(*pair).mean())
    return GRID[int(np.argmax(agree))]


def as_markdown(table: pd.DataFrame) -> str:
    """Write the document: tables, and sentences that follow from them."""
    n_seeds = int(table.seed.nunique())
    parts = [
        "# Restricted Boltzmann machines and depth on brain maps, measured\n",
        f"Means over {n_seeds} draws of the phantoms with 95 % intervals over draws; a cell that rests on fewer says "
        "so, and one on fewer than three has no interval. Made by "
        "`benchmarks/plis_recovery.py`. The numbers are of synthetic data and say nothing of patients.\n",
    ]
    for name, words in TEXTS.items():
        own = table[table.study == name]
        if len(own):
            parts += [words, _grid(own[own.method != "chosen L1"], n_seeds), *_verdicts(name, own)]
    return "\n".join(parts) + "\n"


TEXTS = {
    "networks": "\n## Planted networks in 116 regions: mean |r| of the 8 networks with their partners\n\n"
    f"The machine has {N_UNITS} binary units under Gaussian visible ones and takes {UPDATES:,} steps of 20 volumes "
    "(rate 0.01 falling to 0, hidden biases from -2, momentum 0.5 then 0.9, updates no longer than 0.1). "
    f"`L1 chosen` takes the penalty among {', '.join(f'{v:g}' for v in GRID)} whose maps come back best from one half "
    "of the volumes to the other, on the short series alone; no truth is looked at, and the machines of the halves "
    "share no first weights, order or draws. The number behind a method is how "
    f"many components it was told to find; {N_PLANTED} is the true one, {N_UNITS} as many as the machine has units.\n",
    "voxels": "\n## The same networks as blobs of voxels (8 mm, grey matter): mean |r|\n\n"
    f"{UPDATES:,} steps. CanICA is nilearn's, on the images; the others see the z-scored voxels.\n",
    "images": "\n## From 4-D images of six subjects to maps: mean |r|\n\n"
    "Six subjects of 200 volumes, extracted as cubes of 8 mm inside MNI gray matter with the usual cleaning, and the "
    "preset `voxels` with an L1 of 0.1. Rate, centering, bias and penalty are the best of six on draws 100 and 101, by "
    "the planted maps; those draws are not in the table. All methods have 32 maps, as many as the machine has units; "
    f"`CanICA {N_PLANTED}` was told the true number. `planted maps` is the agreement of the 8 planted maps with their "
    "partners, `two halves` that of all maps of one half of the subjects with those of the other; the machines of the "
    "halves share no first weights, order or draws. In the control every voxel's volumes are shuffled by themselves: "
    "nothing goes together. White noise is no smooth noise, which brings maps back by itself; how much was not "
    "measured here. Agreement of halves alone is therefore no proof of networks.\n",
    "depth": "\n## Depth: F-score (mean of both classes) of held-out subjects\n\n"
    "400 subjects of 300 voxels whose class is the sign of the product of two factors; a 50-50-100 network is "
    "pretrained and fine-tuned inside each of three folds of whole sites. With shuffled classes nothing can be "
    "told. Nearest neighbours tell the class from the voxels already.\n",
}


def _grid(own: pd.DataFrame, n_seeds: int) -> str:
    cells = own.groupby(["method", "condition"], sort=False).value
    conditions, methods = list(dict.fromkeys(own.condition)), list(dict.fromkeys(own.method))
    lines = [f"| | {' | '.join(conditions)} |", "|---" * (len(conditions) + 1) + "|"]
    for method in methods:
        shown = [
            _cell(cells.get_group((method, c)), n_seeds) if (method, c) in cells.groups else "" for c in conditions
        ]
        lines.append(f"| {method.replace('_', ' ')} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _cell(values: pd.Series, n_seeds: int) -> str:
    few = "" if len(values) == n_seeds else f", {len(values)} draw{'s' if len(values) > 1 else ''}"
    if len(values) < 3:
        return f"{values.mean():.3f}{few}"
    mean, low, high = mean_interval(values.to_numpy())
    return f"{mean:.3f} ({low:.3f} to {high:.3f}){few}"


def _verdicts(name: str, own: pd.DataFrame) -> list[str]:
    """Say by paired differences between draws who is ahead: a win is an interval above 0."""
    wide = own.pivot_table(index=["condition", "seed"], columns="method", values="value")
    if name == "depth":
        return ["", *_depth_verdicts(wide)]
    if name == "images":
        return []
    machine = f"RBM {N_UNITS}, L1 {'0.003' if name == 'networks' else '0.03'}"
    rivals = [m for m in dict.fromkeys(own.method) if not m.startswith(("RBM", "chosen"))]
    lines = ["", f"`{machine}` less each other method, paired by draw with 95 % intervals:", ""]
    for condition in dict.fromkeys(own.condition):
        part = wide.loc[condition]
        said: dict[str, list[str]] = {"ahead of": [], "level with": [], "behind": []}
        for rival in rivals:
            mean, low, high = mean_interval((part[machine] - part[rival]).to_numpy())
            key = "ahead of" if low > 0 else "behind" if high < 0 else "level with"
            said[key].append(f"{rival} ({mean:+.3f}, {low:+.3f} to {high:+.3f})")
        lines.append(f"* {condition}: " + "; ".join(f"{k} {', '.join(v)}" for k, v in said.items() if v) + ".")
    if name == "networks":
        chosen = own[own.method == "chosen L1"].groupby("condition", sort=False).value
        told = "; ".join(f"{c}: {', '.join(f'{v:g}' for v in sorted(g))}" for c, g in chosen)
        first = wide.loc[next(iter(CONDITIONS))][f"RBM {N_UNITS}, L1 0.003"].mean()
        reached = "at least" if first >= GATE else "BELOW"
        lines += ["", f"L1 that the halves chose, draw by draw: {told}.",
                  "", f"Gate: events, T 1000, noise 1, L1 0.003: {first:.3f}, {reached} {GATE}."]  # fmt: skip
    return lines


def _depth_verdicts(wide: pd.DataFrame) -> list[str]:
    lines = []
    for condition in wide.index.get_level_values(0).unique():
        part = wide.loc[condition]
        for classifier in ("SVM", "logistic_regression", "nearest_neighbours"):
            gain = mean_interval((part[f"{classifier}_depth_3"] - part[f"{classifier}_raw"]).to_numpy())
            last = mean_interval(part[f"{classifier}_depth_3"].to_numpy())
            told = "above chance" if last.low > 0.5 else "at chance" if last.high >= 0.5 else "below chance"
            lines.append(f"* {condition}, {classifier.replace('_', ' ')}: F(depth 3) less F(raw) {gain.mean:+.3f} "
                         f"({gain.low:+.3f} to {gain.high:+.3f}); F(depth 3) is {told}.")  # fmt: skip
    return [*lines, "", SKEWED]


if __name__ == "__main__":
    main()
