"""Requests and answers of our own paths: bounded, and unknown fields refused."""

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

FINDINGS_CHARACTERS = 40_000
SECTION_CHARACTERS = 8_000
MOST_DRAFTS = 8
MOST_TURNS = 32
_ALLOWED_CONTROLS = "\n\r\t"


def _check_text(value: str) -> str:
    # Half a surrogate pair cannot be encoded; a NUL cannot be stored; other controls can rewrite a terminal.
    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in _ALLOWED_CONTROLS:
            raise ValueError("holds a control character, or half a surrogate pair")
    return value


# Goes after the length of a text: the bounds are then those of a string in the OpenAPI description too.
CLEAN = AfterValidator(_check_text)
Section = Annotated[str, Field(max_length=SECTION_CHARACTERS), CLEAN]


class Bounded(BaseModel):
    """Base of every request."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class Turn(Bounded):
    """A turn of the conversation about a draft: what the model had answered, or what a person then wrote."""

    role: Literal["assistant", "user"]
    text: Annotated[str, Field(min_length=1, max_length=SECTION_CHARACTERS), CLEAN]


class ImpressionRequest(Bounded):
    """What an impression is wanted of."""

    findings: Annotated[str, Field(min_length=1, max_length=FINDINGS_CHARACTERS), CLEAN]
    indication: Section = ""
    comparison: Section = ""
    technique: Section = ""
    style: Literal["house", "numbered", "short"] = "house"
    instruction: Annotated[Section, Field(description="For a chat model: what this draft should heed.")] = ""
    turns: Annotated[
        list[Turn],
        Field(max_length=MOST_TURNS, description="For a chat model: its drafts and what was said to them, by turns."),
    ] = []
    n: Annotated[int, Field(ge=1, le=MOST_DRAFTS, description="How many different drafts, at most.")] = 1
    neighbours: Annotated[int, Field(ge=0, le=20, description="How many similar prior reports.")] = 0
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Of the candidates that vote, and of alternatives.")] = 0
    max_new_tokens: Annotated[int, Field(ge=1, le=1024)] = 128
    stream: Annotated[bool, Field(description="Server-sent events: `piece` as it is written, then `impression`.")] = (
        False
    )

    @model_validator(mode="after")
    def _takes_turns(self) -> "ImpressionRequest":
        roles = [turn.role for turn in self.turns]
        if roles != ["assistant", "user"] * (len(roles) // 2):
            raise ValueError("turns: a draft of the assistant's, then what the user says to it, and so on")
        return self


class SentenceLink(BaseModel):
    """A sentence of a draft and the sentences of the findings it rests on, as [start, end) character offsets."""

    impression: tuple[int, int]
    findings: list[tuple[int, int]]


class SentenceVoices(BaseModel):
    """Who says a sentence of a draft word for word: samples of the model, prior reports (nearest first), the findings.

    Empty for a draft that was not voted for.
    """

    impression: tuple[int, int]
    samples: int
    neighbours: list[str]
    findings: bool


class Draft(BaseModel):
    """One draft.

    `finish_reason` is "length" where it was ended by max_new_tokens, "from_findings" where no candidate agreed with the
    findings, so that their own sentences are the draft.
    """

    impression: str
    finish_reason: Literal["stop", "length", "from_findings"]


class Alternative(Draft):
    """Another draft of the same findings, with what speaks for and against it."""

    links: list[SentenceLink]
    flags: list[dict[str, Any]]
    voices: list[SentenceVoices]


class Neighbour(BaseModel):
    """A similar prior report of the library; score in 0..1."""

    id: str
    score: float
    findings: str
    impression: str


class ModelUsed(BaseModel):
    """What made the draft: weights, prompt, how many candidates voted, and which library of prior reports ("": none).

    The same findings, seed and library give the same draft, here and from `radllama draft`.
    """

    name: str
    weights_sha256: str
    prompt: str
    samples: int
    library: str


class Timing(BaseModel):
    """Milliseconds from the request's arrival to its answer."""

    total_ms: float


class ImpressionResponse(BaseModel):
    """A draft with what speaks for and against it. A radiologist reads, corrects and signs.

    `links`, `flags` and `voices` are the draft's; each alternative has its own.
    """

    id: str
    draft: Draft
    alternatives: list[Alternative]
    links: list[SentenceLink]
    flags: list[dict[str, Any]]
    voices: list[SentenceVoices]
    neighbours: list[Neighbour]
    model: ModelUsed
    timing: Timing


class AssistantResponse(BaseModel):
    """What is served. `abilities`: any of streaming, sampling, vote, library, chat; `way`: how drafts are made."""

    model: str
    prompt: str
    weights_sha256: str
    abilities: list[str]
    way: str
    samples: int
    library: str


class ErrorBody(BaseModel):
    """What went wrong, and what to do."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """Every error has this shape."""

    error: ErrorBody
