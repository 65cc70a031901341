"""How fast impressions are drafted: our engines against transformers' `generate` as people call it.

On the embedded model, in one process, taking turns: one report after another; batches padded on the left in the
file's order (the best of three sizes); and each of our engines with its defaults. Prompts come from the sample
hospital, or from the development split with --openi. Says too how many drafts agree, and whether 500 reports get the
same drafts at batch 1, 7 and 64. Ends with a RESULT line.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from radllama.dataset.build import build_dataset
from radllama.drafting.draft import Drafter
from radllama.drafting.load import load_drafter
from radllama.engines import ENGINES, Sampling
from radllama.model import EMBEDDED, model_folder
from radllama.report import Report, read_reports
from radllama.reports.sample import generate

CORES = 2
TIMED, ALIKE = 96, 500  # reports
REPEATS = 5
PADDED_SIZES = (8, 16, 32)
GREEDY = Sampling()
OURS = "ctranslate2-int8"


def main() -> None:
    """Take turns, then print a table and the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openi", type=Path, help="indiana_reports.csv: use the development split")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--alike", type=int, default=ALIKE, help="reports drafted at batch 1, 7 and 64")
    arguments = parser.parse_args()
    torch.set_num_threads(CORES)
    os.environ["OMP_NUM_THREADS"] = str(CORES)  # what our engines go by
    reports = read_openi(arguments.openi) if arguments.openi else read_sample(max(TIMED, arguments.alike))
    timed = reports[:TIMED]

    drafters = {name: load_drafter(EMBEDDED, "cpu", name) for name in ENGINES}
    peer = Peer(drafters[OURS])
    size = best_size(peer, timed)
    ways: dict[str, Callable[[Sequence[Report]], list[str]]] = {
        "generate, one by one": peer.one_by_one,
        f"generate, padded, batch {size}": partial(peer.padded, size=size),
        **{name: partial(draft_all, drafter) for name, drafter in drafters.items()},
    }
    one_by_one, padded = list(ways)[:2]
    drafts = {way: run(timed[:16]) and run(timed) for way, run in ways.items()}  # and warm
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    latencies: dict[str, list[float]] = {way: [] for way in (OURS, one_by_one)}
    first_tokens: dict[str, list[float]] = {way: [] for way in (OURS, one_by_one)}
    for _ in range(arguments.repeats):
        for way, run in ways.items():
            seconds[way].append(time_of(run, timed))
        for report in timed[:: len(timed) // 24]:
            latencies[OURS].append(time_of(drafters[OURS].draft, report.findings))
            latencies[one_by_one].append(time_of(peer.one_by_one, [report]))
            first_tokens[OURS].append(time_of(first_piece, drafters[OURS], report))
            first_tokens[one_by_one].append(time_of(peer.one_by_one, [report], 1))

    agree = {way: sum(a == b for a, b in zip(drafts[way], drafts[one_by_one], strict=True)) / TIMED for way in ways}
    print(f"{'':28} reports/s   x one by one   x padded   drafts as one by one")
    for way in ways:
        rate = TIMED / statistics.median(seconds[way])
        ratios = [statistics.median(ratios_of(seconds[peer_way], seconds[way])) for peer_way in (one_by_one, padded)]
        print(f"{way:28} {rate:9.1f} {ratios[0]:14.1f} {ratios[1]:10.1f} {agree[way]:10.0%}")

    same = {name: same_at_any_size(drafter, reports[: arguments.alike]) for name, drafter in drafters.items()}
    figures: dict[str, Any] = {"reports": TIMED, "repeats": arguments.repeats, "padded_batch": size}
    for label, way in (("", OURS), ("_float32", "ctranslate2"), ("_transformers", "transformers")):
        for against, peer_way in (("one_by_one", one_by_one), ("padded", padded)):
            ratios = ratios_of(seconds[peer_way], seconds[way])
            figures[f"ratio_vs_{against}{label}"] = round(statistics.median(ratios), 2)
            figures[f"ratio_vs_{against}{label}_spread"] = [round(min(ratios), 2), round(max(ratios), 2)]
        figures[f"reports_per_s{label}"] = round(TIMED / statistics.median(seconds[way]), 1)
        figures[f"drafts_agree{label}"] = round(agree[way], 4)
    for label, way in (("", OURS), ("_generate", one_by_one)):
        figures[f"p50_ms{label}"], figures[f"p95_ms{label}"] = percentiles_ms(latencies[way])
        figures[f"first_token_ms{label}"] = percentiles_ms(first_tokens[way])[0]
    figures |= {"same_at_batch_1_7_64": same, "same_reports": min(arguments.alike, len(reports))}
    print("RESULT", json.dumps(figures))


class Peer:
    """`generate` of transformers, called as its documentation shows."""

    def __init__(self, drafter: Drafter) -> None:
        folder = str(model_folder(EMBEDDED))
        self.prompt = drafter.prompt
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def one_by_one(self, reports: Sequence[Report], max_new_tokens: int = GREEDY.max_new_tokens) -> list[str]:
        """Draft the reports, each alone."""
        return [self._generate([report], max_new_tokens)[0] for report in reports]

    def padded(self, reports: Sequence[Report], size: int) -> list[str]:
        """Draft the reports in batches of `size`, in their order."""
        batches = [reports[at : at + size] for at in range(0, len(reports), size)]
        return [draft for batch in batches for draft in self._generate(batch, GREEDY.max_new_tokens)]

    def _generate(self, reports: Sequence[Report], max_new_tokens: int) -> list[str]:
        prompts = [self.prompt.render(report.findings) for report in reports]
        inputs = self.tokenizer(prompts, return_tensors="pt", padding=True, return_token_type_ids=False)
        with torch.inference_mode():
            output = self.network.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        texts = self.tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [text.strip() for text in texts]


def read_sample(count: int) -> list[Report]:
    """Chest X-rays of the sample hospital: what the embedded model reads."""
    found = generate(count, seed=7, exams=["chest_xray"])
    return [Report(id=one.accession, patient_id=None, findings=one.findings, impression="") for one in found]


def read_openi(path: Path) -> list[Report]:
    """The development split, then the training part: only its findings are used."""
    with tempfile.TemporaryDirectory() as folder:
        build_dataset("openi", path, Path(folder) / "openi", "impressiongpt")
        parts = [list(read_reports(Path(folder) / "openi" / f"{part}.jsonl")) for part in ("valid", "train")]
    return parts[0] + parts[1]


def draft_all(drafter: Drafter, reports: Sequence[Report], batch_size: int | None = None) -> list[str]:
    """Draft as `radllama draft --in` does."""
    drafts = {i: one for batch in drafter.draft_batches(reports, GREEDY, batch_size) for i, one in batch.items()}
    return [drafts[i].draft for i in range(len(reports))]


def first_piece(drafter: Drafter, report: Report) -> str:
    """The first words that a reader sees."""
    return next(drafter.stream(report.findings))


def same_at_any_size(drafter: Drafter, reports: Sequence[Report]) -> bool:
    """Whether the drafts are the same at batch 1, 7 and 64."""
    one, seven, many = (draft_all(drafter, reports, size) for size in (1, 7, 64))
    return one == seven == many


def best_size(peer: Peer, reports: Sequence[Report]) -> int:
    """The batch size at which padded batches are fastest."""
    peer.padded(reports[:16], 16)
    return min(PADDED_SIZES, key=lambda size: time_of(peer.padded, reports, size))


def time_of(run: Callable[..., Any], *arguments: Any) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - began


def ratios_of(theirs: Sequence[float], ours: Sequence[float]) -> list[float]:
    """How many times faster we were, in each repeat."""
    return [their / our for their, our in zip(theirs, ours, strict=True)]


def percentiles_ms(seconds: Sequence[float]) -> tuple[float, float]:
    """The 50th and the 95th percentile, in milliseconds."""
    twentieths = statistics.quantiles(seconds, n=20)
    return round(1000 * twentieths[9], 1), round(1000 * twentieths[18], 1)


if __name__ == "__main__":
    main()
