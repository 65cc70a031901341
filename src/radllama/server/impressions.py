"""From candidates to what is shown: each draft with what speaks for and against it, as the JSON values of the API."""

from collections.abc import Iterable, Sequence
from typing import Any

from radllama.clinical.check import Checker
from radllama.clinical.links import link
from radllama.drafting.style import render_style
from radllama.drafting.voices import find_voices
from radllama.library import Neighbour
from radllama.library.advice import IsCustom
from radllama.server.jobs import Choice


def show_choices(
    findings: str,
    style: str,
    drafts: Iterable[tuple[str, str]],
    said: Sequence[str] = (),
    neighbours: Sequence[Neighbour] = (),
    is_custom: IsCustom | None = None,
) -> tuple[Choice, ...]:
    """A Choice for each (text, finish reason), laid out in a style; of equal ones the first.

    `said` are the model's candidates and `neighbours` the prior reports that voted; without both, none tells who said
    what. `is_custom`: see `Checker`.
    """
    styled: dict[str, str] = {}
    for text, reason in drafts:
        styled.setdefault(render_style(text, style), reason)
    checker = Checker(findings, is_custom=is_custom)
    return tuple(
        Choice(
            text,
            reason,
            links=tuple({"impression": one.impression, "findings": one.findings} for one in link(findings, text)),
            flags=tuple(flag.to_json() for flag in checker.check(text)),
            voices=tuple(_voices(findings, text, said, neighbours)) if said or neighbours else (),
        )
        for text, reason in styled.items()
    )


def show_neighbours(neighbours: Sequence[Neighbour]) -> list[dict[str, Any]]:
    """Prior reports with how much they resemble the findings."""
    return [
        {"id": one.id, "score": round(one.score, 4), "findings": one.findings, "impression": one.impression}
        for one in neighbours
    ]


def _voices(findings: str, text: str, said: Sequence[str], neighbours: Sequence[Neighbour]) -> Iterable[dict[str, Any]]:
    for one in find_voices(findings, text, said, neighbours):
        yield {
            "impression": one.impression,
            "samples": one.samples,
            "neighbours": list(one.neighbours),
            "findings": one.findings,
        }
