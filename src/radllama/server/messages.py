"""Messages of other systems: which were answered, so that none is answered twice, and which could not be read.

In the database, so that restarts and every replica know them. Of an answered message there are hashes and the draft's
id alone; one that could not be read is kept whole, for the operator (`radllama unread`).
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import LargeBinary, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from radllama.errors import InputError
from radllama.store.tables import Table, UtcTime, now

MOST_UNREAD = 1000
_STALE = timedelta(minutes=5)  # whoever began to answer longer ago than this has died


class MessageRow(Table):
    """A message that was taken on. `code` is empty while it is being answered, then AA or AE."""

    __tablename__ = "messages"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime)
    body_sha256: Mapped[str] = mapped_column(String(64))
    code: Mapped[str] = mapped_column(String(2))
    draft_id: Mapped[str] = mapped_column(String(40))
    told: Mapped[str] = mapped_column(String(300))


class UnreadRow(Table):
    """A message that could not be read, whole, and why, in words of ours."""

    __tablename__ = "unread_messages"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    interface: Mapped[str] = mapped_column(String(10))
    caller: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(300))
    body: Mapped[bytes] = mapped_column(LargeBinary)


class UnderWayError(Exception):
    """Somebody else is answering this message now."""


class ReusedError(Exception):
    """Another message had this control id."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a message: its acknowledgment, and the draft or the reason."""

    code: str
    draft_id: str
    told: str


def hash_sender(*names: str) -> str:
    """The key of a message: a hash over its sender and control id, which may name anything."""
    return hashlib.sha256("\x1f".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def claim(session: Session, key: str, body: bytes) -> Answer | None:
    """Take a message on: None when it is new, else what it was answered.

    Raises UnderWayError while another answers it (and the database's IntegrityError when both began at once), and
    ReusedError when the key's message was another.
    """
    digest, row = hashlib.sha256(body).hexdigest(), session.get(MessageRow, key)
    if row is None:
        session.add(MessageRow(id=key, at=now(), body_sha256=digest, code="", draft_id="", told=""))
        session.flush()
        return None
    if row.body_sha256 != digest:
        raise ReusedError
    if row.code:
        return Answer(row.code, row.draft_id, row.told)
    if row.at > now() - _STALE:
        raise UnderWayError
    row.at = now()
    return None


def settle(session: Session, key: str, answer: Answer | None) -> None:
    """Keep what a message was answered; None: it was not, and may come again."""
    row = session.get(MessageRow, key)
    if row is not None and answer is None:
        session.delete(row)
    elif row is not None and answer is not None:
        row.code, row.draft_id, row.told = answer.code, answer.draft_id, answer.told[:300]


def keep_unread(session: Session, interface: str, caller: str, reason: str, body: bytes) -> str:
    """Keep a message for the operator; returns its id. Of more than MOST_UNREAD the oldest go."""
    row = UnreadRow(
        id=secrets.token_hex(4), at=now(), interface=interface, caller=caller, reason=reason[:300], body=body
    )
    session.add(row)
    session.flush()
    kept = select(UnreadRow.id).order_by(UnreadRow.at.desc(), UnreadRow.id).limit(MOST_UNREAD)
    old = session.scalars(select(UnreadRow.id).where(UnreadRow.id.not_in(kept.scalar_subquery()))).all()
    session.execute(delete(UnreadRow).where(UnreadRow.id.in_(old)))
    return row.id


def list_unread(session: Session) -> Sequence[UnreadRow]:
    """All that could not be read, oldest first."""
    return session.scalars(select(UnreadRow).order_by(UnreadRow.at, UnreadRow.id)).all()


def find_unread(session: Session, identity: str) -> UnreadRow:
    """One of them. Raises InputError when there is none of that id."""
    row = session.get(UnreadRow, identity)
    if row is None:
        raise InputError(f"no unread message {identity!r}; `radllama unread list` shows them")
    return row


def remove_messages(session: Session, moment: datetime) -> int:
    """Remove what came before a moment, read or not; returns how many could not be read."""
    session.execute(delete(MessageRow).where(MessageRow.at < moment))
    return len(session.scalars(delete(UnreadRow).where(UnreadRow.at < moment).returning(UnreadRow.id)).all())
