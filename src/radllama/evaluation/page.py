"""What `report.html` shows: chooses drafts, works out shares for the plots, and hands it all to the templates."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from radllama.evaluation import html, trivial
from radllama.evaluation.curve import Point
from radllama.evaluation.drafts import Case
from radllama.evaluation.harm import Harm, find_harm, rank_by_harm
from radllama.evaluation.measures import FAITHFULNESS, FLAGS, LABELS, Scored
from radllama.evaluation.scores import SYSTEM
from radllama.evaluation.strata import Mask, is_main, title

SAMPLE = 15


def render_page(
    scores: dict[str, Any],
    cases: Sequence[Case],
    rows: Mapping[str, Sequence[str]],
    scored: Mapping[str, Scored],
    masks: Mapping[str, Mask],
    curve: Sequence[Point] | None,
    seed: int,
) -> str:
    """The report of an evaluation as one HTML file; `scores` is what `scores.json` holds."""
    rouge1 = {row: table.values.numerators[:, table.column("rouge1")].tolist() for row, table in scored.items()}
    harms = [find_harm(case) for case in cases]
    order = rank_by_harm(cases, harms, rouge1[SYSTEM])
    drawn = random.Random(seed).sample(range(len(cases)), min(SAMPLE, len(cases)))

    def show(at: int) -> dict[str, Any]:
        return _shown(cases[at], harms[at]) | {
            "rouge1": rouge1[SYSTEM][at],
            "nearest": rows["nearest"][at] if "nearest" in rows else None,
            "strata": [title(name) for name, mask in masks.items() if is_main(name) and mask[at]],
        }

    return html.render_evaluation(
        scores,
        measures=scored[SYSTEM].measures,
        families={"faithfulness": list(FAITHFULNESS), "flags": list(FLAGS), "labels": list(LABELS)},
        rows={SYSTEM: scores["system"], **{row: trivial.TITLES[row] for row in scores["trivial"]}},
        strata={name: title(name) for name in scores["strata"]},
        main_strata=[name for name in scores["strata"] if is_main(name)],
        histograms={row: html.share_in_bins(values) for row, values in rouge1.items()},
        curve=curve,
        harmful=[show(at) for at in order[:SAMPLE]],
        counts={
            "grave": sum(harm.grave > 0 for harm in harms),
            "known": sum(case.findings is not None for case in cases),
        },
        sample=[show(at) for at in drawn],
    )


def _shown(case: Case, harm: Harm) -> dict[str, Any]:
    return {
        "id": case.id,
        "findings": case.findings,
        "reference": case.reference,
        "draft": case.draft,
        # A draft that repeats itself raises the same flag again and again.
        "flags": [
            {"kind": kind, "message": said} for kind, said in dict.fromkeys((f.kind, f.message) for f in harm.flags)
        ],
        "omitted": sorted(harm.omitted),
        "invented": sorted(harm.invented),
    }
