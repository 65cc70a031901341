"""A closed study -> `analysis.json`, `review.html`, tables as CSV and JSONL, a methods paragraph."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from radllama import stats
from radllama.evaluation.folder import open_folder, unwritable
from radllama.evaluation.scores import number
from radllama.files import write_aside, write_json, write_jsonl
from radllama.review.agreement.answers import Resampling
from radllama.review.analysis.comparisons import compare_question, correct
from radllama.review.analysis.consistency import agreement_between, agreement_within, leniency
from radllama.review.analysis.correlation import MEASURES, correlate, mean_ratings, measure_drafts
from radllama.review.analysis.effort import summarise_edits, summarise_pages
from radllama.review.analysis.frame import Frame, read_frame
from radllama.review.analysis.methods import notes, write_methods
from radllama.review.analysis.model import fit_model
from radllama.review.analysis.page import render_analysis
from radllama.review.analysis.preference import compare_preference, strengths
from radllama.review.analysis.summaries import count_errors, summarise_question
from radllama.review.analysis.tables import answers_table, drafts_table, write_csv
from radllama.review.ratings import Export
from radllama.run import RUN_FILE, write_run
from radllama.stats import Array

ANALYSIS_FILE = "analysis.json"
PAGE_FILE = "review.html"
METHODS_FILE = "methods.md"


def analyse(export: Export, out: Path, seed: int = 0, resamples: int = stats.RESAMPLES) -> dict[str, Any]:
    """Analyse a closed study into the folder `out`; return what `analysis.json` holds.

    Raises InputError for a study without answers and when `out` cannot be written.
    """
    open_folder(out)
    frame = read_frame(export)
    resampling = Resampling(resamples, seed)
    measures = measure_drafts(frame, export.candidates)
    analysis = _analyse(export, frame, measures, resampling)
    try:
        write_json(out / ANALYSIS_FILE, analysis)
        with write_aside(out / PAGE_FILE) as file:
            file.write(render_analysis(analysis))
        with write_aside(out / METHODS_FILE) as file:
            file.write(analysis["methods"] + "\n")
        for name, rows in (
            ("answers", answers_table(export, frame)),
            ("drafts", drafts_table(frame, mean_ratings(frame), measures)),
            ("comparisons", _flat(analysis["comparisons"])),
        ):
            write_csv(out / f"{name}.csv", rows)
            write_jsonl(out / f"{name}.jsonl", rows)
        write_run(
            out / RUN_FILE,
            "review analyse",
            {"study": frame.study.name, "seed": seed, "resamples": resamples},
            counts=analysis["counts"],
        )
    except OSError as error:
        raise unwritable(out, error) from None
    return analysis


def _analyse(export: Export, frame: Frame, measures: dict[str, Array], resampling: Resampling) -> dict[str, Any]:
    study = frame.study
    fits = {name: fit_model(cube.outcome()) for name, cube in frame.cubes.items()}
    comparisons = [
        row
        for name, cube in frame.cubes.items()
        for row in compare_question(cube, fits[name], study.systems, resampling)
    ]
    comparisons += compare_preference(frame, resampling)
    correct(comparisons)
    analysis: dict[str, Any] = {
        "study": asdict(study),
        "counts": _counts(export, frame),
        "systems": {name: summarise_question(cube, study.systems, resampling) for name, cube in frame.cubes.items()},
        "comparisons": comparisons,
        "model": {
            name: {"reason": fit, "variances": None}
            if isinstance(fit, str)
            else {"reason": None, "variances": fit.variances}
            for name, fit in fits.items()
        },
        "agreement": {name: agreement_between(cube, study.raters, resampling) for name, cube in frame.cubes.items()},
        "within_raters": {name: agreement_within(cube, resampling) for name, cube in frame.cubes.items()},
        "leniency": {name: leniency(fit, study.raters) for name, fit in fits.items()},
        "errors": count_errors(frame, resampling) if study.error_kinds else None,
        "strengths": strengths(frame, resampling),
        "measures": {
            name: {"title": title} | _by_system(measures[name], frame) for name, (title, _) in MEASURES.items()
        },
        "correlations": correlate(mean_ratings(frame), measures, resampling),
        "edits": summarise_edits(frame, export.candidates, resampling) if frame.remarks else None,
        "pages": summarise_pages(export.visits, study.raters),
        "practice": _practice(export),
        "settings": {"seed": resampling.seed, "resamples": resampling.resamples},
    }
    analysis["notes"] = notes(analysis)
    analysis["methods"] = write_methods(analysis)
    return analysis


def _counts(export: Export, frame: Frame) -> dict[str, Any]:
    judged = frame.judged
    return {
        "reports": len(frame.reports),
        "reports_judged": int(judged.any(axis=(1, 2)).sum()),
        "systems": len(frame.systems),
        "raters": len(frame.study.raters),
        "raters_answering": int(judged.any(axis=(0, 1)).sum()),
        "judgements": int(judged.sum()),
        "answers": int(sum((~np.isnan(cube.first)).sum() for cube in frame.cubes.values())),
        "repeated_answers": int(sum((~np.isnan(cube.again)).sum() for cube in frame.cubes.values())),
        "errors": len(frame.errors),
        "comments": sum(row.kind == "comment" for row in frame.remarks),
        "corrections": sum(row.kind == "correction" for row in frame.remarks),
        "rankings": len(frame.rankings),
        "practice_answers": len(export.practice),
        "left_out": frame.left_out,
    }


def _by_system(values: Array, frame: Frame) -> dict[str, Any]:
    there = ~np.isnan(values)
    mean = stats.divide(np.where(there, values, 0.0).sum(axis=0), there.sum(axis=0).astype(np.float64))
    return {"systems": {system: number(mean[at]) for at, system in enumerate(frame.systems)}}


def _practice(export: Export) -> dict[str, Any] | None:
    """How far raters' answers to the calibration drafts are those that the study expects: {rater: {answers, same}}."""
    if not export.practice:
        return None
    found: dict[str, dict[str, int]] = {}
    for row in export.practice:
        own = found.setdefault(row.rater, {"answers": 0, "same": 0})
        own["answers"] += 1
        own["same"] += row.value == row.expected
    return found


def _flat(comparisons: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Comparisons as a table has them: intervals in two columns, the model's effect in columns of its own."""
    rows = []
    for row in comparisons:
        model = row["model"] or {"difference": None, "ci95": None, "p": None, "p_holm": None}
        low, high = row["ci95"] or (None, None)
        model_low, model_high = model["ci95"] or (None, None)
        rows.append(
            {
                **{key: row[key] for key in ("question", "a", "b", "reports", "pages", "difference")},
                "low": low,
                "high": high,
                **{key: row[key] for key in ("p", "p_holm", "verdict")},
                "model_difference": model["difference"],
                "model_low": model_low,
                "model_high": model_high,
                "model_p": model["p"],
                "model_p_holm": model["p_holm"],
            }
        )
    return rows
