"""The rules' words and relations: `checks.yaml`, read and compiled."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from radllama.clinical.lexicon import load_lexicon


@dataclass(frozen=True, slots=True)
class Rules:
    """`checks.yaml`, compiled.

    `restates` maps every topic to those that may stand for it, itself included, `related` to those and others that
    support it in a draft, `denied_together` to those whose denial denies it; `covered_by` holds further ones that
    repeat it when asserted. `must_repeat` maps a topic to the words of its sentence that excuse leaving it out, or
    None. The other fields are as their comments in the file say.
    """

    topics: Mapping[str, str]
    related: Mapping[str, frozenset[str]]
    denied_together: Mapping[str, frozenset[str]]
    restates: Mapping[str, frozenset[str]]
    covered_by: Mapping[str, frozenset[str]]
    must_repeat: Mapping[str, re.Pattern[str] | None]
    acute: frozenset[str]
    called_alike: frozenset[str]
    advised: frozenset[str]
    limiting: re.Pattern[str]
    no_comparison: re.Pattern[str]
    last_words: re.Pattern[str]
    not_an_impression: re.Pattern[str]


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
    lists = (data[name] for name in ("must_repeat", "acute", "called_alike", "advised", "supported_by"))
    named = {*data["topics"], *data["topics"].values(), *together}.union(
        *lists, *related.values(), *covered_by.values()
    )
    if unknown := named - set(load_lexicon().concepts):
        raise ValueError(f"checks.yaml: no such concept: {sorted(unknown)}")
    return Rules(
        topics=data["topics"],
        related=_freeze(related),
        restates=_freeze(restates),
        covered_by=covered_by,
        denied_together={name: together.get(name, frozenset({name})) for name in related},
        must_repeat={name: _any_of([unless]) if unless else None for name, unless in data["must_repeat"].items()},
        acute=frozenset(data["acute"]),
        called_alike=frozenset(data["called_alike"]),
        advised=frozenset(data["advised"]),
        **{name: _any_of(data[name]) for name in ("limiting", "no_comparison", "last_words", "not_an_impression")},
    )


def _freeze(mapping: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(others) for name, others in mapping.items()}


def _any_of(terms: list[str]) -> re.Pattern[str]:
    spaced = (term.replace(" ", r"\s+") for term in terms)
    return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(spaced)})(?![a-z0-9])", re.IGNORECASE)
