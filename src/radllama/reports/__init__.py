"""Raw sources to reports: one reader for each source, all behind `read_source`."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from radllama.errors import InputError
from radllama.report import Report
from radllama.reports.sections import Unusable

__all__ = ["SOURCES", "Unusable", "read_source"]

SOURCES = ("openi", "mimic-cxr", "table", "fhir", "hl7", "dicom")
_NEEDED = {"fhir": "fhir", "dicom": "pydicom"}  # from the extra "interfaces"


def read_source(source: str, path: Path, column_map: Mapping[str, str] | None = None) -> Iterator[Report | Unusable]:
    """Stream the reports of one of `SOURCES`, in the order of the source, their wording untouched.

    `column_map` (source column: our field) is for tables alone. A report whose text could not be
    split is yielded as Unusable; a file that cannot be read at all raises InputError.
    """
    if source not in SOURCES:
        raise InputError(f"source {source!r} is not known; choose one of {', '.join(SOURCES)}")
    if column_map and source != "table":
        raise InputError(f"source {source!r} has fixed columns; a column map is for the source 'table'")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if source == "openi":
        from radllama.reports.openi import read_openi

        return read_openi(path)
    if source == "mimic-cxr":
        from radllama.reports.mimic_cxr import read_mimic_cxr

        return read_mimic_cxr(path)
    if source == "hl7":
        from radllama.reports.hl7 import read_hl7

        return read_hl7(path)
    if source in _NEEDED and not find_spec(_NEEDED[source]):
        raise InputError(f"source {source!r} needs pip install 'radllama[interfaces]'")
    if source == "fhir":
        from radllama.reports.fhir import read_fhir

        return read_fhir(path)
    if source == "dicom":
        from radllama.reports.dicom import read_dicom

        return read_dicom(path)
    from radllama.reports.table import read_table

    return read_table(path, column_map)
