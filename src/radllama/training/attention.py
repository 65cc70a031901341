"""Attention over a block: every example sees the shared beginning and itself, and the beginning only itself.

Registered with transformers under a name of its own and switched on for a pass at a time, so that any model
that takes an attention function from there computes with it, and drafting goes on with the model's own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from radllama.training.packing import Layout
from radllama.training.products import attend_by_products, hidden

if TYPE_CHECKING:
    import torch

_NAME = "radllama_shared"


@contextmanager
def shared_attention(network: Any) -> Iterator[None]:
    """Let the network attend by the `layout` that its forward pass is given, until the block is left."""
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend_by_layout)
    own = network.config._attn_implementation
    network.config._attn_implementation = _NAME
    try:
        yield
    finally:
        network.config._attn_implementation = own


def _attend_by_layout(
    module: Any,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: Any,
    scaling: float | None = None,
    dropout: float = 0.0,
    layout: Layout | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **more: Any,
) -> "tuple[torch.Tensor, None]":
    """Attention as transformers calls it. query: (1, H, N, D), key and value: (1, H or fewer, N, D) -> (1, N, H, D).

    Raises NotImplementedError for what it does not compute; training then packs another way.
    """
    import torch

    if layout is None or more.get("s_aux") is not None or more.get("position_bias") is not None:
        raise NotImplementedError("attention that a block's layout does not reach, or with sinks or biases")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    kind = query.device.type
    if torch.is_autocast_enabled(kind):
        query, key, value = (x.to(torch.get_autocast_dtype(kind)) for x in (query, key, value))
    with torch.autocast(kind, enabled=False):  # it would compute the softmax in float32, twice the memory
        if kind == "cpu" and not softcap and not dropout:
            return attend_by_products(query, key, value, layout, scale, sliding_window), None
        return _attend_by_groups(query, key, value, layout, scale, dropout, sliding_window, softcap), None


def _attend_by_groups(
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    layout: Layout,
    scale: float,
    dropout: float,
    window: int | None,
    softcap: float | None,
) -> "torch.Tensor":
    import torch

    if repeats := query.shape[1] // key.shape[1] - 1:
        key, value = (x.repeat_interleave(repeats + 1, dim=1) for x in (key, value))

    def attend(q: "torch.Tensor", k: "torch.Tensor", v: "torch.Tensor") -> "torch.Tensor":
        return _attend(q, k, v, scale, dropout, window, softcap)

    parts = []
    sizes = [layout.shared, *(count * width for count, width in layout.groups)]
    rest = query.shape[2] - sum(sizes)  # tokens that only make the row longer
    (q0, *qs), (k0, *ks), (v0, *vs) = (torch.split(x, [*sizes, rest], dim=2) for x in (query, key, value))
    if layout.shared:
        parts.append(attend(q0, k0, v0).transpose(1, 2))
    for (count, _), *own in zip(layout.groups, qs[:-1], ks[:-1], vs[:-1], strict=True):
        # (1, H, count * width, D) -> (count, H, width, D)
        q, k, v = (torch.unflatten(x, 2, (count, -1)).transpose(0, 2).squeeze(2) for x in own)
        if layout.shared:
            k, v = (torch.cat([first.expand(count, -1, -1, -1), rest], 2) for first, rest in ((k0, k), (v0, v)))
        parts.append(attend(q, k, v).transpose(1, 2).flatten(0, 1)[None])
    return torch.cat([*parts, qs[-1].new_zeros(1, rest, *parts[0].shape[2:])], 1)


def _attend(
    q: "torch.Tensor",
    k: "torch.Tensor",
    v: "torch.Tensor",
    scale: float,
    dropout: float,
    window: int | None,
    softcap: float | None,
) -> "torch.Tensor":
    """(n, H, T, D) queries over (n, H, K, D) keys: the first K - T of them all stand before the first query."""
    import torch

    width, keys = q.shape[-2], k.shape[-2]
    if not softcap and not (window and window < keys):
        from torch.nn.attention.bias import causal_lower_right

        # Never a matrix of scores in memory, and the flash kernels know this mask without being shown it.
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=causal_lower_right(width, keys), dropout_p=dropout, scale=scale
        )
    scores = (q * scale) @ k.transpose(-1, -2)
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores + hidden(width, keys - width, keys, window, q.dtype, q.device)
    shares = torch.softmax(scores, dim=-1)
    if dropout:
        shares = torch.nn.functional.dropout(shares, dropout)
    return shares @ v
