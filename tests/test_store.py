"""The database: the same on SQLite and PostgreSQL, up to date by its own migrations, and nothing half-done."""

import sqlite3
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import OperationalError

import radllama.store.migrate as migrate_module
from radllama.errors import InputError
from radllama.review import tables
from radllama.server import audit, feedback, keys, messages, shared_limiter
from radllama.store.migrate import VERSION_TABLE, migrate
from radllama.store.store import Store, open_store
from radllama.store.tables import Table, UtcTime, now
from radllama.web import sessions

FEATURES = (
    audit,
    feedback,
    keys,
    messages,
    sessions,
    shared_limiter,
    tables,
)  # their tables are in Table.metadata once they are imported


@pytest.fixture
def bare(database: str) -> str:
    """The URL as SQLAlchemy takes it."""
    return database.replace("postgresql://", "postgresql+psycopg://")


def test_migrations_end_in_the_tables_that_the_code_declares(store: Store) -> None:
    with store.read() as session:
        context = MigrationContext.configure(
            session.connection(), opts={"compare_type": True, "version_table": VERSION_TABLE}
        )
        assert compare_metadata(context, Table.metadata) == []


def test_migrations_are_one_line_of_revisions() -> None:
    scripts = ScriptDirectory(str(migrate_module._FOLDER))
    assert len(scripts.get_heads()) == len(scripts.get_bases()) == 1


def test_opening_again_keeps_what_was_written(database: str, home: Path) -> None:
    with_key = open_store(database, home)
    with with_key.write() as session:
        keys.create_key(session, "ris")
    with_key.close()
    again = open_store(database, home)
    with again.read() as session:
        assert [key.name for key in keys.list_keys(session)] == ["ris"]
    again.close()


def test_processes_that_open_a_new_database_at_once_all_find_it_ready(database: str, home: Path) -> None:
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            open_store(database, home).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_new_file_that_another_process_writes_to_is_waited_for(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "radllama.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE theirs (x)")
    opened: list[Store] = []
    opening = threading.Thread(target=lambda: opened.append(open_store(None, tmp_path)))
    opening.start()
    opening.join(0.5)
    assert opening.is_alive()
    other.execute("COMMIT")
    opening.join()
    opened[0].close()
    other.close()


def test_a_database_of_a_later_version_is_refused(bare: str, database: str, home: Path) -> None:
    open_store(database, home).close()
    engine = create_engine(bare)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(InputError, match=r"\(revision 9999\) were made by a later radllama"):
        open_store(database, home)


def test_a_migration_that_fails_leaves_nothing_behind(
    bare: str,
    database: str,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_store(database, home).close()
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    for source in (migrate_module._FOLDER / "env.py", *(migrate_module._FOLDER / "versions").glob("r*.py")):
        (folder / source.relative_to(migrate_module._FOLDER)).write_text(source.read_text())
    head = ScriptDirectory(str(folder)).get_current_head()
    (folder / "versions" / "broken.py").write_text(
        f"from alembic import op\nimport sqlalchemy as sa\nrevision, down_revision = 'broken', {head!r}\n"
        "def upgrade():\n    op.create_table('half', sa.Column('id', sa.Integer))\n    op.execute('NONSENSE')\n"
    )
    monkeypatch.setattr(migrate_module, "_FOLDER", folder)
    with pytest.raises(InputError, match="NONSENSE"):
        open_store(database, home)
    engine = create_engine(bare)
    with engine.connect() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all() == [head]
        assert not engine.dialect.has_table(connection, "half")
    engine.dispose()


def test_a_write_that_raises_is_undone(store: Store) -> None:
    with pytest.raises(RuntimeError), store.write() as session:
        keys.create_key(session, "ris")
        raise RuntimeError
    with store.read() as session:
        assert keys.list_keys(session) == []


def test_a_reader_is_not_kept_waiting_by_a_writer(store: Store) -> None:
    with store.write(lock="api_keys") as writing:
        keys.create_key(writing, "ris")
        with store.read() as reading:
            assert keys.list_keys(reading) == []


def test_writers_wait_for_each_other(store: Store) -> None:
    def count_up(name: str) -> None:
        for _ in range(10):
            with store.write(lock="api_keys") as session:
                last = session.scalars(select(keys.ApiKey.name).order_by(keys.ApiKey.name.desc()).limit(1)).first()
                keys.create_key(session, f"{int((last or '0').split('-')[0]) + 1:03}-{name}")

    threads = [threading.Thread(target=count_up, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as session:
        numbers = sorted(int(key.name.split("-")[0]) for key in keys.list_keys(session))
    assert numbers == list(range(1, 31))


def test_moments_come_back_as_they_were_in_utc(store: Store) -> None:
    moment = datetime(2026, 3, 1, 23, 30, 15, 123456, timezone(timedelta(hours=-5)))
    with store.write() as session:
        key, _ = keys.create_key(session, "ris")
        key.revoked_at = moment
    with store.read() as session:
        (read,) = keys.list_keys(session)
    assert read.revoked_at == moment
    assert read.revoked_at is not None
    assert read.revoked_at.utcoffset() == timedelta(0)
    assert now().utcoffset() == timedelta(0)


def test_a_moment_without_a_zone_is_refused() -> None:
    engine = create_engine("sqlite://")
    with pytest.raises(ValueError, match="needs a time zone"):
        UtcTime().process_bind_param(datetime(2026, 3, 1), engine.dialect)


def test_sqlite_keeps_a_log_beside_the_file_and_syncs_each_commit(tmp_path: Path) -> None:
    opened = open_store(None, tmp_path)
    with opened.read() as session:
        assert session.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert session.execute(text("PRAGMA synchronous")).scalar() == 2
    opened.close()
    assert (tmp_path / "radllama.sqlite3").exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "cannot be read"),
        ("postgresql://u:geheim@host:port/x", "cannot be read"),
        ("mysql://u:geheim@host/x", "no database of the kind 'mysql'"),
        ("sqlite://", "would forget"),
        ("sqlite:///:memory:", "would forget"),
        ("postgresql://u:geheim@127.0.0.1:1/x", r"database postgresql\+psycopg://u:\*\*\*@127.0.0.1:1/x: "),
    ],
)
def test_a_wrong_url_is_told_without_its_password(url: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told) as error:
        open_store(url, tmp_path)
    assert "geheim" not in str(error.value)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but longer than a header of a hundred bytes " * 3)
    with pytest.raises(InputError, match="not a database"):
        open_store(f"sqlite:///{tmp_path}/notes.txt", tmp_path)


def test_a_store_that_does_not_answer_says_so(store: Store) -> None:
    store.check()
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(OperationalError):
        Store(engine).check()


def test_migrating_once_more_changes_nothing(bare: str) -> None:
    engine = create_engine(bare)
    migrate(engine)
    migrate(engine)
    engine.dispose()
