"""A surface that moves to the boundary of a likelihood map and stays a shape like those it learnt.

Reference 90 (Guo, Gao & Shen, IEEE TMI 2016; review Section 3.1, Figure 7): the last step of the prostate's
segmentation. The mean surface starts on what is likelier than not. Then, until it rests:

1. every vertex looks along its normal for the boundary of the likelihood (the steepest fall, or the crossing of 0.5);
2. sparse shape composition explains what was found; vertices that saw no boundary abstain;
3. the surface is mixed, (1 − w) · found + w · composed. Vertices without a boundary, and those that the composition
   calls gross errors, take the composed place (form ours): so the prior bridges a gap and a false edge.

The reach of the search and w shrink from turn to turn. Where a third of the boundary is missing, the rest and the
shapes tell where it was; an edge over a third of the surface that is false but as sharp as the true one is followed
nevertheless.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from scipy import ndimage

from workbench.classical.shape_dictionary import Composition, CompositionSettings, ShapeDictionary, composed
from workbench.classical.surfaces import Mesh, neighbor_means, transformed, vertex_normals, volume
from workbench.classical.voxelization import voxelized
from workbench.errors import WorkbenchError
from workbench.progress import Progress, silent


@dataclass(frozen=True)
class DeformableSettings:
    """How the surface moves.

    Attributes:
        boundary: what is sought along the normal.
        reach_mm: half length of the search, at first and at last.
        prior: w, the share of the composed shape, at first and at last.
        shrink: factor on both from turn to turn, until they are at their last value.
        smallest_response: fall of the likelihood across a voxel to each side that counts as a boundary.
        composition: prices of the shape's code and of errors.
        n_iterations: at most so many turns.
        rest_mm: the mean move of a vertex at which the surface rests, once reach and w are at their last value.
    """

    boundary: Literal["crossing", "gradient"] = "crossing"
    reach_mm: tuple[float, float] = (8.0, 2.0)
    prior: tuple[float, float] = (0.9, 0.3)
    shrink: float = 0.85
    smallest_response: float = 0.2
    composition: CompositionSettings = field(default_factory=lambda: CompositionSettings(n_refits=2))
    n_iterations: int = 40
    rest_mm: float = 0.1

    def __post_init__(self) -> None:
        if not (0 < self.shrink < 1 and 0 < self.reach_mm[1] <= self.reach_mm[0] and self.n_iterations >= 1):
            raise ValueError(
                "the reach must shrink to a positive length by a factor between 0 and 1, in 1 turn or more"
            )
        if not 0 <= self.prior[1] <= self.prior[0] <= 1:
            raise ValueError(f"the prior's share must fall and lie between 0 and 1; got {self.prior}")


class Step(NamedTuple):
    """One turn.

    Attributes:
        move_mm: mean move of a vertex.
        reach_mm: half length of the search.
        prior: w.
        seen: share of the vertices that saw a boundary.
        trusted: mean trust in the vertices' boundary, 0 where none was seen.
    """

    move_mm: float
    reach_mm: float
    prior: float
    seen: float
    trusted: float


@dataclass(frozen=True)
class Deformed:
    """Where the surface came to rest.

    Attributes:
        mesh: in mm.
        mask: (X, Y, Z) bool, voxels with their center inside.
        start: the mesh that it started from.
        composition: the last shape.
        steps: what happened in each turn.
    """

    mesh: Mesh
    mask: np.ndarray
    start: Mesh
    composition: Composition
    steps: tuple[Step, ...]


def deformed(
    likelihood: np.ndarray,
    affine: np.ndarray,
    dictionary: ShapeDictionary,
    *,
    settings: DeformableSettings | None = None,
    progress: Progress = silent,
) -> Deformed:
    """Bring the mean shape onto the boundary of a likelihood.

    Args:
        likelihood: (X, Y, Z) 0 to 1.
        affine: (4, 4) voxel to mm.
        dictionary: aligned training shapes, in the same orientation.
        settings: how the surface moves.
        progress: told after each turn.

    Raises:
        WorkbenchError: the likelihood is nowhere above 0.5.
    """
    settings, likelihood = settings or DeformableSettings(), np.asarray(likelihood, np.float32)
    start = placed_mean(likelihood, affine, dictionary)
    y, composition, steps, means = start.vertices, None, [], neighbor_means(start.faces, len(start.vertices))
    for i in range(settings.n_iterations):
        reach, prior = (max(last, first * settings.shrink**i) for first, last in (settings.reach_mm, settings.prior))
        found, seen = sought_boundary(likelihood, affine, Mesh(y, start.faces), reach, settings)
        weights = np.where(seen, 1.0, 1e-3)  # a trace, so that the shape stays where nothing at all is seen
        composition = composed(found, dictionary, settings=settings.composition, weights=weights, start=composition)
        trust, shape = np.where(seen, composition.trust, 0), composition.vertices
        offset = ((1 - prior) * trust)[:, None] * (found - shape)
        moved = shape + 0.5 * (offset + means @ offset)  # a lone vertex does not make a spike
        move = float(np.linalg.norm(moved - y, axis=1).mean())
        steps.append(Step(move, reach, prior, float(seen.mean()), float(trust.mean())))
        y = moved
        progress((i + 1) / settings.n_iterations, f"Deformable model: moved by {move:.2f} mm")
        if move < settings.rest_mm and (reach, prior) == (settings.reach_mm[1], settings.prior[1]):
            break
    assert composition is not None
    mask = voxelized(Mesh(y, start.faces), likelihood.shape, affine)
    return Deformed(Mesh(y, start.faces), mask, start, composition, tuple(steps))


def placed_mean(likelihood: np.ndarray, affine: np.ndarray, dictionary: ShapeDictionary) -> Mesh:
    """Give the mean surface with the centroid and the volume of the largest piece where the likelihood is above 0.5."""
    pieces, n_pieces = ndimage.label(likelihood > 0.5)
    if not n_pieces:
        raise WorkbenchError(
            f"The likelihood is nowhere above 0.5 (its largest value is {float(likelihood.max()):.2f}), so the "
            "deformable model has nothing to start from; choose other features, more atlases or a better registration."
        )
    largest = np.bincount(pieces.ravel())[1:].argmax() + 1
    filled = ndimage.binary_fill_holes(pieces == largest)
    center = transformed(np.argwhere(filled).mean(0)[None], affine)[0]
    size = filled.sum() * abs(np.linalg.det(affine[:3, :3]))
    scale = float((size / volume(Mesh(dictionary.mean, dictionary.faces))) ** (1 / 3))
    return Mesh(center + scale * dictionary.mean, dictionary.faces)


def sought_boundary(
    likelihood: np.ndarray, affine: np.ndarray, mesh: Mesh, reach: float, settings: DeformableSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Look along the normals: (V, 3) boundary places in mm, the vertex itself where none was seen, and seen (V,)."""
    voxel = float(np.linalg.norm(affine[:3, :3], axis=0).min())
    n_side = int(np.ceil(reach / (voxel / 4)))
    step, offsets = reach / n_side, np.linspace(-reach, reach, 2 * n_side + 1)
    half = max(1, round(voxel / step))  # samples in a voxel; the profile is as much longer at both ends
    along = np.arange(-n_side - half, n_side + half + 1) * step
    normals = vertex_normals(mesh)
    places = mesh.vertices[:, None] + along[:, None] * normals[:, None]  # (V, S, 3)
    at = transformed(places.reshape(-1, 3), np.linalg.inv(affine)).T
    values = ndimage.map_coordinates(likelihood, at, order=1, mode="nearest").reshape(len(normals), -1)
    inner, here, outer = values[:, : -2 * half], values[:, half:-half], values[:, 2 * half :]
    if settings.boundary == "crossing":
        after = np.pad(here[:, 1:], ((0, 0), (0, 1)), constant_values=1)
        crosses = (here >= 0.5) & (after < 0.5)
        part = np.where(crosses, (here - 0.5) / np.where(crosses, here - after, 1), 0)  # of the step to the next sample
        fall = np.where(crosses, inner - outer, 0)
        score = np.where(fall >= settings.smallest_response, 1 / (1 + np.abs(offsets)), 0)
    else:
        fall = inner - outer  # a plateau; its middle is where the likelihood is half way
        part = np.zeros_like(fall)
        score = (fall - np.abs(here - (inner + outer) / 2)) * (1 - 0.5 * np.abs(offsets) / reach)
    best = score.argmax(1)
    vertex = np.arange(len(best))
    seen = fall[vertex, best] >= settings.smallest_response
    found = offsets[best] + step * part[vertex, best]
    return mesh.vertices + np.where(seen, found, 0)[:, None] * normals, seen
