"""`make bench-soak`: mixed traffic on `radllama serve` while its workers are killed: what is lost, what grows.

Clients draft, stream, complete, chat, decide, hang up and send nonsense, a minute at the server's capacity and a minute
at four times of it, in turns; meanwhile a worker is killed (kill -9) every few seconds. Every verdict that was
acknowledged is then looked up in the store. Ends with a RESULT line: answers by status, verdicts acknowledged and lost,
memory early and late, p95 of answered drafts by load.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from radllama.reports.sample import generate

QUEUE = 16
CAPACITY = QUEUE + 8  # clients that it has places for
TURN_S = 60.0  # at capacity, then at four times of it
_STYLES = ("house", "numbered", "short")


@dataclass
class Seen:
    """What the clients saw."""

    statuses: Counter[str] = field(default_factory=Counter)
    accepted: dict[str, str] = field(default_factory=dict)  # draft id -> impression, as acknowledged
    latencies_ms: dict[str, list[float]] = field(default_factory=lambda: {"1x": [], "4x": []})
    broken: list[str] = field(default_factory=list)
    killed: int = 0
    memory_mb: list[tuple[int, float, float]] = field(default_factory=list)  # seconds, server, its workers

    def note(self, kind: str, status: int) -> None:
        """Count an answer; what no client should ever see is kept by its kind."""
        self.statuses[f"{kind} {status}"] += 1
        if status >= 500 and status != 503:
            self.broken.append(f"{kind} {status}")


class Client:
    """One client with habits: mostly drafts and verdicts, now and then something else."""

    def __init__(self, url: str, seen: Seen, findings: list[str], seed: int) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=90)
        self._seen, self._findings, self._random = seen, findings, random.Random(seed)

    async def run(self, until: float, load: str) -> None:
        """Ask and ask again until the time comes; wait as long as a refusal says."""
        acts = (self._draft, self._stream, self._chat, self._complete, self._hang_up, self._nonsense, self._watch)
        weights = (8, 2, 2, 1, 1, 1, 1)
        try:
            while time.monotonic() < until:
                (act,) = self._random.choices(acts, weights)
                try:
                    wait = await act(load)
                except httpx.TimeoutException:
                    self._seen.broken.append(f"{act.__name__} hangs")
                    wait = 0.0
                except httpx.TransportError as error:
                    self._seen.broken.append(f"{act.__name__} {type(error).__name__}")
                    wait = 0.5
                await asyncio.sleep(min(wait, max(0.0, until - time.monotonic())))
        finally:
            await self._http.aclose()

    async def _post(self, kind: str, path: str, body: Any) -> tuple[httpx.Response, float]:
        answer = await self._http.post(path, json=body)
        self._seen.note(kind, answer.status_code)
        return answer, float(answer.headers.get("retry-after", 0))

    async def _draft(self, load: str) -> float:
        body: dict[str, Any] = {"findings": self._random.choice(self._findings), "style": self._random.choice(_STYLES)}
        body |= {"n": self._random.choice((1, 1, 1, 3)), "seed": self._random.randrange(1000)}
        began = time.perf_counter()
        answer, wait = await self._post("draft", "/v1/impressions", body)
        if answer.status_code != 200:
            return wait
        self._seen.latencies_ms[load].append((time.perf_counter() - began) * 1000)
        await self._decide(answer.json())
        return 0.0

    async def _decide(self, drafted: dict[str, Any]) -> None:
        text, act = drafted["draft"]["impression"], self._random.random()
        if act < 0.6:
            body: dict[str, Any] = {"verdict": "accepted"}
        elif act < 0.8:
            text = f"{text} Clinical correlation."
            body = {"verdict": "edited", "impression": text}
        else:
            body = {"verdict": "rejected", "reason": "style"}
        path = f"/v1/impressions/{drafted['id']}/verdict"
        answer, _ = await self._post("verdict", path, {**body, "person": "Dr. Soak"})
        if answer.status_code == 200 and body["verdict"] != "rejected":
            self._seen.accepted[drafted["id"]] = text

    async def _stream(self, load: str) -> float:
        body = {"findings": self._random.choice(self._findings), "stream": True}
        async with self._http.stream("POST", "/v1/impressions", json=body) as answer:
            self._seen.note("stream", answer.status_code)
            text = (await answer.aread()).decode()
            if answer.status_code == 200 and "event: impression" not in text and '"code": 503' not in text:
                self._seen.statuses["stream ended with an error event"] += 1
            return float(answer.headers.get("retry-after", 0))

    async def _chat(self, load: str) -> float:
        messages = [{"role": "user", "content": self._random.choice(self._findings)}]
        _, wait = await self._post("chat", "/v1/chat/completions", {"model": "mini", "messages": messages})
        return wait

    async def _complete(self, load: str) -> float:
        body = {"model": "mini", "prompt": "findings: clear lungs.\nimpression:", "n": 2, "temperature": 1}
        _, wait = await self._post("complete", "/v1/completions", body)
        return wait

    async def _hang_up(self, load: str) -> float:
        try:
            body = {"findings": self._random.choice(self._findings), "n": 8}
            await self._http.post("/v1/impressions", json=body, timeout=self._random.uniform(0.01, 0.2))
        except httpx.TimeoutException:
            self._seen.statuses["hung up"] += 1
        return 0.0

    async def _nonsense(self, load: str) -> float:
        wrong: Any = self._random.choice(
            ({"findings": ""}, {"findings": "..."}, {"findings": "x", "y": 1}, [], {"n": 10**9})
        )
        _, wait = await self._post("nonsense", "/v1/impressions", wrong)
        return wait

    async def _watch(self, load: str) -> float:
        for path in ("/metrics", "/readyz", "/v1/feedback/drift", "/"):
            answer = await self._http.get(path)
            self._seen.note(f"GET {path}", answer.status_code)
        return 0.0


async def soak(url: str, pid: int, seconds: float, kill_every_s: float) -> Seen:
    """Drive all clients, kill workers and weigh the server, for so long."""
    seen, findings = Seen(), [report.findings for report in generate(300, seed=7)]
    began = time.monotonic()
    end = began + seconds
    beside = [
        asyncio.create_task(_kill(pid, seen, kill_every_s, end)),
        asyncio.create_task(_weigh(pid, seen, began, end)),
    ]
    turn = 0
    while time.monotonic() < end:
        load, clients = ("1x", CAPACITY) if turn % 2 == 0 else ("4x", 4 * CAPACITY)
        until = min(end, time.monotonic() + TURN_S)
        await asyncio.gather(*(Client(url, seen, findings, 1000 * turn + n).run(until, load) for n in range(clients)))
        turn += 1
    for task in beside:
        await task
    return seen


async def _kill(pid: int, seen: Seen, every_s: float, end: float) -> None:
    while every_s and time.monotonic() < end - every_s:
        await asyncio.sleep(every_s)
        if workers := _workers(pid):
            os.kill(random.choice(workers), signal.SIGKILL)
            seen.killed += 1


async def _weigh(pid: int, seen: Seen, began: float, end: float) -> None:
    while time.monotonic() < end:
        workers = sum(_resident_mb(one) for one in _workers(pid))
        seen.memory_mb.append((round(time.monotonic() - began), _resident_mb(pid), workers))
        print(
            f"{seen.memory_mb[-1][0]:5} s  server {seen.memory_mb[-1][1]:6.1f} MB  workers {workers:7.1f} MB  "
            f"{sum(seen.statuses.values())} answers, {len(seen.accepted)} signed, {seen.killed} kills, "
            f"{len(seen.broken)} broken",
            flush=True,
        )
        await asyncio.sleep(min(15.0, max(0.1, end - time.monotonic())))


def _workers(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(one) for one in children if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]
    except OSError:
        return []


def _resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


def find_lost(database: str, home: Path, accepted: dict[str, str]) -> list[str]:
    """Ids of signed drafts that the store does not hold as they were acknowledged."""
    from radllama.server.feedback import VerdictRow
    from radllama.store.store import open_store

    store = open_store(database, home)
    try:
        with store.read() as session:
            kept = {row.draft_id: row.impression for row in session.query(VerdictRow)}
    finally:
        store.close()
    return [identity for identity, text in accepted.items() if kept.get(identity) != text]


def summarise(seen: Seen, lost: list[str], audit: str, seconds: float) -> dict[str, Any]:
    """The figures of RESULT. Memory grows by what the last fifth has on the second one, when all was warm."""
    by_status: Counter[str] = Counter()
    for told, count in seen.statuses.items():
        by_status[told.split()[-1] if told.split()[-1].isdigit() else told] += count
    server = [mb for _, mb, _ in seen.memory_mb]
    fifth = max(1, len(server) // 5)
    warm, late = server[fifth : 2 * fifth] or server, server[-fifth:]
    p95 = {load: _percentile(ordered, 0.95) for load, ordered in seen.latencies_ms.items()}
    return {
        "seconds": seconds,
        "statuses": dict(sorted(by_status.items())),
        "workers_killed": seen.killed,
        "verdicts_acknowledged": len(seen.accepted),
        "verdicts_lost": len(lost),
        "broken": dict(Counter(seen.broken)),
        "audit": audit,
        "p95_ms_at_capacity": p95["1x"],
        "p95_ms_at_4x": p95["4x"],
        "p95_ratio_at_4x": round(p95["4x"] / p95["1x"], 2) if p95["1x"] else None,
        "server_mb_warm": round(sum(warm) / len(warm), 1),
        "server_mb_late": round(sum(late) / len(late), 1),
    }


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else 0.0


def main() -> None:
    """Serve, soak, look everything up, and print RESULT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--kill-every", type=float, default=20.0, help="Seconds between two kills; 0: none.")
    parser.add_argument("--library", type=Path, help="A library that votes too.")
    parser.add_argument("--database", help="A database's URL.  [default: SQLite]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        log = home / "log"
        radllama: list[str | Path] = [sys.executable, "-c", "from radllama.cli import main; main()"]
        command = [*radllama, "serve", "--port", "0", "--queue", str(QUEUE), "--limit", "10000000/minute"]
        database = options.database or f"sqlite:///{home / 'radllama.sqlite3'}"
        command += ["--database", database]
        command += ["--library", options.library] if options.library else []
        environment = {**os.environ, "RADLLAMA_HOME": str(home), "HF_HUB_OFFLINE": "1"}
        with log.open("w") as file:
            process = subprocess.Popen(command, stderr=file, env=environment)
        try:
            while " at http" not in log.read_text():
                if process.poll() is not None:
                    raise SystemExit(log.read_text()[-2000:])
                time.sleep(0.1)
            url = log.read_text().split(" at ")[-1].split()[0]
            seen = asyncio.run(soak(url, process.pid, options.seconds, options.kill_every))
        finally:
            process.terminate()
            code = process.wait(90)
        verify = [
            sys.executable,
            "-c",
            "from radllama.cli import main; main()",
            "audit",
            "verify",
            "--database",
            database,
        ]
        audit = subprocess.run(verify, env=environment, capture_output=True, text=True, check=False)
        lost = find_lost(database, home, seen.accepted)
        result = summarise(seen, lost, (audit.stdout or audit.stderr).strip(), options.seconds)
        print("RESULT", json.dumps({**result, "exit_code": code}))


if __name__ == "__main__":
    main()
