"""ROC curves: scikit-learn's points, the AUC's area, and bands that cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_curve as peer_curve

from workbench.errors import CohortError
from workbench.metrics.classification import auc
from workbench.metrics.roc import roc_band, roc_curve


def scores(n: int = 60, seed: int = 0, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 2
    return target, rng.normal(size=n) + shift * target


@pytest.mark.parametrize("digits", [1, 9])  # with and without ties
def test_points_are_those_of_scikit_learn(digits):
    target, values = scores()
    values = values.round(digits)
    false, true, at = roc_curve(target, values)
    peer = peer_curve(target, values, drop_intermediate=False)
    assert np.allclose(false, peer[0]) and np.allclose(true, peer[1]) and np.array_equal(at, peer[2])
    assert np.trapezoid(true, false) == pytest.approx(auc(target, values))


def test_one_fold_is_the_plain_curve():
    target, values = scores()
    band = roc_band(target, values, n_boot=50)
    false, true, _ = roc_curve(target, values)
    for x, y in zip(band.false_positive_rate, band.true_positive_rate, strict=True):
        assert y == pytest.approx(true[false <= x + 1e-12].max())  # without ties the curve is a stair
    assert band.auc.mean == pytest.approx(auc(target, values)) and band.n_folds == 1
    assert (band.low <= band.true_positive_rate + 1e-12).all() and (band.true_positive_rate <= band.high + 1e-12).all()
    assert band.true_positive_rate[-1] == 1


def test_perfect_and_constant_scores():
    target = np.arange(20) % 2
    assert (roc_band(target, target.astype(float), n_boot=20).true_positive_rate == 1).all()
    flat = roc_band(target, np.zeros(20), n_boot=20)
    assert np.allclose(flat.true_positive_rate, flat.false_positive_rate) and flat.auc.mean == 0.5


def test_folds_need_not_be_on_one_scale():
    target, values = scores(100)
    fold = np.arange(100) // 20
    shifted = roc_band(target, values + 10 * fold, folds=fold, n_boot=30)
    plain = roc_band(target, values, folds=fold, n_boot=30)
    assert np.allclose(shifted.true_positive_rate, plain.true_positive_rate) and shifted.auc == plain.auc
    assert plain.auc.mean == pytest.approx(np.mean([auc(target[fold == f], values[fold == f]) for f in range(5)]))
    assert roc_band(target, values + 10 * fold, n_boot=2).auc.mean < plain.auc.mean - 0.05  # pooled they are


def test_a_fold_of_one_class_has_no_curve():
    target, values = scores(40)
    fold = np.where(target[:40] == 1, np.arange(40) // 20, np.minimum(np.arange(40) // 20, 0))
    band = roc_band(target, values, folds=fold, n_boot=20)
    assert band.n_folds == 1
    with pytest.raises(CohortError, match="No fold holds both classes"):
        roc_band(target, values, folds=target)


def test_covers_the_true_curve_about_as_often_as_it_says():
    hits, hits_area = [], []
    grid = np.linspace(0, 1, 11)
    truth = norm.cdf(norm.ppf(grid) + 1)  # two normals one sd apart
    for seed in range(100):
        target, values = scores(80, seed)
        band = roc_band(target, values, level=0.9, n_boot=150, seed=seed, n_grid=11)
        hits.append(((band.low <= truth) & (truth <= band.high))[2:8])
        hits_area.append(band.auc.low <= norm.cdf(1 / 2**0.5) <= band.auc.high)
    assert 0.8 <= np.mean(hits) <= 0.97 and 0.82 <= np.mean(hits_area) <= 0.97


def test_examples_of_one_subject_widen_the_band():
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(20), 15)
    target = (np.arange(20) % 2)[subject]
    values = target + rng.normal(size=20)[subject] + 0.2 * rng.normal(size=300)
    alone, together = roc_band(target, values, n_boot=150), roc_band(target, values, subject, n_boot=150)
    assert (together.high - together.low).mean() > 1.5 * (alone.high - alone.low).mean()
    assert np.isnan(roc_band(target[:30], values[:30], ["a"] * 30).low).all()


def test_mistakes_are_named():
    with pytest.raises(CohortError, match="there is one only"):
        roc_curve(np.ones(4, int), np.arange(4.0))
    with pytest.raises(ValueError, match="classes 0 and 1"):
        roc_curve(np.array([0, 1, 2]), np.arange(3.0))
    with pytest.raises(ValueError, match="without NaN"):
        roc_curve(np.array([0, 1]), np.array([0, np.nan]))
