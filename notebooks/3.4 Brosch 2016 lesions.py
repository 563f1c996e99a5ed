"""An encoder network with a shortcut on lesions of known size: the weighted loss, the paths, the pretraining.

Review: Section 3.4, Reference 49
Needs: nothing; makes its own images
"""

# %% [markdown]
# # 3.4 Brosch 2016: lesions
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 3.4, Reference 49 (Brosch, Tang, Yoo, Li,
# Traboulsee, Tam, *IEEE Transactions on Medical Imaging* 2016); the system is `brosch2016`. A whole volume goes in and
# the probability of a lesion at every voxel comes out, in one pass. Lesions are far less than one percent of the
# voxels. The paper's points: a shortcut from the first maps to the output, so that small and large lesions are found; a
# loss that weighs lesions against the rest; and a start from convolutional Boltzmann machines.
#
# Each point is tried on phantoms whose lesions are planted. The sentences with numbers are written by the code, from
# this run and, where it is there, from the longer study of `docs/brosch2016.md`. The challenges of the paper are not
# reproduced.
#
# The quick settings take about a minute on a processor core: six patients with voxels of 4 mm, 4 maps, one seed. With
# `WORKBENCH_FULL=1` in the environment: 14 patients with voxels of 3 mm, 8 maps, three seeds.

# %%
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import numpy as np
import pandas as pd
import torch
from IPython.display import SVG, Markdown, display

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.figures.architecture import architecture_svg
from workbench.figures.curves import compare_curves
from workbench.figures.label_maps import LabelMaps, label_maps
from workbench.figures.segmentation_scores import ablation, lesion_sizes
from workbench.figures.thresholds import threshold_curves
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import write_volume
from workbench.imaging.splits import Split
from workbench.metrics.intervals import mean_interval
from workbench.metrics.lesions import lesion_map, lesion_scores
from workbench.metrics.overlap import overlap
from workbench.models.encoder_network import EncoderNetwork
from workbench.paths import cohorts_dir, data_root
from workbench.phantoms.lesion import make_lesion
from workbench.runs.run import Run
from workbench.systems.segmentation.brosch2016 import Brosch2016
from workbench.tasks.segmentation_losses import sensitivity_specificity_loss, squared_error

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
SPACING, N_SUBJECTS, N_TRAIN, SEEDS = (3.0, 14, 7, (0, 1, 2)) if FULL else (4.0, 6, 3, (0,))
SETTINGS = {"spacing_mm": 0.0} | (
    {"n_maps": 8, "first_kernel": (5, 5, 5), "second_kernel": (5, 5, 5), "crop": (24, 24, 24), "n_patches": 400,
     "batch_size": 20, "n_epochs_pretraining": 4, "n_epochs": 30, "optimizer": "adadelta", "learning_rate": 1.0}
    if FULL
    else {"n_epochs": 16, "n_patches": 160, "batch_size": 8, "n_epochs_pretraining": 4, "pretraining_rate": 5e-3}
)  # fmt: skip
NETWORKS = Brosch2016.comparators
OURS = "CEN-s"
RATIOS = (0.004, 0.02, 0.1)
EDGES = (270.0, 1000.0)
LOAD = (0.001, 0.03) if FULL else (0.006, 0.03)  # what there is with 4 mm to learn from in seconds
COHORT = f"lesions of {SPACING:g} mm"

# %% [markdown]
# ## The networks
#
# Convolutions without borders shrink the maps, deconvolutions give back what they took, so the output has the size of
# the image. The sizes below are those of a volume of 164 × 206 × 52 voxels; nothing of it is stored.

# %%
rows, sizes = [], {}
for name, changes in NETWORKS.items():
    network = Brosch2016(**changes).network(2, 2).to("meta")
    sizes[name] = [(164, 206, 52)]
    for layer in network.children():
        layer.register_forward_hook(lambda _, x, y, seen=sizes[name]: seen.append(tuple(y.shape[2:])))
    network(torch.zeros(1, 2, 164, 206, 52, device="meta"))
    steps = " → ".join("×".join(map(str, s)) for s in sizes[name])
    rows.append((name, steps, sum(p.numel() for p in network.parameters())))
table = pd.DataFrame(rows, columns=["network", "sizes after each convolution and deconvolution", "parameters"])
with pd.option_context("display.max_colwidth", None):
    display(table.set_index("network"))

n_of = table.set_index("network")["parameters"]
assert n_of["CEN-s"] == 1_075_937 and n_of["CEN-s"] - n_of["CEN"] == 32 * 9 * 9 * 5
assert sizes["CEN-s"][1:4] == [(156, 198, 48), (69, 90, 20), (78, 99, 24)], "published maps"

# %% [markdown]
# The output is $p=\sigma\bigl(w_d * \mathrm{unpool}(y_2) + w_s * x_1 + c\bigr)$: without $w_s$ the first maps $x_1$ reach
# it only through the narrow second level. A voxel far from everything else shows what each path can carry: the answer
# to one bright voxel, for untrained networks.

# %%
torch.manual_seed(0)
point = torch.zeros(1, 1, 21, 21, 21)
point[..., 10, 10, 10] = 1.0
reach = {}
for shortcut in (True, False):
    net = EncoderNetwork(1, 4, ((3, 3, 3), (3, 3, 3)), shortcut=shortcut).eval()
    with torch.no_grad():
        moved = (net(point) - net(point * 0))[0, 0].abs()
    reach[shortcut] = [int((moved.amax(tuple({0, 1, 2} - {a})) > 1e-7).sum()) for a in range(3)]
print(f"one voxel moves {reach[True][0]} voxels along each axis; in both networks the second level reaches as far: "
      f"{reach[False][0]}")  # fmt: skip
assert reach[True] == reach[False], "the shortcut adds detail, not reach"

# %% [markdown]
# ## The loss
#
# $E=r\,\frac{\sum_p (S-y)^2 S}{\sum_p S}+(1-r)\,\frac{\sum_p (S-y)^2(1-S)}{\sum_p (1-S)}$. With the share $a$ of
# lesions, $r=a$ is the plain squared error. So $r=0.02$ weighs lesions $r(1-a)/((1-r)a)$ times as the plain error
# does: much where lesions are a thousandth of the voxels, hardly where they are a hundredth. Where a voxel is lesion
# with probability $q$, the best answer is $y=r q(1-a)/\bigl(r q(1-a)+(1-r)(1-q)a\bigr)$.

# %%
rng = np.random.default_rng(0)
truth = torch.from_numpy(rng.random((1, 20, 20, 20)) < 0.03).long()
said = torch.from_numpy(rng.random((1, 1, 20, 20, 20)))
share = float((truth > 0).double().mean())
plain, weighted = float(squared_error(said, truth)), float(sensitivity_specificity_loss(said, truth, share))
by_hand = [float(((truth - said[:, 0]) ** 2)[truth == k].mean()) for k in (1, 0)]
print(f"r = share of lesions: {weighted:.6f}; plain squared error: {plain:.6f}")
assert abs(weighted - plain) < 1e-9 and abs(plain - share * by_hand[0] - (1 - share) * by_hand[1]) < 1e-9

weights = pd.DataFrame(
    {f"r = {r:g}": [r * (1 - a) / ((1 - r) * a) for a in (0.0005, 0.002, 0.01, 0.03)] for r in RATIOS},
    index=["0.05 %", "0.2 %", "1 %", "3 %"],
).rename_axis("lesions are")
display(weights.round(2))

# %% [markdown]
# ## The patients
#
# T1, T2, PD and FLAIR; lesions from 3 to 30 mm, up to 3 % of the brain, and things that look like them on FLAIR: rims
# and caps of the ventricles, cortex, flow.


# %%
def patients() -> Cohort:
    """Open the cohort, or make it."""
    if COHORT not in [c.name for c in workflow.list_cohorts()]:
        made = make_lesion(cohorts_dir() / COHORT, n_subjects=N_SUBJECTS, spacing_mm=SPACING, seed=12, load=LOAD)
        names = tuple(s.name for s in made)
        workflow.save_split(made, Split(train=names[:N_TRAIN], test=names[N_TRAIN:]))
    return workflow.open_cohort(COHORT)


cohort = patients()
test = cohort.subjects[N_TRAIN:]
loads = {s.name: float((s.label_map() > 0).sum() / s.mask_array().sum()) for s in cohort}
print("lesion load: " + ", ".join(f"{name} {load:.2%}" for name, load in loads.items()))
shown = max(test, key=lambda s: loads[s.name])
flair = shown.volume("FLAIR")
label_maps(LabelMaps(flair, shown.label_map(flair), None, {1: "lesion"})).for_each_annotation(
    lambda a: a.update(text="Truth, over FLAIR") if "Prediction" in a.text else None
)

# %% [markdown]
# ## Three networks
#
# All begin at random weights (the other start follows below) and see every volume equally often. The threshold is chosen
# on the patients that were learnt from.


# %%
def learn(title: str, changes: dict, seed: int) -> Run:
    """Train one network."""
    run = workflow.train(
        "brosch2016", cohort.name, SETTINGS | changes | {"seed": seed}, preset="quick", title=title
    )  # fmt: skip
    assert run.status().state == "finished", run.status().message
    return run


runs = {
    (name, seed): learn(name, changes | {"pretraining": False}, seed)
    for seed in SEEDS
    for name, changes in NETWORKS.items()
}
first = runs[OURS, SEEDS[0]]
workflow.figure(first.id, "curves")

# %%
parts = workflow.architecture_parts(first.id)
display(SVG(architecture_svg(parts)))

# %% [markdown]
# ## A patient who was not learnt from
#
# Each lesion by its fate: found (whole, if touched), missed, and what was predicted beside found ones or where there
# is none.

# %%
found = {
    (name, seed, s.name): workflow.segment(run.id, cohort.name, s.name)
    for (name, seed), run in runs.items()
    for s in test
}
one = found[OURS, SEEDS[0], shown.name]
fates = lesion_map(one.classes > 0, one.truth > 0)
names = {1: "found", 2: "missed", 3: "beside a found one", 4: "false"}
label_maps(LabelMaps(flair, fates, None, names), style="fill").for_each_annotation(
    lambda a: a.update(text="Lesions by their fate") if "Prediction" in a.text else None
)

# %%
threshold_rows = pd.DataFrame(workflow.threshold_rows(first.id, cohort.name, shown.name, "lesion"))
threshold = float(first.load_arrays("threshold")["value"])
threshold_curves(threshold_rows, threshold)


# %%
def sized(name: str) -> pd.DataFrame:
    """Count lesions by size over all test patients and seeds."""
    bands = [
        lesion_scores(v.classes > 0, v.truth > 0, v.image.spacing, sizes_mm3=EDGES).by_size
        for (n, _, _), v in found.items()
        if n == name
    ]
    counts = np.array([[(b.n_true, b.n_found, b.n_false) for b in one] for one in bands]).sum(0)
    columns = {"low_mm3": [b.low_mm3 for b in bands[0]], "high_mm3": [b.high_mm3 for b in bands[0]]}
    return pd.DataFrame(columns | dict(zip(("n_true", "n_found", "n_false"), counts.T, strict=True)))


lesion_sizes(sized(OURS))

# %%
sizes_found = pd.DataFrame({n: sized(n)["n_found"] / sized(n)["n_true"] for n in NETWORKS})
sizes_found.index = [f"below {EDGES[0]:g} mm³", f"{EDGES[0]:g} to {EDGES[1]:g} mm³", f"{EDGES[1]:g} mm³ and more"]
display(sizes_found.rename_axis("share of lesions found").round(2))

cases = pd.DataFrame(
    [(n, f"{s}, seed {seed}", v.scores()["lesion"]["dice"]) for (n, seed, s), v in found.items()],
    columns=["run", "subject", "value"],
)
wide = cases.pivot(index="subject", columns="run", values="value")[list(NETWORKS)]
columns = ["run", "mean", "low", "high"]
means = pd.DataFrame([(n, *mean_interval(wide[n].to_numpy())[:3]) for n in wide], columns=columns)
behind = pd.DataFrame(
    [(n, *mean_interval((wide[n] - wide[OURS]).to_numpy())[:3]) for n in list(wide)[1:]], columns=columns
)
ablation(cases, means, behind)

# %% [markdown]
# ## The sensitivity ratio, and no weights at all
#
# At one half, untouched by the choice of a threshold: what the loss itself makes of the network.

# %%
chosen_ratio = f"r = {RATIOS[1]:g}"
losses = {"squared error": {"loss": "squared_error"}} | {f"r = {r:g}": {"sensitivity_ratio": r} for r in RATIOS}
weighed = {
    name: first if name == chosen_ratio else learn(name, changes | {"pretraining": False}, SEEDS[0])
    for name, changes in losses.items()
}
rows = []
for name, run in weighed.items():
    for s in test:
        v = workflow.segment(run.id, cohort.name, s.name)
        at_half = overlap((v.probabilities[1] >= 0.5) & v.region, v.truth > 0, within=v.region)
        rows.append((name, at_half.sensitivity, at_half.specificity, at_half.dice, v.scores()["lesion"]["dice"]))
at_half = pd.DataFrame(rows, columns=["loss", "sensitivity", "specificity", "Dice", "Dice at the chosen threshold"])
at_half = at_half.groupby("loss", sort=False).mean()
display(at_half.round(3))

by_ratio = at_half.loc[[f"r = {r:g}" for r in RATIOS]]
rising = bool(by_ratio["sensitivity"].is_monotonic_increasing and by_ratio["specificity"].is_monotonic_decreasing)
sweep = pd.DataFrame(workflow.threshold_rows(weighed["squared error"].id, cohort.name, shown.name, "lesion"))
threshold_curves(sweep, float(weighed["squared error"].load_arrays("threshold")["value"]))

# %% [markdown]
# ## Two starts
#
# The same network once more, now from convolutional Boltzmann machines: a level each, by contrastive divergence on crops.
# What they learn is the error of their reconstruction; the filters are those that the network has after its own training.


# %%
begun = learn("from the machines", {}, SEEDS[0])
errors = begun.metrics()
errors = errors[errors["name"] == "reconstruction"].groupby("stage")["value"].agg(["first", "last"])
display(errors.rename(columns={"first": "error of reconstruction, first epoch", "last": "last epoch"}).round(1))
assert (errors["last"] < errors["first"]).all(), "both machines learn to rebuild what they see"
workflow.figure(begun.id, "curves")

# %%
workflow.figure(begun.id, "filters")


# %%
def loss_of(run: Run) -> pd.DataFrame:
    """Give the loss of every epoch of the last stage, as the curves' figure takes it."""
    rows = run.metrics()
    return rows[(rows["stage"] == "train") & (rows["name"] == "loss")]


curves = {"from the machines": loss_of(begun), "random start": loss_of(first)}
last = {n: float(c["value"].iloc[-1]) for n, c in curves.items()}
reached = {n: int((c["value"] <= last["random start"]).to_numpy().argmax()) + 1 for n, c in curves.items()}
compare_curves(curves, name="loss")

# %% [markdown]
# ## The longer study
#
# Written by `benchmarks/segmentation_claims_lesions.py`: three seeds, 95 % intervals over seeds; 14 patients of 3 mm, and
# for the losses six of 4 mm (*coarse*).

# %%
file = Path(workbench.__file__).parents[1] / "docs" / "brosch2016.csv"
study = pd.read_csv(file).set_index(["plan", "quantity"]) if file.exists() else None


def of_study(plan: str, quantity: str) -> pd.Series | None:
    """Give mean and interval of the longer study, if it is there."""
    return None if study is None or (plan, quantity) not in study.index else study.loc[(plan, quantity)]


def verdict(plan: str, quantity: str) -> str:
    """Say what a difference's interval allows to say."""
    row = of_study(plan, quantity)
    if row is None:
        return "not measured"
    word = "more" if row["low"] > 0 else "less" if row["high"] < 0 else "no difference that three seeds could tell"
    return f"{row['mean']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}), {word}"


if study is not None:
    wanted = ["dice, chosen", "sensitivity, half", "specificity, half", "lfpr, chosen", "seconds"]
    plans = [
        p for p in dict.fromkeys(study.index.get_level_values(0)) if (p, "threshold") in study.index and "−" not in p
    ]
    display(study["mean"].loc[plans].unstack()[wanted].loc[plans].astype(float).round(3))

# %% [markdown]
# ## What came out

# %%
lines = [
    f"**Shortcut**, quick run: mean Dice {', '.join(f'{r.run} {r.mean:.2f}' for r in means.itertuples())} on "
    f"{len(test)} patients."
    + ("" if study is None else (
        " Longer study, CEN-s minus CEN: Dice " + verdict("CEN-s, random start − CEN, random start", "dice, chosen")
        + "; lesions below 135 mm³ found " + verdict("CEN-s, random start − CEN, random start", "ltpr below 135 mm³, chosen")
        + "; from 810 mm³ " + verdict("CEN-s, random start − CEN, random start", "ltpr 810 mm³ and more, chosen")
        + ". CEN-s minus three layers: Dice "
        + verdict("CEN-s, random start − 3-layer CEN, random start", "dice, chosen") + ".")),
    f"**Loss**: at one half the plain squared error has sensitivity {at_half.loc['squared error', 'sensitivity']:.2f} "
    f"and Dice {at_half.loc['squared error', 'Dice']:.2f}, {chosen_ratio} has "
    f"{at_half.loc[chosen_ratio, 'sensitivity']:.2f} and {at_half.loc[chosen_ratio, 'Dice']:.2f}; with a threshold chosen "
    f"on training patients {at_half.loc['squared error', 'Dice at the chosen threshold']:.2f} and "
    f"{at_half.loc[chosen_ratio, 'Dice at the chosen threshold']:.2f}. "
    + ("" if study is None else "Longer study, weighted minus plain Dice at the chosen threshold: "
       + verdict("coarse, r = 0.02 − coarse, squared error", "dice, chosen") + "."),
    f"**Ratio**: over r = {', '.join(f'{r:g}' for r in RATIOS)} sensitivity at one half is "
    f"{', '.join(f'{v:.2f}' for v in by_ratio['sensitivity'])} and specificity "
    f"{', '.join(f'{v:.3f}' for v in by_ratio['specificity'])}: {'monotone' if rising else 'not monotone'}.",
    f"**Pretraining**, quick run: the loss that the random start has at its end ({last['random start']:.4f}) is "
    + (f"reached in epoch {reached['from the machines']} of {len(curves['from the machines'])} from the machines"
       if (curves["from the machines"]["value"] <= last["random start"]).any() else "not reached from the machines")
    + f" and in epoch {reached['random start']} from random weights; the machines' own time comes on top."
    + ("" if study is None else " Longer study, Dice from the machines minus random: "
       + verdict("CEN-s, pretrained − CEN-s, random start", "dice, chosen") + "."),
    "**One seed** and a minute of training cannot rank networks; the longer study has three seeds of one small network, "
    "and the paper's has 500 epochs of some fifty times as many parameters."
    if not FULL
    else "**This run** has 8 of 32 maps and a few percent of the published steps.",
    "**Not measured here:** anything about real patients; the comparison with five other methods; anisotropic voxels.",
]  # fmt: skip
display(Markdown("\n".join(f"- {line}" for line in lines)))

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder of patients with one or more registered sequences and lesion masks (NIfTI, for
# example `case1_FLAIR.nii.gz`, `case1_T1.nii.gz`, `case1_label.nii.gz`), at least three, one of them held out. Whatever
# is not 0 in a label map is lesion. Without it, three coarse phantoms stand in. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in for Brosch 2016"
    source.mkdir(parents=True, exist_ok=True)
    for subject in cohort.subjects[:3]:
        for modality in ("FLAIR", "T1"):
            write_volume(subject.volume(modality), source / f"{subject.name}_{modality}.nii.gz")
        seen = subject.volume("FLAIR")
        marked = seen.with_data(subject.label_map(seen).astype(np.float32))
        write_volume(marked, source / f"{subject.name}_label.nii.gz")
MINE = "my images for Brosch 2016"
if MINE in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort(MINE)  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, MINE, link=True)
own = workflow.train("brosch2016", mine.name, {"n_epochs": 8}, preset="quick", title="my images")  # then "cpu"
assert own.status().state == "finished", own.status().message
seen = workflow.segment(own.id, mine.name, mine.subjects[-1].name)
label_maps(LabelMaps(seen.image, seen.classes, seen.truth, seen.names), style="outline")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
