"""Whether draft and reference carry the same labels: F1 over CheXpert's fourteen observations, as the field reports it.

As in F1-CheXbert (Smit et al. 2020; Miura et al. 2021) an observation counts as there when it is asserted or doubted,
and the "5" figures are over the five that CheXpert's competition scored. The labels are ours (`clinical.label`), so
figures compare with others' by their order, not by their digits.
"""

from functools import lru_cache

from radllama.clinical.label import label

FIVE = frozenset({"Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"})

Fraction = tuple[int, int]


# One reference is held against every row of a table, and short impressions repeat.
@lru_cache(maxsize=1 << 16)
def present(text: str) -> frozenset[str]:
    """The labels of a text that are asserted or doubted; "No Finding" is among them where nothing else is there."""
    return frozenset(name for name, value in label(text).values.items() if value in (1, -1))


def label_agreement(reference: str, draft: str) -> dict[str, Fraction]:
    """(numerator, denominator) of micro F1 over fourteen and five labels, and of the share of drafts with all right.

    Summed over reports they are 2 TP and 2 TP + FP + FN. A draft without words has no label, not even "No Finding".
    """
    ours, theirs = present(draft), present(reference)
    return {
        "label_f1_micro": f1_parts(ours, theirs),
        "label_f1_micro_5": f1_parts(ours & FIVE, theirs & FIVE),
        "label_accuracy": (int(ours == theirs), 1),
    }


def f1_parts(ours: frozenset[str], theirs: frozenset[str]) -> Fraction:
    """Numerator and denominator of F1 = 2 |both| / (|ours| + |theirs|)."""
    return 2 * len(ours & theirs), len(ours) + len(theirs)
