"""Hold our labels against the CheXpert labeler's on OpenI findings. Ends with a RESULT line.

Rules were tuned on two thirds of the reports (by a hash of the id); the figures are of the last third, unless
`--part tune` asks for the others. F1 is of each value (1, 0, -1) of each observation, averaged over the observations
that the labeler gives that value in 20 or more reports of the part. "Without its errors" sets the cells aside that
`chexpert_errors.yaml` knows to be wrong, whatever our rules say of them.
"""

import argparse
import csv
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from radllama.clinical.label import label
from radllama.clinical.lexicon import OBSERVATIONS, load_lexicon
from radllama.report import Report
from radllama.reports import read_source

MINIMUM_CASES = 20
NAMES = {1: "positive", 0: "negative", -1: "uncertain", None: "not mentioned"}
Values = dict[str, int | None]
Cell = tuple[str, str]  # report id, observation


def main() -> None:
    """Label one part, compare, list the disagreements by kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openi", type=Path, required=True, help="the .tgz, a folder of its XML, or the Kaggle CSV")
    parser.add_argument(
        "--chexpert", type=Path, required=True, help="CSV: uid and the 14 observations, of the findings"
    )
    parser.add_argument("--part", choices=("tune", "test"), default="test")
    options = parser.parse_args()
    theirs = read_labels(options.chexpert)
    findings = {
        report.id: report.findings
        for report in read_source("openi", options.openi)
        if isinstance(report, Report) and report.id in theirs and is_test(report.id) == (options.part == "test")
    }
    load_lexicon()
    begin = time.perf_counter()
    ours = {identity: label(text).values for identity, text in findings.items()}
    seconds = time.perf_counter() - begin
    wrong = find_errors(findings, theirs)
    everything = score(ours, theirs, wrong={})
    cleaned = score(ours, theirs, wrong)
    render(everything, cleaned, disagreements(ours, theirs, wrong))
    result = {
        "part": options.part,
        "reports": len(findings),
        "seconds_per_2000_reports": round(seconds / len(findings) * 2000, 2),
        "f1": {NAMES[value]: mean(everything, value) for value in (1, 0, -1)},
        "f1_without_chexpert_errors": {NAMES[value]: mean(cleaned, value) for value in (1, 0, -1)},
        "cells_set_aside": len(wrong),
        "cells": len(findings) * len(OBSERVATIONS),
    }
    print("RESULT", json.dumps(result))


def is_test(identity: str) -> bool:
    """Whether a report belongs to the third that rules were not tuned on."""
    return int(hashlib.sha256(identity.encode()).hexdigest(), 16) % 3 == 0


def read_labels(path: Path) -> dict[str, Values]:
    """The labeler's output by report id; an empty field is None."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {
            row["uid"]: {name: int(float(row[name])) if row[name] else None for name in OBSERVATIONS}
            for row in csv.DictReader(file)
        }


def find_errors(findings: dict[str, str], theirs: dict[str, Values]) -> dict[Cell, str]:
    """The kind of each cell that is known to be wrong, found from the text alone."""
    rules: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("chexpert_errors.yaml").read_text())
    wrong: dict[Cell, str] = {}
    for identity, text in findings.items():
        flat = " ".join(text.lower().split())
        for rule in rules:
            name = rule["observation"]
            if theirs[identity][name] not in rule["theirs"] or (identity, name) in wrong:
                continue
            rest, matches = re.subn(rule["pattern"], " ", flat)
            if matches and not re.search(rule["unless"], rest):
                wrong[identity, name] = rule["kind"]
        # "No Finding" follows from the others: where all of the abnormal are wrong, so is its absence.
        said = [name for name in OBSERVATIONS[1:-1] if theirs[identity][name] in (1, -1)]
        if theirs[identity]["No Finding"] is None and said and all((identity, name) in wrong for name in said):
            wrong.setdefault((identity, "No Finding"), "taken from No Finding by another error")
    return wrong


def score(ours: dict[str, Values], theirs: dict[str, Values], wrong: Collection[Cell]) -> dict[tuple[str, int], Any]:
    """{cases, ours, agreed, f1} by observation and value, over the cells that are not in `wrong`."""
    table = {}
    for name in OBSERVATIONS:
        pairs = [(ours[i][name], theirs[i][name]) for i in ours if (i, name) not in wrong]
        for value in (1, 0, -1):
            cases, named = sum(t == value for _, t in pairs), sum(o == value for o, _ in pairs)
            agreed = sum(o == t == value for o, t in pairs)
            f1 = 2 * agreed / (cases + named) if cases + named else 0.0
            table[name, value] = {"cases": cases, "ours": named, "agreed": agreed, "f1": f1}
    return table


def mean(table: dict[tuple[str, int], Any], value: int) -> float:
    """The average F1 of a value over the observations with enough cases."""
    scores = [row["f1"] for (_, v), row in table.items() if v == value and row["cases"] >= MINIMUM_CASES]
    return round(sum(scores) / len(scores), 4) if scores else 0.0


def disagreements(
    ours: dict[str, Values], theirs: dict[str, Values], wrong: dict[Cell, str]
) -> Counter[tuple[str, str, str]]:
    """How many cells differ, by (observation, "theirs -> ours", kind of error of theirs or "not settled")."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for identity, values in ours.items():
        for name, value in values.items():
            other = theirs[identity][name]
            if other != value:
                kind = wrong.get((identity, name), "not settled")
                counts[name, f"{NAMES[other]} -> {NAMES[value]}", kind] += 1
    return counts


def render(
    everything: dict[tuple[str, int], Any], cleaned: dict[tuple[str, int], Any], differ: Counter[tuple[str, str, str]]
) -> None:
    """Print the table and the disagreements."""
    print(f"{'observation':<28}{'value':<11}{'cases':>6}{'ours':>6}{'agreed':>8}{'F1':>7}{'F1 without its errors':>24}")
    for (name, value), row in everything.items():
        if row["cases"] or row["ours"]:
            clean = cleaned[name, value]
            counted = "*" if row["cases"] >= MINIMUM_CASES else " "
            print(
                f"{name:<28}{NAMES[value]:<11}{row['cases']:>6}{row['ours']:>6}{row['agreed']:>8}{row['f1']:>7.3f}{counted}"
                f"{clean['f1']:>14.3f} of {clean['cases']}"
            )
    print(f"(* {MINIMUM_CASES} cases or more: in the average)\n\ndisagreements, the labeler's value -> ours")
    for (name, change, kind), count in differ.most_common():
        print(f"{count:>5}  {name:<28}{change:<30}{kind}")


if __name__ == "__main__":
    main()
