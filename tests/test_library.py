from dataclasses import replace

import pytest

from radllama.errors import InputError
from radllama.library import Library
from radllama.library.index import WEIGHTINGS, Weighting
from radllama.report import Report


def report(identity: str, findings: str, impression: str = "Done.") -> Report:
    return Report(id=identity, patient_id=None, findings=findings, impression=impression)


PRIOR = [
    report("a", "Lungs are clear. Heart size is normal.", "Normal chest."),
    report("b", "Large right effusion with collapse of the lower lobe.", "Right effusion."),
    report("c", "Healed fracture of the left clavicle.", "Old fracture."),
    report("d", "Lungs are clear. Heart size is normal.", "No acute disease."),
]


def test_the_same_findings_are_found_with_a_score_of_one() -> None:
    [found] = Library.build(PRIOR).nearest("large RIGHT effusion, with collapse of the lower lobe")
    assert (found.id, found.findings, found.impression) == ("b", PRIOR[1].findings, "Right effusion.")
    assert found.score == pytest.approx(1, abs=1e-6)


def test_equals_come_in_the_order_of_the_library() -> None:
    found = Library.build(PRIOR).nearest("Lungs are clear.", k=2)
    assert [neighbour.id for neighbour in found] == ["a", "d"]
    assert found[0].score == found[1].score
    assert [n.id for n in Library.build(PRIOR[::-1]).nearest("Lungs are clear.", k=1)] == ["d"]


def test_neighbours_come_best_first() -> None:
    found = Library.build(PRIOR).nearest("Heart size is normal. Right effusion.", k=4)
    scores = [neighbour.score for neighbour in found]
    assert scores == sorted(scores, reverse=True)


def test_what_shares_no_word_is_no_neighbour() -> None:
    library = Library.build(PRIOR)
    assert library.nearest("Tibia.", k=3) == []
    assert library.nearest("", k=3) == []
    assert [neighbour.id for neighbour in library.nearest("clavicle", k=4)] == ["c"]


def test_the_order_of_words_matters() -> None:
    library = Library.build([report("a", "left effusion, right clear"), report("b", "right effusion, left clear")])
    assert library.nearest("left clear and right effusion")[0].id == "b"


def test_asking_for_more_than_there_are_gives_all() -> None:
    assert len(Library.build(PRIOR[:2]).nearest("clear right lungs effusion", k=10)) == 2


def test_a_batch_gives_what_single_queries_give() -> None:
    library = Library.build(PRIOR)
    queries = ["Lungs are clear.", "Tibia.", "right effusion", "fracture of the right clavicle"]
    assert library.nearest_batch(queries, k=2) == [library.nearest(query, k=2) for query in queries]
    assert library.nearest_batch([]) == []


def test_a_report_is_left_out_of_its_own_neighbours() -> None:
    library = Library.build(PRIOR)
    assert [one.id for one in library.nearest(PRIOR[0].findings, k=4, leave_out=PRIOR[0])] == ["d"]


def test_the_other_reports_of_its_patient_are_left_out_too() -> None:
    mine = [replace(one, patient_id="p") for one in PRIOR[:2]]
    library = Library.build([*mine, *PRIOR[2:]])
    found = library.nearest("Lungs are clear. Large right effusion.", k=4, leave_out=mine[0])
    assert [one.id for one in found] == ["d"]
    # Two reports of unknown patients are not of the same patient.
    assert len(library.nearest("Lungs are clear. Healed fracture.", k=4, leave_out=PRIOR[3])) == 2


def test_ids_that_stand_in_the_library_are_told() -> None:
    assert Library.build(PRIOR).overlap(["z", "c", "a"]) == ["c", "a"]
    assert Library.build(PRIOR).overlap([]) == []


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_every_weighting_finds_the_report_itself_first(weighting: Weighting) -> None:
    library = Library.build(PRIOR, weighting)
    assert [library.nearest(one.findings)[0].id for one in PRIOR] == ["a", "b", "c", "a"]


def test_reports_without_findings_are_kept_and_never_found() -> None:
    library = Library.build([report("empty", ""), *PRIOR])
    assert len(library) == 5
    assert "empty" not in [neighbour.id for neighbour in library.nearest("Lungs are clear.", k=5)]


@pytest.mark.parametrize("prior", [[], [report("a", "...")]])
def test_a_library_of_nothing_is_refused(prior: list[Report]) -> None:
    with pytest.raises(InputError, match="at least one"):
        Library.build(prior)


def test_no_neighbours_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        Library.build(PRIOR).nearest("clear", k=0)


def test_a_library_knows_the_words_of_its_findings_and_impressions() -> None:
    library = Library.build(PRIOR)
    assert all(map(library.knows, ("clavicle", "old", "chest")))
    assert not library.knows("clavicular")
