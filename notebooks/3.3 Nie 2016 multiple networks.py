"""A network a modality, fused by what each ends with, on infants' brains whose grey and white matter look alike.

Review: Section 3.3, Reference 48, Figure 8
Needs: nothing; makes its own images
"""

# %% [markdown]
# # 3.3 Nie 2016: multiple networks
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 3.3, Reference 48, Figure 8 (Nie, Wang, Gao,
# Shen, *IEEE International Symposium on Biomedical Imaging* 2016); the system is `nie2016`. At six months grey and white
# matter are equally bright in T1 and in T2, and FA, which tells them apart, is coarse. Rather than stacking the three
# modalities as channels of one network (*early* fusion), the paper trains a network for each and joins what they end
# with (*late* fusion).
#
# First Figure 8 from the live network, then the two stages, then the comparison. A network that fuses late has three
# times the parameters and is trained four times, so the table gives **parameters and updates** with every score, and
# has one early network with as many of both. The sentences with numbers are written by the code from this run's
# results. The images are phantoms; the paper's Dice of 0.852, 0.873 and 0.887 in eight infants is not reproduced here.
#
# The quick settings take about a minute on a processor core: eight infants with voxels of 4 mm, a third of the maps, one
# seed. With `WORKBENCH_FULL=1` in the environment: voxels of 2 mm, the preset `cpu`, three seeds.

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
from workbench.figures.cohort import intensities_by_label
from workbench.figures.label_maps import LabelMaps, difference_map, label_maps
from workbench.figures.segmentation_scores import ablation, score_strips
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import write_volume
from workbench.imaging.splits import Split
from workbench.metrics.intervals import mean_interval, paired_difference_interval
from workbench.models.fusion_fcn import FusionFCN
from workbench.paths import data_root
from workbench.runs.run import Run
from workbench.systems.architecture_views import architecture_parts
from workbench.systems.segmentation.nie2016 import Nie2016

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
SPACING, PRESET, SEEDS = (2.0, "cpu", (0, 1, 2)) if FULL else (4.0, "quick", (0,))
SETTINGS = {} if FULL else {"n_patches": 200, "batch_size": 8, "n_epochs": 5, "n_epochs_alone": 3}
MODALITIES = ("T1", "T2", "FA")
COHORT = f"infants of {SPACING:g} mm"

# %% [markdown]
# ## Figure 8 from the live network
#
# Six convolutions of 3 × 3, two deconvolutions of 4 × 4, five groups. The drawing is made from the network itself, by
# watching one example pass through it.

# %%
single = FusionFCN([[0]], 4)
drawn = architecture_parts(single, (1, 64, 64), title="One modality", channels=("T1",), outputs=("4 classes",))
display(SVG(architecture_svg(drawn)))

# %% [markdown]
# The paper's network: three of these without their deconvolutions, their highest maps one behind the other.

# %%
late_network, early_network = FusionFCN([[0], [1], [2]], 4), FusionFCN([[0, 1, 2]], 4)
joined = architecture_parts(late_network, (3, 64, 64), title="Late fusion", channels=MODALITIES)
display(SVG(architecture_svg(joined)))


def n_parameters(network: torch.nn.Module) -> int:
    """Count weights and biases."""
    return sum(p.numel() for p in network.parameters())


sizes = {"one modality": single, "early fusion": early_network, "late fusion": late_network}
display(pd.Series({name: f"{n_parameters(n):,}" for name, n in sizes.items()}, name="parameters").to_frame())

labels_of_figure = {64: 15, 32: 16, 16: 5, 1: 2}  # as they are printed in the review
counted = pd.Series([n for m in drawn.rows[0] for n in (m.n_maps, *m.spatial)]).value_counts()
unexplained = {n: k - int(counted[n]) for n, k in labels_of_figure.items()}
print(f"labels of the figure that these layers leave unexplained: {unexplained}")

assert [n_parameters(n) for n in sizes.values()] == [180_868, 181_444, 534_276]
assert unexplained == {64: 0, 32: 4, 16: 1, 1: 1} and len(joined.brackets) == 5
assert late_network(torch.zeros(1, 3, 36, 20)).shape == (1, 4, 36, 20), "sides divisible by 4 come out as they went in"

# %% [markdown]
# ## The subjects
#
# Infants' brains made from the MNI template. Five are learnt from, three are asked about. Mean intensity of each tissue:
# in T1 and T2 grey and white matter lie together, in opposite order.


# %%
def infants() -> Cohort:
    """Open the cohort, or make it."""
    if COHORT not in [c.name for c in workflow.list_cohorts()]:
        made = workflow.make_phantom("infant", COHORT, n_subjects=8, spacing_mm=SPACING, seed=3)
        names = tuple(s.name for s in made)
        workflow.save_split(made, Split(train=names[:5], test=names[5:]))
    return workflow.open_cohort(COHORT)


cohort = infants()
test = cohort.subjects[5:]
TISSUES = {int(k): v for k, v in cohort.label_names.items() if int(k) > 0}
intensities_by_label(workflow.inspect(cohort).labels, TISSUES)

# %%
fa = test[0].volume("FA")
labels = np.rint(test[0].label_map(fa)).astype(np.int32)
where = (fa.shape[0] // 2, fa.shape[1] // 2, int(fa.shape[2] * 0.55))
label_maps(LabelMaps(fa, labels, None, TISSUES), where)


# %%
def apart(name: str) -> float:
    """Give how far the means of grey and white matter lie apart, over the standard deviation within them."""
    values = test[0].volume(name).data[0]
    grey, white = values[labels == 2], values[labels == 3]
    return float(abs(grey.mean() - white.mean()) / np.sqrt((grey.var() + white.var()) / 2))


gaps = {name: apart(name) for name in MODALITIES}
print("; ".join(f"{name}: {gap:.2f} standard deviations" for name, gap in gaps.items()))
assert gaps["FA"] > 1.2 > max(gaps["T1"], gaps["T2"]), "FA tells grey from white matter, T1 and T2 hardly"

# %% [markdown]
# ## Two stages
#
# Four trainings: T1, T2 and FA alone, then together. At the seam each encoder is copied bit by bit; the deconvolutions
# begin anew, and encoders move at a tenth of the rate. Whether the paper held them was not found; 0 would.


# %%
def learn(title: str, changes: dict, seed: int) -> Run:
    """Train one variant."""
    run = workflow.train("nie2016", cohort.name, SETTINGS | changes | {"seed": seed}, preset=PRESET, title=title)
    assert run.status().state == "finished", run.status().message
    return run


late = {seed: learn("late fusion", {}, seed) for seed in SEEDS}
first = late[SEEDS[0]]
workflow.figure(first.id, "curves")

# %%
system = Nie2016(**first.info.settings)
plans = system.stages()
n_alone, n_together = plans[0].n_epochs, plans[-1].n_epochs
trained_alone = torch.load(first.folder / "checkpoints" / "3-FA-alone.ckpt", weights_only=True)["state_dict"]
before = trained_alone["network.encoders.0.third.0.weight"]
after = first.load_weights()["encoders.2.third.0.weight"]
alone = system.network_alone(2, 4)
alone.load_state_dict({k.removeprefix("network."): v for k, v in trained_alone.items() if k.startswith("network.")})
seam = system.network(3, 4)
seam.take_encoder(2, alone)
print(f"the third group of FA's encoder moved by {float((after - before).norm() / before.norm()):.1%} when fine-tuned")

assert [p.name for p in plans] == ["1 T1 alone", "2 T2 alone", "3 FA alone", "together"]
assert torch.equal(seam.encoders[2].third[0].weight, before), "copied bit by bit"

# %% [markdown]
# ## Late against early
#
# - *T1* and *FA* are networks of one modality;
# - *early* sees all three as channels and is trained as long as each network of the late fusion is in all;
# - *early, wide and long* has as many parameters as the late fusion, and as many updates as its four trainings together.

# %%
LATE, EARLY, EQUAL = "late fusion", "early", "early, wide and long"
width = float(system.width)
wide = min(np.arange(width, 2 * width, 0.02), key=lambda w: abs(
    n_parameters(Nie2016(fusion="early", width=float(w)).network(3, 4)) - n_parameters(system.network(3, 4))
))  # fmt: skip
LONG = {"n_epochs": n_alone + n_together}
VARIANTS = {
    LATE: {},
    "T1": {"fusion": "single", "modalities": "T1"} | LONG,
    "FA": {"fusion": "single", "modalities": "FA"} | LONG,
    EARLY: {"fusion": "early"} | LONG,
    EQUAL: {"fusion": "early", "width": float(wide), "n_epochs": 3 * n_alone + n_together},
}
runs = {(LATE, seed): run for seed, run in late.items()}
runs |= {(name, s): learn(name, VARIANTS[name], s) for s in SEEDS for name in list(VARIANTS)[1:]}
rows = []
for (name, seed), run in runs.items():
    for subject in test:
        scores = workflow.segment(run.id, cohort.name, subject.name).scores()
        rows += [(name, f"{subject.name}, seed {seed}", TISSUES[k], scores[TISSUES[k]]["dice"]) for k in TISSUES]
table = pd.DataFrame(rows, columns=["run", "subject", "structure", "value"])
cases = table.groupby(["run", "subject"], sort=False)["value"].mean().reset_index()
by_run = cases.pivot(index="subject", columns="run", values="value")[list(VARIANTS)]


def named(rows: dict) -> pd.DataFrame:
    """Give intervals as rows."""
    return pd.DataFrame([{"run": name} | interval._asdict() for name, interval in rows.items()])


means = named({name: mean_interval(by_run[name].to_numpy()) for name in VARIANTS})
differences = named({
    name: paired_difference_interval(by_run[name].to_numpy(), by_run[LATE].to_numpy()) for name in list(VARIANTS)[1:]
})  # fmt: skip
ablation(cases, means, differences, title="mean Dice of three tissues")

# %%
work = {name: Nie2016(**runs[name, SEEDS[0]].info.settings).stages() for name in VARIANTS}
overview = table.groupby(["run", "structure"], sort=False)["value"].mean().unstack()[list(TISSUES.values())]
overview = overview.loc[list(VARIANTS)]
overview.insert(0, "updates", [sum(p.n_epochs * p.n_batches for p in work[name]) for name in VARIANTS])
overview.insert(0, "parameters", [sum(w.numel() for w in runs[name, SEEDS[0]].load_weights().values())
                                  for name in VARIANTS])  # fmt: skip
display(overview.round(3))

assert overview.loc[EQUAL, "updates"] == overview.loc[LATE, "updates"]
assert abs(overview.loc[EQUAL, "parameters"] / overview.loc[LATE, "parameters"] - 1) < 0.1
assert table["value"].between(0, 1).all()

# %%
score_strips(table[table["run"] == LATE][["structure", "subject", "value"]], title="Dice, late fusion")

# %% [markdown]
# ## One brain
#
# Late fusion, where it is wrong, and where early fusion of equal size is.

# %%
seen = {name: workflow.segment(runs[name, SEEDS[0]].id, cohort.name, test[0].name) for name in (LATE, EQUAL)}
maps = {name: LabelMaps(fa, s.classes, s.truth, s.names) for name, s in seen.items()}
label_maps(maps[LATE], where, style="fill")

# %%
difference_map(maps[LATE], where)

# %%
difference_map(maps[EQUAL], where)

# %%
# patches overlap by half, and what they say of a voxel is averaged; without overlap each voxel is asked once
record, net = system.record(first), system.trained_network(first)
image, region = record.images.image(test[0], record.learnt)
once = system.model_copy(update={"overlap": 0.0}).apply(net, image.data, region).argmax(0)
twice = system.apply(net, image.data, region).argmax(0)
truth = record.images.truth(test[0], record.classes, image)
hits = {name: float((a == truth)[region].mean()) for name, a in (("apart", once), ("overlapping", twice))}
print(f"voxels of the brain that are right: {hits['apart']:.1%} from patches side by side, {hits['overlapping']:.1%} "
      "from overlapping ones")  # fmt: skip
assert once.shape == fa.shape and set(np.unique(twice)) <= {0, *TISSUES}

# %% [markdown]
# ## What came out


# %%
def spoken(row: pd.Series) -> str:
    """Write a mean with its interval."""
    return f"{row['mean']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"


means, differences = means.set_index("run"), differences.set_index("run")


def verdict(name: str, better: str, worse: str, unclear: str) -> str:
    """Choose a sentence by whether the late fusion is apart from another variant."""
    row = differences.loc[name]
    return better if row["high"] < 0 else worse if row["low"] > 0 else unclear


best_single = means.loc[["T1", "FA"], "mean"].idxmax()
lines = [
    f"**Late fusion** reaches a mean Dice of {means.loc[LATE, 'mean']:.3f} on {len(test)} test subjects"
    + (f" and {len(SEEDS)} seeds" if len(SEEDS) > 1 else "")
    + f" with {overview.loc[LATE, 'parameters']:,} parameters and {overview.loc[LATE, 'updates']:,} updates.",
    f"**Against one modality**, {best_single} being the better one, which is {spoken(differences.loc[best_single])} from it: "
    + verdict(best_single, "fusing helps here.", "fusing loses here, which goes against the paper: these few updates are "
              "not enough for deconvolutions that begin anew.", "this run cannot tell."),
    f"**Against early fusion with layers as wide**, what the paper compares: {spoken(differences.loc[EARLY])} from it. "
    + verdict(EARLY, "Late fusion is better, with three times the parameters and more updates.",
              "Early fusion is better here, with fewer parameters and fewer updates.", "This run cannot tell them apart."),
    f"**Against early fusion of equal parameters and updates**: {spoken(differences.loc[EQUAL])} from it. "
    + verdict(EQUAL, "Late fusion is better even so.",
              "Early fusion is better: on this phantom the gain of late fusion does not hold at equal parameters and "
              "updates.", "At equal parameters and updates this run sees no gain of late fusion."),
    "**The quick run** trains for seconds with a third of the maps; its ranking belongs to that."
    if not FULL
    else "**This run** is the preset `cpu`, a fiftieth of the published updates.",
    "**Not measured here:** anything about real infants; modalities that are not registered to each other.",
]  # fmt: skip
display(Markdown("\n".join(f"- {line}" for line in lines)))

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder of images with label maps (NIfTI; see `docs` for what names are understood), the
# modalities of a subject registered to each other, at least three subjects, one of them held out. Without it, three
# small phantoms stand in. All modalities that every subject has are fused. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in for Nie 2016"
    source.mkdir(parents=True, exist_ok=True)
    for subject in list(cohort)[:3]:
        for name in MODALITIES[1:]:
            write_volume(subject.volume(name), source / f"{subject.name}_{name}.nii.gz")
        t2 = subject.volume("T2")
        write_volume(t2.with_data(subject.label_map(t2).astype(np.float32)), source / f"{subject.name}_label.nii.gz")
MINE = "my images for Nie 2016"
if MINE in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort(MINE)  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, MINE, link=True)
own = workflow.train("nie2016", mine.name, {"n_epochs": 2, "n_epochs_alone": 1}, preset="quick", title="my images")
assert own.status().state == "finished", own.status().message  # then preset="cpu", without the changes
found = workflow.segment(own.id, mine.name, mine.subjects[-1].name)
label_maps(LabelMaps(found.image, found.classes, found.truth, found.names), style="outline")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
