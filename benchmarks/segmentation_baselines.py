"""What needs no learning: brain masks of other tools, clusters of intensities, thresholds."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from segmentation_cohorts import ADULT, CSF, GREY, WHITE
from sklearn.cluster import KMeans

from workbench.imaging.cohort import Cohort
from workbench.imaging.files import read_volume
from workbench.imaging.subject import Subject
from workbench.imaging.volume import Volume
from workbench.metrics.overlap import threshold_sweep
from workbench.metrics.segmentation import BRATS_COMPOSITES, score_label_maps

N_THRESHOLDS = 400
N_CLUSTERED = 20_000
MARGIN = 40
Scores = dict[str, dict[str, float]]


def skull_masks(name: str, subject: Subject, real: Path) -> dict[str, Scores]:
    """Score brain masks of other tools; those of the adult's slabs are cut from masks of the whole head."""
    slab = subject.volume("T1")
    true = subject.label_map(slab)
    assert true is not None
    if name == "skull_adult" or subject.name == "adult":
        head = read_volume(real / "adult_ixi_2mm" / f"{ADULT}_T1.nii.gz", "T1")
        first = round(float((np.linalg.inv(head.affine) @ slab.affine)[2, 3]))
        masks = {k: m[:, :, first : first + slab.shape[2]] for k, m in brain_masks(head, is_whole=True).items()}
    else:
        masks = brain_masks(slab, is_whole=False)
    return {k: score_label_maps(m.astype(int), true, slab.spacing, {1: "brain"}) for k, m in masks.items()}


def cluster_maps(name: str, subject: Subject) -> dict[str, Scores]:
    """Score clusters of intensities inside the mask."""
    image = subject.volume("T1" if name == "tissue_child" else "T2")
    truth, mask = subject.label_map(image), subject.mask_array(image)
    assert truth is not None
    assert mask is not None
    names = {1: "CSF", 2: "GM", 3: "WM"} | ({4: "deep GM"} if name == "tissue_child" else {})
    orders: dict[str, tuple[int, ...]] = {"3-means on T1": (1, 2, 3)}
    if name == "tissue_infant":
        orders = {"3-means on T2": (GREY, WHITE, CSF), "2-means on T2": (GREY, WHITE)}
    return {
        k: score_label_maps(clusters(image.data[0], mask, order), truth, image.spacing, names)
        for k, order in orders.items()
    }


def thresholded(name: str, cohort: Cohort, train: Sequence[str], test: str) -> dict[str, Scores]:
    """Score the best threshold chosen on the training slabs, on all slabs, and on the tested slab itself."""
    wanted = {"lesion": ("FLAIR", (1,))} if name == "lesion_ms" else {
        "complete tumor": ("FLAIR", BRATS_COMPOSITES["complete tumor"]), "enhancing tumor": ("T1c", (4,)),
    }  # fmt: skip
    everyone = [s.name for s in cohort]
    chosen_on = {"threshold chosen in training": train, "threshold, oracle of all slabs": everyone,
                 "threshold, oracle of the slab": [test]}  # fmt: skip
    found: dict[str, Scores] = {}
    for structure, (modality, values) in wanted.items():
        parts = {s: seen(cohort[s], modality, values) for s in everyone}
        image, truth, mask = parts[test]
        spacing = cohort[test].volume(modality).spacing
        for method, names in chosen_on.items():
            images, truths, masks = zip(*(parts[s] for s in names), strict=True)
            cut = best_threshold(images, truths, masks)
            scored = score_label_maps(
                ((image >= cut) & mask).astype(int), truth.astype(int), spacing, {1: structure},
                lesions=name == "lesion_ms",
            )  # fmt: skip
            found.setdefault(method, {}).update(scored)
    return found


def seen(subject: Subject, modality: str, values: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give image, truth and mask (X, Y, Z) of one structure."""
    image: Volume = subject.volume(modality)
    labels, mask = subject.label_map(image), subject.mask_array(image)
    assert labels is not None
    assert mask is not None
    return image.data[0], np.isin(labels, values), mask


def clusters(values: np.ndarray, mask: np.ndarray, order: Sequence[int], seed: int = 0) -> np.ndarray:
    """Cluster intensities inside a mask.

    Args:
        values: (X, Y, Z).
        mask: (X, Y, Z) bool.
        order: class of each cluster, from dark to bright: the only thing known beforehand.
        seed: of the first centers.

    Returns:
        Classes (X, Y, Z) int32, 0 outside the mask.
    """
    inside = values[mask].astype(float)[:, None]
    few = inside[:: max(1, len(inside) // N_CLUSTERED)]
    found = KMeans(len(order), n_init=4, random_state=seed).fit(few)
    rank = np.argsort(np.argsort(found.cluster_centers_[:, 0]))
    classes = np.zeros(values.shape, np.int32)
    classes[mask] = np.asarray(order, np.int32)[rank[found.predict(inside)]]
    return classes


def best_threshold(images: Sequence[np.ndarray], truths: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> float:
    """Give the threshold whose mean Dice coefficient over these images is best.

    On the images that are then scored it is an oracle; on the training ones it is what one could have done.

    Args:
        images: (X, Y, Z) each; above the threshold is the structure.
        truths: bool of each; those without the structure are passed over.
        masks: bool of each, where to look.

    Returns:
        Infinity where none has the structure.
    """
    shown = [(i, t, m) for i, t, m in zip(images, truths, masks, strict=True) if (t & m).any()]
    if not shown:
        return float("inf")
    inside = np.concatenate([i[m] for i, _, m in shown])
    low, high = np.quantile(inside, (0.01, 0.9995))
    tried = np.linspace(low, high, N_THRESHOLDS)
    dice = np.mean([[row.dice for row in threshold_sweep(i, t, tried.tolist(), within=m)] for i, t, m in shown], 0)
    return float(tried[int(np.nan_to_num(dice).argmax())])


def brain_masks(head: Volume, *, is_whole: bool) -> dict[str, np.ndarray]:
    """Give brain masks (X, Y, Z) bool of tools that are there: nilearn's template, Otsu of DIPY, a BET in Python.

    Args:
        head: one channel.
        is_whole: whether it is a whole head, which BET needs for its sphere.
    """
    from nilearn.masking import compute_background_mask, compute_brain_mask

    image = nibabel.nifti1.Nifti1Image(head.data[0].astype(np.float32), head.affine)
    # the template's mask is opened, which would wear a slab away: it is asked for a taller lattice about the slab
    affine, more = head.affine.copy(), 0 if is_whole else MARGIN
    affine[:3, 3] -= affine[:3, 2] * more
    tall = nibabel.nifti1.Nifti1Image(np.zeros((*head.shape[:2], head.shape[2] + 2 * more), np.float32), affine)
    template = np.asarray(compute_brain_mask(tall).dataobj) > 0
    found = {
        "nilearn template mask": template[:, :, more : more + head.shape[2]],
        "nilearn background mask": np.asarray(compute_background_mask(image).dataobj) > 0,
    }
    if (masking := _optional("dipy.segment.mask")) is not None:
        found["DIPY median Otsu"] = masking.median_otsu(head.data[0], median_radius=2, numpass=2)[1]
    if is_whole and (bet := _optional("brainextractor")) is not None:
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of each of a thousand steps
            extractor = bet.BrainExtractor(img=image)
            extractor.run()
        found["BET (brainextractor)"] = np.asarray(extractor.compute_mask()) > 0
    return found


def _optional(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None
