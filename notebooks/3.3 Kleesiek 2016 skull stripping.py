"""A three-dimensional fully convolutional network that finds the brain in heads, altered ones among them.

Review: Section 3.3, Reference 27
Needs: nothing; makes its own heads, and shows the measured table in docs/kleesiek2016.csv
"""

# %% [markdown]
# # 3.3 Kleesiek 2016: skull stripping
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 3.3, Reference 27 (Kleesiek, Urban, Hubert,
# Schwarz, Maier-Hein, Bendszus, Biller, *NeuroImage* 2016); the system is `kleesiek2016`. A voxel's 53 × 53 × 53
# neighbors say whether it is brain. The review tells two things of it: cubes larger than the network's input make
# training cheap, and the method is not limited to T1 images of healthy heads.
#
# First the network and what larger cubes save; then that evaluation of a whole volume gives exactly what cubes give;
# then a short training, the threshold, and the last step that keeps the largest pieces; at the end the measured table of
# longer trainings beside two tools that learn nothing. The sentences with numbers are written by the code. The heads are
# phantoms.
#
# The quick settings take about a minute on a processor core and train far too little: the figures show the steps, the
# table shows how good it gets. With `WORKBENCH_FULL=1` in the environment the preset `cpu` is trained on heads of 2 mm.

# %%
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import numpy as np
import pandas as pd
import torch
from IPython.display import SVG, Markdown, display
from scipy.ndimage import label

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.figures.architecture import architecture_svg
from workbench.figures.filters import filter_tiles
from workbench.figures.label_maps import LabelMaps, difference_map, label_maps
from workbench.figures.surface_pairs import surface_pairs
from workbench.figures.thresholds import probability_histogram, threshold_curves
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import write_volume
from workbench.imaging.splits import Split
from workbench.inference.whole_volume import dense_probabilities
from workbench.metrics.intervals import paired_difference_interval
from workbench.paths import data_root
from workbench.systems.architecture_views import architecture_parts
from workbench.systems.segmentation.kleesiek2016 import Kleesiek2016

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
SPACING = 2.0 if FULL else 5.0
SETTINGS = (
    {"modalities": "T1"}
    if FULL
    else {"modalities": "T1", "spacing_mm": 0.0, "width": 0.25, "cube_size": 61, "n_patches": 120, "n_epochs": 2,
          "batch_size": 4, "learning_rate": 3e-3}
)  # fmt: skip
COHORT = f"heads of {SPACING:g} mm"

# %% [markdown]
# ## The network
#
# Eight convolutions without padding, one pooling. A cube of 65 voxels leaves 7 × 7 × 7 predictions, two voxels apart.

# %%
published = Kleesiek2016().network(1, 2)
drawn = architecture_parts(
    published, (1, 65, 65, 65), title="Kleesiek 2016", channels=("T1",), outputs=("not", "brain")
)
display(SVG(architecture_svg(drawn)))

assert drawn.n_parameters == 1_005_870
assert drawn.rows[0][-1].spatial == (7, 7, 7)

# %% [markdown]
# ## Why cubes larger than the input
#
# A cube of 53 voxels gives one prediction; one of 61 gives 5³ = 125, most of whose work is shared. Seconds of a step
# (forward and backward) for each prediction, measured now, on a network of a quarter of the maps:

# %%
network = Kleesiek2016(width=0.25).network(1, 2)
rows = []
for edge in (53, 57, 61, 65):
    cube = torch.randn(1, 1, edge, edge, edge)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        network(cube).square().mean().backward()
        seconds.append(time.perf_counter() - begin)
    n = ((edge - 53) // 2 + 1) ** 3
    rows.append({"cube": edge, "predictions": n, "ms each": 1000 * min(seconds) / n})
cost = pd.DataFrame(rows).set_index("cube")
cost["times the rate of one by one"] = cost["ms each"].iloc[0] / cost["ms each"]
display(cost.round(2))

assert (
    cost["times the rate of one by one"].is_monotonic_increasing and cost["times the rate of one by one"].iloc[-1] > 20
)

# %% [markdown]
# ## A whole volume gives exactly what cubes give
#
# The predictions of a cube lie two voxels apart, since the pooling halves the lattice. All voxels between them come from
# shifted copies; here a volume at once beside one cube of it.

# %%
network = network.eval()
block = np.random.default_rng(0).normal(size=(1, 57, 57, 57)).astype(np.float32)
with torch.no_grad():
    by_cube = torch.softmax(network(torch.from_numpy(block)[None]), 1)[0].numpy()
everywhere = dense_probabilities(network, block)
at_cube = everywhere[:, 26:31:2, 26:31:2, 26:31:2]
apart = float(np.abs(by_cube - at_cube).max())
print(f"largest difference of a probability: {apart:.1e}")
assert apart < 1e-5 and everywhere.shape == (2, 57, 57, 57)

# %% [markdown]
# ## The heads
#
# Whole heads from the MNI template with skull, scalp, eyes and neck. Half of them are altered: an enhancing tumor,
# inverted contrast, a resection, a contrast of no sequence at all. Six are learnt from.


# %%
def heads() -> Cohort:
    """Open the cohort, or make it."""
    if COHORT not in [c.name for c in workflow.list_cohorts()]:
        made = workflow.make_phantom("head", COHORT, n_subjects=10, spacing_mm=SPACING, seed=4)
        names = tuple(s.name for s in made)
        workflow.save_split(made, Split(train=names[:6], test=names[6:]))
    return workflow.open_cohort(COHORT)


cohort = heads()
test = cohort.subjects[6:]
display(pd.Series({s.name: s.covariates["altered"] for s in cohort}, name="altered").to_frame().T)
one = test[0].volume("T1")
truth = test[0].mask_array(one).astype(np.int32)
middle = tuple(n // 2 for n in one.shape)
label_maps(LabelMaps(one, truth, None, {1: "brain"}), middle, style="outline")

# %% [markdown]
# An altered one: what a threshold or a template would expect is no longer there.

# %%
odd = next(s for s in cohort if s.covariates["altered"] == "inverted")
image = odd.volume("T1")
label_maps(LabelMaps(image, odd.mask_array(image).astype(np.int32), None, {1: "brain"}), middle, style="outline")

# %% [markdown]
# ## Training

# %%
run = workflow.train("kleesiek2016", cohort.name, SETTINGS, preset="cpu" if FULL else "published", title="brain")
assert run.status().state == "finished", run.status().message
workflow.figure(run.id, "curves")

# %%
system = Kleesiek2016(**run.info.settings)
filter_tiles(system.filter_bank(run, 1).weights, layout="middle")

# %% [markdown]
# ## The threshold
#
# A lower threshold finds more brain and more that is not. The network's own answer is cut at 0.5.

# %%
found = {s.name: workflow.segment(run.id, cohort.name, s.name) for s in test}
sweep = pd.DataFrame(workflow.threshold_rows(run.id, cohort.name, test[0].name, "brain"))
threshold_curves(sweep, 0.5)

# %%
first = found[test[0].name]
edges = np.linspace(0, 1, 41)
inside = first.truth > 0
probability_histogram(
    np.histogram(first.probabilities[1], edges)[0], edges, 0.5,
    truth_counts=np.histogram(first.probabilities[1][inside], edges)[0],
)  # fmt: skip

# %%
assert sweep["sensitivity"].is_monotonic_decreasing
assert sweep["specificity"].dropna().is_monotonic_increasing
seen = found[test[0].name]
difference_map(LabelMaps(seen.image, seen.classes, seen.truth, seen.names), middle)

# %% [markdown]
# ## The last step
#
# The largest piece of brain is kept, and the largest piece of what is left, which fills holes. What it changes here:

# %%
changed = []
for subject in test:
    before = found[subject.name].probabilities[1] > 0.5
    after = found[subject.name].classes > 0
    changed.append({"subject": subject.name, "pieces before": label(before)[1], "pieces after": label(after)[1],
                    "voxels changed": int((before != after).sum())})  # fmt: skip
display(pd.DataFrame(changed).set_index("subject"))
assert all(c["pieces after"] <= 1 for c in changed)

# %%
if seen.classes.any():
    display(surface_pairs(seen.truth > 0, {"found": seen.classes > 0}, seen.image.affine))

# %% [markdown]
# ## How good it gets
#
# Longer trainings, several draws of heads, beside nilearn's template mask and Otsu's threshold
# (`benchmarks/segmentation_skull.py`; [docs/kleesiek2016.md](../docs/kleesiek2016.md)).

# %%
stored = pd.read_csv(Path(workbench.__file__).parents[1] / "docs" / "kleesiek2016.csv", keep_default_na=False)
stored["heads"] = np.where(stored["altered"] == "none", "normal", "altered")
table = stored.groupby(["heads", "method"])[["dice", "sensitivity", "specificity"]].mean()
display(table.round(3))


def against(other: str, score: str, part: pd.DataFrame) -> str:
    """Say how far the network is from another method, with an interval over heads."""
    wide = part.pivot_table(index=["seed", "subject"], columns="method", values=score)
    seeds = [str(s) for s, _ in wide.index]
    d = paired_difference_interval(wide["kleesiek2016"].to_numpy(), wide[other].to_numpy(), clusters=seeds)
    return f"{d.mean:+.3f} ({d.low:+.3f} to {d.high:+.3f})"


altered, normal = (stored[stored["heads"] == kind] for kind in ("altered", "normal"))
quick = pd.Series({name: f.scores()["brain"]["dice"] for name, f in found.items()})
lines = [
    f"**Cubes**: a prediction in a cube of 65 voxels costs {cost['times the rate of one by one'].iloc[-1]:.0f} times "
    "less than one by one.",
    f"**A whole volume** differs from cubes by {apart:.0e} at most.",
    f"**Altered heads**, {stored['seed'].nunique()} draws: Dice of the network minus Otsu {against('Otsu', 'dice', altered)}, "
    f"minus the template {against('template', 'dice', altered)}.",
    f"**Normal heads**: minus Otsu {against('Otsu', 'dice', normal)}, minus the template "
    f"{against('template', 'dice', normal)}.",
    f"**Specificity** on all heads: minus Otsu {against('Otsu', 'specificity', stored)}, minus the template "
    f"{against('template', 'specificity', stored)}.",
    f"**This run's own training** reached a mean Dice of {quick.mean():.2f} on {len(quick)} heads"
    + ("." if FULL else ": far too short to be judged."),
    "**Not measured here:** BET, BEaST, BSE, ROBEX, HWA and 3dSkullStrip, which the paper compares with, and its data.",
]  # fmt: skip
display(Markdown("\n".join(f"- {line}" for line in lines)))

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder of head images with brain masks or label maps (NIfTI; see `docs` for what names are
# understood), at least three subjects. Without it, three small phantoms stand in. `"brain=mask"` learns from masks,
# `"brain=*"` from label maps. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in for Kleesiek 2016"
    source.mkdir(parents=True, exist_ok=True)
    for subject in list(cohort)[:3]:
        t1 = subject.volume("T1")
        write_volume(t1, source / f"{subject.name}_T1.nii.gz")
        write_volume(t1.with_data(subject.label_map(t1).astype(np.float32)), source / f"{subject.name}_label.nii.gz")
MINE = "my images for Kleesiek 2016"
if MINE in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort(MINE)  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, MINE, link=True)
own = workflow.train("kleesiek2016", mine.name, {"n_epochs": 1}, preset="quick", title="my images")
assert own.status().state == "finished", own.status().message  # then preset="cpu", without n_epochs
found = workflow.segment(own.id, mine.name, mine.subjects[-1].name)
label_maps(LabelMaps(found.image, found.classes, found.truth, found.names), style="outline")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
