"""Log-probabilities of tokens: those of the text that is shown, and how OpenAI's two APIs lay them out."""

from codecs import getincrementaldecoder
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from radllama.engines import Token


def keep_shown(tokens: Sequence[Token] | None, text: str) -> tuple[Token, ...] | None:
    """The tokens that `text` is made of, which may be less than was written; the last may reach beyond it.

    None where they do not spell the text: what is told of other words than are shown would be wrong.
    """
    if tokens is None:
        return None
    written, offsets = _place(tokens)
    if not written.startswith(text):
        return None
    return tuple(token for token, offset in zip(tokens, offsets, strict=True) if offset < len(text))


def render_chat(tokens: Sequence[Token]) -> dict[str, Any]:
    """As a choice of a chat completion has them."""
    content = [{**_render(token), "top_logprobs": [_render(other) for other in token.likeliest]} for token in tokens]
    return {"content": content, "refusal": None}


def render_text(tokens: Sequence[Token]) -> dict[str, Any]:
    """As a choice of a completion has them: each token stands among the likeliest, too."""
    return {
        "tokens": [token.name for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [
            {**{other.name: other.logprob for other in reversed(token.likeliest)}, token.name: token.logprob}
            for token in tokens
        ],
        "text_offset": _place(tokens)[1],
    }


def _render(token: Token) -> dict[str, Any]:
    return {"token": token.name, "logprob": token.logprob, "bytes": list(token.utf8)}


def _place(tokens: Sequence[Token]) -> tuple[str, list[int]]:
    """The text that tokens spell, without white space around it, and where in it each of them begins."""
    decode = getincrementaldecoder("utf-8")("replace").decode
    pieces = [decode(token.utf8) for token in tokens]
    written = "".join(pieces)
    lead = len(written) - len(written.lstrip())
    ends = accumulate(map(len, pieces))
    return written.strip(), [max(0, end - len(piece) - lead) for piece, end in zip(pieces, ends, strict=True)]
