"""A deep auto-encoder and hidden Markov models of resting-state dynamics, on signals whose states are known.

Review: Section 3.5, Reference 33, Figure 10
Needs: nothing; makes its own regional signals
"""

# %% [markdown]
# # 3.5 Suk 2016: hidden states
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 3.5, Reference 33 (Suk, Wee, Lee, Shen,
# *NeuroImage* 2016) and Figure 10; the system is `suk2016`. A deep auto-encoder turns the signals of all regions at one
# time into a few numbers, its *code*; a hidden Markov model (HMM) of each class describes how the code moves; a subject
# belongs to the class whose model makes its recording likelier. So the diagnosis rests on *dynamics*, where most others
# rest on correlations over the whole recording.
#
# Here the hidden states are planted. First the law in the plane where they live, then the system on 116 regions, then
# what lies between the two. Every number is marked: *held out* (from models that saw neither the subject nor its class)
# or *in-sample* (read from models that were fitted to the same recordings, though never to the true states). The
# sentences with numbers are written by the code from this run's results.
#
# The quick settings take about a minute on two processor cores: 40 subjects, 24-12-2 units, 2 folds. With
# `WORKBENCH_FULL=1` in the environment it uses 100 subjects, the preset `cpu` (200-100-50-2 units) and 5 folds.

# %%
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import numpy as np
import pandas as pd
from hmmlearn.hmm import GaussianHMM
from IPython.display import Markdown, display
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.classical.connectivity import EdgeScaling, connectivity_vectors
from workbench.classical.decomposition import decompose
from workbench.classical.hmm import decode, fit_hidden_markov, log_likelihood
from workbench.classical.model_order import choose_order
from workbench.classical.state_statistics import dwell_intervals, dwell_times, occupancy, transition_intervals
from workbench.figures.diagnosis import RocBand, likelihood_ratios, roc_with_chance
from workbench.figures.edges import Regions
from workbench.figures.recovery import matched_networks, recovery_table
from workbench.figures.states import dwell_histogram, occupancy_by_class, order_curve, state_raster, transition_graph
from workbench.imaging.cohort import Cohort
from workbench.imaging.splits import Split
from workbench.metrics.classification import auc, statistic_interval
from workbench.metrics.intervals import mean_interval, wilson_interval
from workbench.metrics.recovery import match_states
from workbench.paths import cohorts_dir, data_root
from workbench.phantoms.bold import make_bold
from workbench.phantoms.bold_states import planted_states, wandering_share
from workbench.runs.run import Run
from workbench.systems.regional_cv import linear_machine, linear_scores

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
N_SUBJECTS, N_FOLDS, N_RESTARTS, PRESET = (100, 5, 5, "cpu") if FULL else (40, 2, 1, "quick")
QUICK = {
    "n_hidden": (24, 12, 2),
    "n_epochs_pretraining": 10,
    "n_epochs": 8,
    "batch_size": 100,
    "gaussian_rate": 0.02,
    "fine_tuning_rate": 0.02,
    "n_restarts": 1,
}
BASE = {"n_folds": N_FOLDS, "n_states": 3, "hold_out": "subjects"} | ({} if FULL else QUICK)
SHORT, LONG = 130, 400  # volumes

# %% [markdown]
# ## What is planted
#
# A chain of three states; in each, two numbers scatter about the state's own point of a plane (standard deviation
# 0.6). Controls stay in a state with probability 0.95 from volume to volume, patients with 0.80, and **nothing else
# differs**: every single volume has the same law in both classes. The plane is bent into 116 regions by a tanh, with
# noise as large as the signal. A volume lasts 2 s.
#
# Two lengths of recording, 130 volumes (4.3 minutes; the usual phantom `bold-states`) and 400 (13 minutes), and a
# *null* cohort in which the classes differ in nothing.


# %%
def phantom(name: str, n_volumes: int, effect: float = 1.0) -> Cohort:
    """Open the cohort, or make it; all of its subjects take part in the cross-validation."""
    if name not in [c.name for c in workflow.list_cohorts()]:
        made = make_bold(
            cohorts_dir() / name, n_subjects=N_SUBJECTS, seed=0, kind="states", n_volumes=n_volumes, effect=effect
        )
        workflow.save_split(made, Split(tuple(s.name for s in made)))
    return workflow.open_cohort(name)


cohorts = {t: phantom(f"states {t} {N_SUBJECTS}", t) for t in (SHORT, LONG)}
null = phantom(f"states without a difference {N_SUBJECTS}", SHORT, effect=0.0)
truth = np.load(cohorts[LONG].path.parent / "truth.npz")
known = {t: [np.load(s.folder / s.name / "truth.npz") for s in c] for t, c in cohorts.items()}
paths = {t: [one["path"].astype(int) for one in found] for t, found in known.items()}
latents = {t: [one["latents"].astype(float) for one in found] for t, found in known.items()}
classes = np.array([s.target for s in cohorts[LONG]])
target = (classes == "patient").astype(int)
TR_S = cohorts[LONG].subjects[0].tr_s or 2.0
shown = [*np.flatnonzero(target == 0)[:8], *np.flatnonzero(target == 1)[:8]]
state_raster([paths[LONG][i] for i in shown], TR_S, classes=classes[shown].tolist(), n_states=3)

# %% [markdown]
# *The true states of eight controls and eight patients.* Stays last 40 s on average in
# controls and 10 s in patients.
#
# ## The law in the plane
#
# What can be known at best is what the two numbers themselves tell. With forward probabilities
# $\alpha_t(k)=p(\mathbf f_t\mid k)\sum_j\alpha_{t-1}(j)A_{jk}$ the likelihood of a recording is $\sum_k\alpha_T(k)$;
# here by hand, by `hmmlearn`, and by the workbench, for one model and one recording.

# %%
plane = latents[SHORT]
model = fit_hidden_markov([z for z, c in zip(plane, target, strict=True) if c == 0], 3, n_restarts=N_RESTARTS, seed=0)
emission = np.stack(
    [multivariate_normal(m, c).logpdf(plane[0]) for m, c in zip(model.means, model.covariances, strict=True)], 1
)
alpha = np.log(model.start) + emission[0]
for frame in emission[1:]:
    alpha = logsumexp(alpha[:, None] + np.log(model.transitions), axis=0) + frame
peer = GaussianHMM(3, "full", init_params="")
peer.startprob_, peer.transmat_ = model.start, model.transitions
peer.means_, peer.covars_ = model.means, model.covariances
by_hand, by_peer, by_us = float(logsumexp(alpha)), float(peer.score(plane[0])), log_likelihood(model, plane[0])
print(f"log p: by hand {by_hand:.8f}, hmmlearn {by_peer:.8f}, workbench {by_us:.8f} nats")

assert abs(by_hand - by_us) < 1e-6, "the forward recursion in log space"
assert abs(by_peer - by_us) < 1e-6, "agrees with hmmlearn"

# %% [markdown]
# Now one model a class, fitted to the training folds; the log-likelihood ratio of each held-out subject, per volume so
# that long recordings do not count for more. The line at 0 is the decision.


# %%
def fold_ratios(codes: list[np.ndarray], held: np.ndarray, of: np.ndarray, n_restarts: int) -> list[float]:
    """Give log p(patients' model) - log p(controls' model) of the held-out subjects, nats a volume."""
    own = [[codes[i] for i in np.flatnonzero(~held & (of == c))] for c in (0, 1)]
    control, patient = (fit_hidden_markov(z, 3, n_restarts=n_restarts, seed=0) for z in own)
    out = [codes[i] for i in np.flatnonzero(held)]
    return [(log_likelihood(patient, z) - log_likelihood(control, z)) / len(z) for z in out]


def ratios(codes: list[np.ndarray], of: np.ndarray, n_restarts: int = N_RESTARTS) -> np.ndarray:
    """Give every subject's held-out ratio (N,)."""
    found = np.empty(len(codes))
    for f in range(N_FOLDS):
        found[fold_of == f] = fold_ratios(codes, fold_of == f, of, n_restarts)
    return found


def interval(scores: np.ndarray, of: np.ndarray = target) -> tuple[float, float, float]:
    """Give the area under the ROC curve with its 95 % interval over subjects."""
    return tuple(float(v) for v in statistic_interval(auc, of, scores))


def right(scores: np.ndarray, of: np.ndarray = target) -> tuple[float, float, float]:
    """Give the accuracy at 0 with its Wilson interval."""
    n = int(((scores > 0) == of).sum())
    return tuple(float(v) for v in wilson_interval(n, len(of)))


fold_of = np.arange(N_SUBJECTS) // 2 % N_FOLDS  # each has as many of both classes
in_plane = {t: ratios(latents[t], target) for t in (SHORT, LONG)}
plane_auc, plane_right = ({t: f(v) for t, v in in_plane.items()} for f in (interval, right))
best = {t: json.loads((c.path.parent / "truth.json").read_text())["best"] for t, c in cohorts.items()}
display(
    pd.DataFrame(
        [(t, *plane_auc[t], best[t]["auc"], *plane_right[t], best[t]["accuracy"]) for t in in_plane],
        columns=["volumes", "AUC", "low", "high", "best AUC", "accuracy", "low", "high", "best accuracy"],
    )
    .set_index("volumes")
    .round(3)
)
likelihood_ratios(in_plane[SHORT], classes.tolist(), positive="patient", unit="nats a volume")

# %% [markdown]
# *Held out, 130 volumes, from the two numbers themselves.* "Best" is the exact likelihood ratio with the planted law.

# %%
assert plane_auc[SHORT][0] > 0.93 and plane_right[LONG][0] >= 0.93, "dynamics tell the classes apart"
assert plane_right[LONG][1] <= best[LONG]["accuracy"], "and no better than the exact ratio can"

# %% [markdown]
# ## What a static look can see
#
# The law of one volume is the same in both classes, so the second moments of the regions *about the population's mean*
# have the same expectation, and a machine that learns from them should be at chance. A **correlation is not the same
# thing**: it subtracts the recording's own mean, and the mean of a short recording of long stays wanders. It takes
# $(1+2\sum_k(1-k/T)\lambda^k)/T$ of the states' covariance with it, $\lambda=(3A_{kk}-1)/2$: more in controls than
# in patients. Measured in the plane, beside the formula; then both, by linear machines:

# %%
crowd = planted_states(400 if FULL else 160, seed=1, n_volumes=SHORT)  # arrays; many more subjects than cohorts have
middle = np.stack([crowd.latents[crowd.paths == k].mean(0) for k in range(3)])
rows = []
for c, stay in ((0, 0.95), (1, 0.80)):
    points = middle[crowd.paths[crowd.target == c]]  # (n, T, 2), where the states are
    whole = np.square(points - points.mean((0, 1))).sum(-1).mean()
    own = np.square(points - points.mean(1, keepdims=True)).sum(-1).mean()
    rows.append((("control", "patient")[c], 1 - own / whole, wandering_share(stay, SHORT)))
wander = pd.DataFrame(rows, columns=["130 volumes", "measured share", "formula"]).set_index("130 volumes")
display(wander.round(3))

assert (wander["measured share"] - wander["formula"]).abs().max() < 0.03, "the mean of a run takes this much along"
assert wander.loc["control", "formula"] > 3 * wander.loc["patient", "formula"], "more in controls than in patients"


# %%
def second_moments(x: np.ndarray, of: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Score subjects (N, T, R) by a linear machine on second moments about the training subjects' mean (N,)."""
    found, lower = np.empty(len(x)), np.tril_indices(x.shape[2])
    for f in np.unique(fold):
        train = fold != f
        around = x - x[train].mean((0, 1))
        moments = np.stack([(one.T @ one / len(one))[lower] for one in around])
        scaling = EdgeScaling.learn(moments[train])
        machine = linear_machine(scaling.apply(moments[train]), of[train])
        found[~train] = machine.decision_function(scaling.apply(moments[~train]))
    return found


deal = np.arange(len(crowd.target)) // 2 % 2
static = {
    "second moments about the population's mean": second_moments(crowd.values, crowd.target, deal),
    "correlations": linear_scores(connectivity_vectors(list(crowd.values)), crowd.target, deal),
}
static = {name: interval(scores, crowd.target) for name, scores in static.items()}
columns = [f"AUC, held out, {len(deal)} subjects", "low", "high"]
display(pd.DataFrame(static, index=columns).T.round(3))
MOMENTS, STATIC = static.values()

assert MOMENTS[1] < 0.5 < MOMENTS[2], "static second moments are at chance"
assert STATIC[1] > 0.5, "correlations of short recordings are not"

# %% [markdown]
# ## The system on regions
#
# Restricted Boltzmann machines, Gaussian at the bottom, are stacked and fine-tuned on the single volumes of all
# training subjects without their classes; the codes are whitened; an HMM of three states is fitted to each class. All
# of it is learnt again in every fold. As in the paper's preprocessing every region of every subject is z-scored over
# its own recording. The same folds score two others: the same HMMs on two principal components, and a linear machine
# on correlations.


# %%
def train(cohort: Cohort, title: str) -> Run:
    """Train the system in this process."""
    run = workflow.train("suk2016", cohort.name, BASE, preset=PRESET, title=title)
    assert run.status().state == "finished", run.status().message
    return run


runs = {LONG: train(cohorts[LONG], "400 volumes"), SHORT: train(cohorts[SHORT], "130 volumes")}
seen = {t: workflow.diagnosis(run.id) for t, run in runs.items()}
assert all((found.target == target).all() for found in seen.values()), "subjects are in the cohort's order"
told = pd.DataFrame(
    [
        (t, method, *interval(scores), *right(scores))
        for t, found in seen.items()
        for method, scores in found.scores.items()
    ],
    columns=["volumes", "method, held out", "AUC", "AUC low", "AUC high", "accuracy", "low", "high"],
)
display(told.set_index(["volumes", "method, held out"]).round(3))
workflow.figure(runs[LONG].id, "ratios")

# %%
OWN, LINEAR, CORRELATIONS = seen[LONG].scores
band, test = workflow.roc(runs[LONG].id, OWN)
roc_with_chance(
    RocBand(
        band.false_positive_rate, band.true_positive_rate, band.low, band.high, test.observed,
        (band.auc.low, band.auc.high), test.null, test.p,
    )
)  # fmt: skip

# %% [markdown]
# *Held out, 400 volumes: the ROC curve of the deep codes, and the areas that shuffled classes give for the same
# scores.*

# %%
at = told.set_index(["volumes", "method, held out"])
share = float(runs[LONG].load_arrays("whitening")["share"])
print(f"smallest over largest variance of the code's principal directions: {share:.2f}")

assert at.loc[(LONG, OWN), "AUC"] > 0.85 and test.p < 0.01, "the system tells the classes apart"
assert share > 0.01, "the code has not collapsed onto one direction"

# %% [markdown]
# ## Figure 10: what units of the first layer look at
#
# A unit is drawn as its regions of largest weight; at the left units whose regions belong to one network of the
# reference, at the right mixed ones. Names of networks are real (the regions have Dosenbach's places), but what is
# planted here is one plane in which a network's regions point to similar directions: units that mix networks are
# **right**, not a failure.

# %%
workflow.figure(runs[LONG].id, "functional-networks")

# %%
overlap = workflow.network_overlap(runs[LONG].id, top=12)
networks = workflow.regional_networks(runs[LONG].id)
n_pure = int((overlap.purity >= 0.6).sum())
print(f"{n_pure} of {len(overlap.purity)} units are pure (at least 60 % of their 12 strongest regions in one network)")

# %% [markdown]
# ## States, decoded
#
# From here on numbers are **in-sample**: the paths are the likeliest ones under models that were fitted to all
# recordings. Nobody told those models a state, so agreement with the planted paths is no matter of course; a
# half-and-half check follows. Each subject is decoded by the model of its own class, and the states are numbered as the
# planted ones they agree with most.

# %%
views = workflow.states(runs[LONG].id)
order, agreement, found_paths = [], [], [np.zeros(0, int)] * N_SUBJECTS
for c, view in enumerate(views):
    mine = np.flatnonzero(target == c)
    matched = match_states(
        np.concatenate([view.paths[i] for i in mine]), np.concatenate([paths[LONG][i] for i in mine])
    )
    order.append(np.argsort(matched.permutation))
    agreement.append(matched.accuracy)
    for i in mine:
        found_paths[i] = matched.permutation[view.paths[i]]
state_raster([found_paths[i] for i in shown], TR_S, classes=classes[shown].tolist(), n_states=3)

# %% [markdown]
# *The same sixteen subjects as in the first figure, decoded from the regions.* Half and half: HMMs on the codes of
# every other subject decode the rest (the auto-encoder saw all of them, never their states).

# %%
frames = runs[LONG].load_arrays("frames")
codes = np.split(frames["codes"].astype(float), np.cumsum(frames["lengths"])[:-1])
halves = []
for c in (0, 1):
    mine = np.flatnonzero(target == c)
    half = fit_hidden_markov([codes[i] for i in mine[::2]], 3, n_restarts=N_RESTARTS, seed=0)
    parts = {"fitted to": mine[::2], "held out": mine[1::2]}
    for part, who in parts.items():
        decoded = np.concatenate([decode(half, codes[i]) for i in who])
        right_share = match_states(decoded, np.concatenate([paths[LONG][i] for i in who])).accuracy
        halves.append((("control", "patient")[c], part, right_share))
halves = pd.DataFrame(halves, columns=["class", "subjects", "share of volumes in the right state"])
display(halves.pivot(index="class", columns="subjects", values="share of volumes in the right state").round(3))

accuracies = halves.set_index(["class", "subjects"]).iloc[:, 0]
blind = accuracies.xs("held out", level="subjects")
assert blind.min() > 0.7, "states are found in subjects that no HMM was fitted to"
assert min(agreement) > 0.7, "and by the models of all subjects"

# %% [markdown]
# Transitions of both classes (bootstrap over subjects; intervals take the decoded paths as given, so they know nothing
# of errors in decoding):

# %%
moves = {c: transition_intervals([found_paths[i] for i in np.flatnonzero(target == c)], 3) for c in (0, 1)}
stays = {c: dwell_intervals([found_paths[i] for i in np.flatnonzero(target == c)], 3) for c in (0, 1)}
table = []
for c, name in enumerate(("control", "patient")):
    fitted = views[c].transitions[np.ix_(order[c], order[c])]
    for k in range(3):
        a = moves[c]
        table.append(
            (name, k + 1, truth_stay := (0.95, 0.80)[c], fitted[k, k], a.estimate[k, k], a.low[k, k], a.high[k, k],
             TR_S / (1 - truth_stay), *(TR_S * v[k] for v in (stays[c].estimate, stays[c].low, stays[c].high)))
        )  # fmt: skip
columns = ["class", "state", "planted A", "A of the HMM", "A of paths", "low", "high"]
columns += ["planted stay, s", "stay, s", "stay low", "stay high"]
transitions = pd.DataFrame(table, columns=columns)
display(transitions.set_index(["class", "state"]).round(3))
shares = occupancy([found_paths[i] for i in np.flatnonzero(target == 0)], 3)
transition_graph(
    moves[0].estimate, occupancy=shares.mean(0), dwell_s=TR_S * stays[0].estimate,
    intervals=np.stack([moves[0].low, moves[0].high], -1),
)  # fmt: skip

# %% [markdown]
# *Controls. Below: patients.*

# %%
shares_patients = occupancy([found_paths[i] for i in np.flatnonzero(target == 1)], 3)
transition_graph(
    moves[1].estimate, occupancy=shares_patients.mean(0), dwell_s=TR_S * stays[1].estimate,
    intervals=np.stack([moves[1].low, moves[1].high], -1),
)  # fmt: skip

# %% [markdown]
# How long whole visits last, in seconds; controls:

# %%
visits = dwell_times([found_paths[i] for i in np.flatnonzero(target == 0)], 3)
dwell_histogram([TR_S * v for v in visits])

# %%
by_class = transitions.groupby("class")
lasts = by_class["stay, s"].mean()
fitted_stay = by_class["A of the HMM"].mean()
assert (
    transitions.query("`class` == 'control'")["stay low"].min()
    > transitions.query("`class` == 'patient'")["stay high"].max()
), "controls stay longer"
assert fitted_stay["control"] - fitted_stay["patient"] > 0.08, "in the models too"

# %% [markdown]
# Shares of time do **not** differ, by construction; a dot is a subject.

# %%
rows = [
    (k, classes[i], seen[LONG].subjects[i], float(np.mean(found_paths[i] == k)))
    for i in range(N_SUBJECTS)
    for k in range(3)
]
occupancy_by_class(pd.DataFrame(rows, columns=["state", "class", "subject", "share"]))

# %% [markdown]
# Each state's mean code, decoded back to a pattern over regions, beside the planted mean signal of that state:

# %%
patterns = views[0].patterns[order[0]]
planted = truth["patterns"][0]
fit = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(patterns, planted, strict=True)])
regions = Regions(networks.regions, networks.coordinates_mm, networks.networks)
matched_networks(
    {"decoded": patterns, "truth": planted}, {"decoded": fit}, regions, names=[f"state {k + 1}" for k in range(3)]
)

# %%
print("correlation over regions of decoded and planted patterns:", ", ".join(f"{r:.3f}" for r in fit))

assert (fit > 0.9).all(), "the decoder leads back to the planted patterns"

# %% [markdown]
# ## How many states?
#
# The number of states is no result of the fit; it was set to three. Held-out likelihood (two folds among some
# controls, on their codes; the auto-encoder saw them all) says what the recordings support. The plane is bent, so one
# planted state is no Gaussian cloud in the code, and more than three Gaussians may be worth their while without being
# states.

# %%
few = np.flatnonzero(target == 0)[: None if FULL else 8]
curve = choose_order([codes[i] for i in few], range(1, 6), n_folds=2, n_restarts=1, seed=0)
plain = choose_order([latents[LONG][i] for i in few], range(1, 6), n_folds=2, n_restarts=1, seed=0)
orders = pd.DataFrame({"order": curve.orders, "mean": curve.mean, "low": curve.low, "high": curve.high})
print(f"chosen from the codes {curve.chosen} states, from the planted plane {plain.chosen}")
order_curve(orders, chosen=curve.chosen)

# %%
gain = np.diff(curve.mean)
assert gain[1] > 0 and gain[:2].sum() > 5 * max(gain[2:].max(), 0), "three states hold most of what there is to gain"
assert plain.chosen == 3, "in the plane itself three are chosen"

# %% [markdown]
# ## The null phantom
#
# The same system and settings on classes that differ in nothing. This catches leaks: whatever is learnt from a
# held-out subject would show here.

# %%
idle = train(null, "no difference")
nothing = workflow.diagnosis(idle.id)
nulls = {method: interval(scores, nothing.target) for method, scores in nothing.scores.items()}
display(pd.DataFrame(nulls, index=["AUC", "low", "high"]).T.rename_axis("held out, no difference").round(3))
likelihood_ratios(
    nothing.scores[OWN], [nothing.classes[c] for c in nothing.target], positive="patient", unit="nats a volume"
)

# %%
assert nulls[OWN][1] < 0.5 < nulls[OWN][2], "no difference, no diagnosis"

# %% [markdown]
# One null cohort is one draw, and **intervals over cross-validated scores are too narrow**: subjects are drawn with
# replacement as if their scores were independent, but the scores of a fold share a model, and the models share
# subjects. How often such a "95 %" interval covers 0.5 when there is nothing to find, for the simplest classifier there
# is (difference of means in 30 dimensions, 40 subjects, 2 folds):

# %%
rng = np.random.default_rng(0)
covered, y, half = [], np.arange(40) % 2, np.arange(40) // 2 % 2
for _ in range(300 if FULL else 80):
    x, scores = rng.normal(size=(40, 30)), np.empty(40)
    for f in (0, 1):
        high, low = (x[(half != f) & (y == c)].mean(0) for c in (1, 0))
        scores[half == f] = (x[half == f] - (high + low) / 2) @ (high - low)
    _, low, high = statistic_interval(auc, y, scores, n_boot=200)
    covered.append(low < 0.5 < high)
coverage = wilson_interval(sum(covered), len(covered))
told_coverage = f"{coverage.mean:.0%} ({coverage.low:.0%} to {coverage.high:.0%})"
print(f"a 95 % interval covers 0.5 in {told_coverage} of {len(covered)} null cohorts")

assert coverage.low < 0.95, "no better than it says"

# %% [markdown]
# So read every interval here as one of about that coverage, the null's too, and *p* of shuffled scores with the same
# care. The test that holds learns again for every shuffle of the classes; here the HMMs are learnt again on the codes
# (which never saw a class, though they saw all volumes):

# %%
frames = runs[SHORT].load_arrays("frames")
codes = np.split(frames["codes"].astype(float), np.cumsum(frames["lengths"])[:-1])
of_codes = auc(target, ratios(codes, target))
shuffled = []
for seed in range(100 if FULL else 8):
    labels = np.random.default_rng(seed).permutation(target)
    shuffled.append(auc(labels, ratios(codes, labels, n_restarts=1)))
middling = mean_interval(shuffled)
p_again = (1 + sum(v >= of_codes for v in shuffled)) / (1 + len(shuffled))
print(f"130 volumes: AUC {of_codes:.3f}; shuffled {min(shuffled):.3f} to {max(shuffled):.3f}")
print(f"mean of shuffled {middling.mean:.3f} [{middling.low:.3f}, {middling.high:.3f}]")
print(f"p = {p_again:.3f}; with {len(shuffled)} shuffles no smaller one than {1 / (1 + len(shuffled)):.3f} is possible")

assert abs(middling.mean - 0.5) < 0.12, "shuffled classes are at chance on average"
assert of_codes > np.mean(shuffled) + 0.1, "the true classes are not"

# %% [markdown]
# ## From the plane to the regions: where it is lost
#
# The ladder from the planted numbers to the system's own scores, for both lengths; AUC, held out, with 95 % intervals
# over subjects. *Own mean* is what z-scoring each recording does. The folds of the first three rows are not those of
# the system, whose are dealt at random.


# %%
signals = {t: [s.regional_series().values.astype(float) for s in c] for t, c in cohorts.items()}


def components(t: int) -> np.ndarray:
    """Give ratios from two principal components of regions scaled by the training subjects' mean and deviation."""
    found = np.empty(N_SUBJECTS)
    for f in range(N_FOLDS):
        volumes = np.concatenate([signals[t][i] for i in np.flatnonzero(fold_of != f)])
        mean, sd = volumes.mean(0), volumes.std(0)
        maps = decompose((volumes[:: 1 if FULL else 8] - mean) / sd, "pca", 2, 0).maps.T
        found[fold_of == f] = fold_ratios(
            [((x - mean) / sd) @ maps for x in signals[t]], fold_of == f, target, N_RESTARTS
        )
    return found


steps = []
for t, found in seen.items():
    rungs = {
        "planted numbers, HMM": plane_auc[t],
        "… minus the run's own mean": interval(ratios([z - z.mean(0) for z in latents[t]], target)),
        "regions, population's mean, PCA, HMM": interval(components(t)),
        "regions, own mean, PCA, HMM": interval(found.scores[LINEAR]),
        "regions, own mean, deep code, HMM": interval(found.scores[OWN]),
        "regions, correlations, linear": interval(found.scores[CORRELATIONS]),
    }
    steps += [(name, f"{t} volumes", *values) for name, values in rungs.items()]
ladder = pd.DataFrame(steps, columns=["method", "sources", "mean", "low", "high"]).sort_values("sources", kind="stable")
recovery_table(ladder, metric="AUC", limits=(0.4, 1.0))

# %%
rung = ladder.set_index(["method", "sources"])["mean"]
cost = {
    t: rung["planted numbers, HMM", f"{t} volumes"] - rung["… minus the run's own mean", f"{t} volumes"] for t in seen
}

assert cost[SHORT] > cost[LONG] + 0.03, "subtracting a short recording's own mean is what costs"
assert (
    rung["regions, own mean, deep code, HMM", f"{LONG} volumes"]
    > rung["regions, correlations, linear", f"{LONG} volumes"]
)

# %% [markdown]
# ## What holds here, and what does not


# %%
def words(t: int, method: str) -> str:
    """Say an area with its interval."""
    value, low, high = at.loc[(t, method), ["AUC", "AUC low", "AUC high"]]
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


deep_gain = {t: at.loc[(t, OWN), "AUC"] - at.loc[(t, LINEAR), "AUC"] for t in seen}
overlapping = {
    t: at.loc[(t, OWN), "AUC low"] <= at.loc[(t, LINEAR), "AUC high"]
    and at.loc[(t, LINEAR), "AUC low"] <= at.loc[(t, OWN), "AUC high"]
    for t in seen
}
covers = transitions.eval("low <= `planted A` <= high").sum()
lines = [
    f"**Dynamics alone tell these classes apart.** Held out, in the plane itself: accuracy {plane_right[SHORT][0]:.3f} "
    f"with 130 volumes and {plane_right[LONG][0]:.3f} with 400, while static second moments have AUC "
    f"{MOMENTS[0]:.3f} ({MOMENTS[1]:.3f} to {MOMENTS[2]:.3f}).",
    f"**The system on regions**: AUC {words(LONG, OWN)} with 400 volumes, {words(SHORT, OWN)} with 130; accuracy "
    f"{at.loc[(LONG, OWN), 'accuracy']:.3f} and {at.loc[(SHORT, OWN), 'accuracy']:.3f}.",
    f"**Z-scoring takes some of it away**: subtracting each recording's own mean costs {cost[SHORT]:.3f} AUC with 130 "
    f"volumes and {cost[LONG]:.3f} with 400, before any region is looked at. Long stays in short "
    "recordings suffer most.",
    f"**Correlations see a little of it**, AUC {STATIC[0]:.3f} ({STATIC[1]:.3f} to {STATIC[2]:.3f}) over {len(deal)} "
    "subjects: not because volumes differ but because means wander. A diagnosis from correlations can be one of "
    "dynamics in disguise.",
    f"**Deep or linear code.** The deep code changes the AUC by {deep_gain[LONG]:+.3f} (400 volumes) and "
    f"{deep_gain[SHORT]:+.3f} (130) against two principal components, whose intervals "
    + ("overlap in both" if all(overlapping.values()) else "do not overlap in all")
    + ": one cohort and one seed cannot tell them apart, and this plane is only slightly bent.",
    f"**States** are right in {min(agreement):.0%} to {max(agreement):.0%} of volumes (in-sample) and "
    f"{blind.min():.0%} to {blind.max():.0%} in subjects no HMM was fitted to.",
    f"**Stays** (in-sample) come out at {lasts['control']:.0f} s and {lasts['patient']:.0f} s instead of 40 and 10 s, "
    f"and the intervals of {covers} of 6 states cover the planted probability of staying: their order is right, "
    "their size is not to be taken at its word. In the plane itself the HMM finds "
    f"{np.diag(model.transitions).mean():.3f} for the controls' 0.95; noise and the bent plane break stays up.",
    f"**The null phantom**: AUC {nulls[OWN][0]:.3f} ({nulls[OWN][1]:.3f} to {nulls[OWN][2]:.3f}); of the three "
    f"methods' intervals {sum(low < 0.5 < high for _, low, high in nulls.values())} cover 0.5. All intervals of "
    f"cross-validated scores are too narrow: for a bare classifier they cover 0.5 in {told_coverage} of null cohorts, "
    "not in 95 %.",
    f"**The number of states** is not told by likelihood alone: from the codes {curve.chosen} are chosen of 1 to 5, "
    f"from the planted plane {plain.chosen}.",
    "**Not measured here:** anything about people. The paper's 81.08 % accuracy is of 37 subjects of the authors' own; "
    "30 of 37 right have a Wilson interval of "
    f"{wilson_interval(30, 37).low:.0%} to {wilson_interval(30, 37).high:.0%}.",
]
display(Markdown("\n".join(f"- {line}" for line in lines)))

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a folder of regional time series (CSV, TSV, NPZ; rows are time) of two classes, named in a
# `participants.tsv` with the columns `participant_id`, `target` and `tr_s` (seconds), or to a cohort made by extracting
# regions from 4-D images (see the notebook *3.5 from images to networks*). At least four subjects a class; forty is
# little. Without it, twelve subjects of the phantom stand in. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in series for Suk 2016"
    source.mkdir(parents=True, exist_ok=True)
    lines = ["participant_id\ttarget\ttr_s"]
    for subject in list(cohorts[SHORT])[:12]:
        (source / f"{subject.name}.csv").write_bytes(subject.series.read_bytes())
        lines.append(f"{subject.name}\t{subject.target}\t{TR_S:g}")
    (source / "participants.tsv").write_text("\n".join(lines) + "\n")
if "my series" in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort("my series")  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, "my series", link=True)
workflow.save_split(mine, Split(tuple(s.name for s in mine)))
own = workflow.train("suk2016", mine.name, BASE | {"n_states": 2}, preset=PRESET, title="my series")
assert own.status().state == "finished", own.status().message
workflow.figure(own.id, "states")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
