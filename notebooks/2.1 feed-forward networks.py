"""Feed-forward networks: the perceptron, and what a hidden layer adds.

Review: Section 2.1, Equations 1 to 3, Figure 1; the claims on approximation in Section 2.2
Needs: nothing; the digits that scikit-learn installs, and images of its own
"""

# %% [markdown]
# # 2.1 Feed-forward networks
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 2.1, Equations 1 to 3, Figure 1, and what
# Section 2.2 says about approximation. This notebook lets a perceptron learn by its own rule and counts its mistakes
# against the bound that theory gives, shows what it cannot learn and how one hidden layer helps, writes Equations 1 to
# 3 out by hand beside the network that the workbench trains, tries the two claims on approximation, and trains on
# digits and on tissue. The sentences with numbers are written by the code from this run's results.
#
# The default settings take under a minute on two processor cores. With `WORKBENCH_FULL=1` in the environment there are
# more repetitions, larger networks and longer training.

# %%
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from IPython.display import Markdown, display
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC
from torch.nn import functional as F

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.figures.curves import compare_curves
from workbench.figures.decision import Grid, decision_regions
from workbench.figures.predictions import confusion, reliability_curve
from workbench.figures.theme import DASHES, SYMBOLS, finish, series_color
from workbench.metrics.classification import accuracy, balanced_accuracy, calibration_error, reliability_table, score
from workbench.metrics.intervals import mean_interval, paired_difference_interval, wilson_interval
from workbench.models.mlp import MLP, backpropagate
from workbench.models.perceptron import Perceptron
from workbench.paths import data_root
from workbench.runs.run import Run

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
N_SETS, N_RESTARTS, N_FITS = (100, 200, 10) if FULL else (20, 20, 3)


def curves(lines: dict, x: str, y: str, alt: str, *, log: bool = False, marks: bool = True) -> go.Figure:
    """Draw y against x for each name → (x, y); the axes carry what they are."""
    fig = go.Figure()
    for i, (name, (at, values)) in enumerate(lines.items()):
        fig.add_scatter(
            x=at, y=values, name=name, mode="lines+markers" if marks else "lines", marker={"symbol": SYMBOLS[i % 8]},
            line={"color": series_color(i, "light"), "dash": DASHES[i % len(DASHES)], "width": 2},
        )  # fmt: skip
    kind = "log" if log else "linear"
    fig.update_xaxes(title=x, type=kind).update_yaxes(title=y, type=kind)
    if log:
        fig.update_xaxes(dtick="D2").update_yaxes(dtick=1)
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, margin={"t": 48})
    return finish(fig, "light", alt=alt, height=380)


# %% [markdown]
# ## The perceptron and its rule
#
# The perceptron (Rosenblatt 1958; Figure 1a) is a threshold on a weighted sum, $y=[\mathbf w^\top\mathbf v+b>0]$. It
# learns from its mistakes alone. With $t\in\{0,1\}$,
#
# $$\mathbf w\leftarrow\mathbf w+\eta\,(t-y)\,\mathbf v,\qquad b\leftarrow b+\eta\,(t-y).$$
#
# No gradient is taken; the step function has none. Yet if some unit vector $\mathbf u$ over $(\mathbf v,1)$ separates
# the classes with margin $\gamma$, and no $(\mathbf v,1)$ is longer than $R$, the rule makes **at most
# $(R/\gamma)^2$ mistakes in all**, however many examples there are and in whatever order they come (Novikoff 1962).


# %%
def separable(margin: float, n_inputs: int, seed: int, n: int = 400) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Draw examples on two sides of a random plane, none nearer than ``margin``; give the bound on mistakes too."""
    rng = np.random.default_rng([seed, n_inputs])
    teacher = rng.normal(size=n_inputs + 1) * np.array([1.0] * n_inputs + [0.3])
    teacher /= np.linalg.norm(teacher)
    x = rng.uniform(-1, 1, (200 * n, n_inputs))
    height = x @ teacher[:-1] + teacher[-1]
    kept = np.flatnonzero(np.abs(height) > margin)[:n]
    x, height = x[kept], height[kept]
    radius = np.sqrt((x**2).sum(1) + 1).max()
    bound = float((radius / np.abs(height).min()) ** 2)
    return torch.from_numpy(x), torch.from_numpy(height > 0).long(), bound


def mistakes_of(x: torch.Tensor, y: torch.Tensor, seed: int) -> tuple[Perceptron, int]:
    """Learn by the rule until an epoch passes without a mistake."""
    unit = Perceptron(x.shape[1]).double()
    counts = unit.fit(x, y, 10_000, torch.Generator().manual_seed(seed))
    assert counts[-1] == 0, "where a margin separates the classes, the rule comes to rest"
    return unit, sum(counts)


counts = []
for margin in (0.01, 0.02, 0.05, 0.1, 0.2):
    for seed in range(N_SETS):
        x, y, bound = separable(margin, 2, seed)
        counts.append((margin, mistakes_of(x, y, seed)[1], bound))
counts = pd.DataFrame(counts, columns=["margin", "mistakes", "bound"])
by_margin = counts.groupby("margin").agg(mean=("mistakes", "mean"), most=("mistakes", "max"), bound=("bound", "min"))
display(by_margin.round(1))
curves(
    {
        "mistakes, mean": (by_margin.index, by_margin["mean"]),
        "mistakes, most": (by_margin.index, by_margin["most"]),
        "bound, least": (by_margin.index, by_margin["bound"]),
    },
    "margin of the plane that made the classes",
    "mistakes",
    "Mistakes of the perceptron rule against the margin, below Novikoff's bound at every margin.",
    log=True,
)

# %% [markdown]
# *Mistakes against the margin, over random sets of 400 points in the plane; both axes logarithmic.* The margin here is
# that of the plane that made the classes; the widest one would give a smaller bound, which holds as well.

# %%
GRID = Grid(np.linspace(-1.1, 1.1, 111), np.linspace(-1.1, 1.1, 111), ("input 1", "input 2"))
PLACES = torch.from_numpy(np.stack(np.meshgrid(GRID.x, GRID.y), -1).reshape(-1, 2))


def two_classes(p: torch.Tensor, grid: Grid = GRID) -> np.ndarray:
    """Lay probabilities (n,) of class 1 on a grid: (ny, nx, 2)."""
    p = p.detach().double().numpy().reshape(len(grid.y), len(grid.x))
    return np.stack([1 - p, p], -1)


x, y, bound = separable(0.1, 2, seed=3)
unit, n_mistakes = mistakes_of(x, y, seed=3)
print(f"{n_mistakes} mistakes; at most {bound:.0f} were possible")
height = unit(PLACES) / unit.weight.norm()  # distance from the line: the step is drawn one pixel wide
decision_regions(
    two_classes((0.5 + height / (GRID.x[1] - GRID.x[0])).clamp(0, 1)), GRID, x[:150].numpy(), y[:150].numpy()
)

# %% [markdown]
# ## Classes that overlap
#
# Where nothing separates the classes, the rule never comes to rest: its last weights are those of its last mistakes.
# Two remedies keep the rule: the *pocket* holds the weights that were right most often, the *average* takes the mean
# of the weights over all presentations. Two Gaussian classes, 200 training points; the linear discriminant is
# the right model for them, so it says what can be had.

# %%
overlapping = []
for seed in range(N_SETS):
    rng = np.random.default_rng(seed)
    shift = np.array([1.0, 0.5])
    points = rng.normal(size=(2200, 2)) + np.where(np.arange(2200)[:, None] % 2, shift, -shift)
    x, y = torch.from_numpy(points), torch.arange(2200) % 2
    row = {"linear discriminant": LinearDiscriminantAnalysis().fit(points[:200], y[:200]).predict(points[200:])}
    for variant in ("last", "pocket", "averaged"):
        unit = Perceptron(2).double()
        unit.fit(x[:200], y[:200], 20, torch.Generator().manual_seed(seed), variant=variant)
        row[variant] = unit.predict(x[200:]).numpy()
    overlapping.append({name: 100 * (1 - accuracy(y[200:].numpy(), predicted)) for name, predicted in row.items()})
overlapping = pd.DataFrame(overlapping)
intervals = {name: mean_interval(values) for name, values in overlapping.items()}
display(pd.DataFrame(intervals, index=["error, %", "low", "high"]).T.round(2))

# %% [markdown]
# ## What a single layer cannot learn
#
# The review: a perceptron "is regarded as a linear model, prohibiting its application in tasks involving complicated
# data patterns, despite the use of nonlinear activation functions in the output layer". Four points are enough: class 1
# where *exactly one* of two inputs is on (XOR). The rule makes mistakes for ever; a network with two hidden units can
# be right.

# %%
XOR, ANSWER = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64), torch.tensor([0, 1, 1, 0])
single = Perceptron(2).double()
never = single.fit(XOR, ANSWER, 1000, torch.Generator().manual_seed(0), variant="pocket")


def fitted(network: MLP, x: torch.Tensor, target: torch.Tensor, n_iterations: int, *, logistic: bool) -> MLP:
    """Follow the gradient of all examples by L-BFGS, which chooses its own steps."""
    optimizer = torch.optim.LBFGS(
        network.parameters(), max_iter=n_iterations, history_size=20, line_search_fn="strong_wolfe",
        tolerance_grad=1e-9, tolerance_change=1e-12,
    )  # fmt: skip
    target = target.to(x.dtype)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        y = network(x)
        loss = F.binary_cross_entropy_with_logits(y, target) if logistic else F.mse_loss(y, target)
        loss.backward()
        return loss

    optimizer.step(closure)
    return network


networks = []
for seed in range(N_RESTARTS):
    network = MLP((2,), (2,), 1, activation="sigmoid", initialization="normal", seed=seed).double()
    networks.append(fitted(network, XOR, ANSWER, 200, logistic=True))
solved = [bool(((network(XOR) > 0) == (ANSWER == 1)).all()) for network in networks]
share_solved = wilson_interval(sum(solved), N_RESTARTS)
failed = [network for network, is_solved in zip(networks, solved, strict=True) if not is_solved]
left = [F.binary_cross_entropy_with_logits(network(XOR), ANSWER.double()).item() for network in failed]
print(f"perceptron: {min(never)} to {max(never)} mistakes in each of {len(never)} epochs")
print(
    f"two hidden units: {sum(solved)} of {N_RESTARTS} starts are right; errors of the others, nats:", np.round(left, 3)
)

assert min(never) > 0, "no line separates XOR"
assert any(solved), "two hidden units can"
assert (single.predict(XOR) == ANSWER).sum() <= 3, "a line gets at most three of the four"

# %%
solver = networks[solved.index(True)]
SQUARE = Grid(np.linspace(-0.4, 1.4, 91), np.linspace(-0.4, 1.4, 91), ("input 1", "input 2"))
SPOTS = torch.from_numpy(np.stack(np.meshgrid(SQUARE.x, SQUARE.y), -1).reshape(-1, 2))
decision_regions(two_classes(torch.sigmoid(solver(SPOTS)), SQUARE), SQUARE, XOR.numpy(), ANSWER.numpy())

# %% [markdown]
# *The four points in the plane of the inputs, and where the network with two hidden units puts its border.* Below, the
# same four points **in the plane of the two hidden units**, $\phi(\mathbf v)$ of Equation 2. There a straight line is
# enough: this is what a hidden layer is for.

# %%
phi = solver.features(XOR).detach()
HIDDEN = Grid(np.linspace(-0.08, 1.08, 91), np.linspace(-0.08, 1.08, 91), ("hidden unit 1", "hidden unit 2"))
spots = torch.from_numpy(np.stack(np.meshgrid(HIDDEN.x, HIDDEN.y), -1).reshape(-1, 2))
decision_regions(
    two_classes(torch.sigmoid(solver.output(spots).squeeze(1)), HIDDEN), HIDDEN, phi.numpy(), ANSWER.numpy()
)

# %% [markdown]
# ## Equations 1 to 3, written out
#
# $$y_k(\mathbf v;\Theta)=f^{(2)}\!\left(\sum_{j=1}^{M}W^{(2)}_{kj}\,
#   f^{(1)}\!\left(\sum_{i=1}^{D}W^{(1)}_{ji}v_i+b^{(1)}_j\right)+b^{(2)}_k\right)\tag{1}$$
#
# $$y_k=f^{(2)}\!\left(\sum_j W^{(2)}_{kj}\,\phi_j(\mathbf v)+b^{(2)}_k\right)\tag{2}\qquad
#   \Theta^{(\tau+1)}=\Theta^{(\tau)}-\eta\,\nabla E\!\left(\Theta^{(\tau)}\right)\tag{3}$$
#
# The sums as loops, against the network that everything below uses; the gradient by the equations of back-propagation
# ($\delta=y-t$ at the output, $\delta^{(1)}=\mathbf W^{(2)\top}\delta\odot f'$ below) and by central differences
# of the error; and one step of Equation 3.

# %%
network = MLP((5,), (4,), 3, activation="sigmoid", seed=1).double()
first, second = network.hidden[0], network.output
v, t = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3


def by_hand(values: np.ndarray) -> np.ndarray:
    """Give Equation 1 for one input (D,), with the softmax as f2: (K,)."""
    w1, b1, w2, b2 = (p.detach().numpy() for p in (first.weight, first.bias, second.weight, second.bias))
    hidden = [1 / (1 + np.exp(-(sum(w1[j, i] * values[i] for i in range(5)) + b1[j]))) for j in range(4)]
    logits = [sum(w2[k, j] * hidden[j] for j in range(4)) + b2[k] for k in range(3)]
    return np.exp(logits) / np.exp(logits).sum()


def error(model: MLP) -> torch.Tensor:
    """Give the mean cross-entropy of softmax outputs."""
    return F.cross_entropy(model(v), t)


with torch.no_grad():
    of_equation_1 = np.abs(np.stack([by_hand(row) for row in v.numpy()]) - network(v).softmax(1).numpy()).max()
    of_equation_2 = float((second(network.features(v)) - network(v)).abs().max())
gradient = backpropagate(network, v, F.one_hot(t, 3).double(), "softmax")
differences = []
with torch.no_grad():
    for name, parameter in network.named_parameters():
        for index in np.ndindex(*parameter.shape):
            kept = parameter[index].item()
            parameter[index] = kept + 1e-5
            above = error(network)
            parameter[index] = kept - 1e-5
            slope = (above - error(network)) / 2e-5
            parameter[index] = kept
            differences.append(abs(float(slope - gradient[name][index])))
    before = float(error(network))
    for name, parameter in network.named_parameters():
        parameter -= 0.1 * gradient[name]
    after = float(error(network))
print(f"Equation 1: {of_equation_1:.1e}, Equation 2: {of_equation_2:.1e}, gradient: {max(differences):.1e}")
print(f"one step of Equation 3 takes the error from {before:.4f} to {after:.4f}")

assert of_equation_1 < 1e-12 and of_equation_2 < 1e-12, "the network computes Equations 1 and 2"
assert max(differences) < 1e-8, "back-propagation gives the gradient"
assert after < before, "a small step against the gradient lowers the error"

# %% [markdown]
# ## Any continuous function
#
# Section 2.2: "Under a mild assumption on the activation function, a two-layer neural network with a finite number of
# hidden units can approximate any continuous function". So the largest error on $\sin 2\pi x$ should fall as hidden
# units are added. That such weights *exist* does not say that training finds them, so there are two curves: hidden
# units drawn at random, each set holding the smaller ones, with output weights that are *solved for* (by Equation 2
# that is a linear problem); and all weights *trained*, the best of a few starts.

# %%
line = torch.linspace(0, 1, 257, dtype=torch.float64)[:, None]
wave = torch.sin(2 * torch.pi * line[:, 0])
SIZES = (1, 2, 4, 8, 16, 32)


def spread(network: MLP, seed: int) -> MLP:
    """Draw the biases so that units change over at different places; from 0 all would do so at x = 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in network.hidden:
            reach = layer.weight.abs().amax(1)
            layer.bias.copy_((2 * torch.rand(len(reach), generator=generator, dtype=torch.float64) - 1) * reach)
    return network


@torch.no_grad()
def worst(network: MLP, target: torch.Tensor) -> float:
    """Give the largest error over the line."""
    return float((network(line) - target).abs().max())


def best_of(shape: tuple[int, ...], target: torch.Tensor, **options) -> MLP:
    """Train a few starts of a network and give the best."""
    starts = (spread(MLP((1,), shape, 1, seed=seed, **options).double(), seed) for seed in range(N_FITS))
    ends = [fitted(network, line, target, 300, logistic=False) for network in starts]
    return min(ends, key=lambda network: worst(network, target))


@torch.no_grad()
def solved_output(m: int) -> MLP:
    """Give a network with the first m of 32 random hidden units and the output weights of least squares."""
    rng = np.random.default_rng(0)
    steepness, places = rng.normal(scale=8, size=32), rng.uniform(0, 1, 32)
    network = MLP((1,), (m,), 1, activation="tanh").double()
    network.hidden[0].weight.copy_(torch.from_numpy(steepness[:m, None]))
    network.hidden[0].bias.copy_(torch.from_numpy(-(steepness * places)[:m]))
    phi = torch.cat([network.features(line), torch.ones_like(line)], 1)
    weights = torch.from_numpy(np.linalg.lstsq(phi.numpy(), wave.numpy(), rcond=None)[0])
    network.output.weight.copy_(weights[None, :-1])
    network.output.bias.copy_(weights[-1:])
    return network


found = {m: best_of((m,), wave, activation="tanh") for m in SIZES}
sup = pd.DataFrame(
    {
        "output solved for": {m: worst(solved_output(m), wave) for m in SIZES},
        "all trained": {m: worst(network, wave) for m, network in found.items()},
    }
).rename_axis("hidden units")
curves(
    {name: (SIZES, values) for name, values in sup.items()},
    "hidden units M",
    "largest error on sin 2πx",
    "The largest error on a sine against the number of hidden units, solved and trained.",
    log=True,
)

# %%
curves(
    {"sin 2πx": (line[:, 0], wave)} | {f"M = {m}, trained": (line[:, 0], found[m](line).detach()) for m in (1, 2)},
    "x",
    "y",
    "A sine and its approximations by networks of 1 and 2 hidden units.",
    marks=False,
)

# %% [markdown]
# **Deep with far fewer units?** The same section: "it is also possible to approximate complex functions to the same
# accuracy by using a deep architecture […] with a far fewer number of units". A case where this is provable (after
# Telgarsky 2015): the tent $t(x)=2[x]_+-4[x-\frac12]_+$ folds the line once with two rectified units; applied $L$ times
# it makes $2^{L}$ straight pieces with $2L$ units. A network with *one* rectified layer of $M$ units has at most $M+1$
# pieces, so it needs at least $2^L-1$ units for the same function. The first network below is built by hand, not
# trained; the others are trained on the same points.

# %%
DEPTH = 3
folds = MLP((1,), (2,) * DEPTH, 1, activation="relu").double()
with torch.no_grad():
    for i, layer in enumerate(folds.hidden):
        layer.weight.copy_(torch.tensor([[1.0], [1.0]] if i == 0 else [[2.0, -4.0], [2.0, -4.0]]))
        layer.bias.copy_(torch.tensor([0.0, -0.5]))
    folds.output.weight.copy_(torch.tensor([[2.0, -4.0]]))
    folds.output.bias.zero_()
teeth = 1 - (1 - 2 * ((line[:, 0] * 2 ** (DEPTH - 1)) % 1)).abs()


def n_parameters(network: MLP) -> int:
    """Count what training can change."""
    return sum(p.numel() for p in network.parameters())


shapes = {
    "trained, same shape": (2,) * DEPTH,
    f"trained, one layer of {2**DEPTH}": (2**DEPTH,),
    "trained, one layer of 32": (32,),
    "trained, 16-16": (16, 16),
}
trained = {name: best_of(shape, teeth, initialization="he") for name, shape in shapes.items()}
saw = pd.DataFrame(
    [
        (name, sum(n.n_hidden), n_parameters(n), worst(n, teeth))
        for name, n in {"built by hand": folds, **trained}.items()
    ],
    columns=["network", "hidden units", "parameters", "largest error"],
).set_index("network")
display(saw.round(4))
curves(
    {"the function": (line[:, 0], teeth)} | {name: (line[:, 0], n(line).detach()) for name, n in trained.items()},
    "x",
    "y",
    "A saw of four teeth, which a deep network built by hand equals, and what trained networks make of it.",
    marks=False,
)

# %% [markdown]
# ## Training on digits
#
# 1,797 scanned digits of 8 × 8 pixels, 360 of them held out. Who wrote which is not known, so a writer can be on both
# sides. Everything from here on goes through the same door as the app and the command line. First the single layer of
# Figure 1a, with a softmax and Equation 3 in place of Rosenblatt's rule; then one and two hidden layers.

# %%
if "digits" not in [c.name for c in workflow.list_cohorts()]:
    workflow.make_phantom("digits", "digits")
EPOCHS = 60 if FULL else 25
FAMILIES = {
    "single layer": {"n_hidden": (), "learning_rate": 0.02},
    "32 hidden units": {"n_hidden": (32,)},
    "128-128": {"n_hidden": (128, 128)},
    "128-128, 100 labels": {"n_hidden": (128, 128), "n_labels": 100, "n_epochs": 10 * EPOCHS},
}


def train(title: str, changes: dict) -> Run:
    """Train a network of the family in this process."""
    shared = {"n_epochs": EPOCHS, "learning_rate": 3e-3}
    run = workflow.train("mlp", "digits", shared | changes, preset="cpu", title=title)
    assert run.status().state == "finished", run.status().message
    return run


runs = {name: train(name, changes) for name, changes in FAMILIES.items()}
compare_curves({name: runs[name].metrics() for name in list(FAMILIES)[:3]}, name="loss", log=True)

# %% [markdown]
# ## Figure 1a, from the live network
#
# Inputs below, outputs above; the drawn links are the heaviest. A unit shows the pattern it answers to: its weights,
# laid out as a picture.

# %%
workflow.figure(runs["single layer"].id, "network")

# %% [markdown]
# ## Figure 1b, from the live network
#
# For the output units the product of the two layers' weights is drawn, which leaves out the activation between them.

# %%
workflow.figure(runs["32 hidden units"].id, "network")

# %% [markdown]
# ## How good, and against what
#
# On the 360 held-out digits, with 95 % intervals over them; besides, Rosenblatt's own rule with one unit a class, and
# two classifiers of scikit-learn on the same split.

# %%
images, classes = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split(images / 16, classes, test_size=360, random_state=0, stratify=classes)
rosenblatt = Perceptron(64, 10, rule="argmax").double()
rosenblatt.fit(torch.from_numpy(x), torch.from_numpy(y), 20, torch.Generator().manual_seed(0), variant="averaged")
outputs = {name: run.load_arrays("outputs") for name, run in runs.items()}
truth = next(iter(outputs.values()))["target"]
probabilities = {name: torch.softmax(torch.from_numpy(o["outputs"]), 1).numpy() for name, o in outputs.items()}
answers = {
    "Rosenblatt's rule, averaged": rosenblatt.predict(torch.from_numpy(x_test)).numpy(),
    "logistic regression (scikit-learn)": LogisticRegression(C=1.0, max_iter=2000).fit(x, y).predict(x_test),
    "support vectors, RBF (scikit-learn)": SVC(C=10, gamma=0.05).fit(x, y).predict(x_test),
}
right = {name: (predicted == y_test).astype(float) for name, predicted in answers.items()}
right |= {name: (p.argmax(1) == truth).astype(float) for name, p in probabilities.items()}
errors = {name: mean_interval(100 * (1 - values)) for name, values in right.items()}
display(pd.DataFrame(errors, index=["error, %", "low", "high"]).T.sort_values("error, %").round(1))

# %% [markdown]
# The split of the cohort and that of scikit-learn are the same, but its order of subjects is not; so only networks of
# this notebook are compared digit by digit below.

# %%
best = min(("32 hidden units", "128-128"), key=lambda name: errors[name].mean)
detail = score(truth, probabilities[best])
confusion(detail.confusion, [str(k) for k in range(10)])

# %% [markdown]
# ## Are the probabilities to be believed?
#
# A network that says 0.9 should be right nine times in ten. Held-out digits by how sure the network is of its answer;
# the calibration error is the mean distance from the diagonal.


# %%
def bins(p: np.ndarray) -> pd.DataFrame:
    """Give the reliability table with Wilson intervals."""
    rows = [row for row in reliability_table(truth, p, 5) if row.n]
    ends = [wilson_interval(round(row.accuracy * row.n), row.n) for row in rows]
    return pd.DataFrame(
        [(row.confidence, row.accuracy, end.low, end.high, row.n) for row, end in zip(rows, ends, strict=True)],
        columns=["predicted", "observed", "low", "high", "count"],
    )


shown = ("single layer", "128-128", "128-128, 100 labels")
miscalibrated = {name: calibration_error(truth, probabilities[name], 5) for name in shown}
sureness = {name: float(probabilities[name].max(1).mean() - right[name].mean()) for name in shown}
reliability_curve({name: bins(probabilities[name]) for name in shown}, errors=miscalibrated)

# %% [markdown]
# ## Two images, one voxel: decision regions in the plane of intensities
#
# A task of the review's field in two inputs, so that one can see what a hidden layer changes: the tissue of a voxel
# from its T1 and T2 intensities alone. Synthetic brains, learnt on three and scored on three others. The intensities
# are in units of each training set's spread.

# %%
NAME = "brains 4 mm, six"
if NAME not in [c.name for c in workflow.list_cohorts()]:
    workflow.make_phantom("brain", NAME, n_subjects=6, seed=1, spacing_mm=4.0)
brains = list(workflow.open_cohort(NAME))[1:]  # the first is the noise-free template


def voxels(subject) -> tuple[np.ndarray, np.ndarray]:
    """Give T1 and T2 (n, 2) and the tissue (n,) from 0 of a subject's brain voxels."""
    volumes = [subject.volume(name) for name in ("T1", "T2")]
    labels = subject.label_map(volumes[0])
    inside = labels > 0
    return np.stack([v.data[0][inside] for v in volumes], 1), labels[inside].astype(np.int64) - 1


pairs = [voxels(subject) for subject in brains]
raw, tissue = (np.concatenate([pair[k] for pair in pairs[:3]]) for k in (0, 1))
middle, spread_2 = raw.mean(0), raw.std(0)
chosen = np.random.default_rng(0).permutation(len(raw))[: 20_000 if FULL else 4000]
x2, y2 = torch.from_numpy(((raw - middle) / spread_2)[chosen]).float(), torch.from_numpy(tissue[chosen])


def tissue_network(n_hidden: tuple[int, ...]) -> MLP:
    """Train on the voxels of three brains by Adam."""
    model = MLP((2,), n_hidden, 3, activation="tanh", seed=0)
    optimizer, generator = torch.optim.Adam(model.parameters(), 0.02), torch.Generator().manual_seed(0)
    for _ in range(1500 if FULL else 400):
        rows = torch.randint(len(x2), (256,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(x2[rows]), y2[rows]).backward()
        optimizer.step()
    return model


tissue_models = {
    name: tissue_network(shape) for name, shape in {"no hidden layer": (), "16 hidden units": (16,)}.items()
}
by_subject = []
for subject, (values, truth_2) in zip(brains[3:], pairs[3:], strict=True):
    for name, model in tissue_models.items():
        said = model(torch.from_numpy((values - middle) / spread_2).float()).argmax(1).numpy()
        by_subject.append((subject.name, name, accuracy(truth_2, said), balanced_accuracy(truth_2, said)))
by_subject = pd.DataFrame(by_subject, columns=["subject", "network", "accuracy", "balanced accuracy"])
by_subject = by_subject.pivot(index="subject", columns="network")
display(by_subject.round(3))
low, high = np.percentile(x2.numpy(), [0.5, 99.5], axis=0)
PLANE = Grid(np.linspace(low[0], high[0], 121), np.linspace(low[1], high[1], 121), ("T1, z-score", "T2, z-score"))
plane = torch.from_numpy(np.stack(np.meshgrid(PLANE.x, PLANE.y), -1).reshape(-1, 2)).float()
inside = ((x2.numpy() > low) & (x2.numpy() < high)).all(1)
TISSUES = ("CSF", "grey matter", "white matter")


def regions(model: MLP):
    """Draw what a tissue network decides, with 300 training voxels."""
    p = model(plane).softmax(1).detach().numpy().reshape(121, 121, 3)
    return decision_regions(p, PLANE, x2.numpy()[inside][:300], y2.numpy()[inside][:300], names=TISSUES)


regions(tissue_models["no hidden layer"])

# %%
regions(tissue_models["16 hidden units"])

# %% [markdown]
# ## What holds here, and what does not


# %%
def told(a: str, b: str) -> str:
    """Say whether a makes fewer mistakes than b on the same digits."""
    mean, low, high = paired_difference_interval(100 * right[a], 100 * right[b])
    word = "fewer than" if low > 0 else "more than" if high < 0 else "not told apart from"
    return f"{a} makes {word} {b} ({-mean:+.1f} points of error, 95 % interval {-high:+.1f} to {-low:+.1f})"


gain = {
    what: 100 * (by_subject[what]["16 hidden units"] - by_subject[what]["no hidden layer"])
    for what in ("accuracy", "balanced accuracy")
}
hand, same_shape = saw.loc["built by hand"], saw.loc["trained, same shape"]
overconfident = [f"{name} by {value:+.3f}" for name, value in sureness.items()]
against_rule = "wins" if errors["support vectors, RBF (scikit-learn)"].mean < errors[best].mean else "does not win"
lines = [
    f"**The mistake bound holds**, on all {len(counts)} sets; it is loose: at most "
    f"{(counts['mistakes'] / counts['bound']).max():.0%} of it was used.",
    f"**Overlapping classes.** The last weights err on {intervals['last'].mean:.1f} % of new points, the pocket on "
    f"{intervals['pocket'].mean:.1f} %, the average on {intervals['averaged'].mean:.1f} %, the linear discriminant on "
    f"{intervals['linear discriminant'].mean:.1f} %.",
    f"**XOR.** No line can; two hidden units did in {sum(solved)} of {N_RESTARTS} starts (95 % interval of the share "
    f"{share_solved.low:.2f} to {share_solved.high:.2f})"
    + (f"; the others stopped at {min(left):.2f} to {max(left):.2f} nats. The error is not convex." if left else "."),
    f"**More hidden units can approximate better: holds.** With output weights solved for, the largest error on the "
    f"sine goes from {sup['output solved for'][1]:.2g} with 1 unit to {sup['output solved for'][32]:.1g} with 32. "
    f"**Training does not keep up**: {sup['all trained'][2]:.1g} with 2 units, {sup['all trained'][32]:.1g} with 32, "
    f"best of {N_FITS} starts, 300 iterations."
    if sup["all trained"][32] > 10 * sup["output solved for"][32]
    else f"**More hidden units approximate better: holds**, solved or trained ({sup['all trained'][32]:.1g} with 32).",
    f"**Deep with far fewer units holds as existence**: built by hand, {int(hand['hidden units'])} units equal the saw "
    f"to {hand['largest error']:.0e}. **Trained from a random start the same shape "
    + ("also comes close" if same_shape["largest error"] < 0.1 else "does not find it")
    + f"** (largest error {same_shape['largest error']:.2f}, best of {N_FITS}); of those trained here "
    f"{saw['largest error'][1:].idxmin().removeprefix('trained, ')} is nearest ({saw['largest error'][1:].min():.2f}). What can be expressed is "
    "not what is learnt.",
    f"**Digits.** {told(best, 'single layer')}. {told(best, '128-128, 100 labels')}. The support vectors of "
    f"scikit-learn err on {errors['support vectors, RBF (scikit-learn)'].mean:.1f} %: on so small a task a kernel "
    f"method {against_rule}.",
    f"**Calibration.** Confidence minus accuracy: {'; '.join(overconfident)}. Above 0 is over-confident. A probability "
    "from a network is to be checked before it is read as one.",
    "**Tissue from two intensities.** On three test brains the hidden layer changes "
    + " and ".join(f"{what} by {', '.join(f'{g:+.1f}' for g in values)}" for what, values in gain.items())
    + " points. Balanced accuracy counts the few voxels of CSF as much as the many of grey matter. Synthetic brains, "
    "without lesions; no intervals over so few.",
]
display(Markdown("\n".join(f"- {line}" for line in lines)))

assert (counts["mistakes"] <= counts["bound"]).all(), "Novikoff's bound"
assert intervals["averaged"].mean < intervals["last"].mean, "the average is better than the last weights"
assert sup["output solved for"][32] < 1e-3 * sup["output solved for"][1], "more hidden units approximate better"
assert hand["largest error"] < 1e-10, "the network built by hand is the saw"
assert errors["128-128"].mean < errors["Rosenblatt's rule, averaged"].mean, "hidden layers beat a single one on digits"
assert errors["128-128, 100 labels"].mean > errors["128-128"].mean, "more labels, fewer errors"

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` and run the next cells: a `.npz` of small pictures with labels (MedMNIST's layout, or plain
# `images` and `labels`), a table with one row a subject, or a folder of images whose subjects have a label map or a
# `target`. Without it, 200 digits in a `.npz` stand in, so that the cells can be tried. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in digits" / "pictures.npz"
    source.parent.mkdir(parents=True, exist_ok=True)
    np.savez(source, images=(images[:200] * 255 / 16).astype(np.uint8).reshape(-1, 8, 8), labels=classes[:200])
if "my pictures" in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort("my pictures")  # the copy of an earlier run of this cell; the source is not touched
mine = workflow.import_cohort(source, "my pictures", link=True)
print(workflow.describe_fingerprint(workflow.inspect(mine)))

# %% [markdown]
# `quick` shows that everything fits together. For results take `preset="cpu"`, and look at the intervals over subjects
# that `workflow.evaluate` gives on a cohort that was not trained on.

# %%
own = workflow.train("mlp", mine.name, {"n_epochs": 30}, preset="quick", title="my pictures")
assert own.status().state == "finished", own.status().message
result = own.result()
print(f"Run {own.id} on {result['scored_on']}:", {name: round(value, 3) for name, value in result["scores"].items()})
workflow.figure(own.id, "network")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
