"""The engine for models served elsewhere: any endpoint that speaks OpenAI's API (vLLM, Ollama, llama.cpp, OpenAI...).

The server has the tokenizer, so prompts are sent as text: a list of messages goes to /chat/completions, where the
server lays its model's chat template around them, and a text to /completions, as it is. Plain httpx rather than the
`openai` package: two requests need no client library, httpx is here already, and what is sent, kept and told about a
failure must be ours to decide, since it holds report text.
"""

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from radllama.engines import Completion, Engine, Sampling, Token
from radllama.engines.cassette import Cassette, hash_request
from radllama.engines.post import Address, Poster, TooLongError
from radllama.errors import InputError

Message = dict[str, str]  # {"role": "user" or "assistant", "content": text}
Asked = str | list[Message]

TOO_LONG = "too_long"
KEY_VARIABLE = "OPENAI_API_KEY"
_REASONS = {"stop": "stop", "length": "length", "eos_token": "stop", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A served model, and how it is asked.

    `fields` are added to every request and replace ours; one that is None is left out ({"max_tokens": None,
    "max_completion_tokens": 128}). The key is read from the environment variable `key_variable` alone, so that it
    stands in no command line, run file or log.
    """

    base_url: str
    model: str
    key_variable: str = KEY_VARIABLE
    fields: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int = 4
    timeout_s: float = 120.0
    attempts: int = 6
    pause_s: float = 1.0


class OpenAIEngine(Engine):
    """Completes prompts at an endpoint, several at a time, each answer recorded when there is a cassette.

    A prompt is a text or messages. How many tokens it takes is the server's to know: 0 is said here, and a context
    without limit, until the server refuses a prompt as too long.

    With `offline` nothing is sent: every answer comes from the cassette, and one that it lacks is an InputError.
    """

    name = "openai"

    def __init__(self, endpoint: Endpoint, cassette: Cassette | None = None, offline: bool = False) -> None:
        if offline and cassette is None:
            raise InputError("--offline answers from a recording; name it with --cassette FILE.jsonl")
        self.address = Address(endpoint.base_url)
        self._endpoint, self._cassette, self._offline = endpoint, cassette, offline
        self._poster = Poster(
            self.address,
            None if offline else _read_key(endpoint.key_variable),
            endpoint.timeout_s,
            endpoint.attempts,
            endpoint.pause_s,
        )

    @property
    def model_name(self) -> str:
        """What drafts call it: the model's name at the server, and the server."""
        return f"{self._endpoint.model}@{self.address.host}"

    @property
    def context_tokens(self) -> int:
        """No limit that is known here."""
        return sys.maxsize

    def count_tokens(self, prompt: Asked) -> int:
        """0: the tokenizer is the server's."""
        return 0

    def complete(self, prompts: Sequence[Asked], sampling: Sampling) -> list[list[Completion]]:
        """The candidates of each prompt, in order; equal requests are sent once.

        Several samples are several requests, each under a seed of its own: not every server knows `n`. finish_reason
        is "too_long" for a prompt that the server says its model's context cannot hold, and "content_filter" where
        it declined. When one request fails for good, those under way are waited for and recorded before the
        InputError is raised.
        """
        if sampling.beams > 1:
            raise InputError("an endpoint has no beams; ask for samples, with a temperature above 0")
        seeds = range(sampling.seed, sampling.seed + sampling.samples)
        requests = [self._request(prompt, sampling, seed) for prompt in prompts for seed in seeds]
        completions = self._answer(requests)
        return [completions[at : at + len(seeds)] for at in range(0, len(completions), len(seeds))]

    def stream(self, prompt: Asked, sampling: Sampling) -> Iterator[str]:
        """The text of the first candidate in pieces as the server sends them; in one piece with a cassette."""
        if self._cassette is not None:
            yield self.complete([prompt], sampling)[0][0].text
            return
        request = self._request(prompt, sampling, sampling.seed)
        held, begun = "", False  # white space: at the start it is none of the draft's, at the end it may be the last
        try:
            for event in self._poster.stream(_path(request), request | {"stream": True}):
                text = held + _parse_piece(event)
                shown = text.rstrip()
                held = text[len(shown) :]
                shown = shown if begun else shown.lstrip()
                begun = begun or bool(shown)
                if shown:
                    yield shown
        except TooLongError:
            raise InputError(f"{self.address.host}: prompt and draft exceed its model's context") from None

    def _answer(self, requests: Sequence[dict[str, Any]]) -> list[Completion]:
        """An answer to each request, from the cassette where it has it."""
        distinct = {hash_request(request): request for request in requests}
        answered: dict[str, Completion] = {}
        unknown: dict[str, dict[str, Any]] = {}
        for key, request in distinct.items():
            if self._cassette is not None and (response := self._cassette.find(request)):
                answered[key] = _parse_completion(response, self.address.host)
            else:
                unknown[key] = request
        if unknown and self._offline and self._cassette is not None:
            raise InputError(
                f"{self._cassette.path}: {len(unknown)} of {len(distinct)} requests are not in it "
                f"({self._cassette.why_missing(next(iter(unknown.values())))}); ask the server by leaving out --offline"
            )
        answered |= self._ask_all(unknown)
        return [answered[hash_request(request)] for request in requests]

    def _ask_all(self, requests: Mapping[str, dict[str, Any]]) -> dict[str, Completion]:
        pool = ThreadPoolExecutor(self._endpoint.concurrency, thread_name_prefix="endpoint")
        stopped = threading.Event()
        futures = {key: pool.submit(self._ask, request, stopped) for key, request in requests.items()}
        try:
            return {key: future.result() for key, future in futures.items()}
        except BaseException:
            stopped.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # what is under way is paid for: let it be recorded

    def _ask(self, request: dict[str, Any], stopped: threading.Event) -> Completion:
        try:
            response = self._poster.post(_path(request), request, stopped)
        except TooLongError:
            response = {"choices": [], "error": TOO_LONG}
        completion = _parse_completion(response, self.address.host)  # what is no answer is not recorded
        if self._cassette is not None:
            self._cassette.add(request, response)
        return completion

    def _request(self, prompt: Asked, sampling: Sampling, seed: int) -> dict[str, Any]:
        fields = {
            "model": self._endpoint.model,
            "prompt" if isinstance(prompt, str) else "messages": prompt,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "seed": seed,
            **_logprob_fields(prompt, sampling.logprobs),
            **self._endpoint.fields,
        }
        return {name: value for name, value in fields.items() if value is not None}


def list_models(base_url: str, key_variable: str = KEY_VARIABLE) -> list[str]:
    """The names of the models that an endpoint serves. Raises InputError when it does not say."""
    address = Address(base_url)
    answer = Poster(address, _read_key(key_variable), timeout_s=15.0, attempts=1, pause_s=0.0).get("models")
    models = answer.get("data")
    names = [one.get("id") if isinstance(one, dict) else None for one in models] if isinstance(models, list) else [None]
    if None in names:
        raise InputError(f"{address.host}: says no models; is it OpenAI-compatible? Name one with --served-model")
    return [str(name) for name in names]


def _parse_completion(response: Mapping[str, Any], host: str) -> Completion:
    """The first choice of a chat completion or a completion. Raises InputError for what is neither."""
    if response.get("error") == TOO_LONG:
        return Completion("", TOO_LONG)
    choices = response.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message", choice) if isinstance(choice, dict) else None
    if isinstance(choice, dict) and isinstance(message, dict):
        text = message.get("content", message.get("text"))
        reason = _REASONS.get(str(choice.get("finish_reason")), "other")
        if isinstance(text, str):
            return Completion(text.strip(), reason, tokens=_tokens(response), spelled=_parse_logprobs(choice))
        if text is None and "message" in choice:  # all tokens went into thinking, or the filter declined
            return Completion("", reason)
    raise InputError(f"{host}: answered with something that is no completion; is it OpenAI-compatible?")


def _parse_piece(event: Mapping[str, Any]) -> str:
    """The words in one event of a stream; the first and the last often hold none."""
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    piece = choice.get("delta", choice) if isinstance(choice, dict) else {}
    text = piece.get("content", piece.get("text")) if isinstance(piece, dict) else None
    return text if isinstance(text, str) else ""


def _logprob_fields(prompt: Asked, likeliest: int | None) -> dict[str, Any]:
    if likeliest is None:
        return {}
    return {"logprobs": likeliest} if isinstance(prompt, str) else {"logprobs": True, "top_logprobs": likeliest}


def _parse_logprobs(choice: Mapping[str, Any]) -> tuple[Token, ...] | None:
    """A choice's tokens as the server spells them; None where it does not, or not as OpenAI does."""
    told = choice.get("logprobs")
    try:
        if not told:
            return None
        if "content" in told:  # as chat completions have it
            return tuple(
                _parse_token(one, tuple(_parse_token(other) for other in one.get("top_logprobs") or ()))
                for one in told["content"]
            )
        others = told.get("top_logprobs") or [{}] * len(told["tokens"])
        return tuple(
            Token(name, name.encode(), float(odds), _rank(likeliest or {}))
            for name, odds, likeliest in zip(told["tokens"], told["token_logprobs"], others, strict=True)
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _parse_token(one: Mapping[str, Any], likeliest: tuple[Token, ...] = ()) -> Token:
    name, raw = one["token"], one.get("bytes")
    return Token(name, name.encode() if raw is None else bytes(raw), float(one["logprob"]), likeliest)


def _rank(likeliest: Mapping[str, float]) -> tuple[Token, ...]:
    ranked = sorted(likeliest.items(), key=lambda one: -one[1])
    return tuple(Token(name, name.encode(), float(odds)) for name, odds in ranked)


def _path(request: Mapping[str, Any]) -> str:
    return "chat/completions" if "messages" in request else "completions"


def _tokens(response: Mapping[str, Any]) -> int:
    usage = response.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) else 0


def _read_key(variable: str) -> str | None:
    key = os.environ.get(variable, "").strip()
    if not key and variable != KEY_VARIABLE:  # the usual one may be absent: servers of one's own ask for none
        raise InputError(f"--key-variable {variable}: this environment variable is not set")
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"{variable}: holds characters that no key has; copy it again")
    return key or None
