"""One network that looks at a voxel at three scales, on newborns' brains whose eight tissues are known.

Review: Section 3.3, Reference 102
Needs: nothing; makes its own images
"""

# %% [markdown]
# # 3.3 Moeskops 2016: several scales
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 3.3, Reference 102 (Moeskops, Viergever,
# Mendrik, de Vries, Benders, Išgum, *IEEE Transactions on Medical Imaging* 2016); the system is `moeskops2016`. What a
# voxel is may show in the texture right beside it (cortex) or only in where it lies (cerebellum or basal ganglia, which
# are equally bright). A small patch has the one, a large patch the other; the paper gives a network both, and a medium
# one between.
#
# First the network itself, then what an epoch draws, then each scale alone beside all three on the same subjects. The
# sentences with numbers are written by the code from this run's results. The images are phantoms; the paper's Dice of
# 0.82 to 0.91 on five data sets is not reproduced here.
#
# The quick settings take about a minute on a processor core: seven newborns with voxels of 2.5 mm, a fifth of the maps,
# one seed. With `WORKBENCH_FULL=1` in the environment: voxels of 1.5 mm, half of the maps, thirty times the patches,
# three seeds.

# %%
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import numpy as np
import pandas as pd
import torch
from IPython.display import SVG, Markdown, display
from scipy.stats import chisquare

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.figures.architecture import architecture_svg
from workbench.figures.feature_tables import class_bars
from workbench.figures.filters import filter_tiles
from workbench.figures.label_maps import LabelMaps, difference_map, label_maps
from workbench.figures.patches import patch_grid
from workbench.figures.segmentation_scores import ablation, score_strips
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import write_volume
from workbench.imaging.splits import Split
from workbench.imaging.subject import Subject
from workbench.metrics.intervals import mean_interval
from workbench.models.exactness import explain_inexact
from workbench.models.multiscale_cnn import SCALES, MultiScaleCNN
from workbench.paths import data_root
from workbench.runs.run import Run
from workbench.systems.segmentation.moeskops2016 import Moeskops2016

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
SPACING, SEEDS, N_ASKED = (1.5, (0, 1, 2), 4000) if FULL else (2.5, (0,), 700)
SETTINGS = (
    {"width": 0.5, "n_patches": 400, "n_epochs": 10}
    if FULL
    else {"width": 0.2, "n_patches": 24, "n_epochs": 6, "batch_size": 64, "learning_rate": 2e-3, "dropout": 0.2,
          "bias_correction": False}
)  # fmt: skip
ALL, ONE = "25 + 51 + 75 pixels", {s: f"{s} pixels" for s in SCALES}
VARIANTS = {ALL: "all"} | {name: str(s) for s, name in ONE.items()}
COHORT = f"newborns of {SPACING:g} mm"

# %% [markdown]
# ## The network
#
# Three branches see patches of 25, 51 and 75 pixels about the same voxel. Each ends in 256 units, and one softmax layer
# reads all 768. A map of odd size gets one more row and column, mirrored, before it is pooled.

# %%
network = MultiScaleCNN(1, 9)
rows = []
for scale, branch in SCALES.items():
    edges = [str(scale)]
    for (before, after), kernel in zip(branch.map_sizes, branch.kernels, strict=True):
        mirrored = f" ({before + 1})" if after != before and before % 2 else ""
        edges += [f"conv {kernel}: {before}{mirrored}"] + ([f"pool: {after}"] if after != before else [])
    n = sum(p.numel() for p in network.branches[f"scale{scale}"].parameters())
    rows.append((f"{scale} pixels", " → ".join(edges), n))
display(pd.DataFrame(rows, columns=["branch", "pixels along an edge", "parameters"]).set_index("branch"))
n_parameters = sum(p.numel() for p in network.parameters())
print(f"{n_parameters:,} parameters for one image and nine classes")

assert n_parameters == 755_913
assert [SCALES[s].map_sizes[-1][1] for s in (25, 51, 75)] == [3, 4, 5]

# %% [markdown]
# The mirrored row is inside the patch; in an image another voxel lies there. So the network cannot be slid over a whole
# image at once (strategy (e) of Section 1), and is asked patch by patch. The layers that forbid it:

# %%
faults = explain_inexact(network.eval())
for fault in faults:
    print(fault)
assert len(faults) == 5 and all("mirror" in fault.layer for fault in faults)

# %% [markdown]
# ## The subjects
#
# Newborns' brains made from the MNI template, T2. Four are learnt from, three are asked about.


# %%
def newborns() -> Cohort:
    """Open the cohort, or make it."""
    if COHORT not in [c.name for c in workflow.list_cohorts()]:
        made = workflow.make_phantom("infant-regions", COHORT, n_subjects=7, spacing_mm=SPACING, seed=5)
        names = tuple(s.name for s in made)
        workflow.save_split(made, Split(train=names[:4], test=names[4:]))
    return workflow.open_cohort(COHORT)


cohort = newborns()
test = cohort.subjects[4:]
image = test[0].volume("T2")
labels = np.rint(test[0].label_map(image)).astype(np.int32)
TISSUES = {int(k): v for k, v in cohort.label_names.items() if int(k) > 0}
inside = labels > 0
means = pd.Series({name: float(image.data[0][labels == k].mean()) for k, name in TISSUES.items()}, name="mean T2")
display(means.round(3).to_frame().T)
where = (inside.shape[0] // 2, inside.shape[1] // 2, int(inside.shape[2] * 0.40))
shown = label_maps(LabelMaps(image, labels, None, TISSUES), where, style="fill")
shown.for_each_annotation(lambda a: a.update(text="Truth") if "Prediction" in a.text else None)

# %%
pair = abs(means["cerebellum"] - means["basal ganglia and thalami"])
assert len(TISSUES) == 8 and pair < 0.08 * means.max(), "two tissues that brightness does not tell apart"

# %% [markdown]
# What each branch sees of the same voxels, all drawn at the same size: the border of the cortex fills the small patch,
# and the large one shows where in the head it is.

# %%
rng = np.random.default_rng(1)
voxels = np.concatenate([rng.permutation(np.argwhere(labels == k))[:2] for k in (1, 3, 7)])
padded = np.pad(image.data[0], ((37, 37), (37, 37), (0, 0)))
seen = []
for scale in SCALES:
    for x, y, z in voxels:
        low = 37 - scale // 2
        patch = torch.from_numpy(padded[x + low : x + low + scale, y + low : y + low + scale, z].copy())[None, None]
        seen.append(torch.nn.functional.interpolate(patch, (75, 75), mode="nearest")[0].numpy())
told = [f"{TISSUES[int(labels[tuple(v)])].split(' and')[0]}, {scale} px" for scale in SCALES for v in voxels]
patch_grid(np.stack(seen), told)

# %% [markdown]
# ## What an epoch draws
#
# So many voxels of each class of each subject, none twice, and others in the next epoch. Of a class that is rarer all
# of them are taken.


# %%
def learn(variant: str, seed: int) -> Run:
    """Train a variant."""
    run = workflow.train(
        "moeskops2016", cohort.name, SETTINGS | {"scales": VARIANTS[variant], "seed": seed}, preset="published",
        title=variant,
    )  # fmt: skip
    assert run.status().state == "finished", run.status().message
    return run


def trained_system(run: Run) -> Moeskops2016:
    """Give the system as a run was trained with it."""
    return Moeskops2016(**run.info.settings)


runs = {(name, seed): learn(name, seed) for seed in SEEDS for name in VARIANTS}
first = runs[ALL, SEEDS[0]]
system = trained_system(first)
module = system.batches(system.data(cohort, first), 0)
epochs = [[module.train_batch(e, i) for i in range(module.n_batches)] for e in (0, 1)]
drawn = [torch.cat([b["label"] for b in batches]).numpy() for batches in epochs]
counts = np.bincount(drawn[0], minlength=9)[1:]
places = [{(int(s), *c) for b in batches for s, c in zip(b["subject"], b["center"].tolist(), strict=True)}
          for batches in epochs]  # fmt: skip
class_bars({TISSUES[k + 1]: int(n) for k, n in enumerate(counts)})

# %%
again = len(places[0] & places[1]) / len(places[0])
even = chisquare(counts).pvalue
whole = np.bincount(labels[inside], minlength=9)[1:]
print(f"{counts.sum():,} patches in an epoch; classes alike: p = {even:.2f}")
print(f"in the brain the commonest tissue has {whole.max() / whole.min():.0f} times the voxels of the rarest")
print(f"{again:.0%} of the voxels come again in the second epoch")

assert counts.max() <= 4 * SETTINGS["n_patches"] and even > 0.01
assert len(places[0]) == len(drawn[0]), "no voxel twice in an epoch"
assert places[0] != places[1], "and others in the next"

# %% [markdown]
# ## Training
#
# All scales, then the first kernels of each branch: 5 × 5, 7 × 7 and 9 × 9 pixels.

# %%
workflow.figure(first.id, "curves")

# %%
bank = system.filter_bank(first, 1)
filter_tiles(bank.weights)

# %%
bank = system.filter_bank(first, 7)  # the first convolution of the largest branch
filter_tiles(bank.weights)

# %% [markdown]
# The live network as Figure 8 of the review draws one: a row a scale, all joined in the end.

# %%
parts = workflow.architecture_parts(first.id)
display(SVG(architecture_svg(parts)))
assert parts.n_parameters == sum(p.numel() for p in system.network(1, 9).parameters()) and len(parts.rows) >= 3

# %% [markdown]
# ## One scale against three
#
# Each variant saw patches about the same number of voxels. They are asked about the same voxels of the three test
# subjects, drawn evenly from the mask; Dice of all eight tissues on these.


# %%
def asked(run: Run, subject: Subject) -> dict[str, float]:
    """Give the Dice coefficient of each tissue on voxels drawn evenly from a subject's mask."""
    own = trained_system(run).model_copy(update={"stride": 1})
    record = own.record(run)
    seen, region = record.images.image(subject, record.learnt)
    some = np.random.default_rng(0).permutation(np.argwhere(region))[:N_ASKED]
    chosen = np.zeros_like(region)
    chosen[tuple(some.T)] = True
    answer = own.apply(own.trained_network(run), seen.data, chosen).argmax(0)[chosen]
    truth = record.images.truth(subject, record.classes, seen)[chosen]
    both = {k: (answer == k).sum() + (truth == k).sum() for k in TISSUES}
    return {TISSUES[k]: 2 * float(((answer == k) & (truth == k)).sum()) / n for k, n in both.items() if n}


table = pd.DataFrame(
    [
        (name, seed, subject.name, tissue, dice)
        for (name, seed), run in runs.items()
        for subject in test
        for tissue, dice in asked(run, subject).items()
    ],
    columns=["run", "seed", "subject", "structure", "value"],
)
by_subject = table.groupby(["run", "seed", "subject"], sort=False)["value"].mean().reset_index()
by_subject["subject"] += ", seed " + by_subject["seed"].astype(str)


def interval_rows(values: dict[str, np.ndarray]) -> pd.DataFrame:
    """Give means with 95 % intervals over subjects (and seeds)."""
    rows = [(name, *mean_interval(v)) for name, v in values.items()]
    return pd.DataFrame([r[:4] for r in rows], columns=["run", "mean", "low", "high"])


wide = by_subject.pivot(index="subject", columns="run", values="value")[list(VARIANTS)]
means_of = interval_rows({name: wide[name].to_numpy() for name in wide})
apart = interval_rows({name: (wide[name] - wide[ALL]).to_numpy() for name in list(wide)[1:]})
ablation(by_subject[["run", "subject", "value"]], means_of, apart, title="mean Dice of eight tissues")

# %%
tissue = table.groupby(["run", "structure"], sort=False)["value"].mean().unstack("run")[list(VARIANTS)]
display(tissue.round(2))
strips = table[table["run"] == ALL].copy()
score_strips(strips[["structure", "subject", "value"]], title="Dice, three scales")

# %% [markdown]
# ## One slice
#
# Every voxel of an axial slice of a test subject: three scales, then the smallest and the largest alone.


# %%
def one_slice(run: Run) -> LabelMaps:
    """Label the voxels of one slice."""
    own = trained_system(run)
    record = own.record(run)
    seen, region = record.images.image(test[0], record.learnt)
    flat = np.zeros_like(region)
    flat[..., where[2]] = region[..., where[2]]
    answer = own.apply(own.trained_network(run), seen.data, flat).argmax(0).astype(np.int32)
    return LabelMaps(image, np.where(flat, answer, 0), np.where(flat, labels, 0), TISSUES)


strip = {name: one_slice(runs[name, SEEDS[0]]) for name in (ALL, ONE[25], ONE[75])}
label_maps(strip[ALL], where, style="fill")

# %%
label_maps(strip[ONE[25]], where, style="fill")

# %%
label_maps(strip[ONE[75]], where, style="fill")

# %% [markdown]
# Where three scales are right, and where not; then what a preview costs, which asks about one voxel of each block and
# gives its answer to the others.

# %%
difference_map(strip[ALL], where)

# %%
# what the preview costs, on a quarter of a slice
record = system.record(first)
prepared, region = record.images.image(test[0], record.learnt)
slab = np.zeros_like(region)
slab[: region.shape[0] // 2, : region.shape[1] // 2, where[2]] = True
slab &= region
net, strides = system.trained_network(first), {}
for stride in (1, 2, 4):
    begin = time.perf_counter()
    answer = system.model_copy(update={"stride": stride}).apply(net, prepared.data, slab).argmax(0)
    strides[stride] = (answer, time.perf_counter() - begin)
same = {s: float((a == strides[1][0])[slab].mean()) for s, (a, _) in strides.items()}
costs = pd.DataFrame(
    [(s, same[s], strides[s][1]) for s in strides], columns=["stride", "same answer as stride 1", "seconds"]
).set_index("stride")
display(costs.round(2))

assert same[1] == 1 > same[4], "a preview is not the answer"

# %% [markdown]
# ## What came out


# %%
def spoken(row: pd.Series) -> str:
    """Write a mean with its interval."""
    return f"{row['mean']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})"


means_of, apart = means_of.set_index("run"), apart.set_index("run")
lost = [name for name, row in apart.iterrows() if row["high"] < 0]
best_single = means_of.drop(ALL)["mean"].idxmax()
claim = (
    "All single scales are worse here, with intervals over subjects apart from 0, as the paper has it."
    if len(lost) == 3
    else f"Worse with an interval apart from 0: {', '.join(lost) or 'none'}; for the others this run cannot tell, or the "
    "claim does not hold on this phantom."
)
coded = ("cerebellum", "basal ganglia and thalami")
place = {name: float(tissue.loc[list(coded), name].mean()) for name in tissue}
cortex = tissue.loc["cortical grey matter"]
lines = [
    f"**Three scales against one**, mean Dice of eight tissues on {len(test)} test subjects"
    + (f" and {len(SEEDS)} seeds" if len(SEEDS) > 1 else "")
    + f": {means_of.loc[ALL, 'mean']:.2f} with three; difference of one alone: "
    + "; ".join(f"{name} {spoken(row)}" for name, row in apart.iterrows())
    + f". {claim} Best alone: {best_single}.",
    "**Place**, mean of cerebellum and basal ganglia, equally bright: "
    + "; ".join(f"{name} {v:.2f}" for name, v in place.items())
    + ". "
    + ("The smallest patch is the worst at it." if min(place, key=place.__getitem__) == ONE[25]
       else "The smallest patch is not the worst at it here."),
    "**Texture**, cortical grey matter: "
    + "; ".join(f"{name} {v:.2f}" for name, v in cortex.items())
    + ". "
    + ("The largest patch alone is the worst at it." if cortex.idxmin() == ONE[75]
       else "The largest patch alone is not the worst at it here."),
    f"**Preview**: stride 2 gives {same[2]:.0%} and stride 4 {same[4]:.0%} of the voxels the answer of stride 1, in "
    f"{strides[2][1] / strides[1][1]:.0%} and {strides[4][1] / strides[1][1]:.0%} of its time.",
    "**The quick run** trains each network once, for seconds, with a fifth of the maps: its ranking belongs to that, "
    "and another seed may turn it."
    if not FULL
    else "**This run** has half of the maps and a hundredth of the published patches.",
    "**Not measured here:** anything about real newborns or adults; the paper's five data sets.",
]  # fmt: skip
display(Markdown("\n".join(f"- {line}" for line in lines)))

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder of images with label maps (NIfTI; see `docs` for what names are understood), at
# least three subjects, one of them held out. Without it, three small phantoms stand in. Of several modalities T2 is taken
# where there is one; say `{"modalities": "T1"}` to choose. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in for Moeskops 2016"
    source.mkdir(parents=True, exist_ok=True)
    coarse = data_root() / "coarse newborns"
    made = (workflow.open_cohort(coarse) if coarse.exists()
            else workflow.make_phantom("infant-regions", coarse, n_subjects=3, spacing_mm=6.0, seed=6))  # fmt: skip
    for subject in made:
        t2 = subject.volume("T2")
        write_volume(t2, source / f"{subject.name}_T2.nii.gz")
        marked = subject.label_map(t2).astype(np.float32)
        write_volume(t2.with_data(marked), source / f"{subject.name}_label.nii.gz")
MINE = "my images for Moeskops 2016"
if MINE in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort(MINE)  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, MINE, link=True)
own = workflow.train("moeskops2016", mine.name, {"n_epochs": 2}, preset="quick", title="my images")  # then "cpu"
assert own.status().state == "finished", own.status().message
found = workflow.segment(own.id, mine.name, mine.subjects[-1].name)
label_maps(LabelMaps(found.image, found.classes, found.truth, found.names), style="outline")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
