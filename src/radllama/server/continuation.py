"""What a model wrote after a text -> the choices of a completion: cut at stop strings, with tokens where asked."""

from collections.abc import Sequence

from radllama.engines import Completion
from radllama.engines.openai import TOO_LONG
from radllama.server.jobs import IMPOSSIBLE, Choice, CompletionJob, Failure, Result
from radllama.server.logprobs import keep_shown
from radllama.server.stops import cut_at_stop

EXCEEDED = Failure(IMPOSSIBLE, "what was sent exceeds the model's context; send less, for nothing is ever cut")


def continue_text(job: CompletionJob, written: Sequence[Completion], prompt_tokens: int = 0) -> Result | Failure:
    """A completion's choices; a greedy one is written once, and all its choices are the same."""
    if any(one.finish_reason == TOO_LONG for one in written):  # which only an endpoint finds out so late
        return EXCEEDED
    choices = []
    for one in [*written] * (1 if job.temperature else job.n):
        text, stopped = cut_at_stop(one.text, job.stop)
        reason = "length" if one.finish_reason == "length" and not stopped else "stop"
        choices.append(Choice(text, reason, tokens=keep_shown(one.spelled, text)))
    return Result(tuple(choices), prompt_tokens, sum(one.tokens for one in written))
