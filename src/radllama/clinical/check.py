"""Checks: whether a draft agrees with the findings it was drafted from, by rules, with what each objection rests on.

Rules read words, not images: a draft without a flag is not thereby right, and a flag is a reason to look.
"""

from collections.abc import Callable, Iterator

from radllama.clinical.checks.additions import (
    find_changed_measurements,
    find_invented_priors,
    find_invented_recommendations,
    find_unsupported,
)
from radllama.clinical.checks.claims import parse_section
from radllama.clinical.checks.flag import FLAG_KINDS, Flag, FlagKind
from radllama.clinical.checks.form import find_malformed
from radllama.clinical.checks.negations import find_flipped_negations
from radllama.clinical.checks.omissions import MustRepeat, find_omissions, must_repeat
from radllama.clinical.checks.severities import find_changed_severities
from radllama.clinical.checks.sides import find_wrong_sides
from radllama.text import words

__all__ = ["FLAG_KINDS", "Checker", "Flag", "FlagKind", "MustRepeat", "check", "must_repeat"]


class Checker:
    """One report's findings, read once, to hold many drafts against."""

    def __init__(
        self, findings: str, policy: MustRepeat = must_repeat, is_custom: Callable[[str], bool] | None = None
    ) -> None:
        """`policy` says of each asserted finding whether every impression must repeat it.

        `is_custom` says of a sentence of advice whether the department gives it without ground in findings alike
        (`radllama.library.advice`); without it, no advice is custom.
        """
        self._findings = parse_section(findings)
        self._policy, self._is_custom = policy, is_custom

    def check(self, draft: str) -> list[Flag]:
        """The flags of one draft, by kind in the order of FLAG_KINDS; any text may be passed, none raises."""
        return sorted(self._flags(draft), key=lambda flag: FLAG_KINDS.index(flag.kind))

    def _flags(self, text: str) -> Iterator[Flag]:
        draft = parse_section(text)
        if not words(text):  # it leaves everything out too: one objection is enough
            yield from find_malformed(draft)
            return
        negations = list(find_flipped_negations(self._findings, draft))
        yield from negations
        for rule in (
            find_wrong_sides,
            find_changed_measurements,
            find_changed_severities,
            find_invented_priors,
        ):
            yield from rule(self._findings, draft)
        yield from find_invented_recommendations(self._findings, draft, self._is_custom)
        # What is denied is not there too, or left out too: one objection is enough.
        for flag in find_unsupported(self._findings, draft):
            if flag.draft_span not in {negation.draft_span for negation in negations}:
                yield flag
        for flag in find_omissions(self._findings, draft, self._policy):
            if flag.findings_span not in {negation.findings_span for negation in negations}:
                yield flag
        yield from find_malformed(draft)


def check(
    findings: str, draft: str, policy: MustRepeat = must_repeat, is_custom: Callable[[str], bool] | None = None
) -> list[Flag]:
    """The flags of one draft against one report's findings; see `Checker` for many drafts of the same report."""
    return Checker(findings, policy, is_custom).check(draft)
