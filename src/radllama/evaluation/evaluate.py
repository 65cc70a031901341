"""Drafts -> scores: every measure for the system and the trivial rows, overall and by stratum, with intervals.

Writes into a folder `scores.json` (the values), `per_report.jsonl` (what they are made of, without report text),
`report.html` (for people; it shows report text) and, last, `run.json`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radllama import stats
from radllama.evaluation.by_observation import summarise_observations
from radllama.evaluation.curve import read_curve
from radllama.evaluation.drafts import Case, read_drafts
from radllama.evaluation.folder import open_folder, unwritable
from radllama.evaluation.measures import Scored, score_drafts
from radllama.evaluation.notes import write_notes
from radllama.evaluation.page import render_page
from radllama.evaluation.prior import read_train, trivial_rows
from radllama.evaluation.scorers import Scorer, run_scorers
from radllama.evaluation.scores import SYSTEM, summarise
from radllama.evaluation.strata import Mask, strata
from radllama.files import hash_file, write_aside, write_json, write_jsonl
from radllama.run import RUN_FILE, write_run

SCORES_FILE, PER_REPORT_FILE, REPORT_FILE = "scores.json", "per_report.jsonl", "report.html"


@dataclass(frozen=True, slots=True)
class Scoring:
    """What drafts are scored beside, and how.

    `train` is the dataset the system was tuned on: without it the rows and strata that need one are absent, and a note
    says so. `scorers` read with a model. `run` is the training run whose learning curve the page shows. Intervals come
    of `resamples` bootstrap samples under `seed`.
    """

    train: Path | None = None
    scorers: Sequence[Scorer] = ()
    run: Path | None = None
    seed: int = 0
    resamples: int = stats.RESAMPLES

    def settings(self) -> dict[str, Any]:
        """The same as JSON values, for a run file."""
        return {
            "train": None if self.train is None else str(self.train),
            "scorers": [scorer.title for scorer in self.scorers],
            "run": None if self.run is None else str(self.run),
            "seed": self.seed,
            "resamples": self.resamples,
        }


_PLAINLY = Scoring()


def evaluate(drafts: Path, out: Path, scoring: Scoring = _PLAINLY) -> dict[str, Any]:
    """Score a drafts file (`.jsonl`, `.csv` or `.tsv`), write the four files into `out`, return the scores.

    Scores are 0..1 except the length ratio, null where no report has a say; intervals are 95% percentile bootstrap.
    Raises InputError for drafts that cannot be scored, for a drafted report that stands in the training data, for a
    scorer that fails, and when `out` cannot be written.
    """
    loaded = read_drafts(drafts)
    cases, seed, resamples = loaded.cases, scoring.seed, scoring.resamples
    prior = None if scoring.train is None else read_train(scoring.train, cases, drafts)
    curve = None if scoring.run is None else read_curve(scoring.run)
    open_folder(out)
    rows = {SYSTEM: [case.draft for case in cases]} | trivial_rows(cases, prior)
    further = run_scorers(scoring.scorers, [case.reference for case in cases], rows)
    scored = {row: score_drafts(cases, texts, further[row]) for row, texts in rows.items()}
    masks = strata(cases, prior)
    scores = summarise(scored, masks, seed, resamples)
    for row, summary in summarise_observations(cases, rows, seed, resamples).items():
        part = scores["overall"] if row == SYSTEM else scores["trivial"][row]["overall"]
        part["ci95"] |= summary.pop("ci95")
        part |= summary
    empty_drafts = scores["overall"]["empty_drafts"]
    scores |= {
        "empty_drafts": empty_drafts,
        "missing_references": loaded.missing_references,
        "system": loaded.system,
        "notes": write_notes(
            loaded, prior is not None, empty_drafts, [scorer.title for scorer in scoring.scorers], seed, resamples
        ),
    }
    try:
        write_jsonl(out / PER_REPORT_FILE, _per_report(cases, scored, masks))
        with write_aside(out / REPORT_FILE) as file:
            file.write(render_page(scores, cases, rows, scored, masks, curve, seed))
        write_json(out / SCORES_FILE, scores)
        write_run(
            out / RUN_FILE,
            "evaluate",
            {"drafts": str(drafts), **scoring.settings()},
            drafts_sha256=hash_file(drafts),
            train_sha256=None if scoring.train is None else hash_file(scoring.train / "train.jsonl"),
            scored=len(cases),
            missing_references=loaded.missing_references,
            empty_drafts=empty_drafts,
        )
    except OSError as error:
        raise unwritable(out, error) from None
    return scores


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
        for (name, measure), (above, below) in zip(scored.measures.items(), pairs, strict=True)
    }
