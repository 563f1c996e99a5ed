"""The tables and verdicts of the real-data study of segmentation, from its rows alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.metrics.intervals import mean_interval, paired_difference_interval

UNET = "MONAI UNet"
TITLES = {
    "dice": "Dice", "hd95_mm": "HD95, mm", "mean_surface_mm": "surface, mm", "sensitivity": "sensitivity",
    "specificity": "specificity", "ppv": "PPV", "ltpr": "lesions found", "lfpr": "lesions that are false",
}  # fmt: skip
INTRODUCTION = """# Segmentation systems on real images

`python benchmarks/segmentation_real.py --study NAME --minutes M --threads 1`, then `--report`. Every system learns on
some subjects and is tested on others. The few settings that were *tried*, as said below, were chosen by short trials
that learnt from some training subjects of the first fold and were scored on another of them, who is tested in a later
fold; the UNet's were not chosen at all. In each fold every system gets about the same processor time of one thread,
stated below; MONAI's UNet (two-dimensional, residual, Adam on Dice and cross-entropy, flipped patches, a rate that
falls in a line) then gets about as much as the slowest system of that fold, on the same prepared images. **That is a
minute, or ten, where the papers had hours or days of a GPU**: the tables say what these systems do when scaled down
so far, not what the papers report, and no published figure stands in them.

Means over tested subjects, 95 % bootstrap intervals over them in brackets. There are between 4 and 6 of them, and such
intervals are too narrow; slabs of one patient say nothing of other patients. Distances are means over the subjects in
which both maps have the structure. Methods in *italics* learn nothing, or a threshold alone; an oracle has looked at
the truth it is scored on."""


@dataclass(frozen=True)
class Chapter:
    """What is said of one study.

    Attributes:
        title: of its section.
        design: subjects, folds, truth.
        scaled: what the systems were scaled down to.
        structures: whose mean Dice coefficient the verdict is on.
        rivals: methods without learning that the verdict is against, the honest ones.
        scores: columns beside Dice.
        left_out: subjects that are shown apart.
        oracle: a method without learning that has looked at the truth.
        are_slabs: whether subjects are slabs of one patient, which can be pooled.
    """

    title: str
    design: str
    scaled: str
    structures: tuple[str, ...]
    rivals: tuple[str, ...]
    scores: tuple[str, ...] = ("hd95_mm", "mean_surface_mm")
    left_out: tuple[str, ...] = ()
    oracle: str = ""
    are_slabs: bool = False


MASKS = (
    "nilearn template mask", "nilearn background mask", "DIPY median Otsu", "BET (brainextractor)",
)  # fmt: skip
ORACLE = "threshold, oracle of all slabs"
SKULL_SCORES = ("hd95_mm", "mean_surface_mm", "sensitivity", "specificity")
CHAPTERS = {
    "skull_child": Chapter(
        "Skull stripping: slabs of six children",
        "T1 of 1 mm with skull, the eight planes that hold a whole image; brain is whatever has a tissue label, fluid "
        "included, and that labelling is automatic. Two folds of three children, learnt from the other three. The "
        "masks of other tools come from the slab too: nilearn's template mask looks at the affine alone, and BET, "
        "which needs a whole head, is left out. The networks of both folds also label the same level of an adult of "
        "another scanner, where the other tools see the whole head.",
        "kleesiek2016 with 0.35 of its maps and voxels of 2 mm, so that its field of 53 voxels is 106 mm wide and, in "
        "a slab of 8 mm, mostly border; the plateau of its rate shortened in proportion; tried: two cubes a "
        "step and not four. The rate is 2e-3, chosen on phantoms after training at 5e-3 had ended in saying background "
        "everywhere. The UNet sees slices of 2 mm.",
        ("brain",), MASKS, SKULL_SCORES, ("adult",),
    ),
    "skull_adult": Chapter(
        "Skull stripping: slabs of one adult",
        "One head, T1 of 2 mm, cut into four slabs of 38 mm along Z with 4 mm between them; brain is whatever has one "
        "of 145 automatic region labels. Two folds of two slabs, learnt from the other two. The masks of other tools "
        "come from the whole head, which the networks never see at once, and are scored on the slabs.",
        "as above, but the rate is not halved, and four cubes a step. *At first* it was halved when the loss had not "
        "fallen for a quarter of the steps, and in one fold that was before anything had been learnt: its network says "
        "background everywhere. With the rate held but *two cubes a step* it had begun to learn and fell back.",
        ("brain",), MASKS, SKULL_SCORES, (), "", True,
    ),
    "tissue_infant": Chapter(
        "Tissue of four infants",
        "T1 and T2 of 0.86 mm, skull-stripped, 28 planes in the upper middle of the cerebrum without cerebellum and "
        "brain stem. White matter; grey matter, cortical and deep; fluid is ventricles and what has no label inside "
        "the brain, so its truth is poor. Two folds of two infants, one with T1 nearly without contrast in each. The "
        "clusters see T2 alone and are called grey, white, fluid from dark to bright; without fluid for two.",
        "zhang2015 with half of its maps; nie2016 with two fifths of them, by gradient descent at a rate of 0.05; "
        "both with fewer patches.",
        ("GM", "WM"), ("2-means on T2", "3-means on T2"),
    ),
    "tissue_child": Chapter(
        "Tissue of six children",
        "The same slabs inside their brain mask, which is that of the truth, for every method; fluid, cortical grey, "
        "white and deep grey matter, labelled automatically. Two folds of three children. Clusters of T1 know no deep "
        "grey matter, so the verdict leaves it out.",
        "as above, on T1; moeskops2016 with half of its maps, batches of 64, asked at every second pixel of a slice, "
        "so that its answers are blocks of four.",
        ("CSF", "GM", "WM"), ("3-means on T1",),
    ),
    "lesion_ms": Chapter(
        "Lesions of multiple sclerosis: slabs of one patient",
        "FLAIR, T1, T1 with contrast and T2 of 1 mm, four slabs of 19 mm along Z with 4 mm between them, each tested "
        "once by what was learnt on the other three; consensus of three raters. Lesions are connected pieces; a "
        "lesion is cut where its slab ends.",
        "brosch2016 with 8 of its 32 maps and kernels of 5 × 5 × 3 on the images' own voxels of 1 mm, trained for "
        "nine to ten minutes; that much was tried before for five minutes on two slabs of the first fold, scored on "
        "slab 4. What came before stays here: *a minute* and *three minutes*, with voxels of 2 mm, were not told "
        "apart from the threshold. There were tried: one epoch of pretraining a level, Adadelta's steps doubled, "
        "and Adam, which was worse. Two things were changed after the first two folds had been seen below the "
        "threshold, which is a choice on tested slabs. *At first*, two fifths of the time went into pretraining. "
        "*Scaled by slab* is with less of it and more time, the intensities of each slab brought to mean 0 and "
        "variance 1, which takes from slabs of one scan the common scale that a threshold has; now the moments are "
        "those of the training slabs, for the UNet too.",
        ("lesion",), ("threshold chosen in training",),
        ("hd95_mm", "mean_surface_mm", "sensitivity", "ppv", "ltpr", "lfpr"), (), ORACLE, True,
    ),
    "tumor_brats": Chapter(
        "Parts of a brain tumor: slabs of one patient",
        "FLAIR and T1 with contrast of 1 mm, z-scored when they came, four slabs of 21 mm along Z with 4 mm between "
        "them, each tested once by what was learnt on the other three. Parts of which a slab has few voxels have "
        "little meaning.",
        "pereira2016 with half of its maps and no zeros about them, two modalities of four, trained for eight to "
        "nine minutes, which nothing but its length and width tells from *40 seconds*, with a quarter of the maps; "
        "tried: batches of 32 at a rate of 0.01 and not of 128 at 0.003, with which there were too few steps; "
        "neither N4 nor Nyúl's landmarks, since the images came corrected and z-scored and are of one patient, so "
        "that the moments of the training slabs are enough. *Scaled by slab* is a mistake, seen after two folds and "
        "kept here: there the intensities of each slab had been brought to mean 0 and variance 1, for the UNet too. "
        "Pieces below 1 ml are removed and not those below 10 ml, since a slab cuts tumors.",
        ("complete tumor",), ("threshold chosen in training",), ("hd95_mm", "mean_surface_mm", "sensitivity", "ppv"),
        (), ORACLE, True,
    ),
}  # fmt: skip


def report(table: pd.DataFrame) -> str:
    """Give the Markdown of the studies that the table holds."""
    learns = table.groupby("method").train_s.transform("count") > 0
    place = learns.astype(int) + (table.method == UNET)  # what learns nothing first, the UNet last
    table = table.assign(place=place).sort_values(["place", "fold"], kind="stable")
    parts = [INTRODUCTION]
    for name, chapter in CHAPTERS.items():
        rows = table[table.study == name]
        if not rows.empty:
            parts.append(section(rows, chapter))
    return "\n\n".join(parts) + "\n"


def section(rows: pd.DataFrame, chapter: Chapter) -> str:
    """Give one study."""
    main = rows[~rows.subject.isin(chapter.left_out)]
    lines = [f"## {chapter.title}", chapter.design, f"*Scaled down*: {chapter.scaled} {times(main)}"]
    lines.append(verdicts(main, chapter))
    for structure in structures(main):
        lines.append(f"### {structure}\n\n{scores_table(main, structure, chapter.scores, pooled=chapter.are_slabs)}")
    lines.append("### Dice of each subject\n\n" + by_subject(main, chapter.structures))
    for subject in chapter.left_out:
        apart = rows[rows.subject == subject]
        lines.append(f"### {subject.capitalize()}, never learnt from: means over the folds' networks")
        lines += [scores_table(apart, s, chapter.scores, intervals=False) for s in structures(apart)]
    return "\n\n".join(lines)


def structures(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows.structure))


def times(rows: pd.DataFrame) -> str:
    """Say how long methods were trained."""
    learnt = rows.dropna(subset=["train_s"]).drop_duplicates(["fold", "method"])
    said = []
    for method, group in learnt.groupby("method", sort=False):
        said.append(
            f"{method} {group.train_s.min() / 60:.1f}–{group.train_s.max() / 60:.1f} min, "
            f"{group.n_steps.min():,.0f}–{group.n_steps.max():,.0f} steps, {group.n_parameters.iloc[0]:,.0f} parameters"
        )
    return "Trained in each fold: " + "; ".join(said) + "."


def scores_table(
    rows: pd.DataFrame, structure: str, scores: tuple[str, ...], *, intervals: bool = True, pooled: bool = False
) -> str:
    """Give a row for each method."""
    here = rows[rows.structure == structure]
    columns = ["dice", *(s for s in scores if here[s].notna().any())]
    titles = ["method", *(TITLES[c] for c in columns), *(["Dice of all slabs as one"] if pooled else [])]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for method, group in here.groupby("method", sort=False):
        cells = [_interval(group[c], intervals) for c in columns] + ([pooled_dice(group)] if pooled else [])
        name = str(method) if group.train_s.notna().any() else f"*{method}*"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def pooled_dice(rows: pd.DataFrame) -> str:
    """Give the Dice coefficient of all slabs together, whose both volumes tell how many voxels they share."""
    both = rows.true_ml + rows.predicted_ml
    return f"{(rows.dice.fillna(0) * both).sum() / both.sum():.3f}" if both.sum() else "–"


def by_subject(rows: pd.DataFrame, wanted: tuple[str, ...]) -> str:
    """Give the mean Dice coefficient over structures, a column for each subject."""
    mean = mean_dice(rows, wanted)
    subjects = sorted({s for values in mean.values() for s in values})
    lines = ["| method | " + " | ".join(subjects) + " |", "|---" * (len(subjects) + 1) + "|"]
    for method, values in mean.items():
        lines.append(f"| {method} | " + " | ".join(f"{values[s]:.3f}" if s in values else "–" for s in subjects) + " |")
    return "\n".join(lines)


def mean_dice(rows: pd.DataFrame, wanted: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Give method → subject → mean Dice coefficient over structures; methods that have them all."""
    here = rows[rows.structure.isin(wanted)]
    found: dict[str, dict[str, float]] = {}
    for method, group in here.groupby("method", sort=False):
        if set(group.structure) == set(wanted):
            found[str(method)] = {str(s): float(g.dice.mean()) for s, g in group.groupby("subject")}
    return found


def verdicts(rows: pd.DataFrame, chapter: Chapter) -> str:
    """Compare each system with the best honest rival, with the oracle and with the UNet, subject by subject."""
    mean = mean_dice(rows, chapter.structures)
    systems = [m for m in dict.fromkeys(rows.dropna(subset=["train_s"]).method) if " " not in m]  # no earlier tries
    rivals = {m: np.mean(list(mean[m].values())) for m in chapter.rivals if m in mean}
    best = max(rivals, key=rivals.__getitem__) if rivals else None
    lines = [
        compared(mean, one, other)
        for one in [*systems, UNET]
        for other in ([best] if one == UNET else [*rivals, chapter.oracle, UNET])
        if one in mean and other in mean
    ]
    if chapter.are_slabs:
        shown = rows[
            rows.structure.isin(chapter.structures) & rows.method.isin([*rivals, chapter.oracle, *systems, UNET])
        ]
        pooled = [f"{method} {pooled_dice(group)}" for method, group in shown.groupby("method", sort=False)]
        lines.append(f"- All slabs as one: {', '.join(pooled)}.")
    what = " and ".join(chapter.structures)
    return f"**Verdict** (Dice of {what}{', mean' if len(chapter.structures) > 1 else ''}):\n\n" + "\n".join(lines)


def compared(mean: dict[str, dict[str, float]], one: str, other: str) -> str:
    """Say by how much one method is above another."""
    common = [s for s in mean[one] if s in mean[other] and np.isfinite([mean[one][s], mean[other][s]]).all()]
    a, b = ([mean[m][s] for s in common] for m in (one, other))
    found = paired_difference_interval(a, b)
    n_better = int(np.sum(np.asarray(a) > np.asarray(b)))
    word = "above" if found.low > 0 else "below" if found.high < 0 else "not told apart from"
    return (
        f"- {one} {np.mean(a):.3f} is **{word}** {other} {np.mean(b):.3f}: {found.mean:+.3f} ({found.low:+.3f} to "
        f"{found.high:+.3f}), better in {n_better} of {len(common)}."
    )


def _interval(values: pd.Series, intervals: bool) -> str:
    known = values.dropna()
    if known.empty:
        return "–"
    digits = 2 if known.abs().max() > 2 else 3
    found = mean_interval(known.to_numpy())
    missing = f", {len(known)} of {len(values)}" if len(known) < len(values) else ""
    if not intervals or len(known) < 2:
        return f"{found.mean:.{digits}f}{missing}"
    return f"{found.mean:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f}{missing})"
