"""The main job in six minutes: a sample hospital, the embedded model untuned, tuned on its reports, scored.

Runs the command line as a user would and shows every command. `make demo` calls it.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from demo_shell import RADLLAMA, radllama, step

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Write everything into --out, anew each time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    out: Path = parser.parse_args().out
    if out.exists() and any(out.iterdir()) and not (out / "hospital").exists():
        sys.exit(f"{out}: holds something other than a demo; choose another --out")
    shutil.rmtree(out, ignore_errors=True)
    began = time.monotonic()

    step("1. A sample hospital: synthetic reports in a house style of its own")
    hospital, data, run = out / "hospital", out / "dataset", out / "run"
    radllama("data", "sample", "--out", hospital)
    radllama(
        *("data", "build", "--source", "table", "--path", hospital / "reports.csv", "--out", data),
        *("--map", "accession=id", "--map", "mrn=patient_id", "--map", "report=report", "--split", "random:0"),
    )

    step("2. The embedded model as it comes: it learned from another hospital's chest X-rays")
    radllama("draft", "--in", data / "test.jsonl", "--out", out / "untuned.jsonl")
    untuned = evaluate(out / "untuned.jsonl", data, out / "untuned")

    step("3. Tuned with LoRA on the sample hospital's own reports")
    radllama("train", ROOT / "recipes" / "mini-lora.yaml", "--data", data, "--out", run)

    step("4. The same test reports, drafted by the tuned model")
    radllama("draft", "--model", run, "--in", data / "test.jsonl", "--out", out / "tuned.jsonl")
    tuned = evaluate(out / "tuned.jsonl", data, out / "tuned")

    step("5. Three of them")
    show_drafts(out)

    step(f"Done in {(time.monotonic() - began) / 60:.1f} minutes")
    for name, scores in (("untuned", untuned), ("tuned", tuned)):
        mean, (low, high) = scores["overall"]["rouge1"], scores["overall"]["ci95"]["rouge1"]
        print(f"  ROUGE-1 {name:8} {100 * mean:5.1f}  (95% interval {100 * low:.1f}-{100 * high:.1f})")
    print(f"\n  The whole table, plots and drafts to read: {out / 'tuned' / 'report.html'}")
    print(f"  Draft one yourself: {RADLLAMA} draft --model {run} --findings 'Heart is normal. ...'")


def evaluate(drafts: Path, data: Path, out: Path) -> dict[str, Any]:
    """Score drafts; returns what stands in scores.json."""
    radllama("evaluate", "--drafts", drafts, "--out", out, "--train", data)
    scores: dict[str, Any] = json.loads((out / "scores.json").read_text())
    return scores


def show_drafts(out: Path) -> None:
    """Print findings, both drafts and the signed impression of three reports with something to say."""
    rows = [[json.loads(line) for line in (out / f"{name}.jsonl").open()] for name in ("untuned", "tuned")]
    longest = sorted(zip(*rows, strict=True), key=lambda pair: len(pair[0]["reference"]))
    for untuned, tuned in longest[len(longest) // 2 :: len(longest) // 6][:3]:
        print(f"\n  findings   {untuned['findings']}")
        print(f"  untuned    {untuned['draft']}")
        print(f"  tuned      {tuned['draft']}")
        print(f"  signed     {tuned['reference']}")


if __name__ == "__main__":
    main()
