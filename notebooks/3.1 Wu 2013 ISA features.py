"""Independent subspaces learnt without labels: what they find, what they ignore, and where that helps or costs.

Review: Section 3.1, Reference 52
Needs: nothing; makes its own images
"""

# %% [markdown]
# # 3.1 Wu 2013: ISA features
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 3.1, Reference 52 (Wu, Kim, Wang, Gao, Liao,
# Shen, MICCAI 2013); the system is `wu2013`. Before the stacked auto-encoders of Figures 4 to 6, the same group learnt
# features for registration with independent subspace analysis (ISA), stacked: whitened patches, orthonormal filters
# whose squares are added up in pairs, and a second layer on what the first says of eight neighboring cubes.
#
# First the algorithm where the truth is known: subspaces that were mixed, gratings that were shifted. Then filters
# learnt from brains, all voxels of a volume at once, and the question of Figure 5: is a point found again? The control
# is the same number of principal axes (PCA). Sentences with numbers are written by the code from this run's results.
# They come from phantoms: the paper's images are not at hand, and its overlaps of tissues are not reproduced.
#
# The quick settings take a minute on one processor core. With `WORKBENCH_FULL=1` in the environment the brains have
# 2 mm voxels, the system its preset `cpu`, and there are 5 pairs × 200 points.

# %%
import os
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.figures.correspondence import correspondence_table_figure
from workbench.figures.curves import compare_curves, training_curves
from workbench.figures.experiments import noise_robustness
from workbench.figures.filters import filter_tiles
from workbench.figures.patches import patch_grid, reconstruction_pairs
from workbench.figures.similarity import SimilarityMaps, similarity_panels
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import write_volume
from workbench.imaging.splits import Split
from workbench.metrics.intervals import mean_interval, paired_difference_interval
from workbench.metrics.subspace_recovery import subspace_index
from workbench.models.isa import ISA, orthonormal_rows, projected_step
from workbench.models.principal_axes import principal_axes
from workbench.models.stacked_isa import descend
from workbench.patches.gather import gather
from workbench.paths import cohorts_dir, data_root
from workbench.phantoms.appearance import SEVEN_TESLA_LIKE, BrainAppearance
from workbench.phantoms.brain import make_brain
from workbench.progress import silent
from workbench.systems.feature_search import SubjectSearch, similarity_view, true_match
from workbench.systems.feature_study import study_pair, summarize

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
SPACING_MM, N_PAIRS, N_POINTS, N_SEEDS = (2.0, 5, 200, 12) if FULL else (4.0, 2, 40, 5)
PRESET = "cpu" if FULL else "quick"
QUICK = {
    "patch_size": 11,
    "sub_patch_size": 7,
    "stride": 4,
    "n_components": (64, 32),
    "n_patches": 4096,
    "n_epochs": 40,
}
BASE = {"spacing_mm": 0.0, **({} if FULL else QUICK)}  # 0 keeps the cohort's own voxels

# %% [markdown]
# ## Subspaces that are known
#
# Five planes of a space of ten dimensions, mixed by a random rotation. Within a plane every direction is equally
# likely; how far a row lies from its middle is sparse. ISA minimizes the mean response
#
# $$\frac{1}{N}\sum_i\sum_j \sqrt{\varepsilon + \sum_{k\in j}(w_k\cdot z_i)^2}\qquad\text{with}\qquad WW^\top = 1$$
#
# by a step down the gradient and back to orthonormal rows, $W \leftarrow (WW^\top)^{-1/2}W$. That alone ends, from most
# starts, with halves of two planes in one pair, and no small step leads out. So every 25th step here turns the filters
# within each pair (which changes no response) and exchanges filters between pairs where that lowers the objective.


# %%
def mixed_planes(seed: int, n: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Give rows (n, 10) from five mixed planes, and orthonormal rows that span them."""
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(n, 5, 2, generator=generator)
    direction /= direction.norm(dim=2, keepdim=True)
    sources = (direction * torch.randn(n, 5, 1, generator=generator).square()).flatten(1)
    truth = orthonormal_rows(torch.randn(10, 10, generator=generator))
    return sources / sources.std(0) @ truth, truth


def recover(seed: int, regroup: bool, n_steps: int = 100) -> tuple[float, list[float], float]:
    """Give the index of the found planes (0 is right), the objective by step, and the largest |W Wᵀ - 1|."""
    z, truth = mixed_planes(seed)
    layer = ISA(10, 10, seed=100 + seed)
    curve, error = [layer.objective(z)], 0.0
    for step in range(n_steps):
        if regroup:
            curve.append(descend(layer, z, step)[1])
        else:
            found = projected_step(layer.weight, z, 2, float(layer.step_size))
            layer.weight.copy_(found.weight)
            layer.step_size.fill_(found.step_size)
            curve.append(found.after)
        error = max(error, float((layer.weight @ layer.weight.T - torch.eye(10)).abs().max()))
    return subspace_index(layer.weight.numpy(), truth.numpy(), 2), curve, error


WAYS = {"plain descent": False, "with new pairs": True}
recovered = {way: [recover(seed, regroup) for seed in range(N_SEEDS)] for way, regroup in WAYS.items()}
indices = pd.DataFrame({way: [index for index, _, _ in found] for way, found in recovered.items()})
display(indices.rename_axis("seed").round(3))
found_all = (indices < 0.01).sum()
display(
    Markdown(
        f"Plain descent found all five planes from **{found_all['plain descent']} of {N_SEEDS}** starts, with new pairs "
        f"from **{found_all['with new pairs']} of {N_SEEDS}** (an index below 0.01)."
    )
)
curves = {
    way: pd.DataFrame(
        [("descent", step, "loss", value) for step, value in enumerate(found[0][1])],
        columns=["stage", "step", "name", "value"],
    )
    for way, found in recovered.items()
}
assert all(error < 1e-5 for found in recovered.values() for _, _, error in found), "rows stay orthonormal"
assert all(late <= early + 1e-6 for found in recovered.values() for _, c, _ in found for early, late in pairwise(c)), (
    "the objective never rises"
)
assert indices["with new pairs"].max() < 0.01
compare_curves(curves, name="loss")

# %% [markdown]
# *The objective by step from one start, both ways.*
#
# ## What a response does not tell: phase
#
# Trained on gratings of six waves with random phases and sparse strengths, pairs of filters become waves a quarter of a
# period apart, and the root of their summed squares does not change when the grating is shifted. Filters one by one do.

# %%
WAVES = [(1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2)]


def gratings(wave: tuple[int, int], phases: np.ndarray, size: int = 8) -> np.ndarray:
    """Give one grating (n, size²) a phase."""
    y, x = np.mgrid[:size, :size] / size
    return np.cos(2 * np.pi * (wave[0] * x + wave[1] * y) + phases[:, None, None]).reshape(len(phases), -1)


rng = np.random.default_rng(0)
n = 3000
patches = sum(rng.normal(size=(n, 1)) ** 2 * gratings(w, rng.uniform(0, 2 * np.pi, n)) for w in WAVES)
x = torch.from_numpy((patches + 0.02 * rng.normal(size=(n, 64))).astype(np.float32))
layer = ISA(64, 12, seed=1)
layer.whiten_like(principal_axes([x], 12))
z = layer.whiten(x)
for step in range(75):
    descend(layer, z, step)

degrees = np.arange(0, 361, 15)
shapes: dict[str, list[np.ndarray]] = {"one filter, |y|": [], "its pair, √(y₁² + y₂²)": []}
for wave in WAVES:
    shifted = torch.from_numpy(gratings(wave, np.deg2rad(degrees)).astype(np.float32))
    pair = layer(shifted).numpy()
    best = int(pair.mean(0).argmax())
    one = (layer.whiten(shifted) @ layer.weight.T).abs().numpy()[:, 2 * best]
    for name, answer in zip(shapes, (one, pair[:, best]), strict=True):
        shapes[name].append(answer / answer.mean())
variation = {name: float(np.mean([c[:-1].std() / c[:-1].mean() for c in found])) for name, found in shapes.items()}
table = pd.DataFrame(
    [
        (name, degree, *mean_interval(np.array([c[i] for c in found])))
        for name, found in shapes.items()
        for i, degree in enumerate(degrees)
    ],
    columns=["variant", "noise", "mean", "low", "high"],
)
single, paired = variation.values()
display(
    Markdown(
        f"Over the phases of a grating the response of one filter varies by **{100 * single:.0f} %** of its mean, that "
        f"of its pair by **{100 * paired:.0f} %**."
    )
)
assert paired < 0.5 * single, "at least halved"
noise_robustness(table, title="response ÷ its mean over phases", noise="phase of the grating, degrees")

# %% [markdown]
# *Means over the six waves with 95 % intervals.* The filters, two a subspace, side by side:

# %%
filter_tiles(layer.filters().reshape(6, 2, 8, 8).numpy())

# %% [markdown]
# ## Brains
#
# Phantom brains with a 7 T-like look (strong bias field, individual texture and contrast), and the same brains clean.
# The match of every point between two of them is known. The system is trained on the training subjects alone, without
# labels: whitening, intensity reference and filters.

# %%
N_LEARNT = 6 if FULL else 2
NAMES = [f"brain-{i:02d}" for i in range(1, N_LEARNT + 2 + 2 * N_PAIRS)]
TESTED = NAMES[N_LEARNT + 1 :]
SPLIT = Split(("template", *NAMES[:N_LEARNT]), (NAMES[N_LEARNT],), tuple(TESTED))
PAIRS = list(zip(TESTED[::2], TESTED[1::2], strict=True))  # no brain is in two pairs
LOOKS = {
    "clean": BrainAppearance(bias=0.0),
    "7T-like": replace(SEVEN_TESLA_LIKE, warp_mm=BrainAppearance().warp_mm),  # the same deformations
}
KINDS = ("ISA", "PCA")


def brains(look: str) -> Cohort:
    """Open the cohort of one appearance, or make it; both have one seed and one split."""
    folder = cohorts_dir() / f"ISA {look} {SPACING_MM:g} mm {len(NAMES)} brains"
    if not folder.exists():
        made = make_brain(
            folder, n_subjects=len(NAMES), seed=0, spacing_mm=SPACING_MM, difficulty=LOOKS[look], modalities=("T1",)
        )
        workflow.save_split(made, SPLIT)
    return workflow.open_cohort(folder)


cohorts = {look: brains(look) for look in LOOKS}
print(workflow.estimate("wu2013", workflow.check_settings("wu2013", BASE, PRESET)).sentence)
runs = {
    (look, kind): workflow.train("wu2013", cohorts[look].path, BASE | {"kind": kind}, preset=PRESET)
    for look in LOOKS
    for kind in KINDS
}
assert all(run.status().state == "finished" for run in runs.values())
isa, pca = runs["7T-like", "ISA"], runs["7T-like", "PCA"]
training_curves(isa.metrics(), names=["loss", "fall"])

# %% [markdown]
# *The mean response of a unit over training and validation patches, and what each step lowered it by, both layers after
# each other.* The first layer's filters, a subspace a tile, its filters side by side:

# %%
bank = workflow.filters(isa.id, 1)
strongest = [int(i) for i in np.argsort(-bank.mean_activation)[:24]]
filter_tiles(bank.weights, order=strongest, layout="middle")

# %% [markdown]
# A unit of the second layer adds up sizes of responses, so it has no weights that could be drawn as a picture. Instead:
# the mean of the held-out patches that excite it most, minus the mean of all.

# %%
deeper = workflow.filters(isa.id, 2)
assert deeper.weights.shape[1:] == (1, *[workflow.system_of(isa).patch_size] * 3) and not deeper.linear
filter_tiles(deeper.weights[:16], layout="middle")

# %% [markdown]
# The control: as many principal axes of the whole patch as the code has numbers.

# %%
axes = workflow.filters(pca.id, 1)
sizes = {kind: workflow.system_of(runs["7T-like", kind]).encoder(runs["7T-like", kind]).code_size for kind in KINDS}
assert sizes["ISA"] == sizes["PCA"] == len(axes.weights)
filter_tiles(axes.weights[:16], layout="middle")

# %% [markdown]
# What whitening keeps of the cubes that the first layer sees; the filters are a rotation of it, so nothing else is lost
# before the squares.

# %%
rebuilt = workflow.reconstructions(isa.id, 10)
reconstruction_pairs(rebuilt.patches, rebuilt.rebuilt)

# %% [markdown]
# ## All voxels at once
#
# Patches about neighboring voxels share their sub-patches, so the first layer is computed once a place. The result is
# that of cutting out every patch.

# %%
system = workflow.system_of(isa)
volume, mask = system.prepared(cohorts["7T-like"][PAIRS[0][0]], isa)
encoder, model = system.encoder(isa), system.model(isa)
since = time.perf_counter()
codes = encoder.encode(volume.data, mask, None, silent)
took = time.perf_counter() - since
voxels = np.argwhere(mask)
some = np.random.default_rng(1).choice(len(voxels), 500, replace=False)
one_by_one = model.encode(torch.from_numpy(gather(volume.data, voxels[some], system.patch_voxels))).numpy()
worst = float(np.abs(codes[some] - one_by_one).max())
display(Markdown(f"{len(codes):,} codes of {codes.shape[1]} numbers in **{took:.2f} s**; the largest difference to "
                 f"encoding 500 patches one by one is {worst:.1e}."))  # fmt: skip
assert worst < 2e-5

maps = np.zeros((codes.shape[1], *mask.shape), np.float32)
maps[:, mask] = codes.T
middle = mask.shape[2] // 2
first_units = [int(u) for u in np.argsort(-codes[:, : model.layer(0).n_units].std(0))[:4]]
second_units = [model.layer(0).n_units + int(u) for u in np.argsort(-codes[:, model.layer(0).n_units :].std(0))[:4]]
shown = [volume.data[0, :, :, middle], *(maps[u, :, :, middle] for u in (*first_units, *second_units))]
tiles = np.stack([np.flip(s) / max(1e-6, np.percentile(s, 99.5)) for s in shown])[:, None]
titles = ["image", *(f"layer 1, unit {u}" for u in first_units)]
titles += [f"layer 2, unit {u - model.layer(0).n_units}" for u in second_units]
patch_grid(tiles, titles)

# %% [markdown]
# *An axial slice and the responses of the units that vary most, each with its own window; the patient's right is on the
# left.*
#
# ## Is a point found again?
#
# Figure 5's question for one point at the border of the left lateral ventricle, in the 7T-like brains.

# %%
MNI_POINT = np.array([-9.0, 18.0, 10.0])  # mm, of the undeformed template


def searches(look: str, kind: str, names: tuple[str, str]) -> list[SubjectSearch]:
    """Prepare the two brains of a pair for one kind of features."""
    run = runs[look, kind]
    return [SubjectSearch(workflow.system_of(run), run, cohorts[look][name]) for name in names]


template, subject = PAIRS[0]
look = "7T-like"
point = true_match(cohorts[look]["template"], cohorts[look][template], MNI_POINT)
views = {kind: similarity_view(*searches(look, kind, PAIRS[0]), tuple(point)) for kind in KINDS}
view = views["ISA"]
name = "PCA, correlation"
together = {**view.maps, name: views["PCA"].maps[name]}
best = {**view.best_mm, name: views["PCA"].best_mm[name]}
scores = {**view.scores, name: views["PCA"].scores[name]}
captions = {
    n: f"truth is rank {s.rank:,.0f}<br>best match {s.distance_mm:.1f} mm off"
    for n, s in scores.items()
    if s is not None
}
similarity_panels(
    SimilarityMaps(
        view.template, view.subject, np.array(view.template_mm), together, {n: np.array(b) for n, b in best.items()},
        truth_mm=np.array(view.truth_mm), registered=view.registered, captions=captions,
    )
)  # fmt: skip

# %% [markdown]
# One point says little. Below, points are drawn where the template's gradient is large, and looked for everywhere in
# the subject; `share_above` is the share of voxels that score above the truth (0 is best, 50 % is chance).

# %%
found = []
for look in LOOKS:
    for number, pair in enumerate(PAIRS):
        for kind in KINDS:
            here, there = searches(look, kind, pair)
            found.append(
                study_pair(here, there, N_POINTS, seed=number, only_learnt=kind == "PCA").assign(condition=look)
            )
rows = pd.concat(found, ignore_index=True)
table = summarize(rows, scores=["share_above", "distance_mm"])
assert (rows.groupby(["condition", "feature"]).size() == N_PAIRS * N_POINTS).all(), "every point counts once a feature"
correspondence_table_figure(table.rename(columns={"score": "measure"})).update_xaxes(type="log", col=1)


# %%
def against(condition: str, a: str, b: str) -> tuple[float, float, float]:
    """Give the mean difference in percentage points of `share_above`, a minus b, paired by point, with its interval."""
    wide = rows[rows["condition"] == condition].pivot(
        index=["template", "subject", "point"], columns="feature", values="share_above"
    )
    pairs = pd.factorize(wide.index.get_level_values("template"))[0]
    return paired_difference_interval(wide[a].to_numpy(), wide[b].to_numpy(), clusters=pairs)


def verdict(interval: tuple[float, float, float]) -> str:
    """Say what an interval of ISA minus another means; less is better."""
    mean, low, high = interval
    word = "confuses fewer voxels" if high < 0 else "confuses more voxels" if low > 0 else "cannot be told apart"
    return f"{word} ({mean:+.2f} percentage points, {low:+.2f} to {high:+.2f})"


RIVALS = ("PCA, correlation", "PCA, L2", "Patch, L2", "Patch, correlation", "SIFT, L2")
lines = [
    f"- **{look}**: ISA under correlation against {other}: {verdict(against(look, 'ISA, correlation', other))}."
    for look in LOOKS
    for other in RIVALS
]
means = rows.pivot_table(index="condition", columns="feature", values="share_above")
assert means.loc["clean"].max() < 10, "on clean brains every feature is far better than chance (50 %)"
assert (means.loc["7T-like"] > means.loc["clean"]).all(), "the 7T-like look makes it harder for every feature"
display(
    Markdown(
        f"From {N_PAIRS} pairs × {N_POINTS} points, one training each, intervals over pairs of brains (with so few they "
        "are rather too narrow):\n\n" + "\n".join(lines)
    )
)

# %% [markdown]
# Why squares can cost here: a response says how strong an edge is and not which side is bright. What is blind to small
# shifts is blind to contrast, too; two borders of opposite contrast look alike. The paper's result is about the overlap
# after a registration that searches near a first guess, not about a search over the whole brain, so this is no test of
# it.
#
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder of at least two images of one modality (NIfTI, DICOM, NRRD, BIDS, `dataset.json`),
# skull-stripped or with masks, roughly aligned. Without it, two phantom images without any truth stand in. Nothing
# leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "ISA stand-in pair"
    source.mkdir(parents=True, exist_ok=True)
    for name in PAIRS[0]:
        image = cohorts["clean"][name].volume("T1")
        brain = cohorts["clean"][name].mask_array(image)
        write_volume(image.with_data(image.data * brain), source / f"{name}_T1.nii.gz")
if "my ISA pair" in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort("my ISA pair")  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, "my ISA pair", link=True)
own = workflow.train("wu2013", mine.name, {}, preset="quick", title="my ISA pair")  # then "cpu"
assert own.status().state == "finished", own.status().message
first, second = [s.name for s in mine][:2]
seen = workflow.similarity(own.id, mine.name, first, second, (-9.0, 18.0, 10.0))
assert list(seen.maps)[-1] == "ISA, correlation" and seen.truth_mm is None
similarity_panels(
    SimilarityMaps(
        seen.template, seen.subject, np.array(seen.template_mm), seen.maps,
        {n: np.array(b) for n, b in seen.best_mm.items()},
    )
)  # fmt: skip

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
