"""What a reader of scores must know besides: what was left out, what is absent and why, how figures come about."""

import re
from collections.abc import Sequence

from radllama.evaluation.drafts import Drafts
from radllama.evaluation.normality import NORMAL_NOTE

_FOREIGN = re.compile(r"[^\W\d_a-zA-Z]")


def write_notes(
    drafts: Drafts, has_train: bool, empty_drafts: int, scorers: Sequence[str], seed: int, resamples: int
) -> list[str]:
    """The notes of an evaluation, a sentence or two each; `scorers` are the titles of those that were asked for."""
    cases = drafts.cases
    notes = [
        f"{len(cases)} drafts were scored, {empty_drafts} of them empty (an empty draft scores 0); "
        f"{drafts.missing_references} without a reference were left out."
    ]
    if not has_train:
        notes.append(
            "No training data was given (--train), so the constant, nearest and consensus rows and the strata of "
            "findings seen in training and of rare observations are absent."
        )
    if unknown := sum(case.findings is None for case in cases):
        notes.append(
            f"{unknown} of {len(cases)} drafts do not tell their findings: these count in no share of faithfulness or "
            "flags, and the lead, nearest and consensus rows, the strata of findings seen in training, of rare "
            "observations and of length are absent."
        )
    notes.append(
        "Observations, labels and flags are read by rules (docs/labels.md, docs/checks.md): what the rules misread is "
        "misjudged. An observation is positive where the text asserts it plainly."
    )
    notes.append(NORMAL_NOTE)
    if foreign := sum(not case.reference.isascii() and bool(_FOREIGN.search(case.reference)) for case in cases):
        notes.append(
            f"{foreign} references have letters other than a-z; rouge-score does not read these and splits words there."
        )
    if not scorers:
        notes.append(
            "BERTScore, RadGraph F1 and CheXbert F1 are absent: they need models (--bertscore-model, --scorer)."
        )
    notes.append(
        f"Intervals are the middle 95% of {resamples} bootstrap samples of the reports, seed {seed}; those of a "
        "difference are paired. ROUGE is F1 by rouge-score 0.1.2, chrF is by sacrebleu."
    )
    return notes
