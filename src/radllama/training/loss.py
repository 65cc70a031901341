"""The loss of a block, with nothing computed that no learned token needs; and how a model can be packed."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from radllama.prompt import Example
from radllama.training.attention import shared_attention
from radllama.training.packing import PACKINGS, Block, Packing, build_blocks

if TYPE_CHECKING:
    import torch

_ROW_TOKENS, _LEARNED_TOKENS = 64, 32


@contextmanager
def block_loss(
    network: Any, block: Block, smoothing: float = 0.0, precision: str = "float32"
) -> "Iterator[torch.Tensor]":
    """The weighted sum of the cross-entropies of a block's learned tokens, a float32 scalar.

        with block_loss(network, block) as loss:
            loss.backward()

    The backward pass belongs inside: activation checkpointing computes parts of the network again there,
    and they must be the same parts. `precision` is the torch dtype that products are computed in.
    """
    with _token_losses(network, block, smoothing, precision) as losses:
        yield (losses * block.weight).sum()


def choose_packing(network: Any, examples: Sequence[Example], device: Any, precision: str = "float32") -> Packing:
    """The least wasteful packing under which this model computes each example as if it stood alone.

    Tried on real examples. Attention that takes a layout does; models that know packed rows by their
    positions at least keep neighbours apart; a state-space or convolution layer does neither.
    """
    import torch

    ordered = sorted(examples, key=len, reverse=True)  # as they stand in a block

    def computes_alike(packing: Packing) -> bool:
        [block] = build_blocks(examples, sum(map(len, examples)) * len(examples), packing)
        other = _with_other_neighbours(block, ordered[-1])
        try:
            with _token_losses(network, block.to(device), 0.0, precision) as losses:
                # Room for bfloat16, in which the order of sums differs.
                alike = float((losses - alone).abs().mean()) <= 0.03 * float(alone.mean())
            with _token_losses(network, other.to(device), 0.0, precision) as changed:
                last = len(ordered[-1].completion_ids)
                leak = float((losses[-last:] - changed[-last:]).abs().max())
        except (RuntimeError, TypeError):  # how models refuse a layout or positions
            return False
        return alike and leak <= 1e-4 * float(alone.mean())

    training = network.training
    network.eval()
    with torch.no_grad():
        alone = torch.cat([_plain_losses(network, example, device, precision) for example in ordered])
        chosen = next((packing for packing in PACKINGS[:-1] if computes_alike(packing)), PACKINGS[-1])
    network.train(training)
    return chosen


def _with_other_neighbours(block: Block, last: Example) -> Block:
    """The block with all tokens changed but the shared beginning's and those of its last example."""
    shared = block.layout.shared if block.layout else 0
    ids = block.input_ids.clone()
    width = block.layout.groups[-1][1] if block.layout else len(last)
    ids[:, shared:-width] = ids[:, shared:-width].flip(1)
    return replace(block, input_ids=ids)


@contextmanager
def _token_losses(network: Any, block: Block, smoothing: float, precision: str) -> "Iterator[torch.Tensor]":
    """(N,) float32 cross-entropies of a block's learned tokens."""
    import torch

    with ExitStack() as stack:
        count, block = len(block.target), _round_up(block)
        stack.enter_context(_learned_tokens_only(network, block))
        inputs: dict[str, Any] = {"input_ids": block.input_ids, "use_cache": False}
        if block.position_ids is not None:
            inputs["position_ids"] = block.position_ids
        if block.layout:
            stack.enter_context(shared_attention(network))
            inputs["layout"] = block.layout
        with _autocast(block.input_ids.device, precision):
            logits = network(**inputs).logits
        losses = torch.nn.functional.cross_entropy(
            logits.float(), block.target, reduction="none", label_smoothing=smoothing
        )
        yield losses[:count]


def _round_up(block: Block) -> Block:
    """The block with a few tokens more that nobody sees, and that are predicted for nothing.

    On a CPU the first product of a shape takes half a millisecond more, in which its code is generated, and
    no two batches are of one length.
    """
    if block.input_ids.device.type != "cpu" or not block.layout or block.position_ids is None:
        return block
    return replace(
        block,
        input_ids=_padded(block.input_ids, _ROW_TOKENS),
        position_ids=_padded(block.position_ids, _ROW_TOKENS),
        source=_padded(block.source, _LEARNED_TOKENS),
        target=_padded(block.target, _LEARNED_TOKENS),
    )


def _padded(x: "torch.Tensor", multiple: int) -> "torch.Tensor":
    """With zeros at its end, so that its last dimension is a multiple."""
    import torch

    return torch.nn.functional.pad(x, (0, -x.shape[-1] % multiple))


def _plain_losses(network: Any, example: Example, device: Any, precision: str) -> "torch.Tensor":
    """The same for one example, with nothing saved and nothing shared."""
    import torch

    ids = torch.tensor([example.prompt_ids + example.completion_ids], device=device)
    first = len(example.prompt_ids)
    with _autocast(ids.device, precision):
        logits = network(input_ids=ids, use_cache=False).logits[0, first - 1 : -1]
    return torch.nn.functional.cross_entropy(logits.float(), ids[0, first:], reduction="none")


def _autocast(device: Any, precision: str) -> Any:
    # torch's own, not accelerate's: that one is fixed for the whole process by its first user.
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def _learned_tokens_only(network: Any, block: Block) -> Iterator[None]:
    """Hooks that keep the last layers from computing tokens from which nothing is predicted.

    The last layer's queries, what it makes of its attention, its feed-forward block and the vocabulary
    projection work token by token. The results of the last are left picked; those of the others are put back
    among zeros, which no learned token sees. Whatever a model does around them (norms, scaling, soft-capping)
    still holds.
    """
    needed = _padded(block.needed, _LEARNED_TOKENS) if block.layout else block.needed

    def pick_needed(_module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0].flatten(0, 1).index_select(0, needed)[None], *args[1:])

    def put_back(_module: Any, _args: Any, output: Any) -> Any:
        everywhere = output.new_zeros(block.input_ids.numel(), output.shape[-1])
        return everywhere.index_copy(0, block.needed, output[0, : len(block.needed)]).view(*block.input_ids.shape, -1)

    def pick_sources(_module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0].flatten(0, 1).index_select(0, block.source), *args[1:])

    handles = [network.get_output_embeddings().register_forward_pre_hook(pick_sources)]
    layers: Any = getattr(network.get_decoder(), "layers", None)
    for name in ("self_attn.q_proj", "self_attn.o_proj", "mlp") if layers else ():
        try:
            module = layers[-1].get_submodule(name)
        except AttributeError:  # a model that calls them otherwise computes all tokens
            continue
        handles.append(module.register_forward_pre_hook(pick_needed))
        handles.append(module.register_forward_hook(put_back))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
