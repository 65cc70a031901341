"""Drafts of several systems on the same reports -> which of them differ, and by how much.

Every pair of systems is held against each other by every asked metric, overall and in each stratum. Each
difference has a paired bootstrap interval and a p-value by approximate randomisation. All the p-values of a
comparison are one family, corrected after Holm: whoever reads the whole table for what differs, as people do,
is misled by chance at most once in twenty tables. What does not pass is called "not different".
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np

from radllama import stats
from radllama.errors import InputError
from radllama.evaluation.drafts import Case, Drafts, read_drafts
from radllama.evaluation.folder import open_folder, unwritable
from radllama.evaluation.measures import MEASURES, Scored, score_drafts
from radllama.evaluation.normality import NORMAL_NOTE
from radllama.evaluation.prior import read_train
from radllama.evaluation.scores import number, numbers, summarise_rows
from radllama.evaluation.strata import Mask, is_main, strata, title
from radllama.evaluation.tables import align, render_rows
from radllama.files import hash_file, write_json
from radllama.run import RUN_FILE, write_run
from radllama.text import normalise, words

__all__ = ["compare", "render_comparison"]

COMPARE_FILE = "compare.json"
NOT_DIFFERENT = "not different"
NOTHING_TO_COMPARE = "no such report"
LEVEL = 0.05


def compare(
    drafts: Sequence[Path],
    out: Path | None = None,
    train: Path | None = None,
    metrics: Sequence[str] = ("rouge1",),
    common: bool = False,
    seed: int = 0,
    resamples: int = stats.RESAMPLES,
    permutations: int = stats.PERMUTATIONS,
) -> dict[str, Any]:
    """Hold two or more drafts files against each other; write `compare.json` and `run.json` into `out`, if given.

    The systems are called A, B, C ... in the order of the files. Returns what `compare.json` holds: `systems`
    ({letter: {system, drafts, overall, strata, ...}}, summaries as in `scores.json`), `comparisons` (each
    {a, b, metric, stratum, n, difference (a less b), ci95, p, p_holm, verdict}) and `notes`. `train` is the
    dataset the systems were tuned on, for the strata of findings seen there. With `common`, reports that
    one of the files lacks are left out and counted.

    Raises InputError for files that cannot be scored, that hold different reports (unless `common`) or other
    references or findings for one report, for an unknown metric, and when `out` cannot be written.
    """
    metrics = list(dict.fromkeys(metrics))
    if unknown := [metric for metric in metrics if metric not in MEASURES]:
        raise InputError(f"no metric {unknown[0]!r}; there are {', '.join(MEASURES)}")
    if not 2 <= len(drafts) <= len(ascii_uppercase):
        raise InputError(f"compare: give from 2 to {len(ascii_uppercase)} drafts files, got {len(drafts)}")
    files = {letter: read_drafts(path) for letter, path in zip(ascii_uppercase, drafts, strict=False)}
    paths = dict(zip(files, drafts, strict=True))
    cases = _align_cases(files, paths, common)
    first = cases["A"]
    prior = None if train is None else read_train(train, first, drafts[0])
    if out is not None:
        open_folder(out)

    with_findings = sum(case.findings is not None for case in first)
    # Strata of one observation or source are many and small: to test each would make nothing pass.
    masks = {name: mask for name, mask in strata(first, prior).items() if is_main(name)}
    scored = {letter: score_drafts(theirs, [case.draft for case in theirs]) for letter, theirs in cases.items()}
    summaries = summarise_rows(scored, masks, seed, resamples)
    most_tests = len(list(combinations(files, 2))) * len(metrics) * (1 + len(masks))
    # The smallest p there can be must pass a correction for all of them, or nothing ever could.
    permutations = max(permutations, round(10 * most_tests / LEVEL))
    comparisons = _comparisons(scored, masks, metrics, seed, resamples, permutations)
    family = sum(row["p"] is not None for row in comparisons)
    left_out = {letter: len(files[letter].cases) - len(first) for letter in files}
    comparison: dict[str, Any] = {
        "n": len(first),
        "systems": {
            letter: {
                "system": files[letter].system,
                "drafts": str(paths[letter]),
                "missing_references": files[letter].missing_references,
                "left_out": left_out[letter],
                "overall": summaries[letter].pop("overall"),
                "strata": summaries[letter],
            }
            for letter in files
        },
        "comparisons": comparisons,
        "notes": [
            *_notes_on_reports(files, left_out, len(first), with_findings, train),
            f"Differences are paired, their intervals the middle 95% of {resamples} bootstrap samples of the reports "
            f"(not corrected). p is two-sided, by approximate randomisation ({permutations} exchanges of drafts); "
            f"p (Holm) is corrected for all {family} tests here (pairs x metrics x strata) as one family, and below "
            f"{LEVEL} two systems are called different. Seed {seed}.",
            f'"{NOT_DIFFERENT.capitalize()}" says that these reports do not show a difference, not that there is none.',
        ],
    }
    if out is not None:
        try:
            write_json(out / COMPARE_FILE, comparison)
            write_run(
                out / RUN_FILE,
                "compare",
                {
                    "drafts": [str(path) for path in drafts],
                    "train": None if train is None else str(train),
                    "metrics": metrics,
                    "common": common,
                    "seed": seed,
                    "resamples": resamples,
                    "permutations": permutations,
                },
                drafts_sha256=[hash_file(path) for path in drafts],
                train_sha256=None if train is None else hash_file(train / "train.jsonl"),
                scored=len(first),
                left_out=left_out,
            )
        except OSError as error:
            raise unwritable(out, error) from None
    return comparison


def _align_cases(files: dict[str, Drafts], paths: dict[str, Path], common: bool) -> dict[str, list[Case]]:
    """The cases of each file, all of the same reports in the order of their ids, with one reference for each."""
    by_id = {letter: {case.id: case for case in file.cases} for letter, file in files.items()}
    everyone = set().union(*by_id.values())
    shared = sorted(everyone.intersection(*by_id.values()))
    if not shared:
        raise InputError(f"{_listed(paths)}: no report has a draft and a reference in all of them")
    if len(shared) < len(everyone) and not common:
        lacks = [f"{paths[letter]} lacks {len(everyone) - len(ours)}" for letter, ours in by_id.items()]
        lacking = [text for text, ours in zip(lacks, by_id.values(), strict=True) if len(ours) < len(everyone)]
        raise InputError(
            f"not the same reports: of {len(everyone)} with a reference, {', '.join(lacking)}; add these (a line "
            f"without a draft counts as empty), or compare the {len(shared)} that all have with --common"
        )
    agreed = {
        field: _agree([[getattr(ours[identity], field) for identity in shared] for ours in by_id.values()])
        for field in ("reference", "findings")
    }
    for field, texts in agreed.items():
        differ = [identity for identity, (_, same) in zip(shared, texts, strict=True) if not same]
        if differ:
            raise InputError(
                f"{_listed(paths)}: {len(differ)} reports have not the same {field} in all of them (the first: id "
                f"{differ[0]!r}); compare drafts of the same reports"
            )
    return {
        letter: [
            replace(ours[identity], reference=reference or "", findings=findings)
            for identity, (reference, _), (findings, _) in zip(
                shared, agreed["reference"], agreed["findings"], strict=True
            )
        ]
        for letter, ours in by_id.items()
    }


def _agree(columns: list[list[str | None]]) -> list[tuple[str | None, bool]]:
    """For each report the text that stands for that of all files, and whether they say the same in words.

    A file may not tell a text; and whoever exported it may have changed case, spaces and punctuation. Which of
    the wordings stands for all does not depend on the order of the files.
    """
    agreed = []
    for texts in zip(*columns, strict=True):
        known = [text for text in texts if text is not None]
        spoken = {text: normalise(text) for text in known if words(text)}
        # Capitals sort first: they tell where a sentence begins, and a text in lower case has lost that.
        agreed.append((min(spoken or known, default=None), len(set(spoken.values())) <= 1))
    return agreed


def _comparisons(
    scored: dict[str, Scored],
    masks: dict[str, Mask],
    metrics: list[str],
    seed: int,
    resamples: int,
    permutations: int,
) -> list[dict[str, Any]]:
    pairs = list(combinations(scored, 2))
    columns = [list(MEASURES).index(metric) for metric in metrics]
    rows: list[dict[str, Any]] = []
    for stratum, mask in {"overall": np.ones(len(scored["A"]), dtype=bool), **masks}.items():
        # All pairs and metrics side by side: one set of drawn reports and one of exchanges serves them all.
        ours = stats.Ratios.beside([scored[a].values.reports(mask).columns(columns) for a, _ in pairs])
        theirs = stats.Ratios.beside([scored[b].values.reports(mask).columns(columns) for _, b in pairs])
        differences, bounds = stats.paired_difference(ours, theirs, resamples, seed)
        p_values = stats.randomisation_p(ours, theirs, permutations, seed)
        rows += [
            {
                "a": a,
                "b": b,
                "metric": metric,
                "stratum": stratum,
                "n": len(ours),
                "difference": number(differences[at]),
                "ci95": numbers(bounds[:, at]),
                # What no report has a say in is no test, so it does not make the others harder to pass.
                "p": float(p_values[at]) if np.isfinite(differences[at]) else None,
            }
            for at, ((a, b), metric) in enumerate((pair, metric) for pair in pairs for metric in metrics)
        ]
    tested = [row for row in rows if row["p"] is not None]
    for row in rows:
        row |= {"p_holm": None, "verdict": NOTHING_TO_COMPARE}
    for row, p_holm in zip(tested, stats.holm(np.array([row["p"] for row in tested])).tolist(), strict=True):
        higher = row["a"] if row["difference"] > 0 else row["b"]
        row |= {"p_holm": p_holm, "verdict": f"{higher} higher" if p_holm < LEVEL else NOT_DIFFERENT}
    # Shown and written pair by pair; the sort keeps the strata in their order.
    return sorted(rows, key=lambda row: (row["a"], row["b"], metrics.index(row["metric"])))


def _notes_on_reports(
    files: dict[str, Drafts], left_out: dict[str, int], shared: int, with_findings: int, train: Path | None
) -> list[str]:
    missing = {letter: file.missing_references for letter, file in files.items()}
    notes = [
        f"{shared} reports are in all files. Left out: without a reference {_counts(missing)}; not in every file "
        f"{_counts(left_out)}. An empty draft scores 0."
    ]
    if any(left_out.values()):
        notes.append("A system that did not draft what is hard looks better on the reports that all have in common.")
    if with_findings < shared:
        notes.append(
            f"The findings of {shared - with_findings} of {shared} reports are not told, so the strata of findings "
            "seen in training and those of length are absent."
        )
    elif train is None:
        notes.append("No training data was given (--train), so the strata of findings seen in training are absent.")
    return [*notes, NORMAL_NOTE]


def render_comparison(comparison: dict[str, Any]) -> str:
    """`compare.json` for a terminal: the systems, then each pair with its verdicts by stratum, then the notes."""
    systems = comparison["systems"]
    # The end of a path says more than its beginning.
    parts = [render_rows([(f"{letter}  {part['system'][-20:]}", part["overall"]) for letter, part in systems.items()])]
    blocks: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in comparison["comparisons"]:
        blocks.setdefault((row["a"], row["b"], row["metric"]), []).append(row)
    for (a, b, metric), rows in blocks.items():
        scale, digits = (100, 1) if MEASURES[metric].percent else (1, 2)
        lines = [["", "n", a, b, f"{a} - {b} (95%)", "p", "p (Holm)", ""]]
        for row in rows:
            overall = row["stratum"] == "overall"
            means = [
                (part["overall"] if overall else part["strata"][row["stratum"]])[metric]
                for part in (systems[a], systems[b])
            ]
            lines.append(
                [
                    "all reports" if overall else title(row["stratum"]),
                    str(row["n"]),
                    *("-" if mean is None else f"{scale * mean:.{digits}f}" for mean in means),
                    _rendered_difference(row, scale, digits),
                    _rendered_p(row["p"]),
                    _rendered_p(row["p_holm"]),
                    row["verdict"],
                ]
            )
        times = " x 100" if MEASURES[metric].percent else ""
        parts += [f"{a} against {b}; {MEASURES[metric].title}{times}", align(lines)]
    return "\n\n".join([*parts, *comparison["notes"]])


def _rendered_difference(row: dict[str, Any], scale: int, digits: int) -> str:
    if row["difference"] is None:
        return "-"
    apart, low, high = (_signed(scale * value, digits) for value in (row["difference"], *row["ci95"]))
    return f"{apart} ({low} to {high})"


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}"  # + 0.0: a rounded zero has no minus


def _rendered_p(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if value >= 0.0001 else "<0.0001"


def _listed(paths: dict[str, Path]) -> str:
    return ", ".join(map(str, paths.values()))


def _counts(by_letter: dict[str, int]) -> str:
    return ", ".join(f"{letter} {count}" for letter, count in by_letter.items())
