"""Put a trained mini into the package: weights in bfloat16 and, for CPUs, in 8 bits; scored as shipped; its card.

`make mini` calls it after the training. The card's figures are those of the shipped weights on the
development split, never typed by hand.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, StrictUndefined
from transformers import AutoModelForCausalLM, AutoTokenizer

from radllama.engines.convert import convert_into
from radllama.engines.place import find_places
from radllama.engines.source import read_source
from radllama.files import read_json, write_json
from radllama.model import EMBEDDED
from radllama.run import RUN_FILE
from radllama.weights import PINS, hash_weights

MINI = Path(__file__).parents[1] / "src" / "radllama" / "models" / "mini"
CARD = Path(__file__).with_name("mini_card.md.j2")
RADLLAMA = Path(sys.executable).with_name("radllama")
MAX_MB = 16


def main() -> None:
    """Ship the model in --run, scored on the valid split of --data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    ship(arguments.run)
    scores = score(arguments.data, arguments.run.parent / "mini-scored")
    write_card(
        scores, json.loads((MINI / "run.json").read_text()), json.loads((arguments.data / "dataset.json").read_text())
    )
    size_mb = sum(path.stat().st_size for path in MINI.rglob("*")) / 1e6
    if size_mb > MAX_MB:
        sys.exit(f"{MINI}: {size_mb:.1f} MB, more than the {MAX_MB} that may be shipped")
    print(f"{MINI}: {size_mb:.1f} MB, ROUGE-1 {100 * scores['overall']['rouge1']:.1f} on the development split")


def ship(run: Path) -> None:
    """Copy a finished run into the package: its weights rounded to bfloat16, and those converted to 8 bits."""
    shutil.rmtree(MINI, ignore_errors=True)
    MINI.mkdir(parents=True)
    AutoModelForCausalLM.from_pretrained(run, dtype=torch.bfloat16).save_pretrained(MINI)
    AutoTokenizer.from_pretrained(run).save_pretrained(MINI)
    for name in ("prompt.json", "selection.json", "vocabulary.json"):
        if (run / name).exists():  # not every prompt tells sentences
            shutil.copy(run / name, MINI / name)
    # What is shipped is rounded, so that its hash is another than the run's.
    write_json(MINI / RUN_FILE, {**read_json(run / RUN_FILE), PINS: hash_weights(MINI)})
    source = read_source(MINI)
    beside, _ = find_places(MINI, source, "int8")
    convert_into(beside, EMBEDDED, "int8", source)
    for path in (path for path in MINI.rglob("*") if path.is_file()):
        path.chmod(0o644)  # safetensors writes for the owner alone; a package is for everyone on the machine


def score(data: Path, out: Path) -> dict[str, Any]:
    """Draft the valid split with the shipped model and score it; returns scores.json."""
    shutil.rmtree(out, ignore_errors=True)
    drafts = out / "drafts.jsonl"
    subprocess.run([RADLLAMA, "draft", "--in", data / "valid.jsonl", "--out", drafts], check=True)
    subprocess.run([RADLLAMA, "evaluate", "--drafts", drafts, "--train", data, "--out", out / "scores"], check=True)
    scores: dict[str, Any] = json.loads((out / "scores" / "scores.json").read_text())
    return scores


def write_card(scores: dict[str, Any], run: dict[str, Any], dataset: dict[str, Any]) -> None:
    """Render the model card from what was measured."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    rows = {"mini": scores["overall"]} | {name: row["overall"] for name, row in scores["trivial"].items()}
    strata = {name: scores["strata"][name] for name in ("normal", "abnormal", "findings_seen", "findings_unseen")}
    text = environment.from_string(CARD.read_text()).render(rows=rows, strata=strata, run=run, dataset=dataset)
    (MINI / "README.md").write_text(text)


if __name__ == "__main__":
    main()
