"""What `radllama train --plan` expects a training to take, against the resident peak that it then has.

    python bench/plan.py          the embedded model and a 110 M Llama, LoRA and full, with and without checkpointing

Reports are the sample hospital's (synthetic). Every training runs in a process of its own, one epoch long, as
`radllama train` runs it. Linux only: the peak is read from /proc.
"""

import argparse
import json
import multiprocessing
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from train import LLAMAS, save_llama

from radllama.dataset.build import build_dataset
from radllama.recipe import Recipe
from radllama.reports.sample import write_sample

REPORTS, BATCH = 150, 32


def main() -> None:
    """Print a row for each training, then the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", nargs="+", choices=("embedded", "110m"), default=["embedded", "110m"])
    options = parser.parse_args()
    worst = 0.0
    print(f"{'base':10} {'tuning':6} {'checkpointing':14} {'expected MB':>11} {'measured MB':>11} {'off':>7}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = write_sample(folder, REPORTS, seed=1)
        columns = {"accession": "id", "mrn": "patient_id", "report": "report"}
        build_dataset("table", table, folder / "dataset", "random:0", columns)
        for shape in options.shape:
            base = "mini" if shape == "embedded" else save_llama(LLAMAS[shape], folder / "base")
            for tuning in ("lora", "full"):
                for checkpointing in (False, True):
                    settings = {"base": base, "tuning": tuning, "activation_checkpointing": checkpointing}
                    expected, measured = run_apart(
                        settings, folder / "dataset", folder / f"{shape}{tuning}{checkpointing}"
                    )
                    off = expected / measured - 1
                    worst = max(worst, abs(off))
                    print(
                        f"{shape:10} {tuning:6} {'on' if checkpointing else 'off':14} {expected / 1e6:11.0f} "
                        f"{measured / 1e6:11.0f} {off:+7.1%}",
                        flush=True,
                    )
    print("RESULT", json.dumps({"worst_off": round(worst, 3)}))


def run_apart(settings: dict[str, Any], data: Path, out: Path) -> tuple[float, float]:
    """The expected and the measured peak in bytes of a training in a process of its own."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=plan_and_train, args=(settings, data, out, its))
    process.start()
    its.close()
    try:
        expected, measured = mine.recv()
    except EOFError:
        sys.exit("the training failed; its error stands above")
    finally:
        process.join()
    return expected, measured


def plan_and_train(settings: dict[str, Any], data: Path, out: Path, connection: Any) -> None:
    """The body of that process."""
    from radllama.training.plan import plan
    from radllama.training.train import train

    once = {"batch_size": BATCH, "epochs": 1, "keep": "last", "valid_drafts": 0, "tracker": "none"}
    recipe = Recipe.model_validate({**once, **settings})
    expected = plan(recipe, data).peak
    train(recipe, data, out)
    # Not getrusage: its peak is inherited from the process that started this one.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found, "/proc/self/status names no peak"
    connection.send((expected, int(found[1]) * 1024.0))


if __name__ == "__main__":
    main()
