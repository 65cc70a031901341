"""Limits per key that several servers over one PostgreSQL keep together."""

import time
from typing import Any

from sqlalchemy import BigInteger, Engine, String, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from radllama.server.limiter import Limiter
from radllama.store.store import Store
from radllama.store.tables import Table

_ANSWER_S = 0.25  # what a request waits for its count at most; one takes a millisecond
_APART_S = 10.0  # how long servers count for themselves before the database is asked again


class RequestCount(Table):
    """What a caller has asked in a window of time, which ends at a second of the Unix clock."""

    __tablename__ = "request_counts"

    caller: Mapped[str] = mapped_column(String(16), primary_key=True)
    ends: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)


# By the database's clock, so that servers whose clocks differ share a window. What is refused is not written.
_TAKE = text("""
    WITH clock AS (SELECT floor(extract(epoch FROM statement_timestamp()))::bigint AS at),
    taken AS (
        INSERT INTO request_counts (caller, ends, count)
        SELECT :caller, at - at % :seconds + :seconds, 1 FROM clock
        ON CONFLICT (caller, ends) DO UPDATE SET count = request_counts.count + 1
        WHERE request_counts.count < :amount
        RETURNING count
    )
    SELECT (SELECT count FROM taken), :seconds - at % :seconds FROM clock
""")
# Two servers may tidy at once: neither waits for rows that the other is removing.
_TIDY = text("""
    DELETE FROM request_counts WHERE (caller, ends) IN (
        SELECT caller, ends FROM request_counts
        WHERE ends <= extract(epoch FROM statement_timestamp()) FOR UPDATE SKIP LOCKED
    )
""")


class SharedLimiter:
    """Counts in the database, in windows that begin at whole multiples of their length.

    While the database does not answer, each server holds its callers to the limit by itself, and goes by what it
    has let in before.
    """

    def __init__(self, limit: str, engine: Engine, log: Any) -> None:
        """`limit` as for a Limiter; `engine` fails where it does not answer soon (`Store.open_impatient`)."""
        self._own = Limiter(limit)
        self._engine, self._log = engine, log
        self._apart_until: float | None = None

    def take(self, caller: str) -> int | None:
        """Count a request; None when it is within the limit, else whole seconds until there is room again."""
        if self._apart_until is not None and time.monotonic() < self._apart_until:
            return self._own.take(caller)
        try:
            wait_s = self._take_together(caller)
        except SQLAlchemyError as error:
            if self._apart_until is None:
                self._log.warning("limits apart", error=type(error).__name__)
            self._apart_until = time.monotonic() + _APART_S
            return self._own.take(caller)
        if self._apart_until is not None:
            self._apart_until = None
            self._log.info("limits together")
        if wait_s is None:
            self._own.take(caller)
        return wait_s

    def _take_together(self, caller: str) -> int | None:
        with self._engine.connect() as connection:
            values = {"caller": caller, "seconds": self._own.seconds, "amount": self._own.amount}
            count, left_s = connection.execute(_TAKE, values).one()
            if count == 1:  # a caller's first in a window: others' windows have ended meanwhile
                connection.execute(_TIDY)
        return None if count is not None else int(left_s)


def open_limiter(limit: str, store: Store, log: Any) -> Limiter | SharedLimiter:
    """A limiter that counts with all servers of the database; on SQLite there is one, which counts in memory.

    Raises InputError for what is no limit.
    """
    engine = store.open_impatient(_ANSWER_S)
    return SharedLimiter(limit, engine, log) if engine else Limiter(limit)
