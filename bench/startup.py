"""How long `radllama --help` takes: the median of warm runs. Ends with a RESULT line."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 9


def main() -> None:
    """Run the installed command once to warm the caches, then time it."""
    command = [str(Path(sys.executable).with_name("radllama")), "--help"]
    subprocess.run(command, check=True, capture_output=True)
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    figures = {"median_s": statistics.median(seconds), "min_s": min(seconds), "max_s": max(seconds), "runs": RUNS}
    print("RESULT", json.dumps({key: round(value, 3) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
