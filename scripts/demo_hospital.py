"""A rehearsal: a simulated RIS and a simulated reader work with the assistant, which is tuned on what they sign.

A department with a small archive tunes a first model and serves it. The RIS sends new reports by HL7 and FHIR; the
reader (demo_reader.py) accepts, edits or rejects each draft; what was accepted and edited becomes training data; the
model tuned on archive and feedback takes the first one's place while requests go on. Both models are measured on the
same later reports. `make demo-hospital` calls it.
"""

import argparse
import base64
import itertools
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from demo_reader import Reading, read
from demo_report import write_report
from demo_shell import RADLLAMA, radllama, step

from radllama.files import read_json, write_jsonl
from radllama.reports.hl7 import parse_message, parse_parts
from radllama.reports.sample import SampleReport, generate

ROOT = Path(__file__).parents[1]
ARCHIVE, DAY, LATER = 200, 300, 120  # reports: signed before there was a model; read with the first; held for both
PERSON = "Simulated Reader"


def main() -> None:
    """Write everything into --out, anew each time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-hospital"))
    out: Path = parser.parse_args().out.absolute()
    if out.exists() and any(out.iterdir()) and not (out / "home").exists():
        sys.exit(f"{out}: holds something other than a rehearsal; choose another --out")
    shutil.rmtree(out, ignore_errors=True)
    (out / "home").mkdir(parents=True)
    os.environ["RADLLAMA_HOME"] = str(out / "home")
    began = time.monotonic()
    archive, day, later = cut_up(list(generate(ARCHIVE + DAY + 3 * LATER, seed=5)))

    step(f"1. A first model, tuned on an archive of {len(archive)} signed reports")
    write_jsonl(out / "archive.jsonl", (as_row(one) for one in archive))
    tune(out / "archive.jsonl", out / "archive", out / "first")
    link = out / "model"
    link.symlink_to(out / "first")

    step("2. The assistant, with HL7 and FHIR")
    with serving(out, link) as server:
        step(f"3. {len(day)} reports come by HL7 and FHIR; the reader accepts, edits and rejects")
        with ThreadPoolExecutor(4) as pool:
            read_day = list(pool.map(server.handle, day))
        print("   " + ", ".join(f"{verdict} {n}" for verdict, n in Counter(one.verdict for one in read_day).items()))
        with ThreadPoolExecutor(4) as pool:
            before = list(pool.map(server.draft, later))

        step("4. What was accepted and edited becomes training data, while requests go on")
        traffic = Traffic(server, later)
        with traffic.flowing():
            radllama("feedback", "export", "--out", out / "feedback")
            parts = [row for folder in ("archive", "feedback") for row in read_parts(out / folder)]
            write_jsonl(out / "both.jsonl", parts)
            tune(out / "both.jsonl", out / "both", out / "second")
            step("5. The second model takes the first one's place, while requests go on")
            fresh = out / ".model"
            fresh.symlink_to(out / "second")
            fresh.replace(link)
            old = server.weights()
            server.process.send_signal(signal.SIGHUP)
            while server.weights() == old:
                time.sleep(0.2)
            time.sleep(2)  # some requests more, by the second model
        with ThreadPoolExecutor(4) as pool:
            after = list(pool.map(server.draft, later))
    radllama("audit", "verify")

    step("6. The report")
    readings = {
        "first model": [read(one, report.impression) for one, report in zip(before, later, strict=True)],
        "second model": [read(one, report.impression) for one, report in zip(after, later, strict=True)],
    }
    facts = {
        "archive": len(archive),
        "day": dict(Counter(one.verdict for one in read_day)),
        "feedback": sum(read_json(out / "feedback" / "dataset.json")["reports"].values()),
        "requests_during_training_and_swap": traffic.asked,
        "failed": traffic.failed,
        "answered_by": dict(traffic.models),
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    print(write_report(out, readings, facts))
    if traffic.failed:
        sys.exit("requests failed; the report says how many")


def cut_up(reports: Sequence[SampleReport]) -> tuple[list[SampleReport], list[SampleReport], list[SampleReport]]:
    """The archive, the day, and later reports of patients who are in neither."""
    archive, day, rest = reports[:ARCHIVE], reports[ARCHIVE : ARCHIVE + DAY], reports[ARCHIVE + DAY :]
    known = {one.mrn for one in (*archive, *day)}
    return list(archive), list(day), [one for one in rest if one.mrn not in known][:LATER]


def as_row(report: SampleReport) -> dict[str, Any]:
    """A report as a table's row."""
    names = ("findings", "impression", "indication", "comparison", "technique")
    return {"id": report.accession, "patient_id": report.mrn, **{name: getattr(report, name) for name in names}}


def read_parts(dataset: Path) -> Iterator[dict[str, Any]]:
    """The rows of a dataset folder, each with an id that names the folder."""
    for path in sorted(dataset.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield row | {"id": f"{dataset.name}-{row['id']}"}


def tune(table: Path, data: Path, run: Path) -> None:
    """Build a dataset of a table of reports, and tune the embedded model on it."""
    radllama("data", "build", "--source", "table", "--path", table, "--out", data)
    radllama("train", ROOT / "recipes" / "mini-lora.yaml", "--data", data, "--out", run, "valid_drafts=4")


@dataclass(frozen=True, slots=True)
class Drafted:
    """An answer: the draft's id and text, or None where the assistant abstained; and the model."""

    id: str
    impression: str | None
    model: str


class Server:
    """The running assistant, as the RIS and the page see it."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str, mllp_port: int) -> None:
        self.process, self._port = process, mllp_port
        self._client = httpx.Client(base_url=url, timeout=60)
        self._numbers = itertools.count(1)

    def handle(self, report: SampleReport) -> Reading:
        """Have a report drafted, read it, and send the verdict."""
        drafted = self.ask(report)
        reading = read(drafted.impression, report.impression)
        if drafted.impression is not None:
            extra: dict[str, Any] = {"edited": {"impression": report.impression}, "rejected": {"reason": "wrong"}}.get(
                reading.verdict, {}
            )
            body = {"verdict": reading.verdict, "person": PERSON, "seconds": round(reading.seconds, 1), **extra}
            self._client.post(f"/v1/impressions/{drafted.id}/verdict", json=body).raise_for_status()
        return reading

    def draft(self, report: SampleReport) -> str | None:
        """The draft alone."""
        return self.ask(report).impression

    def ask(self, report: SampleReport) -> Drafted:
        """One request: every other one by HL7, the others by FHIR. Raises RuntimeError for a failed one."""
        number = next(self._numbers)
        return self._ask_hl7(report, number) if number % 2 else self._ask_fhir(report)

    def weights(self) -> str:
        """What is served now."""
        return str(self._client.get("/v1/assistant").json()["weights_sha256"])

    def _ask_hl7(self, report: SampleReport, number: int) -> Drafted:
        message = "\r".join(
            [
                f"MSH|^~\\&|RIS|SAMPLE|RADLLAMA|SAMPLE|20260101120000||ORU^R01^ORU_R01|M{number}|P|2.5.1",
                f"PID|1||{report.mrn}^^^SAMPLE^MR",
                f"OBR|1|{report.accession}|{report.accession}|{report.exam}",
                f"OBX|1|TX|18785-6^Reason for study^LN||{escape(report.indication)}||||||P",
                f"OBX|2|TX|59776-5^Findings^LN||{escape(report.findings)}||||||P",
            ]
        )
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
            connection.sendall(b"\x0b" + message.encode() + b"\r\x1c\r")
            answers = b""
            while (ends := answers.count(b"\x1c\r")) < 2 and not (ends and b"MSA|AA" not in answers):
                if not (piece := connection.recv(65536)):
                    raise RuntimeError("the connection was closed")
                answers += piece
        ack, result = [*answers.split(b"\x1c\r"), b""][:2]
        if b"MSA|AA" not in ack:
            if b"no draft is made" in ack:
                return Drafted("", None, "")
            raise RuntimeError("refused")
        told = parse_message(result)
        words = told.unescape(told.field("NTE", 3)).split()
        return Drafted(words[1], "\n".join(part.text for part in parse_parts(told)), words[3].rstrip(","))

    def _ask_fhir(self, report: SampleReport) -> Drafted:
        text = f"INDICATION: {report.indication}\nFINDINGS: {report.findings}"
        resource = {
            "resourceType": "DiagnosticReport",
            "status": "partial",
            "identifier": [{"value": report.accession}],
            "code": {"text": report.exam},
            "presentedForm": [{"contentType": "text/plain", "data": base64.b64encode(text.encode()).decode()}],
        }
        answer = self._client.post("/fhir/DiagnosticReport/$draft-impression", json=resource)
        if answer.status_code == 400 and "no draft is made" in answer.text:
            return Drafted("", None, "")
        answer.raise_for_status()
        drafted, provenance = (entry["resource"] for entry in answer.json()["entry"][:2])
        identity = provenance["entity"][0]["what"]["identifier"]["value"]
        return Drafted(identity, drafted["conclusion"], provenance["contained"][0]["deviceName"][0]["name"])


class Traffic:
    """Requests that come all the time, by two threads, and how they ended."""

    def __init__(self, server: Server, reports: Sequence[SampleReport]) -> None:
        self._server, self._reports = server, reports
        self._stopped = threading.Event()
        self.asked, self.failed, self.models = 0, 0, Counter[str]()

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Ask for as long as the block runs."""
        threads = [threading.Thread(target=self._ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def _ask(self) -> None:
        for report in itertools.cycle(self._reports):
            if self._stopped.wait(0.2):
                return
            self.asked += 1
            try:
                self.models[self._server.ask(report).model or "abstained"] += 1
            except (RuntimeError, OSError, httpx.HTTPError) as error:
                self.failed += 1
                print(f"   a request failed: {type(error).__name__}", file=sys.stderr)


@contextmanager
def serving(out: Path, model: Path) -> Iterator[Server]:
    """`radllama serve` on free ports, until the block ends."""
    words = [
        "serve",
        "--model",
        str(model),
        "--engine",
        "ctranslate2-int8",
        "--limit",
        "100000/minute",
        "--samples",
        "1",
        "--port",
        "0",
        "--mllp",
        "0",
    ]
    print("$ radllama " + shlex.join(words), flush=True)
    log = out / "serve.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([RADLLAMA, *words], stderr=stderr)
    try:
        while " at http" not in (told := log.read_text()):
            if process.poll() is not None:
                sys.exit(f"the server ended: {told[-500:]}")
            time.sleep(0.1)
        url = told.split(" at http")[1].split()[0]
        port = int(told.split("HL7 at 127.0.0.1:")[1].split()[0])
        yield Server(process, f"http{url}", port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def escape(text: str) -> str:
    """Text as it may stand in an HL7 field."""
    return parse_message(b"MSH|^~\\&|").escape(text)


if __name__ == "__main__":
    main()
