from radllama.evaluation.drafts import Case
from radllama.evaluation.harm import find_harm, rank_by_harm

FINDINGS = "Large right pleural effusion. Heart size is normal. No pneumothorax."
REFERENCE = "Large right effusion."


def case(draft: str, reference: str = REFERENCE, findings: str | None = FINDINGS) -> Case:
    return Case("1", findings, reference, draft)


def test_a_faithful_draft_has_nothing_against_it() -> None:
    harm = find_harm(case(REFERENCE))
    assert (harm.grave, harm.lesser, harm.omitted, harm.invented) == (0, 0, frozenset(), frozenset())


def test_a_wrong_side_a_flipped_negation_an_invention_and_an_omission_are_grave() -> None:
    assert [flag.kind for flag in find_harm(case("Large left effusion.")).flags] == ["side"]
    assert find_harm(case("Large left effusion.")).grave == 1
    assert find_harm(case("Large right effusion. Pneumothorax.")).grave >= 1
    assert find_harm(case("Large right effusion. Rib fracture.")).invented == {"Fracture"}
    assert find_harm(case("No acute disease.")).omitted == {"Pleural Effusion"}


def test_another_grade_is_less_than_grave() -> None:
    harm = find_harm(case("Small right effusion."))
    assert (harm.grave, harm.lesser) == (0, 1)


def test_without_findings_nothing_is_said() -> None:
    assert find_harm(case("Large left effusion.", findings=None)).grave == 0


def test_what_is_grave_comes_before_what_is_less_so_and_that_before_words() -> None:
    cases = [
        case(REFERENCE),
        case("Small right effusion."),
        case("Large left effusion. Rib fracture."),
        case("Large left effusion."),
        case("Right effusion, large."),
    ]
    order = rank_by_harm(cases, [find_harm(one) for one in cases], [1.0, 0.9, 0.8, 0.9, 0.5])
    assert order == [2, 3, 1, 4, 0]


def test_of_equals_the_one_whose_reference_says_more_comes_first() -> None:
    cases = [case("Stone.", "Stone.", "Stone."), case("Stone.", "Kidney stone, 4 mm.", "Stone.")]
    assert rank_by_harm(cases, [find_harm(one) for one in cases], [0.0, 0.0]) == [1, 0]
