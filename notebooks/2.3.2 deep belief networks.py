"""Restricted Boltzmann machines and deep belief networks on handwritten digits.

Review: Section 2.3.2, Equation 4 and Figure 2b
Needs: nothing; makes its own images
"""

# %% [markdown]
# # 2.3.2 Deep belief networks
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 2.3.2, Equation 4 and Figure 2b. First the
# restricted Boltzmann machine (RBM): what it is, how likely it holds images that it has not seen, exactly and
# estimated, and why a good reconstruction says little about that. Then RBMs stacked to a deep belief network (DBN). The
# sentences with numbers are written by the code from this run's results.
#
# The quick settings take about a minute on two processor cores: 500 digits, short training, 3 seeds. With
# `WORKBENCH_FULL=1` in the environment it uses all 1,797 digits, 200 epochs and 10 seeds.

# %%
import copy
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import pandas as pd
import torch
from IPython.display import Markdown, display

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.figures.chains import chain_grid, sample_grid
from workbench.figures.experiments import paired_experiment
from workbench.figures.likelihood import likelihood_whisker
from workbench.imaging.cohort import Cohort
from workbench.imaging.files import write_volume
from workbench.metrics.intervals import mean_interval, paired_difference_interval
from workbench.metrics.likelihood import binary_states, log_z_by_enumeration
from workbench.models.rbm import RBM
from workbench.paths import data_root
from workbench.runs.run import Run

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
N_DIGITS, N_EPOCHS, N_SEEDS, N_BETAS = (1797, 200, 10, 14_500) if FULL else (500, 20, 3, 1000)
RATE = 0.05 if FULL else 0.1
BASE = {"n_epochs": N_EPOCHS, "learning_rate": RATE}
PARTS = (0.7, 0.1, 0.2)

# %% [markdown]
# ## The restricted Boltzmann machine
#
# Visible units $\mathbf v$, hidden units $\mathbf h$, all binary, and an energy for every joint state (the review gives
# no formula; this is the usual one, with the review's $\mathbf W$, one column a hidden unit):
#
# $$E(\mathbf v,\mathbf h)=-\mathbf b^\top\mathbf v-\mathbf c^\top\mathbf h-\mathbf v^\top\mathbf W\mathbf h,\qquad
#   P(\mathbf v)=\frac{1}{Z}\sum_{\mathbf h}e^{-E(\mathbf v,\mathbf h)}=\frac{e^{-F(\mathbf v)}}{Z},\qquad
#   F(\mathbf v)=-\mathbf b^\top\mathbf v-\sum_j\log\left(1+e^{c_j+\mathbf w_j^\top\mathbf v}\right).$$
#
# The *free energy* $F$ is cheap. The partition function $Z$ sums over all states of all units, and has a number only
# where one side is small: 16 hidden units have 65,536 states, each of which sums out the visible side in closed form.
# First the law, on a machine small enough to add up everything by hand.

# %%
tiny = RBM(6, 4, seed=1, init_scale=1.0).double()
v_all, h_all = binary_states(6), binary_states(4)
joint = torch.stack([tiny.energy(v_all, h.expand(len(v_all), -1)) for h in h_all], 1).detach()  # 64 x 16 states
by_hand = -torch.logsumexp(-joint, 1)
z_by_hand = float(torch.logsumexp(-joint.flatten(), 0))
z_by_code = float(log_z_by_enumeration(tiny.log_marginal_hidden, 4))
print(f"log Z added up over 1,024 joint states {z_by_hand:.12f}, over 16 hidden states {z_by_code:.12f}")

assert torch.allclose(tiny.free_energy(v_all).detach(), by_hand, atol=1e-10), "F sums the hidden units out"
assert abs(z_by_hand - z_by_code) < 1e-10, "both ways to log Z agree"

# %% [markdown]
# ## The images
#
# The 8 × 8 digits that scikit-learn installs, made black and white. They are real pictures of handwriting, **not
# medical images**, and there is nothing to diagnose in them; their use is that 64 binary units are few enough to
# measure likelihoods well. All runs share one split.


# %%
def digits(name: str) -> Cohort:
    """Open the cohort, or make it with a split that all runs share."""
    if name not in [c.name for c in workflow.list_cohorts()]:
        made = workflow.make_phantom("digits", name, n_subjects=N_DIGITS, seed=0)
        workflow.save_split(made, workflow.make_split(made, PARTS, seed=0))
    return workflow.open_cohort(name)


def train(system: str, title: str, changes: dict, preset: str = "digits") -> Run:
    """Train a family in this process."""
    run = workflow.train(system, cohort.name, BASE | changes, preset=preset, title=title)
    assert run.status().state == "finished", run.status().message
    return run


def held_out(run: Run) -> torch.Tensor:
    """Give the examples of test subjects as the run sees them, (N, C, X, Y)."""
    return torch.from_numpy(run.load_arrays("kept")["held_out"])


cohort = digits(f"digits {N_DIGITS}")
small = train("rbm", "RBM 16", {"n_hidden": 16})
sample_grid(held_out(small)[:24].numpy(), columns=12)

# %% [markdown]
# *Held-out digits, as the machine is given them.* Now what 16 hidden units learn: one tile a unit.

# %%
workflow.figure(small.id, "filters")

# %% [markdown]
# ## Likelihood: exact, and estimated from both sides
#
# Annealed importance sampling (AIS) walks from independent units at the data's base rates to the model and weighs the
# steps. Forward its estimate of $\log Z$ is too low on average, in reverse (from samples of the model) too high. The
# spread over chains of one direction proves nothing: all chains can miss the same region. So both are reported with
# their *gap*; here the exact value is there too.

# %%
large = train("rbm", "RBM 64", {"n_hidden": 64})
measured = {run.title: workflow.likelihood(run.id, n_betas=N_BETAS) for run in (small, large)}
rows = pd.DataFrame([row | {"model": name} for name, found in measured.items() for row in found.rows])
display(rows.pivot_table(index=["model", "part"], columns="kind", values="value").round(3))
display(pd.DataFrame({name: found.log_z for name, found in measured.items()}).T.rename_axis("log Z, nats").round(3))
likelihood_whisker(rows[rows["part"] == "held-out"], quantity="log p of held-out digits, nats")

# %%
exact_16, ais_16 = (measured["RBM 16"].log_z[kind] for kind in ("exact", "forward"))
gaps = {name: found.log_z["gap"] for name, found in measured.items()}

assert abs(exact_16 - ais_16) < 0.2, "AIS finds log Z where it is known"
assert all(abs(gap) < 1 for gap in gaps.values()), "both directions agree to a nat"

# %% [markdown]
# ## Why reconstruction error is no likelihood
#
# The error after one step up and down is what one can watch for free, and it is often reported. Take the trained RBM
# and multiply all its weights and hidden biases by a factor: the first column is how well held-out digits are rebuilt,
# the second how likely they are, exactly.


# %%
def exact(rbm: RBM, x: torch.Tensor) -> torch.Tensor:
    """Give log p (N,) of examples, nats; 16 hidden units are enumerated."""
    rbm, flat = copy.deepcopy(rbm).double(), x.flatten(1).double()
    return -rbm.free_energy(flat).detach() - log_z_by_enumeration(rbm.log_marginal_hidden, rbm.n_hidden)


def error(rbm: RBM, x: torch.Tensor) -> float:
    """Give the mean squared error of the reconstruction by mean activations."""
    flat = x.flatten(1)
    return float((rbm.visible_mean(rbm.hidden_mean(flat)) - flat).square().mean().detach())


def sharpened(rbm: RBM, factor: float) -> RBM:
    """Give a copy whose weights are larger, its visible bias moved so that half-active hidden units change nothing."""
    other = copy.deepcopy(rbm)
    with torch.no_grad():
        other.weight *= factor
        other.hidden_bias *= factor
        other.visible_bias += 0.5 * (rbm.weight.sum(0) - other.weight.sum(0))
    return other


rbm, x = workflow.system_of(small).net(small).top, held_out(small)
factors = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
scaled = {f: sharpened(rbm, f) for f in factors}
trade = pd.DataFrame(
    {f: {"squared error": error(m, x), "log p, nats": float(exact(m, x).mean())} for f, m in scaled.items()}
).T.rename_axis("factor")
display(trade.round(4))
best_rebuilt, likeliest = float(trade["squared error"].idxmin()), float(trade["log p, nats"].idxmax())

assert likeliest != best_rebuilt, "the machine that rebuilds best is not the likeliest"

# %% [markdown]
# ## CD-k against PCD
#
# The gradient (Equation 8 with one layer) needs samples of the model. *Contrastive divergence* CD-k starts a chain at
# the data and stops it after $k$ steps; *persistent* CD lets the chains go on from update to update. Same seeds, same
# epochs, 16 hidden units so that the likelihood is exact. CD-5 and PCD-5 cost about three times the Gibbs steps of
# CD-1.

# %%
rules = {
    "CD-1": {"persistent": False, "n_gibbs": 1},
    "CD-5": {"persistent": False, "n_gibbs": 5},
    "PCD-1": {"persistent": True, "n_gibbs": 1},
}
found = []
for rule, changes in rules.items():
    for seed in range(N_SEEDS):
        again = (rule, seed) == ("PCD-1", 0)  # that one was trained above
        run = small if again else train("rbm", f"{rule}, seed {seed}", changes | {"n_hidden": 16, "seed": seed})
        top, x = workflow.system_of(run).net(run).top, held_out(run)
        found.append((rule, seed, float(exact(top, x).mean()), error(top, x)))
learning = pd.DataFrame(found, columns=["variant", "seed", "score", "squared error"])
display(learning.groupby("variant", sort=False)[["score", "squared error"]].mean().round(4))


def by_variant(table: pd.DataFrame, first: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give means with intervals over seeds, and paired differences from the first variant."""
    scores = {name: part.sort_values("seed")["score"].to_numpy() for name, part in table.groupby("variant", sort=False)}
    means = [(name, *mean_interval(values)) for name, values in scores.items()]
    apart = [(n, *paired_difference_interval(s, scores[first])) for n, s in scores.items() if n != first]
    return tuple(pd.DataFrame(rows, columns=["variant", "mean", "low", "high"]) for rows in (means, apart))


means, apart = by_variant(learning, "CD-1")
paired_experiment(learning, means, apart, title="exact log p of held-out digits", unit="nats")

# %% [markdown]
# ## Samples
#
# A Gibbs chain draws the hidden units given the visible ones, then the visible given the hidden. Shown are the visible
# means after so many steps, from noise, in the grey values of the files.

# %%
chains = workflow.generate(large.id, n_chains=5, steps=(0, 1, 2, 5, 20, 100, 500), start="noise")
chain_grid(chains.states, chains.steps, unit="grey value")

# %% [markdown]
# ## Gaussian visible units, on image patches
#
# For real intensities: $E=\sum_i (v_i-b_i)^2/2\sigma_i^2-\mathbf c^\top\mathbf h-\sum_{ij}v_iW_{ij}h_j/\sigma_i^2$, so
# $P(v_i\mid\mathbf h)$ is a Gaussian about $b_i+\sum_jW_{ij}h_j$. Patches of synthetic brains (the MNI152 template
# deformed; see the notebook for Section 2.3), whitened, with sparse hidden units. Rates are a tenth of those of
# binary units, and updates are clipped, since this machine has energies without a floor and can explode.

# %%
BRAINS = f"brains for patches {N_SEEDS}"
if BRAINS not in [c.name for c in workflow.list_cohorts()]:
    workflow.make_phantom("brain", BRAINS, n_subjects=8 if FULL else 5, seed=0, spacing_mm=2.0 if FULL else 4.0)
quick = {} if FULL else {"n_patches": 4000, "n_epochs": 15, "n_hidden": 36, "batch_size": 50}
patches = {"spacing_mm": 0.0, "dimensions": 2, "patch_size": 7} | quick
gaussian = workflow.train("rbm", BRAINS, patches, preset="patches", title="Gaussian RBM")
assert gaussian.status().state == "finished", gaussian.status().message
workflow.figure(gaussian.id, "filters")

# %% [markdown]
# ## Stacking: the deep belief network
#
# $$P(\mathbf v,\mathbf h^{(1)},\dots,\mathbf h^{(L)})=
#   \left[\prod_{l=0}^{L-2}P(\mathbf h^{(l)}\mid\mathbf h^{(l+1)})\right]P(\mathbf h^{(L-1)},\mathbf h^{(L)})\tag{4}$$
#
# Lower layers are directed downwards, the top two are an RBM. Greedy learning is the review's steps 1 to 4: train an
# RBM, turn the data into what its hidden units make of them, train the next RBM on that. Step 2 allows *mean*
# activations or *samples*. Afterwards *wake–sleep* may train all layers together, with untied recognition and
# generative weights. The likelihood of a DBN has a lower bound, computed here with $\log Z$ of the top RBM.

# %%
sizes = {"n_hidden": (64, 16), "n_epochs_wake_sleep": 0}
nets = {
    "DBN, means": train("dbn", "DBN, means", sizes | {"propagate": "mean"}),
    "DBN, samples": train("dbn", "DBN, samples", sizes | {"propagate": "sample"}),
    "DBN, wake–sleep": train(
        "dbn", "DBN, wake–sleep", sizes | {"propagate": "sample", "n_epochs_wake_sleep": N_EPOCHS // 2}
    ),
}
workflow.figure(nets["DBN, samples"].id, "network")

# %% [markdown]
# *Figure 2b, from the live network.* Only some units and connections are drawn.

# %%
bounds = {name: pd.DataFrame(workflow.likelihood(run.id, n_betas=N_BETAS).rows) for name, run in nets.items()}
depth = {name: t.query("part == 'held-out' and kind == 'exact'").iloc[0] for name, t in bounds.items()}
flat = {
    "RBM 16": rows.query("model == 'RBM 16' and part == 'held-out' and kind == 'exact'").iloc[0],
    "RBM 64": rows.query("model == 'RBM 64' and part == 'held-out' and kind == 'forward'").iloc[0],
}
table = pd.DataFrame(flat | depth).T[["quantity", "value", "low", "high"]].rename_axis("nats, held-out digits")
display(table)

# %% [markdown]
# *Samples of the DBN with wake–sleep: a long Gibbs chain in the top RBM, then one pass down; means of the pixels.*

# %%
net = workflow.system_of(nets["DBN, wake–sleep"]).net(nets["DBN, wake–sleep"])
with torch.no_grad():
    drawn = net.sample(200, 500, torch.Generator().manual_seed(0))
pixel_gap = float((drawn.mean(0) - held_out(large).mean(0)).abs().mean())
sample_grid(drawn[:24].numpy(), columns=12, unit="probability")

# %% [markdown]
# ## Equation 4 and the bound, checked where everything can be added up
#
# A 8-6-4 network has few enough states to compute $\log P(\mathbf v)$ from Equation 4 itself. No bound may lie above.

# %%
from workbench.models.dbn import DBN

toy = DBN([RBM(8, 6, seed=1, init_scale=0.8), RBM(6, 4, seed=2, init_scale=0.8)], (8,)).double()
every = binary_states(8)
log_p = toy.exact_log_likelihood(every).detach()
top_z = float(log_z_by_enumeration(toy.top.log_marginal_hidden, 4))
lower = toy.bound(every, top_z, torch.Generator().manual_seed(0), 400).detach()
print(f"sum of P(v) {float(log_p.exp().sum()):.12f}; mean log P(v) {float(log_p.mean()):.3f}, bound {lower.mean():.3f}")

assert abs(float(log_p.exp().sum()) - 1) < 1e-9, "Equation 4 is a distribution"
assert float(lower.mean()) <= float(log_p.mean()), "the bound lies below"

# %% [markdown]
# ## What holds here, and what does not


# %%
def told(name: str) -> str:
    """Say whether a rule differs from CD-1 in exact likelihood."""
    mean, low, high = apart.set_index("variant").loc[name]
    word = "better than" if low > 0 else "worse than" if high < 0 else "not told apart from"
    return f"{name} is {word} CD-1 ({mean:+.3f} nats, 95 % interval {low:+.3f} to {high:+.3f})"


value = table["value"].astype(float)
mean_cd = learning.groupby("variant")[["score", "squared error"]].mean()
rebuilds, likely = mean_cd["squared error"].idxmin(), mean_cd["score"].idxmax()
lines = [
    f"**AIS.** For 16 hidden units forward AIS misses the exact log Z by {ais_16 - exact_16:+.3f} nats. The gap of the two "
    f"directions is {gaps['RBM 16']:+.3f} nats for 16 and {gaps['RBM 64']:+.3f} for 64 units.",
    f"**Reconstruction error is no likelihood.** With all weights times {best_rebuilt:g} the same machine rebuilds "
    f"held-out digits best of all factors, and their log p is {trade.loc[best_rebuilt, 'log p, nats']:.2f} nats; the "
    f"likeliest has factor {likeliest:g} and {trade.loc[likeliest, 'log p, nats']:.2f}. Of the three learning rules, "
    + (
        f"{rebuilds} both rebuilds best and is the likeliest."
        if rebuilds == likely
        else f"{rebuilds} rebuilds best and {likely} is the likeliest."
    ),
    f"**CD-k and PCD** over {N_SEEDS} seeds of one split, {N_EPOCHS} epochs: {told('CD-5')}; {told('PCD-1')}. Intervals "
    "over so few seeds are too narrow rather than too wide.",
    f"**Means or samples.** One training each: bound {value['DBN, means']:.2f} nats with means, "
    f"{value['DBN, samples']:.2f} with samples.",
    f"**Wake–sleep** changes the bound of that DBN by {value['DBN, wake–sleep'] - value['DBN, samples']:+.2f} nats; it "
    "had more epochs, so this is no fair comparison with more greedy ones.",
    f"**Depth.** The bound of the best trained DBN here is {value[list(nets)].max():.2f} nats, the likelihood of an RBM "
    f"of 64 units {value['RBM 64']:.2f}. "
    + ("A second layer has not helped: " if value[list(nets)].max() <= value["RBM 64"] else "The deeper one is ahead: ")
    + f"{value[list(nets)].max() - value['RBM 64']:+.2f} nats, from one seed. A bound may be lower than the truth, so "
    "a deficit is not proof; the review claims no gain in likelihood either.",
    f"**Samples.** The mean image of {len(drawn)} DBN samples is {pixel_gap:.3f} away from that of held-out digits, "
    "averaged over pixels.",
    "**Not measured here:** whether such features help a diagnosis; anything about medical images.",
]
display(Markdown("\n".join(f"- {line}" for line in lines)))

assert value["RBM 64"] > value["RBM 16"], "more hidden units are likelier here"
assert pixel_gap < 0.25, "samples have about the data's base rates"
assert len(learning) == N_SEEDS * len(rules)

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder (NIfTI, DICOM, NRRD or pictures; a BIDS tree and an MSD / nnU-Net `dataset.json`
# are understood too) and run the next cell. Images should be of one modality, skull-stripped or with masks, and
# roughly aligned. Without it, a folder of three phantom images stands in. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in images for 2.3.2"
    source.mkdir(parents=True, exist_ok=True)
    for subject in list(workflow.open_cohort(BRAINS))[:3]:
        image = subject.volume("T1")
        write_volume(image.with_data(image.data * subject.mask_array(image)), source / f"{subject.name}_T1.nii.gz")
if "my images for 2.3.2" in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort("my images for 2.3.2")  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, "my images for 2.3.2", link=True)
own = workflow.train("dbn", mine.name, {"scaling": "whiten", "n_epochs": 4}, preset="quick", title="my images")
assert own.status().state == "finished", own.status().message
workflow.figure(own.id, "filters")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
