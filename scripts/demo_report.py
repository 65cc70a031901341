"""What the rehearsal measured, as rehearsal.json and rehearsal.md."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from demo_reader import ACT_S, DICTATING_WPM, READING_WPM, TYPING_WPM, Reading

from radllama.files import write_aside, write_json
from radllama.stats import Ratios, bootstrap, interval, paired_difference

VERDICTS = ("accepted", "edited", "rejected", "no draft")


def write_report(out: Path, readings: Mapping[str, Sequence[Reading]], facts: Mapping[str, Any]) -> str:
    """Write both files; returns the text."""
    first, second = readings.values()
    figures: dict[str, Any] = {name: _summarise(rows) for name, rows in readings.items()}
    changes = {name: _difference(first, second, name) for name in ("edits", "seconds")}
    saved = {name: _difference_of_time(rows) for name, rows in readings.items()}
    write_json(
        out / "rehearsal.json",
        {
            "facts": dict(facts),
            "reader": {
                "reading_wpm": READING_WPM,
                "typing_wpm": TYPING_WPM,
                "dictating_wpm": DICTATING_WPM,
                "act_s": ACT_S,
            },
            "models": figures,
            "second_minus_first": changes,
            "with_minus_without_draft_s": saved,
            "readings": {name: [asdict(one) for one in rows] for name, rows in readings.items()},
        },
    )
    text = _render(figures, changes, saved, facts, len(first))
    with write_aside(out / "rehearsal.md") as file:
        file.write(text)
    return text


def _summarise(rows: Sequence[Reading]) -> dict[str, Any]:
    shares = {verdict: sum(one.verdict == verdict for one in rows) / len(rows) for verdict in VERDICTS}
    means = {
        name: _mean([float(getattr(one, name)) for one in rows]) for name in ("edits", "seconds", "seconds_without")
    }
    return {"reports": len(rows), "share": shares, **means}


def _mean(values: Sequence[float]) -> dict[str, Any]:
    ratios = _ratios(values)
    return {"mean": round(float(ratios.scores()[0]), 2), "ci95": _round(interval(bootstrap(ratios, 2000))[:, 0])}


def _difference(first: Sequence[Reading], second: Sequence[Reading], name: str) -> dict[str, Any]:
    return _paired([float(getattr(one, name)) for one in second], [float(getattr(one, name)) for one in first])


def _difference_of_time(rows: Sequence[Reading]) -> dict[str, Any]:
    return _paired([one.seconds for one in rows], [one.seconds_without for one in rows])


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    change, bounds = paired_difference(_ratios(ours), _ratios(theirs), 2000)
    return {"mean": round(float(change[0]), 2), "ci95": _round(bounds[:, 0])}


def _ratios(values: Sequence[float]) -> Ratios:
    column = np.array(values, dtype=np.float64)[:, None]
    return Ratios(column, np.ones_like(column))


def _round(bounds: Any) -> list[float]:
    return [round(float(one), 2) for one in bounds]


def _render(
    figures: Mapping[str, Any], changes: Mapping[str, Any], saved: Mapping[str, Any], facts: Mapping[str, Any], n: int
) -> str:
    names = list(figures)
    lines = [
        "# A rehearsal at the sample hospital",
        "",
        f"{n} reports of patients whom neither model had seen, drafted by both. The reader is a model "
        "(scripts/demo_reader.py), not a person: no figure here is a measurement of radiologists.",
        "",
        "| | without drafts | " + " | ".join(names) + " |",
        "|---|---|" + "---|" * len(names),
        *(
            f"| {verdict} | | " + " | ".join(f"{100 * figures[name]['share'][verdict]:.0f}%" for name in names) + " |"
            for verdict in VERDICTS
        ),
        "| words to change a report | | " + " | ".join(_told(figures[name]["edits"]) for name in names) + " |",
        f"| seconds a report | {_told(figures[names[0]]['seconds_without'])} | "
        + " | ".join(_told(figures[name]["seconds"]) for name in names)
        + " |",
        "| seconds, against none | | " + " | ".join(_told(saved[name]) for name in names) + " |",
        "",
        f"Second against first: {_told(changes['edits'])} words to change, {_told(changes['seconds'])} seconds a "
        "report (95% intervals, paired bootstrap over reports).",
        "",
        f"The first model was tuned on {facts['archive']} archived reports, the second on these and "
        f"{facts['feedback']} that the reader had accepted or edited. While it was tuned and swapped in, "
        f"{facts['requests_during_training_and_swap']} requests came by HL7 and FHIR; {facts['failed']} failed. "
        "Answered by: "
        + ", ".join(f"{name} {count}" for name, count in facts["answered_by"].items())
        + f". All of it took {facts['minutes']} minutes.",
        "",
        f"The reader reads {READING_WPM:.0f} words a minute (Brysbaert 2019), types {TYPING_WPM:.0f} "
        f"(Dhakal et al. 2018), dictates {DICTATING_WPM:.0f} (assumed) and takes {ACT_S} s an act (assumed); accepts "
        "what is word for word what it would sign; else edits or dictates anew, whichever is quicker; and overlooks "
        "nothing.",
        "",
    ]
    return "\n".join(lines)


def _told(value: Mapping[str, Any]) -> str:
    low, high = value["ci95"]
    return f"{value['mean']:.1f} ({low:.1f} to {high:.1f})"
