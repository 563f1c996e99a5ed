"""Five devices against overfitting and for training at all: formula, switch, curves, and whether they help.

Review: Section 2.6, References 11 to 14 and 77 to 81
Needs: nothing; the digits that scikit-learn installs, and the measured table in docs/devices.csv
"""

# %% [markdown]
# # 2.6 Training devices
#
# **Research use only. Nothing here is a medical device or medical advice.**
#
# *Deep Learning in Medical Image Analysis* (Shen, Wu, Suk 2017), Section 2.6 lists five "algorithmic techniques to better
# train deep models": initialization and momentum, rectified units, denoising, dropout and DropConnect, batch
# normalization. For each this notebook gives the formula, the switch that turns it on in the workbench, a check of what
# it does to means and variances, and curves of training with and without it. At the end stands the measured table of
# the project, ten seeds on few and on many labels, with intervals; some of its pairs are trained again here, and the
# code writes from both what helped and **what did not**.
#
# The default settings take under a minute on two processor cores: small networks, short training, 3 seeds, too few to
# settle anything by themselves. With `WORKBENCH_FULL=1` in the environment there are 10 seeds, four times as many steps,
# and all labels beside few.

# %%
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")  # more threads than free cores make training slower

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F

import workbench

os.environ.setdefault("WORKBENCH_DATA", str(Path(workbench.__file__).parents[1] / "data" / "notebooks"))

from workbench import workflow
from workbench.figures.chains import sample_grid
from workbench.figures.curves import compare_curves
from workbench.figures.dynamics import momentum_schedule_figure, weight_histograms
from workbench.figures.experiments import paired_experiment
from workbench.figures.predictions import ranked_bars
from workbench.metrics.intervals import Interval
from workbench.models.dropconnect import DropConnectLinear, expected
from workbench.models.finetuning import stack_to_network
from workbench.models.layers import Corruption, step_generator
from workbench.models.mlp import MLP
from workbench.models.stacked_autoencoder import StackedAutoEncoder
from workbench.paths import data_root
from workbench.tasks.autoencoding import LayerPretraining
from workbench.tasks.optimizers import Nesterov, make_optimizer, momentum_schedule, parameter_groups

BEGIN = time.perf_counter()
FULL = os.environ.get("WORKBENCH_FULL") == "1"
if not FULL:
    torch.set_num_threads(1)  # networks this small only wait for a second thread
N_SEEDS, N_STEPS, WIDTH, N_DRAWS = (10, 1200, 128, 100_000) if FULL else (3, 240, 128, 20_000)
BATCH, NARROW = 50, 64  # units a layer where a mask for each example, or many layers, would make 128 slow

# %% [markdown]
# ## The task and the loop
#
# The digits of scikit-learn, 8 × 8 pixels from 0 to 1; 360 are held out by a fixed split. A seed decides which of the
# others are labelled, the first weights, the order of the batches and everything that is dropped or destroyed. With and
# without a device a network takes the same number of steps and never stops early, so that overfitting shows. Rates are
# not tuned, except for the starts and schedules of the first device.

# %%
images, classes = load_digits(return_X_y=True)
parts = train_test_split((images / 16).astype(np.float32), classes, test_size=360, random_state=0, stratify=classes)
X, X_TEST, Y, Y_TEST = map(torch.as_tensor, parts)


@dataclass(frozen=True)
class Condition:
    """One way to train; ``pretraining`` says how the hidden layers learn before they see a label."""

    network: dict = field(default_factory=dict)
    n_hidden: tuple[int, ...] = (WIDTH, WIDTH)
    optimizer: str = "adam"
    rate: float = 3e-3
    momentum_max: float = 0.0
    corruption: Corruption = field(default_factory=Corruption)
    pretraining: str = ""
    n_steps: int = N_STEPS


def order(n: int, n_steps: int, seed: int) -> list[torch.Tensor]:
    """Give the rows of each batch: every epoch a new order, what does not fill a batch left out."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    while len(batches) < n_steps:
        batches += [rows for rows in torch.randperm(n, generator=generator).split(BATCH) if len(rows) == BATCH]
    return batches[:n_steps]


def labelled(n: int, seed: int) -> torch.Tensor:
    """Give which training digits have a label, classes in proportion; 0 for all."""
    every = np.arange(len(Y))
    return torch.as_tensor(train_test_split(every, train_size=n, random_state=seed, stratify=Y)[0] if n else every)


@torch.no_grad()
def error(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Give the share of wrong answers in percent."""
    return 100 * float((network.eval()(x).argmax(1) != y).float().mean())


STARTS: dict[tuple, MLP] = {}
DONE: dict[tuple, tuple[MLP, dict[str, float], pd.DataFrame]] = {}


def pretrained(condition: Condition, seed: int) -> MLP:
    """Give a network whose hidden layers learnt, one after the other, to rebuild all images without labels."""
    key = (condition.pretraining, condition.n_hidden, seed)
    if key not in STARTS:
        stack = StackedAutoEncoder((64,), condition.n_hidden, visible="sigmoid", seed=seed)
        noise = Corruption("masking", 0.25) if condition.pretraining == "denoising" else Corruption()
        for index in range(stack.n_layers):
            task = LayerPretraining(stack, index, corruption=noise, beta=0.0, seed=seed)
            task.setup("fit")
            optimizer = task.configure_optimizers()
            for step, rows in enumerate(order(len(X), N_STEPS, seed)):
                optimizer.zero_grad()
                task.losses(X[rows], step_generator(seed, index, step), task.corruption)["loss"].backward()
                optimizer.step()
        STARTS[key] = stack_to_network(stack, 10)
    return STARTS[key]


def train(condition: Condition, seed: int, n_labels: int = 0) -> tuple[MLP, dict[str, float], pd.DataFrame]:
    """Train once; give the network, its errors in percent, and its curves."""
    key = (repr(condition), seed, n_labels)
    if key not in DONE:
        DONE[key] = trained_anew(condition, seed, n_labels)
    return DONE[key]


def trained_anew(condition: Condition, seed: int, n_labels: int) -> tuple[MLP, dict[str, float], pd.DataFrame]:
    """Train as :func:`train` says."""
    chosen = labelled(n_labels, seed)
    x, y = X[chosen], Y[chosen]
    network = MLP((64,), condition.n_hidden, 10, seed=seed, **condition.network)
    if condition.pretraining:
        network.hidden.load_state_dict(pretrained(condition, seed).hidden.state_dict())
    optimizer = make_optimizer(condition.optimizer, parameter_groups(network, condition.rate))
    torch.manual_seed(seed)
    network.train()
    losses, held_out = [], []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(image), y[rows])
        loss.backward()
        return loss

    for step, rows in enumerate(order(len(x), condition.n_steps, seed)):
        for group in optimizer.param_groups:
            if "momentum" in group:
                group["momentum"] = momentum_schedule(
                    step, condition.momentum_max, condition.n_steps, condition.n_steps // 5
                )
        image = condition.corruption(x[rows], step_generator(seed, step))
        losses.append(optimizer.step(closure).item())
        if seed == 0 and (step + 1) % (N_STEPS // 10) == 0:  # only the curves of seed 0 are drawn
            network.eval()
            with torch.no_grad():
                held_out.append(("train", step + 1, "val_loss", F.cross_entropy(network(X_TEST), Y_TEST).item()))
            network.train()
    means = pd.Series(losses).groupby(np.arange(len(losses)) // 10).mean()
    curve = [("train", 10 * (i + 1), "loss", value) for i, value in means.items()] + held_out
    table = pd.DataFrame(curve, columns=["stage", "step", "name", "value"])
    return network, {"test": error(network, X_TEST, Y_TEST), "training": error(network, x, y)}, table


def curves(conditions: dict[str, Condition], name: str = "loss", n_labels: int = 0):
    """Draw the loss of seed 0 in training, or ``val_loss`` on held-out digits."""
    fig = compare_curves({title: train(c, 0, n_labels)[2] for title, c in conditions.items()}, name=name, log=True)
    ticks = [round(m * 10.0**k, 5) for k in range(-4, 3) for m in (1, 2, 5)]
    return fig.update_yaxes(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])


def with_device(condition: Condition, **network) -> Condition:
    """Switch devices of the network on."""
    return replace(condition, network=condition.network | network)


RELU = Condition({"activation": "relu", "initialization": "he"})
SIGMOID = Condition({"activation": "sigmoid"})
DEEP = (NARROW,) * 4
SCHEDULED = {"optimizer": "nesterov", "momentum_max": 0.99}
STEEP = Condition({"activation": "relu", "initialization": "he"}, DEEP, "sgd", rate=0.1)

# %% [markdown]
# ## 1. Initialization, and momentum on a schedule
#
# **Formula.** *Glorot*: weights from $U(-a,a)$, $a=\sqrt{6/(n_\text{in}+n_\text{out})}$ (four times that for logistic
# units), so that signals neither fade nor swell from layer to layer. *Sparse*: 15 weights from $N(0,1)$ into each
# unit, the others 0. The momentum of step $t$ is
# $\mu_t=\min\left(1-2^{-1-\log_2(\lfloor t/250\rfloor+1)},\ \mu_\text{max}\right)$, back to 0.9 for the last steps, and
# Nesterov's gradient is taken where the momentum leads: $\mathbf v\leftarrow\mu\mathbf v-\eta\nabla
# E(\theta+\mu\mathbf v)$, $\theta\leftarrow\theta+\mathbf v$.
#
# **Switch.** `initialization`, `optimizer="nesterov"`, `momentum_max`.
#
# **Check.** What a random start does to digits in the fourth of four logistic layers: activations at 0 and 1 have no
# slope left to learn by.

# %%
signals, slopes = {}, []
STARTING = {"N(0, 1)": "normal", "Glorot": "glorot", "sparse": "sparse"}
for name, scheme in STARTING.items():
    network = MLP((64,), DEEP, 10, seed=0, activation="sigmoid", initialization=scheme)
    F.cross_entropy(network(X[:500]), Y[:500]).backward()
    with torch.no_grad():
        h = network.features(X[:500])
    signals[name] = h.numpy()
    spread = [float(network.features(X[:500], d).detach().std(0).mean()) for d in range(1, 5)]
    rms = [float(layer.weight.grad.square().mean().sqrt()) for layer in network.hidden]
    slopes.append((name, float((h * (1 - h)).mean()), spread[0], spread[-1], rms[0], rms[-1]))
slopes = pd.DataFrame(
    slopes,
    columns=[
        "start",
        "mean slope f′",
        "spread over digits, layer 1",
        "layer 4",
        "gradient, layer 1",
        "gradient, layer 4",
    ],
).set_index("start")
display(slopes.round(5))
weight_histograms(signals, title="layer 4 activation").update_xaxes(range=[0, 1]).update_yaxes(range=[0, 0.25])

# %%
STEPS = [0, 250, 500, 1000, 5000, 25_000]
n_all = 30_000
schedules = {
    f"μ max {mu:g}": [momentum_schedule(t, mu, n_all, 1000) for t in range(0, n_all, 50)] for mu in (0.9, 0.99, 0.999)
}
by_formula = [min(1 - 0.5 / (t // 250 + 1), 0.99) for t in STEPS]
table = [momentum_schedule(t, 0.99) for t in STEPS]
display(pd.DataFrame([table], columns=STEPS, index=["μ, at most 0.99"]).round(3))

assert np.allclose(table, by_formula), "1 − 2^(−1 − log2(k)) is 1 − 1/(2 k)"

# %%
momentum_schedule_figure(list(range(0, n_all, 50)), schedules)

# %% [markdown]
# PyTorch's `SGD(nesterov=True)` stores the point looked ahead to. With a constant momentum that is the same path, seen
# from another place; with a schedule it is not. On a quadratic bowl of 20 dimensions:

# %%
curvature = torch.logspace(-2, 0, 20, dtype=torch.float64)


def path(kind: str, mu_of) -> torch.Tensor:
    """Give the points theta + mu v of 60 steps, at which both take the gradient."""
    theta = torch.ones(20, dtype=torch.float64, requires_grad=True)
    ours = kind == "Nesterov"
    optimizer = (
        Nesterov([theta], lr=0.5, momentum=mu_of(0))
        if ours
        else torch.optim.SGD([theta], lr=0.5, momentum=mu_of(0), nesterov=True)
    )
    visited = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        visited.append(theta.detach().clone())
        loss = 0.5 * (curvature * theta**2).sum()
        loss.backward()
        return loss

    for step in range(60):
        optimizer.param_groups[0]["momentum"] = mu_of(step)
        optimizer.step(closure)
    return torch.stack(visited)


constant = float((path("Nesterov", lambda t: 0.9) - path("torch", lambda t: 0.9)).abs().max())
changing = [float((path("Nesterov", m) - path("torch", m)).abs().max()) for m in [lambda t: 0.5 if t < 30 else 0.95]]
print(f"largest difference of the paths: {constant:.1e} with constant momentum, {changing[0]:.2f} when it changes")

assert constant < 1e-10, "constant momentum: the same optimizer"
assert changing[0] > 1e-3, "on a schedule: not the same"

# %% [markdown]
# **Curves.** Four logistic layers, by plain gradient descent and by scheduled Nesterov momentum. A start with larger
# weights has larger gradients, so at *one* rate a start can win for its scale alone. Each way therefore gets the best
# of three rates, chosen by its training error with all labels, at a seed that is not used again.

# %%
RATES = (0.05, 0.2, 0.5)  # with a momentum of 0.99 a rate of 1 diverges at some seeds
tuning, ways = {}, {}
for name, scheme in STARTING.items():
    for by, momentum in {"": {}, ", scheduled": SCHEDULED}.items():
        way = Condition({"activation": "sigmoid", "initialization": scheme}, DEEP, "sgd", n_steps=2 * N_STEPS)
        tried = {rate: replace(way, rate=rate, **momentum) for rate in RATES}
        tuning[name + by] = {rate: train(condition, 1000)[1]["training"] for rate, condition in tried.items()}
        ways[name + by] = tried[min(RATES, key=tuning[name + by].__getitem__)]
tuning = pd.DataFrame(tuning).T.rename_axis("training error, %, at the rate of")
display(tuning.round(1))
curves(ways)

# %% [markdown]
# ## 2. Rectified linear units
#
# **Formula.** $f(x)=\max(0,x)$, or leaky, $\max(x,0.01\,x)$. The slope is 1 wherever a unit is on, so the gradient does
# not shrink from layer to layer as it does with a logistic slope of at most ¼.
#
# **Switch.** `activation` is `relu`, `leaky_relu`, `sigmoid` or `tanh`; `initialization="he"`, $N(0,2/n_\text{in})$,
# makes up for the half of the units that are silent.
#
# **Check.** The spread of the signal in the tenth of ten random layers, as a share of that in the first, by the start.

# %%
scale = []
noise = torch.randn(1000, 64, generator=torch.Generator().manual_seed(0))
for activation in ("relu", "leaky_relu", "sigmoid", "tanh"):
    for name in ("he", "lecun", "glorot"):
        tower = MLP((64,), (64,) * 10, 10, activation=activation, initialization=name, seed=0)
        with torch.no_grad():
            spread = [float(tower.features(noise, depth).std(0).mean()) for depth in (1, 10)]
        scale.append((activation, name, spread[1] / spread[0]))
scale = pd.DataFrame(scale, columns=["activation", "start", "share"]).pivot(
    index="activation", columns="start", values="share"
)
display(scale.round(3))

assert scale.loc["relu", "he"] > 5 * scale.loc["relu", "lecun"], "rectified units want twice the variance"

# %%
second = {
    "sigmoid": SIGMOID,
    "ReLU": RELU,
    "leaky ReLU": with_device(RELU, activation="leaky_relu"),
}
curves(second)

# %% [markdown]
# ## 3. Denoising
#
# **Formula.** Destroy part of the input, $\tilde{\mathbf v}\sim q(\tilde{\mathbf v}\mid\mathbf v)$, and ask for the
# clean one back: $\min\sum\lVert g(f(\tilde{\mathbf v}))-\mathbf v\rVert^2$, layer by layer. *Masking* sets a share
# $\nu$ to 0, so the mean is $(1-\nu)\mathbf v$ and the variance $\nu(1-\nu)\mathbf v^2$; *Gaussian* adds $\sigma$;
# *salt and pepper* sets a share to the smallest or the largest value.
#
# **Switch.** `corruption` and `corruption_amount` of the systems `sae` and `fine_tuning` (pretraining without labels,
# as the review means it) and of `mlp` (noise on the input while it learns its labels, which is another thing).
#
# **Check.** The means and variances, over many draws of one digit.

# %%
digit, drawn = X[3], torch.Generator().manual_seed(0)
many = digit.expand(N_DRAWS, -1)
kinds = {"masking": 0.25, "gaussian": 0.25, "salt_and_pepper": 0.25}
destroyed = {kind: Corruption(kind, amount)(many, drawn) for kind, amount in kinds.items()}
low, high = float(digit.min()), float(digit.max())
expectation = {
    "masking": (0.75 * digit, 0.25 * 0.75 * digit**2),
    "gaussian": (digit, torch.full_like(digit, 0.25**2)),
    "salt_and_pepper": (
        0.75 * digit + 0.125 * (low + high),
        0.75 * digit**2 + 0.125 * (low**2 + high**2) - (0.75 * digit + 0.125 * (low + high)) ** 2,
    ),
}
noise_check = pd.DataFrame(
    {
        kind: {
            "mean, largest difference": float((x.mean(0) - expectation[kind][0]).abs().max()),
            "variance, largest difference": float((x.var(0) - expectation[kind][1]).abs().max()),
        }
        for kind, x in destroyed.items()
    }
).T
display(noise_check.round(4))

assert noise_check.to_numpy().max() < 5 / np.sqrt(N_DRAWS), "the noise has the moments of its formula"

# %%
rows = {kind.replace("_", " "): x[:8] for kind, x in destroyed.items()}
sample_grid(
    torch.cat(list(rows.values())).reshape(-1, 1, 8, 8).transpose(2, 3).numpy(),
    [kind for kind, x in rows.items() for _ in x],
    limits=(0.0, 1.0),
    unit="grey value, 0 to 1",
)

# %% [markdown]
# *The same digit, destroyed eight times in each way; what is below 0 is drawn black, above 1 white.* Below, the loss on held-out digits during fine-tuning on 100
# labels: from a random start, and after auto-encoders on all images without labels, plain and denoising.

# %%
third = {
    "random start": SIGMOID,
    "plain auto-encoders": replace(SIGMOID, pretraining="plain"),
    "denoising auto-encoders": replace(SIGMOID, pretraining="denoising"),
}
curves(third, "val_loss", 100)

# %% [markdown]
# ## 4. Dropout and DropConnect
#
# **Formula.** *Dropout* silences each unit with probability $q$ while it learns, and lets the others grow by $1/(1-q)$:
# the mean stays $h$, the variance is $\frac{q}{1-q}h^2$, and nothing is to be done afterwards. *DropConnect* silences
# weights, a mask of its own for each example: $u=(\mathbf M\star\mathbf W)\mathbf v$, $M\sim\text{Bernoulli}(p)$. Then
# $u$ is a sum of many terms, so for prediction
# $u\sim N\left(p\,\mathbf W\mathbf v,\ p(1-p)(\mathbf W\star\mathbf W)(\mathbf v\star\mathbf v)\right)$ and $E[f(u)]$ is
# averaged over it. The usual short cut is $f(E[u])$.
#
# **Switch.** `dropout`, `input_dropout`, `dropconnect`.
#
# **Check.** Both against many draws of masks; the last two columns are how far each way to predict is from the truth.

# %%
torch.manual_seed(0)
layer = DropConnectLinear(64, 32, drop=0.5)
with torch.no_grad():
    layer.weight.normal_(0, 0.35)
    layer.bias.zero_()
    layer.train()
    u = torch.cat([layer(digit.expand(1000, -1)) for _ in range(N_DRAWS // 1000)])
    layer.eval()
    mean, variance = layer.moments(digit[None])
    masked = nn.Dropout(0.5)(digit.expand(N_DRAWS, -1))
    functions = {"ReLU": torch.relu, "sigmoid": torch.sigmoid}
    rows = []
    for name, f in functions.items():
        truth = f(u).mean(0)
        matched = expected(layer, digit[None], f, 200)[0]
        rows.append((name, float((matched - truth).abs().max()), float((f(mean[0]) - truth).abs().max())))
dropping = pd.DataFrame(rows, columns=["activation", "moment matching", "mean weights"]).set_index("activation")
moments = {
    "dropout, mean": float((masked.mean(0) - digit).abs().max()),
    "dropout, variance": float((masked.var(0) - digit**2).abs().max()),
    "DropConnect, mean": float((u.mean(0) - mean[0]).abs().max()),
    "DropConnect, variance ÷ its own": float((u.var(0) / variance[0] - 1).abs().max()),
}
display(pd.DataFrame({"largest difference": moments}).round(4))
display(dropping.rename_axis("distance of the prediction from the mean over masks").round(4))

assert moments["dropout, mean"] < 5 / np.sqrt(N_DRAWS), "dropout keeps the mean"
assert moments["DropConnect, variance ÷ its own"] < 0.06, "the Gaussian has the variance of the masks"
assert (dropping["moment matching"] < dropping["mean weights"]).all(), "moment matching predicts better"

# %%
fourth = {
    "without": RELU,
    "dropout 0.5": with_device(RELU, dropout=0.5),
    "dropout 0.5, input 0.2": with_device(RELU, dropout=0.5, input_dropout=0.2),
    "64-64, without": replace(RELU, n_hidden=(NARROW, NARROW)),
    "64-64, DropConnect 0.5": replace(with_device(RELU, dropconnect=0.5, n_draws=20), n_hidden=(NARROW, NARROW)),
}
curves(fourth, "val_loss", 100)

# %% [markdown]
# *The loss on held-out digits with 100 labels.* DropConnect runs in a narrower network, for time.
#
# ## 5. Batch normalization
#
# **Formula.** Before the activation each unit is brought to mean 0 and variance 1 over the mini-batch, then scaled and
# shifted: $\hat u=(u-\mu_B)/\sqrt{\sigma_B^2+\epsilon}$, $\gamma\hat u+\beta$. The gradient goes through $\mu_B$ and
# $\sigma_B$. For prediction running means take the place of the batch, and the whole can be folded into the weights.
#
# **Switch.** `batch_norm`.
#
# **Check.** Means and variances in a batch; the gradient, with and without its way through the batch's statistics; and
# the folded network.

# %%
norm = nn.BatchNorm1d(4).double().train()
u = 3 + 2 * torch.randn(BATCH, 4, dtype=torch.float64)
v, w = u.clone().requires_grad_(True), torch.randn(BATCH, 4, dtype=torch.float64)
(slope,) = torch.autograd.grad((norm(v) * w).sum(), v)
sd = (u.var(0, unbiased=False) + norm.eps).sqrt()
hat = (u - u.mean(0)) / sd
through = (w - w.mean(0) - hat * (w * hat).mean(0)) / sd  # through mu_B and sigma_B
fixed = w / sd  # as if they were constants
normalized = with_device(STEEP, batch_norm=True)
network, _, _ = train(replace(normalized, n_steps=100), 0)
with torch.no_grad():
    inside = norm(u)
    folded = float((network.eval()(X_TEST) - network.folded()(X_TEST)).abs().max())
print(f"mean {inside.mean(0).abs().max():.1e}, variance {inside.var(0, unbiased=False).mean():.5f} in a batch")
print(
    f"gradient by formula: {(through - slope).abs().max():.1e}; with fixed statistics: {(fixed - slope).abs().max():.2f}"
)
print(f"folded into the weights: {folded:.1e}")

assert float((through - slope).abs().max()) < 1e-10, "the gradient goes through the statistics of the batch"
assert folded < 1e-3, "normalization folds into the weights"

# %% [markdown]
# **Curves.** Four rectified layers at a rate of 0.1 and at ten times that.

# %%
fifth = {
    "rate 0.1": STEEP,
    "rate 0.1, normalized": normalized,
    "rate 1": replace(STEEP, rate=1.0),
    "rate 1, normalized": replace(normalized, rate=1.0),
}
curves(fifth)

# %% [markdown]
# ## As an experiment of the workbench
#
# The same kind of pair through the door that the app and the command line use: variants of a system, trained with the
# same seeds, and compared seed by seed.
#
# Intervals over the seeds of *this notebook* are Student's. The workbench's own are bootstraps, which with three seeds
# leave out 0 whenever the three agree in sign, one time in four by chance. No standard deviation is taken to be smaller
# than one held-out digit.

# %%
N_DIGITS = 1797 if FULL else 800
NAME = f"digits {N_DIGITS} for devices"
if NAME not in [c.name for c in workflow.list_cohorts()]:
    made = workflow.make_phantom("digits", NAME, n_subjects=N_DIGITS, seed=0)
    if not FULL:  # the digits come with a split, which would be kept: a fifth held out
        made = workflow.save_split(made, None)
        workflow.save_split(made, workflow.make_split(made, (0.55, 0.0, 0.45), seed=0))
assert sum(s.split == "test" for s in workflow.open_cohort(NAME)) == len(Y_TEST), "as many held out as above"
variants = {"without": {}, "dropout": {"dropout": 0.5}}
base = {
    "n_hidden": (WIDTH, WIDTH),
    "n_epochs": 200 if FULL else 30,
    "batch_size": 20,
    "learning_rate": 3e-3,
    "initialization": "he",
}
experiment = workflow.new_experiment(
    "mlp", NAME, variants, base=base, seeds=N_SEEDS, n_labels=(100,), preset="quick", title="devices"
)
experiment = workflow.run_experiment(experiment.id)
compared = workflow.compare_experiment(experiment.id, "accuracy", "without").pairs


def over_seeds(values) -> Interval:
    """Give a mean over seeds with Student's 95 % interval, from values in percent."""
    values = np.asarray(values, float)
    deviation = max(values.std(ddof=1), 100 / len(Y_TEST))
    half = stats.t.ppf(0.975, len(values) - 1) * deviation / np.sqrt(len(values))
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


scores = compared.rename(columns={"value": "score"})[["variant", "seed", "score"]].assign(score=lambda t: 100 * t.score)
columns = ["variant", "mean", "low", "high"]
groups = scores.groupby("variant", sort=False)["score"]
means = pd.DataFrame([(name, *over_seeds(part)) for name, part in groups], columns=columns)
pairs = compared[compared["variant"] != "without"].groupby("variant", sort=False)["difference"]
differences = pd.DataFrame([(name, *over_seeds(100 * part)) for name, part in pairs], columns=columns)
display(differences.set_index("variant").round(2))
paired_experiment(scores, means, differences, title="accuracy", unit="%")

# %% [markdown]
# ## The measured table: every device, on few and on many labels
#
# `benchmarks/devices.py` trains each device on and off on these digits in black and white, 600 steps (starts and
# schedules: 1,200), ten seeds, and writes `docs/devices.csv`; *rates are not tuned there*. Below, the change of the
# error on 360 held-out digits with bootstrap intervals over the seeds, which are somewhat narrow. They speak of this
# one held-out set, and of so many comparisons one in twenty leaves out 0 by chance alone.

# %%
TABLE = pd.read_csv(Path(workbench.__file__).parents[1] / "docs" / "devices.csv")
ALONE = "10 times the rate alone"
FEW, MANY = int(TABLE["labels"].min()), int(TABLE["labels"].max())


def bars(n_labels: int):
    """Draw what each device changes in the measured table."""
    part = TABLE[(TABLE["labels"] == n_labels) & (TABLE["device"] != ALONE)]
    return ranked_bars(
        part["test_change"].tolist(), part["device"].tolist(),
        low=part["test_low"].tolist(), high=part["test_high"].tolist(),
        title=f"change of the held-out error with {n_labels:,} labels, points; left is better",
    )  # fmt: skip


assert (TABLE["seeds"] >= 10).all(), "the table is over ten seeds"
for part in ("test", "train", "gap"):
    assert (TABLE[f"{part}_on"] - TABLE[f"{part}_off"] - TABLE[f"{part}_change"]).abs().max() < 0.002, "on − off"
    assert TABLE[f"{part}_change"].between(TABLE[f"{part}_low"] - 0.001, TABLE[f"{part}_high"] + 0.001).all()
bars(FEW)

# %% [markdown]
# *100 labels.* Ten times the rate without normalization, which is what batch normalization is held against, is in the
# table but left out of the drawing: it harms by more points than the axis has. With all labels:

# %%
bars(MANY)

# %% [markdown]
# ## Some of its pairs, trained again here
#
# In grey values instead of black and white, in fewer steps, over fewer seeds; the starts and the schedules each at the
# rate that was best for them above. A pair that comes out otherwise than in the table shows how far such a finding
# carries.

# %%
PAIRS = {  # as the table names it: with the device, without it
    "Glorot start, instead of N(0, 1)": (ways["Glorot"], ways["N(0, 1)"]),
    "sparse start, instead of N(0, 1)": (ways["sparse"], ways["N(0, 1)"]),
    "scheduled NAG, from N(0, 1)": (ways["N(0, 1), scheduled"], ways["N(0, 1)"]),
    "scheduled NAG, from Glorot": (ways["Glorot, scheduled"], ways["Glorot"]),
    "ReLU, instead of sigmoid": (RELU, SIGMOID),
    "input noise (masking 0.25)": (replace(RELU, corruption=Corruption("masking", 0.25)), RELU),
    "pretraining: greedy SAE": (third["plain auto-encoders"], SIGMOID),
    "pretraining: greedy denoising SAE": (third["denoising auto-encoders"], SIGMOID),
    "dropout 0.5, input 0.2": (fourth["dropout 0.5, input 0.2"], RELU),
    "DropConnect 0.5": (fourth["64-64, DropConnect 0.5"], fourth["64-64, without"]),
    "batch normalization, same rate": (normalized, STEEP),
    "batch normalization, 10 times the rate": (replace(normalized, rate=1.0), STEEP),
}
again: dict[tuple[str, int], Interval] = {}
rows = []
for n_labels in (FEW, MANY) if FULL else (FEW,):
    ten_seeds = TABLE[TABLE["labels"] == n_labels].set_index("device")
    for device, (on, off) in PAIRS.items():
        errors = [[train(c, seed, n_labels % len(Y))[1]["test"] for seed in range(N_SEEDS)] for c in (on, off)]
        again[device, n_labels] = change = over_seeds(np.subtract(*errors))
        measured = ten_seeds.loc[device]
        rows.append((
            n_labels, device, f"{measured.test_change:+.1f} ({measured.test_low:+.1f} to {measured.test_high:+.1f})",
            f"{change.mean:+.1f} ({change.low:+.1f} to {change.high:+.1f})",
            f"{np.mean(errors[1]):.1f} → {np.mean(errors[0]):.1f}",
        ))  # fmt: skip
columns = ["labels", "device", "in the table, 10 seeds", f"here, {N_SEEDS} seeds", "error here, %"]
display(pd.DataFrame(rows, columns=columns).set_index(["labels", "device"]))
few = {device: again[device, FEW] for device in PAIRS}
ranked_bars(
    [c.mean for c in few.values()], list(few), low=[c.low for c in few.values()], high=[c.high for c in few.values()],
    title=f"change of the held-out error here with {FEW} labels, points; left is better",
)  # fmt: skip

# %% [markdown]
# ## What helps here, and what does not
#
# *Helps* or *harms* is said where the interval leaves out 0, else *not shown*. The gap is held-out minus training
# error; where training itself fails, a smaller gap is no gain.


# %%
def found(n_labels: int, *, falls: bool) -> str:
    """Name the devices with which the error falls, or rises, in the table, by how many points."""
    part = TABLE[TABLE["labels"] == n_labels]
    part = part[part["test_high"] < 0] if falls else part[part["test_low"] > 0]
    return "; ".join(f"{row.device} ({row.test_change:+.1f})" for row in part.itertuples()) or "none"


def gap_of(device: str) -> str:
    """Say what becomes of the gap of a device at each number of labels in the table."""
    said = []
    for row in TABLE[TABLE["device"] == device].itertuples():
        word = "falls" if row.gap_high < 0 else "grows" if row.gap_low > 0 else "is not shown to change"
        said.append(f"{word} with {row.labels:,} labels ({row.gap_change:+.1f})")
    return f"{device}: it {', '.join(said)}"


def at(device: str, n_labels: int):
    """Give a row of the table."""
    return TABLE.set_index(["device", "labels"]).loc[(device, n_labels)]


def left(condition: Condition) -> str:
    """Give the training error of seed 0 with all labels, and whether that is to have learnt."""
    value = train(condition, 0)[1]["training"]
    return f"{'trains' if value < 20 else 'stalls'} (training error {value:.0f} %)"


def but(device: str, n_labels: int) -> str:
    """Give what a pair came to here, with its interval."""
    c = again[device, n_labels]
    return f"{device} with {n_labels:,} labels ({c.mean:+.1f} points here, {c.low:+.1f} to {c.high:+.1f})"


clear = TABLE[(TABLE["test_low"] > 0) | (TABLE["test_high"] < 0)]
shown = TABLE.groupby("device", sort=False)[["test_low", "test_high"]].apply(
    lambda t: ((t["test_low"] > 0) | (t["test_high"] < 0)).any()
)
told_apart = [key for key in again if key in set(zip(clear["device"], clear["labels"], strict=True))]
same_sign = [key for key in told_apart if again[key].mean * at(*key).test_change > 0]
alone, normal = at(ALONE, MANY), at("batch normalization, 10 times the rate", MANY)
from_normal, from_glorot = tuning.loc["N(0, 1)"], tuning.loc["Glorot"]
claims = [
    f"**Helps in the table with {FEW} labels:** {found(FEW, falls=True)}. **With {MANY:,}:** {found(MANY, falls=True)}.",
    f"**Harms with {FEW}:** {found(FEW, falls=False)}. **With {MANY:,}:** {found(MANY, falls=False)}.",
    f"**Not shown to change the error at any number of labels:** {'; '.join(shown.index[~shown]) or 'none'}.",
    "**Less overfitting, measured by the gap.** "
    + "; ".join(gap_of(d) for d in ("dropout 0.5, input 0.2", "DropConnect 0.5", "pretraining: greedy denoising SAE"))
    + ". Where the training error rises as the gap falls, nothing is gained by that.",
    f"**That a deep logistic network from N(0, 1) stalls {'holds' if from_normal.min() > 20 else 'does not hold'} here**: "
    f"at the best of three rates its training error is {from_normal.min():.0f} %, that from Glorot's start "
    f"{from_glorot.min():.0f} %; at the smallest rate they are {from_normal.iloc[0]:.0f} % and {from_glorot.iloc[0]:.0f} "
    "%. At one rate for all, starts are compared by their scale. What N(0, 1) costs in the table is held-out error: "
    f"{at('Glorot start, instead of N(0, 1)', FEW).test_off:.1f} % against "
    f"{at('Glorot start, instead of N(0, 1)', FEW).test_on:.1f} % with {FEW} labels, at one rate that is not tuned; "
    f"tuned, the change is {few['Glorot start, instead of N(0, 1)'].mean:+.1f} points here.",
    f"**Ten times the rate** without normalization {left(fifth['rate 1'])}; with it {left(fifth['rate 1, normalized'])}. "
    f"In the table: training errors of {alone.train_on:.0f} % and {normal.train_on:.1f} % with {MANY:,} labels.",
    f"**Trained again here**, {len(same_sign)} of the {len(told_apart)} pairs that the table tells apart have its sign"
    + (
        f"; not {'; '.join(but(*key) for key in told_apart if key not in same_sign)}."
        if len(same_sign) < len(told_apart)
        else "."
    ),
    f"All of this for small networks on 8 × 8 digits; the notebook's own numbers over {N_SEEDS} seeds and {N_STEPS} steps. "
    "That a device does nothing here does not say that it does nothing on large networks, for which most were made.",
]
display(Markdown("\n".join(f"- {line}" for line in claims)))

assert train(fifth["rate 1, normalized"], 0)[1]["training"] < 5 < train(fifth["rate 1"], 0)[1]["training"], (
    "normalized networks bear ten times the rate, others do not"
)
assert alone.train_on > 50 > normal.train_on, "and so it is in the table"
assert tuning.loc["Glorot, scheduled"].min() < 10, "Glorot's start and scheduled momentum train four logistic layers"
assert few["batch normalization, same rate"].mean > 0, "with few labels it harms here, as in the table"
assert few["ReLU, instead of sigmoid"].mean < 5, "rectified units are no disaster"

# %% [markdown]
# ## With your own images
#
# Set `WORKBENCH_IMAGES` to a `.npz` of small pictures with labels (MedMNIST's layout, or plain `images` and `labels`),
# a table with one row a subject, or a folder of images with label maps or targets, and run the next cells: the same
# network with and without devices, on your own split. Without it, 200 digits stand in. Nothing leaves this machine.

# %%
source = Path(os.environ.get("WORKBENCH_IMAGES", ""))
if not os.environ.get("WORKBENCH_IMAGES"):
    source = data_root() / "stand-in digits for devices" / "pictures.npz"
    source.parent.mkdir(parents=True, exist_ok=True)
    np.savez(source, images=(images[:200] * 255 / 16).astype(np.uint8).reshape(-1, 8, 8), labels=classes[:200])
if "my pictures, devices" in [c.name for c in workflow.list_cohorts()]:
    workflow.delete_cohort("my pictures, devices")  # the copy of an earlier run of this cell; not the source
mine = workflow.import_cohort(source, "my pictures, devices", link=True)
own = workflow.new_experiment(
    "mlp", mine.name, variants, base={"n_epochs": 30}, seeds=2, preset="quick", title="devices on my pictures"
)
own = workflow.run_experiment(own.id)
for row in workflow.compare_experiment(own.id, "accuracy", "without").rows:
    print(f"{row.variant}: {100 * row.difference.mean:+.1f} points of accuracy over {row.n_pairs} seeds")

# %%
print(f"{(time.perf_counter() - BEGIN) / 60:.1f} minutes")
