"""Learnt features in multi-atlas auto-context on a hippocampus that is known, beside differences of boxes.

Review: Section 3.1, Reference 92
Needs: nothing; makes its own images
"""

# %% [markdown]
# # 3.1 Kim 2013: hippocampus
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 3.1, Reference 92 (Kim, Wu, Shen, *Machine
# Learning in Medical Imaging* 2013); the system is `kim2013`. Labelled images of other people are registered to a new
# one; in the space of each atlas a sequence of classifiers sees what the image says of a voxel and what the classifier
# before said about it. The paper's point: in 7 T images, whose brightness drifts and whose texture is rich, features
# learnt without labels by stacked independent subspaces serve better there than hand-made ones. Only the features
# change; all else stays the same.
#
# It is tried on phantoms whose hippocampi are known, with a 7 T-like look and, the same anatomy, plain. The sentences
# with numbers are written by the code from this run. The paper's images are not at hand; its table is not reproduced.
#
# The quick settings take one to two minutes on a processor core: voxels of 3 mm, crops about both hippocampi, four
# atlases, four targets. They are small, and how well the atlases are registered decides much: what classifiers add can
# vanish with another margin of the crops. With `WORKBENCH_FULL=1` in the environment: 1.5 mm, ten atlases, ten targets,
# larger patches.

# %%
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.classical.label_fusion import locally_weighted_vote, majority_vote
from workbench.figures.context_strip import ProbabilitySteps, context_strip
from workbench.figures.experiments import noise_robustness
from workbench.figures.filters import filter_tiles
from workbench.figures.label_maps import LabelMaps, label_maps
from workbench.figures.patches import patch_grid
from workbench.figures.registration_methods import Registration, figure_6
from workbench.figures.segmentation_scores import ablation
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import write_volume
from workbench.imaging.splits import Split
from workbench.imaging.volume import Volume
from workbench.metrics.intervals import mean_interval, paired_difference_interval
from workbench.metrics.overlap import overlap
from workbench.paths import data_root
from workbench.phantoms.brain_7t import LABEL_NAMES, make_brain_7t
from workbench.phantoms.brain_7t_look import SevenTeslaLook
from workbench.runs.run import Run

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
SPACING, N_ATLASES, N_TARGETS = (1.5, 10, 10) if FULL else (3.0, 4, 4)
SETTINGS = {"classes": "hippocampus=1", "registration": "affine", "crop_mm": 0.0, "spacing_mm": 0.0, "n_atlases": 0} | (
    {"patch_size": 13, "sub_patch_size": 9, "stride": 4, "n_components": (120, 60), "n_patches": 8000, "n_steps": 100}
    if FULL
    else {"n_components": (32, 16), "n_patches": 2048, "n_steps": 30, "n_iterations": 4, "n_samples": 800,
          "n_rounds": 16, "learning_rate": 0.2, "max_leaves": 8}
)  # fmt: skip
PRESET = "cpu" if FULL else "quick"
LOOKS = {
    "7 T-like": SevenTeslaLook(warp_mm=8.0),
    "plain": SevenTeslaLook(warp_mm=8.0, bias=0.0, gamma=(1.0, 1.0), texture=0.0, vessels=0.0),
}
HIPPOCAMPUS = next(k for k, name in LABEL_NAMES.items() if name == "hippocampus")
MARGIN_MM = 15.0

# %% [markdown]
# ## The images
#
# Each look is the same brains, deformed alike; of each brain the box in which any hippocampus of the cohort lies, and a
# margin. A 7 T-like image has a strong smooth bias, vessels and individual texture.


# %%
def crops(look: str) -> Cohort:
    """Open the crops of one look, or make them; the first subjects are the atlases."""
    name = f"hippocampi {look} {SPACING:g} mm"
    if name in [c.name for c in workflow.list_cohorts()]:
        return workflow.open_cohort(name)
    source = data_root() / f"for Kim 2013, {look}"
    n = N_ATLASES + N_TARGETS
    brains = make_brain_7t(
        source / "whole", n_subjects=n, seed=4, spacing_mm=SPACING, look=LOOKS[look], contrasts=("T1",)
    ).subjects[1:]
    inside = [np.argwhere(s.label_map() == HIPPOCAMPUS) for s in brains]
    low = np.min([i.min(0) for i in inside], axis=0) - round(MARGIN_MM / SPACING)
    high = np.max([i.max(0) for i in inside], axis=0) + round(MARGIN_MM / SPACING) + 1
    box = tuple(slice(a, b) for a, b in zip(np.maximum(low, 0), high, strict=True))
    (source / "crops").mkdir()
    for s in brains:
        image = s.volume("T1")
        affine = image.affine.copy()
        affine[:3, 3] = image.to_mm(np.maximum(low, 0).astype(float))
        for what, data in (("T1", image.data[0]), ("label", (s.label_map(image) == HIPPOCAMPUS).astype(np.float32))):
            write_volume(Volume.from_array(data[box], affine, what), source / "crops" / f"{s.name}_{what}.nii.gz")
    made = workflow.import_cohort(source / "crops", name, link=True)
    names = tuple(s.name for s in made)
    workflow.save_split(made, Split(train=names[:N_ATLASES], test=names[N_ATLASES:]))
    return workflow.open_cohort(name)


cohorts = {look: crops(look) for look in LOOKS}
targets = {look: cohort.subjects[N_ATLASES:] for look, cohort in cohorts.items()}
truths = [[s.label_map() for s in cohort] for cohort in cohorts.values()]
assert all((a == b).all() for a, b in zip(*truths, strict=True)), "both looks have the same anatomy"
shown = {look: found[0].volume("T1").data[0] for look, found in targets.items()}
middle = shown["plain"].shape[1] // 2
print(f"{len(truths[0])} crops of {' × '.join(map(str, shown['plain'].shape))} voxels of {SPACING:g} mm; hippocampi of "
      f"{min(t.sum() for t in truths[0])} to {max(t.sum() for t in truths[0])} voxels")  # fmt: skip

# %% [markdown]
# ## Two runs a look
#
# Learnt subspaces (ISA), and as many differences of two boxes (Haar).


# %%
def learn(look: str, features: str) -> Run:
    """Train one run."""
    run = workflow.train(
        "kim2013", cohorts[look].name, SETTINGS | {"features": features}, preset=PRESET, title=f"{features}, {look}"
    )
    assert run.status().state == "finished", run.status().message
    return run


FEATURES = ("ISA", "Haar")
runs = {(look, features): learn(look, features) for look in LOOKS for features in FEATURES}
isa, haar = (runs["7 T-like", f] for f in FEATURES)
system = workflow.system_of(isa)
described = {
    f: workflow.system_of(runs["7 T-like", f]).features_of(runs["7 T-like", f].load_weights()) for f in FEATURES
}
assert described["ISA"].size == described["Haar"].size, "as many numbers a voxel"
print(f"{described['ISA'].size} numbers describe a voxel")

# %% [markdown]
# The first layer's filters by subspace: those whose squares are added stand beside each other.

# %%
bank = workflow.filters(isa.id, 1)
strongest = [int(i) for i in np.argsort(-bank.mean_activation)[:16]]
filters = isa.load_weights()["encoder.layers.0.weight"].numpy()
assert np.abs(filters @ filters.T - np.eye(len(filters))).max() < 1e-4, "orthonormal rows"
filter_tiles(bank.weights, order=strongest, layout="middle")

# %% [markdown]
# A unit of the second layer adds up sizes of responses. Drawn is what excites it: the mean of its best patches minus
# the mean of all.

# %%
filter_tiles(workflow.filters(isa.id, 2).weights, layout="middle")

# %% [markdown]
# ## Features of a slice
#
# A 7 T-like target and its learnt features that vary most, then the same number of Haar-like ones, each in its own
# window; a coronal slice, the patient's right on the left.

# %%
one = targets["7 T-like"][0]
target = system.target(one, isa)
image = target.image.data[0]
voxels = np.argwhere(np.ones(image.shape, bool))
strip = workflow.context_strip(isa.id, cohorts["7 T-like"].name, one.name)
at = int((strip.truth == 1).sum((0, 2)).argmax())
tiles, titles = [image[:, at]], ["image"]
for name, features in described.items():
    rows = features.rows(image, voxels).reshape(*image.shape, -1)
    for u in np.argsort(-rows.std((0, 1, 2)) / (np.abs(rows).mean((0, 1, 2)) + 1e-6))[:4]:
        tiles.append(rows[:, at, :, u])
        titles.append(f"{name} {u}")
scaled = [(t - np.percentile(t, 1)) / max(1e-6, np.percentile(t, 99) - np.percentile(t, 1)) for t in tiles]
edge = max(max(t.shape) for t in scaled)
padded = [np.pad(t, [((edge - n) // 2, edge - n - (edge - n) // 2) for n in t.shape]) for t in scaled]
patch_grid(np.stack([np.flip(t).clip(0, 1) for t in padded])[:, None], titles)

# %% [markdown]
# ## The atlases on the target
#
# Before any classifier: each atlas registered to the target, its hippocampi (blue) over the target's (red).

# %%
truth = (strip.truth == 1).astype(np.int32)
voters = system.voters(target, isa)
moved = system.warped(target, voters)
images, labels = np.stack([a.image.data[0] for a in moved]), np.stack([a.labels for a in moved])
each = [overlap(a.labels == 1, truth == 1).dice for a in moved]
before = [overlap(a.labels == 1, truth == 1).dice for a in voters]
assert one.name not in [a.name for a in moved] and np.mean(each) > np.mean(before), "registration helps"
figure_6(
    target.image, truth,
    [Registration(a.name, a.image, a.labels, d) for a, d in list(zip(moved, each, strict=True))[:4]],
    plane="coronal",
)  # fmt: skip

# %% [markdown]
# Affine maps, and no demons after them: demons on intensities follow the drift of the brightness too. The mean Dice of
# two atlases and the first target, either way:

# %%
by_map = pd.DataFrame(index=list(LOOKS), columns=["affine", "diffeomorphic demons"], dtype=float)
for look in LOOKS:
    run = runs[look, "ISA"]
    seen = system.target(targets[look][0], run)
    for way in by_map:
        other_way = system.model_copy(update={"registration": way})
        brought = other_way.warped(seen, other_way.voters(seen, run)[:2])
        by_map.loc[look, way] = np.mean([overlap(a.labels == 1, truth == 1).dice for a in brought])
display(by_map.round(3))

# %% [markdown]
# Two ways to let them vote: a vote each, or weighted by how much an atlas looks like the target about a voxel.

# %%
votes = {
    "majority": majority_vote(labels, 2),
    "locally weighted": locally_weighted_vote(image, images, labels, 2),
}
plain_weights = locally_weighted_vote(image, images, labels, 2, power=0.0)
assert np.abs(plain_weights - votes["majority"]).max() < 1e-5, "with equal weights both are one"
assert all(np.abs(v.sum(0) - 1).max() < 1e-5 for v in votes.values())
figure_6(
    target.image, truth,
    [
        Registration(name, target.image, v.argmax(0), overlap(v.argmax(0) == 1, truth == 1).dice)
        for name, v in votes.items()
    ],
    plane="coronal",
)  # fmt: skip

# %% [markdown]
# ## Auto-context, iteration by iteration
#
# The probability after the registered labels and after each classifier, in every atlas's space and fused.


# %%
def steps_of(found, number: int = 1) -> ProbabilitySteps:
    """Give one class of a strip as the figure takes it."""
    return ProbabilitySteps(
        found.image, found.maps[:, number], found.names, found.classes[number], found.dice_of(number),
        found.truth == number,
    )  # fmt: skip


assert np.abs(strip.maps.sum(1) - 1).max() < 5e-3, "probabilities"
assert np.isclose(strip.dice[-1], overlap(strip.maps[-1].argmax(0) == 1, truth == 1).dice)
context_strip(steps_of(strip))

# %%
other = workflow.context_strip(haar.id, cohorts["7 T-like"].name, one.name)
context_strip(steps_of(other))

# %% [markdown]
# ## Contours
#
# What the run with learnt features says of the target in the end: the likeliest class, its largest pieces.

# %%
segmented = {
    (look, f, s.name): workflow.segment(run.id, cohorts[look].name, s.name)
    for (look, f), run in runs.items()
    for s in targets[look]
}
final = segmented["7 T-like", "ISA", one.name]
label_maps(LabelMaps(final.image, final.classes, final.truth, final.names), plane="coronal")

# %% [markdown]
# ## The four numbers
#
# Precision P, recall R, relative overlap RO (intersection over union) and similarity index SI (Dice), means over
# targets with 95 % intervals of the mean, drawn again from the targets.

# %%
PARTS = {"P": "ppv", "R": "sensitivity", "RO": "jaccard", "SI": "dice"}
strips = {
    (look, f, s.name): workflow.context_strip(run.id, cohorts[look].name, s.name)
    for (look, f), run in runs.items()
    if look == "7 T-like" or f == "ISA"
    for s in targets[look]
}
rows = []
for (look, f, name), v in segmented.items():
    found = next(iter(v.scores().values()))
    rows.append((look, f, name, *(found[p] for p in PARTS.values())))
for look in LOOKS:
    for s in targets[look]:
        first = strips[look, "ISA", s.name]
        o = overlap(first.maps[0].argmax(0) == 1, first.truth == 1)
        rows.append((look, "registered labels", s.name, o.ppv, o.sensitivity, o.jaccard, o.dice))
scores = pd.DataFrame(rows, columns=["look", "features", "subject", *PARTS])
assert np.allclose(scores["SI"], 2 * scores["RO"] / (1 + scores["RO"])), "one follows from the other"
assert scores.groupby(["look", "features"]).size().eq(N_TARGETS).all()


def written(values: pd.Series) -> str:
    """Write a mean with its interval."""
    mean, low, high = mean_interval(values.to_numpy())
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


display(scores.groupby(["look", "features"], sort=False)[list(PARTS)].agg(written))

# %%
hard = scores[scores["look"] == "7 T-like"]
wide = hard.pivot(index="subject", columns="features", values="SI")[["ISA", "Haar", "registered labels"]]
columns = ["run", "mean", "low", "high"]
ablation(
    hard.rename(columns={"features": "run", "SI": "value"})[["run", "subject", "value"]],
    pd.DataFrame([(n, *mean_interval(wide[n].to_numpy())) for n in wide], columns=columns),
    pd.DataFrame(
        [(n, *paired_difference_interval(wide[n].to_numpy(), wide["ISA"].to_numpy())) for n in list(wide)[1:]],
        columns=columns,
    ),
)

# %% [markdown]
# ## Over iterations, over atlases


# %%
def curve(variant: str, values: dict[float, list[float]]) -> pd.DataFrame:
    """Give the mean over targets with its interval at each place."""
    found = [(variant, x, *mean_interval(np.array(v))) for x, v in values.items()]
    return pd.DataFrame(found, columns=["variant", "noise", "mean", "low", "high"])


over_t = {
    (look, f): np.array([strips[look, f, s.name].dice_of(1) for s in targets[look]])
    for look, f in dict.fromkeys((look, f) for look, f, _ in strips)
}  # (targets, T + 2)
noise_robustness(
    pd.concat([curve(f"{f}, {look}", dict(enumerate(d.T.tolist()))) for (look, f), d in over_t.items()]),
    title="Dice",
    noise="classifiers applied (0: registered labels)",
).update_layout(meta={"alt": "Mean Dice over the classifiers applied, by look and features, with 95 % intervals."})

# %% [markdown]
# With fewer atlases voting on the target. The classifiers stay those of the run, which learnt from all atlases.

# %%
NUMBERS = sorted({1, N_ATLASES // 2, N_ATLASES})
over_n = {"ISA, auto-context": {n: [] for n in NUMBERS}, "majority vote": {n: [] for n in NUMBERS}}
for s in targets["7 T-like"]:
    seen = system.target(s, isa)
    known = strips["7 T-like", "ISA", s.name].truth == 1
    all_voters = system.voters(seen, isa)
    brought = np.stack([a.labels for a in system.warped(seen, all_voters)])
    for n in NUMBERS:
        said = system.likelihood(seen, all_voters[:n], isa).argmax(0) == 1
        over_n["ISA, auto-context"][n].append(overlap(said, known).dice)
        over_n["majority vote"][n].append(overlap(majority_vote(brought[:n], 2).argmax(0) == 1, known).dice)
noise_robustness(pd.concat([curve(n, v) for n, v in over_n.items()]), title="Dice", noise="atlases").update_layout(
    meta={"alt": "Mean Dice over the number of atlases, of auto-context and of a majority vote."}
)

# %% [markdown]
# ## What came out


# %%
def difference(a: np.ndarray, b: np.ndarray) -> str:
    """Say what the interval of a paired difference allows to say."""
    mean, low, high = paired_difference_interval(a, b)
    word = "higher" if low > 0 else "lower" if high < 0 else f"no difference that {len(a)} targets could tell"
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f}), {word}"


def si(look: str, features: str) -> np.ndarray:
    """Give the similarity index of the targets, in their order."""
    return scores[(scores["look"] == look) & (scores["features"] == features)].sort_values("subject")["SI"].to_numpy()


gain = {look: si(look, "ISA") - si(look, "Haar") for look in LOOKS}
means = over_t["7 T-like", "ISA"].mean(0)
rises = bool((np.diff(means) >= 0).all())
by_n = [np.mean(over_n["ISA, auto-context"][n]) for n in NUMBERS]
lines = [
    *(f"**Features**, {look}: SI of ISA minus Haar {difference(si(look, 'ISA'), si(look, 'Haar'))}." for look in LOOKS),
    "**Does 7 T make learnt features matter more?** The gain on 7 T-like minus the gain on plain images of the same "
    f"brains: {difference(gain['7 T-like'], gain['plain'])}.",
    *(f"**Classifiers**, {look}, ISA: SI minus that of the registered labels "
      f"{difference(si(look, 'ISA'), si(look, 'registered labels'))}." for look in LOOKS),
    f"**Iterations**, 7 T-like, ISA: mean Dice {', '.join(f'{m:.3f}' for m in means)}: "
    + ("never falling." if rises else "not rising at every step.")
    + f" Last minus first classifier: {difference(over_t['7 T-like', 'ISA'][:, -1], over_t['7 T-like', 'ISA'][:, 1])}.",
    f"**Atlases**: with {', '.join(map(str, NUMBERS))} voting {', '.join(f'{m:.3f}' for m in by_n)}; all minus one: "
    + difference(np.array(over_n["ISA, auto-context"][NUMBERS[-1]]), np.array(over_n["ISA, auto-context"][1])) + ".",
    f"**{N_TARGETS} targets**, one training each, voxels of {SPACING:g} mm: intervals tell how targets differ, not "
    "trainings, and with so few are rather too narrow. The paper has twenty people scanned at 7 T.",
    "**Registration**, two atlases: Dice after demons minus after the affine map "
    + ", ".join(f"{by_map.loc[k, 'diffeomorphic demons'] - by_map.loc[k, 'affine']:+.2f} ({k})" for k in LOOKS)
    + "; the runs here use affine maps for both looks.",
    "**Not measured here:** anything about real patients; a hippocampus whose border has the texture of a real one.",
]  # fmt: skip
display(Markdown("\n".join(f"- {line}" for line in lines)))

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder of crops or whole images with label maps (NIfTI, for example `case1_T1.nii.gz`,
# `case1_label.nii.gz`), at least four, roughly aligned. With whole images leave `crop_mm` at its usual 15 mm, so that
# the structure is found and cut out. Without it, four of the phantom crops stand in. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in for Kim 2013"
    source.mkdir(parents=True, exist_ok=True)
    for subject in cohorts["7 T-like"].subjects[:4]:
        seen = subject.volume("T1")
        write_volume(seen, source / f"{subject.name}_T1.nii.gz")
        marked = seen.with_data(subject.label_map(seen).astype(np.float32))
        write_volume(marked, source / f"{subject.name}_label.nii.gz")
MINE = "my images for Kim 2013"
if MINE in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort(MINE)  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, MINE, link=True)
own = workflow.train("kim2013", mine.name, {}, preset="quick", title="my images")  # then "cpu"
assert own.status().state == "finished", own.status().message
seen = workflow.segment(own.id, mine.name, mine.subjects[-1].name)
label_maps(LabelMaps(seen.image, seen.classes, seen.truth, seen.names), plane="coronal")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
