"""A prostate found by sparse votes of atlas patches and a surface: intensities, hand-designed and learnt features.

Review: Section 3.1, References 89 to 91, Figure 7
Needs: nothing; makes its own images
"""

# %% [markdown]
# # 3.1 Guo 2016: prostate
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 3.1, Figure 7, Reference 90 (Guo, Gao, Shen,
# *IEEE Transactions on Medical Imaging* 2016) and, before it, 89 and 91 (Liao and others 2013); the system is
# `guo2016`. Patches of registered atlases that resemble the patch about a voxel vote on its label; a surface like those
# of the training subjects then follows the likelihood. Figure 7 says that patches are better compared by a code that
# a stacked sparse auto-encoder learnt than by intensities or hand-designed features. Only the features change.
#
# It is tried on phantoms whose prostate is known. The sentences with numbers are written by the code from this run. The
# paper's images are not at hand; its table is not reproduced.
#
# The quick settings take about a minute on a processor core: voxels of 4 mm, four atlases, four targets, small patches
# and networks that train for seconds. With `WORKBENCH_FULL=1` in the environment: 2 mm, ten atlases, ten targets, the
# preset `cpu`.

# %%
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import nibabel as nib
import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from plotly.graph_objects import Figure
from scipy.ndimage import distance_transform_edt, gaussian_filter

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.classical.deformable_model import deformed
from workbench.classical.shape_dictionary import aligned_dictionary, composed
from workbench.classical.surfaces import Mesh, vertex_normals
from workbench.classical.voxelization import voxelized
from workbench.figures.context_strip import ProbabilitySteps, context_strip
from workbench.figures.experiments import noise_robustness
from workbench.figures.filters import filter_tiles
from workbench.figures.label_maps import LabelMaps, label_maps
from workbench.figures.patches import patch_grid
from workbench.figures.registration_surfaces import Patient, figure_7
from workbench.figures.segmentation_scores import ablation
from workbench.figures.surface_pairs import surface_pairs
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import write_volume
from workbench.imaging.splits import Split
from workbench.imaging.volume import Volume
from workbench.metrics.intervals import mean_interval, paired_difference_interval
from workbench.metrics.overlap import overlap
from workbench.paths import data_root
from workbench.phantoms.prostate import make_prostate
from workbench.runs.run import Run
from workbench.systems.patch_votes import OnOneLattice, votes_for
from workbench.systems.shape_priors import read_shapes

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
N_ATLASES, N_TARGETS = (10, 10) if FULL else (4, 4)
PRESET = "cpu" if FULL else "quick"
SETTINGS = {"classes": "prostate=1", "crop_mm": 0.0} | (
    {} if FULL else {"n_hidden": (64, 32), "n_epochs_refinement": 6, "n_nearest": 16}
)
FEATURES = ("intensity", "hand-designed", "SSAE unsupervised", "SSAE supervised")
THREE = ("intensity", "hand-designed", "SSAE supervised")  # those of Figure 7
MARGIN_MM = 20.0

# %% [markdown]
# ## The images
#
# Voxels of 2 × 2 × 3 mm. Of each pelvis the box in which any gland of the cohort lies, and a margin, so that finding
# the prostate in the pelvis is not part of what is compared. The first subjects are the atlases.

# %%
NAME = f"prostates, {N_ATLASES} and {N_TARGETS}"
source = data_root() / "for Guo 2016"
if NAME not in [c.name for c in workflow.list_cohorts()]:
    pelves = make_prostate(source / "whole", n_subjects=N_ATLASES + N_TARGETS, seed=4, spacing_mm=2.0)
    glands = [np.argwhere(s.label_map() > 0) for s in pelves]
    step = pelves.subjects[0].volume("T2").spacing
    margin = np.ceil(MARGIN_MM / np.array(step)).astype(int)
    low = np.maximum(np.min([g.min(0) for g in glands], axis=0) - margin, 0)
    box = tuple(slice(a, b) for a, b in zip(low, np.max([g.max(0) for g in glands], axis=0) + margin + 1, strict=True))
    (source / "crops").mkdir()
    for s in pelves:
        seen = s.volume("T2")
        affine = seen.affine.copy()
        affine[:3, 3] = seen.to_mm(low.astype(float))
        for what, data in (("T2", seen.data[0]), ("label", s.label_map(seen).astype(np.float32))):
            write_volume(Volume.from_array(data[box], affine, what), source / "crops" / f"{s.name}_{what}.nii.gz")
    np.save(source / "box.npy", [[b.start, b.stop] for b in box])
    made = workflow.import_cohort(source / "crops", NAME, link=True)
    order = tuple(s.name for s in made)
    workflow.save_split(made, Split(train=order[:N_ATLASES], test=order[N_ATLASES:]))
cohort: Cohort = workflow.open_cohort(NAME)
targets = cohort.subjects[N_ATLASES:]
told = json.loads((source / "whole" / "truth.json").read_text(encoding="utf-8"))["subjects"]
assert len(cohort.subjects) == N_ATLASES + N_TARGETS and all(s.label_map().any() for s in cohort)
print(f"{len(cohort.subjects)} crops of {' × '.join(map(str, targets[0].volume('T2').shape))} voxels; glands of "
      f"{min(told[s.name]['volume_ml'] for s in cohort):.0f} to {max(told[s.name]['volume_ml'] for s in cohort):.0f} ml;"
      f" intensities of kind {', '.join(str(told[s.name]['kind']) for s in targets)} in the targets")  # fmt: skip

# %% [markdown]
# The two difficulties of the paper. The border is a bright line, a dark line or nothing at all, sector by sector; and
# patients are of two kinds of intensity. One target, then an atlas of the other kind, where there is one.

# %%
CAPSULE = {"bright": 1, "dark": 2, "absent": 3}


def capsule(subject_name: str) -> np.ndarray:
    """Give what the border is in each voxel near it: 1 bright, 2 dark, 3 absent, 0 elsewhere."""
    cut = tuple(slice(a, b) for a, b in np.load(source / "box.npy"))
    sectors = np.asarray(nib.load(source / "whole" / subject_name / "sectors.nii.gz").dataobj).astype(int)[cut]
    planted = told[subject_name]["capsule"]
    kinds = np.array([0] + [CAPSULE[kind] for row in planted.values() for kind in row])
    return kinds[sectors]


one = targets[0]
shown = capsule(one.name)
assert set(np.unique(shown)) == {0, 1, 2, 3}, "bright, dark and absent all occur"
names = {number: f"{kind} border" for kind, number in CAPSULE.items()}


def borders(subject) -> Figure:
    """Draw the slice through the middle of a gland with the sectors of its border."""
    at = [int(v) for v in np.argwhere(subject.label_map() > 0).mean(0).round()]
    seen = LabelMaps(subject.volume("T2"), capsule(subject.name).astype(np.int32), None, names)
    drawn = label_maps(seen, (at[0], at[1], at[2]), plane="axial")
    return drawn.for_each_annotation(lambda note: note.update(text=note.text.replace("Prediction", subject.name)))


borders(one)

# %%
other = next(
    (s for s in cohort.subjects[:N_ATLASES] if told[s.name]["kind"] != told[one.name]["kind"]), cohort.subjects[0]
)
borders(other)

# %% [markdown]
# ## A run for each feature
#
# Intensities of the patch; Haar-like features, histograms of gradients and local binary patterns; the code of a stack
# trained without labels; the same stack refined with labels. Penalty, neighbors and search window are the same.


# %%
def learn(features: str) -> Run:
    """Train one run."""
    run = workflow.train("guo2016", NAME, SETTINGS | {"features": features}, preset=PRESET, title=features)
    assert run.status().state == "finished", run.status().message
    return run


runs = {f: learn(f) for f in FEATURES}
systems = {f: workflow.system_of(run) for f, run in runs.items()}
assert len({s.matching for s in systems.values()}) == 1, "all are matched alike"
deep = runs["SSAE supervised"]
system = systems["SSAE supervised"]
spacing = system.target(one, deep).image.spacing
print(pd.Series({f: s.features_of(runs[f], spacing).size for f, s in systems.items()}, name="numbers a voxel"))

# %% [markdown]
# What the units of the first layer and, through it, those of the second have learnt to see: their middle slices, after
# refinement.

# %%
bank = workflow.filters(deep.id, 1)
strongest = [int(i) for i in np.argsort(-np.abs(bank.weights).reshape(len(bank.weights), -1).max(1))[:32]]
filter_tiles(bank.weights, order=strongest, layout="middle")

# %%
filter_tiles(workflow.filters(deep.id, 2).weights, layout="middle")

# %% [markdown]
# ## Likelihood by feature
#
# How likely a voxel of a target is prostate, before any surface; Dice is that of what is likelier than not.

# %%
found = {(f, s.name): workflow.segment(run.id, NAME, s.name) for f, run in runs.items() for s in targets}
first = {f: found[f, one.name] for f in FEATURES}
truth = first["intensity"].truth == 1


def dice_without(segmented) -> float:
    """Give the Dice of the likeliest class, without the deformable model."""
    return overlap(segmented.probabilities.argmax(0) == 1, segmented.truth == 1).dice


def dice_with(segmented) -> float:
    """Give the Dice of the label map."""
    return overlap(segmented.classes == 1, segmented.truth == 1).dice


assert all(np.abs(v.probabilities.sum(0) - 1).max() < 1e-3 for v in found.values()), "shares of the vote"
context_strip(
    ProbabilitySteps(
        first["intensity"].image, np.stack([v.probabilities[1] for v in first.values()]), FEATURES, "prostate",
        [dice_without(v) for v in first.values()], truth,
    ),
    plane="axial",
)  # fmt: skip

# %% [markdown]
# ## Who votes for a voxel
#
# A voxel at the border, as a click would choose it: its own patch first, then the atlas patches that vote for it, with
# their share of the vote and their label.

# %%
electorate = system.electorate(one, deep)
seen, atlases = electorate
image, believed = first["SSAE supervised"].image, first["SSAE supervised"].probabilities[1]
doubtful = np.unravel_index(np.abs(believed - 0.5).argmin(), believed.shape)
clicked = image.to_mm(np.array(doubtful, float)[None])[0]
votes = system.votes(one, deep, clicked, electorate=electorate)
assert abs(votes.weights.sum() - 1) < 1e-5 and (np.diff(votes.weights) <= 1e-9).all(), "shares, heaviest first"
for_prostate = float(votes.weights[votes.labels == 1].sum())
assert abs(for_prostate - votes.likelihood[1]) < 1e-5, "the likelihood is the votes summed"
n_shown = min(11, len(votes.weights))
heads = ["asked"] + [f"{votes.weights[i]:.0%} {votes.class_names[votes.labels[i]]}" for i in range(n_shown)]
patch_grid(np.concatenate([votes.target_patch[None], votes.patches[:n_shown]])[:, None], heads, layout="middle")

# %%
shares = pd.DataFrame({"atlas": votes.atlases, "label": votes.labels, "weight": votes.weights})
display(shares.pivot_table(index="atlas", columns="label", values="weight", aggfunc="sum", fill_value=0).round(3))
print(f"{len(votes.weights)} of at most {system.n_nearest} patches vote; prostate gets {for_prostate:.3f}")

# %% [markdown]
# A law: let the target be one of the atlases. The patch that is the same must get nearly all the vote, by any feature.

# %%
same = OnOneLattice(atlases.images[1], atlases.images, atlases.labels, atlases.n_classes, atlases.names)
voxel = np.round(seen.image.to_voxels(clicked[None])[0]).astype(int)
own_share = {}
for f, s in systems.items():
    v = votes_for(same, voxel, clicked, votes.class_names, s.features_of(runs[f], spacing), s.matching, s.patch_size)
    own = [(a == same.names[1]) and (w == voxel).all() for a, w in zip(v.atlases, v.voxels, strict=True)]
    own_share[f] = float(v.weights[own].sum())
assert min(own_share.values()) > 0.9, "an identical patch takes the vote"
print(pd.Series(own_share, name="share of the identical patch").round(3))

# %% [markdown]
# ## Shapes of the training subjects
#
# Surfaces of the atlases with corresponding points, aligned. Two standard deviations along the two largest modes,
# colored by how far outside or inside the mean they lie.

# %%
shapes = read_shapes(runs["intensity"])[1]
n_vertices = len(shapes.mean)
_, singular, modes = np.linalg.svd(shapes.atoms.reshape(len(shapes.atoms), -1), full_matrices=False)
deviation = singular / np.sqrt(max(1, len(shapes.atoms) - 1))
explained = singular**2 / (singular**2).sum()
assert np.abs(shapes.atoms.mean(0)).max() < 1e-3, "deviations from the mean"
corner = shapes.mean.min(0) - 14
lattice = np.diag([1.5, 1.5, 1.5, 1.0])
lattice[:3, 3] = corner
shape_of = tuple(int(n) for n in np.ceil((np.ptp(shapes.mean, axis=0) + 28) / 1.5))


def solid(vertices: np.ndarray) -> np.ndarray:
    """Give the voxels inside a surface about 0."""
    return voxelized(Mesh(vertices, shapes.faces), shape_of, lattice)


drawn = {
    f"mode {k + 1}, {side:+d} s.d.": solid(shapes.mean + side * deviation[k] * modes[k].reshape(-1, 3))
    for k in range(2)
    for side in (-2, 2)
}
print(f"{len(shapes.atoms)} shapes of {n_vertices} vertices; share of the variance by mode: "
      + ", ".join(f"{e:.0%}" for e in explained[:4]))  # fmt: skip
surface_pairs(solid(shapes.mean), drawn, lattice)

# %% [markdown]
# ## Gross errors
#
# A training shape with a fifth of its vertices, on one side, torn out by 12 mm. Sparse shape composition explains a
# surface by few shapes and few gross errors; least squares on the same modes spreads the errors over everything. Then a
# shape that the dictionary does not have.


# %%
def torn(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tear out a fifth of the vertices, those furthest to one side; give the surface and which."""
    which = vertices[:, 0] > np.quantile(vertices[:, 0], 0.8)
    return vertices + 12.0 * which[:, None] * vertex_normals(Mesh(vertices, shapes.faces)), which


def least_squares(vertices: np.ndarray, dictionary) -> np.ndarray:
    """Project a surface on the mean and the deviations of a dictionary, without a price and without errors."""
    atoms = dictionary.atoms.reshape(len(dictionary.atoms), -1).T
    code = np.linalg.lstsq(atoms, (vertices - vertices.mean(0) - dictionary.mean).ravel(), rcond=None)[0]
    return dictionary.mean + (atoms @ code).reshape(-1, 3) + vertices.mean(0)


def error(vertices: np.ndarray, known: np.ndarray) -> float:
    """Give the mean distance between corresponding vertices, mm."""
    return float(np.linalg.norm(vertices - known, axis=1).mean())


known = shapes.mean + shapes.atoms[0]
broken, which = torn(known)
mended = composed(broken, shapes)
spread = least_squares(broken, shapes)
everyone = shapes.mean + shapes.atoms
fewer = aligned_dictionary(everyone[1:], shapes.faces)
repair = pd.DataFrame(
    {
        "known shape": [error(broken, known), error(spread, known), error(mended.vertices, known)],
        "unknown shape": [error(broken, known), error(least_squares(broken, fewer), known),
                          error(composed(broken, fewer).vertices, known)],
    },
    index=["torn", "least squares", "sparse composition"],
)  # fmt: skip
assert repair.loc["sparse composition", "known shape"] < 0.3 * repair.loc["torn", "known shape"], "it is repaired"
assert mended.trust[which].mean() < 0.2 < 0.8 < mended.trust[~which].mean(), "it knows which vertices were torn"
display(repair.round(2).rename_axis("mean error of a vertex, mm"))
surface_pairs(
    solid(known),
    {"torn": solid(broken), "least squares": solid(spread), "composed": solid(mended.vertices)},
    lattice,
)

# %% [markdown]
# ## The deformable model
#
# First where the answer is known: the true gland of a target, blurred into a likelihood, and spoiled on one side in two
# ways. Either the border is missing, as the likelihood stays high far beyond it; or a fifth of the gland is cut off,
# which leaves a false border as sharp as the true one.

# %%
blurred = gaussian_filter(truth.astype(np.float32), 1.0)
right = np.argwhere(truth)[:, 0]
side = (np.arange(truth.shape[0]) >= np.quantile(right, 0.8))[:, None, None]
near = distance_transform_edt(~truth, sampling=image.spacing) < 15
spoiled = {
    "border missing": np.where(side & near, np.maximum(blurred, 0.7), blurred),
    "fifth cut off": np.where(side, 0.4 * blurred, blurred),
}
models = {name: deformed(likelihood, image.affine, shapes) for name, likelihood in spoiled.items()}
untouched = overlap(deformed(blurred, image.affine, shapes).mask, truth).dice
masks, gap = {}, {}
for name, likelihood in spoiled.items():
    masks |= {f"{name}: above ½": likelihood > 0.5, f"{name}: model": models[name].mask}
    gap[name] = (overlap(likelihood > 0.5, truth).dice, overlap(models[name].mask, truth).dice)
assert all(m.steps[-1].move_mm < m.steps[0].move_mm for m in models.values()), "it comes to rest"
figure_7([Patient(one.name, image, truth, masks, {k: overlap(v, truth).dice for k, v in masks.items()})])

# %% [markdown]
# Turn by turn: how far vertices move on average.

# %%
turns = [(name, i, step.move_mm) for name, model in models.items() for i, step in enumerate(model.steps)]
moves = pd.DataFrame(turns, columns=["variant", "noise", "mean"])
noise_robustness(
    moves.assign(low=moves["mean"], high=moves["mean"]), title="mean move, mm", noise="turn"
).update_layout(meta={"alt": f"Mean move of a vertex in each of {len(moves)} turns of the deformable model, mm."})

# %% [markdown]
# Then on what the votes say: the same likelihood without and with the model.

# %%
learnt = first["SSAE supervised"]
two = {"likeliest class": learnt.probabilities.argmax(0) == 1, "deformable model": learnt.classes == 1}
figure_7([Patient(one.name, image, truth, two, {k: overlap(v, truth).dice for k, v in two.items()})])

# %% [markdown]
# ## Figure 7
#
# Two targets, three features, the same pipeline: the truth red and what was found yellow; beneath, what was found in
# the see-through truth.

# %%
pair = [one, next((s for s in targets[1:] if told[s.name]["kind"] != told[one.name]["kind"]), targets[1])]
figure_7(
    [
        Patient(
            s.name, found["intensity", s.name].image, found["intensity", s.name].truth == 1,
            {f: found[f, s.name].classes == 1 for f in THREE}, {f: dice_with(found[f, s.name]) for f in THREE},
        )
        for s in pair
    ]
)  # fmt: skip

# %% [markdown]
# ## Dice of all targets
#
# Means with 95 % intervals, and target by target how far each feature is from the refined code.

# %%
scores = pd.DataFrame(
    [(f, n, dice_without(v), dice_with(v)) for (f, n), v in found.items()],
    columns=["features", "subject", "votes alone", "with the model"],
)
assert scores.groupby("features").size().eq(N_TARGETS).all()
alone = scores.pivot(index="subject", columns="features", values="votes alone")[list(FEATURES)]
wide = scores.pivot(index="subject", columns="features", values="with the model")[list(FEATURES)]


def written(mean: float, low: float, high: float, sign: str = "") -> str:
    """Write a mean with its interval."""
    return f"{mean:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


display(pd.DataFrame({
    f: {
        "votes alone": written(*mean_interval(alone[f].to_numpy())),
        "with the model": written(*mean_interval(wide[f].to_numpy())),
        "model minus votes": written(*paired_difference_interval(wide[f].to_numpy(), alone[f].to_numpy()), "+"),
        "refined code minus this": "" if f == "SSAE supervised" else written(
            *paired_difference_interval(wide["SSAE supervised"].to_numpy(), wide[f].to_numpy()), "+"),
    } for f in FEATURES
}).T)  # fmt: skip

# %%
ranked = ["SSAE supervised", *(f for f in FEATURES if f != "SSAE supervised")]
columns = ["run", "mean", "low", "high"]
ablation(
    pd.concat([wide[f].rename("value").reset_index().assign(run=f) for f in ranked])[["run", "subject", "value"]],
    pd.DataFrame([(f, *mean_interval(wide[f].to_numpy())) for f in ranked], columns=columns),
    pd.DataFrame(
        [(f, *paired_difference_interval(wide[f].to_numpy(), wide["SSAE supervised"].to_numpy())) for f in ranked[1:]],
        columns=columns,
    ),
)

# %% [markdown]
# ## What came out


# %%
def difference(a: np.ndarray, b: np.ndarray) -> str:
    """Say what the interval of a paired difference allows to say."""
    mean, low, high = paired_difference_interval(np.asarray(a), np.asarray(b))
    word = "higher" if low > 0 else "lower" if high < 0 else f"no difference that {len(a)} targets could tell"
    return f"{written(mean, low, high, '+')}, {word}"


means = wide.mean().sort_values(ascending=False)
claimed = ["SSAE supervised", "hand-designed", "intensity"]
holds = [f for f in means.index if f in claimed] == claimed
spreads = {f: (alone[f].std(), wide[f].std()) for f in FEATURES}
lines = [
    f"**Order of the means**, with the model: {', '.join(f'{f} {m:.3f}' for f, m in means.items())}. Figure 7's order "
    f"of three (code, hand-designed, intensity) {'is found' if holds else 'is not found'} here.",
    *(f"**Features**: Dice of the refined code minus {f}: {difference(wide['SSAE supervised'], wide[f])}."
      for f in FEATURES[:-1]),
    *(f"**Deformable model**, {f}: Dice with minus without {difference(wide[f], alone[f])}; standard deviation over "
      f"targets {spreads[f][0]:.3f} without, {spreads[f][1]:.3f} with." for f in FEATURES),
    *(f"**Known likelihood, {name}**: Dice {before:.3f} by the threshold, {after:.3f} with the model, {untouched:.3f} "
      "with the model and nothing spoiled; the model, which knows "
      f"{len(shapes.atoms)} shapes, {'repairs part of it' if after > before else 'does not help'}."
      for name, (before, after) in gap.items()),
    "**Torn surfaces**, mean error after composition: "
    + ", ".join(f"{repair.loc['sparse composition', c]:.2f} mm ({c})" for c in repair)
    + f"; by least squares {repair.loc['least squares', 'known shape']:.2f} mm (known shape).",
    f"**{N_TARGETS} targets**, one training each: intervals tell how targets differ, not trainings, and with so few "
    f"are rather too narrow. " + ("" if FULL else "Networks that train for seconds say little of learnt features."),
    "**Not measured here:** anything about real patients; finding the prostate in a whole pelvis; the published sizes.",
]  # fmt: skip
display(Markdown("\n".join(f"- {line}" for line in lines)))

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder of images with label maps (NIfTI, for example `case1_T2.nii.gz`,
# `case1_label.nii.gz`), at least four. With whole images leave `crop_mm` at its usual 15 mm, so that the prostate is
# found and cut out. Without it, four of the phantom crops stand in. Nothing leaves this machine.

# %%
folder = Path(os.environ.get("WORKBENCH_IMAGES", ""))
changes: dict = {}
if not os.environ.get("WORKBENCH_IMAGES"):
    folder, changes = data_root() / "stand-in for Guo 2016", {"crop_mm": 0.0}
    folder.mkdir(parents=True, exist_ok=True)
    for subject in cohort.subjects[:4]:
        stand_in = subject.volume("T2")
        write_volume(stand_in, folder / f"{subject.name}_T2.nii.gz")
        marked = stand_in.with_data(subject.label_map(stand_in).astype(np.float32))
        write_volume(marked, folder / f"{subject.name}_label.nii.gz")
MINE = "my images for Guo 2016"
if MINE in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort(MINE)  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(folder, MINE, link=True)
own_run = workflow.train("guo2016", mine.name, changes, preset="quick", title="my images")  # then "cpu"
assert own_run.status().state == "finished", own_run.status().message
mapped = workflow.segment(own_run.id, mine.name, mine.subjects[-1].name)
label_maps(LabelMaps(mapped.image, mapped.classes, mapped.truth, mapped.names), plane="axial")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
