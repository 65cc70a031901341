"""The plot of a study: a panel a measure, the last axis from left to right, a line for each level of the other one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from radllama.evaluation.measures import MEASURES

_WIDTH, _LEFT, _RIGHT, _TOP, _FLOOR = 380, 44, 14, 42, 194
_INNER, _DEEP = _WIDTH - _LEFT - _RIGHT, _FLOOR - _TOP
_LEGEND = 26
# Told apart by people who see few colours, and on paper by their marks (Okabe and Ito 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#000000")
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.t{font-weight:600}.a{fill:#555}"
    ".g{stroke:#ddd}.x{stroke:#888}.l{fill:none;stroke-width:1.5}.w{stroke-width:1.2}"
)
_MOST_STEPS = 5
_LETTER = 6.5  # about as wide as a letter


def render_plot(study: Mapping[str, Any]) -> str:
    """The figures of `study.json` as one SVG file without script: means, and intervals over seeds and reports."""
    measures = study["measures"]
    columns = 2 if len(measures) > 1 else 1
    rows = -(-len(measures) // columns)
    panel_height = _FLOOR + _below(list(study["axes"].values())[-1])
    width, height = columns * _WIDTH, round(rows * panel_height + _LEGEND)
    lines = _lines(study)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(study["title"], {chr(34): "&quot;"})}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        *_legend(list(lines), width),
    ]
    for at, measure in enumerate(measures):
        x, y = at % columns * _WIDTH, at // columns * panel_height + _LEGEND
        parts += [f'<g transform="translate({x} {y:.1f})">', *_panel(study, lines, measure), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


_Lines = dict[str, list[Mapping[str, Any] | None]]


def _lines(study: Mapping[str, Any]) -> _Lines:
    """The points of each line, in the order of the last axis; None where there is nothing to show."""
    *others, across = study["axes"].values()
    found = {tuple(point["levels"]): point for point in study["points"] if point["scores"]}
    names = others[0] if others else [""]
    return {name: [found.get((name, level) if others else (level,)) for level in across] for name in names}


def _legend(names: Sequence[str], width: int) -> Iterator[str]:
    if len(names) < 2:
        return
    step = min(190, (width - _LEFT) // len(names))
    for at, name in enumerate(names):
        x = _LEFT + at * step
        yield _mark(x, 16, at)
        yield f'<text x="{x + 10}" y="20">{escape(name)}</text>'


def _panel(study: Mapping[str, Any], lines: _Lines, measure: str) -> Iterator[str]:
    axis, across = list(study["axes"].items())[-1]
    scale = 100 if MEASURES[measure].percent else 1
    known = [p["scores"][measure] for line in lines.values() for p in line if p and p["scores"][measure]["ci95"]]
    top = _round_up(max((scale * score["ci95"][1] for score in known), default=1.0))
    better = {"high": "higher is better", "low": "lower is better", "neither": ""}[MEASURES[measure].better]
    percent = ", %" if MEASURES[measure].percent else ""
    yield f'<text class="t" x="{_LEFT}" y="20">{escape(MEASURES[measure].title)}{percent}</text>'
    yield f'<text class="a" x="{_WIDTH - _RIGHT}" y="20" text-anchor="end">{better}</text>'
    for step in range(_MOST_STEPS + 1):
        value = top * step / _MOST_STEPS
        y = _FLOOR - _DEEP * step / _MOST_STEPS
        yield f'<line class="g" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="a" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    places = [_LEFT + _INNER * (at + 0.5) / len(across) for at in range(len(across))]
    yield from _labels(axis, across, places)
    ordered = all(level.replace(".", "", 1).isdigit() or level == "all" for level in across)
    for number, line in enumerate(lines.values()):
        # Beside each other, so that one interval does not hide another.
        shift = 9 * (number - (len(lines) - 1) / 2)
        colour = _COLOURS[number % len(_COLOURS)]
        dots = []
        for place, point in zip(places, line, strict=True):
            score = point["scores"][measure] if point else None
            if score and score["mean"] is not None:
                x, y = place + shift, _FLOOR - _DEEP * scale * score["mean"] / top
                dots.append((x, y))
                if score["ci95"]:
                    low, high = (_FLOOR - _DEEP * scale * bound / top for bound in score["ci95"])
                    reach = f'x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"'
                    yield f'<line class="w" stroke="{colour}" {reach}/>'
        if ordered and len(dots) > 1:
            through = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
            yield f'<polyline class="l" stroke="{colour}" points="{through}"/>'
        yield from (_mark(x, y, number) for x, y in dots)


def _labels(axis: str, across: Sequence[str], places: Sequence[float]) -> Iterator[str]:
    tilted = _is_tight(across)
    for place, level in zip(places, across, strict=True):
        below = _FLOOR + (12 if tilted else 16)
        turn = f'text-anchor="end" transform="rotate(-30 {place:.1f} {below})"' if tilted else 'text-anchor="middle"'
        yield f'<text x="{place:.1f}" y="{below}" {turn}>{escape(level)}</text>'
    y = _FLOOR + _below(across) - 12
    yield f'<text class="a" x="{_LEFT + _INNER / 2:.1f}" y="{y:.1f}" text-anchor="middle">{escape(axis)}</text>'


def _is_tight(across: Sequence[str]) -> bool:
    return _LETTER * max(map(len, across)) > _INNER / len(across)


def _below(across: Sequence[str]) -> float:
    """The height under the floor of a panel: tilted labels need half their length."""
    return 40 + (0.5 * _LETTER * max(map(len, across)) if _is_tight(across) else 6)


def _mark(x: float, y: float, number: int) -> str:
    """A dot, a square or a diamond: lines are told apart without colour too."""
    colour = _COLOURS[number % len(_COLOURS)]
    if number % 3 == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if number % 3 == 2 else ""
    return f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" fill="{colour}"{turn}/>'


def _round_up(value: float) -> float:
    """The least round number that is not below: the top of a scale of five steps."""
    for top in (0.5, 1, 2.5, 5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 100):
        if value <= top:
            return float(top)
    return value
