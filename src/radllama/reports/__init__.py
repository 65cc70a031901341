"""Raw sources to reports: one reader for each source, all behind `read_source`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from radllama.errors import InputError
from radllama.report import Report
from radllama.reports.sections import Unusable

__all__ = ["SOURCES", "Unusable", "read_source"]

SOURCES = ("openi", "mimic-cxr", "table")


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
    from radllama.reports.table import read_table

    return read_table(path, column_map)
