"""What is said about each mention beside its presence: side, place, severity, change; sizes; words about priors.

Which mention a word belongs to: one that follows a mention's "in", "at" or "on" belongs to it ("atelectasis at the
left base"); any other to the next mention of its statement ("small left effusion"), or, where none follows, to the
one before ("the effusion has increased").
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from radllama.clinical.context import Found
from radllama.clinical.lexicon import Hit, Lexicon

_PLACED_BEFORE = re.compile(r"\b(?:in|at|on|of|along|within|over|overlying|involving|throughout|near)\b")
_JOINT = re.compile(r"\b(?:and|but|with|however|without)\b|[,;]")
# "The lungs are mildly hyperinflated": a degree right before a mention is the mention's.
_QUALIFIES = re.compile(r" (?:(?!(?:in|at|on|of|and|or|with|is|are|was|were)\b)[\w-]+ ){0,3}")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(slots=True)
class Attributes:
    """What one mention's sentence says about it; each list holds hits whose `what` is the value, in order."""

    side: list[Hit] = field(default_factory=list)
    place: list[Hit] = field(default_factory=list)
    severity: list[Hit] = field(default_factory=list)
    change: list[Hit] = field(default_factory=list)


def assign(sentence: str, found: Sequence[Found], lexicon: Lexicon) -> list[Attributes]:
    """The attributes of each mention found in a lower-case sentence, in the same order."""
    assigned = [Attributes() for _ in found]
    for name in ("side", "place", "severity", "change"):
        for hit in lexicon.attributes[name].find(sentence):
            owner = _owner(sentence, name, hit, found)
            if owner is not None:
                getattr(assigned[owner], name).append(hit)
    return assigned


def measure(sentence: str, lexicon: Lexicon) -> list[tuple[Hit, tuple[float, ...]]]:
    """Each measurement of a lower-case sentence: where it stands, and its dimensions in millimetres, as ordered."""
    measured = []
    for match in lexicon.measurement.finditer(sentence):
        factor = 10.0 if match["unit"].startswith("c") else 1.0
        sizes = tuple(round(float(number) * factor, 3) for number in _NUMBER.findall(match["size"]))
        measured.append((Hit(match["unit"], match.start(), match.end()), sizes))
    return measured


def owner_of_measurement(hit: Hit, found: Sequence[Found]) -> int | None:
    """The index of the mention a size belongs to: "a 4 mm nodule", else the last one before it, else the next."""
    follows = [i for i, one in enumerate(found) if 0 <= one.hit.start - hit.end <= 30 and one.concept.kind == "finding"]
    before = [i for i, one in enumerate(found) if one.hit.end <= hit.start and one.concept.kind != "organ"]
    after = [i for i, one in enumerate(found) if one.hit.start >= hit.end and one.concept.kind != "organ"]
    for choice in (follows[:1], before[-1:], after[:1]):
        if choice:
            return choice[0]
    return None


def _owner(sentence: str, name: str, hit: Hit, found: Sequence[Found]) -> int | None:
    for i, one in enumerate(found):
        if one.hit.start <= hit.start and hit.end <= one.hit.end:
            return i  # inside the name itself: "left atrial enlargement"
    before = max((i for i, one in enumerate(found) if one.hit.end <= hit.start), default=None)
    after = min((i for i, one in enumerate(found) if one.hit.start >= hit.end), default=None)
    if name == "severity" and after is not None and _QUALIFIES.fullmatch(sentence[hit.end : found[after].hit.start]):
        return after
    if before is not None:
        gap = sentence[found[before].hit.end : hit.start]
        if not _JOINT.search(gap) and (after is None or _PLACED_BEFORE.search(gap) or _predicate(gap)):
            return before
    if after is not None and not re.search(r"[;,]|\bbut\b", sentence[hit.end : found[after].hit.start]):
        return after
    return before


def _predicate(gap: str) -> bool:
    # "The effusion is small and ...": what follows the verb of a mention speaks of it.
    return bool(re.search(r"\b(?:is|are|has|have|appears?|remains?|was|were|measur\w+)\b", gap))
