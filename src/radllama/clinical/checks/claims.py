"""Claims: what a section says of each topic, in the form in which a draft and its findings can be compared.

A topic is a concept of the lexicon, an organ that is not as it should be under the finding's own name ("the heart is
enlarged" and "cardiomegaly" are one topic). `checks.yaml` says which topics may stand for one another.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from radllama.clinical.checks.rules import load_rules
from radllama.clinical.lexicon import load_lexicon
from radllama.clinical.read import Mention, Reading, Span, Word, lower, read

RANKS = {"trace": 0, "small": 1, "moderate": 2, "large": 3}
BOTH = frozenset({"left", "right"})
_SIDES = {"left": frozenset({"left"}), "right": frozenset({"right"}), "bilateral": BOTH}


@dataclass(frozen=True, slots=True)
class Claim:
    """What one mention says of its topic: value 1 asserted, 0 denied, -1 doubted.

    `words` are those that name it, in lower case. `severities` holds ranks, 0 (trace) to 3 (large). `limits` are the
    words that leave a denial open for the rest: "no large effusion" denies no small one.
    """

    topic: str
    words: str
    value: int
    mention: Mention
    side_words: tuple[Word, ...]
    severities: frozenset[int]
    limits: frozenset[str]

    @property
    def span(self) -> Span:
        """Where the mention stands."""
        return self.mention.span

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.topic.lower()

    @property
    def sides(self) -> frozenset[str]:
        """Left and right as they are said of it: both for "bilateral", none where no side is named."""
        return frozenset().union(*(_SIDES[word.value] for word in self.side_words))

    @property
    def says_it_is_there(self) -> bool:
        """Whether it asserts or doubts, which a denial does not."""
        return self.value != 0


@dataclass(frozen=True, slots=True)
class Section:
    """A section as the rules see it: its text, also in lower case, what was read in it, and its claims in order."""

    text: str
    lower: str
    reading: Reading
    claims: tuple[Claim, ...]

    def about(self, topics: frozenset[str] | set[str]) -> list[Claim]:
        """The claims about any of some topics."""
        return [claim for claim in self.claims if claim.topic in topics]


# A vote asks of each candidate what it names, what it asserts and whether a check objects.
@lru_cache(maxsize=1 << 12)
def parse_section(text: str) -> Section:
    """Read a section and make its claims."""
    reading = read(text)
    rules, lowered = load_rules(), lower(text)
    claims = []
    for mention in reading.mentions:
        if mention.value is None or _is_stable_organ(text, mention):
            continue
        topic = rules.topics.get(mention.concept.name, mention.concept.name)
        side_words = mention.side or _side_of_lung(text, mention, reading)
        limits: frozenset[str] = frozenset()
        if mention.value == 0:
            start = min(mention.span[0], mention.cue[0]) if mention.cue else mention.span[0]
            limits = frozenset(word.lower() for word in rules.limiting.findall(text, start, mention.span[1]))
        ranks = frozenset(RANKS[word.value] for word in mention.severity)
        claims.append(Claim(topic, lowered[slice(*mention.span)], mention.value, mention, side_words, ranks, limits))
    return Section(text, lowered, reading, tuple(claims))


def is_there(findings: Section, claim: Claim) -> bool:
    """Whether the findings assert or doubt what a draft claims, under its own name or a related one."""
    there = any(one.says_it_is_there for one in findings.about(load_rules().related[claim.topic]))
    return there or _is_named(findings, claim)


def is_excused(claim: Claim, section: Section) -> bool:
    """Whether its sentence calls a claim old or harmless, by the words that `checks.yaml` lists for its topic."""
    unless = load_rules().must_repeat.get(claim.topic)
    return unless is not None and bool(unless.search(section.text, *claim.mention.sentence))


def _is_stable_organ(text: str, mention: Mention) -> bool:
    # "The mediastinum is unchanged" says nothing of how it is, in contrast to a borderline one.
    if mention.concept.kind != "organ" or mention.value != -1 or mention.cue is None:
        return False
    states = load_lexicon().states.find(text[slice(*mention.cue)].lower())
    return bool(states) and all(state.what == "stable" for state in states)


def _is_named(findings: Section, claim: Claim) -> bool:
    # The rules may have failed to read it in the findings: its longest word standing there is support enough.
    longest = max(re.findall(r"[a-z]{4,}", claim.words), key=len, default="")
    return bool(longest) and bool(re.search(rf"\b{longest[:-2]}", findings.lower))


_IN = re.compile(r"[^,;.]{0,25}\b(?:in|within|at|of|over|overlying|throughout|involving)\b[^,;.]{0,12}", re.IGNORECASE)


def _side_of_lung(text: str, mention: Mention, reading: Reading) -> tuple[Word, ...]:
    """The side of the lung that a mention is placed in ("opacity in the left lung"): it was read as the lung's."""
    for other in reading.mentions:
        if other.concept.name == "Lungs" and other.span[0] >= mention.span[1] and other.sentence == mention.sentence:
            return other.side if _IN.fullmatch(text, mention.span[1], other.span[0]) else ()
    return ()
