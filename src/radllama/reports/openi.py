"""OpenI, the Indiana University chest X-ray reports: the collection's XML, or the CSV known from Kaggle.

Both give the same reports. Sections are single paragraphs in which line breaks and runs of spaces come from
whoever wrote the file, so each run becomes one space. What was imaged stands in the CSV alone, as a
caption of the image, so `technique` stays empty.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from radllama.errors import InputError
from radllama.report import Report
from radllama.reports.archive import read_members
from radllama.reports.sections import Unusable
from radllama.reports.table import read_csv, require_columns

BROKEN_XML = "broken XML"
NO_NUMBER = "no report number"
_MEMBER = re.compile(r"\.xml$", re.IGNORECASE)
_SECTIONS = ("findings", "impression", "indication", "comparison")


def read_openi(path: Path) -> Iterator[Report | Unusable]:
    """Stream the reports of `NLMCXR_reports.tgz` (or a zip), a folder of its XML, or `indiana_reports.csv`.

    The id is the report's number as text. Raises InputError when the file is none of these or broken, and
    for XML that declares entities; one broken XML file among others is yielded as Unusable.
    """
    if path.suffix.lower() == ".csv":
        yield from _read_kaggle(path)
        return
    expected = "NLMCXR_reports.tgz, a folder of its ecgen-radiology/<number>.xml, or indiana_reports.csv"
    for name, data in read_members(path, _MEMBER, expected):
        try:
            root = defusedxml.ElementTree.fromstring(data)
        except DefusedXmlException:
            raise InputError(f"{path}: {name} declares XML entities, as attacks do; remove it") from None
        except (ParseError, ValueError, LookupError):  # the last two: an encoding that XML does not know
            yield Unusable(Path(name).stem, BROKEN_XML)
            continue
        yield _parse(root, Path(name).stem)


def _parse(root: Element, name: str) -> Report | Unusable:
    number = _identity(root, "pmcId") or _identity(root, "uId")
    if not number:
        return Unusable(name, NO_NUMBER)
    sections: dict[str, list[str]] = {section: [] for section in _SECTIONS}
    for element in root.iter("AbstractText"):
        label = element.get("Label", "").strip().lower()
        if label in sections:
            sections[label].append("".join(element.itertext()))
    return _report(number, {section: " ".join(texts) for section, texts in sections.items()})


def _identity(root: Element, tag: str) -> str:
    element = root.find(f".//{tag}")
    return "" if element is None else _number(element.get("id", ""))


def _number(identity: str) -> str:
    return identity.strip().removeprefix("CXR")


def _read_kaggle(path: Path) -> Iterator[Report]:
    columns, rows = read_csv(path, ",")
    require_columns(path, columns, ("uid", *_SECTIONS))
    count = 0
    for line, row in rows:
        count += 1
        number = _number(row["uid"])
        if not number:
            raise InputError(f"{path}:{line}: no uid; every report needs its number there")
        yield _report(number, row)
    if not count:
        raise InputError(f"{path}: a header and no reports; expected those of indiana_reports.csv")


def _report(number: str, sections: Mapping[str, str]) -> Report:
    one_line = {name: " ".join(sections[name].split()) for name in _SECTIONS}
    return Report(id=number, patient_id=None, source="openi", **one_line)
