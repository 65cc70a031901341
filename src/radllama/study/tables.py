"""The figures of a study as tables, for a terminal and for a page: `study.json` in, lines of cells out."""

from collections.abc import Mapping, Sequence
from typing import Any

from radllama.evaluation.measures import MEASURES

Study = Mapping[str, Any]
Row = list[str]


def figures_table(study: Study) -> list[Row]:
    """A row for each product of levels: how many runs, and each measure's mean over them with its interval."""
    lines = [[*study["axes"], "runs", *(f"{title(measure)} (95%)" for measure in study["measures"])]]
    for point in study["points"]:
        scores = [with_interval(point["scores"][m], m) if point["scores"] else "-" for m in study["measures"]]
        failed = f" ({len(point['failed'])} failed)" if point["failed"] else ""
        lines.append([*point["levels"], f"{point['runs']}{failed}", *scores])
    return lines


def comparisons_table(study: Study) -> list[Row]:
    """A row for each product of levels held against another: the difference in each measure, and the verdict."""
    lines = [[*study["axes"], "against", *(title(measure) for measure in study["measures"])]]
    rows: dict[tuple[str, ...], Row] = {}
    for row in study["comparisons"]:
        levels = tuple(row["levels"])
        line = rows.setdefault(levels, [*levels, " ".join(row["reference"])])
        line.append(_difference(row))
    return [*lines, *rows.values()] if rows else []


def costs_table(study: Study) -> list[Row]:
    """What training took, a row for each product of levels that was trained; empty where nothing was."""
    lines = [[*study["axes"], "trainable", "CPU s", "wall s", "memory MB", "weights MB"]]
    for point in study["points"]:
        if cost := point["cost"]:
            shown = [_number(cost, "cpu_seconds", 0), _number(cost, "seconds", 0), _number(cost, "above_mb", 0)]
            lines.append([*point["levels"], f"{cost['trainable']:,.0f}", *shown, _number(cost, "weights_mb", 2)])
    return lines if len(lines) > 1 else []


def observations_table(study: Study) -> list[Row]:
    """A row for each observation, the groups first: repeated and invented by each product of levels."""
    if not study["observations"]:
        return []
    points = [point for point in study["points"] if point["runs"]]
    at = [place for place, point in enumerate(study["points"]) if point["runs"]]
    names = [" ".join(point["levels"]) for point in points]
    lines = [["", "in training", "to repeat", *(f"{name}: repeated / invented" for name in names)]]
    for group, summaries in study["observations"]["groups"].items():
        shown = [summaries[place] for place in at]
        cells = [f"{with_interval(s['repeated'], 'repeated')} % / {_number(s['invented'], 'mean', 2)}" for s in shown]
        lines.append([f"all {group}", "", str(shown[0]["positive"]) if shown else "", *cells])
    for name, row in study["observations"]["each"].items():
        counts = [f"{row['points'][place][0]:g} / {row['points'][place][1]:g}" for place in at]
        lines.append([f"{name}{' (rare)' if row['rare'] else ''}", str(row["train"]), str(row["positive"]), *counts])
    return lines


def title(measure: str) -> str:
    """A measure as tables call it."""
    return MEASURES[measure].title


def with_interval(score: Mapping[str, Any], measure: str) -> str:
    """A figure with its interval, as tables show it: in percent where the measure is a share."""
    if score["mean"] is None:
        return "-"
    mean = _shown(score["mean"], measure)
    if score["ci95"] is None:
        return mean
    low, high = (_shown(bound, measure) for bound in score["ci95"])
    return f"{mean} ({low}-{high})"


def _difference(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return "-"
    signed = _shown(row["difference"], row["measure"])
    signed = signed if signed.startswith("-") else f"+{signed}"
    return f"{signed} {row['verdict']}" if row["verdict"] else signed


def _shown(value: float, measure: str) -> str:
    scale, digits = (100, 1) if MEASURES[measure].percent else (1, 2)
    return f"{round(scale * value, digits) + 0.0:.{digits}f}"  # + 0.0: a rounded zero has no minus


def _number(cost: Mapping[str, Any], name: str, digits: int) -> str:
    return "-" if cost.get(name) is None else f"{cost[name]:,.{digits}f}"


def render_markdown(lines: Sequence[Row]) -> str:
    """Cells as a table in Markdown."""
    head, *rows = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])
