"""What may be said of some findings: a candidate that says anything else does not stand for election."""

import re
from collections.abc import Callable
from functools import lru_cache

from radllama.clinical.check import Checker, FlagKind
from radllama.clinical.checks.claims import Section, parse_section
from radllama.clinical.segment import find_sentences
from radllama.library.habits import asserted_in, find_topics, topics_in
from radllama.text import words
from radllama.wording import says_all_clear

_STRUCK_OFF: frozenset[FlagKind] = frozenset(
    {"side", "negation", "measurement", "severity", "unsupported", "malformed"}
)
# Beside an assertion, words of judgement that an impression may add to the findings'; names of places and things are
# not among them.
_FREE = {
    *("abnormalities", "abnormality", "acute", "active", "appearance", "change", "changes", "disease", "diseases"),
    *("cardiac", "cardiomegaly", "cardiopulmonary", "chest", "heart", "lung", "lungs", "pulmonary", "process"),
    *("clear", "enlarged", "enlargement", "normal", "size", "finding", "findings", "noted", "seen", "identified"),
    *("compatible", "consistent", "likely", "possible", "possibly", "probable", "represent", "representing"),
    *("suggesting", "suggestive", "definite", "evidence", "focal", "otherwise", "overt", "present", "radiographic"),
    *("from", "that", "there", "these", "this", "which", "with", "without"),
}
# Of the words under four letters, those that must stand in the findings all the same.
_BINDING = re.compile(r"old|new|mid|rib")
# Letters by which a word is known: opacity and opacities, hyperinflated and hyperinflation; mild and mildly.
_STEM, _SHORT_STEM = 5, 4


class Standing:
    """One report's findings, read once, to hold many texts against."""

    def __init__(
        self, findings: Section, never_all_clear: frozenset[str], knows: Callable[[str], bool] = lambda word: True
    ) -> None:
        """`never_all_clear`: topics beside which no impression calls all clear; `knows`: whether a word is a word."""
        self.section = findings
        self.topics = find_topics(findings)
        self._asserted = asserted_in(findings.text)
        self._stems = {word[:length] for word in words(findings.text) for length in (_SHORT_STEM, _STEM)}
        self._never_all_clear = never_all_clear
        self._knows = knows
        # What a text leaves out is no reason against it here: it can be completed.
        self._checker = Checker(findings.text, policy=lambda claim, section: False)
        self._known: dict[str, bool] = {}

    def may_be_said(self, text: str) -> bool:
        """Whether a text asserts and doubts only what the findings do, in their words, and no check objects."""
        if text not in self._known:
            self._known[text] = (
                topics_in(text) <= self.topics.keys()
                and asserted_in(text) <= self._asserted
                and all(self._knows(word) or word[:_STEM] in self._stems for word in words(text))
                and self._in_their_words(text)
                and not (says_all_clear(text) and asserted_in(text) & self._never_all_clear)
                and not any(flag.kind in _STRUCK_OFF for flag in self._checker.check(text))
            )
        return self._known[text]

    def names(self, text: str, topic: str) -> bool:
        """Whether a text tells of a topic: asserts it where the findings do, else at least doubts it."""
        return topic in (asserted_in(text) if topic in self._asserted else topics_in(text))

    def _in_their_words(self, text: str) -> bool:
        # Rules know few of the places and things a sentence can name wrongly ("fracture of the clavicle", of a rib in
        # the findings; "tip in the atrium", of another patient's catheter). So beside an assertion every word counts.
        for start, end in find_sentences(text):
            sentence = text[start:end]
            if (topics_in(sentence) or _names_device(sentence)) and not all(
                map(self._stands_in_findings, words(sentence))
            ):
                return False
        return True

    def _stands_in_findings(self, word: str) -> bool:
        bare = len(word) < 4 and not _BINDING.fullmatch(word)
        return bare or word in _FREE or word[: _STEM if len(word) > 6 else _SHORT_STEM] in self._stems


@lru_cache(maxsize=1 << 12)
def _names_device(sentence: str) -> bool:
    """Whether it says that there is a tube, a catheter, a wire or the like."""
    claims = parse_section(sentence).claims
    return any(claim.value and claim.mention.concept.kind == "device" for claim in claims)
