"""A Llama from nothing: its tokenizer, its random weights, and the dropout that a small one needs."""

from collections.abc import Iterable
from typing import Any

from radllama.recipe import Scratch

BEGIN, END, PAD = "<s>", "</s>", "<pad>"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """A byte-level BPE tokenizer (no text is out of its reach) learned from `texts`.

    Digits stand alone, so that no measurement hides inside a token. The end token differs from the
    padding token: a model whose end is padding is never taught to stop.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, pad_token=PAD, padding_side="left"
    )


def init_llama(shape: Scratch, tokenizer: Any, seed: int) -> Any:
    """A `LlamaForCausalLM` of the given shape with random weights, input and output embeddings shared."""
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(seed)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return LlamaForCausalLM(make_config(shape, len(tokenizer), **ids))


def make_config(shape: Scratch, vocab_size: int, **token_ids: int) -> Any:
    """The `LlamaConfig` of a shape, input and output embeddings shared."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.context_tokens,
        tie_word_embeddings=True,
        **token_ids,
    )


def add_dropout(model: Any, share: float) -> None:
    """Dropout on the embeddings and on what every attention and feed-forward block adds, while training.

    Llama has none; a few million parameters on a few thousand reports overfit without it.
    """
    import torch

    def drop(module: Any, _args: Any, output: Any) -> Any:
        if not module.training:
            return output
        if isinstance(output, tuple):
            return (torch.nn.functional.dropout(output[0], share), *output[1:])
        return torch.nn.functional.dropout(output, share)

    model.get_input_embeddings().register_forward_hook(drop)
    for layer in model.model.layers:
        layer.self_attn.register_forward_hook(drop)
        layer.mlp.register_forward_hook(drop)
