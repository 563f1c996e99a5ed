"""Figure 8 says what the parts say, stays inside its sheet, and refuses parts that make no network."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree

import pytest

from workbench.figures.architecture import architecture_alt, architecture_svg
from workbench.figures.architecture_parts import ArchitectureParts, Arrow, Bracket, Maps, stand
from workbench.figures.theme import PAPER

SVG = "{http://www.w3.org/2000/svg}"
CONVOLUTION, POOLING = Arrow("convolution", (3, 3)), Arrow("pooling", (2, 2), 2)
DECONVOLUTION = Arrow("deconvolution", (4, 4), 2)


def square(n_maps: int, side: int, name: str = "") -> Maps:
    return Maps(name, n_maps, (side, side))


def figure_8(n_modalities: int = 1) -> ArchitectureParts:
    """Give the network of the review's Figure 8: three groups of convolutions, two of deconvolutions."""
    encoder = tuple(square(n, s) for n, s in ((1, 64), (32, 64), (32, 64), (32, 64), (32, 32), (64, 32), (64, 32)))
    encoder += (square(64, 16), square(64, 16))
    steps = (*[CONVOLUTION] * 3, POOLING, CONVOLUTION, CONVOLUTION, POOLING, CONVOLUTION)
    decoder = (square(64, 32), square(4, 64, "CSF, GM, WM"))
    groups = (Bracket("First layer group", 1, 4), Bracket("Second layer group", 5, 7))
    if n_modalities == 1:
        return ArchitectureParts("FCN", (encoder + decoder,), steps + (DECONVOLUTION,) * 2, groups, (), 180_868)
    fused = (square(64 * n_modalities, 16), *decoder)
    joins = tuple(Arrow("concatenation", start=(r, 8), end=(n_modalities, 0)) for r in range(n_modalities))
    rows = (encoder,) * n_modalities + (fused,)
    return ArchitectureParts(
        "mFCN", rows, steps * n_modalities + (DECONVOLUTION,) * 2 + joins, groups, ("T1", "T2", "FA")
    )


def texts(drawing: str) -> list[str]:
    return [" ".join(t.itertext()) for t in ElementTree.fromstring(drawing).iter(f"{SVG}text")]


@pytest.mark.parametrize("n", [1, 3])
def test_every_kernel_and_number_of_maps_of_figure_8_is_written(n: int) -> None:
    written = Counter(texts(architecture_svg(figure_8(n))))
    assert written["3 × 3"] == 6 * n and written["2 × 2"] == 2 * n
    assert sum(count for words, count in written.items() if words.startswith("4 × 4")) == 2
    sizes = Counter(str(m.n_maps) for row in figure_8(n).rows for m in row)
    assert all(written[size] == count for size, count in sizes.items())
    assert written["First layer group"] == 1 and written["Convolution"] == 1 and "Pooling" in written
    assert "Fully connected" not in written


def test_three_modalities_stand_in_three_lines_and_meet_in_the_middle() -> None:
    stands = stand(figure_8(3))
    assert stands.lines == (0, 1, 2, 1) and stands.n_lines == 3
    assert stands.columns[(3, 0)] == 9 and all(stands.columns[(r, 8)] == 8 for r in range(3))


def test_a_map_stands_as_far_right_as_its_longest_way() -> None:
    long = (square(1, 8), square(2, 8), square(2, 8))
    short = (square(1, 8),)
    joins = (Arrow("concatenation", start=(0, 2), end=(2, 0)), Arrow("concatenation", start=(1, 0), end=(2, 0)))
    parts = ArchitectureParts("two scales", (long, short, (square(3, 8),)), (CONVOLUTION, CONVOLUTION, *joins))
    assert stand(parts).columns[(2, 0)] == 3 and stand(parts).lines[2] == 0.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("n", [1, 3])
def test_everything_lies_inside_a_sheet_of_1000_px(n: int, theme: str) -> None:
    root = ElementTree.fromstring(architecture_svg(figure_8(n), theme))  # type: ignore[arg-type]
    width, height = (float(root.attrib[k]) for k in ("width", "height"))
    assert width == 1000
    assert root.find(f"{SVG}rect").attrib["fill"] == PAPER[theme]  # type: ignore[union-attr]
    for element in root.iter(f"{SVG}polygon"):
        points = [tuple(map(float, p.split(","))) for p in element.attrib["points"].split()]
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
    for element in root.iter(f"{SVG}text"):
        size = float(element.attrib["font-size"])
        assert size >= 10
        reach = max(len(line) for line in (element.text or "", *(s.text or "" for s in element))) * size * 0.5
        x, anchor = float(element.attrib["x"]), element.attrib["text-anchor"]
        left = {"start": x, "middle": x - reach / 2, "end": x - reach}[anchor]
        assert left >= 0 and left + reach <= width + 1, element.text


def test_blocks_are_as_high_as_their_maps_are_large() -> None:
    root = ElementTree.fromstring(architecture_svg(figure_8()))
    heights = []
    for group in root.iter(f"{SVG}g"):
        front = group.find(f"{SVG}polygon")
        assert front is not None
        ys = [float(p.split(",")[1]) for p in front.attrib["points"].split()]
        heights.append(max(ys) - min(ys))
    assert heights[0] == heights[3] > heights[4] == heights[6] > heights[7] and heights[-1] == heights[0]
    assert heights[0] / heights[7] == pytest.approx(2, rel=0.02)  # the root of 64 over 16


def test_a_shortcut_is_an_arch_and_moves_no_map() -> None:
    plain = ArchitectureParts("p", ((square(1, 8), square(2, 8), square(2, 8), square(1, 8)),), (CONVOLUTION,) * 3)
    arch = Arrow("shortcut", (9, 9, 9), start=(0, 1), end=(0, 3))
    joined = ArchitectureParts("p", plain.rows, (*plain.arrows, arch))
    assert stand(plain).columns == stand(joined).columns
    assert "shortcut 9 × 9 × 9" in texts(architecture_svg(joined))


def test_the_words_for_those_who_cannot_see_it_name_rows_and_sizes() -> None:
    told = architecture_alt(figure_8(3))
    assert "T2: 1 map of 64 × 64, 32 maps of 64 × 64" in told and "18 × convolution" in told
    assert "192 maps of 16 × 16" in told and "3 × concatenation" in told
    assert "180,868 parameters" in architecture_alt(figure_8())
    drawing = ElementTree.fromstring(architecture_svg(figure_8(3)))
    assert drawing.find(f"{SVG}desc").text == told  # type: ignore[union-attr]


def test_names_of_users_cannot_break_out_of_the_drawing() -> None:
    parts = ArchitectureParts("<script>x</script>", ((square(1, 8, "a<b&c"), square(2, 8)),), (CONVOLUTION,))
    drawing = architecture_svg(parts)
    assert "<script" not in drawing and "a<b&c" in "".join(texts(drawing))


def test_a_vector_has_no_size_below_it_and_a_long_network_gets_more_room() -> None:
    row = tuple(Maps("", 8, (65, 65, 65)) for _ in range(24))
    parts = ArchitectureParts(
        "deep", ((*row, Maps("", 256)),), (Arrow("convolution", (3, 3, 3)),) * 23 + (Arrow("fully connected"),)
    )
    drawing = architecture_svg(parts)
    width = float(ElementTree.fromstring(drawing).attrib["width"])
    assert width > 1000 and (width - 44) / 25 >= 60
    assert sum("65" in t for t in texts(drawing)) == 24 and re.search(r">256<", drawing)


def test_parts_that_make_no_network_are_refused() -> None:
    row = (square(1, 8), square(2, 8))
    with pytest.raises(ValueError, match="1 arrows within"):
        ArchitectureParts("x", (row,), ())
    with pytest.raises(ValueError, match="no maps"):
        ArchitectureParts("x", (row,), (CONVOLUTION, Arrow("shortcut", start=(0, 0), end=(1, 0))))
    with pytest.raises(ValueError, match="a row"):
        ArchitectureParts("x", (), ())
    with pytest.raises(ValueError, match="circle"):
        stand(ArchitectureParts("x", (row,), (CONVOLUTION, Arrow("concatenation", start=(0, 1), end=(0, 0)))))
