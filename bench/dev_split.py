"""How the development split's seed was chosen: by the trivial rows alone, before any model was scored on it.

284 reports are few: over 20 seeds the nearest-prior row swings by ten points. The seed in `splits.py` is the first
whose constant and nearest rows both lie within a point of their means. Ends with a RESULT line.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from radllama.dataset.build import build_dataset, read_split
from radllama.dataset.splits import cut_valid
from radllama.evaluation import trivial
from radllama.evaluation.metrics import METRICS
from radllama.library import Library

SEEDS = 20


def main() -> None:
    """Score the constant and nearest rows for every seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openi", type=Path, required=True)
    openi: Path = parser.parse_args().openi
    with tempfile.TemporaryDirectory() as folder:
        build_dataset("openi", openi, Path(folder) / "data", "impressiongpt")
        reports = [report for part in ("train", "valid") for report in read_split(Path(folder) / "data", part)]
    rouge1 = METRICS["rouge1"].score
    rows = []
    for seed in range(SEEDS):
        valid = cut_valid([report.id for report in reports], seed=seed)
        prior = [report for report in reports if report.id not in valid]
        held_out = [report for report in reports if report.id in valid]
        constant = trivial.constant([report.impression for report in prior])
        nearest = trivial.nearest(Library.build(prior), [report.findings for report in held_out])
        rows.append(
            (
                100 * statistics.mean(rouge1(report.impression, constant) for report in held_out),
                100
                * statistics.mean(
                    rouge1(report.impression, draft) for report, draft in zip(held_out, nearest, strict=True)
                ),
            )
        )
        print(f"seed {seed:2}: constant {rows[-1][0]:.1f}, nearest {rows[-1][1]:.1f}")
    means = [statistics.mean(column) for column in zip(*rows, strict=True)]
    spreads = [statistics.stdev(column) for column in zip(*rows, strict=True)]
    near = [seed for seed, row in enumerate(rows) if all(abs(a - b) <= 1 for a, b in zip(row, means, strict=True))]
    figures = {
        "constant_mean": round(means[0], 1),
        "constant_sd": round(spreads[0], 1),
        "nearest_mean": round(means[1], 1),
        "nearest_sd": round(spreads[1], 1),
        "first_seed_within_a_point": near[0],
    }
    print("RESULT", json.dumps(figures))


if __name__ == "__main__":
    main()
