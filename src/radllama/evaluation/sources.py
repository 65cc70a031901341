"""One system on several test sets -> a table of them, and how far it drops away from the first.

A model that was tuned on one hospital's reports meets others. Each set is evaluated by itself, as any drafts file is,
into a folder of its own; here they stand side by side. The sets hold different reports, so their differences are not
paired: both are resampled, each by itself.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from radllama import stats
from radllama.errors import InputError
from radllama.evaluation import html
from radllama.evaluation.evaluate import PER_REPORT_FILE, REPORT_FILE, SCORES_FILE, Scoring, evaluate
from radllama.evaluation.folder import open_folder, unwritable
from radllama.evaluation.measures import FAITHFULNESS, MEASURES
from radllama.evaluation.scores import number, numbers
from radllama.evaluation.tables import align, percent, with_interval
from radllama.files import read_jsonl, write_aside, write_json
from radllama.run import RUN_FILE, write_run

_PLAINLY = Scoring()
# Shown side by side; the file has all measures.
SHOWN = (*FAITHFULNESS, "rouge1")


def parse_sets(arguments: Sequence[str]) -> dict[str, Path]:
    """`--drafts` arguments, each PATH or NAME=PATH, by name: a path alone is called by its file's name.

    Raises InputError for a name that is given twice or cannot be a folder.
    """
    sets: dict[str, Path] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not equals or Path(argument).exists():
            name, path = Path(argument).stem, argument
        if not name or name in (".", "..") or not set(name).isdisjoint("/\\\0"):
            raise InputError(f"--drafts {argument!r}: {name!r} cannot name a folder of results; give NAME=PATH")
        if name in sets:
            raise InputError(f"--drafts: two test sets are called {name!r}; give each a name as NAME=PATH")
        sets[name] = Path(path)
    return sets


def evaluate_sources(sets: Mapping[str, Path], out: Path, scoring: Scoring = _PLAINLY) -> dict[str, Any]:
    """Evaluate each drafts file into `out`/NAME and all of them into `out`; return what `scores.json` there holds.

    That is {home, sets, notes}: `home` is the name of the first set, and each of `sets` has the `system`, `overall`,
    `strata` and `trivial` of its own `scores.json`, and `drop`: what the system scores less than at home, for each
    measure {mean, ci95} (above 0: it scores lower here), the home's own being null. Raises InputError as `evaluate`.
    """
    open_folder(out)
    seed, resamples = scoring.seed, scoring.resamples
    scores = {name: evaluate(path, out / name, scoring) for name, path in sets.items()}
    home = next(iter(sets))
    measures = [*MEASURES, *(scorer.title for scorer in scoring.scorers)]
    values = {name: read_values(out / name / PER_REPORT_FILE, measures) for name in sets}
    table: dict[str, Any] = {
        "home": home,
        "sets": {
            name: {
                **{key: scores[name][key] for key in ("system", "overall", "strata", "trivial")},
                "drop": None if name == home else _drop(values[home], values[name], measures, seed, resamples),
            }
            for name in sets
        },
        "notes": [
            f"The drop is {home} less the other set: of different reports, so its interval is wider than a paired one. "
            f"It is the middle 95% of {resamples} differences of bootstrap samples, seed {seed}.",
            "A drop of the system alone says little: where the trivial rows drop as far, the reports are harder or "
            "worded otherwise. The constant and nearest rows come from the training data for every set.",
            f"Strata, flags and drafts of each set stand in {', '.join(f'{name}/{REPORT_FILE}' for name in sets)}.",
        ],
    }
    try:
        with write_aside(out / REPORT_FILE) as file:
            file.write(html.render_sources(table, measures={name: MEASURES[name] for name in SHOWN}))
        write_json(out / SCORES_FILE, table)
        settings = {"drafts": {name: str(path) for name, path in sets.items()}, **scoring.settings()}
        write_run(out / RUN_FILE, "evaluate", settings, scored={name: len(part) for name, part in values.items()})
    except OSError as error:
        raise unwritable(out, error) from None
    return table


def render_sources(table: Mapping[str, Any]) -> str:
    """The table for a terminal: the sets, what the system drops by, the trivial rows' wording, the notes."""
    titles = [MEASURES[measure].title for measure in SHOWN]
    lines = [["", "n", *(f"{title} (95%)" for title in titles)]]
    drops = [["", *titles]]
    rows = list(dict.fromkeys(row for part in table["sets"].values() for row in part["trivial"]))
    others = [["", "system", *rows]]
    for name, part in table["sets"].items():
        overall = part["overall"]
        lines.append([name, str(overall["n"]), *(with_interval(overall, measure) for measure in SHOWN)])
        if part["drop"] is not None:
            drops.append([name, *(_rendered_drop(part["drop"][measure]) for measure in SHOWN)])
        trivial = [part["trivial"][row]["overall"]["rouge1"] if row in part["trivial"] else None for row in rows]
        others.append([name, percent(overall["rouge1"]), *map(percent, trivial)])
    blocks = [
        f"{next(iter(table['sets'].values()))['system']} on {len(table['sets'])} test sets, in percent",
        align(lines),
        f"What it loses against {table['home']} (95%); above 0 is less there",
        align(drops),
        "ROUGE-1 beside the trivial rows",
        align(others),
    ]
    return "\n\n".join([*blocks, *table["notes"]])


def _rendered_drop(drop: dict[str, Any]) -> str:
    if drop["ci95"] is None:
        return "-"
    mean, low, high = (f"{100 * value + 0.0:+.1f}" for value in (drop["mean"], *drop["ci95"]))
    return f"{mean} ({low} to {high})"


def _drop(home: stats.Ratios, other: stats.Ratios, names: Sequence[str], seed: int, resamples: int) -> dict[str, Any]:
    # Another seed for the other set: the same one would draw the same places in both, which belong to nobody.
    drawn = stats.bootstrap(home, resamples, seed) - stats.bootstrap(other, resamples, seed + 1)
    difference, bounds = home.scores() - other.scores(), stats.interval(drawn)
    return {name: {"mean": number(difference[at]), "ci95": numbers(bounds[:, at])} for at, name in enumerate(names)}


def read_values(per_report: Path, names: Sequence[str]) -> stats.Ratios:
    """What each report adds to each of the measures, from a `per_report.jsonl`: [numerator, denominator] or a value."""
    pairs = [
        [value if isinstance(value := row[name], list) else [value, 1] for name in names]
        for _, row in read_jsonl(per_report)
    ]
    table = np.array(pairs, dtype=np.float64)
    return stats.Ratios(table[:, :, 0], table[:, :, 1])
