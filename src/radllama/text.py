"""Words and sentences: the few things that several stages must see in the same way."""

import re

_WORD = re.compile(r"[^\W_]+(?:[.'][^\W_]+)*")
# A full stop ends a sentence when space and a capital, a digit or a bracket follow, and what precedes
# it is neither a list number ("2.") nor a common abbreviation.
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+(?=[A-Z0-9(\[])")
_NOT_AN_END = re.compile(r"(?:^|\s)(?:\d{1,2}|[A-Z]|Dr|Mr|Mrs|Ms|vs|approx|cf|e\.g|i\.e|No)\.$")


def words(text: str) -> list[str]:
    """The words and numbers of a text in lower case, without punctuation ("1.5" stays one)."""
    return _WORD.findall(text.lower())


def normalise(text: str) -> str:
    """Words alone, one space apart: two texts that differ in case or punctuation become equal."""
    return " ".join(words(text))


def is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: lone surrogates (other bytes on a command line) cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def sentences(text: str) -> list[str]:
    """The sentences of a section, in order, their wording untouched; list numbers stay in front.

    For layout, training and strata. What a sentence says is read from `clinical.segment`, which follows dictation (a
    forgotten full stop, a line that breaks off) and tells places, not texts.
    """
    parts: list[str] = []
    for line in text.splitlines():
        open_part = ""
        for piece in _SENTENCE_END.split(line.strip()):
            open_part = f"{open_part} {piece}" if open_part else piece
            if not _NOT_AN_END.search(open_part):
                parts.append(open_part)
                open_part = ""
        if open_part:
            parts.append(open_part)
    return [part for part in parts if part]


def count_edits(before: str, after: str) -> int:
    """Words inserted, removed or replaced (Levenshtein's distance over words, as they are written)."""
    old, new = before.split(), after.split()
    row = list(range(len(new) + 1))
    for i, mine in enumerate(old, start=1):
        above, row[0] = row[0], i
        for j, theirs in enumerate(new, start=1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (mine != theirs))
    return row[-1]
