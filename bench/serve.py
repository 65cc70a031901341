"""`make bench-serve`: throughput and latency of `radllama serve` beside `transformers serve`, in one run.

Both serve the embedded model on loopback, are asked over /v1/chat/completions for the same greedy drafts of the
sample hospital's findings, and are driven by the same closed loop of N clients, in turns. Bounded: each measurement
ends after `--seconds` or `--requests`, whichever comes first. Then ours is asked by as many clients as it has places,
and by four times as many.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from radllama.model import model_folder
from radllama.prompt import Prompt, read_prompt
from radllama.reports.sample import generate

BIN = Path(sys.executable).parent
CONCURRENCIES = (1, 2, 4, 8, 16, 32, 64)
QUEUE, BATCH, WORKERS = 64, 32, min(4, os.cpu_count() or 1)
PLACES = QUEUE + BATCH * WORKERS
# Whole prompts are sent to theirs, so that both servers give the network the same tokens.
TEMPLATE = "{{ bos_token }}{{ messages[-1]['content'] }}"


@dataclass
class Tally:
    """What one measurement saw."""

    latencies_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    drafts: dict[str, str] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Drafts a second."""
        return self.statuses[200] / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """The latency, in ms, that this share of the answered requests kept within."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


@dataclass(frozen=True)
class Request:
    """What is asked for some findings, and where its answer has the draft."""

    path: str
    body: Callable[[str], dict[str, Any]]
    draft: Callable[[Any], str]


def chat(model: str, prompt: Prompt | None = None) -> Request:
    """A greedy draft over OpenAI's path; with a prompt, of a server that renders none itself."""
    return Request(
        "/v1/chat/completions",
        lambda text: {
            "model": model,
            "messages": [{"role": "user", "content": prompt.render(text) if prompt else text}],
            "temperature": 0,
            "max_tokens": 64,
        },
        lambda answer: str(answer["choices"][0]["message"]["content"]),
    )


async def drive(port: int, request: Request, findings: list[str], clients: int, seconds: float, requests: int) -> Tally:
    """A closed loop: each client sends its next request when the last is answered (after Retry-After, if refused)."""
    tally, sent = Tally(), 0
    began = time.perf_counter()
    until = began + seconds

    async def client(number: int) -> None:
        nonlocal sent
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while time.perf_counter() < until and sent < requests:
                text = findings[sent % len(findings)]
                sent += 1
                started = time.perf_counter()
                status, headers, body = await ask(reader, writer, port, request.path, request.body(text))
                tally.statuses[status] += 1
                if status == 200:
                    tally.latencies_ms.append((time.perf_counter() - started) * 1000)
                    tally.drafts[text] = request.draft(json.loads(body))
                elif b"retry-after" in headers:
                    await asyncio.sleep(min(float(headers[b"retry-after"]), max(0.0, until - time.perf_counter())))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    await asyncio.gather(*(client(number) for number in range(clients)))
    tally.seconds = time.perf_counter() - began
    return tally


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, path: str, value: dict[str, Any]
) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request over a connection that is kept: by hand, so that the client takes little of the machine."""
    body = json.dumps(value).encode()
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    await writer.drain()
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines if line)}
    if b"content-length" in headers:
        return int(first.split()[1]), headers, await reader.readexactly(int(headers[b"content-length"]))
    answer = b""
    while size := int(await reader.readline(), 16):
        answer += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return int(first.split()[1]), headers, answer


@contextlib.contextmanager
def served(command: list[str | Path], port: int, folder: Path, path: str) -> Iterator[None]:
    """A server's process, from its first answer on."""
    environment = {**os.environ, "RADLLAMA_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}
    with (folder / f"{port}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit((folder / f"{port}.log").read_text()[-2000:])
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as probe:
                probe.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                if b" 200 " in probe.recv(64):
                    break
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def with_chat_template(folder: Path) -> Path:
    """The embedded model with the chat template that `transformers serve` asks for."""
    source = model_folder("mini")
    assert source is not None
    copy = Path(shutil.copytree(source, folder / "mini"))
    (copy / "chat_template.jinja").write_text(TEMPLATE)
    return copy


def main() -> None:
    """Measure, show a line a measurement, and print RESULT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3, help="Turns at concurrency 16, which the bar is about.")
    options = parser.parse_args()
    findings = [report.findings for report in generate(200, seed=7)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mini, ours, theirs = with_chat_template(folder), free_port(), free_port()
        ours_command: list[str | Path] = [BIN / "radllama", "serve", "--port", str(ours), "--limit", "10000000/minute"]
        ours_command += ["--queue", str(QUEUE), "--workers", str(WORKERS)]
        theirs_command: list[str | Path] = [
            BIN / "transformers",
            "serve",
            mini,
            "--port",
            str(theirs),
            "--device",
            "cpu",
            "--dtype",
            "float32",  # the weights lie in bfloat16: the same model as ours only so
        ]
        with served(ours_command, ours, folder, "/readyz"), served(theirs_command, theirs, folder, "/health"):
            result = measure(ours, theirs, str(mini), findings, options)
    print("RESULT", json.dumps(result))


def measure(ours: int, theirs: int, mini: str, findings: list[str], options: Any) -> dict[str, Any]:
    """All measurements, ours and theirs in turns."""
    prompt = read_prompt(Path(mini))

    def run(port: int, clients: int) -> Tally:
        request = chat("mini") if port == ours else chat(mini, prompt)
        return asyncio.run(drive(port, request, findings, clients, options.seconds, options.requests))

    for port in (ours, theirs):  # warm
        run(port, 2)
    print(f"{'clients':>7} {'server':<18} {'drafts/s':>9} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}  statuses")
    ratios, p95s, errors, agreed, compared = [], [], 0, 0, 0
    table: dict[str, dict[str, float]] = {}
    for clients in CONCURRENCIES:
        for _ in range(options.repeats if clients == 16 else 1):
            pair = {"radllama": run(ours, clients), "transformers serve": run(theirs, clients)}
            for server, tally in pair.items():
                show(clients, server, tally)
            mine, other = pair["radllama"], pair["transformers serve"]
            errors += sum(count for status, count in mine.statuses.items() if status not in (200, 429, 503))
            both = mine.drafts.keys() & other.drafts.keys()
            compared += len(both)
            # Ours begins with what the prompt already tells of the impression.
            agreed += sum(
                mine.drafts[text] == f"{prompt.tell(text)} {other.drafts[text].strip()}".strip() for text in both
            )
            table[str(clients)] = {
                "ours_per_s": round(mine.per_second, 1),
                "theirs_per_s": round(other.per_second, 1),
                "ours_p95_ms": round(mine.percentile(0.95), 1),
                "theirs_p95_ms": round(other.percentile(0.95), 1),
            }
            if clients == 16:
                ratios.append(mine.per_second / other.per_second)
                p95s.append(mine.percentile(0.95))
    full, over = run(ours, PLACES), run(ours, 4 * PLACES)
    show(PLACES, "radllama, full", full)
    show(4 * PLACES, "radllama, 4 x full", over)
    for tally in (full, over):
        errors += sum(count for status, count in tally.statuses.items() if status not in (200, 429, 503))
    return {
        "ratio_vs_transformers_serve_c16": round(statistics.median(ratios), 2),
        "ratio_spread_c16": [round(min(ratios), 2), round(max(ratios), 2)],
        "p95_ms_c16": round(statistics.median(p95s), 1),
        "errors_other_than_429_503": errors,
        "p95_ratio_at_4x": round(over.percentile(0.95) / full.percentile(0.95), 2),
        "refused_at_4x": over.statuses[503] + over.statuses[429],
        "drafts_agree": f"{agreed}/{compared}",
        "by_clients": table,
    }


def show(clients: int, server: str, tally: Tally) -> None:
    """One line of the table."""
    percentiles = " ".join(f"{tally.percentile(share):8.1f}" for share in (0.5, 0.95, 0.99))
    print(f"{clients:7} {server:<18} {tally.per_second:9.1f} {percentiles}  {dict(tally.statuses)}", flush=True)


if __name__ == "__main__":
    main()
