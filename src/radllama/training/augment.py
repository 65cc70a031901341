"""Augmentation: more training examples out of the same reports, none of which says what is not true.

A few thousand reports teach a small model the sentence that is most often right, long before they teach
it to carry what is abnormal from findings to impression. Two things help, both off unless a recipe asks:

- *variations* of a report that leave its impression valid: left and right swapped in both sections,
  sentences of the findings in another order, a normal sentence left out or brought in from elsewhere;
- *copy tasks*: sentences of many reports thrown together, of which the abnormal ones are to be repeated.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from radllama.evaluation.normality import is_normal
from radllama.prompt import Prompt
from radllama.recipe import Augment
from radllama.report import Report
from radllama.text import sentences, words

# The same beginning as the plain template: what one task teaches about findings serves the other.
COPY_PROMPT = Prompt(template="copy", before="findings: ", after="\nabnormal:", completion=" {impression}")
NOTHING_ABNORMAL = "None."

_SIDE = re.compile(r"\b(left|right)(?![a-z])", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left"}


# A sentence with one of these is not plainly abnormal: it denies, calls normal, or tells of the examination.
_NOT_ABNORMAL = {
    *("no", "not", "without", "none", "negative", "free", "normal", "unremarkable", "clear", "intact", "limits"),
    *("well", "view", "views", "image", "images", "examination", "exam", "radiograph", "radiographs", "study"),
    *("comparison", "compared", "obtained", "interval", "chest"),
}


@dataclass(frozen=True, slots=True)
class Pool:
    """The sentences of all training findings, from which tasks are made and normal ones brought in."""

    normal: list[str]
    abnormal: list[str]


def build_pool(reports: Sequence[Report]) -> Pool:
    """The sentences that are plainly normal (by the rule that makes the strata) and plainly abnormal."""
    said = [sentence for report in reports for sentence in sentences(report.findings)]
    return Pool(
        normal=[sentence for sentence in said if is_normal(sentence)],
        abnormal=[sentence for sentence in said if _is_plainly_abnormal(sentence)],
    )


def vary(report: Report, choice: Augment, pool: Pool, rng: random.Random) -> Report:
    """The report in other words that its impression still answers; each change is a throw of the dice."""
    findings = sentences(report.findings)
    if rng.random() < choice.drop:
        normal = [i for i, sentence in enumerate(findings) if is_normal(sentence)]
        if normal and len(findings) > 1:
            del findings[rng.choice(normal)]
    if rng.random() < choice.insert and pool.normal:
        new = rng.choice(pool.normal)
        if not _touches(new, findings):
            findings.insert(rng.randint(0, len(findings)), new)
    if rng.random() < choice.shuffle:
        rng.shuffle(findings)
    varied = replace(report, findings=" ".join(findings))
    if rng.random() < choice.swap_sides:
        varied = replace(varied, findings=swap_sides(varied.findings), impression=swap_sides(report.impression))
    return varied


def make_copy_task(pool: Pool, rng: random.Random) -> tuple[str, str]:
    """Findings made of other reports' sentences, and the abnormal ones among them in their order."""
    abnormal = _draw(pool.abnormal, rng.choice((0, 1, 1, 2, 2, 3)), rng)
    mixed = [(sentence, True) for sentence in abnormal]
    mixed += [(sentence, False) for sentence in _draw(pool.normal, rng.randint(1, 6), rng)]
    rng.shuffle(mixed)
    findings = " ".join(sentence for sentence, _ in mixed)
    answer = " ".join(sentence for sentence, wanted in mixed if wanted) or NOTHING_ABNORMAL
    return (swap_sides(findings), swap_sides(answer)) if rng.random() < 0.5 else (findings, answer)


def swap_sides(text: str) -> str:
    """Left for right and right for left, in the case they stand in."""

    def other(match: re.Match[str]) -> str:
        side = match[0]
        swapped = _OTHER[side.lower()]
        return swapped.upper() if side.isupper() else swapped.capitalize() if side[0].isupper() else swapped

    return _SIDE.sub(other, text)


def _is_plainly_abnormal(sentence: str) -> bool:
    said = words(sentence)
    return len(said) > 1 and not is_normal(sentence) and _NOT_ABNORMAL.isdisjoint(said)


def _touches(sentence: str, findings: Sequence[str]) -> bool:
    # A normal heart must not be brought into a report of a large one.
    said = {word for other in findings if not is_normal(other) for word in words(other) if len(word) > 3}
    return any(word in said for word in words(sentence))


def _draw(sentences_: Sequence[str], count: int, rng: random.Random) -> list[str]:
    return rng.sample(sentences_, min(count, len(sentences_)))
