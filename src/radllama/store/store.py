"""Connections to the database: SQLite with WAL by default, PostgreSQL by URL; sessions that read or write."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from radllama.errors import InputError
from radllama.store.migrate import migrate

_BUSY_TIMEOUT_S = 30
_BUSY_PAUSE_S = 0.02
_READ_ONLY = "radllama_read_only"


class Store:
    """An opened database whose tables are up to date. Safe to share between threads, not between forks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._write = sessionmaker(engine, expire_on_commit=False)
        self._read = sessionmaker(engine.execution_options(**{_READ_ONLY: True}), expire_on_commit=False)
        self._impatient: list[Engine] = []

    @property
    def name(self) -> str:
        """The database's URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one state of the database and changes nothing."""
        with self._read() as session:
            yield session

    @contextmanager
    def write(self, lock: str | None = None) -> Iterator[Session]:
        """One transaction: committed, and on the disk, when the block ends; rolled back when it raises.

        `lock` names a table that no other transaction may write to meanwhile. (SQLite has one writer at a time in
        any case.)
        """
        with self._write.begin() as session:
            if lock and self._engine.dialect.name == "postgresql":
                session.execute(text(f'LOCK TABLE "{lock}" IN EXCLUSIVE MODE'))
            yield session

    def open_impatient(self, answer_s: float) -> Engine | None:
        """Connections for what can do without an answer: a statement that takes longer than `answer_s` fails.

        Each statement is a transaction. None for SQLite.
        """
        if self._engine.dialect.name != "postgresql":
            return None
        answer_ms = round(1000 * answer_s)
        engine = create_engine(
            self._engine.url,
            isolation_level="AUTOCOMMIT",
            pool_pre_ping=True,
            pool_size=2,
            max_overflow=2,
            pool_timeout=answer_s,
            # A machine that is gone answers nothing, a statement's own limit included: then the kernel gives up.
            connect_args={"connect_timeout": 2, "tcp_user_timeout": 4 * answer_ms},
        )
        event.listen(engine, "connect", partial(_limit_statements, answer_ms))
        self._impatient.append(engine)
        return engine

    def check(self) -> None:
        """Raise what the database raises when it does not answer."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Give the connections back."""
        for engine in (self._engine, *self._impatient):
            engine.dispose()


def open_store(url: str | None, home: Path) -> Store:
    """Open the database at `url` (default: `home`/radllama.sqlite3) and bring its tables up to date.

    Raises InputError for a URL that is none, a database that does not answer, or tables of a later version.
    """
    parsed = _parse_url(url) if url else URL.create("sqlite", database=str(home / "radllama.sqlite3"))
    engine = _create_engine(parsed)
    try:
        migrate(engine)
    except DBAPIError as error:
        engine.dispose()
        reason = " ".join(str(error.orig).split())[:300]
        raise InputError(f"database {engine.url.render_as_string()}: {reason}") from None
    except InputError:
        engine.dispose()
        raise
    return Store(engine)


def _parse_url(url: str) -> URL:
    expected = "expected sqlite:////folder/file.sqlite3 or postgresql://user:password@host/database"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InputError(f"the database's URL cannot be read; {expected}") from None  # it may hold a password
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise InputError(f"no database of the kind {parsed.drivername!r}; {expected}")
    if not parsed.database or parsed.database == ":memory:":
        raise InputError(f"a database in memory would forget what was accepted; {expected}")
    return parsed.set(drivername="sqlite", database=str(Path(parsed.database).absolute()))


def _create_engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        # A connection that the server or a firewall has dropped is found out before it is used.
        return create_engine(url, pool_pre_ping=True)
    Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver would begin transactions on its own, late and not around DDL; `_begin_sqlite` does it.
    connection.isolation_level = None
    _keep_log_beside(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _keep_log_beside(connection: sqlite3.Connection) -> None:
    # Of processes that open a new file at once, one changes its journal; the others SQLite tells at once that it is
    # locked, in spite of the timeout.
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE_S)


def _limit_statements(answer_ms: int, connection: Any, _record: Any) -> None:
    connection.execute(f"SET statement_timeout = {answer_ms}")
    connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    # A writer that begins as a reader can fail where it could have waited: a writer begins as one.
    read_only = connection.get_execution_options().get(_READ_ONLY)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
