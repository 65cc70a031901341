"""What the training reports lend an evaluation: the trivial rows, and a refusal to score what was trained on."""

from collections.abc import Sequence
from pathlib import Path

from radllama.console import note
from radllama.errors import InputError
from radllama.evaluation import trivial
from radllama.evaluation.drafts import Case
from radllama.library import Library
from radllama.report import Report, read_reports
from radllama.text import normalise


def read_train(folder: Path, cases: Sequence[Case], drafts: Path) -> list[Report]:
    """The training reports of a dataset. Raises InputError when one of the `cases` is among them.

    That is: has the same id and, where its findings are known, the same words in them. Two sources may number their
    reports alike.
    """
    path = folder / "train.jsonl"
    if not path.is_file():
        raise InputError(f"{folder}: no dataset (it has no train.jsonl); give the folder that data build wrote")
    prior = list(read_reports(path))
    if not prior:
        raise InputError(f"{path}: no reports in it")
    drafted = {case.id: case.findings for case in cases}
    both = [report.id for report in prior if report.id in drafted and _is_same(report, drafted[report.id])]
    if both:
        raise InputError(
            f"{drafts}: {len(both)} of its reports stand in {path} too (the first: id {both[0]!r}); scores on "
            "training reports flatter, draft the valid or test split instead"
        )
    return prior


def _is_same(report: Report, findings: str | None) -> bool:
    return findings is None or normalise(findings) == normalise(report.findings)


def trivial_rows(cases: Sequence[Case], prior: Sequence[Report] | None) -> dict[str, list[str]]:
    """A draft for each case from each trivial system that can be had: some need findings, some training reports."""
    rows: dict[str, list[str]] = {}
    findings = [case.findings for case in cases if case.findings is not None]
    complete = len(findings) == len(cases)
    if prior is not None:
        rows["constant"] = [trivial.constant(report.impression for report in prior)] * len(cases)
    if complete:
        rows["lead"] = [trivial.lead(text) for text in findings]
    if prior is not None and complete:
        note(f"looking up {len(cases)} reports among {len(prior)} prior ones")
        library = Library.build(prior)
        rows["nearest"] = trivial.nearest(library, findings)
        rows["consensus"] = trivial.consensus(library, findings)
    return rows
