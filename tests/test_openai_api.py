"""The OpenAI-compatible paths, asked by OpenAI's own client."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from servers import Running, running

CANARY = "zebrafinch"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("home"), deadline_s=20) as one:
        yield one


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[openai.OpenAI]:
    token = server.key("openai")["Authorization"].removeprefix("Bearer ")
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=token, max_retries=0) as one:
        yield one


def chat(client: openai.OpenAI, text: str, **options: Any) -> Any:
    return client.chat.completions.create(model="one", messages=[{"role": "user", "content": text}], **options)


def test_the_model_is_listed_and_found_by_its_name(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["one"]
    assert client.models.retrieve("one").owned_by == "radllama"


def test_a_chat_message_is_drafted(client: openai.OpenAI) -> None:
    answer = chat(client, "Clear lungs.")
    assert answer.choices[0].message.content.endswith("Clear lungs.")
    assert (answer.choices[0].message.role, answer.choices[0].finish_reason) == ("assistant", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 2, 5)
    assert (answer.object, answer.model, answer.system_fingerprint) == ("chat.completion", "one", "0" * 16)


def test_a_message_may_come_in_parts(client: openai.OpenAI) -> None:
    parts: Any = [{"type": "text", "text": "Clear "}, {"type": "text", "text": "lungs."}]
    answer = client.chat.completions.create(model="one", messages=[{"role": "user", "content": parts}])
    assert str(answer.choices[0].message.content).endswith("Clear lungs.")


def test_a_chat_streams_as_it_is_written_and_tells_the_usage_when_asked(client: openai.OpenAI) -> None:
    chunks = list(chat(client, "spell no focal opacity", stream=True, stream_options={"include_usage": True}))
    *written, end, usage = chunks
    assert [chunk.choices[0].delta.content for chunk in written] == ["no ", "focal ", "opacity "]
    assert [chunk.choices[0].delta.role for chunk in written] == ["assistant", None, None]
    assert end.choices[0].finish_reason == "length"
    assert usage.choices == []
    assert usage.usage.total_tokens == 5
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


def test_a_text_is_continued_and_streamed(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="one", prompt="Clear lungs.", max_tokens=5, temperature=0, seed=1, n=2)
    assert [choice.text.split()[3] for choice in answer.choices] == ["Clear", "Clear"]
    assert [choice.index for choice in answer.choices] == [0, 1]
    pieces = list(client.completions.create(model="one", prompt="spell a b", stream=True))
    assert [piece.choices[0].text for piece in pieces] == ["a ", "b ", ""]
    assert pieces[-1].choices[0].finish_reason == "length"


def test_several_choices_stream_the_first_as_written_and_the_others_whole(client: openai.OpenAI) -> None:
    chunks = list(chat(client, "x", stream=True, n=3, temperature=1))
    texts: dict[int, str] = {}
    for chunk in chunks:
        choice = chunk.choices[0]
        texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert texts.keys() == {0, 1, 2}
    assert len(set(texts.values())) == 1
    assert sum(chunk.choices[0].finish_reason is not None for chunk in chunks) == 3


def test_a_stream_ends_before_a_stop_string_that_comes_in_two_pieces(client: openai.OpenAI) -> None:
    chunks = list(chat(client, "spell no focal opacity here", stream=True, stop=["al op", "never"]))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "no foc"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"logprobs": True}, "does not tell the log-probabilities"),
        ({"top_p": 0.5}, "top_p: Input should be 1"),
        ({"presence_penalty": 1}, "presence_penalty: Input should be 0"),
        ({"n": 100}, "less than or equal to 8"),
        ({"temperature": 3}, "less than or equal to 2"),
        ({"tools": []}, "unknown field"),
        ({"response_format": {"type": "json_object"}}, "unknown field"),
        ({"max_tokens": 0}, "greater than or equal to 1"),
        ({"stop": ["a"] * 5}, "stop: Input should be a valid string"),
        ({"extra_body": {CANARY: CANARY}}, "unknown field"),
    ],
)
def test_what_cannot_be_kept_is_refused(client: openai.OpenAI, options: dict[str, Any], told: str) -> None:
    with pytest.raises(openai.BadRequestError, match=told) as error:
        chat(client, CANARY, **options)
    assert CANARY not in str(error.value)


def test_what_says_what_happens_anyway_is_taken(client: openai.OpenAI) -> None:
    assert chat(client, "x", top_p=1.0, frequency_penalty=0.0, presence_penalty=0, user="ris").choices


@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "system", "content": CANARY}, {"role": "user", "content": CANARY}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
        [{"role": "assistant", "content": CANARY}],
    ],
)
def test_a_model_of_findings_alone_says_that_it_holds_no_conversation(client: openai.OpenAI, turns: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="send one user message, the findings") as error:
        client.chat.completions.create(model="one", messages=turns)
    assert error.value.param == "messages"
    assert CANARY not in str(error.value)


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    for ask in (
        lambda: client.chat.completions.create(model=CANARY, messages=[{"role": "user", "content": "x"}]),
        lambda: client.completions.create(model=CANARY, prompt="x"),
        lambda: client.models.retrieve(CANARY),
    ):
        with pytest.raises(openai.NotFoundError, match="no such model") as error:
            ask()
        assert CANARY not in str(error.value)


def test_errors_reach_the_client_as_its_own_kinds(server: Running, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="refused"):
        chat(client, "refuse")
    with pytest.raises(openai.InternalServerError) as error:
        chat(client, f"raise {CANARY}")
    assert CANARY not in str(error.value)
    with pytest.raises(openai.BadRequestError, match="refused"):
        list(chat(client, "refuse", stream=True))
    with pytest.raises(openai.AuthenticationError):
        chat(client.with_options(api_key="wrong"), "x")
    monitor = server.key("monitor", "metrics")["Authorization"].removeprefix("Bearer ")
    with pytest.raises(openai.PermissionDeniedError):
        chat(client.with_options(api_key=monitor), "x")


def test_every_draft_is_in_the_audit_log(server: Running, client: openai.OpenAI) -> None:
    before = server.audit.verify()
    chat(client, "x")
    list(chat(client, "x", stream=True))
    client.completions.create(model="one", prompt="x")
    assert server.audit.verify() == before + 3
