"""The audit log: any altered, removed, reordered or cut-off entry is found, on both databases, under any load."""

import json
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from radllama.errors import InputError
from radllama.server.audit import AuditEntry, AuditLog, Event
from radllama.server.keys import create_key, list_keys
from radllama.store.store import Store, open_store


@pytest.fixture
def log(store: Store, home: Path) -> AuditLog:
    return AuditLog(store, home)


@pytest.fixture
def five(log: AuditLog) -> AuditLog:
    """A log of five entries."""
    for number in range(5):
        log.append(Event("draft.make", "key1", f"draft-{number}", {"tokens": number}))
    return log


@pytest.fixture
def tamper(store: Store) -> Callable[..., None]:
    """Run SQL as somebody who owns the database and has taken the triggers away."""

    def run(*statements: str) -> None:
        with store.write() as session:
            if session.get_bind().dialect.name == "sqlite":
                session.execute(text("DROP TRIGGER IF EXISTS audit_entries_no_update"))
                session.execute(text("DROP TRIGGER IF EXISTS audit_entries_no_delete"))
            else:
                session.execute(text("DROP TRIGGER IF EXISTS audit_entries_append_only ON audit_entries"))
            for statement in statements:
                session.connection().exec_driver_sql(statement)

    return run


def entries(store: Store) -> list[AuditEntry]:
    with store.read() as session:
        return list(session.scalars(select(AuditEntry).order_by(AuditEntry.number)))


def log_ten(log: AuditLog) -> None:
    for _ in range(10):
        log.append(Event("draft.make", "key1"))


def test_an_empty_log_is_unbroken(log: AuditLog) -> None:
    assert log.verify() == 0


def test_what_was_logged_is_there_in_order_and_unbroken(five: AuditLog, store: Store) -> None:
    assert five.verify() == 5
    logged = entries(store)
    assert [entry.number for entry in logged] == [1, 2, 3, 4, 5]
    assert [json.loads(entry.facts) for entry in logged] == [{"tokens": number} for number in range(5)]
    assert {(entry.event, entry.actor) for entry in logged} == {("draft.make", "key1")}


def test_an_id_is_logged_as_a_keyed_hash(five: AuditLog, store: Store, home: Path, tmp_path: Path) -> None:
    (first, *_) = entries(store)
    assert "draft-0" not in str(first.__dict__)
    assert first.subject == five.hash_subject("draft-0")
    other = tmp_path / "other"
    other.mkdir()
    assert AuditLog(store, other).hash_subject("draft-0") != first.subject


@pytest.mark.parametrize(
    "change",
    [
        "facts = '{\"tokens\":9}'",
        "actor = 'key2'",
        "event = 'draft.accept'",
        "at = '2020-01-01T00:00:00.000000+00:00'",
        "subject = ''",
        "mac = (SELECT mac FROM audit_entries WHERE number = 2)",
    ],
)
@pytest.mark.parametrize("number", [1, 3, 5])
def test_an_altered_entry_is_named(five: AuditLog, tamper: Callable[..., None], change: str, number: int) -> None:
    tamper(f"UPDATE audit_entries SET {change} WHERE number = {number}")
    with pytest.raises(InputError, match=f"entry {number} is not what was written"):
        five.verify()


@pytest.mark.parametrize("number", [1, 3])
def test_a_removed_entry_is_named(five: AuditLog, tamper: Callable[..., None], number: int) -> None:
    tamper(f"DELETE FROM audit_entries WHERE number = {number}")
    with pytest.raises(InputError, match=f"entry {number} is missing"):
        five.verify()


def test_a_removed_entry_whose_gap_was_closed_is_found(five: AuditLog, tamper: Callable[..., None]) -> None:
    tamper(
        "DELETE FROM audit_entries WHERE number = 3",
        "UPDATE audit_entries SET number = 3 WHERE number = 4",
        "UPDATE audit_entries SET number = 4 WHERE number = 5",
    )
    with pytest.raises(InputError, match="entry 3 is not what was written"):
        five.verify()


def test_reordered_entries_are_found(five: AuditLog, tamper: Callable[..., None]) -> None:
    tamper(
        "UPDATE audit_entries SET number = 99 WHERE number = 2",
        "UPDATE audit_entries SET number = 2 WHERE number = 3",
        "UPDATE audit_entries SET number = 3 WHERE number = 99",
    )
    with pytest.raises(InputError, match="entry 2 is not what was written"):
        five.verify()


@pytest.mark.parametrize("kept", [0, 4])
def test_an_end_that_was_cut_off_is_found(five: AuditLog, tamper: Callable[..., None], kept: int) -> None:
    tamper(f"DELETE FROM audit_entries WHERE number > {kept}")
    with pytest.raises(InputError, match=f"ends after {kept} entries, but 5 were written"):
        five.verify()


def test_an_end_that_was_replaced_by_entries_of_another_log_is_found(
    five: AuditLog, store: Store, home: Path, tamper: Callable[..., None]
) -> None:
    tamper("DELETE FROM audit_entries WHERE number > 4")
    anchor = next(home.glob("audit-*.json"))
    held = anchor.read_text()
    five.append(Event("draft.make", "key1", "another"))
    anchor.write_text(held)
    with pytest.raises(InputError, match="entry 5 is not the one that was anchored"):
        five.verify()


def test_without_its_anchor_a_log_is_not_called_unbroken(five: AuditLog, home: Path) -> None:
    next(home.glob("audit-*.json")).unlink()
    with pytest.raises(InputError, match="is gone: whether the log's end was cut off cannot be told"):
        five.verify()


def test_a_broken_anchor_is_told(five: AuditLog, home: Path) -> None:
    next(home.glob("audit-*.json")).write_text("{}")
    with pytest.raises(InputError, match="not an anchor of the audit log"):
        five.verify()


def test_an_anchor_that_a_crash_left_behind_is_no_alarm(five: AuditLog, home: Path) -> None:
    anchor = next(home.glob("audit-*.json"))
    held = anchor.read_text()
    five.append(Event("draft.make", "key1", "draft-5"))
    anchor.write_text(held)
    assert five.verify() == 6


def test_another_secret_calls_the_log_broken(five: AuditLog, store: Store, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(InputError, match="entry 1 is not what was written"):
        AuditLog(store, other).verify()


@pytest.mark.parametrize("statement", ["UPDATE audit_entries SET actor = 'x'", "DELETE FROM audit_entries"])
def test_the_database_itself_refuses_a_change(five: AuditLog, store: Store, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), store.write() as session:
        session.execute(text(statement))
    assert five.verify() == 5


def test_rows_and_their_entries_are_written_together_or_not_at_all(log: AuditLog, store: Store) -> None:
    with pytest.raises(RuntimeError), log.transaction() as (session, record):
        create_key(session, "ris")
        record(Event("key.create", "cli"))
        raise RuntimeError
    with store.read() as session:
        assert list_keys(session) == []
    assert log.verify() == 0
    with log.transaction() as (session, record):
        create_key(session, "ris")
        record(Event("key.create", "cli"))
        record(Event("key.create", "cli"))
    assert log.verify() == 2


def test_threads_that_log_at_once_make_one_unbroken_chain(log: AuditLog) -> None:
    threads = [threading.Thread(target=lambda: log_ten(log)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.verify() == 40


def log_ten_in_a_process(database: str, home: Path) -> None:
    store = open_store(database, home)
    log_ten(AuditLog(store, home))
    store.close()


def test_processes_that_log_at_once_make_one_unbroken_chain(database: str, home: Path) -> None:
    processes = [
        multiprocessing.get_context("spawn").Process(target=log_ten_in_a_process, args=(database, home))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    store = open_store(database, home)
    assert AuditLog(store, home).verify() == 30
    store.close()
