"""Scores as tables for a terminal, at most 100 columns wide."""

from collections.abc import Sequence
from typing import Any

from radllama.evaluation.measures import FAITHFULNESS, MEASURES

# Shown with an interval; scores.json has all measures.
_WORDING = {"rouge1": "R-1", "rouge2": "R-2", "rougeL": "R-L"}
# The terminal shows these of the strata; scores.json and the report have all.
_MAIN_STRATA = ("normal", "abnormal", "findings_seen", "findings_unseen", "length_q1", "length_q4")


def render_table(scores: dict[str, Any]) -> str:
    """`scores.json` for a terminal: faithfulness, wording, the main strata, then the notes."""
    # The end of a path says more than its beginning.
    rows = [(scores["system"][-20:], scores["overall"])]
    rows += [(row, part["overall"]) for row, part in scores["trivial"].items()]
    parts = [render_rows(rows)]
    if scores["strata"]:
        others = list(scores["trivial"])
        lines = [["", "n", *(MEASURES[measure].title for measure in FAITHFULNESS), "R-1", *others]]
        for name in _MAIN_STRATA:
            if name in scores["strata"]:
                summary = scores["strata"][name]
                theirs = [percent(scores["trivial"][row]["strata"][name]["rouge1"]) for row in others]
                ours = [percent(summary[measure]) for measure in (*FAITHFULNESS, "rouge1")]
                lines.append([name.replace("_", " "), str(summary["n"]), *ours, *theirs])
        parts += [f"By stratum; {scores['system']}, and R-1 of the trivial rows", align(lines)]
    return "\n\n".join([*parts, *scores["notes"]])


def render_rows(rows: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Two tables of rows, each a name and the summary of the same reports: faithfulness, then wording."""
    summary = rows[0][1]
    faithful = [["", *(f"{MEASURES[measure].title} (95%)" for measure in FAITHFULNESS)]]
    faithful += [[name, *(with_interval(part, measure) for measure in FAITHFULNESS)] for name, part in rows]
    shares = [
        f"{MEASURES[measure].title}: % of {count} {MEASURES[measure].per}"
        for measure, count in summary["denominators"].items()
        if measure in FAITHFULNESS
    ]
    wording = [["", "n", *(f"{name} (95%)" for name in _WORDING.values()), "exact", "length", "empty"]]
    wording += [_line(name, part) for name, part in rows]
    return "\n\n".join(
        [
            "\n".join(["Faithfulness to the findings", *shares]),
            align(faithful),
            f"All {summary['n']} reports; ROUGE F1 x 100, unstemmed, with 95% intervals",
            align(wording),
        ]
    )


def _line(name: str, summary: dict[str, Any]) -> list[str]:
    return [
        name,
        str(summary["n"]),
        *(with_interval(summary, measure) for measure in _WORDING),
        percent(summary["exact_match"]),
        f"{summary['length_ratio']:.2f}",
        str(summary["empty_drafts"]),
    ]


def with_interval(summary: dict[str, Any], measure: str) -> str:
    """A figure of a summary, times 100, with its interval."""
    if summary["ci95"][measure] is None:
        return percent(summary[measure])
    low, high = summary["ci95"][measure]
    return f"{percent(summary[measure])} ({percent(low)}-{percent(high)})"


def percent(value: float | None) -> str:
    """A figure times 100; a dash where there is none."""
    return "-" if value is None else f"{100 * value:.1f}"


def align(lines: list[list[str]]) -> str:
    """Cells as a table: the first column to the left, the others to the right, two blanks apart."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
