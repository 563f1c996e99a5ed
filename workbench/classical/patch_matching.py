"""Labels by sparse patch matching: the patches of atlases that resemble a voxel's own vote for its label.

Review Section 3.1 (prostate), References 89, 90 (Guo, Gao & Shen, IEEE TMI 2016) and 91 (Liao et al., IPMI 2013). The
atlases are already warped to the target. For a voxel v with features f, the candidates are all atlas patches in a
window about v; of these the K nearest in feature space make the dictionary D, and with

    a = argmin 1/2 ‖f − aᵀD‖² + eta ‖a‖₁, a ≥ 0        L_c(v) = Σ_i a_i [l_i = c] / Σ_i a_i

the likelihood L_c of each class is its share of the weight. By default features are brought to unit length (form ours):
then a patch identical to the voxel's own takes all the weight, whatever else is in the window.

With ``smoothness`` > 0 neighboring voxels shall use atoms at the same offset of the same atlas. Codes written over
(atlas, offset) have one common index, so the graph-Laplacian term of Reference 91 can be formed as

    smoothness / 2 Σ_(v, w) s_vw ‖a_v − a_w‖²,  s_vw = exp(−‖f_v − f_w‖² / mean), v and w neighbors by a face.

The neighborhood, the weights s and the way it is minimized are ours: voxels of even and of odd coordinate sum are
solved in turn, each exactly given the other, so the objective never rises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse

from workbench.classical.patch_windows import (
    Block,
    Normalization,
    PatchTable,
    blocks,
    dictionaries,
    nearest,
    normalized_rows,
    window_offsets,
)
from workbench.classical.sparse_codes import nonnegative_sparse_codes, relative_penalty
from workbench.progress import Progress, silent


@dataclass(frozen=True)
class MatchingSettings:
    """How patches are sought and coded.

    Attributes:
        window: edges of the search window in voxels, odd.
        n_nearest: K, how many nearest candidates make a voxel's dictionary.
        eta: the price of weight as a fraction of max |D f|.
        normalization: of features, before distances and codes.
        smoothness: the price of neighbors having different codes; 0 codes every voxel alone.
        n_passes: how often all voxels are solved again with their neighbors' codes; only with smoothness.
        tolerance: of the codes, as a fraction of the largest weight.
    """

    window: tuple[int, int, int] = (7, 7, 7)
    n_nearest: int = 200
    eta: float = 0.01
    normalization: Normalization = "unit"
    smoothness: float = 0.0
    n_passes: int = 2
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        if min(self.window) < 1 or any(edge % 2 == 0 for edge in self.window):
            raise ValueError(f"the edges of the window must be odd and positive; got {self.window}")
        if self.n_nearest < 1 or self.eta <= 0 or self.smoothness < 0:
            raise ValueError("n_nearest and eta must be positive and smoothness at least 0")


class Votes(NamedTuple):
    """The atlas patches that vote for one voxel, heaviest first; only those with weight.

    Attributes:
        atlas: (n,) int, which atlas.
        voxel: (n, 3) int, where in it.
        weight: (n,) share of the vote; they sum to 1.
        label: (n,) int.
        distance: (n,) Euclidean, between normalized features.
    """

    atlas: np.ndarray
    voxel: np.ndarray
    weight: np.ndarray
    label: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True)
class Matched:
    """What sparse patch matching found.

    Attributes:
        likelihood: (n_classes, N), sums to 1 over the classes; class 0 where no atlas has a patch in the window.
        voxels: (N, 3) int.
        atoms: (N, K) int32, atlas · W + offset for each candidate, −1 for none.
        weights: (N, K) codes.
        labels: (N, K) int32 labels of the candidates, −1 for none.
        distances: (N, K) between normalized features, infinite for none.
        window: edges of the search window.
    """

    likelihood: np.ndarray
    voxels: np.ndarray
    atoms: np.ndarray
    weights: np.ndarray
    labels: np.ndarray
    distances: np.ndarray
    window: tuple[int, int, int]

    def votes(self, n: int) -> Votes:
        """Give the patches that voted for the n-th voxel."""
        offsets = window_offsets(self.window)
        order = np.argsort(-self.weights[n], kind="stable")
        order = order[self.weights[n, order] > 0]
        atlas, offset = np.divmod(self.atoms[n, order], len(offsets))
        weight = self.weights[n, order] / max(self.weights[n].sum(), 1e-30)
        voxel = self.voxels[n] + offsets[offset]
        return Votes(atlas, voxel, weight, self.labels[n, order], self.distances[n, order])


def matched_labels(
    target: PatchTable,
    atlases: Sequence[PatchTable],
    labels: Sequence[np.ndarray],
    voxels: np.ndarray,
    *,
    n_classes: int = 2,
    settings: MatchingSettings | None = None,
    progress: Progress = silent,
) -> Matched:
    """Let the patches of atlases vote for the labels of some voxels.

    Args:
        target: features of the image, with a row for each asked voxel.
        atlases: features of the atlases on the target's lattice.
        labels: (X, Y, Z) int class maps of the atlases, 0 to n_classes − 1.
        voxels: (N, 3) int, where a label is sought.
        n_classes: how many classes.
        settings: how patches are sought and coded.
        progress: told after each block of 4³ voxels.

    Returns:
        Likelihood and votes. Where all weights are 0 (a voxel without features, or one opposed to every patch) all
        candidates vote alike.
    """
    settings = settings or MatchingSettings()
    voxels = np.asarray(voxels, np.int64).reshape(-1, 3)
    _check(target, atlases, labels, voxels, n_classes)
    walk = _Walk(target, atlases, settings, progress)
    atoms, weights, distances, eta = _code_alone(walk, voxels)
    if settings.smoothness and len(voxels):
        _smooth(walk, voxels, atoms, weights, eta)
    weights[~weights.any(1)] = 1
    weights[atoms < 0] = 0
    votes = _labels_at(labels, voxels, atoms, settings.window)
    return Matched(_shares(votes, weights, n_classes), voxels, atoms, weights, votes, distances, settings.window)


class _Walk:
    """Goes through the blocks of some voxels and tells how far it is over all passes."""

    def __init__(
        self, target: PatchTable, atlases: Sequence[PatchTable], settings: MatchingSettings, progress: Progress
    ) -> None:
        self.target, self.atlases, self.settings, self.progress = target, atlases, settings, progress
        self.n_passes = 1 + (2 * settings.n_passes if settings.smoothness else 0)
        self.n_atoms = len(atlases) * int(np.prod(settings.window))

    def __call__(self, voxels: np.ndarray, n_walks: int, visit: Callable[[Block], None]) -> None:
        """Visit each block of the voxels; so many walks were made before."""
        n_done, settings = 0, self.settings
        for block in blocks(self.target, self.atlases, voxels, settings.window, settings.normalization):
            visit(block)
            n_done += len(block.places)
            fraction = (n_walks + n_done / len(voxels)) / self.n_passes
            self.progress(fraction, f"Sparse patch matching: {n_done} of {len(voxels)} voxels")


def _code_alone(walk: _Walk, voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give atoms, weights and distances (N, K) and eta (N,), every voxel for itself."""
    settings = walk.settings
    n, k = len(voxels), min(settings.n_nearest, walk.n_atoms)
    atoms, weights = np.full((n, k), -1, np.int32), np.zeros((n, k), np.float32)
    distances, eta = np.zeros((n, k), np.float32), np.zeros(n, np.float32)

    def code(block: Block) -> None:
        at = block.places
        atoms[at], distances[at] = nearest(block, k)
        dictionary = dictionaries(block, atoms[at])
        eta[at] = np.maximum(relative_penalty(dictionary, block.target, settings.eta), 1e-12)
        weights[at] = nonnegative_sparse_codes(dictionary, block.target, eta[at], tolerance=settings.tolerance)

    walk(voxels, 0, code)
    return atoms, weights, distances, eta


def _smooth(walk: _Walk, voxels: np.ndarray, atoms: np.ndarray, weights: np.ndarray, eta: np.ndarray) -> None:
    """Solve even and odd voxels in turn with the codes of the other ones, into `weights`."""
    settings = walk.settings
    graph = neighbor_graph(walk.target, voxels, settings.normalization)
    degree = np.asarray(graph.sum(1)).ravel().astype(np.float32)
    parity = voxels.sum(1) % 2
    for turn in range(2 * settings.n_passes):
        chosen = np.flatnonzero(parity == turn % 2)
        pulled = graph[chosen] @ code_matrix(
            atoms, weights, walk.n_atoms
        )  # (n, A·W), s-weighted sums of neighbors' codes

        def code_with_neighbors(block: Block, chosen: np.ndarray = chosen, pulled: sparse.csr_array = pulled) -> None:
            at = chosen[block.places]
            dictionary = dictionaries(block, atoms[at])
            sums = np.take_along_axis(pulled[block.places].toarray(), np.maximum(atoms[at], 0), 1)
            weights[at] = nonnegative_sparse_codes(
                dictionary,
                block.target,
                eta[at],
                tolerance=settings.tolerance,
                ridge=settings.smoothness * degree[at],
                center=sums / np.maximum(degree[at], 1e-12)[:, None],
            )

        walk(voxels[chosen], 1 + turn, code_with_neighbors)


def neighbor_graph(target: PatchTable, voxels: np.ndarray, normalization: Normalization) -> sparse.csr_array:
    """Give the symmetric weights s (N, N) between those of the voxels that share a face."""
    place = np.full(target.row_of.shape, -1)
    place[*voxels.T] = np.arange(len(voxels))
    first, second = [], []
    for axis in range(3):
        low, high = np.moveaxis(place, axis, 0)[:-1], np.moveaxis(place, axis, 0)[1:]
        both = (low >= 0) & (high >= 0)
        first.append(low[both])
        second.append(high[both])
    v, w = np.concatenate(first), np.concatenate(second)
    rows = normalized_rows(np.asarray(target.rows[target.row_of[*voxels.T]]), normalization)
    squared = np.square(rows[v] - rows[w]).sum(1)
    s = np.exp(-squared / max(float(squared.mean()) if len(squared) else 0.0, 1e-12)).astype(np.float32)
    half = sparse.coo_array((s, (v, w)), shape=(len(voxels), len(voxels)))
    return (half + half.T).tocsr()


def code_matrix(atoms: np.ndarray, weights: np.ndarray, n_atoms: int) -> sparse.csr_array:
    """Write codes (N, K) at atoms (N, K) as a sparse (N, n_atoms) matrix over (atlas, offset)."""
    n, k = np.nonzero((weights > 0) & (atoms >= 0))
    return sparse.csr_array((weights[n, k], (n, atoms[n, k])), shape=(len(atoms), n_atoms))


def _labels_at(
    labels: Sequence[np.ndarray], voxels: np.ndarray, atoms: np.ndarray, window: tuple[int, int, int]
) -> np.ndarray:
    """Give the labels (N, K) int32 of atoms, −1 for none."""
    offsets = window_offsets(window)
    found = np.full(atoms.shape, -1, np.int32)
    for a, label in enumerate(labels):
        n, k = np.nonzero((atoms >= a * len(offsets)) & (atoms < (a + 1) * len(offsets)))
        found[n, k] = label[*(voxels[n] + offsets[atoms[n, k] - a * len(offsets)]).T]
    return found


def _shares(votes: np.ndarray, weights: np.ndarray, n_classes: int) -> np.ndarray:
    """Give each class's share (n_classes, N) of the weight."""
    sums = np.stack([(weights * (votes == c)).sum(1) for c in range(n_classes)])
    total = sums.sum(0)
    sums[0, total == 0] = 1
    return (sums / np.where(total > 0, total, 1)).astype(np.float32)


def _check(
    target: PatchTable,
    atlases: Sequence[PatchTable],
    labels: Sequence[np.ndarray],
    voxels: np.ndarray,
    n_classes: int,
) -> None:
    """Raise ValueError unless everything lies on one lattice."""
    shape = target.row_of.shape
    if not atlases or len(atlases) != len(labels):
        raise ValueError(f"expected as many label maps as atlases, at least 1; got {len(labels)} and {len(atlases)}")
    if any(x.shape != shape for x in [*(a.row_of for a in atlases), *labels]):
        raise ValueError(f"atlases and labels must lie on the target's lattice {shape}")
    if any(a.rows.shape[1] != target.rows.shape[1] for a in atlases):
        raise ValueError("atlases and target must have features of the same length")
    if any(x.min() < 0 or x.max() >= n_classes for x in labels):
        raise ValueError(f"labels must lie between 0 and {n_classes - 1}")
    if len(voxels) and (voxels.min() < 0 or (voxels >= shape).any() or (target.row_of[*voxels.T] < 0).any()):
        raise ValueError("every asked voxel must lie on the lattice and have a row of features")
