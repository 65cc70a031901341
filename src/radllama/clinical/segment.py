"""Where the sentences of a section stand, by character offset: nothing is cut off or rewritten on the way."""

import re
from functools import lru_cache

# Ends: a full stop, question or exclamation mark or semicolon before space (or before a capital that follows
# at once, a slip of dictation: "effusion.There"); an empty line; a line that begins an item or, with a capital, a
# sentence; and "There is" in the middle of a line, whose full stop was forgotten.
_END = re.compile(
    r"[.?!;]+(?=\s|$)|(?<=[a-z)])\.(?=[A-Z])|\n\s*(?=\n|[-*•]|\d{1,2}[.)]\s|[A-Z][a-z]|No\b|NO\b)"
    r"|\s(?=There (?:is|are|has|have)\b|The (?:\w+ ){1,3}(?:is|are)\b)"
    r"|\s(?=No (?:\w+ ){0,2}(?:effusion|pneumothorax|consolidation))"
)
_NOT_AN_END = re.compile(r"(?:^|[\s(])(?:Dr|Mr|Mrs|Ms|vs|approx|cf|e\.g|i\.e|ca)\.$", re.IGNORECASE)


def find_sentences(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence in order, without the white space around it, its final mark included."""
    return list(_find_sentences(text))


# Every rule that reads a candidate asks where its sentences stand, and a prior report is many findings' neighbour.
@lru_cache(maxsize=1 << 13)
def _find_sentences(text: str) -> tuple[tuple[int, int], ...]:
    spans, start = [], 0
    for match in _END.finditer(text):
        if _NOT_AN_END.search(text[start : match.end()]):
            continue
        spans.append((start, match.end()))
        start = match.end()
    spans.append((start, len(text)))
    trimmed = (_trim(text, start, end) for start, end in spans)
    return tuple((start, end) for start, end in trimmed if end > start)


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
