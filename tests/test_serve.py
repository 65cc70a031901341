"""`radllama serve` as a process: started, asked, told by signals, killed in parts, and never a word in its log."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from radllama.model import load_base, save_model
from radllama.prompt import make_prompt
from radllama.server.audit import AuditLog
from radllama.store.store import open_store

CANARY = "zebrafinch"
_PROGRAM = "from radllama.cli import main\nif __name__ == '__main__':\n    main()\n"


class Served:
    """A `radllama serve` that is running, or has ended."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        self.told = home / "stderr"
        program = home / "main.py"
        program.write_text(_PROGRAM)
        environment = {**os.environ, "RADLLAMA_HOME": str(home), "HF_HUB_OFFLINE": "1"}
        with self.told.open("a") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, program, "serve", "--port", "0", *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
            )
        self.url = ""

    def wait(self) -> "Served":
        """Wait until it is ready; the port stands in what it says then."""
        until(lambda: " at http" in self.told.read_text() or self.process.poll() is not None)
        self.url = self.told.read_text().split(" at ")[-1].split()[0]
        until(lambda: self.get("/readyz").status_code == 200)
        return self

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60)

    def draft(self, findings: str = f"Heart size is normal. {CANARY}", **options: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/impressions", json={"findings": findings, **options}, timeout=60)

    def workers(self) -> list[int]:
        """Process ids of those that hold the model: the children that listen to nothing but their pipe."""
        own = self.process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def lines(self) -> list[dict[str, Any]]:
        """The log's lines of JSON."""
        return [json.loads(line) for line in self.told.read_text().splitlines() if line.startswith("{")]

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def until(true: Callable[[], bool]) -> None:
    for _ in range(6000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come true within a minute")


@pytest.fixture(scope="module")
def model(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    network, tokenizer = load_base(str(tiny_base))
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_model(network, tokenizer, make_prompt("plain"), folder)
    return folder


@pytest.fixture
def serve(home: Path, model: Path) -> Iterator[Callable[..., Served]]:
    """Start a server of the tiny model with these arguments."""
    started: list[Served] = []

    def start(*arguments: str) -> Served:
        started.append(Served(home, "--model", str(model), *arguments))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        assert one.process.stdout is not None
        one.process.stdout.close()
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
    served = serve().wait()
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
