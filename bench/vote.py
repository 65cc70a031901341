"""`make bench-vote`: what a vote costs over HTTP. Drafts a second and latency of `radllama serve` by how it drafts.

The same findings go to POST /v1/impressions of three servers: the model's likeliest words alone (`--samples 1`), the
default number of samples that vote, and those with a library of prior reports (the sample hospital's, unless
`--library` names one).
The drafts of the third are held against `load_voting`'s, which is what `radllama draft --library` uses.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from serve import BIN, Request, Tally, drive, free_port, served, show

from radllama.dataset.build import build_dataset, read_split
from radllama.drafting.election import Voting
from radllama.drafting.load import load_drafter
from radllama.drafting.sampling import SAMPLES, plan_sampling
from radllama.drafting.voting import load_voting
from radllama.library.folder import build_library
from radllama.reports.sample import generate, write_sample

CLIENTS = (1, 4, 16)
COMPARED = 40
IMPRESSIONS = Request(
    "/v1/impressions", lambda text: {"findings": text}, lambda answer: str(answer["draft"]["impression"])
)


def main() -> None:
    """Measure, show a line a measurement, and print RESULT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--library", type=Path, help="[default: one of the sample hospital]")
    parser.add_argument("--data", type=Path, help="A dataset whose valid part is drafted.  [default: sample hospital]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = options.library or make_library(folder)
        if options.data:
            findings = [report.findings for report in read_split(options.data, "valid")]
        else:
            findings = [report.findings for report in generate(200, seed=7)]
        ways: dict[str, list[str | Path]] = {
            "likeliest words": ["--samples", "1"],
            f"{SAMPLES} samples vote": [],
            "and a library": ["--library", library],
        }
        result: dict[str, Any] = {}
        drafts: dict[str, str] = {}
        print(f"{'clients':>7} {'way':<18} {'drafts/s':>9} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}  statuses")
        for way, arguments in ways.items():
            port = free_port()
            command: list[str | Path] = [BIN / "radllama", "serve", "--port", str(port), *arguments]
            command += ["--limit", "10000000/minute"]
            with served(command, port, folder, "/readyz"):
                run(port, findings, 1, 2.0)
                for clients in CLIENTS:
                    tally = run(port, findings, clients, options.seconds)
                    show(clients, way, tally)
                    drafts = drafts | tally.drafts if way == "and a library" else {}
                    result[f"{way}, {clients}"] = {
                        "per_s": round(tally.per_second, 1),
                        "p50_ms": round(tally.percentile(0.5), 1),
                        "p95_ms": round(tally.percentile(0.95), 1),
                    }
        result["drafts_of_the_command_line"] = compare(drafts, library)
        print("RESULT", json.dumps(result))


def run(port: int, findings: list[str], clients: int, seconds: float) -> Tally:
    """One measurement."""
    return asyncio.run(drive(port, IMPRESSIONS, findings, clients, seconds, 100_000))


def compare(drafts: dict[str, str], library: Path) -> str:
    """How many of the first drafts are what the command line's drafter elects."""
    drafter, sampling = load_voting(load_drafter(), Voting(), library), plan_sampling(True, 128, None, None, 1, 0)
    first = list(drafts.items())[:COMPARED]
    equal = sum(drafter.draft(findings, sampling=sampling).text == draft for findings, draft in first)
    return f"{equal}/{len(first)}"


def make_library(folder: Path) -> Path:
    """A library of 2,000 reports of the sample hospital, none of which is drafted."""
    columns = {"accession": "id", "mrn": "patient_id", "report": "report"}
    build_dataset("table", write_sample(folder, 2000, seed=1), folder / "dataset", "random:0", columns)
    build_library(folder / "dataset", folder / "lib")
    return folder / "lib"


if __name__ == "__main__":
    main()
