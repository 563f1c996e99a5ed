"""Patches of three modalities for infants' brains whose grey and white matter look alike, beside a forest and a line.

Review: Section 3.3, Reference 26
Needs: nothing; makes its own images
"""

# %% [markdown]
# # 3.3 Zhang 2015: infant tissues
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 3.3, Reference 26 (Zhang, Li, Deng, Wang, Lin,
# Ji, Shen, *NeuroImage* 2015); the system is `zhang2015`. A network sees 13 × 13 pixels of T1, T2 and FA about a voxel
# and says which tissue it is. The paper's claims: three modalities are better than two or one, and the network better
# than a random forest and a support vector machine on the same patches.
#
# First the network, and that a whole slice at once gives what patch by patch gives; then all seven sets of modalities;
# then the network beside the two others, all learning from the *same* patches; then smaller and larger patches. The
# sentences with numbers are written by the code from this run's results. The images are phantoms; the review prints no
# figure of the paper's.
#
# The quick settings take about a minute on a processor core: eight infants with voxels of 4 mm, an eighth of the maps or
# fewer, one seed. With `WORKBENCH_FULL=1` in the environment: voxels of 2 mm, the preset `cpu`, three seeds.

# %%
import os
import time
from itertools import combinations
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import numpy as np
import pandas as pd
import torch
from IPython.display import SVG, Markdown, display
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.figures.architecture import architecture_svg
from workbench.figures.cohort import intensities_by_label
from workbench.figures.filters import filter_tiles
from workbench.figures.label_maps import LabelMaps, difference_map, label_maps
from workbench.figures.patches import patch_grid
from workbench.figures.segmentation_scores import ablation
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import write_volume
from workbench.imaging.splits import Split
from workbench.inference.whole_volume import dense_probabilities, patchwise_probabilities
from workbench.metrics.intervals import mean_interval, paired_difference_interval
from workbench.paths import data_root
from workbench.runs.run import Run
from workbench.systems.architecture_views import architecture_parts
from workbench.systems.segmentation.zhang2015 import Zhang2015

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
SPACING, PRESET, SEEDS = (2.0, "cpu", (0, 1, 2)) if FULL else (4.0, "quick", (0,))
N_LEARNT, N_ASKED, N_TREES, N_PASSES = (40_000, 6000, 200, 10) if FULL else (4096, 1500, 60, 8)
CONTEXTS = (9, 17, 22) if FULL else (9, 22)
MODALITIES = ("T1", "T2", "FA")
COHORT = f"infants of {SPACING:g} mm"

# %% [markdown]
# ## The network
#
# Three convolutions without padding leave one pixel of 13 × 13; one fully connected layer reads its 768 maps.

# %%
published = Zhang2015().network(3, 3)
drawn = architecture_parts(
    published, (3, 13, 13), title="Zhang 2015", channels=MODALITIES, outputs=("CSF", "grey", "white")
)
display(SVG(architecture_svg(drawn)))
counts = {c: sum(p.numel() for p in Zhang2015(context=c).network(3, 3).parameters()) for c in (9, 13, 17, 22)}
display(pd.Series({f"{c} pixels": f"{n:,}" for c, n in counts.items()}, name="parameters").to_frame())

assert counts[13] == drawn.n_parameters == 5_332_995
assert [m.spatial for m in drawn.rows[0]] == [(13, 13), (9, 9), (5, 5), (1, 1), ()]

# %% [markdown]
# Nothing in it pads, so it can be slid over a whole slice at once (strategy (e) of Section 1), which gives each voxel
# exactly what its own patch would.

# %%
small = Zhang2015(n_maps=(8, 16, 32)).network(3, 3).eval()
piece = np.random.default_rng(0).normal(size=(3, 24, 20, 2)).astype(np.float32)
begin = time.perf_counter()
dense = dense_probabilities(small, piece, patch=(13, 13), plane="axial")
middle = time.perf_counter()
one_by_one = patchwise_probabilities(small, piece, patch=(13, 13), mask=np.ones(piece.shape[1:], bool), plane="axial")
end = time.perf_counter()
apart = float(np.abs(dense - one_by_one).max())
print(f"largest difference of a probability {apart:.1e}; {(end - middle) / (middle - begin):.0f} times as fast")
assert apart < 1e-5

# %% [markdown]
# ## The subjects
#
# Infants' brains made from the MNI template. Five are learnt from, three are asked about. Mean intensity of each tissue:
# in T1 and T2 grey and white matter lie together, in opposite order; FA tells them apart but is coarse.


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


# %% [markdown]
# ## One, two or three modalities
#
# Seven networks, alike but for their channels, on as many patches.


# %%
def learn(changes: dict, title: str) -> Run:
    """Train one variant."""
    run = workflow.train("zhang2015", cohort.name, changes, preset=PRESET, title=title)
    assert run.status().state == "finished", run.status().message
    return run


SETS = [" + ".join(s) for n in (3, 2, 1) for s in combinations(MODALITIES, n)]
ALL = SETS[0]
runs = {(s, seed): learn({"modalities": s.replace(" + ", ","), "seed": seed}, s) for s in SETS for seed in SEEDS}


def scored(chosen: dict[tuple[str, int], Run]) -> pd.DataFrame:
    """Give the Dice coefficient of each tissue in each test subject."""
    rows = []
    for (name, seed), run in chosen.items():
        for subject in test:
            scores = workflow.segment(run.id, cohort.name, subject.name).scores()
            rows += [(name, f"{subject.name}, seed {seed}", t, scores[t]["dice"]) for t in TISSUES.values()]
    return pd.DataFrame(rows, columns=["run", "subject", "structure", "value"])


def compared(table: pd.DataFrame, first: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Give the mean over tissues of each case, means over cases, and paired differences from the first run."""
    cases = table.groupby(["run", "subject"], sort=False)["value"].mean().reset_index()
    wide = cases.pivot(index="subject", columns="run", values="value")
    names = [first, *(n for n in dict.fromkeys(cases["run"]) if n != first)]
    means = [{"run": n} | mean_interval(wide[n].to_numpy())._asdict() for n in names]
    differences = [
        {"run": n} | paired_difference_interval(wide[n].to_numpy(), wide[first].to_numpy())._asdict() for n in names[1:]
    ]
    order = cases.set_index("run").loc[names].reset_index()
    return order, pd.DataFrame(means), pd.DataFrame(differences)


by_set = scored(runs)
cases, set_means, set_differences = compared(by_set, ALL)
ablation(cases, set_means, set_differences, title="mean Dice of three tissues")

# %%
tissue = by_set.groupby(["run", "structure"], sort=False)["value"].mean().unstack()[list(TISSUES.values())].loc[SETS]
display(tissue.round(3))
pairs, singles = SETS[1:4], SETS[4:]

assert by_set["value"].between(0, 1).all() and len(tissue) == 7
assert set_means.set_index("run")["mean"].drop(ALL).max() < 1

# %%
first = runs[ALL, SEEDS[0]]
workflow.figure(first.id, "curves")

# %% [markdown]
# The first kernels, one row of pixels for each modality.

# %%
system = Zhang2015(**first.info.settings)
filter_tiles(system.filter_bank(first, 1).weights)

# %%
fa = test[0].volume("FA")
seen = workflow.segment(first.id, cohort.name, test[0].name)
maps = LabelMaps(fa, seen.classes, seen.truth, seen.names)
where = (fa.shape[0] // 2, fa.shape[1] // 2, int(fa.shape[2] * 0.55))
label_maps(maps, where, style="fill")

# %%
difference_map(maps, where)

# %% [markdown]
# ## A forest and a line on the same patches
#
# The same patches, each tissue equally often, as 13 · 13 · 3 = 507 numbers for a random forest and a linear support
# vector machine, and as images for the network. They are asked about the same voxels, drawn evenly from the test
# subjects' masks. The network takes several passes over these patches and gets no others.

# %%
data = system.data(cohort, first)
module = system.patches_of(data.train, data.test, n_patches=N_LEARNT, sampler="balanced", stage=0)
batches = [module.train_batch(0, i) for i in range(module.n_batches)]
x, y = torch.cat([b["image"] for b in batches]), torch.cat([b["label"] for b in batches])
others = system.patches_of(data.test, data.test, n_patches=5 * N_ASKED, sampler="inside", stage=1)
asked = [others.validation_batch(i) for i in range(-(-others.n_validation_patches // others.batch_size))]
x_test, y_test = torch.cat([b["image"] for b in asked]), torch.cat([b["label"] for b in asked])
of = np.concatenate([np.asarray(b["subject"]) for b in asked])
NAMES = list(data.record.output_names)
chosen = [int(i) for k in range(3) for i in torch.nonzero(y == k)[:2, 0]]
shown = np.concatenate([x[chosen, m : m + 1].numpy() for m in range(3)])  # a row a modality
grid = patch_grid(shown, [f"{NAMES[int(y[i])]}, {m}" for m in MODALITIES for i in chosen])
told_in_words = "Patches of 13 × 13 pixels, two of each tissue, a row each for T1, T2 and FA."
grid.update_layout(meta={"alt": told_in_words, "theme": "light"})


# %%
def network_on_patches(seed: int) -> np.ndarray:
    """Train the network on these patches alone; give its classes of the test patches."""
    net = system.model_copy(update={"seed": seed}).network(3, 3).train()
    descent = torch.optim.SGD(net.parameters(), lr=system.learning_rate, momentum=system.momentum,
                              weight_decay=system.weight_decay)  # fmt: skip
    order = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    for _ in range(N_PASSES):
        for some in torch.randperm(len(x), generator=order).split(system.batch_size):
            descent.zero_grad()
            torch.nn.functional.cross_entropy(net(x[some]), y[some]).backward()
            descent.step()
    with torch.no_grad():
        return torch.cat([net.eval()(part) for part in x_test.split(512)]).argmax(1).numpy()


def forest(seed: int) -> np.ndarray:
    """Grow a random forest on the patch vectors; give its classes of the test patches."""
    return RandomForestClassifier(N_TREES, random_state=seed).fit(x.flatten(1), y).predict(x_test.flatten(1))


def line(seed: int) -> np.ndarray:
    """Fit a linear support vector machine to the patch vectors; give its classes of the test patches."""
    machine = make_pipeline(StandardScaler(), LinearSVC(C=1e-3, dual=False, random_state=seed))
    return machine.fit(x.flatten(1), y).predict(x_test.flatten(1))


NET, FOREST, LINE = "network", "random forest", "linear SVM"
rows, seconds = [], {}
for name, method in ((NET, network_on_patches), (FOREST, forest), (LINE, line)):
    for seed in SEEDS:
        begin = time.perf_counter()
        answer = method(seed)
        seconds[name] = time.perf_counter() - begin
        for subject in np.unique(of):
            mine = of == subject
            found, truth = answer[mine], y_test.numpy()[mine]
            for k, t in enumerate(NAMES):
                both = (found == k).sum() + (truth == k).sum()
                rows.append((name, f"{subject}, seed {seed}", t, 2 * ((found == k) & (truth == k)).sum() / both))
by_method = pd.DataFrame(rows, columns=["run", "subject", "structure", "value"])
method_cases, method_means, method_differences = compared(by_method, NET)
ablation(method_cases, method_means, method_differences, title="mean Dice, same patches")

# %%
methods = by_method.groupby(["run", "structure"], sort=False)["value"].mean().unstack()[NAMES]
display(methods.assign(seconds=pd.Series(seconds)).round(3))
print(f"{len(x):,} patches of {x[0].numel()} numbers to learn from, {len(x_test):,} to be asked about")

assert x[0].numel() == 507 and set(np.unique(y)) == {0, 1, 2}
assert len(np.unique(of)) == len(test)
assert np.bincount(y).min() > 0.8 * np.bincount(y).max(), "each tissue equally often"

# %% [markdown]
# ## Smaller and larger patches
#
# The paper has four networks, of 9, 13, 17 and 22 pixels. The layers of all but that of 13 were not found; these keep
# its widths.

# %%
context_runs = {("13 pixels", seed): runs[ALL, seed] for seed in SEEDS}
context_runs |= {(f"{c} pixels", s): learn({"context": c, "seed": s}, f"{c} pixels") for c in CONTEXTS for s in SEEDS}
context_cases, context_means, context_differences = compared(scored(context_runs), "13 pixels")
ablation(context_cases, context_means, context_differences, title="mean Dice of three tissues")

# %% [markdown]
# ## What came out


# %%
def spoken(row: pd.Series) -> str:
    """Write a mean with its interval."""
    return f"{row['mean']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"


def told(differences: pd.DataFrame) -> str:
    """Write all paired differences."""
    return "; ".join(f"{row['run']} {spoken(row)}" for _, row in differences.iterrows())


of_set = set_differences.set_index("run")
best_pair, best_single = of_set.loc[pairs, "mean"].idxmax(), of_set.loc[singles, "mean"].idxmax()
behind = [name for name in of_set.index if of_set.loc[name, "high"] < 0]
level = [name for name in of_set.index if name not in behind]
of_method = method_differences.set_index("run")
beaten = [name for name in of_method.index if of_method.loc[name, "high"] < 0]
ahead = [name for name in of_method.index if of_method.loc[name, "low"] > 0]
if len(beaten) == 2:
    claim = "The network is better than both, as in the paper."
elif ahead:
    claim = f"Better than the network here: {' and '.join(ahead)}; on so few patches the paper's claim does not hold."
else:
    claim = (
        f"Worse with an interval apart from 0: {' and '.join(beaten) or 'none'}; for the others this run cannot tell."
    )
lines = [
    f"**Modalities**: mean Dice {set_means['mean'].iloc[0]:.3f} with all three; the best pair is {best_pair}, "
    f"{spoken(of_set.loc[best_pair])} from it, and the best one alone {best_single}, {spoken(of_set.loc[best_single])}. "
    + ("All six other sets are worse, with intervals apart from 0: the paper's claim holds on this phantom."
       if not level else f"Not worse with an interval apart from 0: {', '.join(level)}."),
    f"**The same patches**: the network reaches {method_means['mean'].iloc[0]:.3f}; difference of the others: "
    f"{told(method_differences)}. {claim}",
    f"**Context**: difference from 13 pixels: {told(context_differences)}.",
    f"**A whole slice at once** differs from patch by patch by {apart:.0e} at most.",
    "**The quick run** trains for seconds with a fraction of the maps; its ranking belongs to that."
    if not FULL
    else "**This run** has all maps and a fortieth of the published patches.",
    "**Not measured here:** anything about real infants; coupled level sets, which the paper compares with too.",
]  # fmt: skip
display(Markdown("\n".join(f"- {line}" for line in lines)))

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder of images with label maps (NIfTI; see `docs` for what names are understood), the
# modalities of a subject registered to each other, at least three subjects, one of them held out. Without it, three
# small phantoms stand in. What has no label has no class: give masks, or let the background be one
# (`{"background": True}`). Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in for Zhang 2015"
    source.mkdir(parents=True, exist_ok=True)
    for subject in list(cohort)[:3]:
        for name in MODALITIES:
            write_volume(subject.volume(name), source / f"{subject.name}_{name}.nii.gz")
        t2 = subject.volume("T2")
        write_volume(t2.with_data(subject.label_map(t2).astype(np.float32)), source / f"{subject.name}_label.nii.gz")
MINE = "my images for Zhang 2015"
if MINE in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort(MINE)  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, MINE, link=True)
own = workflow.train("zhang2015", mine.name, {"n_epochs": 2, "background": True}, preset="quick", title="my images")
assert own.status().state == "finished", own.status().message  # then preset="cpu", without n_epochs
found = workflow.segment(own.id, mine.name, mine.subjects[-1].name)
label_maps(LabelMaps(found.image, found.classes, found.truth, found.names), style="outline")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
