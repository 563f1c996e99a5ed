"""What shapes the structures of training subjects have, kept in a run, and surfaces of such shapes on a likelihood.

One dictionary of corresponding surfaces a class (Reference 90); classes too small for a surface have none and stay as
the likelihood says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from workbench.classical.correspondence import corresponding_surfaces
from workbench.classical.deformable_model import DeformableSettings, deformed
from workbench.classical.shape_dictionary import ShapeDictionary, aligned_dictionary
from workbench.progress import Progress, part_of, silent
from workbench.runs.run import Run
from workbench.systems.atlases import Atlas

STEM = "shapes-"
LEAST_VOXELS, LEAST_WIDTH, LEAST_SHAPES = 40, 3, 2


def learn_shapes(
    atlases: Sequence[Atlas], n_classes: int, n_vertices: int, progress: Progress = silent
) -> dict[int, ShapeDictionary]:
    """Learn a dictionary of shapes for each class that is large enough in at least two atlases, in mm RAS.

    Args:
        atlases: labelled training images.
        n_classes: K, with the background.
        n_vertices: of a surface, about.
        progress: told after each shape.
    """
    learnt: dict[int, ShapeDictionary] = {}
    for k in range(1, n_classes):
        pieces = [(largest_piece(atlas.labels == k), atlas.image.affine) for atlas in atlases]
        usable = [(mask, affine) for mask, affine in pieces if _is_large_enough(mask)]
        if len(usable) < LEAST_SHAPES:
            continue
        masks, affines = [mask for mask, _ in usable], [affine for _, affine in usable]
        surfaces = corresponding_surfaces(masks, affines, n_vertices=n_vertices, progress=progress)
        learnt[k] = aligned_dictionary(surfaces.vertices, surfaces.template.faces)
    return learnt


def leave_shapes(run: Run, shapes: Mapping[int, ShapeDictionary]) -> None:
    """Keep dictionaries in a run."""
    for k, found in shapes.items():
        run.save_arrays(
            f"{STEM}{k:03d}", mean=found.mean.astype(np.float32), atoms=found.atoms.astype(np.float32),
            faces=found.faces.astype(np.int32),
        )  # fmt: skip


def read_shapes(run: Run) -> dict[int, ShapeDictionary]:
    """Read the dictionaries of a run, by class."""
    found = {}
    for name in run.list_arrays():
        if name.startswith(STEM):
            kept = run.load_arrays(name)
            mean, atoms = kept["mean"].astype(float), kept["atoms"].astype(float)
            found[int(name.removeprefix(STEM))] = ShapeDictionary(mean, atoms, kept["faces"])
    return found


def shaped_classes(
    probabilities: np.ndarray, affine: np.ndarray, shapes: Mapping[int, ShapeDictionary],
    settings: DeformableSettings | None = None, progress: Progress = silent,
) -> np.ndarray:  # fmt: skip
    """Bring a surface of each class onto its likelihood.

    Where surfaces overlap the likelier class wins. A class that is nowhere likelier than one half is left as the
    likelihoods say: there is nothing to start from.

    Args:
        probabilities: (K, X, Y, Z), background first, sum 1.
        affine: (4, 4), voxel to mm.
        shapes: by class.
        settings: of the deformable model.
        progress: told after each turn.

    Returns:
        (X, Y, Z) int32 classes.
    """
    likeliest = probabilities.argmax(0).astype(np.int32)
    masks = {}
    for i, (k, dictionary) in enumerate(shapes.items()):
        told = part_of(progress, i / len(shapes), (i + 1) / len(shapes))
        if (probabilities[k] > 0.5).any():
            found = deformed(probabilities[k], affine, dictionary, settings=settings, progress=told)
            masks[k] = found.mask
    classes = np.where(np.isin(likeliest, list(masks)), 0, likeliest).astype(np.int32)
    highest = np.full(likeliest.shape, -1.0, np.float32)
    for k, mask in masks.items():
        wins = mask & (probabilities[k] > highest)
        classes[wins], highest[wins] = k, probabilities[k][wins]
    return classes


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """Give the largest connected piece of a mask (X, Y, Z) with its holes filled."""
    pieces, n_pieces = ndimage.label(mask)
    if not n_pieces:
        return mask
    return ndimage.binary_fill_holes(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)


def _is_large_enough(mask: np.ndarray) -> bool:
    places = np.argwhere(mask)
    return len(places) >= LEAST_VOXELS and bool((np.ptp(places, axis=0) + 1 >= LEAST_WIDTH).all())
