"""Each observation by itself: how often it is repeated, invented, and labelled as the reference has it.

Few reports carry any one observation, so these are over all reports, not for each stratum.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from radllama import stats
from radllama.clinical.lexicon import OBSERVATIONS
from radllama.clinical.observations import observation_names, observe
from radllama.evaluation.drafts import Case
from radllama.evaluation.faithfulness import INVENTED, REPEATED, invented_observations, repeatable_observations
from radllama.evaluation.label_agreement import FIVE, f1_parts, present
from radllama.evaluation.scores import number, numbers

LABEL_F1, MACRO, MACRO_FIVE = "label_f1", "label_f1_macro", "label_f1_macro_5"

Names = frozenset[str]


def summarise_observations(
    cases: Sequence[Case], rows: Mapping[str, Sequence[str]], seed: int, resamples: int
) -> dict[str, dict[str, Any]]:
    """For each row {label_f1_macro, label_f1_macro_5, ci95 of both, observations}.

    `observations` maps each observation that some findings, reference or draft of the row names to {repeated,
    invented, label_f1 (of CheXpert's fourteen alone), ci95, denominators}, as in the other summaries. Macro F1 is the
    mean over the labels that some reference or draft has; null where there is none.
    """
    return {row: _summarise(cases, drafts, seed, resamples) for row, drafts in rows.items()}


def _summarise(cases: Sequence[Case], drafts: Sequence[str], seed: int, resamples: int) -> dict[str, Any]:
    figures = [*_label_figures(cases, drafts), *faithfulness_figures(cases, drafts)]
    values = stats.Ratios(
        np.array([[above for above, _ in parts] for _, _, parts in figures], dtype=np.float64).T,
        np.array([[below for _, below in parts] for _, _, parts in figures], dtype=np.float64).T,
    )
    scores, drawn = values.scores(), stats.bootstrap(values, resamples, seed)
    bounds = stats.interval(drawn)
    observations: dict[str, dict[str, Any]] = {}
    for at, (name, figure, _) in enumerate(figures):
        part = observations.setdefault(name, {"ci95": {}, "denominators": {}})
        part[figure] = number(scores[at])
        part["ci95"][figure] = numbers(bounds[:, at])
        part["denominators"][figure] = int(values.denominators[:, at].sum())
    summary: dict[str, Any] = {"ci95": {}}
    for macro, chosen in ((MACRO, frozenset(OBSERVATIONS)), (MACRO_FIVE, FIVE)):
        labels = [at for at, (name, figure, _) in enumerate(figures) if figure == LABEL_F1 and name in chosen]
        summary[macro] = number(stats.mean_of_defined(scores[None, labels])[0])
        summary["ci95"][macro] = numbers(stats.interval(stats.mean_of_defined(drawn[:, labels])[:, None])[:, 0])
    order = [name for name in (*OBSERVATIONS, *observation_names()) if name in observations]
    return summary | {"observations": {name: observations[name] for name in dict.fromkeys(order)}}


_Figure = tuple[str, str, list[tuple[int, int]]]


def _label_figures(cases: Sequence[Case], drafts: Sequence[str]) -> list[_Figure]:
    """F1 of each label that some reference or draft has."""
    pairs = [(present(draft), present(case.reference)) for case, draft in zip(cases, drafts, strict=True)]
    return [
        (name, LABEL_F1, [f1_parts(ours & {name}, theirs & {name}) for ours, theirs in pairs])
        for name in OBSERVATIONS
        if any(name in ours | theirs for ours, theirs in pairs)
    ]


def faithfulness_figures(cases: Sequence[Case], drafts: Sequence[str]) -> list[_Figure]:
    """What is repeated and invented of each observation that some text asserts; none where no findings are known."""
    said: list[tuple[Names, Names, Names]] = []
    named: set[str] = set()
    for case, draft in zip(cases, drafts, strict=True):
        if case.findings is not None:
            repeatable = repeatable_observations(case.findings, case.reference)
            asserted = observe(draft).asserted
            said.append((repeatable, asserted, invented_observations(case.findings, case.reference, draft)))
            named |= repeatable | asserted
        else:
            said.append((frozenset(), frozenset(), frozenset()))
    known = [int(case.findings is not None) for case in cases]
    figures: list[_Figure] = []
    for name in observation_names():
        if name in named:
            repeated = [(int(name in can and name in ours), int(name in can)) for can, ours, _ in said]
            invented = [(int(name in made_up), one) for (_, _, made_up), one in zip(said, known, strict=True)]
            figures += [(name, REPEATED, repeated), (name, INVENTED, invented)]
    return figures
