"""The grammar of the sample hospital: how each exam is reported, read from `sample_exams/*.yaml`.

Template language: `[one|another|]` draws an alternative (none inside another), `{slot}` stands for a
drawn value, `{slot+ly}` for its adverb ("mild" becomes "mildly"). Fields: docs/sample-hospital.md.
"""

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

# course: what a later study of the same patient may say of it, and whether it may first appear there.
COURSES: dict[str, tuple[str, ...]] = {
    "acute": ("unchanged", "increased", "decreased", "resolved"),
    "growing": ("unchanged", "increased", "decreased"),
    "fixed": ("unchanged",),
    "chronic": ("unchanged",),  # and, unlike "fixed", never new
}

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)(\+ly)?\}")
_SIZE = re.compile(r"([\d.]+)-([\d.]+) (mm|cm|degrees)")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeio]|8(?:[ .]|\d\b)|11\b|18\b)")


@dataclass(frozen=True, slots=True)
class Size:
    """A measurement to draw: whole millimetres or degrees, or centimetres with one decimal."""

    low: float
    high: float
    unit: str

    def draw(self, rng: random.Random) -> float:
        """A value of the range, in its unit."""
        return self.rounded(rng.uniform(self.low, self.high))

    def rounded(self, value: float) -> float:
        """The value with as many decimals as a report of this unit gives."""
        return round(value, 1) if self.unit == "cm" else float(round(value))

    def render(self, value: float) -> str:
        """The value as it stands in a report: "8 mm", "3.4 cm"."""
        return f"{value:.1f} cm" if self.unit == "cm" else f"{value:.0f} {self.unit}"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something abnormal: how it stands in the findings and, always in one wording, in the impression.

    `weight` is clinical weight, 0..100: what is below `MINOR_BELOW` stays out of the impression.
    """

    name: str
    weight: int
    findings: tuple[str, ...]
    impression: str
    often: float = 1.0
    course: str = "acute"
    slots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    size: Size | None = None
    heavier: Mapping[str, int] = field(default_factory=dict)
    advise: Mapping[str | float, str] = field(default_factory=dict)  # by a slot's value, or size at least
    goes_with: tuple[str, ...] = ()
    not_with: tuple[str, ...] = ()
    silences: tuple[str, ...] = ()  # structures that are not called normal beside it


@dataclass(frozen=True, slots=True)
class Structure:
    """An organ or space, in the order of dictation; at most `limit` conditions of it in one study."""

    name: str
    conditions: tuple[Condition, ...]
    normal: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()
    limit: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """A normal statement that covers several structures at once."""

    covers: tuple[str, ...]
    say: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exam:
    """One kind of exam: the grammar of its reports. `share` is its part of the department's work."""

    name: str
    title: str
    noun: str
    share: float
    technique: tuple[str, ...]
    indications: tuple[str, ...]
    normal: str
    minor: str
    structures: tuple[Structure, ...]
    groups: tuple[Group, ...] = ()
    opening: tuple[str, ...] = ()
    study: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@lru_cache(maxsize=1)
def read_exams() -> dict[str, Exam]:
    """All exams by name, in alphabetical order. Raises ValueError, naming the place, at a fault in the grammar."""
    folder = resources.files("radllama.reports") / "sample_exams"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return {
        name.removesuffix(".yaml"): parse_exam(name.removesuffix(".yaml"), (folder / name).read_text("utf-8"))
        for name in names
    }


def parse_exam(name: str, text: str) -> Exam:
    """The exam that a YAML text describes. Raises ValueError with every fault found."""
    raw = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    raw = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    raw["structures"] = tuple(_parse_structure(each) for each in raw["structures"])
    raw["groups"] = tuple(Group(tuple(each["covers"]), tuple(each["say"])) for each in raw.get("groups", ()))
    raw["study"] = {key: _texts(value) for key, value in raw.get("study", {}).items()}
    exam = Exam(name=name, **raw)
    if faults := list(_faults(exam)):
        raise ValueError(f"{name}: " + "; ".join(faults))
    return exam


def expand(template: str, values: Mapping[str, str], rng: random.Random) -> str:
    """A template as text: alternatives drawn, slots filled, spaces and a/an put right."""
    text = _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), template)
    text = _SLOT.sub(lambda match: values[match[1]] + ("ly" if match[2] else ""), text)
    text = re.sub(r"\s+", " ", text).replace(" .", ".").replace(" ,", ",").strip()
    return _ARTICLE.sub(r"\1n ", text)


def slots_of(template: str) -> set[str]:
    """The slots that a template names."""
    return {match[1] for match in _SLOT.finditer(template)}


def _parse_structure(raw: dict[str, Any]) -> Structure:
    raw = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    raw["conditions"] = tuple(_parse_condition(each) for each in raw["conditions"])
    return Structure(**raw)


def _parse_condition(raw: dict[str, Any]) -> Condition:
    raw = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    slots = dict(raw.get("slots", {}))
    if "size" in slots:
        match = _SIZE.fullmatch(slots.pop("size"))
        if match is None:
            raise ValueError(f"{raw['name']}: a size is written like 4-19 mm")
        raw["size"] = Size(float(match[1]), float(match[2]), match[3])
    raw["slots"] = {key: _texts(value) for key, value in slots.items()}
    advise = raw.get("advise", {})
    raw["advise"] = {0: advise} if isinstance(advise, str) else advise
    return Condition(**raw)


def _texts(values: list[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _faults(exam: Exam) -> Iterator[str]:
    names = {structure.name for structure in exam.structures}
    conditions = [condition for structure in exam.structures for condition in structure.conditions]
    known = {condition.name for condition in conditions}
    if len(known) < len(conditions):
        yield "two conditions share a name"
    # What an impression states must stand in the findings, whatever wording is drawn.
    opened = set.intersection(*map(_slots_always_in, exam.opening)) if exam.opening else set()
    for what, template in (("normal", exam.normal), ("minor", exam.minor)):
        if missing := slots_of(template) - opened:
            yield f"{what}: no opening names {sorted(missing)}"
    for group in exam.groups:
        if unknown := set(group.covers) - names:
            yield f"a group covers unknown structures {sorted(unknown)}"
    for condition in conditions:
        own = set(condition.slots) | ({"size"} if condition.size else set()) | set(exam.study)
        if condition.course not in COURSES:
            yield f"{condition.name}: course must be one of {', '.join(COURSES)}"
        if unknown := {*condition.goes_with, *condition.not_with} - known | set(condition.silences) - names:
            yield f"{condition.name}: unknown names {sorted(unknown)}"
        for template in (*condition.findings, condition.impression):
            if unknown := slots_of(template) - own:
                yield f"{condition.name}: unknown slots {sorted(unknown)}"
        for template in condition.findings:
            if missing := slots_of(condition.impression) - opened - _slots_always_in(template):
                yield f"{condition.name}: the findings may lack {sorted(missing)}"


def _slots_always_in(template: str) -> set[str]:
    return slots_of(_CHOICE.sub("", template))
