"""What a worker does: findings -> impressions with their links, flags and neighbours; texts -> continuations."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from radllama.clinical.check import Checker
from radllama.clinical.links import link
from radllama.console import note
from radllama.drafting.draft import MISSES_LIBRARY, NO_FINDINGS, REFUSALS, Drafter
from radllama.drafting.load import load_drafter
from radllama.drafting.style import render_style
from radllama.engines import Completion, Sampling
from radllama.errors import InputError
from radllama.files import hash_file
from radllama.library import Library
from radllama.library.folder import read_library
from radllama.model import model_folder
from radllama.server.jobs import (
    IMPOSSIBLE,
    Channel,
    Choice,
    CompletionJob,
    Failure,
    ImpressionJob,
    Job,
    ModelInfo,
    Result,
    Silent,
)
from radllama.server.stops import cut_at_stop
from radllama.text import words

# Alternatives are sampled: warm enough to differ from the draft, not so warm that they stray from the findings.
_ALTERNATIVES_TEMPERATURE = 0.7


@dataclass(frozen=True, slots=True)
class _Asked:
    """A job with its rendered prompt and the length of that in tokens."""

    job: Job
    prompt: str
    tokens: int

    @property
    def is_shown_as_written(self) -> bool:
        """Whether its pieces together are what will be shown at the end."""
        return isinstance(self.job, CompletionJob) or self.job.style == "house"

    @property
    def sampling(self) -> Sampling:
        """Of the first choice of an impression, of all choices of a completion."""
        job = self.job
        if isinstance(job, ImpressionJob) or not job.temperature:
            return Sampling(max_new_tokens=job.max_new_tokens)
        return Sampling(job.max_new_tokens, job.temperature, job.seed, samples=job.n)


class Assistant:
    """A drafter in a worker, with a library of prior reports or without."""

    def __init__(self, drafter: Drafter, weights_sha256: str = "", library: Library | None = None) -> None:
        self._drafter = drafter.with_library(library) if library else drafter
        self._library = library
        abilities = {"streaming", "sampling"} | ({"library"} if library else set())
        self.info = ModelInfo(
            drafter.name, drafter.prompt.name, weights_sha256, drafter.engine.context_tokens, frozenset(abilities)
        )

    def run(self, jobs: Sequence[Job], channel: Channel) -> list[Result | Failure]:
        """Do a batch. One that is alone is streamed; several are faster together, and each then comes as one piece."""
        asked = [self._ask(job) for job in jobs]
        drafted = self._complete({at: one for at, one in enumerate(asked) if isinstance(one, _Asked)}, channel)
        outcomes: list[Result | Failure] = []
        for at, one in enumerate(asked):
            if isinstance(one, Failure):
                outcomes.append(one)
            elif isinstance(one.job, ImpressionJob):
                outcomes.append(self._impression(one, one.job, drafted[at], channel.is_wanted(at)))
            else:
                outcomes.append(_continuation(one, one.job, drafted[at]))
        return outcomes

    def _ask(self, job: Job) -> _Asked | Failure:
        try:
            prompt, tokens = self._render(job)
        except InputError as error:
            return Failure(IMPOSSIBLE, str(error))
        if tokens + job.max_new_tokens > self._drafter.engine.context_tokens:
            return Failure(
                IMPOSSIBLE,
                f"{tokens} tokens and {job.max_new_tokens} for the draft exceed the model's context of "
                f"{self._drafter.engine.context_tokens}; send less, for nothing is ever cut",
            )
        return _Asked(job, prompt, tokens)

    def _render(self, job: Job) -> tuple[str, int]:
        """A job's prompt and its length in tokens."""
        if isinstance(job, CompletionJob) and isinstance(job.prompt, str):
            return job.prompt, self._drafter.engine.count_tokens(job.prompt)
        findings = job.findings if isinstance(job, ImpressionJob) else job.prompt[-1][1]
        if reason := self._drafter.vocabulary.why_abstain(findings) if words(findings) else NO_FINDINGS:
            raise InputError(f"no draft is made: {REFUSALS[reason]}")
        indication = job.indication if isinstance(job, ImpressionJob) else ""
        asked = self._drafter.ask(findings, indication, job.max_new_tokens)
        return asked.text, asked.tokens

    def _complete(self, asked: dict[int, _Asked], channel: Channel) -> dict[int, list[Completion]]:
        groups: dict[Sampling, list[int]] = {}
        for at, one in asked.items():
            groups.setdefault(one.sampling, []).append(at)
        if len(asked) == 1 and (stream := self._stream(asked, channel)):
            return stream
        drafted: dict[int, list[Completion]] = {}
        for sampling, members in groups.items():
            wanted = [at for at in members if channel.is_wanted(at)]
            found = self._drafter.engine.complete([asked[at].prompt for at in wanted], sampling) if wanted else []
            drafted |= dict(zip(wanted, found, strict=True))
            for at in wanted:
                if asked[at].is_shown_as_written:
                    channel.piece(at, drafted[at][0].text)
        return {at: drafted.get(at, [Completion("", "stop")]) for at in asked}

    def _stream(self, asked: dict[int, _Asked], channel: Channel) -> dict[int, list[Completion]] | None:
        """The only job, piece by piece; None where its pieces are nobody's, or not what will be shown."""
        ((at, one),) = asked.items()
        if not channel.wants_pieces(at) or not one.is_shown_as_written or one.sampling.samples > 1:
            return None
        text, pieces = "", self._drafter.engine.stream(one.prompt, one.sampling)
        for piece in pieces:
            text += piece
            channel.piece(at, piece)
            if not channel.is_wanted(at):
                break
        tokens = self._drafter.engine.count_tokens(text)
        reason = "length" if tokens >= one.job.max_new_tokens else "stop"
        return {at: [Completion(text, reason)]}

    def _impression(self, asked: _Asked, job: ImpressionJob, drafted: list[Completion], wanted: bool) -> Result:
        drafts = [drafted[0]]
        if job.n > 1 and wanted:
            sampling = Sampling(job.max_new_tokens, _ALTERNATIVES_TEMPERATURE, job.seed, samples=job.n - 1)
            drafts += self._drafter.engine.complete([asked.prompt], sampling)[0]
        styled = {render_style(draft.text, job.style): draft for draft in reversed(drafts)}  # the first of equals wins
        checker = Checker(job.findings)
        choices = tuple(
            Choice(
                text,
                draft.finish_reason,
                links=tuple(
                    {"impression": one.impression, "findings": one.findings} for one in link(job.findings, text)
                ),
                flags=tuple(flag.to_json() for flag in checker.check(text)),
            )
            for text, draft in reversed(styled.items())
        )
        near = self._library.nearest(job.findings, job.neighbours) if self._library and job.neighbours else []
        return Result(
            choices,
            asked.tokens,
            sum(self._drafter.engine.count_tokens(draft.text) for draft in drafts),
            neighbours=[
                {"id": one.id, "score": round(one.score, 4), "findings": one.findings, "impression": one.impression}
                for one in near
            ],
        )


def _continuation(asked: _Asked, job: CompletionJob, drafted: list[Completion]) -> Result:
    choices = []
    for completion in drafted * (1 if job.temperature else job.n):  # greedy choices are all the same
        text, stopped = cut_at_stop(completion.text, job.stop)
        choices.append(Choice(text, "stop" if stopped else completion.finish_reason))
    return Result(tuple(choices), asked.tokens, sum(completion.tokens for completion in drafted))


def load_assistant(
    model: str, device: str = "auto", engine: str | None = None, library: Path | None = None
) -> Assistant:
    """What a worker loads. Raises InputError for what is no model, no engine for it, and no library."""
    prior = read_library(library) if library else None
    drafter = load_drafter(model, device, engine)
    if drafter.prompt.shelf and not prior:
        note(MISSES_LIBRARY)
    assistant = Assistant(drafter, hash_weights(model), prior)
    # The first draft of all loads the lexicon and warms the network: no radiologist should wait for that.
    assistant.run([ImpressionJob("The lungs are clear.", max_new_tokens=8)], Silent())
    return assistant


def hash_weights(model: str) -> str:
    """SHA-256 over the SHA-256s of a model folder's safetensors files, in order of their names; "" for a hub name."""
    folder = model_folder(model)
    if folder is None:
        return ""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(f"{path.name} {hash_file(path)}\n".encode())
    return digest.hexdigest()
