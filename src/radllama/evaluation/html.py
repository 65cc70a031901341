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

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

BINS = 20
# A list number (only at the beginning, or behind the end of a sentence: "1. 6 mm nodule"), blanks, a word, a sign.
_TOKEN = re.compile(r"^\d{1,2}\.(?=\s)|(?<=[.?!:;]\s)\d{1,2}\.(?=\s)|\s+|\w+(?:[.'-]\w+)*|[^\w\s]")
_WORD = re.compile(r"\w(?!\d?\.$)")


def render_evaluation(
    scores: dict[str, Any],
    *,
    metrics: Mapping[str, tuple[str, bool]],
    rows: Mapping[str, str],
    strata: Mapping[str, str],
    rouge1: Mapping[str, Sequence[float]],
    worst: Sequence[dict[str, Any]],
    sample: Sequence[dict[str, Any]],
) -> str:
    """The report of an evaluation as one HTML file.

    `scores` is what `scores.json` holds. `metrics` names each metric and whether it is shown times 100;
    `rows` (the system first) and `strata` map keys of `scores` to titles; `rouge1` has every report's score
    for each row. `worst` and `sample` are drafts to show: id, findings, reference, draft, nearest, rouge1, strata.
    """
    return (
        _environment()
        .get_template("evaluation.html.j2")
        .render(
            scores=scores,
            metrics=metrics,
            rows=rows,
            strata=strata,
            histograms={row: share_in_bins(values) for row, values in rouge1.items()},
            lists={"worst": worst, "sample": sample},
        )
    )


def share_in_bins(values: Sequence[float], bins: int = BINS) -> list[float]:
    """The share of `values` (each in 0..1) in each of `bins` equal bins; 1.0 falls into the last."""
    counts = [0] * bins
    for value in values:
        counts[min(int(value * bins), bins - 1)] += 1
    return [count / len(values) for count in counts]


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
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("radllama.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["fixed"] = _fixed
    environment.globals["mark_differences"] = mark_differences
    return environment
