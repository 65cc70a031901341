"""One study of the sample hospital: what is abnormal, how it is dictated, what the impression makes of it."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from radllama.reports.sample_grammar import COURSES, Condition, Exam, Structure, expand

MINOR_BELOW = 20  # conditions of less weight stay out of the impression
URGENT_FROM = 90
_MAX_WORDS = 86  # of findings: small models have short contexts

_SERIOUS = {0: 35, 1: 32, 2: 20, 3: 10, 4: 3}  # how many conditions of weight, in parts of 100
_MINOR = {0: 62, 1: 28, 2: 10}

# What a change is called in the findings (one is drawn) and in the impression (always the same).
_CHANGE_IN_FINDINGS = {
    "new": (", new since the prior study", ", not seen previously", ", new"),
    "unchanged": (", unchanged", ", stable since the prior study", ", similar to the prior study"),
    "increased": (", increased since the prior study", ", more than before", ", increased"),
    "decreased": (", decreased since the prior study", ", less than before", ", decreased"),
}
_CHANGE_IN_IMPRESSION = {
    "": "",
    "new": ", new",
    "unchanged": ", unchanged",
    "increased": ", increased",
    "decreased": ", decreased",
    "resolved": ", resolved",
}
_RESOLVED_WEIGHT = 21  # last in the impression, but in it
_NO_ADVICE = ("unchanged", "decreased", "resolved")  # was advised before


@dataclass(frozen=True, slots=True)
class Abnormality:
    """A condition as one study shows it: its slots' values and, with a prior study, its change.

    `size` and `size_before` are in the condition's unit; None where nothing is measured or compared.
    """

    condition: Condition
    values: Mapping[str, str]
    size: float | None = None
    change: str = ""
    size_before: float | None = None

    @property
    def weight(self) -> int:
        """Clinical weight: the condition's, moved by its values (a large effusion counts for more)."""
        if self.change == "resolved":
            return _RESOLVED_WEIGHT
        heavier = self.condition.heavier
        return self.condition.weight + sum(heavier.get(value, 0) for value in self.values.values())

    @property
    def minor(self) -> bool:
        """Whether the impression leaves it out."""
        return self.weight < MINOR_BELOW


def draw_first(exam: Exam, study: Mapping[str, str], rng: random.Random) -> list[Abnormality]:
    """What is abnormal in a patient's first study; often nothing."""
    found: list[Abnormality] = []
    _add(exam, found, _draw_count(_SERIOUS, rng), study, rng, minor=False)
    _add(exam, found, _draw_count(_MINOR, rng), study, rng, minor=True)
    return found


def draw_next(
    exam: Exam, prior: Sequence[Abnormality], study: Mapping[str, str], rng: random.Random
) -> list[Abnormality]:
    """What the next study shows: the prior conditions, each on its course, and perhaps something new."""
    found = [_progress(each, rng) for each in prior if each.change != "resolved"]
    if rng.random() < (0.3 if len(found) < 3 else 0.0):
        _add(exam, found, 1, study, rng, minor=False, change="new")
    return found


def render_findings(exam: Exam, found: Sequence[Abnormality], study: Mapping[str, str], rng: random.Random) -> str:
    """The findings section: one line of sentences, in the order of the exam's structures.

    Structures without anything abnormal get a normal statement, as long as the whole stays short.
    """
    opening = expand(rng.choice(exam.opening), study, rng) if exam.opening else ""
    statements: list[tuple[str, bool]] = []  # (sentence, whether it may be left out)
    covered = {name for each in found if each.change != "resolved" for name in each.condition.silences}
    for structure in exam.structures:
        here = [each for each in found if each.condition in structure.conditions]
        statements += [(_finding(each, rng), False) for each in here]
        still_there = [each for each in here if each.change != "resolved"]
        if structure.name in covered:
            continue
        if still_there:
            if structure.otherwise and rng.random() < 0.4:
                statements.append((rng.choice(structure.otherwise), True))
        elif len(statements) > 1 and rng.random() < 0.06:
            continue  # left unmentioned, but two sentences there must be
        elif normal := _draw_normal(exam, structure, found, covered, rng):
            statements.append((normal, True))
            covered.add(structure.name)
    if rng.random() < 0.15:  # some dictate the abnormal first
        statements.sort(key=lambda statement: statement[1])
    while sum(len(text.split()) for text, _ in statements) > _MAX_WORDS:
        spare = [index for index, (_, may_go) in enumerate(statements) if may_go]
        if not spare:
            break
        del statements[rng.choice(spare)]
    texts = (expand(text, {}, rng) if may_go else text for text, may_go in statements)
    return " ".join(text[0].upper() + text[1:] for text in (opening, *texts) if text)


def render_impression(exam: Exam, found: Sequence[Abnormality], study: Mapping[str, str]) -> str:
    """The impression in the house style: a function of what is abnormal, without any chance in it.

    Heaviest first, numbered when there are several, one a line; minor things are left out.
    """
    items = [_item(each) for each in sorted(found, key=lambda each: -each.weight) if not each.minor]
    if not items:
        return expand(exam.minor if found else exam.normal, study, random.Random(0))
    if len(items) == 1:
        return items[0]
    return "\n".join(f"{number}. {item}" for number, item in enumerate(items, start=1))


def _draw_count(parts: Mapping[int, int], rng: random.Random) -> int:
    return rng.choices(list(parts), weights=list(parts.values()))[0]


def _add(
    exam: Exam,
    found: list[Abnormality],
    count: int,
    study: Mapping[str, str],
    rng: random.Random,
    *,
    minor: bool,
    change: str = "",
) -> None:
    for _ in range(count):
        candidates = list(_candidates(exam, found, minor=minor, new=change == "new"))
        if not candidates:
            return
        odds = [_odds(condition, found) for condition in candidates]
        found.append(_draw(rng.choices(candidates, weights=odds)[0], found, study, change, rng))


def _candidates(exam: Exam, found: Iterable[Abnormality], *, minor: bool, new: bool) -> Iterator[Condition]:
    present = {each.condition.name for each in found}
    excluded = {name for each in found for name in each.condition.not_with}
    for structure in exam.structures:
        taken = sum(condition.name in present for condition in structure.conditions)
        if taken >= structure.limit:
            continue
        for condition in structure.conditions:
            if (condition.weight < MINOR_BELOW) != minor or (new and condition.course == "chronic"):
                continue
            if condition.name not in present | excluded and not present & set(condition.not_with):
                yield condition


def _odds(condition: Condition, found: Iterable[Abnormality]) -> float:
    companions = sum(
        condition.name in each.condition.goes_with or each.condition.name in condition.goes_with for each in found
    )
    return condition.often * 3.0**companions


def _draw(
    condition: Condition,
    found: Sequence[Abnormality],
    study: Mapping[str, str],
    change: str,
    rng: random.Random,
) -> Abnormality:
    # Two lesions at the same place would contradict each other ("at L4-L5 a bulge ... an extrusion").
    places = {each.values[slot] for each in found for slot in ("place", "level") if slot in each.values}
    values = dict(study)
    for slot, choices in condition.slots.items():
        free = [choice for choice in choices if choice not in places]
        values[slot] = rng.choice(free or choices)
    size = condition.size.draw(rng) if condition.size else None
    return Abnormality(condition, values, size, change)


def _progress(prior: Abnormality, rng: random.Random) -> Abnormality:
    courses = COURSES[prior.condition.course]
    change = rng.choices(courses, weights=(40, 25, 25, 10)[: len(courses)])[0]
    values, size = dict(prior.values), prior.size
    step = {"increased": 1, "decreased": -1}.get(change, 0)
    if step and "severity" in values:
        grades = prior.condition.slots["severity"]
        grade = grades.index(values["severity"]) + step
        values["severity"] = grades[min(max(grade, 0), len(grades) - 1)]
    if step and size is not None and prior.condition.size:
        least = 0.2 if prior.condition.size.unit == "cm" else 1
        size = prior.condition.size.rounded(size + step * max(least, size * rng.uniform(0.1, 0.35)))
    return Abnormality(prior.condition, values, size, change, prior.size if step else None)


def _draw_normal(
    exam: Exam, structure: Structure, found: Sequence[Abnormality], covered: set[str], rng: random.Random
) -> str | None:
    abnormal = {
        each.name
        for each in exam.structures
        if any(item.condition in each.conditions for item in found if item.change != "resolved")
    }
    groups = [
        group
        for group in exam.groups
        if structure.name in group.covers and not set(group.covers) & (abnormal | covered)
    ]
    if groups and rng.random() < 0.6:
        group = rng.choice(groups)
        covered.update(group.covers)
        return rng.choice(group.say)
    return rng.choice(structure.normal) if structure.normal else None


def _values(item: Abnormality) -> dict[str, str]:
    values = dict(item.values)
    if item.size is not None and item.condition.size:
        values["size"] = item.condition.size.render(item.size)
    return values


def _before(item: Abnormality) -> str:
    if item.size_before is None or item.condition.size is None:
        return ""
    return item.condition.size.render(item.size_before)


def _finding(item: Abnormality, rng: random.Random) -> str:
    """One abnormal sentence, with its change."""
    values = _values(item)
    if item.change == "resolved":
        thing = expand(item.condition.impression, values, rng)
        wordings = ("Previously seen {} has resolved.", "Interval resolution of the {}.", "The {} has resolved.")
        return rng.choice(wordings).format(thing)
    text = expand(rng.choice(item.condition.findings), values, rng)
    if before := _before(item):
        change = rng.choice((f", {item.change} from {before}", f", {item.change}, previously {before}"))
    else:
        change = rng.choice(_CHANGE_IN_FINDINGS[item.change]) if item.change else ""
    return f"{text}{change}."


def _item(item: Abnormality) -> str:
    """One sentence of the impression, with its advice."""
    values = _values(item)
    text = expand(item.condition.impression, values, random.Random(0))
    before = _before(item)
    change = f", {item.change} from {before}" if before else _CHANGE_IN_IMPRESSION[item.change]
    urgent = "URGENT: " if item.weight >= URGENT_FROM and item.change not in _NO_ADVICE else ""
    advice = "" if item.change in _NO_ADVICE else _advice(item)
    return f"{urgent}{text[0].upper()}{text[1:]}{change}.{' ' + advice if advice else ''}"


def _advice(item: Abnormality) -> str:
    for when, advice in item.condition.advise.items():
        if isinstance(when, str):
            if when in item.values.values():
                return advice
        elif when == 0 or (item.size is not None and item.size >= when):
            return advice
    return ""
