"""MIMIC-CXR reports from `mimic-cxr-reports.zip`, read in place, or from the folder it unpacks to."""

import re
from collections.abc import Iterator
from pathlib import Path

from radllama.report import Report
from radllama.reports.archive import read_members
from radllama.reports.sections import Unusable, parse_sections

_MEMBER = re.compile(r"(?:^|/)p(?P<patient>\d+)/s(?P<study>\d+)\.txt$")
NOT_UTF8 = "not UTF-8 text"


def read_mimic_cxr(path: Path) -> Iterator[Report | Unusable]:
    """Stream the reports of a zip (or tar) or folder with members `files/p10/p10000032/s50414267.txt`.

    The number of the study is the id ("50414267"), that of the folder the patient_id ("10000032").
    Raises InputError when the archive is broken or has no such member.
    """
    expected = "mimic-cxr-reports.zip or its folder, with files/p10/p10000032/s50414267.txt and so on"
    for name, data in read_members(path, _MEMBER, expected):
        if match := _MEMBER.search(name):
            yield _parse(match["study"], match["patient"], data)


def _parse(study: str, patient: str, data: bytes) -> Report | Unusable:
    try:
        sections = parse_sections(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Unusable(study, NOT_UTF8)
    if sections.problem:
        return Unusable(study, sections.problem)
    return Report(
        id=study,
        patient_id=patient,
        findings=sections.findings,
        impression=sections.impression,
        indication=sections.indication,
        comparison=sections.comparison,
        technique=sections.technique,
        source="mimic-cxr",
    )
