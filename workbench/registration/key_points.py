"""Driving voxels: which points of an image decide where it goes.

HAMMER begins with the few voxels whose attribute vectors are distinctive (sulcal roots, gyral crowns, the border of the
ventricles) and lets others join stage by stage; S-HAMMER (Wu et al., Human Brain Mapping 2014) takes them from both
images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import gaussian_gradient_magnitude

from workbench.registration.feature_rows import FeatureRows
from workbench.registration.matching import SearchPlan, similarities
from workbench.registration.row_pyramid import l2_scale, row_level

CHOSEN_OF_CELLS = 0.5
NODES_AT_ONCE = 16384


def image_saliency(image: np.ndarray, mask: np.ndarray, spacing: Sequence[float], scale_mm: float = 1.0) -> np.ndarray:
    """Give the gradient magnitude of an image (X, Y, Z) at a scale in mm; 0 outside the mask."""
    sigma = [scale_mm / s for s in spacing]
    edges = gaussian_gradient_magnitude(np.asarray(image, np.float32), sigma, mode="nearest")
    return np.where(mask, edges, 0).astype(np.float32)


def row_saliency(features: FeatureRows, distance: int = 2) -> np.ndarray:
    """Give how unlike a voxel's row is to those around it: 1 minus the mean similarity, (X, Y, Z); 0 outside.

    Args:
        features: of one image.
        distance: voxels to the six neighbors.
    """
    level = row_level(features, 1, l2_scale(features, features) if features.similarity == "l2" else 1.0)
    sides = distance * torch.cat([torch.eye(3, dtype=torch.int64), -torch.eye(3, dtype=torch.int64)])
    zero = torch.zeros(1, 3, dtype=torch.int64)
    plan = SearchPlan(zero, torch.ones(1), sides, sides, torch.arange(6)[:, None])
    nodes = torch.from_numpy(np.argwhere(features.mask))
    pairs = (level.rows, level.rows, level.places, level.places)
    scores = torch.cat([similarities(*pairs, n, plan, features.similarity) for n in nodes.split(NODES_AT_ONCE)])
    out = np.zeros(features.mask.shape, np.float32)
    out[features.mask] = 1 - scores.mean(dim=1).numpy()
    return out


def level_saliency(saliency: np.ndarray, shrink: int) -> np.ndarray:
    """Give the mean saliency of each block of shrink³ voxels."""
    pad = [(0, -n % shrink) for n in saliency.shape]
    x, y, z = (n // shrink for n in np.pad(saliency, pad).shape)
    blocks = np.pad(saliency, pad, mode="edge").reshape(x, shrink, y, shrink, z, shrink)
    mean: np.ndarray = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    return mean


def choose_key_points(saliency: np.ndarray, described: np.ndarray, share: float) -> np.ndarray:
    """Choose the most distinctive nodes, spread over the image.

    The lattice is cut into cells; the best node of each cell may be chosen, and about half of the cells are, those
    with the most salient best. A larger share makes smaller cells.

    Args:
        saliency: (X, Y, Z), larger is more distinctive.
        described: (X, Y, Z) bool, nodes that may be chosen.
        share: of the described nodes to be chosen.

    Returns:
        (P, 3) int64 nodes, the most salient first.
    """
    nodes = np.argwhere(described)
    wanted = min(max(round(share * len(nodes)), min(len(nodes), 8)), len(nodes))
    edge = max(int((CHOSEN_OF_CELLS / share) ** (1 / 3) + 1e-6), 1)
    values = saliency[described]
    order = np.argsort(-values, kind="stable")
    x, y, z = (nodes // edge).T
    cells = (x * (y.max() + 1) + y) * (z.max() + 1) + z
    first = np.full(int(cells.max(initial=0)) + 1, len(order))
    first[cells[order[::-1]]] = np.arange(len(order))[::-1]  # the last that is written stays: each cell's most salient
    best = order[np.sort(first[first < len(order)])][:wanted]
    chosen: np.ndarray = nodes[best]
    return chosen
