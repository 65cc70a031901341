"""The simulated reader of the rehearsal: what is done with a draft, and how long that takes. A model, not a person.

What it assumes, and from where:

- Silent reading takes 238 words a minute (Brysbaert 2019, a review of 190 studies, for non-fiction in English).
- Typing takes 52 words a minute (Dhakal et al. 2018, 168,000 people at desktop keyboards).
- Dictating takes 120 words a minute, corrections of the speech recognition included: assumed, not measured.
- An act at the page (a key, finding the place to edit) takes 1.5 seconds: assumed.
- The radiologist would have signed exactly what the sample hospital's report says, has read the findings either way,
  and never overlooks a difference. So nothing is said here about drafts that lead somebody astray.
"""

from dataclasses import dataclass
from typing import Literal

from radllama.text import count_edits

READING_WPM, TYPING_WPM, DICTATING_WPM = 238.0, 52.0, 120.0
ACT_S = 1.5


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of a draft: words that had to change, seconds with it, and seconds had there been none."""

    verdict: Literal["accepted", "edited", "rejected", "no draft"]
    edits: int
    words: int
    seconds: float
    seconds_without: float


def read(draft: str | None, signed: str) -> Reading:
    """Accept what is word for word what was signed; else edit or dictate anew, whichever takes less time."""
    words = len(signed.split())
    dictating = 60 * words / DICTATING_WPM
    if draft is None:
        return Reading("no draft", words, words, dictating, dictating)
    edits = count_edits(draft, signed)
    reading = 60 * len(draft.split()) / READING_WPM + ACT_S
    editing = ACT_S + 60 * edits / TYPING_WPM
    if edits == 0:
        return Reading("accepted", 0, words, reading, dictating)
    if editing <= dictating:
        return Reading("edited", edits, words, reading + editing, dictating)
    return Reading("rejected", edits, words, reading + dictating, dictating)
