"""Backup and restore: everything or nothing, from either database into either, and no copy that was tampered with."""

import gzip
import shutil
from pathlib import Path

import pytest
from review_studies import Rater, make_study
from sqlalchemy import select

from radllama.errors import InputError
from radllama.review.answers import verify_answers
from radllama.review.backup import restore_backup, write_backup
from radllama.review.tables import AnswerRow, StudyRow
from radllama.server.audit import AuditLog
from radllama.store.store import Store, open_store
from radllama.store.tables import Table
from radllama.web.sessions import open_session


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Store, AuditLog, Path]:
    """A SQLite store with some answers, and its home."""
    home = tmp_path / "filled"
    home.mkdir()
    store = open_store(None, home)
    audit = AuditLog(store, home)
    make_study(audit, tmp_path, reports=2, raters=1)
    rater = Rater(audit, 1)
    rater.fill(1)
    rater.answer(2, 0, "comment", "Grüße, 🫁.")
    with audit.transaction() as (session, _):
        open_session(session, "review", "somebody", "Somebody", 1)
    return store, audit, home


def test_a_backup_comes_back_in_either_database_and_goes_on(
    filled: tuple[Store, AuditLog, Path], database: str, home: Path, tmp_path: Path
) -> None:
    store, audit, old = filled
    counts = write_backup(store, tmp_path / "a.gz")
    assert (tmp_path / "a.gz").stat().st_mode & 0o077 == 0
    assert set(counts) == {table.name for table in Table.metadata.sorted_tables} - {"web_sessions"}
    shutil.copy(old / "secret.key", home)
    other = open_store(database, home)
    fresh = AuditLog(other, home)
    assert restore_backup(other, fresh, tmp_path / "a.gz") == counts
    with store.read() as before, other.read() as after:
        for kind in (StudyRow, AnswerRow):
            columns = kind.__table__.columns.keys()
            ours, theirs = (list(one.scalars(select(kind).order_by(kind.id))) for one in (before, after))
            assert [[getattr(row, name) for name in columns] for row in ours] == [
                [getattr(row, name) for name in columns] for row in theirs
            ]
    Rater(fresh, 1).answer(2, 1, "comment", "After the restore.", save="new")
    make_study(fresh, tmp_path, name="second", reports=2, raters=1)
    assert verify_answers(other, fresh) == verify_answers(store, audit) + 1
    with pytest.raises(InputError, match="not empty"):
        restore_backup(other, fresh, tmp_path / "a.gz")
    other.close()
    store.close()


def test_a_copy_that_is_cut_off_or_altered_is_refused(filled: tuple[Store, AuditLog, Path], tmp_path: Path) -> None:
    store, _, old = filled
    path = tmp_path / "a.gz"
    write_backup(store, path)
    with pytest.raises(InputError, match="never overwritten"):
        write_backup(store, path)
    whole, home = path.read_bytes(), tmp_path / "new"
    home.mkdir()
    shutil.copy(old / "secret.key", home)
    empty = open_store(None, home)
    audit = AuditLog(empty, home)
    lines = gzip.decompress(whole).decode().splitlines(keepends=True)
    altered = "".join(lines).replace("Grüße", "Griebe")
    shorter = "".join(lines[:5] + lines[6:])
    for broken in (
        whole[: len(whole) // 2], b"", b"not gzip", gzip.compress(altered.encode()), gzip.compress(shorter.encode()),
        gzip.compress("".join(lines[:-1]).encode()),
    ):  # fmt: skip
        path.write_bytes(broken)
        with pytest.raises(InputError, match="cut off, altered, or no backup"):
            restore_backup(empty, audit, path)
    with pytest.raises(InputError, match="no such file"):
        restore_backup(empty, audit, tmp_path / "none.gz")
    with empty.read() as session:
        assert session.scalar(select(StudyRow)) is None
    path.write_bytes(whole)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(InputError, match="entry 1 is not what was written"):  # sealed by another secret
        restore_backup(empty, AuditLog(empty, other), path)
    restore_backup(empty, audit, path)
    empty.close()
    store.close()
