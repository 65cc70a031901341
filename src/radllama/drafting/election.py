"""From what a model and colleagues say of some findings to one draft: who votes, who stands, who is struck off.

Everyone votes: each sample of the model, each neighbour's impression by its resemblance. With checks on, a text stands
only when

- it names everything that this department's radiologists would repeat (learned, see `library.habits`),
- it asserts nothing that the findings do not assert, in words that stand in them,
- it does not call all clear what this department's radiologists never do,
- and no check finds a wrong side, a flipped negation, another size or severity, or a text that is no impression
  (the last three are `drafting.standing`).

Of those that stand, the one most like what the voters say is the draft. When none does, the findings' own sentences
are, and the draft says so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from radllama.clinical.check import must_repeat
from radllama.clinical.checks.claims import parse_section
from radllama.drafting.candidates import bare_phrase, complete, own_sentences, sentences_naming
from radllama.drafting.standing import Standing
from radllama.library import Library, Neighbour
from radllama.library.consensus import NEIGHBOURS, weigh
from radllama.library.habits import GRAVE, Habits
from radllama.text import sentences, words
from radllama.vote import UTILITIES, best_first, expected_utility
from radllama.wording import shorten

FROM_FINDINGS = "from_findings"
FINDINGS_ALONE = "drafts made of the findings' own sentences, since no candidate agreed with the findings"

_LIKELIER_THAN_NOT = 0.5
_COLLEAGUES = 8  # prior reports that repeat a topic, whose wording is borrowed
# Below it the neighbours decide alone, above it the model's errors come through; flat between 0.2 and 0.4 on the
# development split.
_MODEL_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Voting:
    """How a draft is voted for.

    Of what radiologists repeat the share `mentions` must be, and in the share `reports` of reports where they repeat
    anything something must be, both judged by the department's own reports (see `Habits.must_repeat`).
    `checks` off: whatever was said stands, and only what is more likely repeated than not must be.
    """

    neighbours: int = NEIGHBOURS
    mentions: float = 0.92
    reports: float = 0.97
    checks: bool = True
    utility: str = "rouge1"


@dataclass(frozen=True, slots=True)
class Elected:
    """The draft, "stop" or why it is what it is (FROM_FINDINGS), and what it was made with.

    `others` are texts that stood too and say something else, as many as were asked for, those most like what the voters
    say first.
    """

    text: str
    finish_reason: str
    neighbours: list[Neighbour]
    repeated: list[str]
    others: list[str] = field(default_factory=list)


def elect(
    findings: str,
    said: Sequence[str],
    library: Library | None,
    habits: Habits | None,
    voting: Voting,
    others: int = 0,
) -> Elected:
    """The draft for `findings`, given what the model `said` (any number of texts), and up to so many `others`.

    Without a library the model's texts vote alone. Without habits, what must be repeated is what radiologists at
    large rarely leave out.
    """
    utility = UTILITIES[voting.utility]
    resemblance = library.score(findings) if library else None
    neighbours = library.neighbours(resemblance, voting.neighbours) if library and resemblance is not None else []
    samples = [text for text in said if text.strip()]
    voters = [*samples, *(neighbour.impression for neighbour in neighbours)]
    weights = _weigh_voters(len(samples), neighbours)
    section = parse_section(findings)
    likely = habits.probabilities(section, resemblance) if habits and resemblance is not None else {}
    unlikely = {topic for topic in likely if likely[topic] < _LIKELIER_THAN_NOT}
    # Of what is told to be on the safe side, colleagues would not have thought much.
    never_all_clear = (habits.never_all_clear if habits else GRAVE) - unlikely
    standing = Standing(section, never_all_clear, library.knows if library else lambda word: True)

    def may_be_said(text: str) -> bool:
        return not voting.checks or standing.may_be_said(text)

    topics = _must_repeat(standing, habits, likely, voting)
    wordings = {}
    for topic in topics:
        colleagues: list[str] = []
        if library and habits and resemblance is not None:
            numbers = habits.precedents_for(topic, resemblance, _COLLEAGUES)
            colleagues = [library.reports[number].impression for number in numbers]
        own = own_sentences(section, topic) + [bare_phrase(section, topic)] * (topic in unlikely)
        own = [one for one in own if standing.names(one, topic)]
        told = [one for one in (*own, *sentences_naming(topic, colleagues)) if standing.names(one, topic)]
        # Where rules object even to the findings' own sentence, it is still what must be told.
        wordings[topic] = [one for one in dict.fromkeys(told) if may_be_said(one)] or own
    topics = [topic for topic in topics if wordings[topic]]

    ranked = list(dict.fromkeys(voters))
    if ranked:
        order = np.argsort(-expected_utility(ranked, voters, weights, utility), kind="stable")
        ranked = [ranked[at] for at in order]
    completed = complete(filter(may_be_said, ranked), topics, wordings, standing.names)
    whole = [_own_words(standing, topics)] if topics else []
    texts = [
        text
        for text in dict.fromkeys((*ranked, *completed, *whole))
        if all(standing.names(text, topic) for topic in topics)
    ]
    scores = expected_utility(texts, voters, weights, utility) if voters else np.zeros(len(texts))
    # Whether a text may be said takes the longest to find out: it is asked from the best down, until there are enough.
    standing_texts = filter(may_be_said, (texts[at] for at in best_first(scores)))
    elected = list(islice(_differing(standing_texts), 1 + others))
    if not elected:
        return Elected(_own_words(standing, topics), FROM_FINDINGS, neighbours, topics)
    return Elected(elected[0], "stop", neighbours, topics, elected[1:])


def _must_repeat(standing: Standing, habits: Habits | None, likely: Mapping[str, float], voting: Voting) -> list[str]:
    """The topics that every draft must name, the likeliest first."""
    if not voting.checks:
        return [topic for topic in likely if likely[topic] >= _LIKELIER_THAN_NOT]
    if habits and likely:
        return habits.must_repeat(likely, voting.mentions, voting.reports)
    return [
        topic
        for topic, claims in standing.topics.items()
        if any(claim.value == 1 and must_repeat(claim, standing.section) for claim in claims)
    ]


def _own_words(standing: Standing, topics: Sequence[str]) -> str:
    """The findings' sentences on some topics; for none of them, on all they assert; else all sentences."""
    own = [sentence for topic in topics or standing.topics for sentence in own_sentences(standing.section, topic)]
    return " ".join(dict.fromkeys(own or filter(None, map(shorten, sentences(standing.section.text)))))


def _differing(texts: Iterable[str]) -> Iterator[str]:
    """The first of all texts that say the same sentences, in whatever order."""
    told: set[frozenset[str]] = set()
    for text in texts:
        says = frozenset(" ".join(words(sentence)) for sentence in sentences(text))
        if says not in told:
            told.add(says)
            yield text


def _weigh_voters(samples: int, neighbours: Sequence[Neighbour]) -> list[float]:
    """A weight a voter, samples first; the samples have _MODEL_SHARE of all together, if there are neighbours."""
    near = weigh(neighbours)
    share = 0.0 if not samples else _MODEL_SHARE if near else 1.0
    return [share / samples for _ in range(samples)] + [(1 - share) * one / sum(near) for one in near]
