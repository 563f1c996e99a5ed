"""A change of contrast: features learnt anew without labels, beside features that stay as they were.

    python benchmarks/registration_contrast.py [--pairs 8] [--contrasts T1 T2 inverted compressed]
    python benchmarks/registration_contrast.py --report

7 T-like phantoms of one anatomy in four contrasts. In each, pairs are registered by HAMMER on an auto-encoder that was
learnt from T1, on one of the same settings that was learnt from the new contrast, on hand-made attributes and on raw
patches, and by demons. Nothing else changes between contrasts, neither code nor parameter. Those who are learnt from
are never registered.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from registration_real import trained
from row_table import append, has_row

from workbench.imaging.cohort import Cohort
from workbench.metrics.intervals import mean_interval, paired_difference_interval
from workbench.metrics.label_pair import LabelPair
from workbench.phantoms.brain_7t import LABEL_NAMES, make_brain_7t
from workbench.runs.run import Run
from workbench.systems.registering import register_subjects
from workbench.systems.registration_settings import RegistrationSettings, method_of

ROOT = Path(__file__).resolve().parents[1]
HOME = "T1"
N_LEARNT = 4
METHODS = {
    "affine": "affine",
    "diffeomorphic demons": "diffeomorphic-demons",
    "HAMMER + attributes": "hammer-attributes",
    "HAMMER + raw patches": "hammer-patches",
    "HAMMER + SAE of T1": "hammer-learnt",
    "HAMMER + SAE learnt anew": "hammer-learnt",
}
WORDS = (
    "7 T-like phantoms of one anatomy in four contrasts. In each, pairs are registered by HAMMER on an auto-"
    "encoder that was learnt from T1, on one of the same settings that was learnt from the new contrast without "
    "labels, on hand-made attributes and on raw patches, and by demons. Neither code nor parameters change "
    "between contrasts, and those who are learnt from are never registered."
)
COLUMNS = ["contrast", "fixed", "moving", "method", "label", "dice"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=0, help="0 registers nothing")
    parser.add_argument("--contrasts", nargs="*", default=["T1", "T2", "inverted", "compressed"])
    parser.add_argument("--work", type=Path, help="where runs and phantoms are kept; a temporary folder by default")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "registration_contrast.csv")
    parser.add_argument("--report", action="store_true", help="write the tables beside the CSV")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.pairs:
        with tempfile.TemporaryDirectory() as folder:
            run_study(given, given.work or Path(folder))
    if given.report:
        given.out.with_suffix(".md").write_text(report(pd.read_csv(given.out)), encoding="utf-8")


def run_study(given: argparse.Namespace, work: Path) -> None:
    """Add to the CSV what it does not hold yet."""
    os.environ["WORKBENCH_DATA"] = str(work)
    folder = work / "cohorts" / "brain7t"
    n_subjects = N_LEARNT + given.pairs
    cohort = make_brain_7t(folder, n_subjects=n_subjects, seed=7) if not folder.exists() else _read(folder)
    people = [s.name for s in cohort if s.name != "template"]
    learnt, tested = people[:N_LEARNT], people[N_LEARNT:]
    runs: dict[str, Run] = {}
    for contrast in given.contrasts:
        for fixed, moving in zip(tested, tested[1:] + tested[:1], strict=True):
            for method in METHODS:
                done = has_row(given.out, contrast=contrast, fixed=fixed, method=method)
                if done or (method == "HAMMER + SAE learnt anew" and contrast == HOME):
                    continue
                rows = _rows(cohort, (fixed, moving), contrast, method, learnt, runs)
                append(given.out, rows, COLUMNS)
                print(f"{contrast} {fixed} <- {moving} {method}: {np.mean([r['dice'] for r in rows]):.3f}", flush=True)


def _read(folder: Path) -> Cohort:
    from workbench.imaging.cohort import read_cohort

    return read_cohort(folder)


def _rows(
    cohort: Cohort, pair: tuple[str, str], contrast: str, method: str, learnt: list[str], runs: dict[str, Run]
) -> list[dict[str, Any]]:
    features = None
    if METHODS[method] == "hammer-learnt":
        source = HOME if method.endswith("T1") else contrast
        settings = {"system": "wu2016", "modality": source}
        system, runs[source] = trained(settings, cohort, learnt, runs.get(source))
        features = system.learnt_features(runs[source])
    fixed, moving = cohort[pair[0]], cohort[pair[1]]
    found = register_subjects(
        method_of(METHODS[method]), fixed, moving, RegistrationSettings(), modalities=(contrast, contrast),
        learnt=features,
    )  # fmt: skip
    truth, labels = fixed.label_map(found.fixed), moving.label_map(found.moving)
    assert truth is not None and labels is not None
    values = [value for value in LABEL_NAMES if value]
    table = LabelPair.of((found.warp_labels(labels), truth), values, None)
    return [
        {"contrast": contrast, "fixed": pair[0], "moving": pair[1], "method": method, "label": LABEL_NAMES[value],
         "dice": table.overlap([value]).dice}
        for value in values
    ]  # fmt: skip


def report(table: pd.DataFrame) -> str:
    """Give the Markdown."""
    means = table.pivot_table(index=["contrast", "fixed"], columns="method", values="dice", aggfunc="mean")
    methods = [m for m in METHODS if m in means]
    contrasts = list(dict.fromkeys(table.contrast))
    lines = [
        "# Registration after a change of contrast\n",
        "`python benchmarks/registration_contrast.py --pairs 8`, then `--report`. " + WORDS,
        "\nMean Dice over three tissues and five nuclei; 95 % bootstrap intervals over pairs, which share subjects.\n",
        "| method | " + " | ".join(contrasts) + " |",
        "|" + "---|" * (len(contrasts) + 1),
    ]
    for method in methods:
        cells = []
        for contrast in contrasts:
            values = means.loc[contrast][method].dropna()
            cells.append("–" if values.empty else "{:.3f} ({:.3f} to {:.3f})".format(*mean_interval(values)))
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    lines.append("\n**Verdict**\n")
    for contrast in contrasts:
        if contrast == HOME:
            continue
        here = means.loc[contrast]
        for a, b in (
            ("HAMMER + SAE learnt anew", "HAMMER + SAE of T1"),
            ("HAMMER + SAE learnt anew", "HAMMER + attributes"),
        ):
            lines.append(f"- {contrast}: {_verdict(here[a], here[b], a, b)}")
        anew = "HAMMER + SAE learnt anew"
        back = means.loc[HOME]["HAMMER + SAE of T1"]
        lines.append(f"- {contrast}: {_verdict(here[anew], back, 'learnt anew there', 'the SAE of T1 on T1')}")
    return "\n".join(lines) + "\n"


def _verdict(a: pd.Series, b: pd.Series, name: str, other: str) -> str:
    both = pd.concat([a, b], axis=1).dropna().to_numpy()
    gap = paired_difference_interval(both[:, 0], both[:, 1])
    apart = "not told apart from" if gap.low <= 0 <= gap.high else "above" if gap.mean > 0 else "below"
    return (
        f"{name} {both[:, 0].mean():.3f} is **{apart}** {other} {both[:, 1].mean():.3f}: {gap.mean:+.3f} "
        f"({gap.low:+.3f} to {gap.high:+.3f})."
    )


if __name__ == "__main__":
    main()
