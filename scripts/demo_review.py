"""A blinded study in four minutes: real drafts, simulated raters at the real web app, closed, analysed, compared.

`make demo-review` calls it. The raters' bias and noise are known, so that what the analysis finds can be held against
what was put in. With --images the pages are looked at in Chromium on the way.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from demo_shell import RADLLAMA, radllama, step
from simulated_raters import Known, SimulatedRater, key_of, merit

from radllama.evaluation import trivial
from radllama.files import read_json, write_jsonl
from radllama.library import Library
from radllama.report import read_reports
from radllama.review.form import read_form
from radllama.review.material import Material, gather, read_calibration
from radllama.review.rehearsal import Panel
from radllama.stats import Array

STUDY, REPORTS, SEED = "rehearsal", 20, 0
PANEL = Panel(biases=(-0.4, -0.1, 0.1, 0.4), taste_sd=0.3, noise_sd=0.4, leanings={"conciseness": -0.3})
SCALES = [question for question in read_form().questions() if question.kind == "scale"]


def main() -> None:
    """Write everything into --out, anew each time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-review"))
    parser.add_argument("--images", type=Path, help="take a picture of each page into this folder")
    arguments = parser.parse_args()
    out: Path = arguments.out
    if out.exists() and any(out.iterdir()) and not (out / "hospital").exists():
        sys.exit(f"{out}: holds something other than a demo; choose another --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    began = time.monotonic()

    step("1. A sample hospital, and its test reports drafted in three ways")
    data = make_dataset(out)
    radllama("draft", "--in", data / "test.jsonl", "--out", out / "mini.jsonl")
    systems = {"mini": out / "mini.jsonl"} | write_trivial(data, out)

    step("2. A blinded study of them; the signed impression takes part")
    database = ("--database", f"sqlite:///{(out / 'review.sqlite').resolve()}")
    drafts = [word for name, path in systems.items() for word in ("--system", f"{name}={path}")]
    size = ["--raters", str(len(PANEL.biases)), "--sample", str(REPORTS), "--repeat", "0.2", "--seed", str(SEED)]
    study = ["--reports", str(data / "test.jsonl"), *drafts, "--human-reference", *size]
    radllama("review", "create", STUDY, *study, *database)
    material = gather(data / "test.jsonl", systems, True, REPORTS, SEED)

    step("3. Simulated raters judge it, page by page, at the real web app")
    with serving(out, database) as url:
        links = invite(url, database)
        raters = [SimulatedRater(url, PANEL, at, known_drafts(material)) for at in range(len(PANEL.biases))]
        if arguments.images:
            from review_pictures import picture_invitation

            picture_invitation(links[0], arguments.images)
        for rater, link in zip(raters, links, strict=True):
            rater.join(link)
        with ThreadPoolExecutor(len(raters)) as pool:
            pages = list(pool.map(lambda rater: rater.judge_all(STUDY), raters))
        for rater in raters:
            rater.leave()
        print(f"  {len(raters)} raters filled in {sum(pages)} pages")
        if arguments.images:
            from review_pictures import picture_pages

            picture_pages(url, STUDY, coordinator(url, database), arguments.images)

    step("4. Closed, and only then unblinded and analysed")
    radllama("review", "close", STUDY, *database)
    radllama("review", "analyse", STUDY, "--out", out / "analysis", *database)
    if arguments.images:
        from review_pictures import picture_analysis

        picture_analysis((out / "analysis" / "review.html").resolve(), arguments.images)

    step("5. What was put in, and what the analysis found")
    compare(material, read_json(out / "analysis" / "analysis.json"))
    print(f"\nDone in {(time.monotonic() - began) / 60:.1f} minutes. The page: {out / 'analysis' / 'review.html'}")


def make_dataset(out: Path) -> Path:
    """The sample hospital's reports as a dataset folder."""
    radllama("data", "sample", "--out", out / "hospital")
    radllama(
        *("data", "build", "--source", "table", "--path", out / "hospital" / "reports.csv", "--out", out / "dataset"),
        *("--map", "accession=id", "--map", "mrn=patient_id", "--map", "report=report", "--split", "random:0"),
    )
    return out / "dataset"


def write_trivial(data: Path, out: Path) -> dict[str, Path]:
    """Drafts of two systems that need no model: the nearest prior impression, and always the same one."""
    prior, test = list(read_reports(data / "train.jsonl")), list(read_reports(data / "test.jsonl"))
    nearest = trivial.nearest(Library.build(prior), [report.findings for report in test])
    same = trivial.constant(report.impression for report in prior)
    files = {"nearest": nearest, "constant": [same] * len(test)}
    for name, texts in files.items():
        write_jsonl(
            out / f"{name}.jsonl",
            ({"id": report.id, "draft": text} for report, text in zip(test, texts, strict=True)),
        )
    return {name: out / f"{name}.jsonl" for name in files}


def known_drafts(material: Material) -> dict[tuple[str, str], Known]:
    """Every draft that a rater may see, by findings and shown text."""
    known = {}
    for at, (report, texts) in enumerate(zip(material.reports, material.texts, strict=True)):
        for place, text in enumerate(texts):
            worth = merit(report.findings, report.impression, text.shown)
            known[key_of(report.findings, text.shown)] = Known(at, place, worth, report.impression)
    for at, first in enumerate(read_calibration(None, read_form())):
        for place, trial in enumerate(first.trials):
            expected = [value for value in trial.expected.values() if isinstance(value, int)]
            # Far from the study's own places, so that no rater's taste is used twice.
            known[key_of(first.findings, trial.draft)] = Known(10_000 + at, place, float(np.mean(expected or [3])), "")
    return known


@contextmanager
def serving(out: Path, database: tuple[str, str]) -> Iterator[str]:
    """The real server as a process of its own, on a free port; its address."""
    command = [str(RADLLAMA), "review", "serve", "--port", "0", *database]
    with (out / "serve.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield wait_for_address(process, out / "serve.log")
        finally:
            process.terminate()
            process.wait(30)


def wait_for_address(process: "subprocess.Popen[bytes]", log: Path, patience_s: float = 120) -> str:
    """The address that the server says it serves at."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"https?://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        time.sleep(0.1)
    sys.exit(f"the server did not start: {log.read_text()}")


def invite(url: str, database: tuple[str, str], *more: str) -> list[str]:
    """Invitation links, as `radllama review invite` prints them."""
    command = [str(RADLLAMA), "review", "invite", STUDY, "--url", url, *more, *database]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.split("\t")[1] for line in told.splitlines()]


def coordinator(url: str, database: tuple[str, str]) -> str:
    """A link that lets a coordinator in."""
    return invite(url, database, "--coordinator")[0]


def compare(material: Material, analysis: dict[str, Any]) -> None:
    """Print expectation beside finding; exit with a message where they are too far apart to be chance."""
    worth = np.array(
        [
            [merit(report.findings, report.impression, text.shown) for text in texts]
            for report, texts in zip(material.reports, material.texts, strict=True)
        ]
    )
    expected = np.mean([PANEL.expected(question, worth) for question in SCALES], axis=0)
    apart = [*_compare_systems(material, analysis, expected), *_compare_raters(analysis, expected)]
    print(f"\n  largest distance {max(apart):.2f} of a step")
    if max(apart) > 0.25:
        sys.exit("the analysis did not find what was put in")


def _compare_systems(material: Material, analysis: dict[str, Any], expected: Array) -> Iterator[float]:
    print("\n  mean over the five scales      put in   found")
    for place, system in enumerate(material.systems):
        found = float(np.mean([analysis["systems"][question.name][system]["mean"] for question in SCALES]))
        told = float(expected[:, place].mean())
        print(f"  {system:30} {told:6.2f}  {found:6.2f}")
        yield abs(found - told)


def _compare_raters(analysis: dict[str, Any], expected: Array) -> Iterator[float]:
    print("\n  leniency of each rater         put in   found")
    of_raters = expected.mean(axis=(0, 1))
    for place, told in enumerate((of_raters - of_raters.mean()).tolist()):
        name = f"rater-{place + 1}"
        found = float(np.mean([analysis["leniency"][question.name][name]["difference"] for question in SCALES]))
        print(f"  {name:30} {told:+6.2f}  {found:+6.2f}")
        yield abs(found - told)


if __name__ == "__main__":
    main()
