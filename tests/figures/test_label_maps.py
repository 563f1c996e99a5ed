"""Truth and prediction over an image: volumes, cases and outlines are those of the arrays."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.figures.label_maps import LabelMaps, difference, difference_map, fullest, label_maps, label_volumes
from workbench.figures.theme import label_color
from workbench.imaging.volume import Volume

RNG = np.random.default_rng(0)
NAMES = {1: "CSF", 2: "GM"}


def random_maps(volume: Volume) -> LabelMaps:
    return LabelMaps(volume, RNG.integers(0, 3, volume.shape), RNG.integers(-1, 3, volume.shape), NAMES)


@pytest.mark.parametrize("label", [None, 1, 2])
def test_every_voxel_is_found_false_missed_or_nothing(volume: Volume, label: int | None) -> None:
    maps = random_maps(volume)
    assert maps.truth is not None
    codes = difference(maps.prediction, maps.truth, label)
    for at in np.ndindex(*volume.shape):
        p, t = int(maps.prediction[at]), int(maps.truth[at])
        if t < 0:
            expected = 0
        elif label is None:
            expected = 1 if p == t and t else 3 if t else 2 if p else 0
        else:
            expected = {(True, True): 1, (True, False): 2, (False, True): 3}.get((p == label, t == label), 0)
        assert codes[at] == expected


def test_volumes_are_voxels_times_their_size_in_ml(volume: Volume) -> None:
    maps = random_maps(volume)
    rows = label_volumes(maps)
    assert [r["Label"] for r in rows] == ["CSF", "GM"]
    assert rows[1]["Prediction, ml"] == pytest.approx((maps.prediction == 2).sum() * 2 * 2 * 5 / 1000)
    assert rows[0]["Truth, ml"] == pytest.approx(np.count_nonzero(maps.truth == 1) * 0.02)
    assert "Truth, ml" not in label_volumes(LabelMaps(volume, maps.prediction))[0]


def test_the_legend_has_a_label_a_line_with_both_volumes(volume: Volume) -> None:
    maps = random_maps(volume)
    legend = [t for t in label_maps(maps).data if t.showlegend is not False and t.type == "scatter" and t.x[0] is None]
    assert [t.name.split(" · ")[0] for t in legend] == ["CSF", "GM"] and all("truth" in t.name for t in legend)
    assert [t.marker.color for t in legend] == [label_color(1), label_color(2)]


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_the_truth_is_dashed_and_only_a_filled_style_has_areas(volume: Volume, plane: str) -> None:
    maps = random_maps(volume)
    outline = label_maps(maps, (5, 6, 3), plane=plane, theme="dark")  # type: ignore[arg-type]
    lines = [t for t in outline.data if t.type == "scatter" and t.mode == "lines"]
    by_axis = {axis: {t.line.dash for t in lines if t.xaxis == axis} for axis in ("x", "x2", "x3")}
    assert by_axis == {"x": {"2px,2px"}, "x2": {"solid"}, "x3": {"solid", "2px,2px"}}
    filled = label_maps(maps, (5, 6, 3), plane=plane, style="fill")  # type: ignore[arg-type]
    areas = [len([t for t in f.data if t.type == "heatmap"]) for f in (outline, filled)]
    assert areas == [3, 3 + 2 * 3]  # three images; two labels in each of three panels


def test_without_truth_there_is_one_panel(volume: Volume) -> None:
    fig = label_maps(LabelMaps(volume, random_maps(volume).prediction, names=NAMES))
    assert {t.xaxis for t in fig.data if t.type == "heatmap"} == {"x"} and "prediction with" in fig.layout.meta["alt"]
    with pytest.raises(ValueError, match="needs a truth"):
        difference_map(LabelMaps(volume, random_maps(volume).prediction))


def test_the_difference_tells_three_volumes_that_sum_to_the_union(volume: Volume) -> None:
    maps = random_maps(volume)
    fig = difference_map(maps, label=2)
    names = [t.name for t in fig.data if t.type == "scatter" and t.x is not None and t.x[0] is None]
    union = (((maps.prediction == 2) & (maps.truth >= 0)) | (maps.truth == 2)).sum() * 0.02  # type: ignore[operator]
    assert sum(float(n.split()[-2]) for n in names) == pytest.approx(union, rel=0.02)
    assert [n.split()[0] for n in names] == ["found", "false", "missed"]


def test_the_fullest_slice_is_shown_at_first(volume: Volume) -> None:
    labels = np.zeros(volume.shape, int)
    labels[2:5, 2:5, 4] = 1
    labels[2, 2, 1] = 1
    assert fullest(LabelMaps(volume, labels), "axial")[2] == 4
    assert fullest(LabelMaps(volume, np.zeros(volume.shape, int), labels), "axial")[2] == 4
    assert fullest(LabelMaps(volume, np.zeros(volume.shape, int)), "coronal") == (5, 6, 3)


def test_labels_on_another_lattice_are_refused(volume: Volume) -> None:
    with pytest.raises(ValueError, match="the truth has"):
        LabelMaps(volume, np.zeros(volume.shape, int), np.zeros((2, 2, 2), int))
