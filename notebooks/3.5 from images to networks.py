"""From a raw 4-D image to regional signals, connectivity, graphs and files, each step beside the truth.

Review: Section 3.5
Needs: nothing; makes its own images
"""

# %% [markdown]
# # 3.5 From images to networks
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 3.5: the systems for resting-state functional
# MRI begin with the mean signals of regions, cleaned, and many with their correlations. This notebook goes there from a
# raw 4-D image and measures every step against a phantom whose signals are known. It diagnoses nothing. The sentences
# with numbers are written by the code from this run's results.
#
# The quick settings take half a minute on two processor cores: 4 subjects of 200 volumes. With `WORKBENCH_FULL=1` in
# the environment it uses 20 subjects of 400 volumes.

# %%
import csv
import os
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import networkx as nx
import nibabel as nib
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from IPython.display import Markdown, display
from nilearn.connectome import ConnectivityMeasure
from nilearn.maskers import NiftiLabelsMasker
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.classical.connectivity import (
    connectivity,
    connectivity_vectors,
    edge_names,
    effective_length,
    fisher_z,
    inverse_fisher_z,
    to_matrix,
    vectorize,
)
from workbench.classical.graphs import graph_measures, threshold_matrix
from workbench.figures.connectivity_matrix import connectivity_matrix
from workbench.figures.connectome import connectome
from workbench.figures.edges import Regions
from workbench.figures.glass_brain import glass_brain
from workbench.figures.slices import Overlay, slices
from workbench.figures.state_patterns import brain_panels
from workbench.figures.theme import finish, series_color
from workbench.imaging.bold import RAW, Cleaning, extract_regions
from workbench.imaging.cleaning import clean
from workbench.imaging.cohort import Cohort
from workbench.imaging.confounds import read_confounds
from workbench.imaging.files import read_volume
from workbench.imaging.regional_cohort import regional_cohort
from workbench.imaging.regional_series import RegionalSeries
from workbench.paths import cohorts_dir, data_root
from workbench.phantoms.bold import make_bold
from workbench.phantoms.bold_regions import real_regions
from workbench.phantoms.bold_voxels import voxel_space

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
N_SUBJECTS, N_VOLUMES = (20, 400) if FULL else (4, 200)
N_BAD, FD_LIMIT_MM = 4, 0.5  # volumes at the start that are not in equilibrium; what counts as a movement

# %% [markdown]
# ## The image
#
# The phantom `bold-images`, here with heads that move: eight overlapping networks of 116 real regions, each with
# its own course of events seen through the haemodynamic response, on an 8 mm lattice in MNI space, with white noise in
# every voxel and movements of about 1 mm that leave a mark in all regions.
#
# A scanner does worse, so subject 1 is spoilt further: the first four volumes are too bright, every voxel drifts, the
# field of view misses the bottom of the brain, and one region lies in a patch without any signal.


# %%
def phantom(name: str) -> Cohort:
    """Open the cohort, or make it."""
    if name not in [c.name for c in workflow.list_cohorts()]:
        make_bold(cohorts_dir() / name, n_subjects=N_SUBJECTS, seed=0, n_volumes=N_VOLUMES, images=True, motion=5.0)
    return workflow.open_cohort(name)


cohort = phantom(f"moving heads {N_SUBJECTS} of {N_VOLUMES}")
home, first = cohort.path.parent, cohort.subjects[0]
confounds = first.folder / first.covariates["confounds"]
table = real_regions(116)
names = data_root() / "names of regions.csv"
with names.open("w", newline="", encoding="utf-8") as stream:
    rows = zip(range(1, 117), table.regions, table.networks, strict=True)
    csv.writer(stream).writerows([("value", "name", "network"), *rows])
atlas = workflow.open_atlas(home / "atlas.nii.gz", names)

DEAD = "Visual L 6"
N_CUT = 7  # slices
stored = nib.load(first.series)
voxels = np.asarray(stored.dataobj, np.float32)  # (X, Y, Z, T)
labels = np.asarray(nib.load(home / "atlas.nii.gz").dataobj).astype(int)
inside = voxels.mean(-1) > 0
rng = np.random.default_rng(0)
moments = np.arange(N_VOLUMES)
voxels += inside[..., None] * rng.normal(0, 500, inside.shape)[..., None] * (moments / N_VOLUMES).astype(np.float32)
voxels += inside[..., None] * (1500 * np.exp(-moments / 1.5)).astype(np.float32)
voxels[labels == table.regions.index(DEAD) + 1] = 0
affine = stored.affine.copy()
affine[:3, 3] += affine[:3, 2] * N_CUT
raw_path = data_root() / "raw.nii.gz"
raw = nib.Nifti1Image(np.rint(voxels[:, :, N_CUT:]).astype(np.int16), affine)
raw.header.set_zooms((*raw.header.get_zooms()[:3], 2.0))
raw.header.set_xyzt_units("mm", "sec")
nib.save(raw, raw_path)
print(f"{raw_path.name}: {' × '.join(map(str, raw.shape))}, {raw_path.stat().st_size / 2**20:.1f} MiB")
shown = read_volume(raw_path)
shown = shown.with_data(shown.data.mean(0, keepdims=True))
of = {name: i for i, name in enumerate(dict.fromkeys(table.networks), start=1)}
by_network = np.array([0, *(of[name] for name in table.networks)])
overlay = by_network[np.rint(read_volume(home / "atlas.nii.gz", "label").data[0]).astype(int)][:, :, N_CUT:]
slices(shown, overlay=Overlay(overlay, {i: name for name, i in of.items()}, 0.7), window=(0, 16_000))

# %% [markdown]
# *The mean over time with the regions of the atlas in the colours of their networks; the bottom is cut off.*
#
# ## Atlases
#
# A label image (any file of yours, with a list of value, name and network), or coordinates that `nilearn` installs:
# nothing is downloaded. What an image does not show is **named, and stays NaN**; a signal that never changes is, too.
# Zeros in their place would correlate with nothing and look like a finding.

# %%
CLEANING = Cleaning(
    drop_first=N_BAD,
    fd_limit_mm=FD_LIMIT_MM,
    scrub="interpolate",
    regressors="none",
    low_pass_hz=0.1,
    high_pass_hz=0.01,
)
by_label = extract_regions(raw_path, atlas, CLEANING, confounds=confounds)
spheres = workflow.open_atlas("dosenbach", radius_mm=8.0)
by_sphere = extract_regions(raw_path, spheres, CLEANING, confounds=confounds)
for of, series in ((atlas, by_label), (spheres, by_sphere)):
    seen = of.n_regions - len(series.missing)
    print(f"\n{of.name}: {seen} of {of.n_regions} regions, {series.n_times} volumes, TR {series.tr_s:g} s")
    print("\n".join(f"  {note}" for note in series.notes))

seen = np.array([name not in by_label.missing for name in atlas.regions])
in_view = np.isin(atlas.label_values, labels[:, :, N_CUT:])
expected = {name for name, yes in zip(atlas.regions, in_view, strict=True) if not yes} | {DEAD}

assert set(by_label.missing) == expected, "exactly the regions without a voxel, and the dead one, are missing"
assert any(DEAD in note for note in by_label.notes), "and it is named"

# %%
masker = NiftiLabelsMasker(
    nib.Nifti1Image(labels[:, :, N_CUT:].astype(np.int32), affine), standardize=None, keep_masked_labels=False
)
direct = masker.fit_transform(nib.load(raw_path))
means = extract_regions(raw_path, atlas, replace(RAW, drop_first=0)).values

alive = np.array(atlas.regions)[in_view] != DEAD
assert np.allclose(direct[:, alive], means[:, seen], rtol=1e-5), "the means are nilearn's"

# %% [markdown]
# ## Cleaning, step by step
#
# The truth is what the voxels of each region hold without noise, movement and drift. Its correlation with what was
# extracted is measured after every step, over all regions that carry a network, and once more with the motion
# parameters regressed out.

# %%
space = voxel_space(table)
planted = np.load(home / "truth.npz")["maps"]
courses = np.load(home / first.name / "truth.npz")["courses"]
pure = courses @ planted  # (T, R), each region by itself
mixed = np.stack([(pure @ space.blobs[:, space.labels == i + 1]).mean(1) for i in range(116)], 1)
carries = seen & (np.abs(planted).max(0) > 0)
motion = read_confounds(confounds, N_VOLUMES, "motion")
moved = motion.displacement_mm > FD_LIMIT_MM


def agreement(series: RegionalSeries, truth: np.ndarray = mixed) -> np.ndarray:
    """Give the correlation of each region's signal with the truth at the same volumes (R,)."""
    rows = np.arange(N_VOLUMES)[N_VOLUMES - series.n_times :]
    return np.array(
        [np.corrcoef(a, b)[0, 1] for a, b in zip(series.values[:, carries].T, truth[rows][:, carries].T, strict=True)]
    )


steps = {"raw": RAW}
steps["first 4 dropped"] = replace(steps["raw"], drop_first=N_BAD)
steps["… detrended"] = replace(steps["first 4 dropped"], detrend=True)
steps["… scrubbed"] = replace(steps["… detrended"], fd_limit_mm=FD_LIMIT_MM, scrub="interpolate")
steps["… low-pass 0.1 Hz"] = replace(steps["… scrubbed"], low_pass_hz=0.1)
steps["… high-pass 0.01 Hz"] = replace(steps["… low-pass 0.1 Hz"], high_pass_hz=0.01)
steps["… motion regressed out"] = replace(steps["… high-pass 0.01 Hz"], regressors="motion")
cleaned = {name: extract_regions(raw_path, atlas, how, confounds=confounds) for name, how in steps.items()}
found = {name: agreement(series) for name, series in cleaned.items()}
effect = pd.DataFrame(
    {name: (np.median(r), *np.quantile(r, [0.1, 0.9])) for name, r in found.items()}, index=["median r", "10 %", "90 %"]
).T
display(effect.round(3))

region = int(np.flatnonzero(carries)[np.argmax(np.abs(mixed[:, carries]).std(0))])
fig = go.Figure()
seconds = 2.0 * np.arange(N_VOLUMES)
for row, (name, series) in enumerate({"truth": None, **cleaned}.items()):
    values = mixed[:, region] if series is None else series.values[:, region]
    at = seconds[N_VOLUMES - len(values) :]
    unit = (values - np.median(values)) / (np.quantile(values, 0.9) - np.quantile(values, 0.1))
    fig.add_scatter(x=at, y=np.clip(unit, -1.6, 1.6) - 3 * row, name=name, mode="lines",
                    line={"color": series_color(row, "light"), "width": 1.4})  # fmt: skip
for t in seconds[moved]:
    fig.add_vline(x=t, line={"width": 1, "dash": "dot", "color": "#999999"})
fig.update_yaxes(tickvals=[-3 * i for i in range(len(cleaned) + 1)], ticktext=["truth", *cleaned], showgrid=False)
fig.update_xaxes(title="time, s")
fig.update_layout(showlegend=False, margin={"l": 160})
finish(fig, "light", alt="Signal of one region after each step of cleaning beneath the truth.", height=520)

# %% [markdown]
# *One region; each line in its own units, cut where it leaves the range. Dotted: volumes in which the head moved by
# more than 0.5 mm.*

# %%
fig = go.Figure()
for row, (name, r) in enumerate(found.items()):
    fig.add_box(y=r, name=name, boxpoints="all", jitter=0.5, pointpos=0, marker={"size": 3}, line={"width": 1.2},
                marker_color=series_color(row, "light"), showlegend=False)  # fmt: skip
fig.update_yaxes(title="r with the truth, a dot a region")
finish(fig, "light", alt="Correlation with the truth after each step of cleaning, a dot a region.", height=400)

# %%
carriers = Regions(
    tuple(np.array(atlas.regions)[carries]), atlas.coordinates_mm[carries], tuple(np.array(atlas.networks)[carries])
)
compared = ("raw", "… low-pass 0.1 Hz")
brain_panels(
    np.stack([found[name] for name in compared]), carriers, (list(compared), 2), quantity="r with the truth", limit=1.0
)

# %%
middle = effect["median r"]
BEST = middle.idxmax()
print(f"closest to the truth: {BEST}")

assert middle["… scrubbed"] > middle["raw"] + 0.1, "cleaning helps"
assert middle["… low-pass 0.1 Hz"] > middle["… detrended"], "scrubbing and the low pass help beyond the trend"
dropped = extract_regions(raw_path, atlas, replace(steps["… scrubbed"], scrub="drop"), confounds=confounds)
assert dropped.n_times == N_VOLUMES - N_BAD - int(moved[N_BAD:].sum()), "dropping leaves the volumes that lay still"

# %% [markdown]
# ## Connectivity
#
# From here on the signals of the step that came closest to the truth, which only a phantom can tell. Four estimates,
# each compared with `nilearn` called directly on z-scored signals, since shrinkage depends on the scale. The partial
# correlation from the empirical covariance needs more volumes than regions, and the more the better.

# %%
series = cleaned[BEST]
keep = np.flatnonzero(seen)
signals = series.values[:, keep].astype(float)
kept = Regions(tuple(np.array(atlas.regions)[keep]), atlas.coordinates_mm[keep], tuple(np.array(atlas.networks)[keep]))
kinds = {
    "correlation": ("correlation", EmpiricalCovariance(store_precision=False)),
    "shrunk": ("correlation", LedoitWolf(store_precision=False)),
    "partial": ("partial correlation", EmpiricalCovariance(store_precision=False)),
    "shrunk partial": ("partial correlation", LedoitWolf(store_precision=False)),
}
ours = {kind: connectivity(signals, kind) for kind in kinds}
scaled = (signals - signals.mean(0)) / signals.std(0, ddof=1)
gaps = {}
for kind, (theirs, estimator) in kinds.items():
    measure = ConnectivityMeasure(cov_estimator=estimator, kind=theirs, standardize=False)
    gaps[kind] = float(np.abs(vectorize(measure.fit_transform([scaled])[0]) - vectorize(ours[kind])).max())
vectors = ConnectivityMeasure(
    cov_estimator=EmpiricalCovariance(), kind="correlation", standardize=False, vectorize=True, discard_diagonal=True,
)  # fmt: skip
r = vectorize(ours["correlation"])
true = vectorize(connectivity(mixed[N_BAD:, keep]))
close = {kind: np.corrcoef(vectorize(matrix), true)[0, 1] for kind, matrix in ours.items()}
gap_words = {kind: f"{gap:.0e}" for kind, gap in gaps.items()}
display(pd.DataFrame({"largest gap to nilearn": gap_words, "r with the true correlations, over edges": close}).round(3))

assert max(gaps[k] for k in ("correlation", "shrunk", "shrunk partial")) < 1e-6, "agrees with nilearn"
assert gaps["partial"] < 1e-3, "also where the covariance is nearly singular"
assert np.allclose(vectors.fit_transform([scaled])[0], r, atol=1e-6), "edges come in nilearn's order"
assert np.allclose(to_matrix(r, 1.0), ours["correlation"]), "vectors and matrices are the same thing"
assert np.allclose(inverse_fisher_z(fisher_z(r)), r), "and Fisher's transform goes both ways"

# %%
connectivity_matrix(ours["correlation"], kept)

# %% [markdown]
# *Pearson's correlation, sorted by network. Below: partial correlations from the shrunk covariance, where what all
# other regions explain is taken out.*

# %%
connectivity_matrix(ours["shrunk partial"], kept, quantity="partial r")

# %% [markdown]
# ## How many volumes is that, really?
#
# Neighbouring volumes are alike, and a filter makes them more so. The *effective* length is how many independent
# volumes would give a correlation of the same precision; the standard error of Fisher's z is about
# $1/\sqrt{T_{eff}-3}$. Tested on unrelated white noise that goes through the same cleaning: how much do
# its correlations scatter?

# %%
rows = []
plain = replace(RAW, detrend=True)
low_pass = replace(plain, low_pass_hz=0.1)
for name, how in {
    "no filter": plain,
    "< 0.1 Hz": low_pass,
    "0.01 to 0.1 Hz": replace(low_pass, high_pass_hz=0.01),
}.items():
    noise, _ = clean(rng.normal(size=(N_VOLUMES, 100)).astype(np.float32), how, tr_s=2.0, name="white noise")
    z, length = fisher_z(vectorize(connectivity(noise))), effective_length(noise)
    ends = np.concatenate([noise[:10], noise[-10:]]).std() / noise[20:-20].std()
    rows.append((name, len(noise), length, (len(noise) - 3) ** -0.5, (length - 3) ** -0.5, z.std(), ends))
columns = ["white noise", "volumes", "effective", "error by volumes", "error by effective", "measured scatter of z"]
lengths = pd.DataFrame(rows, columns=[*columns, "deviation at the ends ÷ in the middle"]).set_index("white noise")
display(lengths.round(3))
own_length = effective_length(signals)
print(f"of the signals: {own_length:.0f} of {len(signals)} volumes")

scatter = lengths["measured scatter of z"]
assert (scatter / lengths["error by effective"]).between(0.85, 1.25).all(), "the effective length predicts the scatter"
assert scatter["0.01 to 0.1 Hz"] > 1.3 * lengths.loc["0.01 to 0.1 Hz", "error by volumes"], (
    "the number of volumes does not"
)

# %% [markdown]
# Where the last column is above 1, the filter makes the ends of a recording swing (it has to invent what comes before
# and after), a few volumes weigh too much, and correlations scatter more than even the effective length says.

# %% [markdown]
# ## A graph
#
# The strongest 5 % of connections. Threshold, sign and density are choices: no measure below is a property of the brain
# alone.

# %%
DENSITY = 0.05
measures = graph_measures(ours["correlation"], density=DENSITY, networks=kept.networks)
graph = nx.from_numpy_array((threshold_matrix(ours["correlation"], density=DENSITY) != 0).astype(float))
per_region = pd.DataFrame(
    {name: measures[name] for name in ("degree", "strength", "clustering", "betweenness", "participation")},
    index=pd.Index(kept.names, name="region"),
)
display(per_region.sort_values("strength", ascending=False).head(8).round(3))
whole = {name: value for name, value in measures.items() if isinstance(value, float)}
print(", ".join(f"{name} {value:.3f}" for name, value in whole.items()))

assert list(measures["degree"]) == [d for _, d in graph.degree()], "degrees are those of networkx"
assert np.allclose(measures["clustering"], list(nx.clustering(graph).values())), "so is clustering"
assert np.allclose(measures["betweenness"], list(nx.betweenness_centrality(graph).values())), "and betweenness"
assert abs(measures["efficiency"] - nx.global_efficiency(graph)) < 1e-9, "and efficiency"

glass_brain(ours["correlation"], kept, density=DENSITY)

# %%
connectome(ours["correlation"], kept, density=0.03)

# %% [markdown]
# *The strongest 3 % in 3-D; it turns under the pointer.* How well do reference networks fit: connections within the
# networks that were planted against those across?

# %%
of = np.array(kept.networks)
first_end, second_end = np.tril_indices(len(of), -1)
same = (of[first_end] == of[second_end]) & (of[first_end] != "")
within, across = float(np.abs(r[same]).mean()), float(np.abs(r[~same]).mean())
names_of_edges = edge_names(kept.names)
strongest = np.argsort(-np.abs(r))[:5]
display(pd.DataFrame({"edge": [names_of_edges[e] for e in strongest], "r": r[strongest]}).round(3))
print(f"mean |r| within networks {within:.3f}, across {across:.3f}")

assert within > across + 0.1, "planted networks hang together"

# %% [markdown]
# ## Files for other programs
#
# An edge list, the whole matrix, the table of regions with their measures, and GraphML for networkx, Gephi or
# Cytoscape.

# %%
files = workflow.graph_exports(ours["correlation"], kept.names, kept.coordinates_mm, kept.networks, density=DENSITY)
folder = data_root() / "exported network"
folder.mkdir(exist_ok=True)
for name, text in files.items():
    (folder / name).write_text(text, encoding="utf-8")
print(", ".join(f"{path.name} ({path.stat().st_size / 1024:.0f} KiB)" for path in sorted(folder.iterdir())))
read = nx.read_graphml(folder / "network.graphml")
edges = pd.read_csv(folder / "edges.csv")
matrix = pd.read_csv(folder / "matrix.csv", index_col=0)
display(edges.head(4))

assert read.number_of_nodes() == len(keep) and read.number_of_edges() == graph.number_of_edges() == len(edges)
assert np.allclose(matrix.to_numpy(), ours["correlation"], atol=1e-5) and tuple(matrix.index) == kept.names

# %% [markdown]
# ## A cohort
#
# The same for all subjects at once, into a new cohort of tables that the systems of Section 3.5 learn from. Regions
# that are missing in anybody are left out for everybody, by name. Subject 1 is the unspoilt one here.

# %%
made = f"regions of moving heads {N_SUBJECTS} of {N_VOLUMES}"
if made not in [c.name for c in workflow.list_cohorts()]:
    workflow.extract_regions(
        cohort.name, home / "atlas.nii.gz", made, names=names,
        cleaning={"fd_limit_mm": FD_LIMIT_MM, "scrub": "interpolate", "regressors": "none"},
    )  # fmt: skip
tables = regional_cohort(workflow.open_cohort(made))
edges_of = connectivity_vectors([one.values for one in tables.series])
mean_matrix = to_matrix(inverse_fisher_z(edges_of.astype(float).mean(0)))
print(f"{len(tables.subjects)} subjects, {len(tables.regions)} regions, dropped: {tables.dropped or 'none'}")
everyone = Regions(tables.regions, tables.table.coordinates_mm, tables.table.networks)

assert edges_of.shape == (N_SUBJECTS, 116 * 115 // 2)
connectivity_matrix(mean_matrix, everyone)

# %%
others = np.corrcoef(edges_of)
alike = float(others[np.tril_indices(N_SUBJECTS, -1)].mean())
all_true = [np.load(home / s.name / "truth.npz")["courses"] @ planted @ space.blobs for s in cohort]
all_true = [np.stack([v[:, space.labels == i + 1].mean(1) for i in range(116)], 1) for v in all_true]
mean_true = np.mean([np.corrcoef(v.T) for v in all_true], 0)
single = [np.corrcoef(np.tanh(e), vectorize(np.corrcoef(v.T)))[0, 1] for e, v in zip(edges_of, all_true, strict=True)]
group = np.corrcoef(vectorize(mean_matrix), vectorize(mean_true))[0, 1]

assert min(single) > 0.6 and group > np.mean(single) - 0.05, "connectivity of every subject is close to the truth"

# %% [markdown]
# ## What holds here, and what does not

# %%
change = middle.diff().dropna()
helped = [f"{name.removeprefix('… ')} {value:+.3f}" for name, value in change.items() if value > 0.005]
swing = float(lengths.iloc[-1, -1])
harmed = [f"{name.removeprefix('… ')} {value:+.3f}" for name, value in change.items() if value < -0.005]
lines = [
    f"**Cleaning.** The median correlation with the truth goes from {middle['raw']:.3f} to {middle.max():.3f}. What "
    f"helped: {', '.join(helped) or 'nothing'}; what did harm: {', '.join(harmed) or 'nothing'}. Motion parameters are "
    "positions, and here the signal suffers from *changes* of position, which scrubbing catches: on real images, where "
    "positions matter too, the balance may be another.",
    f"**Missing regions** ({len(expected)}: {', '.join(sorted(expected)[:4])} …) are named and left out, never "
    "set to 0.",
    f"**Agreement with nilearn**: correlations differ by at most {gap_words['correlation']}, shrunk ones by "
    f"{gap_words['shrunk']}, partial ones by {gap_words['partial']}.",
    f"**Estimates.** Over edges, Pearson's correlations follow the true ones with r = {close['correlation']:.3f}, "
    f"partial ones from {len(signals)} volumes with {close['partial']:.3f} (they estimate something else, and noisily: "
    f"the shrunk ones reach {close['shrunk partial']:.3f}).",
    f"**Filters** {'make ends swing' if swing > 1.15 else 'leave the ends alone'}: after the band-pass the first and last ten volumes deviate "
    f"{swing:.2f} times as much as the middle, and correlations of unrelated noise scatter by "
    f"{scatter.iloc[-1]:.3f} where the effective length says {lengths['error by effective'].iloc[-1]:.3f}.",
    f"**Effective length.** {own_length:.0f} of {len(signals)} volumes: an error of z of "
    f"{(own_length - 3) ** -0.5:.2f} where the number of volumes promises {(len(signals) - 3) ** -0.5:.2f}.",
    f"**Cohort.** Two subjects' connectivity is alike with r = {alike:.3f}; each follows its own truth with "
    f"{min(single):.3f} to {max(single):.3f}.",
    "**Not measured here:** registration and slice timing, which come before; physiological noise, which the phantom "
    "does not have; whether any of it helps a diagnosis.",
]
display(Markdown("\n".join(f"- {line}" for line in lines)))

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a 4-D NIfTI file, a folder of them, or a BIDS tree (preprocessed, in MNI space, with
# fMRIPrep's confounds if they are there), and `WORKBENCH_ATLAS` to a label image of the same space; without one,
# Dosenbach's coordinates are taken. Without images, two phantom ones stand in. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in 4-D images"
    source.mkdir(parents=True, exist_ok=True)
    for subject in cohort.subjects[1:3]:
        (source / f"{subject.name}_bold.nii.gz").write_bytes(subject.series.read_bytes())
for name in ("my regions", "my 4-D images"):
    if name in [c.name for c in workflow.list_cohorts()]:
        workflow.delete_cohort(name)  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, "my 4-D images", link=True)
own_atlas = os.environ.get("WORKBENCH_ATLAS", "dosenbach")
own = workflow.extract_regions(mine.name, own_atlas, "my regions", radius_mm=8.0, on_error="leave out")
found_regions = regional_cohort(own)
print("\n".join(found_regions.notes))
vectors_of = connectivity_vectors([one.values for one in found_regions.series])
print(f"effective lengths: {', '.join(f'{effective_length(one.values):.0f}' for one in found_regions.series)}")
place = found_regions.table
glass_brain(
    to_matrix(inverse_fisher_z(vectors_of.astype(float).mean(0))),
    Regions(found_regions.regions, place.coordinates_mm, place.networks),
)

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
