import random
from dataclasses import replace

import pytest

from radllama.recipe import Augment
from radllama.report import Report
from radllama.text import sentences
from radllama.training.augment import NOTHING_ABNORMAL, Pool, build_pool, make_copy_task, swap_sides, vary

REPORT = Report(
    "1", None, "Heart size is normal. Small left pleural effusion. No pneumothorax.", "1. Small left effusion."
)
POOL = Pool(
    normal=["The lungs are clear.", "No acute bony abnormality.", "Normal heart."],
    abnormal=["Left lower lobe opacity.", "Mild cardiomegaly.", "RIGHT hilar mass."],
)


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("Left effusion, right base.", "Right effusion, left base."),
        ("LEFT-sided line", "RIGHT-sided line"),
        ("leftover and bright", "leftover and bright"),
        ("the rightmost rib", "the rightmost rib"),
        ("no side at all", "no side at all"),
    ],
)
def test_sides_are_swapped_as_whole_words_in_their_case(text: str, swapped: str) -> None:
    assert swap_sides(text) == swapped


def test_swapping_twice_gives_the_text_back() -> None:
    text = "Right LEFT left-sided Right. Copyright."
    assert swap_sides(swap_sides(text)) == text


def test_sides_change_in_both_sections_together() -> None:
    varied = vary(REPORT, Augment(swap_sides=1), POOL, random.Random(0))
    assert "right pleural" in varied.findings
    assert varied.impression == "1. Small right effusion."


def test_nothing_asked_for_changes_nothing() -> None:
    assert vary(REPORT, Augment(), POOL, random.Random(0)) == REPORT


def test_shuffling_keeps_every_sentence() -> None:
    orders = {vary(REPORT, Augment(shuffle=1), POOL, random.Random(seed)).findings for seed in range(20)}
    assert len(orders) > 3
    assert all(sorted(sentences(order)) == sorted(sentences(REPORT.findings)) for order in orders)


@pytest.mark.parametrize("seed", range(20))
def test_only_normal_sentences_are_left_out(seed: int) -> None:
    varied = vary(REPORT, Augment(drop=1), POOL, random.Random(seed))
    assert "Small left pleural effusion." in varied.findings
    assert len(sentences(varied.findings)) == 2


def test_a_single_sentence_is_never_left_out() -> None:
    single = replace(REPORT, findings="The lungs are clear.")
    assert vary(single, Augment(drop=1), POOL, random.Random(0)) == single


@pytest.mark.parametrize("seed", range(20))
def test_a_normal_heart_is_not_brought_into_a_report_of_a_large_one(seed: int) -> None:
    large = replace(REPORT, findings="The heart is enlarged.")
    varied = vary(large, Augment(insert=1), POOL, random.Random(seed))
    assert "Normal heart." not in varied.findings


def test_normal_sentences_are_brought_in_from_elsewhere() -> None:
    brought = {vary(REPORT, Augment(insert=1), POOL, random.Random(seed)).findings for seed in range(20)}
    assert any("The lungs are clear." in findings for findings in brought)


def test_the_pool_holds_what_is_plainly_normal_and_plainly_abnormal() -> None:
    pool = build_pool(
        [
            replace(REPORT, findings="Lungs are clear. Mild cardiomegaly. Opacity is not excluded."),
            replace(REPORT, findings="Two views of the chest. Old rib fractures."),
        ]
    )
    assert pool == Pool(["Lungs are clear."], ["Mild cardiomegaly.", "Old rib fractures."])


@pytest.mark.parametrize("seed", range(30))
def test_a_copy_task_asks_for_the_abnormal_sentences_in_their_order(seed: int) -> None:
    findings, answer = make_copy_task(POOL, random.Random(seed))
    known = {*POOL.abnormal, *map(swap_sides, POOL.abnormal)}
    wanted = [sentence for sentence in sentences(findings) if sentence in known]
    assert answer == (" ".join(wanted) or NOTHING_ABNORMAL)


def test_a_copy_task_follows_from_its_seed() -> None:
    assert make_copy_task(POOL, random.Random(4)) == make_copy_task(POOL, random.Random(4))
    assert len({make_copy_task(POOL, random.Random(seed)) for seed in range(10)}) > 5


def test_an_empty_pool_still_makes_a_task() -> None:
    findings, answer = make_copy_task(Pool(["Clear lungs."], []), random.Random(0))
    assert findings
    assert answer == NOTHING_ABNORMAL
