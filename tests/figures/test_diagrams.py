from __future__ import annotations

import numpy as np
import pytest

from workbench.figures.diagrams import EncoderDecoder, encoder_decoder, stack_diagram


def _text(fig: object) -> str:
    return " ".join(a.text for a in fig.layout.annotations)  # type: ignore[attr-defined]


def test_stack_names_every_layer_with_its_size_and_weights() -> None:
    text = _text(stack_diagram([1331, 512, 128]))
    for part in (
        "<i>v</i>",
        "h<sup>(1)</sup>",
        "h<sup>(2)</sup>",
        "W<sup>(1)</sup>",
        "W<sup>(2)</sup>",
        "1,331 units",
        "512 units",
        "128 units",
    ):
        assert part in text


def test_stronger_weights_give_stronger_links() -> None:
    weights = np.full((4, 4), 0.01)
    weights[0, 0] = 1.0
    links = [t for t in stack_diagram([4, 4], [weights]).data if t.name == "links"]
    assert [len(t.x) // 3 for t in links] == [15, 0, 0, 1]


def test_a_small_layer_shows_every_unit_and_no_dots() -> None:
    fig = stack_diagram([4, 3])
    assert [len(t.x) for t in fig.data if t.name == "units"] == [4, 3]
    assert "···" not in _text(fig)


def test_a_stack_needs_a_layer() -> None:
    with pytest.raises(ValueError, match="at least one layer"):
        stack_diagram([10])


@pytest.mark.parametrize("spatial", [(5, 5, 5), (6, 6)])
@pytest.mark.parametrize("n_layers", [1, 3])
def test_encoder_decoder_mirrors_its_layers(spatial: tuple[int, ...], n_layers: int) -> None:
    rng = np.random.default_rng(0)
    sizes = [int(np.prod(spatial)), 40, 20, 10][: n_layers + 1]
    patches = rng.random((6, 1, *spatial))
    parts = EncoderDecoder(
        sizes, patches, [rng.random(n) for n in sizes[1:]], patches[0], rng.normal(size=(8, 1, *spatial))
    )
    fig = encoder_decoder(parts)
    columns = [t for t in fig.data if t.name == "units"]
    assert len(columns) == 2 * n_layers - 1
    assert columns[0].marker.line.color == columns[-1].marker.line.color
    for part in ("Training", "Examples of the", "Encoder", "Decoder", "Represen"):
        assert part in _text(fig)
