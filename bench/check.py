"""Put seeded faults into radiologists' impressions and count those that the checks find. Ends with a RESULT line.

One corruption of each kind is made of every impression that offers a place for it (`corrupt.py`). It counts as found
when the checks raise more flags of its kind than on the untouched impression; a finding added where the findings deny
it may be told as "negation" too. "omitted" drops one of CheXpert's observations, "omitted_other" what is none
(granulomas, degenerative change...), which radiologists mostly leave out themselves and for which no bar is set.
False alarms are flags on the untouched impressions. The rules were tuned on the train part of the split; the figures
are of the development split (valid), unless `--part train` asks for the other. Beside them: what a library of the
train part changes for advice, here and on the sample hospital (no report is its own colleague, nor is another of its
patient), and how often the embedded model would abstain from these findings, all of them fit to draft from.
"""

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from corrupt import CORRUPTIONS

from radllama.clinical.check import FLAG_KINDS, Checker, Flag
from radllama.dataset.build import build_dataset
from radllama.drafting.abstain import read_vocabulary
from radllama.library import Library
from radllama.library.advice import custom_advice
from radllama.model import EMBEDDED, model_folder
from radllama.report import Report, read_reports
from radllama.reports.sample import generate

BARS: dict[str, float] = {kind: 0.95 if kind in ("side", "negation", "measurement") else 0.85 for kind in FLAG_KINDS}
STRICT = ("side", "negation", "measurement")
HOSPITAL = 3000  # reports of the sample hospital


def main() -> None:
    """Corrupt, check, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openi", type=Path, required=True, help="the .tgz, a folder of its XML, or the Kaggle CSV")
    parser.add_argument("--part", choices=("train", "valid"), default="valid")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=Path, help="write a sample of misses and false alarms here; holds report text")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reports = read_part(options.openi, Path(folder), options.part)
        library = Library.build(read_reports(Path(folder) / "data" / "train.jsonl"), "bm25")
    sample: list[dict[str, Any]] = []
    made, found = Counter[str](), Counter[str]()
    alarms = Counter[str]()
    for report in reports:
        checker = Checker(report.findings)
        before = checker.check(report.impression)
        alarms.update({flag.kind for flag in before})
        alarms["strict"] += any(flag.kind in STRICT for flag in before)
        alarms["any"] += bool(before)
        if before:
            sample.append({"what": "false alarm", **show(report, report.impression, before)})
        for kind, corrupt in CORRUPTIONS.items():
            corrupted = corrupt(report.findings, report.impression, random.Random(f"{options.seed} {kind} {report.id}"))
            if corrupted is None or corrupted == report.impression:
                continue
            made[kind] += 1
            after = checker.check(corrupted)
            hit = count(after, kind) > count(before, kind)
            found[kind] += hit
            if not hit:
                sample.append({"what": f"missed {kind}", **show(report, corrupted, after)})
    vocabulary = read_vocabulary(model_folder(EMBEDDED))
    abstained = sum(vocabulary.why_abstain(report.findings) is not None for report in reports)
    seconds = time_pairs(reports)
    if options.show:
        options.show.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in sample))
    recall = {kind: round(found[kind] / made[kind], 4) if made[kind] else None for kind in CORRUPTIONS}
    rates = {kind: round(alarms[kind] / len(reports), 4) for kind in (*FLAG_KINDS, "strict", "any")}
    print(f"{'kind':<16}{'corrupted':>10}{'found':>8}{'recall':>9}{'bar':>6}{'false alarms':>15}")
    for kind in CORRUPTIONS:
        bar, alarm = BARS.get(kind, ""), f"{rates[kind]:.3f}" if kind in rates else ""
        print(f"{kind:<16}{made[kind]:>10}{found[kind]:>8}{recall[kind] or 0:>9.3f}{bar:>6}{alarm:>15}")
    print(f"untouched flagged: {rates['strict']:.3f} by side, negation or measurement, {rates['any']:.3f} by any")
    print(f"findings from which the embedded model abstains: {abstained} of {len(reports)}")
    custom = {"openi": count_advice(reports, library, options.seed)}
    hospital = [Report(one.accession, one.mrn, one.findings, one.impression) for one in generate(HOSPITAL, seed=0)]
    custom["sample hospital"] = count_advice(hospital, Library.build(hospital, "bm25"), options.seed)
    for name, figures in custom.items():
        print(f"advice, {name}: " + ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in figures.items()))
    result = {
        "part": options.part,
        "advice": custom,
        "reports": len(reports),
        "corrupted": dict(made),
        "recall": recall,
        "false_alarms": rates,
        "abstained": abstained,
        "pairs_per_second": round(len(reports) / seconds),
    }
    print("RESULT", json.dumps(result))


def read_part(openi: Path, folder: Path, part: str) -> list[Report]:
    """One part of the ImpressionGPT split without its test reports, as `data build` makes it."""
    build_dataset("openi", openi, folder / "data", split="impressiongpt")
    return list(read_reports(folder / "data" / f"{part}.jsonl"))


def count_advice(reports: list[Report], library: Library, seed: int) -> dict[str, float]:
    """Shares, without and with the library: untouched impressions flagged for advice, and for anything; recall."""
    counts = Counter[str]()
    made = 0
    for report in reports:
        is_custom = custom_advice(library, report.findings, leave_out=report)
        rng = random.Random(f"{seed} recommendation {report.id}")
        corrupted = CORRUPTIONS["recommendation"](report.findings, report.impression, rng)
        made += corrupted is not None
        for name, checker in (
            ("without", Checker(report.findings)),
            ("with", Checker(report.findings, is_custom=is_custom)),
        ):
            before = checker.check(report.impression)
            counts[f"advice_{name}"] += any(flag.kind == "recommendation" for flag in before)
            counts[f"any_{name}"] += bool(before)
            if corrupted is not None:
                after = checker.check(corrupted)
                counts[f"recall_{name}"] += count(after, "recommendation") > count(before, "recommendation")
    sizes = {"recall": made}
    return {key: round(counts[key] / sizes.get(key.split("_")[0], len(reports)), 4) for key in sorted(counts)}


def count(flags: list[Flag], kind: str) -> int:
    """How many flags tell of a corruption of this kind."""
    kinds = {"unsupported": ("unsupported", "negation"), "omitted_other": ("omitted",)}.get(kind, (kind,))
    return sum(flag.kind in kinds for flag in flags)


def show(report: Report, draft: str, flags: list[Flag]) -> dict[str, Any]:
    """A line of the sample."""
    told = [flag.to_json() for flag in flags]
    return {
        "id": report.id,
        "findings": report.findings,
        "impression": report.impression,
        "draft": draft,
        "flags": told,
    }


def time_pairs(reports: list[Report]) -> float:
    """Seconds to read and check every pair, nothing kept from before but the compiled lexicon."""
    from radllama.clinical.read import _read_sentence

    _read_sentence.cache_clear()
    begin = time.perf_counter()
    for report in reports:
        Checker(report.findings).check(report.impression)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
