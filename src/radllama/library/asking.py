"""Which prior reports a prompt shows: the nearest, whole, as many as its shelf and the context hold.

Training and drafting, here or at an endpoint, ask through here: the same findings and library give the same text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from radllama.clinical.read import Span
from radllama.library.library import Library, Neighbour
from radllama.prompt import Prompt, Shelf
from radllama.report import Report

CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Asked:
    """A rendered prompt, its length in tokens, the prior reports in it, nearest first, and how many did not fit."""

    text: str
    tokens: int
    shown: tuple[Neighbour, ...] = ()
    left_out: int = 0


class Asking:
    """A prompt, the library its prior reports come from (if any), and the counting of a model's tokens.

    A prompt without a shelf shows no prior reports, whatever the library holds.
    """

    def __init__(self, prompt: Prompt, library: Library | None, count_tokens: CountTokens) -> None:
        self._prompt, self._library, self._count = prompt, library, count_tokens

    def ask(
        self,
        findings: str,
        indication: str,
        room: int,
        leave_out: Report | None = None,
        chosen: Sequence[Span] | None = None,
    ) -> Asked:
        """The prompt for these findings; prior reports leave it, the farthest first, until it fits `room` tokens.

        It may be longer than that in the end, without any. Neither the report `leave_out` nor another one of its
        patient is shown. `chosen`: what the prompt sets apart (see `Prompt.render`).
        """
        shelf = self._prompt.shelf
        near = self._library.nearest(findings, shelf.count, leave_out) if shelf and self._library else []
        shown = tuple(fit_budget(near, shelf, self._count) if shelf else ())
        while True:
            text = self._prompt.render(findings, indication, chosen, shown)
            tokens = self._count(text)
            if tokens <= room or not shown:
                return Asked(text, tokens, shown, len(near) - len(shown))
            shown = shown[:-1]


def fit_budget(near: Sequence[Neighbour], shelf: Shelf, count_tokens: CountTokens) -> Sequence[Neighbour]:
    """The nearest that together take no more than the shelf's tokens: up to the first that would not fit."""
    none = count_tokens("")  # the begin token, which does not stand before each of them
    left = shelf.budget_tokens
    for number, neighbour in enumerate(near):
        left -= count_tokens(shelf.render_one(neighbour)) - none
        if left < 0:
            return near[:number]
    return near
