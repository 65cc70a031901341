"""A block's attention on a CPU: plain matrix products, laid out so that they run at full speed, and their gradient.

There they run at several times the speed of torch's fused kernel, whose backward pass computes the scores
anew. Autograd could derive the gradient, at half the speed: it hands the products strided gradients, with which
they are slow, and copies the shared keys and values more often than is needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from radllama.training.packing import Layout

if TYPE_CHECKING:
    import torch

# Few different shapes: the first product of a shape takes half a millisecond more, in which its code is generated. A
# softmax over a row of another length than a multiple of 32 takes up to twice as long.
_WIDTHS, _KEYS = 16, 32


def attend_by_products(
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    layout: Layout,
    scale: float,
    window: int | None,
) -> "torch.Tensor":
    """query: (1, H, N, D), key and value: (1, H or fewer, N, D) -> (1, N, H, D).

    Tokens after those that the layout speaks of become zero.
    """
    attended: torch.Tensor = _function().apply(query, key, value, layout, scale, window)
    return attended


@lru_cache(maxsize=64)  # of all layers of a pass, and of passes of like lengths
def hidden(width: int, before: int, keys: int, window: int | None, dtype: Any, device: Any) -> "torch.Tensor":
    """(width, keys): 0 where a query sees a key, minus infinity where not. `before`: keys before the first query."""
    import torch

    sees = torch.ones(width, keys, dtype=torch.bool, device=device).tril(before)
    if window:
        sees = sees.triu(before - window + 1)
    return torch.zeros(width, keys, dtype=dtype, device=device).masked_fill(~sees, float("-inf"))


def forget_masks() -> None:
    """Drop the masks that are kept from one pass to the next."""
    hidden.cache_clear()


@cache
def _function() -> Any:
    """The autograd function. G: heads of keys; R: heads of queries for each; W, K: width and keys, rounded up."""
    import torch

    class LayoutAttention(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any,
            query: torch.Tensor,
            key: torch.Tensor,
            value: torch.Tensor,
            layout: Layout,
            scale: float,
            window: int | None,
        ) -> torch.Tensor:
            ctx.parts, ctx.heads, ctx.scale = list(_parts(layout)), key.shape[1], scale
            q, k, v = (_by_token(x, ctx.heads) for x in (query, key, value))
            attended = q.new_zeros(q.shape)
            saved = []
            for part in ctx.parts:
                queries = part.take(q, scale)
                keys, values = (part.take_after_beginning(x) for x in (k, v))
                mask = hidden(part.rounded, part.before, keys.shape[1], window, q.dtype, q.device)
                scores = torch.baddbmm(mask.repeat(q.shape[2], 1), queries, keys.transpose(1, 2))
                shares = torch.softmax(scores, -1)
                part.put(torch.bmm(shares, values), attended)
                saved += [queries, keys, values, shares]
            ctx.save_for_backward(*saved)
            return attended.flatten(1, 2)[None]

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
            [[gradient]] = gradients
            saved = ctx.saved_tensors  # once: activation checkpointing computes them anew
            d_attended = torch.unflatten(gradient, 1, (ctx.heads, -1))
            d_query = d_attended.new_zeros(d_attended.shape)
            d_key, d_value = (d_query.new_zeros(len(d_query), ctx.heads, 1, d_query.shape[-1]) for _ in range(2))
            for number, part in enumerate(ctx.parts):
                queries, keys, values, shares = saved[4 * number : 4 * number + 4]
                d_found = part.take(d_attended)
                d_shares = torch.bmm(d_found, values.transpose(1, 2))
                d_scores = torch._softmax_backward_data(d_shares, shares, -1, shares.dtype)
                part.put(torch.bmm(d_scores, keys), d_query, ctx.scale)
                part.give_back(torch.bmm(shares.transpose(1, 2), d_found), d_value)
                if ctx.needs_input_grad[1]:
                    part.give_back(torch.bmm(d_scores.transpose(1, 2), queries), d_key)
            return *(x.flatten(1, 2).transpose(0, 1)[None] for x in (d_query, d_key, d_value)), None, None, None

    return LayoutAttention


@dataclass(frozen=True, slots=True)
class _Part:
    """The beginning, or a group: the tokens from `at` on of `count` examples of `width`, each after `before` shared."""

    at: int
    count: int
    width: int
    before: int

    @property
    def rounded(self) -> int:
        return _round_up(self.width, _WIDTHS)

    def take(self, x: "torch.Tensor", scale: float = 1.0) -> "torch.Tensor":
        """(N, G, R, D) -> (count * G, R * W, D), by a scale."""
        own = self._see(x)
        taken = own.new_empty(*own.shape[:3], self.rounded, own.shape[4])
        _write(own, scale, taken[..., : self.width, :])
        taken[..., self.width :, :] = 0
        return taken.flatten(0, 1).flatten(1, 2)

    def take_after_beginning(self, x: "torch.Tensor") -> "torch.Tensor":
        """(N, G, 1, D) -> (count * G, K, D): the shared beginning, an example's own tokens, and zeros."""
        end = self.before + self.width
        # As many keys as queries at least: each sees one, be it a zero.
        seen = x.new_empty(self.count, x.shape[1], _round_up(self.before + self.rounded, _KEYS), x.shape[3])
        seen[:, :, : self.before] = x[: self.before, :, 0].transpose(0, 1)
        seen[:, :, self.before : end] = self._see(x)[:, :, 0]
        seen[:, :, end:] = 0
        return seen.flatten(0, 1)

    def put(self, found: "torch.Tensor", x: "torch.Tensor", scale: float = 1.0) -> None:
        """What `take` took, by a scale, into its place."""
        own = self._see(x)
        _write(found.view(*own.shape[:3], -1, own.shape[4])[..., : self.width, :], scale, own)

    def give_back(self, met: "torch.Tensor", x: "torch.Tensor") -> None:
        """What keys or values of `take_after_beginning` have met, to where they came from."""
        import torch

        each = torch.unflatten(met, 0, (self.count, -1))
        self._see(x)[:, :, 0] = each[:, :, self.before : self.before + self.width]
        if self.before:
            x[: self.before, :, 0] += each[:, :, : self.before].sum(0).transpose(0, 1)

    def _see(self, x: "torch.Tensor") -> "torch.Tensor":
        """(N, G, R, D) -> (count, G, R, width, D), a view."""
        import torch

        own = x[self.at : self.at + self.count * self.width]
        return torch.unflatten(own, 0, (self.count, self.width)).movedim(1, 3)


def _parts(layout: Layout) -> Iterator[_Part]:
    if layout.shared:
        yield _Part(0, 1, layout.shared, 0)
    at = layout.shared
    for count, width in layout.groups:
        yield _Part(at, count, width, layout.shared)
        at += count * width


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _by_token(x: "torch.Tensor", heads: int) -> "torch.Tensor":
    """(1, G * R, N, D) -> (N, G, R, D)."""
    import torch

    return torch.unflatten(x[0].transpose(0, 1), 1, (heads, -1))


def _write(x: "torch.Tensor", scale: float, out: "torch.Tensor") -> None:
    import torch

    if scale == 1:
        out.copy_(x)
    else:
        torch.mul(x, scale, out=out)
