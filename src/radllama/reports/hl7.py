"""HL7 v2: a message as bytes -> its fields, and ORU^R01 results -> reports.

Split here, by the separators that the message declares, rather than by the hl7 library: its parser (0.4.5) takes
seconds and hundreds of megabytes for a hostile half megabyte, and its `unescape` logs the field it cannot decode,
which is patient text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from radllama.errors import InputError
from radllama.report import Report
from radllama.reports.archive import read_members
from radllama.reports.parts import NO_TEXT, Part, join_parts, section_of
from radllama.reports.sections import PRELIMINARY, Unusable

MOST_BYTES = 128 * 1024
BROKEN = "not an HL7 v2 message"
NO_NUMBER = "no order or message number"
NOT_RESULTS = "not ORU^R01"
_MEMBER = re.compile(r"\.(hl7|oru|msg|dat|txt)$", re.IGNORECASE)
_CHARSETS = {"": "utf-8", "ASCII": "ascii", "UNICODE UTF-8": "utf-8", "8859/1": "latin-1", "8859/15": "iso8859-15"}
_TEXT_TYPES = ("TX", "FT", "ST")
_FINAL = ("F", "C", "")  # OBR-25, OBX-11: final, corrected, not said
_MESSAGE_START = re.compile(r"(?=^MSH.)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its separators, and each segment's fields as they stand; field 0 is the segment's name.

    MSH counts as the standard does: its field 1 is the separator itself.
    """

    separators: str  # field, component, repetition, escape, subcomponent
    segments: tuple[tuple[str, ...], ...]

    def all(self, name: str) -> list[tuple[str, ...]]:
        """Every segment of that name."""
        return [segment for segment in self.segments if segment[0] == name]

    def field(self, name: str, number: int) -> str:
        """A field of the first segment of that name as it stands; empty where there is none."""
        segment = next(iter(self.all(name)), ())
        return segment[number] if number < len(segment) else ""

    def component(self, name: str, number: int, component: int = 1) -> str:
        """A component (from 1) of a field's first repetition, as plain text."""
        first = self.field(name, number).split(self.separators[2])[0].split(self.separators[1])
        return self.unescape(first[component - 1]) if component <= len(first) else ""

    def unescape(self, text: str) -> str:
        """Text without escape sequences: separators, line breaks and characters are put back, highlighting goes."""
        mark = re.escape(self.separators[3])
        return re.sub(f"{mark}([^{mark}]{{0,40}}){mark}", self._replace, text)

    def escape(self, text: str) -> str:
        """Text as it may stand in a field."""
        names = dict(zip(self.separators, "FSRET", strict=True))
        escape = self.separators[3]
        lines = "".join(f"{escape}{names[one]}{escape}" if one in names else one for one in text).splitlines()
        return f"{escape}.br{escape}".join(lines)

    def _replace(self, match: re.Match[str]) -> str:
        code = match[1]
        named = {"F": 0, "S": 1, "R": 2, "E": 3, "T": 4}
        if code in named:
            return self.separators[named[code]]
        if code in (".br", ".sp", ".ce") or re.fullmatch(r"\.sp[+]?\d{1,2}", code):
            return "\n"
        if re.fullmatch(r"X([0-9A-Fa-f]{2})+", code):
            return bytes.fromhex(code[1:]).decode("latin-1").replace("\r", "\n")
        return ""


def parse_message(raw: bytes) -> Message:
    """The message in these bytes, with or without MLLP's frame. Raises InputError, which quotes nothing of it."""
    if len(raw) > MOST_BYTES:
        raise InputError(f"the message is over {MOST_BYTES:,} bytes; no report of text has that")
    raw = raw.strip(b"\x0b\x1c\r\n \x00")
    if not raw.startswith(b"MSH") or len(raw) < 9:
        raise InputError(f"{BROKEN}: it does not begin with MSH")
    head = raw.replace(b"\n", b"\r").split(b"\r", 1)[0].decode("latin-1").split(chr(raw[3]))
    charset = head[17].split("~")[0].strip() if len(head) > 17 else ""
    if charset not in _CHARSETS:
        raise InputError("MSH-18: this character set is not read; use UNICODE UTF-8, 8859/1 or ASCII")
    try:
        text = raw.decode(_CHARSETS[charset])
    except UnicodeDecodeError:
        said = charset or "UNICODE UTF-8, which is taken where MSH-18 is empty"
        raise InputError(f"the message is not in the character set that MSH-18 names ({said})") from None
    return _split(text)


def _split(text: str) -> Message:
    separators = text[3] + text.replace("\n", "\r").split("\r", 1)[0].split(text[3])[1][:4]
    if len(separators) < 5 or len(set(separators)) < 5 or any(map(str.isalnum, separators)):
        raise InputError(f"{BROKEN}: MSH-1 and MSH-2 name no five separators")
    segments: list[tuple[str, ...]] = []
    for line in re.split(r"[\r\n]+", text):
        fields = line.split(separators[0])
        if not line:
            continue
        if not re.fullmatch(r"[A-Z][A-Z0-9]{2}", fields[0]):
            raise InputError(f"{BROKEN}: segment {len(segments) + 1} has no name of three letters")
        segments.append(tuple([fields[0], separators[0], *fields[1:]] if fields[0] == "MSH" else fields))
    return Message(separators, tuple(segments))


def is_result(message: Message) -> bool:
    """Whether it is an ORU^R01."""
    return (message.component("MSH", 9, 1), message.component("MSH", 9, 2)) == ("ORU", "R01")


def parse_parts(message: Message) -> list[Part]:
    """The texts of its OBX segments; consecutive lines of one section are one text."""
    component, repetition, sub = message.separators[1], message.separators[2], message.separators[4]
    parts: list[Part] = []
    for obx in message.all("OBX"):
        if len(obx) < 6 or obx[2] not in _TEXT_TYPES:
            continue
        names = [message.unescape(one) for one in re.split(f"[{re.escape(component + sub + repetition)}]", obx[3])]
        # Text has no components: a separator that somebody forgot to escape is a character like any other.
        text = "\n".join(message.unescape(line) for line in obx[5].split(repetition))
        parts.append(Part(section_of(names, names), text))
    return parts


def read_hl7(path: Path) -> Iterator[Report | Unusable]:
    """Stream the reports of a folder, zip or tar of ORU^R01 messages (.hl7, .txt, ...), one or several a file.

    The id is the filler's order number (OBR-3), else the placer's (OBR-2), else the message's (MSH-10). What is no
    ORU^R01, preliminary (OBR-25, OBX-11), or cannot be read is yielded as Unusable.
    """
    expected = "a folder or archive of HL7 v2 messages (.hl7, .txt)"
    count = 0
    for name, data in read_members(path, _MEMBER, expected):
        # As latin-1 every byte is one character: the message itself says how it is to be decoded.
        for raw in _MESSAGE_START.split(data.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")):
            if raw.strip("\x0b\x1c\r\n \x00") and not raw.lstrip("\x0b\r\n ").startswith(("FHS", "BHS", "FTS", "BTS")):
                count += 1
                yield _parse_report(raw.encode("latin-1"), f"{name}#{count}")


def _parse_report(raw: bytes, name: str) -> Report | Unusable:
    try:
        message = parse_message(raw)
    except InputError:
        return Unusable(name, BROKEN)
    if not is_result(message):
        return Unusable(message.component("MSH", 10).strip() or name, NOT_RESULTS)
    numbers = (message.component("OBR", 3), message.component("OBR", 2), message.component("MSH", 10))
    number = next((one.strip() for one in numbers if one.strip()), None)
    if number is None:
        return Unusable(name, NO_NUMBER)
    states = [message.field("OBR", 25), *(obx[11] for obx in message.all("OBX") if len(obx) > 11)]
    if any(state not in _FINAL for state in states):
        return Unusable(number, PRELIMINARY)
    parts = parse_parts(message)
    if not parts:
        return Unusable(number, NO_TEXT)
    sections = join_parts(parts)
    if sections.problem:
        return Unusable(number, sections.problem)
    return Report(
        id=number,
        patient_id=message.component("PID", 3) or None,
        findings=sections.findings,
        impression=sections.impression,
        indication=sections.indication or message.component("OBR", 31, 2),
        comparison=sections.comparison,
        technique=sections.technique,
        source="hl7",
    )
