"""The deep belief network: propagation, samples, labels, convolutions, and its shapes."""

from __future__ import annotations

import pytest
import torch
from belief_nets import draw, exact_bound, random_rbm, small, states

from workbench.errors import SettingsError
from workbench.inference.dense import encode_voxels
from workbench.models.belief_likelihood import log_z_by_enumeration
from workbench.models.class_rbm import ClassRBM
from workbench.models.dbn import DBN, Below
from workbench.models.layers import run_stages, step_generator
from workbench.models.rbm import RBM


def test_propagation_by_means_and_by_samples() -> None:
    net, x = small((8, 6, 5, 4)), states(8)
    mean = Below(net, 2)(x)
    assert torch.equal(mean, net.encode(x, 2)) and torch.equal(mean, Below(net, 2)(x, draw(3)))
    sample = Below(net, 2, "sample")
    first, second = sample(x, step_generator(0, 2, 0)), sample(x, step_generator(0, 2, 1))
    assert set(first.unique().tolist()) == {0.0, 1.0} and not torch.equal(first, second)
    assert torch.equal(first, sample(x, step_generator(0, 2, 0)))
    many = torch.stack([Below(net, 1, "sample")(x, draw(s)) for s in range(400)])
    p = net.encode(x, 1)
    assert ((many.mean(0) - p).abs() < 5 * (p * (1 - p) / 400).sqrt() + 1e-9).all()
    assert torch.equal(Below(net, 0, "sample")(x, draw()), x)


def test_base_rates_of_a_layer_are_those_of_what_it_sees() -> None:
    net, x = small(), states(8)
    net.set_base_rates(1, x)
    mean = net.encode(x, 1).mean(0)
    assert torch.allclose(net.top.visible_bias.sigmoid(), mean, atol=1e-6)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_ancestral_samples_have_the_enumerated_marginals(n_layers: int) -> None:
    sizes, n = (6, 5, 4, 3)[: n_layers + 1], 8000
    net, v = small(sizes), states(6)
    p = net.exact_log_likelihood(v).exp() @ v
    for drawn in (False, True):
        found = net.sample(n, 30, draw(1), drawn=drawn)
        assert found.shape == (n, 6)
        assert set(found.unique().tolist()) == {0.0, 1.0} if drawn else found.unique().numel() > 2
        assert ((found.mean(0) - p).abs() < 3 * found.std(0) / n**0.5 + 1e-9).all()


def test_samples_of_gaussian_units_spread_by_sigma_when_they_are_drawn() -> None:
    net = small((3, 2, 2), visible="gaussian", sigma=2.0)
    means, drawn = (net.sample(6000, 20, draw(2), drawn=d) for d in (False, True))
    assert torch.allclose(drawn.var(0) - means.var(0), torch.full((3,), 4.0, dtype=torch.float64), atol=0.5)


def class_net(seed: int = 0) -> DBN:
    top = ClassRBM(5, 4, 3, seed=seed, init_scale=1.0).double()
    with torch.no_grad():
        top.label_bias += torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64)
    return DBN([random_rbm(6, 5), top], (6,))


def test_samples_of_a_class_have_its_marginals() -> None:
    net, n = class_net(), 6000
    h1, top = states(5), net.top
    assert isinstance(top, ClassRBM) and net.n_classes == 3
    for c in range(3):
        target = torch.full((len(h1),), c)
        p_h1 = torch.softmax(-top.free_energy(top.joint(h1, target)), 0)
        expected = p_h1 @ net.layer(0).visible_mean(h1)
        found = net.sample(n, 30, draw(c), torch.full((n,), c))
        assert ((found.mean(0) - expected).abs() < 4 * found.std(0) / n**0.5).all()


def test_labels_belong_to_the_top() -> None:
    net, v = class_net(), states(6)
    assert torch.isclose(net.exact_log_likelihood(v).exp().sum(), v.new_ones(()), atol=1e-10)
    p = net.class_probabilities(v)
    assert p.shape == (64, 3) and torch.allclose(p.sum(1), v.new_ones(64))
    assert torch.allclose(net.encode(v), net.top.hidden_mean(net.encode(v, 1)))
    log_z = log_z_by_enumeration(net.top)
    assert (exact_bound(net, v) <= net.exact_log_likelihood(v) + 1e-10).all() and torch.isfinite(log_z)
    with pytest.raises(ValueError, match="depend on the class too"):
        net.as_convolutions()
    assert len(net.as_convolutions(1)) == 1
    with pytest.raises(ValueError, match="no label group"):
        small().sample(2, 5, draw(), torch.zeros(2, dtype=torch.long))


def image_net(shape: tuple[int, ...], normalization: str = "none", centered: bool = True) -> DBN:
    n = int(torch.Size(shape).numel())
    first = random_rbm(n, 7, 0, visible="gaussian", sigma=1.5, centered=centered)
    return DBN([first, random_rbm(7, 5, 1, centered=centered)], shape, normalization=normalization)  # type: ignore[arg-type]


SHAPES = [(12,), (1, 4, 4), (2, 3, 3, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: tuple[int, ...]) -> None:
    net = image_net(shape)
    x = torch.randn(4, *shape, generator=draw(), dtype=torch.float64)
    assert (net.n_layers, net.code_size, net.visible, net.receptive_field()) == (2, 5, "linear", shape[1:])
    for depth, width in enumerate((x[0].numel(), 7, 5)):
        assert net.encode(x, depth).shape == (4, width)
        assert net.decode(net.encode(x, depth), depth).shape == x.shape
        assert net.back_projection(depth).shape == (width, *shape)
    assert net(x).shape == x.shape and net.sample(3, 2, draw()).shape == (3, *shape)
    assert net.sample(4, 2, draw(), start=x).shape == x.shape


@pytest.mark.parametrize("normalization", ["none", "center", "standardize"])
@pytest.mark.parametrize("shape", SHAPES)
def test_convolutions_give_the_code(shape: tuple[int, ...], normalization: str) -> None:
    net = image_net(shape, normalization)
    x = torch.randn(4, *shape, generator=draw(), dtype=torch.float64)
    for depth in (1, 2):
        stages = net.as_convolutions(depth)
        assert not any(s.weight.requires_grad or s.bias.requires_grad for s in stages)
        assert torch.allclose(run_stages(stages, x).flatten(1), net.encode(x, depth), atol=1e-10)


def test_dense_encoding_of_a_volume_is_encoding_patch_by_patch() -> None:
    net = image_net((1, 3, 3, 3), "center").float()
    volume = torch.randn(1, 7, 6, 8, generator=draw()).numpy()
    voxels = torch.tensor([[1, 1, 1], [3, 2, 4], [5, 4, 6]]).numpy()
    codes = encode_voxels(net.as_convolutions(), volume, (3, 3, 3), voxels)
    patches = [volume[:, x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] for x, y, z in voxels]
    one_by_one = net.encode(torch.stack([torch.from_numpy(p) for p in patches]))
    assert torch.allclose(torch.from_numpy(codes), one_by_one, atol=1e-5)


def test_back_projection_is_the_product_of_the_weights() -> None:
    net = image_net((1, 4, 4))
    product = net.layer(1).weight @ net.layer(0).weight
    assert torch.allclose(net.back_projection(2).flatten(1), product)
    assert torch.equal(net.back_projection(1).flatten(1), net.layer(0).weight)


def test_refusals_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="at least one RBM"):
        DBN([], (3,))
    with pytest.raises(ValueError, match="layer 0 has 4 hidden units but the layer above it 5 visible"):
        DBN([RBM(6, 4), RBM(5, 3)], (6,))
    with pytest.raises(ValueError, match=r"shape \(2, 4\) do not lie out as 6"):
        DBN([RBM(6, 4)], (2, 4))
    with pytest.raises(ValueError, match=r"need inputs in \[0, 1\], which center patches are not"):
        DBN([RBM(6, 4)], (6,), normalization="center")
    with pytest.raises(ValueError, match=r"shape \(8,\) were expected; got \(7,\)"):
        small().encode(torch.zeros(2, 7))
    with pytest.raises(ValueError, match="depth 3 is not one of 0 to 2"):
        small().encode(torch.zeros(2, 8), 3)
    with pytest.raises(SettingsError, match="at most 16 units of a level, but one has 20"):
        small((8, 20, 4)).exact_log_likelihood(states(8))
    noisy = DBN([RBM(8, 6, hidden="noisy_relu"), RBM(6, 4, visible="gaussian")], (8,))
    with pytest.raises(SettingsError, match="level 1 is recognized as noisy_relu and generated as gaussian"):
        noisy.bound(states(8).float(), 0.0, draw(), 1)
    with pytest.raises(ValueError, match="none of our activations"):
        noisy.as_convolutions(1)
    with pytest.raises(ValueError, match="needs a generator"):
        Below(small(), 1, "sample")(states(8))
    with pytest.raises(ValueError, match="n_samples is at least 1"):
        small().bound(states(8), 0.0, draw(), 0)
