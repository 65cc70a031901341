"""Closed studies that simulated raters of known bias and noise have answered, without a web server."""

from collections.abc import Sequence

import numpy as np

from radllama.review.ratings import Candidate, ErrorMark, Export, Question, Ranking, Rating, Remark, Study, Visit
from radllama.review.rehearsal import Panel
from radllama.stats import Array

SCALE = (1, 2, 3, 4, 5)
QUESTIONS = (
    *(
        Question(
            name, name.replace("_", " ").capitalize(), "scale", SCALE, tuple(f"anchor {step}" for step in SCALE), True
        )
        for name in ("coherence", "relevance", "clinical_utility")
    ),
    Question("harm", "Potential harm", "choice", ("none", "mild", "severe"), ("no", "some", "much"), False),
    Question("signing", "Would you sign it?", "choice", ("as_it_is", "small_edits", "rewrite"), ("a", "b", "c"), False),
)
PLAIN = QUESTIONS[:1]
KINDS, GRADES = ("false_finding", "omission", "wordiness"), ("insignificant", "significant")
SIGNED = "signed"
FINDINGS = ("Small left pleural effusion.", "The heart is enlarged.", "The lungs are clear.", "Hiatal hernia.")


def merits(
    reports: int, systems: Sequence[float], report_sd: float = 0.4, draft_sd: float = 0.5, seed: int = 0
) -> Array:
    """True merit (reports, systems) of drafts whose systems have these means exactly."""
    random = np.random.default_rng(seed)
    own = random.normal(0, draft_sd, (reports, len(systems)))
    shared = random.normal(0, report_sd, (reports, 1))
    merit: Array = np.asarray(systems) + shared - shared.mean() + own - own.mean(axis=0)
    return merit


def simulate(
    merit: Array,
    systems: Sequence[str],
    panel: Panel,
    per_report: int | None = None,
    repeat_every: int = 5,
    human: str | None = SIGNED,
    questions: Sequence[Question] = QUESTIONS,
) -> Export:
    """A study in which rater r judges report i when (i + r) % raters < per_report, and every fifth of them twice."""
    reports = [f"report-{at:03}" for at in range(len(merit))]
    raters = tuple(f"rater-{at + 1}" for at in range(len(panel.biases)))
    per_report = len(raters) if per_report is None else per_report
    study = Study(
        name="trial", title="How good is this impression?", closed=True,
        created_at="2026-03-01T08:00:00Z", closed_at="2026-03-09T17:00:00Z", seed=7,
        design="full" if per_report == len(raters) else "balanced", raters_per_report=per_report,
        repeat_share=1 / repeat_every if repeat_every else 0.0, reports=len(reports), raters=raters, form=1,
        questions=tuple(questions), error_kinds=KINDS, significances=GRADES, systems=tuple(systems), human=human,
    )  # fmt: skip
    export = Export(study)
    for at, report in enumerate(reports):
        findings = FINDINGS[at % len(FINDINGS)]
        for place, system in enumerate(systems):
            # The worse, the more of the findings is missing: so measures of the text follow merit.
            draft = findings if merit[at, place] > 3 or system == human else "Nothing of note."
            export.candidates.append(Candidate(report, system, findings, findings, draft, draft))
    random = np.random.default_rng(panel.seed)
    for rater, name in enumerate(raters):
        mine = [at for at in range(len(reports)) if (at + rater) % len(raters) < per_report]
        pages = [(at, 0) for at in mine] + [(at, 1) for at in (mine[::repeat_every] if repeat_every else [])]
        for number, (at, repeat) in enumerate(pages, start=1):
            page = (name, reports[at])
            order = tuple(int(place) for place in random.permutation(len(systems)))
            liked = [panel.prefers(merit[at, place], rater, at, place, repeat) for place in range(len(systems))]
            for position, place in enumerate(order):
                answers = panel.judge(questions, merit[at, place], rater, at, place, repeat)
                where = (*page, systems[place])
                export.ratings.extend(Rating(*where, q, value, position, repeat, 1) for q, value in answers.items())
                for mark in range(panel.count_errors(merit[at, place], rater, at, place, repeat)):
                    kind = KINDS[(at + mark) % len(KINDS)]
                    start, end = (None, None) if kind == "omission" else (0, 4)
                    export.errors.append(ErrorMark(*where, kind, GRADES[int(liked[place] < 3)], start, end, repeat, 1))
                if answers.get("signing") == "small_edits":
                    export.remarks.append(Remark(*where, "correction", "Other words here.", repeat, 1))
            better = sorted(range(len(systems)), key=lambda place: -liked[place])
            ranks = {systems[place]: 1 + better.index(place) for place in range(len(systems))}
            export.rankings.append(Ranking(*page, ranks, repeat, 1))
            seconds = round(float(random.lognormal(3.8, 0.3)), 1)
            export.visits.append(Visit(*page, number, repeat, tuple(systems[p] for p in order), "done", "", seconds))
    return export
