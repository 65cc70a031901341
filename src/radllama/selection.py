"""What to say, apart from how: which sentences of the findings the impression takes up.

A network of a few million parameters learns from a few thousand reports to put a sentence into the words of an
impression, but not which of ten sentences radiologists take up. A logistic regression learns that well, from what can
be counted in a sentence. So a prompt may tell the chosen sentences (`radllama.prompt`): in training those that
the signed impression did take up, in drafting those that probably would be (Sotudeh et al. 2020, arXiv 2005.09559).
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from radllama.clinical.checks.claims import Claim, Section, parse_section
from radllama.clinical.checks.rules import load_rules
from radllama.clinical.read import Span
from radllama.clinical.segment import find_sentences
from radllama.errors import InputError
from radllama.report import Report
from radllama.text import words
from radllama.wording import shorten, strip_list_numbers

_KINDS = ("finding", "organ", "device")
_PENALTY = 0.1  # of 0.03, 0.1, 0.3 and 1 the best with 0.3, by folds, on OpenI's train part
_DENIAL = re.compile(
    r"\b(?:with no|without|no)\s+(?:(?:new|evidence of|any|an?)\s+)*((?:acute|active|focal|superimposed)\b.*)$",
    re.IGNORECASE,
)
_RARE = 5  # a word in fewer sentences than this is not weighed


@dataclass(frozen=True, slots=True)
class Selection:
    """The learned probability that an impression takes a sentence up; at `least` this much, it is chosen.

    `weights` and `bias` are the regression's, each weight under the name of what it weighs.
    """

    weights: Mapping[str, float]
    bias: float
    least: float

    def choose(self, findings: str) -> list[Span]:
        """Where the sentences stand that an impression of these findings would take up, in their order."""
        return [span for span, probability in self.probabilities(findings) if probability >= self.least]

    def probabilities(self, findings: str) -> list[tuple[Span, float]]:
        """Each sentence that asserts or doubts something, and how likely it is taken up."""
        return [
            (span, _logistic(self.bias + sum(self.weights.get(name, 0.0) * value for name, value in features)))
            for span, features in _describe(findings)
        ]


def find_taken_up(findings: str, impression: str) -> list[Span]:
    """Where the sentences stand that this impression takes up, by naming what they assert or doubt."""
    told = {claim.topic for claim in parse_section(impression).claims if claim.value}
    return [
        span
        for span, claims in _asserting(parse_section(findings)).items()
        if any(not told.isdisjoint(_names_of(claim.topic)) for claim in claims)
    ]


def tell(findings: str, spans: Sequence[Span]) -> str:
    """The sentences at `spans` as an impression would put them, each once."""
    shortened = (shorten(findings[start:end]) for start, end in spans)
    return " ".join(dict.fromkeys(filter(None, shortened)))


def find_rest(findings: str, impression: str, spans: Sequence[Span]) -> str:
    """What an impression says beyond the findings' sentences at `spans`, and not beyond the findings.

    Of its sentences those are left out that assert what is told already, or what the findings nowhere assert; what
    such a sentence denies ("cardiomegaly without acute disease") stays.
    """
    sentences = _asserting(parse_section(findings))
    told = {name for span in spans for claim in sentences.get(span, ()) for name in _names_of(claim.topic)}
    known = {name for claims in sentences.values() for claim in claims for name in _names_of(claim.topic)} - told
    rest = []
    impression = strip_list_numbers(impression)
    for start, end in find_sentences(impression):
        sentence = impression[start:end]
        asserted = {claim.topic for claim in parse_section(sentence).claims if claim.value}
        if asserted <= known:
            rest.append(sentence)
        elif denial := _DENIAL.search(sentence):
            said = f"No {denial[1]}"
            if not any(claim.value for claim in parse_section(said).claims):
                rest.append(said)
    return " ".join(rest)


def asserting_sentences(findings: str) -> list[Span]:
    """Where the sentences stand that assert or doubt something: only these can be taken up."""
    return list(_asserting(parse_section(findings)))


def learn_selection(reports: Sequence[Report], least: float) -> Selection | None:
    """Learn from signed reports; None when their sentences are too few, or all or none are taken up."""
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression

    described, labels = [], []
    for report in reports:
        taken_up = set(find_taken_up(report.findings, report.impression))
        for span, features in _describe(report.findings):
            described.append(dict(features))
            labels.append(span in taken_up)
    often = Counter(name for features in described for name in features)
    kept = [{name: value for name, value in one.items() if often[name] >= _RARE} for one in described]
    if len(set(labels)) < 2 or not any(kept):
        return None
    vectorizer = DictVectorizer(sparse=True)
    table = vectorizer.fit_transform(kept)
    table.indices, table.indptr = (
        part.astype("int32") for part in (table.indices, table.indptr)
    )  # all liblinear takes
    model = LogisticRegression(C=_PENALTY, solver="liblinear", random_state=0, max_iter=1000).fit(table, labels)
    return Selection(
        weights=dict(zip(vectorizer.get_feature_names_out().tolist(), model.coef_[0].tolist(), strict=True)),
        bias=float(model.intercept_[0]),
        least=least,
    )


def parse_selection(value: Any, where: object) -> Selection:
    """A selection out of JSON. Raises InputError when it is something else."""
    try:
        weights = {str(name): float(weight) for name, weight in value["weights"].items()}
        return Selection(weights, float(value["bias"]), float(value["least"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{where}: not a selection; copy it again from the run that made the model") from None


def _asserting(section: Section) -> dict[Span, list[Claim]]:
    held: dict[Span, list[Claim]] = {}
    for claim in section.claims:
        if claim.value and claim.mention.concept.kind in _KINDS:
            held.setdefault(claim.mention.sentence, []).append(claim)
    return held


def _names_of(topic: str) -> Collection[str]:
    rules = load_rules()
    return {topic, *rules.restates[topic], *rules.covered_by.get(topic, ())}


# The same findings are asked for their length and for their text.
@lru_cache(maxsize=1 << 10)
def _describe(findings: str) -> tuple[tuple[Span, tuple[tuple[str, float], ...]], ...]:
    """What the regression sees of each sentence that asserts or doubts something."""
    section = parse_section(findings)
    sentences = _asserting(section)
    return tuple((span, tuple(_features(section, span, claims, len(sentences)))) for span, claims in sentences.items())


def _features(section: Section, span: Span, claims: Sequence[Claim], count: int) -> Iterator[tuple[str, float]]:
    start, end = span
    said = words(section.text[start:end])
    yield "other sentences", float(count - 1)
    yield "topics", float(len({claim.topic for claim in claims}))
    yield "words", len(said) / 10
    yield "opens the findings", float(start == 0)
    yield "how far down", start / len(section.text)
    yield "only doubted", float(all(claim.value < 0 for claim in claims))
    yield "measured", float(any(claim.mention.measurements for claim in claims))
    mentions = [claim.mention for claim in claims]
    yield from ((f"topic {topic}", 1.0) for topic in sorted({claim.topic for claim in claims}))
    yield from ((f"severity {value}", 1.0) for value in sorted({one.value for m in mentions for one in m.severity}))
    yield from ((f"change {value}", 1.0) for value in sorted({one.value for m in mentions for one in m.change}))
    yield from ((f"word {word}", 1.0) for word in sorted(set(said)))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))
