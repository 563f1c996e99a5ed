import numpy as np
import pytest

from workbench.errors import GeometryError
from workbench.imaging.intensity import correct_bias, level, match_histogram, rescale, window_hu, z_score
from workbench.imaging.volume import Volume

AFFINE = np.diag([1.0, 2, 3, 1])


def noise(shape=(8, 9, 10), seed=0, scale=3.0, shift=50.0):
    return Volume.from_array(np.random.default_rng(seed).normal(shift, scale, shape), AFFINE, "T1")


def test_z_score_has_mean_0_and_deviation_1_inside_the_mask():
    volume = Volume.from_array(np.stack([noise().data[0], noise(seed=1, scale=100).data[0]]))
    mask = np.zeros(volume.shape)
    mask[2:6, 2:6, 2:6] = 1
    out = z_score(volume, mask)
    inside = out.data[:, mask > 0]
    assert np.allclose(inside.mean(1), 0, atol=1e-5) and np.allclose(inside.std(1), 1, atol=1e-5)
    assert np.allclose(z_score(volume).data.mean((1, 2, 3)), 0, atol=1e-5)


def test_a_constant_image_becomes_0_and_not_nan():
    flat = Volume.from_array(np.full((4, 4, 4), 7.0))
    for out in (z_score(flat), rescale(flat), correct_bias(flat), match_histogram(flat, noise())):
        assert np.isfinite(out.data).all() and np.ptp(out.data) == 0
    assert z_score(flat).data.max() == rescale(flat).data.max() == 0


def test_lung_window_by_hand():
    hu = Volume.from_array(np.array([-2000, -1350, -600, 150, 3000.0]).reshape(5, 1, 1))
    assert window_hu(hu, -600, 1500).data.ravel().tolist() == [0, 0, 0.5, 1, 1]
    with pytest.raises(ValueError, match="positive"):
        window_hu(hu, 0, 0)


def test_percentiles_by_hand():
    volume = Volume.from_array(np.arange(101.0).reshape(101, 1, 1))
    out = rescale(volume, 10, 90).data.ravel()
    assert out[10] == 0 and out[90] == 1 and out[50] == pytest.approx(0.5) and out.min() == 0 and out.max() == 1
    mask = np.zeros((101, 1, 1))
    mask[:51] = 1
    assert rescale(volume, 0, 100, mask).data.ravel()[[0, 25, 50, 100]].tolist() == [0, 0.5, 1, 1]
    with pytest.raises(ValueError, match="percentiles"):
        rescale(volume, 90, 10)


def test_masks_are_checked():
    for function in (z_score, correct_bias, lambda v, m: rescale(v, mask=m)):
        with pytest.raises(GeometryError, match="is empty"):
            function(noise(), np.zeros((8, 9, 10)))
        with pytest.raises(GeometryError, match=r"2 × 2 × 2 voxels but T1 has 8 × 9 × 10"):
            function(noise(), np.ones((2, 2, 2)))


def test_histogram_matching_undoes_a_monotone_change():
    reference = noise((16, 16, 16), scale=10, shift=100)
    changed = reference.with_data(reference.data**1.5 / 3 + 20)
    out = match_histogram(changed, reference)
    upper = reference.data > reference.data.mean()
    assert np.abs(out.data - reference.data)[upper].mean() < 1.0
    assert out.shape == reference.shape and np.array_equal(out.affine, reference.affine)


def test_n4_flattens_a_known_bias():
    """Two tissues under a smooth bias: the coefficient of variation inside one tissue must fall by half."""
    x, y, z = np.indices((32, 32, 32)) / 31
    tissue = np.where((x - 0.5) ** 2 + (y - 0.5) ** 2 + (z - 0.5) ** 2 < 0.06, 200.0, 100.0)
    bias = np.exp(0.5 * (x + y - 1))
    volume = Volume.from_array(tissue * bias + np.random.default_rng(0).normal(0, 1, tissue.shape))
    out = correct_bias(volume, np.ones(tissue.shape), shrink=2)
    inner = tissue == 200
    before, after = (v.data[0][inner].std() / v.data[0][inner].mean() for v in (volume, out))
    assert after < before / 2
    field = out.data[0] / volume.data[0]
    assert np.corrcoef(np.log(field[inner]), -np.log(bias[inner]))[0, 1] > 0.9


def test_n4_gives_memory_of_its_own_at_the_size_of_a_head():
    """A view into an image that is collected crashed the process, at sizes whose memory goes back to the system."""
    shape = (160, 180, 160)
    x = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None, None]
    data = (100 * np.exp(0.3 * x) * np.ones(shape, np.float32))[None]
    mask = np.zeros(shape, bool)
    mask[40:120, 40:140, 40:120] = True
    out = correct_bias(Volume(data, np.eye(4)), mask, shrink=8).data[0]
    assert np.isfinite(out).all() and out[mask].std() < data[0][mask].std()


def test_n4_takes_pictures_and_finds_its_own_foreground():
    x, y = np.indices((48, 48)) / 47
    disc = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.2) * 100.0 * np.exp(0.5 * x)
    out = correct_bias(Volume.from_array(disc[..., None]))
    assert out.shape == (48, 48, 1) and np.isfinite(out.data).all()
    assert out.data[0][disc[..., None] > 0].std() < disc[disc > 0].std()


def test_what_changes_slowly_is_leveled_and_edges_stay():
    rng = np.random.default_rng(0)
    shape = (40, 36, 30)
    mask = np.zeros(shape, bool)
    mask[5:35, 5:31, 5:25] = True
    anatomy = np.where(rng.random(shape) < 0.5, 1.0, 1.5) * mask
    x, y, _ = np.indices(shape) / 40
    volume = Volume.from_array(anatomy, np.diag([4.0, 4, 4, 1]))
    biased = volume.with_data(volume.data * np.exp(2 * (x + y - 1)).astype(np.float32))
    even, leveled = level(volume, mask), level(biased, mask)
    assert (leveled.data[0][~mask] == 0).all() and abs(leveled.data[0][mask].mean() - 1) < 0.1
    assert np.corrcoef(biased.data[0][mask], volume.data[0][mask])[0, 1] < 0.6
    assert np.corrcoef(leveled.data[0][mask], even.data[0][mask])[0, 1] > 0.8


def test_an_image_of_nothing_is_leveled_to_nothing():
    nothing = Volume.from_array(np.zeros((6, 6, 6)))
    assert (level(nothing, np.ones((6, 6, 6))).data == 0).all() and (
        level(nothing, np.zeros((6, 6, 6))).data == 0
    ).all()
