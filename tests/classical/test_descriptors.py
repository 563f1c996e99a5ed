"""The dense descriptor: laws, and a slow reference that follows the definition voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.classical.descriptors import cell_windows, dense_sift, icosahedron, orientations, sift_size


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(size=(14, 13, 12)).astype(np.float32)


def whole(image, **settings):
    mask = np.ones(image.shape, bool)
    out = np.empty((mask.sum(), sift_size(image.shape, settings.get("n_cells", 4))), np.float32)
    return dense_sift(image, mask, out=out, **settings).reshape(*image.shape, -1)


def share_by_linear_programming(gradient, vertices):
    """Barycentric shares found without faces: the cheapest combination that is not negative."""
    from scipy.optimize import linprog

    share = linprog(np.ones(len(vertices)), A_eq=vertices.T, b_eq=gradient, bounds=(0, None)).x
    return share / share.sum() * np.linalg.norm(gradient)


def slow_reference(image, voxel, spacing, cell, n_cells):
    """The descriptor of one voxel as the definition says it, in double precision."""
    gradient = np.stack(np.gradient(image.astype(float), *spacing), axis=-1)
    cells = np.zeros((n_cells, n_cells, n_cells, 12))
    sigma, reach = n_cells * cell / 2, (n_cells + 1) * cell // 2
    for u in np.ndindex(*[2 * reach + 1] * 3):
        offset = np.array(u) - reach
        place = np.array(voxel) + offset
        if (place < 0).any() or (place >= image.shape).any():
            continue
        # where along each axis this voxel lies, counted in cells
        position = offset / cell + (n_cells - 1) / 2
        if (position <= -1).any() or (position >= n_cells).any():
            continue
        histogram = share_by_linear_programming(gradient[tuple(place)], icosahedron())
        histogram *= np.exp(-(offset**2).sum() / (2 * sigma**2))
        low = np.floor(position).astype(int)
        for corner in np.ndindex(2, 2, 2):
            index = low + corner
            if (index >= 0).all() and (index < n_cells).all():
                cells[tuple(index)] += histogram * np.prod(1 - np.abs(position - index))
    vector = cells.ravel() / np.linalg.norm(cells)
    vector = np.minimum(vector, 0.2)
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(("cell", "n_cells"), [(2, 2), (1, 3)])
def test_agrees_with_a_slow_reference(image, cell, n_cells):
    spacing = (1.0, 1.5, 3.0)
    voxels = [(5, 6, 5), (0, 1, 11), (13, 12, 0)]
    fast = whole(image, spacing_mm=spacing, cell=cell, n_cells=n_cells)
    for voxel in voxels:
        np.testing.assert_allclose(fast[voxel], slow_reference(image, voxel, spacing, cell, n_cells), atol=1e-5)


def test_a_mask_selects_rows(image):
    mask = np.random.default_rng(1).random(image.shape) < 0.1
    mask[:3] = False
    out = np.empty((mask.sum(), 96), np.float32)
    np.testing.assert_allclose(dense_sift(image, mask, n_cells=2, out=out), whole(image, n_cells=2)[mask], atol=1e-6)


def test_float16_is_the_same_to_its_precision(image):
    mask = np.ones(image.shape, bool)
    half = dense_sift(image, mask)
    assert half.dtype == np.float16 and half.shape == (mask.sum(), 768)
    np.testing.assert_allclose(half, whole(image)[mask], atol=3e-4)


@pytest.mark.parametrize(("factor", "constant"), [(1, 50), (1e-12, 0), (1e9, 0), (3, -7)])
def test_brightness_and_contrast_do_not_matter(image, factor, constant):
    changed = image.astype(np.float64) * factor + constant
    np.testing.assert_allclose(whole(changed, n_cells=2), whole(image, n_cells=2), atol=5e-5)


def test_a_constant_image_has_no_descriptor(image):
    assert not whole(np.full_like(image, 7.3)).any()


def test_rows_have_length_one(image):
    np.testing.assert_allclose(np.linalg.norm(whole(image), axis=-1), 1, atol=1e-5)


def test_a_shifted_image_has_shifted_descriptors():
    image = np.random.default_rng(0).normal(size=(18, 18, 18))
    there, here = whole(image[2:, 3:, 1:], n_cells=2, cell=2), whole(image, n_cells=2, cell=2)
    inner = (slice(5, 11),) * 3  # far enough from every border for the whole block
    moved = (slice(7, 13), slice(8, 14), slice(6, 12))
    np.testing.assert_allclose(there[inner], here[moved], atol=1e-5)


@pytest.mark.parametrize(
    "turn",
    [
        np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]),  # x → y → z → x
        np.diag([-1, -1, 1]),  # 180° about z
        np.diag([-1, 1, 1]),  # mirrored left to right
    ],
)
def test_symmetries_of_the_icosahedron_permute_the_descriptor(image, turn):
    axes = np.abs(turn).argmax(1)  # new axis i is old axis axes[i]
    flips = [i for i in range(3) if turn[i].sum() < 0]
    turned = np.flip(image.transpose(axes), flips)
    n_cells = 2
    before = whole(image, n_cells=n_cells).reshape(*image.shape, n_cells, n_cells, n_cells, 12)
    before = np.flip(before.transpose(*axes, *(3 + axes), 6), [*flips, *(3 + i for i in flips)])
    vertices = icosahedron()
    bins = ((vertices @ turn.T) @ vertices.T).argmax(0)  # which old bin arrives at each new one
    after = whole(turned, n_cells=n_cells).reshape(before.shape)
    np.testing.assert_allclose(after, before[..., bins], atol=1e-5)


def test_a_quarter_turn_of_a_picture_permutes_its_descriptor():
    picture = np.random.default_rng(0).normal(size=(15, 12, 1))
    n = 4
    before = whole(picture, n_cells=n).reshape(15, 12, n, n, 8)
    after = whole(np.rot90(picture), n_cells=n).reshape(12, 15, n, n, 8)
    expected = np.rot90(np.rot90(before, axes=(0, 1)), axes=(2, 3))
    # rot90 carries the second axis to minus the first and the first to the second: +90° is two of eight bins
    np.testing.assert_allclose(after, np.roll(expected, 2, axis=-1), atol=1e-5)


def test_spacing_turns_gradients():
    x, y, z = np.meshgrid(*[np.arange(9.0)] * 3, indexing="ij")
    diagonal = whole(x + 2 * y + z * 0, spacing_mm=(1, 2, 1), n_cells=2)[4, 4, 4]  # per mm the slopes are equal
    equal = whole(x + y, n_cells=2)[4, 4, 4]
    np.testing.assert_allclose(diagonal, equal, atol=1e-6)


def test_orientation_shares_add_up_and_vertices_are_pure():
    gradient = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    shares = orientations(gradient)
    assert shares.min() >= 0 and ((shares > 0).sum(1) <= 3).all()
    np.testing.assert_allclose(shares.sum(1), np.linalg.norm(gradient, axis=1), rtol=1e-5)
    np.testing.assert_allclose(orientations(icosahedron().astype(np.float32)), np.eye(12), atol=1e-5)
    assert not orientations(np.zeros((1, 3), np.float32)).any()


def test_windows_of_neighboring_cells_add_up_to_the_gaussian():
    windows = cell_windows(3, 4)
    u = np.arange(-7, 8)
    inner = np.abs(u) <= 4  # between the outermost centers ±4.5
    np.testing.assert_allclose(windows.sum(0)[inner], np.exp(-0.5 * (u[inner] / 6) ** 2))


def test_mistakes_are_named(image):
    with pytest.raises(ValueError, match=r"expected an image and a mask"):
        dense_sift(image, np.ones((2, 2, 2), bool))
    with pytest.raises(ValueError, match="must be positive"):
        dense_sift(image, image > 0, cell=0)
    with pytest.raises(ValueError, match="expected an output array"):
        dense_sift(image, image > 0, out=np.zeros((3, 3)))


def test_an_empty_mask_gives_no_rows(image):
    assert dense_sift(image, np.zeros(image.shape, bool)).shape == (0, 768)
