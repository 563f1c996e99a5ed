import numpy as np
import pytest
import torch

from workbench.registration.feature_rows import FeatureRows, patch_rows, unit_rows
from workbench.registration.matching import assign, search_plan, similarities
from workbench.registration.row_pyramid import row_level

RNG = np.random.default_rng(1)
SHAPE = (7, 6, 5)


def level(kind: str, seed: int):
    rng = np.random.default_rng(seed)
    mask = np.ones(SHAPE, bool)
    mask[0, 0] = mask[6, 5] = False
    rows = rng.random((mask.sum(), 6)).astype(np.float32)
    rows[:, 0] = rng.integers(0, 3, len(rows)) if kind == "attributes" else rows[:, 0]
    return row_level(FeatureRows(mask, unit_rows(rows) if kind == "correlation" else rows, kind), 1)


def pair(a: np.ndarray, b: np.ndarray, kind: str) -> float:
    if kind == "correlation":
        return float(a @ b)
    if kind == "l2":
        return float(1 - ((a - b) ** 2).sum() / 2)
    return float(np.prod(1 - np.abs(a[1:] - b[1:])) * (a[0] == b[0]))


@pytest.mark.parametrize("kind", ["correlation", "attributes", "l2"])
def test_scores_equal_brute_force(kind) -> None:
    one, two = level(kind, 2), level(kind, 3)
    plan = search_plan(1.5, 1.0, 2)
    nodes = torch.tensor([[3, 3, 2], [0, 1, 0], [6, 5, 3]])
    ours = similarities(one.rows, two.rows, one.places, two.places, nodes, plan, kind)

    def row(of, at):
        inside = all(0 <= i < n for i, n in zip(at, SHAPE, strict=True))
        return of.rows[of.places[tuple(at)]].numpy() if inside else of.rows[-1].numpy()

    for p, node in enumerate(nodes.numpy()):
        for c, shift in enumerate(plan.candidates.numpy()):
            total = weight = 0.0
            for z, share in zip(plan.neighbors.numpy(), plan.shares.numpy(), strict=True):
                here = node + z
                inside = all(0 <= i < n for i, n in zip(here, SHAPE, strict=True))
                if inside and int(one.places[tuple(here)]) < len(one.rows) - 1:
                    total += share * pair(row(one, here), row(two, here + shift), kind)
                    weight += share
            assert float(ours[p, c]) == pytest.approx(total / max(weight, 1e-6), abs=1e-5)


def test_a_shifted_image_is_matched_at_its_shift() -> None:
    image = RNG.random((12, 12, 12))
    mask = np.ones(image.shape, bool)
    one, two = (row_level(patch_rows(i, mask, 3), 1) for i in (image, np.roll(image, (1, -1, 0), (0, 1, 2))))
    plan = search_plan(2, 1, 1)
    nodes = torch.tensor([[5, 6, 6], [7, 5, 4]])
    scores = similarities(one.rows, two.rows, one.places, two.places, nodes, plan, "correlation")
    assert (plan.candidates[scores.argmax(dim=1)] == torch.tensor([1, -1, 0])).all()


def test_cooling_makes_assignments_one_to_one() -> None:
    plan = search_plan(1, 0, 1)
    scores = torch.tensor([[0.2, 0.5, 0.3, 0.1, 0.9, 0.2, 0.3]])
    positions = plan.candidates.float()[None]
    hot, cold = (assign(scores, positions, r, 100.0, plan, 1.0) for r in (100.0, 1e-3))
    assert hot.certainty < 0.01 < 0.99 < cold.certainty
    assert torch.allclose(hot.offset, torch.zeros(3), atol=0.2)
    assert torch.allclose(cold.offset, positions[0, 4], atol=1e-3)


def test_the_top_of_a_parabola_is_found_between_candidates() -> None:
    plan = search_plan(2, 0, 1)
    top = torch.tensor([0.3, -0.2, 0.4])
    scores = 1 - 0.05 * ((plan.candidates - top) ** 2).sum(dim=1)[None]
    found = assign(scores, plan.candidates.float()[None], 1e-4, 100.0, plan, 1.0)
    assert torch.allclose(found.offset[0], top, atol=1e-3)
