"""The study in words: a methods paragraph for a paper with the numbers as they are, and what a reader must know."""

from typing import Any

import radllama
from radllama.review.analysis.tables import best_value

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def write_methods(analysis: dict[str, Any]) -> str:
    """Methods and results in a few sentences: as Markdown, ready to be cut down and pasted."""
    return "\n\n".join([_methods(analysis), _statistics(analysis), _results(analysis)])


def _methods(analysis: dict[str, Any]) -> str:
    study, counts, pages = analysis["study"], analysis["counts"], analysis["pages"]
    human = study["human"]
    systems = ["the signed impression" if name == human else name for name in study["systems"]]
    whole = (
        f"every report was to be judged by all {_count(counts['raters'])} raters"
        if study["design"] == "full"
        else f"each report was to be judged by {_count(study['raters_per_report'])} of {_count(counts['raters'])} "
        "raters in balanced incomplete blocks"
    )
    text = [
        f"**Design.** Impressions of {counts['reports']} reports from {_count(counts['systems'])} sources "
        f"({_listed(systems)}) were judged blinded: {whole}. A page showed the findings and all impressions of a "
        "report in one layout, without their sources; the order of reports and of impressions was random for each "
        f"rater (seed {study['seed']})."
    ]
    if human:
        text.append("The impression that had been signed took part as one of them, not marked as such.")
    if counts["practice_answers"]:
        text.append("Raters first judged a calibration set and were told the answers that were expected.")
    if study["repeat_share"]:
        text.append(f"{_percent(study['repeat_share'])} of a rater's reports were shown a second time, unannounced.")
    scales = [_plain(q["name"]) for q in study["questions"] if q["kind"] == "scale"]
    choices = [
        f"{_plain(q['name'])} ({', '.join(str(value).replace('_', ' ') for value in q['values'])})"
        for q in study["questions"]
        if q["kind"] == "choice"
    ]
    steps = sorted({f"{q['values'][0]} to {q['values'][-1]}" for q in study["questions"] if q["kind"] == "scale"})
    if scales:
        text.append(
            f"Asked were {_listed(scales)}, each from {' or '.join(steps)} with a written anchor for every step"
            + (f"; and {_listed(choices)}" if choices else "")
            + "."
        )
    elif choices:
        text.append(f"Asked were {_listed(choices)}.")
    if study["error_kinds"]:
        text.append(
            f"Errors were marked in the text by kind ({_listed([_plain(k) for k in study['error_kinds']])}) "
            f"and significance ({_listed([_plain(k) for k in study['significances']])})."
        )
    text.append(
        f"{_count(counts['raters_answering']).capitalize()} raters gave {counts['answers']} answers in "
        f"{counts['judgements']} judgements of {counts['reports_judged']} reports; {pages['skipped']} pages were "
        f"skipped and {pages['open']} left unfinished."
    )
    if seconds := pages["seconds"]:
        text.append(
            f"The median time for a page was {seconds['median']:.0f} s (quartiles {seconds['quartiles'][0]:.0f} and "
            f"{seconds['quartiles'][1]:.0f} s)."
        )
    return " ".join(text)


def _statistics(analysis: dict[str, Any]) -> str:
    settings = analysis["settings"]
    tests = sum(row["p"] is not None for row in analysis["comparisons"])
    incomplete = any(found["icc1"]["ci95_analytic"] is None for found in analysis["agreement"].values())
    return (
        f"**Statistics.** Means and shares have 95% intervals from {settings['resamples']} bootstrap samples of the "
        "reports, each with all its impressions and raters. Two sources were compared on the pages where one rater "
        "judged both: by Wilcoxon's signed-rank test on the mean difference of each report, and by a linear mixed "
        "model (restricted maximum likelihood) with fixed effects of source and rater and random effects of report "
        "and of impression within report. Of questions with named answers the share of the best answer was compared. "
        f"The p-values of all {tests} comparisons (every pair of sources by every question and by preference) were "
        "corrected as one family after Holm, those of the model likewise. Agreement between raters was measured by "
        "Krippendorff's ordinal alpha, Gwet's AC2 with ordinal weights, ICC(2,1) and ICC(2,k) and, for each pair of "
        "raters, quadratic weighted kappa"
        + (
            "; variance components of the ICC came from all answers by Henderson's first method, as answers were "
            "missing"
            if incomplete
            else ""
        )
        + ". Agreement within raters was that of the first with the second answer to the same impression. Automatic "
        "measures were correlated with the mean rating of each draft by Spearman's rank correlation. "
        f"The analysis was made with radllama {radllama.__version__}, SciPy and statsmodels."
    )


def _results(analysis: dict[str, Any]) -> str:
    study = analysis["study"]
    text = ["**Results.**"]
    for name, found in analysis["systems"].items():
        scaled = any(part["mean"] is not None for part in found.values())
        cells = [
            f"{system} {_figure(part, 1, 2) if scaled else _figure(part['best'], 100, 0, '%')}"
            for system, part in found.items()
            if part["n"]
        ]
        best = "" if scaled else f", answered {best_value(study, name)}"
        agreement = analysis["agreement"][name]["alpha"]
        alpha = f"alpha {_coefficient(agreement)}" if agreement["value"] is not None else "alpha not defined"
        text.append(f"{_plain(name).capitalize()}{best}: {'; '.join(cells)} ({alpha}).")
    tested = [row for row in analysis["comparisons"] if row["p_holm"] is not None]
    different = [row for row in tested if row["verdict"].endswith(" better")]
    text.append(f"{len(different)} of {len(tested)} comparisons differed after correction.")
    if study["human"]:
        beaten = [row for row in different if study["human"] in (row["a"], row["b"])]
        text.append(f"{len(beaten)} of these involved the signed impression.")
    return " ".join(text)


def notes(analysis: dict[str, Any]) -> list[str]:
    """What a reader of the figures must know, the doubtful first."""
    counts, study = analysis["counts"], analysis["study"]
    told = []
    if counts["raters_answering"] < 2:
        told.append("One rater answered: nothing shows whether another would have answered alike.")
    elif counts["raters_answering"] < 4:
        told.append(
            f"{_count(counts['raters_answering']).capitalize()} raters answered. Intervals and tests are about other "
            "reports judged by these raters, not about other raters."
        )
    else:
        told.append("Intervals and tests are about other reports judged by these raters, not about other raters.")
    if counts["reports_judged"] < 20:
        told.append(
            f"{counts['reports_judged']} reports decide no small difference, and bootstrap intervals of so few are too "
            "short."
        )
    if missing := counts["reports"] - counts["reports_judged"]:
        told.append(f"{missing} of {counts['reports']} reports were judged by nobody.")
    for what, count in counts["left_out"].items():
        told.append(f"Left out: {count} {what}.")
    if unfitted := [name for name, fit in analysis["model"].items() if fit["reason"]]:
        told.append(f"No mixed model of {_listed(unfitted)}: {analysis['model'][unfitted[0]]['reason']}.")
    told.append(
        '"Not different" says that this study does not show a difference, not that there is none; '
        "radllama review power says how large a study would."
    )
    if study["human"]:
        told.append(
            "Automatic measures compare a draft with the signed impression, so that one has none and is left out of "
            "correlations."
        )
    return told


def _figure(part: dict[str, Any], scale: int, digits: int, unit: str = "") -> str:
    mean = f"{scale * part['mean']:.{digits}f}{unit}"
    if part["ci95"] is None:
        return mean
    return f"{mean} ({scale * part['ci95'][0]:.{digits}f} to {scale * part['ci95'][1]:.{digits}f})"


def _coefficient(found: dict[str, Any]) -> str:
    value = f"{found['value']:.2f}"
    return value if found["ci95"] is None else f"{value}, {found['ci95'][0]:.2f} to {found['ci95'][1]:.2f}"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _count(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
