"""How many reports and raters a difference needs: the chance that a study of a size finds it, by simulation.

Two systems are judged on the same reports, each by the same k raters. A judgement is the system's mean and what the
report, the draft, the rater and the moment add to it; the answer is the step of the scale next to it. The test is the
one of `review analyse`: Wilcoxon's, on the mean difference of each report. What a report or a rater adds is the same
for both drafts and cancels; what a draft adds does not, however many raters judge it. So more raters take away only
what the moment adds, and more reports always help.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from radllama.errors import InputError
from radllama.evaluation.tables import align
from radllama.review.analysis.frame import read_frame
from radllama.review.analysis.model import fit_model
from radllama.review.latent import expected_step
from radllama.review.ratings import Export
from radllama.stats import Array

SIMULATIONS = 1000
REPORTS = (10, 20, 30, 40, 60, 80, 100, 150, 200, 300)
MOST_REPORTS = 2000
LEVEL = 0.05
SCALE = (1.0, 2.0, 3.0, 4.0, 5.0)
SHARES = (0.0, 1.0)
_ANSWERS_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations, in steps of the scale: what a report, a draft, a rater and the moment add."""

    report: float = 0.4
    draft: float = 0.6
    rater: float = 0.4
    rest: float = 0.6

    @property
    def whole(self) -> float:
        """The standard deviation of a judgement of one system."""
        return float(np.sqrt(sum(part**2 for part in asdict(self).values())))


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be found: a `difference` of mean answers above `base`, on a scale of `steps` (0 and 1: of shares)."""

    difference: float
    base: float = 3.5
    steps: tuple[float, ...] = SCALE


def find_centres(question: Question, spread: Spread) -> tuple[float, float]:
    """The means of judgements at which the mean answers are `base` and `base + difference`.

    They lie further apart than the answers do: at the ends of the scale there is no further step. Raises InputError
    where no such means exist.
    """
    from scipy.optimize import brentq

    low, high = question.steps[0], question.steps[-1]
    wanted = (question.base, question.base + question.difference)
    if not low < min(wanted) <= max(wanted) < high:
        raise InputError(
            f"a mean of {wanted[0]:g} and one of {wanted[1]:g} do not both lie between {low:g} and {high:g}; give "
            "another base or a smaller difference"
        )
    reach = 10 * spread.whole + 1
    first, second = (
        float(
            brentq(
                lambda centre, target=target: float(expected_step(centre, spread.whole, question.steps)) - target,
                low - reach,
                high + reach,
            )
        )
        for target in wanted
    )
    return first, second


def simulate_power(
    question: Question,
    spread: Spread,
    reports: int,
    raters: int,
    tests: int = 1,
    simulations: int = SIMULATIONS,
    seed: int = 0,
) -> float:
    """The share of simulated studies whose test finds the difference at LEVEL / `tests`.

    Holm's correction asks no more of any of `tests` tests than that.
    """
    centres = find_centres(question, spread)
    random = np.random.default_rng((seed, reports, raters))
    found, chunk = 0, max(1, _ANSWERS_AT_ONCE // (2 * reports * raters))
    for start in range(0, simulations, chunk):
        shape = (min(chunk, simulations - start), reports, 2, raters)
        judged = np.array(centres)[:, None] + spread.rest * random.standard_normal(shape)
        judged += spread.draft * random.standard_normal((*shape[:3], 1))
        judged += spread.report * random.standard_normal((*shape[:2], 1, 1))
        judged += spread.rater * random.standard_normal((shape[0], reports, 1, raters))
        found += int((signed_rank_ps(_answers(judged, question.steps)) < LEVEL / tests).sum())
    return found / simulations


def _answers(judged: Array, steps: Sequence[float]) -> Array:
    """Mean differences of answers (studies, reports)."""
    given = np.clip(np.rint(judged), steps[0], steps[-1]).mean(axis=3)
    differences: Array = np.round(given[:, :, 1] - given[:, :, 0], 9)
    return differences


def signed_rank_ps(differences: Array) -> Array:
    """Wilcoxon's two-sided p of each row, by the normal distribution; differences of 0 are left out, ties allowed."""
    from scipy.special import ndtr
    from scipy.stats import rankdata

    nothing = differences == 0
    # What is 0 has the lowest ranks, so the others move up by as many as there are.
    ranks = np.where(nothing, 0.0, rankdata(np.abs(differences), axis=1) - nothing.sum(axis=1, keepdims=True))
    above = np.where(differences > 0, ranks, 0.0).sum(axis=1) - ranks.sum(axis=1) / 2
    spread = np.sqrt((ranks**2).sum(axis=1)) / 2
    chances: Array = 2 * ndtr(-np.abs(above) / np.where(spread > 0, spread, 1.0))
    return chances


def plan_study(
    question: Question,
    spread: Spread,
    raters: Sequence[int] = (1, 2, 3, 4),
    power: float = 0.8,
    tests: int = 1,
    simulations: int = SIMULATIONS,
    seed: int = 0,
) -> dict[str, Any]:
    """{power: {raters: {reports: chance}}, needed: {raters: reports or null}, and what was assumed}.

    `needed` is the smallest number of reports, in fives, that finds the difference with a chance of `power`; null where
    MOST_REPORTS do not.
    """
    if question.difference == 0:
        raise InputError("--difference 0: no study is large enough to find nothing")
    if not 0 < power < 1:
        raise InputError(f"--power {power:g}: expected a chance between 0 and 1")
    if tests < 1 or simulations < 1 or not raters or min(raters) < 1:
        raise InputError("raters, tests and simulations must each be at least 1")
    if min(asdict(spread).values()) < 0 or not spread.whole:
        raise InputError("standard deviations must be at least 0, and one of them above it")

    def chance(reports: int, raters: int) -> float:
        return simulate_power(question, spread, reports, raters, tests, simulations, seed)

    table = {count: {reports: chance(reports, count) for reports in REPORTS} for count in raters}
    return {
        "question": asdict(question),
        "spread": asdict(spread),
        "target": power,
        "tests": tests,
        "simulations": simulations,
        "seed": seed,
        "power": table,
        "needed": {count: _needed(table[count], power, partial(chance, raters=count)) for count in raters},
    }


def _needed(known: dict[int, float], power: float, chance: Callable[[int], float]) -> int | None:
    enough = next((reports for reports, found in known.items() if found >= power), None)
    below = max((reports for reports in known if enough is None or reports < enough), default=0)
    while enough is None:
        if below >= MOST_REPORTS:
            return None
        more = min(2 * below, MOST_REPORTS)
        if chance(more) >= power:
            enough = more
        else:
            below = more
    while enough - below > 5:
        middle = 5 * round((enough + below) / 10)
        if chance(middle) >= power:
            enough = middle
        else:
            below = middle
    return enough


def render_plan(plan: dict[str, Any]) -> str:
    """The plan for a terminal: what was assumed, the chance by reports (down) and raters (across), what is needed."""
    question, spread, needed = plan["question"], plan["spread"], plan["needed"]
    shares = tuple(question["steps"]) == SHARES
    what = f"a share of {question['base']:.2f} against {question['base'] + question['difference']:.2f}"
    if not shares:
        what = f"a mean of {question['base']:.2f} against {question['base'] + question['difference']:.2f}"
        what += f" on a scale of {question['steps'][0]:g} to {question['steps'][-1]:g}"
    lines = [["reports", *(f"{count} a report" for count in plan["power"])]]
    for reports in REPORTS:
        lines.append([str(reports), *(f"{100 * found[reports]:.0f}%" for found in plan["power"].values())])
    lines.append([f"for {100 * plan['target']:.0f}%", *(_told(found) for found in needed.values())])
    lines.append(["pages", *("-" if found is None else str(found * count) for count, found in needed.items())])
    return "\n\n".join(
        [
            f"The chance to find {what},\nby the number of reports and of raters who judge each",
            align(lines),
            f"Standard deviations assumed, in steps of the scale: report {spread['report']:.2f}, draft "
            f"{spread['draft']:.2f}, rater {spread['rater']:.2f}, the rest {spread['rest']:.2f}. {plan['simulations']} "
            f"studies a cell, seed {plan['seed']}; Wilcoxon's test of the reports' mean differences, two-sided, at "
            f"{LEVEL / plan['tests']:.2g}{_family(plan['tests'])}.",
            "These are chances for these raters to find it on other reports. Whether other raters would, more raters "
            "must show.",
        ]
    )


def _told(found: int | None) -> str:
    return f"over {MOST_REPORTS}" if found is None else str(found)


def _family(tests: int) -> str:
    return "" if tests == 1 else f" ({LEVEL} for {tests} tests)"


def read_pilot(export: Export, name: str | None = None) -> tuple[Spread, float]:
    """The spread that a pilot study shows, and its mean answer, by the mixed model of `review analyse`.

    `name` is one of its scales; its first one if none is given. Raises InputError where it has none or too few answers.
    """
    frame = read_frame(export)
    scales = [cube for cube in frame.cubes.values() if cube.question.kind == "scale"]
    cube = next((cube for cube in scales if name in (None, cube.question.name)), None)
    if cube is None:
        asked = ", ".join(scale.question.name for scale in scales) or "none"
        raise InputError(f"the pilot study has no scale {name or ''!r}; it has {asked}")
    fit = fit_model(cube.outcome())
    if isinstance(fit, str):
        raise InputError(f"{cube.question.name}: {fit}; a pilot needs a few reports, judged by two raters or more")
    biases = [effect.value for effect in fit.raters if effect is not None]
    return (
        Spread(
            report=float(np.sqrt(fit.variances["report"])),
            draft=float(np.sqrt(fit.variances["draft"])),
            rater=float(np.std(biases, ddof=1)) if len(biases) > 1 else 0.0,
            rest=float(np.sqrt(fit.variances["rest"])),
        ),
        float(np.nanmean(cube.first)),
    )


def parse_spread(known: Spread | None, **given: float | None) -> Spread:
    """The deviations given on the command line, the others from a pilot or the defaults."""
    return replace(known or Spread(), **{name: value for name, value in given.items() if value is not None})


def parse_question(difference: float, mean: float | None, share: float | None, known: float | None) -> Question:
    """What is asked on the command line; `known` is a pilot's mean."""
    if share is not None:
        if mean is not None:
            raise InputError("--mean and --share: give one; a difference is of means or of shares")
        return Question(difference, share, SHARES)
    return Question(difference, mean if mean is not None else known if known is not None else 3.5)


def parse_raters(text: str) -> list[int]:
    """Numbers of raters, as in "1,2,4"."""
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise InputError(f"--raters {text!r}: expected whole numbers, as in 1,2,4") from None
