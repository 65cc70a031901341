"""The reference engine: `generate` of Hugging Face transformers, on the model as it was trained."""

import copy
import hashlib
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from radllama.engines import NEAR_TIE, TRANSFORMERS, Completion, Engine, Sampling
from radllama.engines.logprobs import Step, spell_tokens
from radllama.engines.shared import shared_tokens
from radllama.engines.streaming import stream_text
from radllama.prompt import encode_text

STREAMING = "radllama-stream"  # the name of the threads that write streams
_CALL_OPTIONS = {"logits_processor", "streamer", "stopping_criteria"}  # the rest belongs into GenerationConfig


class TransformersEngine(Engine):
    """Completes batches with one network, whose weights must not change while the engine is used.

    `encode(tokenizer, prompt)` gives a prompt's token ids; another is needed where the prompt's text holds what
    must become special tokens, as chat templates write them. `shared` is how every prompt begins: its keys and
    values are computed once.
    """

    name = TRANSFORMERS

    def __init__(
        self, network: Any, tokenizer: Any, encode: Callable[[Any, str], list[int]] = encode_text, shared: str = ""
    ) -> None:
        self._network = network
        self._encode = encode
        self._tokenizer = tokenizer
        self.ends = _end_ids(network, tokenizer)
        self._pad = _pad_id(tokenizer)
        self._shared = shared_tokens(partial(encode, tokenizer), shared)
        self._cache: Any = None

    @property
    def context_tokens(self) -> int:
        """The positions that the network was made for; a state-space model knows no limit."""
        config = self._network.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", sys.maxsize))

    def encode(self, prompt: str) -> list[int]:
        """The prompt's token ids."""
        return self._encode(self._tokenizer, prompt)

    def count_tokens(self, prompt: str) -> int:
        """How many tokens the prompt takes."""
        return len(self.encode(prompt))

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[list[Completion]]:
        """The candidates of each prompt. What rounding could have decided in a batch is completed alone."""
        encoded = [self.encode(prompt) for prompt in prompts]
        if sampling.beams > 1:  # a beam search has too many near ties to look for: one prompt at a time
            return [self._search(ids, sampling) for ids in encoded]
        rows = [_Row(ids, sample) for ids in encoded for sample in range(sampling.samples)]
        found = self._generate(rows, sampling)
        if len(rows) > 1:
            for i, one in enumerate(found):
                if one.margin is not None and one.margin < NEAR_TIE:
                    found[i] = self._generate([rows[i]], sampling)[0]
        return [found[at : at + sampling.samples] for at in range(0, len(rows), sampling.samples)]

    def stream(self, prompt: str, sampling: Sampling) -> Iterator[str]:
        """The first candidate in pieces; an iterator that is closed early stops the network."""
        tokens = self._tokens(_Row(self.encode(prompt), 0), sampling)
        try:
            yield from stream_text(tokens, self._decode)
        finally:
            tokens.close()

    def _tokens(self, row: "_Row", sampling: Sampling) -> Generator[int]:
        """Token ids as they are chosen, without the end token. `generate` runs in a thread of its own."""
        passed: queue.SimpleQueue[int | BaseException | None] = queue.SimpleQueue()
        stopped = threading.Event()

        def run() -> None:
            try:
                self._generate([row], sampling, watch=_Watch(passed, stopped))
                passed.put(None)
            except BaseException as error:  # raised again where somebody reads
                passed.put(error)

        thread = threading.Thread(target=run, name=STREAMING, daemon=True)
        thread.start()
        try:
            while (token := passed.get()) is not None:
                if isinstance(token, BaseException):
                    raise token
                if token not in self.ends:
                    yield token
        finally:
            stopped.set()
            thread.join()

    def _generate(self, rows: Sequence["_Row"], sampling: Sampling, watch: "_Watch | None" = None) -> list[Completion]:
        choice = _Choice(rows, sampling, self.ends)
        watching = {"streamer": watch, "stopping_criteria": [watch]} if watch else {}
        output = self._run([row.prompt for row in rows], sampling, logits_processor=[choice], **watching)
        return [
            self._completion(ids.tolist(), logprob, margin, None if sampling.logprobs is None else steps)
            for ids, logprob, margin, steps in zip(
                output.sequences, choice.logprobs, choice.margins, choice.steps, strict=True
            )
        ]

    def _search(self, prompt: list[int], sampling: Sampling) -> list[Completion]:
        """The candidates of a beam search, by their mean log-probability a token."""
        beams = {"num_beams": sampling.beams, "num_return_sequences": sampling.beams, "length_penalty": 1.0}
        output = self._run([prompt], sampling, output_scores=True, **beams)
        found = [self._completion(ids.tolist()) for ids in output.sequences]
        means = output.sequences_scores.tolist()
        return [replace(one, logprob=mean * one.tokens) for one, mean in zip(found, means, strict=True)]

    def _run(self, prompts: Sequence[list[int]], sampling: Sampling, **options: Any) -> Any:
        """`generate` on prompts padded on the left; `sequences` of its answer holds the new tokens alone.

        With a shared beginning, the padding stands after it: its keys and values are the same for all.
        """
        import torch
        from transformers import GenerationConfig

        begun = self._begun(len(prompts)) if sampling.beams == 1 and all(map(self._begins, prompts)) else None
        head = len(self._shared) if begun is not None else 0
        width = max(len(prompt) for prompt in prompts)
        device = self._network.device
        calls = {name: options.pop(name) for name in _CALL_OPTIONS & options.keys()}
        config = GenerationConfig(
            max_new_tokens=sampling.max_new_tokens,
            pad_token_id=self._pad,
            eos_token_id=sorted(self.ends),
            return_dict_in_generate=True,
            do_sample=False,  # chance comes in through the logits: see _Choice
            **options,
        )
        with torch.inference_mode(), _no_defaults(self._network):
            output = self._network.generate(
                input_ids=torch.tensor(
                    [ids[:head] + [self._pad] * (width - len(ids)) + ids[head:] for ids in prompts], device=device
                ),
                attention_mask=torch.tensor(
                    [[1] * head + [0] * (width - len(ids)) + [1] * (len(ids) - head) for ids in prompts], device=device
                ),
                generation_config=config,
                **({} if begun is None else {"cache": begun}),
                **calls,
            )
        output.sequences = output.sequences[:, width:]
        return output

    def _begins(self, prompt: list[int]) -> bool:
        length = len(self._shared)
        return 0 < length < len(prompt) and prompt[:length] == self._shared

    def _begun(self, rows: int) -> Any:
        """The keys and values of the shared beginning for so many rows; None for a network that keeps other things."""
        import torch
        from transformers.cache_utils import DynamicCache, DynamicLayer

        if self._cache is None:
            ids = torch.tensor([self._shared], device=self._network.device)
            with torch.inference_mode():
                self._cache = self._network(input_ids=ids, use_cache=True).get("cache")
            # Sliding windows, and states of other kinds, cannot be taken up by rows of other lengths.
            layers = self._cache.layers if isinstance(self._cache, DynamicCache) else []
            if {type(layer) for layer in layers} != {DynamicLayer}:
                self._shared = []
                return None
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(rows)
        return cache

    def _completion(
        self,
        ids: list[int],
        logprob: float | None = None,
        margin: float | None = None,
        steps: Sequence[Step] | None = None,
    ) -> Completion:
        stop = next((i for i, token in enumerate(ids) if token in self.ends), None)
        reason, tokens = ("length", len(ids)) if stop is None else ("stop", stop + 1)
        name = self._tokenizer.convert_ids_to_tokens
        spelled = None if steps is None else spell_tokens(steps[:stop], self._decode, name)
        return Completion(self._decode(ids[:stop]).strip(), reason, logprob, tokens, margin, spelled)

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))


@dataclass(frozen=True, slots=True)
class _Row:
    """One sequence to be written: a prompt's token ids, and which of its samples it is."""

    prompt: list[int]
    sample: int


class _Choice:
    """Chooses the tokens of a batch of rows, and keeps their log-probabilities and how near it was.

    Sampling is done by Gumbel's trick: the likeliest token after noise is added to the logits is a
    sample of their softmax. Each row draws its noise from a generator of its own, seeded by the seed,
    the prompt and the sample's number, so that its batch does not matter.
    """

    def __init__(self, rows: Sequence[_Row], sampling: Sampling, ends: set[int]) -> None:
        self.logprobs = [0.0] * len(rows)
        self.margins = [float("inf")] * len(rows)
        self.steps: list[list[Step]] = [[] for _ in rows]
        self._alive = list(range(len(rows)))
        self._ends = ends
        self._likeliest = sampling.logprobs
        self._temperature = sampling.temperature
        self._noise = [_generator(row, sampling.seed) for row in rows] if sampling.temperature else []

    def __call__(self, _ids: Any, logits: Any) -> Any:
        """Logits of the next token, (rows, vocabulary), with the noise that decides a sample."""
        import torch

        alive = torch.tensor(self._alive, device=logits.device)
        if self._noise:
            drawn = [torch.empty(logits.shape[1]).exponential_(generator=self._noise[i]) for i in self._alive]
            noisy = logits.index_add(0, alive, torch.stack(drawn).to(logits.device).log(), alpha=-self._temperature)
        else:
            noisy = logits
        best = noisy[alive].topk(2)
        tokens = best.indices[:, :1]
        odds = logits[alive].log_softmax(-1)
        logprobs = odds.gather(1, tokens)[:, 0].tolist()
        if self._likeliest is not None:
            others = odds.topk(min(self._likeliest, odds.shape[1]))
            chosen = zip(tokens[:, 0].tolist(), logprobs, others.indices.tolist(), others.values.tolist(), strict=True)
            for i, (token, logprob, ids, theirs) in zip(self._alive, chosen, strict=True):
                self.steps[i].append([(token, logprob), *zip(ids, theirs, strict=True)])
        margins = (best.values[:, 0] - best.values[:, 1]).tolist()
        for i, logprob, margin in zip(self._alive, logprobs, margins, strict=True):
            self.logprobs[i] += logprob
            self.margins[i] = min(self.margins[i], margin)
        ended = {i for i, (token,) in zip(self._alive, tokens.tolist(), strict=True) if token in self._ends}
        self._alive = [i for i in self._alive if i not in ended]
        return noisy


class _Watch:
    """What `generate` tells of its tokens as they come, and asks whether to stop."""

    def __init__(self, passed: "queue.SimpleQueue[int | BaseException | None]", stopped: threading.Event) -> None:
        self._passed = passed
        self._stopped = stopped
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        """The prompt, once, then each new token."""
        if self._prompt_seen:
            self._passed.put(int(value))
        self._prompt_seen = True

    def end(self) -> None:
        """The last token was put."""

    def __call__(self, ids: Any, _scores: Any, **_: Any) -> Any:
        """Whether each row is done, as `generate` asks after every token."""
        return ids.new_full((len(ids),), self._stopped.is_set()).bool()


def _generator(row: _Row, seed: int) -> Any:
    import torch

    digest = hashlib.sha256(repr((seed, row.sample, row.prompt)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def _end_ids(network: Any, tokenizer: Any) -> set[int]:
    # Chat models end a turn with a token of their own, which their generation settings name.
    named = getattr(network, "generation_config", None)
    extra = named.eos_token_id if named is not None else None
    ids = {tokenizer.eos_token_id}
    return ids | (set(extra) if isinstance(extra, list) else {extra} if extra is not None else set())


def _pad_id(tokenizer: Any) -> int:
    # Masked out in any case; never the end token, which would hide where a draft stopped.
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
