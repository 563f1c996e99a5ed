"""Sparse patch matching: identical patches take the vote, windows are searched as by brute force, neighbors agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from sklearn.linear_model import Lasso

from workbench.classical.patch_matching import (
    Matched,
    MatchingSettings,
    code_matrix,
    matched_labels,
    neighbor_graph,
)
from workbench.classical.patch_windows import (
    PatchTable,
    blocks,
    nearest,
    normalized_rows,
    table_of_mask,
    table_of_volume,
    window_offsets,
)
from workbench.errors import Cancelled

SHAPE = (9, 8, 6)
SMALL = MatchingSettings(window=(3, 3, 3), n_nearest=30)


def features(seed: int, n: int = 12, sigma: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(n, *SHAPE)), (0, sigma, sigma, sigma))
    return (1 / (1 + np.exp(-smooth / smooth.std()))).astype(np.float32)


def labels(seed: int, n_classes: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, n_classes, SHAPE)


def everywhere() -> np.ndarray:
    return np.argwhere(np.ones(SHAPE, bool))


@pytest.mark.parametrize("kind", ["unit", "centered"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_an_atlas_equal_to_the_target_gives_its_labels(kind: str, n_classes: int) -> None:
    target = table_of_volume(features(0))
    atlases = [table_of_volume(features(s)) for s in (1, 0, 2)]
    maps = [labels(s, n_classes) for s in (1, 0, 2)]
    settings = replace(SMALL, normalization=kind)
    found = matched_labels(target, atlases, maps, everywhere(), n_classes=n_classes, settings=settings)
    assert found.likelihood.shape == (n_classes, np.prod(SHAPE))
    assert np.array_equal(found.likelihood.argmax(0), maps[1].ravel())
    assert found.likelihood.max(0).min() > 0.9
    for n in (0, 100, 431):  # a corner, the inside, the last corner
        votes = found.votes(n)
        assert votes.atlas[0] == 1 and votes.weight[0] > 0.9 and votes.distance[0] < 2e-3
        assert np.array_equal(votes.voxel[0], found.voxels[n])
        assert votes.label[0] == maps[1][*votes.voxel[0]]
        assert votes.weight.sum() == pytest.approx(1)


def test_windows_and_codes_equal_brute_force() -> None:
    target, atlases = features(0), [features(1), features(2)]
    maps = [labels(1, 3), labels(2, 3)]
    known = [np.random.default_rng(s).random(SHAPE) > 0.2 for s in (5, 6)]  # voxels without a row are no candidates
    tables = [table_of_mask(m, a[:, m].T.astype(np.float16)) for a, m in zip(atlases, known, strict=True)]
    voxels = np.array([[0, 0, 0], [4, 4, 3], [8, 7, 5], [3, 4, 2], [7, 1, 0]])
    settings = MatchingSettings(window=(5, 3, 3), n_nearest=20, eta=0.05, tolerance=1e-6)
    found = matched_labels(table_of_volume(target), tables, maps, voxels, n_classes=3, settings=settings)
    for n, v in enumerate(voxels):
        own = target[:, *v] / np.linalg.norm(target[:, *v])
        rows, classes, distances = [], [], []
        for a, atlas in enumerate(atlases):
            for u in np.argwhere(known[a]):
                if (np.abs(u - v) <= (2, 1, 1)).all():
                    row = atlas[:, *u].astype(np.float16).astype(float)
                    rows.append(row / np.linalg.norm(row))
                    classes.append(maps[a][*u])
                    distances.append(np.linalg.norm(rows[-1] - own))
        order = np.argsort(distances)[:20]
        dictionary = np.array(rows)[order]
        eta = 0.05 * np.abs(dictionary @ own).max()
        lasso = Lasso(alpha=eta / 12, positive=True, fit_intercept=False, max_iter=100_000, tol=1e-9)
        code = lasso.fit(dictionary.T, own).coef_
        expected = [code[np.array(classes)[order] == c].sum() / code.sum() for c in range(3)]
        np.testing.assert_allclose(found.likelihood[:, n], expected, atol=2e-3)
        np.testing.assert_allclose(found.distances[n][: len(order)], np.array(distances)[order], atol=1e-3)


def test_a_shifted_atlas_is_found_at_the_shift() -> None:
    image = features(0)
    atlas = np.roll(image, (1, -1, 1), (1, 2, 3))
    inside = everywhere()[(everywhere() > 0).all(1) & (everywhere() < np.array(SHAPE) - 1).all(1)]
    found = matched_labels(table_of_volume(image), [table_of_volume(atlas)], [labels(0)], inside, settings=SMALL)
    for n in range(len(inside)):
        assert np.array_equal(found.votes(n).voxel[0] - inside[n], (1, -1, 1))


def test_voxels_that_nothing_can_vote_for_are_background() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[6:] = True
    atlas = table_of_mask(mask, features(1)[:, mask].T)
    found = matched_labels(
        table_of_volume(features(0)), [atlas], [np.ones(SHAPE, int)], np.array([[0, 0, 0], [6, 2, 2]]), settings=SMALL
    )
    np.testing.assert_allclose(found.likelihood, [[1, 0], [0, 1]], atol=1e-6)
    assert not len(found.votes(0).weight)


def test_empty_patches_vote_alike() -> None:
    blank = table_of_volume(np.zeros((12, *SHAPE), np.float32))
    maps = [labels(3)]
    found = matched_labels(blank, [blank], maps, np.array([[4, 4, 3]]), settings=SMALL)
    assert found.likelihood[1, 0] == pytest.approx(maps[0][3:6, 3:6, 2:5].mean())


def test_nearest_leaves_no_nearer_candidate_out() -> None:
    target, atlases = table_of_volume(features(0)), [table_of_volume(features(s)) for s in (1, 2)]
    for block in blocks(target, atlases, everywhere(), (3, 3, 3), "none"):
        atoms, distances = nearest(block, 10)
        for n in range(len(block.places)):
            known = block.at[n][block.at[n] >= 0]
            every = np.sort(np.linalg.norm(block.union[known] - block.target[n], axis=1))
            np.testing.assert_allclose(distances[n], every[:10], atol=1e-3)
            assert len(set(atoms[n])) == 10


def objective(target: PatchTable, atlas: np.ndarray, found: Matched, settings: MatchingSettings) -> float:
    """The smooth objective, written out patch by patch."""
    offsets, total = window_offsets(settings.window), 0.0
    rows = normalized_rows(target.rows, "unit")
    lookup = normalized_rows(np.moveaxis(atlas, 0, -1).reshape(-1, len(atlas)), "unit").reshape(*SHAPE, -1)
    for n, v in enumerate(found.voxels):
        atoms, own = found.atoms[n], rows[target.row_of[*v]]
        dictionary = np.zeros((len(atoms), len(atlas)))
        dictionary[atoms >= 0] = lookup[*(v + offsets[atoms[atoms >= 0]]).T]
        eta = settings.eta * np.abs(dictionary @ own).max()
        total += 0.5 * np.square(own - found.weights[n] @ dictionary).sum() + eta * found.weights[n].sum()
    codes = code_matrix(found.atoms, found.weights, len(offsets)).toarray()
    graph = neighbor_graph(target, found.voxels, "unit").tocoo()
    squared = np.square(codes[graph.row] - codes[graph.col]).sum(1)
    return total + settings.smoothness / 4 * float(graph.data @ squared)  # each pair stands twice in the graph


def test_smoothness_lowers_its_objective_and_neighbors_agree() -> None:
    target, atlas = table_of_volume(features(0)), features(1)
    voxels = everywhere()[(everywhere() % np.array(SHAPE) < 6).all(1)]
    settings = MatchingSettings(window=(3, 3, 3), n_nearest=27, smoothness=0.05, tolerance=1e-5)
    energies = []
    for n_passes in (0, 1, 3):
        found = matched_labels(
            target, [table_of_volume(atlas)], [labels(0)], voxels, settings=replace(settings, n_passes=n_passes)
        )
        energies.append(objective(target, atlas, found, settings))
    assert energies[0] > energies[1] * 1.02 and energies[1] > energies[2]


@pytest.mark.parametrize("seed", range(3))
def test_smoothness_calms_noisy_likelihoods(seed: int) -> None:
    """Every image is noisy, so that a voxel alone is often matched to the wrong side of a plane."""
    truth = np.zeros(SHAPE, int)
    truth[4:] = 1
    rng = np.random.default_rng(seed)
    pattern = features(9 + seed)

    def noisy() -> PatchTable:
        return table_of_volume((pattern + 0.15 * rng.normal(size=pattern.shape)).astype(np.float32))

    target, atlases = noisy(), [noisy() for _ in range(4)]
    wrong = []
    for smoothness in (0.0, 1.0):
        settings = MatchingSettings(window=(5, 5, 5), n_nearest=60, smoothness=smoothness, n_passes=3)
        found = matched_labels(target, atlases, [truth] * 4, everywhere(), settings=settings)
        wrong.append(np.abs(found.likelihood[1] - truth.ravel()).mean())
    assert wrong[1] < 0.96 * wrong[0]


def test_progress_is_told_and_can_cancel() -> None:
    target, told = table_of_volume(features(0)), []
    settings = replace(SMALL, smoothness=0.1)
    matched_labels(target, [target], [labels(0)], everywhere(), settings=settings, progress=lambda f, s: told.append(f))
    assert told == sorted(told) and told[-1] == pytest.approx(1) and len(told) > 20

    def stop(fraction: float, message: str) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        matched_labels(target, [target], [labels(0)], everywhere(), settings=SMALL, progress=stop)


def test_what_does_not_fit_together_is_refused() -> None:
    target = table_of_volume(features(0))
    with pytest.raises(ValueError, match="odd and positive"):
        MatchingSettings(window=(4, 3, 3))
    with pytest.raises(ValueError, match="between 0 and 1"):
        matched_labels(target, [target], [labels(0, 4)], everywhere(), settings=SMALL)
    with pytest.raises(ValueError, match="same length"):
        matched_labels(target, [table_of_volume(features(0, 5))], [labels(0)], everywhere(), settings=SMALL)
    with pytest.raises(ValueError, match="every asked voxel"):
        matched_labels(target, [target], [labels(0)], np.array([[9, 0, 0]]), settings=SMALL)
    with pytest.raises(ValueError, match="432 voxels and there are 3 rows"):
        table_of_mask(np.ones(SHAPE, bool), np.zeros((3, 2)))
