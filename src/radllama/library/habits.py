"""What a department's radiologists repeat: of the findings a report asserts, which return in its impression.

An effusion nearly always does, a granuloma hardly ever, and in between it depends: on how large it is, whether it is
new, what else there is to tell, and what colleagues did with reports alike. So the probability that a mention is
repeated is learned from the department's own reports, by a logistic regression over what can be counted in a sentence;
its weights are numbers in a JSON file, each under the name of what it weighs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radllama.clinical.checks.claims import Claim, Section, parse_section
from radllama.errors import InputError
from radllama.files import read_json, write_json
from radllama.library.index import Scores, best
from radllama.library.library import Library
from radllama.text import words
from radllama.wording import says_all_clear

_NEAREST = 12  # of the prior reports that mention the same topic, those that are asked
_FOLDS = 5
_PENALTY = 0.1  # of 0.03, 0.1, 0.3 and 1 the best log-likelihood, by folds, on OpenI's train part
_RARE = 5  # a word in fewer mentions than this is not weighed
_USUAL = 0.3  # how often a mention of no known topic is repeated
_MIN_MENTIONS = 30  # fewer teach nothing
_HARDLY_EVER = 0.1
# Beside these no impression says that all is clear, where no reports tell otherwise.
GRAVE = frozenset(
    {"Pneumothorax", "Pleural Effusion", "Edema", "Consolidation", "Pneumonia", "Lung Opacity", "Free Air"}
)


@dataclass(frozen=True, slots=True, eq=False)
class Precedents:
    """Which prior reports mention a topic in their findings (their numbers), and which of them repeat it."""

    reports: NDArray[np.int32]
    repeated: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Habits:
    """The learned probability that a mention is repeated.

    `weights` and `bias` are the regression's; `precedents` by topic; beside the topics of `never_all_clear` hardly
    any impression that repeats them says that nothing acute is there. The quantiles are of probabilities by folds:
    i% of the mentions that were repeated lie below `mention_quantiles[i]`, and of the reports that repeat anything
    i% have a smaller probability to do so than `report_quantiles[i]`.
    """

    weights: Mapping[str, float]
    bias: float
    mention_quantiles: Sequence[float]
    report_quantiles: Sequence[float]
    precedents: Mapping[str, Precedents]
    never_all_clear: frozenset[str]

    def probabilities(self, findings: Section, resemblance: Scores) -> dict[str, float]:
        """For each topic that the findings assert, how likely the radiologist repeats it.

        `resemblance` holds the score of each prior report for these findings (`Library.score`).
        """
        described = _describe(findings, self.precedents, resemblance)
        return {topic: _logistic(self.bias + _weigh(self.weights, features)) for topic, features in described.items()}

    def precedents_for(self, topic: str, resemblance: Scores, count: int) -> list[int]:
        """The numbers of the `count` prior reports most like the findings that repeat a topic, best first."""
        held = self.precedents.get(topic)
        repeating = held.reports[held.repeated] if held else np.zeros(0, dtype=np.int32)
        if not len(repeating):
            return []
        return [int(number) for number in repeating[best(resemblance[repeating], count)]]

    def must_repeat(self, likely: Mapping[str, float], mentions: float, reports: float) -> list[str]:
        """Of topics and their probabilities those that must be repeated, the likeliest first.

        They cover, by folds, the share `mentions` (0..1) of all that radiologists repeated. And where none is likely
        enough by itself, the likeliest is taken when something or other probably returns: so that of the reports that
        repeat anything the share `reports` repeats something here.
        """
        least = _above(self.mention_quantiles, mentions)
        chosen = [topic for topic in likely if likely[topic] >= least]
        if not chosen and likely and any_of(likely.values()) >= _above(self.report_quantiles, reports):
            chosen = [max(likely, key=lambda topic: likely[topic])]
        return sorted(chosen, key=lambda topic: -likely[topic])


def learn_habits(library: Library) -> Habits | None:
    """Learn from a library's own reports; None when too few of their findings assert anything.

    No report is its own precedent, nor is another of its patient.
    """
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict

    findings = [parse_section(report.findings) for report in library.reports]
    repeats = [topics_in(report.impression) for report in library.reports]
    precedents = _find_precedents(findings, repeats)
    examples, repeated, groups, numbers = [], [], [], []
    for number, (section, told) in enumerate(zip(findings, repeats, strict=True)):
        report = library.reports[number]
        if not find_topics(section):
            continue
        scores = library.score(report.findings, leave_out=report)
        for topic, features in _describe(section, precedents, scores, library.same(report)).items():
            examples.append(features)
            repeated.append(topic in told)
            numbers.append(number)
            groups.append(number if report.patient_id is None else report.patient_id)
    if len(set(map(str, groups))) < _FOLDS or len(examples) < _MIN_MENTIONS or len(set(repeated)) < 2:
        return None
    often: dict[str, int] = {}
    for features in examples:
        for name in features:
            often[name] = often.get(name, 0) + 1
    kept = [{name: value for name, value in one.items() if often[name] >= _RARE} for one in examples]
    vectorizer = DictVectorizer(dtype=np.float64, sparse=False)
    table = vectorizer.fit_transform(kept)
    labels = np.array(repeated)
    model = LogisticRegression(C=_PENALTY, solver="liblinear", random_state=0, max_iter=1000)
    outside = cross_val_predict(
        model, table, labels, cv=GroupKFold(_FOLDS), groups=[str(group) for group in groups], method="predict_proba"
    )[:, 1]
    model.fit(table, labels)
    return Habits(
        weights=dict(zip(vectorizer.get_feature_names_out().tolist(), model.coef_[0].tolist(), strict=True)),
        bias=float(model.intercept_[0]),
        mention_quantiles=np.percentile(outside[labels], range(101)).tolist(),
        report_quantiles=np.percentile(_of_reports(outside, labels, numbers), range(101)).tolist(),
        precedents=precedents,
        never_all_clear=_find_never_all_clear(library, precedents),
    )


def find_topics(section: Section) -> dict[str, list[Claim]]:
    """The claims of each topic that a section asserts or doubts; devices and remarks left out."""
    topics: dict[str, list[Claim]] = {}
    for claim in section.claims:
        if claim.value and claim.mention.concept.kind in ("finding", "organ"):
            topics.setdefault(claim.topic, []).append(claim)
    return topics


# A candidate is asked again and again what it names, and impressions repeat.
@lru_cache(maxsize=1 << 14)
def topics_in(text: str) -> frozenset[str]:
    """The topics that a text asserts or doubts."""
    return frozenset(find_topics(parse_section(text)))


@lru_cache(maxsize=1 << 14)
def asserted_in(text: str) -> frozenset[str]:
    """The topics that a text plainly asserts."""
    return frozenset(
        topic for topic, claims in find_topics(parse_section(text)).items() if any(claim.value == 1 for claim in claims)
    )


def write_habits(habits: Habits | None, path: Path) -> None:
    """Write as JSON: names and numbers, no text of any report but single words; null where none were learned."""
    value = habits and {
        "bias": habits.bias,
        "weights": dict(habits.weights),
        "mention_quantiles": list(habits.mention_quantiles),
        "report_quantiles": list(habits.report_quantiles),
        "never_all_clear": sorted(habits.never_all_clear),
        "precedents": {
            topic: {"reports": held.reports.tolist(), "repeated": np.flatnonzero(held.repeated).tolist()}
            for topic, held in habits.precedents.items()
        },
    }
    write_json(path, value)


def read_habits(path: Path) -> Habits | None:
    """Habits as written. Raises InputError when the file holds something else."""
    value = read_json(path)
    if value is None:
        return None
    try:
        return Habits(
            weights={str(name): float(weight) for name, weight in value["weights"].items()},
            bias=float(value["bias"]),
            mention_quantiles=[float(one) for one in value["mention_quantiles"]],
            report_quantiles=[float(one) for one in value["report_quantiles"]],
            never_all_clear=frozenset(map(str, value["never_all_clear"])),
            precedents={str(topic): _parse_precedents(held) for topic, held in value["precedents"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise InputError(f"{path}: written by another version; build the library again") from None


def _parse_precedents(value: Any) -> Precedents:
    reports = np.array(value["reports"], dtype=np.int32)
    repeated = np.zeros(len(reports), dtype=np.bool_)
    repeated[value["repeated"]] = True
    return Precedents(reports, repeated)


def _find_precedents(findings: Sequence[Section], repeats: Sequence[frozenset[str]]) -> dict[str, Precedents]:
    held: dict[str, list[tuple[int, bool]]] = {}
    for number, (section, told) in enumerate(zip(findings, repeats, strict=True)):
        for topic in find_topics(section):
            held.setdefault(topic, []).append((number, topic in told))
    return {
        topic: Precedents(
            np.array([number for number, _ in pairs], dtype=np.int32),
            np.array([repeated for _, repeated in pairs], dtype=np.bool_),
        )
        for topic, pairs in sorted(held.items())
    }


def _find_never_all_clear(library: Library, precedents: Mapping[str, Precedents]) -> frozenset[str]:
    never = set()
    for topic, held in precedents.items():
        impressions = [library.reports[number].impression for number in held.reports[held.repeated]]
        # A fifth of a case more in every two keeps a topic that was hardly ever seen from counting as never.
        if (sum(map(says_all_clear, impressions)) + 0.2) / (len(impressions) + 2) < _HARDLY_EVER:
            never.add(topic)
    return frozenset(never)


def _describe(
    section: Section, precedents: Mapping[str, Precedents], resemblance: Scores, without: Iterable[int] = ()
) -> dict[str, dict[str, float]]:
    """What the regression sees of each asserted topic: {topic: {feature: value}}."""
    topics = find_topics(section)
    left_out = np.fromiter(without, dtype=np.int32)
    return {
        topic: dict(_features(section, topic, claims, len(topics) - 1, precedents.get(topic), resemblance, left_out))
        for topic, claims in topics.items()
    }


def _features(
    section: Section,
    topic: str,
    claims: Sequence[Claim],
    others: int,
    held: Precedents | None,
    resemblance: Scores,
    left_out: NDArray[np.int32],
) -> Iterator[tuple[str, float]]:
    claim = max(claims, key=lambda one: one.value)  # asserted before doubted
    start, end = claim.mention.sentence
    sentence = words(section.text[start:end])
    yield f"topic {topic}", 1.0
    yield "how often repeated where alike", _logit(_how_often_repeated(held, resemblance, left_out))
    yield "only doubted", float(claim.value < 0)
    yield "other topics", float(others)
    yield "mentions", float(len(claims))
    yield "opens the findings", float(start == 0)
    yield "how far down", start / len(section.text)
    yield "words in the sentence", len(sentence) / 10
    yield "measured", float(bool(claim.mention.measurements))
    for word in {word.value for word in claim.mention.severity}:
        yield f"severity {word}", 1.0
    for word in {word.value for word in claim.mention.change}:
        yield f"change {word}", 1.0
    for word in set(sentence):
        yield f"word {word}", 1.0


def _how_often_repeated(held: Precedents | None, resemblance: Scores, left_out: NDArray[np.int32]) -> float:
    """Of the precedents most alike the share that repeats, each weighed by its likeness."""
    if held is None:
        return _USUAL
    # The share of all precedents is taken with those left out: without them it would tell what they did.
    overall = (held.repeated.sum() + 3 * _USUAL) / (len(held.reports) + 3)
    keep = ~np.isin(held.reports, left_out)
    reports, repeated = held.reports[keep], held.repeated[keep]
    if not len(reports):
        return float(overall)
    scores = resemblance[reports]
    nearest = best(scores, _NEAREST)
    weights = scores[nearest].astype(np.float64) ** 2
    # Half a precedent of the usual kind keeps a single near one from deciding.
    return float((weights[repeated[nearest]].sum() + 0.5 * overall) / (weights.sum() + 0.5))


def any_of(probabilities: Iterable[float]) -> float:
    """The probability that at least one of several independent things happens."""
    return 1 - math.prod(1 - one for one in probabilities)


def _above(quantiles: Sequence[float], share: float) -> float:
    """The value above which a share of all lies."""
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies in 0..1, got {share}")
    return float(np.interp(100 * (1 - share), range(101), quantiles))


def _of_reports(probabilities: Scores, repeated: NDArray[np.bool_], numbers: Sequence[int]) -> list[float]:
    """For each report that repeats anything the probability, by folds, that it would."""
    mentions: dict[int, list[int]] = {}
    for at, number in enumerate(numbers):
        mentions.setdefault(number, []).append(at)
    return [any_of(probabilities[held]) for held in mentions.values() if repeated[held].any()]


def _logit(share: float) -> float:
    return math.log((share + 0.02) / (1 - share + 0.02))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _weigh(weights: Mapping[str, float], features: Mapping[str, float]) -> float:
    return sum(weights.get(name, 0.0) * value for name, value in features.items())
