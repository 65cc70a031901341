"""DICOM structured reports (Basic Text, Enhanced, Comprehensive SR) -> their texts and sections."""

import re
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from radllama.errors import InputError
from radllama.report import Report
from radllama.reports.archive import MAX_REPORT_BYTES, read_members
from radllama.reports.parts import NO_TEXT, Part, join_parts, section_of
from radllama.reports.sections import PRELIMINARY, Unusable

BROKEN = "not a DICOM structured report"
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
_SR_CLASSES = (BASIC_TEXT_SR, "1.2.840.10008.5.1.4.1.1.88.22", "1.2.840.10008.5.1.4.1.1.88.33")
_MEMBER = re.compile(r"(\.dcm|\.sr|(^|/)[^./]+)$", re.IGNORECASE)
_MOST_ITEMS = 10_000


def parse_document(raw: bytes, where: str) -> Any:
    """The document in a DICOM file, as pydicom's Dataset. Raises InputError, which quotes nothing of it."""
    from pydicom import dcmread

    if len(raw) > MAX_REPORT_BYTES:
        raise InputError(f"{where}: over {MAX_REPORT_BYTES:,} bytes; a report is far smaller")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote the values they complain of
            document = dcmread(BytesIO(raw))
            sop_class, modality = str(document.get("SOPClassUID", "")), str(document.get("Modality", ""))
    except Exception:  # pydicom raises what it stumbles over: nearly any type
        raise InputError(f"{where}: {BROKEN}; it cannot be read as DICOM") from None
    if sop_class not in _SR_CLASSES or modality != "SR":
        raise InputError(f"{where}: {BROKEN} (Basic Text, Enhanced or Comprehensive SR is read)")
    return document


def parse_parts(document: Any, where: str) -> list[Part]:
    """The texts of a document in their order, each under the nearest heading above it that is one of ours.

    Raises InputError for a tree that cannot be walked.
    """
    parts: list[Part] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            waiting: list[tuple[Any, str | None]] = [(document, None)]
            for _ in range(_MOST_ITEMS):
                if not waiting:
                    return parts
                item, section = waiting.pop()
                section = _section_of(item) or section
                if item.get("ValueType") == "TEXT" and item.get("TextValue"):
                    parts.append(Part(section, str(item.TextValue).replace("\r\n", "\n").replace("\r", "\n")))
                waiting += [(child, section) for child in reversed(item.get("ContentSequence") or [])]
    except Exception:
        raise InputError(f"{where}: {BROKEN}; its content cannot be read") from None
    raise InputError(f"{where}: over {_MOST_ITEMS:,} content items; no report has that")


def read_dicom(path: Path) -> Iterator[Report | Unusable]:
    """Stream the reports of a folder, zip or tar of DICOM structured reports (.dcm, or no suffix).

    The id is the accession number, else the SOP instance's UID. Documents that are preliminary or partial, and what
    is none, are yielded as Unusable.
    """
    for name, data in read_members(path, _MEMBER, "a folder or archive of DICOM structured reports (.dcm)"):
        try:
            document = parse_document(data, name)
            parts = parse_parts(document, name)
        except InputError:
            yield Unusable(name, BROKEN)
            continue
        yield _parse_report(document, parts, name)


def _parse_report(document: Any, parts: list[Part], name: str) -> Report | Unusable:
    number = str(document.get("AccessionNumber") or document.get("SOPInstanceUID") or name)
    if document.get("CompletionFlag") == "PARTIAL" or document.get("PreliminaryFlag") == "PRELIMINARY":
        return Unusable(number, PRELIMINARY)
    if not parts:
        return Unusable(number, NO_TEXT)
    sections = join_parts(parts)
    if sections.problem:
        return Unusable(number, sections.problem)
    return Report(
        id=number,
        patient_id=str(document.get("PatientID") or "") or None,
        findings=sections.findings,
        impression=sections.impression,
        indication=sections.indication,
        comparison=sections.comparison,
        technique=sections.technique,
        source="dicom",
    )


def _section_of(item: Any) -> str | None:
    names = item.get("ConceptNameCodeSequence") or []
    if not names:
        return None
    return section_of([str(names[0].get("CodeValue", ""))], [str(names[0].get("CodeMeaning", ""))])
