"""Text in pieces: what can be shown of a draft while its tokens still come."""

from collections.abc import Callable, Iterable, Iterator


def stream_text(tokens: Iterable[int], decode: Callable[[list[int]], str]) -> Iterator[str]:
    """Yield the decoded text as tokens come; the pieces together are `decode(all tokens).strip()`.

    Held back are white space at the end, which may turn out to be the last, and a character whose
    bytes are not all there yet.
    """
    ids: list[int] = []
    shown = text = ""
    for token in tokens:
        ids.append(token)
        text = decode(ids).strip()
        ready = text.rstrip("\N{REPLACEMENT CHARACTER}").rstrip()
        if ready.startswith(shown) and len(ready) > len(shown):
            yield ready[len(shown) :]
            shown = ready
    if len(text) > len(shown):
        yield text[len(shown) :]
