"""Several servers over one PostgreSQL: one set of keys, one unbroken audit log, one secret."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from servers import CANARY, Served
from stores import postgres  # noqa: F401  (a fixture)

from radllama.errors import InputError
from radllama.home import load_secret
from radllama.server.audit import AuditLog
from radllama.server.feedback import DraftRow, VerdictRow
from radllama.server.keys import create_key
from radllama.store.store import open_store

SECRET = "ab" * 32
DRAFTS = 12


@pytest.fixture
def shared(postgres: str) -> Iterator[str]:  # noqa: F811
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(b"CREATE DATABASE replicas")
        yield postgres.replace("/postgres?", "/replicas?")
        connection.execute(b"DROP DATABASE replicas WITH (FORCE)")


def test_two_servers_know_the_same_keys_and_write_one_chain(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADLLAMA_SECRET", SECRET)
    arguments = ("--device", "cpu", "--samples", "1", "--database", shared)
    servers = []
    try:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            servers.append(Served(tmp_path / name, *arguments, RADLLAMA_SECRET=SECRET))
        for one in servers:
            one.wait()
        store = open_store(shared, tmp_path)
        with store.write() as session:
            _, token = create_key(session, "ris")
        key, statuses = {"Authorization": f"Bearer {token}"}, []

        def use(first: Served, second: Served) -> None:
            for _ in range(DRAFTS):
                body = {"findings": f"There is a small left effusion. {CANARY}"}
                drafted = httpx.post(f"{first.url}/v1/impressions", json=body, headers=key, timeout=60)
                verdict = {"verdict": "accepted", "person": "Dr. Who"}
                path = f"{second.url}/v1/impressions/{drafted.json()['id']}/verdict"
                statuses.append(
                    (drafted.status_code, httpx.post(path, json=verdict, headers=key, timeout=60).status_code)
                )

        threads = [threading.Thread(target=use, args=pair) for pair in (servers, servers[::-1])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [(200, 200)] * 2 * DRAFTS
        with store.read() as session:
            assert session.query(DraftRow).count() == session.query(VerdictRow).count() == 2 * DRAFTS
        for name in ("one", "two"):
            assert AuditLog(store, tmp_path / name).verify() == 2 + 4 * DRAFTS
        assert not list(tmp_path.rglob("secret.key"))

        stranger = Served(tmp_path, *arguments, RADLLAMA_SECRET="cd" * 32)
        servers.append(stranger)
        assert stranger.process.wait(60) == 2
        assert "was written under another secret" in stranger.told.read_text()
        assert servers[0].end() == servers[1].end() == 0
        store.close()
    finally:
        for one in servers:
            one.close()


def test_a_secret_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADLLAMA_SECRET", "short")
    with pytest.raises(InputError, match="RADLLAMA_SECRET: not a secret of 32 bytes"):
        load_secret(tmp_path)
