"""The assistant that votes: what the radiologist gets is what `radllama draft` elects, whatever the batch."""

from pathlib import Path

import pytest
from command import Run
from test_assistant import Scripted, Watching
from test_assistant import run as run_jobs

from radllama.drafting.draft import Drafter
from radllama.drafting.election import FROM_FINDINGS, Voting
from radllama.drafting.load import load_drafter
from radllama.drafting.sampling import plan_sampling
from radllama.drafting.voting import VotingDrafter, load_voting
from radllama.prompt import make_prompt
from radllama.server.assistant import Assistant, load_assistant
from radllama.server.jobs import ImpressionJob, Result

FINDINGS = "There is a small left pleural effusion. No pneumothorax."
OTHERS = ["The heart is enlarged. No effusion.", "The lungs are clear.", "There is a large right pleural effusion."]
TOKENS = 8


@pytest.fixture(scope="module")
def assistant(plain_base: Path, department_folder: Path) -> Assistant:
    return load_assistant(str(plain_base), "cpu", library=department_folder, samples=4)


def job(findings: str = FINDINGS, **options: int | str) -> ImpressionJob:
    return ImpressionJob(findings, max_new_tokens=TOKENS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [0, 7])
def test_it_gives_the_command_lines_draft(
    assistant: Assistant, plain_base: Path, department_folder: Path, run: Run, seed: int
) -> None:
    for findings in (FINDINGS, *OTHERS):
        (result,) = assistant.run([job(findings, seed=seed)], Watching())
        assert isinstance(result, Result)
        said = run(
            *("draft", "--model", plain_base, "--device", "cpu", "--library", department_folder),
            *("--samples", 4, "--seed", seed),
            *("--max-new-tokens", TOKENS, "--findings", findings),
        )
        assert result.choices[0].text == said.out.strip()


def test_a_batch_elects_what_each_elects_alone(assistant: Assistant) -> None:
    jobs = [job(findings, n=3, neighbours=2, seed=seed) for findings in (FINDINGS, *OTHERS) for seed in (0, 1)]
    assert run_jobs(assistant, *jobs) == [run_jobs(assistant, one)[0] for one in jobs]


def test_what_streams_is_the_elected_text_in_its_style_and_no_candidate(assistant: Assistant) -> None:
    for style in ("house", "numbered"):
        channel = Watching(reading=[0])
        (result,) = run_jobs(
            assistant, job("The heart is enlarged. Small left effusion.", style=style), channel=channel
        )
        assert channel.pieces == {0: [result.choices[0].text]}


def test_alternatives_stood_for_election_and_say_something_else(assistant: Assistant) -> None:
    (result,) = run_jobs(assistant, job("The heart is enlarged. There is a small left pleural effusion.", n=4))
    texts = [choice.text for choice in result.choices]
    assert 1 < len(texts) <= 4
    assert len(set(texts)) == len(texts)
    assert not any(flag["kind"] in ("side", "negation", "omitted") for one in result.choices for flag in one.flags)


def test_neighbours_and_voices_stand_beside_the_draft(assistant: Assistant) -> None:
    (result,) = run_jobs(assistant, job(neighbours=3))
    assert [one.keys() for one in result.neighbours] == [{"id", "score", "findings", "impression"}] * 3
    scores = [one["score"] for one in result.neighbours]
    assert scores == sorted(scores, reverse=True)
    (voices,) = result.choices[0].voices
    assert result.choices[0].text[slice(*voices["impression"])] == "Small left pleural effusion."
    assert voices["findings"]
    assert voices["neighbours"]
    assert run_jobs(assistant, job())[0].neighbours == []


def test_it_says_how_drafts_are_made(assistant: Assistant) -> None:
    assert assistant.info.abilities == {"streaming", "sampling", "vote", "library"}
    assert assistant.info.library.startswith("lib@")
    assert assistant.info.samples == 4
    assert assistant.info.way == (
        "4 samples of the model and the 30 most similar of 160 prior reports vote; "
        "what does not agree with the findings is voted down"
    )


def test_without_a_library_its_samples_vote_and_nothing_large_is_left_out(plain_base: Path) -> None:
    assistant = load_assistant(str(plain_base), "cpu", samples=3)
    assert assistant.info.abilities == {"streaming", "sampling", "vote"}
    assert "there is no library" in assistant.info.way
    (result,) = run_jobs(assistant, job("There is a large right pleural effusion."))
    expected = load_voting(load_drafter(str(plain_base), "cpu"), Voting(), None).draft(
        "There is a large right pleural effusion.", sampling=plan_sampling(True, TOKENS, None, 3, 1, 0)
    )
    assert result.choices[0].text == expected.text
    assert "effusion" in result.choices[0].text


def test_a_model_that_denies_what_is_there_is_voted_down() -> None:
    drafter = Drafter(Scripted("No acute cardiopulmonary findings."), make_prompt("plain"), "scripted")
    assistant = Assistant(VotingDrafter(drafter, Voting(), None, "none", None), samples=16)
    (result,) = run_jobs(assistant, job("There is a large right pleural effusion."))
    assert result.choices[0].text == "Large right pleural effusion."
    assert [flag["kind"] for flag in result.choices[0].flags] == []


def test_a_draft_of_the_findings_own_sentences_says_so() -> None:
    drafter = Drafter(Scripted("Small right pleural effusion."), make_prompt("plain"), "scripted")
    assistant = Assistant(VotingDrafter(drafter, Voting(), None, "none", None), samples=2)
    (result,) = run_jobs(assistant, job("The lungs are clear."))
    assert (result.choices[0].text, result.choices[0].finish_reason) == ("Lungs are clear.", FROM_FINDINGS)


def test_nobody_votes_for_those_who_have_gone(assistant: Assistant) -> None:
    gone, there = run_jobs(assistant, job(), job(OTHERS[0]), channel=Watching(gone=[0]))
    assert gone.choices[0].text == ""
    assert there == run_jobs(assistant, job(OTHERS[0]))[0]


def test_with_one_sample_the_likeliest_draft_and_the_prior_reports_vote(
    plain_base: Path, department_folder: Path
) -> None:
    assistant = load_assistant(str(plain_base), "cpu", library=department_folder, samples=1)
    assert assistant.info.way.startswith("the model's likeliest draft and the 30 most similar")
    (result,) = run_jobs(assistant, job())
    expected = load_voting(load_drafter(str(plain_base), "cpu"), Voting(), department_folder).draft(
        FINDINGS, sampling=plan_sampling(True, TOKENS, None, 1, 1, 0)
    )
    assert result.choices[0].text == expected.text
