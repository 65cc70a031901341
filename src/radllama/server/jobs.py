"""What passes between the server and its workers: plain values, cheap to pickle, nothing heavy behind them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from radllama.engines import Token

IMPOSSIBLE = "invalid_request"  # the request's fault: it would fail again
ELSEWHERE = "elsewhere"  # the fault of the server that has the model: it may not fail again
BROKEN = "server_error"  # ours: a bug, or a worker that died of the request
LOGPROBS = "logprobs"  # the field of a request that a failure can be due to


@dataclass(frozen=True, slots=True)
class ImpressionJob:
    """Findings that want an impression, `n` drafts of it, and the `neighbours` most similar prior reports.

    `samples`: how many candidates are written of it, for the size alone (see ModelInfo). A chat model also takes an
    `instruction`, and (role, text) `turns` that go on from its first answer.
    """

    findings: str
    indication: str = ""
    comparison: str = ""
    technique: str = ""
    style: str = "house"
    n: int = 1
    neighbours: int = 0
    max_new_tokens: int = 128
    seed: int = 0
    samples: int = 1
    instruction: str = ""
    turns: tuple[tuple[str, str], ...] = ()

    @property
    def is_personal(self) -> bool:
        """Whether somebody asks for more than an impression, in words of their own."""
        return bool(self.instruction or self.turns)

    @property
    def size(self) -> int:
        """How much work it is, in tokens, estimated from above without a tokenizer (2 characters a token)."""
        return max(self.n, self.samples) * (len(self.findings + self.indication) // 2 + self.max_new_tokens)


@dataclass(frozen=True, slots=True)
class CompletionJob:
    """A text, or the (role, content) turns of a conversation, to be continued `n` times.

    `logprobs`: how many of the likeliest tokens are told beside each token with its log-probability; None: none at all.
    """

    prompt: str | tuple[tuple[str, str], ...]
    max_new_tokens: int = 128
    temperature: float = 0.0
    seed: int = 0
    n: int = 1
    stop: tuple[str, ...] = ()
    logprobs: int | None = None

    @property
    def size(self) -> int:
        """As in ImpressionJob."""
        text = self.prompt if isinstance(self.prompt, str) else "".join(content for _, content in self.prompt)
        return self.n * (len(text) // 2 + self.max_new_tokens)


Job = ImpressionJob | CompletionJob


@dataclass(frozen=True, slots=True)
class Choice:
    """One continuation: its text, and why it ended ("stop" or "length").

    An impression has its `links`, `flags` and `voices` beside it, as the JSON values that the API shows; a continuation
    its `tokens` where they were asked for and are known.
    """

    text: str
    finish_reason: str
    links: tuple[dict[str, Any], ...] = ()
    flags: tuple[dict[str, Any], ...] = ()
    voices: tuple[dict[str, Any], ...] = ()
    tokens: tuple[Token, ...] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a job. The first choice is the draft, the others are alternatives."""

    choices: tuple[Choice, ...]
    prompt_tokens: int
    completion_tokens: int
    neighbours: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job has no result: IMPOSSIBLE, ELSEWHERE or BROKEN, with a message that holds no patient text.

    `param`: the field of the request that it is due to.
    """

    kind: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a worker says of its model. `abilities`: any of streaming, sampling, vote, chat, library.

    `way` says in a sentence how drafts are made, `samples` of how many candidates, `library` names the prior reports.
    """

    name: str
    prompt: str
    weights_sha256: str
    context_tokens: int
    abilities: frozenset[str]
    way: str = ""
    samples: int = 1
    library: str = ""


class Channel(Protocol):
    """What a backend may tell, and ask, while it works. Jobs are named by their place in the batch."""

    def piece(self, job: int, text: str) -> None:
        """Send on the next characters of a job's first choice, if somebody waits for them."""
        ...

    def wants_pieces(self, job: int) -> bool:
        """Whether somebody reads this job as it is written."""
        ...

    def is_wanted(self, job: int) -> bool:
        """Whether anybody still waits for this job."""
        ...


class Silent:
    """A channel to nobody, who still wants an outcome."""

    def piece(self, job: int, text: str) -> None:
        """Nothing."""

    def wants_pieces(self, job: int) -> bool:
        """No."""
        return False

    def is_wanted(self, job: int) -> bool:
        """Yes."""
        return True


class Backend(Protocol):
    """A loaded model, in a worker."""

    @property
    def info(self) -> ModelInfo:
        """What it is and can do."""
        ...

    def run(self, jobs: Sequence[Job], channel: Channel) -> list[Result | Failure]:
        """Do a batch of jobs: an outcome for each, in order."""
        ...


Load = Callable[..., Backend]
