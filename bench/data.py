"""How fast raw reports become a dataset: sample-hospital reports through parser, cleaning, split and leak report.

Ends with a RESULT line.
"""

import json
import resource
import tempfile
import time
from pathlib import Path

from radllama.dataset.build import build_dataset
from radllama.reports.sample import write_sample

REPORTS = 20_000


def main() -> None:
    """Generate reports, then time the build alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_sample(Path(folder), REPORTS, seed=1)
        columns = {"accession": "id", "mrn": "patient_id", "report": "report"}
        began = time.perf_counter()
        build_dataset("table", path, Path(folder) / "dataset", "random:0", columns)
        seconds = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"reports": REPORTS, "reports_per_s": round(REPORTS / seconds), "peak_mb": round(peak_mb)}
    print("RESULT", json.dumps(figures))


if __name__ == "__main__":
    main()
