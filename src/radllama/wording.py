"""The wording of impressions: a findings sentence in short, a list as plain sentences, words for "all is clear"."""

import re

_SCAFFOLDING = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # "There is a small effusion", "Again seen is an effusion", "The heart is enlarged"
        r"^(?:again,? )?there (?:is|are|has been|have been|remains?|appears? to be)\s+"
        r"(?:(?:again|also|now|an?|some|the)\s+)*",
        r"^(?:also |again )?(?:noted|seen|demonstrated|identified) (?:is|are)\s+(?:(?:an?|the)\s+)?",
        r"^(?:the|an?)\s+",
        # "An effusion is seen", "opacities are again noted in the left base"
        r"\s+(?:is|are|was|were)\s+(?:(?:again|also|now)\s+)*"
        r"(?:seen|noted|present|identified|demonstrated|visuali[sz]ed|observed)(?=\s|$|,)",
    )
]
_LIST_NUMBER = re.compile(r"(?:(?<=\s)|^)\d{1,2}[.)](?=\s|$)")
_NOTHING = r"\b(?:no|without|negative for)\s+(?:(?:radiographic |definite )*(?:evidence|findings?) (?:of|for) )?"
_ALL_CLEAR = re.compile(
    rf"{_NOTHING}(?:an? )?(?:acute|active)(?:,? (?:or|and) \w+)?(?: \w+){{0,2}}? "
    r"(?:abnormalit|disease|process|findings?\b|patholog|infiltrate|disorder|change)"
    r"|\bnormal (?:chest|examination|study|radiograph)|\bchest is (?:normal|clear)",
    re.IGNORECASE,
)


def shorten(sentence: str) -> str:
    """The sentence as an impression would put it: without "there is" and its like.

    Only words that say nothing are left out, so whatever was asserted, denied or placed stays so.
    """
    text = strip_list_numbers(sentence).rstrip(".;")
    for pattern in _SCAFFOLDING:
        text = pattern.sub("", text)
    text = text.strip(" ,")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def strip_list_numbers(impression: str) -> str:
    """A numbered list as plain sentences: what is put before or behind it needs no number then."""
    return " ".join(_LIST_NUMBER.sub("", impression).split())


def says_all_clear(impression: str) -> bool:
    """Whether it says that nothing acute is there at all: "no acute cardiopulmonary abnormality", "normal chest"."""
    return bool(_ALL_CLEAR.search(impression))
