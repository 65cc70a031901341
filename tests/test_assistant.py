"""The assistant in a worker: a tiny real Llama behind the command line's drafter, and what is shown beside it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from radllama.clinical.check import check
from radllama.drafting.draft import Drafter
from radllama.drafting.load import load_drafter
from radllama.engines import Completion, Sampling
from radllama.errors import InputError
from radllama.files import hash_file
from radllama.model import load_base, save_model
from radllama.prompt import make_prompt
from radllama.selection import Selection
from radllama.server.assistant import Assistant, load_assistant
from radllama.server.jobs import IMPOSSIBLE, CompletionJob, Failure, ImpressionJob, Job, Result

FINDINGS = "Heart size is normal. Small left pleural effusion. No pneumothorax."


class Watching:
    """A channel that keeps what it is told; `reading` says which jobs want pieces."""

    def __init__(self, reading: Sequence[int] = (), gone: Sequence[int] = ()) -> None:
        self.reading, self.gone = reading, gone
        self.pieces: dict[int, list[str]] = {}

    def piece(self, job: int, text: str) -> None:
        self.pieces.setdefault(job, []).append(text)

    def wants_pieces(self, job: int) -> bool:
        return job in self.reading

    def is_wanted(self, job: int) -> bool:
        return job not in self.gone


@pytest.fixture(scope="module")
def folder(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with weights so large that it writes varied text, and a prompt that shows the indication."""
    network, tokenizer = load_base(str(tiny_base))
    torch.manual_seed(0)
    network.lm_head.weight = torch.nn.Parameter(torch.randn(network.lm_head.weight.shape))
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_model(network, tokenizer, make_prompt("plain", indication=True), folder)
    return folder


@pytest.fixture(scope="module")
def drafter(folder: Path) -> Drafter:
    return load_drafter(str(folder), "cpu")


@pytest.fixture(scope="module")
def assistant(drafter: Drafter) -> Assistant:
    return Assistant(drafter, "0" * 64)


def impression(findings: str = FINDINGS, **options: Any) -> ImpressionJob:
    return ImpressionJob(findings, max_new_tokens=12, **options)


def continuation(prompt: Any, **options: Any) -> CompletionJob:
    return CompletionJob(prompt, max_new_tokens=options.pop("max_new_tokens", 12), **options)


def run(assistant: Assistant, *jobs: Job, channel: Watching | None = None) -> list[Result]:
    outcomes = assistant.run(jobs, channel or Watching())
    assert len(outcomes) == len(jobs)
    results = [outcome for outcome in outcomes if isinstance(outcome, Result)]
    assert len(results) == len(jobs)
    return results


def test_a_draft_is_the_command_lines(assistant: Assistant, drafter: Drafter) -> None:
    (result,) = run(assistant, impression(indication="Cough."))
    expected = drafter.draft(FINDINGS, "Cough.", Sampling(max_new_tokens=12))
    assert (result.choices[0].text, result.choices[0].finish_reason) == (expected.text, expected.finish_reason)
    assert result.choices[0].text != run(assistant, impression())[0].choices[0].text
    assert result.prompt_tokens == drafter.engine.count_tokens(drafter.prompt.render(FINDINGS, "Cough."))


def test_a_batch_of_all_kinds_gives_what_each_gives_alone(assistant: Assistant) -> None:
    jobs: list[Job] = [
        impression(),
        impression("The lungs are clear."),
        continuation("findings: clear"),
        continuation((("user", FINDINGS),)),
        continuation("findings:", temperature=1.0, seed=3, n=2),
        continuation("findings:", temperature=1.0, seed=4),
        continuation("findings: clear", max_new_tokens=3),
        impression(n=3, seed=5),
    ]
    assert run(assistant, *jobs) == [run(assistant, job)[0] for job in jobs]


def test_one_that_is_alone_streams_and_its_pieces_are_the_draft(assistant: Assistant) -> None:
    channel = Watching(reading=[0])
    (result,) = run(assistant, impression(), channel=channel)
    assert len(channel.pieces[0]) > 1
    assert "".join(channel.pieces[0]) == result.choices[0].text
    assert result == run(assistant, impression())[0]


def test_those_in_a_batch_come_in_one_piece(assistant: Assistant) -> None:
    channel = Watching(reading=[0, 1])
    results = run(assistant, impression(), impression("The lungs are clear."), channel=channel)
    assert channel.pieces == {at: [result.choices[0].text] for at, result in enumerate(results)}


def test_a_draft_that_is_laid_out_afterwards_does_not_stream(assistant: Assistant) -> None:
    channel = Watching(reading=[0])
    run(assistant, impression(style="numbered"), channel=channel)
    assert channel.pieces == {}


def test_nothing_is_drafted_for_those_who_have_gone(assistant: Assistant) -> None:
    gone, there = run(assistant, impression(), impression("Clear lungs."), channel=Watching(gone=[0]))
    assert gone.choices[0].text == ""
    assert there == run(assistant, impression("Clear lungs."))[0]


def test_alternatives_differ_from_the_draft_and_from_each_other(assistant: Assistant) -> None:
    (result,) = run(assistant, impression(n=5, seed=1))
    texts = [choice.text for choice in result.choices]
    assert len(texts) == len(set(texts)) > 1
    assert texts[0] == run(assistant, impression())[0].choices[0].text
    assert result == run(assistant, impression(n=5, seed=1))[0]
    assert texts[1:] != [choice.text for choice in run(assistant, impression(n=5, seed=2))[0].choices[1:]]


def test_a_greedy_continuation_several_times_is_the_same_each_time(assistant: Assistant) -> None:
    (result,) = run(assistant, continuation("findings: clear", n=3))
    assert len(result.choices) == 3
    assert len(set(result.choices)) == 1


def test_a_stop_string_ends_a_continuation(assistant: Assistant) -> None:
    (whole,) = run(assistant, continuation("findings: clear"))
    stop = whole.choices[0].text[4:6]
    (cut,) = run(assistant, continuation("findings: clear", stop=(stop,)))
    assert cut.choices[0].text == whole.choices[0].text[: whole.choices[0].text.index(stop)]
    assert cut.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("findings", ["...", "--- !!"])
def test_findings_without_words_are_refused_alone(assistant: Assistant, findings: str) -> None:
    refused, there = assistant.run([impression(findings), impression()], Watching())
    assert refused == Failure(IMPOSSIBLE, "no draft is made: the findings hold no words")
    assert isinstance(there, Result)
    (chat,) = assistant.run([continuation((("user", findings),))], Watching())
    assert isinstance(chat, Failure)


def test_what_is_no_report_is_refused_as_the_command_line_refuses_it(assistant: Assistant, drafter: Drafter) -> None:
    for text in ("Stir butter and sugar until fluffy, then add two eggs.", "Ok"):
        (refused,) = assistant.run([impression(text)], Watching())
        assert isinstance(refused, Failure)
        assert refused.kind == IMPOSSIBLE
        with pytest.raises(InputError):
            drafter.draft(text)


def test_what_exceeds_the_context_is_refused_and_never_cut(assistant: Assistant) -> None:
    (refused,) = assistant.run([impression("The lungs are clear. " * 300)], Watching())
    assert isinstance(refused, Failure)
    assert refused.kind == IMPOSSIBLE
    assert "exceed the model's context of 256" in refused.message
    assert "lungs" not in refused.message


class Scripted:
    """An engine that always writes the same impression."""

    name, context_tokens = "scripted", 1000

    def __init__(self, text: str) -> None:
        self.text = text

    def count_tokens(self, prompt: str) -> int:
        return len(prompt.split())

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[list[Completion]]:
        return [[Completion(self.text, "stop")] * sampling.samples for _ in prompts]

    def stream(self, prompt: str, sampling: Sampling) -> Any:
        yield self.text


def scripted(text: str) -> Assistant:
    return Assistant(Drafter(Scripted(text), make_prompt("plain"), "scripted"))


def test_a_draft_is_linked_to_its_findings_and_flagged_where_it_disagrees() -> None:
    draft = "Small right pleural effusion."
    (result,) = run(scripted(draft), impression())
    start = FINDINGS.index("Small")
    assert list(result.choices[0].links) == [
        {"impression": (0, len(draft)), "findings": ((start, start + len("Small left pleural effusion.")),)}
    ]
    assert "side" in {flag["kind"] for flag in result.choices[0].flags}
    assert all({"kind", "message", "draft_span", "findings_span"} == flag.keys() for flag in result.choices[0].flags)
    (right,) = run(scripted("Small left pleural effusion."), impression())
    assert right.choices[0].flags == ()


def test_an_alternative_is_checked_as_the_draft_is(assistant: Assistant) -> None:
    (result,) = run(assistant, impression(n=5, seed=1))
    for choice in result.choices:
        assert list(choice.flags) == [flag.to_json() for flag in check(FINDINGS, choice.text)]
    assert any(choice.flags for choice in result.choices[1:])


def test_links_and_flags_point_into_the_draft_as_it_is_shown() -> None:
    (result,) = run(scripted("No pneumothorax. Small right pleural effusion."), impression(style="numbered"))
    shown = result.choices[0].text
    assert shown == "1. No pneumothorax.\n2. Small right pleural effusion."
    assert [shown[slice(*one["impression"])] for one in result.choices[0].links] == [
        "No pneumothorax.",
        "Small right pleural effusion.",
    ]


def test_what_a_worker_loads_says_what_it_is(folder: Path, drafter: Drafter) -> None:
    info = load_assistant(str(folder), "cpu", samples=1).info
    assert (info.name, info.prompt, info.context_tokens) == (drafter.name, drafter.prompt.name, 256)
    assert info.abilities == {"streaming", "sampling"}
    assert (info.samples, info.library) == (1, "")
    assert "likeliest words" in info.way
    line = f"model.safetensors {hash_file(folder / 'model.safetensors')}\n"
    assert info.weights_sha256 == hashlib.sha256(line.encode()).hexdigest()


def test_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_assistant(str(tmp_path / "none"))


# What the prompt tells by itself


@pytest.fixture(scope="module")
def telling(drafter: Drafter) -> Assistant:
    prompt = make_prompt("plain", selection=Selection({"topic Pleural Effusion": 9.0}, bias=-1.0, least=0.5))
    return Assistant(Drafter(drafter.engine, prompt, "telling@1"))


def test_what_is_told_begins_every_draft_as_it_is_written_and_as_it_ends(telling: Assistant) -> None:
    watching = Watching(reading=[0])
    [alone] = run(telling, impression(), channel=watching)
    assert alone.choices[0].text.startswith("Small left pleural effusion.")
    assert "".join(watching.pieces[0]) == alone.choices[0].text
    assert watching.pieces[0][0] == "Small left pleural effusion."
    both = run(telling, impression(n=3), impression("The lungs are clear."))
    assert all(choice.text.startswith("Small left pleural effusion.") for choice in both[0].choices)
    assert both[0].choices[0].text == alone.choices[0].text
    assert not both[1].choices[0].text.startswith("Small left")


def test_what_is_told_is_not_counted_as_written(telling: Assistant) -> None:
    long = "Small left pleural effusion with adjacent atelectasis in the left lower lobe."
    reasons = {
        run(telling, impression(long), channel=Watching(reading))[0].choices[0].finish_reason for reading in ([], [0])
    }
    assert len(reasons) == 1
