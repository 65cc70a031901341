"""Prior reports in the prompt: which are shown, whole and in what order, and the same tokens wherever one asks."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import Run
from endpoints import serve
from transformers import AutoTokenizer

from radllama.drafting.draft import Drafter, draft_file
from radllama.drafting.load import load_drafter
from radllama.engines import Engine, Sampling
from radllama.engines.openai import Endpoint
from radllama.engines.transformers import TransformersEngine
from radllama.errors import InputError
from radllama.files import read_json, read_jsonl, write_jsonl
from radllama.library import Library, Neighbour
from radllama.library.asking import Asking, fit_budget
from radllama.library.folder import build_library
from radllama.model import load_model
from radllama.prompt import TEMPLATES, encode_prompt, encode_text, make_prompt, read_prompt, write_prompt
from radllama.recipe import Augment, Neighbours
from radllama.report import Report
from radllama.rivals.load import connect_rival, load_rival
from radllama.rivals.rival import Examples
from radllama.server.assistant import load_assistant
from radllama.server.jobs import ImpressionJob, Result, Silent
from radllama.training.augment import swap_sides
from radllama.training.examples import Batches, Encoder

NEAR = Neighbour("n", 0.9, " Small left effusion.\n", " Effusion.\n")
FAR = Neighbour("f", 0.2, "Lungs are clear.", "Normal.")
BOTH = (NEAR, FAR)
NEW = Report(
    "new", "p-new", "Heart size is normal. Small left pleural effusion. No pneumothorax.", "Effusion.", "Cough."
)


def choice(**changes: Any) -> Neighbours:
    return Neighbours.model_validate({"count": 3, "budget_tokens": 64, **changes})


def count_words(text: str) -> int:
    return 1 + len(text.split())  # the one is a begin token's


@pytest.fixture(scope="module")
def library(reports: list[Report]) -> Library:
    return Library.build(reports, "bm25")


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_base)


# The template


def test_the_plain_template_shows_them_before_the_findings_the_nearest_last() -> None:
    assert make_prompt("plain", neighbours=choice()).render("Clear.", neighbours=BOTH) == (
        "prior: Normal.\nprior: Effusion.\nfindings: Clear.\nimpression:"
    )


def test_the_nearest_may_come_first_and_findings_be_shown_too() -> None:
    prompt = make_prompt("plain", neighbours=choice(nearest="first", findings=True))
    assert prompt.render("Clear.", neighbours=BOTH) == (
        "prior: Small left effusion.\nimpression: Effusion.\n"
        "prior: Lungs are clear.\nimpression: Normal.\n"
        "findings: Clear.\nimpression:"
    )


def test_the_papers_template_keeps_its_instruction_first() -> None:
    prompt = make_prompt("paper", indication=True, neighbours=choice())
    text = prompt.render("Clear.", "Cough.", neighbours=BOTH)
    assert text.startswith(make_prompt("paper").before)
    assert text.startswith(prompt.beginning)
    assert "Prior impression: Normal.\nPrior impression: Effusion.\n\nThis report:\nIndication: Cough.\n" in text
    assert text.endswith("Findings: Clear.\n\n### Response:\n")


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("indication", ["", "Cough."])
def test_without_prior_reports_the_prompt_is_the_one_without_their_place(template: str, indication: str) -> None:
    with_place = make_prompt(template, True, neighbours=choice(findings=True))
    assert with_place.render("Clear.", indication) == make_prompt(template, True).render("Clear.", indication)


@pytest.mark.parametrize("template", TEMPLATES)
def test_braces_in_prior_reports_are_text(template: str) -> None:
    odd = Neighbour("o", 0.5, "{impression} {neighbours}", "{findings}")
    text = make_prompt(template, neighbours=choice(findings=True)).render("Clear.", neighbours=[odd])
    assert text.count("{impression} {neighbours}") == 1
    assert text.count("{findings}") == 1


def test_a_template_without_their_place_shows_none() -> None:
    with pytest.raises(ValueError, match="no place for prior reports"):
        make_prompt("plain").render("Clear.", neighbours=BOTH)


def test_the_place_travels_with_the_model_and_is_part_of_its_name(tmp_path: Path) -> None:
    prompt = make_prompt("plain", neighbours=choice())
    write_prompt(prompt, tmp_path)
    assert read_prompt(tmp_path) == prompt
    assert len({make_prompt("plain", neighbours=one).name for one in (None, choice(), choice(count=4))}) == 3


def test_a_prompt_without_their_place_is_saved_and_named_as_ever(tmp_path: Path) -> None:
    write_prompt(make_prompt("plain"), tmp_path)
    assert "shelf" not in read_json(tmp_path / "prompt.json")
    assert make_prompt("paper").name == "paper@37407fcd"


def test_a_broken_place_is_told(tmp_path: Path) -> None:
    write_prompt(make_prompt("plain", neighbours=choice()), tmp_path)
    text = (tmp_path / "prompt.json").read_text()
    (tmp_path / "prompt.json").write_text(text.replace('"budget_tokens"', '"budget"'))
    with pytest.raises(InputError, match="not a prompt file"):
        read_prompt(tmp_path)


# Which are shown


def test_what_does_not_fit_the_budget_is_left_out_whole_and_counted(library: Library) -> None:
    whole = Asking(make_prompt("plain", neighbours=choice(budget_tokens=500)), library, count_words)
    asked = whole.ask(NEW.findings, "", 1000)
    assert (len(asked.shown), asked.left_out) == (3, 0)
    lines = [1 + len(one.impression.split()) for one in asked.shown]  # "prior:" and the impression
    for fitting in (1, 2, 3):
        shelf = make_prompt("plain", neighbours=choice()).shelf
        assert shelf
        for budget, expected in ((sum(lines[:fitting]), fitting), (sum(lines[:fitting]) - 1, fitting - 1)):
            tight = replace(shelf, budget_tokens=budget)
            assert fit_budget(asked.shown, tight, count_words) == asked.shown[:expected]


def test_a_small_context_takes_the_farthest_first(library: Library) -> None:
    asking = Asking(make_prompt("plain", neighbours=choice()), library, count_words)
    full = asking.ask(NEW.findings, "", 1000)
    less = asking.ask(NEW.findings, "", full.tokens - 1)
    assert (less.shown, less.left_out) == (full.shown[:2], 1)
    assert less.tokens <= full.tokens - 1
    none = asking.ask(NEW.findings, "", 1)
    assert (none.shown, none.left_out) == ((), 3)
    assert none.text == make_prompt("plain").render(NEW.findings)


def test_neither_a_report_nor_another_of_its_patient_is_its_neighbour(library: Library) -> None:
    prompt = make_prompt("plain", neighbours=choice(count=40, budget_tokens=5000))
    asking = Asking(prompt, library, count_words)
    for report in library.reports:
        shown = {one.id for one in asking.ask(report.findings, "", 9000, leave_out=report).shown}
        own = {one.id for one in library.reports if one.patient_id == report.patient_id}
        assert shown
        assert report.id in own
        assert not shown & own


def test_without_a_library_or_a_place_nothing_is_shown(library: Library) -> None:
    for prompt, prior in ((make_prompt("plain"), library), (make_prompt("plain", neighbours=choice()), None)):
        asked = Asking(prompt, prior, count_words).ask(NEW.findings, "", 1000)
        assert (asked.text, asked.shown, asked.left_out) == (make_prompt("plain").render(NEW.findings), (), 0)


# Training


def test_a_training_example_shows_others_and_drafting_shows_the_same(library: Library, tokenizer: Any) -> None:
    prompt = make_prompt("plain", neighbours=choice())
    encoder = Encoder(prompt, tokenizer, 256, library=library)
    asking = Asking(prompt, library, lambda text: len(encode_text(tokenizer, text)))
    for report in library.reports:
        example = encoder.encode(report)
        asked = asking.ask(report.findings, "", 256, leave_out=report)
        assert example
        assert asked.shown
        assert example.prompt_ids == encode_text(tokenizer, asked.text)
        assert example.prompt_ids == encode_prompt(prompt, tokenizer, report.findings, neighbours=asked.shown)


def test_prior_reports_give_way_before_a_report_is_dropped(library: Library, tokenizer: Any) -> None:
    prompt = make_prompt("plain", neighbours=choice())
    bare = Encoder(make_prompt("plain"), tokenizer, 256).encode(NEW)
    assert bare
    encoder = Encoder(prompt, tokenizer, len(bare), library=library)
    assert encoder.encode(NEW) == bare
    assert encoder.neighbours == {"shown": 0, "left_out": 3}
    assert Encoder(prompt, tokenizer, len(bare) - 1, library=library).encode(NEW) is None


def test_a_share_of_the_examples_shows_none_other_ones_each_epoch(library: Library, tokenizer: Any) -> None:
    encoder = Encoder(make_prompt("plain", neighbours=choice()), tokenizer, 256, library=library)
    reports, examples, _ = encoder.encode_all(library.reports)
    batches = Batches(reports, examples, encoder, Augment(), len(reports), seed=0, bare=0.5)
    shown = [
        {tokenizer.decode(one.prompt_ids): "prior:" in tokenizer.decode(one.prompt_ids) for one in batches[epoch]}
        for epoch in range(6)
    ]
    shares = [sum(epoch.values()) / len(epoch) for epoch in shown]
    assert all(0.2 < share < 0.8 for share in shares)
    assert shown[0] != shown[1]
    assert batches[3] == Batches(reports, examples, encoder, Augment(), len(reports), seed=0, bare=0.5)[3]


def test_varied_reports_are_looked_up_as_they_are_shown(library: Library, tokenizer: Any) -> None:
    encoder = Encoder(make_prompt("plain", neighbours=choice(count=1)), tokenizer, 256, library=library)
    reports, examples, _ = encoder.encode_all(library.reports)
    batches = Batches(reports, examples, encoder, Augment(swap_sides=1), len(reports), seed=0)
    swapped = [
        encoder.encode(replace(one, findings=swap_sides(one.findings), impression=swap_sides(one.impression)))
        for one in reports
    ]
    assert sorted(map(repr, batches[0])) == sorted(map(repr, swapped))
    assert swapped != examples


# Drafting


@pytest.fixture(scope="module")
def reader(lively_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was tuned to read prior reports, with room for them."""
    folder = Path(shutil.copytree(lively_base, tmp_path_factory.mktemp("reader") / "reader"))
    config = read_json(folder / "config.json")
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 1024}))
    write_prompt(make_prompt("plain", neighbours=choice()), folder)
    return folder


@pytest.fixture(scope="module", params=["transformers", "ctranslate2"])
def engine(request: pytest.FixtureRequest, reader: Path) -> Engine:
    return load_drafter(str(reader), "cpu", request.param).engine


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("findings", [True, False])
def test_training_and_every_engine_see_the_same_tokens(
    engine: Engine, library: Library, tokenizer: Any, template: str, findings: bool
) -> None:
    prompt = make_prompt(template, True, neighbours=choice(findings=findings))
    example = Encoder(prompt, tokenizer, 1024, library=library).encode(NEW)
    assert example
    asked = Drafter(engine, prompt, "reader", library=library).ask(NEW.findings, NEW.indication, 16, leave_out=NEW)
    inner: Any = engine
    seen = inner.encode(asked.text)
    ids = seen if isinstance(engine, TransformersEngine) else tokenizer.convert_tokens_to_ids(seen)
    assert asked.shown
    assert ids == example.prompt_ids
    assert asked.tokens == len(ids)


def test_a_file_of_drafts_tells_what_stood_in_the_prompts(reader: Path, library: Library, tmp_path: Path) -> None:
    drafter = load_drafter(str(reader), "cpu").with_library(library, "lib@12345678")
    write_jsonl(tmp_path / "in.jsonl", [replace(NEW, source="table").to_json(), {"id": "none", "findings": "..."}])
    draft_file(drafter, tmp_path / "in.jsonl", tmp_path / "out.jsonl", sampling=Sampling(4))
    new, none = (row for _, row in read_jsonl(tmp_path / "out.jsonl"))
    asked = drafter.ask(NEW.findings, "", 4)
    assert new["shown"] == [one.id for one in asked.shown] == [one["id"] for one in new["neighbours"]]
    assert new["left_out"] == asked.left_out
    assert "shown" not in none
    run = read_json(tmp_path / "out.run.json")
    assert run["settings"]["library"] == "lib@12345678"
    assert run["neighbours_in_prompts"] == {"shown": len(asked.shown), "left_out": asked.left_out}
    assert (new["source"], "source" in none) == ("table", False)
    assert new["draft"] == drafter.draft(NEW.findings, sampling=Sampling(4)).text


def test_another_report_of_the_patient_is_not_shown_in_a_file(reader: Path, library: Library, tmp_path: Path) -> None:
    known = library.reports[0]
    again = replace(known, id="again")
    write_jsonl(tmp_path / "in.jsonl", [again.to_json()])
    drafter = load_drafter(str(reader), "cpu").with_library(library)
    draft_file(drafter, tmp_path / "in.jsonl", tmp_path / "out.jsonl", sampling=Sampling(4))
    ((_, row),) = read_jsonl(tmp_path / "out.jsonl")
    assert row["shown"]
    assert not {one.id for one in library.reports if one.patient_id == known.patient_id} & set(row["shown"])


def test_a_model_that_reads_prior_reports_drafts_without_a_library_and_says_so(reader: Path, run: Run) -> None:
    done = run("draft", "--model", reader, "--findings", NEW.findings, "--max-new-tokens", 4)
    assert done.code == 0
    assert done.err.count("tuned to read prior reports") == 1
    plain = Drafter(load_drafter(str(reader), "cpu").engine, make_prompt("plain"), "plain")
    assert done.out.strip() == plain.draft(NEW.findings, sampling=Sampling(4)).text


def test_the_vote_hears_a_model_that_has_read_them(reader: Path, dataset: Path, run: Run, tmp_path: Path) -> None:
    assert run("library", "build", "--data", dataset, "--out", tmp_path / "lib").code == 0
    write_jsonl(tmp_path / "in.jsonl", [NEW.to_json()])
    files = "--in", tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl"
    few = "--samples", 2, "--max-new-tokens", 8
    done = run("draft", "--model", reader, "--library", tmp_path / "lib", *files, *few)
    assert done.code == 0
    assert "tuned to read" not in done.err
    ((_, row),) = read_jsonl(tmp_path / "out.jsonl")
    assert len(row["shown"]) == 3
    assert len(row["neighbours"]) > 3


@pytest.mark.parametrize("template", TEMPLATES)
def test_an_endpoint_is_sent_what_training_showed(
    reader: Path, library: Library, tokenizer: Any, template: str, tmp_path: Path
) -> None:
    """The server holds the weights; the folder given as the template holds the prompt and the tokenizer."""
    folder = Path(shutil.copytree(reader, tmp_path / "served"))
    prompt = make_prompt(template, True, neighbours=choice(findings=True))
    write_prompt(prompt, folder)
    example = Encoder(prompt, tokenizer, 1024, library=library).encode(NEW)
    assert example
    write_jsonl(tmp_path / "in.jsonl", [NEW.to_json()])
    examples = Examples(0, library, "lib@1")
    with serve(load_model(str(folder), "cpu")) as server:
        rival = connect_rival(Endpoint(server.url, "served"), str(folder), examples)
        draft_file(rival, tmp_path / "in.jsonl", tmp_path / "out.jsonl", sampling=Sampling(6))
    ((_, _, body),) = server.seen
    assert encode_text(tokenizer, body["prompt"]) == example.prompt_ids
    ((_, row),) = read_jsonl(tmp_path / "out.jsonl")
    ours = load_drafter(str(folder), "cpu").with_library(library).ask(NEW.findings, NEW.indication, 6, leave_out=NEW)
    assert [one["id"] for one in row["neighbours"]] == [one.id for one in ours.shown]
    assert row["examples_dropped"] == ours.left_out


def test_a_template_with_its_own_prior_reports_needs_no_shots(reader: Path, library: Library) -> None:
    with pytest.raises(InputError, match="shows 3 prior reports by itself; leave out --shots"):
        load_rival(str(reader), examples=Examples(2, library, "lib@1"), device="cpu")
    with pytest.raises(InputError, match="say how many with --shots"):
        load_rival(str(reader), "plain", Examples(0, library, "lib@1"), device="cpu")


def test_the_server_asks_as_drafting_does(
    reader: Path, dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    library = build_library(dataset, tmp_path / "lib")
    drafter = load_drafter(str(reader), "cpu").with_library(library)
    for folder, expected in ((tmp_path / "lib", drafter), (None, load_drafter(str(reader), "cpu"))):
        assistant = load_assistant(str(reader), "cpu", None, folder, 2)
        assert ("tuned to read prior reports" in capfd.readouterr().err) is (folder is None)
        (result,) = assistant.run([ImpressionJob(NEW.findings, max_new_tokens=4)], Silent())
        assert isinstance(result, Result)
        assert result.prompt_tokens == expected.ask(NEW.findings, max_new_tokens=4).tokens
