"""Raters of known bias and noise who use the real web app: they follow invitations, read pages, answer, go on.

Like any rater they never see a system's name. What a draft is worth to them is worked out from its words alone.
"""

import html
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from radllama.clinical.check import check
from radllama.evaluation.label_agreement import label_agreement
from radllama.review.form import read_form
from radllama.review.rehearsal import Panel

PASSWORD = "four words make one"
BEST, LABELS, FLAG, MOST_FLAGS = 4.3, 2.0, 0.3, 3
_SHOWN = re.compile(r'data-shown="(\d+)">(.*?)</div>', re.DOTALL)
_FORM = read_form()
_QUESTIONS = _FORM.questions()


def merit(findings: str, signed: str, draft: str) -> float:
    """What a draft is worth, on the scale of 1 to 5: less for labels unlike the signed impression's, and for flags."""
    ours, both = label_agreement(signed, draft)["label_f1_micro"]
    unlike = 1 - (ours / both if both else 1.0)
    return BEST - LABELS * unlike - FLAG * min(len(check(findings, draft)), MOST_FLAGS)


def key_of(findings: str, draft: str) -> tuple[str, str]:
    """By what a draft is known again: its words and the findings', however their lines are broken."""
    return " ".join(findings.split()), " ".join(draft.split())


@dataclass(frozen=True, slots=True)
class Known:
    """A draft as the simulation knows it: its places in the study, its worth, and how it should read."""

    report: int
    system: int
    worth: float
    signed: str


class SimulatedRater:
    """One of the panel, at a server. `known` finds a draft by `key_of` it."""

    def __init__(self, url: str, panel: Panel, place: int, known: Mapping[tuple[str, str], Known]) -> None:
        self._client = httpx.Client(base_url=url, timeout=60, headers={"Accept": "text/html"})
        self._url, self._panel, self._place, self._known = url, panel, place, known
        self.name = f"rater {place + 1}"
        self._csrf = ""
        self._saves = 0
        self._seen: dict[int, int] = {}

    def join(self, link: str) -> None:
        """Follow the invitation with a new account."""
        form = {"name": self.name, "password": PASSWORD, "again": PASSWORD}
        answer = self._client.post(f"{link}/account", data=form, headers={"Origin": self._url})
        if answer.status_code != 303:
            raise RuntimeError(f"the invitation was not accepted ({answer.status_code})")

    def leave(self) -> None:
        """Close the connections."""
        self._client.close()

    def judge_all(self, study: str) -> int:
        """Fill in page after page until the last; how many there were."""
        number, pages = 1, 1
        while number <= pages:
            path = f"/studies/{study}/pages/{number}"
            page = self._client.get(path).raise_for_status().text
            pages = int(_find(r'progress max="(\d+)"', page))
            self._csrf = _find(r'data-csrf="([^"]+)"', page)
            if self._judge(study, number, page):
                number += 1
        return pages

    def _judge(self, study: str, number: int, page: str) -> bool:
        """Answer a page; False where it is to be read again (a calibration page shows what was expected)."""
        findings = html.unescape(_find(r'id="findings">(.*?)</div>', page))
        shown = {int(place): html.unescape(text) for place, text in _SHOWN.findall(page)}
        if 'id="ranking"' not in page and "any more." in page:
            return True  # answered before, and shown with what was expected
        liked: dict[str, float] = {}
        api = f"/api/studies/{study}/pages/{number}"
        for place, text in shown.items():
            draft = self._known[key_of(findings, text)]
            at = (self._place, draft.report, draft.system, self._repeat(draft.report, number))
            liked[str(place)] = self._panel.prefers(draft.worth, *at)
            answers = self._panel.judge(_QUESTIONS, draft.worth, *at)
            for question, value in answers.items():
                self._send(f"{api}/answers", self._answer(place, question, value))
            for mark in range(self._panel.count_errors(draft.worth, *at)):
                self._send(f"{api}/answers", self._answer(place, "errors", _error(text, mark, draft), f"mark{mark}"))
            if answers["signing"] == "small_edits" and draft.signed:
                self._send(f"{api}/answers", self._answer(place, "correction", draft.signed))
        order = sorted(liked, key=lambda place: -liked[place])
        if len(shown) > 1:
            ranks = {place: at for at, place in enumerate(order, start=1)}
            self._send(f"{api}/answers", self._answer(0, "preference", ranks))
        # A person would take most of a minute; the clock of a simulated one says so too.
        self._send(f"{api}/seconds", {"spell": f"spell{number}", "seconds": 30.0 + 7 * len(shown) + number % 11})
        going = self._send(f"{api}/state", {"state": "done"})
        return not str(going["next"]).endswith(f"/pages/{number}")

    def _repeat(self, report: int, number: int) -> int:
        # The page does not tell that it comes again; the simulation remembers.
        first = self._seen.setdefault(report, number)
        return int(first != number)

    def _answer(self, place: int, question: str, value: Any, mark: str = "") -> dict[str, Any]:
        self._saves += 1
        return {
            "save": f"{self._place}-{self._saves}",
            "place": place,
            "question": question,
            "mark": mark,
            "value": value,
        }

    def _send(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        while True:
            answer = self._client.post(path, json=body, headers={"X-CSRF-Token": self._csrf, "Accept": "*/*"})
            if answer.status_code != 429:
                break
            time.sleep(float(answer.headers.get("Retry-After", 1)))  # quicker than any person: the server says wait
        if answer.is_error:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.text}")
        told: dict[str, Any] = answer.json()
        return told


def _error(text: str, mark: int, draft: Known) -> dict[str, Any]:
    """What kind of error: the worse the draft, the more significant."""
    kinds: Sequence[str] = list(_FORM.first("errors").kinds)  # type: ignore[union-attr]
    kind = kinds[(draft.report + draft.system + mark) % len(kinds)]
    words = text.split()
    start = len(text) - len(text.lstrip())
    span = (None, None) if "omi" in kind or not words else (start, start + len(words[0]))
    grade = "significant" if draft.worth < 3.2 else "insignificant"
    return {"kind": kind, "significance": grade, "start": span[0], "end": span[1]}


def _find(pattern: str, page: str) -> str:
    found = re.search(pattern, page, re.DOTALL)
    if not found:
        raise RuntimeError(f"the page has no {pattern}")
    return found[1]
