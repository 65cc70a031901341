"""How long a cold start takes: `radllama --help`, and one draft of the embedded model.

The median of runs, each a new process, after one that warms the disk's cache. Ends with a RESULT line.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 9
FINDINGS = "Heart size is normal. Small left pleural effusion. No pneumothorax."
COMMANDS = {"": ["--help"], "draft_": ["draft", "--findings", FINDINGS]}


def main() -> None:
    """Run each command once, then time it."""
    figures: dict[str, float] = {"runs": RUNS}
    for label, arguments in COMMANDS.items():
        seconds = time_runs([str(Path(sys.executable).with_name("radllama")), *arguments])
        for name, value in (("median", statistics.median(seconds)), ("min", min(seconds)), ("max", max(seconds))):
            figures[f"{label}{name}_s"] = round(value, 3)
    print("RESULT", json.dumps(figures))


def time_runs(command: list[str]) -> list[float]:
    """Seconds of each of RUNS runs."""
    seconds = []
    for run in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        if run:
            seconds.append(time.perf_counter() - began)
    return seconds


if __name__ == "__main__":
    main()
