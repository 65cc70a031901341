"""When not to draft: findings that are too short, or unlike anything that the model was tuned on.

Likeness is measured by words, so that the reason can be told and checked: of the longer words of the findings, the
share that the training reports use too (`vocabulary.json`, saved beside the model) or that belong to radiology at
large (`clinical/radiology_words.txt`). A recipe or another language shares few; another body part shares enough.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from radllama.clinical.lexicon import load_radiology_words
from radllama.clinical.read import read
from radllama.errors import InputError
from radllama.files import read_json, write_json
from radllama.text import words

VOCABULARY_FILE = "vocabulary.json"
TOO_SHORT, UNLIKE = "too_short", "unlike_training"
# A word that fewer reports use is not kept: it may be a name.
_MINIMUM_REPORTS_A_WORD = 5
# Of fewer reports the words say little about what is usual.
_MINIMUM_REPORTS = 200
# The most unusual of OpenI's development split shares 0.81 of its words, the nearest text that is no report 0.53.
_MINIMUM_SHARE = 0.57
_CONTENT = re.compile(r"[^\W\d_]{4,}")


class Vocabulary:
    """The words that the findings of a model's training reports use; none where they were too few, or are not known."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = frozenset(known)

    def why_abstain(self, findings: str) -> str | None:
        """TOO_SHORT or UNLIKE, or None where the findings may be drafted from."""
        if len(words(findings)) < 2:
            return TOO_SHORT
        content = _CONTENT.findall(findings.lower())
        usual = sum(word in self._known or word in load_radiology_words() for word in content)
        if self._known:
            return UNLIKE if usual < _MINIMUM_SHARE * len(content) else None
        return None if usual or read(findings).mentions else UNLIKE


def collect_vocabulary(findings: Iterable[str]) -> list[str]:
    """The longer words that several of many reports use, in order; none of few reports."""
    used: Counter[str] = Counter()
    reports = 0
    for reports, text in enumerate(findings, start=1):  # noqa: B007
        used.update(set(_CONTENT.findall(text.lower())))
    if reports < _MINIMUM_REPORTS:
        return []
    return sorted(word for word, count in used.items() if count >= _MINIMUM_REPORTS_A_WORD)


def write_vocabulary(findings: Iterable[str], folder: Path) -> None:
    """Write what `collect_vocabulary` finds into a model's folder."""
    write_json(folder / VOCABULARY_FILE, collect_vocabulary(findings))


def read_vocabulary(folder: Path | None) -> Vocabulary:
    """The vocabulary in a model's folder; an empty one where it has none, as models from elsewhere."""
    if folder is None or not (folder / VOCABULARY_FILE).exists():
        return Vocabulary()
    known = read_json(folder / VOCABULARY_FILE)
    if not isinstance(known, list) or not all(isinstance(word, str) for word in known):
        raise InputError(f"{folder / VOCABULARY_FILE}: expected a list of words; copy the model folder again")
    return Vocabulary(known)
