"""Which maps a network makes of which, seen while one example passes through it.

Layers report by forward hooks; what a network does between its layers (pieces, concatenations, sums) is watched as the
functions are called. No arithmetic is done: a copy without numbers (torch's ``meta`` device) is what works.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import conv, pooling, upsampling
from torch.overrides import TorchFunctionMode

from workbench.figures.architecture_parts import ArrowKind

Ints = tuple[int, ...]
DECONVOLUTIONS = (conv._ConvTransposeNd,)
CONVOLUTIONS = (conv._ConvNd,)
POOLINGS = (
    pooling._MaxPoolNd, pooling._AvgPoolNd, pooling._LPPoolNd, pooling._AdaptiveAvgPoolNd, pooling._AdaptiveMaxPoolNd,
)  # fmt: skip
UNPOOLINGS = (pooling._MaxUnpoolNd, upsampling.Upsample)
FUNCTIONS: dict[str, ArrowKind] = {
    r"conv_transpose\dd": "deconvolution", r"conv\dd": "convolution", "linear": "fully connected",
    r"(\w+_)?pool\dd(_with_indices)?": "pooling", r"max_unpool\dd|interpolate|upsample\w*": "unpooling",
}  # fmt: skip
"""Names of functions that do what layers do → the kind of layer."""
PIECES = ("getitem", "narrow", "chunk", "split", "tensor_split")
CONCATENATIONS = ("cat", "concat", "concatenate")


@dataclass(eq=False)
class Node:
    """Feature maps on their way.

    Attributes:
        kind: how they were made; empty for the input and its pieces.
        shape: without the batch, (maps, *spatial).
        parents: what they were made of, and the kernel and stride by which: one for a layer, several that are joined.
        layer: name of the module that made them.
        channels: of the input, for its pieces.
        shortcuts: (where from, kernel) of what was joined to them from further below.
        number: in the order of the work.
        depth: how many layers lie below on the longest way.
        rest_on: numbers of all maps below, and their own.
    """

    kind: ArrowKind | None
    shape: Ints
    parents: list[Node] = field(default_factory=list)
    kernel: Ints = ()
    stride: int = 1
    layer: str = ""
    channels: Ints = ()
    shortcuts: list[tuple[Node, Ints]] = field(default_factory=list)
    number: int = field(default_factory=count().__next__)
    depth: int = field(init=False)
    rest_on: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self.depth = 1 + max((n.depth for n in self.parents), default=-1)
        self.rest_on = frozenset({self.number}.union(*(n.rest_on for n in self.below)))

    @property
    def below(self) -> list[Node]:
        """What they were made of, shortcuts too."""
        return [*self.parents, *(n for n, _ in self.shortcuts)]


def trace(network: nn.Module, shape: Ints) -> Node:
    """Let one example pass through a copy of a network without numbers; give the maps that come out.

    Args:
        network: takes (B, C, *spatial); left as it is.
        shape: (C, *spatial).

    Raises:
        ValueError: the output rests on no layer.
    """
    ghost = copy.deepcopy(network).to("meta").eval()
    watch = _Watch(root := torch.empty((1, *shape), device="meta"))
    for name, module in ghost.named_modules():
        if _kind(module) is not None:

            def begin(_: nn.Module, inputs: Any) -> None:
                watch.inside += 1

            def end(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
                watch.inside -= 1
                watch.layer(name, module, inputs, output)

            module.register_forward_pre_hook(begin)
            module.register_forward_hook(end)
    with torch.no_grad(), watch:
        output = ghost(root)
    found = watch.nodes(output)
    if not found or found[0].kind is None:
        raise ValueError(f"the output of {type(network).__name__} rests on no layer that can be drawn")
    return found[0]


class _Watch(TorchFunctionMode):
    """Follows tensors from the input on, through layers and through functions between them."""

    def __init__(self, root: Tensor) -> None:
        super().__init__()
        self.kept: list[Tensor] = []  # what is kept gives its id to no other tensor
        self.of: dict[int, Node] = {}
        self.inside = 0
        self.note(root, Node(None, tuple(root.shape[1:]), channels=tuple(range(root.shape[1]))))

    def note(self, tensors: Any, node: Node) -> None:
        """Say of which maps tensors are."""
        for t in _tensors(tensors):
            self.kept.append(t)
            self.of[id(t)] = node

    def nodes(self, *given: Any) -> list[Node]:
        """Give the maps among what a function was given, each once."""
        return list(dict.fromkeys(self.of[id(t)] for t in _tensors(given) if id(t) in self.of))

    def layer(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        """Take in what a layer did."""
        kind = _kind(module)
        found = self.nodes(inputs)
        (first, *_) = _tensors(output)
        if kind is None or not found:
            return
        kernel, stride = _numbers(module, "kernel_size", first.ndim - 2), _numbers(module, "stride", first.ndim - 2)
        node = Node(kind, tuple(first.shape[1:]), found[:1], kernel, max(stride, default=1), name)
        self.note(output, node)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if self.inside or not (found := self.nodes(*args, *kwargs.values())) or not _tensors(output):
            return output
        name = getattr(func, "__name__", "").strip("_")
        (first, *_) = _tensors(output)
        made = tuple(first.shape[1:])
        kind = next((k for pattern, k in FUNCTIONS.items() if re.fullmatch(pattern, name)), None)
        if len(found) > 1:
            self.note(output, _joined(found, made, concatenated=name in CONCATENATIONS))
        elif kind is not None:
            weight = next((t for t in _tensors(args[1:]) if t.ndim > 2), None)
            kernel = tuple(weight.shape[2:]) if weight is not None else ()
            stride = max(1, round(found[0].shape[1] / made[1])) if len(made) > 1 else 1
            self.note(output, Node(kind, made, found, kernel, stride))
        elif found[0].kind is None and name in PIECES:
            self.pieces(func, args, kwargs, output, found[0])
        else:
            self.note(output, found[0])
        return output

    def pieces(self, func: Any, args: Any, kwargs: Any, output: Any, whole: Node) -> None:
        """Take in pieces of the input: some of its channels, or of its voxels."""
        numbers = torch.tensor(whole.channels).reshape(1, -1, *(1 for _ in whole.shape[1:])).expand(1, *whole.shape)
        for t, which in zip(_tensors(output), _tensors(func(numbers, *args[1:], **kwargs)), strict=True):
            seen = tuple(int(c) for c in torch.unique(which))
            same = tuple(t.shape[1:]) == whole.shape
            self.note(t, whole if same else Node(None, tuple(t.shape[1:]), channels=seen))


def _kind(module: nn.Module) -> ArrowKind | None:
    if isinstance(module, DECONVOLUTIONS):
        return "deconvolution"
    if isinstance(module, CONVOLUTIONS):
        return "convolution"
    if isinstance(module, POOLINGS):
        return "pooling"
    if isinstance(module, UNPOOLINGS):
        return "unpooling"
    return "fully connected" if isinstance(module, nn.Linear) else None


def _joined(found: list[Node], shape: Ints, *, concatenated: bool) -> Node:
    """Give the maps that several are joined to.

    What another of them rests on came by a shortcut. Of maps that are summed, the deepest go on, and the layer that
    made a sum's other term is drawn as the shortcut itself.
    """
    main = max(found, key=lambda n: n.depth)
    if concatenated:
        skips = [n for n in found if any(n is not o and n.number in o.rest_on for o in found)]
        straight = [n for n in found if n not in skips]
        return Node("concatenation", shape, straight, shortcuts=[(n, ()) for n in skips])
    terms = [n for n in found if n is not main]
    added = [(n, ()) if n.number in main.rest_on or not n.parents else (n.parents[0], n.kernel) for n in terms]
    return Node(
        main.kind, shape, main.parents, main.kernel, main.stride, main.layer, main.channels, [*main.shortcuts, *added]
    )


def _numbers(module: nn.Module, name: str, n_axes: int) -> Ints:
    value = getattr(module, name, None)
    if isinstance(module, upsampling.Upsample) or value is None or n_axes < 1:
        return ()
    return tuple(int(v) for v in value) if isinstance(value, tuple) else (int(value),) * n_axes


def _tensors(given: Any) -> list[Tensor]:
    if isinstance(given, Tensor):
        return [given]
    return [t for g in given for t in _tensors(g)] if isinstance(given, (tuple, list)) else []
