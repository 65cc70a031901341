"""Engines: prompts in, drafts out, as text on both sides. Chosen by name, never guessed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from radllama.errors import InputError

TRANSFORMERS = "transformers"
CTRANSLATE2 = {"ctranslate2": "float32", "ctranslate2-int8": "int8"}  # to the precision of the weights
ENGINES = (TRANSFORMERS, *CTRANSLATE2)

# Rounding differs with the shape of a batch. Two tokens whose logits lie closer than this may change places
# there: far above what float32 loses, and far below what makes a difference to a reader.
NEAR_TIE = 1e-3


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen, and how many candidates are made of each prompt.

    Temperature 0 follows the likeliest words: greedily, or with `beams` > 1 by beam search, which gives
    that many candidates, the best first. A temperature above 0 draws `samples` candidates under `seed`.
    `logprobs`: with a number, each token is told with its log-probability and so many of the likeliest there.
    """

    max_new_tokens: int = 128
    temperature: float = 0.0
    seed: int = 0
    samples: int = 1
    beams: int = 1
    logprobs: int | None = None

    def __post_init__(self) -> None:
        if self.samples > 1 and not self.temperature:
            raise InputError("several samples need a temperature above 0; at 0 they would all be the same")
        if self.beams > 1 and self.temperature:
            raise InputError("beams need temperature 0; with a temperature above 0, ask for samples")
        if self.beams > 1 and self.logprobs is not None:
            raise InputError("a beam search does not tell the log-probabilities of its tokens; ask for one without")


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a draft, or one that could have stood there, and its natural log-probability at temperature 1.

    utf8: what it adds to the text. A token that only begins a character adds nothing, and the one that completes the
    character adds all of it. name: the same as text; of a token that adds nothing, its name in the vocabulary.
    likeliest: those that could have stood in its place, the likeliest first.
    """

    name: str
    utf8: bytes
    logprob: float
    likeliest: tuple["Token", ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine made of one prompt. finish_reason: "stop" (the end token came) or "length".

    logprob: the natural logarithm of the draft's probability at temperature 1, its end token included.
    tokens: how many tokens that sum is over. margin: by how much, in logits, its closest choice of a token
    was made. spelled: the draft's tokens, without the end token, where the sampling asks for log-probabilities.
    None or 0 where the engine is not told, or has nothing to tell.
    """

    text: str
    finish_reason: str
    logprob: float | None = field(default=None, compare=False)
    tokens: int = field(default=0, compare=False)
    margin: float | None = field(default=None, compare=False)
    spelled: tuple[Token, ...] | None = field(default=None, compare=False)


class Engine(Protocol):
    """The few things that every engine can do."""

    @property
    def name(self) -> str:
        """What a run file records: the engine and, where it has several, its precision."""
        ...

    @property
    def context_tokens(self) -> int:
        """Prompt and draft together must fit this many tokens."""
        ...

    def count_tokens(self, prompt: str) -> int:
        """How many tokens of the context a prompt takes."""
        ...

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[list[Completion]]:
        """The candidates of each prompt of one batch, in order: `samples` or `beams` of them, else one.

        A candidate depends on its prompt and the sampling alone, not on its batch, as far as
        docs/engines.md says that the engine can promise it.
        """
        ...

    def stream(self, prompt: str, sampling: Sampling) -> Iterator[str]:
        """The text of the prompt's first candidate, in pieces as they are written."""
        ...
