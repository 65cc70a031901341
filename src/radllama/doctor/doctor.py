"""Every check, in the order in which a fault shows first."""

from collections.abc import Callable, Mapping
from typing import Any

from radllama.doctor.drafts import check_converted, check_ends, check_merged, check_served
from radllama.doctor.files import check_adapter, check_base, check_hashes, check_loads, check_resume, check_template
from radllama.doctor.outcome import FAIL, Outcome, SkippedError, failed, skipped
from radllama.doctor.subject import Subject
from radllama.doctor.tokens import check_context, check_end_token, check_prompt_ids, check_special_tokens
from radllama.errors import InputError

CHECKS: Mapping[str, Callable[[Subject], Outcome]] = {
    "loads": check_loads,
    "adapter": check_adapter,
    "base": check_base,
    "hashes": check_hashes,
    "template": check_template,
    "resume": check_resume,
    "prompt ids": check_prompt_ids,
    "end token": check_end_token,
    "special tokens": check_special_tokens,
    "context": check_context,
    "drafts end": check_ends,
    "merged": check_merged,
    "converted": check_converted,
    "served": check_served,
}


def examine(subject: Subject) -> dict[str, Outcome]:
    """The outcome of every check. Raises InputError for what is no model at all."""
    subject.folder  # noqa: B018  (a mistyped name is a mistake, not a sick model)
    return {name: examine_one(name, subject) for name in CHECKS}


def examine_one(name: str, subject: Subject) -> Outcome:
    """The outcome of one check."""
    try:
        return CHECKS[name](subject)
    except SkippedError as reason:
        return skipped(str(reason))
    except InputError as error:
        return failed(str(error), "mend this, and run the check again")


def render_table(outcomes: Mapping[str, Outcome]) -> Any:
    """A table for a terminal (rich): what was checked, how it went, what to do."""
    from rich.markup import escape
    from rich.table import Table

    colours = {"pass": "green", "fail": "bold red", "skipped": "dim"}
    table = Table("check", "", "what was seen, and what to do", box=None, pad_edge=False)
    for name, one in outcomes.items():
        told = escape(one.told) + (f"\n[bold]-> {escape(one.todo)}[/bold]" if one.todo else "")
        table.add_row(name, f"[{colours[one.status]}]{one.status}[/]", told)
    return table


def count_failed(outcomes: Mapping[str, Outcome]) -> int:
    """How many checks failed."""
    return sum(one.status == FAIL for one in outcomes.values())
