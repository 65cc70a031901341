"""Styles: the same draft, laid out as somebody wants to read it. Words are left out, never changed or added."""

import re

from radllama.clinical.read import read
from radllama.text import sentences

STYLES = {
    "house": "as the model, which learned this department's reports, wrote it",
    "numbered": "one numbered line a sentence",
    "short": "without the sentences that only deny, where something else is said",
}
_NUMBER = re.compile(r"^\d{1,2}[.)]\s+")


def render_style(impression: str, style: str) -> str:
    """The impression in a style. Raises KeyError for one that is none."""
    STYLES[style]
    if style == "house":
        return impression
    parts = [_NUMBER.sub("", sentence) for sentence in sentences(impression)]
    if style == "short":
        telling = [part for part in parts if not _only_denies(part)]
        return " ".join(telling or parts)
    return (
        "\n".join(f"{number}. {part}" for number, part in enumerate(parts, start=1)) if len(parts) > 1 else impression
    )


def _only_denies(sentence: str) -> bool:
    values = [mention.value for mention in read(sentence).mentions]
    return bool(values) and all(value == 0 for value in values)
