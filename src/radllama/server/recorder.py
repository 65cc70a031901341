"""Writing to the store from the event loop: what comes at once shares one transaction, so one sync of the disk."""

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from radllama.server.audit import AuditLog, Event

_AT_ONCE = 256
Write = Callable[[Session], Any]


@dataclass(frozen=True, slots=True)
class _Entry:
    write: Write | None
    event: Event
    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[Any]"


class Recorder:
    """A thread that writes rows and their audit entries in the order they were handed in."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="recorder", daemon=True)
        self._thread.start()

    async def record(self, event: Event, write: Write | None = None) -> Any:
        """Do `write` in a transaction together with its audit entry; returns what `write` returned.

        When this returns, both are on the disk; when it raises (what `write` or the database raised), neither is.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        self._entries.put(_Entry(write, event, loop, done))
        # Shielded: whoever hangs up now cannot undo what is being written.
        return await asyncio.shield(done)

    def close(self) -> None:
        """Write what has been handed in, then end."""
        self._entries.put(None)
        self._thread.join()

    def _write_all(self) -> None:
        while (entry := self._entries.get()) is not None:
            group, last = [entry], False
            while len(group) < _AT_ONCE and not self._entries.empty():
                following = self._entries.get()
                if following is None:
                    last = True
                    break
                group.append(following)
            self._write(group)
            if last:
                return

    def _write(self, group: list[_Entry]) -> None:
        try:
            with self._audit.transaction() as (session, log):
                values = [self._do(entry, session, log) for entry in group]
        except Exception as error:
            if len(group) == 1:
                _tell(group[0], None, error)
                return
            for entry in group:  # one that fails is no reason to lose its neighbours
                self._write([entry])
            return
        for entry, value in zip(group, values, strict=True):
            _tell(entry, value, None)

    def _do(self, entry: _Entry, session: Session, log: Callable[[Event], None]) -> Any:
        value = entry.write(session) if entry.write else None
        log(entry.event)
        return value


def _tell(entry: _Entry, value: Any, error: Exception | None) -> None:
    def settle() -> None:
        if not entry.done.done():
            entry.done.set_exception(error) if error else entry.done.set_result(value)

    if not entry.loop.is_closed():
        entry.loop.call_soon_threadsafe(settle)
