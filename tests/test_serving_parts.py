"""The server's small parts: stop strings, limits, exposure, the log, the recorder."""

import asyncio
import io
import json
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from radllama.errors import InputError
from radllama.server.audit import AuditLog, Event
from radllama.server.keys import create_key, list_keys
from radllama.server.limiter import Limiter
from radllama.server.mllp_exposure import MllpExposure
from radllama.server.recorder import Recorder
from radllama.server.stops import StopCutter, cut_at_stop
from radllama.store.store import Store
from radllama.web.exposure import Exposure
from radllama.web.logs import open_log

CANARY = "zebrafinch"


# Stop strings


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("no effusion", [], ("no effusion", False)),
        ("no effusion", ["eff"], ("no ", True)),
        ("a. b. c.", ["c", "b"], ("a. ", True)),
        ("no effusion", ["zebra"], ("no effusion", False)),
        ("\n\nx", ["\n"], ("", True)),
    ],
)
def test_a_text_ends_before_its_first_stop_string(text: str, stops: list[str], expected: tuple[str, bool]) -> None:
    assert cut_at_stop(text, stops) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("stops", [["###"], ["\n\n", "\nEND"], ["aab"], [], ["x", "xyz"]])
@pytest.mark.parametrize("text", ["one ## two ### three", "a\n\nb", "aaaab", "no stop", "ab\nEN", "wxyz", ""])
def test_a_stream_shows_what_the_whole_text_would(text: str, stops: list[str], size: int) -> None:
    cutter = StopCutter(stops)
    shown = "".join(cutter.feed(text[at : at + size]) for at in range(0, len(text), size)) + cutter.end()
    assert (shown, cutter.stopped) == cut_at_stop(text, stops)


def test_only_what_may_begin_a_stop_string_is_held_back() -> None:
    cutter = StopCutter(["##"])
    assert cutter.feed("a#") == "a"
    assert cutter.feed("b") == "#b"
    assert cutter.feed("c##d") == "c"
    assert cutter.feed("e") == ""


# Limits


def test_a_limit_counts_each_caller_apart() -> None:
    limiter = Limiter("2/minute")
    assert [limiter.take("a"), limiter.take("a"), limiter.take("b")] == [None, None, None]
    wait = limiter.take("a")
    assert wait is not None
    assert 1 <= wait <= 61


@pytest.mark.parametrize("limit", ["", "many", "5", "5/fortnight"])
def test_what_is_no_limit_is_told(limit: str) -> None:
    with pytest.raises(InputError, match="as in 600/minute"):
        Limiter(limit)


# Exposure


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_alone_needs_nothing(host: str) -> None:
    exposure = Exposure(host)
    exposure.check(has_keys=False)
    assert "reachable from this machine only; no key exists" in exposure.told(has_keys=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "radiology.example"])
def test_others_are_let_in_only_with_a_key_and_a_cover(host: str, tmp_path: Path) -> None:
    pem = tmp_path / "pem"
    pem.touch()
    with pytest.raises(InputError, match="no key exists yet; make one first"):
        Exposure(host, plain_http=True).check(has_keys=False)
    with pytest.raises(InputError, match="unencrypted; give --tls-cert and --tls-key, or --proxy ADDRESS"):
        Exposure(host).check(has_keys=True)
    for covered in (Exposure(host, tls_cert=pem, tls_key=pem), Exposure(host, proxies=("10.0.0.1",))):
        covered.check(has_keys=True)
    Exposure(host, plain_http=True).check(has_keys=True)


def test_a_short_answer_is_not_held_back() -> None:
    for listening in (Exposure(port=0).listen(), MllpExposure("127.0.0.1", 0).listen()):
        with listening, socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_half_of_tls_or_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="belong together"):
        Exposure(tls_cert=tmp_path / "cert.pem").check(has_keys=True)
    with pytest.raises(InputError, match=r"cert\.pem: no such file"):
        Exposure(tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem").check(has_keys=True)


def test_the_address_is_told_as_a_browser_takes_it(tmp_path: Path) -> None:
    assert Exposure("::1", 9000).url == "http://[::1]:9000"
    assert Exposure("h", 1, tls_cert=tmp_path).url == "https://h:1"


# The log


@pytest.fixture
def told() -> Iterator[io.StringIO]:
    names = ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio")
    before = {name: (logging.getLogger(name).handlers, logging.getLogger(name).propagate) for name in names}
    yield io.StringIO()
    for name, (handlers, propagate) in before.items():
        logging.getLogger(name).handlers, logging.getLogger(name).propagate = handlers, propagate


def test_an_event_is_a_line_of_json(told: io.StringIO) -> None:
    open_log(told).info("ready", model="mini")
    line = json.loads(told.getvalue())
    assert (line["event"], line["model"], line["level"]) == ("ready", "mini", "info")
    assert line["timestamp"].endswith("Z")


def test_what_a_library_logs_comes_without_its_values_and_messages(told: io.StringIO) -> None:
    open_log(told)
    logger = logging.getLogger("uvicorn.error")
    logger.warning("Invalid header %s", CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError:
        logger.exception("Exception in ASGI application\n")
        logger.error(f"Failed: {CANARY}", exc_info=True)
    logging.getLogger("uvicorn.access").warning("GET /%s", CANARY)
    first, second, third = (json.loads(line) for line in told.getvalue().splitlines())
    assert first["said"] == "Invalid header %s"
    assert second["error"].startswith("ValueError at test_serving_parts.py")
    assert third["said"] == "an exception"
    assert CANARY not in told.getvalue()


# The recorder


@pytest.fixture
def recorder(store: Store, home: Path) -> Iterator[Recorder]:
    one = Recorder(AuditLog(store, home))
    yield one
    one.close()


def make_key(name: str) -> Any:
    def write(session: Session) -> str:
        return create_key(session, name)[0].name

    return write


EVENT = Event("key.create", "cli")


@pytest.mark.anyio
async def test_what_was_recorded_is_there_when_it_returns(recorder: Recorder, store: Store, home: Path) -> None:
    assert await recorder.record(EVENT, make_key("ris")) == "ris"
    with store.read() as session:
        assert [key.name for key in list_keys(session)] == ["ris"]
    assert AuditLog(store, home).verify() == 1


@pytest.mark.anyio
async def test_one_that_fails_takes_no_neighbour_along(recorder: Recorder, store: Store, home: Path) -> None:
    def broken(_: Session) -> None:
        raise ValueError("broken")

    await recorder.record(EVENT, make_key("first"))
    names = ["a", "first", "b", "c"]  # one that exists already
    outcomes = await asyncio.gather(
        *(recorder.record(EVENT, make_key(name)) for name in names),
        recorder.record(EVENT, broken),
        return_exceptions=True,
    )
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == ["a", "b", "c"]
    assert isinstance(outcomes[1], InputError)
    assert isinstance(outcomes[4], ValueError)
    with store.read() as session:
        assert sorted(key.name for key in list_keys(session)) == ["a", "b", "c", "first"]
    assert AuditLog(store, home).verify() == 4


@pytest.mark.anyio
async def test_who_hangs_up_does_not_undo_what_is_being_written(recorder: Recorder, store: Store) -> None:
    release = threading.Event()

    def slow(session: Session) -> None:
        release.wait(10)
        create_key(session, "slow")

    asked = asyncio.create_task(recorder.record(EVENT, slow))
    await asyncio.sleep(0.05)
    asked.cancel()
    release.set()
    await recorder.record(EVENT, make_key("next"))
    with store.read() as session:
        assert {key.name for key in list_keys(session)} == {"slow", "next"}
