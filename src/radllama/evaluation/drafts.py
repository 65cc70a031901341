"""Reading anyone's drafts: a file of ours, or a table from any other system."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radllama.errors import InputError
from radllama.files import read_jsonl
from radllama.report import parse_id
from radllama.text import words


@dataclass(frozen=True, slots=True)
class Case:
    """A draft that can be scored. `findings` and `source` are None where the drafts file does not tell them."""

    id: str
    findings: str | None
    reference: str
    draft: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Drafts:
    """What a drafts file holds: the cases, how many had no reference, and whose drafts they are."""

    cases: list[Case]
    missing_references: int
    system: str


def read_drafts(path: Path) -> Drafts:
    """The cases of a drafts file: a line or row needs `id`, `reference`, `draft`; and what is known of the rest.

    The rest are `findings`, `model` and `source`. A draft that is missing, null or without words counts as empty. A
    reference that is missing, null or without words cannot be scored against: such lines are counted. Raises
    InputError, naming the line, for an id that is missing or doubled or a value that is not text, and when nothing can
    be scored.
    """
    cases: list[Case] = []
    lines: dict[str, int] = {}
    models: dict[str, None] = {}
    keys: set[str] = set()
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        keys |= row.keys()
        identity = parse_id(row, where)
        if identity in lines:
            raise InputError(f"{where}: id {identity!r} already stands on line {lines[identity]}; one draft a report")
        lines[identity] = number
        findings, reference, draft, model, source = (
            _text(row, key, where) for key in ("findings", "reference", "draft", "model", "source")
        )
        models |= {model + _shots(row): None} if model else {}
        if reference is not None and words(reference):
            cases.append(Case(identity, findings, reference, draft or "", source or None))
    if not lines:
        raise InputError(f"{path}: no drafts in it")
    for key in ("draft", "reference"):
        if key not in keys:
            raise InputError(f'{path}: no "{key}" in any line (found {", ".join(sorted(keys))}); rename yours to it')
    if not cases:
        raise InputError(f"{path}: none of {len(lines)} drafts has a reference, so none can be scored; add them")
    return Drafts(cases, len(lines) - len(cases), ", ".join(models) or path.stem)


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Stream (line number, row) of a `.jsonl`, `.csv` or `.tsv` file. Raises InputError for what is none."""
    if path.suffix.lower() not in (".csv", ".tsv"):
        yield from read_jsonl(path)
        return
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, delimiter=delimiter, strict=True)
            for row in table:
                if None in row:  # where DictReader puts what is left over
                    raise InputError(
                        f"{path}:{table.line_num}: more cells than the header has columns; quote cells that hold "
                        f"a {delimiter!r}"
                    )
                yield table.line_num, row
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; a file of drafts is expected") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save the table as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path}:{table.reader.line_num}: not a table ({error})") from None


def _shots(row: dict[str, Any]) -> str:
    # "+5" of the prompt "chat@1f2e3d4c+5": with examples, a model is another system than without.
    shots = re.search(r"\+\d+$", str(row.get("prompt")))
    return shots[0] if shots else ""


def _text(row: dict[str, Any], key: str, where: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f'{where}: "{key}" must be text or null, found a {type(value).__name__}')
    return value
