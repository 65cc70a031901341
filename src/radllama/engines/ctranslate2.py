"""The fast engine for CPUs: CTranslate2 on a converted model, without torch or transformers."""

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from radllama.engines import CTRANSLATE2, NEAR_TIE, Completion, Engine, Sampling
from radllama.engines.logprobs import Step, spell_tokens
from radllama.engines.manifest import read_manifest
from radllama.engines.shared import shared_tokens
from radllama.engines.streaming import stream_text

_MOST_ROWS = 32  # sequences that one thread writes at a time
_SMALL_BYTES = 200_000_000  # below it, a batch a thread is faster than all threads on one batch
_seed_lock = threading.Lock()  # CTranslate2 has one seed for the whole process


class CTranslate2Engine(Engine):
    """Completes prompts with a model that `convert` has made and checked.

    Only prompts of equal length are written together: then nothing is padded, and with 8-bit weights,
    whose products are sums of integers, a draft is the same to the bit in any batch.
    """

    def __init__(self, folder: Path, shared: str = "", cores: int | None = None) -> None:
        """Open the converted model in `folder`. `shared`: how every prompt begins, to be computed once."""
        import ctranslate2
        from tokenizers import Tokenizer

        self._manifest = read_manifest(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True  # a "</s>" inside the findings is text like any other
        cores = cores or _count_cores()
        small = (folder / "model.bin").stat().st_size < _SMALL_BYTES
        self._path = str(folder)
        self._options = {"compute_type": self._manifest.precision, "intra_threads": 1 if small else cores}
        self._generator = ctranslate2.Generator(self._path, inter_threads=cores if small else 1, **self._options)
        self._shared = shared_tokens(self.encode, shared)

    @property
    def name(self) -> str:
        """The name it is chosen by, which tells its precision."""
        return next(name for name, precision in CTRANSLATE2.items() if precision == self._manifest.precision)

    @property
    def context_tokens(self) -> int:
        """The positions that the network was made for."""
        return self._manifest.context_tokens

    def encode(self, text: str) -> list[str]:
        """The prompt's tokens, as they are written."""
        tokens: list[str] = self._tokenizer.encode(text).tokens
        return tokens[:-1] if tokens and tokens[-1] in self._manifest.ends else tokens

    def count_tokens(self, prompt: str) -> int:
        """How many tokens the prompt takes."""
        return len(self.encode(prompt))

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[list[Completion]]:
        """The candidates of each prompt; see docs/engines.md for what sampling costs here."""
        encoded = [self.encode(prompt) for prompt in prompts]
        if sampling.temperature:
            return [self._sample(tokens, sampling) for tokens in encoded]
        if sampling.beams > 1:
            return self._search(encoded, sampling)
        found = self._follow(encoded, sampling)
        for i, one in enumerate(found):
            if len(encoded) > 1 and one.margin is not None and one.margin < NEAR_TIE:
                (found[i],) = self._follow([encoded[i]], sampling)
        return [[one] for one in found]

    def stream(self, prompt: str, sampling: Sampling) -> Iterator[str]:
        """The likeliest words in pieces, or a sample in one; closing the iterator early stops the writing."""
        tokens = self.encode(prompt)
        if sampling.temperature:
            yield from filter(None, [self._sample(tokens, sampling)[0].text])
            return
        (rest,), options = self._split([tokens])
        steps = self._generator.generate_tokens(
            rest, max_length=sampling.max_new_tokens, end_token=self._manifest.ends, **options
        )
        try:
            ids = (step.token_id for step in steps if step.token not in self._manifest.ends)
            yield from stream_text(ids, self._decode)
        finally:
            steps.close()

    def _follow(self, encoded: Sequence[list[str]], sampling: Sampling) -> list[Completion]:
        """The likeliest token, one after another."""
        # int8 needs no margin: equal lengths are exact there.
        options = {"return_logits_vocab": self._manifest.precision != "int8" or sampling.logprobs is not None}
        pending: dict[int, Any] = {}
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        for _, alike in groupby(order, key=lambda i: len(encoded[i])):
            indices = list(alike)
            for rows in (indices[at : at + _MOST_ROWS] for at in range(0, len(indices), _MOST_ROWS)):
                results = self._submit(self._generator, [encoded[i] for i in rows], sampling, **options)
                pending.update(zip(rows, results, strict=True))
        return [self._completions(pending[i].result(), sampling.logprobs)[0] for i in range(len(encoded))]

    def _search(self, encoded: Sequence[list[str]], sampling: Sampling) -> list[list[Completion]]:
        """The candidates of a beam search: each prompt alone, as a search has too many near ties to look for."""
        options = {"beam_size": sampling.beams, "num_hypotheses": sampling.beams}
        pending = [self._submit(self._generator, [tokens], sampling, **options)[0] for tokens in encoded]
        return [self._completions(one.result()) for one in pending]

    def _sample(self, tokens: list[str], sampling: Sampling) -> list[Completion]:
        """Draw under a seed of the prompt's own. The weights are opened anew: a seed reaches new threads alone."""
        import ctranslate2

        digest = hashlib.sha256(repr((sampling.seed, tokens)).encode()).digest()
        drawing = {
            "num_hypotheses": sampling.samples,
            "sampling_topk": 0,  # of the whole vocabulary
            "sampling_temperature": sampling.temperature,
            "return_logits_vocab": sampling.logprobs is not None,  # those of the model, before the temperature
        }
        with _seed_lock:
            ctranslate2.set_random_seed(int.from_bytes(digest[:4], "big"))
            generator = ctranslate2.Generator(self._path, **self._options)
            (pending,) = self._submit(generator, [tokens], sampling, **drawing)
            drawn = pending.result()
        drafts = self._completions(drawn, sampling.logprobs)
        if sampling.temperature == 1:  # the draw's own scores are those of the model
            return drafts
        scored = self._generator.score_batch([[*tokens, *sequence] for sequence in drawn.sequences])
        return [
            replace(one, logprob=sum(score.log_probs[len(tokens) - 1 :]))
            for one, score in zip(drafts, scored, strict=True)
        ]

    def _submit(self, generator: Any, rows: Sequence[list[str]], sampling: Sampling, **options: Any) -> list[Any]:
        """Give one batch to the next free thread; returns results to come."""
        starts, shared = self._split(rows)
        return list(
            generator.generate_batch(
                starts,
                asynchronous=True,
                include_prompt_in_result=False,
                max_length=sampling.max_new_tokens,
                end_token=self._manifest.ends,
                return_end_token=True,
                return_scores=True,
                **shared,
                **options,
            )
        )

    def _completions(self, result: Any, logprobs: int | None = None) -> list[Completion]:
        """The completions of one prompt, from sequences of token strings that may close with an end token."""
        completions = []
        for i, tokens in enumerate(result.sequences):
            stopped = bool(tokens) and tokens[-1] in self._manifest.ends
            ids = result.sequences_ids[i][: -1 if stopped else None]
            logits = result.logits[i][: len(tokens)] if result.logits else []
            steps = [] if logprobs is None else [_step(*one, logprobs) for one in zip(logits, ids, strict=False)]
            completions.append(
                Completion(
                    text=self._decode(ids).strip(),
                    finish_reason="stop" if stopped else "length",
                    logprob=result.scores[i] * len(tokens),  # they are means
                    tokens=len(tokens),
                    margin=min(map(_margin, logits), default=None),
                    spelled=None
                    if logprobs is None
                    else spell_tokens(steps, self._decode, self._tokenizer.id_to_token),
                )
            )
        return completions

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def _split(self, rows: Sequence[list[str]]) -> tuple[list[list[str]], dict[str, Any]]:
        """The rows without the shared beginning, and the options that name it; or the rows as they are."""
        length = len(self._shared)
        if not length or any(len(row) <= length or row[:length] != self._shared for row in rows):
            return list(rows), {}
        return [row[length:] for row in rows], {"static_prompt": self._shared}


def _margin(logits: Any) -> float:
    """The distance between the two largest of one step's logits."""
    import numpy as np

    values = np.asarray(logits).ravel()
    second, first = np.partition(values, len(values) - 2)[-2:]
    return float(first - second)


def _step(logits: Any, token: int, likeliest: int) -> Step:
    """The log-probability of the chosen token, and the likeliest tokens with theirs."""
    import numpy as np

    values = np.asarray(logits, dtype=np.float64).ravel()
    values -= values.max()
    values -= np.log(np.exp(values).sum())
    best = np.argsort(-values, kind="stable")[:likeliest]
    return [(one, float(values[one])) for one in (token, *best.tolist())]


def _count_cores() -> int:
    named = os.environ.get("OMP_NUM_THREADS", "")
    if named.isdigit() and int(named):
        return int(named)
    affinity = getattr(os, "sched_getaffinity", None)  # Linux: what a container may use
    return len(affinity(0)) if affinity else os.cpu_count() or 1
