"""HL7 v2 answers: the acknowledgment of a message, and an ORU^R01 with a draft, status P."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from radllama.reports.hl7 import Message

ACCEPTED, ERROR, REJECTED = "AA", "AE", "AR"
_APPLICATION = "RADLLAMA"
_PLAIN = Message("|^~\\&", ())
_COPIED = ("PID", "PD1", "PV1", "ORC")
_RESULT_STATUS = 25  # of OBR


@dataclass(frozen=True, slots=True)
class Shown:
    """A draft as it is sent: its text, the kinds of its flags, and what made it."""

    id: str
    impression: str
    flags: Sequence[str]
    model: str
    weights_sha256: str
    prompt: str


def render_ack(given: Message | None, code: str, told: str, control_id: str, moment: datetime) -> bytes:
    """The acknowledgment: AA, AE (its content cannot be used) or AR (not read at all), with the reason in ERR."""
    answered = given.field("MSH", 10) if given else ""
    lines = [_head(given, "ACK^R01^ACK" if given else "ACK", control_id, moment), f"MSA|{code}|{_own(given, answered)}"]
    if code != ACCEPTED:
        reason = "200^Unsupported message type" if code == REJECTED else "207^Application error"
        lines.append(f"ERR|||{reason}^HL70357|E||||{_PLAIN.escape(told)}")
    return _join(lines)


def render_result(given: Message, draft: Shown, control_id: str, moment: datetime) -> bytes:
    """An ORU^R01 about the same order: a preliminary impression, and in NTE what made it and its flags."""
    lines = [_head(given, "ORU^R01^ORU_R01", control_id, moment)]
    lines += [_own_segment(given, segment) for name in _COPIED for segment in given.all(name)[:1]]
    order = list(next(iter(given.all("OBR")), ("OBR", "1")))
    order += [""] * (_RESULT_STATUS + 1 - len(order))
    order[_RESULT_STATUS] = "P"
    lines.append(_own_segment(given, order))
    for number, line in enumerate(draft.impression.splitlines() or [""], start=1):
        lines.append(f"OBX|{number}|TX|19005-8^Impression^LN||{_PLAIN.escape(line)}||||||P|||{moment:%Y%m%d%H%M%S}")
    made = f"{draft.id} by {draft.model}, weights {draft.weights_sha256 or 'not hashed'}, prompt {draft.prompt}"
    notes = [
        f"Draft {made}",
        "A radiologist reads, corrects and signs; this draft is no report.",
        *(f"Flag: {kind}" for kind in draft.flags),
    ]
    lines += [f"NTE|{number}|L|{_PLAIN.escape(text)}" for number, text in enumerate(notes, start=1)]
    return _join(lines)


def _head(given: Message | None, kind: str, control_id: str, moment: datetime) -> str:
    sender = [_own(given, given.field("MSH", number)) if given else "" for number in (5, 6, 3, 4)]
    process = given.field("MSH", 11) if given else "P"
    version = given.field("MSH", 12) if given else "2.5.1"
    ours, theirs = "|".join([sender[0] or _APPLICATION, sender[1]]), "|".join(sender[2:])
    stamp = f"{moment:%Y%m%d%H%M%S%z}"
    rest = f"{kind}|{control_id}|{process or 'P'}|{version or '2.5.1'}||||||UNICODE UTF-8"
    return f"MSH|^~\\&|{ours}|{theirs}|{stamp}||{rest}"


def _own_segment(given: Message, segment: Sequence[str]) -> str:
    return "|".join([segment[0], *(_own(given, field) for field in segment[1:])])


def _own(given: Message | None, field: str) -> str:
    """A field of theirs, in our separators."""
    if given is None or given.separators == _PLAIN.separators:
        return field
    swap = dict(zip(given.separators, _PLAIN.separators, strict=True))
    ours = {one: f"\\{name}\\" for one, name in zip(_PLAIN.separators, "FSRET", strict=True)}
    return "".join(swap.get(one, ours.get(one, one)) for one in field)


def _join(lines: Sequence[str]) -> bytes:
    return ("\r".join(lines) + "\r").encode("utf-8", "replace")
