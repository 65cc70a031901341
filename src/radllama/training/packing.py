"""Packing: examples -> rows of tokens without padding between them, exact to the last digit.

All prompts of a recipe begin alike (the instruction). A row holds that shared beginning once, then
one example's remainder after another:

    tokens      S S S  a a a a  b b b  c c c c c
    segment     0 0 0  1 1 1 1  2 2 2  3 3 3 3 3
    position    0 1 2  3 4 5 6  3 4 5  3 4 5 6 7

A token sees what is before it in its own segment, and segment 0. So every example is computed as if
it stood alone, and the instruction's part is computed once a row.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from radllama.prompt import Example

if TYPE_CHECKING:
    import torch

_SHARED, _PADDING = 0, -1


@dataclass(frozen=True, slots=True)
class Row:
    """The shared beginning and the examples that stand in one row."""

    shared: list[int]
    examples: list[Example]

    def __len__(self) -> int:
        return len(self.shared) + sum(len(example) - len(self.shared) for example in self.examples)


@dataclass(frozen=True, slots=True)
class Block:
    """Rows as tensors. B rows, T tokens a row, N learned tokens.

    input_ids, position_ids: (B, T) int64. mask: (B, 1, T, T) bool, True where a query (third axis)
    sees a key. source: (N,) where in the flattened (B * T) rows each learned token is predicted from;
    a shared token may predict several. target: (N,) the learned tokens' ids. weight: (N,) float32.
    """

    input_ids: "torch.Tensor"
    position_ids: "torch.Tensor"
    mask: "torch.Tensor"
    source: "torch.Tensor"
    target: "torch.Tensor"
    weight: "torch.Tensor"

    def to(self, device: Any) -> "Block":
        """The same block on another device."""
        return Block(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))


def shared_beginning(examples: Sequence[Example]) -> list[int]:
    """The longest token sequence that every prompt begins with, short of the shortest whole prompt."""
    first = min((example.prompt_ids for example in examples), key=len)
    alike = takewhile(lambda i: all(example.prompt_ids[i] == first[i] for example in examples), range(len(first) - 1))
    return first[: len(list(alike))]


def pack(examples: Sequence[Example], row_tokens: int, together: bool = True) -> list[Row]:
    """Fill rows of about `row_tokens` tokens, longest examples first (first-fit decreasing).

    An example longer than `row_tokens` gets a row of its own; none is cut. With `together` false every
    example does: the way of models whose attention cannot keep neighbours apart.
    """
    shared = shared_beginning(examples) if together else []
    rows: list[Row] = []
    room: list[int] = []
    for example in sorted(examples, key=len, reverse=True):
        rest = len(example) - len(shared)
        place = next((i for i, free in enumerate(room) if together and free >= rest), None)
        if place is None:
            rows.append(Row(shared, [example]))
            room.append(row_tokens - len(example))
        else:
            rows[place].examples.append(example)
            room[place] -= rest
    return rows


def group_rows(rows: Sequence[Row], device_tokens: int) -> Iterator[list[Row]]:
    """Rows of like length in groups of at most `device_tokens` tokens, padding counted; at least one row."""
    group: list[Row] = []
    for row in sorted(rows, key=len, reverse=True):
        if group and len(group[0]) * (len(group) + 1) > device_tokens:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def build_block(rows: Sequence[Row], prompt_weight: float = 0.0) -> Block:
    """Tensors for one forward pass over `rows`.

    The completion's tokens weigh 1 in the loss, the prompt's tokens after the shared beginning weigh
    `prompt_weight`; tokens of weight 0 are left out of `source` and `target`, so no logits are computed.
    """
    import torch

    width = max(len(row) for row in rows)
    input_ids = torch.zeros(len(rows), width, dtype=torch.long)
    positions = torch.zeros_like(input_ids)
    segments = torch.full_like(input_ids, _PADDING)
    source: list[int] = []
    target: list[int] = []
    weight: list[float] = []
    for r, row in enumerate(rows):
        start = len(row.shared)
        input_ids[r, :start] = torch.tensor(row.shared, dtype=torch.long)
        positions[r, :start] = torch.arange(start)
        segments[r, :start] = _SHARED
        at = start
        for segment, example in enumerate(row.examples, start=1):
            ids = (example.prompt_ids + example.completion_ids)[start:]
            n_prompt = len(example.prompt_ids) - start
            end = at + len(ids)
            input_ids[r, at:end] = torch.tensor(ids, dtype=torch.long)
            positions[r, at:end] = torch.arange(start, start + len(ids))
            segments[r, at:end] = segment
            for i, token in enumerate(ids):
                token_weight = 1.0 if i >= n_prompt else prompt_weight
                before = at + i - 1 if i else start - 1  # the first follows the shared beginning
                if token_weight and before >= 0:
                    source.append(r * width + before)
                    target.append(token)
                    weight.append(token_weight)
            at = end
    return Block(
        input_ids=input_ids,
        position_ids=positions,
        mask=_visible(segments)[:, None],
        source=torch.tensor(source, dtype=torch.long),
        target=torch.tensor(target, dtype=torch.long),
        weight=torch.tensor(weight, dtype=torch.float32),
    )


def _visible(segments: "torch.Tensor") -> "torch.Tensor":
    """(B, T) segments -> (B, T, T) bool; padding sees itself, so that no softmax runs over nothing."""
    import torch

    causal = torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool).tril()
    query, key = segments[:, :, None], segments[:, None, :]
    return causal & ((query == key) | ((key == _SHARED) & (query != _PADDING)))


def block_loss(model: Any, block: Block, together: bool = True, smoothing: float = 0.0) -> "torch.Tensor":
    """The weighted sum of the cross-entropies of a block's learned tokens, a float32 scalar.

    The vocabulary projection runs on the learned tokens alone: a hook hands the output layer those
    rows of the hidden states, so that whatever a model does after it (scaling, soft-capping) still holds.
    Without `together` no mask is passed: each row is one example padded on the right, which causality covers.
    """
    import torch

    def pick(_module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0].flatten(0, 1)[block.source], *args[1:])

    mask = block.mask
    if model.config._attn_implementation == "eager":  # adds its mask, where the others take True and False
        mask = torch.zeros_like(mask, dtype=model.dtype).masked_fill(~mask, torch.finfo(model.dtype).min)
    handle = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        logits = model(
            input_ids=block.input_ids,
            position_ids=block.position_ids if together else None,
            attention_mask=mask if together else None,
            use_cache=False,
        ).logits
    finally:
        handle.remove()
    losses = torch.nn.functional.cross_entropy(
        logits.float(), block.target, reduction="none", label_smoothing=smoothing
    )
    return (losses * block.weight).sum()


def keeps_apart(model: Any, examples: Sequence[Example], device: Any) -> bool:
    """Whether this model computes neighbours in a row as if each stood alone (tried on real examples).

    Attention that takes a mask does; a state-space or convolution layer, or one that ignores or refuses
    the mask, does not. The tolerance leaves room for bfloat16; a leak is larger by far.
    """
    import torch

    def loss(together: bool) -> float:
        rows = pack(examples, sum(len(example) for example in examples), together)
        return sum(block_loss(model, build_block([row]).to(device), together).item() for row in rows)

    training = model.training
    model.eval()
    with torch.no_grad():
        alone = loss(together=False)
        try:
            packed = loss(together=True)
        except RuntimeError:
            packed = math.inf
    model.train(training)
    return abs(packed - alone) <= 0.01 * abs(alone)
