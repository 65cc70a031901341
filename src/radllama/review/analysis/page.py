"""`review.html`: the analysis as one page that stands alone."""

from typing import Any

from radllama.evaluation.html import make_environment
from radllama.review.analysis.comparisons import PREFERENCE
from radllama.review.analysis.tables import best_value, p_value

# Asked for first where a form has it: would they sign it?
_HEADLINE = "signing"


def render_analysis(analysis: dict[str, Any]) -> str:
    """The page of an analysis; `analysis` is what `analysis.json` holds."""
    study = analysis["study"]
    questions = {question["name"]: question for question in study["questions"]}
    return (
        make_environment("radllama.review.analysis")
        .get_template("review.html.j2")
        .render(
            analysis=analysis,
            study=study,
            systems=study["systems"],
            questions=questions,
            scales=[name for name, question in questions.items() if question["kind"] == "scale"],
            choices=[name for name, question in questions.items() if question["kind"] == "choice"],
            titles={name: question["title"] for name, question in questions.items()} | {PREFERENCE: "Preference"},
            best={name: best_value(study, name) for name in questions},
            headline=_HEADLINE if _HEADLINE in questions else next(iter(questions), None),
            groups=_grouped(analysis["comparisons"]),
            extremes=_extremes(analysis["agreement"]),
            p_value=p_value,
        )
    )


def _grouped(comparisons: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The comparisons of each question, and how far its plot must reach to either side of 0."""
    groups: dict[str, dict[str, Any]] = {}
    for row in comparisons:
        if row["p"] is None:
            continue
        group = groups.setdefault(row["question"], {"rows": [], "reach": 0.0})
        group["rows"].append(row)
        ends = [row["difference"], *(row["ci95"] or [])]
        group["reach"] = max(group["reach"], *(abs(end) for end in ends))
    for group in groups.values():
        # To the next quarter above, so that the numbers at the ends are round ones.
        group["reach"] = (int(group["reach"] * 4) + 1) / 4
    return groups


def _extremes(agreement: dict[str, Any]) -> tuple[str, str] | None:
    """The questions that raters agree on most and least, by alpha."""
    known = {name: found["alpha"]["value"] for name, found in agreement.items() if found["alpha"]["value"] is not None}
    if len(known) < 2:
        return None
    return max(known, key=lambda name: known[name]), min(known, key=lambda name: known[name])
