"""Backup and restore: every table of the database in one compressed file, the same for SQLite and PostgreSQL.

The file holds reports, answers and password hashes: it is for its owner's eyes alone. It does not hold the machine's
secret (`secret.key` in RADLLAMA_HOME): who has both could write a false log, so they are kept apart.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, inspect, select, text
from sqlalchemy import Table as SqlTable

from radllama.errors import InputError
from radllama.review import tables
from radllama.review.answers import verify_answers
from radllama.server import feedback, keys
from radllama.server.audit import AuditEntry, AuditLog, Event
from radllama.store.migrate import VERSION_TABLE
from radllama.store.store import Store
from radllama.store.tables import Table, UtcTime, now
from radllama.web.sessions import WebSession

_FORMAT = 1
_AT_ONCE = 500
# Whoever is signed in signs in again: a backup must open no door.
_LEFT_OUT = {WebSession.__tablename__, VERSION_TABLE}
_FEATURES = (tables, feedback, keys)  # imported: that is what brings their tables into the metadata


def write_backup(store: Store, path: Path) -> dict[str, int]:
    """Write the whole database as it is at one moment, aside first; returns how many rows of each table."""
    if path.exists():
        raise InputError(f"{path}: is there already; a backup is never overwritten")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.aside")
    try:
        aside.touch(mode=0o600)
        with store.read() as session, gzip.open(aside, "wt", encoding="utf-8") as file:
            connection = session.connection()
            if connection.dialect.name == "postgresql":  # else every statement would see another moment
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            counts: dict[str, int] = {}
            digest = hashlib.sha256()
            head = {"radllama_backup": _FORMAT, "revision": _revision(connection), "made_at": now().isoformat()}
            for line in (head, *_lines(connection, counts), {"rows": counts}):
                written = json.dumps(line, ensure_ascii=False) + "\n"
                digest.update(written.encode())
                file.write(written)
            file.write(json.dumps({"sha256": digest.hexdigest()}) + "\n")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return counts


def restore_backup(store: Store, audit: AuditLog, path: Path) -> dict[str, int]:
    """Write a backup into an empty database, all of it or nothing; returns how many rows of each table.

    Raises InputError for a file that is none, or cut off, or altered; one of another version; a database that is not
    empty; and a log that another machine's secret has sealed.
    """
    counts = _check_file(path)  # the whole file, before a row of it is written
    audit.follow(AuditEntry(**row) for table, row in _read_rows(path) if table == AuditEntry.__tablename__)
    known = {table.name: table for table in _tables()}
    with store.write() as session:
        connection = session.connection()
        if _revision(connection) != (revision := _read_head(path)["revision"]):
            raise InputError(
                f"{path}: was written at revision {revision}, by another version of radllama; restore with that"
            )
        if taken := [name for name, table in known.items() if connection.execute(select(table).limit(1)).first()]:
            raise InputError(f"database {store.name}: not empty ({taken[0]} has rows); restore into a new one")
        waiting: list[dict[str, Any]] = []
        current = ""
        for name, row in _read_rows(path):
            if waiting and (name != current or len(waiting) == _AT_ONCE):
                connection.execute(insert(known[current]), waiting)
                waiting = []
            current = name
            waiting.append({key: _value(known[name], key, value) for key, value in row.items()})
        if waiting:
            connection.execute(insert(known[current]), waiting)
        _move_sequences(connection, known.values())
    audit.append(Event("review.restore", "cli", facts={"rows": sum(counts.values())}))  # and with it the anchor
    verify_answers(store, audit)
    return counts


def _tables() -> list[SqlTable]:
    return [table for table in Table.metadata.sorted_tables if table.name not in _LEFT_OUT]


def _lines(connection: Connection, counts: dict[str, int]) -> Iterator[dict[str, Any]]:
    known = _tables()
    names = {table.name for table in known} | _LEFT_OUT
    if unknown := sorted(set(inspect(connection).get_table_names()) - names):
        raise InputError(f"table {unknown[0]} is none of radllama's; a backup would leave it out")
    for table in known:
        rows = connection.execution_options(yield_per=_AT_ONCE).execute(select(table).order_by(*table.primary_key))
        counts[table.name] = 0
        for row in rows.mappings():
            counts[table.name] += 1
            yield {"table": table.name, "row": {key: _plain(value) for key, value in row.items()}}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _value(table: SqlTable, key: str, value: Any) -> Any:
    moment = isinstance(table.columns[key].type, UtcTime) and value is not None
    return datetime.fromisoformat(value) if moment else value


def _revision(connection: Connection) -> str:
    return str(connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one())


def _check_file(path: Path) -> dict[str, int]:
    before, last, digest = "", "", hashlib.sha256()
    for line in _read_lines(path):
        digest.update(before.encode())
        before, last = last, line
    digest.update(before.encode())
    end: Any = None
    with suppress(ValueError):
        end = json.loads(last) if last else None
    if not isinstance(end, dict) or end.get("sha256") != digest.hexdigest():
        raise InputError(f"{path}: cut off, altered, or no backup of radllama's; take another copy of it")
    counts: dict[str, int] = json.loads(before)["rows"]
    if _read_head(path).get("radllama_backup") != _FORMAT:
        raise InputError(f"{path}: not a backup that this version of radllama reads")
    return counts


def _read_head(path: Path) -> dict[str, Any]:
    head: dict[str, Any] = json.loads(next(_read_lines(path)))
    return head


def _read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in _read_lines(path):
        held = json.loads(line)
        if "table" in held:
            yield held["table"], held["row"]


def _read_lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from file
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError, OSError):
        raise InputError(f"{path}: cut off, altered, or no backup of radllama's; take another copy of it") from None


def _move_sequences(connection: Connection, restored: Any) -> None:
    """On PostgreSQL the next number of a column is not what stands in its rows."""
    if connection.dialect.name != "postgresql":
        return
    for table in restored:
        for column in table.primary_key:
            owned = {"table": table.name, "column": column.name}
            name = connection.execute(text("SELECT pg_get_serial_sequence(:table, :column)"), owned).scalar()
            if name:
                highest = f"(SELECT max({column.name}) FROM {table.name})"
                connection.execute(text(f"SELECT setval('{name}', coalesce({highest}, 1), {highest} IS NOT NULL)"))
