"""The endpoint engine, against a real server on loopback: answers, waits, refusals, and never a word of a report."""

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from endpoints import ModelServer, Reply, serve

from radllama.drafting.draft import Drafter
from radllama.engines import Completion, Sampling
from radllama.engines.cassette import Cassette
from radllama.engines.openai import TOO_LONG, Asked, Endpoint, OpenAIEngine
from radllama.engines.post import Address
from radllama.engines.transformers import TransformersEngine
from radllama.errors import InputError
from radllama.model import Model, load_model
from radllama.prompt import make_prompt

SHORT = Sampling(max_new_tokens=6)
CANARY = "zebrafinch"
TEXT = f"findings: Small {CANARY} effusion.\nimpression:"


@pytest.fixture(scope="module")
def model(tiny_base: Path) -> Model:
    """The tiny base with weights so large that other prompts get other words."""
    loaded = load_model(str(tiny_base), "cpu")
    torch.manual_seed(0)
    for weight in loaded.network.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.5)
    return loaded


@pytest.fixture
def server(model: Model) -> Iterator[ModelServer]:
    with serve(model) as running:
        yield running


def make_engine(server: ModelServer, cassette: Cassette | None = None, **changes: Any) -> OpenAIEngine:
    options: dict[str, Any] = {"base_url": server.url, "model": "tiny", "attempts": 3, "pause_s": 0.001}
    return OpenAIEngine(Endpoint(**(options | changes)), cassette)


def chat(text: str) -> Asked:
    return [{"role": "user", "content": text}]


def refusal(engine: OpenAIEngine, prompts: list[Asked] | None = None) -> str:
    """The one line that is told when these prompts cannot be completed."""
    with pytest.raises(InputError) as error:
        engine.complete(prompts or [TEXT], SHORT)
    told = str(error.value)
    assert CANARY not in told
    assert "\n" not in told
    return told


# What is asked and answered


def test_a_text_is_completed_as_the_local_engine_completes_it(server: ModelServer, model: Model) -> None:
    texts = ["findings: Clear lungs.\nimpression:", "findings: Effusion.\nimpression:"]
    local = TransformersEngine(model.network, model.tokenizer)
    answered = make_engine(server).complete(texts, SHORT)
    assert answered == local.complete(texts, SHORT)
    assert all(completion.tokens > 0 for (completion,) in answered)
    assert {path for path, _, _ in server.seen} == {"/v1/completions"}


def test_messages_go_to_the_chat_address_with_the_sampling(server: ModelServer) -> None:
    engine = make_engine(server)
    ((completion,),) = engine.complete([chat("Clear lungs.")], Sampling(5, 0.7, 3))
    assert completion.finish_reason in ("stop", "length")
    ((path, _, body),) = server.seen
    assert path == "/v1/chat/completions"
    assert body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Clear lungs."}],
        "max_tokens": 5,
        "temperature": 0.7,
        "seed": 3,
    }


def test_answers_stand_in_the_order_of_the_prompts(server: ModelServer) -> None:
    texts: list[Asked] = [f"findings: effusion number {i}." for i in range(12)]
    one_by_one = [make_engine(server, concurrency=1).complete([text], SHORT)[0] for text in texts]
    assert make_engine(server, concurrency=5).complete(texts, SHORT) == one_by_one
    assert len({completion.text for (completion,) in one_by_one}) > 1


def test_no_more_requests_are_under_way_than_allowed(server: ModelServer) -> None:
    server.pause_s = 0.02
    make_engine(server, concurrency=3).complete([f"effusion {i}" for i in range(9)], SHORT)
    assert server.most_at_once == 3


def test_each_sample_is_a_request_under_its_own_seed(server: ModelServer) -> None:
    engine = make_engine(server)
    candidates = engine.complete([TEXT, "Clear."], Sampling(6, 1.0, 10, samples=3))
    assert [len(found) for found in candidates] == [3, 3]
    assert sorted(body["seed"] for _, _, body in server.seen) == [10, 10, 11, 11, 12, 12]
    for i in range(3):
        assert engine.complete([TEXT], Sampling(6, 1.0, 10 + i)) == [[candidates[0][i]]]


def test_an_endpoint_has_no_beams(server: ModelServer) -> None:
    with pytest.raises(InputError, match="an endpoint has no beams"):
        make_engine(server).complete([TEXT], Sampling(beams=2))


@pytest.mark.parametrize("prompt", [TEXT, [{"role": "user", "content": "Clear lungs."}]])
def test_the_pieces_of_a_stream_are_the_first_candidate(server: ModelServer, tmp_path: Path, prompt: Asked) -> None:
    server.answer = "Small effusion.\n\nNo pneumothorax."
    pieces = list(make_engine(server).stream(prompt, SHORT))
    assert "".join(pieces) == server.answer
    assert len(pieces) > 5
    assert server.seen[0][2]["stream"] is True
    recorded = make_engine(server, Cassette(tmp_path / "c.jsonl"))
    assert list(recorded.stream(prompt, SHORT)) == [server.answer]


def test_a_stream_that_is_refused_or_breaks_is_told(server: ModelServer, model: Model) -> None:
    for reply, told in (
        (Reply(401, {"error": {"message": TEXT}}), "answered 401: the key is missing"),
        (Reply(503, {}), "answered 503"),
        (Reply(400, {"error": {"code": "context_length_exceeded"}}), "exceed its model's context"),
        (Reply(200, b"data: zebrafinch\n\n", {"Content-Type": "text/event-stream"}), "is it OpenAI-compatible?"),
        (Reply(None), "broke off the connection"),
    ):
        server.replies.append(reply)
        with pytest.raises(InputError, match=re.escape(told)) as error:
            list(make_engine(server).stream(TEXT, SHORT))
        assert CANARY not in str(error.value)


def test_a_drafter_works_over_an_endpoint_as_over_a_model(server: ModelServer, model: Model) -> None:
    here = Drafter(TransformersEngine(model.network, model.tokenizer), make_prompt("plain"), model.name)
    there = Drafter(make_engine(server), make_prompt("plain"), "served")
    assert there.draft("Clear lungs.", "", SHORT) == here.draft("Clear lungs.", "", SHORT)


def test_equal_prompts_are_asked_once(server: ModelServer) -> None:
    first, _, third = make_engine(server).complete([TEXT, chat("Clear."), TEXT], SHORT)
    assert first == third
    assert len(server.seen) == 2


def test_fields_are_added_replaced_and_left_out(server: ModelServer) -> None:
    server.replies.append(Reply(200, {"choices": [{"message": {"content": "Normal."}, "finish_reason": "stop"}]}))
    fields = {"max_tokens": None, "max_completion_tokens": 9, "seed": 7, "chat_template_kwargs": {"thinking": False}}
    make_engine(server, fields=fields).complete([chat("Clear.")], SHORT)
    body = server.seen[0][2]
    assert "max_tokens" not in body
    assert (body["max_completion_tokens"], body["seed"]) == (9, 7)
    assert body["chat_template_kwargs"] == {"thinking": False}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"message": {"content": " Normal.\n"}, "finish_reason": "stop"}, Completion("Normal.", "stop")),
        ({"message": {"content": None}, "finish_reason": "length"}, Completion("", "length")),
        ({"message": {"content": None, "refusal": "no"}, "finish_reason": "content_filter"}, ("", "content_filter")),
        ({"message": {"content": "Small"}, "finish_reason": "tool_calls"}, ("Small", "other")),
        ({"message": {"content": "Small"}}, ("Small", "other")),
        ({"text": "Normal.", "finish_reason": "eos_token"}, ("Normal.", "stop")),
    ],
)
def test_how_an_answer_ended_is_read(server: ModelServer, choice: dict[str, Any], expected: Any) -> None:
    server.replies.append(Reply(200, {"choices": [choice]}))
    ((completion,),) = make_engine(server).complete([chat("Clear.")], SHORT)
    assert completion == (expected if isinstance(expected, Completion) else Completion(*expected))


@pytest.mark.parametrize(
    "body",
    [
        b"<html>not for you, zebrafinch</html>",
        b'"zebrafinch"',
        {"choices": []},
        {"choices": ["zebrafinch"]},
        {"choices": [{"message": {"content": ["zebrafinch"]}}]},
        {"choices": [{}]},
        {},
    ],
)
def test_what_is_no_completion_is_told_and_not_recorded(server: ModelServer, tmp_path: Path, body: Any) -> None:
    server.replies.append(Reply(200, body))
    cassette = Cassette(tmp_path / "c.jsonl")
    assert "is it OpenAI-compatible?" in refusal(make_engine(server, cassette))
    assert not cassette.path.exists()


def test_a_prompt_beyond_the_context_is_an_answer_too(server: ModelServer, tmp_path: Path) -> None:
    cassette = Cassette(tmp_path / "c.jsonl")
    (short,), long = make_engine(server, cassette).complete(["Clear.", "effusion " * 300], SHORT)
    assert short.finish_reason != TOO_LONG
    assert long == [Completion("", TOO_LONG)]
    offline = OpenAIEngine(Endpoint(server.url, "tiny"), Cassette(cassette.path), offline=True)
    assert offline.complete(["effusion " * 300], SHORT) == [long]


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"type": "exceed_context_size_error", "message": "no"}},  # llama.cpp
        {"object": "error", "message": "This model's maximum context length is 64 tokens.", "code": 400},  # vLLM
        {"error": "the input exceeds the context window"},
    ],
)
def test_every_server_has_its_own_word_for_too_long(server: ModelServer, error: Any) -> None:
    server.replies.append(Reply(400, error))
    assert make_engine(server).complete(["Clear."], SHORT) == [[Completion("", TOO_LONG)]]


# Busy servers


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408, None])
def test_a_busy_server_is_asked_again(server: ModelServer, status: int | None) -> None:
    expected = make_engine(server).complete([TEXT], SHORT)
    server.replies.extend([Reply(status, {"error": {"message": TEXT}})] * 2)
    assert make_engine(server).complete([TEXT], SHORT) == expected
    assert len(server.seen) == 4


def test_a_server_that_stays_busy_is_given_up(server: ModelServer) -> None:
    server.replies.extend([Reply(503, {"error": TEXT})] * 9)
    told = refusal(make_engine(server))
    assert told == f"{server.url[7:-3]}: answered 503, 3 times; run the same command again to go on"
    assert len(server.seen) == 3


def test_the_time_that_a_server_asks_for_is_waited(server: ModelServer) -> None:
    server.replies.append(Reply(429, {}, {"Retry-After": "0.2"}))
    start = time.monotonic()
    make_engine(server).complete([TEXT], SHORT)
    assert time.monotonic() - start >= 0.2


def test_a_date_to_come_back_at_is_read_and_a_broken_one_passed_over(server: ModelServer) -> None:
    past = format_datetime(datetime.now(timezone.utc) - timedelta(minutes=1), usegmt=True)
    server.replies.extend(Reply(429, {}, {"Retry-After": value}) for value in (past, "soon"))
    make_engine(server).complete([TEXT], SHORT)
    assert len(server.seen) == 3


@pytest.mark.parametrize("wait", ["3600", format_datetime(datetime(2199, 1, 1, tzinfo=timezone.utc), usegmt=True)])
def test_nobody_waits_an_hour(server: ModelServer, wait: str) -> None:
    server.replies.append(Reply(429, {}, {"Retry-After": wait}))
    assert "answered 429 and asks to wait 3,600 s" in refusal(make_engine(server)) or wait != "3600"
    assert len(server.seen) == 1


def test_a_slow_server_is_told_by_the_option_that_helps(server: ModelServer) -> None:
    server.pause_s = 0.5
    assert "did not answer in time (--timeout-s), 2 times" in refusal(make_engine(server, timeout_s=0.05, attempts=2))


def test_a_server_that_never_answered_is_not_waited_for(model: Model) -> None:
    with serve(model) as gone:
        engine = make_engine(gone, pause_s=60.0)
    assert "cannot be reached (not running, blocked, or the name is not known)" in refusal(engine)


def test_a_server_that_starts_anew_is_waited_for(model: Model) -> None:
    with serve(model) as server:
        engine = make_engine(server, attempts=2)
        engine.complete([TEXT], SHORT)
    assert "cannot be reached" in (told := refusal(engine, ["Clear."]))
    assert "2 times" in told


# Refusals


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (401, {"code": "invalid_api_key"}, "answered 401 (invalid_api_key): the key is missing or not accepted"),
        (404, {"code": "model_not_found"}, "answered 404 (model_not_found): no such address or model there"),
        (429, {"code": "insufficient_quota"}, "answered 429 (insufficient_quota); its log says why"),
        (400, {"param": "max_tokens"}, "answered 400: it does not take 'max_tokens' as it was sent; see --request"),
        (400, {"param": CANARY, "code": CANARY, "type": ["zebrafinch"]}, "answered 400; its log says why"),
        (413, {}, "answered 413: the request is too large for it"),
        (307, {}, "answered 307, a redirect, which is not followed"),
    ],
)
def test_a_refusal_is_told_at_once_and_without_the_servers_words(
    server: ModelServer, status: int, error: dict[str, Any], told: str
) -> None:
    server.replies.append(Reply(status, {"error": error | {"message": f"cannot read: {TEXT}"}}, {"Location": "/x"}))
    assert told in refusal(make_engine(server))
    assert len(server.seen) == 1


@pytest.mark.parametrize("body", [TEXT.encode(), [TEXT], {"error": [TEXT]}, {"detail": [{"input": TEXT}]}])
def test_error_bodies_of_any_shape_are_not_shown(server: ModelServer, body: Any) -> None:
    server.replies.append(Reply(422, body))
    assert "answered 422; its log says why" in refusal(make_engine(server))


def test_a_wrong_path_is_told(server: ModelServer) -> None:
    assert "--base-url usually ends in /v1" in refusal(make_engine(server, base_url=server.url[:-3]))


def test_one_refusal_stops_the_rest_and_what_is_under_way_is_kept(server: ModelServer, tmp_path: Path) -> None:
    server.replies.append(Reply(401, {}))
    server.pause_s = 0.02
    cassette = Cassette(tmp_path / "c.jsonl")
    prompts: list[Asked] = [f"effusion {i}" for i in range(20)]
    refusal(make_engine(server, cassette, concurrency=2), prompts)
    assert 0 < len(cassette) == len(server.seen) - 1 < 19
    done = len(server.seen)
    make_engine(server, cassette).complete(prompts, SHORT)
    assert len(server.seen) == done + 20 - (done - 1)  # only what is not recorded


# Keys


def test_the_key_comes_from_the_environment(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    make_engine(server).complete(["one"], SHORT)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-usual")
    make_engine(server).complete(["two"], SHORT)
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    make_engine(server, key_variable="OTHER_KEY").complete(["three"], SHORT)
    keys = [headers.get("authorization") for _, headers, _ in server.seen]
    assert keys == [None, "Bearer sk-usual", "Bearer sk-other"]


def test_a_named_key_that_is_not_set_is_told(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTHER_KEY", raising=False)
    with pytest.raises(InputError, match="--key-variable OTHER_KEY: this environment variable is not set"):
        make_engine(server, key_variable="OTHER_KEY")


def test_a_key_that_no_header_can_hold_is_told_but_not_shown(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-schlüssel\n2")
    with pytest.raises(InputError, match="OPENAI_API_KEY: holds characters that no key has") as error:
        make_engine(server)
    assert "sk-" not in str(error.value)


def test_neither_key_nor_address_is_recorded(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    make_engine(server, Cassette(tmp_path / "c.jsonl")).complete([TEXT], SHORT)
    recorded = (tmp_path / "c.jsonl").read_text()
    assert "sk-secret" not in recorded
    assert "127.0.0.1" not in recorded
    assert CANARY in recorded  # it does hold report text, as its docstring says


# Recorded once, replayed after


def test_a_recording_answers_without_the_server(model: Model, tmp_path: Path) -> None:
    prompts: list[Asked] = [TEXT, chat("Clear.")]
    with serve(model) as server:
        first = make_engine(server, Cassette(tmp_path / "c.jsonl")).complete(prompts, SHORT)
    endpoint = Endpoint(server.url, "tiny")
    assert OpenAIEngine(endpoint, Cassette(tmp_path / "c.jsonl")).complete(prompts, SHORT) == first
    assert OpenAIEngine(endpoint, Cassette(tmp_path / "c.jsonl"), offline=True).complete(prompts, SHORT) == first


def test_offline_a_changed_request_is_a_miss_and_nothing_is_sent(server: ModelServer, tmp_path: Path) -> None:
    cassette = Cassette(tmp_path / "c.jsonl")
    make_engine(server, cassette).complete([TEXT], SHORT)
    engine = OpenAIEngine(Endpoint(server.url, "tiny"), cassette, offline=True)
    with pytest.raises(InputError, match="2 of 3 requests are not in it") as error:
        engine.complete([TEXT, "Clear.", "Normal."], SHORT)
    assert "(the prompt is none of those recorded)" in str(error.value)
    with pytest.raises(InputError, match=r"recorded with another max_tokens, seed.*leaving out --offline"):
        engine.complete([TEXT], Sampling(7, 0.0, 1))
    assert len(server.seen) == 1


def test_offline_needs_a_recording_but_no_key(server: ModelServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--offline answers from a recording; name it with --cassette"):
        OpenAIEngine(Endpoint(server.url, "tiny"), offline=True)
    OpenAIEngine(Endpoint(server.url, "tiny", "NOT_SET_AT_ALL"), Cassette(tmp_path / "c.jsonl"), offline=True)


# Addresses


@pytest.mark.parametrize(
    ("url", "stays"),
    [
        ("http://localhost:11434/v1", True),
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.8.8.8/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://vllm.localhost/v1", True),
        ("http://0.0.0.0:8000/v1", False),
        ("http://localhost.example.org/v1", False),
        ("https://api.openai.com/v1", False),
        ("http://10.0.0.5:8000/v1", False),
    ],
)
def test_only_loopback_stays_on_this_machine(url: str, stays: bool) -> None:
    assert Address(url).is_loopback is stays


def test_what_follows_a_question_mark_stays_behind_the_path() -> None:
    azure = Address("https://ours.openai.azure.com/openai/deployments/gpt/?api-version=2024-10-21")
    assert azure.url("chat/completions") == (
        "https://ours.openai.azure.com/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
    )
    assert azure.host == "ours.openai.azure.com"
    assert azure.is_encrypted
    assert not Address("http://10.0.0.5:8000/v1").is_encrypted


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host/v1", "http://", "http://[::1", "http://h:port/v1"])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(InputError, match=r"expected http\(s\)://HOST\[:PORT\]/v1"):
        Address(url)


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(InputError, match="give the key in an environment variable") as error:
        Address("https://me:sesame@host/v1")
    assert "sesame" not in str(error.value)


def test_no_proxy_carries_off_what_stays_here(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert make_engine(server).complete([TEXT], SHORT)[0][0].finish_reason in ("stop", "length")


def test_drafts_are_named_by_model_and_server(server: ModelServer) -> None:
    assert make_engine(server, model="med/gemma").model_name == f"med/gemma@{server.url[7:-3]}"
