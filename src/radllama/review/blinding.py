"""What raters see of a text: layout alone must not tell who wrote it. No word is changed.

One sentence a line; numbers and bullets of lists, a heading "IMPRESSION:", doubled blanks and blank lines go; the
first letter is large; a full stop ends a sentence; what de-identification left (XXXX, [**...**], ___) reads "___".
Spelling, abbreviations, capitals inside the text and length stay: they are part of what is judged.
"""

import re

from radllama.text import sentences, words

NOTHING = "(no impression)"
_HEADING = re.compile(r"^\s*(?:impression|conclusion|opinion|summary)\s*:\s*", re.IGNORECASE)
_LIST_MARK = re.compile(r"^(?:\(?\d{1,2}[.):](?=\s|$)|[-*•–·](?=\s))\s*")
_REMOVED = re.compile(r"\[\*\*.*?\*\*\]|\b[Xx]{4,}\b|_{2,}")
# A line that goes on where the one before was broken: no end before it, and neither a capital nor a list's mark.
_WRAPPED = re.compile(r"(?<![.?!:;\s])[ \t]*\r?\n[ \t]*(?=[a-z]|\d+(?![.):]|\d))")
_ENDS = (".", "?", "!", ":", ";", ",")


def show_text(text: str) -> str:
    """The text as raters see it; one without a word becomes `NOTHING`."""
    if not words(text):
        return NOTHING
    plain = _WRAPPED.sub(" ", _REMOVED.sub("___", _HEADING.sub("", text.replace("\t", " "))))
    lines = []
    for sentence in sentences(plain):
        line = " ".join(_strip_marks(sentence.strip()).split())
        if words(line) or "___" in line:
            line = line[0].upper() + line[1:]
            lines.append(line if line.endswith(_ENDS) else line + ".")
    return "\n".join(lines) or NOTHING


def is_all_capitals(text: str) -> bool:
    """Whether it is written in capitals throughout, which layout cannot hide."""
    letters = [letter for letter in text if letter.isalpha()]
    return len(letters) > 20 and all(letter.isupper() for letter in letters)


def _strip_marks(line: str) -> str:
    while (stripped := _LIST_MARK.sub("", line)) != line:
        line = stripped
    return line
