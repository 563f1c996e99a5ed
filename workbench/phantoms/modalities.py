"""A cohort of two modalities as feature tables: what one says of the other, and of the disease, is known.

For multimodal networks (Sections 2.4 and 3.5): a joint code should recover what PET shares with MRI, predict PET where
it is missing, and diagnose better from both than from one. All three have a known answer here::

    m = L h + e + o_site + d_mri y        h ~ N(0, I)   e ~ N(0, s^2)       MRI = 4 + 0.4 m     (ml, grey matter)
    p = c tanh(A (m - d_mri y - o_site)) + u + d_pet y                      PET = 1.2 + 0.15 p  (SUVR)
    u = K g + f                           g ~ N(0, I)   f ~ N(0, s^2)

over R regions, with y = 1 for patients and 0 for controls. Both kinds of evidence are Gaussian shifts, so the best area
under the ROC curve is Phi(D / sqrt 2), with D² = d_mri' S_m^-1 d_mri from MRI alone, where S_m = L L' + s² I, plus
d_pet' S_u^-1 d_pet, where S_u = K K' + s² I, from PET when the healthy part of MRI is known. ``truth.json`` holds all
of it, and the share of PET's variance that MRI can tell.

The phantom does not contain: images, age and sex, the shape of real atrophy or metabolism, or progression.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from workbench.errors import SettingsError
from workbench.imaging.cohort import Cohort, read_cohort, write_cohort
from workbench.imaging.feature_vectors import write_feature_vector
from workbench.imaging.subject import Subject
from workbench.phantoms.new_folder import new_folder
from workbench.progress import Progress, silent

CONTROL, PATIENT = "control", "patient"
N_FACTORS, OWN = 4, 0.7  # common patterns of each modality, and the standard deviation of each region's own variation
COUPLING = 1.0  # amplitude of what PET owes to MRI
SITE_SD, PER_SITE = 0.3, 20
UNITS = {"MRI": (4.0, 0.4), "PET": (1.2, 0.15)}  # mean and standard deviation: ml, SUVR
"""Modality → (value of an average region, one unit of m or p)."""


@dataclass(frozen=True)
class World:
    """What all subjects of one seed share; R regions, F factors.

    Attributes:
        mri_patterns: L, (R, F).
        pet_patterns: K, (R, F).
        mixing: A, (R, R).
        mri_effect: d_mri, (R,); zero where the disease does nothing.
        pet_effect: d_pet, (R,).
    """

    mri_patterns: np.ndarray
    pet_patterns: np.ndarray
    mixing: np.ndarray
    mri_effect: np.ndarray
    pet_effect: np.ndarray


def make_paired(
    out: Path,
    *,
    n_subjects: int = 200,
    seed: int = 0,
    n_regions: int = 48,
    effect: float = 0.4,
    missing: float = 0.0,
    progress: Progress = silent,
) -> Cohort:
    """Write a cohort with ``features:MRI`` and ``features:PET``, targets patient and control, and sites as groups.

    Subjects alternate between the classes; every 20 come from one site. Subject i depends on (seed, i) alone.

    Args:
        out: the cohort's folder; must not exist, or be empty.
        n_subjects: 4 to 5,000.
        seed: equal seeds give equal bytes.
        n_regions: R, 8 to 500.
        effect: what the disease does to an affected region (a quarter of them), in units of m and p; 0 for nothing.
        missing: the share of subjects without PET, 0 to 0.9.
        progress: told of the subjects; may cancel, which removes everything.

    Raises:
        SettingsError: a setting out of its bounds.
        CohortError: the folder is in use.
    """
    _check(n_subjects, seed, n_regions, effect, missing)
    with new_folder(out) as partial:
        world = draw_world(seed, n_regions, effect)
        subjects = []
        for i in range(n_subjects):
            progress(i / n_subjects, f"Making subject {i + 1} of {n_subjects}")
            subjects.append(_make_subject(partial, world, i, seed, missing))
        write_cohort(partial, subjects)
        truth = json.dumps(_truth(world, n_subjects, seed, effect, missing), indent=1)
        (partial / "truth.json").write_text(truth + "\n", encoding="utf-8")
        progress(1.0, f"Made {n_subjects} subjects")
    return read_cohort(Path(out).absolute())


def draw_world(seed: int, n_regions: int, effect: float) -> World:
    """Draw the patterns, the coupling and the affected regions of a seed."""
    rng = np.random.default_rng([seed, 0])
    smooth = np.exp(-(((np.arange(n_regions)[:, None] - np.linspace(0, n_regions - 1, N_FACTORS)) / 6) ** 2))
    patterns = [smooth * rng.uniform(0.5, 1.0, smooth.shape) for _ in UNITS]
    mixing = np.eye(n_regions) + 0.5 * np.eye(n_regions, k=1) + rng.normal(0, 0.1, (n_regions, n_regions))
    n_affected = n_regions // 4
    drawn = rng.permutation(n_regions)
    affected = {"MRI": drawn[:n_affected], "PET": drawn[n_affected // 2 : n_affected // 2 + n_affected]}  # half shared
    effects = {m: np.zeros(n_regions) for m in UNITS}
    for modality, regions in affected.items():
        effects[modality][regions] = -effect  # atrophy, and less metabolism
    return World(patterns[0], patterns[1], mixing, effects["MRI"], effects["PET"])


def best_auc(world: World) -> dict[str, float]:
    """Give the best area under the ROC curve there is: from MRI alone, and from both when sites are known."""
    evidence = []
    for patterns, shift in ((world.mri_patterns, world.mri_effect), (world.pet_patterns, world.pet_effect)):
        covariance = patterns @ patterns.T + OWN**2 * np.eye(len(shift))
        evidence.append(float(shift @ np.linalg.solve(covariance, shift)))
    area = lambda squared: NormalDist().cdf((squared / 2) ** 0.5)  # noqa: E731
    return {"MRI": area(evidence[0]), "both": area(sum(evidence))}


def best_r2(world: World, n: int = 4000) -> float:
    """Give the share of the variance of controls' PET that MRI tells when sites are known, a mean over regions."""
    rng = np.random.default_rng(0)
    n_regions = len(world.mri_effect)
    healthy = rng.normal(size=(n, N_FACTORS)) @ world.mri_patterns.T + rng.normal(0, OWN, (n, n_regions))
    told = np.var(COUPLING * np.tanh(healthy @ world.mixing.T), axis=0)
    apart = np.sum(world.pet_patterns**2, axis=1) + OWN**2
    return float(np.mean(told / (told + apart)))


def draw_subject(world: World, seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw m and p of one subject, (R,) each; odd indices are patients."""
    rng = np.random.default_rng([seed, 1, index])
    n_regions, is_patient = len(world.mri_effect), index % 2
    own = lambda: rng.normal(0, OWN, n_regions)  # noqa: E731
    healthy = world.mri_patterns @ rng.normal(size=N_FACTORS) + own()
    apart = world.pet_patterns @ rng.normal(size=N_FACTORS) + own()
    mri = healthy + site_offset(seed, index, n_regions) + world.mri_effect * is_patient
    pet = COUPLING * np.tanh(world.mixing @ healthy) + apart + world.pet_effect * is_patient
    return mri, pet


def site_offset(seed: int, index: int, n_regions: int) -> np.ndarray:
    """Give what the scanner of a subject's site adds to every region of MRI, (R,)."""
    return np.random.default_rng([seed, 2, index // PER_SITE]).normal(0, SITE_SD, n_regions)


def _make_subject(folder: Path, world: World, index: int, seed: int, missing: float) -> Subject:
    name, site = f"subject-{index + 1:04d}", f"site-{index // PER_SITE + 1:02d}"
    home = folder / name
    home.mkdir()
    regions = _region_names(len(world.mri_effect))
    has_pet = np.random.default_rng([seed, 3, index]).random() >= missing
    features = {}
    for (modality, (mean, unit)), z in zip(UNITS.items(), draw_subject(world, seed, index), strict=True):
        if modality == "MRI" or has_pet:
            features[modality] = home / f"{modality}.csv"
            write_feature_vector(features[modality], regions, (mean + unit * z).astype(np.float32))
    target = PATIENT if index % 2 else CONTROL
    return Subject(name, features=features, target=target, group=site, covariates={"site": site}, folder=folder)


def _truth(world: World, n_subjects: int, seed: int, effect: float, missing: float) -> dict[str, object]:
    regions = _region_names(len(world.mri_effect))
    shifts = {"MRI": world.mri_effect, "PET": world.pet_effect}
    return {
        "seed": seed,
        "n_subjects": n_subjects,
        "effect": effect,
        "missing": missing,
        "regions": regions,
        "affected": {m: [r for r, d in zip(regions, shift, strict=True) if d] for m, shift in shifts.items()},
        "units": {m: {"mean": mean, "unit": unit} for m, (mean, unit) in UNITS.items()},
        "own_sd": OWN,
        "coupling": COUPLING,
        "site_sd": SITE_SD,
        "best_auc": best_auc(world),
        "best_r2_of_pet_from_mri": best_r2(world),
        **{name: values.tolist() for name, values in vars(world).items()},
    }


def _region_names(n: int) -> list[str]:
    return [f"region-{i + 1:0{len(str(n))}d}" for i in range(n)]


def _check(n_subjects: int, seed: int, n_regions: int, effect: float, missing: float) -> None:
    bounds = {
        "number of subjects": (n_subjects, 4, 5000),
        "seed": (seed, 0, 2**63),
        "number of regions": (n_regions, 8, 500),
        "effect": (effect, 0, 5),
        "share of missing PET": (missing, 0, 0.9),
    }
    for name, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise SettingsError(f"The {name} lies between {low} and {high}; got {value}.")
