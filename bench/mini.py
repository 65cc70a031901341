"""Score the embedded model on OpenI's development split, greedy, beside the trivial rows. Ends with a RESULT line."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

KEYS = ("repeated", "answered_normal", "invented", "rouge1", "rouge2", "rougeL")
RADLLAMA = Path(sys.executable).with_name("radllama")


def main() -> None:
    """Build the dataset from --openi, draft its valid split with mini, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openi", type=Path, required=True, help="the .tgz, a folder of its XML, or the Kaggle CSV")
    openi: Path = parser.parse_args().openi
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        data, drafts, scores = out / "data", out / "drafts.jsonl", out / "scores"
        commands: tuple[list[str | Path], ...] = (
            ["data", "build", "--source", "openi", "--path", openi, "--split", "impressiongpt", "--out", data],
            ["draft", "--in", data / "valid.jsonl", "--out", drafts],
            ["evaluate", "--drafts", drafts, "--train", data, "--out", scores],
        )
        for command in commands:
            subprocess.run([RADLLAMA, *command], check=True)
        measured = json.loads((scores / "scores.json").read_text())
    rows = {"mini": measured["overall"]} | {row: part["overall"] for row, part in measured["trivial"].items()}
    figures = {row: {key: round(part[key], 4) for key in KEYS} for row, part in rows.items()}
    abnormal = round(measured["strata"]["abnormal"]["rouge1"], 4)
    print("RESULT", json.dumps({"n": measured["overall"]["n"], "abnormal_rouge1": abnormal, **figures}))


if __name__ == "__main__":
    main()
