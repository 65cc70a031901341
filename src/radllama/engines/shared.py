"""The beginning that all prompts of a model share: the instruction, which need be computed only once."""

from collections.abc import Callable
from itertools import takewhile
from typing import TypeVar

_FEWEST = 8  # tokens that are worth keeping
_ENDS = ("The", "Heart", "no", "1. x", "(", "ä", "  ")
_Token = TypeVar("_Token", int, str)


def shared_tokens(encode: Callable[[str], list[_Token]], beginning: str) -> list[_Token]:
    """The tokens of every prompt that starts with `beginning`; none when they are too few to be worth it.

    What follows can change the last tokens of a beginning: those that unlike ends leave alike are shared.
    """
    if not beginning:
        return []
    encoded = [encode(beginning + end) for end in _ENDS]
    alike = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*encoded, strict=False))
    shared = [tokens[0] for tokens in alike]
    return shared if len(shared) >= _FEWEST else []
