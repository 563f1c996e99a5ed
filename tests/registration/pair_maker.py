"""Pairs of images with labels and a known map between them, small and made of soft blobs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter
from scipy.spatial.transform import Rotation

from workbench.imaging.displacements import exponential, pull
from workbench.imaging.volume import Volume
from workbench.registration.warped_labels import labels_at


class Pair(NamedTuple):
    """Both images on one lattice; voxel x of the fixed one lies in the moving one at x + field(x)."""

    fixed: np.ndarray
    moving: np.ndarray
    fixed_labels: np.ndarray
    moving_labels: np.ndarray
    field: np.ndarray


def blobs(seed: int, shape: tuple[int, ...] = (28, 30, 26)) -> tuple[np.ndarray, np.ndarray]:
    """An image on a dark ground, with labels 0 (ground) to 3."""
    rng = np.random.default_rng(seed)
    middle = (np.array(shape) - 1) / 2
    radius = np.sqrt(sum(((i - m) / (0.36 * n)) ** 2 for i, m, n in zip(np.indices(shape), middle, shape, strict=True)))
    texture = gaussian_filter(rng.standard_normal(shape), 1.8)
    texture /= texture.std()
    labels = np.where(radius < 1, 2 + (texture > 0.3).astype(int) - (texture < -0.6).astype(int), 0)
    return gaussian_filter(np.array([0.0, 0.35, 0.65, 1.0])[labels], 0.6).astype(np.float32), labels.astype(np.int32)


def deformed_pair(seed: int, largest: float = 4.5, noise: float = 0.02) -> Pair:
    """Blobs, and the same blobs deformed by the flow of a smooth velocity of this length in voxels."""
    moving, labels = blobs(seed)
    rng = np.random.default_rng([seed, 1])
    velocity = np.stack([gaussian_filter(rng.standard_normal(moving.shape), 4) for _ in range(3)])
    velocity *= largest / np.linalg.norm(velocity, axis=0).max()
    field = exponential(velocity.astype(np.float32))
    where = np.indices(moving.shape) + field
    fixed = pull(moving[None], field)[0]
    shaken = [i + rng.normal(0, noise, i.shape).astype(np.float32) for i in (fixed, moving)]
    return Pair(shaken[0], shaken[1], labels_at(labels, where), labels, field)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Mean Dice of the labels 1 to 3."""
    shares = [2 * ((a == k) & (b == k)).sum() / ((a == k).sum() + (b == k).sum()) for k in (1, 2, 3)]
    return float(np.mean(shares))


def affine_map(seed: int, degrees: float = 12, stretch: float = 0.1, shift_mm: float = 6) -> np.ndarray:
    """A random (4, 4) map in mm about the origin."""
    rng = np.random.default_rng([seed, 2])
    turn = Rotation.from_euler("xyz", rng.uniform(-degrees, degrees, 3), degrees=True).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag(1 + rng.uniform(-stretch, stretch, 3))
    matrix[:3, 3] = rng.uniform(-shift_mm, shift_mm, 3)
    return matrix


def lattice(shape: tuple[int, ...], spacing: tuple[float, ...], turn: tuple[float, ...] = (0, 0, 0)) -> np.ndarray:
    """The affine of an oblique lattice whose middle lies at the origin."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def seen_through(volume: Volume, matrix: np.ndarray, shape: tuple[int, int, int], affine: np.ndarray) -> Volume:
    """What a scanner with this lattice sees of an object moved by a map (4, 4) mm: out(matrix x) = volume(x)."""
    back = np.linalg.inv(volume.affine) @ np.linalg.inv(matrix) @ affine
    image = affine_transform(volume.data[0], back[:3, :3], back[:3, 3], shape, order=1)
    return Volume.from_array(image, affine)
