"""Claims: what a section says of each topic, in the form in which a draft and its findings can be compared.

A topic is a concept of the lexicon, an organ that is not as it should be under the finding's own name ("the heart is
enlarged" and "cardiomegaly" are one topic). `checks.yaml` says which topics may stand for one another.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from radllama.clinical.lexicon import load_lexicon
from radllama.clinical.read import Mention, Reading, Span, Word, lower, read

BOTH = frozenset({"left", "right"})
_SIDES = {"left": frozenset({"left"}), "right": frozenset({"right"}), "bilateral": BOTH}


@dataclass(frozen=True, slots=True)
class Rules:
    """`checks.yaml`, compiled.

    `restates` maps every topic to those that may stand for it, itself included, `related` to those and others that
    support it in a draft, `denied_together` to those whose denial denies it. `must_repeat` maps a topic to the words
    of its sentence that excuse leaving it out, or None.
    """

    topics: Mapping[str, str]
    related: Mapping[str, frozenset[str]]
    denied_together: Mapping[str, frozenset[str]]
    restates: Mapping[str, frozenset[str]]
    covered_by: Mapping[str, frozenset[str]]
    must_repeat: Mapping[str, re.Pattern[str] | None]
    acute: frozenset[str]
    limiting: re.Pattern[str]
    no_comparison: re.Pattern[str]
    last_words: re.Pattern[str]
    not_an_impression: re.Pattern[str]
    radiology: re.Pattern[str]


@cache
def load_rules() -> Rules:
    """The rules of the package. Raises ValueError when they name a concept that the lexicon does not have."""
    data = yaml.safe_load(files("radllama.clinical").joinpath("checks.yaml").read_text(encoding="utf-8"))
    restates: dict[str, set[str]] = {name: {name} for name in load_lexicon().concepts}
    for group in data["restate"]:
        for name in group:
            restates[name].update(group)
    related = {name: restates[name].union(data["supported_by"].get(name, ())) for name in restates}
    covered_by = {name: frozenset(others) for name, others in data["covered_by"].items()}
    together = {name: frozenset(group) for group in data["denied_together"] for name in group}
    named = {*data["topics"], *data["topics"].values(), *data["must_repeat"], *data["acute"], *together}
    if unknown := named.union(*related.values(), *covered_by.values(), data["supported_by"]) - set(
        load_lexicon().concepts
    ):
        raise ValueError(f"checks.yaml: no such concept: {sorted(unknown)}")
    return Rules(
        topics=data["topics"],
        related=_freeze(related),
        restates=_freeze(restates),
        covered_by=covered_by,
        denied_together={name: together.get(name, frozenset({name})) for name in related},
        must_repeat={name: _any_of([unless]) if unless else None for name, unless in data["must_repeat"].items()},
        acute=frozenset(data["acute"]),
        **{
            name: _any_of(data[name])
            for name in ("limiting", "no_comparison", "last_words", "not_an_impression", "radiology")
        },
    )


def _freeze(mapping: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(others) for name, others in mapping.items()}


def _any_of(terms: list[str]) -> re.Pattern[str]:
    spaced = (term.replace(" ", r"\s+") for term in terms)
    return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(spaced)})(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one mention says of its topic: value 1 asserted, 0 denied, -1 doubted.

    `severities` the ranks 0 (trace) to 3 (large). `limits` are the words that leave a denial open for the rest: "no
    large effusion" denies no small one.
    """

    topic: str
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
    def sides(self) -> frozenset[str]:
        """Left and right as they are said of it: both for "bilateral", none where no side is named."""
        return frozenset().union(*(_SIDES[word.value] for word in self.side_words))

    @property
    def says_it_is_there(self) -> bool:
        """Whether it asserts or doubts, which a denial does not."""
        return self.value != 0


@dataclass(frozen=True, slots=True)
class Section:
    """A section as the rules see it: its text, what was read in it, and its claims in order."""

    text: str
    reading: Reading
    claims: tuple[Claim, ...]

    @property
    def lower(self) -> str:
        """The text in lower case, character by character, so that offsets hold."""
        return lower(self.text)

    def about(self, topics: frozenset[str] | set[str]) -> list[Claim]:
        """The claims about any of some topics."""
        return [claim for claim in self.claims if claim.topic in topics]


RANKS = {"trace": 0, "small": 1, "moderate": 2, "large": 3}


def parse_section(text: str, reading: Reading | None = None) -> Section:
    """The claims of a section; `reading` where it was read before."""
    reading = reading or read(text)
    rules = load_rules()
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
        claims.append(Claim(topic, mention.value, mention, side_words, ranks, limits))
    return Section(text, reading, tuple(claims))


def _is_stable_organ(text: str, mention: Mention) -> bool:
    # "The mediastinum is unchanged" says nothing of how it is, in contrast to a borderline one.
    if mention.concept.kind != "organ" or mention.value != -1 or mention.cue is None:
        return False
    states = load_lexicon().states.find(text[slice(*mention.cue)].lower())
    return bool(states) and all(state.what == "stable" for state in states)


def is_excused(claim: Claim, section: Section) -> bool:
    """Whether its sentence calls a claim old or harmless, by the words that `checks.yaml` lists for its topic."""
    unless = load_rules().must_repeat.get(claim.topic)
    return unless is not None and bool(unless.search(section.text, *claim.mention.sentence))


_IN = re.compile(r"[^,;.]{0,25}\b(?:in|within|at|of|over|overlying|throughout|involving)\b[^,;.]{0,12}", re.IGNORECASE)


def _side_of_lung(text: str, mention: Mention, reading: Reading) -> tuple[Word, ...]:
    """The side of the lung that a mention is placed in ("opacity in the left lung"): it was read as the lung's."""
    for other in reading.mentions:
        if other.concept.name == "Lungs" and other.span[0] >= mention.span[1] and other.sentence == mention.sentence:
            return other.side if _IN.fullmatch(text, mention.span[1], other.span[0]) else ()
    return ()
