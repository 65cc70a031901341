"""The part of OpenAI's API that is kept here: bounded, and what would have to be ignored is refused."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from radllama.server.schemas import CLEAN, FINDINGS_CHARACTERS, MOST_DRAFTS, Bounded

LongText = Annotated[str, Field(max_length=FINDINGS_CHARACTERS), CLEAN]
_Stop = Annotated[str, Field(min_length=1, max_length=100), CLEAN]


class TextPart(Bounded):
    """A part of a message's content."""

    type: Literal["text"]
    text: LongText


class Message(Bounded):
    """A turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: LongText | Annotated[list[TextPart], Field(min_length=1, max_length=16)]
    name: Annotated[str, Field(max_length=100), CLEAN] | None = None

    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(Bounded):
    """What a stream tells beside the text."""

    include_usage: bool = False
    include_obfuscation: bool = False


class _Request(Bounded):
    model: Annotated[str, Field(max_length=300)]
    temperature: Annotated[float, Field(ge=0, le=2, description="0, the default here, is greedy.")] | None = None
    n: Annotated[int, Field(ge=1, le=MOST_DRAFTS)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    stop: _Stop | Annotated[list[_Stop], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Annotated[str, Field(max_length=200, description="Taken, and used for nothing."), CLEAN] | None = None
    # Taken where they say what happens anyway.
    top_p: Literal[1] | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None

    @field_validator("top_p", "frequency_penalty", "presence_penalty", mode="before")
    @classmethod
    def _whole(cls, value: object) -> object:
        return int(value) if isinstance(value, float) and value in (0.0, 1.0) else value

    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class CompletionRequest(_Request):
    """A text to be continued as it stands."""

    prompt: Annotated[str, Field(min_length=1, max_length=FINDINGS_CHARACTERS), CLEAN]
    max_tokens: Annotated[int, Field(ge=1, le=1024)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: Literal[False] | None = None


class ChatRequest(_Request):
    """A conversation to be continued. A model tuned for impressions takes one user message: the findings."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=64)]
    max_tokens: Annotated[int, Field(ge=1, le=1024)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=1024)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20, description="Needs logprobs: true.")] | None = None
