"""One Gaussian restricted Boltzmann machine beside ICA on planted networks, and what depth adds.

Review: Section 3.5, Reference 120, Figure 10
Needs: nothing; makes its own regional signals
"""

# %% [markdown]
# # 3.5 Plis 2014: networks without classes, and depth
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 3.5, Reference 120 (Plis et al., *Frontiers
# in Neuroscience* 8:229, 2014). Two systems. `plis2014`: one restricted Boltzmann machine (RBM) with Gaussian visible
# units on single volumes of fMRI, beside independent component analysis (ICA), principal components (PCA) and sparse
# dictionaries; a unit's weights are a map, its activation is a time course. `plis2014_depth`: a deep belief network on
# maps of subjects, and how well simple classifiers tell two classes from its features, depth by depth.
#
# The review says that feasibility was validated and prints no number, so there is none to compare with. Here networks
# and classes are planted, so that what is found can be held against what is there. **One draw of each phantom**; means
# over five draws with intervals are in [`docs/plis2014.md`](../docs/plis2014.md). The sentences with numbers are
# written by the code from this run's results.
#
# The quick settings take about a minute on one processor core. With `WORKBENCH_FULL=1` in the environment there are
# more subjects, more training and more penalties.

# %%
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from IPython.display import Markdown, display
from plotly.subplots import make_subplots

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.classical.decomposition import decompose
from workbench.figures.edges import Regions
from workbench.figures.recovery import matched_networks, recovery_table
from workbench.figures.scores import compare_scores
from workbench.figures.state_patterns import brain_panels
from workbench.figures.strips import weight_strips
from workbench.figures.theme import DASHES, DIVERGING, SYMBOLS, colorbar, finish, interval, series_color
from workbench.imaging.cohort import Cohort
from workbench.imaging.region_table import read_region_table
from workbench.imaging.splits import Split
from workbench.metrics.intervals import mean_interval
from workbench.metrics.recovery import match
from workbench.paths import cohorts_dir, data_root
from workbench.phantoms.bold import make_bold
from workbench.phantoms.bold_networks import planted_networks
from workbench.phantoms.bold_regions import PLANTED
from workbench.phantoms.bold_sources import standardized
from workbench.phantoms.bold_voxels import planted_voxels
from workbench.phantoms.two_level import make_two_level, planted_two_level
from workbench.runs.run import Run, create_run
from workbench.runs.stages import StagePlan
from workbench.runs.training import Training
from workbench.systems.cadx.plis2014 import Plis2014
from workbench.systems.regional_data import z_scored

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
N_SUBJECTS, N_VOLUMES, N_EPOCHS = (20, 400, 60) if FULL else (8, 200, 30)
GRID = (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03) if FULL else (0.0, 0.003, 0.03)
N_UNITS = 32
RECIPE = {
    "n_hidden": N_UNITS,
    "centered": False,
    "hidden_bias": -2.0,
    "batch_size": 20,
    "learning_rate": 0.01,
    "max_update_norm": 0.1,
}

# %% [markdown]
# ## What is planted
#
# Eight networks among 116 regions, real places with real names. Each is a block of 13 regions, some of them of negative
# sign, and reaches into a few regions of other blocks, so **they overlap**. Each has a time course of its own: events
# of four volumes, convolved with a haemodynamic response. White noise of standard deviation 1 in units of the weights,
# about as strong as the signal; then every region of every subject is z-scored. Nobody has a class.


# %%
def keep(cohort: Cohort) -> Cohort:
    """Let all subjects take part."""
    workflow.save_split(cohort, Split(tuple(s.name for s in cohort)))
    return cohort


def there(name: str) -> bool:
    return name in [c.name for c in workflow.list_cohorts()]


NETWORKS = f"planted networks {N_SUBJECTS}"
if not there(NETWORKS):
    keep(make_bold(cohorts_dir() / NETWORKS, n_subjects=N_SUBJECTS, n_volumes=N_VOLUMES, seed=0, effect=0.0))
cohort = workflow.open_cohort(NETWORKS)
table = read_region_table(cohort.path.parent / "regions.csv")
regions = Regions(table.regions, table.coordinates_mm, table.networks)
truth = np.load(cohort.path.parent / "truth.npz")["maps"]
courses = [np.load(s.folder / s.name / "truth.npz")["courses"].astype(float) for s in cohort]
shared = (truth != 0).sum(0)
print(f"{(shared > 1).sum()} of {len(shared)} regions belong to more than one network")
brain_panels(truth, regions, (list(PLANTED), 4), quantity="planted weight")

# %% [markdown]
# ## The machine
#
# Visible units $\mathbf v$ (a volume, 116 z-scored regions) are Gaussian, hidden units $\mathbf h$ binary:
#
# $$E(\mathbf v,\mathbf h)=\tfrac12\|\mathbf v-\mathbf b\|^2-\mathbf c^\top\mathbf h-\mathbf h^\top\mathbf W\mathbf v,
#   \qquad P(h_j=1\mid\mathbf v)=\frac1{1+e^{-c_j-\mathbf w_j\mathbf v}},\qquad
#   \mathbf v\mid\mathbf h\sim\mathcal N(\mathbf b+\mathbf W^\top\mathbf h,\mathbf I).$$
#
# So a volume is a **sum of the maps of the units that are on**: made for things that switch, as events do. Training is
# contrastive divergence with one step, a momentum of 0.5 and then 0.9, and an L1 penalty on the weights. Nobody knows
# the right penalty beforehand. The system halves the subjects, learns a machine from each half under each penalty and
# takes the one whose maps come back best; the truth is not looked at. The other methods are fitted to the same volumes
# and halves with as many components.


# %%
def train(system: str, data: Cohort, title: str, changes: dict) -> Run:
    """Train a system in this process."""
    run = workflow.train(system, data.name, changes, preset="quick", title=title)
    assert run.status().state == "finished", run.status().message
    return run


run = train(
    "plis2014", cohort, "RBM beside ICA",
    RECIPE | {"n_epochs": N_EPOCHS, "n_frames": 20_000, "choose_l1": "reproducibility", "l1_grid": GRID},
)  # fmt: skip
system = workflow.system_of(run)
seen = system.comparison(run)
tried = seen.penalties
fig = go.Figure()
for i, (name, values) in enumerate(
    {"|r| of the halves' maps": tried.reproducibility, "variance explained in the other half": tried.explained}.items()
):
    fig.add_scatter(x=[f"{v:g}" for v in tried.values], y=values, name=name, mode="lines+markers",
                    line={"color": series_color(i, "light"), "dash": DASHES[i]},
                    marker={"symbol": SYMBOLS[i], "size": 9})  # fmt: skip
fig.update_xaxes(title="L1", type="category").update_yaxes(title="share, or |r|", range=[0, 1])
fig.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
finish(fig, "light", alt="Agreement of the maps of two halves and variance explained, by the L1 penalty.", height=340)

# %%
series = z_scored(cohort[seen.subject].regional_series().values)
weights = {name: t.double().numpy() for name, t in run.load_weights().items()}
by_hand = 1 / (1 + np.exp(-series @ weights["weight"].T - weights["hidden_bias"]))
print(f"L1 taken: {tried.chosen:g}; course of {seen.subject}: largest difference from the formula "
      f"{np.abs(by_hand - seen.courses['RBM']).max():.1e}")  # fmt: skip
print("\n".join(seen.notes))

assert np.abs(by_hand - seen.courses["RBM"]).max() < 1e-4, "a course is the chance that a unit is on"
assert 0 < tried.chosen < 0.03, "the halves take neither no penalty nor one that empties the maps"

# %% [markdown]
# ## Figure 10: units as networks
#
# Each unit is drawn as its twelve strongest regions and named by the network of the table of regions that these overlap
# with most, whatever was planted. *Purity* is the share of the twelve in that network. A planted network has 13 regions
# of its own block and, more weakly, about three others, so a good unit's twelve lie in one block.

# %%
workflow.figure(run.id, "functional-networks")

# %%
overlap = workflow.network_overlap(run.id, top=12)
named = {overlap.names[k] for k, p in zip(overlap.best, overlap.purity, strict=True) if p >= 0.6}
pure = int((overlap.purity >= 0.6).sum())
print(f"{pure} of {N_UNITS} units are pure; they name {len(named & set(PLANTED))} of the {len(PLANTED)} networks")
r_of = np.abs(np.corrcoef(np.vstack([seen.maps["RBM"], truth]))[:N_UNITS, N_UNITS:])
sharing = np.bincount(r_of.argmax(1)[r_of.max(1) > 0.9], minlength=len(PLANTED))
print("units whose map is that of a network with |r| > 0.9:",
      ", ".join(f"{name} {n}" for name, n in zip(PLANTED, sharing, strict=True)))  # fmt: skip

assert set(PLANTED) <= named, "every planted network is named by a unit"
assert sharing.sum() > len(PLANTED), "and units share networks"

# %% [markdown]
# **One unit is not one network.** Several units have the same map: a unit is on or off, and several together can tell
# how strong a network is at a time. Counting units, or taking the correlation of two courses for a connection, would
# count a network several times.

# %% [markdown]
# ## RBM, ICA, dictionary, truth
#
# The truth decides which map of a method stands for which network (the assignment with the largest sum of |r|) and its
# sign. All methods have 32 maps for eight networks, so each may choose; the same for all.

# %%
METHODS = list(seen.methods)
found = {name: match(seen.maps[name], truth) for name in METHODS}
aligned = {name: seen.maps[name][m.pairs[:, 0]] * m.sign[:, None] for name, m in found.items()}
recovered = {name: m.correlation for name, m in found.items()}
four = slice(None) if FULL else slice(0, 4)
matched_networks(
    {name: aligned[name][four] for name in ("RBM", "temporal ICA", "dictionary")} | {"truth": truth[four]},
    {name: r[four] for name, r in recovered.items()}, regions, names=PLANTED[four],
)  # fmt: skip

# %%
scores = pd.DataFrame(recovered, index=PLANTED).T
scores.insert(0, "mean of 8", scores.mean(axis=1))
display(scores.round(3).rename_axis("|r| with the planted map, 32 maps"))
at = scores["mean of 8"]

assert at["RBM"] > 0.95, "the machine finds event-driven networks"
assert at["RBM"] > at["temporal ICA"] + 0.1, "and temporal ICA with as many maps does not"

# %% [markdown]
# No method is told here that there are eight networks, and temporal ICA may not have converged (see above). Told it,
# which nobody is with real data, they do better or worse: see the table of sources below and `docs/plis2014.md`, where
# the dictionary with 8 atoms is ahead of the RBM.
#
# ## Time courses
#
# Three networks in one subject: planted, and what the partner map of each method says. Every line has mean 0 and
# standard deviation 1, sign as matched. An activation lies between 0 and 1: it tells *that* a network is on better than
# *how much*.


# %%
def course(name: str, k: int) -> np.ndarray:
    """Give the course of the partner of network k in the shown subject (T,)."""
    pair = found[name].pairs[k, 0]
    return standardized(seen.courses[name][:, [pair]] * found[name].sign[k])[:, 0]


planted = standardized(courses[[s.name for s in cohort].index(seen.subject)])
fits = pd.DataFrame(
    {n: [np.corrcoef(planted[:, k], course(n, k))[0, 1] for k in range(8)] for n in METHODS}, index=PLANTED
)
TR_S = seen.tr_s or 2.0
fig = make_subplots(3, 1, shared_xaxes=True, vertical_spacing=0.06, subplot_titles=PLANTED[:3])
for k in range(3):
    lines = {"planted": planted[:, k]} | {n: course(n, k) for n in ("RBM", "temporal ICA")}
    for i, (name, values) in enumerate(lines.items()):
        style = {"color": "#B0B7C3" if i == 0 else series_color(i - 1, "light"), "width": 5 if i == 0 else 1.5}
        fig.add_scatter(x=TR_S * np.arange(len(values)), y=values, name=name, mode="lines", line=style, row=k + 1,
                        col=1, showlegend=k == 0, legendgroup=name)  # fmt: skip
fig.update_xaxes(title="time, s", row=3, col=1).update_yaxes(title="z", nticks=4)
fig.update_layout(legend={"orientation": "h", "y": 1.06, "yanchor": "bottom"}, margin={"t": 70})
finish(fig, "light", alt="Courses of three networks in one subject: planted, of the RBM, of temporal ICA.", height=560)

# %%
display(fits.T.assign(mean=fits.mean()).round(3).rename_axis(f"r with the planted course, {seen.subject}"))

assert fits["RBM"].min() > 0.7, "the partner units follow the courses of their networks"

# %% [markdown]
# ## How courses go together (FNC)
#
# *Functional network connectivity* is the correlation of courses. The planted ones are drawn **independently**; what
# correlation they have is chance in as many volumes, and a method that reads courses well shows the same. Order and
# sign as matched; all subjects.

# %%
fnc = {"planted": np.corrcoef(np.concatenate(courses), rowvar=False)}
for name in METHODS:
    pick, sign = found[name].pairs[:, 0], found[name].sign
    fnc[name] = seen.fnc[name][np.ix_(pick, pick)] * np.outer(sign, sign)
off = ~np.eye(8, dtype=bool)
leak = pd.Series({name: float(np.sqrt(np.square(m[off]).mean())) for name, m in fnc.items()})
shown = ("planted", "RBM", "temporal ICA", "dictionary")
fig = make_subplots(1, 4, horizontal_spacing=0.03, subplot_titles=[f"{n} · rms {leak[n]:.2f}" for n in shown])
for column, name in enumerate(shown, 1):
    fig.add_heatmap(z=np.where(off, fnc[name], np.nan), x=PLANTED, y=PLANTED, zmin=-0.5, zmid=0, zmax=0.5,
                    colorscale=DIVERGING["light"], showscale=column == 4, colorbar=colorbar("light", "r"), row=1,
                    col=column, hoverongaps=False)  # fmt: skip
    fig.update_yaxes(autorange="reversed", showticklabels=column == 1, showgrid=False, row=1, col=column)
fig.update_xaxes(tickangle=60, showgrid=False).update_layout(margin={"l": 130, "b": 120, "t": 40})
finish(fig, "light", alt="Correlations of the eight courses: planted, RBM, temporal ICA and dictionary.", height=420)

# %%
follows = {name: float(np.corrcoef(m[off], fnc["planted"][off])[0, 1]) for name, m in fnc.items()}
display(pd.DataFrame({"rms off the diagonal": leak, "r of its cells with the planted ones": follows}).round(3))

assert leak["planted"] < 0.1 and leak["RBM"] < 0.15, "independent courses stay so"
assert follows["RBM"] > 0.6, "what chance made of the planted courses is found again"
assert leak["temporal ICA"] < 1e-3, "temporal ICA cannot show a correlation"

# %% [markdown]
# **Temporal ICA and PCA have 0 everywhere by construction**: they make courses that are uncorrelated over the volumes
# they learn from, so functional network connectivity of these courses says nothing. (Practice takes spatial ICA.)

# %% [markdown]
# ## What comes back in the other half
#
# Each method learnt from one half of the subjects and from the other; its 32 maps are paired. *Variance explained* is
# that of subjects whose half was not learnt from.

# %%
fig = go.Figure()
for i, name in enumerate(METHODS):
    values = seen.reproducibility[name]
    fig.add_scatter(x=np.arange(1, len(values) + 1), y=values, name=name, mode="lines+markers",
                    line={"color": series_color(i, "light"), "dash": DASHES[i]},
                    marker={"symbol": SYMBOLS[i], "size": 6})  # fmt: skip
fig.add_vline(x=8.5, line={"color": "#667080", "dash": "dot", "width": 1.5},
              annotation={"text": "8 are planted", "xanchor": "left", "y": 0, "yanchor": "bottom"})  # fmt: skip
fig.update_xaxes(title="map, by rank").update_yaxes(title="|r| between the halves", range=[0, 1.02])
fig.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
finish(fig, "light", alt="Reproducibility of the maps of five methods between two halves, by rank.", height=400)

# %%
explained = pd.DataFrame(
    [(n, i, "explained", v) for n in METHODS for i, v in enumerate(seen.explained[n])],
    columns=["run", "subject", "score", "value"],
)
told = pd.DataFrame(
    [(n, "explained", *mean_interval(seen.explained[n])) for n in METHODS],
    columns=["run", "score", "mean", "low", "high"],
)
compare_scores(explained, told, titles={"explained": "share of variance explained, the other half's model"})

# %%
back = pd.Series({n: float(np.mean(seen.reproducibility[n])) for n in METHODS})
eight = pd.Series({n: float(np.mean(seen.reproducibility[n][:8])) for n in METHODS})
share = told.set_index("run")["mean"]
lone = pd.Series({n: int(((np.abs(m) > 0.3 * np.abs(m).max(1, keepdims=True)).sum(1) == 1).sum())
                  for n, m in seen.maps.items()})  # fmt: skip
columns = {
    "|r| of halves, 32 maps": back, "the best 8": eight, "maps of one region": lone, "explained": share,
    "|r| with the truth": at,
}  # fmt: skip
display(pd.DataFrame(columns).round(3))

assert eight["RBM"] > 0.9, "eight maps come back"
assert lone["dictionary"] > 8 and eight["dictionary"] > 0.99, "a map of one region comes back for nothing"
assert share["PCA"] > share["RBM"] and at["PCA"] < at["RBM"], "explaining more variance is not finding networks"

# %% [markdown]
# **What comes back need not be a network.** The dictionary's most reproducible maps are single regions: a map of region
# 7 correlates perfectly with a map of region 7, whatever the signals. Of the RBM more than eight maps come back, since
# units share networks.
#
# ## L1 depends on the scale
#
# The size of an L1 means nothing by itself: what matters is the pull on each weight beside the evidence for it, and
# that depends on how many inputs share a unit. The same eight networks as 116 regions and as voxels (8 mm, grey
# matter, each region a blob), one series of 600 volumes each, the same steps; now the truth is looked at.


# %%
def machine_maps(x: np.ndarray, penalty: float, n_epochs: int) -> np.ndarray:
    """Learn a machine by the system's own training from volumes (T, V); give its maps (M, V)."""
    one = create_run("plis2014", {}, seed=0, cohort=None, root=data_root() / "machines")
    plis = Plis2014(n_epochs=n_epochs, **RECIPE)
    return plis.learn_machine(x, Training(one, [StagePlan("all", n_epochs)]), "all", penalty).weight.numpy()


T = 1000 if FULL else 600
as_regions, as_voxels = planted_networks(T, seed=0), planted_voxels(T, seed=0)
inputs = {
    "116 regions": (as_regions.values, as_regions.maps),
    f"{as_voxels.values.shape[1]:,} voxels": (standardized(as_voxels.values).astype(np.float32), as_voxels.maps),
}
rows = []
for name, (x, maps) in inputs.items():
    for penalty in (0.003, 0.03):
        r = match(machine_maps(x, penalty, 60 if FULL else 30), maps).correlation
        rows.append((f"L1 {penalty:g}", name, *mean_interval(r)))
scale = pd.DataFrame(rows, columns=["method", "sources", "mean", "low", "high"])
recovery_table(scale, metric="mean |r| of the 8 networks")

# %% [markdown]
# *Intervals over the eight networks of one draw.*

# %%
of = scale.set_index(["sources", "method"])["mean"]
small, large = inputs

assert of[small, "L1 0.003"] > of[small, "L1 0.03"] + 0.2, "0.03 empties the maps of regions"
assert of[large, "L1 0.03"] > of[large, "L1 0.003"] + 0.2, "and is what voxels need"

# %% [markdown]
# ## From 4-D images: voxels, as the paper learnt
#
# Six subjects' 4-D images go the whole way: a lattice of cubes inside MNI gray matter, the same for everyone; the mean
# signal of each cube, cleaned; a run of the same system, which compares the machine with canonical ICA (nilearn's
# CanICA) and nilearn's dictionaries too. At the command line: `workbench regions images gm cubes --voxels 8`. On voxels
# every penalty is ten times as large. The quick settings take 12 mm.


# %%
EDGE = 8.0 if FULL else 12.0
IMAGES, CUBES = "planted images", f"cubes of {EDGE:g} mm"
if not there(IMAGES):
    keep(make_bold(cohorts_dir() / IMAGES, n_subjects=6, n_volumes=200, seed=0, effect=0.0, images=True))
if not there(CUBES):
    keep(workflow.extract_regions(IMAGES, "gm", CUBES, voxel_mm=EDGE))
on_voxels = train(
    "plis2014", workflow.open_cohort(CUBES), "RBM beside CanICA on voxels",
    RECIPE | {"n_hidden": 16, "n_epochs": 40, "n_frames": 20_000, "choose_l1": "reproducibility",
              "l1_grid": (0.003, 0.01)},
)  # fmt: skip
volumes = workflow.system_of(on_voxels).comparison(on_voxels)
print(f"{len(volumes.regions):,} voxels; L1 taken: {volumes.penalties.chosen:g}")
workflow.figure(on_voxels.id, "comparison")

# %% [markdown]
# Maps are drawn as the voxel of largest |weight| along the view. Against the truth: the planted map at each cube's
# place. `workflow.network_map(run)` gives all units as one 4-D NIfTI image, `workflow.component_maps(run, "CanICA")`
# those of another method.

# %%
images = workflow.open_cohort(IMAGES)
planted_volumes = np.load(images.path.parent / "truth.npz")["voxel_maps"]
with_affine = workflow.open_atlas(images.path.parent / "atlas.nii.gz").labels
places = np.rint(with_affine.to_voxels(workflow.regional_networks(on_voxels.id).coordinates_mm)).astype(int)
held = planted_volumes[tuple(places.T)].T  # (8, V)
in_volumes = {name: match(volumes.maps[name], held).correlation for name in volumes.methods}
display(
    pd.DataFrame(
        {
            "|r| with the truth": {n: r.mean() for n, r in in_volumes.items()},
            "|r| of halves": {n: r.mean() for n, r in volumes.reproducibility.items()},
        }
    ).round(3)
)

assert in_volumes["RBM"].mean() > in_volumes["PCA"].mean() + 0.1, "the machine finds networks among voxels"

# %% [markdown]
# ## Other sources: where the RBM loses
#
# Same maps, other courses. *Laplace* courses are heavy-tailed and symmetric, exactly what temporal ICA looks for and
# nothing that switches; *Gaussian* ones have no direction that temporal ICA could find. Noise as strong as the signal,
# no haemodynamic response; ICA and dictionary are now told the true number, 8.

# %%
rows, kinds = [], {"events": {}, "Laplace": {"sources": "laplace"}, "Gaussian": {"sources": "gaussian"}}
RIVALS = {"temporal ICA 8": "fast_ica", "spatial ICA 8": "spatial_ica", "dictionary 8": "dictionary", "PCA 8": "pca"}
for kind, changes in kinds.items():
    one = planted_networks(4000 if FULL else 1500, seed=0, **({"noise": None} | changes))
    by = {f"RBM {N_UNITS}, L1 0.003": machine_maps(one.values, 0.003, 20)}
    fitted = {name: decompose(one.values, method, 8) for name, method in RIVALS.items()}
    by |= {name: components.maps for name, components in fitted.items()}
    unsettled = [name for name, components in fitted.items() if components.notes]
    print(f"{kind}: not converged: {', '.join(unsettled) or 'none'}")
    rows += [(name, kind, *mean_interval(match(maps, one.maps).correlation)) for name, maps in by.items()]
sources = pd.DataFrame(rows, columns=["method", "sources", "mean", "low", "high"])
recovery_table(sources, metric="mean |r| of the 8 networks")

# %% [markdown]
# *Intervals over the eight networks of one draw; spatial ICA in particular differs from draw to draw.*

# %%
by_source = sources.set_index(["sources", "method"])["mean"]
OWN = f"RBM {N_UNITS}, L1 0.003"

assert by_source["Laplace", "temporal ICA 8"] > by_source["Laplace", OWN] + 0.2, "the RBM loses to ICA on Laplace"
assert by_source["events", OWN] > by_source["events", "temporal ICA 8"] + 0.05, "and is ahead of it on events"
assert by_source["Gaussian", OWN] > by_source["Gaussian", "temporal ICA 8"], "which has nothing to find in Gaussian"

# %% [markdown]
# ## What depth adds
#
# The other system. Subjects are rows of voxels made of two factors $a$ and $b$ of random sign, other patterns and
# noise, bent by a tanh; the class is the **sign of $ab$**. Both classes have the same mean in every voxel, so no line
# separates them. A network of 50-50-100 units is pretrained layer by layer without classes and then fine-tuned on them,
# in every fold on its training subjects alone; folds hold out whole sites. Then a support vector machine, a logistic
# regression and nearest neighbours learn from the voxels and from each layer. The control is the same with classes
# shuffled before anything is learnt.

# %%
N_ROWS, ROW = (400, {"n_voxels": 300, "noise": 1.0}) if FULL else (280, {"n_voxels": 120, "noise": 1.0})
TWO = f"two-level {N_ROWS}"
if not there(TWO):
    keep(make_two_level(cohorts_dir() / TWO, n_subjects=N_ROWS, **ROW))
drawn = planted_two_level(N_ROWS, **ROW)  # the same draw, with its factors
subjects = workflow.open_cohort(TWO)
DEPTH = {"n_hidden": (50, 50, 100), "n_epochs_pretraining": 25, "n_epochs": 30, "n_folds": 5 if FULL else 3}
depth_runs = {
    "classes as they are": train("plis2014_depth", subjects, "depth", DEPTH),
    "classes shuffled": train("plis2014_depth", subjects, "depth, shuffled", DEPTH | {"permute": True}),
}
depth = {name: workflow.system_of(one).depth_scores(one) for name, one in depth_runs.items()}
fig = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=list(depth))
rows = []
for column, (condition, one) in enumerate(depth.items(), 1):
    for c, name in enumerate(one.classifiers):
        values = np.array([mean_interval(one.f[:, c, d]) for d in range(len(one.depths))])
        rows += [(condition, name, d, *v) for d, v in zip(one.depths, values, strict=True)]
        color = series_color(c, "light")
        fig.add_scatter(x=np.arange(len(values)) + 0.08 * (c - 1), y=values[:, 0], name=name, legendgroup=name,
                        mode="lines+markers", error_y=interval(*values.T, thickness=2, color=color),
                        line={"color": color, "dash": DASHES[c]}, marker={"symbol": SYMBOLS[c], "size": 9},
                        showlegend=column == 1, row=1, col=column)  # fmt: skip
fig.add_hline(y=0.5, line={"color": "#667080", "dash": "dot", "width": 1.5})
fig.update_xaxes(tickvals=list(range(len(one.depths))), ticktext=one.depths).update_yaxes(range=[0.3, 1.02])
fig.update_yaxes(title="F, mean of both classes", col=1)
fig.update_layout(legend={"orientation": "h", "y": -0.15, "yanchor": "top"}, margin={"t": 40})
finish(fig, "light", alt="F-scores by depth and classifier, with classes as they are and shuffled.", height=420)

# %% [markdown]
# *Means with 95 % intervals over folds, whose training subjects overlap, so they are too narrow; with three folds they
# are hardly more than the range. Dotted: chance.*

# %%
f = pd.DataFrame(rows, columns=["condition", "classifier", "depth", "F", "low", "high"])
display(f.pivot_table(index=["condition", "classifier"], columns="depth", values="F", sort=False).round(3))
F = f.set_index(["condition", "classifier", "depth"])["F"]
real, shuffled, last = *depth, depth["classes as they are"].depths[-1]
chance = F[shuffled]

assert abs(F[real, "SVM", "raw"] - 0.5) < 0.15, "no line separates the classes in voxels"
assert F[real, "SVM", last] > 0.85 and F[real, "logistic regression", last] > 0.85, "it does in the last layer"
assert abs(chance.mean() - 0.5) < 0.06 and chance.max() < 0.65, "shuffled classes are at chance at every depth"

# %% [markdown]
# Nearest neighbours need no line, and tell the classes from the voxels already: depth makes the classes **linearly**
# separable, it does not make information.
#
# ## The subjects, depth by depth
#
# t-SNE of the first fold's features, each layout begun at that of the depth below. Axes mean nothing, neighbours do, as
# far as *trustworthiness* is near 1. Filled: subjects that the network learnt from, whose classes it was taught. Open:
# held out; they are what counts.

# %%
view = workflow.system_of(depth_runs[real]).embedding(depth_runs[real])
titles = [f"{d} · trust {v:.2f}" for d, v in zip(view.depths, view.trustworthiness, strict=True)]
fig = make_subplots(1, len(view.depths), horizontal_spacing=0.02, subplot_titles=titles)
for d, places in enumerate(view.places, 1):
    for held, word in ((False, "learnt from"), (True, "held out")):
        for c, name in enumerate(view.classes):
            own = places[(view.target == c) & (view.held_out == held)]
            symbol = ("circle", "square")[c] + ("-open" if held else "")
            fig.add_scatter(x=own[:, 0], y=own[:, 1], mode="markers", name=f"{name}, {word}", showlegend=d == 1, row=1,
                            col=d, legendgroup=f"{name} {word}",
                            marker={"symbol": symbol, "size": 7, "color": series_color(c, "light"),
                                    "opacity": 1 if held else 0.4, "line": {"width": 2 if held else 0}})  # fmt: skip
fig.update_xaxes(showticklabels=False, showgrid=False, ticks="").update_yaxes(
    showticklabels=False, showgrid=False, ticks=""
)
fig.update_layout(legend={"orientation": "h", "y": -0.02, "yanchor": "top"}, margin={"t": 40, "b": 60})
finish(fig, "light", alt="Subjects in the plane by the features of each depth, held-out ones open.", height=380)


# %%
assert (drawn.target == view.target).all(), "subjects are in the phantom's order"
signs = (drawn.factors > 0) @ [2, 1]  # which of the four signs of a and b


def in_plane(places: np.ndarray) -> tuple[float, ...]:
    """Score held-out subjects by their nearest learnt neighbour (class, signs) and by a line learnt from the others."""
    plane, side = np.column_stack([places, np.ones(len(places))]), np.where(view.target == 1, 1.0, -1.0)
    learnt, held = ~view.held_out, view.held_out
    nearest = np.linalg.norm(places[held][:, None] - places[learnt], axis=2).argmin(1)
    line = np.linalg.lstsq(plane[learnt], side[learnt], rcond=None)[0]
    right = (
        side[learnt][nearest] == side[held],
        signs[learnt][nearest] == signs[held],
        np.sign(plane[held] @ line) == side[held],
    )
    return tuple(float(np.mean(r)) for r in right)


names = ["class of the neighbour", "signs of the neighbour", "class by one line"]
planes = pd.DataFrame([in_plane(p) for p in view.places], view.depths, names)
planes.insert(0, "trustworthiness", view.trustworthiness)
display(planes.round(3).rename_axis("held-out subjects, share right in the plane"))

assert view.trustworthiness.min() > 0.8, "neighbours in the plane are neighbours among the features"
assert planes.loc[last, names[:2]].min() > 0.85, "and of one class and signs in the last layer, held-out too"
assert planes[names[2]].max() < 0.8, "but no plane here shows what the SVM finds in the features"

# %% [markdown]
# The planes show what neighbours tell: the four clusters are the four signs of $(a,b)$, faint among the voxels and
# sharp from the first layer on. That a **line** parts the classes from the second layer on is *not* to be seen: t-SNE
# keeps neighbours, not lines, and begins at the layout of the depth below. The F-scores above say it.

# %% [markdown]
# ## What holds here, and what does not

# %%
ahead = [n for n in RIVALS if by_source["events", n] > by_source["events", OWN]]
near = F[real, "nearest neighbours", "raw"]
points = [
    f"**Event-driven networks are found**: mean |r| {at['RBM']:.3f} by the RBM with the L1 that the halves took "
    f"({tried.chosen:g}); temporal ICA {at['temporal ICA']:.3f}, spatial ICA {at['spatial ICA']:.3f}, dictionary "
    f"{at['dictionary']:.3f}, PCA {at['PCA']:.3f}, all with {N_UNITS} maps.",
    "**It is no general winner.** Told the true number of 8, "
    + (f"{' and '.join(ahead)} {'is' if len(ahead) == 1 else 'are'} ahead of it even on events" if ahead
       else "no other method is ahead of it on events in this draw")
    + f"; on Laplace courses it **loses**: {by_source['Laplace', OWN]:.3f} beside "
    f"{by_source['Laplace', 'temporal ICA 8']:.3f} of temporal ICA. On Gaussian courses it has "
    f"{by_source['Gaussian', OWN]:.3f}, temporal ICA {by_source['Gaussian', 'temporal ICA 8']:.3f}.",
    f"**Courses** follow the planted ones with r {fits['RBM'].min():.2f} to {fits['RBM'].max():.2f} (RBM), "
    f"{fits['temporal ICA'].min():.2f} to {fits['temporal ICA'].max():.2f} (temporal ICA) in one subject.",
    f"**Units are not networks**: {int(sharing.sum())} of {N_UNITS} units hold one of the 8 networks with |r| > 0.9, "
    f"{sharing.min()} to {sharing.max()} of them the same.",
    f"**Correlations of courses** are {leak['planted']:.2f} (rms) in truth, {leak['RBM']:.2f} from the RBM, "
    f"{leak['spatial ICA']:.2f} from spatial ICA, {leak['dictionary']:.2f} from the dictionary; cell by cell the RBM's "
    f"agree with the planted ones with r {follows['RBM']:.2f}. Temporal ICA's and PCA's are 0 by construction.",
    f"**Reproducible, explaining and right are three things**: {lone['dictionary']} of the dictionary's {N_UNITS} maps "
    f"are single regions, and {int((seen.reproducibility['dictionary'] > 0.99).sum())} come back with |r| above 0.99; "
    f"PCA explains {share['PCA']:.0%} of variance in the other half and is the truth with {at['PCA']:.3f}, the RBM "
    f"{share['RBM']:.0%} and {at['RBM']:.3f}.",
    f"**The penalty is a matter of scale**: 0.003 gives {of[small, 'L1 0.003']:.3f} on regions and "
    f"{of[large, 'L1 0.003']:.3f} on voxels; 0.03 gives {of[small, 'L1 0.03']:.3f} and {of[large, 'L1 0.03']:.3f}.",
    f"**Depth**: F of an SVM {F[real, 'SVM', 'raw']:.3f} from voxels, {F[real, 'SVM', last]:.3f} from the last layer; "
    f"nearest neighbours have {near:.3f} from voxels. With shuffled classes all lie between {chance.min():.3f} and "
    f"{chance.max():.3f}.",
    "**Not measured here:** anything about people; several draws (see `docs/plis2014.md`); the number of units, which "
    "was set to four times the networks that are there.",
]  # fmt: skip
display(Markdown("\n".join(f"- {point}" for point in points)))

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder of regional time series (CSV, TSV, NPZ; rows are time; one subject is enough), or
# to a cohort made by extracting regions or voxels from 4-D images (see the notebook *3.5 from images to networks*). No
# class is needed. Choose L1 by the halves, as here: the right one depends on your number of regions. Without it, four
# subjects of the phantom stand in. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in series for Plis 2014"
    source.mkdir(parents=True, exist_ok=True)
    for subject in list(cohort)[:4]:
        (source / f"{subject.name}.csv").write_bytes(subject.series.read_bytes())
if there("my volumes"):
    workflow.delete_cohort("my volumes")  # the copy of an earlier run of this cell; the source is not touched
mine = keep(workflow.import_cohort(source, "my volumes", link=True))
own = train(
    "plis2014", mine, "my volumes",
    RECIPE | {"n_hidden": 16, "n_epochs": N_EPOCHS, "choose_l1": "reproducibility", "l1_grid": (0.001, 0.003, 0.01)},
)  # fmt: skip
yours = workflow.system_of(own).comparison(own)
print(f"L1 {yours.penalties.chosen:g}; maps come back with |r| "
      + ", ".join(f"{n} {np.mean(v):.2f}" for n, v in yours.reproducibility.items()))  # fmt: skip
weight_strips(yours.maps["RBM"], yours.regions, title="units of your machine")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
