"""A chat model served elsewhere: it drafts, takes an instruction, and answers follow-up turns of a conversation.

A plain draft is voted for like any other. One that was asked for in somebody's own words is not: no prior report knows
what was asked. It is the model's answer, checked and flagged, and says that nothing voted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from radllama.drafting.draft import NO_FINDINGS, REFUSALS
from radllama.drafting.election import Voting, elect
from radllama.drafting.sampling import plan_sampling
from radllama.engines import Completion, Sampling
from radllama.engines.openai import TOO_LONG, Asked, OpenAIEngine
from radllama.errors import InputError
from radllama.library import Library
from radllama.library.habits import Habits
from radllama.rivals.question import Layout, Question
from radllama.rivals.tidy import tidy
from radllama.server.continuation import EXCEEDED, continue_text
from radllama.server.impressions import show_choices, show_neighbours
from radllama.server.jobs import (
    IMPOSSIBLE,
    Channel,
    Choice,
    CompletionJob,
    Failure,
    Job,
    ModelInfo,
    Result,
)
from radllama.server.way import tell_way
from radllama.text import words


@dataclass(frozen=True, slots=True)
class Department:
    """What votes beside the model: prior reports, what their radiologists repeat, and the library's name."""

    library: Library | None = None
    habits: Habits | None = None
    name: str = ""


class ChatAssistant:
    """Drafts through an endpoint in chat."""

    def __init__(self, engine: OpenAIEngine, department: Department, samples: int) -> None:
        """`samples`: answers that vote for a plain draft; with 1 and no library the answer is the draft."""
        self._engine, self._department, self._samples = engine, department, samples
        self._voting = Voting() if department.library or samples > 1 else None
        abilities = {"streaming", "sampling", "chat"}
        abilities |= {name for name, there in (("library", department.library), ("vote", self._voting)) if there}
        layout = Layout()
        self._layout = layout
        self.info = ModelInfo(
            engine.model_name,
            layout.name,
            "",  # the weights are the other server's to vouch for
            engine.context_tokens,
            frozenset(abilities),
            tell_way(self._voting, department.library, samples),
            samples,
            department.name,
        )

    def run(self, jobs: Sequence[Job], channel: Channel) -> list[Result | Failure]:
        """Do a batch: requests that are sampled alike go out together."""
        outcomes: dict[int, Result | Failure] = {}
        groups: dict[Sampling, list[tuple[int, Asked]]] = {}
        for at, job in enumerate(jobs):
            try:
                prompt, sampling = self._ask(job)
            except InputError as error:
                outcomes[at] = Failure(IMPOSSIBLE, str(error))
                continue
            if isinstance(job, CompletionJob) and len(jobs) == 1 and job.n == 1 and channel.wants_pieces(at):
                outcomes[at] = self._stream(job, prompt, sampling, channel)
            elif channel.is_wanted(at):
                groups.setdefault(sampling, []).append((at, prompt))
            else:
                outcomes[at] = Result((Choice("", "stop"),), 0, 0)
        for sampling, asked in groups.items():
            answers = self._engine.complete([prompt for _, prompt in asked], sampling)
            for (at, _), answer in zip(asked, answers, strict=True):
                outcomes[at] = self._finish(jobs[at], answer)
                if isinstance(outcome := outcomes[at], Result):
                    channel.piece(at, outcome.choices[0].text)
        return [outcomes[at] for at in range(len(jobs))]

    def _ask(self, job: Job) -> tuple[Asked, Sampling]:
        if isinstance(job, CompletionJob):
            greedy = not job.temperature
            samples = 1 if greedy else job.n
            sampling = Sampling(job.max_new_tokens, job.temperature, job.seed, samples, logprobs=job.logprobs)
            if isinstance(job.prompt, str):
                return job.prompt, sampling
            return [{"role": role, "content": content} for role, content in job.prompt], sampling
        if not words(job.findings):
            raise InputError(f"no draft is made: {REFUSALS[NO_FINDINGS]}")
        messages = self._layout.render(Question(job.findings, job.indication))
        assert not isinstance(messages, str)
        if job.instruction:
            messages[-1]["content"] += f"\n\nInstruction: {job.instruction}"
        messages += [{"role": role, "content": text} for role, text in job.turns]
        if self._voting and not job.is_personal:
            return messages, plan_sampling(True, job.max_new_tokens, None, self._samples, 1, job.seed)
        if job.n > 1:  # several answers differ only when they are sampled; the first is then sampled too
            return messages, Sampling(job.max_new_tokens, 0.7, job.seed, samples=job.n)
        return messages, Sampling(job.max_new_tokens)

    def _stream(self, job: CompletionJob, prompt: Asked, sampling: Sampling, channel: Channel) -> Result | Failure:
        text = ""
        for piece in self._engine.stream(prompt, sampling):
            text += piece
            channel.piece(0, piece)
            if not channel.is_wanted(0):
                break
        return continue_text(job, [Completion(text, "stop")])

    def _finish(self, job: Job, answers: list[Completion]) -> Result | Failure:
        if isinstance(job, CompletionJob):
            return continue_text(job, answers)
        if any(one.finish_reason == TOO_LONG for one in answers):
            return EXCEEDED
        # Tidied before anybody sees it; a model that would not answer has said nothing.
        said = [(tidy(one.text).text, _reason(one)) for one in answers]
        written = sum(one.tokens for one in answers)
        if not self._voting or job.is_personal:
            said = [(text, reason) for text, reason in said if text]
            if not said:
                return Failure(IMPOSSIBLE, "the model declined to answer, or used all tokens before it did")
            library = self._department.library
            near = library.nearest(job.findings, job.neighbours) if library and job.neighbours else []
            return Result(show_choices(job.findings, job.style, said), 0, written, neighbours=show_neighbours(near))
        elected = elect(
            job.findings,
            [text for text, reason in said if reason == "stop"],
            self._department.library,
            self._department.habits,
            self._voting,
            others=job.n - 1,
        )
        drafts = [(elected.text, elected.finish_reason), *((text, "stop") for text in elected.others)]
        choices = show_choices(job.findings, job.style, drafts, [text for text, _ in said], elected.neighbours)
        return Result(choices, 0, written, neighbours=show_neighbours(elected.neighbours[: job.neighbours]))


def _reason(answer: Completion) -> str:
    return "length" if answer.finish_reason == "length" else "stop"
