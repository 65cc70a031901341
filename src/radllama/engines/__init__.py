"""Engines: token ids of prompts in, token ids of drafts out. Chosen by name, never guessed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen: greedy at temperature 0, else sampled under `seed`."""

    max_new_tokens: int = 128
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine made of one prompt. finish_reason: "stop" (the end token came) or "length"."""

    text: str
    finish_reason: str


class Engine(Protocol):
    """The one thing that every engine can do."""

    @property
    def context_tokens(self) -> int:
        """Prompt and draft together must fit this many tokens."""
        ...

    def complete(self, prompts: Sequence[list[int]], sampling: Sampling) -> list[Completion]:
        """Complete each prompt of one batch, in order."""
        ...
