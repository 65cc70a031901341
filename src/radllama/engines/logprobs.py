"""How likely each token of a draft was, and what else was likely there: from ids to what they add to the text."""

from collections.abc import Callable, Sequence

from radllama.engines import Token

# (token id, log-probability) of the chosen token, then of the likeliest, in order.
Step = Sequence[tuple[int, float]]

_CONTEXT = 4  # tokens before one that what it adds can depend on: a character has 4 bytes at most


def spell_tokens(
    steps: Sequence[Step], decode: Callable[[list[int]], str], name: Callable[[int], str | None]
) -> tuple[Token, ...]:
    """The tokens of these steps, whose texts together are the decoded text. `name` is a token's in the vocabulary."""
    ids = [step[0][0] for step in steps]
    texts = [decode(ids[:end]) for end in range(1, len(ids) + 1)]
    # At the end there is nothing more to wait for: what stands there of a character is shown as it is.
    ends = [0, *(len(_whole(text)) for text in texts[:-1]), *(len(text) for text in texts[-1:])]

    def make(token: int, logprob: float, added: str, likeliest: tuple[Token, ...] = ()) -> Token:
        return Token(added or name(token) or "", added.encode(), logprob, likeliest)

    tokens = []
    for at, ((token, logprob), *others) in enumerate(steps):
        before = ids[max(0, at - _CONTEXT) : at]
        known = len(_whole(decode(before)))
        likeliest = tuple(make(other, odds, _whole(decode([*before, other]))[known:]) for other, odds in others)
        tokens.append(make(token, logprob, texts[at][ends[at] : ends[at + 1]], likeliest))
    return tuple(tokens)


def _whole(text: str) -> str:
    # A character whose bytes are not all there yet is decoded to replacement characters.
    return text.rstrip("\N{REPLACEMENT CHARACTER}")
