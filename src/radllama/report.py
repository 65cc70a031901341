"""The record everything else is about: one signed report."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from radllama.errors import InputError
from radllama.files import read_jsonl
from radllama.text import is_unicode


@dataclass(frozen=True, slots=True)
class Report:
    """One signed report, split into the sections we read and the one we write.

    A section that the report does not have is the empty string. `patient_id` is None where the
    source does not say whose report it is. `source` names the reader: openi, mimic-cxr, table, fhir,
    hl7, dicom, sample.
    """

    id: str
    patient_id: str | None
    findings: str
    impression: str
    indication: str = ""
    comparison: str = ""
    technique: str = ""
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        """The report as one object of a `.jsonl` file, keys in the order of the fields."""
        return asdict(self)


_TEXT_FIELDS = [field.name for field in fields(Report) if field.name not in ("id", "patient_id")]


def parse_id(row: dict[str, Any], where: str) -> str:
    """The report's id in one object of a `.jsonl` file; a whole number becomes text. Raises InputError for none."""
    identity = row.get("id")
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    if not isinstance(identity, str) or not identity.strip():
        raise InputError(f'{where}: no "id"; every line needs the id of its report, as text')
    return identity


def parse_text(row: dict[str, Any], field: str, where: str) -> str:
    """A section in one object of a `.jsonl` file; absent and null are empty. Raises InputError for what is no text."""
    value = row.get(field) or ""
    if not isinstance(value, str):
        raise InputError(f'{where}: "{field}" must be text, found a {type(value).__name__}')
    if not is_unicode(value):
        raise InputError(f'{where}: "{field}" holds half a surrogate pair, which is no character; correct it')
    return value


def parse_report(row: dict[str, Any], where: str) -> Report:
    """A Report from one object of a `.jsonl` file; unknown keys are ignored, absent sections are empty.

    `where` ("file:line") goes into the InputError that a missing id or a value of a wrong type raises.
    """
    identity = parse_id(row, where)
    values = {name: parse_text(row, name, where) for name in _TEXT_FIELDS}
    patient = row.get("patient_id")
    return Report(id=identity, patient_id=None if patient is None else str(patient), **values)


def read_reports(path: Path) -> Iterator[Report]:
    """Stream the reports of a `.jsonl` file. Raises InputError at a bad line or an id seen before."""
    for where, _, row in read_identified(path):
        yield parse_report(row, where)


def read_identified(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Stream ("file:line", id, object) of a `.jsonl` file. Raises InputError at a bad line or an id seen before."""
    seen: dict[str, int] = {}
    for number, row in read_jsonl(path):
        where = f"{path}:{number}"
        identity = parse_id(row, where)
        if identity in seen:
            raise InputError(f"{where}: id {identity!r} already stands on line {seen[identity]}; ids must be unique")
        seen[identity] = number
        yield where, identity, row
