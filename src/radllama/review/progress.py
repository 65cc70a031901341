"""How far a study has come: pages and minutes of each rater, and nothing of what they answered."""

import csv
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from radllama.files import write_aside
from radllama.review.book import find_place
from radllama.review.export import rater_code
from radllama.review.tables import AccountRow, MemberRow, StudyRow

PROGRESS_FILE = "progress.csv"


@dataclass(frozen=True, slots=True)
class RaterProgress:
    """One rater. `state` is "not joined" (then `name` is empty), "not begun", "under way" or "finished"."""

    rater: str
    name: str
    state: str
    pages: int
    finished: int
    skipped: int
    minutes: float


@dataclass(frozen=True, slots=True)
class Progress:
    """A study and its raters."""

    study: str
    title: str
    is_closed: bool
    raters: list[RaterProgress]

    @property
    def pages(self) -> int:
        """Of all raters."""
        return sum(one.pages for one in self.raters)

    @property
    def finished(self) -> int:
        """Of all raters: done or skipped."""
        return sum(one.finished for one in self.raters)


def read_progress(session: Session, study: StudyRow) -> Progress:
    """How far every seat of a study is."""
    joined = (
        select(MemberRow.seat, AccountRow.shown_name)
        .join(AccountRow, AccountRow.id == MemberRow.account_id)
        .where(MemberRow.study_id == study.id)
    )
    names = {row[0]: row[1] for row in session.execute(joined)}
    raters = []
    for seat in range(1, study.raters + 1):
        place = find_place(session, study, seat)
        state = "finished" if place.next is None else "under way" if place.finished else "not begun"
        raters.append(
            RaterProgress(
                rater_code(seat),
                names.get(seat, ""),
                state if seat in names else "not joined",
                place.pages,
                place.finished,
                place.skipped,
                round(place.seconds / 60, 1),
            )
        )
    return Progress(study.name, study.title, study.closed_at is not None, raters)


def render_progress(progress: Progress) -> str:
    """For a terminal."""
    state = "closed" if progress.is_closed else "open"
    lines = [f"{progress.study} ({state}): {progress.finished} of {progress.pages} pages"]
    for one in progress.raters:
        skipped = f", {one.skipped} skipped" if one.skipped else ""
        lines.append(
            f"  {one.rater:10}{one.state:12}{one.finished:4} of {one.pages}{skipped}, {one.minutes:.1f} min  {one.name}"
        )
    return "\n".join(lines)


def render_csv(progress: Progress) -> str:
    """As a table by rater code: names stay in the database."""
    fields = [name for name in RaterProgress.__dataclass_fields__ if name != "name"]
    text = StringIO()
    table = csv.DictWriter(text, fields, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(one) for one in progress.raters)
    return text.getvalue()


def write_progress(progress: Progress, folder: Path) -> None:
    """Write `progress.csv`."""
    with write_aside(folder / PROGRESS_FILE) as file:
        file.write(render_csv(progress))
