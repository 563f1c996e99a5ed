"""What segmentations say, as tables, files and sentences; nothing here draws."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.app.frame import RESEARCH_USE

MAIN = ("dice", "sensitivity", "specificity", "ppv", "mean_surface_mm", "hd95_mm", "relative_volume_difference")
PARTS = {"train": "training", "validation": "validation", "test": "test", "": "new to the run"}


def column_title(score: str, kinds: Mapping[str, Any]) -> str:
    """Give what a score is called, with its unit."""
    kind = kinds.get(score)
    if kind is None:
        return score.replace("_", " ").capitalize()
    return f"{kind.title}, {kind.unit}" if kind.unit and kind.unit != "lesions" else str(kind.title)


def score_table(scores: Mapping[str, Mapping[str, float]], kinds: Mapping[str, Any]) -> pd.DataFrame:
    """Give a row a structure and a column a score; volumes first, and no column that is empty everywhere."""
    known = list(dict.fromkeys(name for of in scores.values() for name in of))
    order = [n for n in ("predicted_ml", "true_ml", *MAIN) if n in known]
    order += [n for n in kinds if n in known and n not in order and n not in ("jaccard", "volume_difference")]
    rows = [
        {"Structure": structure} | {column_title(n, kinds): of.get(n, np.nan) for n in order}
        for structure, of in scores.items()
    ]
    return pd.DataFrame(rows).dropna(axis="columns", how="all")


def volume_table(found: Any) -> pd.DataFrame:
    """Give the volume of each class in ml, where no scores are."""
    one = abs(float(np.linalg.det(found.image.affine[:3, :3]))) / 1000
    counts = np.bincount(found.classes.ravel(), minlength=len(found.names) + 1)
    return pd.DataFrame([{"Structure": n, "Predicted volume, ml": counts[k] * one} for k, n in found.names.items()])


def case_table(scores: Mapping[str, Any], structure: str, score: str) -> pd.DataFrame:
    """Give a row a subject with one score of one structure, for the strips."""
    return pd.DataFrame(
        [
            {"structure": structure, "subject": subject, "value": of[structure][score]}
            for subject, of in scores["subjects"].items()
            if score in of.get(structure, {})
        ],
        columns=["structure", "subject", "value"],
    )


def summary_rows(scores: Mapping[str, Any], score: str) -> pd.DataFrame:
    """Give mean and interval of one score, a row a structure."""
    rows = [
        {"structure": s} | dict(zip(("mean", "low", "high"), of[score], strict=True))
        for s, of in scores["summary"].items()
        if score in of
    ]
    return pd.DataFrame(rows, columns=["structure", "mean", "low", "high"])


def summary_table(scores: Mapping[str, Any], kinds: Mapping[str, Any]) -> pd.DataFrame:
    """Give every mean with its interval as text, a row a structure."""
    found: dict[str, dict[str, str]] = {}
    for structure, of in scores["summary"].items():
        for score in (*MAIN, "ltpr", "lfpr"):
            if score in of and np.isfinite(of[score][0]):
                found.setdefault(structure, {})[column_title(score, kinds)] = with_interval(*of[score])
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("Structure").reset_index().fillna("–")


def with_interval(mean: float, low: float, high: float) -> str:
    """Write a mean with its interval, to three digits."""
    if not np.isfinite(mean):
        return "–"
    digits = ".3f" if abs(mean) <= 1 else ".3g"
    return f"{mean:{digits}}" + (f" ({low:{digits}} to {high:{digits}})" if np.isfinite([low, high]).all() else "")


def worst_table(
    worst: Sequence[tuple[str, float]], scores: Mapping[str, Any], structure: str, score: str, kinds: Mapping[str, Any]
) -> pd.DataFrame:
    """Give a row a subject, the worst first, with what it says of it besides and which part it belongs to."""
    others = [n for n in ("dice", "sensitivity", "ppv", "hd95_mm") if n != score]
    rows = []
    for subject, value in worst:
        of = scores["subjects"][subject][structure]
        row = {"Subject": subject, column_title(score, kinds): value}
        row |= {column_title(n, kinds): of[n] for n in others if n in of}
        rows.append(row | {"Part": PARTS.get(scores.get("parts", {}).get(subject, ""), "")})
    return pd.DataFrame(rows)


def held_out(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Give the scores of those subjects that the run has not learnt from, nor been chosen by."""
    kept = [s for s in scores["subjects"] if scores["parts"].get(s, "") not in ("train", "validation")]
    return {
        "subjects": {s: scores["subjects"][s] for s in kept},
        "parts": {s: scores["parts"].get(s, "") for s in kept},
    }


def held_out_everywhere(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Give the first run's scores with each subject in the part that flatters most, of those it has in any run."""
    first = next(iter(runs.values()))
    flatters = ("train", "validation")
    parts = {}
    for subject in first["subjects"]:
        known = [scores["parts"].get(subject, "") for scores in runs.values()]
        parts[subject] = next((p for p in flatters if p in known), known[0])
    return dict(first) | {"parts": parts}


def short_titles(runs: Mapping[str, str]) -> dict[str, str]:
    """Call runs by their titles alone where these tell them apart."""
    bare = {i: title.removesuffix(f" ({i})") for i, title in runs.items()}
    return {i: title if list(bare.values()).count(title) == 1 else runs[i] for i, title in bare.items()}


def part_sentence(parts: Mapping[str, str]) -> str:
    """Say how many of the subjects the run has learnt from: these say nothing of how it does on others."""
    n = {name: sum(p == name for p in parts.values()) for name in PARTS}
    told = ", ".join(f"{count} {PARTS[name]}" for name, count in n.items() if count)
    seen = n["train"] + n["validation"]
    warning = " Scores of training and validation subjects flatter the network." if seen else ""
    return f"{len(parts)} subjects: {told}.{warning}"


def claims(differences: Sequence[Mapping[str, Any]], score: str, best: float) -> list[str]:
    """Say of each run whether its interval leaves any doubt that it differs from the first, and which way is good."""
    told = []
    for row in differences:
        mean, low, high = (float(row[k]) for k in ("mean", "low", "high"))
        size = f"{mean:+.3g} ({low:+.3g} to {high:+.3g})"
        if not np.isfinite([low, high]).all():
            told.append(f"{row['run']}: {size[: size.find(' ')]}; one subject alone says nothing of the spread.")
        elif low <= 0 <= high:
            told.append(f"{row['run']}: {size}; the interval covers no difference.")
        else:
            better = (mean > 0) == (best > 0)  # 1 is best: more is better; 0 is best: less is
            word = "differs" if not np.isfinite(best) else "better" if better else "worse"
            told.append(f"{row['run']}: {size}, {word} in {score}.")
    return told


def report(
    title: str, facts: Mapping[str, str], table: pd.DataFrame, drawing: str = "", notes: Sequence[str] = (),
    picture: bytes = b"",
) -> str:  # fmt: skip
    """Give one page of HTML that opens offline: what was segmented by what, the scores, the network.

    Args:
        title: of the page.
        facts: label → value.
        table: of scores or volumes.
        drawing: an SVG, put in as it is.
        notes: sentences.
        picture: a PNG, put beneath the table.
    """
    shown = f'<img alt="Slices" src="data:image/png;base64,{base64.b64encode(picture).decode()}">' if picture else ""
    rows = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items())
    told = "".join(f"<p>{html.escape(n)}</p>" for n in notes)
    cells = table.to_html(index=False, float_format=lambda v: f"{v:.4g}", na_rep="–", border=0)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1>"
        f'<p class="use">{html.escape(RESEARCH_USE)}</p><dl>{rows}</dl>{told}{cells}{shown}{drawing}</body></html>\n'
    )


STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1040px;margin:32px auto;padding:0 20px;color:#1f2733}"
    "h1{font-size:24px;margin:0 0 4px}.use{color:#c8361d;font-weight:600;margin:0 0 20px}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 18px}dt{color:#667080}dd{margin:0}"
    "table{border-collapse:collapse;margin:20px 0;font-variant-numeric:tabular-nums}"
    "th,td{padding:5px 12px;text-align:right;border-bottom:1px solid #dde2e9}"
    "th:first-child,td:first-child{text-align:left}svg,img{max-width:100%;height:auto}"
)
