"""Landmarks: monotone maps are undone, order stays, and brute force agrees."""

from __future__ import annotations

import json

import numpy as np
import pytest

from workbench.errors import GeometryError, WorkbenchError
from workbench.imaging.standardization import PERCENTILES, Landmarks, learn_landmarks, scale_by, scale_range


def head(seed: int = 0, shape: tuple[int, int, int] = (20, 22, 18)) -> tuple[np.ndarray, np.ndarray]:
    """Three tissues with noise inside a ball, air outside."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    mask = (grid**2).sum(0) < 0.9
    tissue = rng.choice([300.0, 700.0, 1000.0], size=shape, p=[0.2, 0.45, 0.35])
    return np.where(mask, tissue + rng.normal(0, 60, shape), rng.exponential(5, shape)).astype(np.float32), mask


def brute_force(images, image, mask, percentiles=PERCENTILES):
    """The method written again, voxel by voxel, from its description."""
    standard = np.zeros(len(percentiles))
    for array, inside in images:
        p = [np.percentile(array[inside].astype(float), q) for q in percentiles]
        standard += [(v - p[0]) / (p[-1] - p[0]) * 100 / len(images) for v in p]
    own = [np.percentile(image[mask].astype(float), q) for q in percentiles]
    out = np.empty(image.shape)
    for at, value in np.ndenumerate(image.astype(float)):
        i = min(max(np.searchsorted(own, value, side="right") - 1, 0), len(own) - 2)
        share = (value - own[i]) / (own[i + 1] - own[i])
        out[at] = standard[i] + share * (standard[i + 1] - standard[i])
    return out


def test_agrees_with_brute_force_also_beyond_the_outer_landmarks():
    training = [head(seed, (9, 10, 11)) for seed in (1, 2, 3)]
    image, mask = head(4, (9, 10, 11))
    image[4, 4, 4], image[5, 5, 5] = -900, 4000
    got = learn_landmarks(training).apply(2.5 * image + 40, mask)
    assert np.allclose(got, brute_force(training, 2.5 * image + 40, mask), atol=1e-3)
    assert got.min() < -50 and got.max() > 150


def test_agrees_with_torchio(tmp_path):
    tio = pytest.importorskip("torchio")
    kept = [0, 1, 2, 4, 5, 6, 7, 8, 10, 11, 12]  # it also learns the quartiles, and leaves them out
    training, paths = [head(seed) for seed in (1, 2, 3)], []
    for number, pair in enumerate(training):
        paths.append([tmp_path / f"{name}{number}.nii" for name in ("image", "mask")])
        for path, array in zip(paths[-1], pair, strict=True):
            tio.ScalarImage(tensor=array[None].astype(np.float32)).save(path)
    theirs = tio.HistogramStandardization.train(
        [p for p, _ in paths], mask_path=[p for _, p in paths], cutoff=(0.01, 0.99), progress=False
    )
    ours = learn_landmarks(training)
    assert np.allclose(ours.values, theirs[kept], atol=1e-3)
    image, mask = head(4)
    subject = tio.Subject(
        image=tio.ScalarImage(tensor=2 * image[None] + 9), mask=tio.LabelMap(tensor=mask[None].astype(np.int16))
    )
    expected = tio.HistogramStandardization({"image": theirs}, masking_method="mask")(subject).image.data[0].numpy()
    assert np.allclose(ours.apply(2 * image + 9, mask), expected, atol=0.01)


MAPS = {
    "linear": (lambda x: 3 * x + 20, 1e-3),
    "root": (lambda x: np.sqrt(np.maximum(x, 0) + 10) * 50, 1.0),
    "gamma": (lambda x: (np.maximum(x, 0) / 1000) ** 1.8 * 400, 1.0),
}


@pytest.mark.parametrize("name", MAPS)
def test_two_scans_of_one_head_that_differ_by_a_monotone_map_become_equal(name):
    change, tolerance = MAPS[name]
    image, mask = head()
    other = change(image.astype(np.float64)).astype(np.float32)
    landmarks = learn_landmarks([head(1), head(2)])
    a, b = landmarks.apply(image, mask)[mask], landmarks.apply(other, mask)[mask]
    middle = (a > 0) & (a < 100)  # between the outer landmarks
    assert np.abs(a - b)[middle].mean() < tolerance
    raw = np.abs((image - image[mask].mean()) / image[mask].std() - (other - other[mask].mean()) / other[mask].std())
    assert name == "linear" or np.abs(a - b)[middle].mean() / a.std() < 0.5 * raw[mask][middle].mean()


def test_order_stays():
    image, mask = head(5)
    out = learn_landmarks([head(1), head(2)]).apply(image, mask)
    order = np.argsort(image.ravel(), kind="stable")
    assert (np.diff(out.ravel()[order]) >= 0).all()
    assert len(np.unique(out)) > 0.99 * len(np.unique(image))


def test_an_images_landmarks_land_on_the_standard():
    landmarks = learn_landmarks([head(1), head(2)])
    image, mask = head(3)
    out = landmarks.apply(7 * image - 100, mask)
    assert np.allclose(np.percentile(out[mask], PERCENTILES), landmarks.values, atol=0.05)
    assert landmarks.values[0] == 0 and landmarks.values[-1] == pytest.approx(100)


def test_learning_undoes_each_images_own_scale():
    once = learn_landmarks([head(1), head(2)])
    (a, inside), (b, inside_b) = head(1), head(2)
    scaled = learn_landmarks([(9 * a + 3, inside), (0.01 * b, inside_b)])
    assert np.allclose(once.values, scaled.values, atol=1e-3)


def test_the_air_outside_the_mask_does_not_count():
    image, mask = head()
    louder = np.where(mask, image, 50 * image)
    landmarks = learn_landmarks([(image, mask)])
    assert learn_landmarks([(louder, mask)]) == landmarks != learn_landmarks([(louder, None)])
    assert np.array_equal(landmarks.apply(louder, mask)[mask], landmarks.apply(image, mask)[mask])


def test_landmarks_survive_json():
    landmarks = learn_landmarks([head(1)])
    assert Landmarks.from_lists(json.loads(json.dumps(landmarks.to_lists()))) == landmarks


def test_numbers_that_are_none_stay_and_change_nothing_else():
    image, mask = head()
    landmarks = learn_landmarks([head(1)])
    broken = image.copy()
    outside = ~mask
    broken[outside] = np.nan
    broken[10, 10, 9] = np.inf
    out = landmarks.apply(broken, mask)
    assert np.isnan(out[outside]).all() and np.isposinf(out[10, 10, 9])
    good = mask.copy()
    good[10, 10, 9] = False
    assert np.allclose(out[good], landmarks.apply(image, good)[good])


def test_a_histogram_with_a_peak_is_mapped_without_division_by_zero():
    image, mask = head()
    image[image < 600] = 0  # the first landmarks of the ball coincide
    out = learn_landmarks([head(1)]).apply(image, mask)
    assert np.isfinite(out).all() and (np.diff(out.ravel()[np.argsort(image.ravel(), kind="stable")]) >= 0).all()
    assert learn_landmarks([(image, mask)]).values[0] == 0


@pytest.mark.parametrize(
    "call",
    [lambda a, m: learn_landmarks([(a, m)]), Landmarks((0, 100), (0, 1)).apply, scale_range],
    ids=["learn", "apply", "range"],
)
def test_what_cannot_be_measured_gets_a_sentence(call):
    image, mask = head()
    with pytest.raises(GeometryError, match=r"mask of .*image.* is empty.*draw it again"):
        call(image, np.zeros_like(mask))
    with pytest.raises(GeometryError, match="20 × 22 × 17"):
        call(image, mask[:, :, :-1])
    with pytest.raises(WorkbenchError, match="values that differ"):
        call(np.full_like(image, 3), mask)
    with pytest.raises(WorkbenchError, match="no finite numbers"):
        call(np.full_like(image, np.nan), mask)


def test_no_training_images_and_wrong_landmarks_get_a_sentence():
    with pytest.raises(WorkbenchError, match="at least one training image"):
        learn_landmarks([])
    with pytest.raises(ValueError, match="rising percentiles"):
        learn_landmarks([head()], (10, 10, 90))
    with pytest.raises(ValueError, match="between 0 and 100"):
        Landmarks((1, 101), (0, 1))
    with pytest.raises(ValueError, match="must not fall"):
        Landmarks((1, 50, 99), (0, 60, 50))


def test_scaling_by_hand():
    image = np.array([[[10.0, 20, 30, 50]]], np.float32)
    mask = np.array([[[1, 1, 1, 0]]])
    assert scale_by(image, mask, 20, 5).ravel().tolist() == [-2, 0, 2, 0]
    assert scale_by(image, None, 20, 5).ravel().tolist() == [-2, 0, 2, 6]
    assert scale_range(image, mask).ravel().tolist() == [0, 511.5, 1023, 0]
    assert image.ravel().tolist() == [10, 20, 30, 50]
    with pytest.raises(WorkbenchError, match="spread of 0"):
        scale_by(image, mask, 20, 0)
