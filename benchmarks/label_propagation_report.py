"""The tables and verdicts of the study of label propagation, written from its rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from workbench.metrics.intervals import Interval, mean_interval, paired_difference_interval

WHOLE, PARTS = "hippocampus", ("anterior", "posterior")
MEAN, MAJORITY, LOCAL, JOINT = "mean shape", "majority vote", "locally weighted vote", "ANTs joint label fusion"
FEATURES = ("intensity", "hand-designed", "SSAE unsupervised", "SSAE supervised")
GUO = [f"Guo 2016 {features}{shaped}" for features in FEATURES for shaped in ("", " + surfaces")]
HAAR, ISA = "Kim 2013 Haar", "Kim 2013 ISA"
ORDER = [MEAN, MAJORITY, LOCAL, JOINT, *GUO, HAAR, ISA]
TOLD_BASELINE, WANTED_GAIN, LEAST = 0.754, 0.05, 5
INTRODUCTION = """# Label propagation on real hippocampi

`python benchmarks/label_propagation.py --work FOLDER [--ants PYTHON]`, then `--report`. Ten crops of 1 mm about one
hippocampus, with two labels by hand, are the atlases: the first in the order of names. The targets come after the
twentieth name, so nothing was learnt or chosen on them. Images are standardized by Nyúl's landmarks of the atlases;
every registration is an affine map and, where not said otherwise, diffeomorphic demons, made once and shared by all
methods. The mean shape looks at no image: the atlases' labels are stretched to the size of the target's crop, and what
most of them label is labelled. Guo 2016 has each of four features and the same atlases, search window, number of
neighbors and penalty; "+ surfaces" is its deformable model, a surface a label, on the same likelihood. SSAE is one
encoder, with its codes before and after labels were seen. Kim 2013 brings the target to each atlas, by the same maps
turned round. ANTs' joint label fusion (antspyx, its usual settings) fuses the very images and labels
that the votes see.

{settings}

Dice is that of the whole and of both labels, means over targets with 95 % bootstrap intervals over targets; p is
Wilcoxon's over targets, two-sided and not corrected for the number of comparisons. Seconds are processor time of one
target on one thread without registrations, whose clock time on a busy machine stands beside them; training is done
once. Memory is the largest of the whole process, libraries included.
"""
SETTINGS = """Settings that differ from the presets `cpu`: Guo 2016 compares patches of 5³ voxels in a window of 5³ with
50 neighbors on the lattice of the images, for all features alike: of five choices that were tried on two of the atlases
with intensities alone, the quickest and no worse than the others (7³ patches, 7³ windows, 100 neighbors). That may be
less than learnt features could use. Kim 2013 has its patches of 9³ in 13³ and all ten atlases. No target was labelled
before these were fixed."""


def report(table: pd.DataFrame) -> str:
    """Give the Markdown of all registrations that the table holds."""
    parts = [INTRODUCTION.format(settings=SETTINGS)]
    for registration in dict.fromkeys(table.registration):
        rows = table[table.registration == registration]
        parts.append(_section(registration, rows))
    return "\n".join(parts)


def _section(registration: str, rows: pd.DataFrame) -> str:
    n_most = int(rows.n_atlases.max())
    final = rows[(rows.step == "final") & (rows.n_atlases == n_most)]
    tables = {label: _by_target(final, label) for label in (WHOLE, *PARTS)}
    whole = tables[WHOLE]
    lines = [f"## {registration[0].upper()}{registration[1:]}\n"]
    lines.append(f"{len(whole)} targets, of which {len(whole.dropna())} have every method; {n_most} atlases.\n")
    if MEAN in whole:
        lines += ["**Verdict**\n", *_verdicts(whole), ""]
    lines += [
        "| method | targets | whole | anterior | posterior | least | seconds | registering, s | memory, MiB | "
        "training, s |",
        "|" + "---|" * 10,
    ]
    for method in list(whole.columns):
        here = final[final.method == method]
        own = whole[method].dropna()
        cells = [str(len(own))]
        cells += [_interval(mean_interval(tables[label][method].dropna().to_numpy())) for label in (WHOLE, *PARTS)]
        cells += [f"{own.min():.3f}", f"{here.seconds.mean():.1f}", f"{here.registering_s.mean():.1f}"]
        cells += [_number(here.peak_mb.mean()), _number(here.training_s.mean())]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    lines += ["", *_differences(whole), "", *_fewer(rows), "", *_iterations(rows, n_most)]
    return "\n".join(lines).rstrip() + "\n"


def _by_target(final: pd.DataFrame, label: str) -> pd.DataFrame:
    """Give Dice of a label, targets by methods."""
    found = final[final.label == label].pivot_table(index="target", columns="method", values="dice")
    return found[[m for m in ORDER if m in found.columns]]


def _number(number: float) -> str:
    return "–" if np.isnan(number) else f"{number:,.0f}"


def _differences(whole: pd.DataFrame) -> list[str]:
    against = [m for m in (MEAN, MAJORITY, JOINT) if m in whole]
    lines = [
        "Differences of Dice of the whole over the targets that both have: mean (95 % interval), p; better in.\n",
        "| method | " + " | ".join(f"− {other}" for other in against) + " |",
        "|" + "---|" * (len(against) + 1),
    ]
    for method in list(whole.columns):
        cells = ["" if method == other else _difference(whole, method, other) for other in against]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def _fewer(rows: pd.DataFrame) -> list[str]:
    """Show what fewer atlases give; all learnt from all, but fewer vote."""
    here = rows[(rows.step == "final") & (rows.label == WHOLE)]
    methods = [m for m in ORDER if here[here.method == m].n_atlases.nunique() > 1]
    if not methods:
        return []
    here = here[here.method.isin(methods)]
    counts = sorted(here.n_atlases.unique())
    lines = [
        "Dice of the whole by the number of atlases that vote, the first in the order of names (the classifiers of Kim "
        "2013 have learnt from all of them).\n",
        "| method | " + " | ".join(map(str, counts)) + " |",
        "|" + "---|" * (len(counts) + 1),
    ]
    means = here.pivot_table(index="method", columns="n_atlases", values="dice")
    for method in methods:
        lines.append(f"| {method} | {' | '.join(f'{means.loc[method, n]:.3f}' for n in counts)} |")
    return lines


def _iterations(rows: pd.DataFrame, n_atlases: int) -> list[str]:
    """Show the iterations of auto-context, and where their mean falls."""
    here = rows[rows.method.isin([HAAR, ISA]) & (rows.label == WHOLE) & (rows.n_atlases == n_atlases)]
    if here.empty:
        return []
    steps = [str(step) for step in dict.fromkeys(here.step)]
    lines = [
        "Dice of the whole by iteration of auto-context, fused over atlases; final is the last one with the largest "
        "pieces of each label alone.\n",
        "| method | " + " | ".join(steps) + " |",
        "|" + "---|" * (len(steps) + 1),
    ]
    said = [""]
    for method in [m for m in (HAAR, ISA) if m in set(here.method)]:
        table = here[here.method == method].pivot_table(index="target", columns="step", values="dice")[steps]
        means = table.mean()
        lines.append(f"| {method} | {' | '.join(f'{means[s]:.3f}' for s in steps)} |")
        turns = [s for s in steps if s.startswith("iteration")]
        falls = [b for a, b in pairwise(turns) if means[b] < means[a]]
        how = f"falls at {', '.join(falls)}" if falls else "never falls from iteration to iteration"
        said.append(f"- {method}: the mean {how}; {turns[-1]} − {turns[0]}: {_difference(table, turns[-1], turns[0])}.")
    return lines + said


def _verdicts(whole: pd.DataFrame) -> list[str]:
    ours = [m for m in whole.columns if m.startswith(("Guo", "Kim", LOCAL, MAJORITY))]
    learnt = [m for m in ours if m.startswith(("Guo", "Kim"))]
    if not ours:
        return []
    means = {method: float(np.nanmean(whole[method])) for method in [*ours, MEAN]}
    best = max(ours, key=lambda method: means[method])
    mean, base = means[best], means[MEAN]
    gain = _gain(whole, best, MEAN)
    shown = "**at least**" if gain.low >= WANTED_GAIN else "on average" if gain.mean >= WANTED_GAIN else "**not**"
    clear = [m for m in ours if means[m] - max(TOLD_BASELINE, base) >= WANTED_GAIN]
    said = [
        f"- The best of ours by its mean is {best}, {mean:.3f}. It is {shown} {WANTED_GAIN} above the mean shape of "
        f"these atlases, {base:.3f}: {_signed(gain)}. Against the {TOLD_BASELINE} that the data's description tells of "
        f"a mean shape it is {mean - TOLD_BASELINE:+.3f}.",
        f"- {len(clear)} of {len(ours)} of ours have a mean {WANTED_GAIN} or more above the higher of these two.",
    ]
    pairs = [(best, other) for other in (MAJORITY, JOINT)]
    pairs += [(m, other) for m in [LOCAL, *learnt] for other in (MAJORITY, JOINT)]
    pairs += [(GUO[2 * i + 2], GUO[2 * i]) for i in range(len(FEATURES) - 1)] + [(GUO[6], GUO[0])]
    pairs += [*((f"{m} + surfaces", m) for m in GUO[::2]), (ISA, HAAR)]
    known = [(a, b) for a, b in dict.fromkeys(pairs) if a != b and a in whole and b in whole]
    return said + [_verdict(whole, a, b) for a, b in known]


def _verdict(whole: pd.DataFrame, method: str, other: str) -> str:
    found = _gain(whole, method, other)
    apart = "above" if found.low > 0 else "below" if found.high < 0 else "not told apart from"
    return f"- {method} is **{apart}** {other}: {_difference(whole, method, other)}."


def _gain(whole: pd.DataFrame, method: str, other: str) -> Interval:
    shared = whole[[method, other]].dropna()
    return paired_difference_interval(shared[method].to_numpy(), shared[other].to_numpy())


def _difference(whole: pd.DataFrame, method: str, other: str) -> str:
    shared = whole[[method, other]].dropna()
    if shared.empty:
        return ""
    gaps = (shared[method] - shared[other]).to_numpy()
    p = wilcoxon(gaps).pvalue if len(gaps) > LEAST and gaps.any() else float("nan")
    tested = "" if np.isnan(p) else f", p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
    return f"{_signed(_gain(whole, method, other))}{tested}; {int((gaps > 0).sum())} of {len(gaps)}"


def _interval(found: Interval) -> str:
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"


def _signed(found: Interval) -> str:
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
