"""The audit log: who did what and when, append-only, hash-chained, without a word of patient text.

Each entry carries an HMAC over itself and the entry before it, so that a change, a removal or another order breaks
the chain where it happened. What a chain cannot show is that its end was cut off: therefore the number and HMAC of
the last entry also stand in a file beside the secret (the anchor), outside the database.
"""

import fcntl
import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Integer, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from radllama.console import note
from radllama.errors import InputError
from radllama.files import read_json, write_json
from radllama.home import SECRET_VARIABLE, load_secret
from radllama.store.store import Store
from radllama.store.tables import Table, now

_START = "0" * 64  # what stands for "the entry before" in the first one
_AT_ONCE = 1000


class AuditEntry(Table):
    """One entry. `subject` is a keyed hash; `facts` are numbers and names of ours, as canonical JSON."""

    __tablename__ = "audit_entries"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    # As text: what was hashed must come back as the same characters from either database.
    at: Mapped[str] = mapped_column(String(32))
    event: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(64))
    facts: Mapped[str] = mapped_column(Text)
    mac: Mapped[str] = mapped_column(String(64))


@dataclass(frozen=True, slots=True)
class Event:
    """Something to be logged. `subject` is an id of any kind: it is logged as a keyed hash and cannot be read back."""

    event: str
    actor: str
    subject: str = ""
    facts: Mapping[str, int | float | bool | str | None] | None = None


class AuditLog:
    """Appends to the log and verifies it. Safe for several threads, processes and machines on one database."""

    def __init__(self, store: Store, home: Path) -> None:
        secret = load_secret(home)
        self._store = store
        # A key for each use: what one reveals says nothing about the other.
        self._chain_key = _derive(secret, "audit chain")
        self._subject_key = _derive(secret, "audit subject")
        self._anchor = home / f"audit-{hashlib.sha256(store.name.encode()).hexdigest()[:8]}.json"

    def append(self, *events: Event) -> None:
        """Log events in a transaction of their own; they are on the disk when this returns."""
        with self.transaction() as (_, log):
            for event in events:
                log(event)

    @contextmanager
    def transaction(self) -> Iterator[tuple[Session, Any]]:
        """One transaction for rows and the entries about them: yields its session and a function that logs an Event.

        Either all of it is on the disk when the block ends, or nothing.
        """
        last: AuditEntry | None = None

        def log(event: Event) -> None:
            nonlocal last
            last = self._append(session, event, last)

        with self._store.write(lock=AuditEntry.__tablename__) as session:
            yield session, log
        if last is not None:
            # After the commit: a crash in between leaves an anchor that is behind, which is no alarm.
            try:
                self._move_anchor(last)
            except OSError as error:  # what was logged stands; to call it failed would have it logged twice
                note(f"the audit log's anchor cannot be written: {error}")

    def check_secret(self) -> None:
        """Raise InputError when the log was written under another secret: entries of ours would break its chain."""
        with self._store.read() as session:
            newest = list(session.scalars(select(AuditEntry).order_by(AuditEntry.number.desc()).limit(2)))
        if newest and not hmac.compare_digest(
            newest[0].mac, self._mac(newest[0], newest[1].mac if len(newest) > 1 else _START)
        ):
            raise InputError(
                "audit log: its last entry was altered, or was written under another secret; servers on one database "
                f"share one secret.key, or one {SECRET_VARIABLE} in their environment"
            )

    def verify(self) -> int:
        """Check every entry and the end; returns how many there are. Raises InputError that names the first break."""
        anchored = self._read_anchor()
        with ExitStack() as opened:
            session = opened.enter_context(self._store.read())
            ordered = select(AuditEntry).order_by(AuditEntry.number)
            entries = session.scalars(ordered.execution_options(yield_per=_AT_ONCE))
            count = self.follow(opened.enter_context(closing(entries)), anchored)
        if count and not anchored:
            raise InputError(f"audit log: {self._anchor} is gone: whether the log's end was cut off cannot be told")
        if anchored and anchored[0] > count:
            raise InputError(f"audit log: ends after {count} entries, but {anchored[0]} were written")
        return count

    def follow(self, entries: Iterable[AuditEntry], anchored: tuple[int, str] | None = None) -> int:
        """Check that each entry follows the one before it; returns how many there are.

        Raises InputError that names the first that does not, or is not the (number, HMAC) that was anchored.
        """
        count, before = 0, _START
        for entry in entries:
            count += 1
            if entry.number != count:
                raise InputError(f"audit log: entry {count} is missing; entry {entry.number} stands in its place")
            if not hmac.compare_digest(entry.mac, self._mac(entry, before)):
                raise InputError(
                    f"audit log: entry {count} is not what was written, or does not follow the one before it"
                )
            if anchored and anchored[0] == count and not hmac.compare_digest(anchored[1], entry.mac):
                raise InputError(f"audit log: entry {count} is not the one that was anchored")
            before = entry.mac
        return count

    def hash_subject(self, subject: str) -> str:
        """The keyed hash that stands for an id in the log: whoever has the id and the secret can find its entries."""
        return hmac.new(self._subject_key, subject.encode(), hashlib.sha256).hexdigest() if subject else ""

    def _append(self, session: Session, event: Event, last: AuditEntry | None) -> AuditEntry:
        if last is None:
            last = session.scalar(select(AuditEntry).order_by(AuditEntry.number.desc()).limit(1))
        entry = AuditEntry(
            number=last.number + 1 if last else 1,
            at=now().isoformat(timespec="microseconds"),
            event=event.event,
            actor=event.actor,
            subject=self.hash_subject(event.subject),
            facts=json.dumps(dict(event.facts or {}), sort_keys=True, separators=(",", ":")),
        )
        entry.mac = self._mac(entry, last.mac if last else _START)
        session.add(entry)
        session.flush()
        return entry

    def _mac(self, entry: AuditEntry, before: str) -> str:
        fields = [before, entry.number, entry.at, entry.event, entry.actor, entry.subject, entry.facts]
        return hmac.new(self._chain_key, json.dumps(fields).encode(), hashlib.sha256).hexdigest()

    def _move_anchor(self, last: AuditEntry) -> None:
        with self._anchor.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = self._read_anchor()
            if held is None or held[0] < last.number:
                write_json(self._anchor, {"entries": last.number, "mac": last.mac})
                self._anchor.chmod(0o600)

    def _read_anchor(self) -> tuple[int, str] | None:
        if not self._anchor.exists():
            return None
        try:
            held = read_json(self._anchor)
            return int(held["entries"]), str(held["mac"])
        except (InputError, KeyError, TypeError, ValueError):
            raise InputError(f"{self._anchor}: not an anchor of the audit log; restore it from the backup") from None


def _derive(secret: bytes, use: str) -> bytes:
    return hmac.new(secret, use.encode(), hashlib.sha256).digest()
