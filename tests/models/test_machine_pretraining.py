from __future__ import annotations

import pytest
import torch
from small_machines import draw, either_centering

from workbench.models.boltzmann_machine import State
from workbench.models.class_rbm import ClassRBM
from workbench.models.dbm import DBM
from workbench.models.rbm import RBM


def random_rbm(n_visible: int, n_hidden: int, up: float, down: float, centered: bool = False, seed: int = 0) -> RBM:
    rbm, g = RBM(n_visible, n_hidden, centered=centered).double(), draw(seed)
    for parameter in rbm.parameters():
        parameter.data = torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    if centered:
        rbm.visible_offset.copy_(torch.rand(n_visible, generator=g))
        rbm.hidden_offset.copy_(torch.rand(n_hidden, generator=g))
    rbm.up_factor, rbm.down_factor = up, down
    return rbm


def random_state(dbm: DBM) -> State:
    g = draw(7)
    return {layer: torch.rand(5, n, generator=g, dtype=torch.float64) for layer, n in dbm.graph.sizes.items()}


@either_centering
@pytest.mark.parametrize("middle", [1.0, 2.0])
def test_a_composed_machine_hears_the_mean_of_what_its_rbms_hear(middle: float, centered: bool) -> None:
    """Bottom and top doubled towards the inner layers; the middle plainly, or both ways: the same law."""
    dbm = DBM.chain(6, [5, 4, 3], centered=not centered).double()
    bottom, top = random_rbm(6, 5, 2, 1, centered, 1), random_rbm(4, 3, 1, 2, centered, 3)
    between = random_rbm(5, 4, middle, middle, centered, 2)
    dbm.load_pretrained({("v", "h1"): bottom, ("h1", "h2"): between, ("h2", "h3"): top})
    s = random_state(dbm)
    expected = {
        "v": bottom.visible_input(s["h1"]),
        "h1": (bottom.hidden_input(s["v"]) + between.visible_input(s["h2"])) / 2,
        "h2": (between.hidden_input(s["h1"]) + top.visible_input(s["h3"])) / 2,
        "h3": top.hidden_input(s["h2"]),
    }
    for layer, value in expected.items():
        assert torch.allclose(dbm.net_input(layer, s), value, rtol=0, atol=1e-12), layer


def test_paths_meet_in_one_rbm_on_their_tops_side_by_side_and_the_label_is_not_doubled() -> None:
    dbm = DBM.multimodal({"MRI": (5, [3]), "PET": (4, [2])}, 3, n_classes=2).double()
    mri, pet = random_rbm(5, 3, 2, 1, seed=1), random_rbm(4, 2, 2, 1, seed=2)
    top = ClassRBM(5, 3, 2).double()
    for parameter in top.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw(3), dtype=torch.float64)
    top.down_factor = 2.0
    top.label_down_factor = 1.0  # type: ignore[assignment]
    dbm.load_pretrained({("MRI", "MRI_h1"): mri, ("PET", "PET_h1"): pet, (("MRI_h1", "PET_h1"), "shared"): top})
    s = random_state(dbm)
    both = torch.cat([s["MRI_h1"], s["PET_h1"], s["label"]], 1)
    down = 2 * s["shared"] @ top.weight + top.visible_bias
    expected = {
        "MRI_h1": (mri.hidden_input(s["MRI"]) + down[:, :3]) / 2,
        "PET_h1": (pet.hidden_input(s["PET"]) + down[:, 3:]) / 2,
        "shared": both @ torch.cat([top.weight, top.label_weight], 1).T + top.hidden_bias,
        "label": s["shared"] @ top.label_weight + top.label_bias,
    }
    for layer, value in expected.items():
        assert torch.allclose(dbm.net_input(layer, s), value, rtol=0, atol=1e-12), layer


def test_rbms_without_the_doubling_are_refused() -> None:
    dbm = DBM.chain(6, [5, 4])
    with pytest.raises(ValueError, match=r"v - h1 is doubled by 1 upwards and 1 downwards, .* 2 RBMs at h1"):
        dbm.load_pretrained({("v", "h1"): RBM(6, 5), ("h1", "h2"): RBM(5, 4)})
    with pytest.raises(ValueError, match="there is none for h1 - h2"):
        dbm.load_pretrained({("v", "h1"): RBM(6, 5)})
    with pytest.raises(ValueError, match="6 visible units; this one has 7"):
        dbm.load_pretrained({("v", "h1"): RBM(7, 5)})
