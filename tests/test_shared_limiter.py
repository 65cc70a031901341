"""Limits that servers over one PostgreSQL keep together, and each for itself while it does not answer."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from stores import PostgresServer, run_postgres

from radllama.errors import InputError
from radllama.server import shared_limiter as module
from radllama.server.limiter import Limiter
from radllama.server.shared_limiter import SharedLimiter, open_limiter
from radllama.store.store import Store, open_store
from radllama.web.logs import open_log

Count = Callable[[], list[tuple[str, int]]]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of our own, to be killed."""
    with run_postgres() as running:
        yield running


@pytest.fixture
def stores(server: PostgresServer, tmp_path: Path) -> Iterator[list[Store]]:
    """The same empty database as two servers open it."""
    opened = [open_store(server.url, tmp_path / name) for name in ("one", "two")]
    with opened[0].write() as session:
        session.execute(text("DELETE FROM request_counts"))
    yield opened
    for store in opened:
        store.close()


@pytest.fixture(autouse=True)
def early_in_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of an hour end once in all these tests at most: never between two lines of one."""
    if time.time() % 3600 > 3590:
        time.sleep(11)


def limiters(stores: list[Store], limit: str = "4/hour") -> tuple[list[SharedLimiter], io.StringIO]:
    told = io.StringIO()
    made = [open_limiter(limit, store, open_log(told)) for store in stores]
    assert all(isinstance(one, SharedLimiter) for one in made)
    return [one for one in made if isinstance(one, SharedLimiter)], told


def rows(store: Store) -> list[tuple[str, int]]:
    with store.read() as session:
        found = session.execute(text("SELECT caller, count FROM request_counts ORDER BY caller"))
        return [(caller, count) for caller, count in found]


def lines(told: io.StringIO) -> list[tuple[str, str]]:
    said = [json.loads(line) for line in told.getvalue().splitlines()]
    return [(one["level"], one["event"]) for one in said]


def test_two_servers_give_a_key_one_allowance_between_them(stores: list[Store]) -> None:
    (one, two), told = limiters(stores)
    assert [each.take("a") for each in (one, two, one, two)] == [None] * 4
    waits = [one.take("a"), two.take("a")]
    assert all(wait is not None and 1 <= wait <= 3600 for wait in waits)
    assert two.take("b") is None
    assert rows(stores[0]) == [("a", 4), ("b", 1)]  # what was refused is not counted
    assert told.getvalue() == ""


def test_requests_at_once_never_pass_the_limit_together(stores: list[Store]) -> None:
    both, told = limiters(stores, "20/hour")
    let_in: list[bool] = []

    def ask(limiter: SharedLimiter) -> None:
        let_in.extend(limiter.take("a") is None for _ in range(10))

    threads = [threading.Thread(target=ask, args=(limiter,)) for limiter in both * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (let_in.count(True), let_in.count(False)) == (20, 20)
    assert told.getvalue() == ""


def test_a_new_window_has_room_and_removes_the_old(stores: list[Store]) -> None:
    (one, two), _ = limiters(stores, "1/second")
    assert one.take("a") is None
    time.sleep(1.1)
    assert two.take("b") is None
    assert rows(stores[0]) == [("b", 1)]


def test_a_database_that_is_slow_lets_each_server_count_for_itself(stores: list[Store]) -> None:
    (one, two), told = limiters(stores)
    assert [one.take("a"), one.take("a"), two.take("a")] == [None] * 3
    with stores[0].write("request_counts"):
        began = time.monotonic()
        found = [one.take("a") for _ in range(3)]
        assert time.monotonic() - began < 2
    assert found[:2] == [None, None]  # it has let in two before
    assert found[2] is not None
    assert lines(told) == [("warning", "limits apart")]


def test_a_database_that_is_gone_lets_each_server_count_for_itself_until_it_is_back(
    server: PostgresServer, stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_APART_S", 0.0)
    (one, two), told = limiters(stores)
    assert [one.take("a"), two.take("a")] == [None, None]
    server.kill()
    try:
        assert [one.take("a") for _ in range(3)] == [None] * 3
        assert one.take("a") is not None
        assert lines(told) == [("warning", "limits apart")]
    finally:
        server.start()
    while one.take("b") is None and len(lines(told)) == 1:
        time.sleep(0.1)
    assert lines(told) == [("warning", "limits apart"), ("info", "limits together")]


def test_on_sqlite_the_one_server_counts_in_memory(tmp_path: Path) -> None:
    store = open_store(None, tmp_path)
    assert isinstance(open_limiter("4/hour", store, None), Limiter)
    store.close()


def test_what_is_no_limit_is_told(stores: list[Store]) -> None:
    with pytest.raises(InputError, match="as in 600/minute"):
        open_limiter("many", stores[0], None)
