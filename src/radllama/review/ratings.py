"""What a finished study says, as plain rows in a folder: what the analysis reads, whoever collected it.

`study.json` says what was asked of whom; beside it one `.jsonl` file for each kind of row, named in `FILES`. A study
that is still open has no rows: its `study.json` names no systems, and the rest is withheld.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from radllama.errors import InputError
from radllama.files import read_json, read_jsonl, write_json, write_jsonl

STUDY_FILE = "study.json"


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that is asked about every draft and answered by one value of a fixed order.

    `kind` is "scale" (`values` are whole numbers, each with its written anchor) or "choice" (`values` are names).
    `values` stand in their order, so that both kinds are ordinal; `higher_is_better` says which end is the good one.
    A dimension of quality is a "scale"; harm and "would sign it" are choices.
    """

    name: str
    title: str
    kind: str
    values: tuple[int | str, ...]
    anchors: tuple[str, ...]
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class Study:
    """What was asked of whom. `systems` and `human` are empty while the study is open.

    `human` names the one of `systems` that is the signed impression, where it took part. `raters` are codes
    ("rater-1"), never names. `design` is "full" or "balanced", `raters_per_report` how many are to rate each report,
    `repeat_share` which share of a rater's reports is shown twice. Times are ISO 8601 in UTC. `form` is the version
    that was asked last; `questions` are those of that version.
    """

    name: str
    title: str
    closed: bool
    created_at: str
    closed_at: str | None
    seed: int
    design: str
    raters_per_report: int
    repeat_share: float
    reports: int
    raters: tuple[str, ...]
    form: int
    questions: tuple[Question, ...]
    error_kinds: tuple[str, ...] = ()
    significances: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    human: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One text that was judged: a system's draft of a report, as the system wrote it and as raters saw it.

    `shown` differs from `draft` by layout alone. `reference` is the signed impression, empty where there is none.
    """

    report: str
    system: str
    findings: str
    reference: str
    draft: str
    shown: str


@dataclass(frozen=True, slots=True)
class Rating:
    """One answer: `value` is one of the question's. `position` counts the drafts of a page from 0, first to last.

    `repeat` is 0 where the rater saw the report for the first time, 1 where it came again. `form` is the version of
    the form that was answered.
    """

    rater: str
    report: str
    system: str
    question: str
    value: int | str
    position: int
    repeat: int
    form: int


@dataclass(frozen=True, slots=True)
class ErrorMark:
    """An error that a rater marked in a draft: the characters `start` to `end` of `shown`; None for an omission."""

    rater: str
    report: str
    system: str
    kind: str
    significance: str
    start: int | None
    end: int | None
    repeat: int
    form: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """The order of preference among the drafts of one page: {system: rank}, 1 the best, ties allowed."""

    rater: str
    report: str
    ranks: Mapping[str, int]
    repeat: int
    form: int


@dataclass(frozen=True, slots=True)
class Remark:
    """Free words of a rater about a draft: `kind` is "comment" or "correction" (the impression as it should read)."""

    rater: str
    report: str
    system: str
    kind: str
    text: str
    repeat: int
    form: int


@dataclass(frozen=True, slots=True)
class Visit:
    """One page of a rater's: the report, where in the rater's sequence (from 1), in which order the drafts stood.

    `state` is "done", "skipped" (with `reason`) or "open" (begun or not, never finished). `seconds` is the time that
    the page was in front of the rater, pauses left out.
    """

    rater: str
    report: str
    number: int
    repeat: int
    systems: tuple[str, ...]
    state: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Practice:
    """An answer to a calibration draft (numbered `position` of its report), and what the study expects there."""

    rater: str
    report: str
    position: int
    question: str
    value: int | str
    expected: int | str


Row = Candidate | Rating | ErrorMark | Ranking | Remark | Visit | Practice
FILES: dict[type[Row], str] = {
    Candidate: "candidates.jsonl",
    Rating: "ratings.jsonl",
    ErrorMark: "errors.jsonl",
    Ranking: "rankings.jsonl",
    Remark: "remarks.jsonl",
    Visit: "visits.jsonl",
    Practice: "calibration.jsonl",
}
R = TypeVar("R", Candidate, Rating, ErrorMark, Ranking, Remark, Visit, Practice)


@dataclass(frozen=True, slots=True)
class Export:
    """A study and all its rows."""

    study: Study
    candidates: list[Candidate] = field(default_factory=list)
    ratings: list[Rating] = field(default_factory=list)
    errors: list[ErrorMark] = field(default_factory=list)
    rankings: list[Ranking] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    practice: list[Practice] = field(default_factory=list)


def write_export(export: Export, folder: Path) -> None:
    """Write every file; `study.json` last, so that its presence means "complete". No rows of an open study."""
    (folder / STUDY_FILE).unlink(missing_ok=True)
    rows: dict[type[Row], list[Any]] = {
        Candidate: export.candidates,
        Rating: export.ratings,
        ErrorMark: export.errors,
        Ranking: export.rankings,
        Remark: export.remarks,
        Visit: export.visits,
        Practice: export.practice,
    }
    for kind, file in FILES.items():
        if export.study.closed:
            write_jsonl(folder / file, (asdict(row) for row in rows[kind]))
        else:
            (folder / file).unlink(missing_ok=True)
    write_json(folder / STUDY_FILE, asdict(export.study))


def read_study(folder: Path) -> Study:
    """The study of an export folder. Raises InputError where there is none, or it is none."""
    path = folder / STUDY_FILE
    if not path.exists():
        raise InputError(
            f"{folder}: no {STUDY_FILE} in it; expected a folder that `radllama review export` has written"
        )
    held = read_json(path)
    try:
        questions = tuple(Question(**_tuples(question)) for question in held.pop("questions"))
        return Study(**_tuples(held), questions=questions)
    except (AttributeError, KeyError, TypeError):
        raise InputError(f"{path}: not a study; export it again with `radllama review export`") from None


def read_export(folder: Path) -> Export:
    """A closed study and all its rows. Raises InputError for an open one: nobody unblinds it before it is closed."""
    study = read_study(folder)
    if not study.closed:
        raise InputError(
            f"{folder}: the study {study.name!r} is still open, so it stays blinded; close it first "
            f"(radllama review close {study.name}), then export it again"
        )
    return Export(
        study,
        candidates=list(read_rows(folder, Candidate)),
        ratings=list(read_rows(folder, Rating)),
        errors=list(read_rows(folder, ErrorMark)),
        rankings=list(read_rows(folder, Ranking)),
        remarks=list(read_rows(folder, Remark)),
        visits=list(read_rows(folder, Visit)),
        practice=list(read_rows(folder, Practice)),
    )


def read_rows(folder: Path, kind: type[R]) -> Iterator[R]:
    """Stream the rows of one kind. Raises InputError, naming the line, for what is no such row."""
    path, names = folder / FILES[kind], {one.name for one in fields(kind)}
    for number, row in read_jsonl(path):
        if row.keys() != names:
            raise InputError(f"{path}:{number}: expected exactly {', '.join(sorted(names))}")
        yield kind(**_tuples(row))


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
