"""A cohort's fingerprint kept until its files change, and told in lines of text."""

from __future__ import annotations

import json
import re

from workbench.imaging.cohort import Cohort
from workbench.imaging.fingerprint import Fingerprint, fingerprint
from workbench.imaging.guard import writing
from workbench.paths import cache_dir
from workbench.progress import Progress, silent


def stored_fingerprint(cohort: Cohort, progress: Progress = silent) -> Fingerprint:
    """Give the fingerprint of a cohort from the cache, or take it and keep it there."""
    name = re.sub(r"[^\w.-]", "_", cohort.name)
    file = cache_dir() / "fingerprints" / f"{name}-{cohort.digest}.json"
    try:
        return Fingerprint.from_dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):  # never taken, or by another version
        found = fingerprint(cohort, progress)
    with writing(file) as partial:
        partial.write_text(json.dumps(found.to_dict()), encoding="utf-8")
    return found


def describe(found: Fingerprint) -> str:
    """Give a fingerprint as lines of text: a paragraph a modality, then the problems."""
    lines = [f"{found.name}: {found.n_subjects} subjects"]
    for summary in found.summaries:
        shape, spacing = _times(summary.median_shape), _times(summary.median_spacing_mm)
        low, high = summary.intensity_range
        lines.append(
            f"  {summary.modality:<12} {summary.n_subjects} subjects, median {shape} voxels of {spacing} mm, "
            f"stored {', '.join(summary.codes)}, intensities {low:.4g} to {high:.4g}"
        )
    names = dict(found.label_names)
    volumes: dict[int, list[float]] = {}
    for label in (m for m in found.labels if m.column == "label"):
        for one in label.values:
            volumes.setdefault(one.value, []).append(one.volume_ml)
    for value, found_ml in sorted(volumes.items())[:40]:
        mean = sum(found_ml) / len(found_ml)
        lines.append(f"  label {value:<6} {names.get(value, ''):<16} {mean:.4g} ml on average in {len(found_ml)} maps")
    lines += [f"  ! {sentence}" for sentence in found.problems] or ["  No problems found."]
    return "\n".join(lines)


def _times(numbers: tuple[float, ...]) -> str:
    return " × ".join(f"{n:.4g}" for n in numbers)
