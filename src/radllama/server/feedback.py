"""Feedback: what was drafted and what people made of it, and how that changes over time.

These two tables hold report text, and beside them only messages that could not be read. `remove_before` empties them.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from sqlalchemy import JSON, Float, ForeignKey, Integer, String, Text, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from radllama.dataset.build import build_dataset
from radllama.errors import InputError
from radllama.files import write_jsonl
from radllama.report import Report
from radllama.store.store import Store
from radllama.store.tables import Table, UtcTime, now
from radllama.text import count_edits

Verdict = Literal["accepted", "edited", "rejected"]
REASONS = {
    "wrong": "says what the findings do not",
    "omitted": "leaves out what matters",
    "wordy": "too long",
    "style": "not how this is written here",
    "other": "something else",
}
_AT_ONCE = 1000


class DraftRow(Table):
    """One draft as it was given: all its impressions, the first one shown first.

    `settings` is what it takes, beside findings and model, to make it again; `asked` what somebody told a chat model
    (an instruction, then turns).
    """

    __tablename__ = "drafts"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    made_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    caller: Mapped[str] = mapped_column(String(16))
    findings: Mapped[str] = mapped_column(Text)
    indication: Mapped[str] = mapped_column(Text)
    comparison: Mapped[str] = mapped_column(Text)
    technique: Mapped[str] = mapped_column(Text)
    impressions: Mapped[list[str]] = mapped_column(JSON)
    flags: Mapped[list[str]] = mapped_column(JSON)
    style: Mapped[str] = mapped_column(String(20))
    model: Mapped[str] = mapped_column(String(300))
    prompt: Mapped[str] = mapped_column(String(300))
    weights_sha256: Mapped[str] = mapped_column(String(64))
    latency_ms: Mapped[float] = mapped_column(Float)
    settings: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    asked: Mapped[list[dict[str, str]]] = mapped_column(JSON, default=list)


class VerdictRow(Table):
    """What a person made of a draft. `impression` is what they signed; None when they rejected it."""

    __tablename__ = "verdicts"

    draft_id: Mapped[str] = mapped_column(ForeignKey("drafts.id", ondelete="CASCADE"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime)
    person: Mapped[str] = mapped_column(String(100))
    caller: Mapped[str] = mapped_column(String(16))
    verdict: Mapped[str] = mapped_column(String(10))
    impression: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(String(20))
    note: Mapped[str] = mapped_column(Text)
    edit_distance: Mapped[int | None] = mapped_column(Integer)
    seconds: Mapped[float | None] = mapped_column(Float)


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided of a draft's impression number `choice`: accepted, edited into `impression`, rejected."""

    verdict: Verdict
    person: str
    choice: int = 0
    impression: str | None = None
    reason: str | None = None
    note: str = ""
    seconds: float | None = None


class DecidedError(Exception):
    """The draft has another verdict already."""


def decide(session: Session, draft_id: str, decision: Decision, caller: str) -> VerdictRow:
    """Keep a decision. The same one once more changes nothing: a client whose answer was lost may ask again.

    Raises InputError for a draft that is not there or a choice it has not, DecidedError for a second, other decision.
    """
    draft = session.get(DraftRow, draft_id)
    if draft is None:
        raise InputError("there is no such draft, or it was removed")
    if decision.choice >= len(draft.impressions):
        raise InputError(f"choice: this draft has {len(draft.impressions)} impressions, numbered from 0")
    chosen = draft.impressions[decision.choice]
    final = {"accepted": chosen, "edited": decision.impression, "rejected": None}[decision.verdict]
    row = VerdictRow(
        draft_id=draft_id,
        at=now(),
        person=decision.person,
        caller=caller,
        verdict=decision.verdict,
        impression=final,
        reason=decision.reason,
        note=decision.note,
        edit_distance=None if final is None else count_edits(chosen, final),
        seconds=decision.seconds,
    )
    held = session.get(VerdictRow, draft_id)
    if held is not None:
        if (held.person, held.verdict, held.impression, held.reason) != (row.person, row.verdict, final, row.reason):
            raise DecidedError
        return held
    session.add(row)
    session.flush()
    return row


def export_feedback(
    store: Store, out: Path, since: datetime | None = None, edited_only: bool = False
) -> dict[str, Any]:
    """Write what was accepted and edited as a dataset folder (cleaned, split, with its card); returns the card.

    Raises InputError when there is nothing to write.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "feedback.jsonl"
        if not write_jsonl(path, (report.to_json() for report in _signed(store, since, edited_only))):
            raise InputError("no feedback to export: nothing was accepted or edited in that time")
        return build_dataset("table", path, out, "random:0")


def _signed(store: Store, since: datetime | None, edited_only: bool) -> Iterator[Report]:
    wanted = ("edited",) if edited_only else ("accepted", "edited")
    query = (
        select(DraftRow, VerdictRow)
        .join(VerdictRow, VerdictRow.draft_id == DraftRow.id)
        .where(VerdictRow.verdict.in_(wanted))
        .order_by(VerdictRow.at, DraftRow.id)
    )
    if since is not None:
        query = query.where(VerdictRow.at >= since)
    with store.read() as session:
        for draft, verdict in session.execute(query).all():
            yield Report(
                draft.id,
                None,
                draft.findings,
                verdict.impression or "",
                draft.indication,
                draft.comparison,
                draft.technique,
                "feedback",
            )


def remove_before(session: Session, moment: datetime) -> int:
    """Remove drafts made before a moment, and their verdicts; returns how many. The audit log stays."""
    old = select(DraftRow.id).where(DraftRow.made_at < moment)
    session.execute(delete(VerdictRow).where(VerdictRow.draft_id.in_(old)))
    return len(session.scalars(delete(DraftRow).where(DraftRow.made_at < moment).returning(DraftRow.id)).all())


@dataclass(slots=True)
class Day:
    """One day's drafts: how many, what became of them, edits per signed draft, flags per draft."""

    day: str
    drafts: int = 0
    accepted: int = 0
    edited: int = 0
    rejected: int = 0
    edits: float = 0.0
    flags: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        return asdict(self)


def drift(session: Session, since: datetime) -> list[Day]:
    """A Day for each day (UTC) with drafts since a moment, in order."""
    query = (
        select(DraftRow.made_at, DraftRow.flags, VerdictRow.verdict, VerdictRow.edit_distance)
        .outerjoin(VerdictRow, VerdictRow.draft_id == DraftRow.id)
        .where(DraftRow.made_at >= since)
        .execution_options(yield_per=_AT_ONCE)
    )
    rows: dict[str, list[tuple[int, str | None, int | None]]] = defaultdict(list)
    for made_at, flags, verdict, edits in session.execute(query):
        rows[f"{made_at:%Y-%m-%d}"].append((len(flags), verdict, edits))
    return [_summarise(day, rows[day]) for day in sorted(rows)]


def _summarise(day: str, rows: list[tuple[int, str | None, int | None]]) -> Day:
    verdicts = [verdict for _, verdict, _ in rows]
    edits = [count for _, _, count in rows if count is not None]
    return Day(
        day,
        drafts=len(rows),
        accepted=verdicts.count("accepted"),
        edited=verdicts.count("edited"),
        rejected=verdicts.count("rejected"),
        edits=round(sum(edits) / len(edits), 2) if edits else 0.0,
        flags=round(sum(flags for flags, _, _ in rows) / len(rows), 2),
    )
