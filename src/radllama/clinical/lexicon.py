"""The lexicon: concepts, cues and attributes read from their YAML files and compiled into a few expressions."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

# CheXpert's fourteen, in its order.
OBSERVATIONS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Lesion",
    "Lung Opacity",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
Kind = Literal["finding", "organ", "device", "remark"]
KINDS: tuple[Kind, ...] = ("finding", "organ", "device", "remark")
CUES = ("pseudo", "deny", "denied", "either", "doubt", "doubted", "past", "stop", "affirm")
STATES = ("normal", "large", "borderline", "stable")
ATTRIBUTES = ("side", "place", "severity", "change", "prior", "recommendation")


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing a report can name; see the head of `concepts.yaml` for what its fields mean."""

    name: str
    kind: Kind
    observations: tuple[str, ...]
    asserted: int | None
    denies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A place in a text where an expression matched: what it is, and its first character and the one past its last."""

    what: str
    start: int
    end: int


class Finder:
    """One expression out of many named terms. The leftmost match wins, of those at one place the longest pattern."""

    def __init__(self, terms: Iterable[tuple[str, str]]) -> None:
        ordered = sorted(terms, key=lambda pair: -len(pair[1]))
        self._names = [name for name, _ in ordered]
        alternatives = (f"(?P<t{i}>{_spaced(term)})" for i, (_, term) in enumerate(ordered))
        # Word boundaries by hand: a term may begin with "?" or end in ":", where \b would look for a letter.
        self._expression = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(alternatives)})(?![a-z0-9])")

    def find(self, text: str) -> list[Hit]:
        """Every match in a lower-case text, from left to right, none overlapping another."""
        return [
            Hit(self._names[int(match.lastgroup[1:])], match.start(), match.end())
            for match in self._expression.finditer(text)
            if match.lastgroup and match.end() > match.start()
        ]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All the words, compiled. `measurement` has the groups size and unit; `new_statement` matches a joint."""

    concepts: Mapping[str, Concept]
    mentions: Finder
    cues: Finder
    states: Finder
    new_statement: re.Pattern[str]
    attributes: Mapping[str, Finder]
    measurement: re.Pattern[str]


@cache
def load_lexicon() -> Lexicon:
    """The lexicon of the package, compiled once a process. Raises ValueError when a file of it is not well-formed."""
    entries, cues, attributes = (_load(name) for name in ("concepts", "cues", "attributes"))
    concepts = {concept.name: concept for concept in map(_parse_concept, entries)}
    if len(concepts) != len(entries):
        raise ValueError("concepts.yaml: a concept stands twice")
    if set(cues) != {*CUES, *STATES, "new_statement"} or set(attributes) != {*ATTRIBUTES, "measurement"}:
        raise ValueError("cues.yaml, attributes.yaml: a group is missing or unknown")
    return Lexicon(
        concepts,
        mentions=Finder((entry["concept"], term) for entry in entries for term in entry["terms"]),
        cues=Finder((name, term) for name in CUES for term in cues[name]),
        states=Finder((name, term) for name in STATES for term in cues[name]),
        attributes={name: Finder(_pairs(attributes[name])) for name in ATTRIBUTES},
        new_statement=re.compile(
            rf"(?:,(?:\s+(?:and|or))?|\band)\s+(?=(?:{_spaced('|'.join(cues['new_statement']))})\b)"
        ),
        measurement=re.compile(rf"(?<![\w.])(?:{attributes['measurement']})\b"),
    )


@cache
def load_radiology_words() -> frozenset[str]:
    """Words of radiology at large, of every body part, in lower case and of four letters or more."""
    text = files("radllama.clinical").joinpath("radiology_words.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(word for line in lines for word in line.split())


def _load(name: str) -> Any:
    return yaml.safe_load(files("radllama.clinical").joinpath(f"{name}.yaml").read_text(encoding="utf-8"))


def _parse_concept(entry: dict[str, Any]) -> Concept:
    name, kind, observations = entry["concept"], entry["kind"], tuple(entry.get("observations", ()))
    denies = tuple(entry.get("denies", ()))
    if unknown := {*observations, *denies} - set(OBSERVATIONS):
        raise ValueError(f"concepts.yaml: {name}: no such observation: {sorted(unknown)}")
    if kind not in KINDS:
        raise ValueError(f"concepts.yaml: {name}: kind must be one of {KINDS}, got {kind!r}")
    return Concept(name, kind, observations, entry.get("asserted", None if kind == "organ" else 1), denies)


def _pairs(group: dict[str, list[str]] | list[str]) -> list[tuple[str, str]]:
    if isinstance(group, list):
        return [("", term) for term in group]
    return [(value, term) for value, terms in group.items() for term in terms]


def _spaced(term: str) -> str:
    # Any white space for each space, except in a look behind, whose width must be fixed.
    return re.sub(r"(\(\?<![^)]*\))| ", lambda match: match[1] or r"(?:\s+)", term)
