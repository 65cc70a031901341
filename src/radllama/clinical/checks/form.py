"""Whether a draft is an impression at all: not empty, not cut off, nothing said twice, about an image."""

import re
from collections.abc import Iterator

from radllama.clinical.checks.claims import Section
from radllama.clinical.checks.flag import Flag
from radllama.clinical.checks.rules import load_rules
from radllama.clinical.lexicon import load_radiology_words
from radllama.clinical.segment import find_sentences
from radllama.text import normalise, words

_WORD = re.compile(r"[^\W_]+")
# A run of words said again at once: up to so many words. One or two words may well stand twice ("no, no").
_LONGEST_RUN = 8


def find_malformed(draft: Section) -> Iterator[Flag]:
    """At most one flag a kind of fault: what is not an impression has no further faults worth telling."""
    text, rules = draft.text, load_rules()
    if not words(text):
        yield Flag("malformed", "The draft holds no words.", None, None)
        return
    told = rules.not_an_impression.search(text)
    if told:
        yield Flag("malformed", "The draft is not an impression.", told.span(), None)
    elif not draft.reading.mentions and load_radiology_words().isdisjoint(words(text)):
        yield Flag("malformed", "The draft names nothing that an image shows.", (0, len(text)), None)
    yield from _repeated(draft)
    if _is_cut_off(draft):
        end = len(text.rstrip())
        yield Flag("malformed", "The draft ends in the middle of a sentence.", (end - 1, end), None)


def _is_cut_off(draft: Section) -> bool:
    """Whether the draft ends without a full stop, and not in a name or in a word that can end a sentence."""
    text = draft.text.rstrip()
    if text.endswith((".", "!", "?", ")")):
        return False
    ends = [match.end() for match in load_rules().last_words.finditer(text)]
    return len(text) not in (*ends, *(mention.span[1] for mention in draft.reading.mentions))


def _repeated(draft: Section) -> Iterator[Flag]:
    text = draft.text
    seen: set[str] = set()
    for start, end in find_sentences(text):
        said = normalise(text[start:end])
        # Two findings may call for the same advice.
        advises = any(start <= word.span[0] < end for word in draft.reading.recommendations)
        if len(said.split()) > 1 and said in seen and not advises:
            yield Flag("malformed", "The draft says the same sentence twice.", (start, end), None)
            return
        seen.add(said)
    found = list(_WORD.finditer(draft.lower))
    parts = [match.group() for match in found]
    for at in range(len(parts) - 1):
        for length in range(1, _LONGEST_RUN + 1):
            end = at + length * (3 if length < 3 else 2)
            if end > len(parts) or parts[at] != parts[at + length]:  # nearly always: the rest is slower to ask
                continue
            run = parts[at : at + length]
            if parts[at:end] == run * ((end - at) // length) and "xxxx" not in run:
                yield Flag("malformed", "The draft repeats itself.", (found[at].start(), found[end - 1].end()), None)
                return
