"""Drafts -> scores: every metric for the system and the trivial rows, overall and by stratum, with intervals.

Writes into a folder `scores.json` (the means), `per_report.jsonl` (what they are means of, without report
text), `report.html` (for people; it shows report text) and, last, `run.json`.
"""

import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from radllama import stats
from radllama.errors import InputError
from radllama.evaluation import html, trivial
from radllama.evaluation.drafts import Case, Drafts, read_drafts
from radllama.evaluation.measures import MEASURES, Scored, score_drafts
from radllama.evaluation.scores import SYSTEM, summarise
from radllama.evaluation.strata import TITLES as STRATA_TITLES
from radllama.evaluation.strata import Mask, strata
from radllama.files import hash_file, write_aside, write_json, write_jsonl
from radllama.library import Library
from radllama.report import Report, read_reports
from radllama.run import RUN_FILE, write_run
from radllama.text import words

SCORES_FILE, PER_REPORT_FILE, REPORT_FILE = "scores.json", "per_report.jsonl", "report.html"
SAMPLE = 15

_FOREIGN = re.compile(r"[^\W\d_a-zA-Z]")
NORMAL_NOTE = (
    "Normal or abnormal is decided from the reference impression: it is normal when every statement in it is "
    "a denial (no, without, negative for ...) or holds only anatomy, filler and words such as normal or clear."
)


def evaluate(
    drafts: Path, out: Path, train: Path | None = None, seed: int = 0, resamples: int = stats.RESAMPLES
) -> dict[str, Any]:
    """Score a drafts file (`.jsonl`, `.csv` or `.tsv`), write the four files into `out`, return the scores.

    `train` is the dataset the system was tuned on: without it the constant and nearest rows and the strata
    of seen findings are absent, and a note says so. Scores are 0..1 except the length ratio; intervals are
    95% percentile bootstrap. Raises InputError for drafts that cannot be scored, for a drafted report that
    stands in the training data, and when `out` cannot be written.
    """
    loaded = read_drafts(drafts)
    cases = loaded.cases
    prior = None if train is None else read_train(train, {case.id for case in cases}, drafts)
    open_folder(out)
    findings = [case.findings for case in cases if case.findings is not None]
    complete = findings if len(findings) == len(cases) else None
    rows = {SYSTEM: [case.draft for case in cases]} | _trivial_rows(len(cases), complete, prior)
    scored = {row: score_drafts(cases, texts) for row, texts in rows.items()}
    masks = strata(
        [case.reference for case in cases],
        complete,
        None if prior is None else [report.findings for report in prior],
    )
    scores = summarise(scored, masks, seed, resamples)
    scores |= {
        "empty_drafts": scores["overall"]["empty_drafts"],
        "missing_references": loaded.missing_references,
        "system": loaded.system,
        "notes": _notes(loaded, complete, prior, scores, seed, resamples),
    }
    try:
        write_jsonl(out / PER_REPORT_FILE, _per_report(cases, scored, masks))
        with write_aside(out / REPORT_FILE) as file:
            file.write(_render_report(scores, cases, rows, scored, masks, seed))
        write_json(out / SCORES_FILE, scores)
        write_run(
            out / RUN_FILE,
            "evaluate",
            {
                "drafts": str(drafts),
                "train": None if train is None else str(train),
                "seed": seed,
                "resamples": resamples,
            },
            drafts_sha256=hash_file(drafts),
            train_sha256=None if train is None else hash_file(train / "train.jsonl"),
            scored=len(cases),
            missing_references=loaded.missing_references,
            empty_drafts=scores["empty_drafts"],
        )
    except OSError as error:
        raise unwritable(out, error) from None
    return scores


def read_train(folder: Path, drafted: set[str], drafts: Path) -> list[Report]:
    """The training reports of a dataset. Raises InputError when one of the `drafted` ids is among them."""
    path = folder / "train.jsonl"
    if not path.is_file():
        raise InputError(f"{folder}: no dataset (it has no train.jsonl); give the folder that data build wrote")
    prior = list(read_reports(path))
    if not prior:
        raise InputError(f"{path}: no reports in it")
    both = [report.id for report in prior if report.id in drafted]
    if both:
        raise InputError(
            f"{drafts}: {len(both)} of its reports stand in {path} too (the first: id {both[0]!r}); scores on "
            "training reports flatter, draft the valid or test split instead"
        )
    return prior


def _trivial_rows(cases: int, findings: list[str] | None, prior: list[Report] | None) -> dict[str, list[str]]:
    rows = {}
    if prior is not None:
        rows["constant"] = [trivial.constant(report.impression for report in prior)] * cases
    if findings is not None:
        rows["lead"] = [trivial.lead(text) for text in findings]
    if prior is not None and findings is not None:
        print(f"looking up {cases} reports among {len(prior)} prior ones", file=sys.stderr)
        library = Library.build(prior)
        rows["nearest"] = trivial.nearest(library, findings)
        rows["consensus"] = trivial.consensus(library, findings)
    return rows


def _per_report(cases: list[Case], scored: dict[str, Scored], masks: dict[str, Mask]) -> Iterator[dict[str, Any]]:
    for at, case in enumerate(cases):
        scores = {row: _of_report(table, at) for row, table in scored.items()}
        yield {
            "id": case.id,
            **scores.pop(SYSTEM),
            "empty": bool(scored[SYSTEM].empty[at]),
            "strata": [name for name, mask in masks.items() if mask[at]],
            "trivial": scores,
        }


def _of_report(scored: Scored, at: int) -> dict[str, float | list[float]]:
    # A mean's value; of a share, numerator and denominator.
    pairs = zip(scored.values.numerators[at].tolist(), scored.values.denominators[at].tolist(), strict=True)
    return {
        name: [above, below] if measure.per else above
        for (name, measure), (above, below) in zip(MEASURES.items(), pairs, strict=True)
    }


def _notes(
    drafts: Drafts,
    findings: list[str] | None,
    prior: list[Report] | None,
    scores: dict[str, Any],
    seed: int,
    resamples: int,
) -> list[str]:
    notes = [
        f"{scores['overall']['n']} drafts were scored, {scores['overall']['empty_drafts']} of them empty (an empty "
        f"draft scores 0); {drafts.missing_references} without a reference were left out."
    ]
    if prior is None:
        notes.append(
            "No training data was given (--train), so the constant and nearest rows and the strata of findings "
            "seen in training are absent."
        )
    if findings is None:
        unknown = sum(case.findings is None for case in drafts.cases)
        notes.append(
            f"{unknown} of {len(drafts.cases)} drafts do not tell their findings, so the lead and nearest rows, the "
            "strata of findings seen in training and those of length are absent."
        )
    notes.append(NORMAL_NOTE)
    if foreign := sum(not case.reference.isascii() and bool(_FOREIGN.search(case.reference)) for case in drafts.cases):
        notes.append(
            f"{foreign} references have letters other than a-z; rouge-score does not read these and splits words there."
        )
    notes.append(
        f"Intervals are the middle 95% of {resamples} bootstrap samples of the reports, seed {seed}; those of a "
        "difference are paired. ROUGE is F1 by rouge-score 0.1.2."
    )
    return notes


def _render_report(
    scores: dict[str, Any],
    cases: list[Case],
    rows: dict[str, list[str]],
    scored: dict[str, Scored],
    masks: dict[str, Mask],
    seed: int,
) -> str:
    rouge1 = {row: table.values.numerators[:, list(MEASURES).index("rouge1")] for row, table in scored.items()}
    # Of drafts that share nothing with their reference, the one that left out more comes first.
    worst = sorted(range(len(cases)), key=lambda at: (rouge1[SYSTEM][at], -len(words(cases[at].reference)), at))
    drawn = random.Random(seed).sample(range(len(cases)), min(SAMPLE, len(cases)))
    return html.render_evaluation(
        scores,
        metrics={name: (measure.title, measure.percent) for name, measure in MEASURES.items()},
        rows={SYSTEM: scores["system"], **{row: trivial.TITLES[row] for row in scores["trivial"]}},
        strata={name: STRATA_TITLES[name] for name in scores["strata"]},
        rouge1={row: scored.tolist() for row, scored in rouge1.items()},
        worst=[_shown(at, cases, rows, rouge1, masks) for at in worst[:SAMPLE]],
        sample=[_shown(at, cases, rows, rouge1, masks) for at in drawn],
    )


def _shown(
    at: int,
    cases: list[Case],
    rows: dict[str, list[str]],
    rouge1: dict[str, stats.Array],
    masks: dict[str, Mask],
) -> dict[str, Any]:
    case = cases[at]
    return {
        "id": case.id,
        "findings": case.findings,
        "reference": case.reference,
        "draft": case.draft,
        "nearest": rows["nearest"][at] if "nearest" in rows else None,
        "rouge1": float(rouge1[SYSTEM][at]),
        "strata": [STRATA_TITLES[name] for name, mask in masks.items() if mask[at]],
    }


def open_folder(out: Path) -> None:
    """Make the folder of results; what stands there is not finished from here on. Raises InputError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / RUN_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(out, error) from None


def unwritable(out: Path, error: OSError) -> InputError:
    """What to raise when the folder `out` cannot be written."""
    return InputError(f"{out}: cannot be written ({error.strerror}); choose another folder, or make room")
