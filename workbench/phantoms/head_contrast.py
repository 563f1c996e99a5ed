"""How bright the tissues of a head are in T1, T2, T1 with contrast agent and FLAIR; and how altered subjects differ.

Signals are shares of the brightest tissue, chosen after textbook appearance, not measured. Grey and white matter and
the CSF between the gyri come as maps: T1 from the template's own intensity, the others from the tissue fractions.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

HeadModality = Literal["T1", "T2", "T1c", "FLAIR"]
Alteration = Literal["none", "enhancing", "resection", "inverted", "random"]
HEAD_MODALITIES: tuple[HeadModality, ...] = ("T1", "T2", "T1c", "FLAIR")
ALTERATIONS: tuple[Alteration, ...] = ("enhancing", "inverted", "resection", "random")
SIGNALS: dict[str, tuple[float, float, float, float]] = {
    "air": (0.01, 0.01, 0.01, 0.01),
    "skin": (0.50, 0.34, 0.56, 0.40),
    "fat": (0.96, 0.62, 0.96, 0.66),
    "muscle": (0.40, 0.20, 0.44, 0.30),
    "bone": (0.06, 0.04, 0.06, 0.05),
    "marrow": (0.66, 0.42, 0.70, 0.46),
    "mucosa": (0.42, 0.85, 0.85, 0.70),
    "CSF": (0.13, 1.00, 0.13, 0.10),
    "dura": (0.32, 0.22, 0.80, 0.30),
    "nerve": (0.70, 0.44, 0.70, 0.52),
    "vessel": (0.10, 0.05, 1.05, 0.08),
    "sclera": (0.38, 0.15, 0.50, 0.25),
    "vitreous": (0.16, 1.00, 0.16, 0.10),
    "lens": (0.45, 0.14, 0.45, 0.30),
    "grey": (0.58, 0.62, 0.58, 0.68),
    "white": (0.86, 0.42, 0.86, 0.54),
    "edema": (0.52, 0.84, 0.52, 0.98),
    "rim": (0.56, 0.66, 1.10, 0.74),
    "core": (0.26, 0.94, 0.26, 0.40),
    "cavity": (0.15, 1.00, 0.15, 0.12),
}
INVERTED_AT = 1.05
SOLID = ("air", "bone")


def signals(
    modalities: tuple[HeadModality, ...], alteration: Alteration, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Give the signal of every tissue in each modality, (M,).

    Args:
        modalities: which contrasts, in the order of the result.
        alteration: ``inverted`` swaps bright and dark in T1 and T1c, and in T2 and FLAIR; ``random`` draws every tissue
            anew; both leave air and bone dark. ``enhancing`` and ``resection`` show T1 as it looks with the agent.
        rng: of ``random``.
    """
    columns = [HEAD_MODALITIES.index(_shown(m, alteration)) for m in modalities]
    table = {name: np.array([values[c] for c in columns]) for name, values in SIGNALS.items()}
    for name in table:
        drawn = rng.uniform(0.1, 1.0, len(HEAD_MODALITIES))[columns]
        if name in SOLID:
            continue
        if alteration == "inverted":
            table[name] = np.maximum(INVERTED_AT - table[name], 0.03)
        elif alteration == "random":
            table[name] = drawn
    if alteration == "random":  # in any order, but apart
        apart = np.stack([rng.permutation(3) for _ in HEAD_MODALITIES], axis=1) * 0.3 + 0.2
        apart = apart + rng.uniform(-0.1, 0.1, apart.shape)
        table |= dict(zip(("CSF", "grey", "white"), apart[:, columns], strict=True))
    return table


def _shown(modality: HeadModality, alteration: Alteration) -> HeadModality:
    return "T1c" if modality == "T1" and alteration in ("enhancing", "resection") else modality


def paint_brain_signal(
    t1: np.ndarray, fractions: np.ndarray, table: dict[str, np.ndarray], from_template: list[bool]
) -> np.ndarray:
    """Give the brain's part of each image, (M, X, Y, Z), to be added to what its share of a voxel leaves of the rest.

    Args:
        t1: (X, Y, Z) of the template, deformed.
        fractions: (3, X, Y, Z) CSF, grey and white.
        table: tissue → (M,).
        from_template: for each modality, whether the template's own detail is shown: its intensity, mapped piecewise
            linearly so that CSF, grey and white matter get the signals of the table.
    """
    csf, grey, white = fractions
    images = []
    for m, detailed in enumerate(from_template):
        values = [float(table[name][m]) for name in ("CSF", "grey", "white")]
        if detailed:
            share = fractions.sum(axis=0)
            pure = t1 / np.maximum(share, 1e-3)
            images.append(share * np.interp(pure, TEMPLATE_T1, values).astype(np.float32))
        else:
            images.append(values[0] * csf + values[1] * grey + values[2] * white)
    return np.stack(images).astype(np.float32)


TEMPLATE_T1 = (0.30, 0.65, 0.86)
"""The template's intensity in CSF, grey and white matter: medians where one of them fills four fifths of a voxel."""
