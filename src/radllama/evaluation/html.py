"""HTML that stands alone: one file, no script, nothing fetched, every text escaped.

Plots are inline SVG in percent of their box, so that they fit a phone without their lines or words shrinking;
the templates draw them from the few numbers that are worked out here.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from functools import cache
from itertools import groupby
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

BINS = 20
# A list number (only at the beginning, or behind the end of a sentence: "1. 6 mm nodule"), blanks, a word, a sign.
_TOKEN = re.compile(r"^\d{1,2}\.(?=\s)|(?<=[.?!:;]\s)\d{1,2}\.(?=\s)|\s+|\w+(?:[.'-]\w+)*|[^\w\s]")
_WORD = re.compile(r"\w(?!\d?\.$)")


def render_evaluation(
    scores: dict[str, Any],
    *,
    measures: Mapping[str, Any],
    families: Mapping[str, Sequence[str]],
    rows: Mapping[str, str],
    strata: Mapping[str, str],
    main_strata: Sequence[str],
    histograms: Mapping[str, Sequence[float]],
    curve: Sequence[Mapping[str, float]] | None,
    harmful: Sequence[Mapping[str, Any]],
    counts: Mapping[str, int],
    sample: Sequence[Mapping[str, Any]],
) -> str:
    """The report of an evaluation as one HTML file.

    `scores` is what `scores.json` holds. `measures` has title, percent, better and per of each measure by its name,
    `families` the names of those that are shown together; `rows` (the system first) and `strata` map keys of `scores`
    to titles; `main_strata` are those of every evaluation. `histograms` has each row's shares of ROUGE-1 in bins,
    `curve` the validations of the training. `harmful` and `sample` are drafts to show: id, findings, reference, draft,
    nearest, rouge1, strata, flags (kind, message), omitted and invented observations. `counts`: how many drafts have
    something grave against them, of how many with known findings.
    """
    template = make_environment().get_template("evaluation.html.j2")
    return template.render(
        scores=scores,
        measures=measures,
        families=families,
        rows=rows,
        strata=strata,
        main_strata=main_strata,
        histograms=histograms,
        curve=curve,
        lists={"harmful": harmful, "sample": sample},
        counts=counts,
    )


def render_sources(table: Mapping[str, Any], *, measures: Mapping[str, Any]) -> str:
    """The page of a system on several test sets: `table` is what its `scores.json` holds, `measures` those to show."""
    return make_environment().get_template("sources.html.j2").render(table=table, measures=measures)


def share_in_bins(values: Sequence[float], bins: int = BINS) -> list[float]:
    """The share of `values` (each in 0..1) in each of `bins` equal bins; 1.0 falls into the last."""
    counts = [0] * bins
    for value in values:
        counts[min(int(value * bins), bins - 1)] += 1
    return [count / len(values) for count in counts]


def line_through(points: Sequence[Mapping[str, float]], name: str) -> str:
    """The `points` of an SVG polyline in a box of 100 by 100: `name` over step, from its least value to its most."""
    known = [(point["step"], point[name]) for point in points if name in point]
    first, last = known[0][0], known[-1][0]
    low, high = min(value for _, value in known), max(value for _, value in known)
    return " ".join(
        f"{100 * (step - first) / ((last - first) or 1):.2f},{95 - 90 * (value - low) / ((high - low) or 1):.2f}"
        for step, value in known
    )


def mark_differences(text: str, other: str, kind: str) -> Markup:
    """`text`, escaped, with the words that do not stand in `other`, in this order, as `<mark class="{kind}">`.

    Words are compared without case; punctuation and the numbers of a list are not compared at all.
    """
    tokens = _TOKEN.findall(text)
    places = [at for at, token in enumerate(tokens) if _WORD.match(token)]
    ours = [tokens[at].lower() for at in places]
    theirs = [token.lower() for token in _TOKEN.findall(other) if _WORD.match(token)]
    alike: set[int] = set()
    for block in SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        alike.update(range(block.a, block.a + block.size))
    pieces, written = [], 0
    for differs, group in groupby(range(len(places)), key=lambda word: word not in alike):
        if differs:
            # From the first to the last word of a run, with what stands between: one mark a phrase.
            run = [places[word] for word in group]
            pieces.append(escape("".join(tokens[written : run[0]])))
            phrase = "".join(tokens[run[0] : run[-1] + 1])
            pieces.append(Markup('<mark class="{}">{}</mark>').format(kind, phrase))
            written = run[-1] + 1
    pieces.append(escape("".join(tokens[written:])))
    return Markup("").join(pieces)


def _fixed(value: float | None, digits: int = 1) -> str:
    if value is None:
        return "\u2013"
    # A rounded zero has no sign, and the minus is the typographic one.
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\u2212")


@cache
def make_environment(package: str = "radllama.evaluation") -> Environment:
    """Templates of a package, with those of this one behind them: every page has one look, one way to draw."""
    packages = dict.fromkeys((package, "radllama.evaluation"))
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["fixed"] = _fixed
    environment.filters["line"] = line_through
    environment.globals["mark_differences"] = mark_differences
    return environment
