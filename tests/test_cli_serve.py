"""`radllama keys` and `radllama audit` as a keeper of the assistant types them."""

from datetime import timedelta
from pathlib import Path

import pytest
from command import Run
from servers import CANARY
from sqlalchemy import text

from radllama.files import read_jsonl
from radllama.home import find_home
from radllama.server.feedback import Decision, DraftRow, decide
from radllama.server.keys import find_caller
from radllama.store.store import open_store
from radllama.store.tables import now


@pytest.fixture
def run(run: Run, monkeypatch: pytest.MonkeyPatch, home: Path) -> Run:
    """Run `radllama` in a home of its own."""
    monkeypatch.setenv("RADLLAMA_HOME", str(home))
    monkeypatch.delenv("RADLLAMA_DATABASE", raising=False)
    return run


def test_a_new_key_is_printed_alone_and_opens(run: Run, home: Path) -> None:
    code, out, err = run("keys", "create", "ris", "--scope", "draft")
    assert (code, err) == (0, "")
    store = open_store(None, find_home())
    with store.read() as session:
        caller = find_caller(session, out.strip())
    store.close()
    assert caller is not None
    assert caller.name == "ris"
    assert caller.scopes == {"draft"}


def test_keys_are_listed_with_their_state_and_never_shown_again(run: Run) -> None:
    tokens = [run("keys", "create", name)[1].strip() for name in ("ris", "reading room")]
    assert run("keys", "revoke", "ris")[0] == 0
    _, out, _ = run("keys", "list")
    first, second = out.splitlines()
    assert "ris  [draft feedback]" in first
    assert "revoked 2" in first
    assert second.endswith("in use")
    assert not any(token in out for token in tokens)


def test_mistakes_are_one_line(run: Run) -> None:
    run("keys", "create", "ris")
    for arguments, told in [
        (("keys", "create", "ris"), "exists already"),
        (("keys", "create", "x", "--scope", "root"), "no scope root"),
        (("keys", "revoke", "pacs"), "no key 'pacs'"),
        (("keys", "list", "--database", "mysql://host/x"), "no database of the kind 'mysql'"),
        (("serve", "--tls-cert", "none.pem"), "belong together"),
        (("serve", "--host", "0.0.0.0"), "unencrypted"),
        (("serve", "--host", "192.0.2.1", "--plain-http"), "cannot listen at 192.0.2.1:8000"),
        (("serve", "--limit", "many"), "as in 600/minute"),
        (("serve", "--port", "0", "--model", "/none"), "/none: no such folder"),
    ]:
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert told in err


def test_the_log_of_keys_is_verified_and_a_change_is_found(run: Run, home: Path) -> None:
    run("keys", "create", "ris")
    run("keys", "create", "pacs")
    run("keys", "revoke", "ris")
    assert run("audit", "verify") == (0, "3 entries, unbroken\n", "")
    store = open_store(None, home)
    with store.write() as session:
        session.execute(text("DROP TRIGGER audit_entries_no_update"))
        session.execute(text("UPDATE audit_entries SET event = 'key.create' WHERE number = 3"))
    store.close()
    code, out, err = run("audit", "verify")
    assert (code, out) == (2, "")
    assert "entry 3 is not what was written" in err


def test_the_database_can_be_named_in_the_environment(
    run: Run, database: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADLLAMA_DATABASE", database)
    assert run("keys", "create", "ris")[0] == 0
    store = open_store(database, home)
    with store.read() as session:
        assert session.execute(text("SELECT name FROM api_keys")).scalars().all() == ["ris"]
    store.close()
    assert not (home / "radllama.sqlite3").exists()


def test_feedback_is_exported_as_a_dataset_and_removed(run: Run, home: Path, tmp_path: Path) -> None:
    store = open_store(None, home)
    with store.write() as session:
        for number in range(12):
            session.add(
                DraftRow(
                    id=f"imp-{number}",
                    made_at=now() - timedelta(days=number // 10),
                    caller="local",
                    findings=f"Small left effusion of {number} cm. {CANARY}",
                    indication="",
                    comparison="",
                    technique="",
                    impressions=["Small effusion."],
                    flags=[],
                    style="house",
                    model="mini@1",
                    prompt="plain@1",
                    weights_sha256="",
                    latency_ms=1.0,
                )
            )
        session.flush()
        for number in range(10):
            decide(session, f"imp-{number}", Decision("edited", "A", impression="Small left effusion."), "local")
    store.close()
    out = tmp_path / "data"
    code, told, err = run("feedback", "export", "--out", str(out))
    assert code == 0
    assert CANARY not in told + err
    rows = [row for path in out.glob("*.jsonl") for _, row in read_jsonl(path)]
    assert {row["id"]: row["impression"] for row in rows} == {f"imp-{n}": "Small left effusion." for n in range(10)}
    today = f"{now():%Y-%m-%d}"
    assert run("feedback", "purge", "--before", today)[1] == "2 drafts removed\n"
    assert run("feedback", "export", "--out", str(tmp_path / "none"), "--since", "2100-01-01")[0] == 2
    assert run("audit", "verify")[1] == "1 entries, unbroken\n"
