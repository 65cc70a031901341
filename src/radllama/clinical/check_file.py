"""Checks on a file of drafts, line by line."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from radllama.clinical.check import check
from radllama.errors import InputError
from radllama.files import write_jsonl
from radllama.library import Library
from radllama.library.advice import custom_advice
from radllama.report import Report, parse_text, read_identified


def check_file(drafts: Path, out: Path, library: Library | None = None) -> Counter[str]:
    """Write every line of a `.jsonl` file into `out` with its `flags`; returns counts.

    Advice that is custom in the `library` is not flagged; a report that stands there is no colleague of its own.

    The counts: drafts, abstained, flagged, and those that have a kind. A line needs an `id`, `findings` and `draft`
    (null is an empty one); where its `finish_reason` says that the drafter abstained, there is nothing to check.
    Raises InputError at the first line that is not so; `out` is then left as it was.
    """
    if out.resolve() == drafts.resolve():
        raise InputError(f"{out}: --out must be another file than --in")
    counts: Counter[str] = Counter()
    write_jsonl(out, _check_rows(drafts, counts, library))
    return counts


def _check_rows(drafts: Path, counts: Counter[str], library: Library | None) -> Iterator[dict[str, Any]]:
    for where, identity, row in read_identified(drafts):
        findings, draft = (_text(row, field, where) for field in ("findings", "draft"))
        abstained = not draft and row.get("finish_reason", "stop") not in ("stop", "length")
        is_custom = custom_advice(library, findings, leave_out=Report(identity, None, findings, draft))
        flags = [] if abstained else check(findings, draft, is_custom=is_custom)
        counts["drafts"] += 1
        counts["abstained"] += abstained
        counts["flagged"] += bool(flags)
        counts.update({flag.kind for flag in flags})
        yield {**row, "flags": [flag.to_json() for flag in flags]}
    if not counts["drafts"]:
        raise InputError(f"{drafts}: holds no line; one JSON object a draft is expected")


def _text(row: dict[str, Any], field: str, where: str) -> str:
    if field not in row:
        raise InputError(
            f'{where}: has no "{field}"; a line needs id, findings and draft, as `radllama draft` writes it'
        )
    return parse_text(row, field, where)
