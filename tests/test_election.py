"""The election of a draft: who votes, who stands, and what happens when nobody does."""

import pytest
from departments import NORMAL

from radllama.clinical.check import Checker, Flag
from radllama.drafting.election import FROM_FINDINGS, Elected, Voting, elect
from radllama.library import Library
from radllama.library.habits import Habits, topics_in

FINDINGS = "There is a small left pleural effusion. There is a calcified granuloma in the right lung. No pneumothorax."


def drafted(said: list[str], department: Library, habits: Habits | None, **voting: object) -> Elected:
    return elect(FINDINGS, said, department, habits, Voting(**voting))  # type: ignore[arg-type]


def test_the_draft_repeats_what_colleagues_repeat_and_no_more(department: Library, habits: Habits) -> None:
    elected = drafted([NORMAL] * 4, department, habits)
    assert elected.repeated == ["Pleural Effusion"]
    assert topics_in(elected.text) == {"Pleural Effusion"}
    assert elected.finish_reason == "stop"
    assert not elected.text.endswith(NORMAL)


def test_a_text_of_the_model_that_stands_can_win(department: Library, habits: Habits) -> None:
    best = "Small left pleural effusion."
    assert drafted([best] * 16, department, habits).text == best


def test_the_model_is_completed_where_it_leaves_something_out(department: Library, habits: Habits) -> None:
    elected = elect(FINDINGS, ["No pneumothorax seen."] * 16, None, habits, Voting())
    assert topics_in(elected.text) == {"Pleural Effusion"}
    assert "No pneumothorax seen." in elected.text


def test_what_the_model_invents_does_not_stand(department: Library, habits: Habits) -> None:
    invented = "Small left pleural effusion. Large right pneumothorax."
    assert drafted([invented] * 16, department, habits, neighbours=1).text != invented


def test_without_checks_what_most_say_is_the_draft_and_the_likelier_is_told(
    department: Library, habits: Habits
) -> None:
    invented = "Small left pleural effusion. Large right pneumothorax."
    assert elect(FINDINGS, [invented] * 4, None, None, Voting(checks=False)).text == invented
    assert topics_in(drafted([NORMAL] * 16, department, habits, checks=False).text) == {"Pleural Effusion"}


def test_more_coverage_repeats_more(department: Library, habits: Habits) -> None:
    assert "Granuloma" in drafted([], department, habits, mentions=1.0).repeated
    assert drafted([], department, habits, mentions=0.0, reports=0.0).repeated in ([], ["Pleural Effusion"])


def test_neighbours_vote_without_a_model(department: Library, habits: Habits) -> None:
    elected = drafted([], department, habits)
    assert elected.text.startswith("Small left pleural effusion.")
    assert len(elected.neighbours) == 30


def test_the_neighbours_are_told_best_first(department: Library, habits: Habits) -> None:
    elected = drafted([NORMAL], department, habits, neighbours=7)
    assert [one.id for one in elected.neighbours] == [one.id for one in department.nearest(FINDINGS, 7)]


def test_without_habits_what_is_rarely_left_out_is_repeated(department: Library) -> None:
    elected = drafted([NORMAL] * 4, department, None)
    assert elected.repeated == ["Pleural Effusion"]
    assert topics_in(elected.text) == {"Pleural Effusion"}


def test_without_a_library_the_model_votes_alone() -> None:
    said = ["Left effusion.", "Small left effusion.", "Small left effusion."]
    elected = elect(FINDINGS, said, None, None, Voting())
    assert (elected.text, elected.neighbours) == ("Small left effusion.", [])


def test_when_no_candidate_stands_the_findings_are_the_draft_and_it_says_so() -> None:
    elected = elect("Mild scoliosis is present. Clear lungs.", ["Edema.", "Pneumonia."], None, None, Voting())
    assert (elected.text, elected.finish_reason) == ("Mild scoliosis.", FROM_FINDINGS)
    normal = elect("The lungs are clear. There is no effusion.", ["Edema."], None, None, Voting())
    assert (normal.text, normal.finish_reason) == ("Lungs are clear. No effusion.", FROM_FINDINGS)


def test_a_model_that_says_nothing_leaves_the_findings() -> None:
    elected = elect(FINDINGS, ["", "  "], None, None, Voting())
    assert (elected.text, elected.finish_reason) == ("Small left pleural effusion.", "stop")


def test_others_are_as_many_as_asked_for_and_stood_too(department: Library, habits: Habits) -> None:
    invented = "Small left pleural effusion. Large right pneumothorax."
    said = ["Left effusion.", "Small left effusion.", invented, NORMAL]
    every = elect(FINDINGS, said, department, habits, Voting(), others=1000)
    assert len(every.others) > 2
    assert all("Pleural Effusion" in topics_in(text) for text in every.others)
    assert invented not in every.others
    for count in (0, 1, 2):
        some = elect(FINDINGS, said, department, habits, Voting(), others=count)
        assert (some.text, some.others) == (every.text, every.others[:count])


def test_no_more_texts_are_checked_than_the_draft_needs(
    department: Library, habits: Habits, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: set[str] = set()
    check = Checker.check

    def counted(self: Checker, draft: str) -> list[Flag]:
        checked.add(draft)
        return check(self, draft)

    monkeypatch.setattr(Checker, "check", counted)
    best = "Small left pleural effusion."
    silent = [f"No pneumothorax. {word.capitalize()} is clear." for word in ("lung", "mediastinum", "chest") * 9]
    said = [best] * 99 + silent
    assert elect(FINDINGS, said, None, habits, Voting()).text == best
    needed = set(checked)
    checked.clear()
    elect(FINDINGS, said, None, habits, Voting(), others=1000)
    assert len(needed) < len(checked)


def test_the_same_votes_elect_the_same(department: Library, habits: Habits) -> None:
    said = ["Left effusion.", "Small left effusion.", NORMAL, "Effusion with granuloma."]
    assert drafted(said, department, habits) == drafted(said, department, habits)


@pytest.mark.parametrize("utility", ["rouge1", "rouge2"])
def test_every_utility_elects_a_faithful_draft(department: Library, habits: Habits, utility: str) -> None:
    assert topics_in(drafted([NORMAL], department, habits, utility=utility).text) == {"Pleural Effusion"}


def test_findings_of_a_hundred_sentences_take_no_more_than_their_share(department: Library, habits: Habits) -> None:
    sides = ["left", "right"]
    findings = " ".join(f"There is a small {side} pleural effusion. The heart is enlarged." for side in sides * 25)
    elected = elect(findings, [NORMAL] * 16, department, habits, Voting())
    assert {"Pleural Effusion", "Cardiomegaly"} <= topics_in(elected.text)
