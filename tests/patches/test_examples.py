"""Examples in memory: every one once an epoch, the same batches again, and draws that keep the classes' shares."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch

from workbench.errors import SettingsError
from workbench.patches.augmentation import Augmentation
from workbench.patches.examples import ExampleDataModule, Examples


def numbered(n: int, shape: tuple[int, ...] = (2,), target: torch.Tensor | None = None) -> Examples:
    """Give examples whose every value is their number."""
    x = torch.arange(n, dtype=torch.float32).reshape(n, *[1] * len(shape)).expand(n, *shape).contiguous()
    return Examples(x, target, torch.arange(n) // 2, [f"s{i}" for i in range(-(-n // 2))])


def seen(data: ExampleDataModule, epoch: int) -> list[float]:
    return [float(v) for i in range(data.n_batches) for v in data.train_batch(epoch, i)["image"][:, 0]]


@pytest.mark.parametrize(("n", "batch_size"), [(12, 4), (13, 4), (3, 10), (7, 1)])
def test_every_example_is_seen_once_an_epoch(n: int, batch_size: int) -> None:
    data = ExampleDataModule(numbered(n), None, batch_size=batch_size, seed=3)
    sizes = [len(data.train_batch(0, i)["image"]) for i in range(data.n_batches)]
    assert sorted(seen(data, 0)) == list(range(n))
    assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1 and data.n_batches == -(-n // batch_size)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    one, again, other = (ExampleDataModule(numbered(50), None, batch_size=8, seed=s) for s in (1, 1, 2))
    later = seen(one, 5)
    assert seen(again, 5) == later != seen(one, 6)
    assert seen(other, 5) != later and seen(one, 5) == later


def test_image_target_and_subject_stay_together() -> None:
    data = ExampleDataModule(numbered(20, target=torch.arange(20) % 3), None, batch_size=6, seed=0)
    for i in range(data.n_batches):
        batch = data.train_batch(2, i)
        number = batch["image"][:, 0].long()
        assert torch.equal(batch["target"], number % 3) and torch.equal(batch["subject"], number // 2)


def test_validation_goes_through_the_examples_in_order() -> None:
    data = ExampleDataModule(numbered(4), numbered(7), batch_size=3, seed=0, augment=False)
    batches = list(data.val_dataloader())  # type: ignore[arg-type]
    assert [len(b["image"]) for b in batches] == [3, 3, 1]
    assert torch.cat([b["image"][:, 0] for b in batches]).tolist() == list(range(7))
    assert "target" not in batches[0]
    assert ExampleDataModule(numbered(4), None, batch_size=3, seed=0).val_dataloader() == []


@pytest.mark.parametrize("shape", [(1, 9, 9), (2, 5, 6, 7)])
def test_augmentation_keeps_shape_and_is_the_same_again(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain = Examples(torch.rand(6, *shape), None, torch.arange(6), list("abcdef"))
    make = lambda augment: ExampleDataModule(plain, plain, batch_size=6, seed=0, augment=augment)  # noqa: E731
    first, again, still = (make(a).train_batch(0, 0)["image"] for a in (True, True, Augmentation(0, 0, 0, 0, 0)))
    assert first.shape == (6, *shape) and torch.equal(first, again)
    bare = make(False).train_batch(0, 0)["image"]
    assert not torch.allclose(first, bare, atol=1e-3) and torch.allclose(still, bare, atol=1e-5)
    assert torch.equal(make(True).validation_batch(0)["image"], plain.x)


def test_vectors_cannot_be_turned() -> None:
    with pytest.raises(SettingsError, match="not vectors of features"):
        ExampleDataModule(numbered(4), None, batch_size=2, seed=0, augment=True)


@pytest.mark.parametrize(("change", "sentence"), [({"batch_size": 0}, "batch size"), ({"n": 0}, "training examples")])
def test_nothing_to_learn_from_is_said(change: dict[str, int], sentence: str) -> None:
    values = {"batch_size": 2, "n": 3} | change
    with pytest.raises(SettingsError, match=f"The (number of )?{sentence} must be at least 1; got 0"):
        ExampleDataModule(numbered(values["n"]), None, batch_size=values["batch_size"], seed=0)


def test_take_keeps_the_order_asked_for() -> None:
    taken = numbered(10, target=torch.arange(10)).take(np.array([7, 0, 7]))
    assert taken.x[:, 0].tolist() == [7, 0, 7] and taken.subject.tolist() == [3, 0, 3]
    assert taken.target is not None and taken.target.tolist() == [7, 0, 7] and len(taken.names) == 5


def test_map_replaces_x_and_nothing_else() -> None:
    examples = numbered(10, target=torch.arange(10))
    layer = torch.nn.Linear(2, 5)
    whole, parts = examples.map(layer), examples.map(layer, batch_size=3)
    assert whole.shape == (5,) and torch.allclose(whole.x, parts.x) and not whole.x.requires_grad
    assert whole.target is examples.target and whole.subject is examples.subject
    with pytest.raises(ValueError, match="10 became 9"):
        examples.map(lambda x: x[1:])


@pytest.mark.parametrize("n", [3, 10, 60, 99])
def test_a_stratified_draw_keeps_the_shares_of_the_classes(n: int) -> None:
    target = torch.tensor([0] * 60 + [1] * 30 + [2] * 9)
    drawn = numbered(99, target=target).stratified(n, np.random.default_rng(0))
    counts = torch.bincount(drawn.target, minlength=3)  # type: ignore[arg-type]
    assert counts.sum() == n and counts.min() >= 1
    assert all(abs(int(c) - n * size / 99) <= 1 for c, size in zip(counts, (60, 30, 9), strict=True))
    assert len(set(drawn.x[:, 0].tolist())) == n


def test_a_smaller_draw_is_part_of_every_larger_one_and_chance_decides_which() -> None:
    examples = numbered(40, target=torch.arange(40) % 4)
    draws = [set(examples.stratified(n, np.random.default_rng(5)).x[:, 0].tolist()) for n in range(4, 41)]
    assert all(small < large for small, large in itertools.pairwise(draws))
    assert draws[4] != set(examples.stratified(8, np.random.default_rng(6)).x[:, 0].tolist())


@pytest.mark.parametrize("unknown", [torch.tensor([-1, 0, 1, 1, -1]), torch.tensor([np.nan, 0, 1, 2, np.nan])])
def test_only_examples_whose_target_is_known_are_drawn(unknown: torch.Tensor) -> None:
    unknown = unknown.float() if unknown.is_floating_point() else unknown
    drawn = numbered(5, target=unknown).stratified(3, np.random.default_rng(0))
    assert drawn.x[:, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("n", [2, 31])
def test_too_few_or_too_many_are_refused(n: int) -> None:
    with pytest.raises(SettingsError, match=f"between 3 and 30 can be drawn; got {n}"):
        numbered(30, target=torch.arange(30) % 3).stratified(n, np.random.default_rng(0))
    with pytest.raises(SettingsError, match="From 0 labelled examples"):
        numbered(3).stratified(2, np.random.default_rng(0))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="one for each of 3"):
        Examples(torch.zeros(3, 2), None, torch.zeros(2, dtype=torch.int64), ["a"])


def test_a_batch_costs_little_more_than_its_copy() -> None:
    x = torch.rand(8000, 784)
    data = ExampleDataModule(Examples(x, None, torch.arange(8000), []), None, batch_size=100, seed=0)
    orders = torch.stack([torch.randperm(8000) for _ in range(5)])

    def timed(give: object) -> float:
        times = []
        for epoch in range(5):
            begin = time.perf_counter()
            for i in range(80):
                give(epoch, i)  # type: ignore[operator]
            times.append(time.perf_counter() - begin)
        return min(times)

    bare = timed(lambda e, i: x.index_select(0, orders[e][100 * i : 100 * i + 100]))
    ours = timed(data.train_batch)
    assert ours < 5 * bare + 0.02


def test_batches_handed_over_in_parts_hold_the_same_examples_in_the_same_order() -> None:
    examples = Examples(torch.arange(101.0)[:, None], None, torch.zeros(101, dtype=torch.int64), ["a"])
    plain = ExampleDataModule(examples, None, batch_size=10, seed=3)
    parts = ExampleDataModule(examples, None, batch_size=10, seed=3, n_parts=4)
    assert parts.n_updates == plain.n_updates == plain.n_batches == 11 and parts.n_batches == 3
    for epoch in (0, 1):
        one, other = (
            torch.cat([module.train_batch(epoch, i)["image"] for i in range(module.n_batches)])
            for module in (plain, parts)
        )
        assert torch.equal(one, other)
    with pytest.raises(SettingsError, match="at once"):
        ExampleDataModule(examples, None, batch_size=10, seed=3, n_parts=0)
