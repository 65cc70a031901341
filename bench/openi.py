"""OpenI's whole table from the raw collection: trivial rows, the model, with a library, with a vote, with checks.

    make openi OPENI=indiana_reports.csv

Scores the test part when the collection holds it, else the development split, and writes into --out: `table.md` (what
is printed; its end tells which rows differ), a folder of scores a row, `compare.json` (every paired difference) and
`curve.csv` (what more care costs). Beside them stand rows by five folds over the train part, for what involves no
model: there a fold's library and habits have not seen its reports, while the model has seen them all, so no model row
can be honest there. Ends with a RESULT line.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from radllama.dataset.build import build_dataset
from radllama.drafting.consensus import load_consensus
from radllama.drafting.draft import DraftsReports, draft_file
from radllama.drafting.election import Voting, elect
from radllama.drafting.load import load_drafter
from radllama.drafting.sampling import SAMPLES
from radllama.drafting.voting import load_voting
from radllama.engines import Completion, Sampling
from radllama.evaluation.compare import compare
from radllama.evaluation.evaluate import Scoring, evaluate
from radllama.files import write_aside, write_jsonl
from radllama.library import Library
from radllama.library.consensus import consensus
from radllama.library.folder import build_library, read_department, read_library
from radllama.library.habits import learn_habits
from radllama.report import Report, read_reports

FOLDS = 5
COUNTS = (1, 4, 8, 16, 32)  # of samples
CARE = ((0.5, 0.8), (0.7, 0.9), (0.8, 0.93), (0.85, 0.95), (0.9, 0.96), (0.92, 0.97), (0.92, 0.98), (0.95, 0.99))
# The default against the rows without: every pair counts in Holm's family, so only four are held against each other.
ALONE, CONSENSUS, UNCHECKED = "model alone", "consensus of 30", "library and vote, no checks"
DEFAULT = f"library, vote and checks, n = {SAMPLES}"
COMPARED = ("rouge1", "rougeL", "repeated", "answered_normal", "invented")
FIGURES = ("repeated", "answered_normal", "invented", "rouge1", "rouge2", "rougeL")
PARTS = ("normal", "abnormal", "findings_seen", "findings_unseen")


def main() -> None:
    """Run all of it on the collection in --openi."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--openi", type=Path, required=True, help="the .tgz, a folder of its XML, or the Kaggle CSV")
    parser.add_argument("--out", type=Path, required=True, help="folder for the table, the scores and the drafts")
    parser.add_argument("--model", default="mini")
    arguments = parser.parse_args()
    out: Path = arguments.out
    data, library = out / "data", out / "library"
    build_dataset("openi", arguments.openi, data, "impressiongpt")
    build_library(data, library)
    part = "test" if (data / "test.jsonl").exists() else "valid"

    rows, seconds, files = score_rows(make_rows(arguments.model, library), data, data / f"{part}.jsonl", out)
    held = [DEFAULT, UNCHECKED, CONSENSUS, ALONE]
    comparison = compare([files[name] for name in held], out / "compare", data, COMPARED)
    curve = trace_care(arguments.model, library, list(read_reports(data / f"{part}.jsonl")), data, out)
    folds = score_folds(list(read_reports(data / "train.jsonl")), out / "folds")
    text = render(part, rows, seconds, curve, folds) + render_differences(comparison, held)
    with write_aside(out / "table.md") as file:
        file.write(text)
    print(text)
    print("RESULT", json.dumps({"part": part, **{name: short(row["overall"]) for name, row in rows.items()}}))


def make_rows(model: str, library: Path) -> Iterator[tuple[str, DraftsReports, Sampling]]:
    """Each system with its sampling, from the simplest on."""
    drafter = load_drafter(model)
    greedy = Sampling()
    sampled = Sampling(temperature=1.0, samples=SAMPLES)
    yield ALONE, drafter, greedy
    if drafter.prompt.shelf:
        yield "model that reads prior reports", drafter.with_library(read_library(library)), greedy
    yield CONSENSUS, load_consensus(library, 30), greedy
    yield f"model, {SAMPLES} samples vote", load_voting(drafter, Voting(checks=False), None), sampled
    yield UNCHECKED, load_voting(drafter, Voting(checks=False), library), sampled
    for count in COUNTS:
        sampling = Sampling(temperature=1.0, samples=count)
        yield f"library, vote and checks, n = {count}", load_voting(drafter, Voting(), library), sampling


def score_rows(
    systems: Iterator[tuple[str, DraftsReports, Sampling]], data: Path, reports: Path, out: Path
) -> tuple[dict[str, Any], dict[str, float], dict[str, Path]]:
    """Draft and evaluate with every system: {row: scores}, trivial ones first; {row: seconds a report}; drafts."""
    rows: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    files: dict[str, Path] = {}
    for number, (name, drafter, sampling) in enumerate(systems):
        path = out / "drafts" / f"{number}.jsonl"
        began = time.perf_counter()
        counts = draft_file(drafter, reports, path, sampling=sampling)
        seconds[name] = (time.perf_counter() - began) / counts.total()
        scores = evaluate(path, out / "scores" / str(number), Scoring(data))
        if not rows:
            rows = dict(scores["trivial"])
        rows[name] = scores
        files[name] = path
    return rows, seconds, files


def trace_care(model: str, library: Path, reports: Sequence[Report], data: Path, out: Path) -> list[dict[str, float]]:
    """What more care costs: the figures of each setting in CARE, on the same samples."""
    prior, habits = read_department(library)
    drafter = load_drafter(model)
    found = _sample(drafter.candidates, reports)
    points = []
    for mentions, of_reports in CARE:
        voting = Voting(mentions=mentions, reports=of_reports)
        pairs = zip(reports, found, strict=True)
        texts = [elect(one.findings, said, prior, habits, voting).text for one, said in pairs]
        overall = score_texts(reports, texts, out / "care" / f"{mentions}-{of_reports}", data)
        points.append({"mentions": mentions, "reports": of_reports, **short(overall)})
    with write_aside(out / "curve.csv") as file:
        file.writelines(",".join(map(str, line)) + "\n" for line in ([*points[0]], *(p.values() for p in points)))
    return points


def _sample(candidates: Callable[[str, str, Sampling], list[Completion]], reports: Sequence[Report]) -> list[list[str]]:
    sampling = Sampling(temperature=1.0, samples=SAMPLES)
    return [
        [one.text for one in candidates(report.findings, report.indication, sampling) if one.finish_reason == "stop"]
        for report in reports
    ]


def score_folds(train: Sequence[Report], out: Path) -> dict[str, dict[str, float]]:
    """Every fold of the train part drafted from the other four, without a model: {row: figures over all folds}."""
    order = list(train)
    random.Random(0).shuffle(order)
    texts: dict[str, list[str]] = {}
    tested: list[Report] = []
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        others = [report for number, report in enumerate(order) if number % FOLDS != fold]
        library, similar = Library.build(others, "bm25"), Library.build(others, "tfidf")
        habits = learn_habits(library)
        drafted = {
            "consensus of 30, TF-IDF": [consensus(similar.nearest(one.findings, 30)) for one in held],
            "consensus of 30, BM25": [consensus(library.nearest(one.findings, 30)) for one in held],
            "neighbours vote, no checks": [
                elect(one.findings, [], library, habits, Voting(checks=False)).text for one in held
            ],
            "neighbours vote, checks": [elect(one.findings, [], library, habits, Voting()).text for one in held],
        }
        for name, values in drafted.items():
            texts.setdefault(name, []).extend(values)
        tested += held
    return {name: short(score_texts(tested, values, out / str(at))) for at, (name, values) in enumerate(texts.items())}


def score_texts(
    reports: Sequence[Report], texts: Sequence[str], out: Path, train: Path | None = None
) -> dict[str, Any]:
    """The overall summary of some drafts."""
    rows = (
        {"id": one.id, "findings": one.findings, "reference": one.impression, "draft": text}
        for one, text in zip(reports, texts, strict=True)
    )
    write_jsonl(out / "drafts.jsonl", rows)
    overall: dict[str, Any] = evaluate(out / "drafts.jsonl", out / "scores", Scoring(train))["overall"]
    return overall


def short(overall: dict[str, Any]) -> dict[str, float]:
    """The six figures of a summary, in percent."""
    return {name: round(100 * overall[name], 2) for name in FIGURES}


def render(
    part: str,
    rows: dict[str, Any],
    seconds: dict[str, float],
    curve: list[dict[str, float]],
    folds: dict[str, dict[str, float]],
) -> str:
    """The tables as Markdown."""
    count = next(iter(rows.values()))["overall"]["n"]
    head = ["", "repeated", "answered normal", "invented", "R-1", "R-2", "R-L"]
    lines = [
        f"# OpenI, {part} part, {count} reports",
        "",
        "In percent, with 95% intervals; seconds as timed here.",
        "",
    ]
    lines += _table([*head, *(f"R-1 {name.replace('_', ' ')}" for name in PARTS), "s a report"], _cells(rows, seconds))
    lines += ["", "## What more care costs", "", f"{SAMPLES} samples; `mentions` and `reports` as in `Voting`.", ""]
    lines += _table(list(curve[0]), [[f"{value:g}" for value in point.values()] for point in curve])
    lines += ["", "## By five folds over the train part, without a model", ""]
    lines += _table(head, [[name, *(f"{value:.1f}" for value in row.values())] for name, row in folds.items()])
    return "\n".join(lines) + "\n"


def render_differences(comparison: dict[str, Any], names: Sequence[str]) -> str:
    """What the first of the compared systems scores more than each other, of all reports, as Markdown."""
    systems = dict(zip(comparison["systems"], names, strict=True))
    lines = [[f"{names[0]}, less", *COMPARED]]
    for letter, name in list(systems.items())[1:]:
        pairs = {
            one["metric"]: one
            for one in comparison["comparisons"]
            if (one["a"], one["b"], one["stratum"]) == ("A", letter, "overall")
        }
        lines.append([name, *(_difference(pairs[metric]) for metric in COMPARED)])
    told = "In points, with paired 95% intervals; p after Holm over all pairs, figures and strata of `compare.json`."
    return "\n".join(["", "## Paired differences", "", told, "", *_table(lines[0], lines[1:])]) + "\n"


def _difference(one: dict[str, Any]) -> str:
    if one["p_holm"] is None:
        return "-"
    mean, low, high = (f"{100 * value:+.1f}" for value in (one["difference"], *one["ci95"]))
    return f"{mean} ({low} to {high}), p {one['p_holm']:.2g}"


def _cells(rows: dict[str, Any], seconds: dict[str, float]) -> list[list[str]]:
    cells = []
    for name, scores in rows.items():
        overall, strata = scores["overall"], scores["strata"]
        with_interval = [
            f"{100 * overall[key]:.1f} ({100 * overall['ci95'][key][0]:.1f}-{100 * overall['ci95'][key][1]:.1f})"
            for key in FIGURES
        ]
        parts = [f"{100 * strata[key]['rouge1']:.1f}" if key in strata else "-" for key in PARTS]
        cells.append([name, *with_interval, *parts, f"{seconds[name]:.2f}" if name in seconds else "-"])
    return cells


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]


if __name__ == "__main__":
    main()
