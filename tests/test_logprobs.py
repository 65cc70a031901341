"""Log-probabilities of tokens: those of a plain forward pass, or a refusal; asked by OpenAI's own client."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from endpoints import ModelServer, Reply
from endpoints import serve as serve_model
from servers import Running, running

from radllama.drafting.load import load_drafter
from radllama.engines import ENGINES, Completion, Sampling, Token
from radllama.engines.logprobs import spell_tokens
from radllama.errors import InputError
from radllama.model import EMBEDDED, load_model
from radllama.prompt import encode_text
from radllama.server.assistant import load_assistant
from radllama.server.endpoint import Elsewhere, connect_assistant
from radllama.server.logprobs import keep_shown, render_text
from radllama.server.pool import Spec

FINDINGS = "Heart size is normal. Small left pleural effusion. No pneumothorax."
PROMPT = f"findings:\n{FINDINGS}\n\nimpression:\n"
EXACT = {"transformers": 1e-4, "ctranslate2": 1e-3}  # float32 in another order of adding


@pytest.fixture(scope="module", params=EXACT)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def served(lively_base: Path, engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    spec = Spec(load_assistant, (str(lively_base), "cpu", engine, None, 1))
    with running(tmp_path_factory.mktemp("home"), spec) as one:
        yield one


def connect(server: Running) -> openai.OpenAI:
    token = server.key("openai")["Authorization"].removeprefix("Bearer ")
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=token, max_retries=0)


@pytest.fixture(scope="module")
def client(served: Running) -> Iterator[openai.OpenAI]:
    with connect(served) as one:
        yield one


def ask_chat(client: openai.OpenAI, **options: Any) -> Any:
    messages: Any = [{"role": "user", "content": FINDINGS}]
    model = client.models.list().data[0].id
    return client.chat.completions.create(model=model, messages=messages, **{"max_tokens": 12, **options})


def ask_text(client: openai.OpenAI, prompt: str = PROMPT, **options: Any) -> Any:
    model = client.models.list().data[0].id
    return client.completions.create(model=model, prompt=prompt, **{"max_tokens": 12, **options})


def spelled(tokens: Any) -> str:
    return b"".join(bytes(one.bytes) for one in tokens).decode().strip()


@pytest.mark.parametrize("drawn", [{}, {"temperature": 0.7, "seed": 3, "n": 2}], ids=["greedy", "sampled"])
def test_they_are_those_of_a_plain_forward_pass(
    client: openai.OpenAI, lively_base: Path, engine: str, drawn: dict[str, Any]
) -> None:
    model = load_model(str(lively_base), "cpu")
    before = encode_text(model.tokenizer, model.prompt.render(FINDINGS))
    answer = ask_chat(client, logprobs=True, top_logprobs=5, **drawn)
    for choice in answer.choices:
        told = choice.logprobs.content
        assert spelled(told) == choice.message.content
        assert len(told) > 3
        ids = list(before)
        for one in told:
            with torch.inference_mode():
                row = model.network(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            assert [other.logprob for other in one.top_logprobs] == pytest.approx(row.topk(5).values, abs=EXACT[engine])
            token = int((row - one.logprob).abs().argmin())
            assert row[token].item() == pytest.approx(one.logprob, abs=EXACT[engine])
            assert model.tokenizer.decode([token]).strip("\N{REPLACEMENT CHARACTER}") in one.token
            ids.append(token)
    assert {choice.logprobs.content[0].logprob for choice in answer.choices}


def test_a_completion_has_them_in_its_older_shape(client: openai.OpenAI) -> None:
    choice = ask_text(client, logprobs=3).choices[0]
    told = choice.logprobs
    assert len({len(told.tokens), len(told.token_logprobs), len(told.top_logprobs), len(told.text_offset)}) == 1
    for name, odds, likeliest, offset in zip(
        told.tokens, told.token_logprobs, told.top_logprobs, told.text_offset, strict=True
    ):
        assert likeliest[name] == odds == max(likeliest.values())  # greedy
        assert 1 <= len(likeliest) <= 3
        assert 0 <= offset < len(choice.text)
    assert ask_text(client, logprobs=0).choices[0].logprobs.top_logprobs == [
        {name: odds} for name, odds in zip(told.tokens, told.token_logprobs, strict=True)
    ]


def test_asking_for_them_changes_no_text_and_without_asking_there_are_none(client: openai.OpenAI) -> None:
    plain, told = ask_chat(client), ask_chat(client, logprobs=True)
    assert plain.choices[0].message == told.choices[0].message
    assert plain.choices[0].logprobs is None
    assert all(one.top_logprobs == [] for one in told.choices[0].logprobs.content)
    assert plain.usage == told.usage


def test_what_a_stop_string_cuts_off_is_not_told(client: openai.OpenAI) -> None:
    whole = ask_text(client, logprobs=0).choices[0]
    stop = whole.text[len(whole.text) // 2 :][:3]
    cut = ask_text(client, logprobs=0, stop=stop).choices[0]
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.logprobs.tokens == whole.logprobs.tokens[: len(cut.logprobs.tokens)]
    assert all(offset < len(cut.text) for offset in cut.logprobs.text_offset)


def test_a_stream_with_them_comes_choice_by_choice(client: openai.OpenAI) -> None:
    drawn = {"n": 2, "temperature": 1.0, "seed": 5}
    whole = ask_chat(client, logprobs=True, top_logprobs=2, **drawn)
    chunks = [chunk.choices[0] for chunk in ask_chat(client, logprobs=True, top_logprobs=2, stream=True, **drawn)]
    assert [(chunk.index, chunk.finish_reason is None) for chunk in chunks] == [
        (0, True), (0, False), (1, True), (1, False)
    ]  # fmt: skip
    for chunk, choice in zip(chunks[::2], whole.choices, strict=True):
        assert chunk.delta.content == choice.message.content
        assert chunk.logprobs.content == choice.logprobs.content
    texts = [chunk.choices[0] for chunk in ask_text(client, logprobs=1, stream=True)]
    assert texts[0].logprobs == ask_text(client, logprobs=1).choices[0].logprobs


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": False, "top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({"logprobs": 3}, "logprobs"),
    ],
)
def test_numbers_that_openai_does_not_know_are_refused(
    client: openai.OpenAI, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        ask_chat(client, **options)
    assert error.value.param == param
    with pytest.raises(openai.BadRequestError, match="less than or equal to 5"):
        ask_text(client, logprobs=6)


# The embedded model, whose weights are rounded and whose drafts begin by rule


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    with running(tmp_path_factory.mktemp("home"), Spec(load_assistant, ("mini", "cpu"))) as one, connect(one) as client:
        yield client


def test_with_8_bit_weights_they_add_up_to_the_draft_s_own(mini: openai.OpenAI) -> None:
    choice = ask_text(mini, logprobs=5, max_tokens=6).choices[0]
    told = choice.logprobs
    assert "".join(told.tokens).strip() == choice.text
    starts = [choice.text[offset:] for offset in told.text_offset]
    assert all(start.lstrip().startswith(name.strip()) for start, name in zip(starts, told.tokens, strict=True))
    (expected,) = load_drafter().engine.complete([PROMPT], Sampling(6))[0]
    assert expected.finish_reason == "length"  # no end token, which is not told but counted there
    assert sum(told.token_logprobs) == pytest.approx(expected.logprob, abs=1e-3)


def test_of_a_draft_that_a_rule_began_they_are_refused(mini: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="sentences that a rule takes from the findings") as error:
        ask_chat(mini, logprobs=True)
    assert (error.value.param, error.value.code) == ("logprobs", "unsupported_value")
    with pytest.raises(openai.BadRequestError, match="sentences that a rule takes"):
        ask_chat(mini, logprobs=True, stream=True)


# A model served elsewhere


@pytest.fixture(scope="module")
def endpoint() -> Iterator[ModelServer]:
    with serve_model(load_model(EMBEDDED, "cpu")) as server:
        yield server


@pytest.fixture(scope="module")
def elsewhere(endpoint: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    spec = Spec(connect_assistant, (Elsewhere(endpoint.url, timeout_s=20), None, 1))
    with running(tmp_path_factory.mktemp("home"), spec) as one, connect(one) as client:
        yield client


def test_those_of_another_server_are_passed_on(endpoint: ModelServer, elsewhere: openai.OpenAI) -> None:
    (expected,) = endpoint.texts.complete([PROMPT], Sampling(12, logprobs=2))[0]
    told = ask_text(elsewhere, logprobs=2).choices[0].logprobs
    tokens = keep_shown(expected.spelled, expected.text)
    assert tokens is not None
    assert told.token_logprobs == [one.logprob for one in tokens]
    assert told.top_logprobs == render_text(tokens)["top_logprobs"]
    choice = ask_chat(elsewhere, logprobs=True, top_logprobs=2).choices[0]
    assert spelled(choice.logprobs.content) == choice.message.content
    assert all(len(one.top_logprobs) == 2 for one in choice.logprobs.content)
    assert endpoint.seen[-1][2]["top_logprobs"] == 2


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, {"choices": [{"message": {"content": "Clear."}, "finish_reason": "stop"}]}),
        Reply(200, {"choices": [{"message": {"content": "Clear."}, "logprobs": {"content": [{"token": 1}]}}]}),
        Reply(
            200,
            {
                "choices": [
                    {"message": {"content": "Clear."}, "logprobs": {"content": [{"token": "Other", "logprob": -1.0}]}}
                ]
            },
        ),
        Reply(400, {"error": {"message": "no", "param": "logprobs", "code": "unsupported_parameter"}}),
    ],
    ids=["none", "broken", "of another text", "refused"],
)
def test_a_server_that_does_not_tell_them_is_a_refusal(
    endpoint: ModelServer, elsewhere: openai.OpenAI, reply: Reply
) -> None:
    for stream in (False, True):
        endpoint.replies += [reply] * (2 if reply.status == 400 else 1)  # what breaks in a batch is asked alone
        with pytest.raises(openai.BadRequestError, match="does not tell the log-probabilities") as error:
            ask_chat(elsewhere, logprobs=True, stream=stream)
        assert error.value.param == "logprobs"
        assert not endpoint.replies


# Tokens and the text they spell


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_spells_what_it_writes(lively_base: Path, engine: str) -> None:
    drafter = load_drafter(str(lively_base), "cpu", engine)
    prompts = [PROMPT, "findings:\nClear lungs.\n\nimpression:\n"]
    for sampling in (Sampling(20, logprobs=4), Sampling(20, 1.0, 1, samples=3, logprobs=4)):
        for one in sum(drafter.engine.complete(prompts, sampling), list[Completion]()):
            assert one.spelled is not None
            assert b"".join(token.utf8 for token in one.spelled).decode("utf-8", "replace").strip() == one.text
            assert all(len(token.likeliest) == 4 for token in one.spelled)
            assert [other.logprob for other in one.spelled[0].likeliest] == sorted(
                (other.logprob for other in one.spelled[0].likeliest), reverse=True
            )
    assert drafter.engine.complete(prompts, Sampling(4))[0][0].spelled is None


def test_a_character_of_several_tokens_is_told_with_the_last_of_them() -> None:
    pieces = [b"6", b" \xc2", b"\xb0", b"C", b""]
    tokens = spell_tokens(
        [[(0, -1.0)], [(1, -2.0), (4, -0.5)], [(2, -3.0)], [(3, -4.0)]],
        lambda ids: b"".join(pieces[one] for one in ids).decode("utf-8", "replace"),
        lambda token: f"<{token}>",
    )
    assert [(one.name, one.utf8.decode()) for one in tokens] == [("6", "6"), (" ", " "), ("°", "°"), ("C", "C")]
    assert tokens[1].likeliest == (Token("<4>", b"", -0.5),)
    assert render_text(tokens)["text_offset"] == [0, 1, 2, 3]


def test_only_tokens_of_the_text_that_is_shown_are_kept() -> None:
    tokens = [Token(one, one.encode(), -1.0) for one in (" ", " No", " effu", "sion", ". ", "\n")]
    kept = keep_shown(tokens, "No effusion.")
    assert kept == tuple(tokens[:5])
    assert render_text(tokens[:5])["text_offset"] == [0, 0, 2, 7, 11]
    assert keep_shown(tokens, "No ef") == tuple(tokens[:3])
    assert keep_shown(tokens, "") == ()
    assert keep_shown(tokens, "An effusion.") is None
    assert keep_shown(None, "") is None


def test_a_beam_search_does_not_tell_them() -> None:
    with pytest.raises(InputError, match="a beam search does not tell the log-probabilities"):
        Sampling(beams=2, logprobs=0)
