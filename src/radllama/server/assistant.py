"""What a worker does: findings -> impressions with what speaks for and against them; texts -> continuations."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from radllama.console import note
from radllama.drafting.draft import MISSES_LIBRARY, NO_FINDINGS, REFUSALS, TOO_LONG, Drafter
from radllama.drafting.election import Voting
from radllama.drafting.load import load_drafter
from radllama.drafting.sampling import plan_sampling
from radllama.drafting.voting import VotingDrafter, load_voting
from radllama.engines import Completion, Sampling
from radllama.errors import InputError
from radllama.library.advice import custom_advice
from radllama.library.asking import Asked
from radllama.model import model_folder
from radllama.server.continuation import EXCEEDED, continue_text
from radllama.server.impressions import show_choices, show_neighbours
from radllama.server.jobs import (
    IMPOSSIBLE,
    LOGPROBS,
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
from radllama.server.way import tell_way
from radllama.text import words
from radllama.weights import digest_weights

# Without a vote alternatives are sampled: warm enough to differ from the draft, not so warm that they stray from the
# findings.
_ALTERNATIVES_TEMPERATURE = 0.7
_TOLD = (
    "this draft begins with sentences that a rule takes from the findings: they are not the model's, and have no "
    "log-probabilities; ask without logprobs, or use /v1/completions"
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A job with its rendered prompt, and how its candidates are made.

    `streams`: whether what the model writes first is what will be shown at the end.
    """

    job: Job
    prompt: Asked
    sampling: Sampling
    streams: bool


class Assistant:
    """A drafter in a worker. With one that votes, an impression is what `radllama draft` would elect."""

    def __init__(self, drafter: Drafter, weights_sha256: str = "", samples: int = 1) -> None:
        """`samples`: the candidates that vote for an impression; 1 of a drafter that does not vote."""
        self._drafter = drafter
        self._voting = drafter if isinstance(drafter, VotingDrafter) else None
        self._samples = samples
        library = drafter.library
        abilities = {"streaming", "sampling"}
        abilities |= {name for name, there in (("library", library), ("vote", self._voting)) if there}
        self.info = ModelInfo(
            drafter.name,
            drafter.prompt.name,
            weights_sha256,
            drafter.engine.context_tokens,
            frozenset(abilities),
            tell_way(self._voting.voting if self._voting else None, library, samples),
            samples,
            str(drafter.settings().get("library", "")) if library else "",
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
                self._show(at, one, outcomes[-1], channel)
            else:
                outcomes.append(continue_text(one.job, drafted[at], one.prompt.tokens))
        return outcomes

    def _ask(self, job: Job) -> _Asked | Failure:
        try:
            prompt = self._render(job)
        except InputError as error:
            return Failure(IMPOSSIBLE, str(error))
        if prompt.tokens + job.max_new_tokens > self._drafter.engine.context_tokens:
            return Failure(
                IMPOSSIBLE,
                f"{prompt.tokens} tokens and {job.max_new_tokens} for the draft exceed the model's context of "
                f"{self._drafter.engine.context_tokens}; send less, for nothing is ever cut",
            )
        if isinstance(job, CompletionJob) and job.logprobs is not None and prompt.told:
            return Failure(IMPOSSIBLE, _TOLD, LOGPROBS)
        streams = isinstance(job, CompletionJob) or (job.style == "house" and not self._voting)
        return _Asked(job, prompt, self._sampling(job), streams)

    def _render(self, job: Job) -> Asked:
        if isinstance(job, CompletionJob) and isinstance(job.prompt, str):
            return Asked(job.prompt, self._drafter.engine.count_tokens(job.prompt))
        findings = job.findings if isinstance(job, ImpressionJob) else job.prompt[-1][1]
        if reason := self._drafter.vocabulary.why_abstain(findings) if words(findings) else NO_FINDINGS:
            raise InputError(f"no draft is made: {REFUSALS[reason]}")
        indication = job.indication if isinstance(job, ImpressionJob) else ""
        return self._drafter.ask(findings, indication, job.max_new_tokens)

    def _sampling(self, job: Job) -> Sampling:
        """Of all candidates of an impression that is voted for, of the first of one that is not, of a completion's."""
        if isinstance(job, ImpressionJob) and self._voting:
            return plan_sampling(True, job.max_new_tokens, None, self._samples, 1, job.seed)
        if isinstance(job, ImpressionJob):
            return Sampling(job.max_new_tokens)
        if not job.temperature:
            return Sampling(job.max_new_tokens, logprobs=job.logprobs)
        return Sampling(job.max_new_tokens, job.temperature, job.seed, samples=job.n, logprobs=job.logprobs)

    def _complete(self, asked: dict[int, _Asked], channel: Channel) -> dict[int, list[Completion]]:
        groups: dict[Sampling, list[int]] = {}
        for at, one in asked.items():
            groups.setdefault(one.sampling, []).append(at)
        if len(asked) == 1 and (stream := self._stream(asked, channel)):
            return stream
        drafted: dict[int, list[Completion]] = {}
        for sampling, members in groups.items():
            wanted = [at for at in members if channel.is_wanted(at)]
            prompts = [asked[at].prompt for at in wanted]
            found = self._drafter.engine.complete([one.text for one in prompts], sampling) if wanted else []
            finished = [[prompt.finish(one) for one in of] for prompt, of in zip(prompts, found, strict=True)]
            drafted |= dict(zip(wanted, finished, strict=True))
            for at in wanted:
                if asked[at].streams:
                    channel.piece(at, drafted[at][0].text)
        return {at: drafted.get(at, [Completion("", "stop")]) for at in asked}

    def _stream(self, asked: dict[int, _Asked], channel: Channel) -> dict[int, list[Completion]] | None:
        """The only job, piece by piece; None where its pieces are nobody's, or not what will be shown."""
        ((at, one),) = asked.items()
        if not channel.wants_pieces(at) or not one.streams or one.sampling.samples > 1:
            return None
        text = ""
        for piece in one.prompt.finish_pieces(self._drafter.engine.stream(one.prompt.text, one.sampling)):
            text += piece
            channel.piece(at, piece)
            if not channel.is_wanted(at):
                break
        tokens = self._drafter.engine.count_tokens(text.removeprefix(one.prompt.told))
        reason = "length" if tokens >= one.job.max_new_tokens else "stop"
        return {at: [Completion(text, reason)]}

    def _impression(
        self, asked: _Asked, job: ImpressionJob, drafted: list[Completion], wanted: bool
    ) -> Result | Failure:
        if not wanted:
            return Result((Choice("", "stop"),), asked.prompt.tokens, 0)
        if any(one.finish_reason == TOO_LONG for one in drafted):  # which only an endpoint finds out so late
            return EXCEEDED
        if self._voting:
            elected = self._voting.elect(job.findings, drafted, others=job.n - 1)
            others = [(text, "stop") for text in elected.others]
            choices = show_choices(
                job.findings,
                job.style,
                [(elected.text, elected.finish_reason), *others],
                [one.text for one in drafted],
                elected.neighbours,
                custom_advice(self._drafter.library, job.findings),
            )
            near = elected.neighbours[: job.neighbours]
        else:
            if job.n > 1:
                sampling = Sampling(job.max_new_tokens, _ALTERNATIVES_TEMPERATURE, job.seed, samples=job.n - 1)
                found = self._drafter.engine.complete([asked.prompt.text], sampling)[0]
                drafted = drafted + [asked.prompt.finish(one) for one in found]
            choices = show_choices(job.findings, job.style, [(one.text, one.finish_reason) for one in drafted])
            near = []
        written = sum(self._drafter.engine.count_tokens(one.text) for one in drafted)
        return Result(choices, asked.prompt.tokens, written, neighbours=show_neighbours(near))

    def _show(self, at: int, asked: _Asked, outcome: Result | Failure, channel: Channel) -> None:
        # Candidates are no draft: what streams of a vote is what was elected.
        if self._voting and isinstance(outcome, Result):
            channel.piece(at, outcome.choices[0].text)


def load_assistant(
    model: str, device: str = "auto", engine: str | None = None, library: Path | None = None, samples: int | None = None
) -> Assistant:
    """What a worker loads. Raises InputError for what is no model, no engine for it, and no library.

    Drafts are voted for, with a library or among `samples` alone; only 1 sample and no library is the model by itself.
    """
    drafter = load_drafter(model, device, engine)
    if drafter.prompt.shelf and not library:
        note(MISSES_LIBRARY)
    voters = plan_sampling(True, 1, None, samples, 1, 0).samples
    if library or voters > 1:
        drafter = load_voting(drafter, Voting(), library)
    folder = model_folder(model)
    assistant = Assistant(drafter, digest_weights(folder) if folder else "", voters)
    # The first draft of all loads the lexicon and warms the network: no radiologist should wait for that.
    assistant.run([ImpressionJob("The lungs are clear.", max_new_tokens=8)], Silent())
    return assistant
