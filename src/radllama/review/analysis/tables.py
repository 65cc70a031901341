"""The analysis as tables: for other programs (CSV, JSONL; ids, answers and figures, no report text), and a terminal."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from radllama.evaluation.tables import align
from radllama.files import write_aside
from radllama.review.analysis.frame import Frame
from radllama.review.ratings import Export
from radllama.stats import Array

Table = list[dict[str, Any]]


def answers_table(export: Export, frame: Frame) -> Table:
    """A row for each draft that a rater judged: who, what, where it stood, each answer, how many errors were marked."""
    rows: dict[tuple[str, str, str, int], dict[str, Any]] = {}
    for rating in export.ratings:
        key = (rating.rater, rating.report, rating.system, rating.repeat)
        row = rows.setdefault(
            key,
            dict(zip(("rater", "report", "system", "repeat"), key, strict=True))
            | {"position": rating.position, "form": rating.form}
            | dict.fromkeys(frame.cubes),
        )
        if rating.question in frame.cubes:
            row[rating.question] = rating.value
    for row in rows.values():
        row["errors"] = 0
    for error in export.errors:
        if (key := (error.rater, error.report, error.system, error.repeat)) in rows:
            rows[key]["errors"] += 1
    return list(rows.values())


def drafts_table(frame: Frame, ratings: dict[str, Array], measures: dict[str, Array]) -> Table:
    """A row for each draft: how many raters judged it, the mean of each answer, the measures, the errors marked."""
    errors = np.zeros(frame.judged.shape[:2], dtype=int)
    for row in frame.errors:
        errors[frame.place(row.report, row.system)] += 1
    return [
        {
            "report": report,
            "system": system,
            "raters": int(frame.judged[at, place].sum()),
            **{name: _cell(values[at, place]) for name, values in ratings.items()},
            **{name: _cell(values[at, place]) for name, values in measures.items()},
            "errors": int(errors[at, place]),
        }
        for at, report in enumerate(frame.reports)
        for place, system in enumerate(frame.systems)
    ]


def write_csv(path: Path, rows: Table) -> None:
    """Write rows that all have the keys of the first; an empty cell is a missing value."""
    with write_aside(path) as file:
        if rows:
            table = csv.DictWriter(file, rows[0], lineterminator="\n")
            table.writeheader()
            table.writerows(rows)


def render_analysis_table(analysis: dict[str, Any]) -> str:
    """`analysis.json` for a terminal: what each system got, which pairs differ, whether raters agree, the notes."""
    study, systems = analysis["study"], analysis["study"]["systems"]
    titles = {question["name"]: question["title"] for question in study["questions"]}
    counts = analysis["counts"]
    lines = [["", *systems]]
    for name, found in analysis["systems"].items():
        best = best_value(study, name)
        label = titles[name] if found[systems[0]]["mean"] is not None else f"{titles[name]}: {best}, %"
        lines.append([label, *(_mean(found[system]) for system in systems)])
    if analysis["errors"]:
        lines.append(["errors a draft", *(_interval(analysis["errors"][system]["rate"], 1, 2) for system in systems)])
    tests = sum(row["p"] is not None for row in analysis["comparisons"])
    differing = [["", "", "", "difference (95%)", "p (Holm)", ""]]
    for row in analysis["comparisons"]:
        if row["p_holm"] is not None and row["verdict"].endswith(" better"):
            shown = [titles.get(row["question"], row["question"]), row["a"], row["b"]]
            differing.append([*shown, _difference(row), p_value(row["p_holm"]), row["verdict"]])
    agree = [["", "alpha (95%)", "AC2", "ICC(2,1)", "ICC(2,k)", "kappa, mean", "same rater again"]]
    for name, found in analysis["agreement"].items():
        again = analysis["within_raters"][name]["kappa"]["value"]
        agree.append(
            [
                titles[name],
                _coefficient(found["alpha"]),
                *(_two(found[key]["value"]) for key in ("ac2", "icc1", "icck")),
                _two(found["kappa"] and found["kappa"]["mean"]),
                _two(again),
            ]
        )
    return "\n\n".join(
        [
            f"{study['title']}: {counts['judgements']} judgements of {counts['reports_judged']} reports by "
            f"{counts['raters_answering']} raters; means with 95% intervals",
            align(lines),
            f"Pairs that differ, of {tests} tests (all pairs by all questions, corrected after Holm)"
            if len(differing) > 1
            else f"No pair differs by any of {tests} tests (all pairs by all questions, corrected after Holm)",
            *([align(differing)] if len(differing) > 1 else []),
            "Agreement",
            align(agree),
            *analysis["notes"],
        ]
    )


def best_value(study: dict[str, Any], name: str) -> str:
    """The best value of a question, in words."""
    question = next(question for question in study["questions"] if question["name"] == name)
    return str(question["values"][-1 if question["higher_is_better"] else 0]).replace("_", " ")


def p_value(value: float | None) -> str:
    """A p-value to three digits."""
    if value is None:
        return "-"
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def _cell(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def _mean(found: dict[str, Any]) -> str:
    return _interval(found, 1, 2) if found["mean"] is not None else _interval(found["best"], 100, 0)


def _interval(found: dict[str, Any], scale: int, digits: int) -> str:
    if found["mean"] is None:
        return "-"
    mean = f"{scale * found['mean']:.{digits}f}"
    if found["ci95"] is None:
        return mean
    low, high = found["ci95"]
    return f"{mean} ({scale * low:.{digits}f}-{scale * high:.{digits}f})"


def _difference(row: dict[str, Any]) -> str:
    if row["ci95"] is None:
        return f"{row['difference']:+.2f}"
    return f"{row['difference']:+.2f} ({row['ci95'][0]:+.2f} to {row['ci95'][1]:+.2f})"


def _coefficient(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "-"
    if found["ci95"] is None:
        return _two(found["value"])
    return f"{found['value']:.2f} ({found['ci95'][0]:.2f} to {found['ci95'][1]:.2f})"


def _two(value: Sequence[float] | float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
