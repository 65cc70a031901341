"""Drafting with any model under the same conditions: the same question, examples, limits and tidying for all."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from radllama.drafting.batches import plan_batches
from radllama.drafting.draft import NO_FINDINGS, TOO_LONG, Draft, check_findings
from radllama.engines import Completion, Sampling
from radllama.errors import InputError
from radllama.files import read_jsonl
from radllama.library import Library, Neighbour
from radllama.report import Report
from radllama.rivals.question import Question
from radllama.rivals.tidy import NEXT_TURN, TIDY_VERSION, Tidied, tidy
from radllama.text import words

Prompt = TypeVar("Prompt")
_Prompt = TypeVar("_Prompt", contravariant=True)


class Answers(Protocol[_Prompt]):
    """What is needed of an engine; its prompts are text, or messages where an endpoint lays them out itself."""

    @property
    def name(self) -> str:
        """The engine, as run files record it."""
        ...

    @property
    def context_tokens(self) -> int:
        """Prompt and draft together must fit this many tokens."""
        ...

    def count_tokens(self, prompt: _Prompt) -> int:
        """The tokens of a prompt; 0 where only a server can count them."""
        ...

    def complete(self, prompts: Sequence[_Prompt], sampling: Sampling) -> list[list[Completion]]:
        """The candidates of each; finish_reason "too_long" where it turns out not to fit."""
        ...


@dataclass(frozen=True, slots=True)
class RivalDraft(Draft):
    """A draft with what was done for it.

    `neighbours` are the examples shown; `examples_dropped` those that did not fit. `answer` is what the model said
    where tidying changed it, `tidied` the rules that did.
    """

    examples_dropped: int = 0
    answer: str | None = None
    tidied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asking(Generic[Prompt]):
    """A model and how it is asked: `render` makes of a question what the engine takes; names are for the drafts.

    `continues`: the answer goes on with a text that ends where the impression begins (see `tidy`), or after what
    `tell` gives of it.
    """

    engine: Answers[Prompt]
    render: Callable[[Question], Prompt]
    model_name: str
    layout_name: str
    continues: bool
    tell: Callable[[Question], str] = lambda question: ""


@dataclass(frozen=True, slots=True)
class Examples:
    """How many of the nearest prior reports are shown, out of which library; `name` is for the run file.

    `within`: those of the nearest that a template's own budget lets through.
    """

    shots: int
    library: Library
    name: str
    within: Callable[[Sequence[Neighbour]], Sequence[Neighbour]] = lambda near: near


class Rival(Generic[Prompt]):
    """A way from findings to drafts through any model: zero-shot, or with the nearest prior reports as examples."""

    def __init__(
        self,
        asking: Asking[Prompt],
        examples: Examples | None = None,
        tidying: bool = True,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """`settings`: what else decides the drafts, such as further fields of a request, for the run file."""
        self.library = examples.library if examples else None
        self._asking, self._examples, self._tidying = asking, examples, tidying
        self._settings = dict(settings or {})

    @property
    def prompt_name(self) -> str:
        """The layout and the number of examples asked for: "chat@1f2e3d4c+5"."""
        return self._asking.layout_name + (f"+{self._examples.shots}" if self._examples else "")

    def settings(self) -> dict[str, Any]:
        """What decides the drafts beside the reports and the sampling."""
        return {
            "model": self._asking.model_name,
            "prompt": self.prompt_name,
            "engine": self._asking.engine.name,
            "shots": self._examples.shots if self._examples else 0,
            "library": self._examples.name if self._examples else None,
            "tidy": TIDY_VERSION if self._tidying else None,
            **self._settings,
        }

    def draft(self, findings: str, indication: str = "", sampling: Sampling | None = None) -> Completion:
        """Draft one impression. Raises InputError for findings without words or too long for the model."""
        check_findings(findings, indication)
        report = Report("", None, findings, "", indication)
        (batch,) = self.draft_batches([report], sampling or Sampling())
        if batch[0].finish_reason == TOO_LONG:
            raise InputError("findings and draft exceed the model's context; shorten them (nothing is ever cut)")
        return Completion(batch[0].draft, batch[0].finish_reason)

    def draft_batches(
        self, reports: Sequence[Report], sampling: Sampling, batch_size: int | None = None, skip: int = 0
    ) -> Iterator[dict[int, Draft]]:
        """{index in `reports`: draft} for each batch, as `Drafter` makes them; the first `skip` are passed over."""
        asked = {i: self._ask(report, sampling) for i, report in enumerate(reports) if words(report.findings)}
        tokens = {i: self._count(question) for i, question in asked.items()}
        batches = plan_batches(tokens, sampling.max_new_tokens * sampling.samples, batch_size)
        if wordless := [i for i in range(len(reports)) if i not in asked]:
            batches.insert(0, wordless)
        for batch in batches[skip:]:
            if batch[0] in asked:
                answered = self._answer([asked[i] for i in batch], sampling)
            else:
                answered = [(Question(""), Completion("", NO_FINDINGS)) for _ in batch]
            yield {i: self._record(reports[i], *one, sampling) for i, one in zip(batch, answered, strict=True)}

    def _ask(self, report: Report, sampling: Sampling) -> Question:
        question = Question(report.findings, report.indication)
        if self._examples:
            # Never its own report, nor another of its patient: their impressions repeat each other.
            nearest = self._examples.library.nearest(report.findings, self._examples.shots, leave_out=report)
            kept = self._examples.within(nearest)
            question = replace(question, examples=tuple(reversed(kept)), dropped=len(nearest) - len(kept))
        while question.examples and not self._fits(question, sampling):
            question = question.without_farthest()
        return question

    def _answer(self, questions: Sequence[Question], sampling: Sampling) -> list[tuple[Question, Completion]]:
        """Each question as it was answered in the end: with fewer examples where the server found it too long."""
        answers = [(question, Completion("", TOO_LONG)) for question in questions]
        fitting = [i for i, question in enumerate(questions) if self._fits(question, sampling)]
        if fitting:
            prompts = [self._asking.render(questions[i]) for i in fitting]
            for i, candidates in zip(fitting, self._asking.engine.complete(prompts, sampling), strict=True):
                answers[i] = (questions[i], candidates[0])
        again = [i for i in fitting if answers[i][1].finish_reason == TOO_LONG and questions[i].examples]
        if again:
            shorter = self._answer([questions[i].without_farthest() for i in again], sampling)
            for i, answer in zip(again, shorter, strict=True):
                answers[i] = answer
        return answers

    def _count(self, question: Question) -> int:
        return self._asking.engine.count_tokens(self._asking.render(question))

    def _fits(self, question: Question, sampling: Sampling) -> bool:
        return self._count(question) + sampling.max_new_tokens <= self._asking.engine.context_tokens

    def _record(self, report: Report, question: Question, completion: Completion, sampling: Sampling) -> RivalDraft:
        tidied = tidy(completion.text, self._asking.continues) if self._tidying else Tidied(completion.text, ())
        # A model that went on to the next question had finished with this one.
        ended = completion.finish_reason == "length" and NEXT_TURN in tidied.rules
        return RivalDraft(
            id=report.id,
            findings=report.findings,
            reference=report.impression or None,
            draft=f"{self._asking.tell(question)} {tidied.text}".strip(),
            model=self._asking.model_name,
            prompt=self.prompt_name,
            seed=sampling.seed,
            finish_reason="stop" if ended else completion.finish_reason,
            neighbours=tuple(reversed(question.examples)) if self.library else None,
            source=report.source or None,
            examples_dropped=question.dropped,
            answer=completion.text if tidied.rules else None,
            tidied=tidied.rules,
        )


def count_facts(drafts: Path) -> tuple[Counter[str], Counter[str]]:
    """What was done for a file of drafts: reports by rule of tidying; "reports" and "examples" that lack examples."""
    rules: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for _, row in read_jsonl(drafts):
        rules.update(row["tidied"])
        if row["examples_dropped"]:
            dropped.update(reports=1, examples=row["examples_dropped"])
    return rules, dropped
