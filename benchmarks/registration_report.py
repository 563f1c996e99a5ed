"""The tables and verdicts of the real-data study of registration, written from its rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from workbench.metrics.intervals import Interval, mean_interval, paired_difference_interval

SAE, PATCHES, ATTRIBUTES = "HAMMER + SAE", "HAMMER + raw patches", "HAMMER + attributes"
DEMONS_SAE = "demons + SAE"
ORDER = (
    "affine", "demons", "diffeomorphic demons", DEMONS_SAE, "ANTs SyN", ATTRIBUTES, PATCHES, "HAMMER + SIFT",
    "HAMMER + PCA", "HAMMER + ISA", SAE,
)  # fmt: skip
INTRODUCTION = """# Registration on real images

`python benchmarks/registration_real.py --study NAME [--ants PYTHON]`, then `--report`. One image is brought onto
another; labels that no method sees say how well. All of ours begin at the same affine map and differ in the engine and
in what drives it; HAMMER's schedule is the same everywhere. It was chosen on the ten hippocampi whose names come
first, which no table here holds, and its fourth stage on two 7 T-like phantoms; without that stage HAMMER + SAE comes
to 0.835 on the hippocampi below, 0.758 on the infants and 0.559 on the adults. Raw patches have five voxels along an
edge, and so have those that the auto-encoder, ISA and PCA see. Features are learnt without labels, from other subjects
than the pair's (of the two adults there are no others, so there from the pair itself). ANTs' SyN (antspyx, mutual
information) sees the same images at the same voxel size for 100, 70 and 40 iterations, with an affine map of its own.

Dice is the mean over labels; in brackets are 95 % bootstrap intervals that draw fixed subjects, so pairs that share one
are drawn together. They are still too narrow where each moving subject comes back too. p is Wilcoxon's, over pairs,
two-sided and not corrected for the number of comparisons. Seconds are processor time of one pair on one thread, the
description of voxels included, learning not; memory is the largest of the whole process.
"""


@dataclass(frozen=True)
class Chapter:
    """What is said of one study."""

    title: str
    words: str


CHAPTERS = {
    "hippocampus": Chapter(
        "Hippocampi",
        "Crops of 1 mm about one hippocampus, two labels by hand; forty ordered pairs in a ring, of subjects on "
        "which nothing was learnt. Features come from twenty others. The size of the learnt features' patches was "
        "9 at first; it was changed to that of the raw ones after these pairs had been seen, but chosen on six "
        "pairs of the ten hippocampi that the schedule was chosen on.",
    ),
    "infants": Chapter(
        "Infants", "Four skull-stripped infants, T1, all twelve ordered pairs, registered at 2 mm and scored at "
        "0.86 mm on eleven structures joined from automatic labels. Features come from the two other infants."
    ),
    "adults": Chapter(
        "Adults", "Two skull-stripped adults, T1, both ways, registered at 2 mm and scored at 1 mm on the regions of "
        "a manual atlas. Two pairs allow no interval worth the name."
    ),
}  # fmt: skip


def report(table: pd.DataFrame) -> str:
    """Give the Markdown of the studies that the table holds."""
    parts = [INTRODUCTION]
    for study, chapter in CHAPTERS.items():
        rows = table[table.study == study]
        if not rows.empty:
            parts.append(_section(chapter, rows))
    return "\n".join(parts)


def _section(chapter: Chapter, rows: pd.DataFrame) -> str:
    means = _by_pair(rows)
    methods = [m for m in ORDER if m in means.columns]
    whole = means[methods].dropna()
    lines = [f"## {chapter.title}\n", f"{chapter.words} {len(whole)} pairs have every method.\n", "**Verdict**\n"]
    lines += _verdicts(whole)
    lines += [
        "",
        "| method | mean Dice | against affine | seconds | memory, MiB | folded, % | numbers a voxel |",
        "|" + "---|" * 7,
    ]
    for method in methods:
        here = rows[rows.method == method]
        gain = "" if method == "affine" else _signed(_difference(whole, method, "affine"))
        folded = 100 * here.folded_share.mean()
        lines.append(
            f"| {method} | {_interval(_mean(whole, method))} | {gain} | {here.seconds.mean():.1f} | "
            f"{_memory(here.peak_mb)} | {'–' if np.isnan(folded) else f'{folded:.2g}'} | "
            f"{int(here.n_features.max()) or '–'} |"
        )
    labels = list(dict.fromkeys(rows.label))
    if len(labels) <= 12:
        lines += ["", "| method | " + " | ".join(labels) + " |", "|" + "---|" * (len(labels) + 1)]
        for method in methods:
            dice = rows[rows.method == method].groupby("label", sort=False).dice.mean()
            lines.append(f"| {method} | " + " | ".join(f"{dice[label]:.3f}" for label in labels) + " |")
    return "\n".join(lines) + "\n"


def _by_pair(rows: pd.DataFrame) -> pd.DataFrame:
    """Give the mean Dice of every pair and method; where the whole is scored beside its parts, the whole."""
    if "hippocampus" in set(rows.label) and rows.study.iloc[0] == "hippocampus":
        rows = rows[rows.label == "hippocampus"]
    return rows.pivot_table(index=["fixed", "moving"], columns="method", values="dice", aggfunc="mean")


def _verdicts(whole: pd.DataFrame) -> list[str]:
    if SAE not in whole:
        return []
    others = [
        m
        for m in (
            "diffeomorphic demons",
            "demons",
            ATTRIBUTES,
            PATCHES,
            "HAMMER + ISA",
            "HAMMER + PCA",
            DEMONS_SAE,
            "ANTs SyN",
        )
        if m in whole
    ]
    said = [_verdict(whole, SAE, other) for other in others]
    if PATCHES in whole:
        said += [_verdict(whole, PATCHES, other) for other in ("diffeomorphic demons", "ANTs SyN") if other in whole]
    return said


def _verdict(whole: pd.DataFrame, method: str, other: str) -> str:
    difference = _difference(whole, method, other)
    apart = "not told apart from" if difference.low <= 0 <= difference.high else (
        "above" if difference.mean > 0 else "below"
    )  # fmt: skip
    gaps = whole[method] - whole[other]
    p = wilcoxon(gaps).pvalue if len(gaps) >= 6 and gaps.any() else float("nan")
    tested = "" if np.isnan(p) else f", p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
    return (
        f"- {method} {whole[method].mean():.3f} is **{apart}** {other} {whole[other].mean():.3f}: "
        f"{_signed(difference)}, better in {int((gaps > 0).sum())} of {len(gaps)}{tested}."
    )


def _memory(values: pd.Series) -> str:
    return "–" if values.isna().all() else f"{values.mean():,.0f}"


def _mean(whole: pd.DataFrame, method: str) -> Interval:
    return mean_interval(whole[method].to_numpy(), clusters=list(whole.index.get_level_values("fixed")))


def _difference(whole: pd.DataFrame, method: str, other: str) -> Interval:
    clusters = list(whole.index.get_level_values("fixed"))
    return paired_difference_interval(whole[method].to_numpy(), whole[other].to_numpy(), clusters=clusters)


def _interval(found: Interval) -> str:
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"


def _signed(found: Interval) -> str:
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
