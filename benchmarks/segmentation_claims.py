"""Three claims of the papers on segmentation, each on phantoms that hold what the claim is about, over several seeds.

    python benchmarks/segmentation_claims.py --study scales|modalities|scanners --out docs/segmentation_claims.csv
        [--seeds 0 1 2]
    python benchmarks/segmentation_claims.py --report --out docs/segmentation_claims.csv

    scales      several patch scales beat one (Moeskops 2016): newborns of eight structures, some alike in intensity
    modalities  several modalities beat one (Zhang 2015): infants whose grey and white matter are alike in T1 and T2
    scanners    N4 with Nyúl's landmarks helps when scanners differ (Pereira 2016): learnt on tumors of one scanner,
                tested on another, and on the same

A seed draws the phantom's subjects, the weights and the patches; the variants of a seed share all that they can. Every
variant has the same number of updates; networks are narrower than published and voxels larger, as the CPU demands.
Scores are the mean Dice coefficient over the structures of each test subject. Intervals are over subjects, drawn
together with their seed; with three seeds they are rough.
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

N_EACH = {"scales": (4, 3), "modalities": (5, 3), "scanners": (5, 3)}
"""Study → subjects to learn from, subjects to test on (of each kind)."""
COMMON: dict[str, dict[str, Any]] = {
    "scales": {"width": 0.25, "n_patches": 100, "n_epochs": 7, "batch_size": 64, "learning_rate": 2e-3, "dropout": 0.2,
               "stride": 4, "bias_correction": False, "modalities": "T2"},
    "modalities": {"n_maps": (16, 32, 64), "n_patches": 8000, "n_epochs": 6, "batch_size": 64, "learning_rate": 0.02},
    "scanners": {"padding": "valid", "width": 0.25, "n_patches": 8000, "n_epochs": 6, "batch_size": 64,
                 "learning_rate": 0.01, "least_mm3": 0.0},
}  # fmt: skip
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "scales": {
        "25, 51 and 75": {"scales": "all"}, "25 alone": {"scales": "25"}, "51 alone": {"scales": "51"},
        "75 alone": {"scales": "75"},
    },
    "modalities": {
        "T1, T2, FA": {"modalities": "T1, T2, FA"}, "T1, FA": {"modalities": "T1, FA"},
        "T2, FA": {"modalities": "T2, FA"}, "T1, T2": {"modalities": "T1, T2"}, "T1": {"modalities": "T1"},
        "T2": {"modalities": "T2"}, "FA": {"modalities": "FA"},
    },
    "scanners": {
        "N4 and Nyúl": {"bias_correction": True, "standardization": "nyul"},
        "Nyúl alone": {"bias_correction": False, "standardization": "nyul"},
        "N4 and z-scores": {"bias_correction": True, "standardization": "z_score"},
        "z-scores alone": {"bias_correction": False, "standardization": "z_score"},
        "training moments alone": {"bias_correction": False, "standardization": "training"},
    },
}  # fmt: skip
TITLES = {
    "scales": "Several scales against one (moeskops2016, eight structures, 2 mm)",
    "modalities": "Several modalities against one (zhang2015, three tissues, 3 mm)",
    "scanners": "Intensity preparation when scanners differ (pereira2016, parts of tumors, 3 mm)",
}
SYSTEMS = {"scales": "moeskops2016", "modalities": "zhang2015", "scanners": "pereira2016"}


def cohort_of(study: str, seed: int, folder: Path) -> tuple[Any, dict[str, list[str]], dict[str, str]]:
    """Make the subjects of a seed: the cohort, its split, and the kind of each test subject."""
    n_train, n_test = N_EACH[study]
    if study == "scanners":
        from workbench.phantoms.tumor import make_tumor

        made = make_tumor(folder, n_subjects=2 * (n_train + n_test), seed=seed, spacing_mm=3.0, n_scanners=2)
        by_scanner: dict[str, list[str]] = {}
        for subject in made:
            by_scanner.setdefault(subject.covariates["scanner"], []).append(subject.name)
        first, second = sorted(by_scanner)
        train, same = by_scanner[first][:n_train], by_scanner[first][n_train : n_train + n_test]
        other = by_scanner[second][:n_test]
        kinds = dict.fromkeys(same, "same scanner") | dict.fromkeys(other, "other scanner")
        return made, {"train": train, "validation": [], "test": same + other}, kinds
    from workbench.phantoms.infant import make_infant

    structures, spacing = ("regions", 2.0) if study == "scales" else ("tissues", 3.0)
    made = make_infant(folder, n_subjects=n_train + n_test, seed=seed, spacing_mm=spacing, structures=structures)  # type: ignore[arg-type]
    names = [s.name for s in made]
    split = {"train": names[:n_train], "validation": [], "test": names[n_train:]}
    return made, split, dict.fromkeys(split["test"], "held out")


def run_study(study: str, seed: int) -> list[dict[str, Any]]:
    """Train and score every variant on the subjects of one seed."""
    import torch

    from workbench.runs.run import create_run
    from workbench.systems import catalog

    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WORKBENCH_DATA"] = folder
        cohort, split, kinds = cohort_of(study, seed, Path(folder) / "cohort")
        for variant, changes in VARIANTS[study].items():
            system: Any = catalog.load(SYSTEMS[study]).make(COMMON[study] | changes | {"seed": seed})
            run = create_run(SYSTEMS[study], system.model_dump(), seed=seed, cohort=cohort.path, split=split)
            begin = time.perf_counter()
            system.fit(cohort, run)
            seconds = time.perf_counter() - begin
            n = sum(p.numel() for p in system.trained_network(run).parameters())
            for name in split["test"]:
                scores = system.segment(cohort[name], run).scores()
                plain = {s: v["dice"] for s, v in scores.items() if s in cohort.label_names.values()}
                rows.append({
                    "study": study, "seed": seed, "variant": variant, "subject": name, "kind": kinds[name],
                    "dice": float(np.nanmean(list(plain.values()))), "parameters": n, "seconds": round(seconds, 1),
                })  # fmt: skip
            print(study, seed, variant, round(float(np.mean([r["dice"] for r in rows[-len(kinds) :]])), 3), flush=True)
    return rows


def report(out: Path) -> None:
    """Write the Markdown beside the CSV."""
    from workbench.metrics.intervals import mean_interval, paired_difference_interval

    table = pd.read_csv(out)
    lines = [
        "# Claims of the papers on segmentation, on phantoms", "",
        "Mean Dice coefficient over the structures of each test subject, mean and 95 % interval over "
        "subjects, which are drawn together with their seed; the difference is paired, and bold where its "
        "interval leaves out 0. Networks are narrower than published and voxels larger; every variant of a "
        "study takes as many updates. Phantoms hold what a claim is about by construction (Nyúl's landmarks "
        "undo exactly the kind of change that makes the scanners differ), so a claim that holds here is "
        "possible, not proven for patients. Made by "
        "`benchmarks/segmentation_claims.py`.",
    ]  # fmt: skip
    for study, part in table.groupby("study", sort=False):
        reference = next(iter(VARIANTS[study]))
        for kind, of in part.groupby("kind", sort=False):
            title = TITLES[study] + ("" if kind == "held out" else f": {kind}")
            lines += [
                "",
                f"## {title}",
                "",
                f"{of.seed.nunique()} seeds, {of.subject.nunique()} test subjects each.",
                "",
            ]
            lines += [f"| variant | Dice | against {reference} | parameters |", "|---|---|---|---|"]
            base = of[of.variant == reference].sort_values(["seed", "subject"])
            for variant in VARIANTS[study]:
                own = of[of.variant == variant].sort_values(["seed", "subject"])
                if not len(own):
                    continue
                m = mean_interval(own.dice.to_numpy(), clusters=own.seed.tolist())
                cell = ""
                if variant != reference:
                    d = paired_difference_interval(
                        own.dice.to_numpy(), base.dice.to_numpy(), clusters=own.seed.tolist()
                    )
                    cell = f"{d.mean:+.3f} ({d.low:+.3f} to {d.high:+.3f})"
                    cell = f"**{cell}**" if d.low > 0 or d.high < 0 else cell
                lines.append(
                    f"| {variant} | {m.mean:.3f} ({m.low:.3f} to {m.high:.3f}) | {cell} | {own.parameters.iloc[0]:,} |"
                )
    lines += ["", "## What holds", "", *_verdicts(table)]
    out.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _verdicts(table: pd.DataFrame) -> list[str]:
    from workbench.metrics.intervals import paired_difference_interval

    said = []
    for study, part in table.groupby("study", sort=False):
        reference = next(iter(VARIANTS[study]))
        for kind, of in part.groupby("kind", sort=False):
            base = of[of.variant == reference].sort_values(["seed", "subject"])
            better, worse, open_ = [], [], []
            for variant in list(VARIANTS[study])[1:]:
                own = of[of.variant == variant].sort_values(["seed", "subject"])
                if len(own) != len(base):
                    continue
                d = paired_difference_interval(base.dice.to_numpy(), own.dice.to_numpy(), clusters=base.seed.tolist())
                (better if d.low > 0 else worse if d.high < 0 else open_).append(variant)
            where = "" if kind == "held out" else f" ({kind})"
            words = [
                f"{verb} {', '.join(f'*{name}*' for name in found)}"
                for verb, found in (("beats", better), ("is beaten by", worse), ("is not told from", open_))
                if found
            ]
            said.append(f"- **{reference}**{where} {'; '.join(words)}.")
    return said


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--study", choices=list(VARIANTS))
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--report", action="store_true")
    chosen = options.parse_args()
    for seed in [] if chosen.report else chosen.seeds:
        made = pd.DataFrame(run_study(chosen.study, seed))
        before = pd.read_csv(chosen.out) if chosen.out.exists() else made.iloc[:0]
        same = (before.study == chosen.study) & (before.seed == seed) if len(before) else []
        pd.concat([before[~same] if len(before) else before, made]).to_csv(chosen.out, index=False)
    if chosen.out.exists():
        report(chosen.out)


if __name__ == "__main__":
    main()
