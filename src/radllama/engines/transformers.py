"""The reference engine: `generate` of Hugging Face transformers, on the model as it was trained."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from radllama.engines import Completion, Sampling


class TransformersEngine:
    """Completes batches with one network; prompts are padded on the left."""

    def __init__(self, network: Any, tokenizer: Any) -> None:
        self._network = network
        self._tokenizer = tokenizer

    @property
    def context_tokens(self) -> int:
        """The positions that the network was made for; a state-space model knows no limit."""
        config = self._network.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", sys.maxsize))

    def complete(self, prompts: Sequence[list[int]], sampling: Sampling) -> list[Completion]:
        """Complete each prompt; the batch's composition is the caller's, so a repeat gives the same text."""
        import torch

        width = max(len(prompt) for prompt in prompts)
        pad, ends = self._pad_id(), self._end_ids()
        device = self._network.device
        ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
        torch.manual_seed(sampling.seed)
        with torch.inference_mode(), _no_defaults(self._network):
            output = self._network.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=self._generation_config(sampling, pad, ends),
            )
        return [self._completion(row[width:].tolist(), ends) for row in output]

    def _completion(self, ids: list[int], ends: set[int]) -> Completion:
        stop = next((i for i, token in enumerate(ids) if token in ends), None)
        text = self._tokenizer.decode(ids[:stop], skip_special_tokens=True).strip()
        return Completion(text, "length" if stop is None else "stop")

    def _generation_config(self, sampling: Sampling, pad: int, ends: set[int]) -> Any:
        from transformers import GenerationConfig

        chosen: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if sampling.temperature > 0:
            chosen = {"do_sample": True, "temperature": sampling.temperature, "top_p": 1.0, "top_k": 0}
        return GenerationConfig(
            max_new_tokens=sampling.max_new_tokens, pad_token_id=pad, eos_token_id=sorted(ends), **chosen
        )

    def _end_ids(self) -> set[int]:
        # Chat models end a turn with a token of their own, which their generation settings name.
        named = getattr(self._network, "generation_config", None)
        extra = named.eos_token_id if named is not None else None
        ids = {self._tokenizer.eos_token_id}
        return ids | (set(extra) if isinstance(extra, list) else {extra} if extra is not None else set())

    def _pad_id(self) -> int:
        # Masked out in any case; never the end token, which would hide where a draft stopped.
        tokenizer = self._tokenizer
        for candidate in (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id):
            if candidate is not None and candidate != tokenizer.eos_token_id:
                return int(candidate)
        return 0 if tokenizer.eos_token_id else 1


@contextmanager
def _no_defaults(network: Any) -> Iterator[None]:
    # What a hub model ships (temperature, repetition penalty, forced tokens) must not change a draft;
    # `generate` takes from there whatever its caller leaves open.
    from transformers import GenerationConfig

    owner = network.get_base_model() if hasattr(network, "get_base_model") else network
    shipped = owner.generation_config
    owner.generation_config = GenerationConfig()
    try:
        yield
    finally:
        owner.generation_config = shipped
