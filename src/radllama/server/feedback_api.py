"""Paths for what people make of drafts: their verdicts, and how these change over time."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, model_validator
from sqlalchemy.orm import Session

from radllama.errors import InputError
from radllama.server import work
from radllama.server.access import needs
from radllama.server.api import REFUSALS, ServiceHere
from radllama.server.audit import Event
from radllama.server.feedback import Day, DecidedError, Decision, VerdictRow, decide, drift
from radllama.server.keys import Caller
from radllama.server.schemas import CLEAN, MOST_DRAFTS, SECTION_CHARACTERS, Bounded, ErrorResponse, Section
from radllama.store.tables import now
from radllama.web.errors import ApiError

_ANSWERS: dict[int | str, dict[str, Any]] = {
    **REFUSALS,
    404: {"model": ErrorResponse, "description": "No such draft."},
    409: {"model": ErrorResponse, "description": "The draft has another verdict already."},
}
router = APIRouter(prefix="/v1", responses=_ANSWERS)
MayJudge = Annotated[Caller, Depends(needs("feedback"))]


class VerdictRequest(Bounded):
    """A person's act: to accept a draft as it is, to sign an edited one, or to reject it with a reason."""

    verdict: Literal["accepted", "edited", "rejected"]
    person: Annotated[
        str, Field(max_length=100, description="Who decides; left out by those who signed in: it is they."), CLEAN
    ] = ""
    choice: Annotated[int, Field(ge=0, lt=MOST_DRAFTS, description="0 is the draft, 1 the first alternative.")] = 0
    impression: Annotated[str, Field(max_length=SECTION_CHARACTERS), CLEAN] | None = None
    reason: Literal["wrong", "omitted", "wordy", "style", "other"] | None = None
    note: Section = ""
    seconds: Annotated[float, Field(ge=0, le=86_400, description="From the draft's sight to the verdict.")] | None = (
        None
    )

    @model_validator(mode="after")
    def _fits(self) -> "VerdictRequest":
        if (self.verdict == "edited") != bool(self.impression and self.impression.strip()):
            raise ValueError("an edited draft, and no other, comes with its impression")
        if (self.verdict == "rejected") != bool(self.reason):
            raise ValueError("a rejected draft, and no other, comes with a reason")
        return self


class VerdictResponse(BaseModel):
    """What was kept. `impression` is the text that leaves: None for a rejected draft."""

    id: str
    verdict: Literal["accepted", "edited", "rejected"]
    person: str
    impression: str | None
    edit_distance: int | None


@router.post("/impressions/{draft}/verdict", response_model=VerdictResponse)
async def give_verdict(draft: str, body: VerdictRequest, service: ServiceHere, caller: MayJudge) -> VerdictResponse:
    """Keep what a person decided. When this answers, it is on the disk."""
    person = _who(body, caller)
    decision = Decision(body.verdict, person, body.choice, body.impression, body.reason, body.note, body.seconds)

    def write(session: Session) -> VerdictRow:
        return decide(session, draft, decision, caller.id)

    facts: dict[str, str | bool | None] = {
        "person": person,
        "signed_in": caller.person is not None,
        "reason": body.reason,
    }
    event = Event(f"draft.{body.verdict}", caller.id, draft, facts)
    try:
        row = await work.record(service, event, write)
    except InputError as error:
        raise ApiError(404, str(error), "not_found") from None
    except DecidedError:
        raise ApiError(409, "this draft has another verdict already", "decided") from None
    service.metrics.verdicts.labels(body.verdict).inc()
    return VerdictResponse(
        id=draft, verdict=row.verdict, person=row.person, impression=row.impression, edit_distance=row.edit_distance
    )


def _who(body: VerdictRequest, caller: Caller) -> str:
    """The name that a verdict carries: of one who signed in their own, whatever was sent."""
    named = body.person.strip()
    if caller.person is None and not named:
        raise ApiError(400, "person: a verdict is a person's act; say whose", "invalid_value", "person")
    if caller.person is not None and named not in ("", caller.person):
        raise ApiError(403, "person: nobody decides in another's name", "not_yourself", "person")
    return caller.person or named


@router.get("/feedback/drift")
async def get_drift(
    service: ServiceHere, _: MayJudge, days: Annotated[int, Query(ge=1, le=3660)] = 90
) -> dict[str, list[dict[str, Any]]]:
    """Day by day: drafts, what became of them, edits per signed draft, flags per draft."""

    def read() -> list[Day]:
        with service.store.read() as session:
            return drift(session, now() - timedelta(days=days))

    return {"days": [day.to_json() for day in await run_in_threadpool(read)]}
