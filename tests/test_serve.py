"""`radllama serve` as a process: started, asked, told by signals, killed in parts, and never a word in its log."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from servers import CANARY, Served, until

from radllama.server.audit import AuditLog
from radllama.store.store import open_store


@pytest.fixture(autouse=True)
def no_text_in_the_log(home: Path) -> Iterator[None]:
    yield
    assert CANARY not in (home / "stderr").read_text()


def test_it_serves_drains_and_leaves_an_unbroken_log(serve: Callable[..., Served], home: Path) -> None:
    served = serve().wait()
    assert "reachable from this machine only; no key exists" in served.told.read_text()
    first = served.draft()
    assert first.status_code == 200
    assert first.json()["model"]["name"].startswith("tiny@")
    answers: list[httpx.Response] = []
    long = threading.Thread(target=lambda: answers.append(served.draft(max_new_tokens=128, n=8)))
    long.start()
    until(lambda: "radllama_queue_running 1.0" in served.get("/metrics").text)
    assert served.end() == 0
    long.join()
    assert answers[0].status_code == 200  # taken on before the signal, so it was finished
    assert served.lines()[-1]["event"] == "stopped"
    store = open_store(None, home)
    assert AuditLog(store, home).verify() == 4  # start, two drafts, stop
    store.close()


def test_killed_workers_and_another_model_cost_no_request(serve: Callable[..., Served]) -> None:
    served = serve("--deadline", "170").wait()  # a worker starts in a minute where the machine is busy
    statuses: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            statuses.append(served.draft(max_new_tokens=8).status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        (first,) = served.workers()
        until(lambda: len(statuses) > 4)
        os.kill(first, signal.SIGKILL)
        until(lambda: served.workers() not in ([], [first]))
        (second,) = served.workers()
        before = len(statuses)
        until(lambda: len(statuses) > before + 4)
        served.process.send_signal(signal.SIGHUP)
        until(lambda: any(line["event"] == "reload" for line in served.lines()))
        before = len(statuses)
        until(lambda: len(statuses) > before + 4 and len(served.workers()) == 1)
        assert served.workers() != [second]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}
    assert served.end() == 0


def test_a_server_that_is_killed_leaves_no_worker_behind(serve: Callable[..., Served]) -> None:
    served = serve().wait()
    (worker,) = served.workers()
    served.process.kill()
    until(lambda: not Path(f"/proc/{worker}").exists())
