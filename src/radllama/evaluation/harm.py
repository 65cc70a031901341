"""Which drafts look most harmful: what a radiologist should read first."""

from collections.abc import Sequence
from dataclasses import dataclass

from radllama.clinical.check import Flag, check
from radllama.evaluation.drafts import Case
from radllama.evaluation.faithfulness import invented_observations, omitted_observations
from radllama.text import words

# A patient may be treated on the wrong side, or for a finding that is not there; a size or a grade may be corrected.
_GRAVE, _LESSER = {"side", "negation"}, {"measurement", "severity"}


@dataclass(frozen=True, slots=True)
class Harm:
    """What speaks against a draft. `omitted` and `invented` are held against the reference too, `flags` are not."""

    flags: Sequence[Flag]
    omitted: frozenset[str]
    invented: frozenset[str]

    @property
    def grave(self) -> int:
        """How many contradictions, invented and omitted positive observations."""
        return sum(flag.kind in _GRAVE for flag in self.flags) + len(self.omitted) + len(self.invented)

    @property
    def lesser(self) -> int:
        """How many changed sizes and grades."""
        return sum(flag.kind in _LESSER for flag in self.flags)


def find_harm(case: Case) -> Harm:
    """What speaks against a draft, by rules; without findings nothing can be said."""
    if case.findings is None:
        return Harm((), frozenset(), frozenset())
    return Harm(
        check(case.findings, case.draft),
        omitted_observations(case.findings, case.reference, case.draft),
        invented_observations(case.findings, case.reference, case.draft),
    )


def rank_by_harm(cases: Sequence[Case], harms: Sequence[Harm], rouge1: Sequence[float]) -> list[int]:
    """The indices of the cases, the most harmful-looking first: by what is grave, by what is less so, by ROUGE-1.

    Of drafts that are alike in all, the one whose reference has more to say comes first.
    """
    return sorted(
        range(len(cases)),
        key=lambda at: (-harms[at].grave, -harms[at].lesser, rouge1[at], -len(words(cases[at].reference)), at),
    )
