"""The questions of a study: a YAML form, checked as a whole before anybody answers, and each answer against it.

A form is never changed: an edited one is a new version, and an answer keeps the version that it answered.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from radllama.errors import InputError
from radllama.review.ratings import Question
from radllama.text import is_unicode

DEFAULT = Path(__file__).parent / "form.yaml"
RATED = ("scale", "choice")
KINDS = (*RATED, "errors", "ranking", "comment", "correction")
TEXT_CHARACTERS = 8000
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
_FIELDS = {
    "scale": {"anchors", "higher_is_better", "optional"},
    "choice": {"anchors", "higher_is_better", "optional"},
    "errors": {"kinds", "significance"},
    "ranking": {"optional"},
    "comment": set[str](),
    "correction": set[str](),
}


@dataclass(frozen=True, slots=True)
class Item:
    """One question. `anchors` {value: its words} of a scale or choice; `kinds` and `significance` of errors."""

    name: str
    title: str
    ask: str
    kind: str
    anchors: Mapping[int | str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    significance: Mapping[str, str] = field(default_factory=dict)
    higher_is_better: bool = True
    optional: bool = False

    @property
    def is_of_page(self) -> bool:
        """Whether it is asked once a page, about all drafts together, rather than once a draft."""
        return self.kind == "ranking"

    @property
    def is_required(self) -> bool:
        """Whether a page is unfinished without it."""
        return self.kind in (*RATED, "ranking") and not self.optional


@dataclass(frozen=True, slots=True)
class Form:
    """The questions in their order, and the YAML that they came from."""

    title: str
    items: tuple[Item, ...]
    source: str

    def item(self, name: str) -> Item:
        """The question of that name. Raises InputError when there is none."""
        for one in self.items:
            if one.name == name:
                return one
        raise InputError(f"no question {name!r} in the form")

    def first(self, kind: str) -> Item | None:
        """The question of a kind that there is one of at most."""
        return next((one for one in self.items if one.kind == kind), None)

    def questions(self) -> tuple[Question, ...]:
        """The scales and choices as the analysis reads them."""
        return tuple(
            Question(
                one.name, one.title, one.kind, tuple(one.anchors), tuple(one.anchors.values()), one.higher_is_better
            )
            for one in self.items
            if one.kind in RATED
        )


def read_form(path: Path = DEFAULT) -> Form:
    """The form in a YAML file. Raises InputError that names everything wrong with it."""
    try:
        source = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8") from None
    return parse_form(source, str(path))


@lru_cache(64)  # every request reads the form of its study, which is never changed
def parse_form(source: str, where: str = "form") -> Form:
    """The form in a YAML text. Raises InputError that names everything wrong with it."""
    try:
        held = yaml.safe_load(source)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(f"{where}{f':{mark.line + 1}' if mark else ''}: not YAML") from None
    if problems := list(_problems(held)):
        raise InputError(f"{where}: " + "; ".join(problems))
    return Form(held["title"].strip(), tuple(_item(one) for one in held["questions"]), source)


def _item(held: dict[str, Any]) -> Item:
    extra = {key: held[key] for key in _FIELDS[held["kind"]] & held.keys()}
    return Item(held["name"], held["title"].strip(), str(held.get("ask") or "").strip(), held["kind"], **extra)


def _problems(held: Any) -> Iterator[str]:
    if not isinstance(held, dict) or not isinstance(held.get("questions"), list) or not held["questions"]:
        yield "expected a title and a list of questions"
        return
    if not _is_words(held.get("title")):
        yield "it has no title"
    seen: dict[str, str] = {}
    for number, one in enumerate(held["questions"], start=1):
        if not isinstance(one, dict):
            yield f"question {number} is no mapping of name, title and kind"
            continue
        name, kind = one.get("name"), one.get("kind")
        if not isinstance(name, str) or not name or not _NAME_CHARACTERS.issuperset(name):
            yield f"question {number} needs a name of small letters, digits and _"
            continue
        if name in seen:
            yield f"two questions are called {name}"
        if not _is_words(one.get("title")):
            yield f"{name} has no title"
        if kind not in KINDS:
            yield f"{name} has no kind out of {', '.join(KINDS)}"
            continue
        if kind not in RATED and kind in seen.values():
            yield f"{name} is a second question of the kind {kind}; one is allowed"
        seen[name] = kind
        if unknown := sorted(map(str, one.keys() - {"name", "title", "ask", "kind"} - _FIELDS[kind])):
            yield f"{name} has {', '.join(unknown)}, which a {kind} has not"
        yield from _problems_of_kind(name, kind, one)


def _problems_of_kind(name: str, kind: str, one: dict[str, Any]) -> Iterator[str]:
    for flag in ("higher_is_better", "optional"):
        if not isinstance(one.get(flag, True), bool):
            yield f"{name}.{flag} must be true or false"
    for part in {"scale": ("anchors",), "choice": ("anchors",), "errors": ("kinds", "significance")}.get(kind, ()):
        held = one.get(part)
        if not isinstance(held, dict) or len(held) < (1 if part == "kinds" else 2):
            yield f"{name} needs {part}: a line for each, with its words"
            continue
        for key, told in held.items():
            if not _is_words(told):
                yield f"{name}: {key} has no {'anchor' if part == 'anchors' else 'words'}"
            if kind != "scale" and not (isinstance(key, str) and key and _NAME_CHARACTERS.issuperset(key)):
                yield f"{name}.{part}: {key!r} is no name of small letters, digits and _ (put it in quotes)"
        if kind == "scale" and (missing := _missing_steps(held)):
            yield f"{name}: {missing}"


def _missing_steps(anchors: dict[Any, Any]) -> str:
    steps = list(anchors)
    if not all(isinstance(step, int) and not isinstance(step, bool) for step in steps):
        return "the steps of a scale are whole numbers"
    if len(steps) > 10 or max(steps) - min(steps) > 9:
        return "a scale has ten steps at most"
    if missing := sorted(set(range(min(steps), max(steps) + 1)) - set(steps)):
        return f"no anchor for step {', '.join(map(str, missing))}"
    return "" if steps == sorted(steps) else "its steps do not stand in order"


def _is_words(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def check_answer(item: Item, value: Any, shown: str, candidates: Sequence[str] = ()) -> Any:
    """The answer as it is kept; None (an answer taken back) stays None. Raises InputError for one out of range.

    `shown` is the draft that it is about, `candidates` the ids of a page's drafts, for a ranking.
    """
    if value is None:
        return None
    if item.kind in RATED:
        # bool is an int, and True == 1: neither a scale nor a choice has such a step.
        if isinstance(value, (bool, float)) or not isinstance(value, (int, str)) or value not in item.anchors:
            raise InputError(f"{item.name}: expected one of {', '.join(map(str, item.anchors))}")
        return value
    if item.kind in ("comment", "correction"):
        if not isinstance(value, str) or len(value) > TEXT_CHARACTERS or not is_unicode(value) or "\0" in value:
            raise InputError(f"{item.name}: expected text of at most {TEXT_CHARACTERS} characters")
        return value.strip() or None
    if item.kind == "ranking":
        if not isinstance(value, dict) or not value.keys() <= set(candidates):
            raise InputError(f"{item.name}: expected a rank for drafts of this page")
        if not all(type(rank) is int and 1 <= rank <= len(candidates) for rank in value.values()):
            raise InputError(f"{item.name}: expected ranks of 1 to {len(candidates)}")
        return value
    return _check_error(item, value, shown)


def _check_error(item: Item, value: Any, shown: str) -> dict[str, Any]:
    """One mark: {kind, significance, start, end}, both ends None for what is missing from the text."""
    if not isinstance(value, dict) or value.keys() != {"kind", "significance", "start", "end"}:
        raise InputError(f"{item.name}: expected kind, significance, start and end")
    start, end = value["start"], value["end"]
    if not isinstance(value["kind"], str) or value["kind"] not in item.kinds:
        raise InputError(f"{item.name}: expected a kind out of {', '.join(item.kinds)}")
    if not isinstance(value["significance"], str) or value["significance"] not in item.significance:
        raise InputError(f"{item.name}: expected a significance out of {', '.join(item.significance)}")
    nowhere = start is None and end is None
    if not nowhere and not (type(start) is int and type(end) is int and 0 <= start < end <= len(shown)):
        raise InputError(f"{item.name}: the place is outside the draft")
    return dict(value)


def is_complete_ranking(value: Any, candidates: Sequence[str]) -> bool:
    """Whether every draft of the page has its rank."""
    return isinstance(value, dict) and value.keys() == set(candidates)


def missing_answers(form: Form, answers: Mapping[tuple[str, str], Any], candidates: Sequence[str]) -> list[str]:
    """Which required questions of a page have no answer yet, as their titles; `answers` by (candidate or "", question).

    A page with one draft asks for no preference.
    """
    missing: dict[str, None] = {}
    for item in form.items:
        if not item.is_required:
            continue
        if item.is_of_page:
            if len(candidates) > 1 and not is_complete_ranking(answers.get(("", item.name)), candidates):
                missing[item.title] = None
        elif any(answers.get((one, item.name)) is None for one in candidates):
            missing[item.title] = None
    return list(missing)


def required_count(form: Form, drafts: int) -> int:
    """How many answers a page of so many drafts asks for at least."""
    each = sum(item.is_required and not item.is_of_page for item in form.items)
    whole = sum(item.is_required and item.is_of_page for item in form.items) if drafts > 1 else 0
    return math.prod((each, drafts)) + whole
