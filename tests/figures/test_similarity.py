from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from workbench.figures.correspondence import correspondence_table_figure
from workbench.figures.ranks import TOP_SHARES, rank_colors
from workbench.figures.similarity import SimilarityMaps, similarity_panels
from workbench.imaging.volume import Volume


@pytest.fixture
def found(volume: Volume) -> SimilarityMaps:
    rng = np.random.default_rng(0)
    maps = {name: rng.random(volume.shape).astype(np.float32) for name in ("Local patches", "SIFT", "SAE")}
    point = volume.to_mm(np.array([5, 6, 3]))
    best = {name: volume.to_mm(np.array([4, 5, 3 + i])) for i, name in enumerate(maps)}
    return SimilarityMaps(volume, volume, point, maps, best, point, volume, {"SAE": "truth is rank 3"})


def _titles(fig: object) -> list[str]:
    return [a.text for a in fig.layout.annotations if a.name == "panel title"]  # type: ignore[attr-defined]


def test_panels_are_those_of_figure_5(found: SimilarityMaps) -> None:
    titles = _titles(similarity_panels(found))
    names = ["Template", "Subject", "Registered subject", "Local patches", "SIFT", "SAE"]
    assert titles == [f"<b>{letter}</b>  {name}" for letter, name in zip("abcdef", names, strict=True)]


def test_without_registration_and_truth_there_are_neither_panel_nor_ring(found: SimilarityMaps) -> None:
    fig = similarity_panels(replace(found, registered=None, truth_mm=None))
    assert len(_titles(fig)) == 5 and not [t for t in fig.data if t.name == "truth"]


def test_cross_is_at_the_best_match_and_ring_at_the_truth(found: SimilarityMaps) -> None:
    fig = similarity_panels(found)
    crosses = [t for t in fig.data if t.name == "cross" and t.xaxis == "x4"]
    rings = [t for t in fig.data if t.name == "truth" and t.xaxis == "x4"]
    best, truth = found.best_mm["Local patches"], found.truth_mm
    assert truth is not None
    assert {(t.x[0], t.y[0]) for t in crosses} == {(best[0], best[1])}
    assert {(t.x[0], t.y[0]) for t in rings} == {(truth[0], truth[1])}


def test_a_best_match_off_the_slice_is_said_and_drawn_oblique(found: SimilarityMaps) -> None:
    fig = similarity_panels(found)
    captions = {a.xref: a.text for a in fig.layout.annotations if a.name == "caption"}
    assert captions["x4 domain"] == "" and captions["x5 domain"] == "best match 5 mm above this slice"
    assert captions["x6 domain"] == "truth is rank 3<br>best match 10 mm above this slice"
    assert {t.marker.symbol for t in fig.data if t.name == "cross" and t.xaxis == "x5"} == {"x-thin"}


def test_ranks_do_not_change_under_a_monotone_rescaling() -> None:
    similarity = np.random.default_rng(0).normal(size=(8, 8, 8))
    np.testing.assert_array_equal(rank_colors(similarity, "rank")[0], rank_colors(np.exp(3 * similarity), "rank")[0])


def test_the_best_tenth_is_coloured_and_the_rest_shows_anatomy() -> None:
    similarity = np.arange(1000.0).reshape(10, 10, 10)
    similarity[0, 0, :5] = np.nan
    colors, percent, style = rank_colors(similarity, "rank")
    assert np.isfinite(colors).sum() == 99  # a tenth of 995
    assert style["low"] == pytest.approx(-np.log10(TOP_SHARES[0])) and np.isnan(percent[0, 0, 0])
    assert np.nanargmax(colors) == 999 and percent[9, 9, 9] == pytest.approx(100 / 995)


def test_a_flat_map_is_best_nowhere() -> None:
    assert not np.isfinite(rank_colors(np.ones((4, 4, 4)), "rank")[0]).any()


def test_four_maps_stand_in_one_row(found: SimilarityMaps) -> None:
    more = replace(
        found, maps={**found.maps, "PCA": found.maps["SAE"]}, best_mm={**found.best_mm, "PCA": found.best_mm["SAE"]}
    )
    layout = similarity_panels(more, scale="similarity").layout
    assert len({tuple(layout[f"yaxis{n}"].domain) for n in (4, 5, 6, 7)}) == 1


def test_convention_and_sides_are_printed(found: SimilarityMaps) -> None:
    fig = similarity_panels(found, convention="neurological")
    assert "neurological: patient’s right on the right" in next(
        a.text for a in fig.layout.annotations if a.name == "key"
    )
    assert fig.layout.xaxis.range[0] < fig.layout.xaxis.range[1]


def test_wrong_planes_and_missing_bests_are_refused(found: SimilarityMaps) -> None:
    with pytest.raises(LookupError, match="coronal"):
        similarity_panels(found, plane="oblique")
    with pytest.raises(ValueError, match="best_mm lacks SAE"):
        similarity_panels(replace(found, best_mm={k: v for k, v in found.best_mm.items() if k != "SAE"}))


def test_intervals_span_low_to_high() -> None:
    table = pd.DataFrame(
        [
            ("SAE", "easy", "distance_mm", 3.0, 2.0, 5.0),
            ("SIFT", "easy", "distance_mm", 4.0, 3.5, 4.5),
            ("SAE", "hard", "rank", 9.0, 8.0, 11.0),
        ],
        columns=["feature", "condition", "measure", "mean", "low", "high"],
    )
    fig = correspondence_table_figure(table)
    first = fig.data[0]
    assert list(first.error_x.array) == [2.0, 0.5] and list(first.error_x.arrayminus) == [1.0, 0.5]
    assert fig.layout.xaxis.title.text.endswith("mm") and {t.name for t in fig.data} == {"easy", "hard"}
