"""Rivals: every model is asked alike, with whole examples of other patients, and nothing is lost on the way."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import make_reports
from endpoints import ModelServer, serve
from hub_models import tiny_models

from radllama.drafting.draft import NO_FINDINGS, TOO_LONG, draft_file
from radllama.drafting.load import load_drafter
from radllama.engines import Sampling
from radllama.engines.openai import Asked, Endpoint
from radllama.errors import InputError
from radllama.files import read_json, read_jsonl, write_jsonl
from radllama.library import Library
from radllama.model import load_model
from radllama.prompt import read_prompt, write_prompt
from radllama.report import Report
from radllama.rivals.load import connect_rival, load_rival
from radllama.rivals.rival import Examples, Rival, count_facts
from radllama.selection import Selection

SHORT = Sampling(max_new_tokens=6)
FIELDS = ["id", "findings", "reference", "draft", "model", "prompt", "seed", "finish_reason"]


@pytest.fixture(scope="module")
def models(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny_models(tiny_base, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def library() -> Library:
    """Prior reports of other patients than those that are drafted."""
    prior = make_reports(30, seed=7)
    return Library.build(
        Report(f"prior-{report.id}", f"q{report.patient_id}", report.findings, report.impression) for report in prior
    )


def shots(library: Library, count: int) -> Examples:
    return Examples(count, library, "prior@1")


@pytest.fixture(scope="module")
def served(models: dict[str, Path]) -> Iterator[ModelServer]:
    with serve(load_model(str(models["qwen2"]), "cpu")) as running:
        yield running


@pytest.fixture
def server(served: ModelServer) -> ModelServer:
    served.seen.clear()
    served.answer = served.stop_after = None
    served.context_tokens = 512
    return served


def connect(server: ModelServer, *arguments: Any, **options: Any) -> Rival[Asked]:
    return connect_rival(Endpoint(server.url, "tiny", attempts=2, pause_s=0.001), *arguments, **options)


@pytest.fixture
def reports_file(tmp_path: Path, reports: list[Report]) -> Path:
    write_jsonl(tmp_path / "reports.jsonl", (report.to_json() for report in reports[:12]))
    return tmp_path / "reports.jsonl"


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(path)]


# Here


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("count", [0, 3])
def test_models_of_two_families_draft_zero_shot_and_with_examples(
    models: dict[str, Path], library: Library, reports_file: Path, tmp_path: Path, family: str, count: int
) -> None:
    examples = shots(library, count) if count else None
    rival = load_rival(str(models[family]), "chat", examples, device="cpu")
    draft_file(rival, reports_file, tmp_path / "d.jsonl", None, SHORT)
    drafts = rows(tmp_path / "d.jsonl")
    assert [row["id"] for row in drafts] == [row["id"] for row in rows(reports_file)]
    assert all(list(row)[:8] == FIELDS for row in drafts)
    assert {row["model"].split("@")[0] for row in drafts} == {family}
    assert {row["prompt"] for row in drafts} == {rival.prompt_name}
    assert rival.prompt_name.endswith("+3") is (count == 3)
    assert all(len(row.get("neighbours", [])) == count for row in drafts)
    assert any(row["draft"] for row in drafts)


def test_zero_shot_in_its_own_prompt_is_the_drafter(
    tiny_base: Path, models: dict[str, Path], reports: list[Report]
) -> None:
    ours = load_drafter(str(models["llama"]), "cpu")
    rival = load_rival(str(models["llama"]), tidying=False, device="cpu")
    for report in reports[:5]:
        assert rival.draft(report.findings, report.indication, SHORT) == ours.draft(
            report.findings, report.indication, SHORT
        )


@pytest.mark.parametrize("template", ["plain", None])
def test_the_fast_engine_is_asked_as_the_reference_is(
    models: dict[str, Path], library: Library, reports: list[Report], template: str | None
) -> None:
    ours, fast = (
        load_rival(str(models["llama"]), template, shots(library, 2), device="cpu", engine=engine)
        for engine in ("transformers", "ctranslate2")
    )
    assert fast.prompt_name == ours.prompt_name
    for report in reports[:3]:
        assert fast.draft(report.findings, "", SHORT) == ours.draft(report.findings, "", SHORT)


def test_examples_change_the_draft(models: dict[str, Path], library: Library, reports: list[Report]) -> None:
    zero = load_rival(str(models["llama"]), "plain", device="cpu")
    three = load_rival(str(models["llama"]), "plain", shots(library, 3), device="cpu")
    texts = [(one.draft(r.findings, "", SHORT).text) for one in (zero, three) for r in reports[:4]]
    assert texts[:4] != texts[4:]


def test_no_example_is_of_the_same_patient(models: dict[str, Path], reports: list[Report]) -> None:
    others = [Report("other", "p-other", "Small effusion. Clear.", "Effusion.")]
    prior = Library.build([Report(f"{r.id}x", r.patient_id, r.findings, r.impression) for r in reports] + others)
    rival = load_rival(str(models["llama"]), "plain", shots(prior, 2), device="cpu")
    patients = {f"{report.id}x": report.patient_id for report in reports} | {"other": "p-other"}
    for batch in rival.draft_batches(reports[:6], SHORT):
        for i, draft in batch.items():
            assert draft.neighbours
            assert all(patients[one.id] != reports[i].patient_id for one in draft.neighbours)


def test_a_report_that_stands_in_the_library_is_refused(
    models: dict[str, Path], reports: list[Report], reports_file: Path, tmp_path: Path
) -> None:
    rival = load_rival(str(models["llama"]), "plain", shots(Library.build(reports), 2), device="cpu")
    with pytest.raises(InputError, match="12 of its reports stand in the library"):
        draft_file(rival, reports_file, tmp_path / "d.jsonl", None, SHORT)
    assert not (tmp_path / "d.jsonl").exists()


def test_examples_that_do_not_fit_are_dropped_whole_and_counted(
    models: dict[str, Path], library: Library, reports_file: Path, tmp_path: Path
) -> None:
    rival = load_rival(str(models["llama"]), "chat", shots(library, 25), device="cpu")
    draft_file(rival, reports_file, tmp_path / "d.jsonl", None, SHORT)
    drafts = rows(tmp_path / "d.jsonl")
    assert all(0 < len(row["neighbours"]) < 25 for row in drafts)
    assert all(row["examples_dropped"] + len(row["neighbours"]) == 25 for row in drafts)
    assert all(row["neighbours"] == sorted(row["neighbours"], key=lambda one: -one["score"]) for row in drafts)
    _, dropped = count_facts(tmp_path / "d.jsonl")
    assert dropped == {"reports": 12, "examples": sum(row["examples_dropped"] for row in drafts)}


def test_what_cannot_be_drafted_has_a_reason(models: dict[str, Path], library: Library, tmp_path: Path) -> None:
    findings = ["Clear lungs.", "--", "word " * 2_000]
    write_jsonl(tmp_path / "r.jsonl", [{"id": str(i), "findings": text} for i, text in enumerate(findings)])
    rival = load_rival(str(models["llama"]), "chat", shots(library, 2), device="cpu")
    counts = draft_file(rival, tmp_path / "r.jsonl", tmp_path / "d.jsonl", None, SHORT)
    drafts = rows(tmp_path / "d.jsonl")
    assert [row["finish_reason"] for row in drafts][1:] == [NO_FINDINGS, TOO_LONG]
    assert [row["draft"] for row in drafts][1:] == ["", ""]
    assert counts[TOO_LONG] == counts[NO_FINDINGS] == 1
    with pytest.raises(InputError, match="exceed the model's context"):
        rival.draft("word " * 2_000, "", SHORT)
    with pytest.raises(InputError, match="no words"):
        rival.draft("...", "", SHORT)


def test_mistakes_are_told_in_one_line(models: dict[str, Path], tiny_base: Path) -> None:
    with pytest.raises(InputError, match="no chat template; ask it in a text"):
        load_rival(str(tiny_base), "chat", device="cpu")
    with pytest.raises(InputError, match="no template 'chatty'"):
        load_rival(str(models["llama"]), "chatty", device="cpu")
    with pytest.raises(InputError, match="model 'nobody/nothing-7b' cannot be loaded"):
        load_rival("nobody/nothing-7b", "chat", device="cpu")


# At an endpoint


@pytest.mark.parametrize(("template", "count"), [("chat", 0), ("chat", 3), ("plain", 0), ("plain", 3)])
def test_a_served_model_drafts_what_it_drafts_here(
    models: dict[str, Path], server: ModelServer, library: Library, reports: list[Report], template: str, count: int
) -> None:
    examples = shots(library, count) if count else None
    here = load_rival(str(models["qwen2"]), template, examples, device="cpu")
    there = connect(server, template, examples)
    for report in reports[:4]:
        assert there.draft(report.findings, "", SHORT) == here.draft(report.findings, "", SHORT)


def test_an_endpoint_is_asked_in_chat_unless_told_otherwise(server: ModelServer, library: Library) -> None:
    connect(server, None, shots(library, 2)).draft("Clear lungs.", "", SHORT)
    ((path, _, body),) = server.seen
    assert path.endswith("/chat/completions")
    assert [message["role"] for message in body["messages"]] == ["user", "assistant"] * 2 + ["user"]


def test_the_server_decides_how_many_examples_fit(
    server: ModelServer, library: Library, reports_file: Path, tmp_path: Path
) -> None:
    server.context_tokens = 256
    rival = connect(server, "chat", shots(library, 6))
    draft_file(rival, reports_file, tmp_path / "d.jsonl", 5, SHORT)
    drafts = rows(tmp_path / "d.jsonl")
    assert all(row["examples_dropped"] > 0 and row["neighbours"] for row in drafts)
    assert all(row["examples_dropped"] + len(row["neighbours"]) == 6 for row in drafts)
    assert {row["finish_reason"] for row in drafts} <= {"stop", "length"}
    server.context_tokens = 20
    too_small = tmp_path / "small.jsonl"
    assert draft_file(rival, reports_file, too_small, 5, SHORT) == {TOO_LONG: 12}


def test_a_chatty_answer_is_tidied_counted_and_kept(server: ModelServer, reports_file: Path, tmp_path: Path) -> None:
    server.answer = "Sure! Here is the impression:\n\n**Impression:** Normal chest."
    draft_file(connect(server), reports_file, tmp_path / "d.jsonl", 5, SHORT)
    draft_file(connect(server, tidying=False), reports_file, tmp_path / "raw.jsonl", 5, SHORT)
    tidied, raw = rows(tmp_path / "d.jsonl"), rows(tmp_path / "raw.jsonl")
    assert {row["draft"] for row in tidied} == {"Normal chest."}
    assert {row["answer"] for row in tidied} == {row["draft"] for row in raw} == {server.answer}
    assert count_facts(tmp_path / "d.jsonl")[0] == {"preamble": 12, "heading": 12}
    assert not count_facts(tmp_path / "raw.jsonl")[0]
    settings = [read_json(tmp_path / f"{name}.run.json")["settings"]["tidy"] for name in ("d", "raw")]
    assert settings == [1, None]


def test_a_model_that_runs_on_to_the_next_question_has_stopped(server: ModelServer) -> None:
    server.answer = "Normal chest.\n\nfindings: Effusion.\nimpression: Effu"
    completion = connect(server, "plain").draft("Clear lungs.", "", SHORT)
    assert (completion.text, completion.finish_reason) == ("Normal chest.", "stop")


def test_the_run_file_says_how_it_was_asked(
    server: ModelServer, library: Library, reports_file: Path, tmp_path: Path
) -> None:
    endpoint = Endpoint(server.url, "tiny", fields={"top_k": 1})
    draft_file(connect_rival(endpoint, "chat", shots(library, 2)), reports_file, tmp_path / "d.jsonl", 5, SHORT)
    settings = read_json(tmp_path / "d.run.json")["settings"]
    assert settings["model"] == f"tiny@{server.url[7:-3]}"
    assert settings["prompt"].startswith("chat@")
    assert (settings["engine"], settings["shots"], settings["library"]) == ("openai", 2, "prior@1")
    assert settings["request"] == {"top_k": 1}


def test_a_file_goes_on_where_the_server_broke_off(server: ModelServer, reports_file: Path, tmp_path: Path) -> None:
    rival = connect(server)
    draft_file(rival, reports_file, tmp_path / "whole.jsonl", 4, SHORT)
    server.seen.clear()
    server.stop_after = 5
    with pytest.raises(InputError, match="answered 503, 2 times; run the same command again"):
        draft_file(rival, reports_file, tmp_path / "d.jsonl", 4, SHORT)
    assert not (tmp_path / "d.jsonl").exists()
    server.stop_after = None
    draft_file(rival, reports_file, tmp_path / "d.jsonl", 4, SHORT)
    assert (tmp_path / "d.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_run_is_repeated_from_its_cassette_to_the_byte(
    server: ModelServer, library: Library, reports_file: Path, tmp_path: Path
) -> None:
    def run(name: str, **options: Any) -> bytes:
        rival = connect(server, "chat", shots(library, 2), cassette=tmp_path / "c.jsonl", **options)
        draft_file(rival, reports_file, tmp_path / name, 5, SHORT)
        return (tmp_path / name).read_bytes()

    first = run("first.jsonl")
    asked = len(server.seen)
    assert run("again.jsonl") == run("offline.jsonl", offline=True) == first
    assert len(server.seen) == asked


# Where findings go


def test_it_is_said_when_findings_leave_this_machine(
    server: ModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(server)
    assert capsys.readouterr().err == ""
    connect_rival(Endpoint("https://api.example.org/v1", "m"))
    assert "WARNING: findings leave this machine: they are sent to api.example.org" in capsys.readouterr().err
    connect_rival(Endpoint("http://10.0.0.5:8000/v1", "m"))
    assert "leave this machine, UNENCRYPTED: they are sent to 10.0.0.5:8000" in capsys.readouterr().err
    connect_rival(Endpoint("https://api.example.org/v1", "m"), cassette=tmp_path / "c", offline=True)
    assert capsys.readouterr().err == ""


def test_what_a_models_prompt_tells_begins_its_drafts_here_too(lively_base: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(lively_base, tmp_path / "telling"))
    selection = Selection({"topic Pleural Effusion": 9.0}, bias=-1.0, least=0.5)
    write_prompt(replace(read_prompt(folder), selection=selection), folder)
    findings = "Small left pleural effusion. No pneumothorax."
    rival = load_rival(str(folder), tidying=False, device="cpu")
    assert rival.draft(findings, sampling=SHORT).text.startswith("Small left pleural effusion. ")
    assert (
        rival.draft(findings, sampling=SHORT).text == load_drafter(str(folder), "cpu").draft(findings, "", SHORT).text
    )
