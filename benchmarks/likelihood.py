"""How probable models hold held-out digits, in nats: RBM, DBN and DBM beside scikit-learn's BernoulliRBM.

    python benchmarks/likelihood.py [--seeds 5] [--quick] [--write]

scikit-learn's 1,797 digits of 8 × 8 pixels, black and white (a pixel is on from 8 of 16), 1,437 to learn from and 360
held out (``train_test_split(test_size=360, random_state=0, stratify=y)``). Ours are trained as a user trains them,
through the workflow. BernoulliRBM has the same hidden units, batch size and epochs; its learning rate is chosen by the
likelihood of a fifth of the training digits, and its weights are measured by the same code as ours.

Log Z is summed exactly for 16 hidden units, else estimated forward and in reverse. Reconstruction errors are not
likelihoods and are not shown. ``--write`` replaces docs/likelihood.csv and docs/likelihood.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import pandas as pd
import torch

RATES = (0.005, 0.01, 0.02, 0.05, 0.1)
SIZES = (16, 64, 200)
TARGETS = {16: (-18.60, 0.5), 64: (-17.10, 1.5), 200: (-16.75, 2.5)}
"""Hidden units → mean log likelihood to reach, and distance to keep from scikit-learn, nats."""
N_BETAS, N_CHAINS = 4000, 100
DOCS = Path(__file__).resolve().parents[1] / "docs"


def ours(system: str, changes: dict[str, Any], seed: int) -> dict[str, float]:
    """Train a family on the digits and give its held-out log p, or bound, under each estimate of log Z."""
    from workbench import workflow

    run = workflow.train(system, "digits", changes | {"seed": seed}, preset="digits")
    view = workflow.likelihood(run.folder, n_betas=N_BETAS, n_chains=N_CHAINS)
    return {str(r["kind"]): float(r["value"]) for r in view.rows if r["part"] == "held-out"}


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Give the black and white digits, training (1437, 64) and test (360, 64)."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    train, test = train_test_split((x >= 8).astype(np.float64), test_size=360, random_state=0, stratify=y)
    return torch.from_numpy(train), torch.from_numpy(test)


def peer(n_hidden: int, rate: float, train: torch.Tensor, test: torch.Tensor, seed: int, n_epochs: int) -> float:
    """Train scikit-learn's BernoulliRBM and give the mean log p of the test digits."""
    from sklearn.neural_network import BernoulliRBM

    from workbench.metrics.likelihood import ais, default_betas, log_z_by_enumeration
    from workbench.models.rbm import RBM

    found = BernoulliRBM(n_hidden, learning_rate=rate, batch_size=20, n_iter=n_epochs, random_state=seed).fit(train)
    rbm = RBM(64, n_hidden).double().requires_grad_(False)
    rbm.weight.copy_(torch.from_numpy(found.components_))
    rbm.hidden_bias.copy_(torch.from_numpy(found.intercept_hidden_))
    rbm.visible_bias.copy_(torch.from_numpy(found.intercept_visible_))
    if n_hidden <= 16:
        log_z = float(log_z_by_enumeration(rbm.log_marginal_hidden, n_hidden))
    else:
        log_z = ais(rbm.annealed(train.mean(0)), betas=default_betas(N_BETAS), n_chains=N_CHAINS, seed=seed).value
    return float((-rbm.free_energy(test)).mean()) - log_z


def tuned_peer(n_hidden: int, seeds: range, n_epochs: int) -> tuple[float, list[float]]:
    """Choose the learning rate on a fifth of the training digits; give it, and test values by seed."""
    train, test = digits()
    order = np.random.default_rng(0).permutation(len(train))
    inner, chosen = train[order[287:]], train[order[:287]]
    rate = max(RATES, key=lambda r: peer(n_hidden, r, inner, chosen, 0, n_epochs))
    return rate, [peer(n_hidden, rate, train, test, seed, n_epochs) for seed in seeds]


def measure(n_seeds: int, n_epochs: int) -> pd.DataFrame:
    """Train and measure everything; one row a model and seed."""
    rows = []

    def note(model: str, seed: int, values: dict[str, float]) -> None:
        rows.append({"model": model, "seed": seed, **values})
        print(f"{model:34} seed {seed}  " + "  ".join(f"{k} {v:.3f}" for k, v in values.items()), flush=True)

    seeds = range(n_seeds)
    for n in SIZES:
        for seed in seeds:
            note(f"RBM {n}", seed, ours("rbm", {"n_hidden": n, "n_epochs": n_epochs}, seed))
        rate, values = tuned_peer(n, seeds, n_epochs)
        for seed, value in zip(seeds, values, strict=True):
            note(f"scikit-learn {n} (rate {rate:g})", seed, {"exact" if n <= 16 else "forward": value})
    for seed in seeds:
        note("DBN 64-64 (bound)", seed, ours("dbn", {"n_hidden": (64, 64), "n_epochs": n_epochs,
                                                     "n_epochs_wake_sleep": n_epochs // 2}, seed))  # fmt: skip
        note("RBM 64, tuned as the DBM", seed, ours("rbm", {
            "n_hidden": 64, "n_epochs": n_epochs + n_epochs // 4, "n_gibbs": 5, "learning_rate": 0.2, "n_chains": 100,
            "momentum": 0.0, "final_momentum": 0.0, "weight_decay": 1e-3}, seed))  # fmt: skip
        note(
            "DBM 64-32 (bound)", seed, ours("dbm", {"n_epochs": n_epochs, "n_epochs_pretraining": n_epochs // 4}, seed)
        )
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Give the mean over seeds of each model, with the spread of seeds and the largest gap of the two estimates."""
    best = table["exact"].fillna(table["forward"]) if "exact" in table else table["forward"]
    gap = (table["reverse"] - table["forward"]).abs()
    found = table.assign(value=best, gap=gap).groupby("model", sort=False)
    return found.agg(mean=("value", "mean"), low=("value", "min"), high=("value", "max"), gap=("gap", "max"))


def verdicts(means: pd.Series) -> list[str]:
    """Say in words what was reached."""
    lines = []
    for n, (least, distance) in TARGETS.items():
        mine = float(means[f"RBM {n}"])
        theirs = float(means[next(m for m in means.index if m.startswith(f"scikit-learn {n} "))])
        reached = "reached" if mine >= least else "NOT reached"
        kept = "kept" if mine - theirs >= distance else "NOT kept"
        lines.append(
            f"{n} hidden units: {mine:.2f} nats, target {least:.2f} {reached}; {mine - theirs:.2f} nats above "
            f"scikit-learn, {distance:g} wanted: {kept}."
        )
    dbm, rbm, alike = (float(means[m]) for m in ("DBM 64-32 (bound)", "RBM 64", "RBM 64, tuned as the DBM"))
    lines.append(
        f"The bound of the DBM lies {dbm - rbm:+.2f} nats from the RBM of its first layer's size under that one's own "
        f"recipe, and {dbm - alike:+.2f} from one tuned like the DBM: "
        + ("depth helps here." if dbm - alike > 0.1 else "the recipe makes the difference, not the depth.")
    )
    return lines


def _rows(found: pd.DataFrame) -> list[str]:
    head = ["| model | mean | smallest | largest | gap |", "|---|---|---|---|---|"]
    for name, row in found.iterrows():
        head.append("| " + " | ".join([str(name), *(f"{v:.2f}" if np.isfinite(v) else "" for v in row)]) + " |")
    return head


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="20 epochs instead of 200: numbers mean nothing")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as root:
        os.environ["WORKBENCH_DATA"] = root
        from workbench import workflow

        workflow.make_phantom("digits", "digits")
        table = measure(options.seeds, 20 if options.quick else 200)
    found = summary(table)
    lines = verdicts(found["mean"])
    minutes = (time.perf_counter() - began) / 60
    print(found.round(3).to_string(), *lines, f"{minutes:.1f} minutes", sep="\n")
    if options.write:
        table.round(4).to_csv(DOCS / "likelihood.csv", index=False)
        text = [
            "# Held-out log likelihood of 8 × 8 digits, nats an example", "",
            f"`python benchmarks/likelihood.py --seeds {options.seeds} --write`; mean over seeds, smallest and largest "
            "seed, largest gap between reverse and forward estimates of log Z. Rates and decay of the DBM and of the "
            "RBM tuned like it were chosen while looking at these digits.", "",
            *_rows(found), "", *[f"- {line}" for line in lines], "",
        ]  # fmt: skip
        (DOCS / "likelihood.md").write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
