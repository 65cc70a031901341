"""HL7 v2 over MLLP: an ORU^R01 with findings comes in, an acknowledgment and an ORU^R01 with the draft go back.

MLLP itself is fifteen lines over asyncio's streams. The hl7 library's server keeps no task from being collected,
knows no time limit, and drops what it cannot parse.
"""

import asyncio
import secrets
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from radllama.errors import InputError
from radllama.interfaces.hl7_answers import ACCEPTED, ERROR, REJECTED, Shown, render_ack, render_result
from radllama.reports.hl7 import MOST_BYTES, Message, is_result, parse_message, parse_parts
from radllama.reports.parts import join_dictated
from radllama.server.api import draft_impression
from radllama.server.audit import Event
from radllama.server.feedback import DraftRow
from radllama.server.keys import Caller
from radllama.server.messages import Answer, ReusedError, UnderWayError, claim, hash_sender, keep_unread, settle
from radllama.server.schemas import ImpressionRequest
from radllama.server.service import Service
from radllama.store.tables import now
from radllama.web.errors import ApiError
from radllama.web.trace import describe

CALLER = Caller("mllp", "mllp", frozenset({"draft"}))
_START, _END = b"\x0b", b"\x1c\r"
_MOST_CONNECTIONS = 64
_MESSAGE_S = 60.0  # from a message's first byte to its last
_WAIT_S, _POLL_S = 30.0, 0.1  # for a message that another connection, or another replica, is answering
_STATUS = {ACCEPTED: 200, ERROR: 422, REJECTED: 400}


class _RefusedError(Exception):
    """Why a message is not drafted from. `again`: the same message may have an answer later."""

    def __init__(self, code: str, told: str, again: bool = False) -> None:
        super().__init__(told)
        self.code, self.told, self.again = code, told, again


class MllpServer:
    """Listens for messages and answers them with the assistant of `app`."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._service: Service = app.state.service
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Answer whoever connects to a bound socket."""
        self._server = await asyncio.start_server(self._connected, sock=listening, ssl=tls, limit=MOST_BYTES + 16)

    async def close(self) -> None:
        """Take no more messages; those that are being answered are answered."""
        if self._server:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def answer(self, raw: bytes) -> list[bytes]:
        """The answers to a message: its acknowledgment and, when there is one, the draft."""
        started = time.perf_counter()
        message, draft = None, None
        try:
            message = _parse(raw)
            if not is_result(message):
                raise _RefusedError(REJECTED, "MSH-9: only ORU^R01 is answered")
            answer = await self._answer_once(message, raw)
            draft = await run_in_threadpool(self._find_draft, answer.draft_id) if answer.draft_id else None
        except _RefusedError as refusal:
            answer = Answer(refusal.code, "", refusal.told)
            if not refusal.again:
                await self._keep(raw, refusal.told)
        except Exception as error:
            self._service.log.error("hl7", error=describe(error))
            answer = Answer(ERROR, "", "an error of the server's own; its log says which. Send it again later")
        self._service.metrics.measure("mllp", _STATUS[answer.code], time.perf_counter() - started)
        self._service.log.info(
            "hl7", code=answer.code, bytes=len(raw), ms=round((time.perf_counter() - started) * 1000)
        )
        ack = render_ack(message, answer.code, answer.told, secrets.token_hex(8), now())
        return (
            [ack]
            if draft is None or message is None
            else [ack, render_result(message, draft, secrets.token_hex(8), now())]
        )

    async def _answer_once(self, message: Message, raw: bytes) -> Answer:
        names = (message.field("MSH", 3), message.field("MSH", 4), message.field("MSH", 10))
        key, deadline = hash_sender("hl7", *names), time.monotonic() + _WAIT_S
        while True:
            try:
                known = await run_in_threadpool(self._claim, key, raw)
                break
            except (UnderWayError, IntegrityError):
                if time.monotonic() > deadline:
                    raise _RefusedError(ERROR, "this message is being answered; send it again later", True) from None
                await asyncio.sleep(_POLL_S)
            except ReusedError:
                raise _RefusedError(ERROR, "MSH-10: this control id was another message's; give each its own") from None
        if known is not None:
            return known
        answer: Answer | None = None
        try:
            answer = await self._draft(message)
        except _RefusedError as refusal:
            if not refusal.again:
                answer = Answer(refusal.code, "", refusal.told)
            raise
        finally:
            await asyncio.shield(run_in_threadpool(self._settle, key, answer))
        return answer

    async def _draft(self, message: Message) -> Answer:
        sections = join_dictated(await run_in_threadpool(parse_parts, message))
        if not sections.findings.strip():
            raise _RefusedError(
                ERROR, "no findings: expected OBX segments of text with 59776-5, &GDT or Findings in OBX-3"
            )
        try:
            body = ImpressionRequest(
                findings=sections.findings,
                indication=sections.indication or message.component("OBR", 31, 2),
                comparison=sections.comparison,
                technique=sections.technique,
            )
        except ValidationError:
            raise _RefusedError(
                ERROR, "a section is longer than is drafted from, or holds control characters"
            ) from None
        scope = {"type": "http", "method": "POST", "path": "/mllp", "headers": [], "app": self._app, "state": {}}
        try:
            made = await draft_impression(Request(scope, _never), body, self._service, CALLER)
        except ApiError as error:
            raise _RefusedError(ERROR, error.message, error.status >= 429) from None
        return Answer(ACCEPTED, made.id, "")

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= _MOST_CONNECTIONS:
            self._service.log.warning("hl7", refused="too many connections")
            writer.close()
            return
        self._connections.add(task)
        try:
            while (raw := await self._read(reader)) is not None:
                for answer in await asyncio.shield(self.answer(raw)):
                    writer.write(_START + answer + _END)
                await writer.drain()
        except (asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            with suppress(Exception):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> bytes | None:
        """The next message; None where the other side has ended, or does not speak MLLP."""
        first = b"\r"
        while first in (b"\r", b"\n", b" "):
            first = await reader.read(1)
        if first != _START:
            if first:
                self._service.log.warning("hl7", refused="not MLLP")
            return None
        try:
            return (await asyncio.wait_for(reader.readuntil(_END), _MESSAGE_S))[: -len(_END)]
        except asyncio.LimitOverrunError:
            self._service.log.warning("hl7", refused="a message without end")
            return None

    async def _keep(self, raw: bytes, reason: str) -> None:
        event = Event("message.unread", CALLER.id, facts={"interface": "hl7", "bytes": len(raw)})
        try:
            await self._service.recorder.record(
                event, lambda session: keep_unread(session, "hl7", CALLER.id, reason, raw)
            )
        except SQLAlchemyError as error:
            self._service.log.error("store", error=describe(error))

    def _claim(self, key: str, raw: bytes) -> Answer | None:
        with self._service.store.write() as session:
            return claim(session, key, raw)

    def _settle(self, key: str, answer: Answer | None) -> None:
        with self._service.store.write() as session:
            settle(session, key, answer)

    def _find_draft(self, identity: str) -> Shown | None:
        with self._service.store.read() as session:
            row = session.get(DraftRow, identity)
        if row is None:  # removed since: the message was answered, and there is nothing left to send
            return None
        return Shown(row.id, row.impressions[0], row.flags, row.model, row.weights_sha256, row.prompt)


def _parse(raw: bytes) -> Message:
    try:
        message = parse_message(raw)
    except InputError as error:
        raise _RefusedError(REJECTED, str(error)) from None
    if not message.field("MSH", 10).strip():
        raise _RefusedError(REJECTED, "MSH-10: a message needs a control id")
    return message


async def _never() -> Any:
    await asyncio.Event().wait()
