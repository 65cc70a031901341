"""What `radllama draft` takes for models that were not tuned here, and for endpoints."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radllama.console import note
from radllama.engines import ENGINES, TRANSFORMERS
from radllama.errors import InputError

if TYPE_CHECKING:
    from radllama.engines.openai import Asked
    from radllama.rivals.rival import Rival

ENDPOINT = "openai"
_KEPT_AT_A_TIME = 16

Template = Annotated[
    str | None,
    typer.Option(help="How to ask a model not tuned here: chat (its own template), paper, plain, or a folder's."),
]
Shots = Annotated[int, typer.Option(min=0, help="With --library: so many nearest reports shown as examples.")]
Tidy = Annotated[bool, typer.Option("--tidy/--no-tidy", help="Take off what a model says around the impression.")]
BaseUrl = Annotated[str | None, typer.Option(help="With --engine openai: http(s)://HOST[:PORT]/v1.")]
KeyVariable = Annotated[str, typer.Option(help="The environment variable that holds the endpoint's key.")]
Request = Annotated[
    list[str] | None, typer.Option(metavar="FIELD=VALUE", help="Set a field of the requests; null leaves it out.")
]
Concurrency = Annotated[int, typer.Option(min=1, help="Requests under way at a time.")]
TimeoutS = Annotated[float, typer.Option(min=1, help="Seconds to wait for an answer.")]
Recording = Annotated[Path | None, typer.Option("--cassette", help="A .jsonl to record answers in, and replay them.")]
Offline = Annotated[bool, typer.Option("--offline", help="Send nothing: answers come from the cassette alone.")]


@dataclass(frozen=True, slots=True)
class RivalOptions:
    """The options above, as they were given."""

    engine: str | None
    template: str | None
    shots: int
    tidy: bool
    base_url: str | None
    key_variable: str
    request: Sequence[str] = field(default_factory=tuple)
    concurrency: int = 4
    timeout_s: float = 120.0
    cassette: Path | None = None
    offline: bool = False

    @property
    def are_used(self) -> bool:
        """Whether a rival is to draft, rather than a model of ours in its own prompt."""
        return self.engine == ENDPOINT or self.template is not None or self.shots > 0

    @property
    def batch_size(self) -> int | None:
        """Few answers of an endpoint are to be lost when something breaks; else None, by length."""
        return _KEPT_AT_A_TIME if self.engine == ENDPOINT else None

    def check(self, library: Path | None, consensus: int | None) -> None:
        """Raise InputError for options that do not go together."""
        if self.engine not in (None, *ENGINES, ENDPOINT):
            raise InputError(f"draft: no engine {self.engine!r}; there are {', '.join((*ENGINES, ENDPOINT))}")
        if consensus and self.are_used:
            raise InputError("draft: --consensus asks no model; leave out --engine, --template and --shots")
        if self.shots and not library:
            raise InputError("draft: --shots shows prior reports; give their --library too")
        if self.engine == ENDPOINT and not self.base_url:
            raise InputError("draft: --engine openai needs --base-url, as in http://127.0.0.1:8000/v1")
        if self.engine != ENDPOINT:
            given: list[tuple[str, object]] = [
                ("--base-url", self.base_url),
                ("--request", self.request),
                ("--cassette", self.cassette),
                ("--offline", self.offline),
            ]
            if foreign := [name for name, value in given if value]:
                raise InputError(f"draft: {foreign[0]} is for an endpoint; add --engine openai")


def make_rival(model: str, device: str, library: Path | None, options: RivalOptions) -> "Rival[str] | Rival[Asked]":
    """The model asked as the options say. Raises InputError for what cannot be asked so."""
    from radllama.engines.openai import Endpoint
    from radllama.rivals.load import connect_rival, load_rival, read_examples

    examples = read_examples(library, options.shots) if library else None
    if options.engine != ENDPOINT or options.base_url is None:
        return load_rival(model, options.template, examples, options.tidy, device, options.engine or TRANSFORMERS)
    endpoint = Endpoint(
        options.base_url,
        model,
        options.key_variable,
        parse_fields(options.request),
        options.concurrency,
        options.timeout_s,
    )
    return connect_rival(endpoint, options.template, examples, options.tidy, options.cassette, options.offline)


def parse_fields(entries: Sequence[str]) -> dict[str, Any]:
    """{"max_tokens": None} of `max_tokens=null`; a value that is not JSON is text."""
    fields: dict[str, Any] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals or not name or name in ("messages", "prompt", "stream", "n"):
            raise InputError(f"--request {name!r}: expected FIELD=VALUE, and no field that holds or shapes the answer")
        try:
            fields[name] = json.loads(value)
        except ValueError:
            fields[name] = value
    return fields


def tell_facts(drafts: Path) -> None:
    """Say on stderr what was done for a rival's drafts."""
    from radllama.rivals.rival import count_facts

    tidied, dropped = count_facts(drafts)
    if tidied:
        rules = ", ".join(f"{rule} {count}" for rule, count in sorted(tidied.items()))
        note(f'tidied answers, by rule: {rules} (as they came, they stand under "answer"; --no-tidy leaves them)')
    if dropped:
        note(f"examples that did not fit the context: {dropped['examples']}, in {dropped['reports']} reports")
