"""Packing: examples -> token blocks that hold the shared instruction once, exact to the last digit.

All prompts of a recipe begin alike (the instruction). A block holds that shared beginning once, then the
examples' remainders, sorted by length and cut into *groups* of nearly equal length, each a rectangle:

    shared      S S S
    group 1     a a a a a          positions  3 4 5 6 7
                b b b b .                     3 4 5 6 7
    group 2     c c . / d d d      (two examples, three tokens each)

All of it lies in one row of tokens, so that everything but attention is one matrix product without an
instruction computed twice. A token sees the shared beginning and what is before it in its own line
(`radllama.training.attention`): every example is computed as if it stood alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal

from radllama.prompt import Example

if TYPE_CHECKING:
    import torch

# How examples share a forward pass; what a model cannot express falls back to the next.
# shared: the beginning once, our attention. packed: one after another, positions restart, and the model's own
# attention keeps them apart. alone: one example a row, padded on the right.
Packing = Literal["shared", "packed", "alone"]
PACKINGS: tuple[Packing, ...] = ("shared", "packed", "alone")

# What a further group costs on top of its tokens, in tokens: a few small kernels more in every layer.
_GROUP_TOKENS = 48


@dataclass(frozen=True, slots=True)
class Layout:
    """How a row of tokens is to be read: `shared` tokens, then each group's (examples, tokens an example)."""

    shared: int
    groups: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """The tokens of one forward pass. R rows (1 unless `alone`), T tokens a row, N learned tokens.

    input_ids: (R, T) int64. position_ids: the same, None where they simply count. layout: None unless
    `shared`. source: (N,) where in the flattened rows each learned token is predicted from; a shared token
    may predict several. needed: the same places, each once. target: (N,) the learned tokens' ids.
    weight: (N,) float32.
    """

    input_ids: "torch.Tensor"
    position_ids: "torch.Tensor | None"
    layout: Layout | None
    source: "torch.Tensor"
    needed: "torch.Tensor"
    target: "torch.Tensor"
    weight: "torch.Tensor"

    def to(self, device: Any) -> "Block":
        """The same block on another device."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Block(**{n: v.to(device, non_blocking=True) if hasattr(v, "to") else v for n, v in values.items()})


def build_blocks(
    examples: Sequence[Example], device_tokens: int, packing: Packing = "shared", prompt_weight: float = 0.0
) -> list[Block]:
    """Blocks of at most `device_tokens` tokens, padding counted; an example that is longer gets its own.

    The completion's tokens weigh 1 in the loss, the prompt's tokens after the shared beginning weigh
    `prompt_weight`; tokens of weight 0 are left out of `source` and `target`, so no logits are computed.
    """
    beginning = shared_beginning(examples)
    shared = beginning if packing == "shared" else []
    ordered = sorted(examples, key=len, reverse=True)
    if packing == "shared":
        groups = _group_alike(ordered, len(shared))
    else:
        groups = [ordered] if packing == "alone" else [[example] for example in ordered]
    passes = _fill_passes(groups, len(shared), device_tokens, one_group=packing == "alone")
    return [_build_block(shared, groups, packing, prompt_weight, len(beginning)) for groups in passes]


def shared_beginning(examples: Sequence[Example]) -> list[int]:
    """The longest token sequence that every prompt begins with, short of the shortest whole prompt."""
    first = min((example.prompt_ids for example in examples), key=len)
    alike = takewhile(lambda i: all(example.prompt_ids[i] == first[i] for example in examples), range(len(first) - 1))
    return first[: len(list(alike))]


def _group_alike(ordered: Sequence[Example], shared: int) -> list[list[Example]]:
    """Cut examples, longest first, so that padding and the groups' own cost are least in sum.

    A group holds a power of two of them: products of few different shapes, which a CPU prepares once each.
    """
    lengths = [len(example) - shared for example in ordered]
    least = [0]  # of the first so many examples
    begin = [0]
    for end in range(1, len(lengths) + 1):
        starts = [end - 2**power for power in range(end.bit_length())]
        costs = [least[start] + (end - start) * lengths[start] + _GROUP_TOKENS for start in starts]
        least.append(min(costs))
        begin.append(starts[costs.index(least[-1])])
    groups: list[list[Example]] = []
    end = len(ordered)
    while end:
        groups.insert(0, list(ordered[begin[end] : end]))
        end = begin[end]
    return groups


def _fill_passes(
    groups: Sequence[list[Example]], shared: int, device_tokens: int, one_group: bool
) -> Iterator[list[list[Example]]]:
    """Groups into passes of at most `device_tokens` tokens, cut where a pass is full; at least one example."""
    current: list[list[Example]] = []
    used = shared
    for group in groups:
        left = group
        while left:
            width = len(left[0]) - shared
            room = (device_tokens - used) // width
            if current and (room < 1 or one_group):
                yield current
                current, used = [], shared
                continue
            count = max(1, min(room, len(left)))
            if not one_group:
                count = 2 ** (count.bit_length() - 1)
            taken, left = left[:count], left[count:]
            current.append(taken)
            used += len(taken) * width
    if current:
        yield current


def _build_block(
    shared: list[int], groups: list[list[Example]], packing: Packing, prompt_weight: float, beginning: int
) -> Block:
    import torch

    start = len(shared)
    sizes = tuple((len(group), len(group[0]) - start) for group in groups)
    input_ids = torch.zeros(start + sum(count * width for count, width in sizes), dtype=torch.long)
    position_ids = torch.zeros_like(input_ids)
    input_ids[:start] = torch.tensor(shared, dtype=torch.long)
    position_ids[:start] = torch.arange(start)
    source: list[int] = []
    target: list[int] = []
    weight: list[float] = []
    at = start
    for group, (_, width) in zip(groups, sizes, strict=True):
        for example in group:
            ids = (example.prompt_ids + example.completion_ids)[start:]
            input_ids[at : at + len(ids)] = torch.tensor(ids, dtype=torch.long)
            position_ids[at : at + width] = torch.arange(start, start + width)
            n_prompt = len(example.prompt_ids) - start
            first = beginning - start if prompt_weight else n_prompt  # the first learned token
            places = [at + i - 1 if i else start - 1 for i in range(first, len(ids))]
            weights = [prompt_weight] * (n_prompt - first) + [1.0] * (len(ids) - n_prompt)
            skip = 1 if places[0] < 0 else 0  # nothing stands before the very first token
            source += places[skip:]
            target += ids[first + skip :]
            weight += weights[skip:]
            at += width
    rows = len(groups[0]) if packing == "alone" else 1
    return Block(
        input_ids=input_ids.view(rows, -1),
        position_ids=None if packing == "alone" else position_ids[None],
        layout=Layout(start, sizes) if packing == "shared" else None,
        source=torch.tensor(source, dtype=torch.long),
        needed=torch.tensor(sorted(set(source)), dtype=torch.long),
        target=torch.tensor(target, dtype=torch.long),
        weight=torch.tensor(weight, dtype=torch.float32),
    )
