"""Which prior reports a prompt shows: the nearest, whole, as many as its shelf and the context hold.

Training and drafting, here or at an endpoint, ask through here: the same findings and library give the same text.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from radllama.clinical.read import Span
from radllama.engines import Completion
from radllama.library.library import Library, Neighbour
from radllama.prompt import Prompt, Shelf
from radllama.report import Report

CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Asked:
    """A rendered prompt, its length in tokens, the prior reports in it, nearest first, and how many did not fit.

    `told`: how the impression begins, before the model's first word (see `Prompt.tell`).
    """

    text: str
    tokens: int
    shown: tuple[Neighbour, ...] = ()
    left_out: int = 0
    told: str = ""

    def finish(self, written: Completion) -> Completion:
        """The whole impression: what was told, and what the model wrote after it."""
        return replace(written, text=f"{self.told} {written.text}".strip()) if self.told else written

    def finish_pieces(self, pieces: Iterator[str]) -> Iterator[str]:
        """The whole impression in pieces, as it is written."""
        if self.told:
            yield self.told
        between = " " if self.told else ""
        for piece in pieces:
            yield between + piece
            between = ""


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
        patient is shown. `chosen`: what the prompt tells (see `Prompt.render`).
        """
        shelf = self._prompt.shelf
        near = self._library.nearest(findings, shelf.count, leave_out) if shelf and self._library else []
        shown = tuple(fit_budget(near, shelf, self._count) if shelf else ())
        while True:
            text = self._prompt.render(findings, indication, chosen, shown)
            tokens = self._count(text)
            if tokens <= room or not shown:
                return Asked(text, tokens, shown, len(near) - len(shown), self._prompt.tell(findings, chosen))
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
