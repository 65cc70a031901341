"""The fourteen observations of a section, by CheXpert's convention, with the words that decided each.

An observation that is asserted anywhere is 1; else -1 when doubted anywhere; else 0 when denied; else None. "No
Finding" is 1 when nothing abnormal is asserted or doubted (devices and low lung volumes are not abnormal), else
None. A healthy organ ("the lungs are clear") denies no observation that it does not name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radllama.clinical.lexicon import OBSERVATIONS
from radllama.clinical.read import Mention, Reading, Span, read
from radllama.errors import InputError
from radllama.files import write_jsonl
from radllama.report import parse_text, read_identified

_STRENGTH = {1: 2, -1: 1, 0: 0}


@dataclass(frozen=True, slots=True)
class Evidence:
    """A mention that decided an observation's value, and the cue that decided the mention's; spans into the section."""

    observation: str
    value: int
    mention: Span
    cue: Span | None

    def to_json(self) -> dict[str, Any]:
        """One entry of `spans` in a line of LABELS."""
        return {"observation": self.observation, "value": self.value, "mention": self.mention, "cue": self.cue}


@dataclass(frozen=True, slots=True)
class Labels:
    """The value of each of the fourteen observations (1, 0, -1 or None), and the evidence for those that have one."""

    values: dict[str, int | None]
    evidence: tuple[Evidence, ...]


def label(text: str) -> Labels:
    """The labels of one section. An empty one mentions nothing: all None, "No Finding" too."""
    return decide(read(text), bool(text.strip()))


def decide(reading: Reading, has_text: bool = True) -> Labels:
    """The labels of what was read; `has_text` false leaves "No Finding" open."""
    values: dict[str, int | None] = dict.fromkeys(OBSERVATIONS)
    deciding: dict[str, list[Mention]] = {}
    for mention in reading.mentions:
        if mention.value is None:
            continue
        for observation in mention.concept.observations:
            held = values[observation]
            if held is None or _STRENGTH[mention.value] > _STRENGTH[held]:
                values[observation], deciding[observation] = mention.value, [mention]
            elif mention.value == held:
                deciding[observation].append(mention)
    if has_text and not any(map(_is_abnormal, reading.mentions)):
        values["No Finding"] = 1
    evidence = (
        Evidence(observation, mention.value, mention.span, mention.cue)
        for observation in OBSERVATIONS
        for mention in deciding.get(observation, ())
        if mention.value is not None
    )
    return Labels(values, tuple(evidence))


def label_file(reports: Path, out: Path, field: str = "findings") -> dict[str, int]:
    """Label one section of every line of a `.jsonl` file into `out`; returns counts: reports, empty.

    A line needs an `id` and the field as text, null or nothing. Raises InputError at the first line that is not so;
    `out` is then left as it was.
    """
    if out.resolve() == reports.resolve():
        raise InputError(f"{out}: --out must be another file than --in")
    counts = {"reports": 0, "empty": 0}
    write_jsonl(out, _label_rows(reports, field, counts))
    return counts


def _label_rows(reports: Path, field: str, counts: dict[str, int]) -> Iterator[dict[str, Any]]:
    any_field = False
    for where, identity, row in read_identified(reports):
        any_field |= field in row
        text = parse_text(row, field, where)
        counts["reports"] += 1
        counts["empty"] += not text.strip()
        labels = label(text)
        yield {"id": identity, "labels": labels.values, "spans": [one.to_json() for one in labels.evidence]}
    if not counts["reports"]:
        raise InputError(f"{reports}: holds no line; one JSON object a report is expected")
    if not any_field:
        raise InputError(f'{reports}: no line has "{field}"; name the section with --field')


def _is_abnormal(mention: Mention) -> bool:
    return mention.concept.kind in ("finding", "organ") and mention.value in (1, -1)
