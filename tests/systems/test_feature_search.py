"""Figure 5 as an instrument: the truth is the truth, a click is quick, the study equals single clicks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench import workflow
from workbench.errors import CohortError, SettingsError
from workbench.imaging.cohort import Cohort
from workbench.systems.feature_search import SIFT, SubjectSearch, similarity_view, true_match
from workbench.systems.feature_study import study_pair, summarize

SMALL = {"n_patches": 1024, "n_epochs_pretraining": 1, "n_epochs_fine_tuning": 1, "patch_size": 5, "n_hidden": (16, 8)}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, SubjectSearch, SubjectSearch]:
    root = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(root))
        cohort = workflow.make_phantom("brain", "brains", n_subjects=2, spacing_mm=4.0)
        run = workflow.train("wu2016", "brains", SMALL, preset="quick")
        system = workflow.system_of(run)
        a, b = (SubjectSearch(system, run, cohort[name]) for name in ("brain-01", "brain-02"))
    return cohort, a, b


def test_the_true_match_there_and_back_is_the_point(pair: tuple[Cohort, SubjectSearch, SubjectSearch]) -> None:
    cohort, a, _ = pair
    points = a.points_mm[:: len(a.points_mm) // 200]
    there = true_match(cohort["brain-01"], cohort["brain-02"], points)
    back = true_match(cohort["brain-02"], cohort["brain-01"], there)
    error = np.linalg.norm(back - points, axis=1)
    assert np.median(error) < 0.4 and np.percentile(error, 95) < 2.0  # mm, of 4 mm voxels
    assert np.linalg.norm(there - points, axis=1).mean() > 1.0, "the phantoms do not differ"


def test_the_match_has_the_same_tissue(pair: tuple[Cohort, SubjectSearch, SubjectSearch]) -> None:
    cohort, a, b = pair
    truth = true_match(cohort["brain-01"], cohort["brain-02"], a.points_mm)
    labels = [cohort[name].label_map() for name in ("brain-01", "brain-02")]
    there = np.clip(np.rint(b.volume.to_voxels(truth)).astype(int), 0, np.array(b.volume.shape) - 1)
    same = labels[0][tuple(a.codes.voxels.T)] == labels[1][tuple(there.T)]
    unmoved = labels[0][tuple(a.codes.voxels.T)] == labels[1][tuple(a.codes.voxels.T)]
    assert same.mean() > 0.8 > unmoved.mean() + 0.05


def test_registered_subject_looks_like_the_template(pair: tuple[Cohort, SubjectSearch, SubjectSearch]) -> None:
    _, a, b = pair
    registered = a.registered(b)
    assert registered is not None and registered.shape == a.volume.shape
    inside = a.mask
    before = np.corrcoef(a.volume.data[0][inside], b.volume.data[0][inside])[0, 1]
    after = np.corrcoef(a.volume.data[0][inside], registered.data[0][inside])[0, 1]
    assert after > before + 0.1 and a.registered(b) is registered


def test_a_view_has_every_kind_of_map(pair: tuple[Cohort, SubjectSearch, SubjectSearch]) -> None:
    _, a, b = pair
    view = similarity_view(a, b, (12, -30, 14))
    assert len(view.maps) == 4 and all(np.isnan(m).any() and np.isfinite(m).any() for m in view.maps.values())


def test_the_study_is_many_single_clicks(pair: tuple[Cohort, SubjectSearch, SubjectSearch]) -> None:
    _, a, b = pair
    rows = study_pair(a, b, n_points=6)
    assert set(rows["feature"]) >= {"Patch, L2", "Patch, correlation", SIFT, "SAE, correlation", "SAE, L2"}
    from scipy.ndimage import gaussian_gradient_magnitude

    from workbench.patches.samplers import weighted

    weights = gaussian_gradient_magnitude(a.volume.data[0], 1.0) * a.mask
    centers = weighted(weights, 6, np.random.default_rng([0, 5]))
    for point, center in enumerate(centers):
        view = similarity_view(a, b, tuple(a.volume.to_mm(center)))
        for name, score in view.scores.items():
            row = rows[(rows.point == point) & (rows.feature == name)].iloc[0]
            assert score is not None
            assert row["share_above"] == pytest.approx(100 * score.share_above, abs=0.02), name
            if not name.startswith("SAE"):  # eight numbers of half precision tie at the top, and either tie may win
                assert row["distance_mm"] == pytest.approx(score.distance_mm, abs=1e-6), name


def test_summary_resamples_pairs_not_points(pair: tuple[Cohort, SubjectSearch, SubjectSearch]) -> None:
    _, a, b = pair
    rows = pd.concat([study_pair(a, b, 5), study_pair(b, a, 5)]).assign(condition="clean")
    table = summarize(rows)
    assert (table.n_pairs == 2).all() and (table.n_points == 10).all()
    assert ((table.low <= table["mean"]) & (table["mean"] <= table.high)).all()
    ends = rows.query("feature == 'SIFT, L2'").groupby("template")["distance_mm"].mean()
    (row,) = table.query("feature == 'SIFT, L2' and score == 'distance_mm'").to_dict("records")
    assert (row["low"], row["high"]) == pytest.approx((ends.min(), ends.max())), "points of one pair hang together"


def test_without_a_known_deformation_there_is_a_view_but_no_score(
    pair: tuple[Cohort, SubjectSearch, SubjectSearch],
) -> None:
    from dataclasses import replace

    _, a, b = pair
    known = b.subject
    b.subject = replace(known, name="someone", covariates={})
    try:
        view = similarity_view(a, b, (0, -20, 10))
        assert view.truth_mm is None and view.registered is None and set(view.scores.values()) == {None}
        with pytest.raises(CohortError, match="is not known; choose phantoms"):
            study_pair(a, b, 3)
    finally:
        b.subject = known


def test_an_unknown_measure_is_named(pair: tuple[Cohort, SubjectSearch, SubjectSearch]) -> None:
    with pytest.raises(SettingsError, match="correlation"):
        similarity_view(pair[1], pair[2], (0, 0, 0), "dot")
