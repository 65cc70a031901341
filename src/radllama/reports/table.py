"""Reports from any table: CSV, TSV, JSONL or Parquet, by a map from its columns to our fields."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from radllama.errors import InputError
from radllama.files import read_jsonl
from radllama.report import Report
from radllama.reports.sections import Unusable, parse_sections

_SECTIONS = ("findings", "impression", "indication", "comparison", "technique")
FIELDS = ("id", "patient_id", *_SECTIONS, "report")

_Rows = Iterator[tuple[str, Mapping[str, Any]]]  # ("file:line", {column: value})
_Opened = tuple[list[str], Callable[[Sequence[str]], _Rows]]  # the columns; the rows with some of them


def read_table(path: Path, column_map: Mapping[str, str] | None = None) -> Iterator[Report | Unusable]:
    """Stream the reports of a .csv, .tsv, .jsonl or .parquet file; the suffix decides which.

    `column_map` is {column: field}, the fields being FIELDS; a column that carries a field's name needs
    no entry. Either `findings` and `impression` have a column each, or `report` holds the full text and
    is split by `parse_sections`. Text is UTF-8, with or without a byte order mark.

    Raises InputError, naming the line, for a column that is not there, a row without id or with too many
    or too few cells, other encodings, and a file without rows.
    """
    columns, rows = _open(path)
    chosen = _choose_columns(path, columns, column_map or {})
    count = 0
    for where, row in rows(list(chosen.values())):
        count += 1
        yield _parse(where, row, chosen)
    if not count:
        raise InputError(f"{path}: no rows; expected one report a row")


def read_csv(path: Path, delimiter: str) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Return the columns, and an iterator of (line number from 1, {column: cell}) over the rows under them.

    Blank lines are skipped. Raises InputError, naming the line, for text that is not UTF-8 or not a table.
    """
    cells = _read_cells(path, delimiter)
    line, header = next(cells, (1, []))
    if not header:
        raise InputError(f"{path}: the file is empty; expected a line with the names of the columns first")
    columns = [name.strip() for name in header]
    if len(set(columns)) < len(columns):
        raise InputError(f"{path}:{line}: two columns have the same name; rename one")
    return columns, _read_body(path, columns, cells)


def require_columns(path: Path, columns: Sequence[str], needed: Iterable[str]) -> None:
    """Raise InputError, naming them and the columns there are, when any of `needed` is missing."""
    if missing := [name for name in needed if name not in columns]:
        raise InputError(
            f"{path}: no column {', '.join(map(repr, missing))}; the columns are {', '.join(map(repr, columns))}"
        )


def _read_body(
    path: Path, columns: list[str], rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, dict[str, str]]]:
    for line, cells in rows:
        if len(cells) != len(columns):
            raise InputError(
                f"{path}:{line}: {len(cells)} cells where the header has {len(columns)}; "
                "a cell with a delimiter or a line break in it needs quotes"
            )
        yield line, dict(zip(columns, cells, strict=True))


def _read_cells(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(_read_lines(path), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1  # a row may go over several lines: name its first
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # The messages of the csv module quote its delimiter and quote character, never a cell.
            raise InputError(f"{path}:{line}: not a row of a table ({error}); export the file again") from None
        if cells:
            yield line, cells


def _read_lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                utf16 = number == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff"))
                found = "the file is UTF-16" if utf16 else f"byte 0x{raw[error.start]:02X} is not UTF-8"
                known = "UTF-16" if utf16 else "WINDOWS-1252"
                raise InputError(
                    f"{path}:{number}: {found}; convert it first, for example with "
                    f"iconv -f {known} -t UTF-8 (after looking up which encoding it has)"
                ) from None


def _open(path: Path) -> _Opened:
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {problem}; expected a .csv, .tsv, .jsonl or .parquet file")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        columns, rows = read_csv(path, "," if suffix == ".csv" else "\t")
        return columns, lambda _: ((f"{path}:{line}", row) for line, row in rows)
    if suffix == ".jsonl":
        # A key may be absent from some objects, so every object says which columns there are.
        keys = dict.fromkeys(key for _, row in read_jsonl(path) for key in row)
        if not keys:
            raise InputError(f"{path}: the file is empty; expected one JSON object a line")
        return list(keys), lambda _: ((f"{path}:{line}", row) for line, row in read_jsonl(path))
    if suffix == ".parquet":
        return _open_parquet(path)
    raise InputError(f"{path}: unknown kind of table {suffix!r}; expected .csv, .tsv, .jsonl or .parquet")


def _open_parquet(path: Path) -> _Opened:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(f"{path}: Parquet needs pyarrow; pip install 'radllama[parquet]'") from None
    try:
        file = parquet.ParquetFile(path)
    except (pyarrow.ArrowInvalid, OSError):
        raise InputError(f"{path}: not a Parquet file, or cut off; export or copy it again") from None

    def rows(wanted: Sequence[str]) -> _Rows:
        number = 0
        try:
            # Only the columns in use: such files often carry the images too.
            for batch in file.iter_batches(batch_size=1024, columns=list(wanted)):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
        except (pyarrow.ArrowException, OSError):
            raise InputError(f"{path}: damaged after row {number}; export or copy it again") from None

    return list(file.schema_arrow.names), rows


def _choose_columns(path: Path, columns: list[str], column_map: Mapping[str, str]) -> dict[str, str]:
    """Return {field: column}: the map's first, then columns that carry a field's name."""
    chosen: dict[str, str] = {}
    for column, field in column_map.items():
        if field not in FIELDS:
            raise InputError(f"--map {column}={field}: no field {field!r}; the fields are {', '.join(FIELDS)}")
        if field in chosen:
            raise InputError(f"--map {column}={field}: {field!r} is already mapped from {chosen[field]!r}")
        chosen[field] = column
    require_columns(path, columns, column_map)
    mapped_sections = [name for name in _SECTIONS if name in chosen]
    if "report" in chosen and mapped_sections:
        raise InputError(f"--map: map either 'report' or its sections, not both ({', '.join(mapped_sections)})")
    for field in FIELDS:
        if field in columns and field not in column_map:
            chosen.setdefault(field, field)
    # Where both are there by name, the section columns win: whoever made the table has split the text.
    split = {"findings", "impression"} <= chosen.keys() and "report" not in column_map.values()
    full_text = "report" in chosen and not split
    needed = ("id", "report") if full_text else ("id", "findings", "impression")
    if missing := [field for field in needed if field not in chosen]:
        raise InputError(
            f"{path}: no column for {', '.join(missing)}; the columns are "
            f"{', '.join(map(repr, columns))}; name those to read as COLUMN=FIELD with --map"
        )
    unused = _SECTIONS if full_text else ("report",)
    return {field: column for field, column in chosen.items() if field not in unused}


def _parse(where: str, row: Mapping[str, Any], chosen: Mapping[str, str]) -> Report | Unusable:
    identity = _identity(where, row, chosen["id"])
    if not identity:
        raise InputError(f"{where}: no id in column {chosen['id']!r}; every report needs one")
    patient = _identity(where, row, chosen["patient_id"]) if "patient_id" in chosen else ""
    if "report" in chosen:
        sections = parse_sections(_text(where, row, chosen["report"]))
        if sections.problem:
            return Unusable(identity, sections.problem)
        texts = {name: getattr(sections, name) for name in _SECTIONS}
    else:
        texts = {name: _text(where, row, chosen[name]) for name in _SECTIONS if name in chosen}
    return Report(id=identity, patient_id=patient or None, source="table", **texts)


def _identity(where: str, row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    # A float is not taken for a number: 9007199254740993 is another one already.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(where, row, column)


def _text(where: str, row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if value is None or value != value:  # NaN, an empty cell in tables that pandas wrote
        return ""
    if not isinstance(value, str):
        raise InputError(f"{where}: column {column!r} must be text, found a {type(value).__name__}")
    return value.strip()
