"""How probable RBM, DBN and DBM hold held-out MNIST digits, in nats, by annealing in both directions.

    python benchmarks/mnist_likelihood.py --data FOLDER/mnist.npz [--epochs 60] [--write]

The file holds pictures (N, 28, 28) and labels; with 8,000 of them about 5,600 are learnt from. Published figures are of
models that learnt from 60,000 digits, so they stand beside ours for orientation, not for comparison. Only figures
whose source could be read are shown. ``--write`` replaces docs/mnist_likelihood.csv and .md.
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

import pandas as pd

N_BETAS, N_CHAINS = 14_500, 100
DOCS = Path(__file__).resolve().parents[1] / "docs"
COMMON: dict[str, Any] = {"scaling": "binary", "batch_size": 100, "n_chains": 100}
PUBLISHED = (
    ("RBM 500, centered, PCD-1, 200 epochs, 60,000 digits", "-84.9 forward, -96.6 reverse",
     "run files of the PyDeep library"),
    ("DBM 512-1024, 60,000 digits", "-86.4 bound", "read-me of yell/boltzmann-machines"),
    ("DBM 500-1000, 60,000 digits", "-84.62 bound", "Salakhutdinov and Hinton 2009, quoted in the same read-me"),
)  # fmt: skip


def models(n_epochs: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Give the trainings: name → system and settings."""
    rbm = {"n_hidden": 500, "n_epochs": n_epochs, "learning_rate": 0.05, "momentum": 0.0, "final_momentum": 0.0}
    return {
        "RBM 500": ("rbm", rbm),
        "DBN 500-500": ("dbn", {"n_hidden": (500, 500), "n_epochs": n_epochs, "n_epochs_wake_sleep": n_epochs // 3}),
        "DBM 500-500": ("dbm", {
            "n_hidden": (500, 500), "n_epochs_pretraining": n_epochs // 2, "n_epochs": n_epochs, "learning_rate": 0.05,
            "momentum": 0.0, "final_momentum": 0.0, "weight_decay": 2e-4}),
    }  # fmt: skip


def measure(n_epochs: int) -> pd.DataFrame:
    """Train each model and give one row for each part of the data and direction of annealing."""
    from workbench import workflow

    rows = []
    for name, (system, changes) in models(n_epochs).items():
        began = time.perf_counter()
        run = workflow.train(system, "digits", COMMON | changes)
        trained = time.perf_counter() - began
        view = workflow.likelihood(run.folder, n_betas=N_BETAS, n_chains=N_CHAINS)
        for row in view.rows:
            rows.append({"model": name, **row, "gap": view.log_z.get("gap"), "minutes": trained / 60})
            print(name, {k: v if isinstance(v, str) else round(v, 2) for k, v in row.items()}, flush=True)
        print(f"{name}: trained in {trained / 60:.1f} min; {view.note}", flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as root:
        os.environ["WORKBENCH_DATA"] = root
        from workbench import workflow

        workflow.import_cohort(options.data, "digits")
        table = measure(options.epochs)
    if not options.write:
        return
    table.round(3).to_csv(DOCS / "mnist_likelihood.csv", index=False)
    text = [
        "# Held-out log likelihood of MNIST digits, nats an example", "",
        f"`python benchmarks/mnist_likelihood.py --data mnist.npz --epochs {options.epochs} --write`: 8,000 digits, "
        "0.7 of them for training, one seed, pixels black or white by half of the range. Intervals are over examples "
        "and annealing chains.", "",
        "| model | what | part | log Z by | nats | 95 % interval | gap of log Z |", "|---|---|---|---|---|---|---|",
        *(f"| {r.model} | {r.quantity} | {r.part} | {r.kind} | {r.value:.2f} | {r.low:.2f} to {r.high:.2f} | "
          f"{r.gap:.2f} |" for r in table.itertuples(index=False)), "",
        "Published, on other training data and another way of making pixels black or white, so not comparable:", "",
        "| model | nats | source |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in PUBLISHED), "",
    ]  # fmt: skip
    (DOCS / "mnist_likelihood.md").write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
