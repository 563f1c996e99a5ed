"""Stacked auto-encoders on brain patches.

Review: Section 2.3.1, Figures 2a and 4
Needs: nothing; makes its own images
"""

# %% [markdown]
# # 2.3 Stacked auto-encoder
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 2.3.1, Figures 2a and 4. This notebook makes a
# small cohort of synthetic brains, learns patch features from it without labels, draws the review's two figures from
# the trained network, and measures what the section says about such networks: against PCA, against joint training, and
# against its own sparsity target. The sentences with numbers are written by the code from this run's results.
#
# With its default settings it is made for two processor cores and a couple of minutes: 4 mm voxels, 7 × 7 × 7 patches,
# two layers, 3 seeds. With `WORKBENCH_FULL=1` in the environment it uses 2 mm voxels, 11 × 11 × 11 patches, the preset
# `cpu` of the system `sae` (three layers), and 10 seeds. Only the second is near what one would use.

# %%
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display
from sklearn.decomposition import PCA

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.figures.curves import compare_curves
from workbench.figures.filters import activation_histogram
from workbench.figures.patches import patch_grid, reconstruction_pairs
from workbench.figures.slices import Overlay, slices
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import write_volume
from workbench.metrics.intervals import paired_difference_interval
from workbench.models.layers import Corruption
from workbench.patches.gather import gather
from workbench.patches.samplers import inside
from workbench.paths import data_root
from workbench.phantoms.brain import LABEL_NAMES
from workbench.runs.run import Run

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
SPACING_MM, N_SEEDS, N_HELD_OUT = (2.0, 10, 4000) if FULL else (4.0, 3, 2000)
PRESET = "cpu"  # "full" has five times the patches and epochs: hours on a processor, for a GPU
QUICK = {
    "patch_size": 7,
    "n_hidden": (128, 64),
    "n_patches": 25_600,
    "batch_size": 512,
    "learning_rate": 0.01,
    "n_epochs_pretraining": 3,
    "n_epochs_fine_tuning": 5,
}
BASE = {"spacing_mm": 0.0, "normalization": "none", **({} if FULL else QUICK)}  # 0 mm keeps the cohort's own voxels
SETTINGS = workflow.check_settings("sae", BASE, PRESET)
N_CODE = SETTINGS["n_hidden"][-1]

# %% [markdown]
# ## What an auto-encoder is
#
# Take the two-layer network of the review's Equation 1 and ask it for its own input. With a patch
# $\mathbf v\in\mathbb R^D$, $M$ hidden units $\mathbf h$ and the reconstruction $\mathbf z$,
#
# $$\mathbf h = f\left(\mathbf W\mathbf v+\mathbf b\right),\qquad
#   \mathbf z = g\left(\mathbf W'\mathbf h+\mathbf c\right),\qquad
#   E(\Theta)=\frac1N\sum_{n=1}^N\lVert\mathbf z_n-\mathbf v_n\rVert^2 ,$$
#
# and the parameters $\Theta$ follow the gradient as in Equation 3 (here with Adam). $f$ is the logistic function; $g$
# is the identity for intensities. Weights are *tied*, $\mathbf W'=\mathbf W^\top$, unless the settings say otherwise.
# No label enters.
#
# **Stacked** (Figure 2a): the hidden activations of one auto-encoder are the input of the next,
# $\mathbf h^{(l)}=f(\mathbf W^{(l)}\mathbf h^{(l-1)}+\mathbf b^{(l)})$, $\mathbf h^{(0)}=\mathbf v$. *Greedy
# layer-wise learning* trains layer 1 on patches, freezes it, trains layer 2 on what layer 1 makes of them, and so on.
# Then encoder and decoder are *unrolled* into one network (Figure 4) and fine-tuned on the reconstruction of the patch.
# Deeper layers rebuild numbers between 0 and 1, so their $g$ is logistic and their error the cross-entropy.
#
# **Sparse** (the constraint of Section 3.1; the review gives no formula, this is the usual one): each unit's mean
# activation $\hat\rho_j$ is pulled towards a small $\rho$ by adding
#
# $$\beta\sum_{j=1}^{M}\left[\rho\log\frac{\rho}{\hat\rho_j}+(1-\rho)\log\frac{1-\rho}{1-\hat\rho_j}\right].$$
#
# **Denoising** (Vincent et al. 2010; the review names it in Section 3.2.2): part of a layer's input is destroyed and
# the *clean* input must be rebuilt, so copying does not help. Three ways to destroy: *masking* sets a share to 0,
# *Gaussian* adds noise, *salt and pepper* sets a share to the smallest or the largest value.

# %% [markdown]
# ## The images
#
# A phantom cohort. Every brain is the MNI152 template seen through its own smooth random deformation, with a mild bias
# field and 3 % noise. It is there because it needs no download and no consent form, and because its truth is known.
# **It is not a sample of people**: there is no skull, no lesion, no individual folding pattern; the template is an
# average of 152 adults, so edges are soft. Real patches are less regular, and everything below should be expected to be
# harder on them. The row `template` is the undeformed, noise-free template.


# %%
def brains(name: str) -> Cohort:
    """Open the cohort, or make it with a split that all runs share: nobody tests a network who trained it."""
    if name not in [c.name for c in workflow.list_cohorts()]:
        made = workflow.make_phantom("brain", name, n_subjects=8, seed=0, spacing_mm=SPACING_MM)
        workflow.save_split(made, workflow.make_split(made, (0.6, 0.2, 0.2), seed=0))
    return workflow.open_cohort(name)


cohort = brains(f"brains {SPACING_MM:g} mm")
parts = {part: [s.name for s in cohort if s.split == part] for part in ("train", "validation", "test")}
display(pd.DataFrame([(part, ", ".join(names)) for part, names in parts.items()], columns=["part", "subjects"]))
first = cohort[parts["test"][0]]
slices(first.volume("T1"), overlay=Overlay(first.label_map(), names=LABEL_NAMES))

# %% [markdown]
# *One test subject with its known tissue labels, in three planes.* Below: patches of two subjects as a network sees
# them, drawn more often where the image has edges, intensities matched and scaled to 0..1.

# %%
seen = workflow.preview_patches("sae", SETTINGS, cohort.name, n=16)
patch_grid(seen.patches, seen.subjects, seen.centers_mm)

# %% [markdown]
# ## Training
#
# Five networks with the same sizes and the same start: plain, sparse, and denoising in its three kinds.

# %%
VARIANTS = {
    "plain": {"sparsity_weight": 0.0},
    "sparse": {"sparsity_weight": 0.5, "sparsity_target": 0.1},
    "masking": {"sparsity_weight": 0.0, "corruption": "masking", "corruption_amount": 0.25},
    "Gaussian": {"sparsity_weight": 0.0, "corruption": "gaussian", "corruption_amount": 0.25},
    "salt and pepper": {"sparsity_weight": 0.0, "corruption": "salt_and_pepper", "corruption_amount": 0.25},
}


def train(title: str, changes: dict) -> Run:
    """Train a network of the family in this process."""
    run = workflow.train("sae", cohort.name, BASE | changes, preset=PRESET, title=title)
    assert run.status().state == "finished", run.status().message
    return run


print(workflow.estimate("sae", SETTINGS).sentence)
runs = {name: train(name, changes) for name, changes in VARIANTS.items()}
workflow.figure(runs["sparse"].id, "curves")

# %% [markdown]
# *Curves of the sparse network.* In a pretraining stage the error is that of the layer's own input, so stages cannot be
# compared with each other; only the last one, fine-tuning, is about the patch. There the networks can be compared:

# %%
fine_tuning = {name: run.metrics().query("stage == 'fine-tune'") for name, run in runs.items()}
compare_curves(fine_tuning, name="val_mse", log=True)

# %% [markdown]
# ## Figure 2a, from the live network

# %%
workflow.figure(runs["sparse"].id, "stack")

# %% [markdown]
# ## Figure 4, from the live network

# %%
workflow.figure(runs["sparse"].id, "encoder-decoder")

# %% [markdown]
# ## What the units have learnt
#
# *The first layer's weights* $\mathbf W^{(1)}$ of the sparse network, one tile a unit: the axial slice through the
# middle of the patch. Short training leaves much of the random start in them.

# %%
workflow.figure(runs["sparse"].id, "filters")

# %% [markdown]
# *The code units*, as the product $\mathbf W^{(L)}\cdots\mathbf W^{(1)}$. This back-projection leaves out the
# non-linearities: it shows to which pattern a unit leans, not what it computes. The review says that lower layers hold
# simpler patterns and higher ones more abstract ones. Look for yourself; no number here measures that.

# %%
workflow.figure(runs["sparse"].id, "code")

# %% [markdown]
# ## Reconstructions, beside PCA
#
# Principal component analysis with as many components is the floor to compare with: among all *linear* codes of $k$
# numbers it has the least squared error on the patches that it was fitted to. Patches come from anywhere inside the
# brain; PCA is fitted to training subjects, and everything is scored on subjects that neither method has seen.

# %%
system = workflow.system_of(runs["plain"])


def patches_of(names: list[str], n: int, seed: int) -> torch.Tensor:
    """Draw about n patches (n, 1, X, Y, Z) evenly inside the brains of these subjects, prepared as in training."""
    found = []
    for i, name in enumerate(names):
        volume, mask = system.prepared(cohort[name], runs["plain"])
        centers = inside(mask, n // len(names), np.random.default_rng([seed, i]))
        found.append(gather(volume.data, centers, system.patch_voxels).reshape(-1, *system.patch_shape))
    return torch.from_numpy(np.concatenate(found))


def explained(rebuilt: torch.Tensor, patches: torch.Tensor) -> float:
    """Give the explained variance: 1 - squared error / squared distance to the mean patch."""
    error = (rebuilt - patches).square().mean()
    return float(1 - error / (patches - patches.mean(0)).square().mean())


def network(run: Run) -> torch.nn.Module:
    """Give the trained stack of a run: called with patches it gives their reconstructions."""
    return workflow.system_of(run).stack(run)


def pca(x: torch.Tensor, k: int = N_CODE) -> torch.Tensor:
    """Give the reconstructions of patches from their first k principal components."""
    codes = PRINCIPAL.transform(x.flatten(1).numpy())[:, :k]
    return torch.from_numpy(codes @ PRINCIPAL.components_[:k] + PRINCIPAL.mean_).reshape(x.shape)


train_patches = patches_of(parts["train"], 5 * N_HELD_OUT, seed=1)
held_out = patches_of(parts["test"], N_HELD_OUT, seed=2)
PRINCIPAL = PCA(N_CODE, svd_solver="full").fit(train_patches.flatten(1).numpy())
linear = train(
    "linear, one layer", {"sparsity_weight": 0.0, "weight_decay": 0.0, "hidden": "linear", "n_hidden": (N_CODE,)}
)
coders = {"PCA": pca, "linear auto-encoder, one layer": network(linear)}
coders |= {f"stack, {name}": network(run) for name, run in runs.items()}
variance = pd.DataFrame(
    {
        "explained variance, test": {name: explained(f(held_out), held_out) for name, f in coders.items()},
        "explained variance, training": {
            name: explained(f(train_patches), train_patches) for name, f in coders.items()
        },
    }
).rename_axis(f"code of {N_CODE} numbers")
display(variance.round(4))
on_test, on_training = (variance[column].to_dict() for column in variance)
best = max((name for name in on_test if name.startswith("stack")), key=on_test.__getitem__)
as_good = next((k for k in range(1, N_CODE + 1) if explained(pca(held_out, k), held_out) >= on_test[best]), None)

assert on_training["linear auto-encoder, one layer"] <= on_training["PCA"] + 1e-4, (
    "no linear code beats PCA where it was fitted"
)
assert 0.5 < on_test[best] < 1, "a trained stack explains most of the variance"

# %% [markdown]
# *The same twelve test patches, rebuilt by the stacked auto-encoder (plain) and by PCA.*

# %%
varied = held_out[held_out.flatten(1).std(1).argsort(descending=True)[:: max(1, len(held_out) // 24)][:12]]
reconstruction_pairs(varied.numpy(), network(runs["plain"])(varied).numpy())

# %%
reconstruction_pairs(varied.numpy(), pca(varied).numpy())

# %% [markdown]
# ## What denoising buys
#
# First single layers, where theory speaks: one auto-encoder each, trained with each kind of corruption. Each is given
# *destroyed* test patches and should give the clean ones. Rows: how it was trained; columns: what it is given.

# %%
KINDS = ("none", "masking", "gaussian", "salt_and_pepper")
given = {kind: Corruption(kind, 0.25)(held_out, torch.Generator().manual_seed(3)) for kind in KINDS}
single = {
    kind: train(
        f"one layer, {kind}",
        {
            "sparsity_weight": 0.0,
            "n_hidden": SETTINGS["n_hidden"][:1],
            "corruption": kind,
            "corruption_amount": 0.25,
            "n_epochs_fine_tuning": 0,
        },
    )
    for kind in KINDS
}
one_layer = pd.DataFrame(
    {kind: {name: explained(network(run)(x), held_out) for name, run in single.items()} for kind, x in given.items()}
).rename_axis("trained on")
display(one_layer.round(3))

# %% [markdown]
# Then the whole stacks, after fine-tuning. In this system every layer's own input is destroyed during pretraining, and
# fine-tuning ends on clean patches, so what denoising has taught may be unlearnt. PCA is there for scale: it drops
# whatever lies outside its components, which removes much of any noise that is spread over all directions.

# %%
stacks = pd.DataFrame(
    {kind: {name: explained(coder(x), held_out) for name, coder in coders.items()} for kind, x in given.items()}
).rename_axis("code")
display(stacks.round(3))

# %% [markdown]
# ## How much each unit is used
#
# Mean activation of every unit of layer 1 over held-out patches, against the target $\rho$; first with $\beta>0$ after
# pretraining alone, then after fine-tuning. A unit below 0.001 is *dead*: it says nothing about any patch.

# %%
only_sparse = train("sparse, pretraining only", VARIANTS["sparse"] | {"n_epochs_fine_tuning": 0})
use = {"sparse, pretraining only": only_sparse, **runs}
activity = []
for name, run in use.items():
    for depth in range(1, len(SETTINGS["n_hidden"]) + 1):
        bank = workflow.filters(run.id, depth)
        rho = bank.sparsity_target
        near = float((np.abs(bank.mean_activation / rho - 1) <= 0.2).mean())
        row = (name, depth, float(np.median(bank.mean_activation)), near, int(bank.dead.sum()))
        activity.append(row)
activity = pd.DataFrame(activity, columns=["network", "layer", "median activation", "share within 20 % of ρ", "dead"])
display(activity.round(3))
activation_histogram(workflow.filters(only_sparse.id, 1).mean_activation, rho)

# %%
activation_histogram(workflow.filters(runs["sparse"].id, 1).mean_activation, rho)

# %% [markdown]
# ## Greedy or joint
#
# The review says that deep networks trained from a random start "perform worse than networks with a shallow
# architecture, as they fall into a poor local optimum", and that greedy layer-wise learning circumvents it. Three
# arms, from the same seeds: *greedy* (pretrained, then fine-tuned), *joint* (all layers together from the random start,
# with as many epochs as the greedy arm has in all its stages together, each of which trains every layer), and *shallow*
# (one layer with as many code units, also joint). The joint arms run at the learning rate of
# pretraining; fine-tuning after pretraining runs at a third of it. Plain networks, since the
# sparsity term exists only in pretraining. Differences are paired by seed; their 95 % interval is a bootstrap over
# seeds, which with a handful of seeds is too narrow rather than too wide.

# %%
n_epochs = len(SETTINGS["n_hidden"]) * SETTINGS["n_epochs_pretraining"] + SETTINGS["n_epochs_fine_tuning"]
joint = {
    "sparsity_weight": 0.0,
    "n_epochs_pretraining": 0,
    "n_epochs_fine_tuning": n_epochs,
}
arms = {"greedy": VARIANTS["plain"], "joint": joint, "shallow": joint | {"n_hidden": (N_CODE,)}}
scores: dict[str, list[float]] = {}
for arm, changes in arms.items():
    scores[arm] = []
    for seed in range(N_SEEDS):
        again = (arm, seed) == ("greedy", SETTINGS["seed"])  # that one is the plain network from above
        run = runs["plain"] if again else train(f"{arm}, seed {seed}", changes | {"seed": seed})
        scores[arm].append(explained(network(run)(held_out), held_out))
display(pd.DataFrame(scores).rename_axis("seed").round(4))
pairs = (("shallow", "joint"), ("greedy", "joint"), ("greedy", "shallow"))
differences = {f"{a} − {b}": paired_difference_interval(scores[a], scores[b]) for a, b in pairs}
display(pd.DataFrame(differences, index=["mean", "low", "high"]).T.round(4))

# %% [markdown]
# ## What holds here, and what does not


# %%
def compared(a: str, b: str) -> str:
    """Say of a paired difference in explained variance whether its interval excludes 0."""
    mean, low, high = differences[f"{a} − {b}"]
    word = "better than" if low > 0 else "worse than" if high < 0 else "not told apart from"
    return f"{a} is {word} {b} ({mean:+.4f}, 95 % interval {low:+.4f} to {high:+.4f})"


def holds(a: str, b: str) -> str:
    """Say whether "a is better than b" holds."""
    _, low, high = differences[f"{a} − {b}"]
    return "holds" if low > 0 else "does not hold" if high < 0 else "is not decided"


spent = activity.set_index(["network", "layer"])["median activation"]
n_dead = int(activity["dead"].sum())
held = one_layer.loc["masking", "masking"] - one_layer.loc["none", "masking"]
price = one_layer.loc["none", "none"] - one_layer.loc["masking", "none"]
left = stacks.loc["stack, masking", "masking"] - stacks.loc["stack, plain", "masking"]
lines = [
    f"**Compression.** With {N_CODE} numbers a patch, PCA explains {on_test['PCA']:.3f} of the variance of new "
    f"patches, the best of the five stacks {on_test[best]:.3f} ({best}; chosen on these patches, in its favour): "
    + ("**PCA wins**" if on_test["PCA"] > on_test[best] else "**the stack wins**")
    + (f", and {as_good} components are enough to equal that stack. " if as_good else ". ")
    + "Squared error is PCA's own game; a non-linear code must earn its place in another.",
    "**A linear auto-encoder is PCA at best.** Where PCA was fitted it explains "
    f"{on_training['PCA']:.3f}, one layer of linear units {on_training['linear auto-encoder, one layer']:.3f}.",
    f"**Deep from a random start is worse than shallow: {holds('shallow', 'joint')} here.** Over {N_SEEDS} seeds, "
    f"{n_epochs} epochs an arm: {compared('shallow', 'joint')}.",
    f"**Greedy learning helps a deep network: {holds('greedy', 'joint')} here.** {compared('greedy', 'joint')}. "
    f"That it makes depth pay: {holds('greedy', 'shallow')}. {compared('greedy', 'shallow')}.",
    f"**Sparsity.** For a target of {rho:g} the median activation of layer 1 is "
    f"{spent['sparse, pretraining only', 1]:.3f} after sparse pretraining, {spent['sparse', 1]:.3f} after fine-tuning, "
    f"which minimizes the error alone, and {spent['plain', 1]:.3f} in the plain network. {n_dead} units are dead, over "
    "all rows of the table.",
    f"**Denoising.** A single layer trained on masked patches explains {held:+.3f} of the variance more from masked "
    f"patches than one trained on whole ones, and {price:.3f} less from whole patches. In the fine-tuned stacks the "
    f"gain on masked patches is {left:+.3f}.",
    "**Not measured here:** that higher layers hold more abstract patterns; that features help a later task (see the "
    "notebook for Section 3.1); anything about real images.",
]
display(Markdown("\n".join(f"- {line}" for line in lines)))

assert 0.5 * rho < spent["sparse, pretraining only", 1] < 2 * rho, "sparse pretraining holds layer 1 near its target"
assert spent["plain", 1] > spent["sparse, pretraining only", 1], "without the constraint units are busier"
assert held > 0, "who learnt to fill in masked voxels does so better than who did not"
assert N_SEEDS >= 3 and all(low <= mean <= high for mean, low, high in differences.values())

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder (NIfTI, DICOM, NRRD or pictures; a BIDS tree and an MSD / nnU-Net `dataset.json`
# are understood too) and run the next cells. Images should be of one modality, skull-stripped or with masks, and
# roughly aligned. Without it, a folder of four phantom images without any truth stands in, so that the cells can be
# tried. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in images"
    source.mkdir(parents=True, exist_ok=True)
    for subject in list(cohort)[:4]:
        image = subject.volume("T1")
        brain = subject.mask_array(image)
        write_volume(image.with_data(image.data * brain), source / f"{subject.name}_T1.nii.gz")
if "my images" in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort("my images")  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, "my images", link=True)
print(workflow.describe_fingerprint(workflow.inspect(mine)))

# %% [markdown]
# `quick` shows that everything fits together. For results take `preset="cpu"` and the voxel size of your images;
# pictures take `preset="pictures"`.

# %%
own = workflow.train(
    "sae", mine.name, {"n_epochs_pretraining": 2, "n_epochs_fine_tuning": 4}, preset="quick", title="my images"
)
assert own.status().state == "finished", own.status().message
print(f"Run {own.id}: explained variance {own.result()['scores']['explained_variance']:.2f}")
workflow.figure(own.id, "reconstructions")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
