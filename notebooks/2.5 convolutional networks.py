"""Convolutional networks: local fields, shared weights, subsampling, and whole images in one pass.

Review: Section 2.5, Equation 9, Figure 3; strategies (c), (d) and (e) of Section 1
Needs: nothing; the digits that scikit-learn installs, and images of its own
"""

# %% [markdown]
# # 2.5 Convolutional networks
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 2.5, Equation 9, Figure 3, and three
# strategies of Section 1: fully connected layers turned into convolutions, transfer, and off-the-shelf features. This
# notebook writes Equation 9 out by hand, counts what shared weights save, draws Figure 3 from a trained network,
# evaluates a patch classifier on whole images in several ways that must agree, and measures what the section says about
# such networks. The sentences with numbers are written by the code from this run's results.
#
# The default settings take about a minute on two processor cores: 4 mm voxels, small networks, few seeds. With
# `WORKBENCH_FULL=1` in the environment there are 2 mm voxels, larger networks and ten seeds.

# %%
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display
from scipy import stats
from scipy.signal import convolve
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.errors import SettingsError
from workbench.figures.convolution import convolution_diagram
from workbench.figures.experiments import learning_curves_by_labels, paired_experiment
from workbench.figures.patches import patch_grid
from workbench.figures.saliency import saliency_overlay
from workbench.figures.slices import Overlay, slices
from workbench.imaging.files import write_volume
from workbench.metrics.intervals import Interval, mean_interval
from workbench.models.cnn import CNN, ConvBlock
from workbench.models.exactness import explain_inexact
from workbench.models.fcn import dilate, patchwise, shift_and_stitch, to_fcn
from workbench.models.feature_inspection import occlusion, saliency
from workbench.models.receptive_field import receptive_fields
from workbench.models.transfer import TransferPlan, off_the_shelf
from workbench.paths import data_root
from workbench.phantoms.brain import LABEL_NAMES
from workbench.runs.run import Run
from workbench.tasks.optimizers import make_optimizer, parameter_groups

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
if not FULL:
    torch.set_num_threads(1)  # networks this small only wait for a second thread
SPACING_MM, N_SEEDS, PATCH = (2.0, 10, 25) if FULL else (4.0, 3, 15)
N_TRANSFERS, N_DIGITS = (10, 1797) if FULL else (4, 800)
TISSUES = ("CSF", "grey matter", "white matter")
torch.manual_seed(0)


def trained(family: str, cohort: str, title: str, changes: dict, preset: str = "quick") -> Run:
    """Train a network in this process."""
    run = workflow.train(family, cohort, changes, preset=preset, title=title)
    assert run.status().state == "finished", run.status().message
    return run


# %% [markdown]
# ## Equation 9 by hand
#
# Map $j$ of layer $l$ is
#
# $$A^{(l)}_j=f\Big(\sum_{i=1}^{M^{(l-1)}}A^{(l-1)}_i*k^{(l)}_{ij}+b^{(l)}_j\Big)\tag{9}$$
#
# with $*$ a convolution: $(A*k)(x)=\sum_u A(x-u)\,k(u)$. Deep learning libraries cross-correlate instead,
# $\sum_u A(x+u)\,k(u)$, so the review's kernel is theirs turned about. For a learnt kernel that is a matter of drawing;
# for one that was carried over from another program it is the difference between right and wrong.

# %%
network = CNN((2, 9, 8), [ConvBlock(3, 3, pool=2)], (), 4, seed=1).double()
maps = torch.randn(1, 2, 9, 8, dtype=torch.float64)
weight, bias = network.conv1.weight.detach().numpy(), network.conv1.bias.detach().numpy()


def equation_9(below: np.ndarray, kernels: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """Give the maps (M, X', Y') by loops: below (M', X, Y), kernels (M, M', k, k) of a convolution; f is a ReLU."""
    m, n, k, _ = kernels.shape
    nx, ny = below.shape[1] - k + 1, below.shape[2] - k + 1
    above = np.zeros((m, nx, ny))
    for j in range(m):
        for x in range(nx):
            for y in range(ny):
                total = biases[j]
                for i in range(n):
                    for u in range(k):
                        for v in range(k):
                            total += below[i, x + k - 1 - u, y + k - 1 - v] * kernels[j, i, u, v]
                above[j, x, y] = max(total, 0)
    return above


turned = weight[:, :, ::-1, ::-1]
by_hand = equation_9(maps[0].numpy(), turned, bias)
by_scipy = np.stack(
    [sum(convolve(maps[0, i].numpy(), turned[j, i], "valid") for i in range(2)) + bias[j] for j in range(3)]
)
with torch.no_grad():
    by_torch = network[:2](maps)[0].numpy()  # conv1, activation1
    pooled = network[:3](maps)[0].numpy()
subsampled = by_hand[:, :6, :6].reshape(3, 3, 2, 3, 2).max((2, 4))  # what a window does not fill is left out
gaps = {
    "Equation 9 by hand − torch": np.abs(by_hand - by_torch).max(),
    "scipy's convolution − torch": np.abs(np.maximum(by_scipy, 0) - by_torch).max(),
    "kernel not turned about − torch": np.abs(equation_9(maps[0].numpy(), weight, bias) - by_torch).max(),
    "pooling by hand − torch": np.abs(subsampled - pooled).max(),
}
display(pd.DataFrame({"largest difference": gaps}))

assert gaps["Equation 9 by hand − torch"] < 1e-12 and gaps["scipy's convolution − torch"] < 1e-12, "Equation 9"
assert gaps["kernel not turned about − torch"] > 0.1, "a kernel that is not turned about is another kernel"
assert gaps["pooling by hand − torch"] < 1e-12, "subsampling by the maximum"

# %% [markdown]
# **The gradient of a shared weight.** The review: "one needs to sum the gradients for a given weight over all the
# connections using the kernel weights […] and to upsample the feature maps of the pooling layer". Both by hand: the
# error of a pooled unit goes to the unit that was the largest of its window, and a kernel weight collects from every
# position.

# %%
above = torch.randn(3, 3, 3, dtype=torch.float64)  # the error's slope at the pooled maps (M, X'', Y'')
network.zero_grad()
(network[:3](maps)[0] * above).sum().backward()
delta = np.zeros_like(by_hand)  # the same slope below the pooling and below the ReLU
for j, x, y in np.ndindex(3, 3, 3):
    window = by_hand[j, 2 * x : 2 * x + 2, 2 * y : 2 * y + 2]
    u, v = np.unravel_index(window.argmax(), (2, 2))
    delta[j, 2 * x + u, 2 * y + v] = above[j, x, y] * (window[u, v] > 0)
collected = np.zeros_like(weight)
for j, i, u, v in np.ndindex(*weight.shape):
    collected[j, i, u, v] = sum(
        delta[j, x, y] * maps[0, i, x + u, y + v].item() for x, y in np.ndindex(*delta.shape[1:])
    )
gap = np.abs(collected - network.conv1.weight.grad.numpy()).max()
print(f"gradient summed over {delta[0].size} positions − torch's: {gap:.1e}")

assert gap < 1e-12, "a kernel's gradient is the sum over all positions"

# %% [markdown]
# ## What the three mechanisms save
#
# Parameters of one layer that makes 12 maps of an image, its units connected to *all* voxels; to a *local receptive
# field* of 3 × 3 each; and with *weights shared* over the map. *Subsampling* by 2 then leaves a quarter of the units
# for the next layer.

# %%
saved = []
for size in (13, 64, 256):
    units = (size - 2) ** 2
    saved.append((f"{size} × {size}", 12 * units * (size**2 + 1), 12 * units * (9 + 1), 12 * (9 + 1)))
saved = pd.DataFrame(saved, columns=["image", "fully connected", "local fields", "shared weights"]).set_index("image")
display(saved.map("{:,}".format))

# %% [markdown]
# ## A network on brain patches
#
# Patches of axial slices, each with the tissue of its middle voxel; every tissue equally often; subjects kept apart.
# Synthetic brains (see the notebook for Section 2.3 for what they lack).

# %%
NAME = f"brains {SPACING_MM:g} mm, six"
if NAME not in [c.name for c in workflow.list_cohorts()]:
    made = workflow.make_phantom("brain", NAME, n_subjects=6, seed=1, spacing_mm=SPACING_MM)
    workflow.save_split(made, workflow.make_split(made, (0.6, 0.0, 0.4), seed=0))
cohort = workflow.open_cohort(NAME)
test_subjects = [s for s in cohort if s.split == "test" and s.name != "template"]
PATCHES = {
    "source": "patches", "dimensions": 2, "patch_size": PATCH, "sampler": "balanced", "spacing_mm": 0.0,
    "n_maps": (24, 48) if FULL else (12, 24), "n_fully": (128,) if FULL else (32,), "batch_size": 50,
    "n_patches": 40_000 if FULL else 4000, "n_epochs": 15 if FULL else 8, "learning_rate": 2e-3,
}  # fmt: skip
run = trained("cnn", cohort.name, "tissue of T1 patches", PATCHES)
system = workflow.system_of(run)
brain_network = system.trained_network(run)
print({name: round(value, 3) for name, value in run.result()["scores"].items()}, "on", run.result()["scored_on"])
workflow.figure(run.id, "curves")

# %% [markdown]
# ## Figure 3, from the live network
#
# One held-out patch, the maps that the trained network makes of it, and what one unit of the last map sees.

# %%
varied = int(run.load_arrays("patches")["patches"].std((1, 2, 3)).argmax())  # the patch with most in it
parts = workflow.convolution_parts(run.id, varied)
convolution_diagram(parts)

# %% [markdown]
# The same with another unit, in the corner of the first pooled map: its field is a corner of the patch.

# %%
convolution_diagram(parts, (1, 0, 0))

# %% [markdown]
# *The kernels of the first convolution, the largest first. A map that is hatched hardly ever answers to a patch.*

# %%
workflow.figure(run.id, "filters")

# %% [markdown]
# ## The calculus of receptive fields
#
# A layer with kernel $k$ and stride $s$ on units that see $r$ voxels and stand $j$ voxels apart gives units that see
# $r'=r+(k-1)\,j$ and stand $j'=j\,s$ apart. The table is computed by that; beside it, the box in which the gradient of
# one unit is not zero, which asks the network itself (with average pooling and a smooth activation, so that no path is
# switched off).

# %%
probe = CNN(
    (1, PATCH, PATCH), brain_network.blocks, (8,), 3, activation="tanh", pooling="average", initialization="lecun"
).double()
rows = []
for field in receptive_fields(probe, (1, PATCH, PATCH)):
    image = torch.randn(1, 1, PATCH, PATCH, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in probe.named_children()]
    unit = probe[: names.index(field.name) + 1](image)[0, 0]
    (slope,) = torch.autograd.grad(unit if unit.ndim == 0 else unit[0, 0], image)
    seen = (slope[0, 0] != 0).nonzero()
    extent = (seen.amax(0) - seen.amin(0) + 1).tolist()
    rows.append((field.name, field.kind, field.map_shape[0], field.size[0], field.jump[0], extent[0]))
fields = pd.DataFrame(
    rows, columns=["layer", "kind", "map", "field, voxels", "apart, voxels", "field by gradient"]
).set_index("layer")
display(fields)

assert (fields["field, voxels"] == fields["field by gradient"]).all(), "the calculus says what the gradient shows"

# %% [markdown]
# ## Shift the input, and the maps shift
#
# The review: "when the input feature map is slightly shifted, the activation of the units in the feature maps is
# shifted by the same amount", and subsampling helps "the CNN to be translation invariant". The first part exactly; what
# pooling does to it; and then, on digits, whether it is invariance in practice.

# %%
with torch.no_grad():
    image = torch.rand(1, 1, 40, 40)
    convolution, block = brain_network[:2], brain_network[:3]
    largest = float(block(image).max())
    moved = [
        (
            f"shift by {k}",
            float((convolution(image)[..., k:, :] - convolution(image[..., k:, :])).abs().max()) / largest,
            float((block(image)[..., k // 2 :, :][..., :15, :] - block(image[..., k:, :])[..., :15, :]).abs().max())
            / largest,
        )
        for k in (1, 2, 3, 4)
    ]
shifts = pd.DataFrame(moved, columns=["", "convolution", "convolution and pooling by 2"]).set_index("")
print("largest difference ÷ largest activation:")
display(shifts.round(6))

assert shifts["convolution"].max() < 1e-5, "convolutions commute with shifts"
assert shifts["convolution and pooling by 2"].iloc[[1, 3]].max() < 1e-5, "pooled maps do for shifts by whole windows"

# %% [markdown]
# ## Digits: against a fully connected network
#
# The same training on the same labels, with 100 labelled digits and with all that are not held out; the 360 held-out
# digits as they are, and moved by one pixel, which the training never showed. Intervals over seeds are Student's here
# and below; they speak of this one held-out set.

# %%
DIGITS = f"digits {N_DIGITS} for convolutions"
if DIGITS not in [c.name for c in workflow.list_cohorts()]:
    made = workflow.make_phantom("digits", DIGITS, n_subjects=N_DIGITS, seed=0)
    if not FULL:  # the digits come with a split, which would be kept: a fifth held out
        made = workflow.save_split(made, None)
        workflow.save_split(made, workflow.make_split(made, (0.55, 0.0, 0.45), seed=0))
digits = workflow.open_cohort(DIGITS)
held_out = digits.only([s.name for s in digits if s.split == "test"])
N_LABELLED = len([s for s in digits if s.split == "train"])
assert len(held_out) == 360
LABELS = (100, 0)
NETWORKS = {
    "fully connected": ("mlp", {"n_hidden": (64,), "dropout": 0.3}),
    "convolutional": ("cnn", {"n_maps": (16, 32), "n_fully": (64,), "pool": 1, "dropout": 0.3}),
}
digit_runs = {
    (name, n_labels, seed): trained(
        family,
        DIGITS,
        f"{name}, {n_labels or 'all'} labels, seed {seed}",
        changes
        | {
            "n_labels": n_labels,
            "seed": seed,
            "learning_rate": 3e-3,
            "batch_size": 50,
            "n_epochs": (60 if n_labels else 30) if FULL else (25 if n_labels else 15),
        },
    )
    for seed in range(N_SEEDS)
    for n_labels in LABELS
    for name, (family, changes) in NETWORKS.items()
}
some = next(iter(digit_runs.values()))
examples = workflow.system_of(some).examples_of(held_out, some, "")
truth = examples.target.numpy()


def moved_by(x: torch.Tensor, step: tuple[int, int]) -> torch.Tensor:
    """Move pictures (N, 1, X, Y) by a pixel; what comes in is background."""
    wide = F.pad(x, (1, 1, 1, 1))
    return wide[..., 1 - step[0] : 9 - step[0], 1 - step[1] : 9 - step[1]]


STEPS = ((1, 0), (-1, 0), (0, 1), (0, -1))
scores = []
for (name, n_labels, seed), digit_run in digit_runs.items():
    digit_network = workflow.system_of(digit_run).trained_network(digit_run)
    with torch.no_grad():
        still = (digit_network(examples.x).argmax(1).numpy() == truth).mean()
        shifted = np.mean(
            [(digit_network(moved_by(examples.x, step)).argmax(1).numpy() == truth).mean() for step in STEPS]
        )
    scores.append((name, n_labels or N_LABELLED, seed, 100 * still, 100 * shifted))
scores = pd.DataFrame(scores, columns=["variant", "labels", "seed", "as they are", "moved by a pixel"])


def over_seeds(values) -> Interval:
    """Give a mean with Student's 95 % interval over seeds; a bootstrap of three would be too narrow by far."""
    values = np.asarray(values, float)
    half = stats.t.ppf(0.975, len(values) - 1) * max(values.std(ddof=1), 0.1) / np.sqrt(len(values))
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def paired(table: pd.DataFrame, score: str, baseline: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Give scores, means and paired differences from the baseline, each number of labels by itself."""
    rows = table.rename(columns={score: "score"})[["variant", "labels", "seed", "score"]]
    wide = rows.pivot(index=["labels", "seed"], columns="variant", values="score")
    means, deltas = [], []
    for n_labels, part in wide.groupby("labels"):
        for variant in dict.fromkeys(rows["variant"]):
            means.append((variant, n_labels, *over_seeds(part[variant])))
            if variant != baseline:
                deltas.append((variant, n_labels, *over_seeds(part[variant] - part[baseline])))
    columns = ["variant", "labels", "mean", "low", "high"]
    return rows, pd.DataFrame(means, columns=columns), pd.DataFrame(deltas, columns=columns)


as_they_are = paired(scores, "as they are", "fully connected")
moved = paired(scores, "moved by a pixel", "fully connected")
paired_experiment(*as_they_are, title="accuracy", unit="%")

# %% [markdown]
# *The digits as they are.* Below, moved by one pixel.

# %%
paired_experiment(*moved, title="accuracy, moved digits", unit="%")

# %% [markdown]
# ## Fully connected layers as convolutions
#
# A classifier of patches can label a whole image by cutting out a patch for every voxel. Strategy (e) of Section 1
# avoids that: a fully connected layer on a $k\times k$ map *is* a convolution with kernel $k$, so the network can be
# slid over the image as a whole. Its strides $S$ leave a score only every $S$ voxels; *shift-and-stitch* fills the gaps
# by running on the $S^d$ shifts of the image, the *dilated* form by reading kernels that many voxels apart. All three
# must give the same numbers as the patches.

# %%
subject = test_subjects[0]
record = system.record(run)
volume, mask = record.source.prepared(subject)
half = PATCH // 2
slab = np.moveaxis(np.pad(volume.data, ((0, 0), (half, half), (half, half), (0, 0))), 3, 0)  # (Z, 1, X, Y)
axial = record.scaling.apply(torch.from_numpy(np.ascontiguousarray(slab)))
middle = axial[len(axial) // 2][None]
fcn = to_fcn(brain_network)
spread = dilate(fcn)


@torch.no_grad()
def timed(how, *arguments) -> tuple[torch.Tensor, float]:
    """Give the scores, and the least seconds of three runs."""
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        found = how(*arguments)
        seconds.append(time.perf_counter() - begin)
    return found, min(seconds)


def ways(network: CNN, image: torch.Tensor) -> pd.DataFrame:
    """Evaluate a network at every position of an image in three ways."""
    patches, seconds = timed(patchwise, network, image, network.shape[1:])
    convolutional = to_fcn(network)
    dense = {
        "shift-and-stitch": timed(shift_and_stitch, convolutional, image),
        "dilated": timed(dilate(convolutional), image),
    }
    rows = {"patch by patch": (seconds, 1.0, 0.0)}
    for name, (found, taken) in dense.items():
        found = found[..., : patches.shape[2], : patches.shape[3]]
        rows[name] = (taken, seconds / taken, float((found - patches).abs().max() / patches.abs().max()))
    return pd.DataFrame(rows, index=["seconds", "speed-up", "largest difference ÷ largest score"]).T


one_slice = ways(brain_network, middle)
print(f"{middle.shape[2] - 2 * half} × {middle.shape[3] - 2 * half} positions, patches of {PATCH} × {PATCH}")
display(one_slice.map("{:.3g}".format))

assert one_slice.iloc[:, 2].max() < 1e-5, "whole images give what patches give"

# %% [markdown]
# The larger the patch, the more its neighbors share with it; but every further pooling doubles the shifts that are to be
# stitched along each axis. Random networks with as many blocks as fit, on a picture of 96 × 96 voxels; the seconds are
# those of this machine with whatever else it had to do.

# %%
larger = {}
for size, n_blocks in ((15, 2), (25, 3)) if not FULL else ((15, 2), (25, 3), (41, 4)):
    wide = CNN((1, size, size), [ConvBlock(8, 3, 1 if i == 3 else 2) for i in range(n_blocks)], (16,), 3).eval()
    table = ways(wide, torch.randn(1, 1, 96, 96))
    assert table.iloc[:, 2].max() < 1e-5
    larger[f"{size} × {size}"] = table["speed-up"].iloc[1:]
speed = pd.DataFrame(larger).T.rename_axis("patch")
display(speed.map("{:.0f} times".format))

# %% [markdown]
# **What breaks the equality.** Padding inside a patch puts zeros where an image goes on. The checker names each layer
# that does so, and the exact ways refuse such a network with the reason. How wrong would it have been?

# %%
padded = CNN((1, PATCH, PATCH), [ConvBlock(12, 3, 2, padding=1), ConvBlock(24, 3, 2)], (32,), 3, batch_norm=True)
print("trained mode:   ", "; ".join(map(str, explain_inexact(padded.train()))))
print("evaluation mode:", "; ".join(map(str, explain_inexact(padded.eval()))))
try:
    dilate(to_fcn(padded))
    refusal = ""
except SettingsError as error:
    refusal = str(error)
print("dilate():       ", refusal)
with torch.no_grad():
    coarse = to_fcn(padded)(middle)  # a score every 4 voxels
    own = patchwise(padded, middle, (PATCH, PATCH), stride=4)
    n = min(coarse.shape[2], own.shape[2]), min(coarse.shape[3], own.shape[3])
    off = (coarse[:, :, 1 : n[0] - 1, 1 : n[1] - 1] - own[:, :, 1 : n[0] - 1, 1 : n[1] - 1]).abs()
    changed = float((coarse[:, :, : n[0], : n[1]].argmax(1) != own[:, :, : n[0], : n[1]].argmax(1)).float().mean())
wrong_by = float(off.max() / own.abs().max())
print(f"used all the same, scores are off by up to {wrong_by:.0%} of the largest; {changed:.1%} of the labels change")

assert "conv1" in refusal and wrong_by > 1e-3, "the layer that pads is named, and it matters"
assert explain_inexact(brain_network) == [], "the network without padding is exact"

# %% [markdown]
# ## A label map of a brain that the network has not seen
#
# Every voxel inside the mask; patch by patch, as `workflow.predict` does for every network, and by the dilated form.
# Beside them a rule that sees the voxel's own intensity only (logistic regression on the same training patches). In
# training every tissue came equally often; in a brain they do not, so each is also given with the log of the tissues'
# shares of the training brains added to its scores, as Bayes' rule has it.

# %%
begin = time.perf_counter()
predicted = system.predict(subject, run).data[0].round().astype(int)
patch_seconds = time.perf_counter() - begin
begin = time.perf_counter()
with torch.no_grad():
    dense = torch.cat([spread(one[None]) for one in axial]).argmax(1).numpy()  # (Z, X, Y)
dense = np.moveaxis(np.array(record.label_values)[dense], 0, 2)[: mask.shape[0], : mask.shape[1]] * mask
dense_seconds = time.perf_counter() - begin
known = subject.label_map(subject.volume("T1"))
train_names = [name for name in run.info.split["train"]]
train_part = system.examples_of(cohort.only(train_names), run, "", n=4000)
own_voxel = train_part.x[:, 0, half, half, None].numpy()
rule = LogisticRegression(max_iter=500).fit(own_voxel, train_part.target.numpy())
values = record.scaling.apply(torch.from_numpy(volume.data[0][mask][:, None, None, None].astype(np.float32)))
counts = sum(
    np.bincount(cohort[name].label_map(cohort[name].volume("T1")).astype(int).ravel(), minlength=4)[1:]
    for name in train_names
)
prior = np.log(counts / counts.sum())  # of the tissues in brains; training saw each equally often
with torch.no_grad():
    logits = np.concatenate([spread(one[None]).numpy() for one in axial])[:, :, : mask.shape[0], : mask.shape[1]]
logits = np.moveaxis(logits, (0, 1), (2, 3))[mask]  # (n voxels, 3)
evidence = {"network": logits, "own intensity only": rule.decision_function(values.reshape(-1, 1).numpy())}


def laid_out(choice: np.ndarray) -> np.ndarray:
    """Give a label map (X, Y, Z) of the chosen tissue of each voxel inside the mask."""
    found = np.zeros(mask.shape, int)
    found[mask] = np.array(record.label_values)[choice]
    return found


def dice(found: np.ndarray) -> list[float]:
    """Give the overlap of each tissue with the known one, 0 to 1."""
    return [
        2 * float(((found == k) & (known == k)).sum()) / float((found == k).sum() + (known == k).sum())
        for k in (1, 2, 3)
    ]


found = {name: laid_out(scores.argmax(1)) for name, scores in evidence.items()}
found |= {f"{name}, with prior": laid_out((scores + prior).argmax(1)) for name, scores in evidence.items()}
overlap = pd.DataFrame({name: dice(labels) for name, labels in found.items()}, index=TISSUES).T
best_map = found["network, with prior"]
display(overlap.round(3))
agree = float((dense == predicted)[mask].mean())
print(f"{mask.sum():,} voxels: {patch_seconds:.2f} s by patches, {dense_seconds:.2f} s dilated; {agree:.4%} agree")
slices(subject.volume("T1"), overlay=Overlay(best_map, names=LABEL_NAMES))

# %% [markdown]
# *The network's label map, with the prior.* Below, where it differs from the known one.

# %%
slices(subject.volume("T1"), overlay=Overlay(((best_map != known) & mask).astype(np.uint8), names={1: "wrong label"}))

# %% [markdown]
# ## Transfer: from T1 to T2 with few labels
#
# Strategy (d): start from a network trained elsewhere, learn the new task's output from a random start, and let the
# layers that were taken learn at a *rate of their own*, down to not at all. Here from T1 to T2 patches with few labels.
# Every arm has the same labels, the same rate for its output and as many steps at the same seed; the first, *scratch*,
# is what the others are compared with. The dots of one seed are joined: thirty labels are a matter of luck.

# %%
t1, t2 = (subject.volume(name).data[0][known > 0] for name in ("T1", "T2"))
contrast = float(np.corrcoef(t1, t2)[0, 1])
print(f"correlation of T1 and T2 inside a brain: {contrast:+.2f}")
FEW = (30, 100, 300) if FULL else (30,)
taken = {"start_from": run.id}
arms = {
    "scratch": {},
    "taken, full rate": taken | {"body_rate": 1.0},
    "taken, rate × 0.1": taken | {"body_rate": 0.1},
    "taken, frozen": taken | {"body_rate": 0.0},
}
base = PATCHES | {
    "modality": "T2",
    "n_epochs": 40 if FULL else 25,
    "n_patches": 4000 if FULL else 1200,
    "batch_size": 6,
    "learning_rate": 5e-3,  # at 2e-3 a new output on a frozen body has not always learnt in so few steps
}
experiment = workflow.new_experiment(
    "cnn", cohort.name, arms, base=base, seeds=N_TRANSFERS, n_labels=FEW, preset="quick", title="T1 to T2"
)
experiment = workflow.run_experiment(experiment.id)
compared = workflow.compare_experiment(experiment.id, "balanced_accuracy", "scratch")
table = compared.pairs.rename(columns={"n_labels": "labels", "value": "score"}).assign(score=lambda t: 100 * t["score"])
transfer = paired(table, "score", "scratch")
display(transfer[2].set_index(["labels", "variant"]).round(1))
paired_experiment(*transfer, title="balanced accuracy", unit="%")

# %% [markdown]
# **Rates of single layers**, for networks of one's own: a plan says what becomes of each layer, and twenty steps of
# training show that it is kept to.

# %%
plan = TransferPlan({"conv1": "frozen", "conv2": 0.1, "output": "reinitialized"})
copy = system.trained_network(run).train()
rates = plan.apply(copy, torch.Generator().manual_seed(0))
before = {name: p.detach().clone() for name, p in copy.named_parameters()}
optimizer = make_optimizer("sgd", parameter_groups(copy, 0.05, layer_rates=rates))
for step in range(20):
    rows = torch.randint(len(train_part), (50,), generator=torch.Generator().manual_seed(step))
    optimizer.zero_grad()
    F.cross_entropy(copy(train_part.x[rows]), train_part.target[rows]).backward()
    optimizer.step()
change = {name: float((p.detach() - before[name]).norm() / before[name].norm()) for name, p in copy.named_parameters()}
display(
    pd.DataFrame(
        {"rate": rates, "relative change of the weights": {name: change[f"{name}.weight"] for name in rates}}
    ).round(5)
)

assert change["conv1.weight"] == 0 < change["conv2.weight"] < change["output.weight"], "layers keep to their rates"

# %% [markdown]
# ## Off-the-shelf features
#
# Strategy (c): a trained network's activations as features of another classifier, with no further training. Features of
# the T1 network on T2 patches for a logistic regression with 30 to 300 labels, beside the raw voxels and the features
# of a network with random weights, which is the control that tells what the *training* contributed.

# %%
t2_run = experiment.table().query("variant == 'scratch'")["run"].iloc[0]
t2 = workflow.open_run(experiment.runs_dir / t2_run)
t2_system = workflow.system_of(t2)
pool = t2_system.examples_of(cohort.only(train_names), t2, "", n=2000)
aside = t2_system.examples_of(cohort.only([s.name for s in test_subjects]), t2, "", n=1500)
random_network = system.network(record.shape, 3)
DEPTH = 2
shelves = {
    "raw voxels": lambda x: x.flatten(1),
    "random network": lambda x: off_the_shelf(random_network, x, DEPTH),
    "T1 network": lambda x: off_the_shelf(brain_network, x, DEPTH),
}
features = {name: (make(pool.x).numpy(), make(aside.x).numpy()) for name, make in shelves.items()}
shelf = []
for n_labels in (30, 100, 300):
    for draw in range(2 * N_SEEDS):
        rows = np.random.default_rng([n_labels, draw]).permutation(len(pool))[:n_labels]
        for name, (known_x, new_x) in features.items():
            center, width = known_x[rows].mean(0), known_x[rows].std(0) + 1e-3
            model = LogisticRegression(C=0.1, max_iter=200).fit(
                (known_x[rows] - center) / width, pool.target.numpy()[rows]
            )
            right = (model.predict((new_x - center) / width) == aside.target.numpy()).mean()
            shelf.append((name, n_labels, draw, 100 * right))
shelf = pd.DataFrame(shelf, columns=["variant", "labels", "seed", "score"])
of_shelf = paired(shelf, "score", "raw voxels")
learnt = paired(shelf[shelf["variant"] != "raw voxels"], "score", "random network")
display(of_shelf[2].set_index(["labels", "variant"]).round(1))
learning_curves_by_labels(of_shelf[1], title="accuracy, %", chance=100 / 3)

# %% [markdown]
# ## What an answer rests on
#
# Two ways to ask. *Saliency*: how steeply does the winning score change with each pixel? *Occlusion*: how much of it is
# lost when a window is hidden? Both are about this network and this input, not about the world.

# %%
digit_network = workflow.system_of(digit_runs["convolutional", 0, 0]).trained_network(digit_runs["convolutional", 0, 0])
chosen = [int(np.flatnonzero(truth == k)[0]) for k in (0, 2, 3, 4, 6, 8)]
pictures = examples.x[chosen]
with torch.no_grad():
    sure = digit_network(pictures).softmax(1)
titles = [f"{int(p.argmax())} ({float(p.max()):.2f})" for p in sure]
saliency_overlay(pictures.numpy(), torch.stack([saliency(digit_network, x) for x in pictures]).numpy(), titles=titles)

# %%
hidden = torch.stack([occlusion(digit_network, x, window=2, fill=0.0) for x in pictures])
saliency_overlay(
    pictures.numpy(), hidden.numpy(), titles=titles, quantity="loss of score when hidden ÷ its largest", signed=True
)

# %% [markdown]
# Do the maps point at what matters? Hide the eight pixels (of 64) that a map names, and see how much probability the
# answer loses; eight pixels at random, and the eight brightest, say how much any eight would cost.

# %%
N_HIDDEN = 8
tried = examples.x[:: 4 if FULL else 12]
generator = torch.Generator().manual_seed(0)
maps_of = {
    "saliency": lambda x: saliency(digit_network, x),
    "occlusion": lambda x: occlusion(digit_network, x, window=2, fill=0.0),
    "brightest": lambda x: x[0],
    "random": lambda x: torch.rand(x.shape[1:], generator=generator),
}
losses = {name: [] for name in maps_of}
with torch.no_grad():
    certain = digit_network(tried).softmax(1)
for x, p in zip(tried, certain, strict=True):
    for name, make in maps_of.items():
        less = x.clone().flatten()
        less[make(x).flatten().topk(N_HIDDEN).indices] = 0
        with torch.no_grad():
            after = digit_network(less.reshape(1, *x.shape)).softmax(1)[0]
        losses[name].append(float(p.max() - after[p.argmax()]))
lost = pd.DataFrame(losses)
deletion = {name: mean_interval(values) for name, values in lost.items()}
display(pd.DataFrame(deletion, index=["probability lost", "low", "high"]).T.round(3))

# %% [markdown]
# The tissue network, on patches of the test brain: where it looks.

# %%
t1_patches = system.examples_of(cohort.only([subject.name]), run, "", n=300)
shown = [int((t1_patches.target == k % 3).nonzero()[k // 3 + 2]) for k in range(6)]
t1_pictures = t1_patches.x[shown]
maps_t1 = torch.stack([saliency(brain_network, x) for x in t1_pictures])
center = float(np.mean([m[half - 1 : half + 2, half - 1 : half + 2].sum() / m.sum() for m in maps_t1.numpy()]))
saliency_overlay(t1_pictures.numpy(), maps_t1.numpy(), titles=[TISSUES[int(t1_patches.target[i])] for i in shown])

# %% [markdown]
# ## What holds here, and what does not


# %%
def say(deltas: pd.DataFrame, variant: str, baseline: str, what: str = "points") -> str:
    """Write the differences of a variant at each number of labels, and whether they are told apart from 0."""
    found = []
    for row in deltas[deltas["variant"] == variant].itertuples():
        word = "better" if row.low > 0 else "worse" if row.high < 0 else "not told apart"
        found.append(f"{word} with {row.labels} labels ({row.mean:+.1f} {what}, {row.low:+.1f} to {row.high:+.1f})")
    return f"{variant[0].upper()}{variant[1:]}, against {baseline}: {'; '.join(found)}"


ratio = saved["fully connected"].iloc[-1] / saved["shared weights"].iloc[-1]
faster = one_slice["speed-up"]
fall = scores.assign(fall=scores["as they are"] - scores["moved by a pixel"]).groupby("variant")["fall"].mean()
better = overlap.loc["network, with prior"] - overlap.loc["own intensity only, with prior"]
by_prior = overlap.loc["network, with prior"].mean() - overlap.loc["network"].mean()
lines = [
    "**Equation 9** is what the network computes, once the kernel is turned about, and its gradient is the sum over all "
    "positions.",
    f"**Degrees of freedom.** On a picture of 256 × 256, shared local fields need 1/{ratio:,.0f} of the parameters.",
    "**Shifts.** Convolutions commute with shifts exactly; with pooling by 2 that holds for shifts by whole windows and "
    f"**does not hold for others** (off by up to {shifts.iloc[[0, 2], 1].max():.0%} of the largest activation).",
    f"**Translation invariance is not what training on fixed digits gives**: one pixel costs the convolutional network "
    f"{fall['convolutional']:.0f} points of accuracy, the fully connected one {fall['fully connected']:.0f}. "
    f"{say(moved[2], 'convolutional', 'fully connected')}.",
    f"**Digits as they are.** {say(as_they_are[2], 'convolutional', 'fully connected')}; {N_SEEDS} seeds.",
    f"**Whole images.** The same scores as patches, {faster['shift-and-stitch']:.0f} times as fast stitched and "
    f"{faster['dilated']:.0f} times dilated on this slice; with random networks of patch "
    + ", ".join(
        f"{patch} {row['shift-and-stitch']:.0f} and {row['dilated']:.0f} times" for patch, row in speed.iterrows()
    )
    + f". One padded layer makes them wrong by up to {wrong_by:.0%} of the largest score.",
    f"**A label map.** Putting the tissues' shares right changes the network's mean Dice by {by_prior:+.2f}. Against a "
    "rule that sees one voxel, with the same shares, the network changes Dice by "
    + ", ".join(f"{value:+.2f} ({tissue})" for tissue, value in better.items())
    + ". One brain; a phantom without lesions.",
    f"**Transfer from T1 to T2** (correlation {contrast:+.2f}). {say(transfer[2], 'taken, full rate', 'scratch')}. "
    f"{say(transfer[2], 'taken, rate × 0.1', 'scratch')}. {say(transfer[2], 'taken, frozen', 'scratch')}.",
    f"**Off the shelf.** {say(of_shelf[2], 'T1 network', 'raw voxels')}. "
    f"{say(learnt[2], 'T1 network', 'random network')}: the second comparison is the one that speaks of learning.",
    f"**Maps.** Hiding {N_HIDDEN} pixels costs {deletion['occlusion'].mean:.2f} of probability where occlusion points, "
    f"{deletion['saliency'].mean:.2f} where saliency points, {deletion['brightest'].mean:.2f} at the brightest, "
    f"{deletion['random'].mean:.2f} at random"
    + (
        ": saliency points no better than brightness. "
        if deletion["saliency"].mean <= deletion["brightest"].mean
        else ". "
    )
    + f"In the tissue network {center:.0%} of the saliency lies on the middle 3 × 3 voxels of "
    f"{PATCH} × {PATCH} ({9 / PATCH**2:.0%} of the area).",
]
display(Markdown("\n".join(f"- {line}" for line in lines)))

assert agree > 0.9999, "the dilated network labels as the patches do"
assert faster.iloc[1:].min() > 1, "whole images are faster than patches"
assert better.mean() > 0, "context helps beyond one's own voxel"
assert fall.min() > 0, "a pixel's shift costs accuracy"
assert deletion["occlusion"].mean > deletion["random"].mean, "occlusion points at what matters more than chance does"

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder whose subjects have label maps (an MSD or nnU-Net `dataset.json`, a BIDS tree with
# derivatives, or a folder with `*_label` files), and run the next cells. Without it, three phantom images in nnU-Net's
# layout stand in. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in dataset"
    for i, s in enumerate(list(cohort)[1:4]):
        image = s.volume("T1")
        labels = image.with_data(s.label_map(image)[None].astype(np.uint8), "label")
        for folder, stack, name in (("imagesTr", image, f"case{i}_0000"), ("labelsTr", labels, f"case{i}")):
            (source / folder).mkdir(parents=True, exist_ok=True)
            write_volume(stack, source / folder / f"{name}.nii.gz")
    content = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "CSF": 1, "grey": 2, "white": 3}}
    (source / "dataset.json").write_text(json.dumps(content | {"numTraining": 3, "file_ending": ".nii.gz"}))
if "my labelled images" in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort("my labelled images")  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, "my labelled images", link=True)
print(workflow.describe_fingerprint(workflow.inspect(mine)))

# %% [markdown]
# `quick` shows that everything fits together. For results take `preset="patches"`. The label maps go to a folder as
# NIfTI on each image's own lattice.

# %%
own = trained("cnn", mine.name, "my labelled images", PATCHES | {"n_epochs": 2})
files = workflow.predict(own.id, mine.name, data_root() / "predictions of my labelled images")
print(f"Run {own.id}: {', '.join(file.name for file in files)}")
patch_grid(own.load_arrays("patches")["patches"][:12])

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
