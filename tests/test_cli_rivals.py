"""The command line of rivals: a researcher's road from a library to a table, and every mistake in one line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import CANARY, Done, Run
from conftest import make_reports
from endpoints import ModelServer, serve
from hub_models import tiny_models

from radllama.cli.rivals import parse_fields
from radllama.dataset.build import build_dataset
from radllama.errors import InputError
from radllama.files import read_json, read_jsonl, write_jsonl
from radllama.model import load_model


@pytest.fixture(scope="module")
def models(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny_models(tiny_base, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(models: dict[str, Path]) -> Iterator[ModelServer]:
    with serve(load_model(str(models["qwen2"]), "cpu")) as running:
        yield running


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    reports = make_reports(60, seed=5)
    write_jsonl(folder / "r.jsonl", (r.to_json() | {"findings": f"{r.findings} A {CANARY}."} for r in reports))
    build_dataset("table", folder / "r.jsonl", folder / "data", "random:1")
    return folder / "data"


def last_line(done: Done) -> str:
    assert done.code == 2
    assert done.out == ""
    return done.err.strip().splitlines()[-1]


def test_from_a_library_to_a_table_of_two_models_and_a_server(
    run: Run, models: dict[str, Path], server: ModelServer, data: Path, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    assert run("library", "build", "--data", data, "--out", library).code == 0
    common = ["draft", "--in", data / "test.jsonl", "--template", "chat", "--max-new-tokens", 6, "--device", "cpu"]
    examples = ["--library", library, "--shots", 2]
    endpoint = ["--engine", "openai", "--base-url", server.url, "--model", "served"]
    runs: dict[str, list[Any]] = {
        "llama-0": ["--model", models["llama"]],
        "llama-2": ["--model", models["llama"], *examples],
        "qwen2-0": ["--model", models["qwen2"]],
        "served-0": [*endpoint, "--cassette", tmp_path / "c.jsonl"],
        "served-2": [*endpoint, "--cassette", tmp_path / "c.jsonl", *examples],
    }
    files = {name: tmp_path / f"{name}.jsonl" for name in runs}
    for name, options in runs.items():
        done = run(*common, *options, "--out", files[name])
        assert (done.code, done.out) == (0, f"{files[name]}\n")
        assert "WARNING" not in done.err
    drafts = {name: [row["draft"] for _, row in read_jsonl(path)] for name, path in files.items()}
    assert drafts["served-0"] == drafts["qwen2-0"]  # the same weights, here and there

    asked = len(server.seen)
    again = run(*common, *runs["served-2"], "--offline", "--out", tmp_path / "again.jsonl")
    assert again.code == 0
    assert (tmp_path / "again.jsonl").read_bytes() == files["served-2"].read_bytes()
    assert len(server.seen) == asked

    done = run("compare", *files.values(), "--train", data, "--out", tmp_path / "compared")
    assert done.code == 0
    systems = read_json(tmp_path / "compared" / "compare.json")["systems"].values()
    assert [system["system"].partition("@")[0] for system in systems] == ["llama", "llama", "qwen2", "served", "served"]
    assert [system["system"].endswith("+2") for system in systems] == [False, True, False, False, True]
    done = run("evaluate", "--drafts", files["served-2"], "--train", data, "--out", tmp_path / "scores")
    assert done.code == 0


def test_one_draft_of_an_endpoint_is_alone_on_stdout(run: Run, server: ModelServer) -> None:
    server.answer = "Impression: Normal chest."
    done = run("draft", "--engine", "openai", "--base-url", server.url, "--findings", "Clear lungs.")
    server.answer = None
    assert (done.code, done.out) == (0, "Normal chest.\n")


def test_what_was_tidied_is_told(run: Run, server: ModelServer, data: Path, tmp_path: Path) -> None:
    server.answer = "Impression: Normal chest."
    common = ["draft", "--engine", "openai", "--base-url", server.url, "--in", data / "test.jsonl"]
    done = run(*common, "--out", tmp_path / "d.jsonl")
    assert "tidied answers, by rule: heading 8 " in done.err
    done = run(*common, "--out", tmp_path / "raw.jsonl", "--no-tidy")
    server.answer = None
    assert "tidied" not in done.err
    assert {row["draft"] for _, row in read_jsonl(tmp_path / "raw.jsonl")} == {"Impression: Normal chest."}


def test_requests_are_shaped_by_the_user_and_recorded(
    run: Run, server: ModelServer, data: Path, tmp_path: Path
) -> None:
    out, cassette = tmp_path / "d.jsonl", tmp_path / "c.jsonl"
    done = run(
        *("draft", "--engine", "openai", "--base-url", server.url, "--model", "m", "--in", data / "test.jsonl"),
        *("--out", out, "--cassette", cassette, "--request", "top_k=1", "--request", "user=study"),
    )
    assert done.code == 0
    assert "records what is sent, findings included" in done.err
    assert read_json(tmp_path / "d.run.json")["settings"]["request"] == {"top_k": 1, "user": "study"}
    request = json.loads(cassette.read_text().splitlines()[0])["request"]
    assert (request["top_k"], request["user"]) == (1, "study")


def test_fields_are_json_or_text() -> None:
    entries = ["max_tokens=null", "top_p=0.5", "user=me=you", 'stop=["\\n\\n"]', "empty="]
    assert parse_fields(entries) == {"max_tokens": None, "top_p": 0.5, "user": "me=you", "stop": ["\n\n"], "empty": ""}
    for entry in ("max_tokens", "=1", "messages=[]", "stream=true", "n=2"):
        with pytest.raises(InputError, match="expected FIELD=VALUE"):
            parse_fields([entry])


def test_mistakes_are_one_line(run: Run, server: ModelServer, models: dict[str, Path], data: Path) -> None:
    one = ["draft", "--findings", f"A {CANARY}."]
    url = ["--base-url", server.url]
    assert "no engine 'vllm'; there are" in last_line(run(*one, "--engine", "vllm"))
    told = last_line(run(*one, "--engine", "ctranslate2", "--template", "chat"))
    assert "--template chat writes special tokens, which --engine transformers alone takes" in told
    assert "--engine openai needs --base-url" in last_line(run(*one, "--engine", "openai"))
    assert "--base-url is for an endpoint; add --engine openai" in last_line(run(*one, *url))
    assert "--offline is for an endpoint" in last_line(run(*one, "--offline"))
    assert "--shots shows prior reports; give their --library" in last_line(run(*one, "--shots", 2))
    assert "build it with `radllama library build`" in last_line(run(*one, "--library", data))
    told = last_line(run(*one, "--library", data, "--consensus", 5, "--shots", 2))
    assert "--consensus asks no model; leave out" in told
    assert "name it with --cassette" in last_line(run(*one, "--engine", "openai", *url, "--offline"))
    assert "--key-variable NOT_THERE" in last_line(run(*one, "--engine", "openai", *url, "--key-variable", "NOT_THERE"))
    assert "no template 'chatty'" in last_line(run(*one, "--template", "chatty"))
    assert "no chat template; ask it in a text" in last_line(run(*one, "--template", "chat"))
    told = last_line(run(*one, "--template", "chat", "--model", "nobody/nothing-7b"))
    assert told.startswith("radllama: model 'nobody/nothing-7b' cannot be loaded")


def test_a_server_that_is_not_there_is_one_line(run: Run, models: dict[str, Path]) -> None:
    with serve(load_model(str(models["llama"]), "cpu")) as gone:
        url = gone.url
    told = last_line(run("draft", "--engine", "openai", "--base-url", url, "--findings", f"A {CANARY}."))
    assert told == f"radllama: {url[7:-3]}: cannot be reached (not running, blocked, or the name is not known)"
